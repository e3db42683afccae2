//! `[evaluate]`.

use serde::{Deserialize, Serialize};

use super::sections::within;
use crate::error::{Error, Result};

/// Labeled items of a part that say enough of a run at its end: more take minutes and gigabytes, and move no digit that counts.
const ENOUGH: usize = 60_000;

/// `[evaluate]`: how the result is judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Evaluate {
    /// Neighbors that vote, at the end of a run and while it is going on.
    pub neighbors: usize,
    /// Other numbers of neighbors that are tried besides; those beyond the labeled items are left out.
    pub more_neighbors: Vec<usize>,
    /// Up to how many labeled items a support vector machine learns from them as well, by the protocol of TS2Vec (Yue et al.
    /// 2022); 0 for never. Its time grows with their square.
    pub svm_up_to: usize,
    /// Up to how many labeled items the nearest one is looked for by dynamic time warping as well, where one step of an item
    /// follows another; 0 for never. Its time grows with their square.
    pub warping_up_to: usize,
    /// Labels of each class that linear probes get to learn from; where a class has fewer, the number is left out.
    pub few_labels: Vec<usize>,
    /// Draws of those labels, 2 to 1000.
    pub draws: usize,
    /// Whether clusters of the vectors, as many as classes, are compared with the classes.
    pub clustering: bool,
    /// Among how many nearest items one of the same class is looked for.
    pub retrieval: Vec<usize>,
    /// Draws of the bootstrap behind the intervals.
    pub resamples: usize,
    /// Labeled items of each part that are looked at, at most, evenly over all; 0 takes all.
    pub most: usize,
    /// Where there is no test part: the part of the labeled items that is set aside to judge on, 0.05 to 0.5.
    pub holdout: f64,
    /// Steps that a network takes in before each step of a recording, where forecasts or anomalies are judged: fewer than its
    /// views have, for a network that learned from long ones. 0 takes as many as these.
    pub context: usize,
    /// The parts of a recording that forecasts are fitted to, chosen on and judged on, one after the other: steps, or below
    /// 1 the part of all steps.
    pub forecast_parts: [f64; 3],
    /// What of each recording's beginning is known and mostly normal, where anomalies are looked for: steps, or below 1 the
    /// part of all steps.
    pub known: f64,
    /// What tells what is usual of a step where anomalies are looked for.
    pub usual: Usual,
    /// The part of the normal steps that may be alarms, 0.0001 to 0.5.
    pub false_alarms: f64,
}

/// What tells what is usual in a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Usual {
    /// Its known beginning, for all steps that come.
    Beginning,
    /// As many steps as are known, the last before each step: for what changes slowly without being wrong.
    Recent,
}

impl Default for Evaluate {
    fn default() -> Self {
        Self {
            neighbors: 20,
            more_neighbors: vec![1, 5, 200],
            svm_up_to: 2000,
            warping_up_to: 2000,
            few_labels: vec![1, 5, 10, 50],
            draws: 5,
            clustering: true,
            retrieval: vec![1, 5, 10],
            resamples: 1000,
            most: 0,
            holdout: 0.2,
            context: 0,
            forecast_parts: [0.6, 0.2, 0.2],
            known: 0.15,
            usual: Usual::Beginning,
            false_alarms: 0.01,
        }
    }
}

impl Evaluate {
    /// Nearest neighbors and a linear probe only, on 60,000 labeled items of a part at most: what a run ends with.
    #[must_use]
    pub fn quick(self) -> Self {
        Self {
            more_neighbors: Vec::new(),
            svm_up_to: 0,
            warping_up_to: 0,
            few_labels: Vec::new(),
            clustering: false,
            retrieval: Vec::new(),
            most: match self.most {
                0 => ENOUGH,
                most => most,
            },
            ..self
        }
    }

    pub(super) fn check(&self) -> Result<()> {
        for (key, counts) in [
            ("neighbors", &vec![self.neighbors]),
            ("more_neighbors", &self.more_neighbors),
            ("few_labels", &self.few_labels),
            ("retrieval", &self.retrieval),
            ("resamples", &vec![self.resamples]),
        ] {
            if counts.contains(&0) {
                return Err(Error::recipe(format!("a 0 in evaluate.{key}")).expected("at least 1"));
            }
        }
        for part in self.forecast_parts {
            if !(part > 0.0 && part.is_finite()) {
                let found = format!("evaluate.forecast_parts = {:?}", self.forecast_parts);
                return Err(Error::recipe(found).expected("three numbers above 0"));
            }
        }
        if !(self.known > 0.0 && self.known.is_finite()) {
            return Err(Error::recipe(format!("evaluate.known = {}", self.known))
                .expected("a number above 0: steps, or below 1 a part of all steps"));
        }
        within("evaluate.false_alarms", self.false_alarms, 0.0001, 0.5)?;
        within("evaluate.draws", self.draws as f64, 2.0, 1000.0)?;
        within("evaluate.holdout", self.holdout, 0.05, 0.5)
    }
}
