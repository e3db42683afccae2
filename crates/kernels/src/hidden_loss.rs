//! How far predictions are from hidden rows, each normalized by its own mean and deviation.
//!
//! `ℓ = Σ_r h_r · 1/V · Σ_v (p_rv − (t_rv − μ_r) / sqrt(s_r² + ε))² / Σ_r h_r`, with the mean μ and
//! the unbiased variance s² of each row of V targets. He et al., *Masked Autoencoders Are Scalable
//! Vision Learners* (2021).
//!
//! Forward reads the predictions and targets of hidden rows once (8 bytes an element), backward
//! does so again and writes the gradient (12 bytes); rows that aren't hidden are only filled with
//! zeros.

use burn::tensor::Tensor;

#[cfg(feature = "flex")]
mod fused;

/// The mean squared error on hidden rows.
///
/// # Shapes
/// - `predictions`, `targets`: `[batch, rows, values]`
/// - `hidden`: `[batch, rows]`, how much each row counts: 1 where it is hidden, 0 where it isn't
/// - returns `[1]`
///
/// `epsilon` is added to the variance of a row of targets. Only the predictions have a gradient.
/// Where no row counts, the result is not a number.
///
/// # Panics
/// If the shapes don't fit one another.
pub fn hidden_loss(
    predictions: Tensor<3>,
    targets: Tensor<3>,
    hidden: Tensor<2>,
    epsilon: f64,
) -> Tensor<1> {
    let [batch, rows, values] = predictions.dims();
    assert_eq!(
        targets.dims(),
        [batch, rows, values],
        "hidden_loss: there must be a target for each prediction",
    );
    assert_eq!(
        hidden.dims(),
        [batch, rows],
        "hidden_loss: it must be said of each row of [{batch}, {rows}, {values}] whether it is hidden",
    );
    #[cfg(feature = "flex")]
    {
        let inputs = [predictions, targets.detach()].map(Tensor::into_dispatch);
        let [predictions, targets] = inputs;
        let hidden = hidden.detach().into_dispatch();
        if crate::operation::fusible(&[&predictions, &targets, &hidden]) {
            let loss = fused::hidden_loss([predictions, targets, hidden], epsilon);
            return Tensor::from_dispatch(loss);
        }
        let [predictions, targets] = [predictions, targets].map(Tensor::from_dispatch);
        hidden_loss_reference(predictions, targets, Tensor::from_dispatch(hidden), epsilon)
    }
    #[cfg(not(feature = "flex"))]
    hidden_loss_reference(predictions, targets, hidden, epsilon)
}

/// [`hidden_loss`] composed of Burn's own operations, for any device.
pub fn hidden_loss_reference(
    predictions: Tensor<3>,
    targets: Tensor<3>,
    hidden: Tensor<2>,
    epsilon: f64,
) -> Tensor<1> {
    let (targets, hidden) = (targets.detach(), hidden.detach());
    let mean = targets.clone().mean_dim(2); // [batch, rows, 1]
    let deviation = targets.clone().var(2).add_scalar(epsilon).sqrt();
    let error = (predictions - (targets - mean) / deviation)
        .square()
        .mean_dim(2)
        .squeeze_dim::<2>(2);
    (error * hidden.clone()).sum() / hidden.sum()
}

#[cfg(all(test, feature = "flex"))]
mod tests;
