//! Counts of words: what stands for a text where nothing is learned.

use super::Passage;

/// Places of counts, which words share by chance.
const COUNTS: usize = 8192;

/// How often each word, and each pair of words in a row, stands in a text; those of the second of two texts are other words.
pub(super) fn counts(passage: &Passage) -> Vec<f32> {
    let mut counts = vec![0f32; COUNTS];
    match passage {
        Passage::Document(text) => count_words(text, &[], &mut counts),
        Passage::Pair(first, second) => {
            count_words(first, &[], &mut counts);
            count_words(second, &["second"], &mut counts);
        }
        Passage::Piece(_) | Passage::Sentences(..) => {}
    }
    counts
}

/// Counts the words of a text and pairs of them; behind a `mark` they are counted as other words.
fn count_words(text: &str, mark: &[&str], counts: &mut [f32]) {
    let lower = text.to_lowercase();
    let mut before = None;
    for word in words(&lower) {
        let single = bucket(mark.iter().copied().chain([word]));
        let pair = before.map(|before| bucket(mark.iter().copied().chain([before, word])));
        for place in pair.into_iter().chain([single]) {
            counts[place] += 1.0;
        }
        before = Some(word);
    }
}

/// The words of a text. In scripts that have no spaces between words each letter is one, so that pairs of words are pairs of
/// letters: about what words are there.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let runs = text.split(|letter: char| !letter.is_alphanumeric() && !is_mark(letter));
    runs.flat_map(|run| {
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

/// The place of a word, or of words in a row, among the counts (FNV-1a, which is the same everywhere).
fn bucket<'a>(words: impl Iterator<Item = &'a str>) -> usize {
    let bytes = words.flat_map(|word| word.bytes().chain([0]));
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash >> 20) as usize % COUNTS
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
            assert_eq!(words(text).collect::<Vec<_>>(), expected);
        }
    }

    /// As one word each, texts that say nearly the same would have nothing in common.
    #[test]
    fn texts_without_spaces_have_in_common_what_they_share() {
        let of = |text: &str| counts(&Passage::Document(text.into()));
        let cosine = |a: &[f32], b: &[f32]| {
            let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
            dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
        };
        let first = of("我昨天在圖書館看書");
        let (alike, other) = (of("他昨天在圖書館睡覺"), of("股票價格今年上漲"));
        assert!(cosine(&first, &alike) > 0.5);
        assert!(cosine(&first, &other) < 0.2);
        // Of two words and their pair there are three counts, as ever.
        assert_eq!(of("two words").iter().sum::<f32>(), 3.0);
    }
}
