//! Cross-entropy on Flex.

use std::sync::Arc;

use burn::backend::DispatchTensor;
use burn_flex::FlexTensor;

use crate::buffer::{Unwritten, elements, in_parts, part, tensor, threads};
use crate::operation::{Forward, Operation, apply};
use crate::reduce::{row_max, row_sum};
use crate::special::exp;
use crate::vectorized::vectorized;

pub(super) fn cross_entropy(
    logits: DispatchTensor,
    labels: Vec<Option<usize>>,
    smoothing: f64,
) -> DispatchTensor {
    let operation = CrossEntropy {
        labels: labels.into(),
        smoothing: smoothing as f32,
    };
    apply(operation, [logits]).0
}

#[derive(Clone, Debug)]
struct CrossEntropy {
    /// The class of each row, or nothing where the row doesn't count.
    labels: Arc<[Option<usize>]>,
    smoothing: f32,
}

#[derive(Clone, Debug)]
struct Saved {
    operation: CrossEntropy,
    logits: FlexTensor,
    rows: Vec<Row>,
}

/// What is known of a row; none of it where the row doesn't count.
///
/// The largest score and the rest are kept apart, because their sum would round away digits of the
/// probabilities where scores are large.
#[derive(Clone, Copy, Debug, Default)]
struct Row {
    max: f32,
    /// `log Σ exp(x − max)`.
    log_sum: f32,
    loss: f32,
}

impl CrossEntropy {
    /// The number of rows that count, at least one.
    fn count(&self) -> usize {
        self.labels.iter().flatten().count().max(1)
    }

    /// The part of every class in what a row is compared with.
    fn share(&self, classes: usize) -> f32 {
        self.smoothing / classes as f32
    }

    #[inline(always)]
    fn row(&self, scores: &[f32], label: usize) -> Row {
        let max = row_max(scores);
        let log_sum = row_sum(scores, |x| exp(x - max)).ln();
        let mut loss = log_sum - (1.0 - self.smoothing) * (scores[label] - max);
        if self.smoothing > 0.0 {
            loss -= self.share(scores.len()) * row_sum(scores, |x| x - max);
        }
        Row { max, log_sum, loss }
    }
}

impl Operation for CrossEntropy {
    type Saved = Saved;

    fn forward(self, inputs: &[FlexTensor], tracked: &[bool]) -> Forward<Saved> {
        let classes = inputs[0].layout().shape()[1].max(1);
        let logits = elements(&inputs[0]);
        let count = self.labels.len();
        let parts = parts(count, classes);
        let rows = in_parts(parts, |index| {
            let range = part(count, parts, index);
            let labels = &self.labels[range.clone()];
            let logits = &logits[range.start * classes..range.end * classes];
            let mut rows = Vec::with_capacity(labels.len());
            vectorized(
                #[inline(always)]
                || {
                    for (scores, label) in logits.chunks_exact(classes).zip(labels) {
                        rows.push(match label {
                            Some(label) => self.row(scores, *label),
                            None => Row::default(),
                        });
                    }
                },
            );
            rows
        })
        .concat();
        let sum: f64 = rows.iter().map(|row| f64::from(row.loss)).sum();
        let loss = sum / self.count() as f64;
        let saved = tracked[0].then(|| Saved {
            operation: self,
            logits: inputs[0].clone(),
            rows,
        });
        Forward {
            output: tensor(vec![loss as f32], [1]),
            statistics: Vec::new(),
            saved,
        }
    }

    /// `dx = g/n · (exp(x − log-sum) − s/classes − (1 − s)·[class = target])`.
    fn backward(saved: Saved, gradient: FlexTensor, wanted: &[bool]) -> Vec<Option<FlexTensor>> {
        if !wanted[0] {
            return vec![None];
        }
        let operation = &saved.operation;
        let shape = saved.logits.layout().shape().clone();
        let classes = shape[1].max(1);
        let logits = elements(&saved.logits);
        let scale = elements(&gradient)[0] / operation.count() as f32;
        let share = operation.share(classes);
        let of_target = (1.0 - operation.smoothing) * scale;
        let mut buffer = Unwritten::new(logits.len());
        let dest = buffer.pointer();
        let count = operation.labels.len();
        let parts = parts(count, classes);
        in_parts(parts, |index| {
            let range = part(count, parts, index);
            let labels = operation.labels[range.clone()].iter();
            let rows = labels.zip(&saved.rows[range.clone()]);
            let range = range.start * classes..range.end * classes;
            // SAFETY: each part has its own rows of the gradient.
            let dest = unsafe { dest.part(range.clone()) };
            let logits = &logits[range];
            vectorized(
                #[inline(always)]
                || {
                    let scores = logits
                        .chunks_exact(classes)
                        .zip(dest.chunks_exact_mut(classes));
                    for ((scores, dest), (label, row)) in scores.zip(rows.clone()) {
                        let Some(label) = label else {
                            dest.fill(0.0);
                            continue;
                        };
                        for (dest, x) in dest.iter_mut().zip(scores) {
                            *dest = scale * (exp((x - row.max) - row.log_sum) - share);
                        }
                        dest[*label] -= of_target;
                    }
                },
            );
        });
        // SAFETY: every row was written.
        vec![Some(unsafe { buffer.written(shape) })]
    }
}

/// Into how many parts the rows are cut; each comes out the same whoever computes it.
fn parts(rows: usize, classes: usize) -> usize {
    (4 * threads()).min(rows).min(rows * classes / 4096).max(1)
}
