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
    let words = lower.split(|c: char| !c.is_alphanumeric());
    let mut before = None;
    for word in words.filter(|word| !word.is_empty()) {
        let single = bucket(mark.iter().copied().chain([word]));
        let pair = before.map(|before| bucket(mark.iter().copied().chain([before, word])));
        for place in pair.into_iter().chain([single]) {
            counts[place] += 1.0;
        }
        before = Some(word);
    }
}

/// The place of a word, or of words in a row, among the counts (FNV-1a, which is the same everywhere).
fn bucket<'a>(words: impl Iterator<Item = &'a str>) -> usize {
    let bytes = words.flat_map(|word| word.bytes().chain([0]));
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash >> 20) as usize % COUNTS
}
