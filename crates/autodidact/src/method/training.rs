//! How a method likes to be trained.

use serde::{Deserialize, Serialize};

/// How a method likes to be trained.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Training {
    /// The optimizer.
    pub optimizer: Optimizer,
    /// Peak learning rate for a batch of 256 items; it grows in proportion to the batch.
    pub learning_rate: f64,
    /// Decoupled for AdamW, added to the gradient for SGD and LARS.
    pub weight_decay: f64,
}

/// The batch that [`Training::learning_rate`] is meant for.
pub(crate) const REFERENCE_BATCH: f64 = 256.0;

impl Training {
    /// By AdamW.
    pub fn adamw(learning_rate: f64, weight_decay: f64) -> Self {
        Self {
            optimizer: Optimizer::Adamw,
            learning_rate,
            weight_decay,
        }
    }

    /// By SGD with momentum.
    pub fn sgd(learning_rate: f64, weight_decay: f64) -> Self {
        Self {
            optimizer: Optimizer::Sgd,
            learning_rate,
            weight_decay,
        }
    }

    /// Of which nothing learns by gradient.
    pub fn none() -> Self {
        Self::sgd(1.0, 0.0)
    }

    /// The same, its learning rate meant for a batch of so many items.
    #[must_use]
    pub fn for_batch(self, batch: usize) -> Self {
        Self {
            learning_rate: self.learning_rate * REFERENCE_BATCH / batch as f64,
            ..self
        }
    }
}

/// The optimizers there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Optimizer {
    /// Stochastic gradient descent with momentum, as PyTorch has it.
    Sgd,
    /// Loshchilov & Hutter 2019.
    Adamw,
    /// You et al. 2017: SGD whose step is scaled by each layer's own norm.
    Lars,
}
