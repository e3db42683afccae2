//! Networks for images.

mod published;
mod resnet;
mod small_conv;
mod vit;

use autodidact_kernels::mean_pool;
use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};
use serde::{Deserialize, Serialize};

use super::batch::ImageBatch;
use crate::error::{Error, Result};
use crate::export::onnx::{OnnxModel, Value};
use crate::layers::Init;
use crate::layers::masking::Mask;
use crate::layers::state::State;
use crate::modality::{Abilities, Encoder, Maskable, Tokens};

pub use resnet::{ResNet, Stem};
pub use small_conv::SmallConv;
pub use vit::Vit;

/// The recipe's `[encoder]` for images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ImageNetwork {
    /// `small_conv`, `resnet18`, `resnet34`, `resnet50`, `vit_tiny` or `vit_small`.
    pub name: Architecture,
    /// Channels of the first stage (convolutional networks; 64 is the published ResNet) or of every token (ViT;
    /// 192 is tiny, 384 small). 0 takes the published value.
    pub width: usize,
    /// How a ResNet takes the image in: `small` (3×3, stride 1, no pooling) up to about 64 pixels, `imagenet`
    /// (7×7, stride 2, pooling) above.
    pub stem: Stem,
    /// Edge of a ViT's patches in pixels; divides the image's edge.
    pub patch: usize,
    /// Blocks of a ViT; 0 takes the published 12.
    pub depth: usize,
}

impl Default for ImageNetwork {
    fn default() -> Self {
        Self {
            name: Architecture::ResNet18,
            width: 0,
            stem: Stem::Small,
            patch: 4,
            depth: 0,
        }
    }
}

/// The published networks, by the names that torchvision and timm give them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Architecture {
    /// Four convolutions, for minutes on a CPU.
    SmallConv,
    /// He et al. 2016, 18 layers.
    #[serde(rename = "resnet18")]
    ResNet18,
    /// He et al. 2016, 34 layers.
    #[serde(rename = "resnet34")]
    ResNet34,
    /// He et al. 2016, 50 layers, bottlenecks.
    #[serde(rename = "resnet50")]
    ResNet50,
    /// Dosovitskiy et al. 2021, width 192, 3 heads.
    VitTiny,
    /// Dosovitskiy et al. 2021, width 384, 6 heads.
    VitSmall,
}

impl Architecture {
    /// Whether it is made of patches and attention.
    pub fn is_vit(self) -> bool {
        matches!(self, Self::VitTiny | Self::VitSmall)
    }
}

/// A network for images.
#[derive(Module, Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "there is one encoder in a program, and Burn's derive wants it unboxed"
)]
pub enum ImageEncoder {
    /// Four convolutions.
    SmallConv(SmallConv),
    /// Residual convolutions.
    ResNet(ResNet),
    /// Patches and attention.
    Vit(Vit),
}

impl ImageNetwork {
    /// Builds the network for square images of `size` pixels with `channels` values each.
    ///
    /// # Errors
    /// Names the setting that can't be.
    pub fn build(&self, size: usize, channels: usize, init: &mut Init) -> Result<ImageEncoder> {
        let width = |published: usize| {
            if self.width == 0 {
                published
            } else {
                self.width
            }
        };
        Ok(match self.name {
            Architecture::SmallConv => {
                ImageEncoder::SmallConv(SmallConv::new(channels, width(32), init))
            }
            Architecture::ResNet18 => self.resnet(&[2, 2, 2, 2], false, width(64), channels, init),
            Architecture::ResNet34 => self.resnet(&[3, 4, 6, 3], false, width(64), channels, init),
            Architecture::ResNet50 => self.resnet(&[3, 4, 6, 3], true, width(64), channels, init),
            Architecture::VitTiny => self.vit(size, channels, width(192), 3, init)?,
            Architecture::VitSmall => self.vit(size, channels, width(384), 6, init)?,
        })
    }

    /// What the network can do.
    pub fn abilities(&self) -> Abilities {
        Abilities {
            masks: self.name.is_vit(),
            ..Abilities::default()
        }
    }

    fn resnet(
        &self,
        blocks: &[usize; 4],
        bottleneck: bool,
        width: usize,
        channels: usize,
        init: &mut Init,
    ) -> ImageEncoder {
        ImageEncoder::ResNet(ResNet::new(
            blocks, bottleneck, width, self.stem, channels, init,
        ))
    }

    fn vit(
        &self,
        size: usize,
        channels: usize,
        width: usize,
        heads: usize,
        init: &mut Init,
    ) -> Result<ImageEncoder> {
        let depth = if self.depth == 0 { 12 } else { self.depth };
        if self.patch == 0 || !size.is_multiple_of(self.patch) {
            return Err(Error::recipe(format!(
                "encoder.patch = {} for images of {size} pixels",
                self.patch
            ))
            .expected(format!("a divisor of {size}")));
        }
        if !width.is_multiple_of(4 * heads) {
            return Err(Error::recipe(format!(
                "encoder.width = {width} for a network of {heads} heads"
            ))
            .expected(format!("a multiple of {}", 4 * heads)));
        }
        Ok(ImageEncoder::Vit(Vit::new(
            size, self.patch, channels, width, depth, heads, init,
        )))
    }
}

impl Encoder for ImageEncoder {
    type Batch = ImageBatch;

    fn tokens(&self, batch: &ImageBatch) -> Tokens {
        let pixels = batch.pixels.clone();
        let values = match self {
            Self::SmallConv(network) => network.tokens(pixels),
            Self::ResNet(network) => network.tokens(pixels),
            Self::Vit(network) => network.tokens(pixels),
        };
        Tokens {
            values,
            valid: None,
        }
    }

    fn pool(&self, tokens: Tokens) -> Tensor<2> {
        match self {
            Self::Vit(network) => network.pool(tokens.values),
            _ => mean_pool(tokens.values),
        }
    }

    fn dim(&self) -> usize {
        match self {
            Self::SmallConv(network) => network.dim(),
            Self::ResNet(network) => network.dim(),
            Self::Vit(network) => network.dim(),
        }
    }

    fn stages(&self) -> usize {
        match self {
            Self::SmallConv(network) => network.stages(),
            Self::ResNet(_) => 5,
            Self::Vit(network) => network.depth() + 1,
        }
    }

    /// A convolution and its norm, a stage of a residual network, a transformer block; the stem comes first.
    fn stage(&self, parameter: &str) -> usize {
        let mut parts = parameter.split('.');
        let first = parts.next().unwrap_or_default();
        let number = parts.next().and_then(|part| part.parse::<usize>().ok());
        let stage = match self {
            Self::SmallConv(_) => number.unwrap_or(0),
            Self::ResNet(_) => first
                .strip_prefix("layer")
                .and_then(|stage| stage.parse().ok())
                .unwrap_or(0),
            Self::Vit(network) => match (first, number) {
                ("blocks", Some(block)) => block + 1,
                ("norm", _) => network.depth(),
                _ => 0,
            },
        };
        stage.min(self.stages() - 1)
    }

    fn adopt(&self, state: &mut State) -> Result<Vec<String>> {
        published::adopt(self, state)
    }
}

impl ImageEncoder {
    /// The pooled vector of `[batch, channels, height, width]` as a graph: `[batch, dim]`.
    pub fn draw(&self, onnx: &mut OnnxModel, pixels: &Value) -> Value {
        let stage = match self {
            Self::SmallConv(network) => network.draw(onnx, pixels),
            Self::ResNet(network) => network.draw(onnx, pixels),
            Self::Vit(network) => return network.draw(onnx, pixels),
        };
        let mean = onnx.node("GlobalAveragePool", &[&stage], &[]);
        onnx.node("Flatten", &[&mean], &[])
    }

    fn as_vit(&self) -> Result<&Vit> {
        match self {
            Self::Vit(network) => Ok(network),
            _ => Err(
                Error::recipe("a convolutional encoder under a method that hides patches")
                    .expected("encoder.name = \"vit_tiny\" or \"vit_small\""),
            ),
        }
    }
}

impl Maskable for ImageEncoder {
    fn places(&self) -> usize {
        self.as_vit().map_or(0, Vit::patches)
    }

    fn target_dim(&self) -> usize {
        self.as_vit().map_or(0, Vit::patch_values)
    }

    fn positions(&self, dim: usize, device: &Device) -> Result<Tensor<3>> {
        self.as_vit()?.positions(dim, device)
    }

    fn visible(&self, batch: &ImageBatch, keep: &Tensor<2, Int>) -> Result<Tensor<3>> {
        Ok(self.as_vit()?.visible(batch.pixels.clone(), keep))
    }

    fn extra(&self) -> usize {
        1
    }

    fn hidden_loss(
        &self,
        predictions: Tensor<3>,
        batch: &ImageBatch,
        mask: &Mask,
    ) -> Result<Tensor<1>> {
        Ok(self
            .as_vit()?
            .hidden_loss(predictions, batch.pixels.clone(), mask))
    }

    fn filled(
        &self,
        batch: &ImageBatch,
        mask: &Mask,
        predictions: Option<Tensor<3>>,
    ) -> Result<ImageBatch> {
        let pixels = batch.pixels.clone();
        Ok(ImageBatch {
            pixels: self.as_vit()?.filled(pixels, mask, predictions),
            ..batch.clone()
        })
    }
}
