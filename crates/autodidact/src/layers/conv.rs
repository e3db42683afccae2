//! Convolution over channels-last images and sequences.

use autodidact_kernels::{Conv1dOptions, Conv2dOptions, conv1d, conv2d};
use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::init::Init;
use crate::export::onnx::{Attribute, OnnxModel, Value};

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

    /// Distance in pixels between neighboring windows.
    pub(crate) fn stride(&self) -> usize {
        self.stride
    }

    /// [`Conv2d::forward`] as a graph, channels first.
    pub fn draw(&self, onnx: &mut OnnxModel, x: &Value) -> Value {
        let weight = onnx.weight("weight", self.weight.val());
        let (stride, padding) = (self.stride as i64, self.padding as i64);
        let attributes = [
            ("strides", Attribute::Ints(vec![stride; 2])),
            ("pads", Attribute::Ints(vec![padding; 4])),
        ];
        onnx.node("Conv", &[x, &weight], &attributes)
    }
}

/// A convolution over time with a bias, as PyTorch's `nn.Conv1d` is by default.
#[derive(Module, Debug)]
pub struct Conv1d {
    /// `[out, in, kernel]`, as PyTorch stores it.
    pub weight: Param<Tensor<3>>,
    /// `[out]`.
    pub bias: Option<Param<Tensor<1>>>,
    stride: usize,
    padding: usize,
    dilation: usize,
}

impl Conv1d {
    /// Channels that it takes in.
    pub fn inputs(&self) -> usize {
        self.weight.dims()[1]
    }

    /// PyTorch's default: weights and bias uniform in ±1/√(inputs · kernel). `padding` zeros stand before and after
    /// the sequence.
    pub fn new(
        inputs: usize,
        outputs: usize,
        kernel: usize,
        stride: usize,
        padding: usize,
        init: &mut Init,
    ) -> Self {
        let bound = 1.0 / ((inputs * kernel).max(1) as f32).sqrt();
        Self {
            weight: init.uniform([outputs, inputs, kernel], bound),
            bias: Some(init.uniform([outputs], bound)),
            stride,
            padding,
            dilation: 1,
        }
    }

    /// Taps that lie `dilation` steps apart, at stride 1, with as many zeros before and after as keep the length; the
    /// kernel is odd.
    pub fn dilated(
        inputs: usize,
        outputs: usize,
        kernel: usize,
        dilation: usize,
        init: &mut Init,
    ) -> Self {
        Self {
            dilation,
            ..Self::new(inputs, outputs, kernel, 1, kernel / 2 * dilation, init)
        }
    }

    /// The same without a bias, for use before a [`BatchNorm`](super::BatchNorm), with Kaiming-normal weights over the
    /// fan-out as for a [`Conv2d`].
    pub fn plain(
        inputs: usize,
        outputs: usize,
        kernel: usize,
        padding: usize,
        init: &mut Init,
    ) -> Self {
        Self {
            weight: init.kaiming_normal([outputs, inputs, kernel], outputs * kernel),
            bias: None,
            stride: 1,
            padding,
            dilation: 1,
        }
    }

    /// `[batch, time, in]` → `[batch, ⌊(time + 2 · padding − dilation · (kernel − 1) − 1) / stride⌋ + 1, out]`.
    pub fn forward(&self, x: Tensor<3>) -> Tensor<3> {
        self.run(x, false)
    }

    /// [`Conv1d::forward`] followed by a ReLU, in one pass.
    pub fn relu(&self, x: Tensor<3>) -> Tensor<3> {
        self.run(x, true)
    }

    fn run(&self, x: Tensor<3>, relu: bool) -> Tensor<3> {
        let (mut weight, mut padding) = (self.weight.val(), self.padding);
        let [_, time, _] = x.dims();
        let half = weight.dims()[2] / 2;
        let reach = time.saturating_sub(1) / self.dilation;
        if self.dilation > 1 && reach < half {
            // Taps farther from the middle one than the sequence is long meet nothing but zeros.
            weight = weight.narrow(2, half - reach, 2 * reach + 1);
            padding = reach * self.dilation;
        }
        let options = Conv1dOptions {
            stride: self.stride,
            padding,
            dilation: self.dilation,
            relu,
            ..Conv1dOptions::default()
        };
        conv1d(
            x,
            weight,
            self.bias.as_ref().map(|bias| bias.val()),
            options,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::init::tests_device;
    use crate::layers::state::state_of;

    #[test]
    fn a_convolution_over_time_has_pytorchs_names_shapes_and_spread() {
        let device = tests_device();
        let conv = Conv1d::new(6, 20, 5, 2, 2, &mut Init::new(0, &device));
        let state = state_of(&conv);
        assert_eq!(state["weight"].shape, [20, 6, 5]);
        assert_eq!(state["bias"].shape, [20]);
        let bound = 1.0 / 30.0f32.sqrt();
        let largest = state["weight"]
            .values
            .iter()
            .fold(0.0f32, |a, b| a.max(b.abs()));
        assert!(
            (0.9 * bound..=bound).contains(&largest),
            "{largest} of {bound}"
        );

        let x = Tensor::<3>::ones([3, 17, 6], &device);
        let output = conv.forward(x.clone());
        assert_eq!(output.dims(), [3, 9, 20]);
        let clipped = burn::tensor::activation::relu(output).into_data();
        clipped.assert_eq(&conv.relu(x).into_data(), true);
    }

    #[test]
    fn taps_that_meet_nothing_are_left_out_and_nothing_else_changes() {
        let device = tests_device();
        let mut init = Init::new(0, &device);
        let x = init.normal([2, 5, 3], 1.0).val();
        for dilation in [1, 2, 4, 5, 64] {
            let conv = Conv1d::dilated(3, 4, 3, dilation, &mut init);
            let options = Conv1dOptions {
                padding: dilation,
                dilation,
                ..Conv1dOptions::default()
            };
            let bias = conv.bias.as_ref().map(|bias| bias.val());
            let whole =
                autodidact_kernels::conv1d_reference(x.clone(), conv.weight.val(), bias, options);
            let found = conv.forward(x.clone());
            assert_eq!(found.dims(), [2, 5, 4]);
            let difference = (found - whole).abs().max().into_scalar::<f32>();
            assert!(difference < 1e-5, "dilation {dilation}: {difference}");
        }
    }
}
