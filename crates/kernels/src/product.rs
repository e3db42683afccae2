//! Products of matrices on all threads, by blocks that fit the caches.
//!
//! The scheme is that of Goto and van de Geijn, *Anatomy of High-Performance Matrix Multiplication*
//! (2008). Blocks of both operands are packed, the right one as panels three vectors wide. With the
//! large second-level caches of processors that have AVX-512, the right block stays there, and a few
//! rows of the left one at a time meet all of its panels out of the first-level cache. Elsewhere it is
//! the left block that stays in the second-level cache, and a panel at a time in the first. Packing reads a matrix that lies by rows or by columns, so that none of a
//! linear layer's three products has to transpose an operand first.
//!
//! The destination is cut into one part for each thread, by rows or by columns, whichever are more.
//! Each number is the sum of its products block by block, in order of the depth, whoever computes
//! it.
//!
//! An operand may also be [`Gathered`]: its rows are windows of an image, packed from where they lie.
//!
//! Small products on one thread, and most of those of windows, have [`crate::matrix`] and
//! [`crate::tile`], which read their left operand where it lies.

use std::cell::Cell;
use std::ops::Range;

use pulp::{Arch, Simd, WithSimd};

use crate::buffer::{Shared, in_parts, part, threads};

mod gathered;
pub(crate) mod pack;
mod tile;

pub(crate) use gathered::Gathered;

use tile::{Block, Order, Start};

/// Multiply-adds from which on several threads share a product.
const SHARED_FROM: usize = 1 << 19;
/// What rows and columns are cut by among threads, so that only the last has a remainder.
const UNIT: usize = 48;
/// Depth of a block at most: with 32 registers, where a tile of rows is then 16 KiB, and with 16, where
/// a panel is 16 KiB. What stays in the first-level cache, see [`tile::Order`].
const DEPTH: [usize; 2] = [512, 256];
/// Floats of a block of the right operand at most, 1.25 MiB.
const RIGHT: usize = 320 * 1024;
/// Floats of all blocks of the right operand that are packed together, 256 KiB.
const TOGETHER: usize = 64 * 1024;
/// Rows of a block of the left operand.
const ROWS: usize = 96;
/// The depth of a product in passing at most: a block of the depth, so that a block of the product is done in one go.
pub(crate) const SHALLOW: usize = DEPTH[1];
/// Floats of a cache line.
const LINE: usize = 16;

/// Whether registers are few, as with AVX2: tiles are small then, and use what they read too seldom
/// for it to come out of the second-level cache.
pub(crate) fn has_few_registers() -> bool {
    struct Few;
    impl WithSimd for Few {
        type Output = bool;

        #[inline(always)]
        fn with_simd<S: Simd>(self, _simd: S) -> bool {
            S::REGISTER_COUNT < 32
        }
    }
    Arch::new().dispatch(Few)
}

/// What can be packed as an operand of a product.
trait Operand: Copy {
    fn rows(&self) -> usize;

    fn columns(&self) -> usize;

    /// Packs a block as the left operand, see [`pack::left`].
    ///
    /// # Safety
    /// `dest` must have room for the block with its rows rounded up to a multiple of P.
    unsafe fn pack_left<const P: usize>(
        &self,
        rows: &Range<usize>,
        depth: &Range<usize>,
        dest: *mut f32,
    );

    /// Packs a block as the right operand, see [`pack::right`].
    ///
    /// # Safety
    /// `dest` must have room for the block with its columns rounded up to whole vectors.
    unsafe fn pack_right<S: Simd, const V: usize>(
        &self,
        simd: S,
        depth: &Range<usize>,
        columns: &Range<usize>,
        dest: *mut f32,
    );
}

/// A matrix that lies in memory by rows or by columns.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    values: &'a [f32],
    rows: usize,
    columns: usize,
    /// Whether it lies by columns.
    transposed: bool,
}

impl<'a> Matrix<'a> {
    /// The row-major matrix of these values.
    pub(crate) fn new(values: &'a [f32], [rows, columns]: [usize; 2]) -> Self {
        assert_eq!(values.len(), rows * columns);
        Self {
            values,
            rows,
            columns,
            transposed: false,
        }
    }

    /// The same memory, read the other way.
    pub(crate) fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            transposed: !self.transposed,
            ..self
        }
    }

    /// Floats from one row to the next, or from one column to the next where it lies by columns.
    fn pitch(&self) -> usize {
        if self.transposed {
            self.rows
        } else {
            self.columns
        }
    }

    /// The address of the first element of a block, which is checked to lie in the matrix.
    fn block(&self, rows: &Range<usize>, columns: &Range<usize>) -> *const f32 {
        assert!(rows.start <= rows.end && rows.end <= self.rows);
        assert!(columns.start <= columns.end && columns.end <= self.columns);
        let place = if self.transposed {
            columns.start * self.rows + rows.start
        } else {
            rows.start * self.columns + columns.start
        };
        self.values.as_ptr().wrapping_add(place)
    }
}

impl Operand for Matrix<'_> {
    fn rows(&self) -> usize {
        self.rows
    }

    fn columns(&self) -> usize {
        self.columns
    }

    #[inline(always)]
    unsafe fn pack_left<const P: usize>(
        &self,
        rows: &Range<usize>,
        depth: &Range<usize>,
        dest: *mut f32,
    ) {
        // SAFETY: by the caller's promise.
        unsafe { pack::left::<P>(*self, rows, depth, dest) }
    }

    #[inline(always)]
    unsafe fn pack_right<S: Simd, const V: usize>(
        &self,
        simd: S,
        depth: &Range<usize>,
        columns: &Range<usize>,
        dest: *mut f32,
    ) {
        // SAFETY: by the caller's promise.
        unsafe { pack::right::<S, V>(simd, *self, depth, columns, dest) }
    }
}

/// Writes `bias + left · right`, row-major, and runs `finish` on each block of rows and columns as
/// soon as it is there, on the thread that has it in its cache.
///
/// # Safety
/// `dest` must have room for the product, and nothing else may touch it meanwhile, except
/// `finish` within its block.
pub(crate) unsafe fn multiply(
    left: Matrix<'_>,
    right: Matrix<'_>,
    bias: Option<&[f32]>,
    dest: Shared,
    finish: impl Fn(Range<usize>, Range<usize>) + Send + Sync,
) {
    assert_eq!(left.columns, right.rows);
    assert!(bias.is_none_or(|bias| bias.len() == right.columns));
    let (rows, columns) = (left.rows, right.columns);
    let parts = if rows * columns * left.columns < SHARED_FROM {
        1
    } else {
        threads()
    };
    in_parts(parts, |index| {
        let cut = |length: usize| {
            let units = part(length.div_ceil(UNIT), parts, index);
            units.start * UNIT..(units.end * UNIT).min(length)
        };
        let (rows, columns) = if rows >= columns {
            (cut(rows), 0..columns)
        } else {
            (0..rows, cut(columns))
        };
        Arch::new().dispatch(Part {
            left,
            right,
            start: Start::of(bias),
            rows,
            columns,
            dest: dest.pointer(),
            finish: &finish,
            passing: false,
        });
    });
}

/// As [`multiply`], on this thread alone and with windows for the rows of the left operand.
///
/// # Safety
/// As for [`multiply`].
pub(crate) unsafe fn multiply_windows(
    left: Gathered<'_>,
    right: Matrix<'_>,
    bias: Option<&[f32]>,
    dest: Shared,
    finish: impl Fn(Range<usize>, Range<usize>),
) {
    assert_eq!(left.columns(), right.rows);
    assert!(bias.is_none_or(|bias| bias.len() == right.columns));
    Arch::new().dispatch(Part {
        left,
        right,
        start: Start::of(bias),
        rows: 0..left.rows(),
        columns: 0..right.columns,
        dest: dest.pointer(),
        finish: &finish,
        passing: false,
    });
}

/// Adds `left · right` to a row-major sum, on this thread alone and with windows for the rows of the
/// right operand.
pub(crate) fn add_windows(left: Matrix<'_>, right: Gathered<'_>, sum: &mut [f32]) {
    assert_eq!(left.columns, right.rows());
    assert_eq!(sum.len(), left.rows * right.columns());
    Arch::new().dispatch(Part {
        left,
        right,
        start: Start::Dest,
        rows: 0..left.rows,
        columns: 0..right.columns(),
        dest: sum.as_mut_ptr(),
        finish: &|_: Range<usize>, _: Range<usize>| {},
        passing: false,
    });
}

/// As [`multiply`], on this thread alone and for a product that is wanted a few rows at a time: `finish` is handed each
/// block, row-major and as wide as the block, and then it is forgotten. All of it stays in the second-level cache.
///
/// # Panics
/// If the depth is more than [`SHALLOW`].
pub(crate) fn multiply_in_passing(
    left: Matrix<'_>,
    right: Matrix<'_>,
    bias: Option<&[f32]>,
    finish: impl Fn(Range<usize>, Range<usize>, &[f32]),
) {
    assert_eq!(left.columns, right.rows);
    assert!(left.columns <= SHALLOW);
    assert!(bias.is_none_or(|bias| bias.len() == right.columns));
    let mut block = PASSING.take();
    block.resize((ROWS * right.columns).max(block.len()), 0.0);
    let dest = block.as_mut_ptr();
    let pitch = right.columns;
    let finish = |rows: Range<usize>, columns: Range<usize>| {
        // SAFETY: the rows of a block begin at the buffer's start, and the product is done with them.
        let block = unsafe { std::slice::from_raw_parts(dest, rows.len() * pitch) };
        finish(rows, columns, block);
    };
    Arch::new().dispatch(Part {
        passing: true,
        left,
        right,
        start: Start::of(bias),
        rows: 0..left.rows,
        columns: 0..right.columns,
        dest,
        finish: &finish,
    });
    PASSING.set(block);
}

/// The part of a product that one thread computes.
///
/// Whoever makes one promises that the destination has room for the whole product, and that the
/// part is its own alone.
struct Part<'a, L, R, F> {
    left: L,
    right: R,
    /// What the first products are added to.
    start: Start<'a>,
    rows: Range<usize>,
    columns: Range<usize>,
    dest: *mut f32,
    finish: &'a F,
    /// Whether each block of rows is written over the one before.
    passing: bool,
}

impl<L: Operand, R: Operand, F: Fn(Range<usize>, Range<usize>)> WithSimd for Part<'_, L, R, F> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        // Tiles of 8 by 3 vectors keep 24 sums in the 32 registers of AVX-512 and NEON. Tiles of 6 by
        // 2 keep 12 in the 16 of AVX2; with 4 by 3 the compiler, which spreads two floats at a time,
        // has one register too few.
        if S::REGISTER_COUNT >= 32 {
            self.blocks::<S, 8, 3>(simd, DEPTH[0], Order::RowsOutside);
        } else {
            self.blocks::<S, 6, 2>(simd, DEPTH[1], Order::ColumnsOutside);
        }
    }
}

thread_local! {
    /// Room for packed blocks, kept because fresh memory costs page faults.
    static ROOM: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
    /// Room for a block of a product in passing.
    static PASSING: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
}

impl<L: Operand, R: Operand, F: Fn(Range<usize>, Range<usize>)> Part<'_, L, R, F> {
    #[inline(always)]
    fn blocks<S: Simd, const P: usize, const V: usize>(&self, simd: S, depth: usize, order: Order) {
        let all = self.left.columns();
        let cuts = all.div_ceil(depth).max(1);
        let deepest = all.div_ceil(cuts);
        let width = V * S::F32_LANES;
        let widest = (RIGHT / deepest.max(1) / width).max(1) * width;
        // Blocks of nearly equal width.
        let columns = self.columns.len();
        let blocks = columns.div_ceil(widest).max(1);
        let wide = columns.div_ceil(blocks).next_multiple_of(width);

        // As many cuts of the depth at a time as there is room for, so that the destination is
        // touched again while it is still in the cache.
        let block = (deepest * wide).next_multiple_of(LINE);
        let group = (TOGETHER / block.max(1)).clamp(1, cuts);

        let mut room = ROOM.take();
        room.clear();
        room.reserve(group * block + deepest * ROWS + 4 * LINE);
        let packed_right = room.as_mut_ptr();
        let packed_right = packed_right.wrapping_add(packed_right.align_offset(4 * LINE));
        let packed_left = packed_right.wrapping_add(group * block);
        for first in self.columns.clone().step_by(wide.max(1)) {
            let columns = first..(first + wide).min(self.columns.end);
            for first in (0..cuts).step_by(group) {
                let group = first..(first + group).min(cuts);
                let packed_right = |cut| packed_right.wrapping_add((cut - first) * block);
                for cut in group.clone() {
                    let depth = part(all, cuts, cut);
                    let dest = packed_right(cut);
                    // SAFETY: the block is at most as deep and wide as there is room for.
                    unsafe { self.right.pack_right::<S, V>(simd, &depth, &columns, dest) };
                }
                for first in self.rows.clone().step_by(ROWS) {
                    let rows = first..(first + ROWS).min(self.rows.end);
                    let top = if self.passing { 0 } else { rows.start };
                    for cut in group.clone() {
                        let depth = part(all, cuts, cut);
                        let pitch = self.right.columns();
                        // SAFETY: there is room for ROWS rows, a multiple of P; both operands are
                        // packed, and the destination is ours by the promise of whoever made the
                        // part.
                        unsafe {
                            self.left.pack_left::<P>(&rows, &depth, packed_left);
                            let block = Block {
                                left: packed_left,
                                right: packed_right(cut),
                                rows: rows.len(),
                                columns: columns.len(),
                                depth: depth.len(),
                                start: match self.start {
                                    _ if cut > 0 => Start::Dest,
                                    Start::Bias(bias) => Start::Bias(&bias[columns.clone()]),
                                    start => start,
                                },
                                dest: self.dest.add(top * pitch + columns.start),
                                pitch,
                            };
                            block.multiply::<S, P, V>(simd, order);
                        }
                    }
                    if group.end == cuts {
                        (self.finish)(rows, columns.clone());
                    }
                }
            }
        }
        ROOM.set(room);
    }
}

#[cfg(test)]
mod tests;
