//! A dense layer in PyTorch's weight layout.

use autodidact_kernels::{Activation, linear, linear_residual};
use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::init::Init;
use crate::export::onnx::{OnnxModel, Value};

/// y = x Wᵀ + b.
#[derive(Module, Debug)]
pub struct Linear {
    /// `[outputs, inputs]`, as PyTorch stores it.
    pub weight: Param<Tensor<2>>,
    /// `[outputs]`.
    pub bias: Option<Param<Tensor<1>>>,
}

impl Linear {
    /// PyTorch's default: weights and bias uniform in ±1/√inputs.
    pub fn new(inputs: usize, outputs: usize, bias: bool, init: &mut Init) -> Self {
        let bound = 1.0 / (inputs.max(1) as f32).sqrt();
        let weight = init.uniform([outputs, inputs], bound);
        let bias = bias.then(|| init.uniform([outputs], bound));
        Self { weight, bias }
    }

    /// Xavier-uniform weights and zero bias, as MAE's transformers use.
    pub fn xavier(inputs: usize, outputs: usize, init: &mut Init) -> Self {
        Self {
            weight: init.xavier_uniform(outputs, inputs),
            bias: Some(init.constant([outputs], 0.0)),
        }
    }

    /// Normal weights and zero bias, as BERT and GPT-2 use.
    pub fn normal(
        inputs: usize,
        outputs: usize,
        bias: bool,
        deviation: f32,
        init: &mut Init,
    ) -> Self {
        Self {
            weight: init.normal([outputs, inputs], deviation),
            bias: bias.then(|| init.constant([outputs], 0.0)),
        }
    }

    /// `[…, inputs]` → `[…, outputs]`.
    pub fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        self.activated(x, Activation::None)
    }

    /// [`Linear::forward`] followed by an activation, in one pass.
    pub fn activated<const D: usize>(&self, x: Tensor<D>, activation: Activation) -> Tensor<D> {
        linear(
            x,
            self.weight.val(),
            self.bias.as_ref().map(|bias| bias.val()),
            activation,
        )
    }

    /// [`Linear::forward`] plus a residual of its output's shape, in one pass.
    pub fn added<const D: usize>(&self, x: Tensor<D>, residual: Tensor<D>) -> Tensor<D> {
        linear_residual(
            residual,
            x,
            self.weight.val(),
            self.bias.as_ref().map(|bias| bias.val()),
        )
    }
    /// [`Linear::forward`] as a graph. The weight keeps its layout and its name; engines turn it over once, on loading.
    pub fn draw(&self, onnx: &mut OnnxModel, x: &Value) -> Value {
        let weight = onnx.weight("weight", self.weight.val());
        let weight = onnx.transpose(&weight, &[1, 0]);
        let product = onnx.node("MatMul", &[x, &weight], &[]);
        match &self.bias {
            Some(bias) => {
                let bias = onnx.weight("bias", bias.val());
                onnx.node("Add", &[&product, &bias], &[])
            }
            None => product,
        }
    }
}
