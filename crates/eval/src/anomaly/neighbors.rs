//! How far items are from the nearest known ones: the plainest detector among embeddings, and hard to beat.
//!
//! The mean distance to the k nearest neighbors (Angiulli and Pizzuti 2002), Euclidean; of rows of length 1 it orders as
//! the cosine does.

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
    let (bank, queries) = (Points::new(bank, &origin), Points::new(queries, &origin));
    Ok(mean_distances(&bank, &queries, k, 0))
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
    Ok(mean_distances(&points, &points, k, apart))
}

/// Where `apart` is not 0, query and bank are the same, and rows less far from each other than that are no neighbors.
fn mean_distances(bank: &Points, queries: &Points, k: usize, apart: usize) -> Vec<f64> {
    let count = bank.rows();
    let chunk = (HELD / count).clamp(1, 64);
    let mut scores = vec![0.; queries.rows()];
    scores
        .par_chunks_mut(chunk)
        .enumerate()
        .for_each_init(Vec::new, |squares, (at, scores)| {
            let first = at * chunk;
            squares.resize(scores.len() * count, 0.);
            queries.squared_distances(first..first + scores.len(), bank, squares);
            for (offset, (score, squares)) in scores
                .iter_mut()
                .zip(squares.chunks_exact_mut(count))
                .enumerate()
            {
                let query = first + offset;
                let mut others = count;
                if apart > 0 {
                    // What is too near goes to the end, where it is not looked at.
                    let near = query.saturating_sub(apart - 1)..(query + apart).min(count);
                    others -= near.len();
                    squares.copy_within(near.end.., near.start);
                }
                let others = &mut squares[..others];
                let k = k.min(others.len());
                if k < others.len() {
                    others.select_nth_unstable_by(k - 1, f64::total_cmp);
                }
                *score = others[..k].iter().map(|square| square.sqrt()).sum::<f64>() / k as f64;
            }
        });
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
    }
}
