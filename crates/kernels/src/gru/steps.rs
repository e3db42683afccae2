//! The steps of the gated recurrent unit, forward and backward.
//!
//! Each part of the batch runs through all steps on one thread.

use std::ops::Range;

use super::fused::{Sizes, padded, run};
use crate::buffer::{Shared, in_parts, part, threads};
use crate::matrix::Packed;
use crate::special::{sigmoid, tanh};
use crate::tile::{Gather, Segment, product};
use crate::vectorized::vectorized;

/// What goes from step to step.
pub(super) struct Recurrence<'a> {
    pub(super) sizes: Sizes,
    /// `[3 · hidden, hidden]`.
    pub(super) weight: &'a [f32],
    pub(super) initial: Option<&'a [f32]>,
}

impl Recurrence<'_> {
    /// Parts of the batch that each go through all steps.
    fn parts(&self) -> usize {
        threads().min(self.sizes.batch).max(1)
    }

    /// Where a buffer of `width` floats a step holds these items.
    fn range(&self, items: &Range<usize>, width: usize) -> Range<usize> {
        let floats = self.sizes.time * width;
        items.start * floats..items.end * floats
    }

    /// The states of these items before the first step.
    fn initial(&self, items: &Range<usize>) -> Vec<f32> {
        let hidden = self.sizes.hidden;
        match self.initial {
            Some(initial) => initial[items.start * hidden..items.end * hidden].to_vec(),
            None => vec![0.0; items.len() * hidden],
        }
    }

    /// Turns the products with the input into gates, and writes the states.
    ///
    /// # Safety
    /// `gates` must hold the products and have room for `4 · hidden` floats a step, `states` for
    /// `hidden`; nobody else may use them meanwhile.
    pub(super) unsafe fn forward(&self, bias: &[f32], gates: Shared, states: Shared) {
        let Sizes { time, hidden, .. } = self.sizes;
        let weight = Packed::new(Vec::new(), [hidden, 3 * hidden], |state, gate| {
            self.weight[gate * hidden + state]
        });
        let bias = padded(bias, &weight);
        let parts = self.parts();
        in_parts(parts, |index| {
            let items = part(self.sizes.batch, parts, index);
            // SAFETY: the parts are disjoint, and states are read after they were written.
            let (gates, states) = unsafe {
                (
                    gates.part(self.range(&items, 4 * hidden)),
                    states.part(self.range(&items, hidden)),
                )
            };
            let initial = self.initial(&items);
            let mut products = vec![0.0; items.len() * 3 * hidden];
            let dest_offsets: Vec<usize> = (0..items.len()).map(|i| i * 3 * hidden).collect();
            let mut offsets = vec![0; items.len()];
            for step in 0..time {
                for (item, offset) in offsets.iter_mut().enumerate() {
                    *offset = match step {
                        0 => item * hidden,
                        _ => (item * time + step - 1) * hidden,
                    };
                }
                let gather = Gather {
                    source: if step == 0 { &initial } else { &*states },
                    offsets: &offsets,
                    segments: &run(hidden),
                };
                let (values, panels) = (&weight.values, weight.panels);
                let dest = products.as_mut_ptr();
                // SAFETY: there is a row of products for each item.
                unsafe { product(gather, values, Some(&bias), panels, dest, &dest_offsets) };
                vectorized(
                    #[inline(always)]
                    || {
                        for (item, products) in products.chunks_exact(3 * hidden).enumerate() {
                            let row = item * time + step;
                            let (before, state) = states.split_at_mut(row * hidden);
                            let previous = match step {
                                0 => &initial[item * hidden..][..hidden],
                                _ => &before[before.len() - hidden..],
                            };
                            let gates = &mut gates[row * 4 * hidden..][..4 * hidden];
                            advance(gates, products, previous, &mut state[..hidden]);
                        }
                    },
                );
            }
        });
    }

    /// Turns the gates into the gradients of what went into them, the last of them being that of
    /// `W_hn h + b_hn`, and gives the gradient of the initial states.
    ///
    /// # Safety
    /// `gates` must hold `4 · hidden` floats a step, and nobody else may use it meanwhile.
    pub(super) unsafe fn backward(
        &self,
        gradient: &[f32],
        states: &[f32],
        gates: Shared,
    ) -> Vec<f32> {
        let Sizes { time, hidden, .. } = self.sizes;
        let weight = Packed::new(Vec::new(), [3 * hidden, hidden], |gate, state| {
            self.weight[gate * hidden + state]
        });
        let parts = self.parts();
        let initial = in_parts(parts, |index| {
            let items = part(self.sizes.batch, parts, index);
            // SAFETY: the parts are disjoint.
            let gates = unsafe { gates.part(self.range(&items, 4 * hidden)) };
            let range = self.range(&items, hidden);
            let (gradient, states) = (&gradient[range.clone()], &states[range]);
            let initial = self.initial(&items);
            // The gradient of the state that went into the step after: what came around the gates
            // and what came through them.
            let mut around = vec![0.0; items.len() * hidden];
            let mut through = vec![0.0; items.len() * hidden];
            let mut slope = vec![0.0; hidden];
            let dest_offsets: Vec<usize> = (0..items.len()).map(|i| i * hidden).collect();
            let mut offsets = vec![0; items.len()];
            for step in (0..time).rev() {
                vectorized(
                    #[inline(always)]
                    || {
                        let carried = around.chunks_exact_mut(hidden);
                        let carried = carried.zip(through.chunks_exact(hidden));
                        for (item, (around, through)) in carried.enumerate() {
                            let row = item * time + step;
                            let previous = match step {
                                0 => &initial[item * hidden..][..hidden],
                                _ => &states[(row - 1) * hidden..][..hidden],
                            };
                            let gradient = &gradient[row * hidden..][..hidden];
                            for ((sum, through), gradient) in
                                around.iter_mut().zip(through).zip(gradient)
                            {
                                *sum += through + gradient;
                            }
                            let gates = &mut gates[row * 4 * hidden..][..4 * hidden];
                            retreat(gates, previous, around, &mut slope);
                        }
                    },
                );
                for (item, offset) in offsets.iter_mut().enumerate() {
                    *offset = (item * time + step) * 4 * hidden;
                }
                let gather = Gather {
                    source: gates,
                    offsets: &offsets,
                    segments: &recurrent_gates(hidden),
                };
                let (values, panels) = (&weight.values, weight.panels);
                let dest = through.as_mut_ptr();
                // SAFETY: there is a row for each item.
                unsafe { product(gather, values, None, panels, dest, &dest_offsets) };
            }
            for (around, through) in around.iter_mut().zip(&through) {
                *around += through;
            }
            around
        });
        initial.concat()
    }
}

/// Of the four gradients, those that went through the recurrent product.
pub(super) fn recurrent_gates(hidden: usize) -> [Segment; 2] {
    let segment = |offset, length| Segment { offset, length };
    [segment(0, 2 * hidden), segment(3 * hidden, hidden)]
}

/// One step of one item: `gates` holds the products with the input and gets what is kept.
///
/// Each loop runs over few arrays, so that the compiler can tell that they don't overlap.
#[inline(always)]
fn advance(gates: &mut [f32], products: &[f32], previous: &[f32], state: &mut [f32]) {
    let hidden = state.len();
    let (both, rest) = gates.split_at_mut(2 * hidden);
    let (new, inner) = rest.split_at_mut(hidden);
    let (products, inner_products) = products.split_at(2 * hidden);
    for (gate, product) in both.iter_mut().zip(products) {
        *gate = sigmoid(*gate + product);
    }
    inner.copy_from_slice(inner_products);
    let (reset, update) = both.split_at(hidden);
    for ((new, reset), inner) in new.iter_mut().zip(reset).zip(inner_products) {
        *new = tanh(*new + reset * inner);
    }
    let kept = update.iter().zip(previous);
    for ((state, new), (update, previous)) in state.iter_mut().zip(&*new).zip(kept) {
        *state = new + update * (previous - new);
    }
}

/// The gradient of one step of one item: of the gates in place, and in `around`, which holds the
/// gradient of the new state, that of the previous one so far as it doesn't come through the gates.
///
/// `slope` is room for a row.
#[inline(always)]
fn retreat(gates: &mut [f32], previous: &[f32], around: &mut [f32], slope: &mut [f32]) {
    let hidden = around.len();
    let (reset, rest) = gates.split_at_mut(hidden);
    let (update, rest) = rest.split_at_mut(hidden);
    let (new, inner) = rest.split_at_mut(hidden);
    let pairs = new.iter().zip(&*update).zip(previous.iter().zip(&*around));
    for (slope, ((new, update), (previous, around))) in slope.iter_mut().zip(pairs) {
        *slope = around * (previous - new) * update * (1.0 - update);
    }
    for ((new, update), around) in new.iter_mut().zip(&*update).zip(&*around) {
        *new = around * (1.0 - update) * (1.0 - *new * *new);
    }
    for (around, update) in around.iter_mut().zip(&*update) {
        *around *= update;
    }
    update.copy_from_slice(slope);
    for ((reset, inner), new) in reset.iter_mut().zip(inner).zip(&*new) {
        let open = *reset;
        *reset = new * *inner * open * (1.0 - open);
        *inner = new * open;
    }
}
