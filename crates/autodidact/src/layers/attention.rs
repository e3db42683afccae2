//! The pre-norm transformer block of vision transformers, with timm's names.

use autodidact_kernels::{Activation, attention};
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
        let x = x.clone() + self.attn.forward(self.norm1.forward(x), valid);
        x.clone() + self.mlp.forward(self.norm2.forward(x))
    }
}

impl SelfAttention {
    fn forward(&self, x: Tensor<3>, valid: Option<Tensor<2, Bool>>) -> Tensor<3> {
        let [batch, tokens, dim] = x.dims();
        let head = dim / self.heads;
        // [batch, tokens, 3, heads, head] → [3, batch, heads, tokens, head]
        let qkv = self
            .qkv
            .forward(x)
            .reshape([batch, tokens, 3, self.heads, head])
            .permute([2, 0, 3, 1, 4]);
        let part = |i: usize| qkv.clone().narrow(0, i, 1).squeeze_dim::<4>(0);
        let scale = 1.0 / (head as f32).sqrt();
        let mixed = attention(part(0), part(1), part(2), scale, valid);
        self.proj
            .forward(mixed.swap_dims(1, 2).reshape([batch, tokens, dim]))
    }
}

impl Mlp {
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        self.fc2.forward(self.fc1.activated(x, Activation::Gelu))
    }
}
