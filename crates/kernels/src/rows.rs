//! Rows taken from a matrix by number, and their gradients brought back.

use std::sync::Arc;

use burn::backend::DispatchTensor;
use burn::tensor::Shape;
use burn_flex::FlexTensor;

use crate::buffer::{Unwritten, elements, in_parts, part, tensor, threads};
use crate::operation::{Forward, Operation, apply};
use crate::vectorized::vectorized;

/// At least so many rows are summed before they join the total, which keeps the rounding of long
/// sums small.
const MEMBERS: usize = 64;

/// The rows of the last axis of `source`, all others counted together, that `index` names, shaped
/// as `shape`; where there is a `blank`, the number after the last stands for it.
///
/// No number may be larger.
pub(crate) fn take(
    source: DispatchTensor,
    blank: Option<DispatchTensor>,
    index: Vec<usize>,
    shape: Shape,
) -> DispatchTensor {
    let operation = Take {
        index: index.into(),
        shape,
    };
    match blank {
        Some(blank) => apply(operation, [source, blank]).0,
        None => apply(operation, [source]).0,
    }
}

#[derive(Clone, Debug)]
struct Take {
    index: Arc<[usize]>,
    shape: Shape,
}

#[derive(Clone, Debug)]
struct Saved {
    index: Arc<[usize]>,
    source: Shape,
    blank: Option<Shape>,
}

impl Operation for Take {
    type Saved = Saved;

    fn forward(self, inputs: &[FlexTensor], tracked: &[bool]) -> Forward<Saved> {
        let source = inputs[0].layout().shape();
        let dim = source[source.num_dims() - 1];
        let blank = inputs.get(1).map_or(&[][..], elements);
        let output = gather(elements(&inputs[0]), blank, dim, &self.index);
        // SAFETY: `gather` has written a row for each number.
        let output = unsafe { output.written(self.shape) };
        let saved = tracked.contains(&true).then(|| Saved {
            index: self.index,
            source: source.clone(),
            blank: inputs.get(1).map(|blank| blank.layout().shape().clone()),
        });
        Forward {
            output,
            statistics: Vec::new(),
            saved,
        }
    }

    fn backward(saved: Saved, gradient: FlexTensor, wanted: &[bool]) -> Vec<Option<FlexTensor>> {
        let dim = saved.source[saved.source.num_dims() - 1];
        let rows: usize = (0..saved.source.num_dims() - 1)
            .map(|axis| saved.source[axis])
            .product();
        let blanks = usize::from(saved.blank.is_some());
        let mut sums = scatter(elements(&gradient), dim, &saved.index, rows + blanks);
        let blank = saved.blank.map(|shape| {
            let sum = sums.split_off(rows * dim);
            wanted[1].then(|| tensor(sum, shape))
        });
        let mut gradients = vec![wanted[0].then(|| tensor(sums, saved.source))];
        gradients.extend(blank);
        gradients
    }
}

/// Copies the rows of an index.
fn gather(source: &[f32], blank: &[f32], dim: usize, index: &[usize]) -> Unwritten {
    let mut output = Unwritten::new(index.len() * dim);
    let dest = output.pointer();
    let parts = (4 * threads()).min(index.len() * dim / 4096).max(1);
    in_parts(parts, |part_index| {
        let rows = part(index.len(), parts, part_index);
        // SAFETY: the parts are disjoint and cover the output once.
        let dest = unsafe { dest.part(rows.start * dim..rows.end * dim) };
        let dest = dest.chunks_exact_mut(dim.max(1));
        for (dest, row) in dest.zip(&index[rows]) {
            dest.copy_from_slice(source.get(row * dim..(row + 1) * dim).unwrap_or(blank));
        }
    });
    output
}

/// Adds each row of `gradient` to the row of the sum that the index names.
///
/// A counting sort brings together what belongs to a row of the sum, which is then added up by one
/// thread in the order of the index. The parts are cut so that each has about as many rows to read
/// and write.
fn scatter(gradient: &[f32], dim: usize, index: &[usize], rows: usize) -> Vec<f32> {
    // Where the members of each row begin in the sorted order.
    let mut starts = vec![0usize; rows + 1];
    for row in index {
        starts[row + 1] += 1;
    }
    for row in 0..rows {
        starts[row + 1] += starts[row];
    }
    let mut next = starts.clone();
    let mut order = vec![0usize; index.len()];
    for (place, row) in index.iter().enumerate() {
        order[next[*row]] = place;
        next[*row] += 1;
    }

    let mut sums = Unwritten::new(rows * dim);
    let dest = sums.pointer();
    let work = index.len() + rows;
    let parts = (4 * threads()).min(work * dim / 4096).max(1);
    // The first row with so much work before it.
    let cut = |work_before: usize| {
        let (mut low, mut high) = (0, rows);
        while low < high {
            let middle = low.midpoint(high);
            if starts[middle] + middle < work_before {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    };
    in_parts(parts, |part_index| {
        let work = part(work, parts, part_index);
        let rows = cut(work.start)..cut(work.end);
        // SAFETY: the cuts of neighboring parts meet, so the parts are disjoint and cover the sum.
        let dest = unsafe { dest.part(rows.start * dim..rows.end * dim) };
        let mut sum = vec![0.0; dim];
        vectorized(
            #[inline(always)]
            || {
                for (row, dest) in rows.clone().zip(dest.chunks_exact_mut(dim.max(1))) {
                    let members = &order[starts[row]..starts[row + 1]];
                    let some = members.len().isqrt().max(MEMBERS);
                    let (first, others) = members.split_at(members.len().min(some));
                    add_up(gradient, first, dest);
                    for members in others.chunks(some) {
                        add_up(gradient, members, &mut sum);
                        for (dest, sum) in dest.iter_mut().zip(&sum) {
                            *dest += sum;
                        }
                    }
                }
            },
        );
    });
    // SAFETY: every row was written.
    unsafe { sums.into_vec(rows * dim) }
}

/// Replaces `dest` by the sum of some rows, in their order.
#[inline(always)]
fn add_up(rows: &[f32], members: &[usize], dest: &mut [f32]) {
    let Some((first, others)) = members.split_first() else {
        dest.fill(0.0);
        return;
    };
    let dim = dest.len();
    dest.copy_from_slice(&rows[first * dim..][..dim]);
    for member in others {
        for (dest, value) in dest.iter_mut().zip(&rows[member * dim..][..dim]) {
            *dest += value;
        }
    }
}
