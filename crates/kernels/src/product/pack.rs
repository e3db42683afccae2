//! Copies of blocks of operands in the order in which the tiles read them.

use std::ops::Range;

use pulp::Simd;

use super::Matrix;

/// Depth of the blocks in which a matrix is turned, so that the lines that are written piece by
/// piece stay in the first-level cache.
const TURNED: usize = 64;

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
    let (pitch, depth, columns) = (matrix.pitch(), depth.len(), columns.len());
    let widest = V * S::F32_LANES;
    let panel = |first: usize| {
        let count = (columns - first).min(widest);
        (count, count.next_multiple_of(S::F32_LANES))
    };
    // SAFETY: the block lies in the matrix, and a panel of the depth fits in its place.
    unsafe {
        if matrix.transposed {
            for first in (0..columns).step_by(widest) {
                let (count, width) = panel(first);
                let (from, dest) = (from.add(first * pitch), dest.add(first * depth));
                turn(from, pitch, [count, depth], dest, width);
            }
            return;
        }
        // Row by row, so that the source is read as one stream.
        for k in 0..depth {
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
        for k in 0..depth {
            for first in (0..rows).step_by(P) {
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

/// Copies `count` floats and writes zeros after them, up to `width`.
///
/// # Safety
/// `from` must hold `count` floats and `dest` have room for `width`.
#[inline(always)]
unsafe fn copy(from: *const f32, count: usize, dest: *mut f32, width: usize) {
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
            let mut i = 0;
            while i + 4 <= count {
                let runs = [0, 1, 2, 3].map(|run| from.add((i + run) * pitch));
                interleave(runs, length, dest.add(i), width);
                i += 4;
            }
            if i < count && count >= 4 {
                // The last four, some of which are written a second time.
                i = count - 4;
                let runs = [0, 1, 2, 3].map(|run| from.add((i + run) * pitch));
                interleave(runs, length, dest.add(i), width);
                i = count;
            }
            while i < count {
                for k in 0..length {
                    *dest.add(k * width + i) = *from.add(i * pitch + k);
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
unsafe fn interleave(runs: [*const f32; 4], depth: usize, dest: *mut f32, width: usize) {
    // SAFETY: by the caller's promise; every x86-64 has these instructions.
    unsafe {
        let mut k = 0;
        #[cfg(target_arch = "x86_64")]
        {
            use core::arch::x86_64::{
                _mm_loadu_ps, _mm_movehl_ps, _mm_movelh_ps, _mm_storeu_ps, _mm_unpackhi_ps,
                _mm_unpacklo_ps,
            };
            while k + 4 <= depth {
                let [a, b, c, d] = runs.map(|run| _mm_loadu_ps(run.add(k)));
                let (low, high) = (_mm_unpacklo_ps(a, b), _mm_unpackhi_ps(a, b));
                let (low2, high2) = (_mm_unpacklo_ps(c, d), _mm_unpackhi_ps(c, d));
                let rows = [
                    _mm_movelh_ps(low, low2),
                    _mm_movehl_ps(low2, low),
                    _mm_movelh_ps(high, high2),
                    _mm_movehl_ps(high2, high),
                ];
                for (j, row) in rows.into_iter().enumerate() {
                    _mm_storeu_ps(dest.add((k + j) * width), row);
                }
                k += 4;
            }
        }
        while k < depth {
            for (i, run) in runs.into_iter().enumerate() {
                *dest.add(k * width + i) = *run.add(k);
            }
            k += 1;
        }
    }
}
