//! Randomness as a function: the same (seed, epoch, item, view) always gives the same draws.
//!
//! No generator is carried from step to step, so nothing about it has to be saved: an interrupted run
//! that is resumed draws exactly what the uninterrupted one would have drawn, whatever thread asks first.

use rand::SeedableRng;

/// The generator that every random choice of the library draws from.
pub type Rng = rand_pcg::Pcg64;

/// What a stream of randomness is for, so that two uses of one seed never draw the same numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Purpose {
    /// The order of the items in an epoch.
    Order = 1,
    /// The views of an item.
    View = 2,
    /// The initial weights of a network.
    Weights = 3,
    /// What a method draws in a step: masks, slices, negatives.
    Method = 4,
    /// Anything in evaluation: bootstrap draws, validation parts, few-label draws.
    Evaluation = 5,
    /// The synthetic data set.
    Synthetic = 6,
    /// Which items are held out for validation.
    Split = 7,
}

/// The generator for `purpose` at the place that `keys` name, for example `[epoch, item, view]`.
pub fn stream(seed: u64, purpose: Purpose, keys: &[u64]) -> Rng {
    let mut state = mix(seed ^ mix(purpose as u64));
    for &key in keys {
        state = mix(state.wrapping_add(0x9e37_79b9_7f4a_7c15) ^ mix(key));
    }
    Rng::seed_from_u64(state)
}

/// The finaliser of SplitMix64 (Steele, Lea & Flood 2014): every input bit reaches every output bit.
fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;

    #[test]
    fn streams_repeat_and_differ_by_every_key() {
        let draw = |seed, keys: &[u64]| -> u64 { stream(seed, Purpose::View, keys).random() };
        assert_eq!(draw(1, &[2, 3, 4]), draw(1, &[2, 3, 4]));
        let others = [
            draw(2, &[2, 3, 4]),
            draw(1, &[3, 3, 4]),
            draw(1, &[2, 4, 4]),
            draw(1, &[2, 3, 5]),
        ];
        assert!(others.iter().all(|&other| other != draw(1, &[2, 3, 4])));
        let order: u64 = stream(1, Purpose::Order, &[2, 3, 4]).random();
        assert_ne!(order, draw(1, &[2, 3, 4]));
    }
}
