//! The gradient of the weight.

use std::ops::Range;

use burn_flex::FlexTensor;
use pulp::{Arch, Simd, WithSimd};

use super::super::shapes::Shapes;
use super::components;
use super::products::{self, Term};
use super::tiles::{Plan, Tiles, with_room};
use super::transform::{self, Spread, Taken};
use crate::buffer::tensor;
use crate::tile::Panels;

/// Least and most tiles of a block of a weight's gradient.
const SUMMED: [usize; 2] = [24, 384];
/// Sums for each component that are near enough to be read and written once for every least block, 128
/// KiB; of larger ones there are so many that they come from memory.
const NEAR: usize = 32 * 1024;
/// Sums for each component from which on it isn't worth it to have half as many components again, 512 KiB.
const FAR: usize = 128 * 1024;

/// Whether the sums of a weight's gradient are near enough to be added to for a few images at a time.
pub(super) fn near(shapes: &Shapes) -> bool {
    shapes.channels * shapes.out <= NEAR
}

/// Whether they are so far that wide tiles don't pay.
pub(super) fn far(shapes: &Shapes) -> bool {
    shapes.channels * shapes.out > FAR
}

/// The sums of a weight's gradient by tiles of N columns of components.
pub(crate) struct Correlate<const N: usize> {
    tiles: Tiles<N>,
    channels: usize,
    panels: Panels,
}

impl<const N: usize> Correlate<N> {
    pub(super) fn new(shapes: &Shapes) -> Self {
        Self {
            tiles: Tiles::of_output(shapes),
            channels: shapes.channels,
            panels: Panels::new(shapes.out),
        }
    }

    /// Tiles of a block.
    fn most(&self) -> usize {
        match self.channels * self.panels.columns {
            area if area <= NEAR => SUMMED[0],
            area => (3 * area.isqrt() / 4).clamp(SUMMED[0], SUMMED[1]),
        }
    }

    pub(super) fn zeros(&self) -> Vec<f32> {
        vec![0.0; components(N) * self.channels * self.panels.columns]
    }

    pub(super) fn all(&self, x: &[f32], gradient: &[f32]) -> FlexTensor {
        let tiles = &self.tiles;
        let sums = tiles.summed(|range| {
            let mut sums = self.zeros();
            self.add(tiles, range, x, gradient, &mut sums);
            sums
        });
        self.finish(&sums)
    }

    pub(super) fn images(&self, images: usize, x: &[f32], gradient: &[f32], sums: &mut [f32]) {
        let tiles = self.tiles.of_images(images);
        self.add(&tiles, 0..tiles.count(), x, gradient, sums);
    }

    fn add(
        &self,
        tiles: &Tiles<N>,
        range: Range<usize>,
        x: &[f32],
        gradient: &[f32],
        sums: &mut [f32],
    ) {
        let most = self.most();
        let plans = [self.channels, self.panels.columns].map(Plan::new);
        let [left, right] = plans.map(|plan| plan.length(most));
        with_room(left + right, |room| {
            let (taken, spread) = room.split_at_mut(left);
            Arch::new().dispatch(Sums {
                blocks: range
                    .clone()
                    .step_by(most)
                    .map(|first| first..(first + most).min(range.end)),
                tiles,
                source: x,
                gradient,
                plans,
                taken,
                spread,
                panels: self.panels,
                sums,
            });
        });
    }

    pub(super) fn finish(&self, sums: &[Vec<f32>]) -> FlexTensor {
        let (channels, panels) = (self.channels, self.panels);
        tensor(
            transform::weight_gradient(sums, components(N), channels, panels, transform::taps::<N>),
            [panels.columns, channels, 3, 3],
        )
    }
}

/// The sums of the products of some blocks, all steps of each one after another in the cache.
struct Sums<'a, I, const N: usize> {
    blocks: I,
    tiles: &'a Tiles<N>,
    source: &'a [f32],
    gradient: &'a [f32],
    plans: [Plan<N>; 2],
    taken: &'a mut [f32],
    spread: &'a mut [f32],
    panels: Panels,
    sums: &'a mut [f32],
}

impl<I: Iterator<Item = Range<usize>>, const N: usize> WithSimd for Sums<'_, I, N> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let [left, right] = self.plans;
        let zeros = vec![0.0; left.channels.max(right.channels)];
        for block in self.blocks {
            let tiles = block.len();
            Taken {
                tiles: self.tiles,
                source: self.source,
                zeros: &zeros,
                block: block.clone(),
                plan: left,
            }
            .run(simd, self.taken);
            Spread {
                tiles: self.tiles,
                gradient: self.gradient,
                zeros: &zeros,
                block,
                plan: right,
            }
            .run(simd, self.spread);
            let (taken, spread) = ((&*self.taken, left), (&*self.spread, right));
            let terms = Term::each::<N>();
            products::correlate(simd, taken, spread, terms, self.panels, tiles, self.sums);
        }
    }
}
