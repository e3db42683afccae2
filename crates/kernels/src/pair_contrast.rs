//! The contrast of two views of the same tokens: each finds itself in the other view, among the tokens of its group.
//!
//! With plain inner products, and z′ the other view of z,
//!
//! `ℓ(z) = −log e^{z·z′} / Σ_{u ≠ z} e^{z·u}`, where u is any token of the group in either view.
//!
//! It is the loss of NT-Xent (Chen et al. 2020) without length or temperature, in many groups at once: the tokens of one
//! moment, of all items, and the tokens of one item, of all moments, are the instance-wise and the temporal contrast of
//! TS2Vec (Yue et al. 2022).
//!
//! A group's tokens are gathered where they lie, so that neither view is transposed or joined with the other, and its
//! gradient is found while its similarities are in cache. Cost, for groups of `n` tokens a view: `8·n²·D` FLOPs a group for
//! the loss and as many for the gradient; for groups of more than 256 tokens a view 16 for the gradient, since their
//! similarities are computed again.

use burn::tensor::{Int, Tensor};

use crate::nt_xent::nt_xent;

#[cfg(feature = "flex")]
mod fused;

/// Taken off the similarity of a token with itself, so that it counts for nothing.
const NEVER: f32 = -1e9;

/// Which tokens are a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Among {
    /// Those of all items at one moment.
    Items,
    /// Those of all moments of one item.
    Moments,
}

/// The mean loss over all tokens of both views.
///
/// # Shapes
/// - `a`, `b`: `[items, moments, dim]`, the same tokens in either view
/// - returns `[1]`
///
/// # Panics
/// If the shapes differ or one of their sizes is zero.
pub fn pair_contrast(a: Tensor<3>, b: Tensor<3>, among: Among) -> Tensor<1> {
    let shape = a.dims();
    assert_eq!(shape, b.dims(), "pair_contrast: two views of other shapes");
    assert!(
        !shape.contains(&0),
        "pair_contrast: found {shape:?}, expected tokens of some size"
    );
    #[cfg(feature = "flex")]
    {
        let [items, moments, _] = shape;
        let groups = match among {
            Among::Items => moments,
            Among::Moments => items,
        };
        let (a, b) = (a.into_dispatch(), b.into_dispatch());
        // A group is one thread's work; few of them are better shared out by their rows.
        if groups >= 2 * crate::buffer::threads() && crate::operation::fusible(&[&a, &b]) {
            return Tensor::from_dispatch(fused::pair_contrast(a, b, among));
        }
        pair_contrast_reference(Tensor::from_dispatch(a), Tensor::from_dispatch(b), among)
    }
    #[cfg(not(feature = "flex"))]
    pair_contrast_reference(a, b, among)
}

/// [`pair_contrast`] composed of Burn's own operations, and of [`nt_xent`] where groups are large and few; for any device.
pub fn pair_contrast_reference(a: Tensor<3>, b: Tensor<3>, among: Among) -> Tensor<1> {
    let z = grouped(a, b, among);
    let [groups, tokens, _] = z.dims();
    if groups <= tokens / 2 {
        // Of few large groups no matrix of all similarities is kept.
        return one_by_one(z);
    }
    let device = z.device();
    let other = Tensor::<1, Int>::arange(0..tokens as i64, &device)
        .add_scalar((tokens / 2) as i64)
        .remainder_scalar(tokens as i64);
    let positive = (z.clone() * z.clone().select(1, other)).sum_dim(2); // [groups, tokens, 1]
    let own = Tensor::<2>::eye(tokens, &device).mul_scalar(NEVER);
    let similarities = z.clone().matmul(z.swap_dims(1, 2)) + own.unsqueeze_dim::<3>(0);
    let max = similarities.clone().detach().max_dim(2);
    let log_sum = (similarities - max.clone()).exp().sum_dim(2).log() + max;
    (log_sum - positive).mean()
}

/// Both views of each group's tokens, `[groups, 2·n, dim]`.
fn grouped(a: Tensor<3>, b: Tensor<3>, among: Among) -> Tensor<3> {
    let views = match among {
        Among::Items => vec![a.swap_dims(0, 1), b.swap_dims(0, 1)],
        Among::Moments => vec![a, b],
    };
    Tensor::cat(views, 1)
}

/// The mean loss of groups that are worth all threads each, `[groups, 2·n, dim]`.
fn one_by_one(z: Tensor<3>) -> Tensor<1> {
    let [groups, tokens, dim] = z.dims();
    let losses = (0..groups).map(|group| {
        let z = z.clone().narrow(0, group, 1);
        nt_xent(z.reshape([tokens, dim]), 1.0)
    });
    Tensor::cat(losses.collect(), 0).mean()
}

#[cfg(all(test, feature = "flex"))]
mod tests;
