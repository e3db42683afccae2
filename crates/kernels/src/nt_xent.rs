//! The NT-Xent loss of SimCLR: cross-entropy over temperature-scaled similarities.
//!
//! `ℓ = 1/2N · Σᵢ (−s_{i,p(i)}/τ + log Σ_{k≠i} exp(s_{ik}/τ))`, with `s = z·zᵀ` and `p(i)` the other
//! view of the same image. Chen et al., *A Simple Framework for Contrastive Learning of Visual
//! Representations* (2020).
//!
//! The similarities are computed in blocks of rows, forward and again backward, so that the
//! `[2N, 2N]` matrix is never stored. Cost: `8·N²·D` FLOPs forward and `16·N²·D` backward.

use burn::tensor::{Int, Tensor};

#[cfg(feature = "flex")]
mod fused;

/// The mean loss over all views.
///
/// # Shapes
/// - `z`: `[2·N, dim]`, rows of unit length, of which `i` and `i + N` are views of the same image
/// - returns `[1]`
///
/// `temperature` divides the similarities and must be positive; SimCLR takes 0.1 to 0.5.
///
/// # Panics
/// If the number of rows is odd or zero.
pub fn nt_xent(z: Tensor<2>, temperature: f64) -> Tensor<1> {
    let [views, _] = z.dims();
    assert!(
        views > 0 && views.is_multiple_of(2),
        "nt_xent: found {views} rows, expected two for each image"
    );
    #[cfg(feature = "flex")]
    {
        let z = z.into_dispatch();
        if crate::operation::fusible(&[&z]) {
            return Tensor::from_dispatch(fused::nt_xent(z, temperature));
        }
        nt_xent_reference(Tensor::from_dispatch(z), temperature)
    }
    #[cfg(not(feature = "flex"))]
    nt_xent_reference(z, temperature)
}

/// [`nt_xent`] composed of Burn's own operations, for any device.
pub fn nt_xent_reference(z: Tensor<2>, temperature: f64) -> Tensor<1> {
    let [views, dim] = z.dims();
    let images = views / 2;
    let other = Tensor::cat(
        vec![
            z.clone().slice([images..views, 0..dim]),
            z.clone().slice([0..images, 0..dim]),
        ],
        0,
    );
    let positive = (z.clone() * other).sum_dim(1) / temperature; // [views, 1]
    let similarities = z.clone().matmul(z.clone().transpose()) / temperature; // [views, views]
    let index = Tensor::<1, Int>::arange(0..views as i64, &z.device());
    let itself = index
        .clone()
        .unsqueeze_dim::<2>(0)
        .equal(index.unsqueeze_dim::<2>(1));
    let similarities = similarities.mask_fill(itself, -1e30);
    let max = similarities.clone().detach().max_dim(1);
    let log_sum = (similarities - max.clone()).exp().sum_dim(1).log() + max;
    (log_sum - positive).mean()
}

#[cfg(all(test, feature = "flex"))]
mod tests;
