//! Convolution over channels-last images.

use autodidact_kernels::{Conv2dOptions, conv2d};
use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::init::Init;

/// A square 2-d convolution without bias, for use before a [`BatchNorm`](super::BatchNorm).
#[derive(Module, Debug)]
pub struct Conv2d {
    /// `[out, in, kernel, kernel]`, as PyTorch stores it.
    pub weight: Param<Tensor<4>>,
    stride: usize,
    padding: usize,
}

impl Conv2d {
    /// Kaiming-normal weights over the fan-out; padding keeps the size at stride 1.
    pub fn new(
        inputs: usize,
        outputs: usize,
        kernel: usize,
        stride: usize,
        init: &mut Init,
    ) -> Self {
        Self {
            weight: init
                .kaiming_normal([outputs, inputs, kernel, kernel], outputs * kernel * kernel),
            stride,
            padding: kernel / 2,
        }
    }

    /// `[batch, height, width, in]` → `[batch, ⌈height / stride⌉, ⌈width / stride⌉, out]`.
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let options = Conv2dOptions {
            stride: [self.stride; 2],
            padding: [self.padding; 2],
            ..Conv2dOptions::default()
        };
        conv2d(x, self.weight.val(), None, options)
    }
}
