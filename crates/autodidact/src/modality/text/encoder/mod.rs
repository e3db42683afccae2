//! Networks for text.

mod bert;
mod gpt2;
mod modern;
mod pass;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use autodidact_kernels::{Activation, mean_pool};
use burn::module::{Module, Param};
use burn::tensor::{Bool, Int, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::STEP;
use super::batch::TextBatch;
use crate::error::{Error, Result};
use crate::layers::Init;
use crate::layers::head::normalize;
use crate::layers::state::State;
use crate::modality::{
    Abilities, Encoder, Maskable, Need, Seam, Symbolic, Symbols, Tokens, Vocabulary,
};

pub use bert::Bert;
pub use gpt2::Gpt2;
pub use modern::Modern;
use pass::{Cache, Pass};

/// The recipe's `[encoder]` for text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TextNetwork {
    /// `bert`, `modern`, `gpt2` or `modern_causal`.
    pub name: Family,
    /// Width of a token; a multiple of twice the heads.
    pub width: usize,
    /// Blocks.
    pub depth: usize,
    /// Heads of attention.
    pub heads: usize,
    /// Width inside a block; 0 takes four times the width, and for gated blocks two thirds of that.
    pub inner: usize,
    /// The part of the values that is dropped while learning, 0 to 0.9.
    pub dropout: f64,
    /// Whether it has the part that says which symbol was hidden (`bert`, `modern`).
    pub head: bool,
    /// Places that there are vectors for (`bert`, `gpt2`); 0 takes as many as a view is long.
    pub positions: usize,
    /// The GELU inside blocks: `exact`, or `tanh`, the approximation that GPT-2 was published with (`bert`, `gpt2`).
    pub gelu: Gelu,
    /// What is added to variances (`bert`, `gpt2`), 0 to 0.1; 0 takes what was published with the network.
    pub epsilon: f64,
    /// What the vector of a text is: `mean` of its tokens, or the `first` of them.
    pub pooling: Pooling,
    /// Whether vectors are brought to length 1.
    pub normalize: bool,
}

impl Default for TextNetwork {
    fn default() -> Self {
        Self {
            name: Family::Bert,
            width: 128,
            depth: 4,
            heads: 4,
            inner: 0,
            dropout: 0.0,
            head: false,
            positions: 0,
            gelu: Gelu::Exact,
            epsilon: 0.0,
            pooling: Pooling::Mean,
            normalize: false,
        }
    }
}

/// Which form of the GELU.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Gelu {
    /// By the error function.
    Exact,
    /// By the hyperbolic tangent.
    Tanh,
}

impl Gelu {
    fn activation(self) -> Activation {
        match self {
            Self::Exact => Activation::Gelu,
            Self::Tanh => Activation::GeluTanh,
        }
    }
}

/// What of its tokens is the vector of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// The mean of those that are no padding, as sentence-transformers has it.
    Mean,
    /// The first, which stands for the whole in networks that were trained so.
    First,
}

/// How a network is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// Devlin et al. 2018, as published.
    Bert,
    /// Pre-norm, rotary positions, gated, no biases.
    Modern,
    /// Radford et al. 2019.
    Gpt2,
    /// As `modern`, predicting what comes next.
    ModernCausal,
}

impl Family {
    /// Whether symbols see only what came before them.
    pub fn is_causal(self) -> bool {
        matches!(self, Self::Gpt2 | Self::ModernCausal)
    }

    /// Whether there is a vector for each place, and so an end of them.
    pub fn has_places(self) -> bool {
        matches!(self, Self::Bert | Self::Gpt2)
    }
}

impl TextNetwork {
    /// What suits a pretext task.
    pub(super) fn suiting(need: Need) -> Self {
        Self {
            name: match need {
                Need::Next => Family::Gpt2,
                _ => Family::Bert,
            },
            head: need == Need::Replaced,
            ..Self::default()
        }
    }

    /// What the network can do.
    pub fn abilities(&self) -> Abilities {
        Abilities {
            restores: !self.name.is_causal() && self.head,
            compares: !self.name.is_causal(),
            predicts: self.name.is_causal(),
            pairs: true,
            ..Abilities::default()
        }
    }

    /// Refuses what can't be.
    pub(super) fn check(&self) -> Result<()> {
        let (width, heads) = (self.width, self.heads);
        if self.depth == 0 || self.depth > 1000 {
            return Err(
                Error::recipe(format!("encoder.depth = {}", self.depth)).expected("1 to 1000")
            );
        }
        if heads == 0 || width == 0 || width > 1 << 16 || !width.is_multiple_of(2 * heads) {
            return Err(
                Error::recipe(format!("encoder.width = {width} for {heads} heads"))
                    .expected("a multiple of twice the heads"),
            );
        }
        if !(0.0..=0.9).contains(&self.dropout) {
            return Err(Error::recipe(format!("encoder.dropout = {}", self.dropout))
                .expected("a number from 0 to 0.9"));
        }
        if !(0.0..=0.1).contains(&self.epsilon) {
            return Err(Error::recipe(format!("encoder.epsilon = {}", self.epsilon))
                .expected("a number from 0 to 0.1"));
        }
        if self.positions > 1 << 16 {
            return Err(
                Error::recipe(format!("encoder.positions = {}", self.positions))
                    .expected("0 to 65536"),
            );
        }
        let published = Self::default();
        let others = [
            self.positions > 0,
            self.epsilon > 0.0,
            self.gelu != published.gelu,
        ];
        if !self.name.has_places() && others.contains(&true) {
            return Err(Error::recipe(
                "encoder.positions, encoder.epsilon or encoder.gelu for a network that has no such choice",
            )
            .expected("bert or gpt2 with them")
            .mend("leave them out"));
        }
        Ok(())
    }

    fn epsilon_or(&self, published: f64) -> f64 {
        match self.epsilon {
            0.0 => published,
            epsilon => epsilon,
        }
    }

    /// Builds the network for a vocabulary and at most `length` symbols at once.
    pub(super) fn build(
        &self,
        vocabulary: &Vocabulary,
        length: usize,
        init: &mut Init,
    ) -> TextEncoder {
        let inner = match (self.inner, self.name) {
            (0, Family::Modern | Family::ModernCausal) => (self.width * 8 / 3).next_multiple_of(16),
            (0, _) => 4 * self.width,
            (inner, _) => inner,
        };
        let sizes = [self.width, self.depth, self.heads, inner];
        let places = match self.positions {
            0 => length,
            positions => positions,
        };
        let about = About {
            causal: self.name.is_causal(),
            dropout: self.dropout,
            symbols: vocabulary.size,
            mask: vocabulary.mask as usize,
            special: vocabulary.special.iter().map(|&id| id as usize).collect(),
            seams: Arc::clone(&vocabulary.seams),
            settings: self.clone(),
            length,
        };
        match self.name {
            Family::Bert => TextEncoder::Bert(Bert::new(about, places, sizes, self.head, init)),
            Family::Gpt2 => TextEncoder::Gpt2(Gpt2::new(about, places, sizes, init)),
            Family::Modern | Family::ModernCausal => {
                TextEncoder::Modern(Modern::new(about, sizes, self.head, init))
            }
        }
    }
}

/// A vector for each of some symbols or places, under the name that PyTorch's embeddings have.
#[derive(Module, Debug)]
struct Table {
    /// `[rows, dim]`.
    weight: Param<Tensor<2>>,
}

/// A network for text.
#[derive(Module, Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "there is one encoder in a program, and Burn's derive wants it unboxed"
)]
pub enum TextEncoder {
    /// As BERT was published.
    Bert(Bert),
    /// As they are built today.
    Modern(Modern),
    /// As GPT-2 was published.
    Gpt2(Gpt2),
}

/// What is no weight of a network.
#[derive(Module, Debug)]
struct About {
    causal: bool,
    dropout: f64,
    /// Symbols there are.
    symbols: usize,
    /// The one that stands for a hidden one.
    mask: usize,
    /// Those that stand for no text.
    special: Vec<usize>,
    /// How they join to words.
    #[module(skip)]
    seams: Arc<Vec<Seam>>,
    /// What it was built by.
    #[module(skip)]
    settings: TextNetwork,
    /// Symbols at once, at most.
    length: usize,
}

impl Encoder for TextEncoder {
    type Batch = TextBatch;

    fn tokens(&self, batch: &TextBatch) -> Tokens {
        let about = self.about();
        let pass = Pass::new(batch, about.causal, about.dropout);
        let ids = batch.ids.clone();
        let values = match self {
            Self::Bert(network) => network.tokens(ids, &pass),
            Self::Modern(network) => network.tokens(ids, &pass),
            Self::Gpt2(network) => network.tokens(ids, &pass),
        };
        let documents = &batch.symbols.documents;
        let valid = documents.contains(&0).then(|| {
            let valid: Vec<bool> = documents.iter().map(|&document| document > 0).collect();
            let data = TensorData::new(valid, batch.ids.dims());
            Tensor::<2, Bool>::from_data(data, &batch.ids.device())
        });
        Tokens { values, valid }
    }

    fn pool(&self, tokens: Tokens) -> Tensor<2> {
        let settings = &self.about().settings;
        let pooled = match settings.pooling {
            Pooling::Mean => mean_of_valid(tokens),
            Pooling::First => tokens.values.narrow(1, 0, 1).squeeze_dim(1),
        };
        match settings.normalize {
            true => normalize(pooled),
            false => pooled,
        }
    }

    fn dim(&self) -> usize {
        match self {
            Self::Bert(network) => network.dim(),
            Self::Modern(network) => network.dim(),
            Self::Gpt2(network) => network.dim(),
        }
    }

    fn stages(&self) -> usize {
        let depth = match self {
            Self::Bert(network) => network.depth(),
            Self::Modern(network) => network.depth(),
            Self::Gpt2(network) => network.depth(),
        };
        depth + 1
    }

    /// The symbols' vectors, then block by block; what comes after the last belongs to it.
    fn stage(&self, parameter: &str) -> usize {
        let mut parts = parameter.split('.');
        let embeds = ["embeddings", "wte", "wpe"];
        let block = parts.clone().find_map(|part| part.parse::<usize>().ok());
        match block {
            Some(block) => (block + 1).min(self.stages() - 1),
            None if parts.any(|part| embeds.contains(&part)) => 0,
            None => self.stages() - 1,
        }
    }

    fn adopt(&self, state: &mut State) -> Result<Vec<String>> {
        let own = crate::layers::state::state_of(self);
        let strange = |name: &String| {
            let head = ["cls.", "head.", "bert.pooler."];
            !own.contains_key(name) && head.iter().any(|prefix| name.starts_with(prefix))
        };
        let left: Vec<String> = state.keys().filter(|name| strange(name)).cloned().collect();
        for name in &left {
            state.remove(name);
        }
        let mut lines = Vec::new();
        if let Some(first) = left.first() {
            let count = left.len();
            lines.push(format!(
                "{count} arrays of its head left out, such as {first}"
            ));
        }
        // A network that was published without its head can learn a new one.
        let of_head = |name: &String| name.starts_with("cls.") || name.starts_with("head.");
        if !state.keys().any(of_head) {
            let missing = own.into_iter().filter(|(name, _)| of_head(name));
            let before = state.len();
            state.extend(missing);
            if state.len() > before {
                lines.push(
                    "no head in it: what says which symbol was hidden is learned anew".to_owned(),
                );
            }
        }
        Ok(lines)
    }

    fn symbolic(&self) -> Option<&dyn Symbolic<TextBatch>> {
        Some(self)
    }
}

impl Maskable for TextEncoder {
    /// As deep, with heads as wide as they were as long as there are several.
    fn narrower(&self, times: usize, init: &mut Init) -> Result<Self> {
        let about = self.about();
        let of = &about.settings;
        let heads = (of.heads / times).max(1);
        let settings = TextNetwork {
            width: (of.width / times).max(1).next_multiple_of(2 * heads),
            heads,
            inner: of.inner.div_ceil(times),
            head: true,
            ..of.clone()
        };
        settings.check()?;
        Ok(settings.build(&self.vocabulary(), about.length, init))
    }
}

impl Symbolic<TextBatch> for TextEncoder {
    fn vocabulary(&self) -> Vocabulary {
        Vocabulary {
            size: self.about().symbols,
            mask: self.about().mask as u32,
            special: Arc::new(self.about().special.iter().map(|&id| id as u32).collect()),
            seams: Arc::clone(&self.about().seams),
        }
    }

    fn symbols<'a>(&self, batch: &'a TextBatch) -> &'a Arc<Symbols> {
        &batch.symbols
    }

    fn replaced(&self, batch: &TextBatch, ids: Vec<u32>) -> TextBatch {
        batch.replaced(ids)
    }

    fn kept(&self, batch: &TextBatch, keep: &[bool]) -> TextBatch {
        // Nobody sees padding, so that any symbol can stand for it.
        let left = |symbols: &Symbols| symbols.kept(keep, 0, STEP);
        let (dropout, rows, device) = (batch.dropout, batch.rows.clone(), batch.ids.device());
        let kept = TextBatch::new(left(&batch.symbols), dropout, rows, &device);
        let Some(kinds) = &batch.kinds else {
            return kept;
        };
        // Which of two texts a symbol belongs to goes along with it.
        let kinds = Symbols {
            ids: kinds.to_data().iter::<u32>().collect(),
            ..(*batch.symbols).clone()
        };
        kept.of_pairs(&left(&kinds).ids, batch.own.as_deref().cloned())
    }

    fn scores(&self, tokens: Tensor<3>, places: &[usize]) -> Tensor<2> {
        let [batch, length, dim] = tokens.dims();
        let tokens = tokens.reshape([batch * length, dim]);
        if places.len() == batch * length {
            return self.score(tokens);
        }
        let numbers: Vec<i64> = places.iter().map(|&place| place as i64).collect();
        let data = TensorData::new(numbers, [places.len()]);
        let places = Tensor::<1, Int>::from_data(data, &tokens.device());
        self.score(tokens.select(0, places))
    }
}

impl TextEncoder {
    fn about(&self) -> &About {
        match self {
            Self::Bert(network) => &network.about,
            Self::Modern(network) => &network.about,
            Self::Gpt2(network) => &network.about,
        }
    }

    fn score(&self, tokens: Tensor<2>) -> Tensor<2> {
        match self {
            Self::Bert(network) => network.scores(tokens),
            Self::Modern(network) => network.scores(tokens),
            Self::Gpt2(network) => network.scores(tokens),
        }
    }

    /// Starts reading symbols one after the other.
    ///
    /// # Errors
    /// When the network doesn't predict what comes next.
    pub(super) fn reader(&self) -> Result<Reader<'_>> {
        if !self.about().causal {
            return Err(Error::recipe("a network that sees both sides")
                .expected("one that predicts what comes next: gpt2 or modern_causal"));
        }
        Ok(Reader {
            encoder: self,
            cache: Cache::default(),
        })
    }
}

/// The mean of the tokens that are no padding.
fn mean_of_valid(tokens: Tokens) -> Tensor<2> {
    let Some(valid) = tokens.valid else {
        return mean_pool(tokens.values);
    };
    let weights = valid.float(); // [batch, tokens]
    let count = weights.clone().sum_dim(1).clamp_min(1.0); // [batch, 1]
    let weights = weights.unsqueeze_dim::<3>(2);
    (tokens.values * weights).sum_dim(1).squeeze_dim::<2>(1) / count
}

/// A network that reads symbols one after the other and remembers what it read.
pub(super) struct Reader<'a> {
    encoder: &'a TextEncoder,
    cache: Cache,
}

impl Reader<'_> {
    /// Symbols read.
    pub(super) fn read(&self) -> usize {
        self.cache.read
    }

    /// Reads symbols and returns the scores of what comes after the last, `[1, vocabulary]`.
    pub(super) fn extend(&mut self, ids: Tensor<2, Int>) -> Tensor<2> {
        let tokens = match self.encoder {
            TextEncoder::Gpt2(network) => network.extend(ids, &mut self.cache),
            TextEncoder::Modern(network) => network.extend(ids, &mut self.cache),
            TextEncoder::Bert(_) => unreachable!("`TextEncoder::reader` refuses it"),
        };
        let last = tokens.dims()[1] - 1;
        self.encoder.score(tokens.narrow(1, last, 1).squeeze_dim(1))
    }
}
