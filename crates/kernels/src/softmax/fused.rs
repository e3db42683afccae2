//! Softmax on Flex.

use burn::backend::DispatchTensor;
use burn_flex::FlexTensor;

use crate::buffer::{Shared, Unwritten, elements, in_parts, part, threads};
use crate::operation::{Forward, Operation, apply};
use crate::reduce::{row_max, row_sum, row_sum2};
use crate::special::exp;
use crate::vectorized::vectorized;

pub(super) fn softmax(x: DispatchTensor, logarithm: bool) -> DispatchTensor {
    apply(Softmax { logarithm }, [x]).0
}

#[derive(Clone, Debug)]
struct Softmax {
    logarithm: bool,
}

#[derive(Clone, Debug)]
struct Saved {
    operation: Softmax,
    output: FlexTensor,
}

impl Operation for Softmax {
    type Saved = Saved;

    fn forward(self, inputs: &[FlexTensor], tracked: &[bool]) -> Forward<Saved> {
        let x = elements(&inputs[0]);
        let [rows, classes] = sizes(&inputs[0]);
        let mut output = Unwritten::new(x.len());
        let dest = output.pointer();
        let parts = parts(rows, classes);
        in_parts(parts, |index| {
            let rows = part(rows, parts, index);
            let range = rows.start * classes..rows.end * classes;
            // SAFETY: the parts are disjoint and cover the output once.
            let dest = unsafe { dest.part(range.clone()) };
            let x = &x[range];
            vectorized(
                #[inline(always)]
                || {
                    let rows = x.chunks_exact(classes).zip(dest.chunks_exact_mut(classes));
                    for (x, y) in rows {
                        if self.logarithm {
                            log_softmax_row(x, y);
                        } else {
                            softmax_row(x, y);
                        }
                    }
                },
            );
        });
        // SAFETY: every row was written.
        let output = unsafe { output.written(inputs[0].layout().shape().clone()) };
        let saved = tracked[0].then(|| Saved {
            operation: self,
            output: output.clone(),
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
        if !wanted[0] {
            return vec![None];
        }
        let [rows, classes] = sizes(&saved.output);
        let output = elements(&saved.output);
        let dest = Shared::new(gradient.storage_mut::<f32>().as_mut_ptr());
        let parts = parts(rows, classes);
        in_parts(parts, |index| {
            let rows = part(rows, parts, index);
            let range = rows.start * classes..rows.end * classes;
            // SAFETY: the parts are disjoint, and the gradient is ours alone.
            let gradient = unsafe { dest.part(range.clone()) };
            let output = &output[range];
            vectorized(
                #[inline(always)]
                || {
                    let rows = gradient
                        .chunks_exact_mut(classes)
                        .zip(output.chunks_exact(classes));
                    for (g, y) in rows {
                        if saved.operation.logarithm {
                            let sum = row_sum(g, |g| g);
                            for (g, y) in g.iter_mut().zip(y) {
                                *g -= exp(*y) * sum;
                            }
                        } else {
                            let mean = row_sum2(g, y, |g, y| g * y);
                            for (g, y) in g.iter_mut().zip(y) {
                                *g = (*g - mean) * y;
                            }
                        }
                    }
                },
            );
        });
        vec![Some(gradient)]
    }
}

/// The number of rows, and their length, at least one.
fn sizes(x: &FlexTensor) -> [usize; 2] {
    let shape = x.layout().shape();
    let classes = shape[shape.num_dims() - 1].max(1);
    [shape.num_elements() / classes, classes]
}

/// Into how many parts the rows are cut; each comes out the same whoever computes it.
fn parts(rows: usize, classes: usize) -> usize {
    (4 * threads()).min(rows).min(rows * classes / 4096).max(1)
}

#[inline(always)]
fn softmax_row(x: &[f32], y: &mut [f32]) {
    let max = row_max(x);
    for (y, x) in y.iter_mut().zip(x) {
        *y = exp(x - max);
    }
    let inverse = 1.0 / row_sum(y, |y| y);
    y.iter_mut().for_each(|y| *y *= inverse);
}

#[inline(always)]
fn log_softmax_row(x: &[f32], y: &mut [f32]) {
    let max = row_max(x);
    let log_sum = row_sum(x, |x| exp(x - max)).ln();
    for (y, x) in y.iter_mut().zip(x) {
        *y = (x - max) - log_sum;
    }
}
