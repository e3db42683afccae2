//! The basic block of a residual network, with its norms, as one operation.
//!
//! `out = relu(norm₂(conv₂(relu(norm₁(conv₁(x))))) + shortcut(x))`, with convolutions of 3×3 pixels, the
//! first of which may have a stride; the shortcut is x itself or a norm of a convolution of one pixel.
//! He, Zhang, Ren and Sun, *Deep Residual Learning for Image Recognition* (2016).
//!
//! Operation by operation each convolution and each norm reads its maps from memory and writes others
//! there, which narrow networks spend much of a step on. Here a few images at a time go through the
//! steps between two sums over the batch: a map is normalized on its way into the convolution and summed
//! for the next norm while it is in the cache, and a norm's gradient is made where a convolution's takes
//! it up. In maps of the size of x, where the shortcut is x itself, 7 are read or written forward instead
//! of 11, and 13 instead of 23 backward; the map between the first norm and the second convolution is
//! never kept.
//!
//! Cost: the products of the convolutions, see [`conv2d`](crate::conv2d()).

use burn::tensor::Tensor;

use crate::batch_norm::batch_norm_train;
use crate::conv2d::{Conv2dOptions, conv2d};

#[cfg(feature = "flex")]
mod backward;
#[cfg(feature = "flex")]
mod fused;
#[cfg(feature = "flex")]
mod groups;

/// A convolution without a bias and the norm after it.
#[derive(Clone, Debug)]
pub struct NormedConv {
    /// `[out, channels, kernel, kernel]`.
    pub weight: Tensor<4>,
    /// Scale of the norm, `[out]`.
    pub gamma: Tensor<1>,
    /// Shift of the norm, `[out]`.
    pub beta: Tensor<1>,
}

/// The layers of a basic block.
#[derive(Clone, Debug)]
pub struct ResidualBlock {
    /// Kernels of 3×3 pixels, `[out, channels, 3, 3]` and `[out, out, 3, 3]`, padded by one pixel.
    pub layers: [NormedConv; 2],
    /// The shortcut's kernel of one pixel, `[out, channels, 1, 1]`; without one, x itself is added.
    pub shortcut: Option<NormedConv>,
    /// That of the first convolution and the shortcut.
    pub stride: usize,
}

/// What [`residual_block_train`] gives back.
#[derive(Clone, Debug)]
pub struct ResidualBlockOutput {
    /// `[batch, ⌈height / stride⌉, ⌈width / stride⌉, out]`.
    pub output: Tensor<4>,
    /// The mean and the biased variance of each channel, `[out]`, without a gradient: those of the two
    /// layers' norms, then that of the shortcut's, if it has one.
    pub statistics: Vec<[Tensor<1>; 2]>,
}

/// A residual block whose norms go by the statistics of this batch.
///
/// # Shapes
/// - `x`: `[batch, height, width, channels]`
///
/// `epsilon` is added to the variances.
///
/// # Panics
/// If the shapes don't fit one another, or the stride is 0.
pub fn residual_block_train(
    x: Tensor<4>,
    block: ResidualBlock,
    epsilon: f64,
) -> ResidualBlockOutput {
    train(x, block, epsilon, false)
}

/// The block; with `always`, as one operation also where that doesn't pay.
#[cfg_attr(not(feature = "flex"), allow(unused_variables))]
fn train(x: Tensor<4>, block: ResidualBlock, epsilon: f64, always: bool) -> ResidualBlockOutput {
    check_shapes(&x, &block);
    #[cfg(feature = "flex")]
    {
        let apart = |layer: NormedConv| {
            let norm = [layer.gamma, layer.beta].map(Tensor::into_dispatch);
            (layer.weight.into_dispatch(), norm)
        };
        let (x, stride) = (x.into_dispatch(), block.stride);
        let (layers, shortcut) = (block.layers.map(apart), block.shortcut.map(apart));
        let sizes = fused::sizes(&x, &layers, shortcut.as_ref(), stride);
        if sizes.is_some_and(|sizes| always || sizes.pay()) {
            return fused::train(x, layers, shortcut, stride, epsilon);
        }
        let together = |(weight, norm): fused::Layer| {
            let [gamma, beta] = norm.map(Tensor::from_dispatch);
            NormedConv {
                weight: Tensor::from_dispatch(weight),
                gamma,
                beta,
            }
        };
        let block = ResidualBlock {
            layers: layers.map(together),
            shortcut: shortcut.map(together),
            stride,
        };
        residual_block_train_composed(Tensor::from_dispatch(x), block, epsilon)
    }
    #[cfg(not(feature = "flex"))]
    residual_block_train_composed(x, block, epsilon)
}

fn check_shapes(x: &Tensor<4>, block: &ResidualBlock) {
    let channels = x.dims()[3];
    let [first, second] = &block.layers;
    let out = first.weight.dims()[0];
    let mut expected = vec![(first, [out, channels, 3, 3]), (second, [out, out, 3, 3])];
    expected.extend(
        block
            .shortcut
            .iter()
            .map(|layer| (layer, [out, channels, 1, 1])),
    );
    for (layer, shape) in expected {
        assert_eq!(
            layer.weight.dims(),
            shape,
            "residual_block: the input has {channels} channels and the first weight gives {out}, so \
             that this weight must be {shape:?}",
        );
        for norm in [&layer.gamma, &layer.beta] {
            assert_eq!(
                norm.dims(),
                [out],
                "residual_block: a norm must have a number for each of the {out} channels",
            );
        }
    }
    assert!(
        block.stride > 0,
        "residual_block: a stride must be at least 1"
    );
    assert!(
        block.shortcut.is_some() || (channels == out && block.stride == 1),
        "residual_block: x itself can be added only where channels and size stay; here {channels} \
         channels become {out} with stride {}, so that the shortcut must be a convolution",
        block.stride,
    );
}

/// How the kernels of a block slide.
fn options(kernel: usize, stride: usize) -> Conv2dOptions {
    Conv2dOptions {
        stride: [stride; 2],
        padding: [kernel / 2; 2],
        ..Conv2dOptions::default()
    }
}

/// [`residual_block_train`] composed of the operations of this crate, for any device and any size.
pub fn residual_block_train_composed(
    x: Tensor<4>,
    block: ResidualBlock,
    epsilon: f64,
) -> ResidualBlockOutput {
    let convolve = |x: &Tensor<4>, layer: &NormedConv, stride: usize| {
        let options = options(layer.weight.dims()[2], stride);
        conv2d(x.clone(), layer.weight.clone(), None, options)
    };
    let normalize = |y: Tensor<4>, layer: NormedConv, residual: Option<Tensor<4>>, relu: bool| {
        batch_norm_train(y, layer.gamma, layer.beta, residual, relu, epsilon)
    };
    let [first, second] = block.layers;
    let y = convolve(&x, &first, block.stride);
    let norm1 = normalize(y, first, None, true);
    let (residual, norm3) = match block.shortcut {
        None => (x, None),
        Some(layer) => {
            let y = convolve(&x, &layer, block.stride);
            let norm = normalize(y, layer, None, false);
            (norm.output, Some([norm.mean, norm.variance]))
        }
    };
    let y = convolve(&norm1.output, &second, 1);
    let norm2 = normalize(y, second, Some(residual), true);
    let statistics = [[norm1.mean, norm1.variance], [norm2.mean, norm2.variance]];
    ResidualBlockOutput {
        output: norm2.output,
        statistics: statistics.into_iter().chain(norm3).collect(),
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests;
