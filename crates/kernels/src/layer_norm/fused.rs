//! Layer normalization on Flex.

use burn::backend::DispatchTensor;
use burn_flex::FlexTensor;
use pulp::Arch;

use crate::buffer::{Shared, Unwritten, elements, in_parts, part, tensor, threads};
use crate::operation::{Forward, Operation, apply};
use crate::reduce::{row_sum, row_sum2};

/// Rows whose parameter gradients are summed in single precision before they join the totals.
const ROWS: usize = 64;

pub(super) fn layer_norm(
    x: DispatchTensor,
    gamma: DispatchTensor,
    beta: DispatchTensor,
    epsilon: f64,
) -> DispatchTensor {
    apply(
        LayerNorm {
            epsilon: epsilon as f32,
        },
        [x, gamma, beta],
    )
    .0
}

#[derive(Clone, Debug)]
struct LayerNorm {
    epsilon: f32,
}

#[derive(Clone, Debug)]
struct Saved {
    x: FlexTensor,
    gamma: FlexTensor,
    /// Mean and inverse deviation of each row.
    statistics: Vec<[f32; 2]>,
}

impl Operation for LayerNorm {
    type Saved = Saved;

    fn forward(self, inputs: &[FlexTensor], tracked: &[bool]) -> Forward<Saved> {
        let [x, gamma, beta] = [0, 1, 2].map(|i| elements(&inputs[i]));
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
            Arch::new().dispatch(
                #[inline(always)]
                || {
                    for (x, y) in x
                        .chunks_exact(features)
                        .zip(dest.chunks_exact_mut(features))
                    {
                        statistics.push(normalize_row(x, gamma, beta, self.epsilon, y));
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
                Arch::new().dispatch(
                    #[inline(always)]
                    || {
                        let rows = gradient
                            .chunks_exact_mut(features)
                            .zip(x.chunks_exact(features));
                        for ((g, x), statistics) in rows.zip(statistics) {
                            gradient_row(g, x, gamma, *statistics, gamma_sum, beta_sum);
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
        vec![
            wanted[0].then_some(gradient),
            wanted[1].then(|| total(0)),
            wanted[2].then(|| total(1)),
        ]
    }
}

#[inline(always)]
fn normalize_row(x: &[f32], gamma: &[f32], beta: &[f32], epsilon: f32, y: &mut [f32]) -> [f32; 2] {
    let count = x.len() as f32;
    let mean = row_sum(x, |x| x) / count;
    let variance = row_sum(x, |x| (x - mean) * (x - mean)) / count;
    let inverse = 1.0 / (variance + epsilon).sqrt();
    for (((y, x), gamma), beta) in y.iter_mut().zip(x).zip(gamma).zip(beta) {
        *y = (x - mean) * inverse * gamma + beta;
    }
    [mean, inverse]
}

/// Turns the gradient of an output row into that of its input, and adds to the parameters' sums.
#[inline(always)]
fn gradient_row(
    g: &mut [f32],
    x: &[f32],
    gamma: &[f32],
    [mean, inverse]: [f32; 2],
    gamma_sum: &mut [f32],
    beta_sum: &mut [f32],
) {
    let sums = gamma_sum.iter_mut().zip(beta_sum.iter_mut());
    // First g becomes the gradient of the normalized row.
    for ((((g, x), gamma), gamma_sum), beta_sum) in g
        .iter_mut()
        .zip(x)
        .zip(gamma)
        .zip(sums)
        .map(|(a, (b, c))| ((a, b), c))
    {
        *gamma_sum += *g * (x - mean) * inverse;
        *beta_sum += *g;
        *g *= gamma;
    }
    let count = x.len() as f32;
    let sum = row_sum(g, |g| g) / count;
    let product = row_sum2(g, x, |g, x| g * (x - mean)) * inverse * inverse / count;
    for (g, x) in g.iter_mut().zip(x) {
        *g = inverse * (*g - sum - (x - mean) * product);
    }
}
