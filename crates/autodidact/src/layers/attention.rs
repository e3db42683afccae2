//! The pre-norm transformer block of vision transformers, with timm's names.

use autodidact_kernels::{Activation, attention_packed};
use burn::module::Module;
use burn::tensor::{Bool, Tensor};

use super::init::Init;
use super::linear::Linear;
use super::norm::LayerNorm;
use crate::export::onnx::{Attribute, OnnxModel, Value};

/// x + attention(norm1(x)), then x + mlp(norm2(x)) (Vaswani et al. 2017; pre-norm as in Dosovitskiy et al. 2021).
#[derive(Module, Debug)]
pub struct TransformerBlock {
    norm1: LayerNorm,
    attn: SelfAttention,
    norm2: LayerNorm,
    mlp: Mlp,
}

#[derive(Module, Debug)]
struct SelfAttention {
    qkv: Linear,
    proj: Linear,
    heads: usize,
}

#[derive(Module, Debug)]
struct Mlp {
    fc1: Linear,
    fc2: Linear,
}

impl TransformerBlock {
    /// A block of width `dim`, which `heads` divides, with an inner width of 4 · `dim`.
    pub fn new(dim: usize, heads: usize, init: &mut Init) -> Self {
        Self {
            norm1: LayerNorm::new(dim, 1e-6, init),
            attn: SelfAttention {
                qkv: Linear::xavier(dim, 3 * dim, init),
                proj: Linear::xavier(dim, dim, init),
                heads,
            },
            norm2: LayerNorm::new(dim, 1e-6, init),
            mlp: Mlp {
                fc1: Linear::xavier(dim, 4 * dim, init),
                fc2: Linear::xavier(4 * dim, dim, init),
            },
        }
    }

    /// `[batch, tokens, dim]` → the same; tokens that are not `valid` are attended to by none.
    pub fn forward(&self, x: Tensor<3>, valid: Option<Tensor<2, Bool>>) -> Tensor<3> {
        let x = self.attn.added(self.norm1.forward(x.clone()), x, valid);
        self.mlp.added(self.norm2.forward(x.clone()), x)
    }

    /// [`TransformerBlock::forward`] as a graph, all tokens valid.
    pub fn draw(&self, onnx: &mut OnnxModel, x: &Value) -> Value {
        let normed = onnx.within("norm1", |onnx| self.norm1.draw(onnx, x));
        let mixed = onnx.within("attn", |onnx| self.attn.draw(onnx, &normed));
        let x = onnx.node("Add", &[x, &mixed], &[]);
        let normed = onnx.within("norm2", |onnx| self.norm2.draw(onnx, &x));
        let inner = onnx.within("mlp", |onnx| self.mlp.draw(onnx, &normed));
        onnx.node("Add", &[&x, &inner], &[])
    }
}

impl SelfAttention {
    /// The residual plus what the tokens of `x` learn of one another.
    fn added(
        &self,
        x: Tensor<3>,
        residual: Tensor<3>,
        valid: Option<Tensor<2, Bool>>,
    ) -> Tensor<3> {
        let head = x.dims()[2] / self.heads;
        let scale = 1.0 / (head as f32).sqrt();
        let mixed = attention_packed(self.qkv.forward(x), self.heads, scale, valid);
        self.proj.added(mixed, residual)
    }

    fn draw(&self, onnx: &mut OnnxModel, x: &Value) -> Value {
        let dim = self.proj.weight.dims()[0];
        let (heads, head) = (self.heads as i64, (dim / self.heads) as i64);
        let qkv = onnx.within("qkv", |onnx| self.qkv.draw(onnx, x));
        let qkv = onnx.reshape(&qkv, &[0, 0, 3, heads, head]);
        let qkv = onnx.transpose(&qkv, &[2, 0, 3, 1, 4]); // [3, batch, heads, tokens, head]
        let [q, k, v] = [0, 1, 2].map(|place| {
            let place = onnx.integers(&[place]);
            let one = onnx.node("Gather", &[&qkv, &place], &[("axis", Attribute::Int(0))]);
            let axis = onnx.integers(&[0]);
            onnx.node("Squeeze", &[&one, &axis], &[])
        });
        let k = onnx.transpose(&k, &[0, 1, 3, 2]);
        let scores = onnx.node("MatMul", &[&q, &k], &[]);
        let scale = onnx.floats("scale", &[1], &[1.0 / (head as f32).sqrt()]);
        let scores = onnx.node("Mul", &[&scores, &scale], &[]);
        let shares = onnx.node("Softmax", &[&scores], &[("axis", Attribute::Int(-1))]);
        let mixed = onnx.node("MatMul", &[&shares, &v], &[]);
        let mixed = onnx.transpose(&mixed, &[0, 2, 1, 3]);
        let mixed = onnx.reshape(&mixed, &[0, 0, dim as i64]);
        onnx.within("proj", |onnx| self.proj.draw(onnx, &mixed))
    }
}

impl Mlp {
    /// The residual plus what is made of each token of `x` alone.
    fn added(&self, x: Tensor<3>, residual: Tensor<3>) -> Tensor<3> {
        let inner = self.fc1.activated(x, Activation::Gelu);
        self.fc2.added(inner, residual)
    }

    fn draw(&self, onnx: &mut OnnxModel, x: &Value) -> Value {
        let inner = onnx.within("fc1", |onnx| self.fc1.draw(onnx, x));
        // GELU by its definition, x/2 · (1 + erf(x/√2)): it is an operator of its own from set 20 on only.
        let root = onnx.floats("root_of_two", &[1], &[std::f32::consts::SQRT_2]);
        let error = onnx.node("Div", &[&inner, &root], &[]);
        let error = onnx.node("Erf", &[&error], &[]);
        let one = onnx.floats("one", &[1], &[1.0]);
        let gate = onnx.node("Add", &[&error, &one], &[]);
        let gated = onnx.node("Mul", &[&inner, &gate], &[]);
        let half = onnx.floats("half", &[1], &[0.5]);
        let inner = onnx.node("Mul", &[&gated, &half], &[]);
        onnx.within("fc2", |onnx| self.fc2.draw(onnx, &inner))
    }
}
