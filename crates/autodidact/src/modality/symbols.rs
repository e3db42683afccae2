//! Symbols: tokens that are numbers of a vocabulary, such as pieces of words, bytes or events.

use std::sync::Arc;

use burn::tensor::Tensor;

/// Networks over symbols, which say for a place which symbol stands there.
///
/// A network that sees both sides says it of the place itself, one that sees only what came before of the place after it
/// ([`Abilities`](super::Abilities) says which it is).
pub trait Symbolic<Batch> {
    /// The symbols there are.
    fn vocabulary(&self) -> Vocabulary;

    /// What stands where in a batch.
    fn symbols<'a>(&self, batch: &'a Batch) -> &'a Arc<Symbols>;

    /// The batch with other symbols in their places: as many, `ids[row · length + place]`.
    fn replaced(&self, batch: &Batch, ids: Vec<u32>) -> Batch;

    /// The batch without the symbols that aren't to be kept, `keep[row · length + place]`; what is left moves together, and
    /// rows that are shorter then end in padding.
    fn kept(&self, batch: &Batch, keep: &[bool]) -> Batch;

    /// How likely each symbol is at some places, as unnormalized logarithms: `[places, vocabulary]`.
    ///
    /// `tokens` are what [`Encoder::tokens`](super::Encoder::tokens) made of the batch, `[batch, length, dim]`; `places`
    /// are `row · length + place`, ascending. Nothing is computed for other places.
    fn scores(&self, tokens: Tensor<3>, places: &[usize]) -> Tensor<2>;
}

/// The symbols there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vocabulary {
    /// How many.
    pub size: usize,
    /// The one that stands for a hidden one.
    pub mask: u32,
    /// Those that stand for no data, such as padding, ascending.
    pub special: Arc<Vec<u32>>,
    /// How each joins its neighbors to a word; empty where symbols make up no words.
    pub seams: Arc<Vec<Seam>>,
    /// What each is made of, as numbers from 0 that symbols share which have a part in common, such as runs of letters, each
    /// once; nothing for what stands for no data. Empty where symbols have no parts, or the network has no use for them.
    pub parts: Arc<Vec<Vec<u32>>>,
}

/// How a symbol joins its neighbors to a word.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Seam {
    /// Whether it goes on with the word before it, if that may go on.
    pub before: bool,
    /// Whether the word that it ends in may go on after it.
    pub after: bool,
}

impl Vocabulary {
    /// Whether a symbol stands for data.
    pub fn is_data(&self, symbol: u32) -> bool {
        self.special.binary_search(&symbol).is_err()
    }

    /// Whether a symbol goes on with the word that the one before it is a part of.
    pub fn goes_on(&self, before: u32, symbol: u32) -> bool {
        let seam = |symbol: u32| self.seams.get(symbol as usize).copied().unwrap_or_default();
        seam(before).after && seam(symbol).before
    }
}

/// What stands where in the rows of a batch, all of one length.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Symbols {
    /// Symbols in a row.
    pub length: usize,
    /// Row by row; rows that are shorter end in padding.
    pub ids: Vec<u32>,
    /// The symbol that comes after each, where it is known: what a network that predicts is asked for.
    pub next: Vec<Option<u32>>,
    /// Numbers that symbols of one document in a row share and neighbors don't; 0 is padding.
    pub documents: Vec<u32>,
}

impl Symbols {
    /// Those that are to be kept, `keep[row · length + place]`, moved together; rows end in `padding` up to the longest,
    /// which is made a multiple of `step`. What comes next is known of none.
    #[must_use]
    pub fn kept(&self, keep: &[bool], padding: u32, step: usize) -> Self {
        let length = self.length.max(1);
        let stays = move |row: usize| {
            let places = row * length..(row + 1) * length;
            places.filter(move |&place| keep[place] && self.documents[place] > 0)
        };
        let rows = self.ids.len() / length;
        let longest = (0..rows).map(|row| stays(row).count()).max().unwrap_or(0);
        let longest = longest.max(1).next_multiple_of(step).min(length);
        let mut kept = Self {
            length: longest,
            ..Self::default()
        };
        for row in 0..rows {
            let end = (row + 1) * longest;
            kept.ids.extend(stays(row).map(|place| self.ids[place]));
            kept.ids.resize(end, padding);
            kept.documents
                .extend(stays(row).map(|place| self.documents[place]));
            kept.documents.resize(end, 0);
            kept.next.resize(end, None);
        }
        kept
    }
}

/// How the next symbol is drawn.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sampling {
    /// Symbols to go on for, at most.
    pub symbols: usize,
    /// What scores are divided by before the draw, 0 to 10: 0 always takes the likeliest, 1 draws as was learned.
    pub temperature: f64,
    /// Among how many of the likeliest is drawn; 0 is all.
    pub top_k: usize,
    /// Among the likeliest that make up this part of the probability, above 0 to 1.
    pub top_p: f64,
    /// Decides the draws.
    pub seed: u64,
}

impl Default for Sampling {
    fn default() -> Self {
        Self {
            symbols: 500,
            temperature: 1.0,
            top_k: 0,
            top_p: 1.0,
            seed: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_moves_together() {
        let symbols = Symbols {
            length: 4,
            ids: vec![1, 2, 3, 4, 5, 6, 0, 0],
            next: vec![Some(9); 8],
            documents: vec![1, 1, 2, 2, 1, 1, 0, 0],
        };
        let keep = [true, false, true, true, false, true, true, true];
        let kept = symbols.kept(&keep, 7, 1);
        assert_eq!((kept.length, kept.ids), (3, vec![1, 3, 4, 6, 7, 7]));
        assert_eq!(kept.documents, [1, 2, 2, 1, 0, 0]);
        assert_eq!(kept.next, [None; 6]);
        assert_eq!(symbols.kept(&keep, 7, 8).length, 4);
        assert_eq!(symbols.kept(&[false; 8], 7, 1).ids, [7, 7]);
    }
}
