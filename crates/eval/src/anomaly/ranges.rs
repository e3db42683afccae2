//! Precision and recall of ranges of steps.
//!
//! Tatbul, Lee, Zdonik, Alam and Gottschlich 2018, "Precision and Recall for Time Series". An anomaly that is found is
//! rewarded with α for being found at all, and with 1 − α for the share of its steps under alarms, divided by the number
//! of separate alarms that it takes; an alarm is right by the share of its steps that are anomalous, divided by the
//! number of anomalies that it touches. All steps of a range count alike (the *flat* bias).

use std::ops::Range;

use super::points::harmonic_mean;
use crate::error::{EvalError, Result};

/// What is rewarded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RangeSettings {
    /// α: what of an anomaly's reward is for its being found at all, from 0 to 1. Default 0, the paper's.
    pub existence: f64,
    /// Whether one anomaly found in n pieces, or one alarm over n anomalies, has its reward divided by n. Default: yes,
    /// as in the paper; the authors' program (IntelLabs/TSAD-Evaluator) leaves it to a flag.
    pub divide: bool,
}

impl Default for RangeSettings {
    fn default() -> Self {
        Self {
            existence: 0.,
            divide: true,
        }
    }
}

/// Precision and recall of ranges.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RangeScores {
    /// The mean reward of the alarms; 0 without any.
    pub precision: f64,
    /// The mean reward of the anomalies; 0 without any.
    pub recall: f64,
    /// Their harmonic mean.
    pub f1: f64,
}

/// The maximal ranges of steps that are true.
pub fn of(steps: &[bool]) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    let mut start = None;
    for (step, &inside) in steps.iter().enumerate() {
        match (inside, start) {
            (true, None) => start = Some(step),
            (false, Some(begun)) => {
                ranges.push(begun..step);
                start = None;
            }
            _ => {}
        }
    }
    ranges.extend(start.map(|begun| begun..steps.len()));
    ranges
}

/// Precision, recall and F1 of the ranges of alarms against the ranges of anomalous steps.
///
/// # Errors
///
/// If there are no steps, not as many alarms as labels, or `existence` is not from 0 to 1.
pub fn scores(alarms: &[bool], labels: &[bool], settings: &RangeSettings) -> Result<RangeScores> {
    EvalError::check_length("alarms", alarms.len(), labels.len())?;
    if labels.is_empty() {
        return Err(EvalError::Empty { what: "labels" });
    }
    if !(0. ..=1.).contains(&settings.existence) {
        return Err(EvalError::Setting {
            name: "existence",
            found: settings.existence,
            expected: "from 0 to 1",
        });
    }
    let (alarms, anomalies) = (of(alarms), of(labels));
    // For an alarm it doesn't count that it touches an anomaly at all.
    let precision = mean_reward(&alarms, &anomalies, 0., settings.divide);
    let recall = mean_reward(&anomalies, &alarms, settings.existence, settings.divide);
    Ok(RangeScores {
        precision,
        recall,
        f1: harmonic_mean(precision, recall),
    })
}

/// What the ranges get on average for being met by the others; both are in order.
fn mean_reward(
    ranges: &[Range<usize>],
    others: &[Range<usize>],
    existence: f64,
    divide: bool,
) -> f64 {
    if ranges.is_empty() {
        return 0.;
    }
    let mut first = 0;
    let mut sum = 0.;
    for range in ranges {
        // What ends before this range ends before all later ones.
        while others
            .get(first)
            .is_some_and(|other| other.end <= range.start)
        {
            first += 1;
        }
        let (mut pieces, mut steps) = (0, 0);
        for other in others[first..]
            .iter()
            .take_while(|other| other.start < range.end)
        {
            pieces += 1;
            steps += other.end.min(range.end) - other.start.max(range.start);
        }
        if pieces > 0 {
            let share = steps as f64 / range.len() as f64;
            let share = if divide {
                share / f64::from(pieces)
            } else {
                share
            };
            sum += existence + (1. - existence) * share;
        }
    }
    sum / ranges.len() as f64
}

#[cfg(test)]
mod tests {
    use super::super::points::Counts;
    use super::*;

    fn steps(length: usize, ranges: &[Range<usize>]) -> Vec<bool> {
        let mut steps = vec![false; length];
        ranges
            .iter()
            .for_each(|range| steps[range.clone()].fill(true));
        steps
    }

    #[test]
    fn ranges_are_maximal() {
        assert_eq!(of(&steps(9, &[0..2, 4..5, 7..9])), [0..2, 4..5, 7..9]);
        assert_eq!(of(&[true; 3]), [Range { start: 0, end: 3 }]);
        assert!(of(&[false; 3]).is_empty() && of(&[]).is_empty());
    }

    #[test]
    fn a_case_by_hand() {
        // The first anomaly is found in two pieces of 2 and 1 of its 10 steps, the second not at all. The first alarm is
        // half right, the second wholly, the third wrong, and the last touches nothing either.
        let labels = steps(40, &[10..20, 30..34]);
        let alarms = steps(40, &[8..12, 15..16, 22..25, 38..40]);
        let found = scores(&alarms, &labels, &RangeSettings::default()).unwrap();
        assert!((found.precision - (0.5 + 1.) / 4.).abs() < 1e-12);
        assert!((found.recall - 0.3 / 2. / 2.).abs() < 1e-12);
        let (p, r) = (found.precision, found.recall);
        assert!((found.f1 - 2. * p * r / (p + r)).abs() < 1e-12);
        let settings = RangeSettings {
            existence: 0.4,
            divide: false,
        };
        let found = scores(&alarms, &labels, &settings).unwrap();
        assert!((found.recall - (0.4 + 0.6 * 0.3) / 2.).abs() < 1e-12);
        assert!((found.precision - 0.375).abs() < 1e-12);
        // One alarm over both anomalies: 14 of its 30 steps are right, and it tells two apart as one.
        let wide = scores(
            &steps(40, std::slice::from_ref(&(5..35))),
            &labels,
            &RangeSettings::default(),
        )
        .unwrap();
        assert!((wide.precision - 14. / 30. / 2.).abs() < 1e-12 && wide.recall == 1.);
    }

    #[test]
    fn ranges_of_one_step_have_the_scores_of_points() {
        let labels: Vec<bool> = (0..200)
            .map(|step| step % 2 == 0 && step % 3 != 0)
            .collect();
        let alarms: Vec<bool> = (0..200).map(|step| step % 2 == 0 && step % 5 < 2).collect();
        let counts = Counts::new(&alarms, &labels).unwrap();
        for existence in [0., 0.7, 1.] {
            let settings = RangeSettings {
                existence,
                divide: true,
            };
            let found = scores(&alarms, &labels, &settings).unwrap();
            assert!((found.precision - counts.precision()).abs() < 1e-12);
            assert!((found.recall - counts.recall()).abs() < 1e-12);
            assert!((found.f1 - counts.f1()).abs() < 1e-12);
        }
    }

    #[test]
    fn nothing_found_is_zero_and_everything_right_is_one() {
        let labels = steps(30, &[3..9, 12..13, 29..30]);
        let settings = RangeSettings::default();
        let right = scores(&labels, &labels, &settings).unwrap();
        assert_eq!((right.precision, right.recall, right.f1), (1., 1., 1.));
        for alarms in [steps(30, &[]), steps(30, &[0..3, 20..25])] {
            let none = scores(&alarms, &labels, &settings).unwrap();
            assert_eq!((none.precision, none.recall, none.f1), (0., 0., 0.));
        }
        assert_eq!(scores(&labels, &[false; 30], &settings).unwrap().f1, 0.);
        assert!(scores(&labels[1..], &labels, &settings).is_err());
        assert!(scores(&[], &[], &settings).is_err());
        let wrong = RangeSettings {
            existence: 1.1,
            divide: true,
        };
        assert!(scores(&labels, &labels, &wrong).is_err());
    }
}
