//! From text to symbols and back: tokenizers of the `tokenizers` crate, learned from the data or loaded.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;
use tokenizers::decoders::byte_level::ByteLevel as ByteLevelDecoder;
use tokenizers::decoders::fuse::Fuse;
use tokenizers::decoders::wordpiece::WordPiece as WordPieceDecoder;
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::models::unigram::{Unigram, UnigramTrainer};
use tokenizers::models::wordlevel::{WordLevel, WordLevelTrainer};
use tokenizers::models::wordpiece::{WordPiece, WordPieceTrainer};
use tokenizers::models::{ModelWrapper, TrainerWrapper};
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::metaspace::{Metaspace, PrependScheme};
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{AddedToken, SplitDelimiterBehavior, Tokenizer};

use super::reading::TextReading;
use super::seams::seams;
use crate::error::{AtPath, Error, Result};
use crate::modality::{Seam, Vocabulary};

/// The symbols that stand for no text, as BERT calls them, in the order of their numbers.
const SPECIAL: [&str; 5] = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];
/// What loaded tokenizers call them, the likeliest first.
const PADDING: [&str; 3] = ["[PAD]", "<pad>", "<|padding|>"];
const BEGIN: [&str; 3] = ["[CLS]", "<s>", "<|endoftext|>"];
const END: [&str; 4] = ["[SEP]", "</s>", "<|endoftext|>", "<eos>"];
const MASK: [&str; 3] = ["[MASK]", "<mask>", "<|mask|>"];
/// Text that is turned into symbols at once, in bytes: the crate keeps many notes on each.
const CHUNK: usize = 1 << 16;
/// How high symbols of a loaded tokenizer may be numbered: tables of them are made, of so many rows.
const MOST: usize = 1 << 22;

/// A tokenizer with what the rest needs to know of it.
#[derive(Debug, Clone)]
pub struct Words {
    tokenizer: Tokenizer,
    json: Arc<Vec<u8>>,
    size: usize,
    /// Symbols that stand for no text, ascending.
    special: Arc<Vec<u32>>,
    seams: Arc<Vec<Seam>>,
    /// Fills rows that are shorter.
    pub padding: u32,
    /// Stands before a document.
    pub begin: u32,
    /// Stands after a document, and between documents.
    pub end: u32,
    /// Stands for a hidden symbol.
    pub mask: u32,
}

impl PartialEq for Words {
    fn eq(&self, other: &Self) -> bool {
        self.json == other.json
    }
}

impl Words {
    /// Learns a vocabulary from texts, as the settings say, or loads the one that they name.
    ///
    /// # Errors
    /// When the texts hold nothing to learn from, or the file can't be read.
    pub fn learn(
        reading: &TextReading,
        texts: impl Iterator<Item = String> + Send,
    ) -> Result<Self> {
        let unfit = |error: tokenizers::Error| {
            Error::data("text that no vocabulary can be learned from").because(error)
        };
        let (mut tokenizer, trainer) = match reading.tokenizer.as_str() {
            "wordpiece" => wordpiece(reading),
            "bpe" => bytes(reading),
            "unigram" => unigram(reading).map_err(unfit)?,
            "characters" => characters(reading).map_err(unfit)?,
            path => return Self::load(Path::new(path), reading),
        };
        let mut trainer: TrainerWrapper = trainer;
        // A book at once would take hundreds of times its size in notes.
        let pieces = texts.flat_map(|text| chunks(&text).map(str::to_owned).collect::<Vec<_>>());
        if matches!(trainer, TrainerWrapper::WordPieceTrainer(_)) {
            let pieces: Vec<String> = pieces.collect();
            learn_word_pieces(&mut tokenizer, reading, &pieces).map_err(unfit)?;
        } else {
            tokenizer.train(&mut trainer, pieces).map_err(unfit)?;
        }
        put_in_order(&mut tokenizer).map_err(unfit)?;
        let frame = TemplateProcessing::builder()
            .try_single("[CLS] $A [SEP]")
            .and_then(|builder| builder.try_pair("[CLS] $A [SEP] $B:1 [SEP]:1"))
            .map_err(Error::data)?
            .special_tokens(vec![("[CLS]", 2), ("[SEP]", 3)])
            .build()
            .map_err(|error| Error::data("a frame that doesn't fit").because(error))?;
        tokenizer.with_post_processor(Some(frame));
        let json = tokenizer.to_string(true).map_err(unfit)?;
        Self::parse(json.into_bytes())
    }

    /// Reads a `tokenizer.json`, or a `vocab.txt` of word pieces.
    fn load(path: &Path, reading: &TextReading) -> Result<Self> {
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
        let mut tokenizer = Tokenizer::from_bytes(&json).map_err(|error| {
            Error::data("no tokenizer")
                .expected("a tokenizer.json of the tokenizers library")
                .because(error)
        })?;
        // Views cut and fill by themselves.
        let _ = tokenizer.with_truncation(None);
        tokenizer.with_padding(None);
        // Text that spells such a symbol out is text all the same.
        tokenizer.set_encode_special_tokens(true);
        let find = |names: &[&str]| names.iter().find_map(|name| tokenizer.token_to_id(name));
        let end = find(&END).or_else(|| find(&BEGIN)).ok_or_else(|| {
            Error::data("a tokenizer without a symbol for the end of a document")
                .expected(END.join(", "))
        })?;
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
            begin: find(&BEGIN).unwrap_or(end),
            // A tokenizer without one can't be asked to restore what was hidden; what stands in is never drawn.
            mask: find(&MASK).unwrap_or(end),
            end,
            size,
            seams: Arc::new(seams(&tokenizer, size, &special)),
            special: Arc::new(special),
            json: Arc::new(json),
            tokenizer,
        })
    }

    /// The contents of its `tokenizer.json`.
    pub fn json(&self) -> Arc<Vec<u8>> {
        Arc::clone(&self.json)
    }

    /// The symbols there are.
    pub fn vocabulary(&self) -> Vocabulary {
        Vocabulary {
            size: self.size,
            mask: self.mask,
            special: Arc::clone(&self.special),
            seams: Arc::clone(&self.seams),
        }
    }

    /// The symbols of a text, without any that stand for none.
    ///
    /// # Errors
    /// When the tokenizer has no symbol for a part of it.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let chunks: Vec<&str> = chunks(text).collect();
        let encode = |chunk: &&str| {
            let encoded = self.tokenizer.encode_fast(*chunk, false);
            encoded.map(|encoded| encoded.get_ids().to_vec())
        };
        let ids: tokenizers::Result<Vec<Vec<u32>>> = chunks.par_iter().map(encode).collect();
        let unfit = |error| Error::data("text that the tokenizer can't take in").because(error);
        ids.map(|ids| ids.concat()).map_err(unfit)
    }

    /// The symbols of a short text with those that the tokenizer itself puts around it.
    ///
    /// # Errors
    /// As [`Words::encode`].
    pub fn encode_framed(&self, text: &str) -> Result<Vec<u32>> {
        let unfit = |error| Error::data("text that the tokenizer can't take in").because(error);
        let encoded = self.tokenizer.encode_fast(text, true).map_err(unfit)?;
        Ok(encoded.get_ids().to_vec())
    }

    /// What the symbol is called that stands for what the tokenizer has none for, if it has such a one.
    pub fn unknown(&self) -> Option<String> {
        match self.tokenizer.get_model() {
            ModelWrapper::WordPiece(model) => Some(model.unk_token.clone()),
            ModelWrapper::WordLevel(model) => Some(model.unk_token.clone()),
            ModelWrapper::BPE(model) => model.unk_token.clone(),
            ModelWrapper::Unigram(_) => {
                let known = |name: &&str| self.tokenizer.token_to_id(name).is_some();
                let usual = ["[UNK]", "<unk>"].into_iter().find(known);
                usual.map(str::to_owned)
            }
        }
    }

    /// The text of symbols.
    pub fn decode(&self, ids: &[u32]) -> String {
        self.tokenizer.decode(ids, true).unwrap_or_default()
    }

    /// The text of symbols in which hidden ones stand by their name.
    pub fn spell(&self, ids: &[u32]) -> String {
        let said = |id: &u32| *id == self.mask || self.special.binary_search(id).is_err();
        let ids: Vec<u32> = ids.iter().copied().filter(said).collect();
        self.tokenizer.decode(&ids, false).unwrap_or_default()
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

fn special() -> Vec<AddedToken> {
    SPECIAL
        .iter()
        .map(|name| AddedToken::from(*name, true))
        .collect()
}

fn dress_as_bert(tokenizer: &mut Tokenizer, lowercase: bool) {
    let normalizer = BertNormalizer::new(true, true, None, lowercase);
    // Setting these can't fail: a normalizer only does where symbols were added before.
    let _ = tokenizer.with_normalizer(Some(normalizer));
    tokenizer.with_pre_tokenizer(Some(BertPreTokenizer));
    tokenizer.with_decoder(Some(WordPieceDecoder::default()));
}

/// Pieces of words as BERT has them.
fn wordpiece(reading: &TextReading) -> (Tokenizer, TrainerWrapper) {
    let model = WordPiece::builder()
        .unk_token(SPECIAL[1].to_owned())
        .build();
    let mut tokenizer = Tokenizer::new(model.unwrap_or_default());
    dress_as_bert(&mut tokenizer, reading.lowercase);
    (tokenizer, word_piece_trainer(reading.vocabulary, special()))
}

/// Learns pieces of words, the same ones each time. The trainer numbers the letters that go on with a word in the order of a
/// hash map, and breaks ties by number; what it takes for special symbols it numbers first, in the order given.
fn learn_word_pieces(
    tokenizer: &mut Tokenizer,
    reading: &TextReading,
    pieces: &[String],
) -> tokenizers::Result<()> {
    // With no room for more, letters are all that is learned.
    let mut letters_alone = word_piece_trainer(0, special());
    tokenizer.train(&mut letters_alone, pieces.iter())?;
    let vocabulary = tokenizer.get_vocab(false).into_keys();
    let mut letters: Vec<String> = vocabulary.filter(|piece| piece.starts_with("##")).collect();
    letters.sort_unstable();
    let first = letters
        .into_iter()
        .map(|name| AddedToken::from(name, false));
    let first = special().into_iter().chain(first).collect();
    let (mut learning, _) = wordpiece(reading);
    learning.train(
        &mut word_piece_trainer(reading.vocabulary, first),
        pieces.iter(),
    )?;
    // The letters are pieces like the others: only the model goes over.
    tokenizer.with_model(learning.get_model().clone());
    Ok(())
}

/// Numbers the pieces of a Unigram model by how likely they are, and equally likely ones by their letters. Its trainer adds
/// up in the order of a hash map, so that the last digits of scores change from time to time: they are rounded away.
fn put_in_order(tokenizer: &mut Tokenizer) -> tokenizers::Result<()> {
    const DIGITS: f64 = 1e4;
    let ModelWrapper::Unigram(model) = tokenizer.get_model() else {
        return Ok(());
    };
    let rounded =
        |(piece, score): &(String, f64)| (piece.clone(), (score * DIGITS).round() / DIGITS);
    let mut pieces: Vec<(String, f64)> = model.iter().map(rounded).collect();
    // Special symbols stand first and stay.
    let special = SPECIAL.len().min(pieces.len());
    pieces[special..].sort_by(|a, b| b.1.total_cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let unknown = pieces.iter().position(|(piece, _)| piece == SPECIAL[1]);
    tokenizer.with_model(Unigram::from(pieces, unknown, false)?);
    Ok(())
}

fn word_piece_trainer(size: usize, first: Vec<AddedToken>) -> TrainerWrapper {
    WordPieceTrainer::builder()
        .show_progress(false)
        .vocab_size(size)
        .special_tokens(first)
        .build()
        .into()
}

/// Byte pairs as GPT-2 has them.
fn bytes(reading: &TextReading) -> (Tokenizer, TrainerWrapper) {
    let mut tokenizer = Tokenizer::new(BPE::default());
    tokenizer.with_pre_tokenizer(Some(ByteLevel::new(false, true, true)));
    tokenizer.with_decoder(Some(ByteLevelDecoder::default()));
    let trainer = BpeTrainer::builder()
        .show_progress(false)
        .vocab_size(reading.vocabulary)
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .special_tokens(special())
        .build();
    (tokenizer, trainer.into())
}

/// Pieces by their likelihood (Kudo 2018).
fn unigram(reading: &TextReading) -> tokenizers::Result<(Tokenizer, TrainerWrapper)> {
    let mut tokenizer = Tokenizer::new(Unigram::default());
    let spaces = Metaspace::new('▁', PrependScheme::Always, true);
    tokenizer.with_pre_tokenizer(Some(spaces.clone()));
    tokenizer.with_decoder(Some(spaces));
    let trainer = UnigramTrainer::builder()
        .show_progress(false)
        .vocab_size(reading.vocabulary as u32)
        .unk_token(Some(SPECIAL[1].to_owned()))
        .special_tokens(special())
        .build()?;
    Ok((tokenizer, trainer.into()))
}

/// Every character a symbol.
fn characters(reading: &TextReading) -> tokenizers::Result<(Tokenizer, TrainerWrapper)> {
    let model = WordLevel::builder()
        .unk_token(SPECIAL[1].to_owned())
        .build()?;
    let mut tokenizer = Tokenizer::new(model);
    // A dot leaves line ends out, and how to make it take them differs between the engines that read the file.
    let each = SplitPattern::Regex(r"[\s\S]".to_owned());
    let each = Split::new(each, SplitDelimiterBehavior::Isolated, false)?;
    tokenizer.with_pre_tokenizer(Some(each));
    tokenizer.with_decoder(Some(Fuse::default()));
    let trainer = WordLevelTrainer::builder()
        .show_progress(false)
        .vocab_size(reading.vocabulary)
        .special_tokens(special())
        .build()?;
    Ok((tokenizer, trainer.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "The quick brown fox jumps over the lazy dog.\nA naïve café costs 3.50 €, said the fox.\n";

    fn learned(kind: &str) -> Words {
        let reading = TextReading {
            tokenizer: kind.to_owned(),
            vocabulary: 400,
            ..TextReading::default()
        };
        let texts = (0..50).map(|_| TEXT.to_owned());
        Words::learn(&reading, texts).unwrap()
    }

    #[test]
    fn text_comes_back_from_its_symbols() {
        for kind in ["bpe", "characters"] {
            let words = learned(kind);
            assert_eq!(words.decode(&words.encode(TEXT).unwrap()), TEXT, "{kind}");
        }
        let words = learned("unigram");
        let line = "The quick brown fox costs 3.50";
        assert_eq!(words.decode(&words.encode(line).unwrap()), line);
        let words = learned("wordpiece");
        let ids = words.encode("The quick FOX").unwrap();
        assert_eq!(words.decode(&ids), "the quick fox");
        let hidden = [
            &[words.begin, ids[0], words.mask],
            &ids[2..],
            &[words.end, words.padding],
        ];
        let blank = words.spell(&hidden.concat());
        assert!(
            blank.starts_with("the [MASK]") && blank.ends_with("fox"),
            "{blank}"
        );
        assert!(ids.iter().all(|id| !words.special.contains(id)), "{ids:?}");
    }

    #[test]
    fn what_is_written_reads_back_and_learning_again_gives_the_same() {
        for kind in ["wordpiece", "bpe", "unigram", "characters"] {
            let words = learned(kind);
            let again = Words::parse(words.json().to_vec()).unwrap();
            assert_eq!(again.encode(TEXT).unwrap(), words.encode(TEXT).unwrap());
            assert_eq!(again.vocabulary(), words.vocabulary());
            assert_eq!(learned(kind).names(), words.names(), "{kind}");
            assert_eq!(
                [words.padding, words.begin, words.end, words.mask],
                [0, 2, 3, 4],
                "{kind}"
            );
        }
    }

    #[test]
    fn a_symbol_that_is_spelled_out_is_text() {
        let words = learned("bpe");
        let ids = words.encode("a [SEP] b").unwrap();
        assert!(
            ids.iter().all(|&id| words.vocabulary().is_data(id)),
            "{ids:?}"
        );
        assert_eq!(words.decode(&ids), "a [SEP] b");
    }

    #[test]
    fn a_long_text_is_taken_in_in_pieces_without_a_difference() {
        let words = learned("bpe");
        let long = TEXT.repeat(2000);
        assert!(long.len() > 2 * CHUNK);
        let ids = words.encode(&long).unwrap();
        assert_eq!(words.decode(&ids), long);
        assert_eq!(
            chunks(&"é".repeat(CHUNK)).collect::<String>(),
            "é".repeat(CHUNK)
        );
    }

    #[test]
    fn a_list_of_pieces_is_read_and_other_files_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("vocab.txt");
        std::fs::write(&path, "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nfox\n##es\n").unwrap();
        let reading = |path: &Path| TextReading {
            tokenizer: path.to_str().unwrap().to_owned(),
            ..TextReading::default()
        };
        let words = Words::learn(&reading(&path), std::iter::empty()).unwrap();
        assert_eq!(words.encode("foxes Fox dog").unwrap(), [5, 6, 5, 1]);
        let broken = folder.path().join("tokenizer.json");
        std::fs::write(&broken, "{\"model\": 3}").unwrap();
        let error = Words::learn(&reading(&broken), std::iter::empty()).unwrap_err();
        assert!(error.to_string().contains("no tokenizer"), "{error}");
        // One symbol with a number that no table has room for.
        let model = r#"{"type": "WordLevel", "unk_token": "[UNK]", "vocab": {"[UNK]": 0, "[SEP]": 4294967294}}"#;
        let json = format!(r#"{{"version": "1.0", "added_tokens": [], "model": {model}}}"#);
        let error = Words::parse(json.into_bytes()).unwrap_err().to_string();
        assert!(error.contains("numbered up to 4294967295"), "{error}");
        let missing = Words::learn(&reading(Path::new("wordpice")), std::iter::empty());
        assert!(missing.unwrap_err().to_string().contains("wordpice"));
    }
}
