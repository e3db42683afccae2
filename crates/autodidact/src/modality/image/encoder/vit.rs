//! Vision transformers (Dosovitskiy et al. 2021) with timm's names.
//!
//! The field names and layouts are timm's (`blocks.0.attn.qkv.weight`); positions are fixed sines and cosines as in MAE
//! (He et al. 2021), written out at export as `pos_embed`.

use autodidact_kernels::{
    Activation, embedding, gather_tokens, hidden_loss, linear, linear_residual, mean_pool,
    prepend_token,
};
use burn::module::{Module, Param};
use burn::tensor::{Device, Int, Tensor};

use crate::error::{Error, Result};
use crate::export::onnx::{Attribute, OnnxModel, Value};
use crate::layers::init::Init;
use crate::layers::masking::Mask;
use crate::layers::positions::sine_cosine_grid;
use crate::layers::{LayerNorm, TransformerBlock};

/// Added to the variance of a patch before its root is taken, as in MAE.
const PATCH_EPSILON: f64 = 1e-6;

/// Patches, a class token, transformer blocks, a last norm.
#[derive(Module, Debug)]
pub struct Vit {
    cls_token: Param<Tensor<3>>,
    pos_embed: Param<Tensor<3>>,
    patch_embed: PatchEmbedding,
    blocks: Vec<TransformerBlock>,
    norm: LayerNorm,
    patch: usize,
    side: usize,
    channels: usize,
}

#[derive(Module, Debug)]
struct PatchEmbedding {
    proj: Projection,
}

/// A convolution whose stride is its kernel: one matrix product over flattened patches.
#[derive(Module, Debug)]
struct Projection {
    /// `[dim, channels, patch, patch]`, as timm stores it.
    weight: Param<Tensor<4>>,
    bias: Param<Tensor<1>>,
}

impl Vit {
    /// For square images of `size` pixels, cut into patches of `patch` pixels.
    pub fn new(
        size: usize,
        patch: usize,
        channels: usize,
        dim: usize,
        depth: usize,
        heads: usize,
        init: &mut Init,
    ) -> Self {
        let side = size / patch;
        let fan_in = channels * patch * patch;
        // MAE initializes the patch projection like the linear layer that it is.
        let bound = (6.0 / (fan_in + dim) as f32).sqrt();
        let positions = sine_cosine_grid(side, side, dim, 1, init.device());
        Self {
            cls_token: init.normal([1, 1, dim], 0.02),
            pos_embed: Param::from_tensor(positions).set_require_grad(false),
            patch_embed: PatchEmbedding {
                proj: Projection {
                    weight: init.uniform([dim, channels, patch, patch], bound),
                    bias: init.constant([dim], 0.0),
                },
            },
            blocks: (0..depth)
                .map(|_| TransformerBlock::new(dim, heads, init))
                .collect(),
            norm: LayerNorm::new(dim, 1e-6, init),
            patch,
            side,
            channels,
        }
    }

    /// `[batch, size, size, channels]` → `[batch, 1 + patches, dim]`, the class token first.
    pub fn tokens(&self, pixels: Tensor<4>) -> Tensor<3> {
        let (weight, bias) = self.projection();
        let patches = linear(self.cut(pixels), weight, Some(bias), Activation::None);
        self.encode(patches + self.pos_embed.val().narrow(1, 1, self.patches()))
    }

    /// The class token and the kept patches only: `[batch, 1 + kept, dim]`.
    pub fn visible(&self, pixels: Tensor<4>, keep: &Tensor<2, Int>) -> Tensor<3> {
        // What is hidden is left out before anything is computed of it.
        let patches = gather_tokens(self.cut(pixels), keep.clone());
        let positions = self.pos_embed.val().narrow(1, 1, self.patches());
        let positions = embedding(positions.squeeze_dim(0), keep.clone());
        let (weight, bias) = self.projection();
        self.encode(linear_residual(positions, patches, weight, Some(bias)))
    }

    /// The mean of the patch tokens, which serves frozen features better than an untrained class token.
    pub fn pool(&self, tokens: Tensor<3>) -> Tensor<2> {
        let [_, count, _] = tokens.dims();
        mean_pool(tokens.narrow(1, 1, count - 1))
    }

    /// [`Vit::tokens`] and [`Vit::pool`] as a graph, `[batch, channels, size, size]` → `[batch, dim]`.
    pub fn draw(&self, onnx: &mut OnnxModel, x: &Value) -> Value {
        let dim = self.dim() as i64;
        let patches = onnx.within("patch_embed.proj", |onnx| {
            let weight = onnx.weight("weight", self.patch_embed.proj.weight.val());
            let bias = onnx.weight("bias", self.patch_embed.proj.bias.val());
            let stride = Attribute::Ints(vec![self.patch as i64; 2]);
            onnx.node("Conv", &[x, &weight, &bias], &[("strides", stride)])
        });
        let patches = onnx.reshape(&patches, &[0, dim, -1]);
        let patches = onnx.transpose(&patches, &[0, 2, 1]);
        // The class token once for each item: [1, 1, dim] → [batch, 1, dim].
        let batch = [("start", Attribute::Int(0)), ("end", Attribute::Int(1))];
        let batch = onnx.node("Shape", &[x], &batch);
        let rest = onnx.integers(&[1, dim]);
        let shape = onnx.node("Concat", &[&batch, &rest], &[("axis", Attribute::Int(0))]);
        let class = onnx.weight("cls_token", self.cls_token.val());
        let class = onnx.node("Expand", &[&class, &shape], &[]);
        let axis = [("axis", Attribute::Int(1))];
        let tokens = onnx.node("Concat", &[&class, &patches], &axis);
        let positions = onnx.weight("pos_embed", self.pos_embed.val());
        let mut x = onnx.node("Add", &[&tokens, &positions], &[]);
        for (number, block) in self.blocks.iter().enumerate() {
            x = onnx.within(format!("blocks.{number}"), |onnx| block.draw(onnx, &x));
        }
        let x = onnx.within("norm", |onnx| self.norm.draw(onnx, &x));
        let [from, to, axis] = [1, i64::MAX, 1].map(|bound| onnx.integers(&[bound]));
        let patches = onnx.node("Slice", &[&x, &from, &to, &axis], &[]);
        let mean = [
            ("axes", Attribute::Ints(vec![1])),
            ("keepdims", Attribute::Int(0)),
        ];
        onnx.node("ReduceMean", &[&patches], &mean)
    }

    /// Number of transformer blocks.
    pub fn depth(&self) -> usize {
        self.blocks.len()
    }

    /// Width of a token.
    pub fn dim(&self) -> usize {
        self.norm.weight.dims()[0]
    }

    /// Number of patches.
    pub fn patches(&self) -> usize {
        self.side * self.side
    }

    /// Values in a patch.
    pub fn patch_values(&self) -> usize {
        self.patch * self.patch * self.channels
    }

    /// Fixed positions of the patches for a decoder of width `dim`.
    ///
    /// # Errors
    /// When `dim` is no multiple of four.
    pub fn positions(&self, dim: usize, device: &Device) -> Result<Tensor<3>> {
        if !dim.is_multiple_of(4) {
            return Err(
                Error::recipe(format!("positions of width {dim}")).expected("a multiple of four")
            );
        }
        Ok(sine_cosine_grid(self.side, self.side, dim, 0, device))
    }

    /// Mean squared error on the hidden patches, each patch normalized by its own mean and deviation.
    pub fn hidden_loss(&self, predictions: Tensor<3>, pixels: Tensor<4>, mask: &Mask) -> Tensor<1> {
        let hidden = mask.hidden.clone();
        hidden_loss(predictions, self.cut(pixels), hidden, PATCH_EPSILON)
    }

    /// `[batch, size, size, channels]` whose hidden patches are what the predictions `[batch, patches, values]` say. These
    /// are of normalized patches, so each gets back the mean and the deviation of the patch that it stands for: what is
    /// shown of the network's is the pattern, not the level. Without predictions the hidden patches are not a number.
    pub fn filled(
        &self,
        pixels: Tensor<4>,
        mask: &Mask,
        predictions: Option<Tensor<3>>,
    ) -> Tensor<4> {
        let patches = self.cut(pixels);
        let [batch, places, values] = patches.dims();
        let fill = match predictions {
            Some(predictions) => {
                let (variance, mean) = patches.clone().var_mean(2);
                predictions * variance.add_scalar(PATCH_EPSILON).sqrt() + mean
            }
            None => patches.full_like(f32::NAN),
        };
        let hidden = mask.hidden.clone().greater_elem(0.5);
        let hidden = hidden.unsqueeze_dim::<3>(2).expand([batch, places, values]);
        let (side, patch, channels) = (self.side, self.patch, self.channels);
        patches
            .mask_where(hidden, fill)
            .reshape([batch, side, side, patch, patch, channels])
            .permute([0, 1, 3, 2, 4, 5])
            .reshape([batch, side * patch, side * patch, channels])
    }

    /// Pixels → `[batch, patches, patch · patch · channels]`, row by row.
    fn cut(&self, pixels: Tensor<4>) -> Tensor<3> {
        let batch = pixels.dims()[0];
        let (side, patch, channels) = (self.side, self.patch, self.channels);
        pixels
            .reshape([batch, side, patch, side, patch, channels])
            .permute([0, 1, 3, 2, 4, 5])
            .reshape([batch, side * side, self.patch_values()])
    }

    /// Weight and bias of the layer that makes a token of a patch.
    fn projection(&self) -> (Tensor<2>, Tensor<1>) {
        let proj = &self.patch_embed.proj;
        // timm's [dim, channels, row, column] beside pixels that come as [row, column, channels].
        let weight = proj
            .weight
            .val()
            .permute([0, 2, 3, 1])
            .reshape([self.dim(), self.patch_values()]);
        (weight, proj.bias.val())
    }

    fn encode(&self, patches: Tensor<3>) -> Tensor<3> {
        let class = self.cls_token.val() + self.pos_embed.val().narrow(1, 0, 1);
        let mut x = prepend_token(class, patches);
        for block in &self.blocks {
            x = block.forward(x, None);
        }
        self.norm.forward(x)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::init::tests_device;
    use crate::layers::state::state_of;
    use crate::random::{Purpose, stream};

    #[test]
    fn names_and_shapes_are_timms() {
        let mut init = Init::new(0, &tests_device());
        let state = state_of(&Vit::new(224, 16, 3, 192, 12, 3, &mut init));
        // timm's vit_tiny_patch16_224 has 152 entries, 2 of them the classifier.
        assert_eq!(state.len(), 150);
        assert_eq!(state["pos_embed"].shape, [1, 197, 192]);
        assert_eq!(state["patch_embed.proj.weight"].shape, [192, 3, 16, 16]);
        assert_eq!(state["blocks.11.attn.qkv.bias"].shape, [576]);
        assert_eq!(state["blocks.0.mlp.fc1.weight"].shape, [768, 192]);
        let values: usize = state.values().map(|array| array.values.len()).sum();
        assert_eq!(values, 5_524_416, "timm's count without the classifier");
    }

    #[test]
    fn predicting_zero_on_normalized_patches_costs_one_less_a_value() {
        let device = tests_device();
        let mut init = Init::new(0, &device);
        let vit = Vit::new(16, 4, 3, 24, 1, 3, &mut init);
        let pixels =
            Tensor::<4>::random([2, 16, 16, 3], burn::tensor::Distribution::Default, &device);
        let mask = Mask::random(2, 16, 0.75, &mut stream(0, Purpose::Method, &[]), &device);
        let zero = Tensor::<3>::zeros([2, 16, 48], &device);
        let loss: f32 = vit.hidden_loss(zero, pixels, &mask).into_scalar();
        // The unbiased variance leaves (P − 1) / P; P = 48.
        assert!((loss - 47.0 / 48.0).abs() < 1e-4, "{loss}");
    }

    #[test]
    fn the_loss_agrees_with_a_loop_over_hidden_patches() {
        let device = tests_device();
        let (batch, size, patch, channels) = (2, 8, 4, 3);
        let vit = Vit::new(size, patch, channels, 24, 1, 3, &mut Init::new(0, &device));
        let noise =
            |shape| Tensor::<1>::random([shape], burn::tensor::Distribution::Default, &device);
        let pixels = noise(batch * size * size * channels);
        let predictions = noise(batch * 4 * 48);
        let mask = Mask::random(batch, 4, 0.5, &mut stream(1, Purpose::Method, &[]), &device);
        let loss: f32 = vit
            .hidden_loss(
                predictions.clone().reshape([batch, 4, 48]),
                pixels.clone().reshape([batch, size, size, channels]),
                &mask,
            )
            .into_scalar();

        use crate::layers::state::host;
        let (pixels, predictions, hidden) = (host(pixels), host(predictions), host(mask.hidden));
        let (mut sum, mut count) = (0.0, 0.0);
        for item in 0..batch {
            for place in 0..4 {
                if hidden[item * 4 + place] == 0.0 {
                    continue;
                }
                let (top, left) = (place / 2 * patch, place % 2 * patch);
                let mut target = Vec::new();
                for row in top..top + patch {
                    for column in left..left + patch {
                        let at = ((item * size + row) * size + column) * channels;
                        target.extend(pixels[at..at + channels].iter().map(|&x| f64::from(x)));
                    }
                }
                let mean = target.iter().sum::<f64>() / 48.0;
                let variance = target.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 47.0;
                let error = target.iter().enumerate().map(|(i, x)| {
                    let normalized = (x - mean) / (variance + 1e-6).sqrt();
                    (f64::from(predictions[(item * 4 + place) * 48 + i]) - normalized).powi(2)
                });
                sum += error.sum::<f64>() / 48.0;
                count += 1.0;
            }
        }
        assert_eq!(count, 4.0);
        assert!(
            (f64::from(loss) - sum / count).abs() < 1e-5,
            "{loss} beside {}",
            sum / count
        );
    }

    #[test]
    fn what_is_hidden_does_not_reach_the_visible_tokens() {
        let device = tests_device();
        let vit = Vit::new(8, 4, 1, 24, 2, 3, &mut Init::new(0, &device));
        let keep = Tensor::<2, Int>::from_data([[3, 0]], &device);
        let x = Tensor::<4>::random([1, 8, 8, 1], burn::tensor::Distribution::Default, &device);
        let altered = x.clone().slice_fill([0..1, 0..4, 4..8, 0..1], 9.0);
        let tokens = |x| crate::layers::state::host(vit.visible(x, &keep));
        assert_eq!(tokens(x), tokens(altered));
    }

    #[test]
    fn the_normalized_patches_themselves_fill_the_hidden_places_with_what_was_there() {
        use crate::layers::state::host;
        let device = tests_device();
        let vit = Vit::new(12, 4, 3, 24, 1, 3, &mut Init::new(0, &device));
        let x = Tensor::<4>::random([2, 12, 12, 3], burn::tensor::Distribution::Default, &device);
        let mask = Mask::random(2, 9, 0.75, &mut stream(0, Purpose::Method, &[]), &device);
        let patches = vit.cut(x.clone());
        let (variance, mean) = patches.clone().var_mean(2);
        let targets = (patches - mean) / variance.add_scalar(PATCH_EPSILON).sqrt();
        let (pixels, filled) = (
            host(x.clone()),
            host(vit.filled(x.clone(), &mask, Some(targets))),
        );
        for (found, expected) in filled.iter().zip(&pixels) {
            assert!((found - expected).abs() < 1e-5, "{found} beside {expected}");
        }
        // Without predictions exactly the hidden patches are not a number, and the others untouched.
        let (given, hidden) = (host(vit.filled(x, &mask, None)), host(mask.hidden));
        for (at, (found, expected)) in given.iter().zip(&pixels).enumerate() {
            let (item, y, x) = (at / 432, at / 36 % 12, at / 3 % 12);
            if hidden[item * 9 + y / 4 * 3 + x / 4] > 0.5 {
                assert!(found.is_nan());
            } else {
                assert_eq!(found, expected);
            }
        }
    }
}
