//! The names of published arrays, and the arrays under our own: those of `BertForMaskedLM` and `GPT2LMHeadModel`, with layers
//! as PyTorch has them.

use std::collections::BTreeMap;
use std::path::Path;

use super::Network;
use crate::error::{Error, Result};
use crate::layers::state::{Array, State};
use crate::run::read_some_weights;

/// The words' vectors of each family, by which they are also scored.
const WORDS: [&str; 2] = [
    "bert.embeddings.word_embeddings.weight",
    "transformer.wte.weight",
];
const PLACES: [&str; 2] = [
    "bert.embeddings.position_embeddings.weight",
    "transformer.wpe.weight",
];
const KINDS: &str = "bert.embeddings.token_type_embeddings.weight";
const BIAS: &str = "cls.predictions.bias";
/// What scores symbols, where it is written although it is the same as their vectors.
const SCORES: [&str; 4] = [
    "cls.predictions.decoder.weight",
    "lm_head.decoder.weight",
    "lm_head.weight",
    "vocab_projector.weight",
];
/// What is no weight, or is written twice.
const IDLE: [&str; 6] = [
    "position_ids",
    "token_type_ids",
    ".attn.bias",
    ".attn.masked_bias",
    "predictions.decoder.bias",
    "lm_head.decoder.bias",
];
/// What DistilBERT calls the parts of a layer, and BERT.
const PARTS: [(&str, &str); 8] = [
    ("attention.q_lin.", "attention.self.query."),
    ("attention.k_lin.", "attention.self.key."),
    ("attention.v_lin.", "attention.self.value."),
    ("attention.out_lin.", "attention.output.dense."),
    ("sa_layer_norm.", "attention.output.LayerNorm."),
    ("ffn.lin1.", "intermediate.dense."),
    ("ffn.lin2.", "output.dense."),
    ("output_layer_norm.", "output.LayerNorm."),
];
/// What the others call the head that says which symbol was hidden, and BERT.
const HEADS: [(&str, &str); 6] = [
    ("lm_head.dense.", "cls.predictions.transform.dense."),
    (
        "lm_head.layer_norm.",
        "cls.predictions.transform.LayerNorm.",
    ),
    ("lm_head.bias", BIAS),
    ("vocab_transform.", "cls.predictions.transform.dense."),
    ("vocab_layer_norm.", "cls.predictions.transform.LayerNorm."),
    ("vocab_projector.bias", BIAS),
];
/// Layers of GPT-2 whose weights are published as `[inputs, outputs]`.
const TURNED: [&str; 3] = ["c_attn.weight", "c_proj.weight", "c_fc.weight"];

/// How arrays are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    Bert,
    Roberta,
    DistilBert,
    Gpt2,
}

/// What of a network a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Held {
    /// Whether it has the part that says which symbol was hidden.
    pub(super) head: bool,
}

impl Layout {
    /// Whether its tokenizers are lists of word pieces.
    pub(super) fn has_word_pieces(self) -> bool {
        matches!(self, Self::Bert | Self::DistilBert)
    }

    /// What we call an array; `None` for what our network doesn't have.
    fn own(self, name: &str) -> Option<String> {
        if IDLE.iter().any(|idle| name.ends_with(idle)) || SCORES.contains(&name) {
            return None;
        }
        if self == Self::Gpt2 {
            let plain = name.strip_prefix("transformer.").unwrap_or(name);
            let ours = ["wte.", "wpe.", "ln_f.", "h."];
            let ours = ours.iter().any(|prefix| plain.starts_with(prefix));
            return ours.then(|| format!("transformer.{plain}"));
        }
        let prefix = match self {
            Self::Roberta => "roberta.",
            Self::DistilBert => "distilbert.",
            _ => "bert.",
        };
        // What norms were called in 2018.
        let plain = name.strip_prefix(prefix).unwrap_or(name);
        let plain = plain.replace("LayerNorm.gamma", "LayerNorm.weight");
        let plain = plain.replace("LayerNorm.beta", "LayerNorm.bias");
        if let Some(layer) = plain.strip_prefix("transformer.layer.") {
            let (number, part) = layer.split_once('.')?;
            let of_part = |(theirs, ours): &(&str, &str)| {
                let rest = part.strip_prefix(theirs)?;
                Some(format!("bert.encoder.layer.{number}.{ours}{rest}"))
            };
            return PARTS.iter().find_map(of_part);
        }
        let of_head = |(theirs, ours): &(&str, &str)| {
            let rest = plain.strip_prefix(theirs)?;
            Some(format!("{ours}{rest}"))
        };
        if let Some(name) = HEADS.iter().find_map(of_head) {
            return Some(name);
        }
        let body = ["embeddings.", "encoder.layer."];
        if body.iter().any(|prefix| plain.starts_with(prefix)) {
            return Some(format!("bert.{plain}"));
        }
        plain.starts_with("cls.predictions.").then_some(plain)
    }
}

impl Network {
    /// Whether the sizes of the arrays are those that the config says, so that the network can be built by them.
    pub(super) fn held(&self, shapes: &BTreeMap<String, Vec<usize>>) -> Result<Held> {
        let own: BTreeMap<String, &Vec<usize>> = shapes
            .iter()
            .filter_map(|(name, shape)| Some((self.layout.own(name)?, shape)))
            .collect();
        let sized = |name: &str, expected: [usize; 2]| match own.get(name) {
            Some(shape) if shape[..] == expected => Ok(()),
            Some(shape) => Err(Error::data(format!("`{name}` of shape {shape:?}"))
                .expected(format!("{expected:?}, as config.json has it"))),
            None => Err(Error::data(format!("no array for `{name}`"))
                .expected("the weights of the network that config.json describes")),
        };
        let family = usize::from(self.layout == Layout::Gpt2);
        sized(WORDS[family], [self.symbols, self.width])?;
        sized(
            PLACES[family],
            [self.places + self.unused_places, self.width],
        )?;
        let number = |name: &String| {
            let mut parts = name.split('.');
            parts.find_map(|part| part.parse::<usize>().ok())
        };
        let depth = own
            .keys()
            .filter_map(number)
            .max()
            .map_or(0, |last| last.saturating_add(1));
        if depth != self.depth {
            return Err(Error::data(format!("{depth} layers"))
                .expected(format!("{}, as config.json has it", self.depth)));
        }
        for (name, expected) in (0..self.depth).flat_map(|layer| self.of_layer(layer)) {
            sized(&name, expected)?;
        }
        Ok(Held {
            head: own.contains_key(BIAS)
                && own.contains_key("cls.predictions.transform.dense.weight"),
        })
    }

    /// Arrays of a layer and what their sizes have to be. A network is built by what its config says of widths: what no file
    /// of weights bears out would take memory for nothing.
    fn of_layer(&self, layer: usize) -> [(String, [usize; 2]); 2] {
        match self.layout {
            Layout::Gpt2 => [
                (
                    format!("transformer.h.{layer}.attn.c_attn.weight"),
                    [self.width, 3 * self.width],
                ),
                (
                    format!("transformer.h.{layer}.mlp.c_fc.weight"),
                    [self.width, self.inner],
                ),
            ],
            _ => [
                (
                    format!("bert.encoder.layer.{layer}.attention.self.query.weight"),
                    [self.width, self.width],
                ),
                (
                    format!("bert.encoder.layer.{layer}.intermediate.dense.weight"),
                    [self.inner, self.width],
                ),
            ],
        }
    }
}

/// Reads the weights of a network, under our names, for a tokenizer of `symbols`. Also returns lines for people.
///
/// # Errors
/// When the file is damaged, or scores symbols otherwise than by their own vectors.
pub(super) fn read(path: &Path, network: &Network, symbols: usize) -> Result<(State, Vec<String>)> {
    let layout = network.layout;
    let wanted = |name: &str| layout.own(name).is_some() || SCORES.contains(&name);
    let left = std::cell::RefCell::new(Vec::new());
    let (given, _) = read_some_weights(path, &|name| {
        let wanted = wanted(name);
        if !wanted && !IDLE.iter().any(|idle| name.ends_with(idle)) {
            left.borrow_mut().push(name.to_owned());
        }
        wanted
    })?;
    let (mut state, mut scores) = (State::new(), None);
    for (name, array) in given {
        match layout.own(&name) {
            Some(own) => {
                state.insert(own, array);
            }
            None => scores = Some(array),
        }
    }
    let mut lines = Vec::new();
    let mut left = left.into_inner();
    left.sort_unstable();
    if let Some(first) = left.first() {
        let count = left.len();
        lines.push(format!(
            "{count} of its arrays left out, such as {first}: no part of the network"
        ));
    }
    let family = usize::from(layout == Layout::Gpt2);
    if scores.is_some_and(|scores| state.get(WORDS[family]) != Some(&scores)) {
        if layout == Layout::Gpt2 {
            return Err(
                Error::data("scores of symbols by other vectors than their own")
                    .at(path)
                    .expected("tied vectors, as GPT-2 was published with"),
            );
        }
        state.retain(|name, _| !name.starts_with("cls."));
        lines.push(
            "its head left out, which scores symbols by other vectors than their own".to_owned(),
        );
    }
    for (name, array) in &mut state {
        if family == 1 && TURNED.iter().any(|ending| name.ends_with(ending)) {
            turn(array);
        }
    }
    if let Some(places) = state.get_mut(PLACES[family]) {
        cut_rows(places, network.unused_places, network.places);
    }
    for name in [WORDS[family], BIAS] {
        if let Some(array) = state.get_mut(name) {
            cut_rows(array, 0, symbols);
        }
    }
    if symbols < network.symbols {
        lines.push(format!(
            "vectors of {} symbols left out that its tokenizer doesn't have",
            network.symbols - symbols
        ));
    }
    if family == 0 {
        let kinds = state.entry(KINDS.to_owned()).or_insert_with(|| Array {
            shape: vec![0, network.width],
            values: Vec::new(),
        });
        two_kinds(kinds, network.width, &mut lines);
    }
    Ok((state, lines))
}

/// Vectors for the first and the second of a pair; networks that know no pairs have fewer: one that all texts share, or none.
fn two_kinds(kinds: &mut Array, width: usize, lines: &mut Vec<String>) {
    let rows = kinds.shape.first().copied().unwrap_or(0);
    if rows > 2 {
        lines.push(format!(
            "vectors of {} more kinds of text left out",
            rows - 2
        ));
    }
    cut_rows(kinds, 0, 2);
    if kinds.shape.get(1) == Some(&width) {
        kinds.shape[0] = 2;
        if rows == 1 {
            kinds.values.extend_from_within(..);
        }
        kinds.values.resize(2 * width, 0.0);
    }
}

/// Keeps `count` rows from one on, or as many as there are.
fn cut_rows(array: &mut Array, from: usize, count: usize) {
    let Some(&rows) = array.shape.first() else {
        return;
    };
    let width = array.values.len() / rows.max(1);
    let from = from.min(rows);
    let to = from.saturating_add(count).min(rows);
    array.values.truncate(to * width);
    array.values.drain(..from * width);
    array.shape[0] = to - from;
}

/// Turns a matrix over.
pub(super) fn turn(array: &mut Array) {
    let [rows, columns] = array.shape[..] else {
        return;
    };
    let mut values = Vec::with_capacity(array.values.len());
    for column in 0..columns {
        values.extend((0..rows).map(|row| array.values[row * columns + column]));
    }
    array.values = values;
    array.shape = vec![columns, rows];
}

/// The words' vectors and those of places among arrays of one family or the other.
pub(super) fn tables(state: &State) -> Option<[&Array; 2]> {
    (0..2).find_map(|family| Some([state.get(WORDS[family])?, state.get(PLACES[family])?]))
}
