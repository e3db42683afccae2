//! The Gaussian kernel among the rows that a machine learns from.

use std::collections::{HashMap, VecDeque};
use std::ops::Deref;
use std::sync::{Arc, Mutex, PoisonError};

use rayon::prelude::*;

use crate::euclidean::Points;
use crate::matrix::Matrix;

/// Rows of the kernel computed by one task.
const CHUNK: usize = 64;
/// Entries kept in memory: 512 MiB of `f32`, which holds the whole kernel of 11,585 rows.
pub(super) const KEPT: usize = 1 << 27;

/// scikit-learn's `gamma="scale"`: 1 / (columns x variance of all entries), 1 where nothing varies.
pub(super) fn scale(features: &Matrix) -> f64 {
    let count = features.data().len() as f64;
    let mean = features.column_sums(|_, value| value).iter().sum::<f64>() / count;
    let squares = features.column_sums(|_, value| (value - mean).powi(2));
    let variance = squares.iter().sum::<f64>() / count;
    let gamma = 1. / (features.columns() as f64 * variance);
    if gamma.is_finite() { gamma } else { 1. }
}

/// exp(−γ |a − b|²) of all pairs of points, held in `f32` as LIBSVM holds it: whole where it fits, else the rows in use.
pub(super) struct Kernel {
    points: Points,
    gamma: f64,
    store: Store,
}

enum Store {
    Whole(Vec<f32>),
    Rows(Mutex<Kept>),
}

/// The rows computed last.
struct Kept {
    rows: HashMap<usize, Arc<[f32]>>,
    order: VecDeque<usize>,
    limit: usize,
}

/// One row of the kernel.
pub(super) enum Row<'a> {
    Borrowed(&'a [f32]),
    Shared(Arc<[f32]>),
}

impl Deref for Row<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match self {
            Self::Borrowed(row) => row,
            Self::Shared(row) => row,
        }
    }
}

impl Kernel {
    /// The kernel among points, of which at most `kept` entries are held at once.
    pub(super) fn new(points: Points, gamma: f64, kept: usize) -> Self {
        let count = points.rows();
        let store = if count.saturating_mul(count) <= kept {
            Store::Whole(whole(&points, gamma))
        } else {
            Store::Rows(Mutex::new(Kept {
                rows: HashMap::new(),
                order: VecDeque::new(),
                limit: (kept / count).max(2),
            }))
        };
        Self {
            points,
            gamma,
            store,
        }
    }

    /// The kernel of one point with all.
    pub(super) fn row(&self, index: usize) -> Row<'_> {
        let count = self.points.rows();
        let kept = match &self.store {
            Store::Whole(entries) => {
                return Row::Borrowed(&entries[index * count..(index + 1) * count]);
            }
            Store::Rows(kept) => kept,
        };
        // A row that another thread left half-stored is whole or absent, so that a poisoned lock is as good as any.
        let lock = || kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(row) = lock().rows.get(&index) {
            return Row::Shared(Arc::clone(row));
        }
        let mut distances = vec![0.; count];
        self.points
            .squared_distances(index..index + 1, &self.points, &mut distances);
        let row: Arc<[f32]> = distances
            .iter()
            .map(|&distance| similarity(self.gamma, distance) as f32)
            .collect();
        let mut kept = lock();
        if kept.rows.insert(index, Arc::clone(&row)).is_none() {
            kept.order.push_back(index);
        }
        if kept.order.len() > kept.limit
            && let Some(oldest) = kept.order.pop_front()
        {
            kept.rows.remove(&oldest);
        }
        Row::Shared(row)
    }
}

pub(super) fn similarity(gamma: f64, squared_distance: f64) -> f64 {
    (-gamma * squared_distance).exp()
}

fn whole(points: &Points, gamma: f64) -> Vec<f32> {
    let count = points.rows();
    let mut entries = vec![0.; count * count];
    entries
        .par_chunks_mut(CHUNK * count)
        .enumerate()
        .for_each_init(
            || vec![0.; CHUNK.min(count) * count],
            |distances, (chunk, out)| {
                let distances = &mut distances[..out.len()];
                let first = chunk * CHUNK;
                points.squared_distances(first..first + out.len() / count, points, distances);
                for (out, &mut distance) in out.iter_mut().zip(distances) {
                    *out = similarity(gamma, distance) as f32;
                }
            },
        );
    entries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_kept_one_by_one_are_those_of_the_whole() {
        let data = (0..300).map(|i| (i as f32 * 0.37).sin()).collect();
        let features = Matrix::from_vec(100, 3, data).unwrap();
        let origin = features.column_means();
        let kernel = |kept| Kernel::new(Points::new(&features, &origin), 0.8, kept);
        let (all, some) = (kernel(KEPT), kernel(500));
        for index in [0, 99, 3, 3, 0, 50, 51, 52, 53, 54, 55, 0] {
            let (whole, alone) = (all.row(index), some.row(index));
            let naive = |other: usize| {
                let pairs = features.row(index).iter().zip(features.row(other));
                (-0.8 * pairs.map(|(a, b)| f64::from(a - b).powi(2)).sum::<f64>()).exp()
            };
            for other in 0..100 {
                assert!((f64::from(whole[other]) - naive(other)).abs() < 1e-6);
                assert!((whole[other] - alone[other]).abs() < 1e-6);
            }
        }
        let Store::Rows(kept) = some.store else {
            panic!("500 entries hold no 100 rows")
        };
        let kept = kept.into_inner().unwrap();
        assert_eq!((kept.rows.len(), kept.order.len()), (5, 5));
    }

    #[test]
    fn the_scale_is_one_over_columns_times_variance() {
        let features = Matrix::from_vec(2, 2, vec![1., 3., 5., 7.]).unwrap();
        assert!((scale(&features) - 1. / (2. * 5.)).abs() < 1e-12);
        let constant = Matrix::from_vec(2, 2, vec![3.; 4]).unwrap();
        assert_eq!(scale(&constant), 1.);
    }
}
