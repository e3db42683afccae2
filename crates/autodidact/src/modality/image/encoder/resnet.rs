//! Residual networks (He, Zhang, Ren & Sun 2016) with torchvision's names.
//!
//! The field names are torchvision's (`layer1.0.downsample.0.weight`), and so are the weights' layouts, so that weights
//! pass from one to the other by name. Activations are channels-last throughout.

use autodidact_kernels::{Pool2dOptions, max_pool2d};
use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use crate::export::onnx::{Attribute, OnnxModel, Value};
use crate::layers::{BatchNorm, Conv2d, Init, residual_block};

/// How the image enters the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stem {
    /// 3×3 convolution at stride 1, no pooling: for images up to about 64 pixels (SimCLR's CIFAR set-up).
    Small,
    /// 7×7 convolution at stride 2 and 3×3 max pooling: the published network.
    Imagenet,
}

/// ResNet-18, -34 (basic blocks) or -50 (bottlenecks) of any width.
#[derive(Module, Debug)]
pub struct ResNet {
    conv1: Conv2d,
    bn1: BatchNorm,
    layer1: Vec<Block>,
    layer2: Vec<Block>,
    layer3: Vec<Block>,
    layer4: Vec<Block>,
    pooled_stem: bool,
    dim: usize,
}

#[derive(Module, Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "a network has a few blocks, and Burn's derive wants them unboxed"
)]
enum Block {
    Basic(BasicBlock),
    Bottleneck(Bottleneck),
}

#[derive(Module, Debug)]
struct BasicBlock {
    conv1: Conv2d,
    bn1: BatchNorm,
    conv2: Conv2d,
    bn2: BatchNorm,
    downsample: Option<(Conv2d, BatchNorm)>,
}

#[derive(Module, Debug)]
struct Bottleneck {
    conv1: Conv2d,
    bn1: BatchNorm,
    conv2: Conv2d,
    bn2: BatchNorm,
    conv3: Conv2d,
    bn3: BatchNorm,
    downsample: Option<(Conv2d, BatchNorm)>,
}

impl ResNet {
    /// `blocks` per stage; `width` channels in the first stage (64 in the published networks).
    pub fn new(
        blocks: &[usize; 4],
        bottleneck: bool,
        width: usize,
        stem: Stem,
        channels: usize,
        init: &mut Init,
    ) -> Self {
        let conv1 = match stem {
            Stem::Small => Conv2d::new(channels, width, 3, 1, init),
            Stem::Imagenet => Conv2d::new(channels, width, 7, 2, init),
        };
        let bn1 = BatchNorm::new(width, init);
        let expansion = if bottleneck { 4 } else { 1 };
        let mut inputs = width;
        let mut stage = |index: usize| -> Vec<Block> {
            let inner = width << index;
            (0..blocks[index])
                .map(|i| {
                    let stride = if i == 0 && index > 0 { 2 } else { 1 };
                    let block = if bottleneck {
                        Block::Bottleneck(Bottleneck::new(inputs, inner, stride, init))
                    } else {
                        Block::Basic(BasicBlock::new(inputs, inner, stride, init))
                    };
                    inputs = inner * expansion;
                    block
                })
                .collect()
        };
        let (layer1, layer2, layer3, layer4) = (stage(0), stage(1), stage(2), stage(3));
        Self {
            conv1,
            bn1,
            layer1,
            layer2,
            layer3,
            layer4,
            pooled_stem: stem == Stem::Imagenet,
            dim: inputs,
        }
    }

    /// `[batch, height, width, channels]` → the last stage's positions as tokens, `[batch, positions, dim]`.
    pub fn tokens(&self, x: Tensor<4>) -> Tensor<3> {
        let mut x = self.bn1.relu(self.conv1.forward(x));
        if self.pooled_stem {
            let window = Pool2dOptions {
                kernel: [3, 3],
                stride: [2, 2],
                padding: [1, 1],
            };
            x = max_pool2d(x, window);
        }
        for stage in [&self.layer1, &self.layer2, &self.layer3, &self.layer4] {
            for block in stage {
                x = match block {
                    Block::Basic(block) => block.forward(x),
                    Block::Bottleneck(block) => block.forward(x),
                };
            }
        }
        x.flatten(1, 2)
    }

    /// [`ResNet::tokens`] as a graph, `[batch, channels, height, width]` → `[batch, dim, height, width]`.
    pub fn draw(&self, onnx: &mut OnnxModel, x: &Value) -> Value {
        let x = draw_pair(onnx, ["conv1", "bn1"], (&self.conv1, &self.bn1), x);
        let mut x = onnx.node("Relu", &[&x], &[]);
        if self.pooled_stem {
            let window = [
                ("kernel_shape", Attribute::Ints(vec![3; 2])),
                ("strides", Attribute::Ints(vec![2; 2])),
                ("pads", Attribute::Ints(vec![1; 4])),
            ];
            x = onnx.node("MaxPool", &[&x], &window);
        }
        let stages = [&self.layer1, &self.layer2, &self.layer3, &self.layer4];
        for (stage, blocks) in (1..).zip(stages) {
            for (number, block) in blocks.iter().enumerate() {
                x = onnx.within(format!("layer{stage}.{number}"), |onnx| {
                    block.draw(onnx, &x)
                });
            }
        }
        x
    }

    /// Channels of the last stage.
    pub fn dim(&self) -> usize {
        self.dim
    }
}

impl Block {
    fn draw(&self, onnx: &mut OnnxModel, x: &Value) -> Value {
        let (layers, downsample) = match self {
            Self::Basic(block) => (
                vec![(&block.conv1, &block.bn1), (&block.conv2, &block.bn2)],
                &block.downsample,
            ),
            Self::Bottleneck(block) => (
                vec![
                    (&block.conv1, &block.bn1),
                    (&block.conv2, &block.bn2),
                    (&block.conv3, &block.bn3),
                ],
                &block.downsample,
            ),
        };
        let last = layers.len();
        let mut y = x.clone();
        for (number, layer) in (1..).zip(layers) {
            let names = [format!("conv{number}"), format!("bn{number}")];
            y = draw_pair(onnx, names, layer, &y);
            if number < last {
                y = onnx.node("Relu", &[&y], &[]);
            }
        }
        let shortcut = match downsample {
            Some((conv, norm)) => onnx.within("downsample", |onnx| {
                draw_pair(onnx, ["0", "1"], (conv, norm), x)
            }),
            None => x.clone(),
        };
        let sum = onnx.node("Add", &[&y, &shortcut], &[]);
        onnx.node("Relu", &[&sum], &[])
    }
}

impl BasicBlock {
    fn new(inputs: usize, outputs: usize, stride: usize, init: &mut Init) -> Self {
        Self {
            conv1: Conv2d::new(inputs, outputs, 3, stride, init),
            bn1: BatchNorm::new(outputs, init),
            conv2: Conv2d::new(outputs, outputs, 3, 1, init),
            bn2: BatchNorm::new(outputs, init),
            downsample: downsample(inputs, outputs, stride, init),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let layers = [(&self.conv1, &self.bn1), (&self.conv2, &self.bn2)];
        let shortcut_layer = self.downsample.as_ref().map(|(conv, norm)| (conv, norm));
        let mut norms = layers.iter().chain(&shortcut_layer);
        if norms.all(|(_, norm)| norm.by_batch(&x)) {
            return residual_block(x, layers, shortcut_layer);
        }
        let y = self.bn1.relu(self.conv1.forward(x.clone()));
        self.bn2
            .add_relu(self.conv2.forward(y), shortcut(&self.downsample, x))
    }
}

impl Bottleneck {
    fn new(inputs: usize, inner: usize, stride: usize, init: &mut Init) -> Self {
        let outputs = 4 * inner;
        Self {
            conv1: Conv2d::new(inputs, inner, 1, 1, init),
            bn1: BatchNorm::new(inner, init),
            // Stride on the 3×3, as torchvision has it ("ResNet v1.5").
            conv2: Conv2d::new(inner, inner, 3, stride, init),
            bn2: BatchNorm::new(inner, init),
            conv3: Conv2d::new(inner, outputs, 1, 1, init),
            bn3: BatchNorm::new(outputs, init),
            downsample: downsample(inputs, outputs, stride, init),
        }
    }

    fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let y = self.bn1.relu(self.conv1.forward(x.clone()));
        let y = self.bn2.relu(self.conv2.forward(y));
        self.bn3
            .add_relu(self.conv3.forward(y), shortcut(&self.downsample, x))
    }
}

fn downsample(
    inputs: usize,
    outputs: usize,
    stride: usize,
    init: &mut Init,
) -> Option<(Conv2d, BatchNorm)> {
    (stride != 1 || inputs != outputs).then(|| {
        (
            Conv2d::new(inputs, outputs, 1, stride, init),
            BatchNorm::new(outputs, init),
        )
    })
}

fn shortcut(downsample: &Option<(Conv2d, BatchNorm)>, x: Tensor<4>) -> Tensor<4> {
    match downsample {
        Some((conv, norm)) => norm.forward(conv.forward(x)),
        None => x,
    }
}

/// A convolution and its norm as a graph, under these names.
fn draw_pair<N: std::fmt::Display>(
    onnx: &mut OnnxModel,
    names: [N; 2],
    (conv, norm): (&Conv2d, &BatchNorm),
    x: &Value,
) -> Value {
    let [conv_name, norm_name] = names;
    let x = onnx.within(conv_name, |onnx| conv.draw(onnx, x));
    onnx.within(norm_name, |onnx| norm.draw(onnx, &x))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::init::tests_device;
    use crate::layers::state::state_of;

    #[test]
    fn names_and_shapes_are_torchvisions() {
        let mut init = Init::new(0, &tests_device());
        let state = state_of(&ResNet::new(
            &[2, 2, 2, 2],
            false,
            64,
            Stem::Imagenet,
            3,
            &mut init,
        ));
        // torchvision's resnet18 has 122 entries; 20 of them count batches and 2 are the classifier.
        assert_eq!(state.len(), 100);
        assert_eq!(state["conv1.weight"].shape, [64, 3, 7, 7]);
        assert_eq!(state["layer1.0.bn2.running_var"].shape, [64]);
        assert_eq!(state["layer2.0.downsample.0.weight"].shape, [128, 64, 1, 1]);
        assert_eq!(state["layer4.1.conv2.weight"].shape, [512, 512, 3, 3]);
        let values: usize = state
            .iter()
            .filter(|(name, _)| !name.contains("running"))
            .map(|(_, a)| a.values.len())
            .sum();
        assert_eq!(
            values, 11_176_512,
            "torchvision's count without the classifier"
        );

        let state = state_of(&ResNet::new(
            &[3, 4, 6, 3],
            true,
            64,
            Stem::Imagenet,
            3,
            &mut init,
        ));
        assert_eq!(state["layer3.5.conv3.weight"].shape, [1024, 256, 1, 1]);
        let values: usize = state
            .iter()
            .filter(|(name, _)| !name.contains("running"))
            .map(|(_, a)| a.values.len())
            .sum();
        assert_eq!(
            values, 23_508_032,
            "torchvision's count without the classifier"
        );
    }

    #[test]
    fn shapes_follow_the_stem() {
        let device = tests_device();
        let mut init = Init::new(0, &device);
        let x = Tensor::<4>::ones([2, 32, 32, 3], &device);
        let small = ResNet::new(&[1, 1, 1, 1], false, 8, Stem::Small, 3, &mut init);
        assert_eq!(small.tokens(x.clone()).dims(), [2, 16, 64]);
        let imagenet = ResNet::new(&[1, 1, 1, 1], true, 8, Stem::Imagenet, 3, &mut init);
        assert_eq!(imagenet.tokens(x).dims(), [2, 1, 256]);
    }

    #[test]
    fn blocks_as_one_operation_leave_the_running_statistics_of_their_layers() {
        let device = tests_device();
        let trained = |tokens: fn(&ResNet, Tensor<4>)| {
            let mut init = Init::new(0, &device);
            let network = ResNet::new(&[1, 1, 1, 1], false, 16, Stem::Small, 3, &mut init);
            let values: Vec<f32> = (0..256 * 16 * 16 * 3)
                .map(|i| (i as f32 * 0.37).sin())
                .collect();
            let x = Tensor::<1>::from_floats(values.as_slice(), &device);
            tokens(&network, x.reshape([256, 16, 16, 3]));
            state_of(&network)
        };
        let fused = trained(|network, x| drop(network.tokens(x)));
        let apart = trained(|network, x| {
            let mut x = network.bn1.relu(network.conv1.forward(x));
            let stages = [
                &network.layer1,
                &network.layer2,
                &network.layer3,
                &network.layer4,
            ];
            for block in stages.into_iter().flatten() {
                let Block::Basic(block) = block else {
                    unreachable!("basic blocks were asked for")
                };
                let y = block.bn1.relu(block.conv1.forward(x.clone()));
                let y = block.conv2.forward(y);
                x = block.bn2.add_relu(y, shortcut(&block.downsample, x));
            }
        });
        for (name, expected) in apart.iter().filter(|(name, _)| name.contains("running")) {
            let moved = expected
                .values
                .iter()
                .any(|value| ![0.0, 1.0].contains(value));
            assert!(moved, "{name} has seen nothing");
            for (found, expected) in fused[name].values.iter().zip(&expected.values) {
                assert!(
                    (found - expected).abs() < 1e-4,
                    "{name}: {found}, {expected}"
                );
            }
        }
    }
}
