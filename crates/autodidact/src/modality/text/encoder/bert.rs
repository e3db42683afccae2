//! BERT (Devlin et al. 2018) with the names of `transformers`' `BertForMaskedLM`: learned positions, post-norm, and for
//! what was hidden a layer more, whose scores are by the symbols' own vectors.

#![allow(non_snake_case, reason = "the published names")]

use autodidact_kernels::{Activation, embedding, linear};
use burn::module::{Module, Param};
use burn::tensor::{Int, Tensor};

use super::pass::Pass;
use super::{About, Table};
use crate::layers::{Init, LayerNorm, Linear};

/// Added to variances, as published.
const EPSILON: f64 = 1e-12;
/// Deviation of initial weights, as published.
const DEVIATION: f32 = 0.02;

/// The network, and with `cls` the part that says what was hidden.
#[derive(Module, Debug)]
pub struct Bert {
    bert: Body,
    cls: Option<Head>,
    heads: usize,
    pub(super) about: About,
}

#[derive(Module, Debug)]
struct Body {
    embeddings: Embeddings,
    encoder: Layers,
}

#[derive(Module, Debug)]
struct Embeddings {
    /// `[vocabulary, dim]`.
    word_embeddings: Table,
    /// `[length, dim]`.
    position_embeddings: Table,
    /// `[2, dim]`: the first and the second of a pair.
    token_type_embeddings: Table,
    LayerNorm: LayerNorm,
}

#[derive(Module, Debug)]
struct Layers {
    layer: Vec<Layer>,
}

#[derive(Module, Debug)]
struct Layer {
    attention: Attention,
    intermediate: Dense,
    output: Output,
}

#[derive(Module, Debug)]
struct Attention {
    self_: Projections,
    output: Output,
}

#[derive(Module, Debug)]
struct Projections {
    query: Linear,
    key: Linear,
    value: Linear,
}

#[derive(Module, Debug)]
struct Dense {
    dense: Linear,
}

/// Back into the residual stream, which is normalized after the sum.
#[derive(Module, Debug)]
struct Output {
    dense: Linear,
    LayerNorm: LayerNorm,
}

#[derive(Module, Debug)]
struct Head {
    predictions: Predictions,
}

#[derive(Module, Debug)]
struct Predictions {
    transform: Output,
    /// `[vocabulary]`.
    bias: Param<Tensor<1>>,
}

impl Bert {
    /// For at most `length` symbols at once; with `head` it also says what was hidden.
    pub(super) fn new(
        about: About,
        length: usize,
        [dim, depth, heads, inner]: [usize; 4],
        head: bool,
        init: &mut Init,
    ) -> Self {
        let symbols = about.symbols;
        let epsilon = about.settings.epsilon_or(EPSILON);
        let table = |rows: usize, init: &mut Init| Table {
            weight: init.normal([rows, dim], DEVIATION),
        };
        let dense = |from, to, init: &mut Init| Linear::normal(from, to, true, DEVIATION, init);
        let output = |from, init: &mut Init| Output {
            dense: dense(from, dim, init),
            LayerNorm: LayerNorm::new(dim, epsilon, init),
        };
        let embeddings = Embeddings {
            word_embeddings: table(symbols, init),
            position_embeddings: table(length, init),
            token_type_embeddings: table(2, init),
            LayerNorm: LayerNorm::new(dim, epsilon, init),
        };
        let layer = |init: &mut Init| Layer {
            attention: Attention {
                self_: Projections {
                    query: dense(dim, dim, init),
                    key: dense(dim, dim, init),
                    value: dense(dim, dim, init),
                },
                output: output(dim, init),
            },
            intermediate: Dense {
                dense: dense(dim, inner, init),
            },
            output: output(inner, init),
        };
        Self {
            bert: Body {
                embeddings,
                encoder: Layers {
                    layer: (0..depth).map(|_| layer(init)).collect(),
                },
            },
            cls: head.then(|| Head {
                predictions: Predictions {
                    transform: output(dim, init),
                    bias: init.constant([symbols], 0.0),
                },
            }),
            heads,
            about,
        }
    }

    /// `[batch, length]` → `[batch, length, dim]`.
    pub(super) fn tokens(&self, ids: Tensor<2, Int>, pass: &Pass) -> Tensor<3> {
        let of = &self.bert.embeddings;
        let length = ids.dims()[1];
        let places = of.position_embeddings.weight.val().narrow(0, 0, length);
        let kinds = of.token_type_embeddings.weight.val();
        let words = embedding(of.word_embeddings.weight.val(), ids);
        let x = match &pass.kinds {
            Some(of_symbols) => {
                words + embedding(kinds, of_symbols.clone()) + places.unsqueeze_dim(0)
            }
            None => words + (places + kinds.narrow(0, 0, 1)).unsqueeze_dim(0),
        };
        let gelu = self.about.settings.gelu.activation();
        let mut x = pass.dropout.apply(of.LayerNorm.forward(x), 0);
        for (number, layer) in self.bert.encoder.layer.iter().enumerate() {
            let place = 2 * number + 1;
            let own = &layer.attention.self_;
            let mixed = pass.attend(own.forward(x.clone()), self.heads);
            x = layer.attention.output.forward(mixed, x, pass, place);
            let inner = layer.intermediate.dense.activated(x.clone(), gelu);
            x = layer.output.forward(inner, x, pass, place + 1);
        }
        x
    }

    /// `[places, dim]` → `[places, vocabulary]`, with the head.
    pub(super) fn scores(&self, tokens: Tensor<2>) -> Tensor<2> {
        let words = self.bert.embeddings.word_embeddings.weight.val();
        let Some(head) = &self.cls else {
            return linear(tokens, words, None, Activation::None);
        };
        let of = &head.predictions;
        let gelu = self.about.settings.gelu.activation();
        let x = of.transform.dense.activated(tokens, gelu);
        let x = of.transform.LayerNorm.forward(x);
        linear(x, words, Some(of.bias.val()), Activation::None)
    }

    pub(super) fn dim(&self) -> usize {
        self.bert.embeddings.word_embeddings.weight.dims()[1]
    }

    pub(super) fn depth(&self) -> usize {
        self.bert.encoder.layer.len()
    }
}

impl Projections {
    /// Queries, keys and values side by side, by one product: `[…, dim]` → `[…, 3 · dim]`.
    fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        let parts = [&self.query, &self.key, &self.value];
        let weight = Tensor::cat(parts.map(|part| part.weight.val()).to_vec(), 0);
        let bias = parts.map(|part| part.bias.as_ref().map(|bias| bias.val()));
        let bias: Option<Vec<Tensor<1>>> = bias.into_iter().collect();
        linear(
            x,
            weight,
            bias.map(|bias| Tensor::cat(bias, 0)),
            Activation::None,
        )
    }
}

impl Output {
    fn forward(&self, inner: Tensor<3>, x: Tensor<3>, pass: &Pass, place: usize) -> Tensor<3> {
        let sum = if pass.dropout.is_on() {
            x + pass.dropout.apply(self.dense.forward(inner), place)
        } else {
            self.dense.added(inner, x)
        };
        self.LayerNorm.forward(sum)
    }
}
