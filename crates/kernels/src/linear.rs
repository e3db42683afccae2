//! A linear layer with its activation.
//!
//! `y = f(x · Wᵀ + b)` with f the identity, the ReLU, the exact GELU `x · Φ(x)` of Hendrycks and
//! Gimpel, *Gaussian Error Linear Units* (2016), its approximation and its forerunner there, the SiLU
//! `x · σ(x)`, or the hyperbolic tangent; or `y = r + x · Wᵀ + b` at the end of a residual branch.
//!
//! The products are blocked for the caches (see the `product` module), and the layer is the 1×1
//! case of the convolution. Cost: `2 · rows · in · out` FLOPs forward and twice that backward.
//! Backward, the activation's derivative is applied in place and the bias' gradient is one more
//! read of it. A residual costs another read of it and of the output forward (12 bytes an element),
//! and nothing backward: its gradient is the output's.

use burn::tensor::Tensor;

#[cfg(feature = "flex")]
pub(crate) mod fused;

/// The factor of `x³` in the approximate GELU, and that of the whole.
pub(crate) const CUBIC: f32 = 0.044_715;
pub(crate) const SQRT_2_OVER_PI: f32 = 0.797_884_6;

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
    /// `x / 2 · (1 + tanh(√(2/π) · (x + 0.044715 · x³)))`, the approximation of the GELU that GPT-2 was
    /// published with.
    GeluTanh,
    /// `x · σ(x)`, also called swish.
    Silu,
    /// The hyperbolic tangent.
    Tanh,
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
    check_bias("linear", bias.as_ref(), out);
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

/// Refuses a bias that isn't as long as the layer has outputs.
#[track_caller]
pub(crate) fn check_bias(name: &str, bias: Option<&Tensor<1>>, out: usize) {
    if let Some(bias) = bias {
        assert_eq!(
            bias.dims(),
            [out],
            "{name}: the bias must have a number for each of the {out} outputs",
        );
    }
}

/// [`linear`] composed of Burn's own operations, for any device.
pub fn linear_reference<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    activation: Activation,
) -> Tensor<D> {
    let y = burn::tensor::module::linear(x, weight.transpose(), bias);
    activate_reference(y, activation)
}

/// An activation by Burn's own operations.
pub(crate) fn activate_reference<const D: usize>(
    x: Tensor<D>,
    activation: Activation,
) -> Tensor<D> {
    match activation {
        Activation::None => x,
        Activation::Relu => burn::tensor::activation::relu(x),
        Activation::Gelu => burn::tensor::activation::gelu(x),
        Activation::GeluTanh => {
            let square = x.clone() * x.clone();
            let inner = x.clone() * (square * CUBIC + 1.0) * SQRT_2_OVER_PI;
            x * (burn::tensor::activation::tanh(inner) + 1.0) * 0.5
        }
        Activation::Silu => burn::tensor::activation::silu(x),
        Activation::Tanh => burn::tensor::activation::tanh(x),
    }
}

/// Applies a linear layer to the last axis and adds it to a residual.
///
/// # Shapes
/// - `residual`, and what is returned: `[.., out]`
/// - `x`: `[.., in]`
/// - `weight`: `[out, in]`, as torch lays it out
/// - `bias`: `[out]`
///
/// # Panics
/// If the shapes don't fit one another.
pub fn linear_residual<const D: usize>(
    residual: Tensor<D>,
    x: Tensor<D>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
) -> Tensor<D> {
    let mut shape = x.dims();
    let [out, features] = weight.dims();
    assert_eq!(
        shape[D - 1],
        features,
        "linear_residual: the input {shape:?} must have {features} features in its last axis, as \
         the weight [{out}, {features}] has",
    );
    shape[D - 1] = out;
    assert_eq!(
        residual.dims(),
        shape,
        "linear_residual: the residual must be shaped as the output",
    );
    check_bias("linear_residual", bias.as_ref(), out);
    #[cfg(feature = "flex")]
    {
        let [residual, x] = [residual.into_dispatch(), x.into_dispatch()];
        let weight = weight.into_dispatch();
        let bias = bias.map(Tensor::into_dispatch);
        let mut tensors = vec![&residual, &x, &weight];
        tensors.extend(bias.as_ref());
        if crate::operation::fusible(&tensors) {
            return Tensor::from_dispatch(fused::linear_residual(residual, x, weight, bias));
        }
        let bias = bias.map(Tensor::from_dispatch);
        let [residual, x] = [residual, x].map(Tensor::from_dispatch);
        linear_residual_reference(residual, x, Tensor::from_dispatch(weight), bias)
    }
    #[cfg(not(feature = "flex"))]
    linear_residual_reference(residual, x, weight, bias)
}

/// [`linear_residual`] composed of Burn's own operations, for any device.
pub fn linear_residual_reference<const D: usize>(
    residual: Tensor<D>,
    x: Tensor<D>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
) -> Tensor<D> {
    residual + burn::tensor::module::linear(x, weight.transpose(), bias)
}

#[cfg(all(test, feature = "flex"))]
mod tests;
