//! Two linear layers of which one gates the other.
//!
//! `y = f(x · W_gᵀ + b_g) ∘ (x · W_uᵀ + b_u)`: SwiGLU with f the SiLU, GEGLU with the GELU, ReGLU
//! with the ReLU. Shazeer, *GLU Variants Improve Transformer* (2020).
//!
//! Both layers are one product with one weight, of `4 · rows · in · out` FLOPs forward and twice
//! that backward. The gate is a read of both halves and a write of the output forward (12 bytes an
//! output); backward, the gradients take the place of the halves in one pass.

use burn::tensor::Tensor;

use crate::linear::{Activation, activate_reference, check_bias, linear_reference};

#[cfg(feature = "flex")]
mod fused;

/// Applies a gated linear layer to the last axis.
///
/// # Shapes
/// - `x`: `[.., in]`
/// - `weight`: `[2 · out, in]`, the gate's rows first
/// - `bias`: `[2 · out]`
/// - returns `[.., out]`
///
/// # Panics
/// If the shapes don't fit one another.
pub fn gated_linear<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    activation: Activation,
) -> Tensor<D> {
    let shape = x.dims();
    let [outs, features] = weight.dims();
    assert_eq!(
        shape[D - 1],
        features,
        "gated_linear: the input {shape:?} must have {features} features in its last axis, as the \
         weight [{outs}, {features}] has",
    );
    assert!(
        outs.is_multiple_of(2),
        "gated_linear: the weight has {outs} rows, expected as many for the gate as for what it \
         gates",
    );
    check_bias("gated_linear", bias.as_ref(), outs);
    #[cfg(feature = "flex")]
    {
        let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
        let bias = bias.map(Tensor::into_dispatch);
        let mut tensors = vec![&x, &weight];
        tensors.extend(bias.as_ref());
        if crate::operation::fusible(&tensors) {
            return Tensor::from_dispatch(fused::gated_linear(x, weight, bias, activation));
        }
        let bias = bias.map(Tensor::from_dispatch);
        let (x, weight) = (Tensor::from_dispatch(x), Tensor::from_dispatch(weight));
        gated_linear_reference(x, weight, bias, activation)
    }
    #[cfg(not(feature = "flex"))]
    gated_linear_reference(x, weight, bias, activation)
}

/// [`gated_linear`] composed of Burn's own operations, for any device.
pub fn gated_linear_reference<const D: usize>(
    x: Tensor<D>,
    weight: Tensor<2>,
    bias: Option<Tensor<1>>,
    activation: Activation,
) -> Tensor<D> {
    let out = weight.dims()[0] / 2;
    let both = linear_reference(x, weight, bias, Activation::None); // [.., 2 · out]
    let gate = both.clone().narrow(D - 1, 0, out);
    activate_reference(gate, activation) * both.narrow(D - 1, out, out)
}

#[cfg(all(test, feature = "flex"))]
mod tests;
