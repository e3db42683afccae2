//! What is counted of a text where nothing is learned: its words.

use super::Passage;

/// The words of a text, each as a hash of it and as often as it stands there; those of the second of two texts are other words.
/// Letters that are words say little by themselves, so that two in a row are a word as well.
pub(super) fn counted(passage: &Passage) -> Vec<u64> {
    let mut found = Vec::new();
    match passage {
        Passage::Document(text) => add_words(text, &[], &mut found),
        Passage::Pair(first, second) => {
            add_words(first, &[], &mut found);
            add_words(second, &["second"], &mut found);
        }
        Passage::Piece(_) | Passage::Sentences(..) => {}
    }
    found
}

/// Adds the words of a text; behind a `mark` they are other words.
fn add_words(text: &str, mark: &[&str], found: &mut Vec<u64>) {
    let lower = text.to_lowercase();
    for run in runs(&lower) {
        let mut before = None;
        for word in words(run) {
            found.push(hash(mark, &[word]));
            let letter = word.starts_with(is_unspaced).then_some(word);
            if let (Some(before), Some(letter)) = (before, letter) {
                found.push(hash(mark, &[before, letter]));
            }
            before = letter;
        }
    }
}

/// What stands between spaces and signs.
fn runs(text: &str) -> impl Iterator<Item = &str> {
    text.split(|letter: char| !letter.is_alphanumeric() && !is_mark(letter))
}

/// The words of a run. In scripts that have no spaces between words each letter is one.
fn words(run: &str) -> impl Iterator<Item = &str> {
    let mut rest = run;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let end = match is_unspaced(first) {
            true => first.len_utf8(),
            false => rest.find(is_unspaced).unwrap_or(rest.len()),
        };
        let (word, after) = rest.split_at(end);
        rest = after;
        Some(word)
    })
}

/// Whether a letter is of a script without spaces between words: Thai, Lao, Burmese, Khmer, Japanese, Chinese.
fn is_unspaced(letter: char) -> bool {
    matches!(
        u32::from(letter),
        0x0e00..=0x0eff
            | 0x1000..=0x109f
            | 0x1780..=0x17ff
            | 0x3005..=0x3007
            | 0x3040..=0x30ff
            | 0x31f0..=0x31ff
            | 0x3400..=0x4dbf
            | 0x4e00..=0x9fff
            | 0xf900..=0xfaff
            | 0xff66..=0xff9f
            | 0x2_0000..=0x3_ffff
    )
}

/// Whether it is a mark of such a script that belongs to a word and is neither letter nor digit: a tone, a silent consonant.
fn is_mark(letter: char) -> bool {
    matches!(
        u32::from(letter),
        0x0e47..=0x0e4e | 0x0ec8..=0x0ece | 0x1037..=0x103a | 0x17c9..=0x17d3 | 0x17dd
    )
}

/// A word, or letters in a row, behind a mark, as a number: FNV-1a, which is the same everywhere.
fn hash(mark: &[&str], words: &[&str]) -> u64 {
    let parts = mark.iter().chain(words);
    let bytes = parts.flat_map(|part| part.bytes().chain([0]));
    bytes.fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_what_stands_between_spaces_and_signs_or_single_letters() {
        for (text, expected) in [
            ("don't, 3.50 é_x", vec!["don", "t", "3", "50", "é", "x"]),
            ("iphone手机，好", vec!["iphone", "手", "机", "好"]),
            ("東京へ", vec!["東", "京", "へ"]),
            // Vowels and tones stay where they are.
            ("ที่นี่", vec!["ท", "ี", "่", "น", "ี", "่"]),
            ("한국어 단어", vec!["한국어", "단어"]),
        ] {
            assert_eq!(runs(text).flat_map(words).collect::<Vec<_>>(), expected);
        }
    }

    fn of(text: &str) -> Vec<u64> {
        counted(&Passage::Document(text.into()))
    }

    #[test]
    fn each_word_is_counted_whatever_its_case_and_letters_also_two_by_two() {
        assert_eq!(of("Two words, two"), of("two WORDS two"));
        assert_eq!(of("two words two").len(), 3);
        assert_eq!(of("two words two")[0], of("two")[0]);
        // Three letters and two pairs; what a sign or another word parts is no pair.
        assert_eq!(of("東京へ").len(), 5);
        assert_eq!(of("東京，へ").len(), 4);
        assert_eq!(of("東iphone京").len(), 3);
        assert!(of("… !").is_empty());
    }

    #[test]
    fn words_of_the_second_text_are_other_words() {
        let pair = |first: &str, second: &str| counted(&Passage::Pair(first.into(), second.into()));
        let found = pair("red fox", "red 東京");
        assert_eq!(found[..2], of("red fox"));
        assert_eq!(found.len(), 6);
        let others = of("red 東京");
        assert!(!found[2..].iter().any(|word| others.contains(word)));
    }

    /// As one word each, texts that say nearly the same would have nothing in common.
    #[test]
    fn texts_without_spaces_have_in_common_what_they_share() {
        let dot = |a: &[u64], b: &[u64]| {
            let times = |word: &u64| b.iter().filter(|other| *other == word).count();
            a.iter().map(times).sum::<usize>() as f64
        };
        let cosine = |a: &[u64], b: &[u64]| dot(a, b) / (dot(a, a) * dot(b, b)).sqrt();
        let first = of("我昨天在圖書館看書");
        let (alike, other) = (of("他昨天在圖書館睡覺"), of("股票價格今年上漲"));
        assert!(cosine(&first, &alike) > 0.5);
        assert!(cosine(&first, &other) < 0.2);
    }
}
