//! Products of numbers rounded to bf16, summed in `f32`, on CPUs that have instructions for it.
//!
//! bf16 is the upper half of an `f32`: 8 bits of exponent, 7 of fraction, so rounding to nearest
//! even changes a number by at most 1 part in 256 (2⁻⁹ of its power of two up or down). The
//! products of two such numbers are exact in `f32` and are summed in it.
//!
//! The twins of the register tiles of `tile`:
//!
//! - [`product`]: `dest[p, j] = bias[j] + Σ_k source[p, k] · weight[k, j]`;
//! - [`correlate`]: `sum[k, j] = Σ_p source[p, k] · gradient[p, j]`.
//!
//! Both cut their operands into tiles of one kilobyte and hand a block of 2×2 of them, with a list
//! of the steps of its sum, to one micro-kernel ([`block`]):
//!
//! - a tile of the left operand has 16 rows of 32 numbers that are multiplied and summed;
//! - a tile of the right operand has 16 rows of 16 *pairs*, `[k/2][column][2]`, which is what the
//!   instructions multiply at once.
//!
//! The micro-kernel is AMX (`tdpbf16ps`, 16 384 FLOPs each), else AVX512-BF16 (`vdpbf16ps`), else
//! plain code, which is for tests. Intel, *Intel 64 and IA-32 Architectures Optimization Reference
//! Manual*, chapter 20, has the 2×2 blocking: each tile that is loaded is used twice.
//!
//! The instructions take denormal numbers for zero, and write zero where the result is one.

mod arrange;
mod block;
mod correlate;
mod engine;
mod pieces;
mod product;
mod rounded;

pub(crate) use correlate::correlate;
pub(crate) use engine::Engine;
pub(crate) use product::{Product, Weight};
pub(crate) use rounded::Rounded;

#[cfg(test)]
mod tests;
