//! What symbols are made of: runs of letters, which words of one root and misspelled ones share.
//!
//! Bojanowski et al. 2017 (arXiv 1607.04606; fastText), for pieces of words in place of words.

use std::collections::{BTreeSet, HashMap};

use tokenizers::Tokenizer;
use tokenizers::models::ModelWrapper;

use super::seams::Marks;

/// Letters in a run.
const RUNS: [usize; 3] = [3, 4, 5];

/// The parts of each of `size` symbols, as numbers from 0 in the order in which they first appear: its runs of three to five
/// letters as it is written, with a space before it where it begins a word and one after it, and itself. Symbols without a
/// letter or a digit, and all of them where none has more than one, are their own only part; `special` ones, which are
/// sorted, have none.
pub(super) fn parts(tokenizer: &Tokenizer, size: usize, special: &[u32]) -> Vec<Vec<u32>> {
    let (names, marks) = (names(tokenizer, size, special), Marks::of(tokenizer));
    // What is cut at spaces alone is whole words.
    let whole = matches!(tokenizer.get_model(), ModelWrapper::WordLevel(_));
    let written: Vec<Option<(String, bool)>> = names
        .iter()
        .map(|name| {
            let (letters, begins) = marks.letters(name.as_deref()?);
            Some((letters, begins || whole))
        })
        .collect();
    let several = |of: &Option<(String, bool)>| of.as_ref().is_some_and(|of| has_several(&of.0));
    let words = written.iter().any(several);
    let mut known: HashMap<String, u32> = HashMap::new();
    let mut count = 0;
    let mut next = || {
        count += 1;
        count - 1
    };
    let of_symbol = |written: Option<(String, bool)>| {
        let Some((letters, begins)) = written else {
            return Vec::new();
        };
        let mut parts: Vec<u32> = Vec::new();
        if words && letters.contains(char::is_alphanumeric) {
            let runs = runs(&letters, begins).into_iter();
            parts.extend(runs.map(|run| *known.entry(run).or_insert_with(&mut next)));
        }
        parts.push(next());
        parts
    };
    written.into_iter().map(of_symbol).collect()
}

/// The symbols' names by their numbers; none for special ones and where a number is no symbol's.
fn names(tokenizer: &Tokenizer, size: usize, special: &[u32]) -> Vec<Option<String>> {
    let mut names = vec![None; size];
    for (name, number) in tokenizer.get_vocab(true) {
        let slot = names.get_mut(number as usize);
        if let (Some(slot), Err(_)) = (slot, special.binary_search(&number)) {
            *slot = Some(name);
        }
    }
    names
}

fn has_several(letters: &str) -> bool {
    letters.chars().nth(1).is_some()
}

/// The runs of what is written so, each once, in the order of their letters; all of it where it is shorter than a run.
fn runs(letters: &str, begins: bool) -> BTreeSet<String> {
    let before = begins.then_some(' ');
    let written: Vec<char> = before
        .into_iter()
        .chain(letters.chars())
        .chain([' '])
        .collect();
    if written.len() < RUNS[0] {
        return BTreeSet::from([written.iter().collect()]);
    }
    RUNS.iter()
        .flat_map(|&run| written.windows(run))
        .map(|run| run.iter().collect())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::reading::TextReading;
    use super::super::vocabulary::Words;
    use super::*;

    fn words(kind: &str) -> Words {
        let reading = TextReading {
            tokenizer: kind.to_owned(),
            vocabulary: 400,
            ..TextReading::default()
        };
        let text = "the singer sings a singing song, the fox hears the singer.\n";
        Words::learn(&reading, (0..30).map(|_| text.to_owned())).unwrap()
    }

    fn of(words: &[&str]) -> BTreeSet<String> {
        words.iter().map(|word| (*word).to_owned()).collect()
    }

    #[test]
    fn runs_are_those_of_what_is_written_with_its_spaces() {
        let expected = [" fo", "fox", "ox ", " fox", "fox ", " fox "];
        assert_eq!(runs("fox", true), of(&expected));
        assert_eq!(runs("ox", false), of(&["ox "]));
        assert_eq!(runs("a", true), of(&[" a "]));
        assert_eq!(runs("a", false), of(&["a "]));
        // Each once.
        assert_eq!(
            runs("aaaa", false),
            of(&["aaa", "aa ", "aaaa", "aaa ", "aaaa "])
        );
    }

    #[test]
    fn symbols_share_what_is_written_alike_and_each_has_a_part_of_its_own() {
        for kind in ["wordpiece", "bpe", "unigram"] {
            let words = words(kind);
            let parts = words.parts();
            let vocabulary = words.vocabulary();
            assert_eq!(parts.len(), vocabulary.size);
            let mut highest = None;
            for (symbol, of) in parts.iter().enumerate() {
                assert_eq!(of.is_empty(), !vocabulary.is_data(symbol as u32), "{kind}");
                // Numbers come in order, one after the other.
                for &part in of {
                    let next = highest.map_or(0, |highest| highest + 1);
                    assert!(part <= next, "{kind}: {part} after {highest:?}");
                    highest = highest.max(Some(part));
                }
                // The last is the symbol itself, which no other has.
                if let Some(own) = of.last() {
                    let others = parts.iter().enumerate();
                    let shared = others.filter(|(other, of)| *other != symbol && of.contains(own));
                    assert_eq!(shared.count(), 0, "{kind}: {symbol}");
                }
            }
            let names = words.names();
            let of_name = |name: &str| {
                let found = names
                    .get(name)
                    .unwrap_or_else(|| panic!("{kind}: no {name}"));
                &parts[*found as usize]
            };
            let shared = |a: &str, b: &str| {
                let own = of_name(a);
                of_name(b).iter().filter(|part| own.contains(part)).count()
            };
            let (the, comma, before) = match kind {
                "wordpiece" => ("the", ",", ""),
                "bpe" => ("Ġthe", ",", "Ġ"),
                _ => ("▁the", ",", "▁"),
            };
            if names.contains_key(comma) {
                assert_eq!(of_name(comma).len(), 1, "{kind}");
            }
            // Whether a word is one piece is for the learner to say; of these two it is.
            if kind != "unigram" {
                assert_eq!(of_name(the).len(), 7, "{kind}");
            }
            let fox = format!("{before}fox");
            if names.contains_key(the) && names.contains_key(&fox) {
                assert_eq!(shared(the, &fox), 0, "{kind}");
            }
        }
    }

    #[test]
    fn words_of_one_root_share_most_and_what_goes_on_with_a_word_shares_no_beginning() {
        let model = r###"{"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
            "vocab": {"[UNK]": 0, "[SEP]": 1, "singer": 2, "singers": 3, "##singer": 4, "fox": 5, "!": 6}}"###;
        let special = r#"[{"id": 0, "content": "[UNK]", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true},
            {"id": 1, "content": "[SEP]", "single_word": false, "lstrip": false, "rstrip": false, "normalized": false, "special": true}]"#;
        let json = format!(r#"{{"version": "1.0", "added_tokens": {special}, "model": {model}}}"#);
        let parts = Words::parse(json.into_bytes()).unwrap().parts();
        let shared = |a: usize, b: usize| {
            let both = parts[a].iter().filter(|part| parts[b].contains(part));
            both.count()
        };
        assert!(parts[0].is_empty() && parts[1].is_empty());
        // " singer " has 6, 5 and 4 runs, and is itself.
        assert_eq!(parts[2].len(), 16);
        assert_eq!(parts[2][15], 15);
        // What it shares with " singers " doesn't end with a space: 5, 4 and 3.
        assert_eq!(shared(2, 3), 12);
        // What goes on with a word has no space before it.
        assert_eq!(shared(2, 4), 12);
        assert_eq!((shared(2, 5), parts[6].len()), (0, 1));
    }

    #[test]
    fn characters_are_made_of_themselves() {
        let words = words("characters");
        for (symbol, of) in words.parts().iter().enumerate() {
            let data = words.vocabulary().is_data(symbol as u32);
            assert_eq!(of.len(), usize::from(data));
        }
    }
}
