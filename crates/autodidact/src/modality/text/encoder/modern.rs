//! A transformer as they are built today, with the names of ModernBERT (Warner et al. 2024): pre-norm, rotary positions,
//! GeGLU, no biases; causal, it predicts what comes next.
//!
//! All layers see the whole of a document; ModernBERT's own see a window but for every third.

#![allow(non_snake_case, reason = "the published names")]

use autodidact_kernels::{Activation, embedding, gated_linear, layer_norm, linear};
use burn::module::{Module, Param};
use burn::tensor::{Int, Tensor};

use super::pass::{Cache, Pass, back};
use super::{About, Table};
use crate::layers::rotary::turn;
use crate::layers::{Init, Linear};

/// Added to variances, as published.
const EPSILON: f64 = 1e-5;
/// Deviation of initial weights, as published.
const DEVIATION: f32 = 0.02;

/// The network, and with `head` the part that says which symbol stands where.
#[derive(Module, Debug)]
pub struct Modern {
    model: Body,
    head: Option<Head>,
    heads: usize,
    pub(super) about: About,
}

#[derive(Module, Debug)]
struct Body {
    embeddings: Embeddings,
    layers: Vec<Layer>,
    final_norm: Norm,
}

#[derive(Module, Debug)]
struct Embeddings {
    tok_embeddings: Table,
    norm: Norm,
}

/// Layer normalization without a bias.
#[derive(Module, Debug)]
struct Norm {
    weight: Param<Tensor<1>>,
}

#[derive(Module, Debug)]
struct Layer {
    /// The first layer comes after the norm of the embeddings and has none.
    attn_norm: Option<Norm>,
    attn: Attention,
    mlp_norm: Norm,
    mlp: Mlp,
}

#[derive(Module, Debug)]
struct Attention {
    Wqkv: Linear,
    Wo: Linear,
}

#[derive(Module, Debug)]
struct Mlp {
    /// `[2 · inner, dim]`, what is activated first and what it gates after it.
    Wi: Linear,
    Wo: Linear,
}

#[derive(Module, Debug)]
struct Head {
    dense: Linear,
    norm: Norm,
}

impl Modern {
    /// With `head` it says which symbol stands where.
    pub(super) fn new(
        about: About,
        [dim, depth, heads, inner]: [usize; 4],
        head: bool,
        init: &mut Init,
    ) -> Self {
        let symbols = about.symbols;
        let last = DEVIATION / (2.0 * depth as f32).sqrt();
        let plain =
            |from, to, deviation, init: &mut Init| Linear::normal(from, to, false, deviation, init);
        let embeddings = Embeddings {
            tok_embeddings: Table {
                weight: init.normal([symbols, dim], DEVIATION),
            },
            norm: Norm::new(dim, init),
        };
        let layer = |number: usize, init: &mut Init| Layer {
            attn_norm: (number > 0).then(|| Norm::new(dim, init)),
            attn: Attention {
                Wqkv: plain(dim, 3 * dim, DEVIATION, init),
                Wo: plain(dim, dim, last, init),
            },
            mlp_norm: Norm::new(dim, init),
            mlp: Mlp {
                Wi: plain(dim, 2 * inner, DEVIATION, init),
                Wo: plain(inner, dim, last, init),
            },
        };
        Self {
            model: Body {
                embeddings,
                layers: (0..depth).map(|number| layer(number, init)).collect(),
                final_norm: Norm::new(dim, init),
            },
            head: head.then(|| Head {
                dense: plain(dim, dim, DEVIATION, init),
                norm: Norm::new(dim, init),
            }),
            heads,
            about,
        }
    }

    /// `[batch, length]` → `[batch, length, dim]`.
    pub(super) fn tokens(&self, ids: Tensor<2, Int>, pass: &Pass) -> Tensor<3> {
        let mut x = pass.dropout.apply(self.embed(ids), 0);
        for (number, layer) in self.model.layers.iter().enumerate() {
            let mix = |qkv| pass.attend(turn(qkv, self.heads, 0), self.heads);
            x = layer.forward(x, mix, Some((pass, 2 * number + 1)));
        }
        self.model.final_norm.forward(x)
    }

    /// The tokens of symbols `[1, new]` that come after those of the cache: `[1, new, dim]`.
    pub(super) fn extend(&self, ids: Tensor<2, Int>, cache: &mut Cache) -> Tensor<3> {
        let (new, before) = (ids.dims()[1], cache.read);
        let mut x = self.embed(ids);
        for (number, layer) in self.model.layers.iter().enumerate() {
            let mix = |qkv| cache.attend(number, turn(qkv, self.heads, before), self.heads);
            x = layer.forward(x, mix, None);
        }
        cache.read += new;
        self.model.final_norm.forward(x)
    }

    /// `[places, dim]` → `[places, vocabulary]`, by the symbols' own vectors.
    pub(super) fn scores(&self, tokens: Tensor<2>) -> Tensor<2> {
        let words = self.model.embeddings.tok_embeddings.weight.val();
        let tokens = match &self.head {
            Some(head) => {
                let inner = head.dense.activated(tokens, Activation::Gelu);
                head.norm.forward(inner)
            }
            None => tokens,
        };
        linear(tokens, words, None, Activation::None)
    }

    pub(super) fn dim(&self) -> usize {
        self.model.embeddings.tok_embeddings.weight.dims()[1]
    }

    pub(super) fn depth(&self) -> usize {
        self.model.layers.len()
    }

    fn embed(&self, ids: Tensor<2, Int>) -> Tensor<3> {
        let of = &self.model.embeddings;
        of.norm
            .forward(embedding(of.tok_embeddings.weight.val(), ids))
    }
}

impl Norm {
    fn new(dim: usize, init: &Init) -> Self {
        Self {
            weight: init.constant([dim], 1.0),
        }
    }

    fn forward<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        let weight = self.weight.val();
        let none = Tensor::zeros(weight.dims(), &x.device());
        layer_norm(x, weight, none, EPSILON)
    }
}

impl Layer {
    /// x + attention(attn_norm(x)), then x + mlp(mlp_norm(x)); `mix` is the attention between the two projections.
    fn forward(
        &self,
        x: Tensor<3>,
        mix: impl FnOnce(Tensor<3>) -> Tensor<3>,
        dropped: Option<(&Pass, usize)>,
    ) -> Tensor<3> {
        let normed = match &self.attn_norm {
            Some(norm) => norm.forward(x.clone()),
            None => x.clone(),
        };
        let mixed = mix(self.attn.Wqkv.forward(normed));
        let x = back(&self.attn.Wo, mixed, x, dropped, 0);
        let inner = self.mlp_norm.forward(x.clone());
        let inner = gated_linear(inner, self.mlp.Wi.weight.val(), None, Activation::Gelu);
        back(&self.mlp.Wo, inner, x, dropped, 1)
    }
}
