//! D: a masked autoencoder over the patches of small color images, without a class token.

use autodidact::layers::masking::Mask;
use autodidact::layers::{Init, LayerNorm, Linear, TransformerBlock};
use autodidact::method::Optimizer;
use autodidact::recipe::Train;
use autodidact_kernels::{gather_tokens, gather_tokens_or};
use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::{Draw, Workload};

/// Random patches; the mask is the same in each step.
pub(super) struct Patches {
    batch: usize,
    patches: usize,
    /// Values of a patch.
    values: usize,
    encoder: Tower,
    decoder: Tower,
}

struct Tower {
    dim: usize,
    depth: usize,
    heads: usize,
}

impl Tower {
    fn new(dim: usize, depth: usize, heads: usize) -> Self {
        Self { dim, depth, heads }
    }

    fn blocks(&self, init: &mut Init) -> Vec<TransformerBlock> {
        (0..self.depth)
            .map(|_| TransformerBlock::new(self.dim, self.heads, init))
            .collect()
    }
}

impl Patches {
    pub(super) fn new(full: bool) -> Self {
        if full {
            Self {
                batch: 128,
                patches: 64,
                values: 48,
                encoder: Tower::new(192, 6, 3),
                decoder: Tower::new(128, 2, 4),
            }
        } else {
            Self {
                batch: 8,
                patches: 16,
                values: 12,
                encoder: Tower::new(24, 2, 3),
                decoder: Tower::new(16, 1, 2),
            }
        }
    }
}

#[derive(Module, Debug)]
pub(super) struct Network {
    embed: Linear,
    /// `[1, patches, encoder dim]`.
    positions: Param<Tensor<3>>,
    blocks: Vec<TransformerBlock>,
    norm: LayerNorm,
    narrow: Linear,
    /// `[1, 1, decoder dim]`, in the place of each hidden patch.
    blank: Param<Tensor<3>>,
    /// `[1, patches, decoder dim]`.
    decoder_positions: Param<Tensor<3>>,
    decoder_blocks: Vec<TransformerBlock>,
    decoder_norm: LayerNorm,
    predict: Linear,
}

impl Workload for Patches {
    type Network = Network;
    type Batch = (Tensor<3>, Mask);

    fn network(&self, init: &mut Init) -> Network {
        let (encoder, decoder) = (&self.encoder, &self.decoder);
        Network {
            embed: Linear::xavier(self.values, encoder.dim, init),
            positions: init.normal([1, self.patches, encoder.dim], 0.02),
            blocks: encoder.blocks(init),
            norm: LayerNorm::new(encoder.dim, 1e-6, init),
            narrow: Linear::xavier(encoder.dim, decoder.dim, init),
            blank: init.normal([1, 1, decoder.dim], 0.02),
            decoder_positions: init.normal([1, self.patches, decoder.dim], 0.02),
            decoder_blocks: decoder.blocks(init),
            decoder_norm: LayerNorm::new(decoder.dim, 1e-6, init),
            predict: Linear::xavier(decoder.dim, self.values, init),
        }
    }

    fn batch(&self, draw: &mut Draw) -> (Tensor<3>, Mask) {
        let shape = [self.batch, self.patches, self.values];
        let values = draw.normal(shape.iter().product());
        let device = draw.device.clone();
        let mask = Mask::random(self.batch, self.patches, 0.75, &mut draw.rng, &device);
        (draw.inputs(values, shape), mask)
    }

    fn loss(&self, network: &Network, (patches, mask): &(Tensor<3>, Mask)) -> Tensor<1> {
        let x = network.embed.forward(patches.clone()) + network.positions.val();
        let mut x = gather_tokens(x, mask.keep.clone()); // [batch, kept, dim]
        for block in &network.blocks {
            x = block.forward(x, None);
        }
        let seen = network.narrow.forward(network.norm.forward(x));
        let x = gather_tokens_or(seen, network.blank.val(), mask.restore.clone());
        let mut x = x + network.decoder_positions.val();
        for block in &network.decoder_blocks {
            x = block.forward(x, None);
        }
        let predicted = network.predict.forward(network.decoder_norm.forward(x));
        let error = (predicted - patches.clone()).square().mean_dim(2);
        let hidden = mask.hidden.clone();
        (error.squeeze_dim::<2>(2) * hidden.clone()).sum() / hidden.sum()
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
