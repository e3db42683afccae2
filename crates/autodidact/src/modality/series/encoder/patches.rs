//! PatchTST (Nie et al. 2023, yuqinie98/PatchTST): each channel by itself is cut into patches of some steps, and a
//! transformer goes over the patches of a channel; all channels share its weights.
//!
//! A token is what was made of one patch of every channel, side by side, so that whole moments are hidden: the others
//! can't be told from another channel. What is hidden is restored on the scale of the batch. Differs: pre-norm blocks
//! with layer norm and an inner width of four times the outer one, as everywhere here.

use autodidact_kernels::{embedding, gather_tokens, linear_residual};
use burn::module::{Module, Param};
use burn::tensor::{Bool, Device, Int, Tensor};

use super::super::batch::SeriesBatch;
use crate::error::{Error, Result};
use crate::layers::masking::Mask;
use crate::layers::positions::sine_cosine_grid;
use crate::layers::{Init, LayerNorm, Linear, TransformerBlock};
use crate::modality::Tokens;

/// Patches, learned positions, transformer blocks, a last norm.
#[derive(Module, Debug)]
pub struct PatchTransformer {
    embed: Linear,
    /// `[places, width]`.
    positions: Param<Tensor<2>>,
    blocks: Vec<TransformerBlock>,
    norm: LayerNorm,
    patch: usize,
    channels: usize,
    missing: bool,
}

impl PatchTransformer {
    /// Values in a step.
    pub(super) fn channels(&self) -> usize {
        self.channels
    }

    /// For series of `length` steps of `channels` values, of which some may be missing, cut into patches of `patch` steps.
    pub(super) fn new(
        [length, patch, channels]: [usize; 3],
        missing: bool,
        [width, depth, heads]: [usize; 3],
        init: &mut Init,
    ) -> Self {
        let inputs = if missing { 2 * patch } else { patch };
        Self {
            embed: Linear::xavier(inputs, width, init),
            positions: init.uniform([length.div_ceil(patch).max(1), width], 0.02),
            blocks: (0..depth)
                .map(|_| TransformerBlock::new(width, heads, init))
                .collect(),
            norm: LayerNorm::new(width, 1e-6, init),
            patch,
            channels,
            missing,
        }
    }

    /// `[batch, patches, channels · width]`.
    pub(super) fn tokens(&self, batch: &SeriesBatch) -> Tokens {
        let places = batch.values.dims()[1].div_ceil(self.patch);
        let rows = self.input(batch, places); // [batch · channels, places, inputs]
        let numbers = (0..places).map(|place| place.min(self.places() - 1) as i64);
        let numbers: Vec<i64> = numbers.collect();
        let numbers = Tensor::<1, Int>::from_data(numbers.as_slice(), &rows.device());
        let positions = self.positions.val().select(0, numbers).unsqueeze_dim(0);
        let valid = batch.valid_tokens(self.patch, places);
        let x = self.embed.forward(rows) + positions;
        Tokens {
            values: self.encode(x, valid.clone()),
            valid,
        }
    }

    /// The kept patches only, `[batch, kept, channels · width]`.
    pub(super) fn visible(&self, batch: &SeriesBatch, keep: &Tensor<2, Int>) -> Tensor<3> {
        let [count, kept] = keep.dims();
        let rows = self.input(batch, self.places());
        let of_rows = keep.clone().unsqueeze_dim::<3>(1); // [batch, 1, kept]
        let of_rows = of_rows.repeat_dim(1, self.channels);
        let of_rows = of_rows.reshape([count * self.channels, kept]);
        // What is hidden is left out before anything is computed of it.
        let rows = gather_tokens(rows, of_rows.clone());
        let positions = embedding(self.positions.val(), of_rows);
        let bias = self.embed.bias.as_ref().map(|bias| bias.val());
        let x = linear_residual(positions, rows, self.embed.weight.val(), bias);
        let valid = batch.valid_tokens(self.patch, self.places()).map(|valid| {
            let flags = valid.float().unsqueeze_dim::<3>(2);
            let flags = gather_tokens(flags, keep.clone()).squeeze_dim::<2>(2);
            // Of a short row nothing real may have been kept, and something has to be looked at.
            let kept_none = flags.clone().sum_dim(1).lower_elem(0.5);
            flags
                .greater_elem(0.5)
                .bool_or(kept_none.expand([count, kept]))
        });
        self.encode(x, valid)
    }

    /// Blocks over the patches of each channel, `[batch · channels, patches, width]` →
    /// `[batch, patches, channels · width]`.
    fn encode(&self, mut x: Tensor<3>, valid: Option<Tensor<2, Bool>>) -> Tensor<3> {
        let [rows, places, width] = x.dims();
        let (channels, count) = (self.channels, rows / self.channels);
        let valid = valid.map(|valid| {
            let valid = valid.unsqueeze_dim::<3>(1).repeat_dim(1, channels);
            valid.reshape([rows, places])
        });
        for block in &self.blocks {
            x = block.forward(x, valid.clone());
        }
        self.norm
            .forward(x)
            .reshape([count, channels, places, width])
            .swap_dims(1, 2)
            .reshape([count, places, channels * width])
    }

    /// Number of patches that there are positions for.
    pub(super) fn places(&self) -> usize {
        self.positions.dims()[0]
    }

    /// Steps of a patch.
    pub(super) fn patch(&self) -> usize {
        self.patch
    }

    /// Width of a token, all channels side by side.
    pub(super) fn dim(&self) -> usize {
        self.channels * self.norm.weight.dims()[0]
    }

    /// Values that a hidden token is restored to.
    pub(super) fn target_dim(&self) -> usize {
        self.patch * self.channels
    }

    /// Number of transformer blocks.
    pub(super) fn depth(&self) -> usize {
        self.blocks.len()
    }

    /// Fixed positions of the patches for a decoder of width `dim`.
    ///
    /// # Errors
    /// When `dim` is no multiple of four.
    pub(super) fn decoder_positions(&self, dim: usize, device: &Device) -> Result<Tensor<3>> {
        if !dim.is_multiple_of(4) {
            return Err(
                Error::recipe(format!("positions of width {dim}")).expected("a multiple of four")
            );
        }
        Ok(sine_cosine_grid(1, self.places(), dim, 0, device))
    }

    /// Mean squared error of predictions `[batch, places, target_dim]` on what was hidden and is there.
    pub(super) fn hidden_loss(
        &self,
        predictions: Tensor<3>,
        batch: &SeriesBatch,
        mask: &Mask,
    ) -> Tensor<1> {
        let cut = |values: Tensor<3>| self.cut(values, self.places());
        let targets = cut(batch.values.clone());
        let mut counts = mask.hidden.clone().unsqueeze_dim::<3>(2); // [batch, places, 1]
        // The last patch may reach beyond the last step.
        counts = counts * cut(batch.there());
        let error = (predictions - targets).square() * counts.clone();
        error.sum() / counts.sum().clamp_min(1.0)
    }

    /// Values `[batch, time, channels]` whose hidden patches are what the predictions say, or not a number.
    pub(super) fn filled(
        &self,
        batch: &SeriesBatch,
        mask: &Mask,
        predictions: Option<Tensor<3>>,
    ) -> Tensor<3> {
        let values = batch.values.clone();
        let [count, time, channels] = values.dims();
        let (places, dim) = (self.places(), self.target_dim());
        let patches = self.cut(values, places);
        let hidden = mask.hidden.clone().greater_elem(0.5);
        let hidden = hidden.unsqueeze_dim::<3>(2).expand([count, places, dim]);
        let fill = predictions.unwrap_or_else(|| patches.full_like(f32::NAN));
        let filled = patches.mask_where(hidden, fill);
        let filled = filled.reshape([count, places * self.patch, channels]);
        fitted(filled, time)
    }

    /// What each patch of each channel is, `[batch · channels, places, inputs]`, and where its values are there.
    fn input(&self, batch: &SeriesBatch, places: usize) -> Tensor<3> {
        let rows = |values: Tensor<3>| {
            let count = values.dims()[0];
            fitted(values, places * self.patch)
                .reshape([count, places, self.patch, self.channels])
                .permute([0, 3, 1, 2])
                .reshape([count * self.channels, places, self.patch])
        };
        let values = rows(batch.values.clone());
        if !self.missing {
            return values;
        }
        Tensor::cat(vec![values, rows(batch.there())], 2)
    }

    /// `[batch, time, channels]` → `[batch, places, patch · channels]`.
    fn cut(&self, values: Tensor<3>, places: usize) -> Tensor<3> {
        let count = values.dims()[0];
        fitted(values, places * self.patch).reshape([count, places, self.target_dim()])
    }
}

/// As many steps as are asked for, `[batch, time, channels]` → `[batch, length, channels]`: the first, or all and zeros.
fn fitted(values: Tensor<3>, length: usize) -> Tensor<3> {
    let [count, time, channels] = values.dims();
    if time >= length {
        return values.narrow(1, 0, length);
    }
    let zeros = Tensor::zeros([count, length - time, channels], &values.device());
    Tensor::cat(vec![values, zeros], 1)
}

/// Steps of a patch for series of `length` steps: some 42 patches as published, a divisor of the length if there is one
/// near.
pub(super) fn patch_for(length: usize) -> usize {
    let about = (length / 42).clamp(4, 32).min(length.max(1));
    (about..2 * about)
        .find(|patch| length.is_multiple_of(*patch))
        .unwrap_or(about)
}
