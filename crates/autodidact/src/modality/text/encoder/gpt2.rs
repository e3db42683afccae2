//! GPT-2 (Radford et al. 2019) with the names of `transformers`' `GPT2LMHeadModel`: learned positions, pre-norm, symbols
//! scored by their own vectors.
//!
//! Weights of layers are `[outputs, inputs]`, as PyTorch's linear layers have them and nanoGPT does; the published files
//! hold them the other way round.

use autodidact_kernels::{Activation, embedding, linear};
use burn::module::Module;
use burn::tensor::{Int, Tensor};

use super::pass::{Cache, Pass, back};
use super::{About, Table};
use crate::layers::{Init, LayerNorm, Linear};

/// Added to variances, as published.
const EPSILON: f64 = 1e-5;

/// The network with its scores.
#[derive(Module, Debug)]
pub struct Gpt2 {
    transformer: Transformer,
    heads: usize,
    pub(super) about: About,
}

#[derive(Module, Debug)]
struct Transformer {
    /// Symbols, `[vocabulary, dim]`.
    wte: Table,
    /// Places, `[length, dim]`.
    wpe: Table,
    h: Vec<Block>,
    ln_f: LayerNorm,
}

#[derive(Module, Debug)]
struct Block {
    ln_1: LayerNorm,
    attn: Attention,
    ln_2: LayerNorm,
    mlp: Mlp,
}

#[derive(Module, Debug)]
struct Attention {
    c_attn: Linear,
    c_proj: Linear,
}

#[derive(Module, Debug)]
struct Mlp {
    c_fc: Linear,
    c_proj: Linear,
}

impl Gpt2 {
    /// For at most `length` symbols at once; weights are normal with deviation 0.02, those
    /// that lead back into the residual stream less by √(2 · depth).
    pub(super) fn new(
        about: About,
        length: usize,
        [dim, depth, heads, inner]: [usize; 4],
        init: &mut Init,
    ) -> Self {
        let symbols = about.symbols;
        let epsilon = about.settings.epsilon_or(EPSILON);
        let last = 0.02 / (2.0 * depth as f32).sqrt();
        let wte = Table {
            weight: init.normal([symbols, dim], 0.02),
        };
        let wpe = Table {
            weight: init.normal([length, dim], 0.02),
        };
        let block = |init: &mut Init| Block {
            ln_1: LayerNorm::new(dim, epsilon, init),
            attn: Attention {
                c_attn: Linear::normal(dim, 3 * dim, true, 0.02, init),
                c_proj: Linear::normal(dim, dim, true, last, init),
            },
            ln_2: LayerNorm::new(dim, epsilon, init),
            mlp: Mlp {
                c_fc: Linear::normal(dim, inner, true, 0.02, init),
                c_proj: Linear::normal(inner, dim, true, last, init),
            },
        };
        Self {
            transformer: Transformer {
                wte,
                wpe,
                h: (0..depth).map(|_| block(init)).collect(),
                ln_f: LayerNorm::new(dim, epsilon, init),
            },
            heads,
            about,
        }
    }

    /// `[batch, length]` → `[batch, length, dim]`.
    pub(super) fn tokens(&self, ids: Tensor<2, Int>, pass: &Pass) -> Tensor<3> {
        let gelu = self.about.settings.gelu.activation();
        let mut x = pass.dropout.apply(self.embed(ids, 0), 0);
        for (number, block) in self.transformer.h.iter().enumerate() {
            let mix = |qkv| pass.attend(qkv, self.heads);
            x = block.forward(x, mix, gelu, Some((pass, 2 * number + 1)));
        }
        self.transformer.ln_f.forward(x)
    }

    /// The tokens of symbols `[1, new]` that come after those of the cache: `[1, new, dim]`.
    pub(super) fn extend(&self, ids: Tensor<2, Int>, cache: &mut Cache) -> Tensor<3> {
        let new = ids.dims()[1];
        let gelu = self.about.settings.gelu.activation();
        let mut x = self.embed(ids, cache.read);
        for (number, block) in self.transformer.h.iter().enumerate() {
            let mix = |qkv| cache.attend(number, qkv, self.heads);
            x = block.forward(x, mix, gelu, None);
        }
        cache.read += new;
        self.transformer.ln_f.forward(x)
    }

    /// `[places, dim]` → `[places, vocabulary]`.
    pub(super) fn scores(&self, tokens: Tensor<2>) -> Tensor<2> {
        linear(
            tokens,
            self.transformer.wte.weight.val(),
            None,
            Activation::None,
        )
    }

    pub(super) fn dim(&self) -> usize {
        self.transformer.wte.weight.dims()[1]
    }

    pub(super) fn depth(&self) -> usize {
        self.transformer.h.len()
    }

    fn embed(&self, ids: Tensor<2, Int>, from: usize) -> Tensor<3> {
        let length = ids.dims()[1];
        let places = self.transformer.wpe.weight.val().narrow(0, from, length);
        embedding(self.transformer.wte.weight.val(), ids) + places.unsqueeze_dim(0)
    }
}

impl Block {
    /// x + attention(ln_1(x)), then x + mlp(ln_2(x)); `mix` is the attention between the two projections.
    fn forward(
        &self,
        x: Tensor<3>,
        mix: impl FnOnce(Tensor<3>) -> Tensor<3>,
        gelu: Activation,
        dropped: Option<(&Pass, usize)>,
    ) -> Tensor<3> {
        let mixed = mix(self.attn.c_attn.forward(self.ln_1.forward(x.clone())));
        let x = back(&self.attn.c_proj, mixed, x, dropped, 0);
        let inner = self.ln_2.forward(x.clone());
        let inner = self.mlp.c_fc.activated(inner, gelu);
        back(&self.mlp.c_proj, inner, x, dropped, 1)
    }
}
