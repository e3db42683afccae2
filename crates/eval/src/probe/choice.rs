//! What a probe chooses among, and how: by rows of the training part that are held out.

use std::borrow::Cow;

use super::logistic::{LinearModel, LogisticRegression};
use super::scaling::{Moments, Scaling};
use crate::error::{EvalError, Result};
use crate::labels::distinct;
use crate::matrix::Matrix;

/// Parts of the rows, one of which is held out at a time.
const PARTS: usize = 5;

/// How to probe.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeSettings {
    /// The scalings to choose from. Default: together, each.
    pub scalings: Vec<Scaling>,
    /// The values of [`LogisticRegression::c`] to choose from, with each scaling; the first of the best wins. Default
    /// .001, .01, .1, 1, an order in which each fit is a good start for the next.
    pub candidates: Vec<f64>,
    /// Of each fit. Default 1e-4.
    pub tolerance: f64,
    /// Of each fit. Default 300.
    pub max_iterations: usize,
    /// At most this many rows, drawn at random, are fitted to; the rest tells only how far features vary. Default: all.
    pub max_fit_rows: Option<usize>,
    /// How many fifths of the rows are held out to choose by, one after the other, 1 to 5. Default 1; a few rows are
    /// worth the time of more.
    pub rounds: usize,
    /// Of the shuffle before the split. Default 0.
    pub seed: u64,
}

impl Default for ProbeSettings {
    fn default() -> Self {
        let LogisticRegression {
            tolerance,
            max_iterations,
            ..
        } = LogisticRegression::default();
        Self {
            scalings: vec![Scaling::Together, Scaling::Each],
            candidates: vec![0.001, 0.01, 0.1, 1.],
            tolerance,
            max_iterations,
            max_fit_rows: None,
            rounds: 1,
            seed: 0,
        }
    }
}

/// A scaling and a penalty.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tried {
    /// What the features were brought to.
    pub scaling: Scaling,
    /// The value of [`LogisticRegression::c`].
    pub c: f64,
    /// The accuracy on held-out rows, from 0 to 1.
    pub accuracy: f64,
}

/// What came of the held-out rows.
pub(super) struct Choice {
    pub(super) scaling: Scaling,
    pub(super) c: f64,
    /// What was tried; empty where there was nothing to choose, or too few rows to choose by.
    pub(super) tried: Vec<Tried>,
    /// A model that was fitted so to most of the rows: a good start for one of all.
    pub(super) start: Option<LinearModel>,
}

impl ProbeSettings {
    /// Chooses by rows of the training part, in the given order, with their labels: the first of the best, or the first
    /// candidates where nothing can be chosen.
    ///
    /// # Errors
    ///
    /// If there are no candidates, or a fit fails.
    pub(super) fn choose(
        &self,
        train: &Matrix,
        order: &[usize],
        labels: &[u32],
        moments: &Moments,
    ) -> Result<Choice> {
        let (Some(&scaling), Some(&c)) = (self.scalings.first(), self.candidates.first()) else {
            return Err(EvalError::Empty {
                what: "candidates of the probe",
            });
        };
        let choices = self.scalings.len() * self.candidates.len();
        let mut tried = Vec::new();
        let mut best: Option<(Tried, LinearModel)> = None;
        if choices > 1 && rest_is_of_several(labels, self.rounds) {
            for &scaling in &self.scalings {
                // Scaled in shuffled order, so that the parts are slices of one copy.
                let features = moments.scaler(scaling).rows(train, order);
                for (one, model) in self.rated(scaling, &features, train.columns(), labels)? {
                    tried.push(one);
                    if best
                        .as_ref()
                        .is_none_or(|(best, _)| one.accuracy > best.accuracy)
                    {
                        best = Some((one, model));
                    }
                }
            }
        }
        Ok(match best {
            Some((Tried { scaling, c, .. }, model)) => Choice {
                scaling,
                c,
                tried,
                start: Some(model),
            },
            None => Choice {
                scaling,
                c,
                tried,
                start: None,
            },
        })
    }

    /// Checks what is counted.
    pub(super) fn check(&self) -> Result<()> {
        for &c in &self.candidates {
            EvalError::check_positive("c", c)?;
        }
        if let Some(limit) = self.max_fit_rows {
            EvalError::check_count("max_fit_rows", limit)?;
        }
        EvalError::check_count("rounds", self.rounds)
    }

    pub(super) fn regression(&self, c: f64) -> LogisticRegression {
        LogisticRegression {
            c,
            tolerance: self.tolerance,
            max_iterations: self.max_iterations,
        }
    }

    /// How well each penalty does on the fifths that are held out, and the last model that was fitted with it.
    fn rated(
        &self,
        scaling: Scaling,
        features: &[f32],
        columns: usize,
        labels: &[u32],
    ) -> Result<Vec<(Tried, LinearModel)>> {
        let mut hits = vec![0; self.candidates.len()];
        let mut models: Vec<Option<LinearModel>> = vec![None; self.candidates.len()];
        let mut judged = 0;
        for [from, to] in fifths(labels.len(), self.rounds) {
            let rest = [&labels[..from], &labels[to..]].concat();
            // The last fifth leaves a slice: of wide features a copy would take as much memory again.
            let (before, behind) = (&features[..from * columns], &features[to * columns..]);
            let other = match behind.is_empty() {
                true => Cow::Borrowed(before),
                false => Cow::Owned([before, behind].concat()),
            };
            let held = &features[from * columns..to * columns];
            judged += to - from;
            let mut previous: Option<LinearModel> = None;
            for (place, &c) in self.candidates.iter().enumerate() {
                let model =
                    self.regression(c)
                        .fit_rows(&other, columns, &rest, previous.as_ref())?;
                let predictions = model.predict_rows(held);
                let right = predictions.iter().zip(&labels[from..to]);
                hits[place] += right.filter(|(found, expected)| found == expected).count();
                models[place] = Some(model.clone());
                previous = Some(model);
            }
        }
        let rated = self.candidates.iter().zip(hits).zip(models);
        let rated = rated.filter_map(|((&c, hits), model)| {
            let accuracy = hits as f64 / judged.max(1) as f64;
            let tried = Tried {
                scaling,
                c,
                accuracy,
            };
            Some((tried, model?))
        });
        Ok(rated.collect())
    }
}

/// The ends of the fifths of so many rows that are held out in so many rounds, the last first.
fn fifths(rows: usize, rounds: usize) -> impl Iterator<Item = [usize; 2]> {
    let part = move |number: usize| {
        // The last is what is left of four fifths.
        [number, number + 1].map(|end| {
            if end == PARTS {
                rows
            } else {
                rows * end / PARTS
            }
        })
    };
    (0..PARTS).rev().take(rounds).map(part)
}

/// Whether what is left beside each fifth that is held out has several classes.
fn rest_is_of_several(labels: &[u32], rounds: usize) -> bool {
    fifths(labels.len(), rounds).all(|[from, to]| {
        let rest = labels[..from].iter().chain(&labels[to..]);
        to > from && distinct(rest.copied()).len() > 1
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_held_out_once_in_five_rounds() {
        for rows in [5, 7, 123] {
            let mut ends: Vec<[usize; 2]> = fifths(rows, 5).collect();
            assert_eq!(ends[0], fifths(rows, 1).next().unwrap());
            assert_eq!(ends[0][0], rows * 4 / 5);
            ends.sort_unstable();
            assert_eq!((ends[0][0], ends[4][1]), (0, rows));
            assert!(ends.windows(2).all(|pair| pair[0][1] == pair[1][0]));
        }
    }
}
