//! Root-mean-square normalization over the last axis.
//!
//! `y = x / sqrt(mean(x²) + ε) · γ`: layer normalization without the mean and the shift. Zhang and
//! Sennrich, *Root Mean Square Layer Normalization* (2019).
//!
//! The kernel is that of [`layer_norm`](crate::layer_norm()), at the same cost in memory and one
//! pass over the cached row less.

use burn::tensor::Tensor;

/// Scales each row of the last axis to a mean square of one, then each feature by its gamma.
///
/// # Shapes
/// - `x` and the output: `[.., features]`
/// - `gamma`: `[features]`
///
/// `epsilon` is added to the mean square.
///
/// # Panics
/// If the shapes don't fit one another.
pub fn rms_norm<const D: usize>(x: Tensor<D>, gamma: Tensor<1>, epsilon: f64) -> Tensor<D> {
    let shape = x.dims();
    assert_eq!(
        gamma.dims(),
        [shape[D - 1]],
        "rms_norm: the input {shape:?} has {} features in its last axis, and gamma must have as \
         many",
        shape[D - 1],
    );
    #[cfg(feature = "flex")]
    {
        let [x, gamma] = [x.into_dispatch(), gamma.into_dispatch()];
        if crate::operation::fusible(&[&x, &gamma]) {
            let output = crate::layer_norm::fused::rms_norm(x, gamma, epsilon);
            return Tensor::from_dispatch(output);
        }
        rms_norm_reference(
            Tensor::from_dispatch(x),
            Tensor::from_dispatch(gamma),
            epsilon,
        )
    }
    #[cfg(not(feature = "flex"))]
    rms_norm_reference(x, gamma, epsilon)
}

/// [`rms_norm`] composed of Burn's own operations, for any device.
pub fn rms_norm_reference<const D: usize>(
    x: Tensor<D>,
    gamma: Tensor<1>,
    epsilon: f64,
) -> Tensor<D> {
    let mean_square = x.clone().square().mean_dim(D - 1); // [.., 1]
    x / (mean_square + epsilon).sqrt() * gamma.unsqueeze()
}

#[cfg(all(test, feature = "flex"))]
mod tests;
