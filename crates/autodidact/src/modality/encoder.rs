//! What a network is to the rest: from a batch to tokens and a vector.

use burn::module::{Module, ModuleDisplay};
use burn::tensor::{Bool, Device, Int, Tensor};

#[cfg(doc)]
use super::Abilities;
use super::{Batch, Causal, Need, Ordered, Symbolic};
use crate::error::{Error, Result};
use crate::layers::Init;
use crate::layers::masking::Mask;
use crate::layers::state::State;

/// What an encoder makes of a batch before pooling.
#[derive(Debug, Clone)]
pub struct Tokens {
    /// `[batch, tokens, dim]`.
    pub values: Tensor<3>,
    /// Which tokens are real, `[batch, tokens]`; `None` where all are.
    pub valid: Option<Tensor<2, Bool>>,
}

/// What a vector is made of fixed features by.
#[derive(Debug, Clone, PartialEq)]
pub enum Readout {
    /// A linear map: (features − mean) · mapᵀ.
    Map {
        /// `[features]`.
        mean: Vec<f32>,
        /// `[dim, features]`.
        map: Vec<f32>,
    },
    /// A weight for each: (features − mean) · weights, feature by feature.
    Weights {
        /// `[features]`.
        mean: Vec<f32>,
        /// `[features]`.
        weights: Vec<f32>,
    },
}

/// A network from a batch to tokens `[batch, tokens, dim]` and one vector per item `[batch, dim]`.
pub trait Encoder: Module + ModuleDisplay + Sync + 'static {
    /// What it takes in.
    type Batch: Batch;
    /// The tokens of a batch.
    fn tokens(&self, batch: &Self::Batch) -> Tokens;
    /// One vector per item.
    fn pool(&self, tokens: Tokens) -> Tensor<2>;
    /// Width of that vector.
    fn dim(&self) -> usize;
    /// Fits published weights to this network before they are loaded: takes out what it has no place for and may do
    /// without, such as a classifier, and adapts what may differ. Returns a line for people for each such change.
    ///
    /// # Errors
    /// When they can't be adapted.
    fn adopt(&self, _state: &mut State) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
    /// How many stages lie behind one another, from where the data enters to where the vector leaves.
    fn stages(&self) -> usize {
        1
    }
    /// Which of them a parameter belongs to, from 0, by its name (`blocks.3.norm1.weight`).
    fn stage(&self, _parameter: &str) -> usize {
        0
    }
    /// The network as one over symbols; `None` where its tokens are none.
    fn symbolic(&self) -> Option<&dyn Symbolic<Self::Batch>> {
        None
    }
    /// The network as one whose tokens stand in the order of time; `None` where they don't.
    fn ordered(&self) -> Option<&dyn Ordered<Self::Batch>> {
        None
    }
    /// The network as one that sees at each moment only what came before; `None` where it sees more.
    fn causal(&self) -> Option<&dyn Causal<Self::Batch>> {
        None
    }
    /// The fixed features that the vector is a linear map of, or is but for their weights, `[batch, features]`, without a
    /// gradient; `None` where it isn't.
    fn features(&self, _batch: &Self::Batch) -> Option<Tensor<2>> {
        None
    }
    /// How many fixed features there are; `None` where there are none.
    fn features_width(&self) -> Option<usize> {
        None
    }
    /// The same network with another linear map of its features, or other weights.
    ///
    /// # Errors
    /// When it has no fixed features, or the map or the weights are of others.
    fn with_readout(self, _readout: Readout) -> Result<Self> {
        Err(
            Error::recipe("a network without fixed features, to be read out anew")
                .expected(Need::Readout.describe()),
        )
    }
    /// The same network with other vectors of its symbols, `[vocabulary, dim]` row by row, where an item's vector is the mean
    /// of its symbols' own.
    ///
    /// # Errors
    /// When there is more to its vectors than that, or these are of other symbols or another width.
    fn with_symbol_vectors(self, _vectors: Vec<f32>) -> Result<Self> {
        Err(Error::recipe(
            "a network with more to it than its symbols' own vectors, to be given others",
        )
        .expected(Need::Averages.describe()))
    }
    /// What each item is like at its end, of which one moment follows another, `[batch, dim]`: from this what comes next is
    /// foretold. The vector, where the network has no token for a moment alone.
    fn latest(&self, batch: &Self::Batch) -> Tensor<2> {
        self.encode(batch)
    }
    /// How many values a step has; 0 where items have no steps.
    fn channels(&self) -> usize {
        0
    }
    /// Tokens, pooled.
    fn encode(&self, batch: &Self::Batch) -> Tensor<2> {
        self.pool(self.tokens(batch))
    }
}

/// Encoders that can run on the visible part only and tell what the hidden part was.
///
/// The defaults refuse: an enum of networks implements this for all and answers for each.
/// [`Abilities::masks`] has said before training which it will be.
pub trait Maskable: Encoder {
    /// How many tokens of a batch's items can be hidden.
    fn places(&self) -> usize {
        0
    }
    /// Width of a token.
    fn width(&self) -> usize {
        self.dim()
    }
    /// Values that a hidden token is restored to.
    fn target_dim(&self) -> usize {
        0
    }
    /// Fixed positions of the tokens for a decoder of width `dim`: `[1, places, dim]`.
    ///
    /// # Errors
    /// When the network can't be masked, or the width can't hold positions.
    fn positions(&self, _dim: usize, _device: &Device) -> Result<Tensor<3>> {
        Err(cannot_mask())
    }
    /// Encodes the kept tokens only: `[batch, extra + kept, width]`, tokens that stand for the whole item first.
    ///
    /// # Errors
    /// When the network can't be masked.
    fn visible(&self, _batch: &Self::Batch, _keep: &Tensor<2, Int>) -> Result<Tensor<3>> {
        Err(cannot_mask())
    }
    /// Number of tokens that stand for the whole item (a class token).
    fn extra(&self) -> usize {
        0
    }
    /// How far predictions `[batch, places, target_dim]` are from what was hidden, a scalar.
    ///
    /// # Errors
    /// When the network can't be masked.
    fn hidden_loss(
        &self,
        _predictions: Tensor<3>,
        _batch: &Self::Batch,
        _mask: &Mask,
    ) -> Result<Tensor<1>> {
        Err(cannot_mask())
    }
    /// Another network of the same build over the same symbols, that many times narrower, with weights of its own, which
    /// says what symbol stands where another was put in its place ([`Symbolic`]).
    ///
    /// # Errors
    /// When the network isn't one over symbols.
    fn narrower(&self, _times: usize, _init: &mut Init) -> Result<Self> {
        Err(cannot_shrink())
    }
    /// The batch with its hidden tokens replaced: by what predictions `[batch, places, target_dim]` say of them, on the
    /// scale of the batch, or, where there are none, by values that are not a number. For people to look at.
    ///
    /// # Errors
    /// When the network can't be masked.
    fn filled(
        &self,
        _batch: &Self::Batch,
        _mask: &Mask,
        _predictions: Option<Tensor<3>>,
    ) -> Result<Self::Batch> {
        Err(cannot_mask())
    }
}

fn cannot_shrink() -> Error {
    Error::recipe("a network that no narrower one is built after")
        .expected("an encoder over symbols, such as bert or modern")
}

fn cannot_mask() -> Error {
    Error::recipe("a network whose tokens can't be hidden")
        .expected("an encoder that can be masked, such as a ViT")
}
