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
            return Tensor::from_dispatch(fused::attention([q, k, v], scale, mask.flatten()));
        }
        let [q, k, v] = [q, k, v].map(Tensor::from_dispatch);
        attention_reference(q, k, v, scale, valid.map(Tensor::from_dispatch))
    }
    #[cfg(not(feature = "flex"))]
    attention_reference(q, k, v, scale, valid)
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

#[cfg(all(test, feature = "flex"))]
mod tests;
