//! Tokens in the order of time, and items whose end can be told from what came before.

use burn::tensor::Tensor;

use super::Tokens;

/// Networks whose tokens stand in the order of time, equally far apart: which of two views' tokens are of the same moment
/// can be told.
pub trait Ordered<Batch> {
    /// Where the tokens of each row of a batch stand.
    fn tracks(&self, batch: &Batch) -> Vec<Track>;

    /// Steps of time from one token to the next, at least 1.
    fn stride(&self) -> usize;
}

/// Where the tokens of a row stand in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Track {
    /// The step of its item at which the row begins, and its first token.
    pub start: usize,
    /// How many of its tokens are real; the others come after them.
    pub tokens: usize,
}

/// A batch of items without their last steps, and those steps.
#[derive(Debug, Clone)]
pub struct Ending<Batch> {
    /// The items up to there: one step of each at least.
    pub given: Batch,
    /// The values of the last step that is given, `[batch, channels]`; 0 where one is missing.
    pub last: Tensor<2>,
    /// The values of the steps that were cut off, `[batch, steps, channels]`.
    pub came: Tensor<3>,
    /// 1 where one of these is to be told, and 0 where it is missing, known beforehand (the calendar), or the item too short,
    /// `[batch, steps, channels]`.
    pub there: Tensor<3>,
}

/// Networks that first make something of each moment, and then of each moment together with all before it and none after
/// it: what comes next can be predicted.
pub trait Causal<Batch>: Ordered<Batch> {
    /// What is made of each moment, `[batch, tokens, latent_width]`: it has seen nothing that lies after the moment.
    fn latents(&self, batch: &Batch) -> Tokens;

    /// Width of a latent.
    fn latent_width(&self) -> usize;

    /// What is made of each latent and those before it, `[batch, tokens, latent_width]` → `[batch, tokens, dim]`: the
    /// tokens of the batch.
    fn context(&self, latents: Tensor<3>) -> Tensor<3>;
}
