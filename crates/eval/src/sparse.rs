//! Rows that are mostly 0, without their zeros. A text has a few dozen of the thousands of words that are counted, and a dense
//! product multiplies all the others as well.

use rayon::prelude::*;

use crate::matrix::normalize;

/// Narrower rows are as quickly multiplied with their zeros.
const WIDE: usize = 512;
/// Rows are sparse where fewer than one value of so many isn't 0: a dense product takes a value much faster.
const SPARSE: usize = 20;

/// Compressed sparse rows: what isn't 0, row after row.
pub(crate) struct SparseRows {
    width: usize,
    /// Where each row starts in the two below, and where the last one ends.
    starts: Vec<usize>,
    /// Ascending within a row.
    columns: Vec<u32>,
    values: Vec<f32>,
}

impl SparseRows {
    /// What isn't 0 of dense rows of so many columns; `None` where they are narrow or not sparse.
    pub(crate) fn of(data: &[f32], width: usize) -> Option<Self> {
        if width < WIDE {
            return None;
        }
        let end = u32::try_from(width).ok()?;
        let rows = data.par_chunks_exact(width);
        let counts: Vec<usize> = rows
            .clone()
            .map(|row| row.iter().filter(|&&value| value != 0.).count())
            .collect();
        if counts.iter().sum::<usize>() >= data.len() / SPARSE {
            return None;
        }
        let ends = counts.iter().scan(0_usize, |end, &count| {
            *end += count;
            Some(*end)
        });
        let starts = std::iter::once(0).chain(ends).collect();
        let (columns, values) = rows
            .flat_map_iter(|row| {
                let entries = (0..end).zip(row.iter().copied());
                entries.filter(|&(_, value)| value != 0.)
            })
            .unzip();
        Some(Self {
            width,
            starts,
            columns,
            values,
        })
    }

    /// Number of rows.
    pub(crate) fn rows(&self) -> usize {
        self.starts.len() - 1
    }

    /// The columns of a row that aren't 0, ascending, and their values.
    pub(crate) fn row(&self, row: usize) -> impl Iterator<Item = (usize, f32)> {
        let entries = self.starts[row]..self.starts[row + 1];
        let columns = self.columns[entries.clone()].iter();
        let columns = columns.map(|&column| column as usize);
        columns.zip(self.values[entries].iter().copied())
    }

    /// The same numbers with rows and columns exchanged.
    pub(crate) fn transposed(&self) -> Self {
        let mut starts = vec![0_usize; self.width + 1];
        for &column in &self.columns {
            starts[column as usize + 1] += 1;
        }
        for column in 0..self.width {
            starts[column + 1] += starts[column];
        }
        let mut next = starts.clone();
        let mut columns = vec![0; self.columns.len()];
        let mut values = vec![0.; self.values.len()];
        for row in 0..self.rows() {
            for (column, value) in self.row(row) {
                columns[next[column]] = row as u32;
                values[next[column]] = value;
                next[column] += 1;
            }
        }
        Self {
            width: self.rows(),
            starts,
            columns,
            values,
        }
    }

    /// Each row divided by its Euclidean norm, as [`Matrix::normalized_rows`](crate::Matrix::normalized_rows) does it.
    pub(crate) fn normalized(mut self) -> Self {
        for ends in self.starts.windows(2) {
            normalize(&mut self.values[ends[0]..ends[1]]);
        }
        self
    }

    /// Adds the product of a row with a dense matrix, `[columns, K]`, to K numbers.
    pub(crate) fn add_product(&self, row: usize, right: &[f32], out: &mut [f32]) {
        let count = out.len();
        for (column, value) in self.row(row) {
            let right = &right[column * count..(column + 1) * count];
            out.iter_mut()
                .zip(right)
                .for_each(|(out, right)| *out += value * right);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::Matrix;

    /// Three rows, the second of them empty.
    fn dense() -> Vec<f32> {
        let mut data = vec![0.; 3 * WIDE];
        for (at, value) in [(3, 2.), (WIDE - 1, -1.), (2 * WIDE, 8.), (2 * WIDE + 3, 4.)] {
            data[at] = value;
        }
        data
    }

    #[test]
    fn rows_and_columns_are_those_of_the_dense_rows() {
        let rows = SparseRows::of(&dense(), WIDE).unwrap();
        let of = |rows: &SparseRows, row| rows.row(row).collect::<Vec<_>>();
        assert_eq!(rows.rows(), 3);
        assert_eq!(of(&rows, 0), [(3, 2.), (WIDE - 1, -1.)]);
        assert!(of(&rows, 1).is_empty());
        assert_eq!(of(&rows, 2), [(0, 8.), (3, 4.)]);
        let columns = rows.transposed();
        assert_eq!(columns.rows(), WIDE);
        assert_eq!(of(&columns, 0), [(2, 8.)]);
        assert!(of(&columns, 1).is_empty());
        assert_eq!(of(&columns, 3), [(0, 2.), (2, 4.)]);
        assert_eq!(of(&columns, WIDE - 1), [(0, -1.)]);
        let again = columns.transposed();
        assert_eq!(again.columns, rows.columns);
        assert_eq!(again.values, rows.values);
    }

    #[test]
    fn products_and_lengths_are_those_of_the_dense_rows() {
        let (data, rows) = (dense(), SparseRows::of(&dense(), WIDE).unwrap());
        let right: Vec<f32> = (0..2 * WIDE).map(|i| (i % 7) as f32).collect();
        for row in 0..3 {
            let mut out = [1., 2.];
            rows.add_product(row, &right, &mut out);
            for (k, out) in out.into_iter().enumerate() {
                let values = &data[row * WIDE..(row + 1) * WIDE];
                let right = right.iter().skip(k).step_by(2);
                let product: f32 = values.iter().zip(right).map(|(a, b)| a * b).sum();
                assert_eq!(out, product + [1., 2.][k]);
            }
        }
        let normalized = Matrix::from_vec(3, WIDE, data).unwrap().normalized_rows();
        let expected = SparseRows::of(normalized.data(), WIDE).unwrap();
        assert_eq!(rows.normalized().values, expected.values);
    }

    #[test]
    fn narrow_rows_and_full_ones_stay_as_they_are() {
        assert!(SparseRows::of(&[0.; 4 * (WIDE - 1)], WIDE - 1).is_none());
        let most = WIDE / SPARSE;
        for (count, sparse) in [(0, true), (most - 1, true), (most, false)] {
            let mut row = vec![0.; WIDE];
            row[..count].fill(-1.);
            assert_eq!(SparseRows::of(&row, WIDE).is_some(), sparse, "{count}");
        }
    }
}
