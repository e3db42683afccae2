//! GELU of a tensor that no linear map goes before.
//!
//! `y = x · Φ(x)`, with Φ the distribution function of the standard normal; Hendrycks and Gimpel,
//! *Gaussian Error Linear Units* (2016). Behind a linear map, [`linear`](crate::linear) does the
//! same on its way out.
//!
//! Each element is read and written once forward (8 bytes) and read twice and written once
//! backward (12 bytes), in place where nothing else holds the gradient; composed of Burn's
//! operations it is a pass over memory for each of them, on one thread.

use burn::tensor::Tensor;
use burn::tensor::activation;

#[cfg(feature = "flex")]
mod fused;

/// Multiplies each element by the probability that a standard normal one is smaller.
///
/// # Shapes
/// - `x` and the output: any, the same
pub fn gelu<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    #[cfg(feature = "flex")]
    {
        let x = x.into_dispatch();
        if crate::operation::fusible(&[&x]) {
            return Tensor::from_dispatch(fused::gelu(x));
        }
        gelu_reference(Tensor::from_dispatch(x))
    }
    #[cfg(not(feature = "flex"))]
    gelu_reference(x)
}

/// [`gelu`] by Burn's own operations, for any device.
pub fn gelu_reference<const D: usize>(x: Tensor<D>) -> Tensor<D> {
    activation::gelu(x)
}

#[cfg(all(test, feature = "flex"))]
mod tests;
