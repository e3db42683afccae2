//! Fused tensor operations with their own gradients, for Burn.
//!
//! Every operation is a free function on `Tensor`s that works on any device, with or without
//! autodiff. On Burn's CPU backend Flex, with `f32` tensors, it runs a kernel written here; on
//! every other device it runs its `*_reference` twin, composed of Burn's own operations, which is
//! also what the tests compare the kernel with.
//!
//! Images are channels-last, `[batch, height, width, channels]`. Parameters are laid out as torch
//! lays them out, so that weights map one to one.
//!
//! | operation | kernel |
//! |---|---|
//! | [`conv2d`] | direct convolution in register tiles, no im2col |
//! | [`batch_norm_train`], [`batch_norm_eval`] | with residual and ReLU, two passes each way |
//! | [`layer_norm`] | one pass each way, rows in cache |
//! | [`linear`] | register tiles, with bias and activation |
//! | [`attention`] | by blocks of queries, weights recomputed backward |
//! | [`nt_xent`] | by blocks of rows, similarities recomputed backward |
//!
//! *Architecture invariant*: the results of a kernel depend on its inputs and on the number of
//! rayon's threads, never on which thread did what first. Work that is summed is cut into one part
//! per thread and added up in the order of the parts.
//!
//! [`Recycling`] is an allocator for the binary that uses them: it keeps large blocks from one
//! training step to the next, which makes memory-bound operations up to twice as fast.
//!
//! The kernels pick their vector width at run time (AVX-512, AVX2, NEON or plain code).
//! Convolutions and linear layers can multiply in bf16 where the machine has AMX or AVX512-BF16,
//! see [`Precision`].

#[cfg(feature = "flex")]
mod bfloat;
#[cfg(feature = "flex")]
mod buffer;
#[cfg(feature = "flex")]
mod matrix;
#[cfg(feature = "flex")]
mod operation;
#[cfg(all(test, feature = "flex"))]
mod oracle;
#[cfg(feature = "flex")]
mod reduce;
#[cfg(feature = "flex")]
mod special;
#[cfg(feature = "flex")]
mod tile;
#[cfg(feature = "flex")]
mod window;

mod attention;
mod batch_norm;
mod conv2d;
mod layer_norm;
mod linear;
mod nt_xent;
mod precision;
mod recycling;

pub use attention::{attention, attention_reference};
pub use batch_norm::{
    BatchNormOutput, batch_norm_eval, batch_norm_eval_reference, batch_norm_train,
    batch_norm_train_reference,
};
pub use conv2d::{Conv2dOptions, conv2d, conv2d_reference};
pub use layer_norm::{layer_norm, layer_norm_reference};
pub use linear::{Activation, linear, linear_reference};
pub use nt_xent::{nt_xent, nt_xent_reference};
pub use precision::Precision;
pub use recycling::Recycling;
