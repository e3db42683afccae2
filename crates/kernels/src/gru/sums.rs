//! The gradients of input and weights of the gated recurrent unit, once those of its gates are
//! known for all steps.

use super::fused::{ROWS, Sizes, run};
use super::steps::recurrent_gates;
use crate::buffer::{Shared, in_parts, part, threads};
use crate::matrix::{Correlation, Packed, Rows};
use crate::tile::{Gather, product};
use crate::vectorized::vectorized;

/// What the gradients of the gates of all steps make of the gradients of input and weights.
pub(super) struct Gradients<'a> {
    pub(super) sizes: Sizes,
    pub(super) x: &'a [f32],
    /// The weight of the input, `[3 · hidden, features]`.
    pub(super) input: &'a [f32],
    /// The gradients, `4 · hidden` floats a step.
    pub(super) gates: &'a [f32],
    /// Whether the weights of the input and of the states want their gradients.
    pub(super) wanted: [bool; 2],
}

/// Gradients of the weights, as they are laid out, and the sum of each gate's gradient.
pub(super) struct Sums {
    pub(super) input: Vec<f32>,
    pub(super) hidden: Vec<f32>,
    pub(super) gates: Vec<f32>,
}

impl Gradients<'_> {
    /// Sums over all steps, and writes the gradient of the input where one is wanted.
    ///
    /// `previous` gives the states before a step, or nothing where they are zero. `x_gradient` must
    /// have room for as many floats as `x`.
    pub(super) fn sum<'s>(
        &self,
        x_gradient: Option<Shared>,
        previous: impl Fn(usize) -> Option<&'s [f32]> + Sync,
    ) -> Sums {
        let Sizes {
            features, hidden, ..
        } = self.sizes;
        let rows = self.sizes.batch * self.sizes.time;
        let weight = x_gradient.map(|_| {
            Packed::new(Vec::new(), [3 * hidden, features], |gate, feature| {
                self.input[gate * features + feature]
            })
        });
        let blocks = rows.div_ceil(ROWS);
        let parts = threads().min(blocks).max(1);
        let sums = in_parts(parts, |index| {
            let mut input = Correlation::new([3 * hidden, features]);
            let mut recurrence = Correlation::new([3 * hidden, hidden]);
            let mut total = vec![0.0f64; 4 * hidden];
            let mut states = Vec::new();
            for block in part(blocks, parts, index) {
                let rows = block * ROWS..((block + 1) * ROWS).min(rows);
                let gates = &self.gates[rows.start * 4 * hidden..rows.end * 4 * hidden];
                let offsets: Vec<usize> = (0..rows.len()).map(|row| row * 4 * hidden).collect();
                let segments = run(3 * hidden);
                let gather = Gather {
                    source: gates,
                    offsets: &offsets,
                    segments: &segments,
                };
                if let (Some(dest), Some(weight)) = (x_gradient, &weight) {
                    let dest_offsets: Vec<usize> = rows.clone().map(|row| row * features).collect();
                    let (values, panels, dest) = (&weight.values, weight.panels, dest.pointer());
                    // SAFETY: blocks have disjoint rows, inside the room promised.
                    unsafe { product(gather, values, None, panels, dest, &dest_offsets) };
                }
                if self.wanted[0] {
                    let x = Rows {
                        values: &self.x[rows.start * features..rows.end * features],
                        pitch: features,
                        count: rows.len(),
                    };
                    input.add_gathered(gather, x);
                }
                if self.wanted[1] {
                    states.clear();
                    for row in rows {
                        match previous(row) {
                            Some(previous) => states.extend_from_slice(previous),
                            None => states.resize(states.len() + hidden, 0.0),
                        }
                    }
                    let segments = recurrent_gates(hidden);
                    let gather = Gather {
                        segments: &segments,
                        ..gather
                    };
                    let states = Rows {
                        values: &states,
                        pitch: hidden,
                        count: gather.offsets.len(),
                    };
                    recurrence.add_gathered(gather, states);
                }
                add_columns(gates, &mut total);
            }
            let mut sums = [
                vec![0.0; 3 * hidden * features],
                vec![0.0; 3 * hidden * hidden],
            ];
            // SAFETY: the sums are ours alone and have room for all rows.
            unsafe {
                input.take(sums[0].as_mut_ptr(), features);
                recurrence.take(sums[1].as_mut_ptr(), hidden);
            }
            (sums, total)
        });
        let mut sums = sums.into_iter();
        let ([mut input, mut hidden], mut gates) = sums.next().expect("there is at least one part");
        for (weights, total) in sums {
            for (sum, part) in [&mut input, &mut hidden].into_iter().zip(&weights) {
                sum.iter_mut()
                    .zip(part)
                    .for_each(|(sum, part)| *sum += part);
            }
            gates
                .iter_mut()
                .zip(&total)
                .for_each(|(sum, part)| *sum += part);
        }
        Sums {
            input,
            hidden,
            gates: gates.into_iter().map(|sum| sum as f32).collect(),
        }
    }
}

/// Adds the sum of each column of a block to the totals.
fn add_columns(block: &[f32], totals: &mut [f64]) {
    let mut sum = vec![0.0f32; totals.len()];
    vectorized(
        #[inline(always)]
        || {
            for row in block.chunks_exact(sum.len().max(1)) {
                for (sum, value) in sum.iter_mut().zip(row) {
                    *sum += value;
                }
            }
        },
    );
    for (total, sum) in totals.iter_mut().zip(&sum) {
        *total += f64::from(*sum);
    }
}
