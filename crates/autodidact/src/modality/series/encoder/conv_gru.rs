//! CPC's network (van den Oord et al. 2018): strided convolutions make latents, a GRU goes through them.
//!
//! Kernels are twice as long as their strides, as published, and reach backward only: no latent has seen what lies after
//! its own steps, so that the context of a moment depends on nothing that comes later. Differs: layer norm over the
//! channels before each ReLU, as Rivière et al. 2020 (facebookresearch/CPC_audio) found it to be more stable.

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::activation::relu;

use super::super::batch::SeriesBatch;
use super::only_real;
use crate::layers::{Conv1d, Gru, Init, LayerNorm};

/// Added to variances, as in PyTorch.
const EPSILON: f64 = 1e-5;

/// Convolutions with their norms, and a GRU.
#[derive(Module, Debug)]
pub struct ConvGru {
    convs: Vec<Conv1d>,
    norms: Vec<LayerNorm>,
    gru: Gru,
    strides: Vec<usize>,
    missing: bool,
}

impl ConvGru {
    /// Values that it takes in a step, and whether half of them say which are missing.
    pub(super) fn inputs(&self) -> (usize, bool) {
        (self.convs[0].inputs(), self.missing)
    }

    /// For steps of `channels` values, of which some may be missing: latents of `width` channels, states of `dim`.
    pub(super) fn new(
        channels: usize,
        missing: bool,
        [width, dim]: [usize; 2],
        strides: &[usize],
        init: &mut Init,
    ) -> Self {
        let first = if missing { 2 * channels } else { channels };
        let convs = strides.iter().enumerate().map(|(number, &stride)| {
            let inputs = if number == 0 { first } else { width };
            let kernel = (2 * stride).max(3);
            // Zeros before the first step; those after the last one meet windows that are cut off.
            Conv1d::new(inputs, width, kernel, stride, kernel - stride, init)
        });
        let convs = convs.collect();
        let norms = strides.iter().map(|_| LayerNorm::new(width, EPSILON, init));
        Self {
            convs,
            norms: norms.collect(),
            gru: Gru::new(width, dim, init),
            strides: strides.to_vec(),
            missing,
        }
    }

    /// `[batch, ⌈time / stride⌉, width]`.
    pub(super) fn latents(&self, batch: &SeriesBatch) -> Tensor<3> {
        let mut x = batch.input(self.missing);
        // Steps that stand behind a token.
        let mut steps = 1;
        for ((conv, norm), stride) in self.convs.iter().zip(&self.norms).zip(&self.strides) {
            let real = batch.valid_tokens(steps, x.dims()[1]);
            let real = real.map(|real| real.float().unsqueeze_dim::<3>(2));
            let tokens = x.dims()[1].div_ceil(*stride);
            let windows = conv.forward(only_real(x, real.as_ref()));
            x = relu(norm.forward(windows.narrow(1, 0, tokens)));
            steps *= stride;
        }
        x
    }

    /// `[batch, tokens, width]` → `[batch, tokens, dim]`.
    pub(super) fn context(&self, latents: Tensor<3>) -> Tensor<3> {
        self.gru.forward(latents, None)
    }

    /// Steps of time from one latent to the next.
    pub(super) fn stride(&self) -> usize {
        self.strides.iter().product::<usize>().max(1)
    }

    /// Width of a latent.
    pub(super) fn width(&self) -> usize {
        self.gru.weight_ih_l0.dims()[1]
    }

    /// Width of a state.
    pub(super) fn dim(&self) -> usize {
        self.gru.hidden()
    }

    /// Number of convolutions.
    pub(super) fn convolutions(&self) -> usize {
        self.convs.len()
    }
}

/// Strides whose product leaves some 32 to 64 latents of `length` steps, large ones first, at least two of them.
pub(super) fn strides_for(length: usize) -> Vec<usize> {
    let mut left = length / 32;
    let mut strides = Vec::new();
    while left >= 4 {
        strides.push(4);
        left /= 4;
    }
    if left >= 2 {
        strides.push(2);
    }
    while strides.len() < 2 {
        strides.push(1);
    }
    strides
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strides_leave_enough_latents() {
        assert_eq!(strides_for(24), [1, 1]);
        assert_eq!(strides_for(64), [2, 1]);
        assert_eq!(strides_for(512), [4, 4]);
        assert_eq!(strides_for(20_480), [4, 4, 4, 4, 2]);
        for length in [64usize, 100, 500, 5000, 100_000] {
            let stride: usize = strides_for(length).iter().product();
            assert!((32..=128).contains(&length.div_ceil(stride)), "{length}");
        }
    }
}
