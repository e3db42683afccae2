//! Pooling of channels-last images: the largest or the mean number under a window, and the mean
//! of all positions.
//!
//! Vectors run over the channels. Every destination pixel gathers the pixels it depends on, in the
//! gradients too, so each number is written once, threads never meet, and nothing is zeroed first.
//! All of it is bound by memory: forward reads the input and writes the output (floats of 4
//! bytes); [`max_pool2d`] also writes one byte for each output, the tap that won, which is all its
//! gradient needs besides the output's.

use burn::tensor::Tensor;
use burn::tensor::ops::{AvgPoolOptions, MaxPoolOptions};

#[cfg(feature = "flex")]
mod average;
#[cfg(feature = "flex")]
mod max;
#[cfg(feature = "flex")]
mod mean;

/// How a pooling window slides; the pairs are (height, width).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool2dOptions {
    /// Size of the window in pixels.
    pub kernel: [usize; 2],
    /// Distance in pixels between neighboring windows.
    pub stride: [usize; 2],
    /// Pixels added before and after each axis, at most half the kernel. They never win a maximum
    /// and count as zeros in a mean, if they count.
    pub padding: [usize; 2],
}

impl Pool2dOptions {
    /// Square windows side by side, without padding.
    pub fn new(kernel: usize) -> Self {
        Self {
            kernel: [kernel; 2],
            stride: [kernel; 2],
            padding: [0; 2],
        }
    }

    /// The size of the output of an image of `size`; windows that would leave the padded image
    /// are left out.
    ///
    /// # Panics
    /// If the kernel doesn't fit into the padded image, the padding is more than half of the
    /// kernel, or the stride is zero.
    pub fn output_size(&self, size: [usize; 2]) -> [usize; 2] {
        std::array::from_fn(|axis| {
            let (kernel, padding) = (self.kernel[axis], self.padding[axis]);
            assert!(
                2 * padding <= kernel,
                "pooling: a padding of {padding} must be at most half the kernel of {kernel}",
            );
            let padded = size[axis] + 2 * padding;
            assert!(
                0 < kernel && kernel <= padded,
                "pooling: a kernel of {kernel} pixels doesn't fit an image of {} with padding \
                 {padding}; use a smaller kernel",
                size[axis],
            );
            assert!(
                self.stride[axis] > 0,
                "pooling: the stride must be at least 1"
            );
            (padded - kernel) / self.stride[axis] + 1
        })
    }

    /// The two axes of an image of `size`.
    #[cfg(feature = "flex")]
    fn axes(&self, size: [usize; 2]) -> [crate::taps::Axis; 2] {
        let output = self.output_size(size);
        [0, 1].map(|axis| crate::taps::Axis {
            input: size[axis],
            output: output[axis],
            kernel: self.kernel[axis],
            stride: self.stride[axis],
            padding: self.padding[axis],
            dilation: 1,
        })
    }
}

/// The largest number of each channel under each window.
///
/// Of equal numbers the first wins, row by row, and takes the whole gradient. NaN wins over all.
///
/// # Shapes
/// `[batch, height, width, channels]` → `[batch, height', width', channels]`, see
/// [`Pool2dOptions::output_size`].
///
/// # Panics
/// Where [`Pool2dOptions::output_size`] does.
pub fn max_pool2d(x: Tensor<4>, options: Pool2dOptions) -> Tensor<4> {
    let [_, height, width, _] = x.dims();
    options.output_size([height, width]);
    #[cfg(feature = "flex")]
    {
        // The winners are remembered in a byte each.
        let bytes_suffice = options.kernel[0] * options.kernel[1] <= 256;
        let x = x.into_dispatch();
        if bytes_suffice && crate::operation::fusible(&[&x]) {
            return Tensor::from_dispatch(max::max_pool2d(x, options));
        }
        max_pool2d_reference(Tensor::from_dispatch(x), options)
    }
    #[cfg(not(feature = "flex"))]
    max_pool2d_reference(x, options)
}

/// [`max_pool2d`] composed of Burn's own operations, for any device.
pub fn max_pool2d_reference(x: Tensor<4>, options: Pool2dOptions) -> Tensor<4> {
    let window = MaxPoolOptions::new(options.kernel)
        .with_stride(options.stride)
        .with_padding(options.padding);
    burn::tensor::module::max_pool2d(x.permute([0, 3, 1, 2]), window).permute([0, 2, 3, 1])
}

/// The mean of each channel under each window.
///
/// With `count_include_pad` every window divides by the size of the kernel, as torch does by
/// default; without, by the number of its pixels that lie in the image.
///
/// # Shapes
/// `[batch, height, width, channels]` → `[batch, height', width', channels]`, see
/// [`Pool2dOptions::output_size`].
///
/// # Panics
/// Where [`Pool2dOptions::output_size`] does.
pub fn avg_pool2d(x: Tensor<4>, options: Pool2dOptions, count_include_pad: bool) -> Tensor<4> {
    let [_, height, width, _] = x.dims();
    options.output_size([height, width]);
    #[cfg(feature = "flex")]
    {
        let x = x.into_dispatch();
        if crate::operation::fusible(&[&x]) {
            return Tensor::from_dispatch(average::avg_pool2d(x, options, count_include_pad));
        }
        avg_pool2d_reference(Tensor::from_dispatch(x), options, count_include_pad)
    }
    #[cfg(not(feature = "flex"))]
    avg_pool2d_reference(x, options, count_include_pad)
}

/// [`avg_pool2d`] composed of Burn's own operations, for any device.
pub fn avg_pool2d_reference(
    x: Tensor<4>,
    options: Pool2dOptions,
    count_include_pad: bool,
) -> Tensor<4> {
    let window = AvgPoolOptions::new(options.kernel)
        .with_stride(options.stride)
        .with_padding(options.padding)
        .with_count_include_pad(count_include_pad);
    burn::tensor::module::avg_pool2d(x.permute([0, 3, 1, 2]), window).permute([0, 2, 3, 1])
}

/// The mean of each channel over all positions: a global average pooling, or the mean of tokens.
///
/// # Shapes
/// `[batch, .., channels]` → `[batch, channels]`
///
/// # Panics
/// If there are no positions, or no axis for them.
pub fn mean_pool<const D: usize>(x: Tensor<D>) -> Tensor<2> {
    let shape = x.dims();
    assert!(
        D >= 3 && !shape[1..D - 1].contains(&0),
        "mean_pool: the input {shape:?} must have positions between its batch and its channels",
    );
    #[cfg(feature = "flex")]
    {
        let x = x.into_dispatch();
        if crate::operation::fusible(&[&x]) {
            return Tensor::from_dispatch(mean::mean_pool(x));
        }
        mean_pool_reference(Tensor::<D>::from_dispatch(x))
    }
    #[cfg(not(feature = "flex"))]
    mean_pool_reference(x)
}

/// [`mean_pool`] composed of Burn's own operations, for any device.
pub fn mean_pool_reference<const D: usize>(x: Tensor<D>) -> Tensor<2> {
    let shape = x.dims();
    let positions = shape[1..D - 1].iter().product();
    let x = x.reshape([shape[0], positions, shape[D - 1]]);
    x.mean_dim(1).squeeze_dim(1)
}

#[cfg(all(test, feature = "flex"))]
mod tests;
