//! C: masked language modeling with a small BERT; 15 % of the places are asked for.

use autodidact::layers::{Init, LayerNorm, Linear, TransformerBlock};
use autodidact::method::Optimizer;
use autodidact::recipe::Train;
use autodidact_kernels::{cross_entropy, embedding};
use burn::module::{Module, Param};
use burn::tensor::{Int, Tensor};

use super::{Draw, Workload};

/// Random words, and random words to be guessed in their place.
pub(super) struct Words {
    batch: usize,
    length: usize,
    vocabulary: usize,
    dim: usize,
    depth: usize,
    heads: usize,
}

impl Words {
    pub(super) fn new(full: bool) -> Self {
        if full {
            Self {
                batch: 16,
                length: 128,
                vocabulary: 8192,
                dim: 256,
                depth: 4,
                heads: 4,
            }
        } else {
            Self {
                batch: 4,
                length: 20,
                vocabulary: 100,
                dim: 32,
                depth: 2,
                heads: 2,
            }
        }
    }
}

#[derive(Module, Debug)]
pub(super) struct Network {
    /// `[vocabulary, dim]`.
    words: Param<Tensor<2>>,
    /// `[1, length, dim]`.
    positions: Param<Tensor<3>>,
    blocks: Vec<TransformerBlock>,
    norm: LayerNorm,
    predict: Linear,
}

/// What is read, where is asked, and what stands there.
pub(super) struct Batch {
    /// `[batch, length]`.
    words: Tensor<2, Int>,
    /// Places in the batch taken as one text, `[asked]`.
    asked: Tensor<1, Int>,
    /// `[asked]`.
    targets: Tensor<1, Int>,
}

impl Workload for Words {
    type Network = Network;
    type Batch = Batch;

    fn network(&self, init: &mut Init) -> Network {
        let dim = self.dim;
        Network {
            words: init.normal([self.vocabulary, dim], 0.02),
            positions: init.normal([1, self.length, dim], 0.02),
            blocks: (0..self.depth)
                .map(|_| TransformerBlock::new(dim, self.heads, init))
                .collect(),
            norm: LayerNorm::new(dim, 1e-6, init),
            predict: Linear::new(dim, self.vocabulary, true, init),
        }
    }

    fn batch(&self, draw: &mut Draw) -> Batch {
        let places = self.batch * self.length;
        let asked = places * 15 / 100;
        Batch {
            words: draw.below(self.vocabulary, [self.batch, self.length]),
            asked: draw.places(places, asked),
            targets: draw.below(self.vocabulary, [asked]),
        }
    }

    fn loss(&self, network: &Network, batch: &Batch) -> Tensor<1> {
        let mut x = embedding(network.words.val(), batch.words.clone()) + network.positions.val();
        for block in &network.blocks {
            x = block.forward(x, None);
        }
        let x = network.norm.forward(x).flatten::<2>(0, 1);
        let logits = network.predict.forward(x.select(0, batch.asked.clone()));
        cross_entropy(logits, batch.targets.clone(), None)
    }

    fn training(&self) -> Train {
        Train {
            optimizer: Optimizer::Adamw,
            learning_rate: 1e-3,
            weight_decay: 0.01,
            ..Train::default()
        }
    }
}
