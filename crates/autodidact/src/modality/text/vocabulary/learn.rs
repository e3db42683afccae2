//! Vocabularies learned from texts: pieces of words, bytes, pieces by likelihood, characters.

use std::path::Path;

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

use super::{SPECIAL, Words, chunks};
use crate::error::{Error, Result};
use crate::modality::text::reading::TextReading;

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
}

fn special() -> Vec<AddedToken> {
    SPECIAL
        .iter()
        .map(|name| AddedToken::from(*name, true))
        .collect()
}

/// What stands around BERT's pieces of words.
pub(super) fn dress_as_bert(tokenizer: &mut Tokenizer, lowercase: bool) {
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
