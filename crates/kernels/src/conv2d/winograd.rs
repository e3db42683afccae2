//! Convolutions under a kernel of 3×3 pixels with stride 1, by Winograd's minimal filtering.
//!
//! F(2×2, 3×3) of Lavin and Gray, *Fast Algorithms for Convolutional Neural Networks* (2016): a tile
//! of 2×2 output pixels is `Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A` of a kernel g and the 4×4 input pixels d that
//! it sees. Summed over channels, the product in the middle is one matrix product for each of the 16
//! components, `[tiles, channels] · [channels, out]`: 4 multiplications for a pixel, a channel and an
//! output instead of 9. The transforms only add, and run over channels as vectors.
//!
//! The gradient of the input is the same with the flipped kernel. That of the weight is the exact
//! adjoint, `Gᵀ [Σ (Bᵀ d B) ⊙ (A y Aᵀ)] G` over all tiles, with y the output's gradient: products of
//! the same size again.
//!
//! Tiles are worked on in blocks whose components stay in the cache between transform and product. All
//! steps of a block are compiled into one loop: with narrow layers a block is done in microseconds, and
//! what a call costs would show.
//!
//! Cost: 16·⌈OH/2⌉·⌈OW/2⌉·B·C·O multiply-adds each way, which is 4/9 of the direct convolution where
//! OH and OW are even; about 2.5 vector additions for each input and output value beside it. The error
//! is that of the direct sum to within a factor of two, because the transforms' coefficients are 0, ±½
//! and ±1; larger tiles would multiply less but lose digits.

use std::cell::Cell;
use std::ops::Range;

use burn_flex::FlexTensor;
use pulp::{Arch, Simd, WithSimd};

use super::shapes::Shapes;
use crate::buffer::{Shared, Unwritten, in_parts, part, tensor, threads};
use crate::tile::Panels;

mod products;
mod transform;

use transform::{Spread, Taken, Written};

/// Components of a tile, 4×4.
const COMPONENTS: usize = 16;
/// What tiles are counted by, so that the register tiles of the products have no remainder.
const UNIT: usize = 12;
/// Floats of a block's components, source and product together, 384 KiB.
const BLOCK: usize = 96 * 1024;
/// Least and most tiles of a block.
const TILES: [usize; 2] = [12, 384];
/// Least tiles of a block of a weight's gradient.
const SUMMED: usize = 48;
/// Floats between tiles, which keep a component of one tile from falling on the same cache lines as
/// that of the next: their distances would be powers of two.
const APART: usize = 16;

/// Whether a convolution is worth it.
pub(super) fn applies(shapes: &Shapes) -> bool {
    let options = &shapes.options;
    // Whole vectors, and the smallest tile of a weight's gradient where vectors are narrower.
    let whole = |channels: usize| {
        channels >= 16
            && channels.is_multiple_of(products::ROWS)
            && Panels::new(channels).padded() == channels
    };
    // Tiles that reach past the image waste a part of what is won.
    let pays = |size: [usize; 2]| {
        let tiles: usize = size.iter().map(|pixels| pixels.div_ceil(2)).product();
        9 * size[0] * size[1] >= 22 * tiles
    };
    shapes.kernel == [3, 3]
        && options.stride == [1, 1]
        && options.dilation == [1, 1]
        && options.groups == 1
        && whole(shapes.channels)
        && whole(shapes.out)
        && pays(shapes.output)
        && pays(shapes.input)
}

/// The output, `[batch, height, width, out]`.
pub(super) fn forward(
    shapes: &Shapes,
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
) -> FlexTensor {
    let channels = shapes.channels;
    let right = Right::new(channels, shapes.out, |channel, out| {
        let start = 9 * (out * channels + channel);
        std::array::from_fn(|tap| weight[start + tap])
    });
    let tiles = Tiles {
        batch: shapes.batch,
        source: shapes.input,
        padding: shapes.options.padding.map(|padding| padding as isize),
        dest: shapes.output,
    };
    let finish = Finish {
        bias,
        relu: shapes.options.relu,
    };
    convolve(&tiles, x, &right, finish)
}

/// The gradient of the input, shaped as the input.
pub(super) fn input_gradient(shapes: &Shapes, weight: &[f32], gradient: &[f32]) -> FlexTensor {
    let channels = shapes.channels;
    let right = Right::new(shapes.out, channels, |out, channel| {
        let start = 9 * (out * channels + channel);
        std::array::from_fn(|tap| weight[start + 8 - tap])
    });
    let tiles = Tiles {
        batch: shapes.batch,
        source: shapes.output,
        padding: shapes.options.padding.map(|padding| 2 - padding as isize),
        dest: shapes.input,
    };
    convolve(&tiles, gradient, &right, Finish::default())
}

/// The gradient of the weight, `[out, channels, 3, 3]`.
pub(super) fn weight_gradient(shapes: &Shapes, x: &[f32], gradient: &[f32]) -> FlexTensor {
    let [channels, out] = [shapes.channels, shapes.out];
    let tiles = Tiles {
        batch: shapes.batch,
        source: shapes.input,
        padding: shapes.options.padding.map(|padding| padding as isize),
        dest: shapes.output,
    };
    let panels = Panels::new(out);
    let area = channels * out;
    // A sum is read and written once for each block, so that wide layers want large blocks.
    let most = (3 * area.isqrt() / 4).clamp(SUMMED, TILES[1]) / UNIT * UNIT;
    let units = tiles.count().div_ceil(UNIT);
    let parts = threads().min(units).max(1);
    let plans = [channels, out].map(Plan::new);
    let sums = in_parts(parts, |index| {
        let mut sums = vec![0.0; COMPONENTS * area];
        let range = tiles.of_units(part(units, parts, index));
        let [left, right] = plans.map(|plan| plan.length(most));
        with_room(left + right, |room| {
            let (taken, spread) = room.split_at_mut(left);
            Arch::new().dispatch(Sums {
                blocks: range
                    .clone()
                    .step_by(most)
                    .map(|first| first..(first + most).min(range.end)),
                tiles: &tiles,
                source: x,
                gradient,
                plans,
                taken,
                spread,
                panels,
                sums: &mut sums,
            });
        });
        sums
    });
    tensor(
        transform::weight_gradient(&sums, channels, panels),
        shapes.weight(),
    )
}

/// The sums of the products of some blocks, all steps of each one after another in the cache.
struct Sums<'a, I> {
    blocks: I,
    tiles: &'a Tiles,
    source: &'a [f32],
    gradient: &'a [f32],
    plans: [Plan; 2],
    taken: &'a mut [f32],
    spread: &'a mut [f32],
    panels: Panels,
    sums: &'a mut [f32],
}

impl<I: Iterator<Item = Range<usize>>> WithSimd for Sums<'_, I> {
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
            let operands = [(&*self.taken, left), (&*self.spread, right)];
            products::correlate(simd, operands, self.panels, tiles, self.sums);
        }
    }
}

thread_local! {
    /// Room for the components of a block, kept because fresh memory costs page faults.
    static ROOM: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

/// Calls `work` with so many floats, which begin on a cache line and hold anything.
fn with_room(length: usize, work: impl FnOnce(&mut [f32])) {
    const LINE: usize = 16;
    let mut room = ROOM.take();
    room.resize((length + LINE).max(room.len()), 0.0);
    let begin = room.as_ptr().align_offset(4 * LINE).min(LINE);
    work(&mut room[begin..][..length]);
    ROOM.set(room);
}

/// The tiles of 2×2 pixels that cover the images of a destination, counted through all images, and
/// the source that they see; the pairs are (height, width).
#[derive(Clone, Copy, Debug)]
struct Tiles {
    batch: usize,
    source: [usize; 2],
    /// How far the first window begins before the image, negative if inside.
    padding: [isize; 2],
    dest: [usize; 2],
}

impl Tiles {
    /// Rows and columns of tiles of an image.
    fn grid(&self) -> [usize; 2] {
        self.dest.map(|pixels| pixels.div_ceil(2))
    }

    fn count(&self) -> usize {
        let [rows, columns] = self.grid();
        self.batch * rows * columns
    }

    /// The tiles of a range of units; the last unit has fewer.
    fn of_units(&self, units: Range<usize>) -> Range<usize> {
        units.start * UNIT..(units.end * UNIT).min(self.count())
    }

    /// Image, row and column of a tile.
    fn place(&self, tile: usize) -> [usize; 3] {
        let [rows, columns] = self.grid();
        let (image, tile) = (tile / (rows * columns), tile % (rows * columns));
        [image, tile / columns, tile % columns]
    }

    /// The place of the tile after that at `place`; cheaper than to divide again.
    #[inline(always)]
    fn next(&self, [image, row, column]: [usize; 3]) -> [usize; 3] {
        let [rows, columns] = self.grid();
        match (row + 1 < rows, column + 1 < columns) {
            (_, true) => [image, row, column + 1],
            (true, false) => [image, row + 1, 0],
            (false, false) => [image + 1, 0, 0],
        }
    }
}

/// How the components of a block of tiles lie in memory, `[tile, vector, component, lane]` where the
/// channels are cut into vectors: what a transform writes stands together, at distances known to the
/// compiler.
#[derive(Clone, Copy, Debug)]
struct Plan {
    channels: usize,
}

impl Plan {
    fn new(channels: usize) -> Self {
        Self { channels }
    }

    /// Floats from one tile to the next.
    #[inline(always)]
    fn tile(self) -> usize {
        COMPONENTS * self.channels + APART
    }

    /// Floats of so many tiles.
    fn length(self, tiles: usize) -> usize {
        tiles * self.tile()
    }
}

/// The components of all kernels, each packed as the right operand of a product.
struct Right {
    values: Vec<f32>,
    /// Floats from one component to the next.
    pitch: usize,
    depth: usize,
    panels: Panels,
}

impl Right {
    /// Transforms the kernels from `depth` channels to `columns`, of which `taps` gives the nine
    /// numbers.
    fn new(
        depth: usize,
        columns: usize,
        taps: impl Fn(usize, usize) -> [f32; 9] + Send + Sync,
    ) -> Self {
        let panels = Panels::new(columns);
        let pitch = depth * panels.padded() + APART;
        let mut values = Unwritten::new(COMPONENTS * pitch);
        let dest = values.pointer();
        in_parts(panels.count(), |index| {
            let (first, columns, width) = panels.panel(index);
            for k in 0..depth {
                for column in 0..columns {
                    let place = depth * first + k * width + column;
                    let components = transform::kernel(&taps(k, first + column));
                    for (component, value) in components.into_iter().enumerate() {
                        // SAFETY: each place belongs to one pair of channels, of one panel.
                        unsafe { *dest.pointer().add(component * pitch + place) = value };
                    }
                }
            }
        });
        for component in 1..=COMPONENTS {
            let end = component * pitch;
            // SAFETY: this is what lies between the components.
            unsafe { dest.part(end - APART..end) }.fill(0.0);
        }
        Self {
            // SAFETY: the columns are whole vectors, so that the panels have no gaps.
            values: unsafe { values.into_vec(COMPONENTS * pitch) },
            pitch,
            depth,
            panels,
        }
    }

    fn component(&self, index: usize) -> &[f32] {
        &self.values[index * self.pitch..][..self.depth * self.panels.padded()]
    }
}

/// What an output ends with.
#[derive(Clone, Copy, Debug, Default)]
struct Finish<'a> {
    bias: Option<&'a [f32]>,
    relu: bool,
}

/// The convolution of all tiles, `[batch, height, width, columns]`.
fn convolve(tiles: &Tiles, source: &[f32], right: &Right, finish: Finish<'_>) -> FlexTensor {
    let (depth, columns) = (right.depth, right.panels.columns);
    let [height, width] = tiles.dest;
    let mut output = Unwritten::new(tiles.batch * height * width * columns);
    let dest = output.pointer();
    let most = BLOCK / (COMPONENTS * (depth + columns));
    let most = most.clamp(TILES[0], TILES[1]) / UNIT * UNIT;
    let units = tiles.count().div_ceil(UNIT);
    // As many blocks for one thread as for another.
    let blocks = units.div_ceil(most / UNIT).next_multiple_of(threads());
    let blocks = blocks.min(units);
    // Four parts to each thread even out a machine that is shared with others; every pixel comes
    // out the same whoever computes it.
    let parts = (4 * threads()).min(blocks).max(1);
    let plans = [depth, columns].map(Plan::new);
    in_parts(parts, |index| {
        let [left, product] = plans.map(|plan| plan.length(most));
        with_room(left + product, |room| {
            let (taken, products) = room.split_at_mut(left);
            Arch::new().dispatch(Convolved {
                blocks: part(blocks, parts, index)
                    .map(|block| tiles.of_units(part(units, blocks, block))),
                tiles,
                source,
                right,
                finish,
                plans,
                taken,
                products,
                dest,
            });
        });
    });
    // SAFETY: the tiles cover all pixels.
    unsafe { output.written([tiles.batch, height, width, columns]) }
}

/// The convolution of some blocks, all steps of each one after another in the cache.
struct Convolved<'a, I> {
    /// Disjoint: their pixels are ours to write.
    blocks: I,
    tiles: &'a Tiles,
    source: &'a [f32],
    right: &'a Right,
    finish: Finish<'a>,
    plans: [Plan; 2],
    taken: &'a mut [f32],
    products: &'a mut [f32],
    dest: Shared,
}

impl<I: Iterator<Item = Range<usize>>> WithSimd for Convolved<'_, I> {
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
            products::multiply(simd, taken, self.right, tiles, (self.products, product));
            let written = Written {
                tiles: self.tiles,
                block,
                products: self.products,
                plan: product,
                finish: self.finish,
            };
            // SAFETY: blocks have disjoint tiles, which have disjoint pixels.
            unsafe { written.run(simd, self.dest) };
        }
    }
}

#[cfg(test)]
mod tests;
