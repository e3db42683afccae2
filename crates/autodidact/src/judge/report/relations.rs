//! Which items are near which: neighbors, near-duplicates, outliers. By cosine, exactly.

use std::collections::BTreeMap;

use autodidact_eval::{EvalError, Matrix, knn};

use crate::error::{Error, Result};

/// Neighbors of every item.
pub(super) const NEIGHBORS: usize = 10;
/// Two items are near-duplicates where they are this many times nearer than an item and its nearest neighbor usually are.
const NEARER: f32 = 20.0;
/// Distances below this are rounding.
const ROUNDING: f32 = 5e-7;

/// The nearest neighbors of each row.
pub(super) struct Relations {
    /// Row and cosine, nearest first.
    pub(super) nearest: Vec<Vec<(usize, f32)>>,
}

/// Pairs that are nearly the same to the network.
#[derive(Debug, PartialEq)]
pub(super) struct NearDuplicates {
    /// The cosine from which on a pair counts.
    pub(super) threshold: f32,
    /// Whether that is far enough from rounding to tell pairs apart; it isn't where the representation has collapsed.
    pub(super) told: bool,
    /// Both rows, the lower first, and their cosine; nearest first.
    pub(super) pairs: Vec<(usize, usize, f32)>,
}

impl Relations {
    /// Finds them.
    ///
    /// # Errors
    /// When there are fewer than two rows.
    pub(super) fn of(features: &Matrix) -> Result<Self> {
        let unfit = |error: EvalError| Error::data("vectors that can't be compared").because(error);
        let k = NEIGHBORS.min(features.rows().saturating_sub(1)).max(1);
        Ok(Self {
            nearest: knn::neighbors_within(features, k).map_err(unfit)?,
        })
    }

    /// Pairs far nearer to each other than neighbors usually are. The measure is the data's own, since what is near to
    /// one network is far to another.
    pub(super) fn near_duplicates(&self) -> NearDuplicates {
        let first = self.nearest.iter().filter_map(|row| row.first());
        let usual = median(first.map(|&(_, cosine)| distance(cosine)).collect());
        let farthest = (usual / NEARER).max(ROUNDING);
        let mut pairs = BTreeMap::new();
        for (row, neighbors) in self.nearest.iter().enumerate() {
            for &(other, cosine) in neighbors {
                if distance(cosine) <= farthest {
                    pairs.insert((row.min(other), row.max(other)), cosine);
                }
            }
        }
        let mut pairs: Vec<_> = pairs
            .into_iter()
            .map(|((a, b), cosine)| (a, b, cosine))
            .collect();
        pairs.sort_by(|a, b| b.2.total_cmp(&a.2));
        NearDuplicates {
            threshold: 1.0 - farthest,
            told: farthest > ROUNDING,
            pairs,
        }
    }

    /// The rows farthest from their neighbors, farthest first: each with its mean distance (1 − cosine) in multiples of
    /// the usual one. None where items can't be told apart at all.
    pub(super) fn outliers(&self, count: usize) -> Vec<(usize, f32)> {
        let mean = |row: &Vec<(usize, f32)>| {
            row.iter().map(|&(_, cosine)| distance(cosine)).sum::<f32>() / row.len().max(1) as f32
        };
        let distances: Vec<f32> = self.nearest.iter().map(mean).collect();
        let usual = median(distances.clone());
        if usual <= ROUNDING {
            return Vec::new();
        }
        let mut rows: Vec<_> = distances
            .into_iter()
            .map(|d| d / usual)
            .enumerate()
            .collect();
        rows.sort_by(|a, b| b.1.total_cmp(&a.1));
        rows.truncate(count);
        rows
    }

    /// The share of neighbors that are of the same class, 0 to 1, over pairs whose classes are known.
    pub(super) fn agreement(&self, classes: &[Option<u32>]) -> Option<f64> {
        let (mut same, mut known) = (0usize, 0usize);
        for (row, neighbors) in self.nearest.iter().enumerate() {
            let Some(own) = classes[row] else { continue };
            let others = neighbors.iter().filter_map(|&(other, _)| classes[other]);
            for class in others {
                known += 1;
                same += usize::from(class == own);
            }
        }
        (known > 0).then(|| same as f64 / known as f64)
    }
}

fn distance(cosine: f32) -> f32 {
    (1.0 - cosine).max(0.0)
}

/// The middle value; 0 of none.
fn median(mut values: Vec<f32>) -> f32 {
    let middle = values.len() / 2;
    if values.is_empty() {
        return 0.0;
    }
    *values.select_nth_unstable_by(middle, f32::total_cmp).1
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Directions in the plane at these angles.
    fn directions(degrees: &[f32]) -> Matrix {
        let data = degrees
            .iter()
            .flat_map(|angle| [angle.to_radians().cos(), angle.to_radians().sin()])
            .collect();
        Matrix::from_vec(degrees.len(), 2, data).unwrap()
    }

    #[test]
    fn a_pair_far_nearer_than_usual_is_found_and_a_lonely_item_stands_out() {
        let mut degrees: Vec<f32> = (0..12).map(|i| 5.0 * i as f32).collect();
        degrees.push(10.3);
        degrees.push(170.0);
        let relations = Relations::of(&directions(&degrees)).unwrap();
        let found = relations.near_duplicates();
        let pairs: Vec<_> = found.pairs.iter().map(|&(a, b, _)| (a, b)).collect();
        assert_eq!((pairs, found.told), (vec![(2, 12)], true));
        // A twentieth of 1 − cos 5°.
        assert!(
            (1.0 - found.threshold - 0.003_805 / 20.0).abs() < 1e-5,
            "{}",
            found.threshold
        );
        let outliers = relations.outliers(3);
        assert_eq!(outliers[0].0, 13);
        assert!(outliers[0].1 > 10.0 && outliers.len() == 3);
    }

    #[test]
    fn a_collapsed_representation_has_no_outliers_and_all_are_duplicates() {
        let relations = Relations::of(&directions(&[30.0; 5])).unwrap();
        assert!(relations.outliers(3).is_empty());
        let found = relations.near_duplicates();
        assert_eq!((found.pairs.len(), found.told), (10, false));
        assert!(Relations::of(&directions(&[1.0])).is_err());
    }

    #[test]
    fn agreement_counts_neighbors_of_known_class() {
        let relations = Relations {
            nearest: vec![vec![(1, 0.9), (2, 0.8)], vec![(0, 0.9)], vec![(0, 0.8)]],
        };
        let agreement = |classes: [Option<u32>; 3]| relations.agreement(&classes);
        assert_eq!(agreement([Some(0), Some(0), Some(1)]), Some(0.5));
        assert_eq!(agreement([Some(0), Some(0), None]), Some(1.0));
        assert_eq!(agreement([None; 3]), None);
    }
}
