//! Dropout whose mask is a function of a seed.
//!
//! `y_i = x_i · [h(seed, i) ≥ p] / (1 − p)`, with h uniform from 0 to 1; Srivastava et al.,
//! *Dropout: A Simple Way to Prevent Neural Networks from Overfitting* (2014).
//!
//! h is a counter-based generator as those of Salmon et al., *Parallel Random Numbers: As Easy as
//! 1, 2, 3* (2011): nothing is kept for the backward pass but the seed, the mask doesn't depend on
//! who computes it, and every device has the same. Its rounds are 32 bits wide, so that they fill
//! the vector units. Each element is read and written once each way (8 bytes), backward in place
//! where nothing else holds the gradient.

use burn::tensor::{Tensor, TensorData};

#[cfg(feature = "flex")]
mod fused;

/// Sets each element to zero with a probability and divides the others by what is left of one.
///
/// # Shapes
/// - `x` and the output: any, the same
///
/// `probability` is from 0, which changes nothing, to 1. The same `seed` gives the same mask, so
/// every step and layer wants one of its own.
///
/// # Panics
/// If the probability is out of range.
pub fn dropout<const D: usize>(x: Tensor<D>, probability: f64, seed: u64) -> Tensor<D> {
    let mask = Mask::new(probability, seed);
    if probability == 0.0 {
        return x;
    }
    #[cfg(feature = "flex")]
    {
        let x = x.into_dispatch();
        if crate::operation::fusible(&[&x]) {
            return Tensor::from_dispatch(fused::dropout(x, mask));
        }
        apply_mask(Tensor::from_dispatch(x), mask)
    }
    #[cfg(not(feature = "flex"))]
    apply_mask(x, mask)
}

/// [`dropout`] with the mask made on the host and multiplied by Burn's own operation, for any
/// device.
pub fn dropout_reference<const D: usize>(x: Tensor<D>, probability: f64, seed: u64) -> Tensor<D> {
    apply_mask(x, Mask::new(probability, seed))
}

fn apply_mask<const D: usize>(x: Tensor<D>, mask: Mask) -> Tensor<D> {
    let mut values = vec![1.0; x.shape().num_elements()];
    for (index, block) in values.chunks_mut(BLOCK).enumerate() {
        mask.block(index).apply(block);
    }
    let mask = Tensor::from_data(TensorData::new(values, x.dims()), &x.device());
    x * mask
}

/// Elements that have their key in common.
const BLOCK: usize = 4096;

/// Which elements are kept.
#[derive(Clone, Copy, Debug)]
struct Mask {
    seed: u64,
    /// Random numbers from here on keep their element.
    threshold: u32,
    /// What kept elements are multiplied by.
    scale: f32,
}

impl Mask {
    fn new(probability: f64, seed: u64) -> Self {
        assert!(
            (0.0..=1.0).contains(&probability),
            "dropout: found a probability of {probability}, expected one from 0 to 1",
        );
        let scale = if probability < 1.0 {
            1.0 / (1.0 - probability)
        } else {
            0.0
        };
        Self {
            seed,
            threshold: (probability * 2f64.powi(32)) as u32,
            scale: scale as f32,
        }
    }

    /// The mask of the `index`-th [`BLOCK`] of elements.
    fn block(self, index: usize) -> BlockMask {
        const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
        let own = mix_64(self.seed.wrapping_add(STEP));
        let key = mix_64(own.wrapping_add(STEP.wrapping_mul(index as u64)));
        BlockMask {
            keys: [key as u32, (key >> 32) as u32],
            threshold: self.threshold,
            scale: self.scale,
        }
    }
}

/// The mask of one block.
#[derive(Clone, Copy)]
struct BlockMask {
    keys: [u32; 2],
    threshold: u32,
    scale: f32,
}

impl BlockMask {
    /// The element at a place of the block, or zero.
    #[inline(always)]
    fn one(self, place: u32, x: f32) -> f32 {
        let random = mix_32(mix_32(place ^ self.keys[0]).wrapping_add(self.keys[1]));
        let scaled = x * self.scale;
        if random >= self.threshold {
            scaled
        } else {
            0.0
        }
    }

    /// Masks a block in place.
    #[inline(always)]
    fn apply(self, block: &mut [f32]) {
        for (place, x) in block.iter_mut().enumerate() {
            *x = self.one(place as u32, *x);
        }
    }
}

/// The finalizer of SplitMix64; Steele, Lea and Flood, *Fast Splittable Pseudorandom Number
/// Generators* (2014).
fn mix_64(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

/// A bijection of 32 bits in which each bit of the input flips each of the output half of the
/// time; the constants are Wellons' "lowbias32" (2018).
#[inline(always)]
fn mix_32(mut x: u32) -> u32 {
    x = (x ^ (x >> 16)).wrapping_mul(0x7FEB_352D);
    x = (x ^ (x >> 15)).wrapping_mul(0x846C_A68B);
    x ^ (x >> 16)
}

#[cfg(all(test, feature = "flex"))]
mod tests;
