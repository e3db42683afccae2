//! The score of the Numenta Anomaly Benchmark, which rewards what is found early.
//!
//! Lavin and Ahmad 2015, "Evaluating Real-Time Anomaly Detection Algorithms", as the published code computes it
//! (numenta/NAB, `nab/sweeper.py` and `nab/runner.py`). Each anomaly has a *window*. Of the alarms inside one the earliest
//! counts, from 1 at the left end falling to about 0 at the right, by 2σ(−5x) − 1 of the place x from −1 to 0; a window
//! without alarms costs. Every alarm outside costs by the same curve, little just after a window, the whole weight far
//! from any. Alarms in the first 15 % of a series, 750 steps at most, don't count. One threshold serves all series, and
//! the sum is put on a scale where no alarms at all are 0 and the earliest alarm in every window with no other is 100.

use std::ops::Range;

use crate::error::{EvalError, Result};

/// The share of a series in which a detector may still be learning,
const PROBATION: f64 = 0.15;
/// of at most this many steps.
const PROBATION_STEPS: usize = 5000;

/// What right and wrong alarms are worth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Profile {
    /// Of an alarm at the left end of a window.
    pub true_positive: f64,
    /// Of an alarm far from any window, as a cost.
    pub false_positive: f64,
    /// Of a window without alarms, as a cost.
    pub false_negative: f64,
}

impl Profile {
    /// The benchmark's standard profile.
    pub const STANDARD: Self = Self {
        true_positive: 1.,
        false_positive: 0.11,
        false_negative: 1.,
    };
    /// Its profile that makes false alarms dear, `reward_low_FP_rate`.
    pub const REWARD_LOW_FALSE_POSITIVES: Self = Self {
        false_positive: 0.22,
        ..Self::STANDARD
    };
    /// Its profile that makes missed anomalies dear, `reward_low_FN_rate`.
    pub const REWARD_LOW_FALSE_NEGATIVES: Self = Self {
        false_negative: 2.,
        ..Self::STANDARD
    };
}

/// A series as the benchmark sees it.
#[derive(Clone, Copy, Debug)]
pub struct Scored<'a> {
    /// The score of each step.
    pub scores: &'a [f64],
    /// The windows, in order and apart. One that the benchmark writes as its first and last step, both inside, is
    /// first..last + 1 here.
    pub windows: &'a [Range<usize>],
}

/// What a detector reached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Nab {
    /// Where a score becomes an alarm; infinite where no alarm at all is best.
    pub threshold: f64,
    /// The sum over all series.
    pub raw: f64,
    /// 100 (raw − none) / (perfect − none), at most 100 and possibly far below 0.
    pub normalized: f64,
}

/// The score at a threshold.
///
/// # Errors
///
/// If there are no series or no windows that count, a score is not finite, a window does not lie in its series or not
/// after the one before it, or a weight of the profile is not positive.
pub fn score(series: &[Scored<'_>], threshold: f64, profile: &Profile) -> Result<Nab> {
    let corpus = Corpus::new(series, profile)?;
    let mut rewards = corpus.without_alarms();
    for alarm in corpus.steps.iter().filter(|step| step.score >= threshold) {
        rewards.add(alarm);
    }
    Ok(corpus.result(threshold, rewards.sum()))
}

/// The score at the threshold that is best with the windows in sight: the benchmark's own protocol, and optimistic for
/// that. The highest of the best thresholds is taken.
///
/// # Errors
///
/// As [`score`].
pub fn best(series: &[Scored<'_>], profile: &Profile) -> Result<Nab> {
    let mut corpus = Corpus::new(series, profile)?;
    corpus.steps.sort_by(|a, b| b.score.total_cmp(&a.score));
    let mut rewards = corpus.without_alarms();
    let (mut threshold, mut highest) = (f64::INFINITY, rewards.sum());
    for group in corpus.steps.chunk_by(|a, b| a.score == b.score) {
        group.iter().for_each(|alarm| rewards.add(alarm));
        let sum = rewards.sum();
        if sum > highest {
            (threshold, highest) = (group[0].score, sum);
        }
    }
    Ok(corpus.result(threshold, highest))
}

/// A step that counts: what an alarm there is worth.
struct Step {
    score: f64,
    reward: f64,
    window: Option<usize>,
}

struct Corpus {
    steps: Vec<Step>,
    windows: usize,
    profile: Profile,
}

impl Corpus {
    fn new(series: &[Scored<'_>], profile: &Profile) -> Result<Self> {
        if series.is_empty() {
            return Err(EvalError::Empty { what: "series" });
        }
        for (name, weight) in [
            ("weight of true positives", profile.true_positive),
            ("weight of false positives", profile.false_positive),
            ("weight of false negatives", profile.false_negative),
        ] {
            EvalError::check_positive(name, weight)?;
        }
        let (mut steps, mut windows) = (Vec::new(), 0);
        for series in series {
            EvalError::check_scores(series.scores)?;
            EvalError::check_stretches("a window", series.windows, series.scores.len())?;
            let probation = probation(series.scores.len());
            // A window that ends within the probation can't be found; no series of the benchmark has one.
            let counted = series
                .windows
                .partition_point(|window| window.end <= probation);
            for step in probation..series.scores.len() {
                let later = series.windows.partition_point(|window| window.end <= step);
                let inside = series
                    .windows
                    .get(later)
                    .filter(|window| window.start <= step);
                let reward = match inside {
                    Some(window) => {
                        let left = (window.end - step) as f64 / window.len() as f64;
                        profile.true_positive * curve(-left) / curve(-1.)
                    }
                    None => {
                        let before = later.checked_sub(1).map(|at| &series.windows[at]);
                        profile.false_positive * before.map_or(-1., |before| past(before, step))
                    }
                };
                steps.push(Step {
                    score: series.scores[step],
                    reward,
                    window: inside.map(|_| windows + later - counted),
                });
            }
            windows += series.windows.len() - counted;
        }
        if windows == 0 {
            return Err(EvalError::Empty {
                what: "windows after the probation",
            });
        }
        Ok(Self {
            steps,
            windows,
            profile: *profile,
        })
    }

    fn without_alarms(&self) -> Rewards {
        Rewards {
            found: vec![-self.profile.false_negative; self.windows],
            false_alarms: 0.,
        }
    }

    fn result(&self, threshold: f64, raw: f64) -> Nab {
        let none = -self.profile.false_negative * self.windows as f64;
        let perfect = self.profile.true_positive * self.windows as f64;
        Nab {
            threshold,
            raw,
            normalized: 100. * (raw - none) / (perfect - none),
        }
    }
}

/// The sum so far: of each window the most that an alarm in it is worth, and all false alarms.
struct Rewards {
    found: Vec<f64>,
    false_alarms: f64,
}

impl Rewards {
    fn add(&mut self, alarm: &Step) {
        match alarm.window {
            Some(window) => self.found[window] = self.found[window].max(alarm.reward),
            None => self.false_alarms += alarm.reward,
        }
    }

    fn sum(&self) -> f64 {
        self.false_alarms + self.found.iter().sum::<f64>()
    }
}

/// The steps at the beginning of a series in which alarms don't count.
fn probation(steps: usize) -> usize {
    (PROBATION * steps.min(PROBATION_STEPS) as f64) as usize
}

/// 2σ(−5x) − 1.
fn curve(place: f64) -> f64 {
    2. / (1. + (5. * place).exp()) - 1.
}

/// The curve at a step after a window, whose length is the unit; more than three lengths away it is −1.
fn past(window: &Range<usize>, step: usize) -> f64 {
    // The published code divides by 0 where a window is one step long.
    let unit = (window.len() - 1).max(1) as f64;
    let place = (step - (window.end - 1)) as f64 / unit;
    if place > 3. { -1. } else { curve(place) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All weights 1, as in the benchmark's own tests.
    const EVEN: Profile = Profile {
        true_positive: 1.,
        false_positive: 1.,
        false_negative: 1.,
    };

    fn alarms(steps: usize, at: &[usize]) -> Vec<f64> {
        let mut scores = vec![0.; steps];
        at.iter().for_each(|&step| scores[step] = 1.);
        scores
    }

    fn alone(scores: &[f64], windows: &[Range<usize>], threshold: f64) -> Nab {
        score(&[Scored { scores, windows }], threshold, &EVEN).unwrap()
    }

    #[test]
    fn the_example_of_the_benchmarks_own_tests() {
        // `testScoringAllMetrics`: a hundred steps, two windows of five; two alarms in the first, one three steps after.
        let windows = [30..35, 65..70];
        let found = alone(&alarms(100, &[30, 31, 37]), &windows, 0.5);
        assert!((found.raw + 0.9540).abs() < 5e-5, "{found:?}");
        // −0.5 lies at 0.848, and 1 behind a window at −0.987.
        assert!((curve(-0.5) - 0.84828).abs() < 1e-5 && (curve(1.) + 0.98661).abs() < 1e-5);
    }

    #[test]
    fn the_earliest_alarm_of_a_window_counts_and_false_alarms_cost_the_more_the_later() {
        let windows = [Range { start: 40, end: 50 }];
        let raw = |at: &[usize]| alone(&alarms(100, at), &windows, 0.5).raw;
        assert_eq!(raw(&[]), -1.);
        assert_eq!(raw(&[40]), 1.);
        assert_eq!(raw(&[40, 45, 49]), 1.);
        assert!((raw(&[45, 49]) - curve(-0.5) / curve(-1.)).abs() < 1e-12);
        assert!(0. < raw(&[49]) && raw(&[49]) < raw(&[48]));
        // Before any window, and more than three lengths of nine steps after it, the whole cost.
        assert_eq!(raw(&[20]), -2.);
        assert_eq!(raw(&[49 + 28]), -2.);
        assert!((raw(&[49 + 9]) - (-1. + curve(1.))).abs() < 1e-12);
        assert!(raw(&[49 + 9]) < raw(&[49 + 2]) && raw(&[49 + 27]) > -2.);
        // The first fifteen steps are free.
        assert_eq!(raw(&[0, 7, 14]), -1.);
        assert_eq!(raw(&[15]), -2.);
    }

    #[test]
    fn probation_is_15_percent_of_at_most_5000_steps() {
        let found = [100, 101, 5000, 6000, 22_000].map(probation);
        assert_eq!(found, [15, 15, 750, 750, 750]);
    }

    #[test]
    fn nothing_is_0_and_everything_right_is_100_whatever_the_profile() {
        let windows = [
            vec![30..40, 60..80],
            vec![],
            vec![Range { start: 20, end: 21 }],
        ];
        let scores = [alarms(100, &[30, 60]), alarms(50, &[]), alarms(40, &[20])];
        let series: Vec<Scored<'_>> = scores
            .iter()
            .zip(&windows)
            .map(|(scores, windows)| Scored { scores, windows })
            .collect();
        for profile in [
            Profile::STANDARD,
            Profile::REWARD_LOW_FALSE_POSITIVES,
            Profile::REWARD_LOW_FALSE_NEGATIVES,
        ] {
            let perfect = score(&series, 0.5, &profile).unwrap();
            assert!((perfect.normalized - 100.).abs() < 1e-12 && perfect.raw == 3.);
            let none = score(&series, 2., &profile).unwrap();
            assert_eq!(
                (none.normalized, none.raw),
                (0., -3. * profile.false_negative)
            );
            let all = score(&series, 0., &profile).unwrap();
            assert!(all.normalized < 99.);
            let best = best(&series, &profile).unwrap();
            assert!(best.threshold == 1. && best.raw == perfect.raw);
        }
        // One false alarm far away costs 0.11 of 6, 0.22 of 6, 0.11 of 9.
        let spoiled = [
            alarms(100, &[30, 60, 20]),
            scores[1].clone(),
            scores[2].clone(),
        ];
        let series: Vec<Scored<'_>> = spoiled
            .iter()
            .zip(&windows)
            .map(|(scores, windows)| Scored { scores, windows })
            .collect();
        let normalized = |profile: &Profile| score(&series, 0.5, profile).unwrap().normalized;
        let expected = [100. - 11. / 6., 100. - 22. / 6., 100. - 11. / 9.];
        for (profile, expected) in [
            Profile::STANDARD,
            Profile::REWARD_LOW_FALSE_POSITIVES,
            Profile::REWARD_LOW_FALSE_NEGATIVES,
        ]
        .iter()
        .zip(expected)
        {
            assert!((normalized(profile) - expected).abs() < 1e-9);
        }
    }

    #[test]
    fn the_best_threshold_is_that_of_the_plain_loop() {
        let scores: Vec<f64> = (0..400).map(|i| ((i * 37 % 101) / 3) as f64).collect();
        let windows = [70..90, 200..230, 231..240, 300..305];
        let series = [Scored {
            scores: &scores,
            windows: &windows,
        }];
        for profile in [EVEN, Profile::STANDARD, Profile::REWARD_LOW_FALSE_NEGATIVES] {
            let naive = scores
                .iter()
                .map(|&threshold| score(&series, threshold, &profile).unwrap().raw)
                .fold(-4. * profile.false_negative, f64::max);
            let found = best(&series, &profile).unwrap();
            assert!((found.raw - naive).abs() < 1e-9);
            let again = score(&series, found.threshold, &profile).unwrap();
            assert!((again.normalized - found.normalized).abs() < 1e-9);
        }
    }

    #[test]
    fn wrong_input_is_refused() {
        let scores = alarms(100, &[]);
        let refused = |scores: &[f64], windows: &[Range<usize>]| {
            score(&[Scored { scores, windows }], 0.5, &EVEN).is_err()
        };
        let one = |start, end| [Range { start, end }];
        assert!(!refused(&scores, &one(30, 40)));
        assert!(refused(&scores, &[]) && refused(&[], &[]));
        assert!(refused(&scores, &one(30, 101)) && refused(&scores, &one(30, 30)));
        // One that ends within the probation.
        assert!(refused(&scores, &one(3, 9)));
        assert!(refused(&scores, &[30..40, 39..50]) && refused(&scores, &[60..70, 30..40]));
        assert!(refused(&[f64::NAN; 100], &one(30, 40)));
        assert!(score(&[], 0.5, &EVEN).is_err());
        let free = Profile {
            false_negative: 0.,
            ..EVEN
        };
        let windows = one(30, 40);
        let series = [Scored {
            scores: &scores,
            windows: &windows,
        }];
        assert!(score(&series, 0.5, &free).is_err() && best(&series, &free).is_err());
    }
}
