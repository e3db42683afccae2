//! Layer normalization over the last axis.
//!
//! `y = (x − μ) / sqrt(σ² + ε) · γ + β`, with the mean μ and the biased variance σ² of each row.
//! Ba, Kiros and Hinton, *Layer Normalization* (2016).
//!
//! A row stays in the first-level cache between its passes, so forward reads and writes each
//! element once (8 bytes) and backward reads two and writes one (12 bytes), in place where nothing
//! else holds the gradient.

use burn::tensor::Tensor;

#[cfg(feature = "flex")]
pub(crate) mod fused;

/// Normalizes each row of the last axis.
///
/// # Shapes
/// - `x` and the output: `[.., features]`
/// - `gamma`, `beta`: `[features]`
///
/// `epsilon` is added to the variance.
///
/// # Panics
/// If the shapes don't fit one another.
pub fn layer_norm<const D: usize>(
    x: Tensor<D>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    epsilon: f64,
) -> Tensor<D> {
    let shape = x.dims();
    for tensor in [&gamma, &beta] {
        assert_eq!(
            tensor.dims(),
            [shape[D - 1]],
            "layer_norm: the input {shape:?} has {} features in its last axis, and gamma and beta \
             must have as many",
            shape[D - 1],
        );
    }
    #[cfg(feature = "flex")]
    {
        let [x, gamma, beta] = [
            x.into_dispatch(),
            gamma.into_dispatch(),
            beta.into_dispatch(),
        ];
        if crate::operation::fusible(&[&x, &gamma, &beta]) {
            return Tensor::from_dispatch(fused::layer_norm(x, gamma, beta, epsilon));
        }
        let (gamma, beta) = (Tensor::from_dispatch(gamma), Tensor::from_dispatch(beta));
        layer_norm_reference(Tensor::from_dispatch(x), gamma, beta, epsilon)
    }
    #[cfg(not(feature = "flex"))]
    layer_norm_reference(x, gamma, beta, epsilon)
}

/// [`layer_norm`] composed of Burn's own operations, for any device.
pub fn layer_norm_reference<const D: usize>(
    x: Tensor<D>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    epsilon: f64,
) -> Tensor<D> {
    let centered = x.clone() - x.mean_dim(D - 1);
    let variance = centered.clone().square().mean_dim(D - 1); // [.., 1]
    centered / (variance + epsilon).sqrt() * gamma.unsqueeze() + beta.unsqueeze()
}

#[cfg(all(test, feature = "flex"))]
mod tests;
