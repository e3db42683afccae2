//! The gradient of the weight.

use std::ops::Range;

use burn_flex::FlexTensor;
use pulp::{Arch, Simd, WithSimd};

use super::super::products;
use super::super::tiles::{Plan, Tiles, with_room};
use super::super::transform::weight_gradient;
use super::transform::{self, Seen};
use super::{FORWARD, PAIRS, SUMS, tiles};
use crate::buffer::tensor;
use crate::conv2d::shapes::Shapes;
use crate::tile::Panels;

/// Tiles of a block.
const SUMMED: usize = 24;

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
        let sums = tiles.summed(|range| {
            let mut sums = self.zeros();
            self.add(tiles, range, x, gradient, &mut sums);
            sums
        });
        self.finish(&sums)
    }

    /// Adds so many images, on this thread alone.
    pub(crate) fn images(&self, images: usize, x: &[f32], gradient: &[f32], sums: &mut [f32]) {
        let tiles = self.tiles.of_images(images);
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
        let gradient = weight_gradient(sums, FORWARD.len(), channels, panels, taps);
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
            let seen = Seen::inputs(self.x, tiles.source, &zeros);
            let dest = (&mut *self.taken, left);
            seen.take(simd, tiles, block.clone(), dest, transform::taken);
            let seen = Seen::outputs(self.gradient, tiles.dest, &zeros);
            let dest = (&mut *self.spread, right);
            seen.take(simd, tiles, block, dest, transform::spread);
            let (taken, spread) = ((&*self.taken, left), (&*self.spread, right));
            products::correlate(simd, taken, spread, &FORWARD, self.panels, count, self.sums);
        }
    }
}

/// The nine taps, row by row, of the gradients of a kernel's 25 components: what is adjoint to
/// [`Strided::forward`](super::Strided::forward)'s making of these.
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
