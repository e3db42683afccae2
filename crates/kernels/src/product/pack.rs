//! Copies of blocks of operands in the order in which the tiles read them.

use std::ops::Range;

use pulp::Simd;

use super::Matrix;
use crate::tile::prefetch;

/// Depth of the blocks in which a matrix is turned, so that the lines that are written piece by
/// piece stay in the first-level cache.
const TURNED: usize = 64;
/// Rows of the source that are cut into groups of P columns together. The groups lie a multiple of
/// large powers of two apart, so row by row they would throw each other out of the cache.
pub(super) const CUT: usize = 8;
/// Floats of a cache line.
const LINE: usize = 16;

/// Packs a block of the right operand as panels of V vectors, one after another, each row by
/// row; the last panel has as many vectors as it needs, padded with zeros.
///
/// # Safety
/// `dest` must have room for the block with its columns rounded up to whole vectors.
#[inline(always)]
pub(super) unsafe fn right<S: Simd, const V: usize>(
    _simd: S,
    matrix: Matrix<'_>,
    depth: &Range<usize>,
    columns: &Range<usize>,
    dest: *mut f32,
) {
    let from = matrix.block(depth, columns);
    let shape = [depth.len(), columns.len()];
    // SAFETY: the block lies in the matrix, and there is room by the caller's promise.
    unsafe {
        panels(
            (from, matrix.pitch(), matrix.transposed),
            shape,
            [V * S::F32_LANES, S::F32_LANES],
            dest,
        );
    }
}

/// Packs a matrix `[depth, columns]` that begins at an address, with its pitch and whether it lies by
/// columns, as panels of at most `widest` columns, padded with zeros to whole vectors.
///
/// # Safety
/// The matrix must be readable, and `dest` have room for it with its columns rounded up to whole
/// vectors.
#[inline(always)]
pub(crate) unsafe fn panels(
    (from, pitch, transposed): (*const f32, usize, bool),
    [depth, columns]: [usize; 2],
    [widest, lanes]: [usize; 2],
    dest: *mut f32,
) {
    let panel = |first: usize| {
        let count = (columns - first).min(widest);
        (count, count.next_multiple_of(lanes))
    };
    // SAFETY: by the caller's promise.
    unsafe {
        if transposed {
            for first in (0..columns).step_by(widest) {
                let (count, width) = panel(first);
                let (from, dest) = (from.add(first * pitch), dest.add(first * depth));
                turn(from, pitch, [count, depth], dest, width);
            }
            return;
        }
        // Row by row, so that the source is read as one stream.
        for k in 0..depth {
            ask_for(from.wrapping_add((k + CUT) * pitch), columns);
            for first in (0..columns).step_by(widest) {
                let (count, width) = panel(first);
                let dest = dest.add(first * depth + k * width);
                copy(from.add(k * pitch + first), count, dest, width);
            }
        }
    }
}

/// Packs a block of the left operand, P rows after another, each P by columns; the last rows are
/// padded with zeros.
///
/// # Safety
/// `dest` must have room for the block with its rows rounded up to a multiple of P.
#[inline(always)]
pub(super) unsafe fn left<const P: usize>(
    matrix: Matrix<'_>,
    rows: &Range<usize>,
    depth: &Range<usize>,
    dest: *mut f32,
) {
    let from = matrix.block(rows, depth);
    let (pitch, rows, depth) = (matrix.pitch(), rows.len(), depth.len());
    // SAFETY: the block lies in the matrix, and P rows of the depth fit in their place.
    unsafe {
        if !matrix.transposed {
            for first in (0..rows).step_by(P) {
                let (from, dest) = (from.add(first * pitch), dest.add(first * depth));
                turn(from, pitch, [(rows - first).min(P), depth], dest, P);
            }
            return;
        }
        for start in (0..depth).step_by(CUT) {
            let next = from.wrapping_add((start + CUT) * pitch);
            for k in 0..CUT {
                ask_for(next.wrapping_add(k * pitch), rows);
            }
            for first in (0..rows).step_by(P) {
                for k in start..(start + CUT).min(depth) {
                    let dest = dest.add(first * depth + k * P);
                    let from = from.add(k * pitch + first);
                    if first + P <= rows {
                        let values = from.cast::<[f32; P]>().read_unaligned();
                        dest.cast::<[f32; P]>().write_unaligned(values);
                    } else {
                        copy(from, rows - first, dest, P);
                    }
                }
            }
        }
    }
}

/// Asks for the cache lines of `count` floats, which need not be valid.
#[inline(always)]
fn ask_for(from: *const f32, count: usize) {
    for first in (0..count).step_by(LINE) {
        prefetch(from.wrapping_add(first));
    }
}

/// Copies `count` floats and writes zeros after them, up to `width`.
///
/// # Safety
/// `from` must hold `count` floats and `dest` have room for `width`.
#[inline(always)]
pub(crate) unsafe fn copy(from: *const f32, count: usize, dest: *mut f32, width: usize) {
    // SAFETY: by the caller's promise.
    unsafe {
        let mut i = 0;
        // A copy of a length that is known is a few instructions; any other is a call.
        while i + 16 <= count {
            let values = from.add(i).cast::<[f32; 16]>().read_unaligned();
            dest.add(i).cast::<[f32; 16]>().write_unaligned(values);
            i += 16;
        }
        while i < count {
            *dest.add(i) = *from.add(i);
            i += 1;
        }
        while i < width {
            *dest.add(i) = 0.0;
            i += 1;
        }
    }
}

/// Writes `count` runs of `depth` floats, `pitch` apart, side by side: float k of run i goes to
/// `k * width + i`, and zeros fill each row up to `width`.
///
/// # Safety
/// The runs must be readable and `depth` rows of `width` floats writable.
#[inline(always)]
unsafe fn turn(
    from: *const f32,
    pitch: usize,
    [count, depth]: [usize; 2],
    dest: *mut f32,
    width: usize,
) {
    // SAFETY: by the caller's promise.
    unsafe {
        for start in (0..depth).step_by(TURNED) {
            let length = TURNED.min(depth - start);
            let (from, dest) = (from.add(start), dest.add(start * width));
            // The same stretch of the runs that are likely to be next.
            for run in count..2 * count {
                ask_for(from.wrapping_add(run * pitch), length);
            }
            let run = |i: usize| from.add(i * pitch);
            let mut i = 0;
            while i + 4 <= count {
                let runs = [run(i), run(i + 1), run(i + 2), run(i + 3)];
                interleave_four(runs, length, dest.add(i), width);
                i += 4;
            }
            if i + 2 <= count {
                interleave_two([run(i), run(i + 1)], length, dest.add(i), width);
                i += 2;
            }
            if i < count {
                for k in 0..length {
                    *dest.add(k * width + i) = *run(i).add(k);
                }
                i += 1;
            }
            while i < width {
                for k in 0..length {
                    *dest.add(k * width + i) = 0.0;
                }
                i += 1;
            }
        }
    }
}

/// Writes four runs of `depth` floats side by side: float k of run i goes to `k * width + i`.
///
/// # Safety
/// The runs must be readable and the four floats after each `k * width` writable.
#[inline(always)]
pub(super) unsafe fn interleave_four(
    runs: [*const f32; 4],
    depth: usize,
    dest: *mut f32,
    width: usize,
) {
    // SAFETY: by the caller's promise; every x86-64 has these instructions.
    unsafe {
        let mut k = 0;
        #[cfg(target_arch = "x86_64")]
        {
            use core::arch::x86_64::{
                _mm_loadu_ps, _mm_movehl_ps, _mm_movelh_ps, _mm_storeu_ps, _mm_unpackhi_ps,
                _mm_unpacklo_ps,
            };
            let [a, b, c, d] = runs;
            while k + 4 <= depth {
                let (a, b) = (_mm_loadu_ps(a.add(k)), _mm_loadu_ps(b.add(k)));
                let (c, d) = (_mm_loadu_ps(c.add(k)), _mm_loadu_ps(d.add(k)));
                let (low, high) = (_mm_unpacklo_ps(a, b), _mm_unpackhi_ps(a, b));
                let (low2, high2) = (_mm_unpacklo_ps(c, d), _mm_unpackhi_ps(c, d));
                let dest = dest.add(k * width);
                _mm_storeu_ps(dest, _mm_movelh_ps(low, low2));
                _mm_storeu_ps(dest.add(width), _mm_movehl_ps(low2, low));
                _mm_storeu_ps(dest.add(2 * width), _mm_movelh_ps(high, high2));
                _mm_storeu_ps(dest.add(3 * width), _mm_movehl_ps(high2, high));
                k += 4;
            }
        }
        one_by_one(runs, k..depth, dest, width);
    }
}

/// As [`interleave_four`], of two runs.
///
/// # Safety
/// The runs must be readable and the two floats after each `k * width` writable.
#[inline(always)]
pub(super) unsafe fn interleave_two(
    runs: [*const f32; 2],
    depth: usize,
    dest: *mut f32,
    width: usize,
) {
    // SAFETY: by the caller's promise; every x86-64 has these instructions.
    unsafe {
        let mut k = 0;
        #[cfg(target_arch = "x86_64")]
        {
            use core::arch::x86_64::{
                _mm_castps_pd, _mm_cvtsd_f64, _mm_loadu_ps, _mm_unpackhi_pd, _mm_unpackhi_ps,
                _mm_unpacklo_ps,
            };
            let [a, b] = runs;
            // Two floats at once; those that store half a vector want it aligned like an f64.
            let store = |dest: *mut f32, pair| dest.cast::<f64>().write_unaligned(pair);
            while k + 4 <= depth {
                let (a, b) = (_mm_loadu_ps(a.add(k)), _mm_loadu_ps(b.add(k)));
                let (low, high) = (_mm_unpacklo_ps(a, b), _mm_unpackhi_ps(a, b));
                let (low, high) = (_mm_castps_pd(low), _mm_castps_pd(high));
                let dest = dest.add(k * width);
                store(dest, _mm_cvtsd_f64(low));
                store(dest.add(width), _mm_cvtsd_f64(_mm_unpackhi_pd(low, low)));
                store(dest.add(2 * width), _mm_cvtsd_f64(high));
                store(
                    dest.add(3 * width),
                    _mm_cvtsd_f64(_mm_unpackhi_pd(high, high)),
                );
                k += 4;
            }
        }
        one_by_one(runs, k..depth, dest, width);
    }
}

/// The floats of runs that no vector takes.
///
/// # Safety
/// As that of [`interleave_four`].
#[inline(always)]
pub(super) unsafe fn one_by_one<const N: usize>(
    runs: [*const f32; N],
    depth: Range<usize>,
    dest: *mut f32,
    width: usize,
) {
    for k in depth {
        for (i, run) in runs.iter().enumerate() {
            // SAFETY: by the caller's promise.
            unsafe { *dest.add(k * width + i) = *run.add(k) };
        }
    }
}
