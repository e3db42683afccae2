//! Max pooling on Flex.

// Loops over a length that is known unroll into registers; iterators over arrays don't always.
#![allow(clippy::needless_range_loop)]

use std::ops::Range;

use burn::backend::DispatchTensor;
use burn_flex::FlexTensor;

use super::Pool2dOptions;
use crate::buffer::{Shared, Unwritten, elements, in_parts, part, threads};
use crate::operation::{Forward, Operation, apply};
use crate::taps::{Grid, Row};
use crate::vectorized::vectorized;

/// Channels that are worked on at once, so that their best numbers stay in registers.
const CHUNK: usize = 64;

pub(super) fn max_pool2d(x: DispatchTensor, options: Pool2dOptions) -> DispatchTensor {
    apply(MaxPool2d { options }, [x]).0
}

#[derive(Clone, Debug)]
struct MaxPool2d {
    options: Pool2dOptions,
}

#[derive(Clone, Debug)]
struct Saved {
    options: Pool2dOptions,
    /// `[batch, height, width, channels]` of the input.
    shape: [usize; 4],
    /// For each element of the output, the tap that won.
    winners: Vec<u8>,
}

impl Operation for MaxPool2d {
    type Saved = Saved;

    fn forward(self, inputs: &[FlexTensor], tracked: &[bool]) -> Forward<Saved> {
        let x = elements(&inputs[0]);
        let shape = inputs[0].layout().shape();
        let shape @ [batch, height, width, channels] = [0, 1, 2, 3].map(|axis| shape[axis]);
        let grid = Grid::of_windows(self.options.axes([height, width]));
        assert_eq!(x.len(), batch * height * width * channels);
        let rows = batch * grid.dest[0];
        let floats = grid.dest[1] * channels;
        let mut output = Unwritten::new(rows * floats);
        let dest = output.pointer();
        let mut winners = Vec::<u8>::with_capacity(rows * floats);
        let bytes = Shared::new(winners.as_mut_ptr().cast());
        let parts = parts(rows);
        in_parts(parts, |index| {
            let rows = part(rows, parts, index);
            let range = rows.start * floats..rows.end * floats;
            // SAFETY: the parts are disjoint and cover output and winners once, which have room
            // for all rows and are written before they are read.
            let (dest, winners) = unsafe {
                let winners = bytes.pointer().cast::<u8>().add(range.start);
                let winners = std::slice::from_raw_parts_mut(winners, range.len());
                (dest.part(range), winners)
            };
            vectorized(
                #[inline(always)]
                || find(&grid, rows.clone(), x, channels, dest, winners),
            );
        });
        // SAFETY: every row was written.
        let output = unsafe {
            winners.set_len(rows * floats);
            output.written([batch, grid.dest[0], grid.dest[1], channels])
        };
        Forward {
            output,
            statistics: Vec::new(),
            saved: tracked[0].then_some(Saved {
                options: self.options,
                shape,
                winners,
            }),
        }
    }

    fn backward(saved: Saved, gradient: FlexTensor, wanted: &[bool]) -> Vec<Option<FlexTensor>> {
        if !wanted[0] {
            return vec![None];
        }
        let gradient = elements(&gradient);
        let winners = saved.winners;
        let [batch, height, width, channels] = saved.shape;
        let grid = Grid::of_pixels(saved.options.axes([height, width]));
        assert_eq!(winners.len(), gradient.len());
        let rows = batch * height;
        let floats = width * channels;
        let mut input = Unwritten::new(rows * floats);
        let dest = input.pointer();
        let parts = parts(rows);
        in_parts(parts, |index| {
            let rows = part(rows, parts, index);
            // SAFETY: the parts are disjoint and cover the gradient once.
            let dest = unsafe { dest.part(rows.start * floats..rows.end * floats) };
            vectorized(
                #[inline(always)]
                || return_to(&grid, rows.clone(), &winners, gradient, channels, dest),
            );
        });
        // SAFETY: every row was written.
        vec![Some(unsafe { input.written(saved.shape) })]
    }
}

fn parts(rows: usize) -> usize {
    (4 * threads()).min(rows).max(1)
}

/// Writes the largest numbers of the windows of these rows, and which taps they came through.
#[inline(always)]
fn find(
    grid: &Grid,
    rows: Range<usize>,
    x: &[f32],
    channels: usize,
    dest: &mut [f32],
    winners: &mut [u8],
) {
    if channels == 0 {
        return;
    }
    let mut pixels = dest
        .chunks_exact_mut(channels)
        .zip(winners.chunks_exact_mut(channels));
    for row in grid.rows(rows) {
        for (column, (dest, winners)) in pixels.by_ref().take(grid.dest[1]).enumerate() {
            let chunks = dest.chunks_mut(CHUNK).zip(winners.chunks_mut(CHUNK));
            for ((dest, winners), first) in chunks.zip((0..).step_by(CHUNK)) {
                // A length that the compiler knows lets it keep the chunk in registers.
                if dest.len() == CHUNK {
                    find_chunk(row, column, x, channels, first, CHUNK, dest, winners);
                } else {
                    let length = dest.len();
                    find_chunk(row, column, x, channels, first, length, dest, winners);
                }
            }
        }
    }
}

#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn find_chunk(
    row: Row,
    column: usize,
    x: &[f32],
    channels: usize,
    first: usize,
    length: usize,
    dest: &mut [f32],
    winners: &mut [u8],
) {
    let mut best = [f32::NEG_INFINITY; CHUNK];
    let mut winner = [u32::MAX; CHUNK];
    row.gather(
        column,
        #[inline(always)]
        |pixel, tap| {
            let x = &x[pixel * channels + first..][..length];
            for i in 0..length {
                // The first tap of all wins even with minus infinity, and NaN always.
                let better = x[i] > best[i] || x[i].is_nan() || winner[i] == u32::MAX;
                best[i] = if better { x[i] } else { best[i] };
                winner[i] = if better { tap as u32 } else { winner[i] };
            }
        },
    );
    for i in 0..length {
        dest[i] = best[i];
        winners[i] = winner[i] as u8;
    }
}

/// Gives each input pixel of these rows the gradients of the windows that it won.
#[inline(always)]
fn return_to(
    grid: &Grid,
    rows: Range<usize>,
    winners: &[u8],
    gradient: &[f32],
    channels: usize,
    dest: &mut [f32],
) {
    if channels == 0 {
        return;
    }
    let mut pixels = dest.chunks_exact_mut(channels);
    for row in grid.rows(rows) {
        for (column, dest) in pixels.by_ref().take(grid.dest[1]).enumerate() {
            for (dest, first) in dest.chunks_mut(CHUNK).zip((0..).step_by(CHUNK)) {
                if dest.len() == CHUNK {
                    return_chunk(row, column, winners, gradient, channels, first, CHUNK, dest);
                } else {
                    let length = dest.len();
                    return_chunk(
                        row, column, winners, gradient, channels, first, length, dest,
                    );
                }
            }
        }
    }
}

#[inline(always)]
#[allow(clippy::too_many_arguments)]
fn return_chunk(
    row: Row,
    column: usize,
    winners: &[u8],
    gradient: &[f32],
    channels: usize,
    first: usize,
    length: usize,
    dest: &mut [f32],
) {
    let mut sum = [0.0f32; CHUNK];
    row.gather(
        column,
        #[inline(always)]
        |window, tap| {
            let start = window * channels + first;
            let (winners, gradient) = (&winners[start..][..length], &gradient[start..][..length]);
            for i in 0..length {
                sum[i] += if winners[i] == tap as u8 {
                    gradient[i]
                } else {
                    0.0
                };
            }
        },
    );
    dest[..length].copy_from_slice(&sum[..length]);
}
