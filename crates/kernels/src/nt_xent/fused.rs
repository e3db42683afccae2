//! NT-Xent on Flex.

use std::ops::Range;

use burn::backend::DispatchTensor;
use burn_flex::FlexTensor;

use crate::buffer::{Unwritten, elements, in_parts, part, tensor, threads};
use crate::matrix::Packed;
use crate::operation::{Forward, Operation, apply};
use crate::reduce::{row_max, row_sum, row_sum2};
use crate::special::exp;
use crate::vectorized::vectorized;

/// Similarities that are worked on at once, so that they stay in the second-level cache.
const BLOCK_FLOATS: usize = 64 * 1024;

pub(super) fn nt_xent(z: DispatchTensor, temperature: f64) -> DispatchTensor {
    apply(
        NtXent {
            inverse_temperature: (1.0 / temperature) as f32,
        },
        [z],
    )
    .0
}

#[derive(Clone, Debug)]
struct NtXent {
    inverse_temperature: f32,
}

#[derive(Clone, Debug)]
struct Saved {
    operation: NtXent,
    z: FlexTensor,
    /// `log Σ_{k≠i} exp(s_ik / τ)` of each view.
    log_sums: Vec<f32>,
}

impl NtXent {
    /// Runs `work` on blocks of rows with their similarities over the temperature, minus infinity
    /// where a view meets itself.
    fn rows<R: Send>(
        &self,
        z: &FlexTensor,
        work: impl Fn(Range<usize>, &mut [f32]) -> R + Send + Sync,
    ) -> Vec<R> {
        let shape = z.layout().shape();
        let (views, dim, z) = (shape[0], shape[1], elements(z));
        let rows = (BLOCK_FLOATS / views).clamp(24, views.div_ceil(threads()).max(24));
        let blocks = views.div_ceil(rows);
        let parts = (4 * threads()).min(blocks);
        let inverse_temperature = self.inverse_temperature;
        let right = Packed::new(Vec::new(), [dim, views], |d, view| {
            z[view * dim + d] * inverse_temperature
        });
        let results = in_parts(parts, |index| {
            let mut similarities = vec![0.0; rows * views];
            let blocks = part(blocks, parts, index);
            let results = blocks.map(|block| {
                let block = block * rows..((block + 1) * rows).min(views);
                let similarities = &mut similarities[..block.len() * views];
                right.multiply(&z[block.start * dim..block.end * dim], similarities);
                for (view, row) in block.clone().zip(similarities.chunks_exact_mut(views)) {
                    row[view] = f32::NEG_INFINITY;
                }
                work(block, similarities)
            });
            results.collect::<Vec<_>>()
        });
        results.into_iter().flatten().collect()
    }
}

impl Operation for NtXent {
    type Saved = Saved;

    fn flops(&self, inputs: &[FlexTensor], _tracked: &[bool]) -> [f64; 2] {
        let shape = inputs[0].layout().shape();
        let (views, dim) = (shape[0] as f64, shape[1] as f64);
        // Backward, the similarities once more and their product with the views.
        let forward = 2.0 * views * views * dim;
        [forward, 2.0 * forward]
    }

    fn forward(self, inputs: &[FlexTensor], tracked: &[bool]) -> Forward<Saved> {
        let z = &inputs[0];
        let (views, dim) = (z.layout().shape()[0], z.layout().shape()[1]);
        let values = elements(z);
        let log_sums = self
            .rows(z, |_, similarities| {
                vectorized(
                    #[inline(always)]
                    || {
                        let rows = similarities.chunks_exact(views);
                        rows.map(|row| {
                            let max = row_max(row);
                            max + row_sum(row, |s| exp(s - max)).ln()
                        })
                        .collect::<Vec<f32>>()
                    },
                )
            })
            .concat();
        let row = |view: usize| &values[view * dim..(view + 1) * dim];
        let losses = log_sums.iter().enumerate().map(|(view, log_sum)| {
            let positive = row_sum2(row(view), row((view + views / 2) % views), |a, b| a * b);
            f64::from(*log_sum) - f64::from(positive * self.inverse_temperature)
        });
        let loss = losses.sum::<f64>() / views as f64;
        let saved = tracked[0].then(|| Saved {
            operation: self,
            z: z.clone(),
            log_sums,
        });
        Forward {
            output: tensor(vec![loss as f32], [1]),
            statistics: Vec::new(),
            saved,
        }
    }

    /// The softmax of row i pulls on view i through its own row and, the similarities being
    /// symmetric, through every other row:
    /// `dz_i = 1/(2N·τ) · Σ_{k≠i} (P_ik + P_ki − 2·[k = p(i)]) z_k`, with `P_ik = exp(s_ik/τ − L_i)`.
    fn backward(saved: Saved, gradient: FlexTensor, wanted: &[bool]) -> Vec<Option<FlexTensor>> {
        if !wanted[0] {
            return vec![None];
        }
        let shape = saved.z.layout().shape();
        let (views, dim) = (shape[0], shape[1]);
        let log_sums = &saved.log_sums;
        let upstream = elements(&gradient)[0];
        let scale = upstream * saved.operation.inverse_temperature / views as f32;
        let z = elements(&saved.z);
        let z = Packed::new(Vec::new(), [views, dim], |view, d| {
            z[view * dim + d] * scale
        });
        let mut buffer = Unwritten::new(views * dim);
        let dest = buffer.pointer();
        saved.operation.rows(&saved.z, |block, similarities| {
            vectorized(
                #[inline(always)]
                || {
                    let rows = similarities.chunks_exact_mut(views);
                    for (view, row) in block.clone().zip(rows) {
                        let own = log_sums[view];
                        for (s, other) in row.iter_mut().zip(log_sums) {
                            *s = exp(*s - own) + exp(*s - other);
                        }
                        row[(view + views / 2) % views] -= 2.0;
                    }
                },
            );
            // SAFETY: each block has its own rows of the gradient.
            let dest = unsafe { dest.part(block.start * dim..block.end * dim) };
            z.multiply(similarities, dest);
        });
        // SAFETY: every row was written.
        vec![Some(unsafe { buffer.written([views, dim]) })]
    }
}
