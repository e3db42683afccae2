//! Responses of a dictionary on Flex: a few images at a time, each thread its own.

use std::ops::Range;

use burn::backend::DispatchTensor;
use burn_flex::FlexTensor;

use super::Patches;
use crate::buffer::{Shared, Unwritten, elements, in_parts, part, threads};
use crate::operation::{Forward, Operation, apply};
use crate::product::{Matrix, multiply_in_passing};
use crate::vectorized::vectorized;

/// Images whose patches meet the dictionary together, for each time that it is packed.
const GROUP: usize = 8;

pub(super) fn patch_responses(
    x: DispatchTensor,
    atoms: DispatchTensor,
    offsets: DispatchTensor,
    patches: Patches,
) -> DispatchTensor {
    apply(Responses { patches }, [x, atoms, offsets]).0
}

#[derive(Clone, Debug)]
struct Responses {
    patches: Patches,
}

impl Operation for Responses {
    type Saved = ();

    fn flops(&self, inputs: &[FlexTensor], _: &[bool]) -> [f64; 2] {
        let (x, atoms) = (inputs[0].layout().shape(), inputs[1].layout().shape());
        let [rows, columns] = self.patches.along([x[1], x[2]]);
        [
            2.0 * (x[0] * rows * columns * atoms.num_elements()) as f64,
            0.0,
        ]
    }

    fn forward(self, inputs: &[FlexTensor], tracked: &[bool]) -> Forward<()> {
        let shape = inputs[0].layout().shape();
        let [batch, height, width, channels] = [shape[0], shape[1], shape[2], shape[3]];
        let along = self.patches.along([height, width]);
        let positions = along[0] * along[1];
        let cells = self.patches.cells_of(along);
        let grid = self.patches.cells * self.patches.cells;
        let [atoms, offsets] = [1, 2].map(|index| elements(&inputs[index]));
        let (count, values) = (
            offsets.len(),
            self.patches.size * self.patches.size * channels,
        );
        let bias: Vec<f32> = offsets.iter().map(|offset| -offset).collect();
        let sizes = self.patches.sizes(&cells);
        let x = elements(&inputs[0]);
        let mut output = Unwritten::new(batch * grid * count);
        let dest = output.pointer();
        let parts = threads().min(batch).max(1);
        in_parts(parts, |index| {
            let mine = part(batch, parts, index);
            let mut cut = vec![0.0f32; GROUP.min(mine.len()) * positions * values];
            for first in mine.clone().step_by(GROUP) {
                let group = first..(first + GROUP).min(mine.end);
                let cut = &mut cut[..group.len() * positions * values];
                for (item, cut) in group.clone().zip(cut.chunks_exact_mut(positions * values)) {
                    let image = &x[item * height * width * channels..][..height * width * channels];
                    self.cut(image, along[1], [width, channels], cut);
                }
                let range = group.start * grid * count..group.end * grid * count;
                // SAFETY: each item has its own part of the output, which is written before it is read.
                let sums = unsafe { dest.part(range) };
                sums.fill(0.0);
                let total = Shared::new(sums.as_mut_ptr());
                let gather = |rows: Range<usize>, columns: Range<usize>, block: &[f32]| {
                    vectorized(
                        #[inline(always)]
                        || {
                            for (row, found) in rows.clone().zip(block.chunks_exact(count)) {
                                let (item, position) = (row / positions, row % positions);
                                let at = (item * grid + cells[position]) * count;
                                // SAFETY: within the group's part, on this thread alone, while nothing else looks.
                                let sums =
                                    unsafe { total.part(at + columns.start..at + columns.end) };
                                for (sum, found) in sums.iter_mut().zip(&found[columns.clone()]) {
                                    *sum += if *found < 0.0 { 0.0 } else { *found };
                                }
                            }
                        },
                    );
                };
                let left = Matrix::new(cut, [group.len() * positions, values]);
                let right = Matrix::new(atoms, [count, values]).transposed();
                multiply_in_passing(left, right, Some(&bias), gather);
                for (place, sum) in sums.chunks_exact_mut(count).enumerate() {
                    let share = 1.0 / sizes[place % grid] as f32;
                    sum.iter_mut().for_each(|sum| *sum *= share);
                }
            }
        });
        // SAFETY: every item's part was written.
        let output = unsafe { output.written([batch, grid, count]) };
        Forward {
            output,
            statistics: Vec::new(),
            saved: tracked.contains(&true).then_some(()),
        }
    }

    fn backward((): (), _: FlexTensor, wanted: &[bool]) -> Vec<Option<FlexTensor>> {
        // The features are fixed.
        vec![None; wanted.len()]
    }
}

impl Responses {
    /// The normalized patches of an image, `[rows · columns, size · size · channels]`, `columns` in a row.
    fn cut(&self, image: &[f32], columns: usize, [width, channels]: [usize; 2], cut: &mut [f32]) {
        let Patches {
            size,
            stride,
            floor,
            ..
        } = self.patches;
        let line = size * channels;
        let values = size * line;
        vectorized(
            #[inline(always)]
            || {
                for (place, patch) in cut.chunks_exact_mut(values).enumerate() {
                    let (row, column) = (place / columns, place % columns);
                    let mut sum = 0.0f32;
                    for (y, dest) in patch.chunks_exact_mut(line).enumerate() {
                        let first = ((row * stride + y) * width + column * stride) * channels;
                        let source = &image[first..first + line];
                        for (dest, source) in dest.iter_mut().zip(source) {
                            *dest = *source;
                            sum += source;
                        }
                    }
                    let mean = sum / values as f32;
                    let mut squares = 0.0f32;
                    for value in patch.iter_mut() {
                        *value -= mean;
                        squares += *value * *value;
                    }
                    let scale = 1.0 / (squares / values as f32 + floor).sqrt();
                    for value in patch.iter_mut() {
                        *value *= scale;
                    }
                }
            },
        );
    }
}
