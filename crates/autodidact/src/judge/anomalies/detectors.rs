//! What each detector says of a recording: its known beginning tells what is usual.

use std::ops::Range;

use autodidact_eval::anomaly::isolation::IsolationForest;
use autodidact_eval::anomaly::simple::{moving_z_score, random_scores};
use autodidact_eval::anomaly::threshold::conformal;
use autodidact_eval::forecast::{self, ALPHAS, ridge};
use autodidact_eval::span::onto_span;
use autodidact_eval::{EvalError, Matrix};

use crate::error::Result;
use crate::judge::detector::Detector;
use crate::judge::embedding::Whom;
use crate::judge::following::Following;
use crate::judge::forecast::{WIDEST, last_values};
use crate::judge::protocol::unfit;
use crate::recipe::Evaluate;

/// What a detector says of a recording after its known beginning, in quartile ranges of the known scores above their median.
pub(super) struct Said {
    pub(super) scores: Vec<f64>,
    pub(super) threshold: f64,
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
    let rate = settings.false_alarms;
    // A stretch that is not yet whole is not like the others, and one that shares steps with those that are judged lies near
    // them whatever happens.
    let first = (window - 1).min(known / 2);
    let last = known.saturating_sub(window - 1).max(first + 1);
    let raw = last_values(values, window).map_err(unfit)?;
    let distance = |vectors: &Matrix| -> Result<Said> {
        let bank: Vec<usize> = (first..last).collect();
        let rest: Vec<usize> = (known..vectors.rows()).collect();
        let detector = Detector::new(vectors.select(&bank).map_err(unfit)?, window)?;
        let scores = detector.distances(&vectors.select(&rest).map_err(unfit)?)?;
        Said::of(detector.known(), scores, rate).map_err(unfit)
    };
    let plain = |scores: Vec<f64>| {
        let (before, after) = scores.split_at(known);
        Said::of(&before[first..], after.to_vec(), rate).map_err(unfit)
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
        distance(&networks[0])?,
        surprise(&networks[0], values, first..known, rate).map_err(unfit)?,
        distance(&networks[1])?,
        distance(&raw)?,
        plain(forest.scores(values).map_err(unfit)?)?,
        plain(moving_z_score(values, window.max(2)).map_err(unfit)?)?,
        plain(random_scores(values.rows(), seed))?,
    ])
}

/// How far each step is from what was foretold from the vector of the one before: the root of the mean square over the
/// channels. The regression is fitted to the first half of what is known and chosen on the next quarter; what is usual is
/// seen on the last.
pub(super) fn surprise(
    vectors: &Matrix,
    values: &Matrix,
    known: Range<usize>,
    rate: f64,
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
    let off = (0..told.rows()).map(|row| {
        let came = values.row(quarters + row + 1);
        let squares = told.row(row).iter().zip(came);
        let squares = squares.map(|(&told, &came)| (f64::from(told) - f64::from(came)).powi(2));
        (squares.sum::<f64>() / channels as f64).sqrt()
    });
    let off: Vec<f64> = off.collect();
    // The first origin's step is `quarters + 1`; the first step after what is known is `known.end`.
    let (before, after) = off.split_at(known.end - quarters - 1);
    Said::of(before, after.to_vec(), rate)
}

impl Said {
    /// Scores on the scale of the known ones.
    pub(super) fn of(known: &[f64], scores: Vec<f64>, rate: f64) -> autodidact_eval::Result<Self> {
        let mut sorted = known.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let at = |part: f64| {
            let place = part * sorted.len().saturating_sub(1) as f64;
            sorted.get(place.round() as usize).copied().unwrap_or(0.0)
        };
        let (median, wide) = (at(0.5), at(0.75) - at(0.25));
        // Where nothing varied, in parts of the median, so that what is the same stays 0.
        let unit = wide.max(1e-6 * median.abs()).max(f64::MIN_POSITIVE.sqrt());
        let scale = |score: f64| ((score - median) / unit).clamp(-1e12, 1e12);
        // Few known steps can't tell a small rate; the highest of them then is the threshold.
        let threshold = match conformal(known, rate) {
            Err(EvalError::FewRows { .. }) => at(1.0).next_up(),
            threshold => threshold?,
        };
        Ok(Self {
            scores: scores.into_iter().map(scale).collect(),
            threshold: scale(threshold),
        })
    }

    pub(super) fn alarms(&self) -> Vec<bool> {
        self.scores
            .iter()
            .map(|&score| score >= self.threshold)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_measured_by_the_known_ones() {
        let known: Vec<f64> = (0..101).map(f64::from).collect();
        let said = Said::of(&known, vec![50.0, 100.0, 150.0], 0.05).unwrap();
        assert_eq!(said.scores, [0.0, 1.0, 2.0]);
        assert!((said.threshold - 0.92).abs() < 0.021, "{}", said.threshold);
        assert_eq!(said.alarms(), [false, true, true]);
        // Too few known for so small a rate: the highest of them is where alarms begin.
        let said = Said::of(&known[..10], vec![9.0, 9.5], 0.01).unwrap();
        assert_eq!(said.alarms(), [false, true]);
        let said = Said::of(&[3.0; 60], vec![3.0, 3.1], 0.05).unwrap();
        assert_eq!((said.alarms(), said.scores[0]), (vec![false, true], 0.0));
    }

    #[test]
    fn what_never_changed_and_then_does_is_found_and_nothing_else() {
        let mut values = vec![5.0; 300];
        values[200] = 5.5;
        let values = Matrix::from_vec(300, 1, values).unwrap();
        // Wider than what a regression takes as it is.
        let wide = (0..300).flat_map(|step| [values.row(step)[0]; 600]);
        let wide = Matrix::from_vec(300, 600, wide.collect()).unwrap();
        let said = surprise(&wide, &values, 0..100, 0.02).unwrap();
        assert_eq!(said.scores.len(), 200);
        let alarms: Vec<usize> = (0..200).filter(|&at| said.alarms()[at]).collect();
        assert_eq!(alarms, [100]);
    }
}
