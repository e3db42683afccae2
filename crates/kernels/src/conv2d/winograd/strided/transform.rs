//! The transforms, each a few additions along both axes of a tile.

// Loops over the rows and columns of a tile unroll into registers; iterators keep them in memory.
#![allow(clippy::needless_range_loop)]

use std::ops::Range;

use pulp::Simd;

use super::super::components;
use super::super::tiles::{Plan, Tiles};
use crate::buffer::Shared;
use crate::tile::{load, store};

/// What the tiles see of images.
pub(super) struct Seen<'a> {
    source: &'a [f32],
    size: [usize; 2],
    /// What stands where a tile reaches past its image: a pixel of zeros.
    zeros: &'a [f32],
    /// Pixels from one tile to the next, and those by which the first one begins before the image.
    step: usize,
    before: usize,
}

impl<'a> Seen<'a> {
    /// The five pixels of the input along each axis.
    pub(super) fn inputs(source: &'a [f32], size: [usize; 2], zeros: &'a [f32]) -> Self {
        Self {
            source,
            size,
            zeros,
            step: 4,
            before: 1,
        }
    }

    /// Two pixels of the output along each axis, or three.
    pub(super) fn outputs(source: &'a [f32], size: [usize; 2], zeros: &'a [f32]) -> Self {
        Self {
            source,
            size,
            zeros,
            step: 2,
            before: 0,
        }
    }

    /// The O×O components of the I×I pixels that each tile of a block sees.
    #[inline(always)]
    pub(super) fn take<S: Simd, const I: usize, const O: usize, const N: usize>(
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
pub(super) unsafe fn write<S: Simd, const I: usize, const O: usize, const N: usize>(
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
pub(super) fn taken<S: Simd>(simd: S, d: [S::f32s; 5]) -> [S::f32s; 5] {
    let [a, p, b, q, c] = d;
    [simd.sub_f32s(a, b), p, b, simd.sub_f32s(c, b), q]
}

/// Two outputs of their three sums.
#[inline(always)]
pub(super) fn summed<S: Simd>(simd: S, m: [S::f32s; 3]) -> [S::f32s; 2] {
    [simd.add_f32s(m[0], m[1]), simd.add_f32s(m[1], m[2])]
}

/// The gradients of three sums of those of two outputs.
#[inline(always)]
pub(super) fn spread<S: Simd>(simd: S, y: [S::f32s; 2]) -> [S::f32s; 3] {
    [y[0], simd.add_f32s(y[0], y[1]), y[1]]
}

/// What is multiplied of three neighboring gradients of the output.
#[inline(always)]
pub(super) fn met<S: Simd>(simd: S, y: [S::f32s; 3]) -> [S::f32s; 4] {
    let [u, v, w] = y;
    [simd.sub_f32s(u, v), v, simd.sub_f32s(w, v), u]
}

/// The gradients of four neighboring pixels, the first of which is even.
#[inline(always)]
pub(super) fn scattered<S: Simd>(simd: S, m: [S::f32s; 5]) -> [S::f32s; 4] {
    [
        m[3],
        simd.add_f32s(m[0], m[1]),
        m[4],
        simd.add_f32s(m[1], m[2]),
    ]
}
