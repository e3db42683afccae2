//! The transforms of Winograd's filtering, each a few operations along both axes of a tile.
//!
//! Along an axis they evaluate polynomials: of F(2, 3) at the points 0, 1, −1 and ∞, and of F(4, 3) at 0,
//! ±¾, ±3⁄2 and ∞. Where the points of F(4, 3) lie decides how many digits it loses; these lose the fewest
//! of the fractions with small denominators (the usual 0, ±1, ±2 twice as many).

// Loops over the rows and columns of a tile unroll into registers; iterators keep them in memory, and
// the closures of `map` and `from_fn` may be compiled apart, for the narrow vectors of the baseline.
#![allow(clippy::needless_range_loop)]

use std::ops::Range;

use pulp::Simd;

use super::convolution::Finish;
use super::tiles::{Plan, Tiles};
use super::{ROWS, components};
use crate::buffer::{Shared, Unwritten, in_parts};
use crate::tile::{Panels, load, prefetch, store};

/// The points of F(4, 3) beside 0 and ∞, each with both signs.
const NEAR: f32 = 0.75;
const FAR: f32 = 1.5;

/// Tiles by which pixels are fetched ahead: the products between one block's and the next let the
/// hardware forget what it was about to fetch.
const AHEAD: usize = 12;
/// Floats of a cache line.
const LINE: usize = 16;

/// `Bᵀ d B` of every tile of a block, where d are the 4×N pixels of the source that it sees.
pub(super) struct Taken<'a, const N: usize> {
    pub(super) tiles: &'a Tiles<N>,
    pub(super) source: &'a [f32],
    /// What stands where a tile reaches past its image: a pixel of zeros.
    pub(super) zeros: &'a [f32],
    pub(super) block: Range<usize>,
    pub(super) plan: Plan<N>,
}

impl<const N: usize> Taken<'_, N> {
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
        let span = Tiles::<N>::SPAN;
        let mut next = self.tiles.place(self.block.start);
        for dest in dest
            .chunks_exact_mut(self.plan.tile())
            .take(self.block.len())
        {
            let [image, row, column] = next;
            next = self.tiles.next(next);
            // What lies before the image is a large number.
            let top = (2 * row).wrapping_add_signed(-self.tiles.padding[0]);
            let left = (span * column).wrapping_add_signed(-self.tiles.padding[1]);
            let first = (image * height).wrapping_add(top).wrapping_mul(width);
            let first = first.wrapping_add(left).wrapping_mul(channels);
            let first = self.source.as_ptr().wrapping_add(first);
            let ahead = first.wrapping_add(span * AHEAD * channels);
            for i in 2..4 {
                for j in 1..=span {
                    prefetch_pixel(ahead.wrapping_add((i * width + j) * channels), channels);
                }
            }
            // SAFETY: each pixel has all channels, which are whole vectors, and there is room for the
            // components of the tile.
            unsafe {
                if top < height.saturating_sub(3) && left < width.saturating_sub(N - 1) {
                    let rows = [0, width, 2 * width, 3 * width];
                    let row = |i: usize| first.add(rows[i] * channels);
                    let rows = [row(0), row(1), row(2), row(3)];
                    let pixel = |i: usize, j: usize, channel: usize| {
                        load(simd, rows[i].add(j * channels + channel))
                    };
                    take::<S, N>(simd, channels, pixel, dest);
                } else {
                    let mut pixels = [[self.zeros.as_ptr(); N]; ROWS];
                    for i in 0..ROWS {
                        for j in 0..N {
                            if top.wrapping_add(i) < height && left.wrapping_add(j) < width {
                                pixels[i][j] = first.wrapping_add((i * width + j) * channels);
                            }
                        }
                    }
                    let pixel =
                        |i: usize, j: usize, channel: usize| load(simd, pixels[i][j].add(channel));
                    take::<S, N>(simd, channels, pixel, dest);
                }
            }
        }
    }
}

/// `Bᵀ d B` of a tile, where `d` gives a vector of channels of a pixel.
#[inline(always)]
fn take<S: Simd, const N: usize>(
    simd: S,
    channels: usize,
    d: impl Fn(usize, usize, usize) -> S::f32s,
    dest: &mut [f32],
) {
    for channel in (0..channels).step_by(S::F32_LANES) {
        let length = components(N) * S::F32_LANES;
        let dest = dest[components(N) * channel..][..length].as_mut_ptr();
        // Pixels are loaded once more for each row that they are part of: all of them together don't
        // fit into the registers.
        for i in 0..ROWS {
            let mut row = [simd.splat_f32s(0.0); N];
            for j in 0..N {
                let d = |i: usize| d(i, j, channel);
                row[j] = match i {
                    0 => simd.sub_f32s(d(0), d(2)),
                    1 => simd.add_f32s(d(1), d(2)),
                    2 => simd.sub_f32s(d(2), d(1)),
                    _ => simd.sub_f32s(d(1), d(3)),
                };
            }
            let row = taken(simd, row);
            for j in 0..N {
                // SAFETY: there is room for the components.
                unsafe { store(simd, dest.add((N * i + j) * S::F32_LANES), row[j]) };
            }
        }
    }
}

/// `Bᵀ d` of N numbers d.
#[inline(always)]
fn taken<S: Simd, const N: usize>(simd: S, d: [S::f32s; N]) -> [S::f32s; N] {
    let mut out = d;
    if N == 4 {
        out[0] = simd.sub_f32s(d[0], d[2]);
        out[1] = simd.add_f32s(d[1], d[2]);
        out[2] = simd.sub_f32s(d[2], d[1]);
        out[3] = simd.sub_f32s(d[1], d[3]);
        return out;
    }
    let [near, far] = [NEAR * NEAR, FAR * FAR];
    out[0] = add(simd, near * far, d[0], add(simd, -near - far, d[2], d[4]));
    let (even, odd) = (add(simd, -far, d[2], d[4]), add(simd, -far, d[1], d[3]));
    out[1] = add(simd, NEAR, odd, even);
    out[2] = add(simd, -NEAR, odd, even);
    let (even, odd) = (add(simd, -near, d[2], d[4]), add(simd, -near, d[1], d[3]));
    out[3] = add(simd, FAR, odd, even);
    out[4] = add(simd, -FAR, odd, even);
    out[5] = add(simd, near * far, d[1], add(simd, -near - far, d[3], d[5]));
    out
}

/// `factor · a + b`.
#[inline(always)]
fn add<S: Simd>(simd: S, factor: f32, a: S::f32s, b: S::f32s) -> S::f32s {
    simd.mul_add_e_f32s(simd.splat_f32s(factor), a, b)
}

/// `A y Aᵀ` of every tile of a block, where y are its pixels of the output's gradient.
pub(super) struct Spread<'a, const N: usize> {
    pub(super) tiles: &'a Tiles<N>,
    pub(super) gradient: &'a [f32],
    /// What stands where a tile reaches past its image: a pixel of zeros.
    pub(super) zeros: &'a [f32],
    pub(super) block: Range<usize>,
    pub(super) plan: Plan<N>,
}

impl<const N: usize> Spread<'_, N> {
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
        let span = Tiles::<N>::SPAN;
        let mut next = self.tiles.place(self.block.start);
        for dest in dest
            .chunks_exact_mut(self.plan.tile())
            .take(self.block.len())
        {
            let [image, row, column] = next;
            next = self.tiles.next(next);
            let mut pixels = [[self.zeros.as_ptr(); N]; 2];
            for i in 0..2 {
                for j in 0..span {
                    let (row, column) = (2 * row + i, span * column + j);
                    if row < height && column < width {
                        let place = ((image * height + row) * width + column) * channels;
                        pixels[i][j] = self.gradient.as_ptr().wrapping_add(place);
                        prefetch_pixel(
                            pixels[i][j].wrapping_add(span * AHEAD * channels),
                            channels,
                        );
                    }
                }
            }
            for channel in (0..channels).step_by(S::F32_LANES) {
                let length = components(N) * S::F32_LANES;
                let dest = dest[components(N) * channel..][..length].as_mut_ptr();
                // SAFETY: each pixel has all channels, which are whole vectors, and there is room for
                // the components.
                unsafe {
                    for i in 0..ROWS {
                        let mut row = [simd.splat_f32s(0.0); N];
                        for j in 0..span {
                            let y = |i: usize| load(simd, pixels[i][j].add(channel));
                            row[j] = match i {
                                0 => y(0),
                                1 => simd.add_f32s(y(0), y(1)),
                                2 => simd.sub_f32s(y(0), y(1)),
                                _ => simd.neg_f32s(y(1)),
                            };
                        }
                        let row = spread(simd, row);
                        for j in 0..N {
                            store(simd, dest.add((N * i + j) * S::F32_LANES), row[j]);
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

/// `A y` of the first N − 2 numbers of y.
#[inline(always)]
fn spread<S: Simd, const N: usize>(simd: S, y: [S::f32s; N]) -> [S::f32s; N] {
    let mut out = y;
    if N == 4 {
        out[1] = simd.add_f32s(y[0], y[1]);
        out[2] = simd.sub_f32s(y[0], y[1]);
        out[3] = simd.neg_f32s(y[1]);
        return out;
    }
    for (first, point) in [(1, NEAR), (3, FAR)] {
        let even = add(simd, point * point, y[2], y[0]);
        let odd = add(simd, point * point, y[3], y[1]);
        out[first] = add(simd, point, odd, even);
        out[first + 1] = add(simd, -point, odd, even);
    }
    out[5] = y[3];
    out
}

/// `Aᵀ m A` of every tile of a block, where m are the components of the product, written where its
/// pixels are.
pub(super) struct Written<'a, const N: usize> {
    pub(super) tiles: &'a Tiles<N>,
    pub(super) block: Range<usize>,
    pub(super) products: &'a [f32],
    pub(super) plan: Plan<N>,
    pub(super) finish: Finish<'a>,
}

impl<const N: usize> Written<'_, N> {
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
        let plain = self.finish.bias.is_none() && !self.finish.relu;
        let span = Tiles::<N>::SPAN;
        let mut next = self.tiles.place(self.block.start);
        let tiles = self.products.chunks_exact(self.plan.tile());
        for products in tiles.take(self.block.len()) {
            let [image, row, column] = next;
            next = self.tiles.next(next);
            let first = (image * height + 2 * row) * width + span * column;
            let dest = dest.pointer().wrapping_add(first * columns);
            let rows = if 2 * row + 1 < height { 2 } else { 1 };
            let pixels = (width - span * column).min(span);
            for channel in (0..columns).step_by(S::F32_LANES) {
                let length = components(N) * S::F32_LANES;
                let products = products[components(N) * channel..][..length].as_ptr();
                // SAFETY: the components have whole vectors, and the pixels are ours by the caller's
                // promise.
                unsafe {
                    let m =
                        |i: usize, j: usize| load(simd, products.add((N * i + j) * S::F32_LANES));
                    let mut sums = [[simd.splat_f32s(0.0); N]; 2];
                    for j in 0..N {
                        let (one, two) = (m(1, j), m(2, j));
                        sums[0][j] = simd.add_f32s(m(0, j), simd.add_f32s(one, two));
                        sums[1][j] = simd.sub_f32s(simd.sub_f32s(one, two), m(3, j));
                    }
                    for i in 0..rows {
                        let mut y = written(simd, sums[i]);
                        if !plain {
                            for j in 0..span {
                                let bias = match self.finish.bias {
                                    Some(bias) => load(simd, bias.as_ptr().add(channel)),
                                    None => simd.splat_f32s(0.0),
                                };
                                y[j] = at_least(simd, floor, simd.add_f32s(y[j], bias));
                            }
                        }
                        let dest = dest.add(i * width * columns + channel);
                        for j in 0..span {
                            if j < pixels {
                                store(simd, dest.add(j * columns), y[j]);
                            }
                        }
                    }
                }
            }
        }
    }
}

/// `Aᵀ m` of N numbers m, as the first N − 2 of what is given back.
#[inline(always)]
fn written<S: Simd, const N: usize>(simd: S, m: [S::f32s; N]) -> [S::f32s; N] {
    let mut out = m;
    if N == 4 {
        out[0] = simd.add_f32s(m[0], simd.add_f32s(m[1], m[2]));
        out[1] = simd.sub_f32s(simd.sub_f32s(m[1], m[2]), m[3]);
        return out;
    }
    let (near, far) = (simd.add_f32s(m[1], m[2]), simd.add_f32s(m[3], m[4]));
    out[0] = simd.add_f32s(m[0], simd.add_f32s(near, far));
    out[2] = both(simd, [NEAR * NEAR, FAR * FAR], near, far);
    let (near, far) = (simd.sub_f32s(m[1], m[2]), simd.sub_f32s(m[3], m[4]));
    out[1] = both(simd, [NEAR, FAR], near, far);
    let cubes = [NEAR * NEAR * NEAR, FAR * FAR * FAR];
    out[3] = simd.add_f32s(both(simd, cubes, near, far), m[5]);
    out
}

/// The sum of two numbers, each with its factor.
#[inline(always)]
fn both<S: Simd>(simd: S, factors: [f32; 2], near: S::f32s, far: S::f32s) -> S::f32s {
    add(
        simd,
        factors[0],
        near,
        simd.mul_f32s(simd.splat_f32s(factors[1]), far),
    )
}

/// `G g` of three taps, for N components.
#[inline(always)]
fn along<const N: usize>(g: [f64; 3]) -> [f64; N] {
    let rows = const { filter::<N>() };
    let mut out = [0.0; N];
    for i in 0..N {
        out[i] = rows[i][0] * g[0] + rows[i][1] * g[1] + rows[i][2] * g[2];
    }
    out
}

/// G, whose rows are those of the components.
const fn filter<const N: usize>() -> [[f64; 3]; N] {
    const fn at(point: f64, divisor: f64) -> [f64; 3] {
        [1.0 / divisor, point / divisor, point * point / divisor]
    }
    let mut rows = [[0.0, 0.0, 1.0]; N];
    if N == 4 {
        // The sign of the last is in the other transforms.
        rows[0] = at(0.0, 1.0);
        rows[1] = at(1.0, 2.0);
        rows[2] = at(-1.0, 2.0);
        return rows;
    }
    let (near, far) = (NEAR as f64, FAR as f64);
    let (near2, far2) = (near * near, far * far);
    rows[0] = at(0.0, near2 * far2);
    rows[1] = at(near, 2.0 * near2 * (near2 - far2));
    rows[2] = at(-near, 2.0 * near2 * (near2 - far2));
    rows[3] = at(far, 2.0 * far2 * (far2 - near2));
    rows[4] = at(-far, 2.0 * far2 * (far2 - near2));
    rows
}

/// `G g Gᵀ` of a kernel's nine taps, row by row, in the 4·N numbers of `components`.
pub(super) fn kernel<const N: usize>(g: &[f32; 9], components: &mut [f32]) {
    let g = g.map(f64::from);
    let columns: [[f64; ROWS]; 3] = [0, 1, 2].map(|j| along([g[j], g[3 + j], g[6 + j]]));
    for (i, dest) in components.chunks_exact_mut(N).enumerate() {
        let row: [f64; N] = along(columns.map(|column| column[i]));
        for (dest, value) in dest.iter_mut().zip(row) {
            *dest = value as f32;
        }
    }
}

/// `Gᵀ u G` of a kernel's components: its nine taps, row by row.
pub(super) fn taps<const N: usize>(u: &[f32]) -> [f32; 9] {
    let mut taps = [0.0; 9];
    let (down, across) = const { (filter::<ROWS>(), filter::<N>()) };
    for (down, u) in down.iter().zip(u.chunks_exact(N)) {
        let mut row = [0.0; 3];
        for (across, u) in across.iter().zip(u) {
            for (sum, factor) in row.iter_mut().zip(across) {
                *sum += factor * f64::from(*u);
            }
        }
        for (taps, factor) in taps.chunks_exact_mut(3).zip(down) {
            for (tap, value) in taps.iter_mut().zip(row) {
                *tap += factor * value;
            }
        }
    }
    taps.map(|tap| tap as f32)
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
/// the weight, as torch lays it out: `taps` makes the nine of a kernel of its components.
pub(super) fn weight_gradient(
    sums: &[Vec<f32>],
    components: usize,
    channels: usize,
    panels: Panels,
    taps: impl Fn(&[f32]) -> [f32; 9] + Send + Sync,
) -> Vec<f32> {
    let out = panels.columns;
    let area = channels * out;
    let mut gradient = Unwritten::new(9 * area);
    let dest = gradient.pointer();
    in_parts(panels.count(), |index| {
        let (first, columns, width) = panels.panel(index);
        let mut values = vec![0.0f32; columns * components];
        for channel in 0..channels {
            let start = channels * first + channel * width;
            for component in 0..components {
                let start = component * area + start;
                for (column, values) in values.chunks_exact_mut(components).enumerate() {
                    let mut sum = sums[0][start + column];
                    for more in &sums[1..] {
                        sum += more[start + column];
                    }
                    values[component] = sum;
                }
            }
            for (column, values) in values.chunks_exact(components).enumerate() {
                let place = 9 * ((first + column) * channels + channel);
                // SAFETY: each place belongs to one pair of channels, of one panel.
                unsafe { dest.part(place..place + 9) }.copy_from_slice(&taps(values));
            }
        }
    });
    // SAFETY: the panels have all columns, and each pair of channels was written.
    unsafe { gradient.into_vec(9 * area) }
}
