//! What kernels respond to a series, and what is kept of it.

use pulp::{Arch, Simd, WithSimd};
use serde::{Deserialize, Serialize};

use super::bank::{Bank, Group, TAPS, Transform};

/// What is kept of the responses of a kernel, beside a threshold. All are from 0 to 1 but the excess.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pooling {
    /// The root of the part of them above it (Dempster et al. 2021 have the part).
    Proportion,
    /// By how much those above it are above it, on average (Tan et al. 2022, as the next ones).
    Excess,
    /// Where those above it stand, on average; half the way where there are none.
    Place,
    /// The longest stretch of them above it, as a part of the series.
    Stretch,
}

impl Pooling {
    #[inline(always)]
    fn of(self, responses: &[f32], threshold: f32) -> f32 {
        let length = responses.len().max(1) as f32;
        match self {
            Self::Proportion => (above(responses, threshold) as f32 / length).sqrt(),
            Self::Excess => {
                let count = above(responses, threshold).max(1);
                let over = |x: f32| if x > threshold { x - threshold } else { 0.0 };
                let sum: f32 = responses.iter().map(|&x| over(x)).sum();
                sum / count as f32
            }
            Self::Place => {
                let (mut count, mut sum) = (0u64, 0u64);
                for (place, &x) in responses.iter().enumerate() {
                    if x > threshold {
                        (count, sum) = (count + 1, sum + place as u64);
                    }
                }
                match count {
                    0 => 0.5,
                    _ => (sum as f64 / count as f64 / f64::from(length)) as f32,
                }
            }
            Self::Stretch => {
                let (mut longest, mut now) = (0u32, 0u32);
                for &x in responses {
                    now = if x > threshold { now + 1 } else { 0 };
                    longest = longest.max(now);
                }
                longest as f32 / length
            }
        }
    }
}

#[inline(always)]
fn above(responses: &[f32], threshold: f32) -> u32 {
    responses.iter().map(|&x| u32::from(x > threshold)).sum()
}

/// One series, channel by channel.
pub(super) struct Channels {
    planes: Vec<Vec<f32>>,
}

impl Channels {
    /// The first `length` steps of a row `[time, channels]`.
    pub(super) fn of(row: &[f32], length: usize, channels: usize) -> Self {
        let plane = |channel: usize| {
            let values = row.iter().skip(channel).step_by(channels);
            values.take(length).copied().collect()
        };
        Self {
            planes: (0..channels).map(plane).collect(),
        }
    }

    /// Each channel transformed, with `reach` zeros before and after.
    pub(super) fn transformed(&self, transform: Transform, reach: usize) -> Vec<Vec<f32>> {
        let plane = |values: &Vec<f32>| {
            let mut plane = vec![0.0; reach];
            plane.extend(transform.of(values));
            plane.resize(plane.len() + reach, 0.0);
            plane
        };
        self.planes.iter().map(plane).collect()
    }
}

/// A series, transformed, under the kernels of one group.
pub(super) struct Slide<'a> {
    group: &'a Group,
    planes: &'a [Vec<f32>],
    /// Zeros before each plane.
    reach: usize,
    length: usize,
    /// What all kernels have in common, of each channel: each tap once, with a minus.
    sums: Vec<Vec<f32>>,
}

impl<'a> Slide<'a> {
    /// Of planes with `reach` zeros before and after.
    pub(super) fn new(group: &'a Group, planes: &'a [Vec<f32>], reach: usize) -> Self {
        let mut slide = Self {
            group,
            planes,
            reach,
            length: planes.first().map_or(0, |plane| plane.len() - 2 * reach),
            sums: Vec::new(),
        };
        let sum = |plane: usize| {
            let mut sum = vec![0.0f32; slide.length];
            for tap in 0..TAPS {
                subtract(&mut sum, slide.tap(plane, tap));
            }
            sum
        };
        slide.sums = (0..planes.len()).map(sum).collect();
        slide
    }

    /// What one tap meets of a channel, step by step.
    fn tap(&self, plane: usize, tap: usize) -> &[f32] {
        let begin = self.reach + tap * self.group.dilation - TAPS / 2 * self.group.dilation;
        &self.planes[plane][begin..begin + self.length]
    }

    /// The responses of a kernel, whose taps `twos` are 2 and the others −1, in a buffer.
    pub(super) fn responses<'b>(
        &self,
        kernel: usize,
        twos: [usize; 3],
        buffer: &'b mut Vec<f32>,
    ) -> &'b [f32] {
        buffer.clear();
        buffer.resize(self.length, 0.0);
        for &plane in &self.group.channels[kernel] {
            let taps = twos.map(|tap| self.tap(plane, tap));
            add(buffer, &self.sums[plane], taps);
        }
        let edge = TAPS / 2 * self.group.dilation;
        match self.group.padded(kernel) || self.length <= 2 * edge {
            true => buffer,
            false => &buffer[edge..self.length - edge],
        }
    }
}

/// Pools the responses of a series beside `thresholds` into `features`, one for each threshold and pooling.
pub(super) fn pooled(
    bank: &Bank,
    kernels: &[[usize; 3]],
    series: &Channels,
    (thresholds, poolings): (&[f32], &[Pooling]),
    features: &mut [f32],
) {
    let reach = bank.reach();
    let mut buffer = Vec::new();
    let mut planes = Vec::new();
    let mut of = None;
    let (mut thresholds, mut features) = (thresholds.iter(), features.iter_mut());
    for group in &bank.groups {
        if of != Some(group.transform) {
            planes = series.transformed(group.transform, reach);
            of = Some(group.transform);
        }
        let slide = Slide::new(group, &planes, reach);
        for (kernel, &twos) in kernels.iter().enumerate() {
            let responses = slide.responses(kernel, twos, &mut buffer);
            for &threshold in thresholds.by_ref().take(group.thresholds) {
                for (pooling, feature) in poolings.iter().zip(features.by_ref()) {
                    vectorized(
                        #[inline(always)]
                        || *feature = pooling.of(responses, threshold),
                    );
                }
            }
        }
    }
}

/// The value that a part of values in ascending order, 0 to 1, lies below; between neighbors by straight lines, as numpy
/// has it.
pub(super) fn quantile_of(ascending: &[f32], part: f64) -> f32 {
    let Some(last) = ascending.len().checked_sub(1) else {
        return 0.0;
    };
    let place = part * last as f64;
    let below = (place as usize).min(last);
    let above = (below + 1).min(last);
    let weight = (place - below as f64) as f32;
    ascending[below] + weight * (ascending[above] - ascending[below])
}

fn subtract(sum: &mut [f32], values: &[f32]) {
    vectorized(
        #[inline(always)]
        || {
            for (sum, x) in sum.iter_mut().zip(values) {
                *sum -= x;
            }
        },
    );
}

/// to ← to + sum + 3 · (a + b + c).
fn add(to: &mut [f32], sum: &[f32], [a, b, c]: [&[f32]; 3]) {
    let length = to.len();
    let (sum, a, b, c) = (&sum[..length], &a[..length], &b[..length], &c[..length]);
    vectorized(
        #[inline(always)]
        || {
            for place in 0..length {
                to[place] += sum[place] + 3.0 * (a[place] + b[place] + c[place]);
            }
        },
    );
}

/// Runs a loop, a closure marked `#[inline(always)]`, in the widest vectors that this processor has.
#[inline(always)]
fn vectorized(work: impl FnMut()) {
    struct Work<F>(F);
    impl<F: FnMut()> WithSimd for Work<F> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(mut self, _: S) {
            (self.0)()
        }
    }
    Arch::new().dispatch(Work(work));
}

#[cfg(test)]
mod tests {
    use super::super::bank::kernels;
    use super::*;

    /// A kernel slid over values, tap by tap.
    fn slid(values: &[f64], twos: [usize; 3], dilation: usize) -> Vec<f64> {
        let at = |place: i64| {
            usize::try_from(place)
                .ok()
                .and_then(|place| values.get(place))
        };
        (0..values.len() as i64)
            .map(|place| {
                let tap = |tap: usize| {
                    let weight = if twos.contains(&tap) { 2.0 } else { -1.0 };
                    let there = place + (tap as i64 - 4) * dilation as i64;
                    weight * at(there).copied().unwrap_or(0.0)
                };
                (0..TAPS).map(tap).sum()
            })
            .collect()
    }

    #[test]
    fn responses_are_those_of_sliding_each_kernel() {
        let (length, channels) = (40, 3);
        let row: Vec<f32> = (0..length * channels)
            .map(|place| ((place * place) as f32 * 0.37).sin())
            .collect();
        let series = Channels::of(&row, length, channels);
        let both = [Transform::Values, Transform::Difference];
        let bank = Bank::new([length, channels], &both, 84 * 8);
        let mut buffer = Vec::new();
        for group in &bank.groups {
            let planes = series.transformed(group.transform, bank.reach());
            let slide = Slide::new(group, &planes, bank.reach());
            let values: Vec<Vec<f64>> = (0..channels)
                .map(|channel| {
                    let values = row.iter().skip(channel).step_by(channels);
                    let values: Vec<f64> = values.map(|&x| f64::from(x)).collect();
                    match group.transform {
                        Transform::Values => values,
                        Transform::Difference => {
                            values.windows(2).map(|pair| pair[1] - pair[0]).collect()
                        }
                    }
                })
                .collect();
            let steps = values[0].len();
            for (kernel, twos) in kernels().into_iter().enumerate() {
                let mut expected = vec![0.0; steps];
                for &channel in &group.channels[kernel] {
                    let of_channel = slid(&values[channel], twos, group.dilation);
                    let both = expected.iter_mut().zip(of_channel);
                    both.for_each(|(sum, x)| *sum += x);
                }
                if !group.padded(kernel) {
                    let edge = 4 * group.dilation;
                    expected = expected[edge..steps - edge].to_vec();
                }
                let found = slide.responses(kernel, twos, &mut buffer);
                assert_eq!(found.len(), expected.len());
                for (found, expected) in found.iter().zip(expected) {
                    let found = f64::from(*found);
                    assert!((found - expected).abs() < 1e-4, "{found} {expected}");
                }
            }
        }
    }

    #[test]
    fn what_is_kept_is_what_it_is_called() {
        let responses = [0.0, 2.0, 3.0, -1.0, 4.0, 0.0, 0.0, 1.0];
        let pooled = |pooling: Pooling| pooling.of(&responses, 0.5);
        assert_eq!(pooled(Pooling::Proportion), 0.5f32.sqrt());
        assert_eq!(pooled(Pooling::Excess), 2.0);
        assert_eq!(pooled(Pooling::Place), 14.0 / 4.0 / 8.0);
        assert_eq!(pooled(Pooling::Stretch), 0.25);
        let all = [
            Pooling::Proportion,
            Pooling::Excess,
            Pooling::Place,
            Pooling::Stretch,
        ];
        let nothing = all.map(|pooling| pooling.of(&responses, 9.0));
        assert_eq!(nothing, [0.0, 0.0, 0.5, 0.0]);
        assert_eq!(Pooling::Proportion.of(&[], 0.0), 0.0);
    }

    #[test]
    fn quantiles_lie_between_neighbors() {
        let values = [1.0, 2.0, 3.0, 4.0];
        assert_eq!(quantile_of(&values, 0.0), 1.0);
        assert_eq!(quantile_of(&values, 0.5), 2.5);
        assert_eq!(quantile_of(&values, 1.0), 4.0);
        assert_eq!(quantile_of(&[], 0.3), 0.0);
    }
}
