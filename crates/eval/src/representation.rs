//! Measures of a representation that need no labels (LiDAR: only which rows are views of one item).
//!
//! They rank checkpoints and settings of one method; between methods they do not compare.

use std::ops::RangeInclusive;

use rayon::prelude::*;

use crate::error::{EvalError, Result};
use crate::labels::Encoded;
use crate::matrix::Matrix;
use crate::product::{View, multiply_into};
use crate::spectrum::{dot, gram, gram_eigenvalues};

/// Rows whose distances are taken at once.
const BLOCK: usize = 256;
/// Added to the shares of the singular values, as in the RankMe paper for `f32`.
const RANK_EPSILON: f64 = 1e-7;
/// Added to the within-item covariance, as in the LiDAR paper (δ).
const WITHIN_EPSILON: f64 = 1e-4;
/// Added to the shares of LiDAR's eigenvalues, as in the paper (ε).
const LIDAR_EPSILON: f64 = 1e-8;

/// RankMe, the effective rank: exp of the entropy of the singular values' shares, from 1 (collapse) to
/// min(rows, columns).
///
/// p = σ / Σσ + 1e-7, exp(−Σ p log p), of the embeddings as they are, neither centered nor normalized. Garrido et
/// al. 2023, "RankMe: Assessing the Downstream Performance of Pretrained Self-Supervised Representations by Their
/// Rank" (arXiv:2210.02885), which takes 25,600 rows. Rows of zeros alone have rank 0.
///
/// ```
/// # use autodidact_eval::{Matrix, representation::rankme};
/// let diagonal = Matrix::from_vec(2, 2, vec![2., 0., 0., 1.])?;
/// assert!((rankme(&diagonal) - 1.88988).abs() < 1e-5);
/// # Ok::<(), autodidact_eval::EvalError>(())
/// ```
pub fn rankme(x: &Matrix) -> f64 {
    let squares = gram_eigenvalues(x.rows(), x.columns(), |row, column| {
        f64::from(x.row(row)[column])
    });
    let singular: Vec<f64> = squares.iter().map(|square| square.sqrt()).collect();
    effective_rank(&singular, RANK_EPSILON)
}

fn effective_rank(values: &[f64], epsilon: f64) -> f64 {
    let sum: f64 = values.iter().sum();
    if sum == 0. {
        return 0.;
    }
    let shares = values.iter().map(|value| value / sum + epsilon);
    (-shares.map(|share| share * share.ln()).sum::<f64>()).exp()
}

/// The spread of the dimensions and what it would be without collapse.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DimensionStd {
    /// The standard deviation of each dimension of the L2-normalized rows, averaged over the dimensions.
    pub mean: f64,
    /// 1/√D, that of directions spread evenly; collapse is 0.
    pub even: f64,
}

/// How evenly the normalized rows spread over the dimensions: the collapse monitor of Chen and He 2021, "Exploring
/// Simple Siamese Representation Learning" (arXiv:2011.10566), section 4.1.
///
/// # Errors
///
/// If there is a single row.
pub fn dimension_std(x: &Matrix) -> Result<DimensionStd> {
    at_least(x, 2)?;
    let x = x.normalized_rows();
    let means = x.column_means();
    let sums = x.column_sums(|column, value| (value - means[column]).powi(2));
    let deviations = sums.iter().map(|sum| (sum / (x.rows() - 1) as f64).sqrt());
    let columns = x.columns() as f64;
    Ok(DimensionStd {
        mean: deviations.sum::<f64>() / columns,
        even: 1. / columns.sqrt(),
    })
}

/// Alignment E‖x − y‖² of normalized rows, row *i* of `x` and of `y` being views of one item: from 0 (views agree)
/// to 4 (antipodal).
///
/// Wang and Isola 2020, "Understanding Contrastive Representation Learning through Alignment and Uniformity on the
/// Hypersphere" (arXiv:2005.10242), α = 2.
///
/// # Errors
///
/// If the shapes differ.
pub fn alignment(x: &Matrix, y: &Matrix) -> Result<f64> {
    x.check_columns(y)?;
    EvalError::check_length("rows", y.rows(), x.rows())?;
    let (x, y) = (x.normalized_rows(), y.normalized_rows());
    let squares = x
        .data()
        .iter()
        .zip(y.data())
        .map(|(&x, &y)| (f64::from(x) - f64::from(y)).powi(2));
    Ok(squares.sum::<f64>() / x.rows() as f64)
}

/// Uniformity log E exp(−2‖x − y‖²) over all pairs of distinct normalized rows: from 0 (collapse) down to about −4
/// (orthogonal pairs; −8 for two antipodal rows). The cost grows with the square of the rows; a few thousand do.
///
/// Wang and Isola 2020, as [`alignment`], t = 2.
///
/// # Errors
///
/// If there is a single row.
pub fn uniformity(x: &Matrix) -> Result<f64> {
    at_least(x, 2)?;
    let x = x.normalized_rows();
    let (rows, columns) = (x.rows(), x.columns());
    // The norms are 1, but for rows of zeros.
    let square = |row: &[f32]| {
        row.iter()
            .map(|&value| f64::from(value).powi(2))
            .sum::<f64>()
    };
    let squares: Vec<f64> = (0..rows).map(|row| square(x.row(row))).collect();
    let block_sum = |block: usize| {
        let first = block * BLOCK;
        let length = BLOCK.min(rows - first);
        let left = View::new(
            &x.data()[first * columns..(first + length) * columns],
            columns,
        );
        let mut products = vec![0.; length * BLOCK];
        let mut sum = 0.;
        for start in (first..rows).step_by(BLOCK) {
            let width = BLOCK.min(rows - start);
            let right = View::new(
                &x.data()[start * columns..(start + width) * columns],
                columns,
            );
            multiply_into(&mut products[..length * width], left, right.transposed());
            for (row, products) in (first..).zip(products[..length * width].chunks_exact(width)) {
                for (column, &product) in
                    (start..).zip(products).filter(|&(column, _)| column > row)
                {
                    let distance = squares[row] + squares[column] - 2. * f64::from(product);
                    sum += (-2. * distance.max(0.)).exp();
                }
            }
        }
        sum
    };
    let sums: Vec<f64> = (0..rows.div_ceil(BLOCK))
        .into_par_iter()
        .map(block_sum)
        .collect();
    let pairs = rows as f64 * (rows - 1) as f64 / 2.;
    Ok((sums.iter().sum::<f64>() / pairs).ln())
}

/// α-ReQ: the decay exponent α of the covariance's eigenvalues, λ(i) ∝ i^−α, near 1 for good representations.
///
/// The slope is fitted to log λ against log i over the given ranks (from 1), rank *i* weighted 1/*i* so that each
/// octave counts alike (Stringer et al. 2019); ranks past the spectrum or without variance are left out. Agrawal et
/// al. 2022, "α-ReQ: Assessing Representation Quality in Self-Supervised Learning by Measuring Eigenspectrum
/// Decay".
///
/// # Errors
///
/// If fewer than two ranks remain to fit a line to.
pub fn alpha_req(x: &Matrix, ranks: RangeInclusive<usize>) -> Result<f64> {
    let means = x.column_means();
    let eigenvalues = gram_eigenvalues(x.rows(), x.columns(), |row, column| {
        f64::from(x.row(row)[column]) - means[column]
    });
    // Below this an eigenvalue is the rounding of the largest one.
    let floor = eigenvalues[0] * f64::EPSILON * eigenvalues.len() as f64;
    let points: Vec<(f64, f64, f64)> = (1_usize..)
        .zip(&eigenvalues)
        .filter(|&(rank, &eigenvalue)| ranks.contains(&rank) && eigenvalue > floor)
        .map(|(rank, eigenvalue)| ((rank as f64).ln(), eigenvalue.ln(), 1. / rank as f64))
        .collect();
    if points.len() < 2 {
        let (found, expected) = (points.len() as f64, "two ranks with variance at least");
        return Err(EvalError::Setting {
            name: "number of ranks to fit",
            found,
            expected,
        });
    }
    let mean = |term: fn(&(f64, f64, f64)) -> f64| {
        points
            .iter()
            .map(|point| point.2 * term(point))
            .sum::<f64>()
            / points.iter().map(|point| point.2).sum::<f64>()
    };
    let (x_mean, y_mean) = (mean(|point| point.0), mean(|point| point.1));
    let covariance = mean(|point| point.0 * point.1) - x_mean * y_mean;
    let variance = mean(|point| point.0 * point.0) - x_mean * x_mean;
    Ok(-covariance / variance)
}

/// LiDAR: the effective rank of what separates items, measured against how views of one item scatter; from 0
/// to (items − 1).
///
/// The eigenvalues of (Σ_within + 1e-4 I)^−½ Σ_between (…)^−½ enter exp of the entropy of their shares, as in
/// [`rankme`]. `items` names for each row the item it is a view of; the paper takes 1,000 items with 50 views each.
/// Thilak et al. 2023, "LiDAR: Sensing Linear Probing Performance in Joint Embedding SSL Architectures"
/// (arXiv:2312.04000).
///
/// # Errors
///
/// If the items are not one per row or there is one only.
pub fn lidar(x: &Matrix, items: &[u32]) -> Result<f64> {
    EvalError::check_length("items", items.len(), x.rows())?;
    let encoded = Encoded::new(items)?;
    if let [class] = encoded.classes[..] {
        return Err(EvalError::OneClass { class });
    }
    let (width, members) = (x.columns(), encoded.members());
    let mut means: Vec<Vec<f64>> = members
        .iter()
        .map(|members| {
            let mut mean = vec![0.; width];
            for &row in members {
                mean.iter_mut()
                    .zip(x.row(row))
                    .for_each(|(mean, &value)| *mean += f64::from(value));
            }
            mean.iter_mut()
                .for_each(|mean| *mean /= members.len() as f64);
            mean
        })
        .collect();

    let positions = &encoded.positions;
    let mut within = gram(x.rows(), width, |row, column| {
        f64::from(x.row(row)[column]) - means[positions[row]][column]
    });
    within
        .iter_mut()
        .for_each(|entry| *entry /= x.rows() as f64);
    within
        .iter_mut()
        .step_by(width + 1)
        .for_each(|entry| *entry += WITHIN_EPSILON);
    if !cholesky(&mut within, width) {
        return Err(EvalError::Overflow {
            what: "LiDAR's within-item covariance",
        });
    }

    let center: Vec<f64> = (0..width)
        .map(|column| means.iter().map(|mean| mean[column]).sum::<f64>() / means.len() as f64)
        .collect();
    // L⁻¹ Σ_between L⁻ᵀ has the eigenvalues of the symmetric form in the paper, for any L Lᵀ = Σ_within.
    means.par_iter_mut().for_each(|mean| {
        mean.iter_mut()
            .zip(&center)
            .for_each(|(mean, center)| *mean -= center);
        for row in 0..width {
            let known = dot(&within[row * width..row * width + row], &mean[..row]);
            mean[row] = (mean[row] - known) / within[row * width + row];
        }
    });
    let eigenvalues = gram_eigenvalues(means.len(), width, |item, column| means[item][column]);
    Ok(effective_rank(&eigenvalues, LIDAR_EPSILON))
}

/// Replaces the lower triangle by that of L in L Lᵀ; false where the matrix is not positive definite.
fn cholesky(matrix: &mut [f64], size: usize) -> bool {
    for row in 0..size {
        let (above, current) = matrix.split_at_mut(row * size);
        for column in 0..row {
            let other = &above[column * size..column * size + column + 1];
            current[column] =
                (current[column] - dot(&other[..column], &current[..column])) / other[column];
        }
        let pivot = current[row] - dot(&current[..row], &current[..row]);
        if pivot.is_nan() || pivot <= 0. {
            return false;
        }
        current[row] = pivot.sqrt();
    }
    true
}

fn at_least(x: &Matrix, expected: usize) -> Result<()> {
    if x.rows() < expected {
        Err(EvalError::FewRows {
            found: x.rows(),
            expected,
        })
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(rows: usize, columns: usize, entry: impl Fn(usize, usize) -> f32) -> Matrix {
        let data = (0..rows * columns)
            .map(|at| entry(at / columns, at % columns))
            .collect();
        Matrix::from_vec(rows, columns, data).unwrap()
    }

    fn identity(size: usize) -> Matrix {
        matrix(size, size, |row, column| f32::from(u8::from(row == column)))
    }

    #[test]
    fn rankme_of_known_spectra() {
        assert!((rankme(&identity(8)) - 8.).abs() < 1e-4);
        assert!((rankme(&matrix(100, 16, |row, _| row as f32)) - 1.).abs() < 1e-3);
        assert_eq!(rankme(&matrix(4, 4, |_, _| 0.)), 0.);
        // Wide and tall have the same singular values.
        let wide = matrix(5, 40, |row, column| ((row * 40 + column) as f32).sin());
        let tall = matrix(40, 5, |row, column| ((column * 40 + row) as f32).sin());
        assert!((rankme(&wide) - rankme(&tall)).abs() < 1e-6);
    }

    #[test]
    fn rankme_does_not_take_rounding_for_rank() {
        // Rank 2 in 256 dimensions: with the Gram matrix in f32 this comes out above 2.5.
        let x = matrix(2000, 256, |row, column| {
            let (a, b) = (
                ((row * 37) % 101) as f32 - 50.,
                ((row * 53) % 103) as f32 - 51.,
            );
            a * ((column % 7) as f32 - 3.) + b * ((column % 5) as f32 - 2.)
        });
        assert!(rankme(&x) < 2.01, "{}", rankme(&x));
    }

    #[test]
    fn alignment_and_uniformity_of_known_directions() {
        let (e, opposite) = (
            identity(4),
            matrix(4, 4, |row, column| -f32::from(u8::from(row == column))),
        );
        assert_eq!(alignment(&e, &e).unwrap(), 0.);
        assert!((alignment(&e, &opposite).unwrap() - 4.).abs() < 1e-12);
        assert!((uniformity(&e).unwrap() + 4.).abs() < 1e-9);
        let poles = Matrix::from_vec(2, 1, vec![3., -1.]).unwrap();
        assert!((uniformity(&poles).unwrap() + 8.).abs() < 1e-9);
    }

    #[test]
    fn uniformity_is_that_of_the_plain_loop() {
        let x = matrix(600, 5, |row, column| {
            ((row * 5 + column) as f32 * 1.3).sin()
        });
        let n = x.normalized_rows();
        let mut sum = 0.;
        for a in 0..600 {
            for b in 0..a {
                let distance: f64 = n
                    .row(a)
                    .iter()
                    .zip(n.row(b))
                    .map(|(a, b)| f64::from(a - b).powi(2))
                    .sum();
                sum += (-2. * distance).exp();
            }
        }
        assert!((uniformity(&x).unwrap() - (sum / (600. * 599. / 2.)).ln()).abs() < 1e-6);
    }

    #[test]
    fn dimension_std_tells_spread_from_collapse() {
        let spread = matrix(64, 32, |row, column| match (row / 2 == column, row % 2) {
            (true, 0) => 2.,
            (true, _) => -2.,
            _ => 0.,
        });
        let found = dimension_std(&spread).unwrap();
        assert!(
            (found.mean - found.even * (64_f64 / 63.).sqrt()).abs() < 1e-6
                && found.even == 1. / 32_f64.sqrt()
        );
        assert!(dimension_std(&matrix(10, 4, |_, _| 1.)).unwrap().mean < 1e-9);
        assert!(dimension_std(&matrix(1, 4, |_, _| 1.)).is_err());
    }

    #[test]
    fn alpha_req_finds_the_exponent_of_a_power_law() {
        let x = matrix(200, 100, |row, column| {
            let deviation = ((column + 1) as f32).powf(-0.75);
            if row / 2 == column {
                if row % 2 == 0 { deviation } else { -deviation }
            } else {
                0.
            }
        });
        for ranks in [1..=100, 3..=50, 5..=usize::MAX] {
            assert!((alpha_req(&x, ranks).unwrap() - 1.5).abs() < 1e-5);
        }
        assert!(alpha_req(&x, 5..=5).is_err());
        assert!(alpha_req(&matrix(5, 3, |_, _| 1.), 1..=10).is_err());
    }

    #[test]
    fn lidar_of_orthonormal_items_is_one_less_than_their_number() {
        let x = matrix(24, 12, |row, column| f32::from(u8::from(row / 3 == column)));
        let items: Vec<u32> = (0..24).map(|row| row / 3).collect();
        assert!((lidar(&x, &items).unwrap() - 7.).abs() < 1e-4);
        assert!(matches!(
            lidar(&x, &[3; 24]),
            Err(EvalError::OneClass { class: 3 })
        ));
    }

    #[test]
    fn lidar_discounts_directions_in_which_views_scatter() {
        // Items differ alike in two directions, but in the second their views scatter ten times as far.
        let x = |scatter: f32| {
            matrix(400, 2, |row, column| {
                let (item, view) = ((row / 4) as f32, (row % 4) as f32 - 1.5);
                let noise =
                    [0.1, 0.1 * scatter][column] * view * if row / 4 % 2 == 0 { 1. } else { -1. };
                (item * [1.3, 2.9][column]).sin() + noise
            })
        };
        let items: Vec<u32> = (0..400).map(|row| row / 4).collect();
        let (even, uneven) = (
            lidar(&x(1.), &items).unwrap(),
            lidar(&x(10.), &items).unwrap(),
        );
        assert!(uneven < even, "{uneven} {even}");
    }
}
