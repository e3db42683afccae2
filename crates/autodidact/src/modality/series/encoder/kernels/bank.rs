//! Which kernels there are, and over what they go.
//!
//! The kernels of MiniRocket (Dempster, Schmidt & Webb 2021, angus924/minirocket): all 84 of nine taps of which three are
//! 2 and six are −1, so that each sums to zero. What else is chosen, dilations, channels and quantiles, is a function of
//! the length and number of features, and random channels of a seed that is always the same.

use rand::RngExt;
use rand::seq::index::sample;
use serde::{Deserialize, Serialize};

use crate::random::{Purpose, stream};

/// Taps of a kernel.
pub(super) const TAPS: usize = 9;
/// Kernels there are: the ways to choose three taps of nine.
pub(super) const KERNELS: usize = 84;
/// Dilations of a kernel, at most, as published.
const DILATIONS: usize = 32;
/// Channels that a kernel sums over, at most, as published.
const CHANNELS: usize = 9;
/// Step of the low-discrepancy sequence of quantiles: the golden ratio.
const GOLDEN: f64 = 1.618_033_988_749_895;

/// What kernels go over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transform {
    /// The values.
    Values,
    /// The differences between neighboring steps (Tan et al. 2022, MultiRocket).
    Difference,
}

impl Transform {
    /// One channel transformed.
    pub(super) fn of(self, values: &[f32]) -> Vec<f32> {
        match self {
            Self::Values => values.to_vec(),
            Self::Difference => values.windows(2).map(|pair| pair[1] - pair[0]).collect(),
        }
    }

    fn length(self, length: usize) -> usize {
        match self {
            Self::Values => length,
            Self::Difference => length.saturating_sub(1),
        }
    }
}

/// Kernels of one dilation over one transform, with as many thresholds each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    pub(super) transform: Transform,
    pub(super) dilation: usize,
    /// Thresholds of each kernel.
    pub(super) thresholds: usize,
    /// Channels that each kernel sums over.
    pub(super) channels: Vec<Vec<usize>>,
    /// Whether the even kernels see zeros beyond the ends and the odd ones stay within, or the other way round.
    pub(super) even_padded: bool,
}

impl Group {
    /// Whether a kernel sees zeros beyond the ends.
    pub(super) fn padded(&self, kernel: usize) -> bool {
        kernel.is_multiple_of(2) == self.even_padded
    }
}

/// All kernels, group by group; within a group kernel by kernel, then threshold by threshold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bank {
    pub(super) groups: Vec<Group>,
}

impl Bank {
    /// Kernels over series of `length` steps of `channels` values, with some `thresholds` in all and never more.
    pub(super) fn new(
        [length, channels]: [usize; 2],
        transforms: &[Transform],
        thresholds: usize,
    ) -> Self {
        let each = (thresholds / KERNELS / transforms.len().max(1)).max(1);
        let mut rng = stream(0, Purpose::Weights, &[channels as u64]);
        let most = (channels.min(CHANNELS) + 1) as f64;
        let mut chosen = || {
            let count = most.powf(rng.random::<f64>()) as usize;
            let mut chosen = sample(&mut rng, channels, count.clamp(1, channels)).into_vec();
            chosen.sort_unstable();
            chosen
        };
        let mut groups = Vec::new();
        for &transform in transforms {
            let dilations = dilations(transform.length(length), each);
            for (index, (dilation, thresholds)) in dilations.into_iter().enumerate() {
                groups.push(Group {
                    transform,
                    dilation,
                    thresholds,
                    channels: (0..KERNELS).map(|_| chosen()).collect(),
                    even_padded: index.is_multiple_of(2),
                });
            }
        }
        Self { groups }
    }

    /// Thresholds in all.
    pub(super) fn thresholds(&self) -> usize {
        let of_groups = self.groups.iter().map(|group| KERNELS * group.thresholds);
        of_groups.sum()
    }

    /// The reach of the longest kernel to either side, in steps.
    pub(super) fn reach(&self) -> usize {
        let of_groups = self.groups.iter().map(|group| TAPS / 2 * group.dilation);
        of_groups.max().unwrap_or(0)
    }
}

/// The taps of each kernel that are 2.
pub(super) fn kernels() -> Vec<[usize; 3]> {
    let mut kernels = Vec::with_capacity(KERNELS);
    for a in 0..TAPS {
        for b in a + 1..TAPS {
            kernels.extend((b + 1..TAPS).map(|c| [a, b, c]));
        }
    }
    kernels
}

/// The quantile of a kernel's responses that a threshold is set to, 0 to 1, by the threshold's number.
pub(super) fn quantile(number: usize) -> f64 {
    ((number + 1) as f64 * GOLDEN).fract()
}

/// Dilations, and how many thresholds each has, `each` together: evenly on a scale of logarithms, up to where a kernel is
/// as long as the series.
fn dilations(length: usize, each: usize) -> Vec<(usize, usize)> {
    let count = each.min(DILATIONS);
    let top = (length.saturating_sub(1) as f64 / (TAPS - 1) as f64).max(1.0);
    let mut found: Vec<(usize, usize)> = Vec::new();
    for index in 0..count {
        let part = index as f64 / (count - 1).max(1) as f64;
        // A hair more, lest rounding takes the last one down.
        let dilation = (top.powf(part) + 1e-9) as usize;
        match found.last_mut() {
            Some((last, times)) if *last == dilation => *times += 1,
            _ => found.push((dilation, 1)),
        }
    }
    for (_, times) in &mut found {
        *times = *times * each / count;
    }
    let mut left = each - found.iter().map(|(_, times)| times).sum::<usize>();
    while left > 0 {
        for (_, times) in &mut found {
            if left > 0 {
                (*times, left) = (*times + 1, left - 1);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_are_those_of_minirocket() {
        let kernels = kernels();
        assert_eq!(kernels.len(), KERNELS);
        assert_eq!((kernels[0], kernels[83]), ([0, 1, 2], [6, 7, 8]));
    }

    #[test]
    fn dilations_are_those_of_minirocket() {
        // What `_fit_dilations` gives for 150 steps and 9996 features, which are 119 for each kernel.
        let expected = [
            (1, 30),
            (2, 15),
            (3, 12),
            (4, 12),
            (5, 4),
            (6, 8),
            (7, 8),
            (8, 4),
            (9, 4),
            (10, 4),
            (11, 3),
            (12, 3),
            (14, 3),
            (15, 3),
            (16, 3),
            (18, 3),
        ];
        assert_eq!(dilations(150, 119), expected);
        // Of few features there are few dilations, and short series have none.
        assert_eq!(dilations(150, 1), [(1, 1)]);
        assert_eq!(dilations(5, 40), [(1, 40)]);
        assert_eq!(dilations(0, 3), [(1, 3)]);
    }

    #[test]
    fn a_bank_has_no_more_thresholds_than_asked_for_and_is_the_same_each_time() {
        let both = [Transform::Values, Transform::Difference];
        let bank = Bank::new([100, 6], &both, 4032);
        assert_eq!(bank.thresholds(), 4032);
        assert_eq!(bank, Bank::new([100, 6], &both, 4032));
        assert_eq!(
            Bank::new([100, 1], &both, 1000).thresholds(),
            5 * 2 * KERNELS
        );
        let reach = bank.reach();
        assert!(2 * reach < 100, "{reach}");
        for group in &bank.groups {
            for channels in &group.channels {
                assert!(!channels.is_empty() && channels.iter().all(|&channel| channel < 6));
            }
        }
    }
}
