//! The convolution itself: the output, and the gradient of the input.

use std::ops::Range;

use burn_flex::FlexTensor;
use pulp::{Arch, Simd, WithSimd};

use super::super::shapes::Shapes;
use super::components;
use super::products::{self, Term};
use super::tiles::{APART, Plan, Tiles, most, shared_out, with_room};
use super::transform::{self, Taken, Written};
use crate::buffer::{Shared, Unwritten, in_parts, threads};
use crate::tile::Panels;

/// A convolution by tiles of N columns of components.
pub(crate) struct Convolution<const N: usize> {
    tiles: Tiles<N>,
    right: Right,
}

impl<const N: usize> Convolution<N> {
    pub(super) fn forward(shapes: &Shapes, weight: &[f32]) -> Self {
        let channels = shapes.channels;
        let right = Right::new(
            components(N),
            [channels, shapes.out],
            |channel, out, values| {
                let start = 9 * (out * channels + channel);
                transform::kernel::<N>(&std::array::from_fn(|tap| weight[start + tap]), values);
            },
        );
        let tiles = Tiles::of_output(shapes);
        Self { tiles, right }
    }

    pub(super) fn input_gradient(shapes: &Shapes, weight: &[f32]) -> Self {
        let channels = shapes.channels;
        let right = Right::new(
            components(N),
            [shapes.out, channels],
            |out, channel, values| {
                let start = 9 * (out * channels + channel);
                transform::kernel::<N>(&std::array::from_fn(|tap| weight[start + 8 - tap]), values);
            },
        );
        let tiles = Tiles {
            batch: shapes.batch,
            source: shapes.output,
            padding: shapes.options.padding.map(|padding| 2 - padding as isize),
            dest: shapes.input,
        };
        Self { tiles, right }
    }

    /// Tiles of a block at most.
    fn most(&self) -> usize {
        most(components(N) * (self.right.depth + self.right.panels.columns))
    }

    /// The convolution of all images, `[batch, height, width, columns]`, on all threads.
    pub(super) fn all(&self, source: &[f32], finish: Finish<'_>) -> FlexTensor {
        let (tiles, columns) = (&self.tiles, self.right.panels.columns);
        let [height, width] = tiles.dest;
        let shape = [tiles.batch, height, width, columns];
        let blocks = tiles.blocks(self.most(), threads());
        let output = shared_out(shape.iter().product(), &blocks, |blocks, dest| {
            // SAFETY: blocks have disjoint tiles, which have disjoint pixels.
            unsafe { self.blocks(tiles, blocks, source, finish, dest) };
        });
        // SAFETY: the tiles cover all pixels.
        unsafe { output.written(shape) }
    }

    /// # Safety
    /// As for [`Filter::images`](super::Filter::images).
    pub(super) unsafe fn images(&self, images: usize, source: &[f32], dest: Shared) {
        let tiles = self.tiles.of_images(images);
        let blocks = tiles.blocks(self.most(), 1);
        // SAFETY: by the caller's promise.
        unsafe { self.blocks(&tiles, &blocks, source, Finish::default(), dest) };
    }

    /// The convolution of some blocks.
    ///
    /// # Safety
    /// `dest` must have room for all images, and nobody else may touch the pixels of these tiles.
    unsafe fn blocks(
        &self,
        tiles: &Tiles<N>,
        blocks: &[Range<usize>],
        source: &[f32],
        finish: Finish<'_>,
        dest: Shared,
    ) {
        let plans = [self.right.depth, self.right.panels.columns].map(Plan::new);
        let [left, product] = plans.map(|plan| plan.length(self.most()));
        with_room(left + product, |room| {
            let (taken, products) = room.split_at_mut(left);
            Arch::new().dispatch(Convolved {
                blocks,
                tiles,
                source,
                right: &self.right,
                finish,
                plans,
                taken,
                products,
                dest,
            });
        });
    }
}

/// The convolution of some blocks, all steps of each one after another in the cache.
struct Convolved<'a, const N: usize> {
    /// Disjoint: their pixels are ours to write.
    blocks: &'a [Range<usize>],
    tiles: &'a Tiles<N>,
    source: &'a [f32],
    right: &'a Right,
    finish: Finish<'a>,
    plans: [Plan<N>; 2],
    taken: &'a mut [f32],
    products: &'a mut [f32],
    dest: Shared,
}

impl<const N: usize> WithSimd for Convolved<'_, N> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let [left, product] = self.plans;
        let zeros = vec![0.0; left.channels];
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
            let taken = (&*self.taken, left);
            let products = (&mut *self.products, product);
            products::multiply(simd, taken, self.right, Term::each::<N>(), tiles, products);
            let written = Written {
                tiles: self.tiles,
                block: block.clone(),
                products: self.products,
                plan: product,
                finish: self.finish,
            };
            // SAFETY: blocks have disjoint tiles, which have disjoint pixels.
            unsafe { written.run(simd, self.dest) };
        }
    }
}

/// The components of all kernels, each packed as the right operand of a product.
pub(super) struct Right {
    pub(super) values: Vec<f32>,
    /// Floats from one component to the next.
    pub(super) pitch: usize,
    pub(super) depth: usize,
    pub(super) panels: Panels,
}

impl Right {
    /// The components of the kernels from `depth` channels to `columns`, of which `write` writes those of
    /// one of each.
    pub(super) fn new(
        components: usize,
        [depth, columns]: [usize; 2],
        write: impl Fn(usize, usize, &mut [f32]) + Send + Sync,
    ) -> Self {
        let panels = Panels::new(columns);
        let pitch = depth * panels.padded() + APART;
        let mut values = Unwritten::new(components * pitch);
        let dest = values.pointer();
        in_parts(panels.count(), |index| {
            let (first, columns, width) = panels.panel(index);
            let mut values = vec![0.0; components];
            for k in 0..depth {
                for column in 0..columns {
                    let place = depth * first + k * width + column;
                    write(k, first + column, &mut values);
                    for (component, &value) in values.iter().enumerate() {
                        // SAFETY: each place belongs to one pair of channels, of one panel.
                        unsafe { *dest.pointer().add(component * pitch + place) = value };
                    }
                }
            }
        });
        for component in 1..=components {
            let end = component * pitch;
            // SAFETY: this is what lies between the components.
            unsafe { dest.part(end - APART..end) }.fill(0.0);
        }
        Self {
            // SAFETY: the columns are whole vectors, so that the panels have no gaps.
            values: unsafe { values.into_vec(components * pitch) },
            pitch,
            depth,
            panels,
        }
    }

    pub(super) fn components(&self) -> usize {
        self.values.len() / self.pitch
    }

    #[inline(always)]
    pub(super) fn component(&self, index: usize) -> &[f32] {
        &self.values[index * self.pitch..][..self.depth * self.panels.padded()]
    }
}

/// What an output ends with.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Finish<'a> {
    pub(super) bias: Option<&'a [f32]>,
    pub(super) relu: bool,
}
