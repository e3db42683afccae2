//! Dropout by a seed that comes with the batch.

use autodidact_kernels::dropout;
use burn::tensor::Tensor;

/// What a network drops in one pass: a function of the batch's seed and the place in the network, so that a run that is
/// resumed drops the same.
#[derive(Debug, Clone, Copy)]
pub struct Dropout {
    probability: f64,
    seed: Option<u64>,
}

impl Dropout {
    /// Drops with a probability from 0 to 1, below 1; without a seed nothing.
    pub fn new(probability: f64, seed: Option<u64>) -> Self {
        Self {
            probability,
            seed: seed.filter(|_| probability > 0.0),
        }
    }

    /// Whether anything is dropped.
    pub fn is_on(self) -> bool {
        self.seed.is_some()
    }

    /// Drops at a place, which has a number of its own.
    pub fn apply<const D: usize>(self, x: Tensor<D>, place: usize) -> Tensor<D> {
        match self.seed {
            Some(seed) => dropout(x, self.probability, seed.wrapping_add(place as u64)),
            None => x,
        }
    }
}
