//! The recipe's `[encoder]` for series.

use serde::{Deserialize, Serialize};

use super::conv_gru::{ConvGru, strides_for};
use super::patches::{PatchTransformer, patch_for};
use super::{Dilated, Pooling, RandomKernels, ResNet1d, SeriesEncoder, Transform};
use crate::error::{Error, Result};
use crate::layers::Init;
use crate::modality::{Abilities, Need};

/// The largest width, and length of a vector, that makes sense.
const WIDEST: usize = 1 << 15;
/// Values of a token of a patch transformer, all channels together, about, where its width is left open.
const TOKEN: usize = 512;
/// Blocks of dilated convolutions, at most: the last one's taps lie 2²⁴ steps apart.
const DEEPEST: usize = 24;

/// The recipe's `[encoder]` for series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SeriesNetwork {
    /// `kernels`, `dilated`, `conv_gru`, `resnet1d` or `patch_transformer`.
    pub name: SeriesFamily,
    /// Features (`kernels`), channels inside (`dilated`, `conv_gru`), channels of the first block (`resnet1d`; 64 is the
    /// published one), or width of a token of one channel (`patch_transformer`; a multiple of the heads). 0 takes what is
    /// usual.
    pub width: usize,
    /// Length of the vector (`kernels` with `vector = "map"`, `dilated`, `conv_gru`); the others' follows from the width. 0 takes what is usual.
    pub dim: usize,
    /// Blocks before the last one (`dilated`, published: 10) or of the transformer (3). 0 takes these.
    pub depth: usize,
    /// Heads of a `patch_transformer`'s attention.
    pub heads: usize,
    /// Steps in a patch; 0 takes what suits the length.
    pub patch: usize,
    /// From one window to the next, in steps, convolution by convolution (`conv_gru`); none takes what suits the length.
    pub strides: Vec<usize>,
    /// What `kernels` go over: `values`, `difference`.
    pub transforms: Vec<Transform>,
    /// What the vector of `kernels` is: a linear `map` of the features, or the `features`, each weighed.
    pub vector: Vector,
    /// What is kept of the responses of `kernels`: `proportion`, `excess`, `place`, `stretch`.
    pub pooling: Vec<Pooling>,
    /// The part of the steps that is hidden from a `dilated` network while it learns, 0 to 0.9.
    pub hidden: f64,
    /// The part of a `dilated` network's outputs that is dropped while it learns, 0 to 0.9.
    pub dropout: f64,
}

impl Default for SeriesNetwork {
    fn default() -> Self {
        Self {
            name: SeriesFamily::Resnet1d,
            width: 0,
            dim: 0,
            depth: 0,
            heads: 4,
            patch: 0,
            strides: Vec::new(),
            transforms: vec![Transform::Values, Transform::Difference],
            vector: Vector::Map,
            pooling: vec![Pooling::Proportion],
            hidden: 0.5,
            dropout: 0.1,
        }
    }
}

/// How a network is built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SeriesFamily {
    /// Dempster et al. 2021, Tan et al. 2022: fixed kernels, read out by a linear map.
    Kernels,
    /// Yue et al. 2022: residual blocks of dilated convolutions.
    Dilated,
    /// Van den Oord et al. 2018: strided convolutions and a GRU.
    ConvGru,
    /// Wang et al. 2017: residual blocks without pooling.
    Resnet1d,
    /// Nie et al. 2023: a transformer over the patches of each channel.
    #[serde(rename = "patch_transformer")]
    Patch,
}

/// What a vector is, of fixed features.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Vector {
    /// A linear map of them.
    Map,
    /// Themselves, each weighed.
    Features,
}

impl SeriesNetwork {
    /// What suits a pretext task, for series of `length` steps.
    pub(in super::super) fn suiting(need: Need, length: usize) -> Self {
        let name = match need {
            Need::Readout | Need::Weights => SeriesFamily::Kernels,
            Need::Hidden => SeriesFamily::Patch,
            Need::Ordered | Need::Ending => SeriesFamily::Dilated,
            Need::Ahead => SeriesFamily::ConvGru,
            Need::Vectors
            | Need::Replaced
            | Need::Symbols
            | Need::Next
            | Need::Averages
            | Need::Stretches => SeriesFamily::Resnet1d,
        };
        Self {
            name,
            // What comes next is told from all steps before.
            hidden: match need {
                Need::Ending => 0.0,
                _ => Self::default().hidden,
            },
            vector: match need {
                Need::Weights => Vector::Features,
                _ => Vector::Map,
            },
            patch: match name {
                SeriesFamily::Patch => patch_for(length),
                _ => 0,
            },
            strides: match name {
                SeriesFamily::ConvGru => strides_for(length),
                _ => Vec::new(),
            },
            ..Self::default()
        }
    }

    /// What the network can do.
    pub fn abilities(&self) -> Abilities {
        Abilities {
            masks: self.name == SeriesFamily::Patch,
            reads_out: self.name == SeriesFamily::Kernels && self.vector == Vector::Map,
            weighs: self.name == SeriesFamily::Kernels && self.vector == Vector::Features,
            ends: true,
            ordered: self.name != SeriesFamily::Kernels,
            looks_ahead: self.name == SeriesFamily::ConvGru,
            ..Abilities::default()
        }
    }

    /// Refuses what can't be, for series of `length` steps of `channels` values.
    ///
    /// # Errors
    /// Names the setting.
    pub(in super::super) fn check(&self, channels: usize, length: usize) -> Result<()> {
        let refuse = |key: &str, value: String, expected: &str| {
            Err(Error::recipe(format!("encoder.{key} = {value}")).expected(expected))
        };
        for (key, value) in [("width", self.width), ("dim", self.dim)] {
            if value > WIDEST {
                return refuse(key, value.to_string(), "at most 32768");
            }
        }
        match self.name {
            SeriesFamily::Dilated if self.depth > DEEPEST => {
                refuse("depth", self.depth.to_string(), "at most 24")
            }
            SeriesFamily::Dilated => {
                for (key, part) in [("hidden", self.hidden), ("dropout", self.dropout)] {
                    if !(0.0..=0.9).contains(&part) {
                        return refuse(key, part.to_string(), "a number from 0 to 0.9");
                    }
                }
                Ok(())
            }
            SeriesFamily::ConvGru => {
                let strides = self.strides_within(length);
                let product = strides
                    .iter()
                    .try_fold(1usize, |product, &stride| product.checked_mul(stride));
                let fits = product.is_some_and(|product| (1..=length.max(1)).contains(&product));
                if fits && strides.len() <= DEEPEST {
                    return Ok(());
                }
                refuse(
                    "strides",
                    format!("{strides:?}"),
                    &format!(
                        "at most 24, each at least 1, whose product is at most {length} steps"
                    ),
                )
            }
            SeriesFamily::Patch => {
                let (width, heads) = (self.width_of(channels), self.heads);
                if heads == 0 || !width.is_multiple_of(heads) {
                    return refuse("width", width.to_string(), "a multiple of the heads");
                }
                if self.depth > 1000 {
                    return refuse("depth", self.depth.to_string(), "at most 1000");
                }
                if self.patch > length {
                    let most = format!("at most {length}, the steps of a view");
                    return refuse("patch", self.patch.to_string(), &most);
                }
                if width.saturating_mul(channels) > WIDEST {
                    return Err(Error::recipe(format!(
                        "encoder.width = {width} for each of {channels} channels"
                    ))
                    .expected("32768 together at most"));
                }
                Ok(())
            }
            SeriesFamily::Kernels => {
                if self.transforms.is_empty() || self.transforms.len() > 2 {
                    return refuse("transforms", format!("{:?}", self.transforms), "1 or 2");
                }
                if self.pooling.is_empty() || self.pooling.len() > 4 {
                    return refuse("pooling", format!("{:?}", self.pooling), "1 to 4");
                }
                Ok(())
            }
            SeriesFamily::Resnet1d => Ok(()),
        }
    }

    /// Builds the network for series of `length` steps of `channels` values. Where values may be `missing`, it is told
    /// which are there by as many channels more.
    ///
    /// # Errors
    /// Names the setting that can't be.
    pub(in super::super) fn build(
        &self,
        channels: usize,
        missing: bool,
        length: usize,
        init: &mut Init,
    ) -> Result<SeriesEncoder> {
        if channels == 0 || length == 0 {
            return Err(
                Error::data(format!("series of {length} steps of {channels} values"))
                    .expected("at least one of each"),
            );
        }
        self.check(channels, length)?;
        let or = |value: usize, usual: usize| if value == 0 { usual } else { value };
        let width = self.width_of(channels);
        Ok(match self.name {
            SeriesFamily::Kernels => {
                let how = (self.transforms.as_slice(), self.pooling.as_slice());
                let dim = (self.vector == Vector::Map).then(|| or(self.dim, 512));
                let shape = [length, channels];
                SeriesEncoder::Kernels(RandomKernels::new(shape, width, dim, how, init))
            }
            SeriesFamily::Dilated => {
                let sizes = [width, or(self.depth, 10), or(self.dim, 320)];
                let parts = [self.hidden, self.dropout];
                SeriesEncoder::Dilated(Dilated::new(channels, missing, sizes, parts, init))
            }
            SeriesFamily::ConvGru => {
                let sizes = [width, or(self.dim, 128)];
                let strides = self.strides_within(length);
                SeriesEncoder::ConvGru(ConvGru::new(channels, missing, sizes, &strides, init))
            }
            SeriesFamily::Resnet1d => {
                SeriesEncoder::ResNet(ResNet1d::new(channels, missing, width, init))
            }
            SeriesFamily::Patch => {
                let patch = or(self.patch, patch_for(length));
                let sizes = [width, or(self.depth, 3), self.heads];
                let shape = [length, patch, channels];
                SeriesEncoder::Patch(PatchTransformer::new(shape, missing, sizes, init))
            }
        })
    }

    /// The width, or what is usual.
    fn width_of(&self, channels: usize) -> usize {
        match (self.width, self.name) {
            (0, SeriesFamily::Kernels) => 4032,
            (0, SeriesFamily::Patch) => {
                let heads = self.heads.max(1);
                let each = (TOKEN / channels.max(1)).clamp(16, 128);
                (each / heads).max(1) * heads
            }
            (0, _) => 64,
            (width, _) => width,
        }
    }

    fn strides_within(&self, length: usize) -> Vec<usize> {
        match self.strides.is_empty() {
            true => strides_for(length),
            false => self.strides.clone(),
        }
    }
}
