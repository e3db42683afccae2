//! What detectors are worth where it is known which steps are not normal: every measure of each, over all recordings.

use std::ops::Range;

use autodidact_eval::EvalError;
use autodidact_eval::anomaly::areas::Areas;
use autodidact_eval::anomaly::nab::{self, Profile, Scored};
use autodidact_eval::anomaly::points::{Counts, best_f1, best_point_adjusted_f1};
use autodidact_eval::anomaly::ranges::{self, RangeSettings};
use autodidact_eval::anomaly::ranking::roc_auc;
use autodidact_eval::interval::{Bootstrap, bootstrap_statistic};

use super::{DETECTORS, Judged};
use crate::judge::verdict::Finding;

/// The area under precision and recall of every detector, over all recordings and over draws of them.
pub(super) fn areas(
    judged: &[Judged],
    intervals: &Bootstrap,
) -> autodidact_eval::Result<Vec<Areas>> {
    let labels: Vec<&[bool]> = judged.iter().map(|one| one.abnormal.as_slice()).collect();
    let of = |at: usize| {
        let scores: Vec<&[f64]> = (judged.iter())
            .map(|one| one.said[at].scores.as_slice())
            .collect();
        Areas::new(&scores, &labels, intervals)
    };
    (0..DETECTORS.len()).map(of).collect()
}

/// Every measure of every detector, over all recordings.
pub(super) fn findings(
    judged: &[Judged],
    areas: &[Areas],
    intervals: &Bootstrap,
) -> autodidact_eval::Result<Vec<Finding>> {
    let labels: Vec<bool> = joined(judged.iter().map(|one| one.abnormal.clone()), false);
    let windows: Vec<Vec<Range<usize>>> = (judged.iter())
        .map(|one| {
            let ranges = ranges::of(&one.abnormal).into_iter();
            ranges
                .map(|r| r.start + one.known..r.end + one.known)
                .collect()
        })
        .collect();
    let mut results = Vec::new();
    for (at, (who, _)) in DETECTORS.iter().enumerate() {
        // A normal step without an alarm stands between recordings, so that no range goes over from one to the next.
        let lowest = -1e12;
        let scores = joined(judged.iter().map(|one| one.said[at].scores.clone()), lowest);
        let alarms: Vec<bool> = joined(judged.iter().map(|one| one.said[at].alarms()), false);
        let counts: Vec<Counts> = (judged.iter())
            .map(|one| Counts::new(&one.said[at].alarms(), &one.abnormal))
            .collect::<autodidact_eval::Result<_>>()?;
        let sum = |drawn: &[usize]| {
            let mut all = Counts::default();
            for &one in drawn {
                all.true_positives += counts[one].true_positives;
                all.false_positives += counts[one].false_positives;
                all.false_negatives += counts[one].false_negatives;
                all.true_negatives += counts[one].true_negatives;
            }
            all
        };
        let mut push = |task: &str, metric: &str, value: f64, low: f64, high: f64| {
            results.push(Finding {
                who: (*who).to_owned(),
                task: task.to_owned(),
                metric: metric.to_owned(),
                value,
                low,
                high,
            });
        };
        let mut of_counts = |metric: &str, of: fn(&Counts) -> f64| -> autodidact_eval::Result<()> {
            let found = bootstrap_statistic(
                counts.len(),
                |drawn: &[usize]| Ok(of(&sum(drawn))),
                intervals,
            )?;
            let (low, high) = (found.low.max(0.0), found.high.min(1.0));
            push("alarms", metric, found.value, low, high);
            Ok(())
        };
        of_counts("f1", Counts::f1)?;
        of_counts("precision", Counts::precision)?;
        of_counts("recall", Counts::recall)?;
        of_counts("false_alarms", Counts::false_alarm_rate)?;
        let range_f1 = ranges::scores(&alarms, &labels, &RangeSettings::default())?.f1;
        push("alarms", "range_f1", range_f1, range_f1, range_f1);
        let area = areas[at].interval();
        push("scores", "auc_pr", area.value, area.low, area.high);
        let mut plain =
            |task: &str, metric: &str, value: f64| push(task, metric, value, value, value);
        plain("scores", "auc_roc", roc_auc(&scores, &labels)?);
        plain("best threshold", "f1", best_f1(&scores, &labels)?.f1);
        plain(
            "best threshold",
            "adjusted_f1",
            best_point_adjusted_f1(&scores, &labels)?.f1,
        );
        // The known beginning is scored as nothing unusual.
        let whole: Vec<Vec<f64>> = (judged.iter())
            .map(|one| [vec![lowest; one.known], one.said[at].scores.clone()].concat())
            .collect();
        let scored: Vec<Scored<'_>> = (whole.iter().zip(&windows))
            .map(|(scores, windows)| Scored { scores, windows })
            .collect();
        for (metric, profile) in [
            ("nab", Profile::STANDARD),
            ("nab_low_fp", Profile::REWARD_LOW_FALSE_POSITIVES),
            ("nab_low_fn", Profile::REWARD_LOW_FALSE_NEGATIVES),
        ] {
            match nab::best(&scored, &profile) {
                Ok(found) => plain("best threshold", metric, found.normalized),
                // All windows lie where detectors may still be learning.
                Err(EvalError::Empty { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(results)
}

/// One after the other, with `between` in between.
fn joined<T: Clone>(all: impl Iterator<Item = Vec<T>>, between: T) -> Vec<T> {
    let mut joined = Vec::new();
    for one in all {
        joined.extend(one);
        joined.push(between.clone());
    }
    joined
}

#[cfg(test)]
mod tests {
    use autodidact_eval::Matrix;
    use autodidact_eval::anomaly::simple::random_scores;

    use super::super::detectors::{Say, surprise};
    use super::super::verdict::verdict;
    use super::*;
    use crate::judge::detector::Detector;
    use crate::judge::forecast::last_values;
    use crate::recipe::Usual;

    /// A wave with a stretch of another one.
    fn wave(steps: usize, odd: Range<usize>) -> Matrix {
        let at = |step: usize| {
            let fast = if odd.contains(&step) { 1.7 } else { 0.4 };
            (step as f32 * fast).sin()
        };
        Matrix::from_vec(steps, 1, (0..steps).map(at).collect()).unwrap()
    }

    #[test]
    fn a_stretch_of_another_wave_is_found_by_what_was_foretold_and_by_distance_and_not_by_chance() {
        let values = wave(1200, 900..960);
        let vectors = last_values(&values, 8).unwrap();
        let (known, odd): (usize, Vec<bool>) =
            (400, (0..1200).map(|s| (900..960).contains(&s)).collect());
        let bank: Vec<usize> = (7..known).collect();
        let rest: Vec<usize> = (known..1200).collect();
        let detector = Detector::new(vectors.select(&bank).unwrap(), 8).unwrap();
        let distances = detector.distances(&vectors.select(&rest).unwrap()).unwrap();
        let say = Say {
            usual: Usual::Beginning,
            apart: 8,
            rate: 0.02,
        };
        let distance = || say.of(detector.known(), distances.clone()).unwrap();
        let foretold = surprise(&vectors, &values, 7..known, &say).unwrap();
        assert_eq!(foretold.scores.len(), 800);
        let chance = || {
            say.of(&random_scores(400, 1), random_scores(800, 2))
                .unwrap()
        };
        let judged = [Judged {
            abnormal: odd[known..].to_vec(),
            known,
            said: vec![
                distance(),
                foretold,
                distance(),
                distance(),
                distance(),
                distance(),
                chance(),
                chance(),
            ],
        }];
        let settings = Bootstrap {
            resamples: 100,
            ..Bootstrap::default()
        };
        let areas = areas(&judged, &settings).unwrap();
        let found = findings(&judged, &areas, &settings).unwrap();
        let value = |who: &str, task: &str, metric: &str| {
            Finding::find(&found, who, task, metric).unwrap().value
        };
        for who in ["pretrained", "foretold"] {
            assert!(value(who, "scores", "auc_pr") > 0.8, "{who}");
            assert!(value(who, "alarms", "recall") > 0.7, "{who}");
            assert!(value(who, "alarms", "false_alarms") < 0.06, "{who}");
            assert!(value(who, "best threshold", "nab") > 80.0, "{who}");
        }
        assert!(value("random", "scores", "auc_pr") < 0.2);
        assert!(
            value("random", "best threshold", "adjusted_f1")
                > value("random", "best threshold", "f1")
        );
        let said = verdict(&found, &areas, &judged, 0.02).unwrap();
        assert!(
            said.contains("2.0 % of false alarms") && said.contains("chance to 0."),
            "{said}"
        );
        // However far the network is ahead.
        assert!(
            said.starts_with("Whether pretraining helped can't be told."),
            "{said}"
        );
    }
}
