//! Squared Euclidean distances between rows, by products of matrices.
//!
//! |a − b|² = |a|² + |b|² − 2 a·b loses digits where rows lie far from the origin and near to each other. So the rows
//! are moved to a common origin first, the mean of one side say, and everything is in `f64`: what is lost then is about
//! 1e-15 of the spread of the rows.

use std::ops::Range;

use rayon::prelude::*;

use crate::matrix::Matrix;
use crate::product::{View, multiply_into};

/// Rows as points around an origin.
#[derive(Clone, Debug)]
pub(crate) struct Points {
    data: Vec<f64>,
    /// The squared length of each.
    squares: Vec<f64>,
    columns: usize,
}

impl Points {
    /// The rows of a matrix as seen from `origin`, which has one number per column.
    pub(crate) fn new(rows: &Matrix, origin: &[f64]) -> Self {
        let columns = rows.columns();
        let mut data = vec![0.; rows.data().len()];
        data.par_chunks_mut(columns)
            .zip(rows.data().par_chunks(columns))
            .with_min_len(64)
            .for_each(|(out, row)| {
                for ((out, &value), origin) in out.iter_mut().zip(row).zip(origin) {
                    *out = f64::from(value) - origin;
                }
            });
        let squares = data
            .par_chunks(columns)
            .with_min_len(64)
            .map(|row| row.iter().map(|value| value * value).sum())
            .collect();
        Self {
            data,
            squares,
            columns,
        }
    }

    pub(crate) fn rows(&self) -> usize {
        self.squares.len()
    }

    /// The squared distances of some of these points to all `others`, a row each; none is below 0.
    pub(crate) fn squared_distances(&self, rows: Range<usize>, others: &Self, out: &mut [f64]) {
        self.squared_distances_to(rows, others, 0..others.rows(), out);
    }

    /// The squared distances of some of these points to some `others`, a row each; none is below 0.
    pub(crate) fn squared_distances_to(
        &self,
        rows: Range<usize>,
        others: &Self,
        among: Range<usize>,
        out: &mut [f64],
    ) {
        let floats = |rows: &Range<usize>| rows.start * self.columns..rows.end * self.columns;
        multiply_into(
            out,
            View::new(&self.data[floats(&rows)], self.columns),
            View::new(&others.data[floats(&among)], others.columns).transposed(),
        );
        let squares = &others.squares[among];
        for (out, square) in out.chunks_exact_mut(squares.len()).zip(&self.squares[rows]) {
            for (value, other) in out.iter_mut().zip(squares) {
                *value = (square + other - 2. * *value).max(0.);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_far_from_the_origin_are_those_of_the_plain_loop() {
        let wave = |rows: usize, step: f32| {
            let data = (0..rows * 3).map(|i| 1000. + (i as f32 * step).sin());
            Matrix::from_vec(rows, 3, data.collect()).unwrap()
        };
        let (left, right) = (wave(7, 0.7), wave(5, 0.3));
        let origin = right.column_means();
        let (points, others) = (Points::new(&left, &origin), Points::new(&right, &origin));
        let mut found = vec![0.; 3 * 5];
        points.squared_distances(2..5, &others, &mut found);
        for row in 0..3 {
            for other in 0..5 {
                let pairs = left.row(2 + row).iter().zip(right.row(other));
                let naive: f64 = pairs
                    .map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2))
                    .sum();
                assert!((found[row * 5 + other] - naive).abs() < 1e-12);
            }
        }
    }
}
