//! Scaled dot-product attention.
//!
//! `y = softmax(scale · Q · Kᵀ) · V` for each image and head, over the keys that are valid.
//! Vaswani et al., *Attention Is All You Need* (2017); the backward pass recomputes the weights
//! from each row's log-sum as Dao et al., *FlashAttention* (2022), so that no `[tokens, tokens]`
//! matrix outlives a block of queries.
//!
//! Cost for each head: `4·T²·D` FLOPs forward and `10·T²·D` backward; kept for the backward pass
//! are the inputs, the output and one float for each query.

use burn::tensor::{Bool, Tensor};

#[cfg(feature = "flex")]
mod fused;
mod spans;

pub use spans::{
    Spans, attention_packed_within, attention_packed_within_reference, attention_within,
    attention_within_reference,
};

/// Attends from each query to the valid keys.
///
/// # Shapes
/// - `q`: `[batch, heads, queries, dim]`
/// - `k`, `v`: `[batch, heads, keys, dim]`, the dimension of `v` being free
/// - `valid`: `[batch, keys]`, true where a key may be seen; all of them may where it is absent
/// - returns `[batch, heads, queries, dim of v]`
///
/// `scale` multiplies the scores, usually `1 / sqrt(dim)`. Where no key is valid the output is
/// zero.
///
/// # Panics
/// If the shapes don't fit one another.
pub fn attention(
    q: Tensor<4>,
    k: Tensor<4>,
    v: Tensor<4>,
    scale: f32,
    valid: Option<Tensor<2, Bool>>,
) -> Tensor<4> {
    let ([batch, heads, _, dim], keys) = (q.dims(), k.dims()[2]);
    assert_eq!(
        k.dims(),
        [batch, heads, keys, dim],
        "attention: the keys must have the batch, heads and dimension of the queries {:?}",
        q.dims(),
    );
    assert_eq!(
        v.dims()[..3],
        [batch, heads, keys],
        "attention: there must be one value for each of the keys {:?}",
        k.dims(),
    );
    if let Some(valid) = &valid {
        assert_eq!(
            valid.dims(),
            [batch, keys],
            "attention: the validity must be given for each key of the batch"
        );
    }
    #[cfg(feature = "flex")]
    {
        let [q, k, v] = [q.into_dispatch(), k.into_dispatch(), v.into_dispatch()];
        let valid = valid.map(Tensor::into_dispatch);
        let mask = valid.as_ref().map(crate::operation::truths);
        if crate::operation::fusible(&[&q, &k, &v]) && !matches!(mask, Some(None)) {
            return Tensor::from_dispatch(fused::attention([q, k, v], scale, seen(mask.flatten())));
        }
        let [q, k, v] = [q, k, v].map(Tensor::from_dispatch);
        attention_reference(q, k, v, scale, valid.map(Tensor::from_dispatch))
    }
    #[cfg(not(feature = "flex"))]
    attention_reference(q, k, v, scale, valid)
}

/// [`attention`] of tokens to one another, from one projection to queries, keys and values.
///
/// The heads are read where the projection wrote them and written where the next one reads them,
/// so that no tensor is permuted; the gradients of queries, keys and values are written into one.
///
/// # Shapes
/// - `qkv`: `[batch, tokens, 3 · heads · dim]`, first the queries of all heads, then the keys, then
///   the values
/// - `valid`: `[batch, tokens]`, as in [`attention`]
/// - returns `[batch, tokens, heads · dim]`
///
/// # Panics
/// If the shapes don't fit one another.
pub fn attention_packed(
    qkv: Tensor<3>,
    heads: usize,
    scale: f32,
    valid: Option<Tensor<2, Bool>>,
) -> Tensor<3> {
    let [batch, tokens, width] = qkv.dims();
    assert!(
        heads > 0 && width.is_multiple_of(3 * heads),
        "attention_packed: {width} features can't be queries, keys and values of {heads} heads",
    );
    if let Some(valid) = &valid {
        assert_eq!(
            valid.dims(),
            [batch, tokens],
            "attention_packed: the validity must be given for each token of the batch"
        );
    }
    #[cfg(feature = "flex")]
    {
        let qkv = qkv.into_dispatch();
        let valid = valid.map(Tensor::into_dispatch);
        let mask = valid.as_ref().map(crate::operation::truths);
        if crate::operation::fusible(&[&qkv]) && !matches!(mask, Some(None)) {
            let output = fused::attention_packed(qkv, heads, scale, seen(mask.flatten()));
            return Tensor::from_dispatch(output);
        }
        let valid = valid.map(Tensor::from_dispatch);
        attention_packed_reference(Tensor::from_dispatch(qkv), heads, scale, valid)
    }
    #[cfg(not(feature = "flex"))]
    attention_packed_reference(qkv, heads, scale, valid)
}

/// [`attention_packed`] composed of Burn's own operations, for any device.
pub fn attention_packed_reference(
    qkv: Tensor<3>,
    heads: usize,
    scale: f32,
    valid: Option<Tensor<2, Bool>>,
) -> Tensor<3> {
    by_heads(qkv, heads, |q, k, v| {
        attention_reference(q, k, v, scale, valid)
    })
}

/// Cuts `[batch, tokens, 3 · heads · dim]` into queries, keys and values, `[batch, heads, tokens, dim]` each, and puts what
/// `attend` makes of them side by side again, `[batch, tokens, heads · dim]`.
fn by_heads(
    qkv: Tensor<3>,
    heads: usize,
    attend: impl FnOnce(Tensor<4>, Tensor<4>, Tensor<4>) -> Tensor<4>,
) -> Tensor<3> {
    let [batch, tokens, width] = qkv.dims();
    let dim = width / (3 * heads);
    let qkv = qkv
        .reshape([batch, tokens, 3, heads, dim])
        .permute([2, 0, 3, 1, 4]); // [3, batch, heads, tokens, dim]
    let [q, k, v] = [0, 1, 2].map(|i| qkv.clone().narrow(0, i, 1).squeeze_dim::<4>(0));
    attend(q, k, v)
        .swap_dims(1, 2)
        .reshape([batch, tokens, heads * dim])
}

/// [`attention`] composed of Burn's own operations, for any device.
pub fn attention_reference(
    q: Tensor<4>,
    k: Tensor<4>,
    v: Tensor<4>,
    scale: f32,
    valid: Option<Tensor<2, Bool>>,
) -> Tensor<4> {
    let scores = q.matmul(k.transpose()) * scale; // [batch, heads, queries, keys]
    let Some(valid) = valid else {
        return burn::tensor::activation::softmax(scores, 3).matmul(v);
    };
    let invalid = valid
        .bool_not()
        .unsqueeze_dims::<4>(&[1, 1])
        .expand(scores.dims());
    // A finite score keeps the softmax of a row without any valid key from being undefined, and
    // the second mask then makes its weights zero.
    let scores = scores.mask_fill(invalid.clone(), -1e30);
    burn::tensor::activation::softmax(scores, 3)
        .mask_fill(invalid, 0.0)
        .matmul(v)
}

#[cfg(feature = "flex")]
fn seen(valid: Option<Vec<bool>>) -> fused::Seen {
    valid.map_or(fused::Seen::All, |valid| fused::Seen::Valid(valid.into()))
}

#[cfg(all(test, feature = "flex"))]
mod tests;
