//! The value and gradient of the penalized cross entropy, in one pass over the rows.
//!
//! L = 1/N Σ −log softmax(x Wᵀ + b)\[y\] + λ/2 ‖W‖². Each task takes a strip of rows, chunk by chunk, so that the
//! rows a chunk's logits were computed from are still in cache when the gradient needs them.
//!
//! Rows that are mostly 0 are multiplied without their zeros: row by row for the logits, then column by column for the
//! gradient, so that it is written once and not by every strip.

use rayon::prelude::*;

use crate::product::{Target, View, multiply, multiply_into};
use crate::sparse::SparseRows;

/// Features and logits of a chunk, in numbers: 1 MiB, which a core's cache holds.
const CHUNK_VALUES: usize = 1 << 18;
/// Strips at most, each with a gradient of its own.
const STRIPS: usize = 64;
/// Gradient entries over all strips at most, in numbers: 64 MiB.
const STRIP_VALUES: usize = 1 << 24;
/// Rows, and columns, of sparse features that one task takes.
const SPARSE_TASK: usize = 256;

/// The penalized mean cross entropy of rows and their classes.
pub(super) struct CrossEntropy<'a> {
    features: Features<'a>,
    /// For each row its class, below `classes`.
    targets: &'a [usize],
    columns: usize,
    classes: usize,
    /// λ, the weight of half the squared norm of W.
    penalty: f64,
    chunk_rows: usize,
    strip_rows: usize,
    /// Scratch: W transposed, `[D, C]`, and b, in `f32`.
    weights: Vec<f32>,
    intercepts: Vec<f32>,
}

/// `[N, D]`.
enum Features<'a> {
    Dense(&'a [f32]),
    /// Mostly 0.
    Sparse {
        by_row: SparseRows,
        by_column: SparseRows,
    },
}

impl<'a> CrossEntropy<'a> {
    pub(super) fn new(
        features: &'a [f32],
        targets: &'a [usize],
        columns: usize,
        classes: usize,
        penalty: f64,
    ) -> Self {
        let chunk_rows = (CHUNK_VALUES / (columns + classes)).clamp(64, 4096);
        let strips = (STRIP_VALUES / (columns * classes)).clamp(4, STRIPS);
        let strip_rows = targets.len().div_ceil(strips).max(chunk_rows.min(512));
        let (weights, intercepts) = (vec![0.; columns * classes], vec![0.; classes]);
        let features = match SparseRows::of(features, columns) {
            Some(by_row) => Features::Sparse {
                by_column: by_row.transposed(),
                by_row,
            },
            None => Features::Dense(features),
        };
        Self {
            features,
            targets,
            columns,
            classes,
            penalty,
            chunk_rows,
            strip_rows,
            weights,
            intercepts,
        }
    }

    /// The loss at `point`, which is W, `[C, D]`, followed by b, `[C]`; writes the gradient in the same layout.
    /// NaN where either leaves the range of its numbers.
    pub(super) fn evaluate(&mut self, point: &[f64], gradient: &mut [f64]) -> f64 {
        let (weights, intercepts) = point.split_at(self.columns * self.classes);
        transpose_into(&mut self.weights, weights, self.columns);
        self.intercepts
            .iter_mut()
            .zip(intercepts)
            .for_each(|(to, &from)| *to = from as f32);

        let strips: Vec<Strip> = match &self.features {
            Features::Dense(features) => features
                .par_chunks(self.strip_rows * self.columns)
                .zip(self.targets.par_chunks(self.strip_rows))
                .map(|(features, targets)| self.strip(features, targets))
                .collect(),
            Features::Sparse { by_row, by_column } => self.sparse_strips(by_row, by_column),
        };

        let scale = 1. / self.targets.len() as f64;
        let (weight_gradient, intercept_gradient) = gradient.split_at_mut(weights.len());
        for (entry, weight) in weight_gradient.iter_mut().zip(weights) {
            *entry = self.penalty * weight;
        }
        intercept_gradient.fill(0.);
        let mut loss =
            0.5 * self.penalty * weights.iter().map(|weight| weight * weight).sum::<f64>();
        for strip in strips {
            loss += scale * strip.loss;
            for (entry, part) in weight_gradient.iter_mut().zip(strip.weight_gradient) {
                *entry += scale * f64::from(part);
            }
            for (entry, part) in intercept_gradient.iter_mut().zip(strip.intercept_gradient) {
                *entry += scale * part;
            }
        }
        if gradient.iter().all(|entry| entry.is_finite()) {
            loss
        } else {
            f64::NAN
        }
    }

    fn strip(&self, features: &[f32], targets: &[usize]) -> Strip {
        let (columns, classes) = (self.columns, self.classes);
        let mut strip = Strip {
            loss: 0.,
            weight_gradient: vec![0.; columns * classes],
            intercept_gradient: vec![0.; classes],
        };
        let mut logits = vec![0.; self.chunk_rows.min(targets.len()) * classes];
        let chunks = features
            .chunks(self.chunk_rows * columns)
            .zip(targets.chunks(self.chunk_rows));
        for (features, targets) in chunks {
            let features = View::new(features, columns);
            let logits = &mut logits[..targets.len() * classes];
            multiply_into(logits, features, View::new(&self.weights, classes));
            self.add_residuals(logits, targets, &mut strip);
            let class_major = Target {
                row_stride: 1,
                column_stride: columns,
                accumulate: true,
            };
            multiply(
                &mut strip.weight_gradient,
                class_major,
                features.transposed(),
                View::new(logits, classes),
            );
        }
        strip
    }

    /// The sums of strips of sparse rows, and last the gradient of the weights by all of them.
    fn sparse_strips(&self, by_row: &SparseRows, by_column: &SparseRows) -> Vec<Strip> {
        let classes = self.classes;
        let mut residuals = vec![0f32; self.targets.len() * classes];
        let mut strips: Vec<Strip> = residuals
            .par_chunks_mut(SPARSE_TASK * classes)
            .zip(self.targets.par_chunks(SPARSE_TASK))
            .enumerate()
            .map(|(task, (logits, targets))| {
                for (row, logits) in logits.chunks_exact_mut(classes).enumerate() {
                    by_row.add_product(task * SPARSE_TASK + row, &self.weights, logits);
                }
                let mut strip = Strip {
                    intercept_gradient: vec![0.; classes],
                    ..Strip::default()
                };
                self.add_residuals(logits, targets, &mut strip);
                strip
            })
            .collect();
        // Classes lie side by side while residuals are added, as those of a row do.
        let mut gradient = vec![0f32; self.columns * classes];
        gradient
            .par_chunks_mut(classes)
            .with_min_len(SPARSE_TASK)
            .enumerate()
            .for_each(|(column, gradient)| by_column.add_product(column, &residuals, gradient));
        let mut weight_gradient = vec![0f32; gradient.len()];
        weight_gradient
            .par_chunks_mut(self.columns)
            .enumerate()
            .for_each(|(class, row)| {
                let columns = row.iter_mut().zip(gradient.chunks_exact(classes));
                columns.for_each(|(entry, column)| *entry = column[class]);
            });
        strips.push(Strip {
            weight_gradient,
            ..Strip::default()
        });
        strips
    }

    /// Turns logits that lack the intercepts into residuals, probabilities less 1 for a row's own class, and adds up the loss
    /// and the intercepts' gradient.
    fn add_residuals(&self, logits: &mut [f32], targets: &[usize], strip: &mut Strip) {
        for (row, &target) in logits.chunks_exact_mut(self.classes).zip(targets) {
            row.iter_mut()
                .zip(&self.intercepts)
                .for_each(|(logit, intercept)| *logit += intercept);
            let own = row[target];
            strip.loss += softmax(row) - f64::from(own);
            row[target] -= 1.;
            for (entry, &residual) in strip.intercept_gradient.iter_mut().zip(&*row) {
                *entry += f64::from(residual);
            }
        }
    }
}

/// The sums of one strip of rows; a gradient that is empty adds nothing.
#[derive(Default)]
struct Strip {
    loss: f64,
    /// `[C, D]`.
    weight_gradient: Vec<f32>,
    intercept_gradient: Vec<f64>,
}

/// Turns logits into probabilities in place and returns the logarithm of the sum of their exponentials.
pub(super) fn softmax(row: &mut [f32]) -> f64 {
    let largest = row
        .iter()
        .fold(f32::NEG_INFINITY, |largest, &logit| largest.max(logit));
    let mut sum = 0.;
    for logit in row.iter_mut() {
        *logit = (*logit - largest).exp();
        sum += *logit;
    }
    let scale = 1. / sum;
    row.iter_mut().for_each(|logit| *logit *= scale);
    f64::from(largest) + f64::from(sum).ln()
}

/// `[C, D]` to `[D, C]`, rounded.
pub(super) fn transpose_into(out: &mut [f32], weights: &[f64], columns: usize) {
    let classes = weights.len() / columns;
    for (class, row) in weights.chunks_exact(columns).enumerate() {
        for (column, &weight) in row.iter().enumerate() {
            out[column * classes + class] = weight as f32;
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;
    use crate::sampling::generator;

    fn fixture() -> (Vec<f32>, Vec<usize>, Vec<f64>) {
        let features = (0..1500 * 6).map(|i| (i as f32 * 0.37).sin()).collect();
        let targets = (0..1500).map(|i| i * i % 3).collect();
        let point = (0..3 * 6 + 3).map(|i| (i as f64).cos()).collect();
        (features, targets, point)
    }

    #[test]
    fn the_loss_is_that_of_the_plain_loop() {
        let (features, targets, point) = fixture();
        let mut expected = 0.;
        for (row, &target) in features.chunks(6).zip(&targets) {
            let logit = |class: usize| -> f64 {
                row.iter()
                    .zip(&point[6 * class..])
                    .map(|(&x, w)| f64::from(x) * w)
                    .sum::<f64>()
                    + point[18 + class]
            };
            expected += (0..3).map(|class| logit(class).exp()).sum::<f64>().ln() - logit(target);
        }
        expected = expected / 1500. + 0.5 * 0.3 * point[..18].iter().map(|w| w * w).sum::<f64>();
        let mut objective = CrossEntropy::new(&features, &targets, 6, 3, 0.3);
        let value = objective.evaluate(&point, &mut vec![0.; point.len()]);
        assert!(
            (value - expected).abs() < 1e-6 * expected,
            "{value} {expected}"
        );
    }

    #[test]
    fn the_gradient_is_that_of_finite_differences() {
        let (features, targets, point) = fixture();
        let objective = CrossEntropy::new(&features, &targets, 6, 3, 0.3);
        let entries = 0..point.len();
        check_gradient(objective, point, entries);
    }

    /// Compares entries of the gradient with differences of values on either side of the point.
    fn check_gradient(
        mut objective: CrossEntropy<'_>,
        mut point: Vec<f64>,
        entries: impl Iterator<Item = usize>,
    ) {
        let (mut gradient, mut unused) = (vec![0.; point.len()], vec![0.; point.len()]);
        objective.evaluate(&point, &mut gradient);
        for entry in entries {
            let kept = point[entry];
            point[entry] = kept + 1e-2;
            let above = objective.evaluate(&point, &mut unused);
            point[entry] = kept - 1e-2;
            let below = objective.evaluate(&point, &mut unused);
            point[entry] = kept;
            assert!(
                (gradient[entry] - (above - below) / 2e-2).abs() < 1e-4,
                "entry {entry}"
            );
        }
    }

    /// 700 rows of 600 columns, of which up to seven aren't 0; each eighth row is empty.
    fn sparse_fixture() -> (Vec<f32>, Vec<usize>, Vec<f64>) {
        let mut generator = generator(1, 0);
        let mut features = vec![0f32; 700 * 600];
        for (row, values) in features.chunks_exact_mut(600).enumerate() {
            for _ in 0..row % 8 {
                let column = generator.random_range(0..600_usize);
                values[column] = 6. * generator.random::<f32>() - 3.;
            }
        }
        let targets = (0..700).map(|i| i * i % 3).collect();
        let point = (0..3 * 600 + 3).map(|i| (i as f64).cos()).collect();
        (features, targets, point)
    }

    #[test]
    fn sparse_rows_have_the_loss_and_the_gradient_of_dense_ones() {
        let (features, targets, point) = sparse_fixture();
        let new = || CrossEntropy::new(&features, &targets, 600, 3, 0.01);
        let (mut sparse, mut dense) = (new(), new());
        assert!(matches!(sparse.features, Features::Sparse { .. }));
        dense.features = Features::Dense(&features);
        let (mut of_sparse, mut of_dense) = (vec![0.; point.len()], vec![0.; point.len()]);
        let loss = sparse.evaluate(&point, &mut of_sparse);
        let expected = dense.evaluate(&point, &mut of_dense);
        assert!(
            (loss - expected).abs() < 1e-6 * expected,
            "{loss} {expected}"
        );
        for (entry, (found, expected)) in of_sparse.iter().zip(&of_dense).enumerate() {
            assert!((found - expected).abs() < 1e-6, "entry {entry}");
        }
    }

    #[test]
    fn the_gradient_of_sparse_rows_is_that_of_finite_differences() {
        let (features, targets, point) = sparse_fixture();
        let objective = CrossEntropy::new(&features, &targets, 600, 3, 0.01);
        let entries = (0..1800).step_by(7).chain(1800..1803);
        check_gradient(objective, point, entries);
    }

    #[test]
    fn threads_do_not_change_a_bit_of_what_sparse_rows_come_to() {
        let (features, targets, point) = sparse_fixture();
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            pool.build().unwrap().install(|| {
                let mut gradient = vec![0.; point.len()];
                let mut objective = CrossEntropy::new(&features, &targets, 600, 3, 0.01);
                (objective.evaluate(&point, &mut gradient), gradient)
            })
        };
        assert_eq!(run(1), run(3));
    }
}
