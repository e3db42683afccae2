//! Layer normalization on Flex, with and without the mean and the shift.

use burn::backend::DispatchTensor;
use burn_flex::FlexTensor;

use crate::buffer::{Shared, Unwritten, elements, in_parts, part, tensor, threads};
use crate::operation::{Forward, Operation, apply};
use crate::reduce::{row_sum, row_sum2};
use crate::vectorized::vectorized;

/// Rows whose parameter gradients are summed in single precision before they join the totals.
const ROWS: usize = 64;

pub(super) fn layer_norm(
    x: DispatchTensor,
    gamma: DispatchTensor,
    beta: DispatchTensor,
    epsilon: f64,
) -> DispatchTensor {
    let epsilon = epsilon as f32;
    apply(Norm::<true> { epsilon }, [x, gamma, beta]).0
}

/// The root-mean-square normalization, which centers nothing.
pub(crate) fn rms_norm(x: DispatchTensor, gamma: DispatchTensor, epsilon: f64) -> DispatchTensor {
    let epsilon = epsilon as f32;
    apply(Norm::<false> { epsilon }, [x, gamma]).0
}

/// Where it is `CENTERED`, rows lose their mean and the third input is a shift; else the mean
/// counts as zero, and the square as the variance.
#[derive(Clone, Debug)]
struct Norm<const CENTERED: bool> {
    epsilon: f32,
}

#[derive(Clone, Debug)]
struct Saved {
    x: FlexTensor,
    gamma: FlexTensor,
    /// Mean and inverse deviation of each row.
    statistics: Vec<[f32; 2]>,
}

impl<const CENTERED: bool> Operation for Norm<CENTERED> {
    type Saved = Saved;

    fn forward(self, inputs: &[FlexTensor], tracked: &[bool]) -> Forward<Saved> {
        let [x, gamma] = [0, 1].map(|i| elements(&inputs[i]));
        let beta = inputs.get(2).map_or(&[][..], elements);
        let features = gamma.len();
        let rows = x.len().checked_div(features).unwrap_or(0);
        let mut output = Unwritten::new(x.len());
        let dest = output.pointer();
        let parts = (4 * threads()).min(rows).max(1);
        let statistics = in_parts(parts, |index| {
            let rows = part(rows, parts, index);
            let range = rows.start * features..rows.end * features;
            // SAFETY: the parts are disjoint and cover the output once.
            let dest = unsafe { dest.part(range.clone()) };
            let mut statistics = Vec::with_capacity(rows.len());
            let x = &x[range];
            vectorized(
                #[inline(always)]
                || {
                    // Of rows without features there are no chunks.
                    let width = features.max(1);
                    for (x, y) in x.chunks_exact(width).zip(dest.chunks_exact_mut(width)) {
                        let row = normalize_row::<CENTERED>(x, gamma, beta, self.epsilon, y);
                        statistics.push(row);
                    }
                },
            );
            statistics
        });
        // SAFETY: every row was written.
        let output = unsafe { output.written(inputs[0].layout().shape().clone()) };
        let saved = tracked.contains(&true).then(|| Saved {
            x: inputs[0].clone(),
            gamma: inputs[1].clone(),
            statistics: statistics.concat(),
        });
        Forward {
            output,
            statistics: Vec::new(),
            saved,
        }
    }

    fn backward(
        saved: Saved,
        mut gradient: FlexTensor,
        wanted: &[bool],
    ) -> Vec<Option<FlexTensor>> {
        let (x, gamma) = (elements(&saved.x), elements(&saved.gamma));
        let features = gamma.len();
        let rows = saved.statistics.len();
        let dest = Shared::new(gradient.storage_mut::<f32>().as_mut_ptr());
        let parts = threads().min(rows.div_ceil(ROWS)).max(1);
        let totals = in_parts(parts, |index| {
            let mut totals = [vec![0.0f64; features], vec![0.0f64; features]];
            let mut sums = [vec![0.0f32; features], vec![0.0f32; features]];
            let rows = part(rows, parts, index);
            for start in rows.clone().step_by(ROWS) {
                let rows = start..(start + ROWS).min(rows.end);
                let range = rows.start * features..rows.end * features;
                // SAFETY: the parts are disjoint, and the gradient is ours alone.
                let gradient = unsafe { dest.part(range.clone()) };
                let (x, statistics) = (&x[range], &saved.statistics[rows]);
                sums.iter_mut().for_each(|sum| sum.fill(0.0));
                let [gamma_sum, beta_sum] = &mut sums;
                vectorized(
                    #[inline(always)]
                    || {
                        let rows = gradient
                            .chunks_exact_mut(features)
                            .zip(x.chunks_exact(features));
                        for ((g, x), statistics) in rows.zip(statistics) {
                            let sums = [&mut gamma_sum[..], &mut beta_sum[..]];
                            gradient_row::<CENTERED>(g, x, gamma, *statistics, sums);
                        }
                    },
                );
                for (totals, sums) in totals.iter_mut().zip(&sums) {
                    for (total, sum) in totals.iter_mut().zip(sums) {
                        *total += f64::from(*sum);
                    }
                }
            }
            totals
        });
        let total = |which: usize| {
            let sums = (0..features)
                .map(|i| totals.iter().map(|total| total[which][i]).sum::<f64>() as f32)
                .collect();
            tensor(sums, [features])
        };
        let mut gradients = vec![wanted[0].then_some(gradient), wanted[1].then(|| total(0))];
        if let Some(&wanted) = wanted.get(2) {
            gradients.push(wanted.then(|| total(1)));
        }
        gradients
    }
}

#[inline(always)]
fn normalize_row<const CENTERED: bool>(
    x: &[f32],
    gamma: &[f32],
    beta: &[f32],
    epsilon: f32,
    y: &mut [f32],
) -> [f32; 2] {
    let count = x.len() as f32;
    let mean = if CENTERED {
        row_sum(x, |x| x) / count
    } else {
        0.0
    };
    let variance = row_sum(x, |x| (x - mean) * (x - mean)) / count;
    let inverse = 1.0 / (variance + epsilon).sqrt();
    let scaled = y.iter_mut().zip(x).zip(gamma);
    if CENTERED {
        for (((y, x), gamma), beta) in scaled.zip(beta) {
            *y = (x - mean) * inverse * gamma + beta;
        }
    } else {
        for ((y, x), gamma) in scaled {
            *y = x * inverse * gamma;
        }
    }
    [mean, inverse]
}

/// Turns the gradient of an output row into that of its input, and adds to the parameters' sums.
#[inline(always)]
fn gradient_row<const CENTERED: bool>(
    g: &mut [f32],
    x: &[f32],
    gamma: &[f32],
    [mean, inverse]: [f32; 2],
    [gamma_sum, beta_sum]: [&mut [f32]; 2],
) {
    // First g becomes the gradient of the normalized row.
    let values = g.iter_mut().zip(x).zip(gamma).zip(gamma_sum);
    if CENTERED {
        for ((((g, x), gamma), gamma_sum), beta_sum) in values.zip(beta_sum) {
            *gamma_sum += *g * (x - mean) * inverse;
            *beta_sum += *g;
            *g *= gamma;
        }
    } else {
        for (((g, x), gamma), gamma_sum) in values {
            *gamma_sum += *g * x * inverse;
            *g *= gamma;
        }
    }
    let count = x.len() as f32;
    let sum = if CENTERED {
        row_sum(g, |g| g) / count
    } else {
        0.0
    };
    let product = row_sum2(g, x, |g, x| g * (x - mean)) * inverse * inverse / count;
    for (g, x) in g.iter_mut().zip(x) {
        *g = inverse * (*g - sum - (x - mean) * product);
    }
}
