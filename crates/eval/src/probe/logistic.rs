//! Multinomial logistic regression, fitted by full-batch L-BFGS.
//!
//! Minimizes C Σ loss + ½ ‖W‖², the convention of scikit-learn's `LogisticRegression`, the intercepts left free.
//! With two classes scikit-learn learns one weight vector, the difference of the two learned here; the penalty is
//! adjusted so that the same C gives the same classifier.

use rayon::prelude::*;

use super::objective::{CrossEntropy, softmax, transpose_into};
use crate::error::{EvalError, Result};
use crate::labels::Encoded;
use crate::lbfgs::{Limits, minimize};
use crate::matrix::Matrix;
use crate::product::{View, multiply_into};
use crate::sparse::SparseRows;

/// Rows whose logits are computed by one task.
const CHUNK: usize = 256;

/// How to fit a logistic regression.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogisticRegression {
    /// The weight of the summed loss against half the squared norm of the weights, scikit-learn's `C`: smaller
    /// means more regularized. Default 1.
    pub c: f64,
    /// The fit has converged once no entry of the gradient of the *mean* objective is larger; below 1e-6 the
    /// rounding of `f32` products is in the way. Default 1e-4, as in scikit-learn.
    pub tolerance: f64,
    /// Default 300.
    pub max_iterations: usize,
}

impl Default for LogisticRegression {
    fn default() -> Self {
        Self {
            c: 1.,
            tolerance: 1e-4,
            max_iterations: 300,
        }
    }
}

/// A fitted linear classifier.
#[derive(Clone, Debug, PartialEq)]
pub struct LinearModel {
    /// The classes it tells apart, ascending.
    pub classes: Vec<u32>,
    /// One row of weights per class, `[C, D]`.
    pub weights: Matrix,
    /// One per class.
    pub intercepts: Vec<f32>,
    /// Whether the gradient came below the tolerance before the iterations ran out.
    pub converged: bool,
    /// Steps taken.
    pub iterations: usize,
    /// The minimized mean of loss plus penalty, in nats per row.
    pub objective: f64,
}

impl LogisticRegression {
    /// Fits a classifier to rows and their labels.
    ///
    /// # Errors
    ///
    /// If the labels are not one per row or all of one class, a setting is not positive, or the features are so
    /// large that the loss overflows.
    pub fn fit(&self, features: &Matrix, labels: &[u32]) -> Result<LinearModel> {
        EvalError::check_length("labels", labels.len(), features.rows())?;
        self.fit_rows(features.data(), features.columns(), labels, None)
    }

    /// As [`fit`](Self::fit), beginning at a model of the same features: quicker where the settings or the rows
    /// differ little.
    ///
    /// # Errors
    ///
    /// As [`fit`](Self::fit), and if the model was fitted to features of another width.
    pub fn fit_from(
        &self,
        start: &LinearModel,
        features: &Matrix,
        labels: &[u32],
    ) -> Result<LinearModel> {
        EvalError::check_length("labels", labels.len(), features.rows())?;
        start.weights.check_columns(features)?;
        self.fit_rows(features.data(), features.columns(), labels, Some(start))
    }

    /// Fits to rows within a larger matrix.
    pub(super) fn fit_rows(
        &self,
        features: &[f32],
        columns: usize,
        labels: &[u32],
        start: Option<&LinearModel>,
    ) -> Result<LinearModel> {
        EvalError::check_positive("c", self.c)?;
        EvalError::check_positive("tolerance", self.tolerance)?;
        EvalError::check_count("max_iterations", self.max_iterations)?;
        let Encoded { classes, positions } = Encoded::new(labels)?;
        if let [class] = classes[..] {
            return Err(EvalError::OneClass { class });
        }
        // With two classes ‖w₁‖² + ‖w₂‖² is half of ‖w₁ − w₂‖², which scikit-learn penalizes.
        let per_row = if classes.len() == 2 { 2. } else { 1. };
        let penalty = per_row / (self.c * positions.len() as f64);
        let mut objective =
            CrossEntropy::new(features, &positions, columns, classes.len(), penalty);
        let limits = Limits {
            tolerance: self.tolerance,
            max_iterations: self.max_iterations,
        };
        let begin = starting_point(start, &classes, columns);
        let minimum = minimize(begin, limits, |point, gradient| {
            objective.evaluate(point, gradient)
        });

        let (weights, intercepts) = minimum.point.split_at(columns * classes.len());
        let weights = weights.iter().map(|&weight| weight as f32).collect();
        let intercepts: Vec<f32> = intercepts
            .iter()
            .map(|&intercept| intercept as f32)
            .collect();
        let overflow = EvalError::Overflow {
            what: "the logistic regression",
        };
        if !minimum.value.is_finite() || intercepts.iter().any(|intercept| !intercept.is_finite()) {
            return Err(overflow);
        }
        Ok(LinearModel {
            weights: Matrix::from_vec(classes.len(), columns, weights).map_err(|_| overflow)?,
            intercepts,
            classes,
            converged: minimum.converged,
            iterations: minimum.iterations,
            objective: minimum.value,
        })
    }
}

/// The weights and intercepts of a model, for the classes it knows; zeros for the others.
fn starting_point(start: Option<&LinearModel>, classes: &[u32], columns: usize) -> Vec<f64> {
    let mut point = vec![0.; (columns + 1) * classes.len()];
    let Some(start) = start else { return point };
    let (weights, intercepts) = point.split_at_mut(columns * classes.len());
    for (position, class) in classes.iter().enumerate() {
        if let Ok(known) = start.classes.binary_search(class) {
            intercepts[position] = f64::from(start.intercepts[known]);
            let row = &mut weights[position * columns..(position + 1) * columns];
            row.iter_mut()
                .zip(start.weights.row(known))
                .for_each(|(to, &from)| *to = f64::from(from));
        }
    }
    point
}

impl LinearModel {
    /// The class of each row; the lowest class wins a tie.
    ///
    /// # Errors
    ///
    /// If the width of the rows is not that of the features fitted to.
    pub fn predict(&self, features: &Matrix) -> Result<Vec<u32>> {
        self.weights.check_columns(features)?;
        Ok(self.predict_rows(features.data()))
    }

    /// The probability of each class for each row.
    ///
    /// # Shapes
    ///
    /// `[N, D]` gives `[N, C]`; the columns follow `classes`, each row sums to 1.
    ///
    /// # Errors
    ///
    /// If the width of the rows is not that of the features fitted to, or the features are so large that the
    /// logits overflow.
    pub fn probabilities(&self, features: &Matrix) -> Result<Matrix> {
        self.weights.check_columns(features)?;
        let mut logits = self.logits(features.data());
        logits
            .par_chunks_mut(self.classes.len())
            .with_min_len(CHUNK)
            .for_each(|row| {
                softmax(row);
            });
        Matrix::from_vec(features.rows(), self.classes.len(), logits)
            .map_err(|_| EvalError::Overflow { what: "the logits" })
    }

    pub(super) fn predict_rows(&self, features: &[f32]) -> Vec<u32> {
        let logits = self.logits(features);
        let winners = logits.par_chunks(self.classes.len()).map(|row| {
            let mut winner = 0;
            for class in 1..row.len() {
                if row[class] > row[winner] {
                    winner = class;
                }
            }
            self.classes[winner]
        });
        winners.collect()
    }

    fn logits(&self, features: &[f32]) -> Vec<f32> {
        let (columns, classes) = (self.weights.columns(), self.classes.len());
        let wide: Vec<f64> = self
            .weights
            .data()
            .iter()
            .map(|&weight| f64::from(weight))
            .collect();
        let mut weights = vec![0.; columns * classes];
        transpose_into(&mut weights, &wide, columns);
        let sparse = SparseRows::of(features, columns);
        let mut logits = vec![0.; features.len() / columns * classes];
        logits
            .par_chunks_mut(CHUNK * classes)
            .zip(features.par_chunks(CHUNK * columns))
            .enumerate()
            .for_each(|(chunk, (logits, features))| {
                match &sparse {
                    Some(rows) => {
                        for (row, logits) in logits.chunks_exact_mut(classes).enumerate() {
                            rows.add_product(chunk * CHUNK + row, &weights, logits);
                        }
                    }
                    None => multiply_into(
                        logits,
                        View::new(features, columns),
                        View::new(&weights, classes),
                    ),
                }
                for row in logits.chunks_exact_mut(classes) {
                    row.iter_mut()
                        .zip(&self.intercepts)
                        .for_each(|(logit, intercept)| *logit += intercept);
                }
            });
        logits
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blobs() -> (Matrix, Vec<u32>) {
        let labels: Vec<u32> = (0..300).map(|i| [2, 40, u32::MAX][i % 3]).collect();
        let data = (0..300).flat_map(|i| {
            let (angle, wobble) = ((i % 3) as f32 * 2.1, (i as f32 * 1.7).sin() * 0.4);
            [angle.cos() + wobble, angle.sin() - wobble]
        });
        (Matrix::from_vec(300, 2, data.collect()).unwrap(), labels)
    }

    #[test]
    fn separable_classes_are_learned_and_probabilities_sum_to_one() {
        let (features, labels) = blobs();
        let model = LogisticRegression {
            c: 10.,
            ..Default::default()
        }
        .fit(&features, &labels)
        .unwrap();
        assert!(model.converged);
        assert_eq!(model.predict(&features).unwrap(), labels);
        let probabilities = model.probabilities(&features).unwrap();
        for (row, label) in labels.iter().enumerate() {
            let row = probabilities.row(row);
            assert!((row.iter().sum::<f32>() - 1.).abs() < 1e-6);
            assert!(row[model.classes.binary_search(label).unwrap()] > 0.5);
        }
    }

    #[test]
    fn a_warm_start_ends_at_the_same_minimum_sooner() {
        let (features, labels) = blobs();
        let settings = LogisticRegression {
            c: 1.,
            tolerance: 1e-6,
            max_iterations: 500,
        };
        let cold = settings.fit(&features, &labels).unwrap();
        let warm = settings.fit_from(&cold, &features, &labels).unwrap();
        assert!(cold.converged && warm.converged && warm.iterations < cold.iterations);
        assert!((warm.objective - cold.objective).abs() < 1e-7);
        // A start that lacks a class is completed with zeros.
        let two: Vec<usize> = (0..300).filter(|i| i % 3 < 2).collect();
        let some: Vec<u32> = two.iter().map(|&i| labels[i]).collect();
        let partial = settings
            .fit(&features.select(&two).unwrap(), &some)
            .unwrap();
        let warm = settings.fit_from(&partial, &features, &labels).unwrap();
        assert!(warm.converged && (warm.objective - cold.objective).abs() < 1e-6);
    }

    /// Each row has a word of the ten of its class and a quarter of any other, but for 20 rows of the first class without any.
    #[test]
    fn columns_of_zeros_make_features_sparse_and_change_no_prediction() {
        let labels: Vec<u32> = (0..600).map(|row| row % 3).collect();
        let texts = |columns: usize| {
            let mut data = vec![0f32; 600 * columns];
            for (row, values) in data.chunks_exact_mut(columns).enumerate() {
                if row % 30 > 0 {
                    values[row % 3 * 10 + row % 10] = 1.;
                    values[row * 11 % 29] += 0.25;
                }
            }
            Matrix::from_vec(600, columns, data).unwrap()
        };
        let (narrow, wide) = (texts(30), texts(1000));
        assert!(SparseRows::of(narrow.data(), 30).is_none());
        assert!(SparseRows::of(wide.data(), 1000).is_some());
        let settings = LogisticRegression {
            tolerance: 1e-6,
            ..Default::default()
        };
        let [dense, sparse] = [&narrow, &wide].map(|x| settings.fit(x, &labels).unwrap());
        assert!(dense.converged && sparse.converged);
        assert!((dense.objective - sparse.objective).abs() < 1e-6);
        for class in 0..3 {
            let (told, nothing) = sparse.weights.row(class).split_at(30);
            let pairs = told.iter().zip(dense.weights.row(class));
            pairs.for_each(|(a, b)| assert!((a - b).abs() < 1e-2, "{a} {b}"));
            assert!(nothing.iter().all(|&weight| weight == 0.));
        }
        assert_eq!(dense.predict(&narrow).unwrap(), labels);
        assert_eq!(sparse.predict(&wide).unwrap(), labels);
        let [dense, sparse] = [
            dense.probabilities(&narrow).unwrap(),
            sparse.probabilities(&wide).unwrap(),
        ];
        let pairs = dense.data().iter().zip(sparse.data());
        pairs.for_each(|(a, b)| assert!((a - b).abs() < 1e-2, "{a} {b}"));
    }

    #[test]
    fn without_informative_features_the_shares_of_the_classes_remain() {
        let features = Matrix::from_vec(10, 1, vec![0.; 10]).unwrap();
        let model = LogisticRegression {
            tolerance: 1e-6,
            ..Default::default()
        }
        .fit(&features, &[0, 0, 0, 0, 0, 1, 1, 1, 2, 2])
        .unwrap();
        let probabilities = model.probabilities(&features).unwrap();
        for (found, expected) in probabilities.row(0).iter().zip([0.5, 0.3, 0.2]) {
            assert!((found - expected).abs() < 1e-4);
        }
    }

    #[test]
    fn wrong_input_is_refused() {
        let (features, labels) = blobs();
        let regression = LogisticRegression::default();
        assert!(matches!(
            regression.fit(&features, &labels[1..]),
            Err(EvalError::Length { .. })
        ));
        assert_eq!(
            regression.fit(&features, &[5; 300]),
            Err(EvalError::OneClass { class: 5 })
        );
        assert!(
            LogisticRegression {
                c: -1.,
                ..regression
            }
            .fit(&features, &labels)
            .is_err()
        );
        let model = regression.fit(&features, &labels).unwrap();
        let narrow = Matrix::from_vec(1, 1, vec![0.]).unwrap();
        assert!(matches!(
            model.predict(&narrow),
            Err(EvalError::Columns { .. })
        ));
        let huge = Matrix::from_vec(4, 1, vec![f32::MAX, -f32::MAX, f32::MAX, -f32::MAX]).unwrap();
        assert!(matches!(
            regression.fit(&huge, &[0, 1, 0, 1]),
            Err(EvalError::Overflow { .. })
        ));
    }
}
