//! The transforms of Winograd's filtering, each a few additions along both axes of a tile.

// Loops over the rows and columns of a tile unroll into registers; iterators keep them in memory, and
// the closures of `map` and `from_fn` may be compiled apart, for the narrow vectors of the baseline.
#![allow(clippy::needless_range_loop)]

use std::ops::Range;

use pulp::Simd;

use super::{COMPONENTS, Finish, Plan, Shared, Tiles};
use crate::buffer::{Unwritten, in_parts};
use crate::tile::{Panels, load, prefetch, store};

/// Tiles by which pixels are fetched ahead: the products between one block's and the next let the
/// hardware forget what it was about to fetch.
const AHEAD: usize = 12;
/// Floats of a cache line.
const LINE: usize = 16;

/// `Bᵀ d B` of every tile of a block, where d are the 4×4 pixels of the source that it sees.
pub(super) struct Taken<'a> {
    pub(super) tiles: &'a Tiles,
    pub(super) source: &'a [f32],
    /// What stands where a tile reaches past its image: a pixel of zeros.
    pub(super) zeros: &'a [f32],
    pub(super) block: Range<usize>,
    pub(super) plan: Plan,
}

impl Taken<'_> {
    #[inline(always)]
    pub(super) fn run<S: Simd>(self, simd: S, dest: &mut [f32]) {
        let channels = self.plan.channels;
        let [height, width] = self.tiles.source;
        assert_eq!(
            self.source.len(),
            self.tiles.batch * height * width * channels
        );
        assert!(self.block.end <= self.tiles.count() && channels <= self.zeros.len());
        assert!(self.plan.length(self.block.len()) <= dest.len());
        assert!(channels.is_multiple_of(S::F32_LANES));
        let mut next = self.tiles.place(self.block.start);
        for dest in dest
            .chunks_exact_mut(self.plan.tile())
            .take(self.block.len())
        {
            let [image, row, column] = next;
            next = self.tiles.next(next);
            // What lies before the image is a large number.
            let top = (2 * row).wrapping_add_signed(-self.tiles.padding[0]);
            let left = (2 * column).wrapping_add_signed(-self.tiles.padding[1]);
            let first = (image * height).wrapping_add(top).wrapping_mul(width);
            let first = first.wrapping_add(left).wrapping_mul(channels);
            let first = self.source.as_ptr().wrapping_add(first);
            let ahead = first.wrapping_add(2 * AHEAD * channels);
            for (i, j) in [(2, 1), (2, 2), (3, 1), (3, 2)] {
                prefetch_pixel(ahead.wrapping_add((i * width + j) * channels), channels);
            }
            // SAFETY: each pixel has all channels, which are whole vectors, and there is room for the
            // components of the tile.
            unsafe {
                if top < height.saturating_sub(3) && left < width.saturating_sub(3) {
                    let rows = [0, width, 2 * width, 3 * width];
                    let row = |i: usize| first.add(rows[i] * channels);
                    let rows = [row(0), row(1), row(2), row(3)];
                    let pixel = |i: usize, j: usize, channel: usize| {
                        load(simd, rows[i].add(j * channels + channel))
                    };
                    take(simd, channels, pixel, dest);
                } else {
                    let mut pixels = [[self.zeros.as_ptr(); 4]; 4];
                    for i in 0..4 {
                        for j in 0..4 {
                            if top.wrapping_add(i) < height && left.wrapping_add(j) < width {
                                pixels[i][j] = first.wrapping_add((i * width + j) * channels);
                            }
                        }
                    }
                    let pixel =
                        |i: usize, j: usize, channel: usize| load(simd, pixels[i][j].add(channel));
                    take(simd, channels, pixel, dest);
                }
            }
        }
    }
}

/// `Bᵀ d B` of a tile, where `d` gives a vector of channels of a pixel.
#[inline(always)]
fn take<S: Simd>(
    simd: S,
    channels: usize,
    d: impl Fn(usize, usize, usize) -> S::f32s,
    dest: &mut [f32],
) {
    for channel in (0..channels).step_by(S::F32_LANES) {
        let dest = dest[COMPONENTS * channel..][..COMPONENTS * S::F32_LANES].as_mut_ptr();
        let mut rows = [[simd.splat_f32s(0.0); 4]; 4];
        for j in 0..4 {
            let [zero, one] = [d(0, j, channel), d(1, j, channel)];
            let [two, three] = [d(2, j, channel), d(3, j, channel)];
            rows[0][j] = simd.sub_f32s(zero, two);
            rows[1][j] = simd.add_f32s(one, two);
            rows[2][j] = simd.sub_f32s(two, one);
            rows[3][j] = simd.sub_f32s(one, three);
        }
        for i in 0..4 {
            let row = rows[i];
            let components = [
                simd.sub_f32s(row[0], row[2]),
                simd.add_f32s(row[1], row[2]),
                simd.sub_f32s(row[2], row[1]),
                simd.sub_f32s(row[1], row[3]),
            ];
            for j in 0..4 {
                // SAFETY: there is room for the components.
                unsafe { store(simd, dest.add((4 * i + j) * S::F32_LANES), components[j]) };
            }
        }
    }
}

/// `A y Aᵀ` of every tile of a block, where y are its 2×2 pixels of the output's gradient.
pub(super) struct Spread<'a> {
    pub(super) tiles: &'a Tiles,
    pub(super) gradient: &'a [f32],
    /// What stands where a tile reaches past its image: a pixel of zeros.
    pub(super) zeros: &'a [f32],
    pub(super) block: Range<usize>,
    pub(super) plan: Plan,
}

impl Spread<'_> {
    #[inline(always)]
    pub(super) fn run<S: Simd>(self, simd: S, dest: &mut [f32]) {
        let channels = self.plan.channels;
        let [height, width] = self.tiles.dest;
        assert_eq!(
            self.gradient.len(),
            self.tiles.batch * height * width * channels
        );
        assert!(self.block.end <= self.tiles.count() && channels <= self.zeros.len());
        assert!(self.plan.length(self.block.len()) <= dest.len());
        assert!(channels.is_multiple_of(S::F32_LANES));
        let mut next = self.tiles.place(self.block.start);
        for dest in dest
            .chunks_exact_mut(self.plan.tile())
            .take(self.block.len())
        {
            let [image, row, column] = next;
            next = self.tiles.next(next);
            let mut pixels = [[self.zeros.as_ptr(); 2]; 2];
            for i in 0..2 {
                for j in 0..2 {
                    let (row, column) = (2 * row + i, 2 * column + j);
                    if row < height && column < width {
                        let place = ((image * height + row) * width + column) * channels;
                        pixels[i][j] = self.gradient.as_ptr().wrapping_add(place);
                    }
                }
            }
            for pixel in pixels.as_flattened() {
                prefetch_pixel(pixel.wrapping_add(2 * AHEAD * channels), channels);
            }
            for channel in (0..channels).step_by(S::F32_LANES) {
                let dest = dest[COMPONENTS * channel..][..COMPONENTS * S::F32_LANES].as_mut_ptr();
                // SAFETY: each pixel has all channels, which are whole vectors, and there is room for
                // the components.
                unsafe {
                    let y = |i: usize, j: usize| load(simd, pixels[i][j].add(channel));
                    let left = spread(simd, y(0, 0), y(1, 0));
                    let right = spread(simd, y(0, 1), y(1, 1));
                    for i in 0..4 {
                        let components = spread(simd, left[i], right[i]);
                        for j in 0..4 {
                            store(simd, dest.add((4 * i + j) * S::F32_LANES), components[j]);
                        }
                    }
                }
            }
        }
    }
}

#[inline(always)]
fn prefetch_pixel(pixel: *const f32, channels: usize) {
    for line in (0..channels).step_by(LINE) {
        prefetch(pixel.wrapping_add(line));
    }
}

/// `A y` of two numbers y.
#[inline(always)]
fn spread<S: Simd>(simd: S, one: S::f32s, two: S::f32s) -> [S::f32s; 4] {
    let sum = simd.add_f32s(one, two);
    let difference = simd.sub_f32s(one, two);
    [one, sum, difference, simd.neg_f32s(two)]
}

/// `Aᵀ m A` of every tile of a block, where m are the components of the product, written where its
/// pixels are.
pub(super) struct Written<'a> {
    pub(super) tiles: &'a Tiles,
    pub(super) block: Range<usize>,
    pub(super) products: &'a [f32],
    pub(super) plan: Plan,
    pub(super) finish: Finish<'a>,
}

impl Written<'_> {
    /// # Safety
    /// `dest` must have room for all pixels, and nobody else may touch those of the block meanwhile.
    #[inline(always)]
    pub(super) unsafe fn run<S: Simd>(self, simd: S, dest: Shared) {
        let columns = self.plan.channels;
        let [height, width] = self.tiles.dest;
        assert!(self.block.end <= self.tiles.count() && columns.is_multiple_of(S::F32_LANES));
        assert!(self.plan.length(self.block.len()) <= self.products.len());
        assert!(self.finish.bias.is_none_or(|bias| bias.len() == columns));
        let floor = simd.splat_f32s(if self.finish.relu {
            0.0
        } else {
            f32::NEG_INFINITY
        });
        let mut next = self.tiles.place(self.block.start);
        let tiles = self.products.chunks_exact(self.plan.tile());
        for products in tiles.take(self.block.len()) {
            let [image, row, column] = next;
            next = self.tiles.next(next);
            let first = (image * height + 2 * row) * width + 2 * column;
            let dest = dest.pointer().wrapping_add(first * columns);
            let rows = if 2 * row + 1 < height { 2 } else { 1 };
            let both = 2 * column + 1 < width;
            for channel in (0..columns).step_by(S::F32_LANES) {
                let products =
                    products[COMPONENTS * channel..][..COMPONENTS * S::F32_LANES].as_ptr();
                // SAFETY: the components have whole vectors, and the pixels are ours by the caller's
                // promise.
                unsafe {
                    let m =
                        |i: usize, j: usize| load(simd, products.add((4 * i + j) * S::F32_LANES));
                    let bias = match self.finish.bias {
                        Some(bias) => load(simd, bias.as_ptr().add(channel)),
                        None => simd.splat_f32s(0.0),
                    };
                    let mut sums = [[simd.splat_f32s(0.0); 4]; 2];
                    for j in 0..4 {
                        let (one, two) = (m(1, j), m(2, j));
                        sums[0][j] = simd.add_f32s(m(0, j), simd.add_f32s(one, two));
                        sums[1][j] = simd.sub_f32s(simd.sub_f32s(one, two), m(3, j));
                    }
                    for i in 0..rows {
                        let s = sums[i];
                        let y = simd.add_f32s(s[0], simd.add_f32s(s[1], s[2]));
                        let dest = dest.add(i * width * columns + channel);
                        let y = at_least(simd, floor, simd.add_f32s(y, bias));
                        store(simd, dest, y);
                        if both {
                            let y = simd.sub_f32s(simd.sub_f32s(s[1], s[2]), s[3]);
                            let y = at_least(simd, floor, simd.add_f32s(y, bias));
                            store(simd, dest.add(columns), y);
                        }
                    }
                }
            }
        }
    }
}

/// `G g Gᵀ` of a kernel's nine taps, row by row.
#[inline(always)]
pub(super) fn kernel(g: &[f32; 9]) -> [f32; COMPONENTS] {
    let along = |a: f32, b: f32, c: f32| {
        let ends = 0.5 * (a + c);
        [a, ends + 0.5 * b, ends - 0.5 * b, c]
    };
    let columns: [[f32; 4]; 3] = std::array::from_fn(|j| along(g[j], g[3 + j], g[6 + j]));
    let mut components = [0.0; COMPONENTS];
    for i in 0..4 {
        let row = along(columns[0][i], columns[1][i], columns[2][i]);
        components[4 * i..4 * i + 4].copy_from_slice(&row);
    }
    components
}

/// `Gᵀ u G` of a kernel's components: its nine taps, row by row.
#[inline(always)]
fn taps(u: &[f32; COMPONENTS]) -> [f32; 9] {
    let along = |a: f32, b: f32, c: f32, d: f32| {
        let sum = 0.5 * (b + c);
        [a + sum, 0.5 * (b - c), sum + d]
    };
    let columns: [[f32; 3]; 4] =
        std::array::from_fn(|j| along(u[j], u[4 + j], u[8 + j], u[12 + j]));
    let mut taps = [0.0; 9];
    for i in 0..3 {
        let row = along(columns[0][i], columns[1][i], columns[2][i], columns[3][i]);
        taps[3 * i..3 * i + 3].copy_from_slice(&row);
    }
    taps
}

/// The larger of two, and what is no number as it is.
#[inline(always)]
fn at_least<S: Simd>(simd: S, floor: S::f32s, value: S::f32s) -> S::f32s {
    match S::F32_LANES {
        // Of single floats the larger is the one that is a number.
        1 => simd.select_f32s(simd.less_than_f32s(value, floor), floor, value),
        // Where one is none, x86 takes the second, and others take that one.
        _ => simd.max_f32s(floor, value),
    }
}

/// Adds up the parts of the sums of components, in their order, and makes of them the gradient of
/// the weight, as torch lays it out.
pub(super) fn weight_gradient(sums: &[Vec<f32>], channels: usize, panels: Panels) -> Vec<f32> {
    let out = panels.columns;
    let area = channels * out;
    let mut gradient = Unwritten::new(9 * area);
    let dest = gradient.pointer();
    in_parts(panels.count(), |index| {
        let (first, columns, width) = panels.panel(index);
        let mut components = vec![[0.0f32; COMPONENTS]; columns];
        for channel in 0..channels {
            let start = channels * first + channel * width;
            for component in 0..COMPONENTS {
                let start = component * area + start;
                for (column, values) in components.iter_mut().enumerate() {
                    let mut sum = sums[0][start + column];
                    for more in &sums[1..] {
                        sum += more[start + column];
                    }
                    values[component] = sum;
                }
            }
            for (column, values) in components.iter().enumerate() {
                let place = 9 * ((first + column) * channels + channel);
                // SAFETY: each place belongs to one pair of channels, of one panel.
                unsafe { dest.part(place..place + 9) }.copy_from_slice(&taps(values));
            }
        }
    });
    // SAFETY: the panels have all columns, and each pair of channels was written.
    unsafe { gradient.into_vec(9 * area) }
}
