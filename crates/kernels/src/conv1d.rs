//! One-dimensional convolution of channels-last sequences.
//!
//! `y[b, i, o] = bias[o] + Σ_{u, c} x[b, i·s + u·d − p, c] · w[o, c, u]`
//!
//! A sequence is an image of height 1: the operation is a reshape, which copies nothing, around
//! [`conv2d`], and costs what that costs.

use burn::tensor::Tensor;
use burn::tensor::ops::ConvOptions;

use crate::conv2d::{Conv2dOptions, conv2d};

/// How a [`conv1d`] slides and what it ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv1dOptions {
    /// Distance in time steps between neighboring windows.
    pub stride: usize,
    /// Zero steps added before and after the sequence.
    pub padding: usize,
    /// Distance in time steps between neighboring taps of the kernel.
    pub dilation: usize,
    /// Number of groups that the channels are cut into; each is convolved by itself.
    pub groups: usize,
    /// Whether the output goes through a ReLU, `max(y, 0)`, while it is still in the cache.
    pub relu: bool,
}

impl Default for Conv1dOptions {
    fn default() -> Self {
        Self {
            stride: 1,
            padding: 0,
            dilation: 1,
            groups: 1,
            relu: false,
        }
    }
}

/// Convolves channels-last sequences.
///
/// # Shapes
/// - `x`: `[batch, length, channels]`
/// - `weight`: `[out, channels / groups, kernel]`, as torch lays it out
/// - `bias`: `[out]`
/// - returns `[batch, length', out]` with
///   `length' = ⌊(length + 2·padding − dilation·(kernel − 1) − 1) / stride⌋ + 1`.
///
/// # Panics
/// If the shapes don't fit one another.
pub fn conv1d(
    x: Tensor<3>,
    weight: Tensor<3>,
    bias: Option<Tensor<1>>,
    options: Conv1dOptions,
) -> Tensor<3> {
    let [batch, length, channels] = x.dims();
    let [out, group_channels, kernel] = weight.dims();
    let options = Conv2dOptions {
        stride: [1, options.stride],
        padding: [0, options.padding],
        dilation: [1, options.dilation],
        groups: options.groups,
        relu: options.relu,
    };
    let y = conv2d(
        x.reshape([batch, 1, length, channels]),
        weight.reshape([out, group_channels, 1, kernel]),
        bias,
        options,
    );
    let [_, _, length, _] = y.dims();
    y.reshape([batch, length, out])
}

/// [`conv1d`] composed of Burn's own operations, for any device.
pub fn conv1d_reference(
    x: Tensor<3>,
    weight: Tensor<3>,
    bias: Option<Tensor<1>>,
    options: Conv1dOptions,
) -> Tensor<3> {
    let Conv1dOptions {
        stride,
        padding,
        dilation,
        groups,
        relu,
    } = options;
    let options = ConvOptions::new([stride], [padding], [dilation], groups);
    let x = x.swap_dims(1, 2); // [batch, channels, length]
    let y = burn::tensor::module::conv1d(x, weight, bias, options).swap_dims(1, 2);
    if relu {
        burn::tensor::activation::relu(y)
    } else {
        y
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests;
