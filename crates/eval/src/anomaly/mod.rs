//! Anomalies in series: what scores of steps are worth where it is known which steps are anomalous, thresholds where it
//! isn't, and detectors that a better one should beat.
//!
//! A score is a number per step, higher for what is more unusual; a step whose score is at or above a threshold is an
//! alarm. Which measure to trust:
//! - [`ranking`] needs no threshold: the average precision, which says most where anomalies are rare, and the area under
//!   the ROC curve.
//! - [`areas`] says how sure such an area is, and whether one detector's is above another's by more than chance.
//! - [`points`] counts steps at a threshold. Its best F1 is chosen with the labels in sight and bounds from above what
//!   a threshold chosen without them can reach; its *point-adjusted* F1 flatters, and is here to be shown as doing so.
//! - [`ranges`] counts anomalies and alarms as ranges of steps.
//! - [`nab`] is the score of the Numenta Anomaly Benchmark, which rewards early alarms.
//! - [`threshold`] chooses a threshold without labels, for a false-alarm rate that it keeps.
//!
//! The detectors are the distance to the nearest known items ([`neighbors`]), the [`isolation`] forest, the moving
//! z-score and chance ([`simple`]).

pub mod areas;
pub mod isolation;
pub mod nab;
pub mod neighbors;
pub mod points;
pub mod ranges;
pub mod ranking;
pub mod simple;
pub mod threshold;

use crate::error::{EvalError, Result};

/// Whether each score is at or above the threshold.
pub fn alarms(scores: &[f64], threshold: f64) -> Vec<bool> {
    scores.iter().map(|&score| score >= threshold).collect()
}

/// Checks that there is a label for each score, and anomalies as well as normal steps among them.
fn check_both(scores: &[f64], labels: &[bool]) -> Result<()> {
    EvalError::check_scores(scores)?;
    EvalError::check_length("labels", labels.len(), scores.len())?;
    let first = labels[0];
    if labels.iter().all(|&label| label == first) {
        return Err(EvalError::OneClass {
            class: u32::from(first),
        });
    }
    Ok(())
}

/// Steps in the order of falling scores, in groups of equal score: the score of a group and its steps.
fn by_falling_score(scores: &[f64]) -> Vec<(f64, Vec<usize>)> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    // By value, not by `total_cmp`: 0 and −0 are one score.
    let groups = order.chunk_by(|&a, &b| scores[a] == scores[b]);
    groups
        .map(|group| (scores[group[0]], group.to_vec()))
        .collect()
}
