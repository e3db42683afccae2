//! Attention on Flex.

mod place;

use std::ops::Range;
use std::sync::Arc;

use burn::backend::DispatchTensor;
use burn_flex::FlexTensor;

use crate::buffer::{Shared, Unwritten, elements, in_parts, part, threads};
use crate::matrix::{Correlation, Packed, Rows};
use crate::operation::{Forward, Operation, apply};
use crate::reduce::{row_max, row_sum, row_sum2};
use crate::special::exp;
use crate::vectorized::vectorized;

use place::{Place, Places, Sizes};

pub(super) fn attention(inputs: [DispatchTensor; 3], scale: f32, seen: Seen) -> DispatchTensor {
    apply(Attention::new(None, scale, seen), inputs).0
}

pub(super) fn attention_packed(
    qkv: DispatchTensor,
    heads: usize,
    scale: f32,
    seen: Seen,
) -> DispatchTensor {
    apply(Attention::new(Some(heads), scale, seen), [qkv]).0
}

/// Which keys are seen.
#[derive(Clone, Debug)]
pub(super) enum Seen {
    /// All of them.
    All,
    /// Those that are true, `[batch, keys]`.
    Valid(Arc<Vec<bool>>),
    /// Each query its own stretch, `[batch, queries]`.
    Within(Arc<Vec<[u32; 2]>>),
}

#[derive(Clone, Debug)]
struct Attention {
    /// The number of heads, where the one input holds queries, keys and values side by side.
    packed: Option<usize>,
    scale: f32,
    seen: Seen,
}

#[derive(Clone, Debug)]
struct Saved {
    operation: Attention,
    inputs: Vec<FlexTensor>,
    output: FlexTensor,
    /// `log Σ exp(score)` of each query.
    log_sums: Vec<f32>,
}

impl Attention {
    fn new(packed: Option<usize>, scale: f32, seen: Seen) -> Self {
        Self {
            packed,
            scale,
            seen,
        }
    }

    /// The stretches of keys that the queries of a block see; `None` where each sees all that are valid.
    fn spans(&self, sizes: Sizes, pair: usize, block: &Range<usize>) -> Option<&[[u32; 2]]> {
        let Seen::Within(spans) = &self.seen else {
            return None;
        };
        let first = pair / sizes.heads * sizes.queries;
        Some(&spans[first + block.start..first + block.end])
    }

    fn places(&self, inputs: &[FlexTensor]) -> Places {
        let shape = inputs[0].layout().shape();
        if let Some(heads) = self.packed {
            let (batch, tokens, dim) = (shape[0], shape[1], shape[2] / (3 * heads));
            return Places {
                sizes: Sizes {
                    heads,
                    pairs: batch * heads,
                    queries: tokens,
                    keys: tokens,
                    dim,
                    value_dim: dim,
                },
                inputs: [0, 1, 2].map(|index| Place::packed(heads, tokens, dim, [3, index])),
                output: Place::packed(heads, tokens, dim, [1, 0]),
            };
        }
        let (heads, queries, dim) = (shape[1], shape[2], shape[3]);
        let values = inputs[2].layout().shape();
        let (keys, value_dim) = (values[2], values[3]);
        Places {
            sizes: Sizes {
                heads,
                pairs: shape[0] * heads,
                queries,
                keys,
                dim,
                value_dim,
            },
            inputs: [(queries, dim), (keys, dim), (keys, value_dim)]
                .map(|(rows, dim)| Place::separate(heads, rows, dim)),
            output: Place::separate(heads, queries, value_dim),
        }
    }

    /// The elements of the queries, keys and values.
    fn elements<'a>(&self, inputs: &'a [FlexTensor]) -> [&'a [f32]; 3] {
        match self.packed {
            Some(_) => [elements(&inputs[0]); 3],
            None => [0, 1, 2].map(|i| elements(&inputs[i])),
        }
    }

    /// The scores of a block of queries, minus infinity where a key isn't valid.
    fn scores(&self, sizes: Sizes, pair: usize, q: Rows<'_>, keys: &Packed, scores: &mut [f32]) {
        assert_eq!(scores.len(), q.count * sizes.keys);
        // SAFETY: the scores are borrowed for writing and have a row for each query.
        unsafe { keys.multiply_rows(q, scores.as_mut_ptr(), sizes.keys) };
        if let Seen::Valid(valid) = &self.seen {
            let image = pair / sizes.heads;
            let valid = &valid[image * sizes.keys..(image + 1) * sizes.keys];
            for row in scores.chunks_exact_mut(sizes.keys.max(1)) {
                for (score, valid) in row.iter_mut().zip(valid) {
                    *score = if *valid { *score } else { f32::NEG_INFINITY };
                }
            }
        }
    }

    /// Writes the outputs of some heads and returns the log-sums of their queries.
    ///
    /// # Safety
    /// `dest` must have room for the output, and nothing else may touch these heads' rows.
    unsafe fn attend(
        &self,
        places: &Places,
        pairs: Range<usize>,
        [q, k, v]: [&[f32]; 3],
        dest: Shared,
    ) -> Vec<f32> {
        let sizes = places.sizes;
        let [q_place, k_place, v_place] = places.inputs;
        let mut scores = sizes.scores();
        let mut log_sums = Vec::with_capacity(pairs.len() * sizes.queries);
        let mut buffers = [Vec::new(), Vec::new()];
        for pair in pairs {
            let k = k_place.rows(k, pair, 0..sizes.keys);
            let v = v_place.rows(v, pair, 0..sizes.keys);
            let [first, second] = buffers;
            let keys = Packed::from_columns(first, k, sizes.dim, self.scale);
            let values = Packed::from_rows(second, v, sizes.value_dim);
            for block in sizes.blocks() {
                let scores = &mut scores[..block.len() * sizes.keys];
                let q = q_place.rows(q, pair, block.clone());
                self.scores(sizes, pair, q, &keys, scores);
                match self.spans(sizes, pair, &block) {
                    Some(spans) => softmax_within(scores, sizes.keys, spans, &mut log_sums),
                    None => softmax(scores, sizes.keys, block.len(), &mut log_sums),
                }
                let weights = Rows {
                    values: scores,
                    pitch: sizes.keys,
                    count: block.len(),
                };
                let at = places.output.at(pair, block.start);
                // SAFETY: the block's rows are among those promised.
                unsafe {
                    values.multiply_rows(weights, dest.pointer().add(at), places.output.pitch);
                }
            }
            buffers = [keys.values, values.values];
        }
        log_sums
    }

    /// Writes the gradients of the queries, keys and values of some heads.
    ///
    /// # Safety
    /// Each of `dests` must have room for its gradient, and nothing else may touch these heads'
    /// rows.
    unsafe fn differentiate(
        &self,
        places: &Places,
        pairs: Range<usize>,
        [q, k, v]: [&[f32]; 3],
        [output, gradient, log_sums]: [&[f32]; 3],
        dests: [Shared; 3],
    ) {
        let sizes = places.sizes;
        let [q_place, k_place, v_place] = places.inputs;
        let [q_dest, k_dest, v_dest] = dests.map(Shared::pointer);
        let mut weights = sizes.scores();
        let mut slopes = sizes.scores();
        let mut buffers = [Vec::new(), Vec::new(), Vec::new()];
        let mut k_sum = Correlation::new([sizes.keys, sizes.dim]);
        let mut v_sum = Correlation::new([sizes.keys, sizes.value_dim]);
        for pair in pairs {
            let k = k_place.rows(k, pair, 0..sizes.keys);
            let v = v_place.rows(v, pair, 0..sizes.keys);
            let log_sums = &log_sums[pair * sizes.queries..(pair + 1) * sizes.queries];
            let [first, second, third] = buffers;
            let scaled_keys = Packed::from_columns(first, k, sizes.dim, self.scale);
            let values = Packed::from_columns(second, v, sizes.value_dim, 1.0);
            let keys = Packed::from_rows(third, k, sizes.dim);
            for block in sizes.blocks() {
                let weights = &mut weights[..block.len() * sizes.keys];
                let slopes = &mut slopes[..block.len() * sizes.keys];
                let q = q_place.rows(q, pair, block.clone());
                let output = places.output.rows(output, pair, block.clone());
                let gradient = places.output.rows(gradient, pair, block.clone());
                self.scores(sizes, pair, q, &scaled_keys, weights);
                // SAFETY: the slopes are borrowed for writing and have a row for each query.
                unsafe { values.multiply_rows(gradient, slopes.as_mut_ptr(), sizes.keys) };
                let spans = self.spans(sizes, pair, &block);
                let log_sums = &log_sums[block.clone()];
                let dim = sizes.value_dim;
                score_gradients(
                    weights,
                    slopes,
                    [output, gradient],
                    dim,
                    log_sums,
                    spans,
                    self.scale,
                );
                let by_key = |values| Rows {
                    values,
                    pitch: sizes.keys,
                    count: block.len(),
                };
                v_sum.add(by_key(&*weights), gradient);
                k_sum.add(by_key(&*slopes), q);
                let at = q_place.at(pair, block.start);
                // SAFETY: the block's rows are among those promised.
                unsafe { keys.multiply_rows(by_key(&*slopes), q_dest.add(at), q_place.pitch) };
            }
            // SAFETY: the head's rows are among those promised.
            unsafe {
                v_sum.take(v_dest.add(v_place.at(pair, 0)), v_place.pitch);
                k_sum.take(k_dest.add(k_place.at(pair, 0)), k_place.pitch);
            }
            buffers = [scaled_keys.values, values.values, keys.values];
        }
    }
}

impl Operation for Attention {
    type Saved = Saved;

    fn flops(&self, inputs: &[FlexTensor], _tracked: &[bool]) -> [f64; 2] {
        let sizes = self.places(inputs).sizes;
        let pairs = (sizes.pairs * sizes.queries * sizes.keys) as f64;
        let (dim, value_dim) = (sizes.dim as f64, sizes.value_dim as f64);
        // Scores and values; backward, the scores once more and the two gradients of each.
        let forward = 2.0 * pairs * (dim + value_dim);
        [forward, 2.0 * forward + 2.0 * pairs * dim]
    }

    fn forward(self, inputs: &[FlexTensor], tracked: &[bool]) -> Forward<Saved> {
        let places = self.places(inputs);
        let sizes = places.sizes;
        let values = self.elements(inputs);
        let mut output = Unwritten::new(sizes.pairs * sizes.queries * sizes.value_dim);
        let dest = output.pointer();
        let parts = (4 * threads()).min(sizes.pairs).max(1);
        let log_sums = in_parts(parts, |index| {
            let pairs = part(sizes.pairs, parts, index);
            // SAFETY: each part has its own heads.
            unsafe { self.attend(&places, pairs, values, dest) }
        });
        let mut shape = inputs[0].layout().shape().clone();
        let last = shape.num_dims() - 1;
        shape[last] = match self.packed {
            Some(heads) => heads * sizes.dim,
            None => sizes.value_dim,
        };
        // SAFETY: every row of every head was written.
        let output = unsafe { output.written(shape) };
        let saved = tracked.contains(&true).then(|| Saved {
            operation: self,
            inputs: inputs.to_vec(),
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
        let places = operation.places(&saved.inputs);
        let pairs = places.sizes.pairs;
        let values = operation.elements(&saved.inputs);
        let known = [
            elements(&saved.output),
            elements(&gradient),
            &saved.log_sums,
        ];
        let mut gradients: Vec<Unwritten> = saved
            .inputs
            .iter()
            .map(|input| Unwritten::new(elements(input).len()))
            .collect();
        let dests: Vec<Shared> = gradients.iter_mut().map(Unwritten::pointer).collect();
        // A packed input has one gradient for all three.
        let dests = [0, 1, 2].map(|i| dests[i.min(dests.len() - 1)]);
        let parts = (4 * threads()).min(pairs).max(1);
        in_parts(parts, |index| {
            let pairs = part(pairs, parts, index);
            // SAFETY: each part has its own heads, and these have their own part of each gradient.
            unsafe { operation.differentiate(&places, pairs, values, known, dests) };
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
    vectorized(
        #[inline(always)]
        || {
            for row in scores.chunks_exact_mut(keys) {
                log_sums.push(softmax_row(row));
            }
        },
    );
}

/// [`softmax`] of rows that each see their own stretch of the keys; all others get zeros.
fn softmax_within(scores: &mut [f32], keys: usize, spans: &[[u32; 2]], log_sums: &mut Vec<f32>) {
    if keys == 0 {
        log_sums.resize(log_sums.len() + spans.len(), 0.0);
        return;
    }
    vectorized(
        #[inline(always)]
        || {
            for (row, &[from, to]) in scores.chunks_exact_mut(keys).zip(spans) {
                let (from, to) = (from as usize, to as usize);
                row[..from].fill(0.0);
                row[to..].fill(0.0);
                log_sums.push(if from == to {
                    0.0
                } else {
                    softmax_row(&mut row[from..to])
                });
            }
        },
    );
}

/// Turns the scores of one query into weights and returns their log-sum.
#[inline(always)]
fn softmax_row(row: &mut [f32]) -> f32 {
    let max = row_max(row);
    // Of what is no number nothing is the largest; it has to stay what it is.
    if max == f32::NEG_INFINITY && row.iter().all(|score| *score == max) {
        row.fill(0.0);
        return 0.0;
    }
    row.iter_mut().for_each(|score| *score = exp(*score - max));
    let sum = row_sum(row, |weight| weight);
    let inverse = 1.0 / sum;
    row.iter_mut().for_each(|weight| *weight *= inverse);
    max + sum.ln()
}

/// From the scores and the gradient of the weights (in `slopes`), the weights and the gradient of
/// the scores before scaling: `scale · w · (dw − Σ dy · y)`, the sum running over `dim` values. What a query doesn't see
/// gets zeros.
fn score_gradients(
    weights: &mut [f32],
    slopes: &mut [f32],
    [output, gradient]: [Rows<'_>; 2],
    dim: usize,
    log_sums: &[f32],
    spans: Option<&[[u32; 2]]>,
    scale: f32,
) {
    let keys = weights.len() / log_sums.len();
    if keys == 0 {
        return;
    }
    vectorized(
        #[inline(always)]
        || {
            let rows = weights
                .chunks_exact_mut(keys)
                .zip(slopes.chunks_exact_mut(keys));
            for (i, ((weights, slopes), log_sum)) in rows.zip(log_sums).enumerate() {
                let (output, gradient) = (output.row(i, dim), gradient.row(i, dim));
                let mean = row_sum2(output, gradient, |y, dy| y * dy);
                let (weights, slopes) = match spans {
                    None => (weights, slopes),
                    Some(spans) => {
                        let [from, to] = spans[i].map(|key| key as usize);
                        for unseen in [0..from, to..keys] {
                            weights[unseen.clone()].fill(0.0);
                            slopes[unseen].fill(0.0);
                        }
                        (&mut weights[from..to], &mut slopes[from..to])
                    }
                };
                for (weight, slope) in weights.iter_mut().zip(slopes) {
                    *weight = exp(*weight - log_sum);
                    *slope = scale * *weight * (*slope - mean);
                }
            }
        },
    );
}
