use std::path::Path;

use super::*;
use crate::modality::text::reading::TextReading;

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

/// A `tokenizer.json` of this model, with more parts of it before.
fn of_model(model: &str, more: &str) -> Result<Words> {
    let json = format!(r#"{{"version": "1.0", "added_tokens": [], {more} "model": {model}}}"#);
    Words::parse(json.into_bytes())
}

const LEVELS: &str =
    r#"{"type": "WordLevel", "unk_token": "[UNK]", "vocab": {"[UNK]": 0, "[SEP]": 1, "a": 2}}"#;

/// The crate panics at some of these, and takes memory or stack without end for others.
#[test]
fn tokenizers_that_were_made_to_harm_are_refused() {
    // Joined they are longer than any piece.
    let merges = r#"{"type": "BPE", "vocab": {"[SEP]": 0, "abcd": 1, "efgh": 2}, "merges": [["abcd", "efgh"]]}"#;
    // What is cut off is half of a letter.
    let prefix = r#"{"type": "BPE", "continuing_subword_prefix": "x", "vocab": {"[SEP]": 0, "a": 1, "ä": 2}, "merges": ["a ä"]}"#;
    let words = r#"{"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "", "max_input_chars_per_word": 1000000, "vocab": {"[UNK]": 0, "[SEP]": 1}}"#;
    let deep = "a".repeat(200_000);
    let deep = format!(
        r#"{{"type": "Unigram", "unk_id": 0, "vocab": [["[UNK]", 0.0], ["[SEP]", 0.0], ["{deep}", 0.0]]}}"#
    );
    // Two GiB of a table that isn't there.
    let map = r#""normalizer": {"type": "Sequence", "normalizers": [{"type": "Precompiled", "precompiled_charsmap": "////fw=="}]},"#;
    let twice = format!(r#""model": {LEVELS},"#);
    for (model, more, found) in [
        (merges, "", "no tokenizer"),
        (prefix, "", "joins `ä` to a word"),
        (words, "", "max_input_chars_per_word = 1000000"),
        (deep.as_str(), "", "a piece of 200000 bytes"),
        (LEVELS, map, "precompiled_charsmap ends too early"),
        (LEVELS, twice.as_str(), "duplicate field `model`"),
    ] {
        let error = of_model(model, more).unwrap_err().to_string();
        assert!(error.contains(found), "{error}");
    }
    // A table of nothing, and a frame for a second text that isn't there: both show with the first text.
    let map = r#""normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAAAA=="},"#;
    let frame = r#"{"type": "TemplateProcessing", "single": [{"Sequence": {"id": "B", "type_id": 0}}], "pair": [], "special_tokens": {}}"#;
    let frame = format!(r#""post_processor": {frame},"#);
    for more in [map, frame.as_str()] {
        let words = of_model(LEVELS, more).unwrap();
        for error in [words.encode("a"), words.encode_framed("a")] {
            let error = error.unwrap_err().to_string();
            assert!(error.contains("can't take in"), "{error}");
        }
    }
}

/// As a tokenizer for learning may have it, that joins pieces by chance.
#[test]
fn the_same_text_is_the_same_symbols_each_time() {
    let model = r#"{"type": "BPE", "dropout": 1.0, "vocab": {"[SEP]": 0, "a": 1, "b": 2, "ab": 3}, "merges": [["a", "b"]]}"#;
    let words = of_model(model, "").unwrap();
    assert_eq!(words.encode("ab").unwrap(), [3]);
}

#[test]
fn bytes_behind_the_symbol_for_what_is_unknown_are_not_known() {
    let spaces = r#""pre_tokenizer": {"type": "WhitespaceSplit"},"#;
    let words = of_model(LEVELS, spaces).unwrap();
    let (ids, known) = words.encode_known("a überall a").unwrap();
    assert_eq!((ids, known), (vec![2, 0, 2], 4));
    let long = format!("{} zzz", "a ".repeat(CHUNK));
    let (ids, known) = words.encode_known(&long).unwrap();
    assert_eq!((ids.len(), known), (CHUNK + 1, 2 * CHUNK + 1));
    // Of bytes there is none that is unknown.
    let (_, known) = learned("bpe").encode_known("überall ⛵").unwrap();
    assert_eq!(known, "überall ⛵".len());
}

#[test]
fn two_ends_part_a_pair_where_the_tokenizer_says_so() {
    assert!(!learned("wordpiece").parts_twice);
    let model = r#"{"type": "WordLevel", "unk_token": "<unk>", "vocab": {"<s>": 0, "</s>": 1, "<unk>": 2, "a": 3}}"#;
    let roberta = r#""post_processor": {"type": "RobertaProcessing", "sep": ["</s>", 1], "cls": ["<s>", 0], "trim_offsets": true, "add_prefix_space": false},"#;
    assert!(of_model(model, roberta).unwrap().parts_twice);
    let bert =
        r#""post_processor": {"type": "BertProcessing", "sep": ["</s>", 1], "cls": ["<s>", 0]},"#;
    assert!(!of_model(model, bert).unwrap().parts_twice);
    assert!(!of_model(model, "").unwrap().parts_twice);
}
