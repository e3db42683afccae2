//! Clusters of the judged items, found without labels, and how far they agree with the classes.

use autodidact_eval::Matrix;
use autodidact_eval::cluster::{KMeans, adjusted_rand_index, normalized_mutual_information};

use super::{Score, Tasks};
use crate::error::Result;
use crate::judge::protocol::unfit;

/// Starts of k-means, of which the tightest clusters are taken.
const STARTS: u64 = 5;
/// The adjusted Rand index of the two groupings that agree least (Chacón and Rastrojo 2023).
const LEAST_RAND: f64 = -0.5;

impl Tasks<'_> {
    pub(super) fn cluster(&self, items: &Matrix, clusters: usize) -> Result<Vec<Score>> {
        let directions = items.normalized_rows();
        let mut tightest = None;
        for start in 0..STARTS {
            let settings = KMeans {
                clusters,
                seed: self.seed.wrapping_add(start),
                ..KMeans::default()
            };
            let found = settings.fit(&directions).map_err(unfit)?;
            if tightest
                .as_ref()
                .is_none_or(|(inertia, _)| found.inertia < *inertia)
            {
                tightest = Some((found.inertia, found.assignments));
            }
        }
        let groups = tightest.map(|(_, groups)| groups).unwrap_or_default();
        let (nmi, ari) = (normalized_mutual_information, adjusted_rand_index);
        Ok(vec![
            self.agreement(["clusters", "nmi"], &groups, 0.0, nmi)?,
            self.agreement(["clusters", "ari"], &groups, LEAST_RAND, ari)?,
        ])
    }
}
