//! What one pass through a network over symbols goes by: who sees whom, what is dropped, what was read before.

use autodidact_kernels::{Spans, attention_packed, attention_packed_within, attention_within};
use burn::tensor::{Int, Tensor};

use crate::layers::{Dropout, Linear};
use crate::modality::Symbols;
use crate::modality::text::batch::TextBatch;

/// What one pass goes by.
pub(super) struct Pass {
    /// The symbols that each sees; `None` where all see all.
    spans: Option<Spans>,
    /// Which of two texts each symbol belongs to, `[batch, length]`; `None` where there is but one.
    pub(super) kinds: Option<Tensor<2, Int>>,
    pub(super) dropout: Dropout,
}

impl Pass {
    /// For a batch; in a `causal` network symbols see only what came before them.
    pub(super) fn new(batch: &TextBatch, causal: bool, dropout: f64) -> Self {
        // What is looked at outside of training is looked at whole.
        let seed = batch.dropout.filter(|_| batch.ids.device().is_autodiff());
        Self {
            spans: spans(&batch.symbols, causal),
            kinds: batch.kinds.clone(),
            dropout: Dropout::new(dropout, seed),
        }
    }

    /// What the tokens of `[batch, tokens, 3 · heads · dim]` learn of one another, `[batch, tokens, heads · dim]`.
    pub(super) fn attend(&self, qkv: Tensor<3>, heads: usize) -> Tensor<3> {
        let scale = scale(qkv.dims()[2] / (3 * heads));
        match &self.spans {
            Some(spans) => attention_packed_within(qkv, heads, scale, spans),
            None => attention_packed(qkv, heads, scale, None),
        }
    }
}

/// x + layer(inner), of which a part is dropped while training: the `second` of two places for each block.
pub(super) fn back(
    layer: &Linear,
    inner: Tensor<3>,
    x: Tensor<3>,
    dropped: Option<(&Pass, usize)>,
    second: usize,
) -> Tensor<3> {
    match dropped {
        Some((pass, place)) if pass.dropout.is_on() => {
            x + pass.dropout.apply(layer.forward(inner), place + second)
        }
        _ => layer.added(inner, x),
    }
}

fn scale(dim: usize) -> f32 {
    1.0 / (dim as f32).sqrt()
}

/// Each symbol sees its own document, and of padding nobody sees anything.
fn spans(symbols: &Symbols, causal: bool) -> Option<Spans> {
    let length = symbols.length;
    let mut spans = Vec::with_capacity(symbols.ids.len());
    for row in symbols.documents.chunks(length.max(1)) {
        let mut from = 0;
        for document in row.chunk_by(|a, b| a == b) {
            let to = from + document.len() as u32;
            spans.extend((from..to).map(|token| match (document[0], causal) {
                (0, _) => [token, token],
                (_, true) => [from, token + 1],
                (_, false) => [from, to],
            }));
            from = to;
        }
    }
    let all = [0, length as u32];
    if spans.iter().all(|&span| span == all) {
        return None;
    }
    Some(Spans::new(spans, length))
}

/// Keys and values of what was read before, block by block.
#[derive(Debug, Default)]
pub(super) struct Cache {
    /// `[1, heads, read, dim]` each.
    blocks: Vec<[Tensor<4>; 2]>,
    /// Symbols read.
    pub(super) read: usize,
}

impl Cache {
    /// What new tokens `[1, tokens, 3 · heads · dim]` learn of those read before and of one another in a block; their own
    /// keys and values are kept.
    pub(super) fn attend(&mut self, block: usize, qkv: Tensor<3>, heads: usize) -> Tensor<3> {
        let [_, tokens, width] = qkv.dims();
        let dim = width / (3 * heads);
        let parts = qkv.reshape([tokens, 3, heads, dim]).permute([1, 2, 0, 3]);
        let [q, k, v] = [0, 1, 2].map(|part| parts.clone().narrow(0, part, 1));
        let [k, v] = match self.blocks.get(block) {
            Some([keys, values]) => [
                Tensor::cat(vec![keys.clone(), k], 2),
                Tensor::cat(vec![values.clone(), v], 2),
            ],
            None => [k, v],
        };
        let keys = k.dims()[2];
        let before = (keys - tokens) as u32;
        let spans = (0..tokens as u32).map(|token| [0, before + token + 1]);
        let spans = Spans::new(spans.collect(), keys);
        let mixed = attention_within(q, k.clone(), v.clone(), scale(dim), &spans);
        if block < self.blocks.len() {
            self.blocks[block] = [k, v];
        } else {
            self.blocks.push([k, v]);
        }
        mixed.swap_dims(1, 2).reshape([1, tokens, heads * dim])
    }
}
