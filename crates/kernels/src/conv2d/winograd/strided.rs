//! Convolutions under a kernel of 3×3 pixels with stride 2.
//!
//! Along an axis, output i sees the pixels 2i − 1, 2i and 2i + 1. Odd pixels are seen by two outputs, as
//! under a kernel of two taps with stride 1, and even ones by one. Of two outputs together, minimal
//! filtering F(2, 2) at the points 0, 1 and ∞ leaves 5 of 6 multiplications: with the odd pixels a, b, c
//! and the even ones p, q,
//!
//! ```text
//! y₀ = a w₀ + p w₁ + b w₂ = [(a − b) w₀ + p w₁] + b (w₀ + w₂)
//! y₁ = b w₀ + q w₁ + c w₂ = b (w₀ + w₂) + [(c − b) w₂ + q w₁]
//! ```
//!
//! so that a tile of 2×2 outputs takes 25 multiplications for a pair of channels instead of 36, and sums
//! them to 9 components. The gradient of the input is of the same kind: of the output's gradients u, v, w
//! at three neighboring pixels the odd pixels get `(u − v) w₂ + v (w₀ + w₂)` and `v (w₀ + w₂) + (w − v) w₀`,
//! the even ones `u w₁` and `v w₁`. That of the weight is the exact adjoint. All coefficients are 0 and ±1.
//!
//! Cost: 25·⌈OH/2⌉·⌈OW/2⌉·B·C·O multiply-adds each way.

// Loops over the rows and columns of a tile unroll into registers; iterators keep them in memory.
#![allow(clippy::needless_range_loop)]

use std::ops::Range;

use burn_flex::FlexTensor;
use pulp::{Arch, Simd, WithSimd};

use super::super::shapes::Shapes;
use super::convolution::Right;
use super::products::{self, Term};
use super::tiles::{APART, Plan, Tiles, most, shared_out, with_room};
use super::transform;
use super::{UNIT, components, whole};
use crate::buffer::{Shared, in_parts, part, tensor, threads};
use crate::tile::{Panels, load, store};

/// Columns of components that have room for 25, 9 and 16 of them.
const PAIRS: usize = 7;
const SUMS: usize = 3;
const GRADIENTS: usize = 4;
/// Tiles of a block of a weight's gradient.
const SUMMED: usize = 24;
/// Most pairs of channels: the components of more kernels come from memory.
const AREA: usize = 32 * 1024;

/// Of the five products along an axis (of a − b, p, b, c − b and q), the component of the sum that each is
/// added to.
const SUM: [usize; 5] = [0, 0, 1, 2, 2];
/// Of the five products of the way back, the component of the output's gradient that each is of (u − v, v,
/// w − v, and for the even pixels u and v; the components are u − v, v, w − v and u).
const GRADIENT: [usize; 5] = [0, 1, 2, 3, 1];

/// From the source's 25 components to the 9 sums.
pub(super) static FORWARD: [Term; 25] = {
    let mut terms = [Term::of(0); 25];
    let (mut next, mut product) = (0, 0);
    while product < 9 {
        let mut pair = 0;
        while pair < 25 {
            if 3 * SUM[pair / 5] + SUM[pair % 5] == product {
                terms[next] = Term {
                    left: pair,
                    right: pair,
                    product,
                };
                next += 1;
            }
            pair += 1;
        }
        product += 1;
    }
    terms
};

/// From the 16 components of the output's gradient to 25 products.
pub(super) static BACKWARD: [Term; 25] = {
    let mut terms = [Term::of(0); 25];
    let mut pair = 0;
    while pair < 25 {
        terms[pair] = Term {
            left: 4 * GRADIENT[pair / 5] + GRADIENT[pair % 5],
            right: pair,
            product: pair,
        };
        pair += 1;
    }
    terms
};

/// Whether a convolution is worth it.
pub(crate) fn applies(shapes: &Shapes) -> bool {
    let options = &shapes.options;
    let [height, width] = shapes.output;
    shapes.kernel == [3, 3]
        && options.stride == [2, 2]
        && options.padding == [1, 1]
        && options.dilation == [1, 1]
        && options.groups == 1
        && whole(shapes.channels)
        && whole(shapes.out)
        && shapes.channels * shapes.out <= AREA
        // Very small images are direct sums over few taps, which lose fewer digits.
        && height.min(width) >= 4
        && 8 * height * width >= 25 * height.div_ceil(2) * width.div_ceil(2)
}

/// Tiles of 2×2 pixels of the output, whichever way it goes.
fn tiles(shapes: &Shapes) -> Tiles<4> {
    Tiles {
        batch: shapes.batch,
        source: shapes.input,
        padding: [1, 1],
        dest: shapes.output,
    }
}

/// The output or the gradient of the input.
pub(crate) struct Strided {
    tiles: Tiles<4>,
    right: Right,
    backward: bool,
}

impl Strided {
    /// From the input to the output.
    pub(crate) fn forward(shapes: &Shapes, weight: &[f32]) -> Self {
        let channels = shapes.channels;
        let right = Right::new(25, [channels, shapes.out], |channel, out, pairs| {
            let taps = &weight[9 * (out * channels + channel)..][..9];
            kernel(taps, |w| [w[0], w[1], w[0] + w[2], w[2], w[1]], pairs);
        });
        Self {
            tiles: tiles(shapes),
            right,
            backward: false,
        }
    }

    /// From the output's gradient to the input's.
    pub(crate) fn input_gradient(shapes: &Shapes, weight: &[f32]) -> Self {
        let channels = shapes.channels;
        let right = Right::new(25, [shapes.out, channels], |out, channel, pairs| {
            let taps = &weight[9 * (out * channels + channel)..][..9];
            kernel(taps, |w| [w[2], w[0] + w[2], w[0], w[1], w[1]], pairs);
        });
        Self {
            tiles: tiles(shapes),
            right,
            backward: true,
        }
    }

    /// Floats of the components of a tile, of the source and of the product.
    fn floats(&self) -> [usize; 2] {
        let (depth, columns) = (self.right.depth, self.right.panels.columns);
        if self.backward {
            [components(GRADIENTS) * depth, components(PAIRS) * columns]
        } else {
            [components(PAIRS) * depth, components(SUMS) * columns]
        }
    }

    /// Tiles of a block at most.
    fn most(&self) -> usize {
        most(self.floats().iter().sum())
    }

    /// That of all images, on all threads.
    pub(crate) fn all(&self, source: &[f32]) -> FlexTensor {
        let tiles = &self.tiles;
        let [height, width] = if self.backward {
            tiles.source
        } else {
            tiles.dest
        };
        let shape = [tiles.batch, height, width, self.right.panels.columns];
        let blocks = tiles.blocks(self.most(), threads());
        let output = shared_out(shape.iter().product(), &blocks, |blocks, dest| {
            // SAFETY: blocks have disjoint tiles, which have disjoint pixels.
            unsafe { self.blocks(tiles, blocks, source, dest) };
        });
        // SAFETY: the tiles cover all pixels.
        unsafe { output.written(shape) }
    }

    /// That of so many images, on this thread alone.
    ///
    /// # Safety
    /// `dest` must have room for these images, and nobody else may touch it meanwhile.
    pub(crate) unsafe fn images(&self, images: usize, source: &[f32], dest: Shared) {
        let tiles = Tiles {
            batch: images,
            ..self.tiles
        };
        let blocks = tiles.blocks(self.most(), 1);
        // SAFETY: by the caller's promise.
        unsafe { self.blocks(&tiles, &blocks, source, dest) };
    }

    /// # Safety
    /// `dest` must have room for all images, and nobody else may touch the pixels of these tiles.
    unsafe fn blocks(
        &self,
        tiles: &Tiles<4>,
        blocks: &[Range<usize>],
        source: &[f32],
        dest: Shared,
    ) {
        let [left, product] = self.floats().map(|floats| self.most() * (floats + APART));
        with_room(left + product, |room| {
            let (taken, products) = room.split_at_mut(left);
            Arch::new().dispatch(Blocks {
                blocks,
                tiles,
                source,
                right: &self.right,
                backward: self.backward,
                taken,
                products,
                dest,
            });
        });
    }
}

/// Some blocks, all steps of each one after another in the cache.
struct Blocks<'a> {
    blocks: &'a [Range<usize>],
    tiles: &'a Tiles<4>,
    source: &'a [f32],
    right: &'a Right,
    backward: bool,
    taken: &'a mut [f32],
    products: &'a mut [f32],
    dest: Shared,
}

impl WithSimd for Blocks<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let (depth, columns) = (self.right.depth, self.right.panels.columns);
        let zeros = vec![0.0; depth];
        let tiles = self.tiles;
        for block in self.blocks.iter().cloned() {
            let count = block.len();
            if self.backward {
                let left = Plan::<GRADIENTS>::new(depth);
                let product = Plan::<PAIRS>::new(columns);
                let seen = Seen::new(self.source, tiles.dest, &zeros, [2, 0]);
                seen.take(simd, tiles, block.clone(), (&mut *self.taken, left), met);
                let taken = (&*self.taken, left);
                let products = (&mut *self.products, product);
                products::multiply(simd, taken, self.right, &BACKWARD, count, products);
                let products = (&*self.products, product);
                // SAFETY: blocks have disjoint tiles, which have disjoint pixels.
                unsafe {
                    write(
                        simd,
                        tiles,
                        tiles.source,
                        block,
                        products,
                        scattered,
                        self.dest,
                    )
                };
            } else {
                let left = Plan::<PAIRS>::new(depth);
                let product = Plan::<SUMS>::new(columns);
                let seen = Seen::new(self.source, tiles.source, &zeros, [4, 1]);
                seen.take(simd, tiles, block.clone(), (&mut *self.taken, left), taken);
                let taken = (&*self.taken, left);
                let products = (&mut *self.products, product);
                products::multiply(simd, taken, self.right, &FORWARD, count, products);
                let products = (&*self.products, product);
                // SAFETY: as above.
                unsafe { write(simd, tiles, tiles.dest, block, products, summed, self.dest) };
            }
        }
    }
}

/// The sums of a weight's gradient.
pub(crate) struct StridedSums {
    tiles: Tiles<4>,
    channels: usize,
    panels: Panels,
}

impl StridedSums {
    pub(crate) fn new(shapes: &Shapes) -> Self {
        Self {
            tiles: tiles(shapes),
            channels: shapes.channels,
            panels: Panels::new(shapes.out),
        }
    }

    /// Sums of nothing, those of one thread.
    pub(crate) fn zeros(&self) -> Vec<f32> {
        vec![0.0; FORWARD.len() * self.channels * self.panels.columns]
    }

    /// The gradient of the weight, of all images, on all threads.
    pub(crate) fn all(&self, x: &[f32], gradient: &[f32]) -> FlexTensor {
        let tiles = &self.tiles;
        let units = tiles.count().div_ceil(UNIT);
        let parts = threads().min(units).max(1);
        let sums = in_parts(parts, |index| {
            let mut sums = self.zeros();
            let range = tiles.of_units(part(units, parts, index));
            self.add(tiles, range, x, gradient, &mut sums);
            sums
        });
        self.finish(&sums)
    }

    /// Adds so many images, on this thread alone.
    pub(crate) fn images(&self, images: usize, x: &[f32], gradient: &[f32], sums: &mut [f32]) {
        let tiles = Tiles {
            batch: images,
            ..self.tiles
        };
        self.add(&tiles, 0..tiles.count(), x, gradient, sums);
    }

    fn add(
        &self,
        tiles: &Tiles<4>,
        range: Range<usize>,
        x: &[f32],
        gradient: &[f32],
        sums: &mut [f32],
    ) {
        let left = Plan::<PAIRS>::new(self.channels).length(SUMMED);
        let right = Plan::<SUMS>::new(self.panels.columns).length(SUMMED);
        with_room(left + right, |room| {
            let (taken, spread) = room.split_at_mut(left);
            Arch::new().dispatch(Summed {
                tiles,
                range,
                x,
                gradient,
                channels: self.channels,
                panels: self.panels,
                taken,
                spread,
                sums,
            });
        });
    }

    /// The gradient of the weight, as torch lays it out, of the sums of all threads in their order.
    pub(crate) fn finish(&self, sums: &[Vec<f32>]) -> FlexTensor {
        let (channels, panels) = (self.channels, self.panels);
        let gradient = transform::weight_gradient(sums, FORWARD.len(), channels, panels, taps);
        tensor(gradient, [panels.columns, channels, 3, 3])
    }
}

/// The sums of the products of some tiles, block by block.
struct Summed<'a> {
    tiles: &'a Tiles<4>,
    range: Range<usize>,
    x: &'a [f32],
    gradient: &'a [f32],
    channels: usize,
    panels: Panels,
    taken: &'a mut [f32],
    spread: &'a mut [f32],
    sums: &'a mut [f32],
}

impl WithSimd for Summed<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let left = Plan::<PAIRS>::new(self.channels);
        let right = Plan::<SUMS>::new(self.panels.columns);
        let zeros = vec![0.0; self.channels.max(self.panels.columns)];
        let tiles = self.tiles;
        for first in self.range.clone().step_by(SUMMED) {
            let block = first..(first + SUMMED).min(self.range.end);
            let count = block.len();
            let seen = Seen::new(self.x, tiles.source, &zeros, [4, 1]);
            seen.take(simd, tiles, block.clone(), (&mut *self.taken, left), taken);
            let seen = Seen::new(self.gradient, tiles.dest, &zeros, [2, 0]);
            seen.take(simd, tiles, block, (&mut *self.spread, right), spread);
            let (taken, spread) = ((&*self.taken, left), (&*self.spread, right));
            products::correlate(simd, taken, spread, &FORWARD, self.panels, count, self.sums);
        }
    }
}

/// What the tiles see of images.
struct Seen<'a> {
    source: &'a [f32],
    size: [usize; 2],
    /// What stands where a tile reaches past its image: a pixel of zeros.
    zeros: &'a [f32],
    /// Pixels from one tile to the next, and those by which the first one begins before the image.
    step: usize,
    before: usize,
}

impl<'a> Seen<'a> {
    fn new(
        source: &'a [f32],
        size: [usize; 2],
        zeros: &'a [f32],
        [step, before]: [usize; 2],
    ) -> Self {
        Self {
            source,
            size,
            zeros,
            step,
            before,
        }
    }

    /// The O×O components of the I×I pixels that each tile of a block sees.
    #[inline(always)]
    fn take<S: Simd, const I: usize, const O: usize, const N: usize>(
        &self,
        simd: S,
        tiles: &Tiles<4>,
        block: Range<usize>,
        (dest, plan): (&mut [f32], Plan<N>),
        along: impl Fn(S, [S::f32s; I]) -> [S::f32s; O] + Copy,
    ) {
        let channels = plan.channels;
        let [height, width] = self.size;
        assert_eq!(self.source.len(), tiles.batch * height * width * channels);
        assert!(block.end <= tiles.count() && channels <= self.zeros.len());
        assert!(plan.length(block.len()) <= dest.len() && O * O <= components(N));
        assert!(channels.is_multiple_of(S::F32_LANES));
        let mut next = tiles.place(block.start);
        for dest in dest.chunks_exact_mut(plan.tile()).take(block.len()) {
            let [image, row, column] = next;
            next = tiles.next(next);
            let mut pixels = [[self.zeros.as_ptr(); I]; I];
            for i in 0..I {
                // What lies before the image is a large number.
                let y = (self.step * row + i).wrapping_sub(self.before);
                for j in 0..I {
                    let x = (self.step * column + j).wrapping_sub(self.before);
                    if y < height && x < width {
                        let place = ((image * height + y) * width + x) * channels;
                        pixels[i][j] = self.source.as_ptr().wrapping_add(place);
                    }
                }
            }
            for channel in (0..channels).step_by(S::F32_LANES) {
                let length = components(N) * S::F32_LANES;
                let dest = dest[components(N) * channel..][..length].as_mut_ptr();
                let mut across = [[simd.splat_f32s(0.0); I]; O];
                for j in 0..I {
                    let mut down = [simd.splat_f32s(0.0); I];
                    for i in 0..I {
                        // SAFETY: each pixel has all channels, which are whole vectors.
                        down[i] = unsafe { load(simd, pixels[i][j].add(channel)) };
                    }
                    let down = along(simd, down);
                    for o in 0..O {
                        across[o][j] = down[o];
                    }
                }
                for o in 0..O {
                    let row = along(simd, across[o]);
                    for j in 0..O {
                        // SAFETY: there is room for the components.
                        unsafe { store(simd, dest.add((O * o + j) * S::F32_LANES), row[j]) };
                    }
                }
            }
        }
    }
}

/// Writes the O×O pixels that the I×I components of the product of each tile of a block make, into images of
/// a size.
///
/// # Safety
/// `dest` must have room for all images, and nobody else may touch the pixels of these tiles.
#[inline(always)]
unsafe fn write<S: Simd, const I: usize, const O: usize, const N: usize>(
    simd: S,
    tiles: &Tiles<4>,
    [height, width]: [usize; 2],
    block: Range<usize>,
    (products, plan): (&[f32], Plan<N>),
    along: impl Fn(S, [S::f32s; I]) -> [S::f32s; O] + Copy,
    dest: Shared,
) {
    let channels = plan.channels;
    assert!(block.end <= tiles.count() && channels.is_multiple_of(S::F32_LANES));
    assert!(plan.length(block.len()) <= products.len() && I * I <= components(N));
    let mut next = tiles.place(block.start);
    for products in products.chunks_exact(plan.tile()).take(block.len()) {
        let [image, row, column] = next;
        next = tiles.next(next);
        let (rows, columns) = (
            height.saturating_sub(O * row).min(O),
            width.saturating_sub(O * column).min(O),
        );
        let first = ((image * height + O * row) * width + O * column) * channels;
        let dest = dest.pointer().wrapping_add(first);
        for channel in (0..channels).step_by(S::F32_LANES) {
            let length = components(N) * S::F32_LANES;
            let products = products[components(N) * channel..][..length].as_ptr();
            let mut across = [[simd.splat_f32s(0.0); I]; O];
            for j in 0..I {
                let mut down = [simd.splat_f32s(0.0); I];
                for i in 0..I {
                    // SAFETY: the components have whole vectors.
                    down[i] = unsafe { load(simd, products.add((I * i + j) * S::F32_LANES)) };
                }
                let down = along(simd, down);
                for o in 0..O {
                    across[o][j] = down[o];
                }
            }
            for o in 0..O {
                let row = along(simd, across[o]);
                for j in 0..O {
                    if o < rows && j < columns {
                        // SAFETY: the pixels are ours by the caller's promise.
                        unsafe {
                            store(simd, dest.add((o * width + j) * channels + channel), row[j])
                        };
                    }
                }
            }
        }
    }
}

/// What is multiplied of five neighboring pixels a, p, b, q, c.
#[inline(always)]
fn taken<S: Simd>(simd: S, d: [S::f32s; 5]) -> [S::f32s; 5] {
    let [a, p, b, q, c] = d;
    [simd.sub_f32s(a, b), p, b, simd.sub_f32s(c, b), q]
}

/// Two outputs of their three sums.
#[inline(always)]
fn summed<S: Simd>(simd: S, m: [S::f32s; 3]) -> [S::f32s; 2] {
    [simd.add_f32s(m[0], m[1]), simd.add_f32s(m[1], m[2])]
}

/// The gradients of three sums of those of two outputs.
#[inline(always)]
fn spread<S: Simd>(simd: S, y: [S::f32s; 2]) -> [S::f32s; 3] {
    [y[0], simd.add_f32s(y[0], y[1]), y[1]]
}

/// What is multiplied of three neighboring gradients of the output.
#[inline(always)]
fn met<S: Simd>(simd: S, y: [S::f32s; 3]) -> [S::f32s; 4] {
    let [u, v, w] = y;
    [simd.sub_f32s(u, v), v, simd.sub_f32s(w, v), u]
}

/// The gradients of four neighboring pixels, the first of which is even.
#[inline(always)]
fn scattered<S: Simd>(simd: S, m: [S::f32s; 5]) -> [S::f32s; 4] {
    [
        m[3],
        simd.add_f32s(m[0], m[1]),
        m[4],
        simd.add_f32s(m[1], m[2]),
    ]
}

/// The nine taps, row by row, of the gradients of a kernel's 25 components: what is adjoint to
/// [`Strided::forward`]'s making of these.
fn taps(pairs: &[f32]) -> [f32; 9] {
    let along = |g: [f32; 5]| [g[0] + g[2], g[1] + g[4], g[2] + g[3]];
    let rows: [[f32; 3]; 5] =
        std::array::from_fn(|row| along(std::array::from_fn(|i| pairs[5 * row + i])));
    let mut taps = [0.0; 9];
    for tap in 0..3 {
        let column = along(std::array::from_fn(|row| rows[row][tap]));
        for (row, value) in column.into_iter().enumerate() {
            taps[3 * row + tap] = value;
        }
    }
    taps
}

/// The 25 components of a kernel's nine taps, of which `along` makes five of three.
fn kernel(taps: &[f32], along: impl Fn([f32; 3]) -> [f32; 5], pairs: &mut [f32]) {
    let rows: [[f32; 5]; 3] =
        [0, 1, 2].map(|row| along([taps[3 * row], taps[3 * row + 1], taps[3 * row + 2]]));
    for column in 0..5 {
        let down = along([rows[0][column], rows[1][column], rows[2][column]]);
        for (row, value) in down.into_iter().enumerate() {
            pairs[5 * row + column] = value;
        }
    }
}
