//! Softmax and its logarithm over the last axis.
//!
//! `y_k = exp(x_k − m) / Σ_j exp(x_j − m)` with m the largest of the row, or the logarithm of it,
//! `x_k − m − log Σ_j exp(x_j − m)`.
//!
//! A row stays in the first-level cache between its passes, so forward reads and writes each
//! element once (8 bytes) and backward reads two and writes one (12 bytes), in place where nothing
//! else holds the gradient. Only the output is kept.

use burn::tensor::Tensor;

#[cfg(feature = "flex")]
mod fused;

/// The softmax of each row of the last axis.
///
/// # Shapes
/// - `x` and the output: `[.., classes]`
pub fn softmax<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    #[cfg(feature = "flex")]
    {
        let x = x.into_dispatch();
        if crate::operation::fusible(&[&x]) {
            return Tensor::from_dispatch(fused::softmax(x, false));
        }
        softmax_reference(Tensor::from_dispatch(x))
    }
    #[cfg(not(feature = "flex"))]
    softmax_reference(x)
}

/// The logarithm of the softmax of each row of the last axis.
///
/// # Shapes
/// - `x` and the output: `[.., classes]`
pub fn log_softmax<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    #[cfg(feature = "flex")]
    {
        let x = x.into_dispatch();
        if crate::operation::fusible(&[&x]) {
            return Tensor::from_dispatch(fused::softmax(x, true));
        }
        log_softmax_reference(Tensor::from_dispatch(x))
    }
    #[cfg(not(feature = "flex"))]
    log_softmax_reference(x)
}

/// [`softmax`] by Burn's own operation, for any device.
pub fn softmax_reference<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    burn::tensor::activation::softmax(x, D - 1)
}

/// [`log_softmax`] by Burn's own operation, for any device.
pub fn log_softmax_reference<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    burn::tensor::activation::log_softmax(x, D - 1)
}

#[cfg(all(test, feature = "flex"))]
mod tests;
