//! Networks for images.

mod patches;
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
use crate::modality::{Abilities, Encoder, Maskable, Readout, Tokens};
use crate::random::Rng;

pub use patches::PatchDictionary;
pub use resnet::{ResNet, Stem};
pub use small_conv::SmallConv;
pub use vit::Vit;

/// Patches along an edge that a dictionary looks at, at most, unless the recipe says more.
const PATCHES_ALONG: usize = 27;

/// The recipe's `[encoder]` for images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ImageNetwork {
    /// `patches`, `small_conv`, `resnet18`, `resnet34`, `resnet50`, `vit_tiny` or `vit_small`.
    pub name: Architecture,
    /// Atoms of a dictionary of patches, channels of the first stage (convolutional networks; 64 is the published ResNet)
    /// or of every token (ViT; 192 is tiny, 384 small). 0 takes the published value.
    pub width: usize,
    /// How a ResNet takes the image in: `small` (3×3, stride 1, no pooling) up to about 64 pixels, `imagenet`
    /// (7×7, stride 2, pooling) above.
    pub stem: Stem,
    /// Edge of the patches in pixels, of a dictionary or of a ViT; a ViT's divides the image's edge.
    pub patch: usize,
    /// Pixels from one patch of a dictionary to the next; 0 takes as many as leave at most 27 patches along an edge.
    pub stride: usize,
    /// Cells along each axis of the grid over which a dictionary's responses are gathered.
    pub cells: usize,
    /// Length of the vector that a dictionary is read out to.
    pub dim: usize,
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
            stride: 0,
            cells: 2,
            dim: 512,
            depth: 0,
        }
    }
}

/// The published networks, by the names that torchvision and timm give them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Architecture {
    /// Coates, Lee & Ng 2011: a dictionary of whitened patches, read out by a linear map.
    Patches,
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
    /// A dictionary of patches.
    Patches(PatchDictionary),
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
            Architecture::Patches => self.patches(size, channels, width(512), init)?,
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
            reads_out: self.name == Architecture::Patches,
            ..Abilities::default()
        }
    }

    /// Whether a dictionary made for images of `size` pixels square can look at those of `least`, the smallest that it will
    /// be shown.
    ///
    /// # Errors
    /// Names the setting that can't be.
    pub(super) fn fits(&self, size: usize, least: usize) -> Result<()> {
        if self.name != Architecture::Patches {
            return Ok(());
        }
        for (key, value) in [
            ("patch", self.patch),
            ("cells", self.cells),
            ("dim", self.dim),
        ] {
            if value == 0 {
                return Err(Error::recipe(format!("encoder.{key} = 0")).expected("at least 1"));
            }
        }
        if self.patch > least {
            return Err(Error::recipe(format!(
                "encoder.patch = {} for images of {least} pixels",
                self.patch
            ))
            .expected(format!("at most {least}")));
        }
        let along = (least - self.patch) / self.stride_within(size) + 1;
        if along < self.cells {
            return Err(Error::recipe(format!(
                "encoder.cells = {} for {along} patches along an edge of {least} pixels",
                self.cells
            ))
            .expected("at most as many cells as patches")
            .mend("take larger views, smaller patches, a smaller stride or fewer cells"));
        }
        Ok(())
    }

    /// Pixels from one patch to the next in images of `size` pixels, which are no smaller than a patch.
    fn stride_within(&self, size: usize) -> usize {
        match self.stride {
            0 => (size - self.patch + 1).div_ceil(PATCHES_ALONG),
            stride => stride,
        }
    }

    fn patches(
        &self,
        size: usize,
        channels: usize,
        atoms: usize,
        init: &mut Init,
    ) -> Result<ImageEncoder> {
        self.fits(size, size)?;
        let stride = self.stride_within(size);
        let cut = [self.patch, stride, self.cells];
        Ok(ImageEncoder::Patches(PatchDictionary::new(
            atoms, cut, self.dim, channels, init,
        )))
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
            Self::Patches(network) => network.tokens(pixels),
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
            Self::Patches(network) => network.dim(),
            Self::SmallConv(network) => network.dim(),
            Self::ResNet(network) => network.dim(),
            Self::Vit(network) => network.dim(),
        }
    }

    fn stages(&self) -> usize {
        match self {
            Self::Patches(_) => 2,
            Self::SmallConv(network) => network.stages(),
            Self::ResNet(_) => 5,
            Self::Vit(network) => network.depth() + 1,
        }
    }

    /// A convolution and its norm, a stage of a residual network, a transformer block; the stem comes first. A
    /// dictionary's are its atoms and its map.
    fn stage(&self, parameter: &str) -> usize {
        let mut parts = parameter.split('.');
        let first = parts.next().unwrap_or_default();
        let number = parts.next().and_then(|part| part.parse::<usize>().ok());
        let stage = match self {
            Self::Patches(_) => usize::from(first == "readout"),
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

    fn features(&self, batch: &ImageBatch) -> Option<Tensor<2>> {
        match self {
            Self::Patches(network) => Some(network.features(batch.pixels.clone())),
            _ => None,
        }
    }

    fn features_width(&self) -> Option<usize> {
        match self {
            Self::Patches(network) => Some(network.width()),
            _ => None,
        }
    }

    fn with_readout(self, readout: Readout) -> Result<Self> {
        match self {
            Self::Patches(network) => network.with_readout(readout).map(Self::Patches),
            _ => Err(Error::recipe("a network that is no dictionary of patches")
                .expected("encoder.name = \"patches\"")),
        }
    }

    fn encode(&self, batch: &ImageBatch) -> Tensor<2> {
        match self {
            // Shorter than by way of the tokens.
            Self::Patches(network) => network.encode(batch.pixels.clone()),
            _ => self.pool(self.tokens(batch)),
        }
    }
}

impl ImageEncoder {
    /// The pooled vector of `[batch, channels, height, width]` as a graph: `[batch, dim]`. A dictionary takes images of
    /// `side` pixels square.
    pub fn draw(&self, onnx: &mut OnnxModel, pixels: &Value, side: usize) -> Value {
        let stage = match self {
            Self::Patches(network) => return network.draw(onnx, pixels, side),
            Self::SmallConv(network) => network.draw(onnx, pixels),
            Self::ResNet(network) => network.draw(onnx, pixels),
            Self::Vit(network) => return network.draw(onnx, pixels),
        };
        let mean = onnx.node("GlobalAveragePool", &[&stage], &[]);
        onnx.node("Flatten", &[&mean], &[])
    }

    /// The same network with what it takes from images before any training, each `side` pixels square; `None` where that is
    /// nothing.
    ///
    /// # Errors
    /// When there are no images, or they hold no numbers.
    pub(super) fn begun(
        &self,
        images: &[&[f32]],
        shape: [usize; 2],
        rng: &mut Rng,
    ) -> Result<Option<Self>> {
        match self {
            Self::Patches(network) => network
                .clone()
                .learned(images, shape, rng)
                .map(|network| Some(Self::Patches(network))),
            _ => Ok(None),
        }
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
