//! The register tile of the blocked product.
//!
//! A step of it is P · V multiply-adds for P + V loads: a vector of the panel is used P times, and
//! a float of the left operand, spread over a vector, V times.

// Loops over `0..P` and `0..V` unroll into registers; iterators over the arrays keep them in memory.
#![allow(clippy::needless_range_loop)]

use std::mem::MaybeUninit;

use pulp::Simd;

use crate::tile::{load, prefetch, store};

/// Steps by which a panel is fetched ahead from the second-level cache.
const AHEAD: usize = 8;

/// What a product begins with.
#[derive(Clone, Copy)]
pub(super) enum Start<'a> {
    /// Nothing: the destination may be unwritten memory.
    Zero,
    /// The same row everywhere; the destination may be unwritten.
    Bias(&'a [f32]),
    /// What is in the destination.
    Dest,
}

impl<'a> Start<'a> {
    /// The bias, if there is one.
    pub(super) fn of(bias: Option<&'a [f32]>) -> Self {
        bias.map_or(Self::Zero, Self::Bias)
    }
}

/// Which operand's tiles are gone through outside, and so stay in the first-level cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// A few rows of the left operand meet all panels, which come out of the second-level cache at a
    /// rate of one line for each eight multiply-adds.
    RowsOutside,
    /// A panel meets all rows, which come at a rate of a line for 48.
    ColumnsOutside,
}

/// A product of packed blocks, or the part of it that a tile computes.
#[derive(Clone, Copy)]
pub(super) struct Block<'a> {
    pub(super) left: *const f32,
    pub(super) right: *const f32,
    pub(super) rows: usize,
    pub(super) columns: usize,
    pub(super) depth: usize,
    pub(super) start: Start<'a>,
    pub(super) dest: *mut f32,
    /// Floats from one row of the destination to the next.
    pub(super) pitch: usize,
}

impl Block<'_> {
    /// Computes the product by tiles of P rows and V vectors.
    ///
    /// # Safety
    /// The operands must have been packed for such tiles, a bias have all columns, and the
    /// destination be the caller's alone, with room for the product.
    #[inline(always)]
    pub(super) unsafe fn multiply<S: Simd, const P: usize, const V: usize>(
        self,
        simd: S,
        order: Order,
    ) {
        let width = V * S::F32_LANES;
        let [rows, columns] = [self.rows.div_ceil(P), self.columns.div_ceil(width)];
        for index in 0..rows * columns {
            let (row, column) = match order {
                Order::RowsOutside => (index / columns, index % columns),
                Order::ColumnsOutside => (index % rows, index / rows),
            };
            let (row, column) = (row * P, column * width);
            let tile = Block {
                left: self.left.wrapping_add(row * self.depth),
                right: self.right.wrapping_add(column * self.depth),
                rows: (self.rows - row).min(P),
                columns: (self.columns - column).min(width),
                start: match self.start {
                    Start::Bias(bias) => Start::Bias(&bias[column..]),
                    start => start,
                },
                dest: self.dest.wrapping_add(row * self.pitch + column),
                ..self
            };
            // SAFETY: by the caller's promise; the last panel has as many vectors as it needs.
            unsafe {
                match tile.columns.div_ceil(S::F32_LANES) {
                    1 => tile.tile::<S, P, 1>(simd),
                    2 => tile.tile::<S, P, 2>(simd),
                    _ => tile.tile::<S, P, V>(simd),
                }
            }
        }
    }

    /// # Safety
    /// The operands must hold P rows and V vectors of the depth; as above for the rest.
    #[inline(always)]
    unsafe fn tile<S: Simd, const P: usize, const V: usize>(&self, simd: S) {
        let lanes = S::F32_LANES;
        // SAFETY: by the caller's promise. Only prefetches reach past the operands.
        unsafe {
            let mut sum = [[simd.splat_f32s(0.0); V]; P];
            let (mut left, mut right) = (self.left, self.right);
            let mut steps = self.depth;
            if steps >= P {
                steps -= P;
                // A row of the destination is asked for with each of the first steps.
                for p in 0..P {
                    if p < self.rows {
                        let dest = self.dest.wrapping_add(p * self.pitch);
                        for v in 0..V {
                            prefetch_to_write(dest.wrapping_add(v * lanes));
                        }
                        prefetch_to_write(dest.wrapping_add(self.columns - 1));
                    }
                    step(simd, &mut sum, left, right);
                    left = left.add(P);
                    right = right.add(V * lanes);
                }
            }
            for _ in 0..steps {
                if S::REGISTER_COUNT >= 32 {
                    for v in 0..V {
                        prefetch(right.wrapping_add((AHEAD * V + v) * lanes));
                    }
                }
                step(simd, &mut sum, left, right);
                left = left.add(P);
                right = right.add(V * lanes);
            }
            if self.rows < P || self.columns < V * lanes {
                // A copy, so that no address of the sums is taken: they must stay in registers.
                let mut copy = MaybeUninit::<[[S::f32s; V]; P]>::uninit();
                let at = copy.as_mut_ptr().cast::<f32>();
                for p in 0..P {
                    for v in 0..V {
                        store(simd, at.add((p * V + v) * lanes), sum[p][v]);
                    }
                }
                self.write_part(at, V * lanes);
                return;
            }
            // Three loops that unroll, so that the sums go from registers to the destination.
            match self.start {
                Start::Dest => {
                    for p in 0..P {
                        let dest = self.dest.add(p * self.pitch);
                        for v in 0..V {
                            let dest = dest.add(v * lanes);
                            store(simd, dest, simd.add_f32s(load(simd, dest), sum[p][v]));
                        }
                    }
                }
                Start::Bias(bias) => {
                    let mut row = [simd.splat_f32s(0.0); V];
                    for v in 0..V {
                        row[v] = load(simd, bias.as_ptr().add(v * lanes));
                    }
                    for p in 0..P {
                        let dest = self.dest.add(p * self.pitch);
                        for v in 0..V {
                            store(simd, dest.add(v * lanes), simd.add_f32s(row[v], sum[p][v]));
                        }
                    }
                }
                Start::Zero => {
                    for p in 0..P {
                        let dest = self.dest.add(p * self.pitch);
                        for v in 0..V {
                            store(simd, dest.add(v * lanes), sum[p][v]);
                        }
                    }
                }
            }
        }
    }

    /// Writes the rows and columns that there are of a tile that reaches past the last.
    ///
    /// # Safety
    /// `sum` must hold the rows, `width` floats each; as above for the rest.
    #[inline(never)]
    unsafe fn write_part(&self, sum: *const f32, width: usize) {
        for row in 0..self.rows {
            // SAFETY: by the caller's promise.
            unsafe {
                let dest = self.dest.add(row * self.pitch);
                let sum = sum.add(row * width);
                match self.start {
                    Start::Dest => (0..self.columns).for_each(|j| *dest.add(j) += *sum.add(j)),
                    Start::Bias(bias) => {
                        (0..self.columns).for_each(|j| *dest.add(j) = bias[j] + *sum.add(j));
                    }
                    Start::Zero => sum.copy_to_nonoverlapping(dest, self.columns),
                }
            }
        }
    }
}

/// Adds the outer product of P floats and V vectors.
///
/// # Safety
/// They must be readable.
#[inline(always)]
unsafe fn step<S: Simd, const P: usize, const V: usize>(
    simd: S,
    sum: &mut [[S::f32s; V]; P],
    left: *const f32,
    right: *const f32,
) {
    // SAFETY: by the caller's promise.
    unsafe {
        let mut vectors = [simd.splat_f32s(0.0); V];
        for v in 0..V {
            vectors[v] = load(simd, right.add(v * S::F32_LANES));
        }
        for p in 0..P {
            let left = simd.splat_f32s(*left.add(p));
            for v in 0..V {
                sum[p][v] = simd.mul_add_e_f32s(left, vectors[v], sum[p][v]);
            }
        }
    }
}

/// Asks for the cache line at an address, which need not be valid, to write to it.
#[inline(always)]
fn prefetch_to_write(address: *const f32) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch faults nowhere, and what doesn't know this one takes it for no operation.
    unsafe {
        use core::arch::x86_64::{_MM_HINT_ET0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_ET0>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}
