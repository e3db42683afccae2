//! The loss on hidden rows on Flex.

use burn::backend::DispatchTensor;
use burn_flex::FlexTensor;

use crate::buffer::{Unwritten, elements, in_parts, part, tensor, threads};
use crate::operation::{Forward, Operation, apply};
use crate::reduce::{row_sum, row_sum2};
use crate::vectorized::vectorized;

pub(super) fn hidden_loss(inputs: [DispatchTensor; 3], epsilon: f64) -> DispatchTensor {
    let epsilon = epsilon as f32;
    apply(HiddenLoss { epsilon }, inputs).0
}

#[derive(Clone, Debug)]
struct HiddenLoss {
    epsilon: f32,
}

#[derive(Clone, Debug)]
struct Saved {
    predictions: FlexTensor,
    targets: FlexTensor,
    hidden: FlexTensor,
    rows: Vec<Row>,
    /// `Σ h`.
    count: f64,
}

/// What is known of a row; none of it where the row doesn't count.
#[derive(Clone, Copy, Debug, Default)]
struct Row {
    mean: f32,
    /// One over the deviation.
    inverse: f32,
    /// The sum of squared errors.
    error: f32,
}

impl HiddenLoss {
    #[inline(always)]
    fn row(&self, predictions: &[f32], targets: &[f32]) -> Row {
        let count = targets.len() as f32;
        let mean = row_sum(targets, |t| t) / count;
        let variance = row_sum(targets, |t| (t - mean) * (t - mean)) / (count - 1.0);
        let inverse = 1.0 / (variance + self.epsilon).sqrt();
        let error = row_sum2(predictions, targets, |p, t| {
            let difference = p - (t - mean) * inverse;
            difference * difference
        });
        Row {
            mean,
            inverse,
            error,
        }
    }
}

impl Operation for HiddenLoss {
    type Saved = Saved;

    fn forward(self, inputs: &[FlexTensor], tracked: &[bool]) -> Forward<Saved> {
        let [predictions, targets, hidden] = [0, 1, 2].map(|i| elements(&inputs[i]));
        let values = inputs[0].layout().shape()[2].max(1);
        let parts = (4 * threads()).min(hidden.len()).max(1);
        let rows = in_parts(parts, |index| {
            let range = part(hidden.len(), parts, index);
            let hidden = &hidden[range.clone()];
            let range = range.start * values..range.end * values;
            let (predictions, targets) = (&predictions[range.clone()], &targets[range]);
            let mut rows = Vec::with_capacity(hidden.len());
            vectorized(
                #[inline(always)]
                || {
                    let pairs = predictions
                        .chunks_exact(values)
                        .zip(targets.chunks_exact(values));
                    for ((predictions, targets), hidden) in pairs.zip(hidden) {
                        rows.push(if *hidden == 0.0 {
                            Row::default()
                        } else {
                            self.row(predictions, targets)
                        });
                    }
                },
            );
            rows
        })
        .concat();
        let count = hidden.iter().map(|h| f64::from(*h)).sum::<f64>();
        let sum: f64 = rows
            .iter()
            .zip(hidden)
            .map(|(row, h)| f64::from(row.error) * f64::from(*h))
            .sum();
        let loss = sum / (count * values as f64);
        let saved = tracked.contains(&true).then(|| Saved {
            predictions: inputs[0].clone(),
            targets: inputs[1].clone(),
            hidden: inputs[2].clone(),
            rows,
            count,
        });
        Forward {
            output: tensor(vec![loss as f32], [1]),
            statistics: Vec::new(),
            saved,
        }
    }

    /// `dp = g · 2h / (V · Σ h) · (p − (t − μ) / deviation)`.
    fn backward(saved: Saved, gradient: FlexTensor, wanted: &[bool]) -> Vec<Option<FlexTensor>> {
        if !wanted[0] {
            return vec![None, None, None];
        }
        let shape = saved.predictions.layout().shape().clone();
        let values = shape[2].max(1);
        let inputs = [&saved.predictions, &saved.targets, &saved.hidden];
        let [predictions, targets, hidden] = inputs.map(elements);
        let upstream = f64::from(elements(&gradient)[0]);
        let scale = (upstream * 2.0 / (saved.count * values as f64)) as f32;
        let mut buffer = Unwritten::new(predictions.len());
        let dest = buffer.pointer();
        let parts = (4 * threads()).min(hidden.len()).max(1);
        in_parts(parts, |index| {
            let range = part(hidden.len(), parts, index);
            let rows = saved.rows[range.clone()].iter().zip(&hidden[range.clone()]);
            let range = range.start * values..range.end * values;
            let (predictions, targets) = (&predictions[range.clone()], &targets[range.clone()]);
            // SAFETY: each part has its own rows of the gradient.
            let dest = unsafe { dest.part(range) };
            vectorized(
                #[inline(always)]
                || {
                    let pairs = predictions
                        .chunks_exact(values)
                        .zip(targets.chunks_exact(values));
                    let pairs = pairs.zip(dest.chunks_exact_mut(values));
                    for (((predictions, targets), dest), (row, hidden)) in pairs.zip(rows.clone()) {
                        if *hidden == 0.0 {
                            dest.fill(0.0);
                            continue;
                        }
                        let scale = scale * hidden;
                        for ((dest, p), t) in dest.iter_mut().zip(predictions).zip(targets) {
                            *dest = scale * (p - (t - row.mean) * row.inverse);
                        }
                    }
                },
            );
        });
        // SAFETY: every row was written.
        vec![Some(unsafe { buffer.written(shape) }), None, None]
    }
}
