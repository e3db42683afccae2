//! The probing protocol: choose scaling and penalty without the test part, fit again on everything.

use std::borrow::Cow;

use rayon::prelude::*;

use super::logistic::{LinearModel, LogisticRegression};
use crate::error::{EvalError, Result};
use crate::labels::distinct;
use crate::matrix::Matrix;
use crate::sampling::{generator, permutation};

/// Parts of the rows, one of which is held out at a time.
const PARTS: usize = 5;

/// What features are brought to before a classifier sees them.
///
/// How far features vary may say how much they tell: those of a spectral embedding by their eigenvalues, those that were
/// weighed by their weights. It may as well say nothing, as the units of a table's columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scaling {
    /// Mean 0 and deviation 1, each.
    Each,
    /// Mean 0 each, and a mean variance of 1: what their deviations are beside each other stays.
    Together,
    /// As they are.
    Unscaled,
}

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
    /// At most this many rows, drawn at random, are fitted to; the rest is not used. Default: all.
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

/// A linear classifier on scaled features, its scaling and penalty chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    /// The classifier of the scaled features.
    pub model: LinearModel,
    /// The chosen scaling.
    pub scaling: Scaling,
    /// The chosen value of [`LogisticRegression::c`].
    pub chosen_c: f64,
    /// What was tried; empty where there was nothing to choose or the training part is too small to split, in which case
    /// the first candidates are taken.
    pub tried: Vec<Tried>,
    means: Vec<f64>,
    deviations: Vec<f64>,
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

/// What a probe says about a test part.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeResult {
    /// The predicted class of each test row.
    pub predictions: Vec<u32>,
    /// The chosen scaling.
    pub scaling: Scaling,
    /// The chosen value of [`LogisticRegression::c`].
    pub chosen_c: f64,
    /// What was tried on the training part.
    pub tried: Vec<Tried>,
    /// Whether the final fit converged.
    pub converged: bool,
}

/// Fits a [`Probe`] to the training part and predicts the test part.
///
/// # Errors
///
/// As [`Probe::fit`] and [`Probe::predict`].
pub fn linear_probe(
    train: &Matrix,
    train_labels: &[u32],
    test: &Matrix,
    settings: &ProbeSettings,
) -> Result<ProbeResult> {
    train.check_columns(test)?;
    let probe = Probe::fit(train, train_labels, settings)?;
    let predictions = probe.predict(test)?;
    let Probe {
        model,
        scaling,
        chosen_c,
        tried,
        ..
    } = probe;
    Ok(ProbeResult {
        predictions,
        scaling,
        chosen_c,
        tried,
        converged: model.converged,
    })
}

impl Probe {
    /// Shuffles the training part, scales it by its means and standard deviations (plus 1e-6), chooses among the
    /// candidates by the accuracy on the last fifth (and more of them, by [`ProbeSettings::rounds`]), and fits to all of it
    /// with the chosen one.
    ///
    /// # Errors
    ///
    /// If the labels are not one per row or all of one class, or a setting is out of its range.
    pub fn fit(train: &Matrix, labels: &[u32], settings: &ProbeSettings) -> Result<Self> {
        EvalError::check_length("training labels", labels.len(), train.rows())?;
        let (Some(&first), Some(&first_c)) =
            (settings.scalings.first(), settings.candidates.first())
        else {
            return Err(EvalError::Empty {
                what: "candidates of the probe",
            });
        };
        for &c in &settings.candidates {
            EvalError::check_positive("c", c)?;
        }
        EvalError::check_count("rounds", settings.rounds)?;
        let mut order = permutation(train.rows(), &mut generator(settings.seed, 0));
        if let Some(limit) = settings.max_fit_rows {
            EvalError::check_count("max_fit_rows", limit)?;
            order.truncate(limit);
        }
        let labels: Vec<u32> = order.iter().map(|&row| labels[row]).collect();
        let choices = settings.scalings.len() * settings.candidates.len();
        let splits = choices > 1 && rest_is_of_several(&labels, settings.rounds);

        let mut tried = Vec::new();
        let mut best: Option<(Tried, LinearModel)> = None;
        for &scaling in settings.scalings.iter().filter(|_| splits) {
            let (means, deviations) = moments(train, scaling);
            // Scaled in shuffled order, so that the parts are slices of one copy.
            let features = standardized(train, &order, &means, &deviations);
            for (one, model) in settings.rated(scaling, &features, train.columns(), &labels)? {
                tried.push(one);
                if best
                    .as_ref()
                    .is_none_or(|(best, _)| one.accuracy > best.accuracy)
                {
                    best = Some((one, model));
                }
            }
        }
        let (scaling, chosen_c, start) = match best {
            Some((best, model)) => (best.scaling, best.c, Some(model)),
            None => (first, first_c, None),
        };
        let (means, deviations) = moments(train, scaling);
        let features = standardized(train, &order, &means, &deviations);
        let regression = settings.regression(chosen_c);
        let model = regression.fit_rows(&features, train.columns(), &labels, start.as_ref())?;
        Ok(Self {
            model,
            scaling,
            chosen_c,
            tried,
            means,
            deviations,
        })
    }

    /// The same classifier of raw features: its weights `[C, D]` and intercepts.
    ///
    /// # Errors
    ///
    /// If it has no place among numbers of 32 bits.
    pub fn unscaled(&self) -> Result<(Matrix, Vec<f32>)> {
        let (classes, columns) = (self.model.weights.rows(), self.model.weights.columns());
        let mut weights = Vec::with_capacity(classes * columns);
        let mut intercepts = Vec::with_capacity(classes);
        for (class, &intercept) in self.model.intercepts.iter().enumerate() {
            let row = self.model.weights.row(class).iter().zip(&self.deviations);
            let row: Vec<f64> = row.map(|(&w, d)| f64::from(w) / d).collect();
            let shift: f64 = row.iter().zip(&self.means).map(|(w, m)| w * m).sum();
            intercepts.push((f64::from(intercept) - shift) as f32);
            weights.extend(row.into_iter().map(|w| w as f32));
        }
        let overflow = EvalError::Overflow {
            what: "the weights of raw features",
        };
        if intercepts.iter().any(|intercept| !intercept.is_finite()) {
            return Err(overflow);
        }
        let weights = Matrix::from_vec(classes, columns, weights).map_err(|_| overflow)?;
        Ok((weights, intercepts))
    }

    /// The class of each row of raw, not scaled features.
    ///
    /// # Errors
    ///
    /// If the width of the rows is not that of the training part.
    pub fn predict(&self, features: &Matrix) -> Result<Vec<u32>> {
        self.model.weights.check_columns(features)?;
        self.model.predict(&self.standardize(features)?)
    }

    /// The probability of each class, `[N, C]`, for rows of raw features; the columns follow `model.classes`.
    ///
    /// # Errors
    ///
    /// As [`predict`](Self::predict).
    pub fn probabilities(&self, features: &Matrix) -> Result<Matrix> {
        self.model.weights.check_columns(features)?;
        self.model.probabilities(&self.standardize(features)?)
    }

    fn standardize(&self, features: &Matrix) -> Result<Matrix> {
        let order: Vec<usize> = (0..features.rows()).collect();
        let data = standardized(features, &order, &self.means, &self.deviations);
        Matrix::from_vec(features.rows(), features.columns(), data).map_err(|_| {
            EvalError::Overflow {
                what: "the standardized features",
            }
        })
    }
}

impl ProbeSettings {
    fn regression(&self, c: f64) -> LogisticRegression {
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

/// What is subtracted from each column and what it is divided by then.
fn moments(train: &Matrix, scaling: Scaling) -> (Vec<f64>, Vec<f64>) {
    let columns = train.columns();
    if scaling == Scaling::Unscaled {
        return (vec![0.; columns], vec![1.; columns]);
    }
    let means = train.column_means();
    let deviations = standard_deviations(train, &means);
    if scaling == Scaling::Each {
        return (means, deviations);
    }
    let squares: f64 = deviations.iter().map(|deviation| deviation.powi(2)).sum();
    let together = (squares / columns as f64).sqrt();
    (means, vec![together; columns])
}

/// The standard deviation of each column, unbiased as PyTorch's, plus 1e-6 for columns that do not vary.
fn standard_deviations(train: &Matrix, means: &[f64]) -> Vec<f64> {
    let mut deviations = train.column_sums(|column, value| (value - means[column]).powi(2));
    let degrees = train.rows().saturating_sub(1).max(1) as f64;
    deviations
        .iter_mut()
        .for_each(|deviation| *deviation = (*deviation / degrees).sqrt() + 1e-6);
    deviations
}

/// The given rows, standardized.
fn standardized(features: &Matrix, order: &[usize], means: &[f64], deviations: &[f64]) -> Vec<f32> {
    let mut data = vec![0.; order.len() * features.columns()];
    data.par_chunks_mut(features.columns())
        .zip(order)
        .with_min_len(64)
        .for_each(|(out, &row)| {
            for (column, (out, &value)) in out.iter_mut().zip(features.row(row)).enumerate() {
                *out = ((f64::from(value) - means[column]) / deviations[column]) as f32;
            }
        });
    data
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;

    /// Two informative columns of very different scale, one constant and one of noise.
    fn rows(count: usize) -> (Matrix, Vec<u32>) {
        let labels: Vec<u32> = (0..count as u32).map(|i| i * 7 % 5).collect();
        let data = labels.iter().enumerate().flat_map(|(i, &label)| {
            let noise = |step: f32| (i as f32 * step).sin() * 0.3;
            let angle = label as f32 * 1.2566;
            [
                1000. * (angle.cos() + noise(12.9)),
                0.001 * (angle.sin() + noise(78.2)),
                0.1,
                noise(4.7),
            ]
        });
        (Matrix::from_vec(count, 4, data.collect()).unwrap(), labels)
    }

    #[test]
    fn the_protocol_finds_a_penalty_and_the_classes() {
        let (train, labels) = rows(1000);
        let (test, test_labels) = rows(203);
        let result = linear_probe(&train, &labels, &test, &ProbeSettings::default()).unwrap();
        let hits = result
            .predictions
            .iter()
            .zip(&test_labels)
            .filter(|(a, b)| a == b)
            .count();
        assert!(result.converged && hits > 195, "{hits}");
        assert_eq!(result.tried.len(), 8);
        let accuracies = result.tried.iter().map(|tried| tried.accuracy);
        let best = accuracies.fold(0., f64::max);
        let first = result.tried.iter().find(|tried| tried.accuracy == best);
        let chosen = (result.scaling, result.chosen_c);
        assert_eq!(first.map(|tried| (tried.scaling, tried.c)), Some(chosen));
        // The units of its columns say nothing.
        assert_eq!(result.scaling, Scaling::Each);
    }

    /// Two columns that vary much tell the classes, and a hundred that vary little tell nothing.
    #[test]
    fn what_deviations_say_is_kept_where_it_tells_something() {
        let rows = |count: usize, seed: u64| {
            let mut generator = generator(seed, 1);
            let labels: Vec<u32> = (0..count as u32).map(|i| i % 3).collect();
            let mut normal = || (0..12).map(|_| generator.random::<f32>()).sum::<f32>() - 6.;
            let data = labels.iter().flat_map(|&label| {
                let angle = label as f32 * 2.0944;
                let told = [2. * angle.cos() + normal(), 2. * angle.sin() + normal()];
                let rest: Vec<f32> = (0..100).map(|_| 0.05 * normal()).collect();
                [&told[..], &rest].concat()
            });
            (
                Matrix::from_vec(count, 102, data.collect()).unwrap(),
                labels,
            )
        };
        let ((train, labels), (test, test_labels)) = (rows(90, 1), rows(600, 2));
        let right = |scalings: &[Scaling], rounds| {
            let settings = ProbeSettings {
                scalings: scalings.to_vec(),
                rounds,
                ..ProbeSettings::default()
            };
            let found = linear_probe(&train, &labels, &test, &settings).unwrap();
            let hits = found.predictions.iter().zip(&test_labels);
            let hits = hits.filter(|(a, b)| a == b).count();
            (found.scaling, hits)
        };
        let (_, each) = right(&[Scaling::Each], 5);
        let (_, together) = right(&[Scaling::Together], 5);
        assert!(together > each + 60, "{together} and {each}");
        for rounds in [1, 5] {
            let (scaling, chosen) = right(&[Scaling::Each, Scaling::Together], rounds);
            assert_eq!(scaling, Scaling::Together);
            assert!(chosen > each + 60, "{chosen} and {each}");
        }
    }

    #[test]
    fn the_classifier_of_raw_features_is_the_same() {
        let (train, labels) = rows(300);
        let (test, _) = rows(50);
        let probe = Probe::fit(&train, &labels, &ProbeSettings::default()).unwrap();
        let (weights, intercepts) = probe.unscaled().unwrap();
        let raw = LinearModel {
            weights,
            intercepts,
            ..probe.model.clone()
        };
        let [raw, scaled] = [
            raw.probabilities(&test).unwrap(),
            probe.probabilities(&test).unwrap(),
        ];
        for (raw, scaled) in raw.data().iter().zip(scaled.data()) {
            assert!((raw - scaled).abs() < 1e-3, "{raw} beside {scaled}");
        }
    }

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

    #[test]
    fn threads_do_not_change_a_bit_and_seeds_change_the_split_only() {
        let (train, labels) = rows(3000);
        let run = |threads: usize, seed| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            let settings = ProbeSettings {
                seed,
                ..Default::default()
            };
            pool.install(|| Probe::fit(&train, &labels, &settings).unwrap())
        };
        assert_eq!(run(1, 0), run(3, 0));
        let (one, other) = (
            run(2, 0).probabilities(&train).unwrap(),
            run(2, 1).probabilities(&train).unwrap(),
        );
        assert!(
            one.data()
                .iter()
                .zip(other.data())
                .all(|(a, b)| (a - b).abs() < 0.05)
        );
    }

    #[test]
    fn the_fit_can_be_limited_to_some_rows() {
        let (train, labels) = rows(1000);
        let settings = ProbeSettings {
            max_fit_rows: Some(200),
            ..Default::default()
        };
        let probe = Probe::fit(&train, &labels, &settings).unwrap();
        let hits = probe
            .predict(&train)
            .unwrap()
            .iter()
            .zip(&labels)
            .filter(|(a, b)| a == b)
            .count();
        assert!(hits > 900);
    }

    #[test]
    fn a_part_too_small_to_split_takes_the_first_candidate() {
        let train = Matrix::from_vec(2, 1, vec![0., 1.]).unwrap();
        let probe = Probe::fit(&train, &[3, 8], &ProbeSettings::default()).unwrap();
        assert!(probe.tried.is_empty() && probe.chosen_c == 0.001);
        assert_eq!(probe.predict(&train).unwrap(), [3, 8]);
    }

    #[test]
    fn wrong_input_is_refused() {
        let (train, labels) = rows(10);
        let settings = ProbeSettings::default();
        assert!(matches!(
            Probe::fit(&train, &labels[1..], &settings),
            Err(EvalError::Length { .. })
        ));
        assert_eq!(
            Probe::fit(&train, &[4; 10], &settings),
            Err(EvalError::OneClass { class: 4 })
        );
        let none = ProbeSettings {
            candidates: vec![],
            ..settings.clone()
        };
        assert!(matches!(
            Probe::fit(&train, &labels, &none),
            Err(EvalError::Empty { .. })
        ));
        let narrow = Matrix::from_vec(1, 1, vec![0.]).unwrap();
        assert!(matches!(
            linear_probe(&train, &labels, &narrow, &settings),
            Err(EvalError::Columns { .. })
        ));
    }
}
