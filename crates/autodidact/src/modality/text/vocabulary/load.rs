//! Vocabularies of others: a `tokenizer.json`, or a `vocab.txt` of word pieces, and what is to be known of them.

use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::Value;
use tokenizers::models::ModelWrapper;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::{AddedToken, Encoding, Tokenizer};

use super::learn::dress_as_bert;
use super::{SPECIAL, Words, tried, unknown_name};
use crate::error::{AtPath, Error, Result};
use crate::modality::text::reading::TextReading;
use crate::modality::text::seams::seams;

/// What loaded tokenizers call the symbols that stand for no text, the likeliest first.
const PADDING: [&str; 3] = ["[PAD]", "<pad>", "<|padding|>"];
const BEGIN: [&str; 3] = ["[CLS]", "<s>", "<|endoftext|>"];
const END: [&str; 4] = ["[SEP]", "</s>", "<|endoftext|>", "<eos>"];
const MASK: [&str; 3] = ["[MASK]", "<mask>", "<|mask|>"];
/// How high symbols of a loaded tokenizer may be numbered: tables of them are made, of so many rows.
const MOST: usize = 1 << 22;
/// Letters of a word that is looked for in pieces, at most: that takes the cube of their number. BERT has 100.
const LONGEST_WORD: u64 = 1000;
/// Bytes of a piece of a Unigram model, at most: they make a tree as deep, which is taken down step within step.
const LONGEST_PIECE: usize = 1024;

impl Words {
    /// Reads a `tokenizer.json`, or a `vocab.txt` of word pieces.
    pub(super) fn load(path: &Path, reading: &TextReading) -> Result<Self> {
        if !path.is_file() {
            return Err(Error::recipe(format!(
                "data.reading.tokenizer = \"{}\"",
                reading.tokenizer
            ))
            .expected("wordpiece, bpe, unigram, characters, or a tokenizer.json or vocab.txt"));
        }
        if path.extension().is_none_or(|ending| ending != "txt") {
            let contents = std::fs::read(path).at_path(path)?;
            return Self::parse(contents).map_err(|error| error.at(path));
        }
        let model = WordPiece::from_file(&reading.tokenizer)
            .unk_token(SPECIAL[1].to_owned())
            .build()
            .map_err(|error| {
                Error::data("no list of word pieces")
                    .at(path)
                    .because(error)
            })?;
        let mut tokenizer = Tokenizer::new(model);
        dress_as_bert(&mut tokenizer, reading.lowercase);
        let present = SPECIAL
            .iter()
            .filter(|name| tokenizer.token_to_id(name).is_some());
        let special: Vec<_> = present.map(|name| AddedToken::from(*name, true)).collect();
        let unfit = |error: tokenizers::Error| Error::data("no list of word pieces").because(error);
        tokenizer.add_special_tokens(special).map_err(unfit)?;
        let json = tokenizer.to_string(true).map_err(unfit)?;
        Self::parse(json.into_bytes()).map_err(|error| error.at(path))
    }

    /// From the contents of a `tokenizer.json`.
    ///
    /// # Errors
    /// When they are none, or a symbol for the ends of documents is missing.
    pub fn parse(json: Vec<u8>) -> Result<Self> {
        look_over(&json)?;
        let mut tokenizer = tried(|| Tokenizer::from_bytes(&json)).map_err(no_tokenizer)?;
        // Views cut and fill by themselves.
        let _ = tokenizer.with_truncation(None);
        tokenizer.with_padding(None);
        // Text that spells such a symbol out is text all the same.
        tokenizer.set_encode_special_tokens(true);
        if let ModelWrapper::BPE(model) = tokenizer.get_model()
            && model.dropout.is_some()
        {
            // Bytes that are joined by chance would make other symbols of the same text each time.
            let mut model = model.clone();
            model.dropout = None;
            tokenizer.with_model(model);
        }
        let find = |names: &[&str]| names.iter().find_map(|name| tokenizer.token_to_id(name));
        let end = find(&END).or_else(|| find(&BEGIN)).ok_or_else(|| {
            Error::data("a tokenizer without a symbol for the end of a document")
                .expected(END.join(", "))
        })?;
        let begin = find(&BEGIN).unwrap_or(end);
        let added = tokenizer.get_added_tokens_decoder();
        let special = added.iter().filter(|(_, token)| token.special);
        let mut special: Vec<u32> = special.map(|(number, _)| *number).collect();
        special.sort_unstable();
        let size = tokenizer
            .get_vocab(true)
            .values()
            .max()
            .map_or(0, |&last| last as usize + 1);
        if size > MOST {
            return Err(Error::data(format!(
                "a tokenizer whose symbols are numbered up to {size}"
            ))
            .expected(format!("{MOST} symbols at most")));
        }
        Ok(Self {
            padding: find(&PADDING).unwrap_or(end),
            begin,
            // A tokenizer without one can't be asked to restore what was hidden; what stands in is never drawn.
            mask: find(&MASK).unwrap_or(end),
            end,
            parts_twice: parts_twice(&tokenizer, begin, end),
            size,
            seams: Arc::new(seams(&tokenizer, size, &special)),
            special: Arc::new(special),
            unknown: unknown_name(&tokenizer).and_then(|name| tokenizer.token_to_id(&name)),
            json: Arc::new(json),
            tokenizer,
        })
    }
}

fn no_tokenizer(error: impl Into<tokenizers::Error>) -> Error {
    Error::data("no tokenizer")
        .expected("a tokenizer.json of the tokenizers library")
        .because(error)
}

/// Whether a tokenizer makes `<s> a </s></s> b </s>` of a pair.
fn parts_twice(tokenizer: &Tokenizer, begin: u32, end: u32) -> bool {
    const TEXT: &str = "a";
    let ids = |encoded: tokenizers::Result<Encoding>| {
        encoded.map_or_else(|_| Vec::new(), |encoded| encoded.get_ids().to_vec())
    };
    let text = ids(tried(|| tokenizer.encode_fast(TEXT, false)));
    let pair = ids(tried(|| tokenizer.encode_fast((TEXT, TEXT), true)));
    pair == [&[begin][..], &text, &[end, end], &text, &[end]].concat()
}

/// What of a `tokenizer.json` the crate takes on trust. A part that comes twice is refused with it.
#[derive(Deserialize)]
struct Outline {
    #[serde(default)]
    normalizer: Value,
    #[serde(default)]
    model: Value,
}

/// Refuses what would make the crate take time, memory or stack beyond measure: that can't be stopped once it has begun.
fn look_over(json: &[u8]) -> Result<()> {
    let outline: Outline = serde_json::from_slice(json).map_err(no_tokenizer)?;
    check_model(&outline.model)?;
    check_normalizer(&outline.normalizer)
}

fn check_model(model: &Value) -> Result<()> {
    let letters = model["max_input_chars_per_word"].as_u64();
    if let Some(letters) = letters.filter(|&letters| letters > LONGEST_WORD) {
        return Err(Error::data(format!(
            "a tokenizer with max_input_chars_per_word = {letters}"
        ))
        .expected(format!("at most {LONGEST_WORD}")));
    }
    let pieces = model["vocab"].as_array().into_iter().flatten();
    let lengths = pieces.filter_map(|piece| Some(piece.get(0)?.as_str()?.len()));
    if let Some(longest) = lengths.max().filter(|&longest| longest > LONGEST_PIECE) {
        return Err(
            Error::data(format!("a tokenizer with a piece of {longest} bytes"))
                .expected(format!("at most {LONGEST_PIECE}")),
        );
    }
    // The crate takes the prefix off without a look, and may cut a letter in two.
    let prefix = model["continuing_subword_prefix"].as_str().unwrap_or("");
    let merges = model["merges"].as_array().into_iter().flatten();
    if let Some(strange) = merges
        .filter_map(second)
        .find(|piece| !piece.starts_with(prefix))
    {
        let strange: String = strange.chars().take(40).collect();
        return Err(
            Error::data(format!("a tokenizer that joins `{strange}` to a word"))
                .expected(format!("a piece that begins with `{prefix}`")),
        );
    }
    Ok(())
}

/// The second of two pieces that are joined: of a list of two, or of a text with a space between them.
fn second(merge: &Value) -> Option<&str> {
    match merge {
        Value::String(pair) => pair.split(' ').nth(1),
        pair => pair.get(1)?.as_str(),
    }
}

fn check_normalizer(normalizer: &Value) -> Result<()> {
    match normalizer {
        Value::Array(parts) => parts.iter().try_for_each(check_normalizer),
        Value::Object(parts) => parts.iter().try_for_each(|(name, part)| match part {
            Value::String(map) if name == "precompiled_charsmap" => check_map(map),
            part => check_normalizer(part),
        }),
        _ => Ok(()),
    }
}

/// Such a map begins with the length of a table in it, for which the crate takes memory at once.
fn check_map(map: &str) -> Result<()> {
    let bytes = STANDARD.decode(map).unwrap_or_default();
    let table = bytes.split_first_chunk::<4>();
    let held = table.filter(|(length, rest)| u32::from_le_bytes(**length) as usize <= rest.len());
    match held {
        Some(_) => Ok(()),
        None => Err(
            Error::data("a tokenizer whose precompiled_charsmap ends too early")
                .expected("a table as long as it says")
                .mend("download it again"),
        ),
    }
}
