//! Ridge regression of many outputs at once in closed form: W = (XᵀX + α)⁻¹ XᵀY of centered inputs and outputs.
//!
//! Samples are read in blocks, so that neither side need be held as a whole: windows of a series overlap, and all of them
//! together are many times the series. Everything is in `f64`.

use rayon::prelude::*;

use crate::error::{EvalError, Result};
use crate::product::{Target, View, multiply, multiply_into};
use crate::spectrum::dot;

/// Samples read at once.
const BLOCK: usize = 128;
/// Rows of a product computed by one task.
const STRIP: usize = 64;

/// What to learn from: inputs and outputs, sample by sample.
pub(super) trait Samples: Sync {
    /// Number of samples, inputs and outputs.
    fn shape(&self) -> (usize, usize, usize);
    fn input(&self, sample: usize, out: &mut [f64]);
    fn output(&self, sample: usize, out: &mut [f64]);
}

/// A fitted regression.
#[derive(Clone, Debug)]
pub(super) struct Linear {
    pub(super) alpha: f64,
    /// Each penalty and its score on the validation samples.
    pub(super) validation: Vec<(f64, f64)>,
    /// `[outputs, inputs]`.
    weights: Vec<f64>,
    input_means: Vec<f64>,
    output_means: Vec<f64>,
}

/// Fits to some samples, and chooses the penalty as [`Equations::fit`] does.
pub(super) fn fit(
    train: &impl Samples,
    validation: &impl Samples,
    alphas: &[f64],
) -> Result<Linear> {
    Equations::of(train).fit(validation, alphas)
}

/// Inputs and outputs of some samples, less their means: `[count, inputs]` and `[count, outputs]`.
struct Block {
    inputs: Vec<f64>,
    outputs: Vec<f64>,
}

impl Block {
    fn read(samples: &impl Samples, first: usize, means: Option<(&[f64], &[f64])>) -> Self {
        let (count, inputs, outputs) = samples.shape();
        let count = BLOCK.min(count - first);
        let mut block = Self {
            inputs: vec![0.; count * inputs],
            outputs: vec![0.; count * outputs],
        };
        block
            .inputs
            .par_chunks_mut(inputs)
            .zip(block.outputs.par_chunks_mut(outputs))
            .with_min_len(16)
            .enumerate()
            .for_each(|(sample, (input, output))| {
                samples.input(first + sample, input);
                samples.output(first + sample, output);
                if let Some((input_means, output_means)) = means {
                    subtract(input, input_means);
                    subtract(output, output_means);
                }
            });
        block
    }
}

fn subtract(values: &mut [f64], means: &[f64]) {
    values
        .iter_mut()
        .zip(means)
        .for_each(|(value, mean)| *value -= mean);
}

/// The normal equations but for the penalty.
pub(super) struct Equations {
    /// Of samples.
    count: f64,
    input_means: Vec<f64>,
    output_means: Vec<f64>,
    /// XᵀX, `[inputs, inputs]`.
    gram: Vec<f64>,
    /// YᵀX, `[outputs, inputs]`.
    cross: Vec<f64>,
}

impl Equations {
    pub(super) fn of(samples: &impl Samples) -> Self {
        let (count, inputs, outputs) = samples.shape();
        let (mut input_means, mut output_means) = (vec![0.; inputs], vec![0.; outputs]);
        for first in (0..count).step_by(BLOCK) {
            let block = Block::read(samples, first, None);
            for (means, values) in [
                (&mut input_means, &block.inputs),
                (&mut output_means, &block.outputs),
            ] {
                for row in values.chunks_exact(means.len()) {
                    means
                        .iter_mut()
                        .zip(row)
                        .for_each(|(sum, value)| *sum += value);
                }
            }
        }
        for means in [&mut input_means, &mut output_means] {
            means.iter_mut().for_each(|mean| *mean /= count as f64);
        }
        let (mut gram, mut cross) = (vec![0.; inputs * inputs], vec![0.; outputs * inputs]);
        for first in (0..count).step_by(BLOCK) {
            let block = Block::read(samples, first, Some((&input_means, &output_means)));
            add_products(&mut gram, &block.inputs, &block.inputs, inputs);
            add_products(&mut cross, &block.outputs, &block.inputs, inputs);
        }
        Self {
            count: count as f64,
            input_means,
            output_means,
            gram,
            cross,
        }
    }

    /// Those of all samples but some of them, at the cost of those few.
    pub(super) fn without(&self, some: &Self) -> Self {
        let count = self.count - some.count;
        let means = |all: &[f64], of_some: &[f64]| -> Vec<f64> {
            let pairs = all.iter().zip(of_some);
            pairs
                .map(|(all, of_some)| (self.count * all - some.count * of_some) / count)
                .collect()
        };
        let apart = |own: &[f64], of_some: &[f64]| -> Vec<f64> {
            own.iter().zip(of_some).map(|(a, b)| a - b).collect()
        };
        let input_means = means(&self.input_means, &some.input_means);
        let output_means = means(&self.output_means, &some.output_means);
        let inputs = apart(&input_means, &some.input_means);
        let outputs = apart(&output_means, &some.output_means);
        // Products around the mean of all are those around the mean of each part, and those of the way between the two.
        let weight = count * some.count / self.count;
        let left = |all: &[f64], of_some: &[f64], way: &[f64]| -> Vec<f64> {
            let width = inputs.len();
            let mut left = apart(all, of_some);
            for (row, by) in left.chunks_exact_mut(width).zip(way) {
                for (value, column) in row.iter_mut().zip(&inputs) {
                    *value -= weight * by * column;
                }
            }
            left
        };
        Self {
            gram: left(&self.gram, &some.gram, &inputs),
            cross: left(&self.cross, &some.cross, &outputs),
            count,
            input_means,
            output_means,
        }
    }

    /// Of outputs that are 0 on the whole: what is told of them is what inputs tell that differ from their mean.
    pub(super) fn around_zero(mut self) -> Self {
        self.output_means.fill(0.);
        self
    }

    /// Solves with each penalty and keeps the one whose forecasts of the validation samples have the least √MSE + MAE, the
    /// first of the best.
    pub(super) fn fit(&self, validation: &impl Samples, alphas: &[f64]) -> Result<Linear> {
        for &alpha in alphas {
            EvalError::check_positive("alpha", alpha)?;
        }
        let mut scores = Vec::with_capacity(alphas.len());
        let mut best: Option<(f64, Linear)> = None;
        for &alpha in alphas {
            let model = self.solve(alpha)?;
            let score = model.score(validation);
            scores.push((alpha, score));
            if best.as_ref().is_none_or(|&(least, _)| score < least) {
                best = Some((score, model));
            }
        }
        let (_, model) = best.ok_or(EvalError::Empty {
            what: "candidates for alpha",
        })?;
        Ok(Linear {
            validation: scores,
            ..model
        })
    }

    pub(super) fn solve(&self, alpha: f64) -> Result<Linear> {
        let size = self.input_means.len();
        let mut factor = self.gram.clone();
        for index in 0..size {
            factor[index * size + index] += alpha;
        }
        cholesky(&mut factor, size)?;
        let mut weights = self.cross.clone();
        weights
            .par_chunks_mut(size)
            .with_min_len(4)
            .for_each(|row| substitute(&factor, row));
        Ok(Linear {
            alpha,
            validation: Vec::new(),
            weights,
            input_means: self.input_means.clone(),
            output_means: self.output_means.clone(),
        })
    }
}

/// `out += leftᵀ right` of matrices with as many rows, the second of which has `columns` columns.
fn add_products(out: &mut [f64], left: &[f64], right: &[f64], columns: usize) {
    let right = View::new(right, columns);
    let width = out.len() / columns;
    let left = View::new(left, width);
    let target = Target {
        row_stride: columns,
        column_stride: 1,
        accumulate: true,
    };
    out.par_chunks_mut(STRIP * columns)
        .enumerate()
        .for_each(|(strip, out)| {
            let rows = out.len() / columns;
            let left = left.columns_from(strip * STRIP).first_columns(rows);
            multiply(out, target, left.transposed(), right);
        });
}

/// Replaces the lower triangle of a positive definite matrix by its factor L, L Lᵀ = A.
fn cholesky(matrix: &mut [f64], size: usize) -> Result<()> {
    for row in 0..size {
        let (above, this) = matrix.split_at_mut(row * size);
        for column in 0..row {
            let other = &above[column * size..column * size + column + 1];
            let rest = this[column] - dot(&this[..column], &other[..column]);
            this[column] = rest / other[column];
        }
        let pivot = this[row] - dot(&this[..row], &this[..row]);
        // Also where it is no number.
        if pivot.is_nan() || pivot <= 0. || pivot.is_infinite() {
            return Err(EvalError::Overflow {
                what: "the ridge regression",
            });
        }
        this[row] = pivot.sqrt();
    }
    Ok(())
}

/// Replaces b by the solution of L Lᵀ x = b.
fn substitute(factor: &[f64], b: &mut [f64]) {
    let size = b.len();
    for row in 0..size {
        let line = &factor[row * size..row * size + row + 1];
        b[row] = (b[row] - dot(&line[..row], &b[..row])) / line[row];
    }
    for row in (0..size).rev() {
        let line = &factor[row * size..row * size + row + 1];
        b[row] /= line[row];
        let (above, this) = b.split_at_mut(row);
        for (value, entry) in above.iter_mut().zip(line) {
            *value -= this[0] * entry;
        }
    }
}

/// √MSE + MAE of nothing but zeros.
pub(super) fn score_of_zero(samples: &impl Samples) -> f64 {
    let (_, _, outputs) = samples.shape();
    score(samples, |_, rows| vec![0.; rows * outputs])
}

/// √MSE + MAE of what is told of samples, so many from the first on at once.
fn score(samples: &impl Samples, told: impl Fn(usize, usize) -> Vec<f64> + Sync) -> f64 {
    let (count, _, outputs) = samples.shape();
    let blocks: Vec<usize> = (0..count).step_by(BLOCK).collect();
    let sums: Vec<(f64, f64)> = blocks
        .par_iter()
        .map(|&first| {
            let rows = BLOCK.min(count - first);
            let values = told(first, rows);
            let mut truth = vec![0.; outputs];
            let (mut squared, mut absolute) = (0., 0.);
            for (row, values) in values.chunks_exact(outputs).enumerate() {
                samples.output(first + row, &mut truth);
                for (value, truth) in values.iter().zip(&truth) {
                    squared += (value - truth).powi(2);
                    absolute += (value - truth).abs();
                }
            }
            (squared, absolute)
        })
        .collect();
    let (mut squared, mut absolute) = (0., 0.);
    for (block_squared, block_absolute) in sums {
        squared += block_squared;
        absolute += block_absolute;
    }
    let values = (count * outputs) as f64;
    (squared / values).sqrt() + absolute / values
}

impl Linear {
    /// The outputs of some samples, each computed from its input alone, `[samples, outputs]`.
    pub(super) fn predict(&self, samples: &impl Samples) -> Vec<f32> {
        let (count, _, outputs) = samples.shape();
        let mut predictions = vec![0.; count * outputs];
        predictions
            .par_chunks_mut(BLOCK * outputs)
            .enumerate()
            .for_each(|(block, out)| {
                let rows = out.len() / outputs;
                let values = self.values(samples, block * BLOCK, rows);
                for (out, value) in out.iter_mut().zip(values) {
                    *out = value as f32;
                }
            });
        predictions
    }

    /// √MSE + MAE.
    fn score(&self, samples: &impl Samples) -> f64 {
        score(samples, |first, rows| self.values(samples, first, rows))
    }

    fn values(&self, samples: &impl Samples, first: usize, rows: usize) -> Vec<f64> {
        let (inputs, outputs) = (self.input_means.len(), self.output_means.len());
        let mut block = vec![0.; rows * inputs];
        for (row, input) in block.chunks_exact_mut(inputs).enumerate() {
            samples.input(first + row, input);
            subtract(input, &self.input_means);
        }
        let mut values = vec![0.; rows * outputs];
        multiply_into(
            &mut values,
            View::new(&block, inputs),
            View::new(&self.weights, inputs).transposed(),
        );
        for row in values.chunks_exact_mut(outputs) {
            row.iter_mut()
                .zip(&self.output_means)
                .for_each(|(value, mean)| *value += mean);
        }
        values
    }

    pub(super) fn inputs(&self) -> usize {
        self.input_means.len()
    }

    pub(super) fn outputs(&self) -> usize {
        self.output_means.len()
    }
}

#[cfg(test)]
mod tests;
