//! Normalization layers over the last dimension.

use autodidact_kernels::{
    NormedConv, ResidualBlock, batch_norm_eval, batch_norm_train, layer_norm, residual_block_train,
};
use burn::module::{Flag, Module, Param};
use burn::tensor::Tensor;

use super::conv::Conv2d;
use super::init::Init;
use super::running::RunningStatistic;
use crate::export::onnx::{Attribute, OnnxModel, Value};

/// How much of a batch's statistics enters the running ones, as in PyTorch.
const MOMENTUM: f64 = 0.1;
/// Added to the variance, as in PyTorch.
const EPSILON: f64 = 1e-5;

/// Batch normalization (Ioffe & Szegedy 2015) over all but the last dimension, with the ReLU and the residual sum that
/// usually follow it in the same pass.
///
/// Running statistics follow PyTorch: momentum 0.1 and the *unbiased* variance, applied at once, so that a
/// checkpoint taken after a step has seen that step.
#[derive(Module, Debug)]
pub struct BatchNorm {
    /// Scale, `[channels]`.
    pub weight: Param<Tensor<1>>,
    /// Shift, `[channels]`.
    pub bias: Param<Tensor<1>>,
    /// Mean of what has been seen, `[channels]`.
    pub running_mean: RunningStatistic,
    /// Variance of what has been seen, `[channels]`.
    pub running_var: RunningStatistic,
    training: Param<Flag>,
}

impl BatchNorm {
    /// Scale 1, shift 0.
    pub fn new(channels: usize, init: &Init) -> Self {
        Self {
            weight: init.constant([channels], 1.0),
            bias: init.constant([channels], 0.0),
            running_mean: RunningStatistic::new(Tensor::zeros([channels], init.device())),
            running_var: RunningStatistic::new(Tensor::ones([channels], init.device())),
            training: Param::from_bool(true),
        }
    }

    /// Normalizes `[…, channels]`.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        self.fused(x, None, false)
    }

    /// Normalizes, then max(0, ·).
    pub fn relu<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        self.fused(x, None, true)
    }

    /// Normalizes, adds the shortcut, then max(0, ·): the end of a residual block.
    pub fn add_relu<const D: usize>(&self, x: Tensor<D>, shortcut: Tensor<D>) -> Tensor<D> {
        self.fused(x, Some(shortcut), true)
    }

    /// [`BatchNorm::forward`] by the running statistics as a graph, over the second dimension.
    pub fn draw(&self, onnx: &mut OnnxModel, x: &Value) -> Value {
        let weight = onnx.weight("weight", self.weight.val());
        let bias = onnx.weight("bias", self.bias.val());
        let mean = onnx.weight("running_mean", self.running_mean.value());
        let variance = onnx.weight("running_var", self.running_var.value());
        let epsilon = [("epsilon", Attribute::Float(EPSILON as f32))];
        let inputs = [x, &weight, &bias, &mean, &variance];
        onnx.node("BatchNormalization", &inputs, &epsilon)
    }

    fn fused<const D: usize>(
        &self,
        x: Tensor<D>,
        residual: Option<Tensor<D>>,
        relu: bool,
    ) -> Tensor<D> {
        let (weight, bias) = (self.weight.val(), self.bias.val());
        if !self.by_batch(&x) {
            let (mean, variance) = (self.running_mean.value(), self.running_var.value());
            return batch_norm_eval(x, weight, bias, mean, variance, residual, relu, EPSILON);
        }
        let dims = x.dims();
        let rows = dims[..D - 1].iter().product();
        let out = batch_norm_train(x, weight, bias, residual, relu, EPSILON);
        self.observe(out.mean, out.variance, rows);
        out.output
    }

    /// Whether it normalizes by the statistics of the batch, as in training, and not by the running ones.
    pub(crate) fn by_batch<const D: usize>(&self, x: &Tensor<D>) -> bool {
        self.training.is_enabled() && x.device().is_autodiff()
    }

    /// Takes the mean and the biased variance of so many rows into the running statistics.
    fn observe(&self, mean: Tensor<1>, variance: Tensor<1>, rows: usize) {
        let unbiased = rows as f64 / (rows.max(2) - 1) as f64;
        self.running_mean.update(mean, MOMENTUM);
        self.running_var
            .update(variance.mul_scalar(unbiased), MOMENTUM);
    }
}

/// A basic residual block in training, `relu(norm₂(conv₂(relu(norm₁(conv₁(x))))) + shortcut(x))`, in one operation:
/// convolutions of 3×3 pixels, and a shortcut of one pixel or none.
pub(crate) fn residual_block(
    x: Tensor<4>,
    layers: [(&Conv2d, &BatchNorm); 2],
    shortcut: Option<(&Conv2d, &BatchNorm)>,
) -> Tensor<4> {
    let normed = |(conv, norm): (&Conv2d, &BatchNorm)| NormedConv {
        weight: conv.weight.val(),
        gamma: norm.weight.val(),
        beta: norm.bias.val(),
    };
    let block = ResidualBlock {
        layers: layers.map(normed),
        shortcut: shortcut.map(normed),
        stride: layers[0].0.stride(),
    };
    let out = residual_block_train(x, block, EPSILON);
    let rows = out.output.dims()[..3].iter().product();
    let norms = layers.into_iter().chain(shortcut);
    for ((_, norm), [mean, variance]) in norms.zip(out.statistics) {
        norm.observe(mean, variance, rows);
    }
    out.output
}

/// Layer normalization (Ba et al. 2016) over the last dimension.
#[derive(Module, Debug)]
pub struct LayerNorm {
    /// Scale, `[dim]`.
    pub weight: Param<Tensor<1>>,
    /// Shift, `[dim]`.
    pub bias: Param<Tensor<1>>,
    epsilon: f64,
}

impl LayerNorm {
    /// Scale 1, shift 0; ε is 1e-6 in timm's vision transformers.
    pub fn new(dim: usize, epsilon: f64, init: &Init) -> Self {
        Self {
            weight: init.constant([dim], 1.0),
            bias: init.constant([dim], 0.0),
            epsilon,
        }
    }

    /// Normalizes each row of `[…, dim]`.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        layer_norm(x, self.weight.val(), self.bias.val(), self.epsilon)
    }

    /// [`LayerNorm::forward`] as a graph.
    pub fn draw(&self, onnx: &mut OnnxModel, x: &Value) -> Value {
        let weight = onnx.weight("weight", self.weight.val());
        let bias = onnx.weight("bias", self.bias.val());
        let attributes = [
            ("axis", Attribute::Int(-1)),
            ("epsilon", Attribute::Float(self.epsilon as f32)),
        ];
        onnx.node("LayerNormalization", &[x, &weight, &bias], &attributes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::init::tests_device;
    use burn::tensor::TensorData;

    #[test]
    fn running_statistics_follow_the_batch_at_once_and_a_clone_has_its_own() {
        let device = tests_device();
        let norm = BatchNorm::new(1, &Init::new(0, &device));
        let copy = norm.clone();
        let x = Tensor::<2>::from_data(TensorData::from([[1.0f32], [3.0]]), &device);
        norm.forward(x.clone());
        let value = |s: &RunningStatistic| s.value().into_data().try_to_vec::<f32>().unwrap()[0];
        assert!((value(&norm.running_mean) - 0.2).abs() < 1e-6);
        // The variance of 1 and 3 is 2 with Bessel's correction: 0.9 · 1 + 0.1 · 2.
        assert!((value(&norm.running_var) - 1.1).abs() < 1e-6);
        assert_eq!(
            value(&copy.running_mean),
            0.0,
            "a clone must not share its statistics"
        );
        // In evaluation nothing moves, and the running statistics are what normalizes.
        let frozen = norm.valid();
        let y = frozen
            .forward(x.without_autodiff())
            .into_data()
            .try_to_vec::<f32>()
            .unwrap();
        assert!((y[0] - (1.0 - 0.2) / (1.1f32 + 1e-5).sqrt()).abs() < 1e-5);
        assert!((value(&frozen.running_mean) - 0.2).abs() < 1e-6);
    }
}
