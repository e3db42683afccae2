//! A small convolutional network for work on a CPU.

use burn::module::Module;
use burn::tensor::Tensor;

use crate::export::onnx::{OnnxModel, Value};
use crate::layers::{BatchNorm, Conv2d, Init};

/// Four 3×3 convolutions, each with batch norm and ReLU, the last three at stride 2: width, 2·, 4· and 8·width
/// channels.
#[derive(Module, Debug)]
pub struct SmallConv {
    convs: Vec<Conv2d>,
    norms: Vec<BatchNorm>,
    dim: usize,
}

impl SmallConv {
    /// For images of `channels` values per pixel.
    pub fn new(channels: usize, width: usize, init: &mut Init) -> Self {
        let widths = [channels, width, 2 * width, 4 * width, 8 * width];
        let strides = [1, 2, 2, 2];
        let convs = widths
            .windows(2)
            .zip(strides)
            .map(|(w, stride)| Conv2d::new(w[0], w[1], 3, stride, init))
            .collect();
        let norms = widths[1..]
            .iter()
            .map(|&w| BatchNorm::new(w, init))
            .collect();
        Self {
            convs,
            norms,
            dim: 8 * width,
        }
    }

    /// `[batch, height, width, channels]` → `[batch, ⌈height/8⌉ · ⌈width/8⌉, dim]`.
    pub fn tokens(&self, mut x: Tensor<4>) -> Tensor<3> {
        for (conv, norm) in self.convs.iter().zip(&self.norms) {
            x = norm.relu(conv.forward(x));
        }
        x.flatten(1, 2)
    }

    /// [`SmallConv::tokens`] as a graph, `[batch, channels, height, width]` → `[batch, dim, height, width]`.
    pub fn draw(&self, onnx: &mut OnnxModel, x: &Value) -> Value {
        let mut x = x.clone();
        for (number, (conv, norm)) in self.convs.iter().zip(&self.norms).enumerate() {
            x = onnx.within(format!("convs.{number}"), |onnx| conv.draw(onnx, &x));
            x = onnx.within(format!("norms.{number}"), |onnx| norm.draw(onnx, &x));
            x = onnx.node("Relu", &[&x], &[]);
        }
        x
    }

    /// Number of convolutions.
    pub fn stages(&self) -> usize {
        self.convs.len()
    }

    /// Channels of the last stage.
    pub fn dim(&self) -> usize {
        self.dim
    }
}
