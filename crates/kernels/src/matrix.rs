//! Products of small row-major matrices on one thread, by the register tiles.

use crate::product::pack;
use crate::tile::{Gather, Panels, Segment, correlate, product};
use crate::vectorized::vectorized;

/// Rows that lie `pitch` floats apart, the first at the beginning of `values`; how long they are
/// is known to whoever reads them.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub(crate) values: &'a [f32],
    pub(crate) pitch: usize,
    pub(crate) count: usize,
}

impl<'a> Rows<'a> {
    /// One row.
    #[inline(always)]
    pub(crate) fn row(&self, index: usize, length: usize) -> &'a [f32] {
        &self.values[index * self.pitch..][..length]
    }

    /// Where each row begins.
    fn offsets(&self) -> Vec<usize> {
        (0..self.count).map(|row| row * self.pitch).collect()
    }
}

/// A right operand of a product, packed into panels.
pub(crate) struct Packed {
    pub(crate) values: Vec<f32>,
    pub(crate) panels: Panels,
    depth: usize,
}

impl Packed {
    /// Packs the matrix `[depth, columns]` whose element (k, j) is `at(k, j)`, scaled, into the
    /// memory of `buffer`.
    pub(crate) fn new(
        mut buffer: Vec<f32>,
        [depth, columns]: [usize; 2],
        at: impl Fn(usize, usize) -> f32,
    ) -> Self {
        let panels = Panels::new(columns);
        buffer.clear();
        for index in 0..panels.count() {
            let (first, columns, width) = panels.panel(index);
            for k in 0..depth {
                buffer.extend((first..first + columns).map(|column| at(k, column)));
                buffer.resize(buffer.len() + width - columns, 0.0);
            }
        }
        Self {
            values: buffer,
            panels,
            depth,
        }
    }

    /// Packs the matrix of these rows, `columns` long, into the memory of `buffer`.
    pub(crate) fn from_rows(buffer: Vec<f32>, rows: Rows<'_>, columns: usize) -> Self {
        Self::pack(buffer, rows, [rows.count, columns], false)
    }

    /// Packs the matrix of which these are the columns, `depth` long and scaled, into the memory of
    /// `buffer`.
    pub(crate) fn from_columns(buffer: Vec<f32>, rows: Rows<'_>, depth: usize, scale: f32) -> Self {
        let mut packed = Self::pack(buffer, rows, [depth, rows.count], true);
        if scale != 1.0 {
            vectorized(
                #[inline(always)]
                || packed.values.iter_mut().for_each(|value| *value *= scale),
            );
        }
        packed
    }

    fn pack(
        mut values: Vec<f32>,
        rows: Rows<'_>,
        [depth, columns]: [usize; 2],
        transposed: bool,
    ) -> Self {
        let length = if transposed { depth } else { columns };
        if let Some(last) = rows.count.checked_sub(1) {
            assert!(last * rows.pitch + length <= rows.values.len());
        }
        let panels = Panels::new(columns);
        values.clear();
        values.reserve(depth * panels.padded());
        let from = (rows.values.as_ptr(), rows.pitch, transposed);
        let dest = values.as_mut_ptr();
        // SAFETY: the rows were checked to lie in their memory, and the panels, whose every float is
        // written, have the room that was reserved.
        unsafe {
            pack::panels(from, [depth, columns], panels.widths(), dest);
            values.set_len(depth * panels.padded());
        }
        Self {
            values,
            panels,
            depth,
        }
    }

    /// Writes the row-major product of the row-major `left`, whose rows are as long as this is
    /// deep.
    pub(crate) fn multiply(&self, left: &[f32], dest: &mut [f32]) {
        let columns = self.panels.columns;
        let left = Rows {
            values: left,
            pitch: self.depth,
            count: dest.len().checked_div(columns).unwrap_or(0),
        };
        // SAFETY: `dest` is borrowed for writing and holds `count` rows of `columns`.
        unsafe { self.multiply_rows(left, dest.as_mut_ptr(), columns) };
    }

    /// Writes the product of each row of `left`, as long as this is deep, to rows that lie `pitch`
    /// floats apart.
    ///
    /// # Safety
    /// The rows must be valid for writes, and nothing else may touch them meanwhile.
    pub(crate) unsafe fn multiply_rows(&self, left: Rows<'_>, dest: *mut f32, pitch: usize) {
        let dest_offsets: Vec<usize> = (0..left.count).map(|row| row * pitch).collect();
        let segments = [Segment {
            offset: 0,
            length: self.depth,
        }];
        let gather = Gather {
            source: left.values,
            offsets: &left.offsets(),
            segments: &segments,
        };
        // SAFETY: by the caller's promise.
        unsafe {
            product(gather, &self.values, None, self.panels, dest, &dest_offsets);
        }
    }
}

/// The transposed product `Σ_p source[p, k] · gradient[p, j]` of two row-major matrices, summed
/// over any number of pairs of them.
pub(crate) struct Correlation {
    sum: Vec<f32>,
    /// Whether nothing was added yet, so that the sum is not to be read.
    fresh: bool,
    rows: Vec<f32>,
    panels: Panels,
    depth: usize,
}

impl Correlation {
    /// A sum of `[depth, columns]` zeros.
    pub(crate) fn new([depth, columns]: [usize; 2]) -> Self {
        let panels = Panels::new(columns);
        Self {
            sum: vec![0.0; depth * panels.padded()],
            fresh: true,
            rows: Vec::new(),
            panels,
            depth,
        }
    }

    /// Adds the product of `source`, whose rows are `depth` long, and of `gradient`.
    pub(crate) fn add(&mut self, source: Rows<'_>, gradient: Rows<'_>) {
        let segments = [Segment {
            offset: 0,
            length: self.depth,
        }];
        let gather = Gather {
            source: source.values,
            offsets: &source.offsets(),
            segments: &segments,
        };
        self.add_gathered(gather, gradient);
    }

    /// Adds the product of gathered rows, `depth` long, and of `gradient`, which has a row for
    /// each.
    pub(crate) fn add_gathered(&mut self, gather: Gather<'_>, gradient: Rows<'_>) {
        let (columns, padded) = (self.panels.columns, self.panels.padded());
        let gradient = if padded == columns {
            gradient
        } else {
            self.rows.clear();
            for row in 0..gradient.count {
                self.rows.extend_from_slice(gradient.row(row, columns));
                self.rows.resize(self.rows.len() + padded - columns, 0.0);
            }
            Rows {
                values: &self.rows,
                pitch: padded,
                count: gradient.count,
            }
        };
        correlate(
            gather,
            gradient.values,
            &gradient.offsets(),
            self.panels,
            (&mut self.sum, self.fresh),
        );
        self.fresh = false;
    }

    /// Writes the sum to rows that lie `pitch` floats apart, and begins a new one.
    ///
    /// # Safety
    /// The rows must be valid for writes, and nothing else may touch them meanwhile.
    pub(crate) unsafe fn take(&mut self, dest: *mut f32, pitch: usize) {
        if self.fresh {
            self.sum.fill(0.0);
        }
        for index in 0..self.panels.count() {
            let (first, columns, width) = self.panels.panel(index);
            let panel = &self.sum[self.depth * first..];
            for (k, row) in panel.chunks_exact(width).take(self.depth).enumerate() {
                // SAFETY: by the caller's promise; a row of a panel has `width >= columns` floats.
                unsafe { pack::copy(row.as_ptr(), columns, dest.add(k * pitch + first), columns) };
            }
        }
        self.fresh = true;
    }
}
