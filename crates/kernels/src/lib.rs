//! Fused tensor operations with their own gradients, for Burn.
//!
//! Every operation is a free function on `Tensor`s that works on any device, with or without
//! autodiff. On Burn's CPU backend Flex, with `f32` tensors, it runs a kernel written here; on
//! every other device it runs its `*_reference` twin, composed of Burn's own operations (for a residual
//! block [`residual_block_train_composed`], of those of this crate), which is also what the tests compare
//! the kernel with.
//!
//! Images are channels-last, `[batch, height, width, channels]`. Parameters are laid out as torch
//! lays them out, so that weights map one to one.
//!
//! | operation | kernel |
//! |---|---|
//! | [`conv2d`], [`conv1d`] | 3×3 by Winograd's filtering, with stride 1 or 2, other deep ones packed block by block for products, others direct in register tiles; depthwise by vectors, 1×1 as a product |
//! | [`max_pool2d`], [`avg_pool2d`], [`mean_pool`] | vectors over the channels, gradients gathered |
//! | [`batch_norm_train`], [`batch_norm_eval`] | with residual and ReLU, two passes each way |
//! | [`residual_block_train`] | convolutions and norms of a few images at a time while these are in cache; elsewhere composed of the operations above |
//! | [`layer_norm`], [`rms_norm`] | one pass each way, rows in cache |
//! | [`linear`], [`linear_residual`] | products blocked for the caches, with bias and activation or residual |
//! | [`gated_linear`] | both layers in one product, gate and gradient in one pass each |
//! | [`attention`], [`attention_packed`], [`attention_within`], [`attention_packed_within`] | by blocks of queries, weights recomputed backward |
//! | [`embedding`], [`gather_tokens`], [`gather_tokens_or`], [`prepend_token`] | whole rows copied, sums sorted by row |
//! | [`patch_responses`] | patches normalized, met by a dictionary and summed over cells while in cache; no gradient |
//! | [`softmax`], [`log_softmax`] | one pass each way, rows in cache |
//! | [`cross_entropy`] | probabilities recomputed backward |
//! | [`hidden_loss`] | hidden rows only, targets normalized on the way |
//! | [`dropout`] | the mask a function of a seed, recomputed backward |
//! | [`gru`] | whole sequences, each thread its part of the batch, states in cache |
//! | [`nt_xent`] | by blocks of rows, similarities recomputed backward |
//! | [`pair_contrast`] | many groups at once, gathered where they lie, the gradient found with the loss |
//! | [`optimizer`] | one pass over all parameters, in place |
//!
//! *Architecture invariant*: the results of a kernel depend on its inputs and on the number of
//! rayon's threads, never on which thread did what first. Work that is summed is cut into
//! parts, whose number depends on that of the threads alone, and added up in the order of the parts.
//!
//! [`Recycling`] is an allocator for the binary that uses them: it keeps large blocks from one
//! training step to the next, which makes memory-bound operations up to twice as fast.
//!
//! [`unfused`] does without the kernels for the length of a closure, so that the same code can be run
//! and timed both ways.
//!
//! The kernels pick their vector width at run time (AVX-512, AVX2, NEON or plain code).
//! Convolutions and linear layers can multiply in bf16 where the machine has AMX or AVX512-BF16,
//! see [`Precision`].

#[cfg(feature = "flex")]
mod bfloat;
#[cfg(feature = "flex")]
mod buffer;
#[cfg(feature = "flex")]
mod elementwise;
#[cfg(feature = "flex")]
mod matrix;
#[cfg(feature = "flex")]
mod operation;
#[cfg(all(test, feature = "flex"))]
mod oracle;
#[cfg(feature = "flex")]
mod product;
#[cfg(feature = "flex")]
mod reduce;
#[cfg(feature = "flex")]
mod rows;
#[cfg(feature = "flex")]
mod special;
#[cfg(feature = "flex")]
mod taps;
#[cfg(feature = "flex")]
mod tile;
#[cfg(feature = "flex")]
mod vectorized;
#[cfg(feature = "flex")]
mod window;

mod attention;
mod batch_norm;
mod conv1d;
mod conv2d;
mod cross_entropy;
mod dropout;
mod embedding;
mod gated_linear;
mod gather_tokens;
mod gelu;
mod gru;
mod hidden_loss;
mod layer_norm;
mod linear;
mod nt_xent;
pub mod optimizer;
mod pair_contrast;
mod patch_responses;
mod pool;
mod precision;
mod profile;
mod recycling;
mod residual;
mod rms_norm;
mod softmax;
mod unfused;

pub use attention::{
    Spans, attention, attention_packed, attention_packed_reference, attention_packed_within,
    attention_packed_within_reference, attention_reference, attention_within,
    attention_within_reference,
};
pub use batch_norm::{
    BatchNormOutput, batch_norm_eval, batch_norm_eval_reference, batch_norm_train,
    batch_norm_train_reference,
};
pub use conv1d::{Conv1dOptions, conv1d, conv1d_reference};
pub use conv2d::{Conv2dOptions, conv2d, conv2d_reference};
pub use cross_entropy::{cross_entropy, cross_entropy_reference, cross_entropy_smoothed};
pub use dropout::{dropout, dropout_reference};
pub use embedding::{embedding, embedding_reference};
pub use gated_linear::{gated_linear, gated_linear_reference};
pub use gather_tokens::{
    gather_tokens, gather_tokens_or, gather_tokens_or_reference, gather_tokens_reference,
    prepend_token, prepend_token_reference,
};
pub use gelu::{gelu, gelu_reference};
pub use gru::{GruWeights, gru, gru_reference};
pub use hidden_loss::{hidden_loss, hidden_loss_reference};
pub use layer_norm::{layer_norm, layer_norm_reference};
pub use linear::{
    Activation, linear, linear_reference, linear_residual, linear_residual_reference,
};
pub use nt_xent::{nt_xent, nt_xent_reference};
pub use pair_contrast::{Among, pair_contrast, pair_contrast_reference};
pub use patch_responses::{Patches, patch_responses, patch_responses_reference};
pub use pool::{
    Pool2dOptions, avg_pool2d, avg_pool2d_reference, max_pool2d, max_pool2d_reference, mean_pool,
    mean_pool_reference,
};
pub use precision::Precision;
pub use profile::{Measured, Pass, profile};
pub use recycling::Recycling;
pub use residual::{
    NormedConv, ResidualBlock, ResidualBlockOutput, residual_block_train,
    residual_block_train_composed,
};
pub use rms_norm::{rms_norm, rms_norm_reference};
pub use softmax::{log_softmax, log_softmax_reference, softmax, softmax_reference};
pub use unfused::unfused;
