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
}

impl Vocabulary {
    /// Whether a symbol stands for data.
    pub fn is_data(&self, symbol: u32) -> bool {
        self.special.binary_search(&symbol).is_err()
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
