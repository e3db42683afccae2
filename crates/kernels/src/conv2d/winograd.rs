//! Convolutions under a kernel of 3×3 pixels with stride 1, by Winograd's minimal filtering.
//!
//! F(2×4, 3×3) of Lavin and Gray, *Fast Algorithms for Convolutional Neural Networks* (2016): a tile
//! of 2×4 output pixels is `Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A` of a kernel g and the 4×6 input pixels d that
//! it sees. Summed over channels, the product in the middle is one matrix product for each of the 24
//! components, `[tiles, channels] · [channels, out]`: 3 multiplications for a pixel, a channel and an
//! output instead of 9. The transforms run over channels as vectors.
//!
//! The gradient of the input is the same with the flipped kernel. That of the weight is the exact
//! adjoint, `Gᵀ [Σ (Bᵀ d B) ⊙ (A y Aᵀ)] G` over all tiles, with y the output's gradient: products of
//! the same size again.
//!
//! How many digits a tile loses depends on its size (see the `transform` module), and how many it may
//! lose on what it stands for. The direct convolution sums an output over all taps and channels, and a
//! weight's gradient over all pixels: beside that, tiles of 2×4 keep the error within a factor of two.
//! It sums an input's gradient tap by tap, which loses less, so that this one is made of tiles of 2×2
//! pixels, 4 multiplications for each. So are images whose width doesn't fit the wide tiles.
//!
//! Tiles are worked on in blocks whose components stay in the cache between transform and product. With
//! narrow layers a block is done in microseconds, so that there are few calls in it.
//!
//! Cost: 24·⌈OH/2⌉·⌈OW/4⌉·B·C·O multiply-adds for the output and for the weight's gradient, a third of
//! the direct convolution where OH is even and OW a multiple of 4, and 16·⌈H/2⌉·⌈W/2⌉·B·C·O for the
//! input's, 4/9 of it; about 2.5 vector operations for each input and output value beside it.

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

/// Rows of a tile's components.
const ROWS: usize = 4;

/// Components of a tile, 4×N.
const fn components(n: usize) -> usize {
    ROWS * n
}

/// What tiles are counted by, so that the register tiles of the products have no remainder.
const UNIT: usize = 12;
/// Floats of a block's components, source and product together, 192 KiB.
const BLOCK: usize = 48 * 1024;
/// Least and most tiles of a block.
const TILES: [usize; 2] = [12, 384];
/// Tiles of a block of a weight's gradient.
const SUMMED: usize = 24;
/// Output pixels of a batch from which on the sums of a direct weight's gradient are so long that wide
/// tiles lose no more digits.
const LONG: usize = 128;
/// Floats between tiles, which keep a component of one tile from falling on the same cache lines as
/// that of the next: their distances would be powers of two.
const APART: usize = 16;

/// Whether a convolution is worth it.
pub(crate) fn applies(shapes: &Shapes) -> bool {
    let options = &shapes.options;
    // Whole vectors, and the smallest tile of a weight's gradient where vectors are narrower.
    let whole = |channels: usize| {
        channels >= 16
            && channels.is_multiple_of(products::MULTIPLE)
            && Panels::new(channels).padded() == channels
    };
    // Tiles that reach past the image waste a part of what is won.
    let pays = |size: [usize; 2]| 8 * 9 * size[0] * size[1] >= 11 * multiplied::<4>(size);
    shapes.kernel == [3, 3]
        && options.stride == [1, 1]
        && options.dilation == [1, 1]
        && options.groups == 1
        && whole(shapes.channels)
        && whole(shapes.out)
        && pays(shapes.output)
        && pays(shapes.input)
}

/// Multiplications for an image of this size and a pair of channels, with tiles of N columns of
/// components.
fn multiplied<const N: usize>([height, width]: [usize; 2]) -> usize {
    components(N) * height.div_ceil(2) * width.div_ceil(Tiles::<N>::SPAN)
}

/// Whether tiles of 2×4 pixels multiply less than those of 2×2.
fn wide(size: [usize; 2]) -> bool {
    multiplied::<6>(size) < multiplied::<4>(size)
}

/// The output, `[batch, height, width, out]`.
pub(super) fn forward(
    shapes: &Shapes,
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
) -> FlexTensor {
    let finish = Finish {
        bias,
        relu: shapes.options.relu,
    };
    match Filter::forward(shapes, weight) {
        Filter::Wide(convolution) => convolution.all(x, finish),
        Filter::Square(convolution) => convolution.all(x, finish),
    }
}

/// The gradient of the input, shaped as the input.
pub(super) fn input_gradient(shapes: &Shapes, weight: &[f32], gradient: &[f32]) -> FlexTensor {
    Convolution::<4>::input_gradient(shapes, weight).all(gradient, Finish::default())
}

/// The gradient of the weight, `[out, channels, 3, 3]`.
pub(super) fn weight_gradient(shapes: &Shapes, x: &[f32], gradient: &[f32]) -> FlexTensor {
    match Correlation::new(shapes) {
        Correlation::Wide(correlation) => correlation.all(x, gradient),
        Correlation::Square(correlation) => correlation.all(x, gradient),
    }
}

/// A convolution that may be done a few images at a time, with tiles of 2×4 or of 2×2 pixels.
pub(crate) enum Filter {
    Wide(Convolution<6>),
    Square(Convolution<4>),
}

impl Filter {
    /// From the input to the output.
    pub(crate) fn forward(shapes: &Shapes, weight: &[f32]) -> Self {
        if wide(shapes.output) {
            Self::Wide(Convolution::forward(shapes, weight))
        } else {
            Self::Square(Convolution::forward(shapes, weight))
        }
    }

    /// From the output's gradient to the input's.
    pub(crate) fn input_gradient(shapes: &Shapes, weight: &[f32]) -> Self {
        Self::Square(Convolution::input_gradient(shapes, weight))
    }

    /// Convolves so many images, on this thread alone.
    ///
    /// # Safety
    /// `dest` must have room for these images, and nobody else may touch it meanwhile.
    pub(crate) unsafe fn images(&self, images: usize, source: &[f32], dest: Shared) {
        // SAFETY: by the caller's promise.
        unsafe {
            match self {
                Self::Wide(convolution) => convolution.images(images, source, dest),
                Self::Square(convolution) => convolution.images(images, source, dest),
            }
        }
    }
}

/// The least images of which as good as no tile is computed for nothing where they are done alone.
pub(crate) fn images_together(shapes: &Shapes) -> usize {
    let tiles = |span: usize| {
        let [height, width] = shapes.output;
        height.div_ceil(2) * width.div_ceil(span)
    };
    let fits = |images: usize, tiles: usize| {
        let tiles = images * tiles;
        24 * (tiles.next_multiple_of(UNIT) - tiles) <= tiles
    };
    (1..UNIT)
        .find(|&images| fits(images, tiles(2)) && fits(images, tiles(4)))
        .unwrap_or(UNIT)
}

/// A convolution by tiles of N columns of components.
pub(crate) struct Convolution<const N: usize> {
    tiles: Tiles<N>,
    right: Right<N>,
}

impl<const N: usize> Convolution<N> {
    fn forward(shapes: &Shapes, weight: &[f32]) -> Self {
        let channels = shapes.channels;
        let right = Right::new(channels, shapes.out, |channel, out| {
            let start = 9 * (out * channels + channel);
            std::array::from_fn(|tap| weight[start + tap])
        });
        let tiles = Tiles::of_output(shapes);
        Self { tiles, right }
    }

    fn input_gradient(shapes: &Shapes, weight: &[f32]) -> Self {
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
        Self { tiles, right }
    }

    /// Tiles of a block at most.
    fn most(&self) -> usize {
        let most = BLOCK / (components(N) * (self.right.depth + self.right.panels.columns));
        most.clamp(TILES[0], TILES[1]) / UNIT * UNIT
    }

    /// The convolution of all images, `[batch, height, width, columns]`, on all threads.
    fn all(&self, source: &[f32], finish: Finish<'_>) -> FlexTensor {
        let (tiles, columns) = (&self.tiles, self.right.panels.columns);
        let [height, width] = tiles.dest;
        let mut output = Unwritten::new(tiles.batch * height * width * columns);
        let dest = output.pointer();
        let units = tiles.count().div_ceil(UNIT);
        // As many blocks for one thread as for another.
        let blocks = units
            .div_ceil(self.most() / UNIT)
            .next_multiple_of(threads());
        let blocks = blocks.min(units);
        // Four parts to each thread even out a machine that is shared with others; every pixel comes
        // out the same whoever computes it.
        let parts = (4 * threads()).min(blocks).max(1);
        in_parts(parts, |index| {
            let blocks =
                part(blocks, parts, index).map(|block| tiles.of_units(part(units, blocks, block)));
            // SAFETY: blocks have disjoint tiles, which have disjoint pixels.
            unsafe { self.blocks(tiles, blocks, source, finish, dest) };
        });
        // SAFETY: the tiles cover all pixels.
        unsafe { output.written([tiles.batch, height, width, columns]) }
    }

    /// # Safety
    /// As for [`Filter::images`].
    unsafe fn images(&self, images: usize, source: &[f32], dest: Shared) {
        let tiles = Tiles {
            batch: images,
            ..self.tiles
        };
        let units = tiles.count().div_ceil(UNIT);
        let blocks = units.div_ceil(self.most() / UNIT);
        let blocks = (0..blocks).map(|block| tiles.of_units(part(units, blocks, block)));
        // SAFETY: by the caller's promise.
        unsafe { self.blocks(&tiles, blocks, source, Finish::default(), dest) };
    }

    /// The convolution of some blocks.
    ///
    /// # Safety
    /// `dest` must have room for all images, and nobody else may touch the pixels of these tiles.
    unsafe fn blocks(
        &self,
        tiles: &Tiles<N>,
        blocks: impl Iterator<Item = Range<usize>>,
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

/// The sums of a weight's gradient, to which a few images may be added at a time, with tiles of 2×4 or
/// of 2×2 pixels.
pub(crate) enum Correlation {
    Wide(Correlate<6>),
    Square(Correlate<4>),
}

impl Correlation {
    pub(crate) fn new(shapes: &Shapes) -> Self {
        let pixels = shapes.batch * shapes.output[0] * shapes.output[1];
        if wide(shapes.output) && pixels >= LONG {
            Self::Wide(Correlate::new(shapes))
        } else {
            Self::Square(Correlate::new(shapes))
        }
    }

    /// Sums of nothing, those of one thread.
    pub(crate) fn zeros(&self) -> Vec<f32> {
        match self {
            Self::Wide(correlate) => correlate.zeros(),
            Self::Square(correlate) => correlate.zeros(),
        }
    }

    /// Adds so many images, on this thread alone.
    pub(crate) fn images(&self, images: usize, x: &[f32], gradient: &[f32], sums: &mut [f32]) {
        match self {
            Self::Wide(correlate) => correlate.images(images, x, gradient, sums),
            Self::Square(correlate) => correlate.images(images, x, gradient, sums),
        }
    }

    /// The gradient of the weight, `[out, channels, 3, 3]`, of the sums of all threads in their order.
    pub(crate) fn finish(&self, sums: &[Vec<f32>]) -> FlexTensor {
        match self {
            Self::Wide(correlate) => correlate.finish(sums),
            Self::Square(correlate) => correlate.finish(sums),
        }
    }
}

/// The sums of a weight's gradient by tiles of N columns of components.
pub(crate) struct Correlate<const N: usize> {
    tiles: Tiles<N>,
    channels: usize,
    panels: Panels,
}

impl<const N: usize> Correlate<N> {
    fn new(shapes: &Shapes) -> Self {
        Self {
            tiles: Tiles::of_output(shapes),
            channels: shapes.channels,
            panels: Panels::new(shapes.out),
        }
    }

    fn zeros(&self) -> Vec<f32> {
        vec![0.0; components(N) * self.channels * self.panels.columns]
    }

    fn all(&self, x: &[f32], gradient: &[f32]) -> FlexTensor {
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

    fn images(&self, images: usize, x: &[f32], gradient: &[f32], sums: &mut [f32]) {
        let tiles = Tiles {
            batch: images,
            ..self.tiles
        };
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
        let plans = [self.channels, self.panels.columns].map(Plan::new);
        let [left, right] = plans.map(|plan| plan.length(SUMMED));
        with_room(left + right, |room| {
            let (taken, spread) = room.split_at_mut(left);
            Arch::new().dispatch(Sums {
                blocks: range
                    .clone()
                    .step_by(SUMMED)
                    .map(|first| first..(first + SUMMED).min(range.end)),
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

    fn finish(&self, sums: &[Vec<f32>]) -> FlexTensor {
        let (channels, panels) = (self.channels, self.panels);
        tensor(
            transform::weight_gradient::<N>(sums, channels, panels),
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
struct Tiles<const N: usize> {
    batch: usize,
    source: [usize; 2],
    /// How far the first window begins before the image, negative if inside.
    padding: [isize; 2],
    dest: [usize; 2],
}

impl<const N: usize> Tiles<N> {
    /// Columns of pixels of a tile.
    const SPAN: usize = N - 2;

    /// The tiles of a convolution's output.
    fn of_output(shapes: &Shapes) -> Self {
        Self {
            batch: shapes.batch,
            source: shapes.input,
            padding: shapes.options.padding.map(|padding| padding as isize),
            dest: shapes.output,
        }
    }

    /// Rows and columns of tiles of an image.
    #[inline(always)]
    fn grid(&self) -> [usize; 2] {
        let [height, width] = self.dest;
        [height.div_ceil(2), width.div_ceil(Self::SPAN)]
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
struct Plan<const N: usize> {
    channels: usize,
}

impl<const N: usize> Plan<N> {
    fn new(channels: usize) -> Self {
        Self { channels }
    }

    /// Floats from one tile to the next.
    #[inline(always)]
    fn tile(self) -> usize {
        components(N) * self.channels + APART
    }

    /// Floats of so many tiles.
    fn length(self, tiles: usize) -> usize {
        tiles * self.tile()
    }
}

/// The components of all kernels, each packed as the right operand of a product.
struct Right<const N: usize> {
    values: Vec<f32>,
    /// Floats from one component to the next.
    pitch: usize,
    depth: usize,
    panels: Panels,
}

impl<const N: usize> Right<N> {
    /// Transforms the kernels from `depth` channels to `columns`, of which `taps` gives the nine
    /// numbers.
    fn new(
        depth: usize,
        columns: usize,
        taps: impl Fn(usize, usize) -> [f32; 9] + Send + Sync,
    ) -> Self {
        let panels = Panels::new(columns);
        let pitch = depth * panels.padded() + APART;
        let mut values = Unwritten::new(components(N) * pitch);
        let dest = values.pointer();
        in_parts(panels.count(), |index| {
            let (first, columns, width) = panels.panel(index);
            let mut values = vec![0.0; components(N)];
            for k in 0..depth {
                for column in 0..columns {
                    let place = depth * first + k * width + column;
                    transform::kernel::<N>(&taps(k, first + column), &mut values);
                    for (component, &value) in values.iter().enumerate() {
                        // SAFETY: each place belongs to one pair of channels, of one panel.
                        unsafe { *dest.pointer().add(component * pitch + place) = value };
                    }
                }
            }
        });
        for component in 1..=components(N) {
            let end = component * pitch;
            // SAFETY: this is what lies between the components.
            unsafe { dest.part(end - APART..end) }.fill(0.0);
        }
        Self {
            // SAFETY: the columns are whole vectors, so that the panels have no gaps.
            values: unsafe { values.into_vec(components(N) * pitch) },
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

/// The convolution of some blocks, all steps of each one after another in the cache.
struct Convolved<'a, I, const N: usize> {
    /// Disjoint: their pixels are ours to write.
    blocks: I,
    tiles: &'a Tiles<N>,
    source: &'a [f32],
    right: &'a Right<N>,
    finish: Finish<'a>,
    plans: [Plan<N>; 2],
    taken: &'a mut [f32],
    products: &'a mut [f32],
    dest: Shared,
}

impl<I: Iterator<Item = Range<usize>>, const N: usize> WithSimd for Convolved<'_, I, N> {
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
