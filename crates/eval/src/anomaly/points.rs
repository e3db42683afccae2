//! Steps that are rightly and wrongly taken for anomalous.

use super::{by_falling_score, check_both, ranges};
use crate::error::{EvalError, Result};

/// How many steps are what and were taken for what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Anomalous steps with an alarm.
    pub true_positives: u64,
    /// Normal steps with an alarm.
    pub false_positives: u64,
    /// Anomalous steps without.
    pub false_negatives: u64,
    /// Normal steps without.
    pub true_negatives: u64,
}

/// The threshold with the highest F1, found with the labels in sight: an upper bound, not a result.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Best {
    /// The highest of the best thresholds.
    pub threshold: f64,
    /// The share of alarms that are right.
    pub precision: f64,
    /// The share of anomalous steps with an alarm.
    pub recall: f64,
    /// Their harmonic mean.
    pub f1: f64,
}

impl Counts {
    /// Counts alarms by what the steps are.
    ///
    /// # Errors
    ///
    /// If there are no steps, or not as many alarms as labels.
    pub fn new(alarms: &[bool], labels: &[bool]) -> Result<Self> {
        EvalError::check_length("alarms", alarms.len(), labels.len())?;
        if labels.is_empty() {
            return Err(EvalError::Empty { what: "labels" });
        }
        let mut counts = Self::default();
        for pair in alarms.iter().zip(labels) {
            let count = match pair {
                (true, true) => &mut counts.true_positives,
                (true, false) => &mut counts.false_positives,
                (false, true) => &mut counts.false_negatives,
                (false, false) => &mut counts.true_negatives,
            };
            *count += 1;
        }
        Ok(counts)
    }

    /// The share of alarms that are right, from 0 to 1; 0 without alarms.
    pub fn precision(&self) -> f64 {
        share(self.true_positives, self.false_positives)
    }

    /// The share of anomalous steps with an alarm, from 0 to 1; 0 without such steps.
    pub fn recall(&self) -> f64 {
        share(self.true_positives, self.false_negatives)
    }

    /// The share of normal steps with an alarm, from 0 to 1; 0 without such steps.
    pub fn false_alarm_rate(&self) -> f64 {
        share(self.false_positives, self.true_negatives)
    }

    /// The harmonic mean of precision and recall; 0 where nothing is found.
    pub fn f1(&self) -> f64 {
        harmonic_mean(self.precision(), self.recall())
    }
}

fn share(part: u64, rest: u64) -> f64 {
    if part == 0 {
        0.
    } else {
        part as f64 / (part + rest) as f64
    }
}

/// 2 p r / (p + r); 0 where both are.
pub(super) fn harmonic_mean(precision: f64, recall: f64) -> f64 {
    if precision + recall == 0. {
        0.
    } else {
        2. * precision * recall / (precision + recall)
    }
}

/// The threshold with the highest F1 of steps.
///
/// # Errors
///
/// If a score is not finite, the labels are not one per score, or all steps are anomalous or none is.
pub fn best_f1(scores: &[f64], labels: &[bool]) -> Result<Best> {
    check_both(scores, labels)?;
    let mut counts = Counts::new(&vec![false; labels.len()], labels)?;
    let mut best: Option<Best> = None;
    for (threshold, steps) in by_falling_score(scores) {
        for step in steps {
            if labels[step] {
                counts.true_positives += 1;
                counts.false_negatives -= 1;
            } else {
                counts.false_positives += 1;
                counts.true_negatives -= 1;
            }
        }
        let f1 = counts.f1();
        if best.is_none_or(|best| f1 > best.f1) {
            best = Some(Best {
                threshold,
                precision: counts.precision(),
                recall: counts.recall(),
                f1,
            });
        }
    }
    best.ok_or(EvalError::Empty { what: "scores" })
}

/// The alarms with every anomalous range that has one alarm filled with alarms: *point adjustment* (Xu et al. 2018).
///
/// It flatters: one lucky alarm in a long range counts as thousands of right ones, so that random scores reach what is
/// published as the state of the art (Kim et al. 2022, "Towards a Rigorous Evaluation of Time-Series Anomaly
/// Detection"). It is here so that a score which others publish so can be shown beside an honest one.
///
/// # Errors
///
/// If there are not as many alarms as labels.
pub fn point_adjusted(alarms: &[bool], labels: &[bool]) -> Result<Vec<bool>> {
    EvalError::check_length("alarms", alarms.len(), labels.len())?;
    let mut adjusted = alarms.to_vec();
    for range in ranges::of(labels) {
        if alarms[range.clone()].contains(&true) {
            adjusted[range].fill(true);
        }
    }
    Ok(adjusted)
}

/// The threshold with the highest F1 after [`point_adjusted`]: a flattering number twice over, to be named as such.
///
/// # Errors
///
/// As [`best_f1`].
pub fn best_point_adjusted_f1(scores: &[f64], labels: &[bool]) -> Result<Best> {
    check_both(scores, labels)?;
    // A range is found as a whole at its highest score.
    let mut adjusted = scores.to_vec();
    for range in ranges::of(labels) {
        let highest = scores[range.clone()].iter().copied().reduce(f64::max);
        adjusted[range].fill(highest.unwrap_or(f64::NAN));
    }
    best_f1(&adjusted, labels)
}

#[cfg(test)]
mod tests {
    use super::super::{alarms, simple::random_scores};
    use super::*;

    const LABELS: [bool; 8] = [false, true, true, false, false, true, false, false];
    const SCORES: [f64; 8] = [0.1, 0.9, 0.4, 0.5, 0.2, 0.4, 0.3, 0.];

    #[test]
    fn a_small_case_by_hand() {
        let counts = Counts::new(&alarms(&SCORES, 0.4), &LABELS).unwrap();
        assert_eq!((counts.true_positives, counts.false_positives), (3, 1));
        assert_eq!((counts.false_negatives, counts.true_negatives), (0, 4));
        assert_eq!((counts.precision(), counts.recall()), (0.75, 1.));
        assert_eq!(counts.false_alarm_rate(), 0.2);
        assert!((counts.f1() - 6. / 7.).abs() < 1e-12);
        let best = best_f1(&SCORES, &LABELS).unwrap();
        assert_eq!(
            (best.threshold, best.precision, best.recall),
            (0.4, 0.75, 1.)
        );
        let none = Counts::new(&[false; 8], &LABELS).unwrap();
        assert_eq!((none.precision(), none.recall(), none.f1()), (0., 0., 0.));
    }

    #[test]
    fn the_best_threshold_is_that_of_the_plain_loop() {
        let scores: Vec<f64> = (0..300).map(|i| ((i * 37 % 101) / 4) as f64).collect();
        let labels: Vec<bool> = (0..300).map(|i| i % 17 < 4).collect();
        for adjust in [false, true] {
            let f1 = |threshold: f64| {
                let mut found = alarms(&scores, threshold);
                if adjust {
                    found = point_adjusted(&found, &labels).unwrap();
                }
                Counts::new(&found, &labels).unwrap().f1()
            };
            let naive = scores.iter().map(|&score| f1(score)).fold(0., f64::max);
            let best = if adjust {
                best_point_adjusted_f1(&scores, &labels).unwrap()
            } else {
                best_f1(&scores, &labels).unwrap()
            };
            assert_eq!(best.f1, naive);
            assert_eq!(f1(best.threshold), naive);
            assert!(
                scores
                    .iter()
                    .all(|&score| score <= best.threshold || f1(score) < naive)
            );
        }
    }

    #[test]
    fn adjustment_fills_what_was_hit_and_flatters_chance() {
        let hit = [true, false, true, false, false, false, false, true];
        let adjusted = point_adjusted(&hit, &LABELS).unwrap();
        assert_eq!(
            adjusted,
            [true, true, true, false, false, false, false, true]
        );
        // Ten ranges of a hundred steps in ten thousand, and scores that know nothing.
        let labels: Vec<bool> = (0..10_000).map(|step| step % 1000 >= 900).collect();
        let scores = random_scores(10_000, 1);
        let honest = best_f1(&scores, &labels).unwrap().f1;
        let flattered = best_point_adjusted_f1(&scores, &labels).unwrap().f1;
        assert!(honest < 0.2 && flattered > 0.8, "{honest} {flattered}");
    }

    #[test]
    fn wrong_input_is_refused() {
        assert!(best_f1(&[], &[]).is_err() && best_f1(&SCORES, &LABELS[1..]).is_err());
        assert!(best_f1(&[0., 1.], &[true, true]).is_err());
        assert!(best_f1(&[0., f64::NAN], &[true, false]).is_err());
        assert!(best_point_adjusted_f1(&[0., 1.], &[false, false]).is_err());
        assert!(Counts::new(&[], &[]).is_err() && Counts::new(&[true], &[]).is_err());
        assert!(point_adjusted(&[true], &[]).is_err());
    }
}
