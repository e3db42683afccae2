//! Two-dimensional convolution of channels-last images.
//!
//! `y[b, i, j, o] = bias[o] + Σ_{u, v, c} x[b, i·s + u·d − p, j·s + v·d − p, c] · w[o, c, u, v]`
//!
//! On Flex it is a direct convolution: register tiles read windows of the image where it lies
//! (see the `tile` module), in the spirit of Georganas et al., *Anatomy of High-Performance Deep
//! Learning Convolutions on SIMD Architectures* (2018). The gradient of the input is the same
//! walk over the output's gradient with a flipped kernel, one walk for each phase of the stride,
//! so a strided convolution does no work on zeros. The gradient of the weight sums the outer
//! products of windows and output gradients, by threads in fixed parts. Groups are convolved one
//! after another within each block of pixels, which stays in the cache. Where every channel is a
//! group of its own (a depthwise convolution), vectors run over the channels instead. A kernel of
//! one pixel without padding makes products of whole matrices (see the `product` module), and one of
//! 3×3 pixels goes by Winograd's filtering (see `winograd`): with stride 1 a third of the products or 4/9
//! of them are left, with stride 2 (see `winograd::strided`) 25 of 36. Where registers are few, as with
//! AVX2, the weight's gradient and deep windows of other kernels are packed for the same products, block
//! by block (see `gathered`).
//!
//! Cost: `2·B·OH·OW·O·C/G·KH·KW` FLOPs in G groups forward, and as many for each of the two
//! gradients; traffic is one read of the input and one write of the output (floats of 4 bytes),
//! the weights being reread from the cache for each block of about 768 pixels. A depthwise
//! convolution is bound by this traffic. Groups of fewer channels than a vector holds (16 with
//! AVX-512) waste the rest of it.

use burn::tensor::Tensor;
use burn::tensor::ops::ConvOptions;

#[cfg(feature = "flex")]
mod depthwise;
#[cfg(feature = "flex")]
pub(crate) mod direct;
#[cfg(feature = "flex")]
mod gathered;
#[cfg(feature = "flex")]
pub(crate) mod images;
#[cfg(feature = "flex")]
pub(crate) mod mixed;
#[cfg(feature = "flex")]
mod pointwise;
#[cfg(feature = "flex")]
pub(crate) mod shapes;
#[cfg(feature = "flex")]
mod walks;
#[cfg(feature = "flex")]
pub(crate) mod winograd;

/// How a [`conv2d`] slides and what it ends with; the pairs are (height, width).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Conv2dOptions {
    /// Distance in pixels between neighboring windows.
    pub stride: [usize; 2],
    /// Zero pixels added before and after each axis.
    pub padding: [usize; 2],
    /// Distance in pixels between neighboring taps of the kernel.
    pub dilation: [usize; 2],
    /// Number of groups that the channels are cut into; each is convolved by itself.
    pub groups: usize,
    /// Whether the output goes through a ReLU, `max(y, 0)`, while it is still in the cache.
    pub relu: bool,
}

impl Default for Conv2dOptions {
    fn default() -> Self {
        Self {
            stride: [1, 1],
            padding: [0, 0],
            dilation: [1, 1],
            groups: 1,
            relu: false,
        }
    }
}

impl Conv2dOptions {
    /// The size of the output of an image of `size` under a kernel of `kernel` pixels.
    ///
    /// # Panics
    /// If the kernel doesn't fit into the padded image.
    pub fn output_size(&self, size: [usize; 2], kernel: [usize; 2]) -> [usize; 2] {
        std::array::from_fn(|axis| {
            let padded = size[axis] + 2 * self.padding[axis];
            let reach = self.dilation[axis] * (kernel[axis] - 1) + 1;
            assert!(
                padded >= reach,
                "conv2d: a kernel that spans {reach} pixels doesn't fit an image of {} with \
                 padding {}; pad more or use a smaller kernel",
                size[axis],
                self.padding[axis],
            );
            (padded - reach) / self.stride[axis] + 1
        })
    }
}

/// Convolves channels-last images.
///
/// # Shapes
/// - `x`: `[batch, height, width, channels]`
/// - `weight`: `[out, channels / groups, kernel height, kernel width]`
/// - `bias`: `[out]`
/// - returns `[batch, height', width', out]`, see [`Conv2dOptions::output_size`].
///
/// # Panics
/// If the shapes don't fit one another.
pub fn conv2d(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    options: Conv2dOptions,
) -> Tensor<4> {
    let [_, height, width, channels] = x.dims();
    let [out, group_channels, kernel_height, kernel_width] = weight.dims();
    assert_eq!(
        channels,
        group_channels * options.groups,
        "conv2d: the input has {channels} channels, the weight [{out}, {group_channels}, \
         {kernel_height}, {kernel_width}] in {} groups wants {}",
        options.groups,
        group_channels * options.groups,
    );
    assert!(
        out.is_multiple_of(options.groups),
        "conv2d: {out} output channels can't be cut into {} groups; make it a multiple",
        options.groups,
    );
    if let Some(bias) = &bias {
        assert_eq!(
            bias.dims(),
            [out],
            "conv2d: the bias must have a number for each of the {out} output channels",
        );
    }
    options.output_size([height, width], [kernel_height, kernel_width]);
    #[cfg(feature = "flex")]
    {
        let strided = options.stride != [1, 1];
        let dilated = options.dilation != [1, 1];
        let depthwise = group_channels == 1 && out == options.groups && options.groups > 1;
        if depthwise || !(strided && dilated) {
            let (x, weight) = (x.into_dispatch(), weight.into_dispatch());
            let bias = bias.map(Tensor::into_dispatch);
            let mut tensors = vec![&x, &weight];
            tensors.extend(bias.as_ref());
            if crate::operation::fusible(&tensors) {
                return Tensor::from_dispatch(direct::conv2d(x, weight, bias, options));
            }
            let bias = bias.map(Tensor::from_dispatch);
            return conv2d_reference(
                Tensor::from_dispatch(x),
                Tensor::from_dispatch(weight),
                bias,
                options,
            );
        }
    }
    conv2d_reference(x, weight, bias, options)
}

/// [`conv2d`] composed of Burn's own operations, for any device.
pub fn conv2d_reference(
    x: Tensor<4>,
    weight: Tensor<4>,
    bias: Option<Tensor<1>>,
    options: Conv2dOptions,
) -> Tensor<4> {
    let Conv2dOptions {
        stride,
        padding,
        dilation,
        groups,
        relu,
    } = options;
    let options = ConvOptions::new(stride, padding, dilation, groups);
    let x = x.permute([0, 3, 1, 2]); // [batch, channels, height, width]
    let y = burn::tensor::module::conv2d(x, weight, bias, options);
    let y = y.permute([0, 2, 3, 1]);
    if relu {
        burn::tensor::activation::relu(y)
    } else {
        y
    }
}

#[cfg(all(test, feature = "flex"))]
pub(crate) mod tests;
