//! The depthwise convolution on Flex: each channel by itself, vectors running over the channels.
//!
//! Every tap of every pixel is one multiply-add of three vectors that lie in the first-level
//! cache, so the traffic to memory decides. The gradient of the input gathers from the output's
//! gradient as the output gathers from the input.

// Loops over `0..V` unroll into registers; iterators over the arrays keep them in memory.
#![allow(clippy::needless_range_loop)]

use std::ops::Range;

use burn_flex::FlexTensor;
use pulp::{Arch, Simd, WithSimd};

use super::shapes::Shapes;
use crate::buffer::{Unwritten, in_parts, part, tensor, threads};
use crate::taps::{Axis, Grid, Row};
use crate::tile::{load, store};

/// Pixels whose products are summed in single precision before they join the totals.
const PIXELS: usize = 256;

fn axes(shapes: &Shapes) -> [Axis; 2] {
    [0, 1].map(|axis| Axis {
        input: shapes.input[axis],
        output: shapes.output[axis],
        kernel: shapes.kernel[axis],
        stride: shapes.options.stride[axis],
        padding: shapes.options.padding[axis],
        dilation: shapes.options.dilation[axis],
    })
}

/// The output, `[batch, height, width, channels]`.
pub(super) fn forward(
    shapes: &Shapes,
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
) -> FlexTensor {
    let grid = Grid::of_windows(axes(shapes));
    gather(
        &Gather {
            grid: &grid,
            source: x,
            weight: &transposed(weight, shapes.channels),
            bias,
            channels: shapes.channels,
            relu: shapes.options.relu,
        },
        shapes.batch,
    )
}

/// The gradient of the input.
pub(super) fn input_gradient(shapes: &Shapes, weight: &[f32], gradient: &[f32]) -> FlexTensor {
    let grid = Grid::of_pixels(axes(shapes));
    gather(
        &Gather {
            grid: &grid,
            source: gradient,
            weight: &transposed(weight, shapes.channels),
            bias: None,
            channels: shapes.channels,
            relu: false,
        },
        shapes.batch,
    )
}

/// The gradient of the weight, `[channels, 1, kernel height, kernel width]`.
pub(super) fn weight_gradient(shapes: &Shapes, x: &[f32], gradient: &[f32]) -> FlexTensor {
    let grid = Grid::of_windows(axes(shapes));
    let channels = shapes.channels;
    let area = shapes.kernel[0] * shapes.kernel[1];
    let rows = shapes.batch * grid.dest[0];
    let block = PIXELS.div_ceil(grid.dest[1].max(1));
    let parts = threads().min(rows.div_ceil(block)).max(1);
    check(&grid, shapes.batch, channels, x);
    assert_eq!(gradient.len(), rows * grid.dest[1] * channels);
    let totals = in_parts(parts, |index| {
        let rows = part(rows, parts, index);
        let mut totals = vec![0.0f64; area * channels];
        let mut sum = vec![0.0f32; area * channels];
        for first in rows.clone().step_by(block) {
            sum.fill(0.0);
            Arch::new().dispatch(Correlate {
                grid: &grid,
                rows: first..(first + block).min(rows.end),
                source: x,
                gradient,
                channels,
                sum: &mut sum,
            });
            for (total, sum) in totals.iter_mut().zip(&sum) {
                *total += f64::from(*sum);
            }
        }
        totals
    });
    let mut values = Vec::with_capacity(area * channels);
    for channel in 0..channels {
        for tap in 0..area {
            let at = tap * channels + channel;
            values.push(totals.iter().map(|total| total[at]).sum::<f64>() as f32);
        }
    }
    tensor(values, [channels, 1, shapes.kernel[0], shapes.kernel[1]])
}

/// The weight as vectors over the channels read it, `[taps, channels]`.
fn transposed(weight: &[f32], channels: usize) -> Vec<f32> {
    let area = weight.len() / channels;
    (0..weight.len())
        .map(|i| weight[i % channels * area + i / channels])
        .collect()
}

/// Checks that the source has every pixel that the grid knows of.
fn check(grid: &Grid, batch: usize, channels: usize, source: &[f32]) {
    assert_eq!(
        source.len(),
        batch * grid.source[0] * grid.source[1] * channels
    );
}

/// Each destination pixel as the weighted sum of the pixels that it gathers.
struct Gather<'a> {
    grid: &'a Grid,
    source: &'a [f32],
    /// `[taps, channels]`.
    weight: &'a [f32],
    bias: Option<&'a [f32]>,
    channels: usize,
    relu: bool,
}

fn gather(task: &Gather, batch: usize) -> FlexTensor {
    let [height, width] = task.grid.dest;
    let rows = batch * height;
    let floats = width * task.channels;
    check(task.grid, batch, task.channels, task.source);
    assert!(task.bias.is_none_or(|bias| bias.len() == task.channels));
    let mut output = Unwritten::new(rows * floats);
    let dest = output.pointer();
    let parts = (4 * threads()).min(rows).max(1);
    in_parts(parts, |index| {
        let rows = part(rows, parts, index);
        // SAFETY: the parts are disjoint and cover the output once.
        let dest = unsafe { dest.part(rows.start * floats..rows.end * floats) };
        Arch::new().dispatch(GatherRows { task, rows, dest });
    });
    // SAFETY: every row was written.
    unsafe { output.written([batch, height, width, task.channels]) }
}

struct GatherRows<'a> {
    task: &'a Gather<'a>,
    rows: Range<usize>,
    dest: &'a mut [f32],
}

impl WithSimd for GatherRows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let task = self.task;
        let (lanes, width) = (S::F32_LANES, task.grid.dest[1]);
        let rows = task.grid.rows(self.rows);
        let row_floats = (width * task.channels).max(1);
        for (row, dest) in rows.zip(self.dest.chunks_exact_mut(row_floats)) {
            for (column, dest) in dest.chunks_exact_mut(task.channels).enumerate() {
                let dest = dest.as_mut_ptr();
                let mut channel = 0;
                // SAFETY: every tile stays within the channels of one pixel, and the source was
                // checked to have all pixels of the grid, the weight to have all taps.
                unsafe {
                    while channel + 4 * lanes <= task.channels {
                        gather_tile::<S, 4>(simd, task, row, column, channel, dest);
                        channel += 4 * lanes;
                    }
                    while channel + lanes <= task.channels {
                        gather_tile::<S, 1>(simd, task, row, column, channel, dest);
                        channel += lanes;
                    }
                    if channel < task.channels {
                        gather_rest(simd, task, row, column, channel, dest);
                    }
                }
            }
        }
    }
}

/// # Safety
/// V vectors of channels must follow `channel`, in the source's pixels, the weight and `dest`.
#[inline(always)]
unsafe fn gather_tile<S: Simd, const V: usize>(
    simd: S,
    task: &Gather,
    row: Row,
    column: usize,
    channel: usize,
    dest: *mut f32,
) {
    let lanes = S::F32_LANES;
    let zero = simd.splat_f32s(0.0);
    let mut sum = [zero; V];
    // SAFETY: by the caller's promise.
    unsafe {
        if let Some(bias) = task.bias {
            for v in 0..V {
                sum[v] = load(simd, bias.as_ptr().add(channel + v * lanes));
            }
        }
        row.gather(
            column,
            #[inline(always)]
            |pixel, tap| {
                let source = task.source.as_ptr().add(pixel * task.channels + channel);
                let weight = task.weight.as_ptr().add(tap * task.channels + channel);
                for v in 0..V {
                    let left = load(simd, source.add(v * lanes));
                    let right = load(simd, weight.add(v * lanes));
                    sum[v] = simd.mul_add_e_f32s(left, right, sum[v]);
                }
            },
        );
        for v in 0..V {
            if task.relu {
                sum[v] = simd.select_f32s(simd.less_than_f32s(sum[v], zero), zero, sum[v]);
            }
            store(simd, dest.add(channel + v * lanes), sum[v]);
        }
    }
}

/// The channels from `channel` on, fewer than a vector of them.
///
/// # Safety
/// As for [`gather_tile`], for these channels.
#[inline(always)]
unsafe fn gather_rest<S: Simd>(
    simd: S,
    task: &Gather,
    row: Row,
    column: usize,
    channel: usize,
    dest: *mut f32,
) {
    let rest = simd.mask_between_m32s(0, (task.channels - channel) as u32);
    let zero = simd.splat_f32s(0.0);
    // SAFETY: by the caller's promise; the mask keeps to the channels that are left.
    unsafe {
        let mut sum = match task.bias {
            Some(bias) => simd.mask_load_ptr_f32s(rest, bias.as_ptr().add(channel)),
            None => zero,
        };
        row.gather(
            column,
            #[inline(always)]
            |pixel, tap| {
                let source = task.source.as_ptr().add(pixel * task.channels + channel);
                let weight = task.weight.as_ptr().add(tap * task.channels + channel);
                let left = simd.mask_load_ptr_f32s(rest, source);
                let right = simd.mask_load_ptr_f32s(rest, weight);
                sum = simd.mul_add_e_f32s(left, right, sum);
            },
        );
        if task.relu {
            sum = simd.select_f32s(simd.less_than_f32s(sum, zero), zero, sum);
        }
        simd.mask_store_ptr_f32s(rest, dest.add(channel), sum);
    }
}

/// Adds the product of each gathered pixel and the gradient of its destination to `sum`,
/// `[taps, channels]`.
struct Correlate<'a> {
    grid: &'a Grid,
    rows: Range<usize>,
    source: &'a [f32],
    gradient: &'a [f32],
    channels: usize,
    sum: &'a mut [f32],
}

impl WithSimd for Correlate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (lanes, channels) = (S::F32_LANES, self.channels);
        let width = self.grid.dest[1];
        let rest = simd.mask_between_m32s(0, (channels % lanes) as u32);
        let whole = channels - channels % lanes;
        let sum = self.sum.as_mut_ptr();
        let first = self.rows.start;
        for (row, index) in self.grid.rows(self.rows).zip(first..) {
            for column in 0..width {
                // SAFETY: the source and the gradient were checked to have all pixels of the grid,
                // the sum has all taps, and each step stays within the channels.
                unsafe {
                    let gradient = self
                        .gradient
                        .as_ptr()
                        .add((index * width + column) * channels);
                    row.gather(
                        column,
                        #[inline(always)]
                        |pixel, tap| {
                            let source = self.source.as_ptr().add(pixel * channels);
                            let sum = sum.add(tap * channels);
                            for channel in (0..whole).step_by(lanes) {
                                let left = load(simd, source.add(channel));
                                let right = load(simd, gradient.add(channel));
                                let dest = sum.add(channel);
                                let value = simd.mul_add_e_f32s(left, right, load(simd, dest));
                                store(simd, dest, value);
                            }
                            if whole < channels {
                                let left = simd.mask_load_ptr_f32s(rest, source.add(whole));
                                let right = simd.mask_load_ptr_f32s(rest, gradient.add(whole));
                                let dest = sum.add(whole);
                                let value = simd.mask_load_ptr_f32s(rest, dest);
                                let value = simd.mul_add_e_f32s(left, right, value);
                                simd.mask_store_ptr_f32s(rest, dest, value);
                            }
                        },
                    );
                }
            }
        }
    }
}
