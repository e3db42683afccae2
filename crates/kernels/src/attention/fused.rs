//! Attention on Flex.

use std::ops::Range;
use std::sync::Arc;

use burn::backend::DispatchTensor;
use burn_flex::FlexTensor;
use pulp::Arch;

use crate::buffer::{Unwritten, elements, in_parts, part, threads};
use crate::matrix::{Correlation, Packed};
use crate::operation::{Forward, Operation, apply};
use crate::reduce::{row_max, row_sum, row_sum2};
use crate::special::exp;

/// Scores that are worked on at once, so that they stay in the second-level cache.
const BLOCK_FLOATS: usize = 64 * 1024;

pub(super) fn attention(
    inputs: [DispatchTensor; 3],
    scale: f32,
    valid: Option<Vec<bool>>,
) -> DispatchTensor {
    apply(
        Attention {
            scale,
            valid: valid.map(Arc::new),
        },
        inputs,
    )
    .0
}

#[derive(Clone, Debug)]
struct Attention {
    scale: f32,
    /// `[batch, keys]`.
    valid: Option<Arc<Vec<bool>>>,
}

#[derive(Clone, Debug)]
struct Saved {
    operation: Attention,
    inputs: [FlexTensor; 3],
    output: FlexTensor,
    /// `log Σ exp(score)` of each query.
    log_sums: Vec<f32>,
}

/// The sizes of an attention.
#[derive(Clone, Copy)]
struct Sizes {
    heads: usize,
    pairs: usize,
    queries: usize,
    keys: usize,
    dim: usize,
    value_dim: usize,
}

impl Sizes {
    fn new([q, k, v]: [&FlexTensor; 3]) -> Self {
        let [q, k, v] = [q, k, v].map(|tensor| tensor.layout().shape());
        Self {
            heads: q[1],
            pairs: q[0] * q[1],
            queries: q[2],
            keys: k[2],
            dim: q[3],
            value_dim: v[3],
        }
    }

    /// Blocks of queries whose scores fit the cache.
    fn blocks(self) -> impl Iterator<Item = Range<usize>> {
        let rows = (BLOCK_FLOATS / self.keys.max(1)).max(16);
        (0..self.queries)
            .step_by(rows)
            .map(move |start| start..(start + rows).min(self.queries))
    }

    fn scores(self) -> Vec<f32> {
        vec![0.0; self.blocks().next().map_or(0, |block| block.len()) * self.keys]
    }
}

/// The rows of one head of a tensor whose heads are `length` floats long.
fn head(values: &[f32], pair: usize, length: usize) -> &[f32] {
    &values[pair * length..(pair + 1) * length]
}

impl Attention {
    /// The keys of a head, scaled and transposed.
    fn scaled_keys(&self, sizes: Sizes, k: &[f32], buffer: Vec<f32>) -> Packed {
        Packed::new(buffer, [sizes.dim, sizes.keys], |d, key| {
            k[key * sizes.dim + d] * self.scale
        })
    }

    /// The scores of a block of queries, minus infinity where a key isn't valid.
    fn scores(&self, sizes: Sizes, pair: usize, q: &[f32], keys: &Packed, scores: &mut [f32]) {
        keys.multiply(q, scores);
        if let Some(valid) = &self.valid {
            let image = pair / sizes.heads;
            let valid = &valid[image * sizes.keys..(image + 1) * sizes.keys];
            for row in scores.chunks_exact_mut(sizes.keys.max(1)) {
                for (score, valid) in row.iter_mut().zip(valid) {
                    *score = if *valid { *score } else { f32::NEG_INFINITY };
                }
            }
        }
    }
}

impl Operation for Attention {
    type Saved = Saved;

    fn forward(self, inputs: &[FlexTensor], tracked: &[bool]) -> Forward<Saved> {
        let sizes = Sizes::new([&inputs[0], &inputs[1], &inputs[2]]);
        let [q, k, v] = [0, 1, 2].map(|i| elements(&inputs[i]));
        let out = sizes.queries * sizes.value_dim;
        let mut output = Unwritten::new(sizes.pairs * out);
        let dest = output.pointer();
        let parts = (4 * threads()).min(sizes.pairs).max(1);
        let log_sums = in_parts(parts, |index| {
            let mut scores = sizes.scores();
            let mut log_sums = Vec::new();
            let mut buffers = [Vec::new(), Vec::new()];
            for pair in part(sizes.pairs, parts, index) {
                let q = head(q, pair, sizes.queries * sizes.dim);
                let k = head(k, pair, sizes.keys * sizes.dim);
                let v = head(v, pair, sizes.keys * sizes.value_dim);
                let [first, second] = buffers;
                let keys = self.scaled_keys(sizes, k, first);
                let values = Packed::new(second, [sizes.keys, sizes.value_dim], |key, d| {
                    v[key * sizes.value_dim + d]
                });
                for block in sizes.blocks() {
                    let scores = &mut scores[..block.len() * sizes.keys];
                    let q = &q[block.start * sizes.dim..block.end * sizes.dim];
                    self.scores(sizes, pair, q, &keys, scores);
                    softmax(scores, sizes.keys, block.len(), &mut log_sums);
                    let range = pair * out + block.start * sizes.value_dim
                        ..pair * out + block.end * sizes.value_dim;
                    // SAFETY: each head and block has its own rows of the output.
                    let dest = unsafe { dest.part(range) };
                    values.multiply(scores, dest);
                }
                buffers = [keys.values, values.values];
            }
            log_sums
        });
        let mut shape = inputs[0].layout().shape().clone();
        shape[3] = sizes.value_dim;
        // SAFETY: every row of every head was written.
        let output = unsafe { output.written(shape) };
        let saved = tracked.contains(&true).then(|| Saved {
            operation: self,
            inputs: [0, 1, 2].map(|i| inputs[i].clone()),
            output: output.clone(),
            log_sums: log_sums.concat(),
        });
        Forward {
            output,
            statistics: Vec::new(),
            saved,
        }
    }

    fn backward(saved: Saved, gradient: FlexTensor, wanted: &[bool]) -> Vec<Option<FlexTensor>> {
        let operation = &saved.operation;
        let sizes = Sizes::new(saved.inputs.each_ref());
        let [q, k, v] = saved.inputs.each_ref().map(elements);
        let (output, gradient) = (elements(&saved.output), elements(&gradient));
        let mut gradients = [q, k, v].map(|values| Unwritten::new(values.len()));
        let dests = gradients.each_mut().map(Unwritten::pointer);
        let parts = (4 * threads()).min(sizes.pairs).max(1);
        in_parts(parts, |index| {
            let mut weights = sizes.scores();
            let mut slopes = sizes.scores();
            let mut buffers = [Vec::new(), Vec::new(), Vec::new()];
            let mut k_sum = Correlation::new([sizes.keys, sizes.dim]);
            let mut v_sum = Correlation::new([sizes.keys, sizes.value_dim]);
            for pair in part(sizes.pairs, parts, index) {
                let lengths = [
                    sizes.queries * sizes.dim,
                    sizes.keys * sizes.dim,
                    sizes.keys * sizes.value_dim,
                ];
                let [q, k, v] = [(q, lengths[0]), (k, lengths[1]), (v, lengths[2])]
                    .map(|(values, length)| head(values, pair, length));
                let rows = sizes.queries * sizes.value_dim;
                let (output, gradient) = (head(output, pair, rows), head(gradient, pair, rows));
                let log_sums = head(&saved.log_sums, pair, sizes.queries);
                // SAFETY: each head has its own part of each gradient.
                let [q_gradient, k_gradient, v_gradient] = [0, 1, 2]
                    .map(|i| unsafe { dests[i].part(pair * lengths[i]..(pair + 1) * lengths[i]) });
                let [first, second, third] = buffers;
                let scaled_keys = operation.scaled_keys(sizes, k, first);
                let values = Packed::new(second, [sizes.value_dim, sizes.keys], |d, key| {
                    v[key * sizes.value_dim + d]
                });
                let keys = Packed::new(third, [sizes.keys, sizes.dim], |key, d| {
                    k[key * sizes.dim + d]
                });
                for block in sizes.blocks() {
                    let weights = &mut weights[..block.len() * sizes.keys];
                    let slopes = &mut slopes[..block.len() * sizes.keys];
                    let of_q = block.start * sizes.dim..block.end * sizes.dim;
                    let of_v = block.start * sizes.value_dim..block.end * sizes.value_dim;
                    let (output, gradient) = (&output[of_v.clone()], &gradient[of_v]);
                    operation.scores(sizes, pair, &q[of_q.clone()], &scaled_keys, weights);
                    values.multiply(gradient, slopes);
                    let log_sums = &log_sums[block];
                    score_gradients(
                        weights,
                        slopes,
                        [output, gradient],
                        log_sums,
                        operation.scale,
                    );
                    v_sum.add(weights, gradient);
                    k_sum.add(slopes, &q[of_q.clone()]);
                    keys.multiply(slopes, &mut q_gradient[of_q]);
                }
                v_sum.take(v_gradient);
                k_sum.take(k_gradient);
                buffers = [scaled_keys.values, values.values, keys.values];
            }
        });
        gradients
            .into_iter()
            .zip(&saved.inputs)
            .zip(wanted)
            .map(|((buffer, input), wanted)| {
                // SAFETY: every head of every gradient was written.
                wanted.then(|| unsafe { buffer.written(input.layout().shape().clone()) })
            })
            .collect()
    }
}

/// Turns scores into weights and appends each row's log-sum; a row without valid keys gets zeros
/// and a log-sum of zero, which makes zeros of it again when it is recomputed.
fn softmax(scores: &mut [f32], keys: usize, rows: usize, log_sums: &mut Vec<f32>) {
    if keys == 0 {
        log_sums.resize(log_sums.len() + rows, 0.0);
        return;
    }
    Arch::new().dispatch(
        #[inline(always)]
        || {
            for row in scores.chunks_exact_mut(keys) {
                let max = row_max(row);
                if max == f32::NEG_INFINITY {
                    row.fill(0.0);
                    log_sums.push(0.0);
                    continue;
                }
                row.iter_mut().for_each(|score| *score = exp(*score - max));
                let sum = row_sum(row, |weight| weight);
                let inverse = 1.0 / sum;
                row.iter_mut().for_each(|weight| *weight *= inverse);
                log_sums.push(max + sum.ln());
            }
        },
    );
}

/// From the scores and the gradient of the weights (in `slopes`), the weights and the gradient of
/// the scores before scaling: `scale · w · (dw − Σ dy · y)`.
fn score_gradients(
    weights: &mut [f32],
    slopes: &mut [f32],
    [output, gradient]: [&[f32]; 2],
    log_sums: &[f32],
    scale: f32,
) {
    let count = log_sums.len();
    let (keys, dim) = (weights.len() / count, output.len() / count);
    if keys == 0 {
        return;
    }
    Arch::new().dispatch(
        #[inline(always)]
        || {
            let rows = weights
                .chunks_exact_mut(keys)
                .zip(slopes.chunks_exact_mut(keys));
            for (i, ((weights, slopes), log_sum)) in rows.zip(log_sums).enumerate() {
                let of_row = i * dim..(i + 1) * dim;
                let mean = row_sum2(&output[of_row.clone()], &gradient[of_row], |y, dy| y * dy);
                for (weight, slope) in weights.iter_mut().zip(slopes) {
                    *weight = exp(*weight - log_sum);
                    *slope = scale * *weight * (*slope - mean);
                }
            }
        },
    );
}
