//! What a `config.json` says of a network.

use serde_json::Value;

use super::Network;
use super::names::Layout;
use crate::error::{Error, Result};
use crate::modality::text::encoder::{Family, Gelu};

/// The types of networks that are known, as `model_type` calls them.
const TYPES: [(&str, Layout); 6] = [
    ("bert", Layout::Bert),
    ("roberta", Layout::Roberta),
    ("xlm-roberta", Layout::Roberta),
    ("camembert", Layout::Roberta),
    ("distilbert", Layout::DistilBert),
    ("gpt2", Layout::Gpt2),
];
/// Bounds of sizes, so that nothing is allocated by a number that somebody made up.
const SYMBOLS: usize = 1 << 24;
const WIDTH: usize = 1 << 16;
const DEPTH: usize = 1000;
const PLACES: usize = 1 << 16;

/// A `config.json` of a network.
pub(super) struct Config {
    json: Value,
    kind: String,
}

impl Config {
    /// `None` where it isn't one of transformers.
    pub(super) fn of(json: Value) -> Option<Self> {
        let kind = json.get("model_type")?.as_str()?.to_owned();
        Some(Self { json, kind })
    }

    /// The network that it describes.
    pub(super) fn network(&self) -> Result<Network> {
        let layout = TYPES.iter().find(|(name, _)| *name == self.kind);
        let Some(&(_, layout)) = layout else {
            let known: Vec<&str> = TYPES.iter().map(|(name, _)| *name).collect();
            return Err(
                Error::data(format!("a network of the type `{}`", self.kind)).expected(format!(
                    "one of {}, whose networks can be built here",
                    known.join(", ")
                )),
            );
        };
        self.must("is_decoder", Value::Bool(false))?;
        self.must("add_cross_attention", Value::Bool(false))?;
        let before = match layout {
            // Places are counted from the one after that of padding.
            Layout::Roberta => 1 + self.number_or(&["pad_token_id"], PLACES, 1)?,
            _ => 0,
        };
        let width = self.number(&["hidden_size", "n_embd", "dim"], WIDTH)?;
        let all = self.number(&["max_position_embeddings", "n_positions"], PLACES)?;
        let network = Network {
            layout,
            name: match layout {
                Layout::Gpt2 => Family::Gpt2,
                _ => Family::Bert,
            },
            symbols: self.number(&["vocab_size"], SYMBOLS)?,
            width,
            depth: self.number(&["num_hidden_layers", "n_layer", "n_layers"], DEPTH)?,
            heads: self.number(&["num_attention_heads", "n_head", "n_heads"], WIDTH)?,
            inner: self.number_or(
                &["intermediate_size", "n_inner", "hidden_dim"],
                4 * WIDTH,
                4 * width,
            )?,
            places: all.saturating_sub(before),
            unused_places: before,
            gelu: self.gelu()?,
            epsilon: match layout {
                Layout::Gpt2 => self.part(&["layer_norm_epsilon"], 1e-5)?,
                _ => self.part(&["layer_norm_eps"], 1e-12)?,
            },
            dropout: self.part(&["hidden_dropout_prob", "resid_pdrop", "dropout"], 0.0)?,
        };
        match layout {
            Layout::Gpt2 => {
                self.must("scale_attn_weights", Value::Bool(true))?;
                self.must("scale_attn_by_inverse_layer_idx", Value::Bool(false))?;
            }
            _ => self.must("position_embedding_type", "absolute".into())?,
        }
        if network.places < 8 {
            return Err(
                Error::data(format!("a network of {} places", network.places))
                    .expected("at least 8"),
            );
        }
        Ok(network)
    }

    fn gelu(&self) -> Result<Gelu> {
        let found = ["hidden_act", "activation_function", "activation"]
            .iter()
            .find_map(|name| self.json.get(name)?.as_str());
        match found {
            None | Some("gelu" | "gelu_python") => Ok(Gelu::Exact),
            Some("gelu_new" | "gelu_fast" | "gelu_pytorch_tanh") => Ok(Gelu::Tanh),
            Some(other) => Err(Error::data(format!("the activation `{other}`"))
                .expected("gelu or gelu_new, which networks here can have")),
        }
    }

    /// Refuses a choice that networks here don't have; what isn't said is as it is expected.
    fn must(&self, name: &str, expected: Value) -> Result<()> {
        match self.json.get(name) {
            None | Some(Value::Null) => Ok(()),
            Some(found) if *found == expected => Ok(()),
            Some(found) => Err(Error::data(format!("{name} = {found}"))
                .expected(format!("{expected}, as networks here have it"))),
        }
    }

    /// A size, under the first of some names.
    fn number(&self, names: &[&str], most: usize) -> Result<usize> {
        self.size(names, most)?
            .ok_or_else(|| Error::data(format!("no {}", names[0])).expected(format!("1 to {most}")))
    }

    fn number_or(&self, names: &[&str], most: usize, else_: usize) -> Result<usize> {
        Ok(self.size(names, most)?.unwrap_or(else_))
    }

    fn size(&self, names: &[&str], most: usize) -> Result<Option<usize>> {
        let Some((name, value)) = self.first(names) else {
            return Ok(None);
        };
        let size = value.as_u64().and_then(|size| usize::try_from(size).ok());
        match size.filter(|size| (1..=most).contains(size)) {
            Some(size) => Ok(Some(size)),
            None => Err(Error::data(format!("{name} = {value}")).expected(format!("1 to {most}"))),
        }
    }

    /// A number from 0 to 0.9.
    fn part(&self, names: &[&str], else_: f64) -> Result<f64> {
        let Some((name, value)) = self.first(names) else {
            return Ok(else_);
        };
        let part = value.as_f64().filter(|part| (0.0..=0.9).contains(part));
        part.ok_or_else(|| {
            Error::data(format!("{name} = {value}")).expected("a number from 0 to 0.9")
        })
    }

    fn first<'a>(&'a self, names: &[&'a str]) -> Option<(&'a str, &'a Value)> {
        let named = |&name: &&'a str| Some((name, self.json.get(name)?));
        let mut named = names.iter().filter_map(named);
        named.find(|(_, value)| !value.is_null())
    }
}
