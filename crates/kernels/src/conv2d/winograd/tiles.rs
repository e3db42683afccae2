//! Which pixels a tile sees and covers, and where its components lie.

use std::cell::Cell;
use std::ops::Range;

use super::super::shapes::Shapes;
use super::{UNIT, components};
use crate::buffer::{Shared, Unwritten, in_parts, part, threads};

/// Floats of a block's components, source and product together, 192 KiB.
const BLOCK: usize = 48 * 1024;
/// Least and most tiles of a block.
const TILES: [usize; 2] = [12, 384];
/// Floats between tiles, which keep a component of one tile from falling on the same cache lines as
/// that of the next: their distances would be powers of two.
pub(super) const APART: usize = 16;

/// Tiles of a block at most, where the components of one, source and product, have so many floats.
pub(super) fn most(floats: usize) -> usize {
    (BLOCK / floats).clamp(TILES[0], TILES[1]) / UNIT * UNIT
}

/// What `work` writes of blocks, shared out among all threads: so many floats.
pub(super) fn shared_out(
    floats: usize,
    blocks: &[Range<usize>],
    work: impl Fn(&[Range<usize>], Shared) + Send + Sync,
) -> Unwritten {
    let mut output = Unwritten::new(floats);
    let dest = output.pointer();
    // Four parts to each thread even out a machine that is shared with others; every pixel comes
    // out the same whoever computes it.
    let parts = (4 * threads()).min(blocks.len()).max(1);
    in_parts(parts, |index| {
        work(&blocks[part(blocks.len(), parts, index)], dest);
    });
    output
}

thread_local! {
    /// Room for the components of a block, kept because fresh memory costs page faults.
    static ROOM: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

/// Calls `work` with so many floats, which begin on a cache line and hold anything.
pub(super) fn with_room(length: usize, work: impl FnOnce(&mut [f32])) {
    const LINE: usize = 16;
    let mut room = ROOM.take();
    room.resize((length + LINE).max(room.len()), 0.0);
    let begin = room.as_ptr().align_offset(4 * LINE).min(LINE);
    work(&mut room[begin..][..length]);
    ROOM.set(room);
}

/// The tiles of 2×(N − 2) pixels that cover the images of a destination, counted through all images, and
/// the source that they see; the pairs are (height, width).
#[derive(Clone, Copy, Debug)]
pub(super) struct Tiles<const N: usize> {
    pub(super) batch: usize,
    pub(super) source: [usize; 2],
    /// How far the first window begins before the image, negative if inside.
    pub(super) padding: [isize; 2],
    pub(super) dest: [usize; 2],
}

impl<const N: usize> Tiles<N> {
    /// Columns of pixels of a tile.
    pub(super) const SPAN: usize = N - 2;

    /// The tiles of a convolution's output.
    pub(super) fn of_output(shapes: &Shapes) -> Self {
        Self {
            batch: shapes.batch,
            source: shapes.input,
            padding: shapes.options.padding.map(|padding| padding as isize),
            dest: shapes.output,
        }
    }

    /// The same of so many images.
    pub(super) fn of_images(self, images: usize) -> Self {
        Self {
            batch: images,
            ..self
        }
    }

    /// What `sum` sums of each thread's tiles.
    pub(super) fn summed(
        &self,
        sum: impl Fn(Range<usize>) -> Vec<f32> + Send + Sync,
    ) -> Vec<Vec<f32>> {
        let units = self.count().div_ceil(UNIT);
        let parts = threads().min(units).max(1);
        in_parts(parts, |index| sum(self.of_units(part(units, parts, index))))
    }

    /// Rows and columns of tiles of an image.
    #[inline(always)]
    pub(super) fn grid(&self) -> [usize; 2] {
        let [height, width] = self.dest;
        [height.div_ceil(2), width.div_ceil(Self::SPAN)]
    }

    pub(super) fn count(&self) -> usize {
        let [rows, columns] = self.grid();
        self.batch * rows * columns
    }

    /// All tiles in blocks of at most so many, as many blocks for one of these threads as for another.
    pub(super) fn blocks(&self, most: usize, threads: usize) -> Vec<Range<usize>> {
        let units = self.count().div_ceil(UNIT);
        let blocks = units.div_ceil(most / UNIT).next_multiple_of(threads);
        let blocks = blocks.min(units);
        let block = |index| self.of_units(part(units, blocks, index));
        (0..blocks).map(block).collect()
    }

    /// The tiles of a range of units; the last unit has fewer.
    fn of_units(&self, units: Range<usize>) -> Range<usize> {
        units.start * UNIT..(units.end * UNIT).min(self.count())
    }

    /// Image, row and column of a tile.
    pub(super) fn place(&self, tile: usize) -> [usize; 3] {
        let [rows, columns] = self.grid();
        let (image, tile) = (tile / (rows * columns), tile % (rows * columns));
        [image, tile / columns, tile % columns]
    }

    /// The place of the tile after that at `place`; cheaper than to divide again.
    #[inline(always)]
    pub(super) fn next(&self, [image, row, column]: [usize; 3]) -> [usize; 3] {
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
pub(super) struct Plan<const N: usize> {
    pub(super) channels: usize,
}

impl<const N: usize> Plan<N> {
    pub(super) fn new(channels: usize) -> Self {
        Self { channels }
    }

    /// Floats from one tile to the next.
    #[inline(always)]
    pub(super) fn tile(self) -> usize {
        components(N) * self.channels + APART
    }

    /// Floats of so many tiles.
    pub(super) fn length(self, tiles: usize) -> usize {
        tiles * self.tile()
    }
}
