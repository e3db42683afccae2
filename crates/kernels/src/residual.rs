//! The basic block of a residual network, with its norms, as one operation.
//!
//! `out = relu(norm₂(conv₂(relu(norm₁(conv₁(x))))) + x)`, with convolutions of 3×3 pixels that keep size
//! and channels. He, Zhang, Ren and Sun, *Deep Residual Learning for Image Recognition* (2016).
//!
//! Operation by operation each convolution and each norm reads its maps from memory and writes others
//! there, which narrow networks spend much of a step on. Here a few images at a time go through the
//! steps between two sums over the batch: a map is normalized on its way into the convolution and summed
//! for the next norm while it is in the cache, and a norm's gradient is made where a convolution's takes
//! it up. In maps of the size of x, 7 are read or written forward instead of 11, and 14 instead of 23
//! backward; the map between the first norm and the second convolution is never kept.
//!
//! Cost: the products of two convolutions of 3×3 pixels forward and of four backward, see
//! [`conv2d`](crate::conv2d()).

use burn::tensor::Tensor;

use crate::batch_norm::batch_norm_train;
use crate::conv2d::{Conv2dOptions, conv2d};

#[cfg(feature = "flex")]
mod fused;

/// A convolution of 3×3 pixels and the norm after it.
#[derive(Clone, Debug)]
pub struct NormedConv {
    /// `[channels, channels, 3, 3]`.
    pub weight: Tensor<4>,
    /// Scale of the norm, `[channels]`.
    pub gamma: Tensor<1>,
    /// Shift of the norm, `[channels]`.
    pub beta: Tensor<1>,
}

/// What [`residual_block_train`] gives back.
#[derive(Clone, Debug)]
pub struct ResidualBlockOutput {
    /// Shaped as the input.
    pub output: Tensor<4>,
    /// For each norm the mean and the biased variance of each channel, `[channels]`, without a gradient.
    pub statistics: [[Tensor<1>; 2]; 2],
}

/// A residual block whose norms go by the statistics of this batch.
///
/// # Shapes
/// - `x` and the output: `[batch, height, width, channels]`
///
/// `epsilon` is added to the variances.
///
/// # Panics
/// If the shapes don't fit one another.
pub fn residual_block_train(
    x: Tensor<4>,
    layers: [NormedConv; 2],
    epsilon: f64,
) -> ResidualBlockOutput {
    let channels = x.dims()[3];
    for layer in &layers {
        assert_eq!(
            layer.weight.dims(),
            [channels, channels, 3, 3],
            "residual_block: the input has {channels} channels, so that the weights must be \
             [{channels}, {channels}, 3, 3]",
        );
        for norm in [&layer.gamma, &layer.beta] {
            assert_eq!(
                norm.dims(),
                [channels],
                "residual_block: a norm must have a number for each of the {channels} channels",
            );
        }
    }
    #[cfg(feature = "flex")]
    {
        let x = x.into_dispatch();
        let parameters = layers.map(|layer| {
            let norm = [layer.gamma, layer.beta].map(Tensor::into_dispatch);
            (layer.weight.into_dispatch(), norm)
        });
        if fused::applies(&x, &parameters) {
            return fused::train(x, parameters, epsilon);
        }
        let layers = parameters.map(|(weight, norm)| {
            let [gamma, beta] = norm.map(Tensor::from_dispatch);
            NormedConv {
                weight: Tensor::from_dispatch(weight),
                gamma,
                beta,
            }
        });
        residual_block_train_composed(Tensor::from_dispatch(x), layers, epsilon)
    }
    #[cfg(not(feature = "flex"))]
    residual_block_train_composed(x, layers, epsilon)
}

/// [`residual_block_train`] composed of the operations of this crate, for any device and any size.
pub fn residual_block_train_composed(
    x: Tensor<4>,
    layers: [NormedConv; 2],
    epsilon: f64,
) -> ResidualBlockOutput {
    let options = Conv2dOptions {
        padding: [1, 1],
        ..Conv2dOptions::default()
    };
    let [first, second] = layers;
    let y = conv2d(x.clone(), first.weight, None, options);
    let first = batch_norm_train(y, first.gamma, first.beta, None, true, epsilon);
    let y = conv2d(first.output, second.weight, None, options);
    let second = batch_norm_train(y, second.gamma, second.beta, Some(x), true, epsilon);
    ResidualBlockOutput {
        output: second.output,
        statistics: [[first.mean, first.variance], [second.mean, second.variance]],
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests;
