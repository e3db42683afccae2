//! What each detector says of a recording: its known beginning tells what is usual.

use std::ops::Range;

use autodidact_eval::anomaly::isolation::IsolationForest;
use autodidact_eval::anomaly::neighbors::distances_before;
use autodidact_eval::anomaly::simple::{moving_z_score, random_scores};
use autodidact_eval::anomaly::threshold::conformal;
use autodidact_eval::forecast::{self, ALPHAS, ridge};
use autodidact_eval::span::onto_span;
use autodidact_eval::{EvalError, Matrix};

use crate::error::Result;
use crate::judge::detector::{Detector, NEIGHBORS};
use crate::judge::embedding::Whom;
use crate::judge::following::Following;
use crate::judge::forecast::{WIDEST, last_values};
use crate::judge::levels::{Sight, levels};
use crate::judge::protocol::unfit;
use crate::recipe::{Evaluate, Usual};

/// What a detector says of a recording after its known beginning, in quartile ranges of the scores that tell what is usual,
/// above their median.
pub(super) struct Said {
    pub(super) scores: Vec<f64>,
    /// From which score on each step is an alarm.
    pub(super) thresholds: Vec<f64>,
}

/// What each of [`DETECTORS`](super::DETECTORS) says of a recording.
pub(super) fn watch(
    following: &dyn Following,
    recording: usize,
    values: &Matrix,
    known: usize,
    settings: &Evaluate,
    seed: u64,
    advance: &mut dyn FnMut(usize),
) -> Result<Vec<Said>> {
    let steps: Vec<usize> = (0..values.rows()).collect();
    let whom = [Whom::Pretrained, Whom::Untrained];
    let networks = following.moments(recording, &steps, &whom, advance)?;
    let window = following.stretch();
    // A stretch that is not yet whole is not like the others, and one that shares steps with those that are judged lies near
    // them whatever happens.
    let first = (window - 1).min(known / 2);
    let last = known.saturating_sub(window - 1).max(first + 1);
    let raw = last_values(values, window).map_err(unfit)?;
    let levels = levels(values, window)?;
    let bank: Vec<usize> = (first..last).collect();
    let known_levels = levels.select(&bank).map_err(unfit)?;
    let sight = |vectors: &Matrix| -> Result<Sight> {
        let known = vectors.select(&bank).map_err(unfit)?;
        Ok(Sight::of(&known, &known_levels))
    };
    let seen = |vectors: &Matrix| sight(vectors)?.both(vectors, &levels);
    let say = Say {
        usual: settings.usual,
        apart: window,
        rate: settings.false_alarms,
    };
    let distance = |vectors: &Matrix| -> Result<Said> {
        let detector = Detector::new(vectors.select(&bank).map_err(unfit)?, window)?;
        let mut before = detector.known().to_vec();
        let after = match settings.usual {
            Usual::Beginning => {
                let rest: Vec<usize> = (known..vectors.rows()).collect();
                detector.distances(&vectors.select(&rest).map_err(unfit)?)?
            }
            Usual::Recent => {
                let span = last - first;
                let mut moving =
                    distances_before(vectors, last, NEIGHBORS, window, span).map_err(unfit)?;
                let after = moving.split_off(known - last);
                before.extend(moving);
                after
            }
        };
        say.of(&before, after).map_err(unfit)
    };
    let plain = |scores: Vec<f64>| {
        let (before, after) = scores.split_at(known);
        say.of(&before[first..], after.to_vec()).map_err(unfit)
    };
    let known_rows: Vec<usize> = (0..known).collect();
    let forest = IsolationForest {
        seed,
        ..IsolationForest::default()
    };
    let forest = forest
        .fit(&values.select(&known_rows).map_err(unfit)?)
        .map_err(unfit)?;
    let seed = seed.wrapping_add(recording as u64);
    Ok(vec![
        distance(&seen(&networks[0])?)?,
        surprise(&networks[0], values, first..known, &say).map_err(unfit)?,
        distance(&seen(&networks[1])?)?,
        distance(&sight(&networks[0])?.levels(&levels)?)?,
        distance(&raw)?,
        plain(forest.scores(values).map_err(unfit)?)?,
        plain(moving_z_score(values, window.max(2)).map_err(unfit)?)?,
        plain(random_scores(values.rows(), seed))?,
    ])
}

/// How far the last steps were from what was foretold from the vectors of those before, on average: each channel in its
/// deviations, averaged with its sign over about an eighth of a stretch, since faults stay and noise doesn't; the root of
/// the mean square over the channels. The regression is fitted to the first half of what is known and chosen on the next
/// quarter; what is usual is seen on the last.
pub(super) fn surprise(
    vectors: &Matrix,
    values: &Matrix,
    known: Range<usize>,
    say: &Say,
) -> autodidact_eval::Result<Said> {
    let (half, quarters) = (
        known.start + known.len() / 2,
        known.start + known.len() * 3 / 4,
    );
    let parts = forecast::Parts {
        train: known.start..half,
        validation: half..quarters,
        test: quarters..values.rows(),
    };
    let vectors = onto_span(vectors, &parts.train, WIDEST)?;
    let model = ridge(&vectors, values, &parts, 1, &ALPHAS)?;
    let told = model.predict_part(&vectors, &parts.test)?;
    let channels = values.columns();
    // Of the step after each origin.
    let off = |row: usize| {
        let came = values.row(quarters + row + 1);
        let pairs = told.row(row).iter().zip(came);
        pairs.map(|(&told, &came)| f64::from(told) - f64::from(came))
    };
    let usual = (known.end - quarters - 1).min(told.rows());
    let mut scale = vec![0.0; channels];
    for row in 0..usual {
        for (scale, off) in scale.iter_mut().zip(off(row)) {
            *scale += off * off / usual.max(1) as f64;
        }
    }
    // Of a channel that was foretold to the last digit, all that is off is unusual.
    let scale: Vec<f64> = scale.iter().map(|x| x.sqrt().max(1e-6)).collect();
    let share = (8.0 / say.apart.max(1) as f64).min(1.0);
    let mut mean = vec![0.0; channels];
    let off: Vec<f64> = (0..told.rows())
        .map(|row| {
            for ((mean, off), scale) in mean.iter_mut().zip(off(row)).zip(&scale) {
                *mean += share * (off / scale - *mean);
            }
            let square: f64 = mean.iter().map(|mean| mean * mean).sum();
            (square / channels.max(1) as f64).sqrt()
        })
        .collect();
    // The first origin's step is `quarters + 1`; the first step after what is known is `known.end`.
    let (before, after) = off.split_at(known.end - quarters - 1);
    say.of(before, after.to_vec())
}

/// How scores become alarms.
pub(super) struct Say {
    pub(super) usual: Usual,
    /// Steps whose stretches have nothing in common lie so far apart.
    pub(super) apart: usize,
    /// The part of the normal steps that may be alarms.
    pub(super) rate: f64,
}

impl Say {
    /// Scores of the steps to judge, on the scale of those that tell what is usual: the known ones `before`, or the last
    /// before each step.
    pub(super) fn of(&self, before: &[f64], after: Vec<f64>) -> autodidact_eval::Result<Said> {
        let mut said = Said {
            scores: Vec::with_capacity(after.len()),
            thresholds: Vec::with_capacity(after.len()),
        };
        match self.usual {
            Usual::Beginning => Scale::of(before, self.rate)?.apply(&after, &mut said),
            Usual::Recent => {
                let all = [before, &after].concat();
                let span = before.len();
                // What is usual is looked at anew a hundred times while as many steps pass as it takes.
                let every = span.div_ceil(100).max(1);
                for from in (span..all.len()).step_by(every) {
                    // The known scores always count: nothing that is judged is in them.
                    let end = (from + 1).saturating_sub(self.apart).max(span).max(1);
                    let recent = &all[end.saturating_sub(span)..end];
                    let next = &all[from..(from + every).min(all.len())];
                    Scale::of(recent, self.rate)?.apply(next, &mut said);
                }
            }
        }
        Ok(said)
    }
}

/// What is usual of scores.
struct Scale {
    median: f64,
    /// The range of the middle half, or where that is nothing, how far those lie from the median that don't lie on it.
    unit: f64,
    /// Before scaling.
    threshold: f64,
}

impl Scale {
    fn of(usual: &[f64], rate: f64) -> autodidact_eval::Result<Self> {
        let mut sorted = usual.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let at = |part: f64| {
            let place = part * sorted.len().saturating_sub(1) as f64;
            sorted.get(place.round() as usize).copied().unwrap_or(0.0)
        };
        let (median, wide) = (at(0.5), at(0.75) - at(0.25));
        // Where nothing varied, in parts of the median, so that what is the same stays 0.
        let least = (1e-6 * median.abs()).max(f64::MIN_POSITIVE.sqrt());
        Ok(Self {
            median,
            unit: match wide > least {
                true => wide,
                false => deviation(&sorted, median, least),
            },
            // Few steps can't tell a small rate; the highest of them then is the threshold.
            threshold: match conformal(usual, rate) {
                Err(EvalError::FewRows { .. }) => at(1.0).next_up(),
                threshold => threshold?,
            },
        })
    }

    fn apply(&self, scores: &[f64], said: &mut Said) {
        let scale = |score: &f64| ((score - self.median) / self.unit).clamp(-1e12, 1e12);
        said.scores.extend(scores.iter().map(scale));
        // It is the next number after a known score, and stays above that when both are rounded on this scale.
        let known = scale(&self.threshold.next_down());
        let threshold = scale(&self.threshold).max(known.next_up());
        said.thresholds
            .resize(said.thresholds.len() + scores.len(), threshold);
    }
}

/// How far the scores that are more than `least` from the median are from it, by the median of these; `least` where none is.
/// Scores of most steps may be alike, such as 0, and the few others then tell the scale.
fn deviation(scores: &[f64], median: f64, least: f64) -> f64 {
    let far = scores.iter().map(|score| (score - median).abs());
    let mut far: Vec<f64> = far.filter(|&far| far > least).collect();
    far.sort_unstable_by(f64::total_cmp);
    far.get(far.len() / 2).copied().unwrap_or(least)
}

impl Said {
    pub(super) fn alarms(&self) -> Vec<bool> {
        let pairs = self.scores.iter().zip(&self.thresholds);
        pairs.map(|(score, threshold)| score >= threshold).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn say(usual: Usual, rate: f64) -> Say {
        Say {
            usual,
            apart: 1,
            rate,
        }
    }

    #[test]
    fn scores_are_measured_by_the_known_ones() {
        let of = |known: &[f64], scores: &[f64], rate: f64| {
            let said = say(Usual::Beginning, rate).of(known, scores.to_vec());
            said.unwrap()
        };
        let known: Vec<f64> = (0..101).map(f64::from).collect();
        let said = of(&known, &[50.0, 100.0, 150.0], 0.05);
        assert_eq!(said.scores, [0.0, 1.0, 2.0]);
        assert!((said.thresholds[0] - 0.92).abs() < 0.021);
        assert_eq!(said.alarms(), [false, true, true]);
        // Too few known for so small a rate: the highest of them is where alarms begin.
        let said = of(&known[..10], &[9.0, 9.5], 0.01);
        assert_eq!(said.alarms(), [false, true]);
        let said = of(&[3.0; 60], &[3.0, 3.1], 0.05);
        assert_eq!((said.alarms(), said.scores[0]), (vec![false, true], 0.0));
    }

    #[test]
    fn where_most_known_scores_are_0_the_others_tell_the_scale() {
        let mut known = vec![0.0; 80];
        known.extend([2.0; 20]);
        let said = say(Usual::Beginning, 0.05).of(&known, vec![0.0, 1.0, 6.0]);
        assert_eq!(said.unwrap().scores, [0.0, 0.5, 3.0]);
    }

    #[test]
    fn a_score_that_is_known_is_no_alarm_on_any_scale() {
        for number in 1..200 {
            let unit = f64::from(number) * 0.1;
            let score = |step: i32| match step {
                0..51 => 0.0,
                51..76 => f64::from(step - 50) * unit,
                _ => 26.0 * unit,
            };
            let known: Vec<f64> = (0..101).map(score).collect();
            let said = say(Usual::Beginning, 0.05).of(&known, vec![26.0 * unit, 27.0 * unit]);
            assert_eq!(said.unwrap().alarms(), [false, true], "{unit}");
        }
    }

    #[test]
    fn few_known_scores_all_tell_what_is_usual_of_the_first_steps_that_are_judged() {
        let known: Vec<f64> = (0..21).map(f64::from).collect();
        let recent = Say {
            apart: 50,
            ..say(Usual::Recent, 0.1)
        };
        let said = recent.of(&known, vec![10.0, 20.0, 30.0]).unwrap();
        assert_eq!(said.scores, [0.0, 1.0, 2.0]);
        assert_eq!(said.alarms(), [false, true, true]);
    }

    #[test]
    fn what_changes_slowly_is_usual_where_the_recent_tells_and_what_jumps_is_not() {
        // A score that grows by half of its spread while nothing happens.
        let score = |step: usize| (step * 37 % 101) as f64 + step as f64 * 0.01;
        let before: Vec<f64> = (0..500).map(score).collect();
        let mut after: Vec<f64> = (500..5000).map(score).collect();
        after[4000] += 120.0;
        let rate_of = |usual: Usual| {
            let said = say(usual, 0.02).of(&before, after.clone()).unwrap();
            let alarms = said.alarms();
            assert!(alarms[4000]);
            alarms.iter().filter(|&&alarm| alarm).count() as f64 / 4500.0
        };
        assert!(rate_of(Usual::Beginning) > 0.2);
        let rate = rate_of(Usual::Recent);
        assert!((0.01..0.06).contains(&rate), "{rate}");
    }

    #[test]
    fn what_never_changed_and_then_does_is_found_and_nothing_else() {
        let mut values = vec![5.0; 300];
        values[200] = 5.5;
        let values = Matrix::from_vec(300, 1, values).unwrap();
        // Wider than what a regression takes as it is.
        let wide = (0..300).flat_map(|step| [values.row(step)[0]; 600]);
        let wide = Matrix::from_vec(300, 600, wide.collect()).unwrap();
        let said = surprise(&wide, &values, 0..100, &say(Usual::Beginning, 0.02)).unwrap();
        assert_eq!(said.scores.len(), 200);
        let alarms: Vec<usize> = (0..200).filter(|&at| said.alarms()[at]).collect();
        assert_eq!(alarms, [100]);
    }
}
