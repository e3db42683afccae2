//! Networks for series.

mod conv_gru;
mod dilated;
mod kernels;
mod network;
mod patches;
mod resnet;
#[cfg(test)]
mod tests;

use autodidact_kernels::mean_pool;
use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};

use super::batch::SeriesBatch;
use crate::error::{Error, Result};
use crate::layers::masking::Mask;
use crate::layers::state::State;
use crate::modality::{Causal, Encoder, Maskable, Need, Ordered, Readout, Tokens, Track};
use crate::random::Rng;

pub use conv_gru::ConvGru;
pub use dilated::Dilated;
pub use kernels::{Pooling, RandomKernels, Transform};
pub use network::{SeriesFamily, SeriesNetwork, Vector};
pub use patches::PatchTransformer;
pub use resnet::ResNet1d;

/// Series that fixed features are fitted to, at most.
pub(super) const LEARNED_FROM: usize = 2000;

/// What a maximum over time begins from: below anything that a network gives out.
const LOWEST: f32 = -1e30;

/// What a network has made of real steps, `[batch, time, width]`, and zeros behind them, as a convolution finds them beyond the
/// end of a batch: else the vector of a row would depend on how long the others are. `None` is where all steps are real.
fn only_real(x: Tensor<3>, real: Option<&Tensor<3>>) -> Tensor<3> {
    match real {
        Some(real) => x * real.clone(),
        None => x,
    }
}

/// A network for series.
#[derive(Module, Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "there is one encoder in a program, and Burn's derive wants it unboxed"
)]
pub enum SeriesEncoder {
    /// Fixed kernels and a linear map.
    Kernels(RandomKernels),
    /// Dilated convolutions.
    Dilated(Dilated),
    /// Strided convolutions and a GRU.
    ConvGru(ConvGru),
    /// Residual convolutions.
    ResNet(ResNet1d),
    /// Patches and attention.
    Patch(PatchTransformer),
}

impl Encoder for SeriesEncoder {
    type Batch = SeriesBatch;

    fn tokens(&self, batch: &SeriesBatch) -> Tokens {
        let values = match self {
            // One of them, which stands for the whole series.
            Self::Kernels(network) => {
                return Tokens {
                    values: network.encode(batch).unsqueeze_dim(1),
                    valid: None,
                };
            }
            Self::Patch(network) => return network.tokens(batch),
            Self::Dilated(network) => network.tokens(batch),
            Self::ConvGru(network) => network.context(network.latents(batch)),
            Self::ResNet(network) => network.tokens(batch),
        };
        let tokens = values.dims()[1];
        Tokens {
            values,
            valid: batch.valid_tokens(self.stride(), tokens),
        }
    }

    /// The largest of each value over time where TS2Vec is published so, else the mean, over what is real.
    fn pool(&self, tokens: Tokens) -> Tensor<2> {
        let Tokens { values, valid } = tokens;
        if let Self::Dilated(_) = self {
            let [_, _, dim] = values.dims();
            let values = match valid {
                Some(valid) => {
                    let invalid = valid.bool_not().unsqueeze_dim::<3>(2).repeat_dim(2, dim);
                    values.mask_fill(invalid, LOWEST)
                }
                None => values,
            };
            return values.max_dim(1).squeeze_dim(1);
        }
        let Some(valid) = valid else {
            return mean_pool(values);
        };
        let weights = valid.float(); // [batch, tokens]
        let count = weights.clone().sum_dim(1).clamp_min(1.0); // [batch, 1]
        let weights = weights.unsqueeze_dim::<3>(2);
        (values * weights).sum_dim(1).squeeze_dim::<2>(1) / count
    }

    /// The last real token of networks with a token for each moment.
    fn latest(&self, batch: &SeriesBatch) -> Tensor<2> {
        if !matches!(self, Self::Dilated(_) | Self::ConvGru(_)) {
            return self.encode(batch);
        }
        let values = self.tokens(batch).values;
        let [count, tokens, dim] = values.dims();
        let last = batch.tracks(self.stride()).into_iter().enumerate();
        let last = last.map(|(row, track)| row * tokens + track.tokens.clamp(1, tokens) - 1);
        let last: Vec<i64> = last.map(|place| place as i64).collect();
        let last = Tensor::<1, Int>::from_data(last.as_slice(), &values.device());
        values.reshape([count * tokens, dim]).select(0, last)
    }

    fn dim(&self) -> usize {
        match self {
            Self::Kernels(network) => network.dim(),
            Self::Dilated(network) => network.dim(),
            Self::ConvGru(network) => network.dim(),
            Self::ResNet(network) => network.dim(),
            Self::Patch(network) => network.dim(),
        }
    }

    fn channels(&self) -> usize {
        let (inputs, missing) = match self {
            Self::Kernels(network) => (network.channels(), false),
            Self::Dilated(network) => network.inputs(),
            Self::ConvGru(network) => network.inputs(),
            Self::ResNet(network) => network.inputs(),
            Self::Patch(network) => (network.channels(), false),
        };
        // Where values may be missing, as many inputs say which are.
        if missing { inputs / 2 } else { inputs }
    }

    /// Takes the averaged weights that TS2Vec's code writes, whose names begin with `module`.
    fn adopt(&self, state: &mut State) -> Result<Vec<String>> {
        let averaged = state.keys().any(|name| name.starts_with("module."));
        if !averaged {
            return Ok(Vec::new());
        }
        state.remove("n_averaged");
        let renamed = std::mem::take(state).into_iter().map(|(name, array)| {
            let own = name.strip_prefix("module.").map(str::to_owned);
            (own.unwrap_or(name), array)
        });
        *state = renamed.collect();
        Ok(vec!["names without `module.` before them".to_owned()])
    }

    fn stages(&self) -> usize {
        match self {
            Self::Kernels(_) => 2,
            Self::Dilated(network) => network.blocks() + 1,
            Self::ConvGru(network) => network.convolutions() + 1,
            Self::ResNet(network) => network.blocks(),
            Self::Patch(network) => network.depth() + 1,
        }
    }

    /// A block, a convolution with its norm, or a GRU; what takes the data in comes first. Of fixed kernels, all but the
    /// map.
    fn stage(&self, parameter: &str) -> usize {
        let mut parts = parameter.split('.');
        let first = parts.next().unwrap_or_default();
        let number = parts.find_map(|part| part.parse::<usize>().ok());
        let last = self.stages() - 1;
        let stage = match (self, first) {
            (Self::Kernels(_), _) => usize::from(matches!(first, "readout" | "weights")),
            (Self::Dilated(_), "feature_extractor") => number.map_or(last, |block| block + 1),
            (Self::Patch(_), "blocks") => number.map_or(last, |block| block + 1),
            (Self::Dilated(_), _) => 0,
            (Self::Patch(_), "norm") | (Self::ConvGru(_), "gru") => last,
            _ => number.unwrap_or(0),
        };
        stage.min(last)
    }

    fn ordered(&self) -> Option<&dyn Ordered<SeriesBatch>> {
        match self {
            Self::Kernels(_) => None,
            _ => Some(self),
        }
    }

    fn causal(&self) -> Option<&dyn Causal<SeriesBatch>> {
        match self {
            Self::ConvGru(network) => Some(network),
            _ => None,
        }
    }

    fn features(&self, batch: &SeriesBatch) -> Option<Tensor<2>> {
        match self {
            Self::Kernels(network) => Some(network.features(batch)),
            _ => None,
        }
    }

    fn features_width(&self) -> Option<usize> {
        match self {
            Self::Kernels(network) => Some(network.width()),
            _ => None,
        }
    }

    fn with_readout(self, readout: Readout) -> Result<Self> {
        match self {
            Self::Kernels(network) => network.with_readout(readout).map(Self::Kernels),
            _ => Err(
                Error::recipe("a network without fixed features, to be read out anew")
                    .expected(Need::Readout.describe()),
            ),
        }
    }
}

impl SeriesEncoder {
    /// Steps of time from one token to the next.
    fn stride(&self) -> usize {
        match self {
            Self::ConvGru(network) => network.stride(),
            Self::Patch(network) => network.patch(),
            _ => 1,
        }
    }

    /// The same network with what it takes from undisturbed series before any training, and a line for people; `None` where
    /// that is nothing.
    ///
    /// # Errors
    /// When there are none.
    pub(super) fn begun(
        &self,
        series: &SeriesBatch,
        rng: &mut Rng,
    ) -> Result<Option<(Self, String)>> {
        let Self::Kernels(network) = self else {
            return Ok(None);
        };
        let learned = network.clone().learned(series, rng)?;
        let line = format!(
            "kernels  {} features fitted to {} series",
            learned.width(),
            series.lengths.len()
        );
        Ok(Some((Self::Kernels(learned), line)))
    }

    fn as_patches(&self) -> Result<&PatchTransformer> {
        match self {
            Self::Patch(network) => Ok(network),
            _ => Err(Error::recipe("a network whose tokens can't be hidden")
                .expected("encoder.name = \"patch_transformer\"")),
        }
    }
}

impl Ordered<SeriesBatch> for SeriesEncoder {
    fn tracks(&self, batch: &SeriesBatch) -> Vec<Track> {
        batch.tracks(SeriesEncoder::stride(self))
    }

    fn stride(&self) -> usize {
        SeriesEncoder::stride(self)
    }
}

impl Ordered<SeriesBatch> for ConvGru {
    fn tracks(&self, batch: &SeriesBatch) -> Vec<Track> {
        batch.tracks(ConvGru::stride(self))
    }

    fn stride(&self) -> usize {
        ConvGru::stride(self)
    }
}

impl Causal<SeriesBatch> for ConvGru {
    fn latents(&self, batch: &SeriesBatch) -> Tokens {
        let values = ConvGru::latents(self, batch);
        let tokens = values.dims()[1];
        Tokens {
            values,
            valid: batch.valid_tokens(ConvGru::stride(self), tokens),
        }
    }

    fn latent_width(&self) -> usize {
        self.width()
    }

    fn context(&self, latents: Tensor<3>) -> Tensor<3> {
        ConvGru::context(self, latents)
    }
}

impl Maskable for SeriesEncoder {
    fn places(&self) -> usize {
        self.as_patches().map_or(0, PatchTransformer::places)
    }

    fn target_dim(&self) -> usize {
        self.as_patches().map_or(0, PatchTransformer::target_dim)
    }

    fn positions(&self, dim: usize, device: &Device) -> Result<Tensor<3>> {
        self.as_patches()?.decoder_positions(dim, device)
    }

    fn visible(&self, batch: &SeriesBatch, keep: &Tensor<2, Int>) -> Result<Tensor<3>> {
        Ok(self.as_patches()?.visible(batch, keep))
    }

    fn hidden_loss(
        &self,
        predictions: Tensor<3>,
        batch: &SeriesBatch,
        mask: &Mask,
    ) -> Result<Tensor<1>> {
        Ok(self.as_patches()?.hidden_loss(predictions, batch, mask))
    }

    fn filled(
        &self,
        batch: &SeriesBatch,
        mask: &Mask,
        predictions: Option<Tensor<3>>,
    ) -> Result<SeriesBatch> {
        Ok(SeriesBatch {
            values: self.as_patches()?.filled(batch, mask, predictions),
            ..batch.clone()
        })
    }
}
