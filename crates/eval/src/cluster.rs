//! Clusters of embeddings, and how far they agree with classes.

use rand::RngExt;
use rayon::prelude::*;

use crate::error::{EvalError, Result};
use crate::labels::Encoded;
use crate::matrix::Matrix;
use crate::product::{View, multiply_into};
use crate::sampling::generator;

/// Rows handled by one task.
const CHUNK: usize = 512;

/// How to cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KMeans {
    /// Number of clusters, clamped to the number of rows.
    pub clusters: usize,
    /// Default 100.
    pub max_iterations: usize,
    /// Of the first centers. Default 0.
    pub seed: u64,
}

impl Default for KMeans {
    fn default() -> Self {
        Self {
            clusters: 10,
            max_iterations: 100,
            seed: 0,
        }
    }
}

/// Rows in clusters.
#[derive(Clone, Debug, PartialEq)]
pub struct Clusters {
    /// For each row its cluster.
    pub assignments: Vec<u32>,
    /// The mean of each cluster, `[K, D]`.
    pub centers: Matrix,
    /// The summed squared distances of the rows from the means of their clusters.
    pub inertia: f64,
    /// Whether the last round moved no row.
    pub converged: bool,
}

impl KMeans {
    /// Clusters rows by Euclidean distance: Lloyd's rounds from centers drawn by k-means++ (Arthur and
    /// Vassilvitskii 2007). For cosine distance hand in [`Matrix::normalized_rows`]. A cluster left without rows
    /// keeps its center.
    ///
    /// # Errors
    ///
    /// If the number of clusters or of iterations is 0, or the features are so large that distances overflow.
    pub fn fit(&self, x: &Matrix) -> Result<Clusters> {
        EvalError::check_count("clusters", self.clusters)?;
        EvalError::check_count("max_iterations", self.max_iterations)?;
        let mut centers = self.first_centers(x);
        let mut nearest = assign(x, &centers);
        let mut converged = false;
        for _ in 0..self.max_iterations {
            centers = means(x, &nearest, &centers);
            let next = assign(x, &centers);
            converged = next
                .iter()
                .zip(&nearest)
                .all(|(next, before)| next.0 == before.0);
            nearest = next;
            if converged {
                break;
            }
        }
        let inertia: f64 = nearest.iter().map(|&(_, square)| square).sum();
        let overflow = EvalError::Overflow { what: "k-means" };
        if !inertia.is_finite() {
            return Err(overflow);
        }
        let centers = Matrix::from_vec(centers.len() / x.columns(), x.columns(), centers)
            .map_err(|_| overflow)?;
        Ok(Clusters {
            assignments: nearest.iter().map(|&(center, _)| center).collect(),
            centers,
            inertia,
            converged,
        })
    }

    /// Rows drawn one by one, each with a probability proportional to its squared distance from those before it.
    fn first_centers(&self, x: &Matrix) -> Vec<f32> {
        let mut generator = generator(self.seed, 0);
        let mut centers = x.row(generator.random_range(0..x.rows())).to_vec();
        let mut squares = vec![f64::INFINITY; x.rows()];
        for _ in 1..self.clusters.min(x.rows()) {
            let latest = &centers[centers.len() - x.columns()..];
            squares
                .par_iter_mut()
                .enumerate()
                .with_min_len(CHUNK)
                .for_each(|(row, square)| {
                    *square = square.min(squared_distance(x.row(row), latest));
                });
            let total: f64 = squares.iter().sum();
            let mut remaining = generator.random_range(0. ..1.) * total;
            // The last row with a distance stands in where rounding, or rows that are all alike, leave none.
            let drawn = squares.iter().position(|square| {
                remaining -= square;
                remaining < 0.
            });
            let row = drawn
                .unwrap_or_else(|| squares.iter().rposition(|&square| square > 0.).unwrap_or(0));
            centers.extend_from_slice(x.row(row));
        }
        centers
    }
}

/// For each row the nearest center, the first among equals, and the squared distance from it.
fn assign(x: &Matrix, centers: &[f32]) -> Vec<(u32, f64)> {
    let (columns, count) = (x.columns(), centers.len() / x.columns());
    let norms: Vec<f32> = centers
        .chunks_exact(columns)
        .map(|center| center.iter().map(|c| c * c).sum())
        .collect();
    let chunks = x.data().par_chunks(CHUNK * columns);
    let assigned: Vec<Vec<(u32, f64)>> = chunks
        .map(|rows| {
            let mut products = vec![0.; rows.len() / columns * count];
            multiply_into(
                &mut products,
                View::new(rows, columns),
                View::new(centers, columns).transposed(),
            );
            let rows = rows.chunks_exact(columns).zip(products.chunks_exact(count));
            rows.map(|(row, products)| {
                // ‖x − c‖² less ‖x‖², which is common to all centers.
                let score = |center: usize| norms[center] - 2. * products[center];
                let nearest = (1..count).fold(0, |best, center| {
                    if score(center) < score(best) {
                        center
                    } else {
                        best
                    }
                });
                let center = &centers[nearest * columns..(nearest + 1) * columns];
                (nearest as u32, squared_distance(row, center))
            })
            .collect()
        })
        .collect();
    assigned.into_iter().flatten().collect()
}

/// The mean of the rows of each center; the center itself where it has none.
fn means(x: &Matrix, nearest: &[(u32, f64)], centers: &[f32]) -> Vec<f32> {
    let columns = x.columns();
    // Larger chunks than elsewhere: each one has sums for all centers.
    let rows = 16 * CHUNK;
    let partial: Vec<(Vec<f64>, Vec<u64>)> = x
        .data()
        .par_chunks(rows * columns)
        .zip(nearest.par_chunks(rows))
        .map(|(data, nearest)| {
            let (mut sums, mut counts) =
                (vec![0.; centers.len()], vec![0; centers.len() / columns]);
            for (row, &(center, _)) in data.chunks_exact(columns).zip(nearest) {
                let center = center as usize;
                counts[center] += 1;
                let sums = &mut sums[center * columns..(center + 1) * columns];
                sums.iter_mut()
                    .zip(row)
                    .for_each(|(sum, &value)| *sum += f64::from(value));
            }
            (sums, counts)
        })
        .collect();
    let (mut sums, mut counts) = (vec![0.; centers.len()], vec![0; centers.len() / columns]);
    for (part, part_counts) in partial {
        sums.iter_mut()
            .zip(part)
            .for_each(|(sum, part)| *sum += part);
        counts
            .iter_mut()
            .zip(part_counts)
            .for_each(|(count, part)| *count += part);
    }
    let mean = |at: usize| match counts[at / columns] {
        0 => centers[at],
        count => (sums[at] / count as f64) as f32,
    };
    (0..centers.len()).map(mean).collect()
}

fn squared_distance(a: &[f32], b: &[f32]) -> f64 {
    a.iter()
        .zip(b)
        .map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2))
        .sum()
}

/// Normalized mutual information of two groupings, from 0 (independent) to 1 (the same): the information shared
/// over the mean of the two entropies, scikit-learn's `normalized_mutual_info_score`.
///
/// # Errors
///
/// If there are no items or the groupings differ in length.
pub fn normalized_mutual_information(a: &[u32], b: &[u32]) -> Result<f64> {
    let table = Contingency::new(a, b)?;
    let entropy = |counts: &[f64]| -> f64 {
        counts
            .iter()
            .map(|count| count / table.items)
            .map(|share| -share * share.ln())
            .sum()
    };
    let mean_entropy = 0.5 * (entropy(&table.row_sums) + entropy(&table.column_sums));
    if mean_entropy == 0. {
        // Both put everything into one group.
        return Ok(1.);
    }
    let shared = table.cells.iter().map(|&(row, column, count)| {
        count / table.items
            * (count * table.items / (table.row_sums[row] * table.column_sums[column])).ln()
    });
    Ok((shared.sum::<f64>() / mean_entropy).clamp(0., 1.))
}

/// Adjusted Rand index of two groupings: 1 for the same, about 0 for independent ones, negative for less agreement
/// than chance. Hubert and Arabie 1985; scikit-learn's `adjusted_rand_score`.
///
/// # Errors
///
/// If there are no items or the groupings differ in length.
pub fn adjusted_rand_index(a: &[u32], b: &[u32]) -> Result<f64> {
    let table = Contingency::new(a, b)?;
    let pairs = |count: f64| count * (count - 1.) / 2.;
    let together: f64 = table.cells.iter().map(|&(_, _, count)| pairs(count)).sum();
    let in_a: f64 = table.row_sums.iter().map(|&count| pairs(count)).sum();
    let in_b: f64 = table.column_sums.iter().map(|&count| pairs(count)).sum();
    let by_chance = if table.items > 1. {
        in_a * in_b / pairs(table.items)
    } else {
        0.
    };
    let most = 0.5 * (in_a + in_b);
    // Equal where both are one group, or both all singletons: the same grouping.
    Ok(if most == by_chance {
        1.
    } else {
        (together - by_chance) / (most - by_chance)
    })
}

/// How many items each pair of groups shares.
struct Contingency {
    /// Pairs that share any: group of `a`, group of `b`, items.
    cells: Vec<(usize, usize, f64)>,
    row_sums: Vec<f64>,
    column_sums: Vec<f64>,
    items: f64,
}

impl Contingency {
    fn new(a: &[u32], b: &[u32]) -> Result<Self> {
        EvalError::check_length("labels of the second grouping", b.len(), a.len())?;
        let (a, b) = (Encoded::new(a)?, Encoded::new(b)?);
        let (mut row_sums, mut column_sums) =
            (vec![0.; a.classes.len()], vec![0.; b.classes.len()]);
        let mut pairs: Vec<(usize, usize)> = a.positions.into_iter().zip(b.positions).collect();
        pairs.sort_unstable();
        for &(row, column) in &pairs {
            row_sums[row] += 1.;
            column_sums[column] += 1.;
        }
        let cells = pairs
            .chunk_by(|one, other| one == other)
            .map(|same| (same[0].0, same[0].1, same.len() as f64));
        Ok(Self {
            cells: cells.collect(),
            row_sums,
            column_sums,
            items: pairs.len() as f64,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separate_blobs_are_found() {
        let labels: Vec<u32> = (0..600).map(|row| row % 3).collect();
        let data = labels.iter().enumerate().flat_map(|(row, &label)| {
            let noise = (row as f32 * 7.3).sin() * 0.4;
            [
                label as f32 * 5. + noise,
                (label as f32 * 2.).sin() * 5. - noise,
            ]
        });
        let x = Matrix::from_vec(600, 2, data.collect()).unwrap();
        let found = KMeans {
            clusters: 3,
            ..Default::default()
        }
        .fit(&x)
        .unwrap();
        assert!(found.converged);
        assert_eq!(
            adjusted_rand_index(&found.assignments, &labels).unwrap(),
            1.
        );
        assert!(
            (normalized_mutual_information(&found.assignments, &labels).unwrap() - 1.).abs()
                < 1e-12
        );
        let by_hand: f64 = (0..600)
            .map(|row| {
                squared_distance(
                    x.row(row),
                    found.centers.row(found.assignments[row] as usize),
                )
            })
            .sum();
        assert!((found.inertia - by_hand).abs() < 1e-9);
        assert_eq!(
            found,
            KMeans {
                clusters: 3,
                ..Default::default()
            }
            .fit(&x)
            .unwrap()
        );
    }

    #[test]
    fn more_clusters_than_rows_and_rows_all_alike_are_fine() {
        let x = Matrix::from_vec(3, 1, vec![1., 5., 9.]).unwrap();
        let found = KMeans {
            clusters: 8,
            ..Default::default()
        }
        .fit(&x)
        .unwrap();
        assert_eq!((found.centers.rows(), found.inertia), (3, 0.));
        let alike = Matrix::from_vec(5, 2, vec![2.; 10]).unwrap();
        assert_eq!(
            KMeans {
                clusters: 3,
                ..Default::default()
            }
            .fit(&alike)
            .unwrap()
            .inertia,
            0.
        );
        assert!(
            KMeans {
                clusters: 0,
                ..Default::default()
            }
            .fit(&x)
            .is_err()
        );
    }

    #[test]
    fn agreement_of_small_groupings_by_hand() {
        // From scikit-learn's documentation.
        assert!(
            (adjusted_rand_index(&[0, 0, 1, 2], &[0, 0, 1, 1]).unwrap() - 0.571_428_571).abs()
                < 1e-8
        );
        assert!((adjusted_rand_index(&[0, 0, 1, 1], &[0, 1, 0, 1]).unwrap() + 0.5).abs() < 1e-12);
        assert_eq!(
            normalized_mutual_information(&[0, 0, 0, 0], &[0, 1, 2, 3]).unwrap(),
            0.
        );
        assert_eq!(normalized_mutual_information(&[4, 4], &[9, 9]).unwrap(), 1.);
        assert_eq!(adjusted_rand_index(&[3], &[7]).unwrap(), 1.);
        assert!(
            adjusted_rand_index(&[], &[]).is_err() && adjusted_rand_index(&[1], &[1, 2]).is_err()
        );
    }
}
