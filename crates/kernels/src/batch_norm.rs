//! Batch normalization of channels-last tensors, with the residual and the ReLU that follow it.
//!
//! `y = relu?((x − μ) / sqrt(σ² + ε) · γ + β + residual)`, with the mean μ and the biased variance
//! σ² of each channel over all other axes. Ioffe and Szegedy, *Batch Normalization* (2015).
//!
//! Composed of single operations this takes some ten passes over memory; here it takes two reads
//! and one write forward (the variance by sums shifted by a sample mean, so that a large mean
//! doesn't cancel), and four reads and one write, in place where possible, backward. What a ReLU let
//! through is computed again; only where there is a residual, it is read from the output, and its
//! gradient written. Its cost is this memory traffic: `12 · elements` bytes forward and about
//! `20 · elements` backward, `28 · elements` with residual and ReLU.

use burn::tensor::Tensor;

#[cfg(feature = "flex")]
pub(crate) mod fused;
#[cfg(feature = "flex")]
pub(crate) mod norm;
#[cfg(feature = "flex")]
pub(crate) mod stretches;

/// What [`batch_norm_train`] gives back.
#[derive(Clone, Debug)]
pub struct BatchNormOutput<const D: usize> {
    /// The normalized tensor, shaped as the input.
    pub output: Tensor<D>,
    /// Mean of each channel, `[channels]`, without a gradient.
    pub mean: Tensor<1>,
    /// Biased variance of each channel, `[channels]`, without a gradient.
    pub variance: Tensor<1>,
}

/// Normalizes by the statistics of this batch.
///
/// # Shapes
/// - `x`, `residual` and the output: `[.., channels]`
/// - `gamma`, `beta`, and the mean and variance given back: `[channels]`
///
/// `epsilon` is added to the variance. The residual is added before the ReLU.
///
/// # Panics
/// If the shapes don't fit one another.
pub fn batch_norm_train<const D: usize>(
    x: Tensor<D>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    residual: Option<Tensor<D>>,
    relu: bool,
    epsilon: f64,
) -> BatchNormOutput<D> {
    check_shapes(&x, [&gamma, &beta], residual.as_ref());
    #[cfg(feature = "flex")]
    {
        let [x, gamma, beta] = [
            x.into_dispatch(),
            gamma.into_dispatch(),
            beta.into_dispatch(),
        ];
        let residual = residual.map(Tensor::into_dispatch);
        let mut tensors = vec![&x, &gamma, &beta];
        tensors.extend(residual.as_ref());
        if crate::operation::fusible(&tensors) {
            return fused::train(x, gamma, beta, residual, relu, epsilon);
        }
        batch_norm_train_reference(
            Tensor::from_dispatch(x),
            Tensor::from_dispatch(gamma),
            Tensor::from_dispatch(beta),
            residual.map(Tensor::from_dispatch),
            relu,
            epsilon,
        )
    }
    #[cfg(not(feature = "flex"))]
    batch_norm_train_reference(x, gamma, beta, residual, relu, epsilon)
}

/// Normalizes by given statistics, which get no gradient.
///
/// # Shapes
/// - `x`, `residual` and the output: `[.., channels]`
/// - `gamma`, `beta`, `mean`, `variance`: `[channels]`
///
/// # Panics
/// If the shapes don't fit one another.
#[allow(clippy::too_many_arguments)]
pub fn batch_norm_eval<const D: usize>(
    x: Tensor<D>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    mean: Tensor<1>,
    variance: Tensor<1>,
    residual: Option<Tensor<D>>,
    relu: bool,
    epsilon: f64,
) -> Tensor<D> {
    check_shapes(&x, [&gamma, &beta], residual.as_ref());
    check_shapes(&x, [&mean, &variance], None);
    #[cfg(feature = "flex")]
    {
        let x = x.into_dispatch();
        let channels = [gamma, beta, mean, variance].map(Tensor::into_dispatch);
        let residual = residual.map(Tensor::into_dispatch);
        let mut tensors = vec![&x];
        tensors.extend(&channels);
        tensors.extend(residual.as_ref());
        if crate::operation::fusible(&tensors) {
            return Tensor::from_dispatch(fused::eval(x, channels, residual, relu, epsilon));
        }
        let [gamma, beta, mean, variance] = channels.map(Tensor::from_dispatch);
        let residual = residual.map(Tensor::from_dispatch);
        let x = Tensor::from_dispatch(x);
        batch_norm_eval_reference(x, gamma, beta, mean, variance, residual, relu, epsilon)
    }
    #[cfg(not(feature = "flex"))]
    batch_norm_eval_reference(x, gamma, beta, mean, variance, residual, relu, epsilon)
}

fn check_shapes<const D: usize>(
    x: &Tensor<D>,
    channels: [&Tensor<1>; 2],
    residual: Option<&Tensor<D>>,
) {
    let shape = x.dims();
    for tensor in channels {
        assert_eq!(
            tensor.dims(),
            [shape[D - 1]],
            "batch_norm: the input {shape:?} has {} channels in its last axis, and every \
             parameter must have as many",
            shape[D - 1],
        );
    }
    if let Some(residual) = residual {
        assert_eq!(
            residual.dims(),
            shape,
            "batch_norm: the residual must have the shape of the input"
        );
    }
}

/// [`batch_norm_train`] composed of Burn's own operations, for any device.
pub fn batch_norm_train_reference<const D: usize>(
    x: Tensor<D>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    residual: Option<Tensor<D>>,
    relu: bool,
    epsilon: f64,
) -> BatchNormOutput<D> {
    let shape = x.dims();
    let channels = shape[D - 1];
    let x = x.reshape([shape.iter().product::<usize>() / channels.max(1), channels]);
    let mean = x.clone().mean_dim(0); // [1, channels]
    let variance = (x.clone() - mean.clone()).square().mean_dim(0);
    let normalized = (x - mean.clone()) / (variance.clone() + epsilon).sqrt();
    let output = normalized * gamma.unsqueeze() + beta.unsqueeze();
    BatchNormOutput {
        output: finish(output.reshape(shape), residual, relu),
        mean: mean.detach().reshape([channels]),
        variance: variance.detach().reshape([channels]),
    }
}

/// [`batch_norm_eval`] composed of Burn's own operations, for any device.
#[allow(clippy::too_many_arguments)]
pub fn batch_norm_eval_reference<const D: usize>(
    x: Tensor<D>,
    gamma: Tensor<1>,
    beta: Tensor<1>,
    mean: Tensor<1>,
    variance: Tensor<1>,
    residual: Option<Tensor<D>>,
    relu: bool,
    epsilon: f64,
) -> Tensor<D> {
    let scale = gamma / (variance.detach() + epsilon).sqrt();
    let output = (x - mean.detach().unsqueeze()) * scale.unsqueeze() + beta.unsqueeze();
    finish(output, residual, relu)
}

fn finish<const D: usize>(y: Tensor<D>, residual: Option<Tensor<D>>, relu: bool) -> Tensor<D> {
    let y = match residual {
        Some(residual) => y + residual,
        None => y,
    };
    if relu {
        burn::tensor::activation::relu(y)
    } else {
        y
    }
}

#[cfg(all(test, feature = "flex"))]
pub(crate) mod tests;
