//! Products of small row-major matrices on one thread, by the register tiles.

use crate::tile::{Gather, Panels, Segment, correlate, product};

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

    /// Writes the row-major product of the row-major `left`, whose rows are as long as this is
    /// deep.
    pub(crate) fn multiply(&self, left: &[f32], dest: &mut [f32]) {
        let columns = self.panels.columns;
        let rows = dest.len().checked_div(columns).unwrap_or(0);
        let offsets: Vec<usize> = (0..rows).map(|row| row * self.depth).collect();
        let dest_offsets: Vec<usize> = (0..rows).map(|row| row * columns).collect();
        let segments = [Segment {
            offset: 0,
            length: self.depth,
        }];
        let gather = Gather {
            source: left,
            offsets: &offsets,
            segments: &segments,
        };
        // SAFETY: `dest` is borrowed for writing and holds `rows` rows of `columns`.
        unsafe {
            product(
                gather,
                &self.values,
                None,
                self.panels,
                dest.as_mut_ptr(),
                &dest_offsets,
            );
        }
    }
}

/// The transposed product `Σ_p source[p, k] · gradient[p, j]` of two row-major matrices, summed
/// over any number of pairs of them.
pub(crate) struct Correlation {
    sum: Vec<f32>,
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
            rows: Vec::new(),
            panels,
            depth,
        }
    }

    /// Adds the product of `source`, whose rows are `depth` long, and of `gradient`.
    pub(crate) fn add(&mut self, source: &[f32], gradient: &[f32]) {
        let (columns, padded) = (self.panels.columns, self.panels.padded());
        let rows = source.len().checked_div(self.depth).unwrap_or(0);
        let offsets: Vec<usize> = (0..rows).map(|row| row * self.depth).collect();
        let gradient_offsets: Vec<usize> = (0..rows).map(|row| row * padded).collect();
        let segments = [Segment {
            offset: 0,
            length: self.depth,
        }];
        let gather = Gather {
            source,
            offsets: &offsets,
            segments: &segments,
        };
        let gradient = if padded == columns {
            gradient
        } else {
            self.rows.clear();
            for row in gradient.chunks_exact(columns) {
                self.rows.extend_from_slice(row);
                self.rows.resize(self.rows.len() + padded - columns, 0.0);
            }
            &self.rows
        };
        correlate(
            gather,
            gradient,
            &gradient_offsets,
            self.panels,
            &mut self.sum,
        );
    }

    /// Writes the sum, row-major, and begins a new one.
    pub(crate) fn take(&mut self, dest: &mut [f32]) {
        let all = self.panels.columns;
        for index in 0..self.panels.count() {
            let (first, columns, width) = self.panels.panel(index);
            let panel = &self.sum[self.depth * first..];
            for (k, row) in panel.chunks_exact(width).take(self.depth).enumerate() {
                dest[k * all + first..][..columns].copy_from_slice(&row[..columns]);
            }
        }
        self.sum.fill(0.0);
    }
}
