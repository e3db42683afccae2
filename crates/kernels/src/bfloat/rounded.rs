//! Rounding to bf16, and the arrangements that the micro-kernel reads.

use super::Engine;
use crate::window::Rows;

/// 32 numbers on a cache line of their own: a row of a tile.
#[repr(C, align(64))]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line(pub(super) [u16; 32]);

impl Line {
    pub(super) const ZERO: Self = Self([0; 32]);
}

/// The numbers of `lines`, in order.
pub(super) fn numbers(lines: &[Line]) -> &[u16] {
    // SAFETY: a line is an array of 32 numbers with nothing between or behind them.
    unsafe { std::slice::from_raw_parts(lines.as_ptr().cast(), lines.len() * Rounded::LINE) }
}

/// The numbers of `lines`, in order, to be written.
pub(super) fn numbers_mut(lines: &mut [Line]) -> &mut [u16] {
    let length = lines.len() * Rounded::LINE;
    // SAFETY: as above, and borrowed for writing.
    unsafe { std::slice::from_raw_parts_mut(lines.as_mut_ptr().cast(), length) }
}

/// A buffer of bf16 numbers that begins with a cache line and keeps its memory.
#[derive(Debug)]
pub(crate) struct Rounded {
    engine: Engine,
    lines: Vec<Line>,
    length: usize,
}

impl Rounded {
    /// Numbers in a line.
    pub(crate) const LINE: usize = 32;

    pub(crate) fn new(engine: Engine) -> Self {
        Self {
            engine,
            lines: Vec::new(),
            length: 0,
        }
    }

    pub(crate) fn elements(&self) -> &[u16] {
        &numbers(&self.lines)[..self.length]
    }

    /// Makes the buffer longer by `count` numbers, which still have to be written.
    fn grow(&mut self, count: usize) -> &mut [u16] {
        let start = self.length;
        self.length += count;
        let lines = self.length.div_ceil(Self::LINE);
        if lines > self.lines.len() {
            self.lines.resize(lines, Line::ZERO);
        }
        &mut numbers_mut(&mut self.lines)[start..start + count]
    }
}

impl Rows for Rounded {
    fn clear(&mut self) {
        self.length = 0;
    }

    fn length(&self) -> usize {
        self.length
    }

    fn append_zeros(&mut self, count: usize) {
        self.grow(count).fill(0);
    }

    fn append(&mut self, values: &[f32]) {
        let engine = self.engine;
        round(engine, values, self.grow(values.len()));
    }
}

/// Rounds each of the values.
pub(super) fn round(engine: Engine, values: &[f32], to: &mut [u16]) {
    assert_eq!(values.len(), to.len());
    #[cfg(target_arch = "x86_64")]
    if engine.vectors() {
        // SAFETY: the engine is only there on machines with these instructions.
        return unsafe { vectors::round(values, to) };
    }
    debug_assert!(!engine.vectors());
    for (to, value) in to.iter_mut().zip(values) {
        *to = nearest(*value);
    }
}

/// The bf16 nearest to a number, the even one of two that are equally near.
pub(super) fn nearest(value: f32) -> u16 {
    let bits = value.to_bits();
    if value.is_nan() {
        // Cutting the fraction off could leave an infinity.
        return (bits >> 16) as u16 | 0x40;
    }
    ((bits + 0x7fff + ((bits >> 16) & 1)) >> 16) as u16
}

/// The number that a bf16 stands for.
pub(super) fn widened(value: u16) -> f32 {
    f32::from_bits(u32::from(value) << 16)
}

/// Where 32 rows of 32 numbers each begin: the same line of each of 32 items.
#[derive(Clone, Copy)]
pub(super) struct Items<'a> {
    pub(super) numbers: &'a [u16],
    /// Numbers from one item to the next.
    pub(super) pitch: usize,
}

impl Items<'_> {
    /// The tiles of the 32 numbers from `start` on: their items in pairs, or transposed so that a
    /// row holds all items. The second tile is left out where `tiles` has room for only one.
    pub(super) fn tiles(self, engine: Engine, start: usize, transposed: bool, tiles: &mut [Line]) {
        assert!(start + 31 * self.pitch + 32 <= self.numbers.len());
        assert!(tiles.len() == 16 || tiles.len() == 32);
        #[cfg(target_arch = "x86_64")]
        if engine.vectors() {
            let from = self.numbers[start..].as_ptr();
            // SAFETY: the engine is only there on machines with these instructions, and the bounds
            // were checked above.
            return unsafe {
                if transposed {
                    vectors::transposed(from, self.pitch, tiles);
                } else {
                    vectors::pairs(from, self.pitch, tiles);
                }
            };
        }
        debug_assert!(!engine.vectors());
        for (line, to) in tiles.iter_mut().enumerate() {
            let (tile, row) = (line / 16, line % 16);
            for (i, to) in to.0.iter_mut().enumerate() {
                let (item, column) = if transposed {
                    (i, row)
                } else {
                    (2 * row + i % 2, i / 2)
                };
                *to = self.numbers[start + item * self.pitch + 16 * tile + column];
            }
        }
    }
}

/// Writes a row of a right tile: `column_stride` apart, the numbers from `even` and from `odd` on,
/// in pairs and rounded, zeros after `columns`; without `odd`, each is paired with a zero.
pub(super) fn pair_row(
    engine: Engine,
    even: &[f32],
    odd: Option<&[f32]>,
    column_stride: usize,
    columns: usize,
    to: &mut Line,
) {
    let columns = columns.min(16);
    if columns == 0 {
        *to = Line::ZERO;
        return;
    }
    let last = (columns - 1) * column_stride;
    assert!(last < even.len() && odd.is_none_or(|odd| last < odd.len()));
    #[cfg(target_arch = "x86_64")]
    if engine.vectors() && 15 * column_stride < i32::MAX as usize {
        // SAFETY: the engine is only there on machines with these instructions, and the bounds
        // were checked above.
        return unsafe { vectors::pair_row(even, odd, column_stride as i32, columns, to) };
    }
    let _ = engine;
    *to = Line::ZERO;
    for column in 0..columns {
        to.0[2 * column] = nearest(even[column * column_stride]);
        if let Some(odd) = odd {
            to.0[2 * column + 1] = nearest(odd[column * column_stride]);
        }
    }
}

#[cfg(target_arch = "x86_64")]
pub(super) mod vectors {
    //! The same in AVX-512.

    use core::arch::x86_64::*;

    use super::Line;

    /// Numbers `16·half + i/2` of the first and of the second operand of a permutation in turn.
    const fn interleaved(half: u16) -> [u16; 32] {
        let mut order = [0; 32];
        let mut i = 0;
        while i < 32 {
            order[i as usize] = 16 * half + i / 2 + 32 * (i % 2);
            i += 1;
        }
        order
    }
    /// A vector's lower and upper half in turn.
    const fn halves() -> [u16; 32] {
        let mut order = [0; 32];
        let mut i = 0;
        while i < 32 {
            order[i as usize] = i / 2 + 16 * (i % 2);
            i += 1;
        }
        order
    }
    static LOWER: Line = Line(interleaved(0));
    static UPPER: Line = Line(interleaved(1));
    static HALVES: Line = Line(halves());

    /// # Safety
    /// As the features say.
    #[target_feature(enable = "avx512f")]
    unsafe fn line(from: *const u16) -> __m512i {
        // SAFETY: the caller's; no alignment is needed.
        unsafe { _mm512_loadu_si512(from.cast()) }
    }

    /// Two vectors, rounded: `low` comes first.
    #[target_feature(enable = "avx512f,avx512bf16")]
    fn rounded(low: __m512, high: __m512) -> __m512i {
        let both = _mm512_cvtne2ps_pbh(high, low);
        // SAFETY: both are 64 bytes without any that mean nothing.
        unsafe { core::mem::transmute::<__m512bh, __m512i>(both) }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    pub(in crate::bfloat) fn round(values: &[f32], to: &mut [u16]) {
        let length = values.len().min(to.len());
        let whole = length / 32 * 32;
        let (from, to) = (values.as_ptr(), to.as_mut_ptr());
        // SAFETY: every access lies within `length`; masked lanes aren't touched.
        unsafe {
            for i in (0..whole).step_by(32) {
                let low = _mm512_loadu_ps(from.add(i));
                let high = _mm512_loadu_ps(from.add(i + 16));
                _mm512_storeu_si512(to.add(i).cast(), rounded(low, high));
            }
            let left = length - whole;
            if left > 0 {
                let mask = (1u32 << left) - 1;
                let low = _mm512_maskz_loadu_ps(mask as u16, from.add(whole));
                let high_mask = (mask >> 16) as u16;
                let high = if high_mask == 0 {
                    _mm512_setzero_ps()
                } else {
                    _mm512_maskz_loadu_ps(high_mask, from.add(whole + 16))
                };
                let both = rounded(low, high);
                _mm512_mask_storeu_epi16(to.add(whole).cast(), mask, both);
            }
        }
    }

    /// # Safety
    /// Each of the 32 rows, `pitch` apart, must hold 32 numbers.
    #[target_feature(enable = "avx512f,avx512bw")]
    pub(super) unsafe fn pairs(from: *const u16, pitch: usize, tiles: &mut [Line]) {
        let (first, second) = tiles.split_at_mut(16);
        // SAFETY: by the caller's promise; lines are aligned.
        unsafe {
            let lower = line(LOWER.0.as_ptr());
            let upper = line(UPPER.0.as_ptr());
            for (row, to) in first.iter_mut().enumerate() {
                let even = line(from.add(2 * row * pitch));
                let odd = line(from.add((2 * row + 1) * pitch));
                let pair = _mm512_permutex2var_epi16(even, lower, odd);
                _mm512_storeu_si512(to.0.as_mut_ptr().cast(), pair);
                if let Some(to) = second.get_mut(row) {
                    let pair = _mm512_permutex2var_epi16(even, upper, odd);
                    _mm512_storeu_si512(to.0.as_mut_ptr().cast(), pair);
                }
            }
        }
    }

    /// # Safety
    /// Each of the 32 rows, `pitch` apart, must hold 32 numbers.
    #[target_feature(enable = "avx512f,avx512bw")]
    pub(super) unsafe fn transposed(from: *const u16, pitch: usize, tiles: &mut [Line]) {
        for (half, tile) in tiles.chunks_exact_mut(16).enumerate() {
            // SAFETY: by the caller's promise.
            unsafe {
                let order = line(if half == 0 {
                    LOWER.0.as_ptr()
                } else {
                    UPPER.0.as_ptr()
                });
                let mut rows = [_mm512_setzero_si512(); 16];
                for (row, pair) in rows.iter_mut().enumerate() {
                    let even = line(from.add(2 * row * pitch));
                    let odd = line(from.add((2 * row + 1) * pitch));
                    *pair = _mm512_permutex2var_epi16(even, order, odd);
                }
                for (to, row) in tile.iter_mut().zip(transpose(rows)) {
                    _mm512_storeu_si512(to.0.as_mut_ptr().cast(), row);
                }
            }
        }
    }

    /// Transposes 16 rows of 16 words of 32 bits.
    #[inline]
    #[target_feature(enable = "avx512f")]
    fn transpose(rows: [__m512i; 16]) -> [__m512i; 16] {
        // In each quarter of 128 bits: the words of two rows in turn, then of four.
        let mut twos = rows;
        for i in 0..8 {
            twos[2 * i] = _mm512_unpacklo_epi32(rows[2 * i], rows[2 * i + 1]);
            twos[2 * i + 1] = _mm512_unpackhi_epi32(rows[2 * i], rows[2 * i + 1]);
        }
        let mut fours = rows;
        for i in 0..4 {
            let rows = &twos[4 * i..4 * i + 4];
            fours[4 * i] = _mm512_unpacklo_epi64(rows[0], rows[2]);
            fours[4 * i + 1] = _mm512_unpackhi_epi64(rows[0], rows[2]);
            fours[4 * i + 2] = _mm512_unpacklo_epi64(rows[1], rows[3]);
            fours[4 * i + 3] = _mm512_unpackhi_epi64(rows[1], rows[3]);
        }
        // Quarter q of `fours[4·i + j]` is column 4·q + j of rows 4·i to 4·i + 3.
        let mut columns = rows;
        for j in 0..4 {
            let even_low = _mm512_shuffle_i32x4::<0x88>(fours[j], fours[4 + j]);
            let odd_low = _mm512_shuffle_i32x4::<0xdd>(fours[j], fours[4 + j]);
            let even_high = _mm512_shuffle_i32x4::<0x88>(fours[8 + j], fours[12 + j]);
            let odd_high = _mm512_shuffle_i32x4::<0xdd>(fours[8 + j], fours[12 + j]);
            columns[j] = _mm512_shuffle_i32x4::<0x88>(even_low, even_high);
            columns[4 + j] = _mm512_shuffle_i32x4::<0x88>(odd_low, odd_high);
            columns[8 + j] = _mm512_shuffle_i32x4::<0xdd>(even_low, even_high);
            columns[12 + j] = _mm512_shuffle_i32x4::<0xdd>(odd_low, odd_high);
        }
        columns
    }

    /// # Safety
    /// `columns` numbers must lie `stride` apart from the start of `even` and of `odd` on.
    #[target_feature(enable = "avx512f,avx512bw,avx512bf16")]
    pub(super) unsafe fn pair_row(
        even: &[f32],
        odd: Option<&[f32]>,
        stride: i32,
        columns: usize,
        to: &mut Line,
    ) {
        let mask = ((1u32 << columns) - 1) as u16;
        let count = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
        let index = _mm512_mullo_epi32(count, _mm512_set1_epi32(stride));
        let zero = _mm512_setzero_ps();
        // SAFETY: by the caller's promise; masked lanes aren't read.
        unsafe {
            let even = _mm512_mask_i32gather_ps::<4>(zero, mask, index, even.as_ptr());
            let odd = odd.map_or(zero, |odd| {
                _mm512_mask_i32gather_ps::<4>(zero, mask, index, odd.as_ptr())
            });
            let order = line(HALVES.0.as_ptr());
            let pairs = _mm512_permutexvar_epi16(order, rounded(even, odd));
            _mm512_storeu_si512(to.0.as_mut_ptr().cast(), pairs);
        }
    }

    /// Copies whole lines; neither side needs alignment.
    ///
    /// # Safety
    /// Each line must be readable at its offset (in numbers) after `from`, and writable `step`
    /// lines after the one before.
    #[target_feature(enable = "avx512f")]
    pub(in crate::bfloat) unsafe fn copy_lines(
        from: *const u16,
        offsets: &[usize],
        to: *mut Line,
        step: usize,
    ) {
        for (i, offset) in offsets.iter().enumerate() {
            // SAFETY: by the caller's promise.
            unsafe { _mm512_storeu_si512(to.add(i * step).cast(), line(from.add(*offset))) };
        }
    }
}
