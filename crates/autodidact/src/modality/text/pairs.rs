//! Views of two texts: a pair that was found so, or two stretches of which the second follows the first or doesn't.

use rand::RngExt;

use super::Passage;
use super::stretches::sentences_of;
use super::views::TextView;
use super::vocabulary::Words;
use crate::error::Result;
use crate::random::Rng;

/// What two stretches say of themselves.
const FOLLOWS: u32 = 0;
const STRANGE: u32 = 1;

/// Two texts between begin and ends (`[CLS] a [SEP] b [SEP]`), of `length` symbols at most: what is too much is cut from
/// the end of the longer one. For a network that predicts, each comes after an end, as in pieces.
pub(super) fn framed_pair(
    mut first: Vec<u32>,
    mut second: Vec<u32>,
    words: &Words,
    length: usize,
    causal: bool,
) -> TextView {
    let room = length - frame(words, causal);
    first.truncate(room - second.len().min(room - room / 2));
    second.truncate(room - first.len());
    let begin = if causal { words.end } else { words.begin };
    let between = vec![words.end; ends_between(words, causal)];
    // The second text begins after the end of the first; a network that predicts takes that end for its begin.
    let at = 1 + first.len() + between.len();
    let second_begins = at - usize::from(causal);
    let mut ids = [vec![begin], first, between, second].concat();
    if !causal {
        ids.push(words.end);
    }
    TextView {
        ids,
        second: Some(second_begins),
        ..TextView::default()
    }
}

/// Symbols around and between two texts.
pub(super) fn frame(words: &Words, causal: bool) -> usize {
    1 + ends_between(words, causal) + usize::from(!causal)
}

/// Ends between two texts: one, or two where the tokenizer says so, for a network that sees both sides.
fn ends_between(words: &Words, causal: bool) -> usize {
    1 + usize::from(words.parts_twice && !causal)
}

/// One view of each item: two stretches in a row, of which the second is another document's at even odds. Of items of one
/// document alone, all second ones follow.
///
/// # Errors
/// When a passage can't be turned into symbols.
pub(super) fn stretch_pairs(
    items: &[(u64, Passage)],
    words: &Words,
    length: usize,
    causal: bool,
    rng: impl Fn(u64) -> Rng,
) -> Result<Vec<TextView>> {
    struct Cut {
        document: u64,
        first: Vec<u32>,
        second: Vec<u32>,
        rng: Rng,
    }
    let room = length - frame(words, causal);
    let mut cuts = Vec::with_capacity(items.len());
    for (id, passage) in items {
        let mut rng = rng(*id);
        let sentences = sentences_of(passage, words, length)?;
        let [first, second] = part(sentences, room, &mut rng);
        let document = match passage {
            Passage::Sentences(document, _) => *document,
            _ => *id,
        };
        cuts.push(Cut {
            document,
            first,
            second,
            rng,
        });
    }
    let count = cuts.len();
    let mut views = Vec::with_capacity(count);
    for place in 0..count {
        let rng = &mut cuts[place].rng;
        let (strange, from) = (rng.random::<bool>(), rng.random_range(0..count));
        let dropout = rng.random();
        let own = &cuts[place];
        // Both kinds of second texts are cut alike, so that their lengths don't tell them apart.
        let other = (from..from + count)
            .map(|other| &cuts[other % count])
            .find(|other| strange && other.document != own.document && !other.second.is_empty());
        let mut second = other.unwrap_or(own).second.clone();
        second.truncate(room - own.first.len());
        views.push(TextView {
            dropout: Some(dropout),
            own: Some(if other.is_some() { STRANGE } else { FOLLOWS }),
            ..framed_pair(own.first.clone(), second, words, length, causal)
        });
    }
    Ok(views)
}

/// Parts sentences in two: some in a row, three quarters of the room at most, and what comes right after, all of the room
/// at most. They begin where enough comes after.
fn part(mut sentences: Vec<Vec<u32>>, room: usize, rng: &mut Rng) -> [Vec<u32>; 2] {
    if let [only] = sentences.as_mut_slice() {
        let second = only.split_off(only.len() / 2);
        sentences.push(second);
    }
    let count = sentences.len();
    let (most, enough) = (3 * room / 4, 3 * room / 4 + room);
    let mut behind = 0;
    let mut latest = 0;
    for (place, sentence) in sentences.iter().enumerate().rev() {
        behind += sentence.len();
        if behind >= enough && place + 1 < count {
            latest = place;
            break;
        }
    }
    let from = rng.random_range(0..=latest);
    let target = rng.random_range(room / 4..=most);
    let mut first = Vec::new();
    let mut next = from;
    while next + 1 < count && (next == from || first.len() < target) {
        first.extend(&sentences[next]);
        next += 1;
    }
    // The end stays: it is what the second follows.
    first.drain(..first.len().saturating_sub(most));
    let second = sentences[next.min(count)..].iter().flatten();
    [first, second.copied().take(room).collect()]
}

#[cfg(test)]
mod tests {
    use super::super::reading::TextReading;
    use super::*;
    use crate::random::{Purpose, stream};

    fn words() -> Words {
        let reading = TextReading {
            tokenizer: "characters".to_owned(),
            ..TextReading::default()
        };
        Words::learn(&reading, std::iter::once("abcdef ghij.".to_owned())).unwrap()
    }

    /// Sentences of three to eleven symbols; every symbol is its place in its document, and from 1000 on.
    fn document(number: u64, sentences: usize) -> (u64, Passage) {
        let mut at = 1000 * (number as u32 + 1);
        let sentence = |n: usize| {
            let long = 3 + (n * 7 + number as usize) % 9;
            at += long as u32;
            (at - long as u32..at).collect::<Vec<u32>>()
        };
        let sentences = (0..sentences).map(sentence).collect();
        (number, Passage::Sentences(number, sentences))
    }

    #[test]
    fn the_second_follows_or_is_another_documents_and_the_label_says_which() {
        let (words, length) = (words(), 32);
        let items: Vec<_> = (0..16).map(|number| document(number, 12)).collect();
        let mut lengths = [(0usize, 0u32); 2];
        for draw in 0..100 {
            let rng = |id| stream(draw, Purpose::View, &[id]);
            let views = stretch_pairs(&items, &words, length, false, rng).unwrap();
            for (view, (number, _)) in views.iter().zip(&items) {
                assert!(view.ids.len() <= length);
                let ends: Vec<usize> = (0..view.ids.len())
                    .filter(|&place| view.ids[place] == words.end)
                    .collect();
                let second = view.second.unwrap();
                assert_eq!(view.ids[0], words.begin);
                assert_eq!(ends, [second - 1, view.ids.len() - 1]);
                let [first, second] = [&view.ids[1..ends[0]], &view.ids[second..ends[1]]];
                let own = 1000 * (*number as u32 + 1)..1000 * (*number as u32 + 2);
                assert!(first.iter().all(|id| own.contains(id)));
                let follows = second[0] == first[first.len() - 1] + 1;
                assert_eq!(view.own, Some(u32::from(!follows)));
                assert_eq!(own.contains(&second[0]), follows);
                for part in [first, second] {
                    assert!(part.windows(2).all(|pair| pair[1] == pair[0] + 1));
                }
                let (sum, count) = &mut lengths[usize::from(!follows)];
                *sum += view.ids.len();
                *count += 1;
            }
        }
        let [follows, strange] = lengths;
        assert!(
            follows.1.abs_diff(strange.1) < 160,
            "{follows:?} {strange:?}"
        );
        let mean = |(sum, count): (usize, u32)| sum as f64 / f64::from(count);
        let (follows, strange) = (mean(follows), mean(strange));
        assert!((follows - strange).abs() < 0.5, "{follows} {strange}");
    }

    #[test]
    fn items_of_one_document_follow_and_a_single_sentence_is_parted() {
        let words = words();
        let items = vec![document(3, 12); 4];
        let rng = |id| stream(5, Purpose::View, &[id]);
        let views = stretch_pairs(&items, &words, 32, false, rng).unwrap();
        assert!(views.iter().all(|view| view.own == Some(FOLLOWS)));
        let [first, second] = part(vec![(0..9).collect()], 20, &mut rng(0));
        assert_eq!((first.len(), second.len()), (4, 5));
    }

    #[test]
    fn what_is_too_long_is_cut_from_the_longer_one() {
        let words = words();
        let ids = |count: u32| (5..5 + count).collect::<Vec<u32>>();
        for (lengths, kept) in [
            ([4, 5], [4, 5]),
            ([2, 40], [2, 11]),
            ([40, 2], [11, 2]),
            ([40, 40], [6, 7]),
            ([0, 40], [0, 13]),
            ([40, 0], [13, 0]),
        ] {
            let [first, second] = lengths.map(ids);
            let view = framed_pair(first, second, &words, 16, false);
            let second = view.second.unwrap();
            let found = [second - 2, view.ids.len() - second - 1];
            assert_eq!(found, kept, "{lengths:?}");
        }
        let view = framed_pair(ids(3), ids(2), &words, 16, true);
        assert_eq!(view.ids, [words.end, 5, 6, 7, words.end, 5, 6]);
        assert_eq!(view.second, Some(4));
    }

    /// `<s> a </s></s> b </s>`, as RoBERTa has it; a network that predicts was never shown that.
    #[test]
    fn two_ends_part_texts_where_the_tokenizer_says_so() {
        let model = r#"{"type": "WordLevel", "unk_token": "<unk>", "vocab": {"<s>": 0, "</s>": 1, "<unk>": 2, "a": 3}}"#;
        let frame = r#"{"type": "RobertaProcessing", "sep": ["</s>", 1], "cls": ["<s>", 0], "trim_offsets": true, "add_prefix_space": false}"#;
        let json = format!(
            r#"{{"version": "1.0", "added_tokens": [], "post_processor": {frame}, "model": {model}}}"#
        );
        let words = Words::parse(json.into_bytes()).unwrap();
        let view = framed_pair(vec![5, 6], vec![7], &words, 16, false);
        assert_eq!(view.ids, [0, 5, 6, 1, 1, 7, 1]);
        assert_eq!(view.second, Some(5));
        let long = framed_pair(vec![5; 40], vec![6; 40], &words, 16, false);
        assert_eq!((long.ids.len(), long.second), (16, Some(9)));
        let causal = framed_pair(vec![5, 6], vec![7], &words, 16, true);
        assert_eq!(causal.ids, [1, 5, 6, 1, 7]);
    }
}
