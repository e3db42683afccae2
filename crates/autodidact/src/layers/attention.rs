//! The pre-norm transformer block of vision transformers, with timm's names.

use autodidact_kernels::{Activation, attention_packed};
use burn::module::Module;
use burn::tensor::{Bool, Tensor};

use super::init::Init;
use super::linear::Linear;
use super::norm::LayerNorm;

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
}

impl Mlp {
    /// The residual plus what is made of each token of `x` alone.
    fn added(&self, x: Tensor<3>, residual: Tensor<3>) -> Tensor<3> {
        let inner = self.fc1.activated(x, Activation::Gelu);
        self.fc2.added(inner, residual)
    }
}
