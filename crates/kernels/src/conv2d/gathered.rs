//! Convolutions as products of packed windows, for processors with few registers.
//!
//! Where registers are few, a direct tile (see `direct`) is 6 pixels by two vectors, and its 12
//! multiply-adds take six cycles. In them, three of the direct walks read one to three lines that are
//! not in the first-level cache any more:
//!
//! - The gradient of the weight goes through the pixels of a block anew for every six rows of its sum.
//!   For 12 multiply-adds it reads a line of the gradient and one or two of the source, at distances
//!   that are mostly powers of two, so that they throw each other out of the first-level cache.
//! - The output reads a panel of the weight, 16 columns as deep as a window, anew for every six
//!   pixels, which is a line for 12 multiply-adds where the panel is too deep for the first-level cache.
//! - So does the gradient of the input, whose panels are as deep as the taps of a phase times the
//!   output's channels.
//!
//! Here windows are copied block by block in the order in which the tiles of the `product` module read
//! them, and both operands come out of the first-level cache. The gradient of the input is that of
//! the windows, a product as deep as there are output channels, added up where the windows lie; whole
//! images belong to one thread, so that sums come in one order.
//!
//! Cost: a float of a window is a third of a cycle to copy, or to add, beside the `out / 16` cycles of
//! its multiply-adds: a sixth of them with 32 output channels, a twentieth with 128. Where there are
//! 32 registers, a direct tile makes twice as many multiply-adds of what it reads, so the direct walks
//! are kept.

use std::ops::Range;

use burn_flex::FlexTensor;

use super::direct::relu;
use super::shapes::Shapes;
use crate::buffer::{Shared, Unwritten, in_parts, part, tensor, threads};
use crate::product::{
    Gathered, Matrix, SHALLOW, add_windows, has_few_registers, multiply_in_passing,
    multiply_windows,
};
use crate::tile::Panels;
use crate::vectorized::vectorized;
use crate::window::{Walk, Windows};

/// Least channels: shorter runs of a window take too long to copy.
const CHANNELS: usize = 16;
/// Least output channels of a convolution, of the gradient of its input, and of that of its weight.
const OUT: [usize; 3] = [64, 128, 32];
/// Floats of a panel that stay in the first-level cache beside the windows, 24 KiB.
const NEAR: usize = 6 * 1024;
/// Longest window whose gradients, 96 at a time, stay near the second-level cache; longer ones are walked over directly for the
/// output as well, which is then as fast or faster by a tenth.
const LONGEST: usize = 1280;
/// Floats of the packed windows of a block of a weight's gradient, 256 KiB.
const PACKED: usize = 64 * 1024;
/// Least and most pixels of such a block: the sum is read and written once for each.
const SUMMED: [usize; 2] = [128, 256];

fn applies(shapes: &Shapes) -> bool {
    let options = &shapes.options;
    has_few_registers()
        && options.groups == 1
        && options.dilation == [1, 1]
        && shapes.channels >= CHANNELS
}

/// Whether a direct tile finds its panel of the weight in the first-level cache.
fn stays_near(depth: usize, columns: usize) -> bool {
    let panels = Panels::new(columns);
    depth * panels.widths()[0].min(panels.padded()) <= NEAR
}

/// Whether the output is better made here.
pub(super) fn forward_pays(shapes: &Shapes) -> bool {
    let deep = !stays_near(shapes.weight_stride(), shapes.out);
    applies(shapes) && deep && shapes.out >= OUT[0] && shapes.weight_stride() <= LONGEST
}

/// Whether the gradient of the input is better made here.
pub(super) fn input_gradient_pays(shapes: &Shapes) -> bool {
    let most = |axis: usize| shapes.kernel[axis].div_ceil(shapes.options.stride[axis]);
    let deep = !stays_near(most(0) * most(1) * shapes.out, shapes.channels);
    applies(shapes)
        && deep
        && (OUT[1]..=SHALLOW).contains(&shapes.out)
        && shapes.weight_stride() <= LONGEST
        && shapes.batch >= 4 * threads()
}

/// Whether the gradient of the weight is better made here.
pub(super) fn weight_gradient_pays(shapes: &Shapes) -> bool {
    applies(shapes) && shapes.out >= OUT[2]
}

/// The output, `[batch, height, width, out]`.
pub(super) fn forward(
    shapes: &Shapes,
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
) -> FlexTensor {
    let windows = shapes.forward_windows();
    let out = shapes.out;
    let weight = by_taps(shapes, weight);
    let right = Matrix::new(&weight, [out, windows.depth()]).transposed();
    let [height, width] = shapes.output;
    let total = shapes.batch * height;
    let rows = windows.block_rows();
    let blocks = total.div_ceil(rows);
    // Four parts to each thread even out a machine that is shared with others; every pixel comes
    // out the same whoever computes it.
    let parts = (4 * threads()).min(blocks).max(1);
    let mut output = Unwritten::new(total * width * out);
    let dest = output.pointer();
    in_parts(parts, |index| {
        let mut walk = Walk::new(&windows, x);
        for block in part(blocks, parts, index) {
            let block = block * rows..((block + 1) * rows).min(total);
            // SAFETY: blocks are disjoint.
            unsafe { forward_rows(shapes, &mut walk, right, bias, block, dest) };
        }
    });
    // SAFETY: every block was written.
    unsafe { output.written([shapes.batch, height, width, out]) }
}

/// The output of these rows, counted through all images.
///
/// # Safety
/// `dest` must have room for them, and nobody else may touch it meanwhile.
pub(super) unsafe fn forward_rows(
    shapes: &Shapes,
    walk: &mut Walk<'_>,
    right: Matrix<'_>,
    bias: Option<&[f32]>,
    rows: Range<usize>,
    dest: Shared,
) {
    let out = shapes.out;
    let first = rows.start * shapes.output[1] * out;
    let (gather, _) = walk.block(rows);
    let left = Gathered::new(gather);
    // SAFETY: the windows of a block are pixels of the output in order, and whoever wrote some pixels
    // goes over them again.
    unsafe {
        let dest = Shared::new(dest.pointer().add(first));
        multiply_windows(left, right, bias, dest, |rows, columns| {
            if !shapes.options.relu {
                return;
            }
            for row in rows {
                relu(dest.part(row * out + columns.start..row * out + columns.end));
            }
        });
    }
}

/// The gradient of the input, shaped as the input.
///
/// # Panics
/// If there are more than [`SHALLOW`] output channels.
pub(super) fn input_gradient(shapes: &Shapes, weight: &[f32], gradient: &[f32]) -> FlexTensor {
    let (out, length) = (shapes.out, shapes.weight_stride());
    let weight = by_taps(shapes, weight);
    let right = Matrix::new(&weight, [out, length]);
    let [height, width] = shapes.input;
    let pixels = shapes.output[0] * shapes.output[1];
    let floats = height * width * shapes.channels;
    let mut dest = Unwritten::new(shapes.batch * floats);
    let pointer = dest.pointer();
    let parts = (4 * threads()).min(shapes.batch).max(1);
    in_parts(parts, |index| {
        let images = part(shapes.batch, parts, index);
        let gradient = &gradient[images.start * pixels * out..images.end * pixels * out];
        // SAFETY: an image belongs to one part.
        unsafe {
            let dest = Shared::new(pointer.pointer().add(images.start * floats));
            input_gradient_of(shapes, right, gradient, dest);
        }
    });
    // SAFETY: every image has a first pixel.
    unsafe { dest.written([shapes.batch, height, width, shapes.channels]) }
}

/// The gradient of the input of some images, of which this is that of the output.
///
/// # Safety
/// `dest` must have room for these images, and nobody else may touch it meanwhile.
pub(super) unsafe fn input_gradient_of(
    shapes: &Shapes,
    right: Matrix<'_>,
    gradient: &[f32],
    dest: Shared,
) {
    let length = shapes.weight_stride();
    let floats = shapes.input[0] * shapes.input[1] * shapes.channels;
    let pixels = shapes.output[0] * shapes.output[1];
    let left = Matrix::new(gradient, [gradient.len() / shapes.out, shapes.out]);
    multiply_in_passing(left, right, None, |rows, columns, windows| {
        vectorized(
            #[inline(always)]
            || {
                for (row, window) in rows.clone().zip(windows.chunks_exact(length)) {
                    let (image, pixel) = (row / pixels, row % pixels);
                    let range = image * floats..(image + 1) * floats;
                    // SAFETY: the images are ours by the caller's promise, and the first pixel of each
                    // comes before all others, so that nothing is read of it that wasn't written.
                    let image = unsafe { dest.part(range) };
                    if pixel == 0 && columns.start == 0 {
                        image.fill(0.0);
                    }
                    add_window(shapes, pixel, &columns, window, image);
                }
            },
        );
    });
}

/// Adds the gradient of the window of a pixel, of which these columns are there, to its image.
#[inline(always)]
fn add_window(
    shapes: &Shapes,
    pixel: usize,
    columns: &Range<usize>,
    window: &[f32],
    image: &mut [f32],
) {
    let (channels, taps) = (shapes.channels, shapes.kernel[1]);
    let [height, width] = shapes.input;
    let [above, beside] = shapes.options.padding;
    let [down, right] = shapes.options.stride;
    let (i, j) = (pixel / shapes.output[1], pixel % shapes.output[1]);
    let (i, j) = (i * down, j * right);
    // The taps that lie inside the image.
    let begin = beside.saturating_sub(j).min(taps);
    let end = (width + beside).saturating_sub(j).min(taps);
    if begin >= end {
        return;
    }
    for tap in 0..shapes.kernel[0] {
        let Some(y) = (i + tap).checked_sub(above).filter(|y| *y < height) else {
            continue;
        };
        let first = (tap * taps + begin) * channels;
        let from = first.max(columns.start);
        let to = ((tap * taps + end) * channels).min(columns.end);
        if from >= to {
            continue;
        }
        let place = (y * width + j + begin - beside) * channels + from - first;
        let sums = image[place..place + to - from].iter_mut();
        for (sum, value) in sums.zip(&window[from..to]) {
            *sum += value;
        }
    }
}

/// The gradient of the weight, as torch lays it out: `[out, channels, kernel height, width]`.
pub(super) fn weight_gradient(shapes: &Shapes, x: &[f32], gradient: &[f32]) -> FlexTensor {
    let windows = shapes.forward_windows();
    let (out, length) = (shapes.out, windows.depth());
    let total = shapes.batch * shapes.output[0];
    let rows = summed_rows(&windows);
    let blocks = total.div_ceil(rows);
    let parts = threads().min(blocks).max(1);
    let sums = in_parts(parts, |index| {
        let mut sum = vec![0.0; out * length];
        let mut walk = Walk::new(&windows, x);
        for block in part(blocks, parts, index) {
            let block = block * rows..((block + 1) * rows).min(total);
            add_rows(shapes, &mut walk, gradient, block, &mut sum);
        }
        sum
    });
    weight_gradient_of(shapes, &sums)
}

/// Rows of windows of a block of a weight's gradient.
pub(super) fn summed_rows(windows: &Windows) -> usize {
    windows.rows_of((PACKED / windows.depth()).clamp(SUMMED[0], SUMMED[1]))
}

/// Adds these rows, counted through all images, to the sum of a weight's gradient.
pub(super) fn add_rows(
    shapes: &Shapes,
    walk: &mut Walk<'_>,
    gradient: &[f32],
    rows: Range<usize>,
    sum: &mut [f32],
) {
    let (out, width) = (shapes.out, shapes.output[1]);
    let pixels = rows.start * width..rows.end * width;
    let gradient = &gradient[pixels.start * out..pixels.end * out];
    let gradient = Matrix::new(gradient, [pixels.len(), out]).transposed();
    let (gather, _) = walk.block(rows);
    add_windows(gradient, Gathered::new(gather), sum);
}

/// The gradient of the weight of the sums of all parts, in their order.
pub(super) fn weight_gradient_of(shapes: &Shapes, sums: &[Vec<f32>]) -> FlexTensor {
    let (out, length) = (shapes.out, shapes.weight_stride());
    let area = shapes.kernel[0] * shapes.kernel[1];
    let values = turned(out, [area, shapes.channels], |index, values| {
        let range = index * length..(index + 1) * length;
        values.copy_from_slice(&sums[0][range.clone()]);
        for sum in &sums[1..] {
            for (value, more) in values.iter_mut().zip(&sum[range.clone()]) {
                *value += more;
            }
        }
    });
    tensor(values, shapes.weight())
}

/// The weight with its channels last, as windows have them: `[out, kernel height, width, channels]`.
pub(super) fn by_taps(shapes: &Shapes, weight: &[f32]) -> Vec<f32> {
    let area = shapes.kernel[0] * shapes.kernel[1];
    turned(shapes.out, [shapes.channels, area], |index, values| {
        let length = values.len();
        values.copy_from_slice(&weight[index * length..][..length]);
    })
}

/// Of each output channel the matrix `[rows, columns]` that `read` writes, by columns.
fn turned(
    out: usize,
    [rows, columns]: [usize; 2],
    read: impl Fn(usize, &mut [f32]) + Send + Sync,
) -> Vec<f32> {
    let length = rows * columns;
    let parts = (4 * threads()).min(out).max(1);
    let turned = in_parts(parts, |index| {
        let outs = part(out, parts, index);
        let mut turned = vec![0.0; outs.len() * length];
        let mut matrix = vec![0.0; length];
        for (out, turned) in outs.zip(turned.chunks_exact_mut(length)) {
            read(out, &mut matrix);
            for (row, values) in matrix.chunks_exact(columns).enumerate() {
                for (column, value) in values.iter().enumerate() {
                    turned[column * rows + row] = *value;
                }
            }
        }
        turned
    });
    turned.concat()
}

#[cfg(test)]
mod tests;
