//! Views of text: a window of a document, with words left out where views have to differ.

use std::sync::Arc;

use rand::RngExt;
use serde::{Deserialize, Serialize};

use super::Passage;
use super::pairs::framed_pair;
use super::vocabulary::Words;
use crate::error::{Error, Result};
use crate::modality::{Change, Need, Pretext};
use crate::random::Rng;

/// Bytes of a document that a view is looked for in, where it is longer than twice that.
const LONG: usize = 1 << 20;
/// Bytes of a word at most: what is written without spaces is taken for words as long as this.
const WORD: usize = 64;

/// The recipe's `[views]` for text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TextViews {
    /// Views of a document.
    pub count: usize,
    /// Symbols that a view holds at most, those before and after the text included, 8 to 8192.
    pub length: usize,
    /// Whether a pass goes through pieces of all documents joined, each as long as a view, instead of the documents.
    pub pieces: bool,
    /// Whether a view is two stretches of sentences, the second of which follows the first or is another document's.
    pub pairs: bool,
    /// Whether the documents that share a piece are kept from seeing each other.
    pub separate: bool,
    /// The part of the words that is left out, each by a draw of its own, 0 to 0.9.
    pub deletion: f64,
    /// The part of the words that is left out as one run, 0 to 0.9.
    pub span: f64,
}

impl Default for TextViews {
    fn default() -> Self {
        Self {
            count: 1,
            length: 128,
            pieces: false,
            pairs: false,
            separate: true,
            deletion: 0.0,
            span: 0.0,
        }
    }
}

/// A passage as the network will see it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TextView {
    /// Its symbols.
    pub ids: Vec<u32>,
    /// The symbol after the last, where there is one.
    pub next: Option<u32>,
    /// Whether symbols of an end part documents.
    pub joined: bool,
    /// Where the second of two texts begins.
    pub second: Option<usize>,
    /// What the view says of itself: 0 where the second text follows the first, 1 where it is another document's.
    pub own: Option<u32>,
    /// What dropout draws from.
    pub dropout: Option<u64>,
}

impl TextViews {
    /// What suits a pretext task, for documents of `typical` symbols.
    pub(super) fn suiting(pretext: &Pretext, typical: usize) -> Self {
        let (light, pairs) = (pretext.change.is_light(), pretext.change == Change::Paired);
        let joined = pairs || light && pretext.needs != Need::Vectors;
        let length = if joined { 128 } else { fitting(typical) };
        let left_out = if light { 0.0 } else { 0.1 };
        Self {
            count: pretext.views,
            length,
            pieces: joined,
            pairs,
            separate: true,
            deletion: left_out,
            span: left_out,
        }
    }

    /// Documents as they are, one view each, as long as before: a network may have learned places.
    pub(super) fn whole(&self) -> Self {
        Self {
            count: 1,
            pieces: false,
            pairs: false,
            deletion: 0.0,
            span: 0.0,
            ..self.clone()
        }
    }

    /// Refuses what can't be.
    pub(super) fn check(&self) -> Result<()> {
        if !(8..=8192).contains(&self.length) {
            return Err(Error::recipe(format!("views.length = {}", self.length))
                .expected("8 to 8192 symbols"));
        }
        if !(1..=16).contains(&self.count) {
            return Err(Error::recipe(format!("views.count = {}", self.count)).expected("1 to 16"));
        }
        for (key, part) in [("deletion", self.deletion), ("span", self.span)] {
            if !(0.0..=0.9).contains(&part) {
                return Err(Error::recipe(format!("views.{key} = {part}"))
                    .expected("a number from 0 to 0.9"));
            }
        }
        if self.pairs && !self.pieces {
            return Err(Error::recipe("views.pairs without views.pieces")
                .expected("a pass through the text in pieces, which pairs are cut from")
                .mend("set views.pieces = true"));
        }
        if self.pairs && (self.deletion > 0.0 || self.span > 0.0) {
            return Err(
                Error::recipe("views.pairs with views.deletion or views.span")
                    .expected("pairs of which nothing is left out"),
            );
        }
        Ok(())
    }

    /// A view by chance.
    pub(super) fn draw(
        &self,
        passage: &Passage,
        words: &Words,
        causal: bool,
        rng: &mut Rng,
    ) -> Result<TextView> {
        match passage {
            Passage::Piece(ids) => Ok(self.somewhere(ids, rng)),
            Passage::Sentences(_, sentences) => Ok(self.somewhere(&sentences.concat(), rng)),
            Passage::Document(text) => {
                let part = self.part(text, rng);
                let ids = words.encode(&part)?;
                let dropout = Some(rng.random());
                // As in pieces, a document's end is to be predicted as well, where it was come to.
                let ends = (part.len() == text.len()).then_some(words.end);
                let after = ids.get(self.length - 1).copied().or(ends);
                Ok(TextView {
                    next: after.filter(|_| causal),
                    dropout,
                    ..framed(ids, words, self.length, causal)
                })
            }
            Passage::Pair(first, second) => {
                let [first, second] = [self.part(first, rng), self.part(second, rng)];
                let [first, second] = [words.encode(&first)?, words.encode(&second)?];
                let dropout = Some(rng.random());
                Ok(TextView {
                    dropout,
                    ..framed_pair(first, second, words, self.length, causal)
                })
            }
        }
    }

    /// The view as it is, from the beginning.
    pub(super) fn plain(&self, passage: &Passage, words: &Words, causal: bool) -> Result<TextView> {
        let begun = |text: &Arc<str>| words.encode(beginning(text, self.length));
        Ok(match passage {
            Passage::Piece(ids) => cut(ids, self.length),
            Passage::Document(text) => framed(begun(text)?, words, self.length, causal),
            Passage::Pair(first, second) => {
                let [first, second] = [begun(first)?, begun(second)?];
                framed_pair(first, second, words, self.length, causal)
            }
            Passage::Sentences(_, sentences) => {
                framed(sentences.concat(), words, self.length, causal)
            }
        })
    }

    /// As many words of a text as may fill a view, from anywhere, with some left out.
    fn part(&self, text: &str, rng: &mut Rng) -> String {
        let text = stretch(text, rng);
        // A symbol is hardly ever longer than a word, so that as many words as symbols fill a view.
        let apart = text.split_inclusive(char::is_whitespace);
        let all: Vec<&str> = apart.flat_map(short).collect();
        let spare = all.len().saturating_sub(self.length);
        let from = match spare {
            0 => 0,
            spare => rng.random_range(0..=spare),
        };
        let mut kept: Vec<&str> = all[from..all.len() - spare + from].to_vec();
        self.leave_out(&mut kept, rng);
        kept.concat()
    }

    /// A window of symbols, from anywhere.
    fn somewhere(&self, ids: &[u32], rng: &mut Rng) -> TextView {
        let spare = ids.len().saturating_sub(self.length + 1);
        let from = match spare {
            0 => 0,
            spare => rng.random_range(0..=spare),
        };
        let mut view = self.window(&ids[from..], rng);
        view.dropout = Some(rng.random());
        view
    }

    /// A window of a piece, with symbols left out in place of words.
    fn window(&self, ids: &[u32], rng: &mut Rng) -> TextView {
        let mut view = cut(ids, self.length);
        if self.deletion > 0.0 || self.span > 0.0 {
            self.leave_out(&mut view.ids, rng);
            view.next = None;
        }
        view
    }

    /// Leaves out one run and then single ones; at least one stays.
    fn leave_out<T>(&self, of: &mut Vec<T>, rng: &mut Rng) {
        let run = (of.len() as f64 * self.span) as usize;
        if run > 0 && run < of.len() {
            let from = rng.random_range(0..=of.len() - run);
            of.drain(from..from + run);
        }
        if self.deletion > 0.0 && !of.is_empty() {
            let saved = rng.random_range(0..of.len());
            let mut place = 0;
            of.retain(|_| {
                let keep = rng.random::<f64>() >= self.deletion || place == saved;
                place += 1;
                keep
            });
        }
    }
}

/// The beginning of a text, which is all that a view of `length` symbols needs of a book: a symbol stands for 64 bytes at the
/// very most.
pub(super) fn beginning(text: &str, length: usize) -> &str {
    let mut end = text.len().min(64 * length);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

/// A word in parts of [`WORD`] bytes at most. Chinese or a sequence of bases would else be one word, and looked at as a
/// whole and from its beginning each time.
fn short(word: &str) -> impl Iterator<Item = &str> {
    let mut rest = word;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let mut end = rest.len().min(WORD);
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        let (part, after) = rest.split_at(end);
        rest = after;
        Some(part)
    })
}

/// A text, or of a very long one a stretch of [`LONG`] bytes from anywhere: a list of all its words would take several times
/// its room.
fn stretch<'a>(text: &'a str, rng: &mut Rng) -> &'a str {
    if text.len() <= 2 * LONG {
        return text;
    }
    let boundary = |mut at: usize| {
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    let from = rng.random_range(0..=text.len() - LONG);
    &text[boundary(from)..boundary(from + LONG)]
}

/// A multiple of 8 that documents of so many symbols fit into with what stands before and after them, 16 to 128.
fn fitting(typical: usize) -> usize {
    (typical + 2).next_multiple_of(8).clamp(16, 128)
}

fn cut(ids: &[u32], length: usize) -> TextView {
    let (ids, rest) = ids.split_at(ids.len().min(length));
    TextView {
        ids: ids.to_vec(),
        next: rest.first().copied(),
        joined: true,
        ..TextView::default()
    }
}

/// A document between its begin and its end; for a network that predicts, after an end, as in pieces.
fn framed(mut inner: Vec<u32>, words: &Words, length: usize, causal: bool) -> TextView {
    let ids = if causal {
        inner.truncate(length - 1);
        [vec![words.end], inner].concat()
    } else {
        inner.truncate(length - 2);
        [vec![words.begin], inner, vec![words.end]].concat()
    };
    TextView {
        ids,
        ..TextView::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Purpose, stream};

    fn words() -> Words {
        let reading = super::super::reading::TextReading {
            tokenizer: "characters".to_owned(),
            ..Default::default()
        };
        Words::learn(&reading, std::iter::once("abcdef ghij".to_owned())).unwrap()
    }

    #[test]
    fn a_piece_is_seen_from_any_place_and_knows_what_comes_next() {
        let views = TextViews {
            length: 8,
            ..TextViews::default()
        };
        let piece = Passage::Piece((0..17).collect());
        let mut starts = std::collections::BTreeSet::new();
        for draw in 0..200 {
            let mut rng = stream(draw, Purpose::View, &[]);
            let view = views.draw(&piece, &words(), true, &mut rng).unwrap();
            assert_eq!(view.ids.len(), 8);
            assert_eq!(view.next, Some(view.ids[7] + 1));
            starts.insert(view.ids[0]);
        }
        assert_eq!(starts.len(), 9);
        let plain = views.plain(&piece, &words(), true).unwrap();
        assert_eq!((plain.ids[0], plain.next), (0, Some(8)));
    }

    #[test]
    fn as_many_words_are_left_out_as_was_asked_for_and_one_stays() {
        let views = TextViews {
            deletion: 0.2,
            span: 0.5,
            ..TextViews::default()
        };
        let mut left = 0;
        for draw in 0..400 {
            let mut rng = stream(draw, Purpose::View, &[]);
            let mut of: Vec<u32> = (0..20).collect();
            views.leave_out(&mut of, &mut rng);
            left += of.len();
            assert!(of.windows(2).all(|pair| pair[0] < pair[1]));
        }
        // Half of 20 go as a run, a fifth of the others but the one that is saved.
        let expected = 1.0 + 9.0 * 0.8;
        assert!((left as f64 / 400.0 - expected).abs() < 0.2, "{left}");
        let all = TextViews {
            deletion: 0.9,
            ..views
        };
        for draw in 0..50 {
            let mut of = vec![1];
            all.leave_out(&mut of, &mut stream(draw, Purpose::View, &[]));
            assert_eq!(of, [1]);
        }
    }

    #[test]
    fn a_document_stands_between_begin_and_end_and_is_cut_to_the_length() {
        let words = words();
        let views = TextViews {
            length: 8,
            ..TextViews::default()
        };
        let document = Passage::Document("abcdefghij".into());
        let both = views.plain(&document, &words, false).unwrap();
        assert_eq!((both.ids[0], both.ids[7], both.ids.len()), (2, 3, 8));
        let causal = views.plain(&document, &words, true).unwrap();
        assert_eq!((causal.ids[0], causal.ids.len()), (3, 8));
        assert_eq!(words.decode(&causal.ids), "abcdefg");
    }

    #[test]
    fn a_network_that_predicts_learns_where_a_document_ends() {
        let words = words();
        let views = TextViews {
            length: 8,
            ..TextViews::default()
        };
        let next = |text: &str, causal| {
            let mut rng = stream(0, Purpose::View, &[]);
            let document = Passage::Document(text.into());
            let view = views.draw(&document, &words, causal, &mut rng).unwrap();
            view.next
        };
        assert_eq!(next("abc", true), Some(words.end));
        assert_eq!(next("abcdefg", true), Some(words.end));
        let h = words.encode("h").unwrap();
        assert_eq!(next("abcdefgh", true), Some(h[0]));
        assert_eq!(next("abc", false), None);
    }

    #[test]
    fn what_is_written_without_spaces_is_seen_from_any_place() {
        let views = TextViews {
            length: 8,
            ..TextViews::default()
        };
        let text: String = ('一'..='龥').collect();
        let mut starts = std::collections::BTreeSet::new();
        for draw in 0..50 {
            let part = views.part(&text, &mut stream(draw, Purpose::View, &[]));
            assert!(part.len() <= 8 * WORD && text.contains(&part));
            starts.insert(part.chars().next());
        }
        assert!(starts.len() > 20, "{}", starts.len());
    }

    /// What SimCSE calls for: nothing is left out, and the draws of dropout are all that tells two views apart.
    #[test]
    fn views_that_leave_nothing_out_differ_by_dropout_alone() {
        let views = TextViews {
            count: 2,
            ..TextViews::default()
        };
        let document = Passage::Document("abc def ghij".into());
        let [first, second] = [0, 1].map(|slot| {
            let mut rng = stream(0, Purpose::View, &[0, 7, slot]);
            views.draw(&document, &words(), false, &mut rng).unwrap()
        });
        assert_eq!(first.ids, second.ids);
        assert!(first.dropout.is_some() && first.dropout != second.dropout);
        assert_eq!(words().decode(&first.ids), "abc def ghij");
    }

    #[test]
    fn a_very_long_text_is_looked_at_in_a_stretch_of_it() {
        let text = "é".repeat(2 * LONG);
        let mut lengths = std::collections::BTreeSet::new();
        for draw in 0..50 {
            let found = stretch(&text, &mut stream(draw, Purpose::View, &[]));
            lengths.insert(found.len());
        }
        assert!(lengths.iter().all(|length| length.abs_diff(LONG) < 2));
        assert_eq!(
            stretch("short", &mut stream(0, Purpose::View, &[])),
            "short"
        );
    }

    #[test]
    fn pairs_want_pieces_and_leave_nothing_out() {
        let pairs = TextViews {
            pairs: true,
            ..TextViews::default()
        };
        assert!(
            pairs
                .check()
                .unwrap_err()
                .to_string()
                .contains("views.pieces")
        );
        let left_out = TextViews {
            pieces: true,
            span: 0.1,
            ..pairs
        };
        assert!(
            left_out
                .check()
                .unwrap_err()
                .to_string()
                .contains("views.span")
        );
    }
}
