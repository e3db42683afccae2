//! How far items are from the nearest known ones: the plainest detector among embeddings, and hard to beat.
//!
//! The mean distance to the k nearest neighbors (Angiulli and Pizzuti 2002), Euclidean; of rows of length 1 it orders as
//! the cosine does.

use std::ops::Range;

use rayon::prelude::*;

use crate::error::{EvalError, Result};
use crate::euclidean::Points;
use crate::matrix::Matrix;

/// Distances held by one task.
const HELD: usize = 1 << 20;

/// The mean distance of each query to the `k` nearest rows of the bank; `k` is clamped to its rows.
///
/// # Shapes
///
/// Bank `[N, D]`, queries `[M, D]`: M scores.
///
/// # Errors
///
/// If the columns differ or `k` is 0.
pub fn distances(bank: &Matrix, queries: &Matrix, k: usize) -> Result<Vec<f64>> {
    bank.check_columns(queries)?;
    EvalError::check_count("number of neighbors", k)?;
    let origin = bank.column_means();
    let all = 0..queries.rows();
    let (bank, queries) = (Points::new(bank, &origin), Points::new(queries, &origin));
    let count = bank.rows();
    Ok(mean_distances(&bank, &queries, all, k, |_| {
        [0..count, count..count]
    }))
}

/// The mean distance of each row to the `k` nearest others that are `apart` rows away at least: 1 for any other row, the
/// number of windows that share a step where rows are overlapping windows of one series, each of which would otherwise
/// have its own shadow as nearest neighbor.
///
/// # Errors
///
/// If `k` or `apart` is 0, or some row has no row so far away.
pub fn distances_within(bank: &Matrix, k: usize, apart: usize) -> Result<Vec<f64>> {
    EvalError::check_count("number of neighbors", k)?;
    EvalError::check_count("rows apart", apart)?;
    // The rows in the middle have the fewest others: those beyond `apart` on the longer side.
    if bank.rows() / 2 < apart {
        return Err(EvalError::FewRows {
            found: bank.rows(),
            expected: apart.saturating_mul(2),
        });
    }
    let points = Points::new(bank, &bank.column_means());
    let count = bank.rows();
    Ok(mean_distances(&points, &points, 0..count, k, |row| {
        [
            0..(row + 1).saturating_sub(apart),
            (row + apart).min(count)..count,
        ]
    }))
}

/// The mean distance of each row from `first` on to the `k` nearest of the `span` rows that end `apart` rows before it: how
/// unlike the recent past each step of a series is, where what is usual changes with time. `apart` is as in
/// [`distances_within`].
///
/// # Shapes
///
/// Rows `[T, D]`: T − `first` scores.
///
/// # Errors
///
/// If `k`, `apart` or `span` is 0, or `first` is less than `apart`, so that nothing comes before it.
pub fn distances_before(
    rows: &Matrix,
    first: usize,
    k: usize,
    apart: usize,
    span: usize,
) -> Result<Vec<f64>> {
    EvalError::check_count("number of neighbors", k)?;
    EvalError::check_count("rows apart", apart)?;
    EvalError::check_count("rows before", span)?;
    if first < apart {
        return Err(EvalError::FewRows {
            found: first,
            expected: apart,
        });
    }
    let points = Points::new(rows, &rows.column_means());
    let queries = first.min(points.rows())..points.rows();
    Ok(mean_distances(&points, &points, queries, k, |row| {
        let end = row + 1 - apart;
        [end.saturating_sub(span)..end, end..end]
    }))
}

/// The mean distance of some rows to the `k` nearest of those in one or the other of the ranges that `allowed` tells for a
/// row; both move on with the row, if at all.
fn mean_distances(
    bank: &Points,
    queries: &Points,
    rows: Range<usize>,
    k: usize,
    allowed: impl Fn(usize) -> [Range<usize>; 2] + Sync,
) -> Vec<f64> {
    let chunk = (HELD / bank.rows()).clamp(1, 64);
    let mut scores = vec![0.; rows.len()];
    let score_chunk = |squares: &mut Vec<f64>, (at, scores): (usize, &mut [f64])| {
        let first = rows.start + at * chunk;
        let last = first + scores.len() - 1;
        let ends = [allowed(first), allowed(last)];
        let from = ends[0].iter().map(|range| range.start).min().unwrap_or(0);
        let to = ends[1].iter().map(|range| range.end).max().unwrap_or(from);
        let width = to - from;
        squares.resize(scores.len() * width, 0.);
        queries.squared_distances_to(first..last + 1, bank, from..to, squares);
        for (offset, (score, squares)) in scores
            .iter_mut()
            .zip(squares.chunks_exact_mut(width))
            .enumerate()
        {
            // Those that are allowed come to the front; what is behind them is not looked at.
            let mut others = 0;
            for range in allowed(first + offset) {
                squares.copy_within(range.start - from..range.end - from, others);
                others += range.len();
            }
            let others = &mut squares[..others];
            let k = k.min(others.len());
            if k < others.len() {
                others.select_nth_unstable_by(k - 1, f64::total_cmp);
            }
            *score = others[..k].iter().map(|square| square.sqrt()).sum::<f64>() / k as f64;
        }
    };
    scores
        .par_chunks_mut(chunk)
        .enumerate()
        .for_each_init(Vec::new, score_chunk);
    scores
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(rows: usize, step: f32) -> Matrix {
        let data = (0..rows * 3).map(|i| 5. + (i as f32 * step).sin());
        Matrix::from_vec(rows, 3, data.collect()).unwrap()
    }

    fn naive(bank: &Matrix, query: &[f32], k: usize, allowed: impl Fn(usize) -> bool) -> f64 {
        let mut all: Vec<f64> = (0..bank.rows())
            .filter(|&row| allowed(row))
            .map(|row| {
                let pairs = bank.row(row).iter().zip(query);
                let squares = pairs.map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2));
                squares.sum::<f64>().sqrt()
            })
            .collect();
        all.sort_by(f64::total_cmp);
        all.truncate(k);
        all.iter().sum::<f64>() / all.len() as f64
    }

    #[test]
    fn distances_are_those_of_the_plain_loop() {
        let (bank, queries) = (wave(150, 0.731), wave(80, 0.417));
        for k in [1, 5, 150, 1000] {
            let found = distances(&bank, &queries, k).unwrap();
            for (row, found) in found.iter().enumerate() {
                let expected = naive(&bank, queries.row(row), k, |_| true);
                assert!((found - expected).abs() < 1e-9);
            }
        }
        for (k, apart) in [(1, 1), (4, 10), (200, 75), (3, 2)] {
            let found = distances_within(&bank, k, apart).unwrap();
            for (row, found) in found.iter().enumerate() {
                let far = |other: usize| other.abs_diff(row) >= apart;
                assert!((found - naive(&bank, bank.row(row), k, far)).abs() < 1e-9);
            }
        }
        for (first, k, apart, span) in [(1, 1, 1, 1), (10, 4, 10, 30), (75, 3, 2, 1000)] {
            let found = distances_before(&bank, first, k, apart, span).unwrap();
            assert_eq!(found.len(), 150 - first);
            for (row, found) in (first..).zip(&found) {
                let before = |other: usize| other + apart <= row && row < other + apart + span;
                assert!((found - naive(&bank, bank.row(row), k, before)).abs() < 1e-9);
            }
        }
        assert!(distances_before(&bank, 150, 1, 1, 1).unwrap().is_empty());
    }

    #[test]
    fn a_row_of_the_bank_has_no_distance_and_a_stranger_has() {
        let bank = wave(50, 0.3);
        let found = distances(&bank, &bank, 1).unwrap();
        assert!(found.iter().all(|&score| score < 1e-6));
        let stranger = Matrix::from_vec(1, 3, vec![50., 5., 5.]).unwrap();
        assert!(distances(&bank, &stranger, 3).unwrap()[0] > 40.);
    }

    #[test]
    fn wrong_input_is_refused() {
        let bank = wave(10, 0.3);
        let narrow = Matrix::from_vec(1, 1, vec![0.]).unwrap();
        assert!(distances(&bank, &narrow, 1).is_err() && distances(&bank, &bank, 0).is_err());
        assert!(distances_within(&bank, 1, 5).is_ok());
        assert!(distances_within(&bank, 1, 6).is_err());
        assert!(distances_within(&bank, 1, 0).is_err() && distances_within(&bank, 0, 1).is_err());
        assert!(distances_within(&narrow, 1, 1).is_err());
        assert!(distances_before(&bank, 2, 1, 3, 5).is_err());
        assert!(distances_before(&bank, 2, 1, 1, 0).is_err());
    }
}
