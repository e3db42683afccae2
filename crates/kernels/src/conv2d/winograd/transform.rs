//! The transforms of Winograd's filtering, each a few additions along both axes of a tile.

// Loops over the rows and columns of a tile unroll into registers; iterators keep them in memory.
#![allow(clippy::needless_range_loop)]

use std::ops::Range;

use pulp::{Simd, WithSimd};

use super::{COMPONENTS, Finish, Plan, Shared, Tiles};
use crate::buffer::{Unwritten, in_parts};
use crate::tile::{Panels, load, store};

/// `Bᵀ d B` of every tile of a block, where d are the 4×4 pixels of the source that it sees.
pub(super) struct Taken<'a> {
    tiles: &'a Tiles,
    source: &'a [f32],
    channels: usize,
    block: Range<usize>,
    dest: &'a mut [f32],
    plan: Plan,
}

impl<'a> Taken<'a> {
    pub(super) fn new(
        tiles: &'a Tiles,
        source: &'a [f32],
        channels: usize,
        block: &Range<usize>,
        dest: &'a mut [f32],
        plan: Plan,
    ) -> Self {
        let [height, width] = tiles.source;
        assert_eq!(source.len(), tiles.batch * height * width * channels);
        assert!(block.end <= tiles.count() && plan.length() <= dest.len());
        assert!(block.len() * plan.tile <= plan.component && channels <= plan.tile);
        Self {
            tiles,
            source,
            channels,
            block: block.clone(),
            dest,
            plan,
        }
    }
}

impl WithSimd for Taken<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let zeros = vec![0.0; self.channels];
        let [height, width] = self.tiles.source;
        for (index, tile) in self.block.clone().enumerate() {
            let [image, row, column] = self.tiles.place(tile);
            let top = (2 * row) as isize - self.tiles.padding[0];
            let left = (2 * column) as isize - self.tiles.padding[1];
            let pixel = |i: usize, j: usize| {
                let (row, column) = (top + i as isize, left + j as isize);
                if row < 0 || column < 0 || row >= height as isize || column >= width as isize {
                    return zeros.as_ptr();
                }
                let pixel = (image * height + row as usize) * width + column as usize;
                self.source[pixel * self.channels..].as_ptr()
            };
            let pixels: [[*const f32; 4]; 4] =
                std::array::from_fn(|i| std::array::from_fn(|j| pixel(i, j)));
            let dest = self.dest[index * self.plan.tile..].as_mut_ptr();
            for channel in (0..self.channels).step_by(S::F32_LANES) {
                // SAFETY: each pixel has all channels, which are whole vectors, and there is room
                // for the components of the tile.
                unsafe {
                    let d = |i: usize, j: usize| load(simd, pixels[i][j].add(channel));
                    let dest = dest.add(channel);
                    let mut rows = [[simd.splat_f32s(0.0); 4]; 2];
                    for j in 0..4 {
                        rows[0][j] = simd.sub_f32s(d(0, j), d(2, j));
                    }
                    put_row(simd, rows[0], dest, 0, self.plan);
                    for j in 0..4 {
                        let (one, two) = (d(1, j), d(2, j));
                        rows[0][j] = simd.add_f32s(one, two);
                        rows[1][j] = simd.sub_f32s(two, one);
                    }
                    put_row(simd, rows[0], dest, 1, self.plan);
                    put_row(simd, rows[1], dest, 2, self.plan);
                    for j in 0..4 {
                        rows[0][j] = simd.sub_f32s(d(1, j), d(3, j));
                    }
                    put_row(simd, rows[0], dest, 3, self.plan);
                }
            }
        }
    }
}

/// Writes the four components of a row, transformed along it.
///
/// # Safety
/// There must be room for the components.
#[inline(always)]
unsafe fn put_row<S: Simd>(simd: S, d: [S::f32s; 4], dest: *mut f32, row: usize, plan: Plan) {
    let v = [
        simd.sub_f32s(d[0], d[2]),
        simd.add_f32s(d[1], d[2]),
        simd.sub_f32s(d[2], d[1]),
        simd.sub_f32s(d[1], d[3]),
    ];
    for j in 0..4 {
        // SAFETY: by the caller's promise.
        unsafe { store(simd, dest.add((4 * row + j) * plan.component), v[j]) };
    }
}

/// `A y Aᵀ` of every tile of a block, where y are its 2×2 pixels of the output's gradient.
pub(super) struct Spread<'a> {
    tiles: &'a Tiles,
    gradient: &'a [f32],
    channels: usize,
    block: Range<usize>,
    dest: &'a mut [f32],
    plan: Plan,
}

impl<'a> Spread<'a> {
    pub(super) fn new(
        tiles: &'a Tiles,
        gradient: &'a [f32],
        channels: usize,
        block: &Range<usize>,
        dest: &'a mut [f32],
        plan: Plan,
    ) -> Self {
        let [height, width] = tiles.dest;
        assert_eq!(gradient.len(), tiles.batch * height * width * channels);
        assert!(block.end <= tiles.count() && plan.length() <= dest.len());
        assert!(block.len() * plan.tile <= plan.component && channels <= plan.tile);
        Self {
            tiles,
            gradient,
            channels,
            block: block.clone(),
            dest,
            plan,
        }
    }
}

impl WithSimd for Spread<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let zeros = vec![0.0; self.channels];
        let [height, width] = self.tiles.dest;
        for (index, tile) in self.block.clone().enumerate() {
            let [image, row, column] = self.tiles.place(tile);
            let pixel = |i: usize, j: usize| {
                let (row, column) = (2 * row + i, 2 * column + j);
                if row >= height || column >= width {
                    return zeros.as_ptr();
                }
                let pixel = (image * height + row) * width + column;
                self.gradient[pixel * self.channels..].as_ptr()
            };
            let pixels: [[*const f32; 2]; 2] =
                std::array::from_fn(|i| std::array::from_fn(|j| pixel(i, j)));
            let dest = self.dest[index * self.plan.tile..].as_mut_ptr();
            for channel in (0..self.channels).step_by(S::F32_LANES) {
                // SAFETY: each pixel has all channels, which are whole vectors, and there is room
                // for the components of the tile.
                unsafe {
                    let y = |i: usize, j: usize| load(simd, pixels[i][j].add(channel));
                    let rows = [[y(0, 0), y(0, 1)], [y(1, 0), y(1, 1)]];
                    let spread = |one: S::f32s, two: S::f32s| {
                        let sum = simd.add_f32s(one, two);
                        let difference = simd.sub_f32s(one, two);
                        [one, sum, difference, simd.neg_f32s(two)]
                    };
                    let columns = [0, 1].map(|j| spread(rows[0][j], rows[1][j]));
                    for i in 0..4 {
                        let components = spread(columns[0][i], columns[1][i]);
                        for j in 0..4 {
                            let dest = dest.add((4 * i + j) * self.plan.component + channel);
                            store(simd, dest, components[j]);
                        }
                    }
                }
            }
        }
    }
}

/// `Aᵀ m A` of every tile of a block, where m are the components of the product, written where its
/// pixels are.
pub(super) struct Written<'a> {
    tiles: &'a Tiles,
    columns: usize,
    block: Range<usize>,
    products: &'a [f32],
    plan: Plan,
    finish: Finish<'a>,
    dest: Shared,
}

impl<'a> Written<'a> {
    /// # Safety
    /// `dest` must have room for all pixels, and nobody else may touch those of the block before
    /// this was dispatched.
    pub(super) unsafe fn new(
        tiles: &'a Tiles,
        columns: usize,
        block: &Range<usize>,
        products: &'a [f32],
        plan: Plan,
        finish: Finish<'a>,
        dest: Shared,
    ) -> Self {
        assert!(block.end <= tiles.count() && plan.length() <= products.len());
        assert!(block.len() * plan.tile <= plan.component && columns <= plan.tile);
        assert!(finish.bias.is_none_or(|bias| bias.len() == columns));
        Self {
            tiles,
            columns,
            block: block.clone(),
            products,
            plan,
            finish,
            dest,
        }
    }
}

impl WithSimd for Written<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let [height, width] = self.tiles.dest;
        // The floor comes first: where a value is NaN, x86 takes the second operand, which must show.
        let floor = simd.splat_f32s(if self.finish.relu {
            0.0
        } else {
            f32::NEG_INFINITY
        });
        for (index, tile) in self.block.clone().enumerate() {
            let [image, row, column] = self.tiles.place(tile);
            let first = (image * height + 2 * row) * width + 2 * column;
            let rows = if 2 * row + 1 < height { 2 } else { 1 };
            let both = 2 * column + 1 < width;
            let products = self.products[index * self.plan.tile..].as_ptr();
            for channel in (0..self.columns).step_by(S::F32_LANES) {
                // SAFETY: the components have all columns, which are whole vectors, and the pixels
                // are ours by the promise of whoever made this.
                unsafe {
                    let m = |i: usize, j: usize| {
                        let component = (4 * i + j) * self.plan.component;
                        load(simd, products.add(component + channel))
                    };
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
                        let pixel = (first + i * width) * self.columns + channel;
                        let dest = self.dest.pointer().add(pixel);
                        let y = simd.max_f32s(floor, simd.add_f32s(y, bias));
                        store(simd, dest, y);
                        if both {
                            let y = simd.sub_f32s(simd.sub_f32s(s[1], s[2]), s[3]);
                            let y = simd.max_f32s(floor, simd.add_f32s(y, bias));
                            store(simd, dest.add(self.columns), y);
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
