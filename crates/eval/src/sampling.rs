//! Seeded draws, the same on every machine.

use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;

/// The generator of one purpose: streams of one seed are independent of each other.
pub(crate) fn generator(seed: u64, stream: u64) -> Pcg64Mcg {
    // An odd multiplier keeps streams of neighboring seeds apart.
    Pcg64Mcg::seed_from_u64(seed ^ stream.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

/// The numbers below `length` in random order.
pub(crate) fn permutation(length: usize, generator: &mut Pcg64Mcg) -> Vec<usize> {
    let mut order: Vec<usize> = (0..length).collect();
    for last in (1..length).rev() {
        order.swap(last, generator.random_range(0..=last));
    }
    order
}
