//! A dense matrix of features: one row per item.

use rayon::prelude::*;

use crate::error::{EvalError, Result};
use crate::product::{View, multiply_into};

/// Rows handled by one task: enough to amortize the start of a task, few enough to share out.
const CHUNK: usize = 256;

/// A row-major matrix of `f32`, one row per item; never empty, and finite throughout.
#[derive(Clone, Debug, PartialEq)]
pub struct Matrix {
    rows: usize,
    columns: usize,
    data: Vec<f32>,
}

impl Matrix {
    /// Takes the values of a matrix, row after row.
    ///
    /// # Errors
    ///
    /// If there are no rows or columns, if their product is not the number of values, or if a value is NaN or
    /// infinite; the error names the row.
    ///
    /// ```
    /// # use autodidact_eval::Matrix;
    /// let matrix = Matrix::from_vec(2, 2, vec![3., 4., 0., 2.])?;
    /// assert_eq!(matrix.normalized_rows().row(0), [0.6, 0.8]);
    /// # Ok::<(), autodidact_eval::EvalError>(())
    /// ```
    pub fn from_vec(rows: usize, columns: usize, data: Vec<f32>) -> Result<Self> {
        if rows == 0 || columns == 0 {
            return Err(EvalError::Empty {
                what: if rows == 0 { "rows" } else { "columns" },
            });
        }
        if rows.checked_mul(columns) != Some(data.len()) {
            return Err(EvalError::Shape {
                found: data.len(),
                rows,
                columns,
            });
        }
        if let Some(at) = data.par_iter().position_first(|value| !value.is_finite()) {
            return Err(EvalError::NotFinite {
                row: at / columns,
                column: at % columns,
                value: data[at],
            });
        }
        Ok(Self {
            rows,
            columns,
            data,
        })
    }

    /// Number of items.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of features per item.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// All values, row after row.
    pub fn data(&self) -> &[f32] {
        &self.data
    }

    /// Gives the values back, row after row.
    pub fn into_data(self) -> Vec<f32> {
        self.data
    }

    /// The features of one item.
    ///
    /// # Panics
    ///
    /// If `row` is not below [`rows`](Self::rows), as indexing a slice would.
    pub fn row(&self, row: usize) -> &[f32] {
        &self.data[row * self.columns..(row + 1) * self.columns]
    }

    /// Each row divided by its Euclidean norm; rows of norm below 1e-12 are divided by that instead and stay
    /// near zero, as in PyTorch's `F.normalize`.
    pub fn normalized_rows(&self) -> Self {
        let mut data = self.data.clone();
        data.par_chunks_mut(self.columns)
            .with_min_len(CHUNK)
            .for_each(normalize);
        Self { data, ..*self }
    }

    /// The rows of the given indices, in that order; an index may occur more than once.
    ///
    /// # Errors
    ///
    /// If there are no indices or one is past the last row.
    pub fn select(&self, indices: &[usize]) -> Result<Self> {
        if indices.is_empty() {
            return Err(EvalError::Empty { what: "indices" });
        }
        let mut data = Vec::with_capacity(indices.len() * self.columns);
        for &index in indices {
            if index >= self.rows {
                return Err(EvalError::Index {
                    index,
                    rows: self.rows,
                });
            }
            data.extend_from_slice(self.row(index));
        }
        Ok(Self {
            rows: indices.len(),
            columns: self.columns,
            data,
        })
    }

    /// The inner products of all rows with all rows of `other`.
    ///
    /// # Shapes
    ///
    /// `[N, D]` and `[M, D]` give `[N, M]`.
    ///
    /// # Errors
    ///
    /// If the columns differ or a product is too large for `f32`.
    pub fn times_transposed(&self, other: &Self) -> Result<Self> {
        self.check_columns(other)?;
        let mut data = vec![0.; self.rows * other.rows];
        data.par_chunks_mut(CHUNK * other.rows)
            .zip(self.data.par_chunks(CHUNK * self.columns))
            .for_each(|(out, rows)| {
                multiply_into(
                    out,
                    View::new(rows, self.columns),
                    other.view().transposed(),
                );
            });
        Self::from_vec(self.rows, other.rows, data).map_err(|_| EvalError::Overflow {
            what: "the matrix product",
        })
    }

    pub(crate) fn view(&self) -> View<'_, f32> {
        View::new(&self.data, self.columns)
    }

    /// Checks that the other matrix holds features of the same width.
    pub(crate) fn check_columns(&self, other: &Self) -> Result<()> {
        if self.columns == other.columns {
            Ok(())
        } else {
            Err(EvalError::Columns {
                found: other.columns,
                expected: self.columns,
            })
        }
    }

    /// The mean of each column.
    pub(crate) fn column_means(&self) -> Vec<f64> {
        let mut means = self.column_sums(|_, value| value);
        means.iter_mut().for_each(|mean| *mean /= self.rows as f64);
        means
    }

    /// The sum over the rows of `term(column, value)`, for each column.
    pub(crate) fn column_sums(&self, term: impl Fn(usize, f64) -> f64 + Sync) -> Vec<f64> {
        let partial: Vec<Vec<f64>> = self
            .data
            .par_chunks(16 * CHUNK * self.columns)
            .map(|rows| {
                let mut sums = vec![0.; self.columns];
                for row in rows.chunks_exact(self.columns) {
                    for (column, (sum, &value)) in sums.iter_mut().zip(row).enumerate() {
                        *sum += term(column, f64::from(value));
                    }
                }
                sums
            })
            .collect();
        let mut total = vec![0.; self.columns];
        for sums in partial {
            total
                .iter_mut()
                .zip(sums)
                .for_each(|(total, sum)| *total += sum);
        }
        total
    }
}

/// Divides a row by its Euclidean norm, or by 1e-12 where that is more.
pub(crate) fn normalize(row: &mut [f32]) {
    let norm = row
        .iter()
        .map(|&value| f64::from(value).powi(2))
        .sum::<f64>()
        .sqrt()
        .max(1e-12);
    row.iter_mut()
        .for_each(|value| *value = (f64::from(*value) / norm) as f32);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_and_values_are_checked() {
        assert_eq!(
            Matrix::from_vec(0, 3, vec![]),
            Err(EvalError::Empty { what: "rows" })
        );
        assert_eq!(
            Matrix::from_vec(3, 0, vec![]),
            Err(EvalError::Empty { what: "columns" })
        );
        assert_eq!(
            Matrix::from_vec(2, 2, vec![0.; 3]),
            Err(EvalError::Shape {
                found: 3,
                rows: 2,
                columns: 2
            })
        );
        assert!(Matrix::from_vec(usize::MAX, 2, vec![0.; 2]).is_err());
        let error = Matrix::from_vec(2, 2, vec![0., 0., 0., f32::INFINITY]).unwrap_err();
        assert_eq!(
            error,
            EvalError::NotFinite {
                row: 1,
                column: 1,
                value: f32::INFINITY
            }
        );
        assert!(error.to_string().contains("row 1"), "{error}");
    }

    #[test]
    fn the_product_agrees_with_a_plain_loop() {
        let left = Matrix::from_vec(300, 7, (0..2100).map(|i| (i as f32).sin()).collect()).unwrap();
        let right = Matrix::from_vec(5, 7, (0..35).map(|i| (i as f32).cos()).collect()).unwrap();
        let product = left.times_transposed(&right).unwrap();
        for row in 0..300 {
            for column in 0..5 {
                let expected: f32 = left
                    .row(row)
                    .iter()
                    .zip(right.row(column))
                    .map(|(a, b)| a * b)
                    .sum();
                assert!((product.row(row)[column] - expected).abs() < 1e-5);
            }
        }
    }

    #[test]
    fn huge_and_zero_rows_normalize() {
        let matrix = Matrix::from_vec(2, 2, vec![f32::MAX, 0., 0., 0.]).unwrap();
        assert_eq!(matrix.normalized_rows().data(), [1., 0., 0., 0.]);
        assert_eq!(
            matrix.times_transposed(&matrix),
            Err(EvalError::Overflow {
                what: "the matrix product"
            })
        );
    }

    #[test]
    fn rows_are_selected_in_order() {
        let matrix = Matrix::from_vec(3, 1, vec![1., 2., 3.]).unwrap();
        assert_eq!(matrix.select(&[2, 0, 2]).unwrap().data(), [3., 1., 3.]);
        assert_eq!(
            matrix.select(&[3]),
            Err(EvalError::Index { index: 3, rows: 3 })
        );
        assert_eq!(
            matrix.select(&[]),
            Err(EvalError::Empty { what: "indices" })
        );
    }
}
