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

use std::ops::Range;

use burn_flex::FlexTensor;
use pulp::{Arch, Simd, WithSimd};

use super::super::shapes::Shapes;
use super::convolution::Right;
use super::products::{self, Term};
use super::tiles::{APART, Plan, Tiles, most, shared_out, with_room};
use super::{components, whole};
use crate::buffer::{Shared, threads};

mod sums;
mod transform;

pub(crate) use sums::StridedSums;
use transform::Seen;

/// Columns of components that have room for 25, 9 and 16 of them.
const PAIRS: usize = 7;
const SUMS: usize = 3;
const GRADIENTS: usize = 4;
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
        let tiles = self.tiles.of_images(images);
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
    /// Disjoint: their pixels are ours to write.
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
    fn with_simd<S: Simd>(mut self, simd: S) {
        let (depth, columns) = (self.right.depth, self.right.panels.columns);
        let zeros = vec![0.0; depth];
        let Tiles { source, dest, .. } = *self.tiles;
        for block in self.blocks {
            let block = block.clone();
            if self.backward {
                let from = (Plan::<GRADIENTS>::new(depth), transform::met);
                let to = (Plan::<PAIRS>::new(columns), transform::scattered);
                let seen = Seen::outputs(self.source, dest, &zeros);
                self.step(simd, &seen, block, &BACKWARD, from, (to, source));
            } else {
                let from = (Plan::<PAIRS>::new(depth), transform::taken);
                let to = (Plan::<SUMS>::new(columns), transform::summed);
                let seen = Seen::inputs(self.source, source, &zeros);
                self.step(simd, &seen, block, &FORWARD, from, (to, dest));
            }
        }
    }
}

impl Blocks<'_> {
    /// From the I×I pixels that a tile sees to C×C components, by products to J×J of them, and to O×O
    /// pixels of images of a size.
    #[inline(always)]
    fn step<
        S: Simd,
        const L: usize,
        const P: usize,
        const I: usize,
        const C: usize,
        const J: usize,
        const O: usize,
    >(
        &mut self,
        simd: S,
        seen: &Seen<'_>,
        block: Range<usize>,
        terms: &[Term],
        (left, take): (Plan<L>, impl Fn(S, [S::f32s; I]) -> [S::f32s; C] + Copy),
        ((product, put), size): (
            (Plan<P>, impl Fn(S, [S::f32s; J]) -> [S::f32s; O] + Copy),
            [usize; 2],
        ),
    ) {
        let (tiles, count) = (self.tiles, block.len());
        seen.take(simd, tiles, block.clone(), (&mut *self.taken, left), take);
        let taken = (&*self.taken, left);
        let products = (&mut *self.products, product);
        products::multiply(simd, taken, self.right, terms, count, products);
        let products = (&*self.products, product);
        // SAFETY: blocks have disjoint tiles, which have disjoint pixels.
        unsafe { transform::write(simd, tiles, size, block, products, put, self.dest) };
    }
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
