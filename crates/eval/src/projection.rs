//! Maps of embeddings: from many dimensions to few, so that a person can look.
//!
//! Principal components by orthogonal iteration (Golub and Van Loan 2013, "Matrix Computations", section 8.2.4), and
//! t-SNE (van der Maaten and Hinton 2008, "Visualizing Data using t-SNE"; Barnes-Hut: van der Maaten 2014), begun from
//! the first two of them (Kobak and Berens 2019, "The art of using t-SNE for single-cell transcriptomics"), which keeps
//! what is far apart far apart and makes the map repeatable.

use bhtsne::{Neighbor, tSNE};
use rand::RngExt;
use rayon::prelude::*;

use crate::error::{EvalError, Result};
use crate::matrix::Matrix;
use crate::sampling::generator;
use crate::spectrum::gram;

/// Rounds of orthogonal iteration: neighboring components that are still mixed then differ by little in variance.
const ROUNDS: usize = 24;
/// Fewer rows than this are shown by their principal components: they have no neighborhoods to keep.
const FEW: usize = 12;
/// How coarsely far points are taken together, as in the Barnes-Hut paper.
const THETA: f32 = 0.5;
/// Deviation of the map at its start: small, so that the forces are those of points that can still pass each other.
const START: f32 = 1e-4;

/// How a map is drawn.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TsneSettings {
    /// How many neighbors a point keeps near, about; at most a third of the rows.
    pub perplexity: f64,
    /// Steps of gradient descent, the first 250 of them exaggerated.
    pub iterations: usize,
    /// Decides what is drawn.
    pub seed: u64,
}

impl Default for TsneSettings {
    fn default() -> Self {
        Self {
            perplexity: 30.,
            iterations: 750,
            seed: 0,
        }
    }
}

/// The rows along the `count` directions in which they vary most, centered; largest variance first.
///
/// # Shapes
///
/// `[N, D]` gives `[N, min(count, D)]`.
///
/// # Errors
///
/// If `count` is 0 or a component is too large for `f32`.
pub fn principal_components(x: &Matrix, count: usize, seed: u64) -> Result<Matrix> {
    EvalError::check_count("number of components", count)?;
    let (rows, columns) = (x.rows(), x.columns());
    let count = count.min(columns);
    let mut mean = vec![0.; columns];
    for row in x.data().chunks_exact(columns) {
        mean.iter_mut()
            .zip(row)
            .for_each(|(mean, &value)| *mean += f64::from(value) / rows as f64);
    }
    let centered = |row: usize, column: usize| f64::from(x.row(row)[column]) - mean[column];
    let covariance = gram(rows, columns, centered);
    let mut random = generator(seed, 0x70_63_61);
    let mut basis: Vec<Vec<f64>> = (0..count)
        .map(|_| (0..columns).map(|_| random.random::<f64>() - 0.5).collect())
        .collect();
    orthonormalize(&mut basis);
    for _ in 0..ROUNDS {
        basis.par_iter_mut().for_each(|direction| {
            *direction = covariance
                .chunks_exact(columns)
                .map(|row| dot(row, direction))
                .collect();
        });
        orthonormalize(&mut basis);
    }
    let data = (0..rows)
        .into_par_iter()
        .flat_map_iter(|row| {
            let row: Vec<f64> = (0..columns).map(|column| centered(row, column)).collect();
            basis
                .iter()
                .map(move |direction| dot(&row, direction) as f32)
                .collect::<Vec<_>>()
        })
        .collect();
    Matrix::from_vec(rows, count, data).map_err(|_| EvalError::Overflow {
        what: "a principal component",
    })
}

/// A map of the rows in the plane on which near rows (by Euclidean distance) are near; one point a row. The same rows
/// and settings give the same map, whatever the number of threads.
///
/// # Errors
///
/// If the rows are too large for `f32`.
pub fn tsne(x: &Matrix, settings: &TsneSettings) -> Result<Vec<[f32; 2]>> {
    let start = principal_components(x, 2, settings.seed)?;
    let flat: Vec<[f32; 2]> = (0..x.rows())
        .map(|row| match start.row(row) {
            [x, y, ..] => [*x, *y],
            [x] => [*x, 0.],
            [] => [0., 0.],
        })
        .collect();
    if x.rows() < FEW {
        return Ok(flat);
    }
    let perplexity = settings
        .perplexity
        .clamp(1., ((x.rows() - 1) / 3) as f64 - 0.01) as f32;
    let neighbors = nearest(x, ((3. * perplexity) as usize).clamp(1, x.rows() - 1));
    let data: Vec<&[f32]> = (0..x.rows()).map(|row| x.row(row)).collect();
    let begin = begin(&flat, settings.seed);
    let fit = || {
        let mut tsne: tSNE<'_, f32, &[f32], 2> = tSNE::new(&data);
        tsne.perplexity(perplexity)
            .epochs(settings.iterations)
            .initial_embedding(begin)
            .barnes_hut_with_neighbors(THETA, &neighbors);
        tsne.embedding()
    };
    // bhtsne's sums depend on how its work was shared out, and a thousand steps make a different map of the last bit.
    let map = match rayon::ThreadPoolBuilder::new().num_threads(1).build() {
        Ok(alone) => alone.install(fit),
        Err(_) => fit(),
    };
    if map.iter().any(|value| !value.is_finite()) {
        // Rows that are all the same have no map; their components at least are numbers.
        return Ok(flat);
    }
    Ok(map
        .chunks_exact(2)
        .map(|point| [point[0], point[1]])
        .collect())
}

/// The principal components scaled down, and stirred a little so that equal rows can part.
fn begin(flat: &[[f32; 2]], seed: u64) -> Vec<f32> {
    let spread = flat.iter().map(|point| point[0].powi(2)).sum::<f32>() / flat.len() as f32;
    let scale = START / spread.sqrt().max(1e-12);
    let mut random = generator(seed, 0x74_73_6e_65);
    flat.iter()
        .flatten()
        .map(|value| value * scale + START * 0.01 * (random.random::<f32>() - 0.5))
        .collect()
}

/// The `k` rows nearest to each, nearest first, with their distances.
fn nearest(x: &Matrix, k: usize) -> Vec<Vec<Neighbor<f32>>> {
    let of_row = |row: usize| {
        let own = x.row(row);
        let mut others: Vec<Neighbor<f32>> = (0..x.rows())
            .filter(|&index| index != row)
            .map(|index| {
                let squares = own.iter().zip(x.row(index)).map(|(a, b)| (a - b).powi(2));
                Neighbor {
                    index,
                    distance: squares.sum::<f32>().sqrt(),
                }
            })
            .collect();
        let order = |a: &Neighbor<f32>, b: &Neighbor<f32>| {
            a.distance
                .total_cmp(&b.distance)
                .then(a.index.cmp(&b.index))
        };
        if k < others.len() {
            others.select_nth_unstable_by(k, order);
            others.truncate(k);
        }
        others.sort_unstable_by(order);
        others
    };
    (0..x.rows()).into_par_iter().map(of_row).collect()
}

/// Gram-Schmidt, twice, since once loses orthogonality where directions are nearly parallel. A direction in which
/// nothing is left becomes zero.
fn orthonormalize(basis: &mut [Vec<f64>]) {
    for at in 0..basis.len() {
        let (before, rest) = basis.split_at_mut(at);
        let own = &mut rest[0];
        let length = dot(own, own).sqrt();
        for _ in 0..2 {
            for other in before.iter() {
                let along = dot(own, other);
                own.iter_mut()
                    .zip(other)
                    .for_each(|(value, other)| *value -= along * other);
            }
        }
        let left = dot(own, own).sqrt();
        let scale = if left > 1e-12 * length {
            left.recip()
        } else {
            0.
        };
        own.iter_mut().for_each(|value| *value *= scale);
    }
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three clouds of 20 points in five dimensions, at the corners of a triangle.
    fn clouds() -> Matrix {
        let mut random = generator(7, 1);
        let data = (0..60)
            .flat_map(|row| {
                (0..5)
                    .map(|column| {
                        let corner = if column == row / 20 { 10. } else { 0. };
                        corner + random.random::<f32>()
                    })
                    .collect::<Vec<_>>()
            })
            .collect();
        Matrix::from_vec(60, 5, data).unwrap()
    }

    #[test]
    fn components_are_the_axes_of_an_ellipse() {
        // Along (3, 4)/5 the points stand 2, 1, −1, −2 apart; along (−4, 3)/5 ±0.1. The mean is (1, 2).
        let along = [(2., 0.1), (1., -0.1), (-1., -0.1), (-2., 0.1)];
        let data = along
            .iter()
            .flat_map(|(a, b)| [1. + 0.6 * a - 0.8 * b, 2. + 0.8 * a + 0.6 * b])
            .collect();
        let components =
            principal_components(&Matrix::from_vec(4, 2, data).unwrap(), 5, 3).unwrap();
        assert_eq!((components.rows(), components.columns()), (4, 2));
        let signs = [0, 1].map(|column| components.row(0)[column].signum());
        for (row, (a, b)) in along.iter().enumerate() {
            let [x, y] = [0, 1].map(|column| components.row(row)[column] * signs[column]);
            assert!((x - a).abs() < 1e-4 && (y - b).abs() < 1e-4, "{x} {y}");
        }
    }

    #[test]
    fn components_explain_what_the_eigenvalues_say() {
        let x = clouds();
        let components = principal_components(&x, 5, 0).unwrap();
        let variance = |matrix: &Matrix, column: usize| {
            let values: Vec<f64> = (0..matrix.rows())
                .map(|row| f64::from(matrix.row(row)[column]))
                .collect();
            let mean = values.iter().sum::<f64>() / values.len() as f64;
            values
                .iter()
                .map(|value| (value - mean).powi(2))
                .sum::<f64>()
        };
        let mean: Vec<f64> = (0..5)
            .map(|column| {
                (0..60)
                    .map(|row| f64::from(x.row(row)[column]))
                    .sum::<f64>()
                    / 60.
            })
            .collect();
        let eigenvalues = crate::spectrum::gram_eigenvalues(60, 5, |row, column| {
            f64::from(x.row(row)[column]) - mean[column]
        });
        // Those that nearly coincide may be mixed; the sum of the leading two may not.
        let leading: f64 = (0..2).map(|column| variance(&components, column)).sum();
        let expected: f64 = eigenvalues[..2].iter().sum();
        assert!(
            (leading / expected - 1.).abs() < 1e-4,
            "{leading} {expected}"
        );
        let all: f64 = (0..5).map(|column| variance(&components, column)).sum();
        assert!((all / eigenvalues.iter().sum::<f64>() - 1.).abs() < 1e-4);
    }

    #[test]
    fn clouds_stay_apart_and_the_map_repeats_itself() {
        let settings = TsneSettings {
            perplexity: 8.,
            iterations: 400,
            seed: 1,
        };
        let map = tsne(&clouds(), &settings).unwrap();
        assert_eq!(map, tsne(&clouds(), &settings).unwrap());
        // Every point's nearest point is of its own cloud.
        for (row, [x, y]) in map.iter().enumerate() {
            let distance = |other: usize| (map[other][0] - x).powi(2) + (map[other][1] - y).powi(2);
            let nearest = (0..60)
                .filter(|&other| other != row)
                .min_by(|&a, &b| distance(a).total_cmp(&distance(b)));
            assert_eq!(nearest.map(|other| other / 20), Some(row / 20));
        }
    }

    #[test]
    fn collapsed_and_tiny_data_have_finite_maps() {
        for rows in [1, 2, 5, 11, 12, 40] {
            for columns in [1, 3] {
                let same = Matrix::from_vec(rows, columns, vec![0.5; rows * columns]).unwrap();
                let map = tsne(&same, &TsneSettings::default()).unwrap();
                assert_eq!(map.len(), rows);
                assert!(map.iter().flatten().all(|value| value.is_finite()));
            }
        }
    }
}
