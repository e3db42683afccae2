//! A linear layer with its activation.
//!
//! `y = f(x · Wᵀ + b)` with f the identity, the ReLU or the exact GELU `x · Φ(x)`; Hendrycks and
//! Gimpel, *Gaussian Error Linear Units* (2016).
//!
//! The products are the register tiles of the convolution, of which this is the 1×1 case. Cost:
//! `2 · rows · in · out` FLOPs forward and twice that backward. Backward, the activation's
//! derivative is applied in place and the bias' gradient is one more read of it.

use burn::tensor::Tensor;

#[cfg(feature = "flex")]
mod fused;

/// The function after a [`linear`] layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Activation {
    /// The identity.
    #[default]
    None,
    /// `max(x, 0)`.
    Relu,
    /// `x · Φ(x)`, by the error function.
    Gelu,
}

/// Applies a linear layer to the last axis.
///
/// # Shapes
/// - `x`: `[.., in]`
/// - `weight`: `[out, in]`, as torch lays it out
/// - `bias`: `[out]`
/// - returns `[.., out]`
///
/// # Panics
/// If the shapes don't fit one another.
pub fn linear<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    activation: Activation,
) -> Tensor<D> {
    let shape = x.dims();
    let [out, features] = weight.dims();
    assert_eq!(
        shape[D - 1],
        features,
        "linear: the input {shape:?} must have {features} features in its last axis, as the weight \
         [{out}, {features}] has",
    );
    #[cfg(feature = "flex")]
    {
        let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
        let bias = bias.map(Tensor::into_dispatch);
        let mut tensors = vec![&x, &weight];
        tensors.extend(bias.as_ref());
        if crate::operation::fusible(&tensors) {
            return Tensor::from_dispatch(fused::linear(x, weight, bias, activation));
        }
        let bias = bias.map(Tensor::from_dispatch);
        let (x, weight) = (Tensor::from_dispatch(x), Tensor::from_dispatch(weight));
        linear_reference(x, weight, bias, activation)
    }
    #[cfg(not(feature = "flex"))]
    linear_reference(x, weight, bias, activation)
}

/// [`linear`] composed of Burn's own operations, for any device.
pub fn linear_reference<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    activation: Activation,
) -> Tensor<D> {
    let y = burn::tensor::module::linear(x, weight.transpose(), bias);
    match activation {
        Activation::None => y,
        Activation::Relu => burn::tensor::activation::relu(y),
        Activation::Gelu => burn::tensor::activation::gelu(y),
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests;
