//! Wide features seen from a few of their own rows.

use std::ops::Range;

use rayon::prelude::*;

use crate::error::{EvalError, Result};
use crate::matrix::Matrix;

/// What is left of a row, as a part of its length, when it is one of those before it but for rounding.
const NOTHING: f64 = 1e-5;

/// The rows in orthonormal coordinates of the space that `most` of those in `fit` span at most, evenly taken, around their
/// mean; unchanged where they have no more columns than that.
///
/// A ridge regression that is fitted to `fit` finds the same in these coordinates as in the rows themselves where all of
/// `fit` is taken, since its solution lies in their span (the representer theorem), and nearly the same where many are;
/// its cost no longer grows with the square of the width.
///
/// # Shapes
///
/// `[N, D]` gives `[N, r]` with r at most `most`, or `[N, D]` where D is; where all of `fit` are one, `[N, 1]` of zeros.
///
/// # Errors
///
/// If `fit` is empty or not among the rows, or `most` is 0.
pub fn onto_span(rows: &Matrix, fit: &Range<usize>, most: usize) -> Result<Matrix> {
    EvalError::check_count("number of rows that span", most)?;
    EvalError::check_stretches("what is fitted to", std::slice::from_ref(fit), rows.rows())?;
    if rows.columns() <= most {
        return Ok(rows.clone());
    }
    let taken = most.min(fit.len());
    let places: Vec<usize> = (0..taken)
        .map(|at| fit.start + at * fit.len() / taken)
        .collect();
    let spanning = rows.select(&places)?;
    let mean = spanning.column_means();
    let centered = |row: &[f32]| -> Vec<f64> {
        let pairs = row.iter().zip(&mean);
        pairs
            .map(|(&value, mean)| f64::from(value) - mean)
            .collect()
    };
    // Gram and Schmidt, each row twice: once leaves rounding behind.
    let mut basis: Vec<Vec<f64>> = Vec::with_capacity(taken);
    for place in 0..taken {
        let mut row = centered(spanning.row(place));
        let length = norm(&row);
        for _ in 0..2 {
            let shares: Vec<f64> = basis.par_iter().map(|other| dot(other, &row)).collect();
            row.par_chunks_mut(512)
                .enumerate()
                .for_each(|(chunk, row)| {
                    for (other, share) in basis.iter().zip(&shares) {
                        let other = &other[chunk * 512..][..row.len()];
                        row.iter_mut()
                            .zip(other)
                            .for_each(|(value, other)| *value -= share * other);
                    }
                });
        }
        let left = norm(&row);
        if left > NOTHING * length && left > 0. {
            row.iter_mut().for_each(|value| *value /= left);
            basis.push(row);
        }
    }
    if basis.is_empty() {
        // Rows that are all one span nothing: all lie at its origin.
        return Matrix::from_vec(rows.rows(), 1, vec![0.; rows.rows()]);
    }
    let (columns, width) = (rows.columns(), basis.len());
    let offsets: Vec<f64> = basis
        .par_iter()
        .map(|direction| dot(direction, &mean))
        .collect();
    let directions = basis.into_iter().flatten().map(|value| value as f32);
    let directions = Matrix::from_vec(width, columns, directions.collect())?;
    let mut seen = rows.times_transposed(&directions)?.into_data();
    seen.par_chunks_mut(width).for_each(|row| {
        row.iter_mut()
            .zip(&offsets)
            .for_each(|(value, offset)| *value = (f64::from(*value) - offset) as f32);
    });
    Matrix::from_vec(rows.rows(), width, seen)
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    crate::spectrum::dot(a, b)
}

fn norm(row: &[f64]) -> f64 {
    dot(row, row).sqrt()
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::*;
    use crate::sampling::generator;

    /// Rows of which the second half depends on the first.
    fn rows(count: usize, columns: usize) -> Matrix {
        let mut generator = generator(3, 0);
        let mut data: Vec<f32> = Vec::new();
        for _ in 0..count {
            let row: Vec<f32> = (0..columns)
                .map(|_| generator.random_range(-1.0..3.0))
                .collect();
            data.extend(row);
        }
        Matrix::from_vec(count, columns, data).unwrap()
    }

    #[test]
    fn distances_between_rows_of_the_span_stay() {
        let rows = rows(40, 300);
        let seen = onto_span(&rows, &(5..30), 64).unwrap();
        assert_eq!((seen.rows(), seen.columns()), (40, 24));
        let distance = |matrix: &Matrix, a: usize, b: usize| {
            let pairs = matrix.row(a).iter().zip(matrix.row(b));
            pairs.map(|(a, b)| (a - b).powi(2)).sum::<f32>().sqrt()
        };
        for (a, b) in [(5, 29), (7, 8), (20, 11)] {
            let (before, after) = (distance(&rows, a, b), distance(&seen, a, b));
            assert!((before - after).abs() < 1e-3 * before, "{before} {after}");
        }
        // A row outside the span has less of its length in it.
        assert!(distance(&seen, 0, 35) < distance(&rows, 0, 35));
        let fewer = onto_span(&rows, &(5..30), 10).unwrap();
        assert_eq!(fewer.columns(), 9);
    }

    #[test]
    fn narrow_rows_stay_and_what_can_not_be_is_refused() {
        let narrow = rows(10, 4);
        assert_eq!(onto_span(&narrow, &(0..10), 4).unwrap(), narrow);
        let rows = rows(10, 30);
        assert!(onto_span(&rows, &(0..11), 4).is_err());
        assert!(onto_span(&rows, &(3..3), 4).is_err());
        assert!(onto_span(&rows, &(0..10), 0).is_err());
        let alike = Matrix::from_vec(5, 30, vec![2.; 150]).unwrap();
        let seen = onto_span(&alike, &(0..5), 4).unwrap();
        assert_eq!((seen.columns(), seen.data()), (1, &[0.; 5][..]));
    }

    #[test]
    fn threads_do_not_change_a_bit() {
        let rows = rows(60, 700);
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| onto_span(&rows, &(0..40), 32).unwrap())
        };
        assert_eq!(run(1), run(3));
    }
}
