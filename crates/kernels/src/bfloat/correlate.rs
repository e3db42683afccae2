//! The transposed product, for the gradient of a weight: the sum runs over pixels.
//!
//! The instructions want 32 neighbors in the sum side by side. If these were neighboring pixels,
//! each tap of a window would cut them differently, and small images would waste most of a tile.
//! So they are the *same pixel of 32 items* of the batch: a tile holds 16 channels of a pixel of
//! 32 items, and a tap is nothing but another pixel. Taps outside the image are left out. Where
//! the window is one pixel, every pixel is an item.
//!
//! Each part of the work takes groups of 32 items (of large images some rows of them, of long
//! sequences some columns), rounds and arranges their tiles in the second-level cache, and adds to
//! its own sums.

use std::ops::Range;

use super::Engine;
use super::arrange::{Arrangement, Images};
use super::block::{Block, Ready, Step};
use super::pieces::{Piece, Pieces, meeting, met};
use super::rounded::{Line, numbers};
use crate::buffer::{in_parts, part, threads};
use crate::window::Windows;

/// Pixels whose tiles stay in the first-level cache while they meet all taps.
const PIXELS: usize = 8;
/// The same where there is one tap.
const PIXELS_OF_ONE_TAP: usize = 16;
/// Bytes of sums up to which all of them are gone through for each few pixels.
const SUMS: usize = 512 * 1024;

/// The sums, one list for each part.
pub(crate) struct Correlation {
    parts: Vec<Vec<f32>>,
    shape: Shape,
}

/// How the sums lie: `[tap][block of rows][block of columns][32][32]`.
#[derive(Clone, Copy, Debug)]
struct Shape {
    taps: usize,
    channels: usize,
    out: usize,
    /// Whether the rows are the gradient's channels rather than the source's.
    swapped: bool,
}

impl Shape {
    /// Blocks of rows and of columns.
    fn blocks(self) -> [usize; 2] {
        let [rows, columns] = [self.channels, self.out].map(|channels| channels.div_ceil(32));
        if self.swapped {
            [columns, rows]
        } else {
            [rows, columns]
        }
    }

    /// Floats.
    fn length(self) -> usize {
        let [rows, columns] = self.blocks();
        self.taps * rows * columns * 1024
    }
}

/// Sums `source[p + tap, k] · gradient[p, j]` over all pixels p of `batch` images.
///
/// `windows` are those of the forward pass, whose source is `x`; `gradient` has `out` channels.
pub(crate) fn correlate(
    engine: Engine,
    windows: &Windows,
    batch: usize,
    x: &[f32],
    gradient: &[f32],
    out: usize,
) -> Correlation {
    let mut windows = windows.clone();
    let mut batch = batch;
    let pointwise = windows.taps == [1, 1] && windows.stride == [1, 1] && windows.padding == [0, 0];
    if pointwise {
        batch *= windows.pixels[0] * windows.pixels[1];
        windows.source = [1, 1];
        windows.pixels = [1, 1];
    }
    let source = Images {
        batch,
        values: x,
        size: windows.source,
        channels: windows.channels,
    };
    let gradient = Images {
        batch,
        values: gradient,
        size: windows.pixels,
        channels: out,
    };
    for images in [source, gradient] {
        let pixels = batch * images.size[0] * images.size[1];
        assert_eq!(images.values.len(), pixels * images.channels);
    }
    let shape = Shape {
        taps: windows.taps[0] * windows.taps[1],
        channels: windows.channels,
        out,
        // Transposing costs more than pairing, so the smaller operand is transposed.
        swapped: out * gradient.size[0] * gradient.size[1]
            < windows.channels * source.size[0] * source.size[1],
    };
    if shape.length() == 0 {
        return Correlation {
            parts: vec![Vec::new()],
            shape,
        };
    }
    let job = Job {
        engine,
        windows: &windows,
        source,
        gradient,
        shape,
    };
    let bytes = shape.length() * size_of::<f32>();
    let pieces = Pieces::new(&windows, [source, gradient], bytes, threads());
    let parts = threads().min(pieces.count()).max(1);
    let parts = in_parts(parts, |index| {
        let mut sums = vec![0.0; shape.length()];
        job.run(&pieces, part(pieces.count(), parts, index), &mut sums);
        sums
    });
    Correlation { parts, shape }
}

struct Job<'a> {
    engine: Engine,
    windows: &'a Windows,
    source: Images<'a>,
    gradient: Images<'a>,
    shape: Shape,
}

/// The buffers of a part.
#[derive(Default)]
struct Buffers {
    staged: Vec<Line>,
    source: Vec<Line>,
    gradient: Vec<Line>,
    steps: Vec<Step>,
    /// Of each few pixels, tap by tap, the range of the steps.
    ranges: Vec<Range<usize>>,
}

impl Job<'_> {
    /// Adds the pieces `range` to the sums.
    fn run(&self, pieces: &Pieces, range: Range<usize>, sums: &mut [f32]) {
        let ready = Ready::new(self.engine);
        let mut buffers = Buffers::default();
        let mut next = range.start;
        while next < range.end {
            let (piece, after) = pieces.take(next, range.end);
            self.block(&ready, &piece, &mut buffers, sums);
            next = after;
        }
    }

    /// Adds a piece.
    fn block(&self, ready: &Ready, piece: &Piece, buffers: &mut Buffers, sums: &mut [f32]) {
        let windows = self.windows;
        let Piece {
            groups,
            rows,
            columns,
        } = piece;
        let source_rows = met(windows, 0, rows.clone());
        let source_columns = met(windows, 1, columns.iter().copied());
        let gradient_rows: Vec<usize> = rows.clone().collect();
        let swapped = self.shape.swapped;
        let staged = &mut buffers.staged;
        let of = |rows, columns, transposed| Arrangement {
            groups: groups.clone(),
            rows,
            columns,
            transposed,
        };
        let of_source = of(&source_rows, &source_columns, !swapped);
        of_source.pack(self.engine, self.source, staged, &mut buffers.source);
        let of_gradient = of(&gradient_rows, columns, swapped);
        of_gradient.pack(self.engine, self.gradient, staged, &mut buffers.gradient);

        // The steps of each tap, a few pixels at a time.
        let few = if self.shape.taps == 1 {
            PIXELS_OF_ONE_TAP
        } else {
            PIXELS
        };
        let pixels: Vec<[usize; 3]> = (0..groups.len())
            .flat_map(|group| {
                rows.clone()
                    .flat_map(move |row| columns.iter().map(move |&column| [group, row, column]))
            })
            .collect();
        buffers.steps.clear();
        buffers.ranges.clear();
        let source_tiles = self.source.tiles() * 1024;
        let gradient_tiles = self.gradient.tiles() * 1024;
        let mut before = 0;
        for pixels in pixels.chunks(few) {
            for tap in 0..self.shape.taps {
                let tap = [tap / windows.taps[1], tap % windows.taps[1]];
                let start = buffers.steps.len();
                for (i, &[group, row, column]) in pixels.iter().enumerate() {
                    let place = |axis, coordinate: usize, among: &[usize]| {
                        let at = meeting(windows, axis, coordinate, tap[axis])?;
                        among.binary_search(&at).ok()
                    };
                    let (Some(row), Some(column)) = (
                        place(0, row, &source_rows),
                        place(1, column, &source_columns),
                    ) else {
                        continue;
                    };
                    let pixel = (group * source_rows.len() + row) * source_columns.len() + column;
                    let (source, gradient) = (pixel * source_tiles, (before + i) * gradient_tiles);
                    let [left, right] = if swapped {
                        [gradient, source]
                    } else {
                        [source, gradient]
                    };
                    buffers.steps.push(Step { left, right });
                }
                buffers.ranges.push(start..buffers.steps.len());
            }
            before += pixels.len();
        }
        self.multiply(ready, buffers, sums);
    }

    /// Adds what the buffers hold to the sums.
    fn multiply(&self, ready: &Ready, buffers: &Buffers, sums: &mut [f32]) {
        assert_eq!(sums.len(), self.shape.length());
        let [row_blocks, column_blocks] = self.shape.blocks();
        let sides = [
            (&buffers.source, self.source),
            (&buffers.gradient, self.gradient),
        ];
        let [left, right] = if self.shape.swapped {
            [sides[1], sides[0]]
        } else {
            sides
        };
        let (left_tiles, right_tiles) = (left.1.tiles(), right.1.tiles());
        let taps = self.shape.taps;
        let blocks = row_blocks * column_blocks;
        let few = buffers.ranges.len() / taps.max(1);
        let mut add = |block: usize, pixels: usize| {
            let (row, column) = (block / column_blocks, block % column_blocks);
            for tap in 0..taps {
                let steps = &buffers.steps[buffers.ranges[pixels * taps + tap].clone()];
                if steps.is_empty() {
                    continue;
                }
                let to = sums[(tap * blocks + block) * 1024..][..1024].as_mut_ptr();
                let upper = numbers(&left.0[32 * row..]).as_ptr();
                // SAFETY: the steps were listed for the tiles that the buffers hold, each pixel's
                // one after another; blocks of sums are 32 by 32.
                unsafe {
                    let to = [to, to.add(16 * 32)];
                    let block = Block {
                        left: [upper, upper.wrapping_add(512)],
                        left_stride: size_of::<Line>(),
                        right: numbers(&right.0[32 * column..]).as_ptr(),
                        steps: steps.as_ptr(),
                        count: steps.len(),
                        from: to.map(<*mut f32>::cast_const),
                        from_stride: 32 * size_of::<f32>(),
                        to,
                        to_stride: 32 * size_of::<f32>(),
                    };
                    let tiles = [
                        (left_tiles - 2 * row).min(2),
                        (right_tiles - 2 * column).min(2),
                    ];
                    ready.run(&block, tiles);
                }
            }
        };
        if self.shape.length() * size_of::<f32>() <= SUMS {
            (0..few).for_each(|pixels| (0..blocks).for_each(|block| add(block, pixels)));
        } else {
            (0..blocks).for_each(|block| (0..few).for_each(|pixels| add(block, pixels)));
        }
    }
}

impl Correlation {
    /// Adds the parts up, in their order, into `[out, channels, taps]`.
    pub(crate) fn sum(&self) -> Vec<f32> {
        let Shape {
            taps,
            channels,
            out,
            swapped,
        } = self.shape;
        let [row_blocks, column_blocks] = self.shape.blocks();
        let depth = channels * taps;
        let panels = in_parts(out.div_ceil(32), |panel| {
            let first = 32 * panel;
            let count = (out - first).min(32);
            let mut sum = vec![0.0; count * depth];
            let mut total = vec![0.0f32; 1024];
            // In this order what is written stays in the first-level cache.
            for inner in 0..channels.div_ceil(32) {
                for tap in 0..taps {
                    let (row, column) = if swapped {
                        (panel, inner)
                    } else {
                        (inner, panel)
                    };
                    let block = ((tap * row_blocks + row) * column_blocks + column) * 1024;
                    total.copy_from_slice(&self.parts[0][block..block + 1024]);
                    for part in &self.parts[1..] {
                        for (total, value) in total.iter_mut().zip(&part[block..block + 1024]) {
                            *total += value;
                        }
                    }
                    let rows = (channels - 32 * inner).min(32);
                    for (o, sum) in sum.chunks_exact_mut(depth).enumerate() {
                        let sum = &mut sum[32 * inner * taps + tap..];
                        for (i, sum) in sum.iter_mut().step_by(taps).take(rows).enumerate() {
                            *sum = total[if swapped { 32 * o + i } else { 32 * i + o }];
                        }
                    }
                }
            }
            sum
        });
        panels.concat()
    }
}
