//! The probing protocol: standardize, choose the penalty without the test part, fit again on everything.

use rayon::prelude::*;

use super::logistic::{LinearModel, LogisticRegression};
use crate::error::{EvalError, Result};
use crate::labels::distinct;
use crate::matrix::Matrix;
use crate::sampling::{generator, permutation};

/// How to probe.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeSettings {
    /// The values of [`LogisticRegression::c`] to choose from; the first of the best wins. Default .001, .01, .1, 1,
    /// an order in which each fit is a good start for the next.
    pub candidates: Vec<f64>,
    /// Of each fit. Default 1e-4.
    pub tolerance: f64,
    /// Of each fit. Default 300.
    pub max_iterations: usize,
    /// At most this many rows, drawn at random, are fitted to; the rest is not used. Default: all.
    pub max_fit_rows: Option<usize>,
    /// Of the shuffle before the split. Default 0.
    pub seed: u64,
    /// Whether each feature is brought to mean 0 and deviation 1 first. Default: yes; not for features whose scales mean
    /// something, such as weighted counts of words.
    pub standardize: bool,
}

impl Default for ProbeSettings {
    fn default() -> Self {
        let LogisticRegression {
            tolerance,
            max_iterations,
            ..
        } = LogisticRegression::default();
        Self {
            candidates: vec![0.001, 0.01, 0.1, 1.],
            tolerance,
            max_iterations,
            max_fit_rows: None,
            seed: 0,
            standardize: true,
        }
    }
}

/// A linear classifier on standardized features, its penalty chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    /// The classifier of the standardized features.
    pub model: LinearModel,
    /// The chosen value of [`LogisticRegression::c`].
    pub chosen_c: f64,
    /// Each candidate and its accuracy on the held-out fifth, from 0 to 1; empty where the training part is too
    /// small to split, in which case the first candidate is taken.
    pub validation_accuracy: Vec<(f64, f64)>,
    means: Vec<f64>,
    deviations: Vec<f64>,
}

/// What a probe says about a test part.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeResult {
    /// The predicted class of each test row.
    pub predictions: Vec<u32>,
    /// The chosen value of [`LogisticRegression::c`].
    pub chosen_c: f64,
    /// Each candidate and its accuracy on the held-out fifth of the training part, from 0 to 1.
    pub validation_accuracy: Vec<(f64, f64)>,
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
        chosen_c,
        validation_accuracy,
        ..
    } = probe;
    Ok(ProbeResult {
        predictions,
        chosen_c,
        validation_accuracy,
        converged: model.converged,
    })
}

impl Probe {
    /// Standardizes by the means and standard deviations of the training part (plus 1e-6), shuffles it, chooses
    /// among the candidates by the accuracy on the last fifth, and fits to all of it with the chosen one.
    ///
    /// # Errors
    ///
    /// If the labels are not one per row or all of one class, or a setting is out of its range.
    pub fn fit(train: &Matrix, labels: &[u32], settings: &ProbeSettings) -> Result<Self> {
        EvalError::check_length("training labels", labels.len(), train.rows())?;
        let Some(&first) = settings.candidates.first() else {
            return Err(EvalError::Empty {
                what: "candidates for c",
            });
        };
        for &c in &settings.candidates {
            EvalError::check_positive("c", c)?;
        }
        let mut order = permutation(train.rows(), &mut generator(settings.seed, 0));
        if let Some(limit) = settings.max_fit_rows {
            EvalError::check_count("max_fit_rows", limit)?;
            order.truncate(limit);
        }

        let (means, deviations) = if settings.standardize {
            let means = train.column_means();
            let deviations = standard_deviations(train, &means);
            (means, deviations)
        } else {
            (vec![0.; train.columns()], vec![1.; train.columns()])
        };
        // Standardized in shuffled order, so that both parts of the split are slices of one copy.
        let features = standardized(train, &order, &means, &deviations);
        let labels: Vec<u32> = order.iter().map(|&row| labels[row]).collect();

        let columns = train.columns();
        let cut = labels.len() * 4 / 5;
        let (fit_labels, held_labels) = labels.split_at(cut);
        let (fit_features, held_features) = features.split_at(cut * columns);
        let regression = |c| LogisticRegression {
            c,
            tolerance: settings.tolerance,
            max_iterations: settings.max_iterations,
        };
        let splits =
            distinct(fit_labels.iter().copied()).len() > 1 && settings.candidates.len() > 1;

        let mut validation_accuracy = Vec::new();
        let mut best: Option<(f64, f64, LinearModel)> = None;
        let mut previous: Option<LinearModel> = None;
        for &c in settings.candidates.iter().filter(|_| splits) {
            let model =
                regression(c).fit_rows(fit_features, columns, fit_labels, previous.as_ref())?;
            let predictions = model.predict_rows(held_features);
            let hits = predictions
                .iter()
                .zip(held_labels)
                .filter(|(found, expected)| found == expected)
                .count();
            let accuracy = hits as f64 / held_labels.len() as f64;
            validation_accuracy.push((c, accuracy));
            if best
                .as_ref()
                .is_none_or(|&(_, highest, _)| accuracy > highest)
            {
                best = Some((c, accuracy, model.clone()));
            }
            previous = Some(model);
        }
        let (chosen_c, start) = best.map_or((first, None), |(c, _, model)| (c, Some(model)));
        let model = regression(chosen_c).fit_rows(&features, columns, &labels, start.as_ref())?;
        Ok(Self {
            model,
            chosen_c,
            validation_accuracy,
            means,
            deviations,
        })
    }

    /// The class of each row of raw, not standardized features.
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

/// The standard deviation of each column, unbiased as PyTorch's, plus 1e-6 for columns that do not vary.
fn standard_deviations(train: &Matrix, means: &[f64]) -> Vec<f64> {
    let mut deviations = train.column_sums(|column, value| (value - means[column]).powi(2));
    let degrees = train.rows().saturating_sub(1).max(1) as f64;
    deviations
        .iter_mut()
        .for_each(|deviation| *deviation = (*deviation / degrees).sqrt() + 1e-6);
    deviations
}

/// Training and test rows standardized by the training rows, and divided by the root of the number of columns: rows
/// are then about as long as a unit vector.
pub(crate) fn standardize_together(train: &Matrix, test: &Matrix) -> Result<(Matrix, Matrix)> {
    train.check_columns(test)?;
    let means = train.column_means();
    let root = (train.columns() as f64).sqrt();
    let deviations: Vec<f64> = standard_deviations(train, &means)
        .into_iter()
        .map(|deviation| deviation * root)
        .collect();
    let standardize = |rows: &Matrix| {
        let order: Vec<usize> = (0..rows.rows()).collect();
        let data = standardized(rows, &order, &means, &deviations);
        Matrix::from_vec(rows.rows(), rows.columns(), data).map_err(|_| EvalError::Overflow {
            what: "the standardized features",
        })
    };
    Ok((standardize(train)?, standardize(test)?))
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
        assert_eq!(result.validation_accuracy.len(), 4);
        let best = result
            .validation_accuracy
            .iter()
            .map(|&(_, accuracy)| accuracy)
            .fold(0., f64::max);
        let first = result
            .validation_accuracy
            .iter()
            .find(|&&(_, accuracy)| accuracy == best)
            .unwrap();
        assert_eq!(first.0, result.chosen_c);
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
        assert!(probe.validation_accuracy.is_empty() && probe.chosen_c == 0.001);
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
