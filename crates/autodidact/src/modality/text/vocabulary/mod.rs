//! From text to symbols and back: tokenizers of the `tokenizers` crate, learned from the data or loaded.

mod learn;
mod load;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

use rayon::prelude::*;
use tokenizers::Tokenizer;
use tokenizers::models::ModelWrapper;

use crate::error::{Error, Result};
use crate::modality::source::guard::guarded;
use crate::modality::text::letters;
use crate::modality::{Seam, Vocabulary};

/// The symbols that stand for no text, as BERT calls them, in the order of their numbers.
const SPECIAL: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
/// Text that is turned into symbols at once, in bytes: the crate keeps many notes on each.
const CHUNK: usize = 1 << 16;

/// A tokenizer with what the rest needs to know of it.
#[derive(Debug, Clone)]
pub struct Words {
    tokenizer: Tokenizer,
    json: Arc<Vec<u8>>,
    size: usize,
    /// Symbols that stand for no text, ascending.
    special: Arc<Vec<u32>>,
    seams: Arc<Vec<Seam>>,
    /// Stands for what the tokenizer has no symbol for.
    unknown: Option<u32>,
    /// Fills rows that are shorter.
    pub padding: u32,
    /// Stands before a document.
    pub begin: u32,
    /// Stands after a document, and between documents.
    pub end: u32,
    /// Whether two ends stand between the texts of a pair, as RoBERTa has it.
    pub parts_twice: bool,
    /// Stands for a hidden symbol.
    pub mask: u32,
}

impl PartialEq for Words {
    fn eq(&self, other: &Self) -> bool {
        self.json == other.json
    }
}

impl Words {
    /// The contents of its `tokenizer.json`.
    pub fn json(&self) -> Arc<Vec<u8>> {
        Arc::clone(&self.json)
    }

    /// The symbols there are, without what they are made of, which takes a while to say ([`Words::parts`]).
    pub fn vocabulary(&self) -> Vocabulary {
        Vocabulary {
            size: self.size,
            mask: self.mask,
            special: Arc::clone(&self.special),
            seams: Arc::clone(&self.seams),
            parts: Arc::default(),
        }
    }

    /// What each symbol is made of: [`Vocabulary::parts`].
    pub fn parts(&self) -> Vec<Vec<u32>> {
        letters::parts(&self.tokenizer, self.size, &self.special)
    }

    /// The symbols of a text, without any that stand for none.
    ///
    /// # Errors
    /// When the tokenizer has no symbol for a part of it.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let chunks: Vec<&str> = chunks(text).collect();
        let encode = |chunk: &&str| self.encode_chunk(chunk);
        let ids: Result<Vec<Vec<u32>>> = chunks.par_iter().map(encode).collect();
        ids.map(|ids| ids.concat())
    }

    /// The symbols of a text, and how many of its bytes the tokenizer has symbols for: one that stands for what is unknown
    /// tells nothing of the many bytes that it may cover.
    ///
    /// # Errors
    /// As [`Words::encode`].
    pub fn encode_known(&self, text: &str) -> Result<(Vec<u32>, usize)> {
        let chunks: Vec<&str> = chunks(text).collect();
        let encode = |chunk: &&str| -> Result<(Vec<u32>, usize)> {
            let ids = self.encode_chunk(chunk)?;
            // Where symbols come from takes longer to find out, and is seldom asked for.
            let unknown = match self.unknown.is_some_and(|unknown| ids.contains(&unknown)) {
                true => self.unknown_bytes(chunk)?,
                false => 0,
            };
            Ok((ids, chunk.len().saturating_sub(unknown)))
        };
        let encoded: Result<Vec<(Vec<u32>, usize)>> = chunks.par_iter().map(encode).collect();
        let (mut all, mut known) = (Vec::new(), 0);
        for (ids, bytes) in encoded? {
            all.extend(ids);
            known += bytes;
        }
        Ok((all, known))
    }

    fn encode_chunk(&self, chunk: &str) -> Result<Vec<u32>> {
        let encoded = tried(|| self.tokenizer.encode_fast(chunk, false)).map_err(unfit)?;
        Ok(encoded.get_ids().to_vec())
    }

    /// Bytes of a text that the tokenizer has no symbol for.
    fn unknown_bytes(&self, chunk: &str) -> Result<usize> {
        let encoded = tried(|| self.tokenizer.encode(chunk, false)).map_err(unfit)?;
        let symbols = encoded.get_ids().iter().zip(encoded.get_offsets());
        let unknown = symbols.filter(|(id, _)| Some(**id) == self.unknown);
        Ok(unknown
            .map(|(_, (from, to))| to.saturating_sub(*from))
            .sum())
    }

    /// The symbols of a short text with those that the tokenizer itself puts around it.
    ///
    /// # Errors
    /// As [`Words::encode`].
    pub fn encode_framed(&self, text: &str) -> Result<Vec<u32>> {
        let encoded = tried(|| self.tokenizer.encode_fast(text, true)).map_err(unfit)?;
        Ok(encoded.get_ids().to_vec())
    }

    /// What the symbol is called that stands for what the tokenizer has none for, if it has such a one.
    pub fn unknown(&self) -> Option<String> {
        unknown_name(&self.tokenizer)
    }

    /// The text of symbols.
    pub fn decode(&self, ids: &[u32]) -> String {
        tried(|| self.tokenizer.decode(ids, true)).unwrap_or_default()
    }

    /// The text of symbols in which hidden ones stand by their name.
    pub fn spell(&self, ids: &[u32]) -> String {
        let said = |id: &u32| *id == self.mask || self.special.binary_search(id).is_err();
        let ids: Vec<u32> = ids.iter().copied().filter(said).collect();
        tried(|| self.tokenizer.decode(&ids, false)).unwrap_or_default()
    }

    /// A symbol as it is called.
    pub fn name(&self, id: u32) -> String {
        let name = self.tokenizer.id_to_token(id);
        name.unwrap_or_else(|| format!("<{id}>"))
    }

    /// Numbers of some symbols by their names, for tests and messages.
    pub fn names(&self) -> BTreeMap<String, u32> {
        self.tokenizer.get_vocab(true).into_iter().collect()
    }
}

fn unfit(error: tokenizers::Error) -> Error {
    Error::data("text that the tokenizer can't take in").because(error)
}

/// What the symbol for unknown text is called.
fn unknown_name(tokenizer: &Tokenizer) -> Option<String> {
    match tokenizer.get_model() {
        ModelWrapper::WordPiece(model) => Some(model.unk_token.clone()),
        ModelWrapper::WordLevel(model) => Some(model.unk_token.clone()),
        ModelWrapper::BPE(model) => model.unk_token.clone(),
        ModelWrapper::Unigram(_) => {
            let known = |name: &&str| tokenizer.token_to_id(name).is_some();
            let usual = ["[UNK]", "<unk>"].into_iter().find(known);
            usual.map(str::to_owned)
        }
    }
}

/// Does what calls the crate. It means to refuse what is damaged, and panics at some tokenizers that were made to harm.
fn tried<T>(work: impl FnOnce() -> tokenizers::Result<T>) -> tokenizers::Result<T> {
    guarded(work).unwrap_or_else(|| Err("its parts don't fit each other".into()))
}

/// A long text in pieces that end with a line, or else with a word.
fn chunks(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut end = rest.len();
        if end > CHUNK {
            end = CHUNK;
            while !rest.is_char_boundary(end) {
                end -= 1;
            }
            // The space belongs to the word after it, as byte-level tokenizers have it.
            let head = &rest[..end];
            end = match (head.rfind('\n'), head.rfind(' ')) {
                (Some(line), _) if line > 0 => line,
                (_, Some(word)) if word > 0 => word,
                _ => end,
            };
        }
        let (chunk, after) = rest.split_at(end);
        rest = after;
        Some(chunk)
    })
}
