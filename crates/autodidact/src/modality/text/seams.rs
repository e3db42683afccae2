//! Which symbols make up a word together: what the ways of cutting words leave in the symbols' names.

use tokenizers::Tokenizer;
use tokenizers::decoders::DecoderWrapper;
use tokenizers::models::ModelWrapper;

use crate::modality::Seam;

/// How each of `size` symbols joins its neighbors; `special` ones, which are sorted, join nothing.
///
/// Word pieces say by a mark that they go on with a word (`##ing`), or that a word ends with them (`ing</w>`). Where names
/// hold the spaces themselves (`Ġthe`, `▁the`), letters and digits go on with letters and digits.
pub(super) fn seams(tokenizer: &Tokenizer, size: usize, special: &[u32]) -> Vec<Seam> {
    let marks = Marks::of(tokenizer);
    let mut seams = vec![Seam::default(); size];
    for (name, number) in tokenizer.get_vocab(true) {
        let seam = seams.get_mut(number as usize);
        if let (Some(seam), Err(_)) = (seam, special.binary_search(&number)) {
            *seam = marks.seam(&name);
        }
    }
    seams
}

/// How names of symbols tell words.
pub(super) enum Marks {
    /// What goes on with a word begins with this.
    Prefix(String),
    /// What a word ends with ends with this.
    Suffix(String),
    /// By their characters, which stand for bytes as GPT-2 writes them.
    Bytes,
    /// By their characters.
    Characters,
}

/// What stands for a space in the names of pieces.
const SPACE: char = '▁';

impl Marks {
    pub(super) fn of(tokenizer: &Tokenizer) -> Self {
        match tokenizer.get_model() {
            ModelWrapper::WordPiece(model) => {
                return Self::Prefix(model.continuing_subword_prefix.clone());
            }
            ModelWrapper::BPE(model) => {
                let given = |mark: &Option<String>| mark.clone().filter(|mark| !mark.is_empty());
                if let Some(prefix) = given(&model.continuing_subword_prefix) {
                    return Self::Prefix(prefix);
                }
                if let Some(suffix) = given(&model.end_of_word_suffix) {
                    return Self::Suffix(suffix);
                }
            }
            _ => {}
        }
        match tokenizer.get_decoder() {
            Some(DecoderWrapper::ByteLevel(_)) => Self::Bytes,
            _ => Self::Characters,
        }
    }

    fn seam(&self, name: &str) -> Seam {
        let by = |is_letter: fn(char) -> bool| Seam {
            before: name.chars().next().is_some_and(is_letter),
            after: name.chars().next_back().is_some_and(is_letter),
        };
        match self {
            Self::Prefix(prefix) => Seam {
                before: name.starts_with(prefix),
                after: true,
            },
            Self::Suffix(suffix) => Seam {
                before: true,
                after: !name.ends_with(suffix),
            },
            Self::Bytes => by(|letter| {
                // Bytes of other alphabets are parts of letters; spaces and signs are of ASCII.
                letter.is_ascii_alphanumeric() || is_high_byte(letter)
            }),
            Self::Characters => by(char::is_alphanumeric),
        }
    }

    /// What a symbol of that name is written as within its word, and whether the word begins with it, as far as the name
    /// says so.
    pub(super) fn letters(&self, name: &str) -> (String, bool) {
        match self {
            Self::Prefix(prefix) => match name.strip_prefix(prefix.as_str()) {
                Some(rest) => (rest.to_owned(), false),
                None => (name.to_owned(), true),
            },
            Self::Suffix(suffix) => {
                let letters = name.strip_suffix(suffix.as_str()).unwrap_or(name);
                (letters.to_owned(), false)
            }
            Self::Bytes => {
                let bytes: Vec<u8> = name.chars().filter_map(byte_of).collect();
                let written = String::from_utf8_lossy(&bytes);
                let begins = written.starts_with(char::is_whitespace);
                (written.trim().to_owned(), begins)
            }
            Self::Characters => {
                let letters = name.trim_matches([SPACE, ' ']);
                (letters.to_owned(), name.starts_with([SPACE, ' ']))
            }
        }
    }
}

/// The byte that a character stands for, as GPT-2 writes them: those that print stand for themselves, the others follow in
/// their order from 256 on.
fn byte_of(letter: char) -> Option<u8> {
    let number = u32::from(letter);
    let byte = match number {
        0..=0xff => number,
        0x100..=0x120 => number - 0x100,
        0x121..=0x142 => number - 0x121 + 0x7f,
        0x143 => 0xad,
        _ => return None,
    };
    u8::try_from(byte).ok()
}

/// Whether a character stands for a byte from 128 on. GPT-2 lets bytes that print stand for themselves, and gives the others
/// the characters from 256 on in their order: 34 of these are of ASCII.
fn is_high_byte(letter: char) -> bool {
    let number = u32::from(letter);
    (0xa1..=0xff).contains(&number) || (0x100 + 34..0x100 + 68).contains(&number)
}

#[cfg(test)]
mod tests {
    use super::super::reading::TextReading;
    use super::super::vocabulary::Words;

    fn words_of(kind: &str, text: &str) -> Vec<String> {
        let reading = TextReading {
            tokenizer: kind.to_owned(),
            vocabulary: 300,
            ..TextReading::default()
        };
        let learned_from = "the singing fox sings a song, don't you hear 12 näive foxes?\n";
        let texts = (0..20).map(|_| learned_from.to_owned());
        let words = Words::learn(&reading, texts).unwrap();
        let vocabulary = words.vocabulary();
        let ids = words.encode(text).unwrap();
        let mut found: Vec<Vec<u32>> = Vec::new();
        for (place, &id) in ids.iter().enumerate() {
            match found.last_mut() {
                Some(word) if vocabulary.goes_on(ids[place - 1], id) => word.push(id),
                _ => found.push(vec![id]),
            }
        }
        let found = found.iter().map(|word| words.decode(word));
        found
            .map(|word| word.replace("##", "").replace(' ', ""))
            .filter(|word| !word.is_empty())
            .collect()
    }

    /// However a vocabulary cuts words, its symbols join again to the words that a person sees.
    #[test]
    fn symbols_join_to_words() {
        let text = "the foxes hear gnosis, näive song 12";
        let seen = ["the", "foxes", "hear", "gnosis", ",", "näive", "song", "12"];
        for kind in ["bpe", "unigram", "characters"] {
            assert_eq!(words_of(kind, text), seen, "{kind}");
        }
        let plain = seen.map(|word| word.replace('ä', "a"));
        assert_eq!(words_of("wordpiece", text), plain);
    }
}
