//! The mean over all positions on Flex.

use burn::backend::DispatchTensor;
use burn::tensor::Shape;
use burn_flex::FlexTensor;

use crate::buffer::{Unwritten, elements, in_parts, part, threads};
use crate::operation::{Forward, Operation, apply};
use crate::vectorized::vectorized;

/// Positions that are summed in single precision before they join the totals.
const POSITIONS: usize = 256;

pub(super) fn mean_pool(x: DispatchTensor) -> DispatchTensor {
    apply(MeanPool, [x]).0
}

#[derive(Clone, Debug)]
struct MeanPool;

impl Operation for MeanPool {
    /// The shape of the input.
    type Saved = Shape;

    fn forward(self, inputs: &[FlexTensor], tracked: &[bool]) -> Forward<Shape> {
        let shape = inputs[0].layout().shape().clone();
        let [batch, positions, channels] = sizes(&shape);
        let x = elements(&inputs[0]);
        let mut output = Unwritten::new(batch * channels);
        let dest = output.pointer();
        let parts = (4 * threads()).min(batch).max(1);
        in_parts(parts, |index| {
            let mut sum = vec![0.0f32; channels];
            let mut total = vec![0.0f64; channels];
            for item in part(batch, parts, index) {
                // SAFETY: each item has its own row of the output.
                let dest = unsafe { dest.part(item * channels..(item + 1) * channels) };
                let x = &x[item * positions * channels..][..positions * channels];
                total.fill(0.0);
                vectorized(
                    #[inline(always)]
                    || {
                        for block in x.chunks((POSITIONS * channels).max(1)) {
                            sum.fill(0.0);
                            for row in block.chunks_exact(channels) {
                                for (sum, x) in sum.iter_mut().zip(row) {
                                    *sum += x;
                                }
                            }
                            for (total, sum) in total.iter_mut().zip(&sum) {
                                *total += f64::from(*sum);
                            }
                        }
                        for (dest, total) in dest.iter_mut().zip(&total) {
                            *dest = (total / positions as f64) as f32;
                        }
                    },
                );
            }
        });
        // SAFETY: every row was written.
        let output = unsafe { output.written([batch, channels]) };
        Forward {
            output,
            statistics: Vec::new(),
            saved: tracked[0].then_some(shape),
        }
    }

    fn backward(shape: Shape, gradient: FlexTensor, wanted: &[bool]) -> Vec<Option<FlexTensor>> {
        if !wanted[0] {
            return vec![None];
        }
        let [batch, positions, channels] = sizes(&shape);
        let gradient = elements(&gradient);
        let share = 1.0 / positions as f32;
        let mut input = Unwritten::new(batch * positions * channels);
        let dest = input.pointer();
        let parts = (4 * threads()).min(batch).max(1);
        in_parts(parts, |index| {
            for item in part(batch, parts, index) {
                let range = item * positions * channels..(item + 1) * positions * channels;
                // SAFETY: each item has its own part of the gradient.
                let dest = unsafe { dest.part(range) };
                let (first, others) = dest.split_at_mut(channels);
                let gradient = &gradient[item * channels..][..channels];
                for (first, gradient) in first.iter_mut().zip(gradient) {
                    *first = gradient * share;
                }
                for row in others.chunks_exact_mut(channels.max(1)) {
                    row.copy_from_slice(first);
                }
            }
        });
        // SAFETY: every element was written.
        vec![Some(unsafe { input.written(shape) })]
    }
}

/// Batch, positions and channels.
fn sizes(shape: &Shape) -> [usize; 3] {
    let last = shape.num_dims() - 1;
    [
        shape[0],
        (1..last).map(|axis| shape[axis]).product(),
        shape[last],
    ]
}
