//! Percentile bootstrap intervals over the items of a test part (Efron and Tibshirani 1993, chapter 13).
//!
//! They say how much a score would move had other items been drawn; they say nothing about another training seed.

use rand::RngExt;
use rayon::prelude::*;

use crate::error::{EvalError, Result};
use crate::sampling::generator;

/// How to resample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bootstrap {
    /// The share of resamples inside the interval, between 0 and 1. Default 0.95.
    pub level: f64,
    /// Default 1000.
    pub resamples: usize,
    /// Default 0.
    pub seed: u64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self {
            level: 0.95,
            resamples: 1000,
            seed: 0,
        }
    }
}

/// A mean and the interval around it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    /// The mean over the items themselves.
    pub value: f64,
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

impl Interval {
    /// Whether the number lies in the interval, ends included. A difference whose interval does not contain 0 is
    /// one beyond the noise of the test part.
    pub fn contains(&self, number: f64) -> bool {
        self.low <= number && number <= self.high
    }
}

/// The interval of the mean score of items. A score is a `bool`, right or wrong, or a number.
///
/// ```
/// # use autodidact_eval::interval::{Bootstrap, bootstrap};
/// let right: Vec<bool> = (0..1000).map(|item| item % 5 != 0).collect();
/// let accuracy = bootstrap(&right, &Bootstrap::default())?;
/// assert!(accuracy.value == 0.8 && accuracy.contains(0.79) && !accuracy.contains(0.85));
/// # Ok::<(), autodidact_eval::EvalError>(())
/// ```
///
/// # Errors
///
/// If there are no items, a score is not finite, or a setting is out of its range.
pub fn bootstrap<Score: Copy + Into<f64>>(
    scores: &[Score],
    settings: &Bootstrap,
) -> Result<Interval> {
    resampled_mean(scores.iter().map(|&score| score.into()).collect(), settings)
}

/// The interval of a share of items, such as of those that are right: as [`bootstrap`] has it, but where all or none of
/// them count, and no resample can differ, as Clopper and Pearson (1934) have it. Ten right of ten are no certainty.
///
/// # Errors
///
/// If there are no items, or a setting is out of its range.
pub fn share(counting: &[bool], settings: &Bootstrap) -> Result<Interval> {
    let found = bootstrap(counting, settings)?;
    // The share under which as many items all count with a probability of no more than the tail.
    let least = ((1. - settings.level) / 2.).powf(1. / counting.len() as f64);
    Ok(if found.value == 1. {
        Interval {
            low: least,
            ..found
        }
    } else if found.value == 0. {
        Interval {
            high: 1. - least,
            ..found
        }
    } else {
        found
    })
}

/// The interval of the mean difference `a` − `b` of two predictors' scores on the same items; being paired, it is
/// narrower than the two intervals held side by side.
///
/// Where they differ on a few items only, and on all of these the same way, so do nearly all resamples. By the sign test
/// chance alone does that to *n* items with a probability of 2^(1 − *n*): where this is more than `level` leaves, with
/// 0.95 for five items and fewer, the interval is made to hold 0.
///
/// # Errors
///
/// As [`bootstrap`], and if the two differ in length.
pub fn paired_difference<Score: Copy + Into<f64>>(
    a: &[Score],
    b: &[Score],
    settings: &Bootstrap,
) -> Result<Interval> {
    EvalError::check_length("scores of the second predictor", b.len(), a.len())?;
    let pairs = a.iter().zip(b);
    let differences: Vec<f64> = pairs.map(|(&a, &b)| a.into() - b.into()).collect();
    let apart = differences.iter().filter(|&&by| by != 0.).count();
    let found = resampled_mean(differences, settings)?;
    Ok(if settings.tells(apart) {
        found
    } else {
        Interval {
            low: found.low.min(0.),
            high: found.high.max(0.),
            ..found
        }
    })
}

/// The interval of a statistic of `items` items that is no mean over them, such as the agreement of two groupings.
/// `statistic` gets the items of a resample, of which some occur more than once and some not at all.
///
/// An item that occurs twice agrees with itself, which lifts such statistics in every resample. So only the spread of
/// the resamples counts: they are moved until their mean is the statistic of all items.
///
/// # Errors
///
/// If there are no items, a setting is out of its range, or the statistic can't be computed.
pub fn bootstrap_statistic(
    items: usize,
    statistic: impl Fn(&[usize]) -> Result<f64> + Sync,
    settings: &Bootstrap,
) -> Result<Interval> {
    if items == 0 {
        return Err(EvalError::Empty { what: "items" });
    }
    settings.check()?;
    let resample = |index: usize| {
        let mut generator = generator(settings.seed, index as u64);
        let drawn: Vec<usize> = (0..items)
            .map(|_| generator.random_range(0..items))
            .collect();
        statistic(&drawn)
    };
    let values = (0..settings.resamples)
        .into_par_iter()
        .map(resample)
        .collect::<Result<Vec<f64>>>()?;
    let all: Vec<usize> = (0..items).collect();
    let value = statistic(&all)?;
    let lifted = values.iter().sum::<f64>() / values.len() as f64 - value;
    let moved = values.iter().map(|resampled| resampled - lifted).collect();
    Ok(settings.around(value, moved))
}

impl Bootstrap {
    pub(crate) fn check(&self) -> Result<()> {
        EvalError::check_count("resamples", self.resamples)?;
        if self.level > 0. && self.level < 1. {
            return Ok(());
        }
        Err(EvalError::Setting {
            name: "level",
            found: self.level,
            expected: "between 0 and 1",
        })
    }

    /// Whether so many items that all differ the same way do so by more than chance, as the sign test has it.
    pub(crate) fn tells(&self, items: usize) -> bool {
        // More than so many items are beyond any level.
        let chance = 2_f64.powi(1 - items.min(64) as i32);
        chance <= 1. - self.level
    }

    /// The interval of what resamples came to, of which there is one at least, around what all items come to.
    pub(crate) fn around(&self, value: f64, mut resampled: Vec<f64>) -> Interval {
        resampled.sort_unstable_by(f64::total_cmp);
        let tail = (1. - self.level) / 2.;
        Interval {
            value,
            low: quantile(&resampled, tail),
            high: quantile(&resampled, 1. - tail),
        }
    }
}

fn resampled_mean(scores: Vec<f64>, settings: &Bootstrap) -> Result<Interval> {
    if scores.is_empty() {
        return Err(EvalError::Empty { what: "scores" });
    }
    if let Some(row) = scores.iter().position(|score| !score.is_finite()) {
        return Err(EvalError::NotFinite {
            row,
            column: 0,
            value: scores[row] as f32,
        });
    }
    settings.check()?;
    let count = scores.len() as f64;
    let resample = |index: usize| {
        let mut generator = generator(settings.seed, index as u64);
        (0..scores.len())
            .map(|_| scores[generator.random_range(0..scores.len())])
            .sum::<f64>()
            / count
    };
    let means: Vec<f64> = (0..settings.resamples)
        .into_par_iter()
        .map(resample)
        .collect();
    Ok(settings.around(scores.iter().sum::<f64>() / count, means))
}

/// The quantile of sorted numbers, linear between neighbors as NumPy's.
fn quantile(sorted: &[f64], share: f64) -> f64 {
    let position = share * (sorted.len() - 1) as f64;
    let (below, above) = (position.floor() as usize, position.ceil() as usize);
    sorted[below] + (position - position.floor()) * (sorted[above] - sorted[below])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_width_is_that_of_the_normal_approximation() {
        let right: Vec<bool> = (0..2000).map(|item| item % 4 != 0).collect();
        let interval = bootstrap(
            &right,
            &Bootstrap {
                resamples: 4000,
                ..Default::default()
            },
        )
        .unwrap();
        let half = 1.96 * (0.75_f64 * 0.25 / 2000.).sqrt();
        assert_eq!(interval.value, 0.75);
        assert!(
            (interval.high - 0.75 - half).abs() < 0.1 * half,
            "{interval:?}"
        );
        assert!(
            (0.75 - interval.low - half).abs() < 0.1 * half,
            "{interval:?}"
        );
    }

    #[test]
    fn pairs_resolve_what_separate_intervals_do_not() {
        // `b` is wrong where `a` is, and on 15 items more: a difference of .03 inside two intervals of ±.043.
        let a: Vec<bool> = (0..500).map(|item| item % 3 != 0).collect();
        let b: Vec<bool> = (0..500)
            .map(|item| item % 3 != 0 && !(item % 3 == 1 && item < 45))
            .collect();
        let settings = Bootstrap::default();
        let difference = paired_difference(&a, &b, &settings).unwrap();
        assert!(
            (difference.value - 0.03).abs() < 1e-12 && !difference.contains(0.),
            "{difference:?}"
        );
        assert!(
            bootstrap(&b, &settings)
                .unwrap()
                .contains(bootstrap(&a, &settings).unwrap().value)
        );
        let mirrored = paired_difference(&b, &a, &settings).unwrap();
        assert!((mirrored.low + difference.high).abs() < 1e-12);
    }

    #[test]
    fn two_who_differ_on_a_few_items_can_not_be_told_apart() {
        let settings = Bootstrap::default();
        // So many items that `a` alone is right about, among some that both are.
        let difference = |apart: usize, items: usize| {
            let b: Vec<bool> = (0..items).map(|item| item >= apart).collect();
            paired_difference(&vec![true; items], &b, &settings).unwrap()
        };
        for items in [5, 40] {
            let found = difference(5, items);
            assert!(found.contains(0.) && found.value > 0., "{found:?}");
            assert!(found.high >= found.value, "{found:?}");
        }
        assert!(!difference(6, 6).contains(0.));
        assert_eq!(difference(0, 9).value, 0.);
        let surer = Bootstrap {
            level: 0.99,
            ..settings
        };
        let seven = paired_difference(&[true; 7], &[false; 7], &surer).unwrap();
        let eight = paired_difference(&[true; 8], &[false; 8], &surer).unwrap();
        assert!(seven.contains(0.) && !eight.contains(0.));
    }

    #[test]
    fn ten_right_of_ten_are_no_certainty() {
        let settings = Bootstrap::default();
        // R's binom.test(10, 10) and binom.test(0, 10).
        let all = share(&[true; 10], &settings).unwrap();
        assert_eq!((all.value, all.high), (1., 1.));
        assert!((all.low - 0.691_502_9).abs() < 1e-6, "{all:?}");
        let none = share(&[false; 10], &settings).unwrap();
        assert_eq!((none.value, none.low), (0., 0.));
        assert!((none.high - 0.308_497_1).abs() < 1e-6, "{none:?}");
        let some: Vec<bool> = (0..50).map(|item| item % 3 == 0).collect();
        assert_eq!(
            share(&some, &settings).unwrap(),
            bootstrap(&some, &settings).unwrap()
        );
        assert!(share(&[], &settings).is_err());
    }

    #[test]
    fn an_interval_depends_on_the_seed_alone() {
        let scores: Vec<f64> = (0..100).map(|item| f64::from(item).sin()).collect();
        let run = |seed| {
            bootstrap(
                &scores,
                &Bootstrap {
                    seed,
                    ..Default::default()
                },
            )
            .unwrap()
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
        assert_eq!(
            bootstrap(&[2.5], &Bootstrap::default()).unwrap(),
            Interval {
                value: 2.5,
                low: 2.5,
                high: 2.5
            }
        );
    }

    #[test]
    fn the_interval_covers_the_truth_about_as_often_as_promised() {
        let covered = (0..300_u64).filter(|&trial| {
            let mut generator = generator(9, trial);
            let right: Vec<bool> = (0..200)
                .map(|_| generator.random_range(0..10) < 7)
                .collect();
            let settings = Bootstrap {
                resamples: 400,
                seed: trial,
                ..Default::default()
            };
            bootstrap(&right, &settings).unwrap().contains(0.7)
        });
        let share = covered.count() as f64 / 300.;
        assert!((0.91..0.985).contains(&share), "{share}");
    }

    #[test]
    fn quantiles_are_linear_between_neighbors() {
        assert_eq!(quantile(&[1., 2., 4.], 0.5), 2.);
        assert_eq!(quantile(&[1., 2., 4.], 0.75), 3.);
    }

    #[test]
    fn wrong_input_is_refused() {
        let settings = Bootstrap::default();
        assert!(bootstrap::<f64>(&[], &settings).is_err());
        assert!(matches!(
            bootstrap(&[0., f64::NAN], &settings),
            Err(EvalError::NotFinite { row: 1, .. })
        ));
        assert!(
            bootstrap(
                &[1.],
                &Bootstrap {
                    level: 1.,
                    ..settings
                }
            )
            .is_err()
        );
        assert!(paired_difference(&[true], &[true, false], &settings).is_err());
    }

    #[test]
    fn a_statistic_that_is_a_mean_has_the_interval_of_the_mean() {
        let scores: Vec<f64> = (0..500).map(|item| f64::from(item % 7)).collect();
        let settings = Bootstrap::default();
        let mean = |drawn: &[usize]| {
            Ok(drawn.iter().map(|&item| scores[item]).sum::<f64>() / drawn.len() as f64)
        };
        let found = bootstrap_statistic(500, mean, &settings).unwrap();
        let expected = bootstrap(&scores, &settings).unwrap();
        for (found, expected) in [
            (found.value, expected.value),
            (found.low, expected.low),
            (found.high, expected.high),
        ] {
            assert!((found - expected).abs() < 0.01, "{found} {expected}");
        }
        assert!(bootstrap_statistic(0, mean, &settings).is_err());
    }

    #[test]
    fn a_statistic_that_repeats_lift_lies_within_its_interval() {
        // The share of pairs of items that are the same item: 0, but in a resample above 0.
        let same = |drawn: &[usize]| {
            let mut sorted = drawn.to_vec();
            sorted.sort_unstable();
            sorted.dedup();
            Ok(1. - sorted.len() as f64 / drawn.len() as f64)
        };
        let found = bootstrap_statistic(100, same, &Bootstrap::default()).unwrap();
        assert!(found.low < 0. && 0. < found.high, "{found:?}");
        assert!((found.low + found.high).abs() < 0.02, "{found:?}");
    }
}
