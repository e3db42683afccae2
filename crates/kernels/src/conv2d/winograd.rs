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
//! Tiles are worked on in blocks whose components stay in the cache between transform and product.
//!
//! Cost: 16·⌈OH/2⌉·⌈OW/2⌉·B·C·O multiply-adds each way, which is 4/9 of the direct convolution where
//! OH and OW are even; about 2.5 vector additions for each input and output value beside it. The error
//! is that of the direct sum to within a factor of two, because the transforms' coefficients are 0, ±½
//! and ±1; larger tiles would multiply less but lose digits.

use std::cell::Cell;
use std::ops::Range;

use burn_flex::FlexTensor;
use pulp::Arch;

use super::shapes::Shapes;
use crate::buffer::{Shared, Unwritten, in_parts, part, tensor, threads};
use crate::tile::{self, Gather, Panels, Segment};

mod transform;

use transform::{Spread, Taken, Written};

/// Components of a tile, 4×4.
const COMPONENTS: usize = 16;
/// What tiles are counted by, so that the register tiles of the products have no remainder.
const UNIT: usize = 12;
/// Floats of a block's components, source and product together, 384 KiB.
const BLOCK: usize = 96 * 1024;
/// Least and most tiles of a block.
const TILES: [usize; 2] = [48, 384];
/// Floats that keep the components, and the tiles of a component, from falling on the same cache
/// lines: their distances would be powers of two.
const APART: usize = 16;

/// Whether a convolution is worth it.
pub(super) fn applies(shapes: &Shapes) -> bool {
    let options = &shapes.options;
    let whole = |channels: usize| channels >= 16 && Panels::new(channels).padded() == channels;
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
    let most = (3 * area.isqrt() / 4).clamp(TILES[0], TILES[1]) / UNIT * UNIT;
    let units = tiles.count().div_ceil(UNIT);
    let parts = threads().min(units).max(1);
    let [left, right] = [channels, out].map(|channels| Plan::new(most, channels));
    let segments = [Segment {
        offset: 0,
        length: channels,
    }];
    let sums = in_parts(parts, |index| {
        let mut sums = vec![0.0; COMPONENTS * area];
        let range = tiles.of_units(part(units, parts, index));
        let mut room = ROOM.take();
        room.resize((left.length() + right.length()).max(room.len()), 0.0);
        let (source, spread) = room.split_at_mut(left.length());
        for first in range.clone().step_by(most) {
            let block = first..(first + most).min(range.end);
            Arch::new().dispatch(Taken::new(&tiles, x, channels, &block, source, left));
            Arch::new().dispatch(Spread::new(&tiles, gradient, out, &block, spread, right));
            let [from, to] = [left, right].map(|plan| plan.offsets(block.len()));
            for (component, sum) in sums.chunks_exact_mut(area).enumerate() {
                let gather = Gather {
                    source: &source[component * left.component..],
                    offsets: &from,
                    segments: &segments,
                };
                let spread = &spread[component * right.component..];
                tile::correlate(gather, spread, &to, panels, sum);
            }
        }
        ROOM.set(room);
        sums
    });
    tensor(
        transform::weight_gradient(&sums, channels, panels),
        shapes.weight(),
    )
}

thread_local! {
    /// Room for the components of a block, kept because fresh memory costs page faults.
    static ROOM: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
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
}

/// How the components of a block of tiles lie in memory.
#[derive(Clone, Copy, Debug)]
struct Plan {
    /// Floats from one tile of a component to the next.
    tile: usize,
    /// Floats from one component to the next.
    component: usize,
}

impl Plan {
    fn new(tiles: usize, channels: usize) -> Self {
        let tile = channels + APART;
        Self {
            tile,
            component: tiles * tile + APART,
        }
    }

    fn length(self) -> usize {
        COMPONENTS * self.component
    }

    /// Where each of so many tiles begins in its component.
    fn offsets(self, tiles: usize) -> Vec<usize> {
        (0..tiles).map(|tile| tile * self.tile).collect()
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
    let most = (BLOCK / (COMPONENTS * (depth + columns))).clamp(TILES[0], TILES[1]) / UNIT * UNIT;
    let units = tiles.count().div_ceil(UNIT);
    // As many blocks for one thread as for another.
    let blocks = units.div_ceil(most / UNIT).next_multiple_of(threads());
    let blocks = blocks.min(units);
    // Four parts to each thread even out a machine that is shared with others; every pixel comes
    // out the same whoever computes it.
    let parts = (4 * threads()).min(blocks).max(1);
    let [left, product] = [Plan::new(most, depth), Plan::new(most, columns)];
    let segments = [Segment {
        offset: 0,
        length: depth,
    }];
    in_parts(parts, |index| {
        let mut room = ROOM.take();
        room.resize((left.length() + product.length()).max(room.len()), 0.0);
        let (taken, products) = room.split_at_mut(left.length());
        for block in part(blocks, parts, index) {
            let block = tiles.of_units(part(units, blocks, block));
            Arch::new().dispatch(Taken::new(tiles, source, depth, &block, taken, left));
            let [from, to] = [left, product].map(|plan| plan.offsets(block.len()));
            for component in 0..COMPONENTS {
                let gather = Gather {
                    source: &taken[component * left.component..],
                    offsets: &from,
                    segments: &segments,
                };
                let weight = right.component(component);
                let dest = products[component * product.component..].as_mut_ptr();
                // SAFETY: there is room for the columns of each tile.
                unsafe { tile::product(gather, weight, None, right.panels, dest, &to) };
            }
            // SAFETY: blocks have disjoint tiles, which have disjoint pixels.
            unsafe {
                let written = Written::new(tiles, columns, &block, products, product, finish, dest);
                Arch::new().dispatch(written);
            }
        }
        ROOM.set(room);
    });
    // SAFETY: the tiles cover all pixels.
    unsafe { output.written([tiles.batch, height, width, columns]) }
}

#[cfg(test)]
mod tests;
