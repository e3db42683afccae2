//! Networks that were published as a folder of Hugging Face's transformers or of sentence-transformers: `config.json`,
//! `model.safetensors`, `tokenizer.json` or `vocab.txt`. They are taken over ([`published`]) and written
//! ([`publication`]).
//!
//! Layouts: those of `BertModel` and `BertForMaskedLM`, of RoBERTa and DistilBERT, which are the same network under other
//! names, and of `GPT2LMHeadModel`.

mod config;
mod names;
mod sentences;
#[cfg(test)]
mod tests;
mod write;

use std::path::{Path, PathBuf};

use serde::Serialize;
use toml::Value;

use self::config::Config;
use self::names::{Layout, read};
use self::sentences::Sentences;
use super::encoder::{Family, Gelu};
use super::reading::TextReading;
use super::vocabulary::Words;
use super::{TextMeasurements, Texts, VOCABULARY};
use crate::error::{AtPath, Error, Result};
use crate::modality::{Modality, Need, Published, Setting};
use crate::run::read_header;

pub(super) use write::publication;

/// The file that says what the network is.
const CONFIG: &str = "config.json";
/// The file of its numbers.
const WEIGHTS: &str = "model.safetensors";
/// The largest of the files that are read beside the weights, in bytes.
const LARGEST: u64 = 256 << 20;
/// How long views are where nobody says it, at most: those of networks with fewer places are shorter.
const USUAL: usize = 128;
/// How long views can be.
const LENGTHS: [usize; 2] = [8, 8192];

/// What a folder of published weights settles; `None` where it holds none.
///
/// # Errors
/// When the network is of a type that isn't known, one of its files is missing or damaged, or they don't fit each other.
pub(super) fn published(folder: &Path) -> Result<Option<Published>> {
    let path = folder.join(CONFIG);
    if !path.is_file() {
        return Ok(None);
    }
    let Some(config) = Config::of(json(&path)?) else {
        return Ok(None);
    };
    let network = config.network().map_err(|error| error.at(&path))?;
    let sentences = Sentences::of(folder)?;
    let (tokenizer, reading) = tokenizer(folder, network.layout)?;
    let words = Words::learn(&reading, std::iter::empty())?;
    let weights = weights(folder)?;
    let header = read_header(&weights)?;
    let held = network.held(&header.shapes);
    let held = held.map_err(|error| error.at(&weights))?;
    let size = words.vocabulary().size;
    if size > network.symbols {
        return Err(Error::data(format!(
            "a tokenizer of {size} symbols beside weights that have vectors for {}",
            network.symbols
        ))
        .at(&tokenizer)
        .expected("a symbol for each vector")
        .mend("bring the tokenizer back that the weights were published with"));
    }
    sentences
        .fits(&words, network.name.is_causal())
        .map_err(|error| error.at(&tokenizer))?;

    let number = |count: usize| Value::Integer(i64::try_from(count).unwrap_or(i64::MAX));
    let mut fixed: Vec<Setting> = vec![
        ("encoder.name", value(&network.name)?),
        ("encoder.width", number(network.width)),
        ("encoder.depth", number(network.depth)),
        ("encoder.heads", number(network.heads)),
        ("encoder.inner", number(network.inner)),
        ("encoder.positions", number(network.places)),
        ("encoder.gelu", value(&network.gelu)?),
        ("encoder.epsilon", Value::Float(network.epsilon)),
        ("data.reading.tokenizer", reading.tokenizer.clone().into()),
    ];
    if reading.lowercase != TextReading::default().lowercase {
        fixed.push(("data.reading.lowercase", reading.lowercase.into()));
    }
    let mut open: Vec<Setting> = vec![
        ("encoder.dropout", Value::Float(network.dropout)),
        ("encoder.pooling", value(&sentences.pooling)?),
        ("encoder.normalize", sentences.normalize.into()),
    ];
    let mut alone: Vec<Setting> = vec![("encoder.head", held.head.into())];
    let [least, most] = LENGTHS;
    let longest = network.places.min(most);
    let length = sentences
        .length
        .map_or(longest, |length| length.clamp(least, longest));
    let learned_with = sentences.length.is_some() || longest < USUAL;
    let list = if learned_with { &mut open } else { &mut alone };
    list.push(("views.length", number(length)));

    let measured = TextMeasurements {
        symbols: size,
        length,
        words: None,
    };
    Ok(Some(Published {
        kind: Texts::NAME,
        need: match (network.name.is_causal(), held.head) {
            (true, _) => Need::Next,
            (_, true) => Need::Replaced,
            _ => Need::Vectors,
        },
        fixed,
        open,
        alone,
        measured: value(&measured)?,
        files: vec![(VOCABULARY, words.json())],
        weights: Box::new(move || read(&weights, &network, size)),
    }))
}

/// What a `config.json` says of a network, checked.
#[derive(Debug, Clone)]
struct Network {
    layout: Layout,
    name: Family,
    /// Symbols that there are vectors for.
    symbols: usize,
    width: usize,
    depth: usize,
    heads: usize,
    inner: usize,
    /// Places that there are vectors for, without those that stand before the first.
    places: usize,
    /// Vectors of places before the first, which are never used.
    unused_places: usize,
    gelu: Gelu,
    epsilon: f64,
    dropout: f64,
}

/// The tokenizer of a folder, and how to read it.
fn tokenizer(folder: &Path, layout: Layout) -> Result<(PathBuf, TextReading)> {
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_path_buf());
    let read = |path: PathBuf, lowercase| -> Result<(PathBuf, TextReading)> {
        let about = std::fs::metadata(&path).at_path(&path)?;
        if about.len() > LARGEST {
            return Err(too_large(about.len()).at(&path));
        }
        let text = path.to_str().ok_or_else(|| {
            Error::data("a path that is no UTF-8")
                .at(&path)
                .expected("a path that a recipe can hold")
                .mend("rename it")
        })?;
        let reading = TextReading {
            tokenizer: text.to_owned(),
            lowercase,
            ..TextReading::default()
        };
        Ok((path, reading))
    };
    let whole = folder.join(VOCABULARY);
    if whole.is_file() {
        return read(whole, TextReading::default().lowercase);
    }
    let list = folder.join("vocab.txt");
    if list.is_file() && layout.has_word_pieces() {
        let settings = folder.join("tokenizer_config.json");
        let settings = match settings.is_file() {
            true => serde_json::from_slice(&contents(&settings)?).unwrap_or_default(),
            false => serde_json::Value::Null,
        };
        let lowercase = settings["do_lower_case"].as_bool().unwrap_or(true);
        return read(list, lowercase);
    }
    Err(Error::data("no tokenizer beside the weights")
        .at(&folder)
        .expected("tokenizer.json, or a vocab.txt of word pieces")
        .mend(
            "write it in Python: transformers.AutoTokenizer.from_pretrained(folder).save_pretrained(folder)",
        ))
}

/// The one file of weights of a folder.
fn weights(folder: &Path) -> Result<PathBuf> {
    let path = folder.join(WEIGHTS);
    if path.is_file() {
        return Ok(path);
    }
    let there = |name: &str| folder.join(name).is_file();
    let found = if there("model.safetensors.index.json") {
        "weights in several files"
    } else if there("pytorch_model.bin") {
        "weights as a Python pickle, which can run code when it is read"
    } else {
        "a config.json without weights"
    };
    Err(Error::data(found).at(folder).expected(WEIGHTS).mend(
        "write it in Python: transformers.AutoModel.from_pretrained(folder).save_pretrained(other, \
         max_shard_size=\"100GB\")",
    ))
}

fn value(of: &impl Serialize) -> Result<Value> {
    Value::try_from(of)
        .map_err(|error| Error::recipe("a setting that TOML can't hold").because(error))
}

/// A small file, whole.
fn contents(path: &Path) -> Result<Vec<u8>> {
    let about = std::fs::metadata(path).at_path(path)?;
    if about.len() > LARGEST {
        return Err(too_large(about.len()).at(path));
    }
    std::fs::read(path).at_path(path)
}

fn too_large(bytes: u64) -> Error {
    Error::data(format!("{bytes} bytes")).expected(format!("at most {LARGEST}"))
}

/// A file as JSON.
fn json(path: &Path) -> Result<serde_json::Value> {
    serde_json::from_slice(&contents(path)?)
        .map_err(|error| Error::data("no JSON").at(path).because(error))
}
