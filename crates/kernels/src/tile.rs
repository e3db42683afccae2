//! The two register tiles on which convolution and linear layers stand.
//!
//! Both read their left operand where it lies, through one offset per pixel and a short list of
//! contiguous segments (the kernel rows of a window), so neither an im2col matrix nor a packed
//! copy of the activations is ever written:
//!
//! - [`product`]: `dest[p, j] = bias[j] + Σ_k source[p, k] · weight[k, j]`, for the output and for
//!   the gradient of the input;
//! - [`correlate`]: `sum[k, j] += Σ_p source[p, k] · gradient[p, j]`, for the gradient of the weight.
//!
//! The right operand is cut into panels of at most two vectors of columns. A tile of 12 pixels by
//! 2 vectors keeps 24 accumulators in the 32 registers of AVX-512, and 6 by 2 keeps 12 in the 16
//! registers of AVX2; each step then issues 24 multiply-adds for 14 loads.

// Loops over `0..P` and `0..V` unroll into registers; iterators over the arrays keep them in memory.
#![allow(clippy::needless_range_loop)]

use pulp::{Arch, Simd, WithSimd};

/// A contiguous run of a window: where it starts after the pixel's own offset, and how long it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub(crate) offset: usize,
    pub(crate) length: usize,
}

/// The left operand: a window of `segments` around each of the `offsets` into `source`.
#[derive(Clone, Copy)]
pub(crate) struct Gather<'a, T = f32> {
    pub(crate) source: &'a [T],
    pub(crate) offsets: &'a [usize],
    pub(crate) segments: &'a [Segment],
}

impl<T> Gather<'_, T> {
    /// Checks that every element that the tiles are going to read lies inside the source.
    fn check(&self) {
        let reach = self
            .segments
            .iter()
            .map(|segment| segment.offset + segment.length)
            .max();
        let last = self.offsets.iter().max();
        if let (Some(reach), Some(last)) = (reach, last) {
            assert!(
                last + reach <= self.source.len(),
                "window reaches past its source"
            );
        }
    }
}

/// How columns are cut into panels of at most two vectors.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Panels {
    lanes: usize,
    pub(crate) columns: usize,
}

impl Panels {
    /// The cut of `columns` for the vectors of this machine.
    pub(crate) fn new(columns: usize) -> Self {
        struct Lanes;
        impl WithSimd for Lanes {
            type Output = usize;
            #[inline(always)]
            fn with_simd<S: Simd>(self, _simd: S) -> usize {
                S::F32_LANES
            }
        }
        Self {
            lanes: Arch::new().dispatch(Lanes),
            columns,
        }
    }

    /// The cut for vectors of so many lanes, whatever this machine has.
    #[cfg(test)]
    pub(crate) fn of_lanes(lanes: usize, columns: usize) -> Self {
        Self { lanes, columns }
    }

    /// Columns of a panel at most, and of a vector.
    pub(crate) fn widths(self) -> [usize; 2] {
        [2 * self.lanes, self.lanes]
    }

    /// Columns rounded up to whole vectors.
    pub(crate) fn padded(self) -> usize {
        self.columns.next_multiple_of(self.lanes)
    }

    /// The number of panels.
    pub(crate) fn count(self) -> usize {
        self.columns.div_ceil(2 * self.lanes)
    }

    /// First column, number of columns and padded width of a panel; a panel of depth `k` begins at
    /// `k * first` in the packed operand.
    pub(crate) fn panel(self, index: usize) -> (usize, usize, usize) {
        let first = index * 2 * self.lanes;
        let columns = (self.columns - first).min(2 * self.lanes);
        (first, columns, columns.next_multiple_of(self.lanes))
    }
}

/// Writes `bias + source · weight` for every pixel of the gather.
///
/// `weight` holds the panels one after another, each `[depth, padded width]`; `bias` holds
/// `panels.padded()` numbers.
///
/// # Safety
/// `dest` must be valid for writes of `panels.columns` floats after each of `dest_offsets`, and
/// nothing else may touch these floats meanwhile.
pub(crate) unsafe fn product(
    gather: Gather<'_>,
    weight: &[f32],
    bias: Option<&[f32]>,
    panels: Panels,
    dest: *mut f32,
    dest_offsets: &[usize],
) {
    gather.check();
    let depth: usize = gather.segments.iter().map(|segment| segment.length).sum();
    assert_eq!(weight.len(), depth * panels.padded());
    assert_eq!(gather.offsets.len(), dest_offsets.len());
    assert!(bias.is_none_or(|bias| bias.len() == panels.padded()));
    Arch::new().dispatch(Product {
        gather,
        depth,
        weight,
        bias,
        panels,
        dest,
        dest_offsets,
    });
}

struct Product<'a> {
    gather: Gather<'a>,
    depth: usize,
    weight: &'a [f32],
    bias: Option<&'a [f32]>,
    panels: Panels,
    dest: *mut f32,
    dest_offsets: &'a [usize],
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for index in 0..self.panels.count() {
            let (_, _, width) = self.panels.panel(index);
            // SAFETY: the bounds were checked by `product`.
            unsafe {
                match (S::REGISTER_COUNT >= 32, width > S::F32_LANES) {
                    (true, true) => product_panel::<S, 12, 2>(simd, &self, index),
                    (true, false) => product_panel::<S, 12, 1>(simd, &self, index),
                    (false, true) => product_panel::<S, 6, 2>(simd, &self, index),
                    (false, false) => product_panel::<S, 6, 1>(simd, &self, index),
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn product_panel<S: Simd, const P: usize, const V: usize>(
    simd: S,
    task: &Product<'_>,
    index: usize,
) {
    let pixels = task.gather.offsets.len();
    let mut first = 0;
    // SAFETY: each tile stays within the pixels, and the caller has checked what a pixel reads.
    unsafe {
        while first + P <= pixels {
            product_tile::<S, P, V>(simd, task, index, first);
            first += P;
        }
        while first + 4 <= pixels {
            product_tile::<S, 4, V>(simd, task, index, first);
            first += 4;
        }
        if first + 2 <= pixels {
            product_tile::<S, 2, V>(simd, task, index, first);
            first += 2;
        }
        while first < pixels {
            product_tile::<S, 1, V>(simd, task, index, first);
            first += 1;
        }
    }
}

#[inline(always)]
unsafe fn product_tile<S: Simd, const P: usize, const V: usize>(
    simd: S,
    task: &Product<'_>,
    index: usize,
    first: usize,
) {
    let lanes = S::F32_LANES;
    let (column, columns, _) = task.panels.panel(index);
    // SAFETY: pixels `first..first + P` exist, their windows lie in the source, the panel holds
    // `depth` rows of V vectors, and the destination is the caller's to write.
    unsafe {
        let mut sum = [[simd.splat_f32s(0.0); V]; P];
        if let Some(bias) = task.bias {
            for p in 0..P {
                for v in 0..V {
                    sum[p][v] = load(simd, bias.as_ptr().add(column + v * lanes));
                }
            }
        }
        let mut weight = task.weight.as_ptr().add(task.depth * column);
        let offsets = task.gather.offsets.as_ptr().add(first);
        for segment in task.gather.segments {
            let mut pixel = [task.gather.source.as_ptr(); P];
            for p in 0..P {
                pixel[p] = pixel[p].add(*offsets.add(p) + segment.offset);
            }
            for k in 0..segment.length {
                let mut right = [simd.splat_f32s(0.0); V];
                for v in 0..V {
                    right[v] = load(simd, weight.add(v * lanes));
                }
                for p in 0..P {
                    let left = simd.splat_f32s(*pixel[p].add(k));
                    for v in 0..V {
                        sum[p][v] = simd.mul_add_e_f32s(left, right[v], sum[p][v]);
                    }
                }
                weight = weight.add(V * lanes);
            }
        }
        for p in 0..P {
            let dest = task
                .dest
                .add(*task.dest_offsets.get_unchecked(first + p) + column);
            for v in 0..V {
                let left = columns - v * lanes;
                if left >= lanes {
                    store(simd, dest.add(v * lanes), sum[p][v]);
                } else {
                    // A copy, so that no address of the sums is taken: they must stay in registers.
                    let partial = sum[p][v];
                    let from = (&raw const partial).cast::<f32>();
                    core::ptr::copy_nonoverlapping(from, dest.add(v * lanes), left);
                }
            }
        }
    }
}

/// Adds `Σ_p source[p, k] · gradient[p, j]` to `sum`, which is laid out as `product`'s weight; where
/// it is `fresh`, the sum is written and nothing is read of it.
///
/// `gradient` is read at `gradient_offsets`, `panels.padded()` floats each.
pub(crate) fn correlate(
    gather: Gather<'_>,
    gradient: &[f32],
    gradient_offsets: &[usize],
    panels: Panels,
    (sum, fresh): (&mut [f32], bool),
) {
    gather.check();
    let depth: usize = gather.segments.iter().map(|segment| segment.length).sum();
    assert_eq!(sum.len(), depth * panels.padded());
    assert_eq!(gather.offsets.len(), gradient_offsets.len());
    let last = gradient_offsets.iter().max();
    assert!(last.is_none_or(|last| last + panels.padded() <= gradient.len()));
    Arch::new().dispatch(Correlate {
        gather,
        depth,
        gradient,
        gradient_offsets,
        panels,
        sum,
        fresh,
    });
}

struct Correlate<'a> {
    gather: Gather<'a>,
    depth: usize,
    gradient: &'a [f32],
    gradient_offsets: &'a [usize],
    panels: Panels,
    sum: &'a mut [f32],
    fresh: bool,
}

impl WithSimd for Correlate<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        for index in 0..self.panels.count() {
            let (_, _, width) = self.panels.panel(index);
            // SAFETY: the bounds were checked by `correlate`.
            unsafe {
                match (S::REGISTER_COUNT >= 32, width > S::F32_LANES) {
                    (true, true) => correlate_panel::<S, 12, 2>(simd, &mut self, index),
                    (true, false) => correlate_panel::<S, 24, 1>(simd, &mut self, index),
                    (false, true) => correlate_panel::<S, 6, 2>(simd, &mut self, index),
                    (false, false) => correlate_panel::<S, 12, 1>(simd, &mut self, index),
                }
            }
        }
    }
}

#[inline(always)]
unsafe fn correlate_panel<S: Simd, const K: usize, const V: usize>(
    simd: S,
    task: &mut Correlate<'_>,
    index: usize,
) {
    let mut row = 0;
    for segment in 0..task.gather.segments.len() {
        let length = task.gather.segments[segment].length;
        let mut k = 0;
        while k < length {
            let left = length - k;
            // SAFETY: each tile stays within its segment.
            unsafe {
                // Tiles of 9 are for three channels under a kernel three wide; where registers are few, 5
                // and 4 rows are better than 6 and three times one.
                k += match left {
                    5 | 9 | 10 if K == 6 => {
                        correlate_tile::<S, 5, V>(simd, task, index, segment, k, row);
                        5
                    }
                    7 | 8 if K == 6 => {
                        correlate_tile::<S, 4, V>(simd, task, index, segment, k, row);
                        4
                    }
                    _ if left >= K && (K <= 12 || left.is_multiple_of(K) || left > 2 * K) => {
                        correlate_tile::<S, K, V>(simd, task, index, segment, k, row);
                        K
                    }
                    12.. if left != 16 => {
                        correlate_tile::<S, 12, V>(simd, task, index, segment, k, row);
                        12
                    }
                    9 | 10 => {
                        correlate_tile::<S, 9, V>(simd, task, index, segment, k, row);
                        9
                    }
                    8.. => {
                        correlate_tile::<S, 8, V>(simd, task, index, segment, k, row);
                        8
                    }
                    4.. => {
                        correlate_tile::<S, 4, V>(simd, task, index, segment, k, row);
                        4
                    }
                    3 => {
                        correlate_tile::<S, 3, V>(simd, task, index, segment, k, row);
                        3
                    }
                    _ => {
                        correlate_tile::<S, 1, V>(simd, task, index, segment, k, row);
                        1
                    }
                };
            }
        }
        row += length;
    }
}

#[inline(always)]
unsafe fn correlate_tile<S: Simd, const K: usize, const V: usize>(
    simd: S,
    task: &mut Correlate<'_>,
    index: usize,
    segment: usize,
    k: usize,
    row: usize,
) {
    let lanes = S::F32_LANES;
    let (column, _, _) = task.panels.panel(index);
    // SAFETY: the K elements from `k` on lie in the segment of every pixel, the gradient holds the
    // padded columns after each offset, and the panel of the sum has `depth` rows of V vectors.
    unsafe {
        let source = task
            .gather
            .source
            .as_ptr()
            .add(task.gather.segments[segment].offset + k);
        let gradient = task.gradient.as_ptr().add(column);
        let mut sum = [[simd.splat_f32s(0.0); V]; K];
        for p in 0..task.gather.offsets.len() {
            let source = source.add(*task.gather.offsets.get_unchecked(p));
            let gradient = gradient.add(*task.gradient_offsets.get_unchecked(p));
            let mut right = [simd.splat_f32s(0.0); V];
            for v in 0..V {
                right[v] = load(simd, gradient.add(v * lanes));
            }
            for i in 0..K {
                let left = simd.splat_f32s(*source.add(i));
                for v in 0..V {
                    sum[i][v] = simd.mul_add_e_f32s(left, right[v], sum[i][v]);
                }
            }
        }
        let dest = task
            .sum
            .as_mut_ptr()
            .add(task.depth * column + (row + k) * V * lanes);
        for i in 0..K {
            for v in 0..V {
                let dest = dest.add((i * V + v) * lanes);
                if !task.fresh {
                    sum[i][v] = simd.add_f32s(load(simd, dest), sum[i][v]);
                }
                store(simd, dest, sum[i][v]);
            }
        }
    }
}

/// # Safety
/// A whole vector must be readable at `from`.
#[inline(always)]
pub(crate) unsafe fn load<S: Simd>(_simd: S, from: *const f32) -> S::f32s {
    // SAFETY: by the caller's promise; the read needs no alignment.
    unsafe { from.cast::<S::f32s>().read_unaligned() }
}

/// # Safety
/// A whole vector must be writable at `to`.
#[inline(always)]
pub(crate) unsafe fn store<S: Simd>(_simd: S, to: *mut f32, value: S::f32s) {
    // SAFETY: by the caller's promise; the write needs no alignment.
    unsafe { to.cast::<S::f32s>().write_unaligned(value) }
}

/// Asks for the cache line at an address, which need not be valid.
#[inline(always)]
pub(crate) fn prefetch(address: *const f32) {
    #[cfg(target_arch = "x86_64")]
    // SAFETY: a prefetch faults nowhere, and every x86-64 has the instruction.
    unsafe {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        _mm_prefetch::<_MM_HINT_T0>(address.cast());
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

#[cfg(test)]
mod tests;
