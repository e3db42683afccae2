//! Attention in which each query sees its own stretch of the keys: what came before it, its own document among several
//! that were packed into one row, what is no padding.

use std::sync::Arc;

use burn::tensor::{Bool, Tensor, TensorData};

#[cfg(feature = "flex")]
use super::fused;

/// The stretch of keys that each query sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spans {
    keys: usize,
    /// `[batch, queries]`: the first key, and the one after the last.
    of: Arc<Vec<[u32; 2]>>,
}

impl Spans {
    /// From `[batch, queries]` pairs of the first key and the one after the last, among `keys`. An empty stretch makes an
    /// output of zeros.
    ///
    /// # Panics
    /// If a stretch ends before it begins, or after the last key.
    pub fn new(of: Vec<[u32; 2]>, keys: usize) -> Self {
        for (place, [from, to]) in of.iter().enumerate() {
            assert!(
                from <= to && *to as usize <= keys,
                "Spans: query {place} sees the keys {from} to {to} of {keys}",
            );
        }
        Self {
            keys,
            of: Arc::new(of),
        }
    }

    /// Each token sees itself and what came before.
    pub fn causal(batch: usize, tokens: usize) -> Self {
        let row = (0..tokens as u32).map(|token| [0, token + 1]);
        Self::new((0..batch).flat_map(|_| row.clone()).collect(), tokens)
    }

    fn fit(&self, batch: usize, queries: usize, keys: usize) {
        assert_eq!(
            (self.of.len(), self.keys),
            (batch * queries, keys),
            "attention: there must be one stretch for each of the queries [{batch}, {queries}], \
             among as many keys",
        );
    }

    /// True where a key isn't seen, `[batch, 1, queries, keys]`.
    fn unseen(&self, batch: usize, like: &Tensor<4>) -> Tensor<4, Bool> {
        let queries = self.of.len() / batch.max(1);
        let unseen = |[from, to]: &[u32; 2]| {
            let (from, to) = (*from as usize, *to as usize);
            (0..self.keys).map(move |key| key < from || key >= to)
        };
        let unseen: Vec<bool> = self.of.iter().flat_map(unseen).collect();
        let data = TensorData::new(unseen, [batch, 1, queries, self.keys]);
        Tensor::from_data(data, &like.device())
    }
}

/// [`attention`](super::attention) in which each query sees its own stretch of the keys.
///
/// # Shapes
/// - `q`: `[batch, heads, queries, dim]`
/// - `k`, `v`: `[batch, heads, keys, dim]`, the dimension of `v` being free
/// - returns `[batch, heads, queries, dim of v]`
///
/// # Panics
/// If the shapes don't fit one another.
pub fn attention_within(
    q: Tensor<4>,
    k: Tensor<4>,
    v: Tensor<4>,
    scale: f32,
    spans: &Spans,
) -> Tensor<4> {
    let ([batch, heads, queries, dim], keys) = (q.dims(), k.dims()[2]);
    assert_eq!(
        (k.dims(), &v.dims()[..3]),
        ([batch, heads, keys, dim], &[batch, heads, keys][..]),
        "attention_within: keys and values must fit the queries {:?}",
        q.dims(),
    );
    spans.fit(batch, queries, keys);
    #[cfg(feature = "flex")]
    {
        let [q, k, v] = [q.into_dispatch(), k.into_dispatch(), v.into_dispatch()];
        if crate::operation::fusible(&[&q, &k, &v]) {
            let seen = fused::Seen::Within(Arc::clone(&spans.of));
            return Tensor::from_dispatch(fused::attention([q, k, v], scale, seen));
        }
        let [q, k, v] = [q, k, v].map(Tensor::from_dispatch);
        attention_within_reference(q, k, v, scale, spans)
    }
    #[cfg(not(feature = "flex"))]
    attention_within_reference(q, k, v, scale, spans)
}

/// [`attention_packed`](super::attention_packed) in which each token sees its own stretch of the others.
///
/// # Shapes
/// - `qkv`: `[batch, tokens, 3 · heads · dim]`, as in `attention_packed`
/// - returns `[batch, tokens, heads · dim]`
///
/// # Panics
/// If the shapes don't fit one another.
pub fn attention_packed_within(
    qkv: Tensor<3>,
    heads: usize,
    scale: f32,
    spans: &Spans,
) -> Tensor<3> {
    let [batch, tokens, width] = qkv.dims();
    assert!(
        heads > 0 && width.is_multiple_of(3 * heads),
        "attention_packed_within: {width} features can't be queries, keys and values of {heads} heads",
    );
    spans.fit(batch, tokens, tokens);
    #[cfg(feature = "flex")]
    {
        let qkv = qkv.into_dispatch();
        if crate::operation::fusible(&[&qkv]) {
            let seen = fused::Seen::Within(Arc::clone(&spans.of));
            return Tensor::from_dispatch(fused::attention_packed(qkv, heads, scale, seen));
        }
        attention_packed_within_reference(Tensor::from_dispatch(qkv), heads, scale, spans)
    }
    #[cfg(not(feature = "flex"))]
    attention_packed_within_reference(qkv, heads, scale, spans)
}

/// [`attention_packed_within`] composed of Burn's own operations, for any device.
pub fn attention_packed_within_reference(
    qkv: Tensor<3>,
    heads: usize,
    scale: f32,
    spans: &Spans,
) -> Tensor<3> {
    super::by_heads(qkv, heads, |q, k, v| {
        attention_within_reference(q, k, v, scale, spans)
    })
}

/// [`attention_within`] composed of Burn's own operations, for any device.
pub fn attention_within_reference(
    q: Tensor<4>,
    k: Tensor<4>,
    v: Tensor<4>,
    scale: f32,
    spans: &Spans,
) -> Tensor<4> {
    let batch = q.dims()[0];
    let scores = q.matmul(k.transpose()) * scale; // [batch, heads, queries, keys]
    let unseen = spans.unseen(batch, &scores).expand(scores.dims());
    // As in `attention_reference`: a row that sees nothing becomes zeros.
    let scores = scores.mask_fill(unseen.clone(), -1e30);
    burn::tensor::activation::softmax(scores, 3)
        .mask_fill(unseen, 0.0)
        .matmul(v)
}
