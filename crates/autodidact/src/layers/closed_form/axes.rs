//! The axes along which a symmetric map stretches most, by subspace iteration in 32 bits.
//!
//! For maps that are too large for all of their axes and need not be written down: only what they make of some columns is
//! asked (Halko, Martinsson & Tropp 2011). Columns lie one after the other, each whole.

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat, MatMut, MatRef, Side, get_global_parallelism};
use rand::RngExt;

use crate::error::{Error, Result};
use crate::random::Rng;

/// One axis in so many is followed beyond those that are wanted: the more, the sooner the others settle.
const SPARE: usize = 8;
/// At least so many are.
const LEAST_SPARE: usize = 16;
/// What stretches less than this part of the most is taken for rounding.
const ROUNDING: f64 = 1e-6;

/// Axes of a symmetric map and how far it stretches along each, the furthest first; only those along which it does, beyond
/// rounding.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Axes {
    /// `[count, size]`: of length 1, each at right angles to the others.
    pub vectors: Vec<f32>,
    /// `[count]`: the eigenvalues, above 0.
    pub stretches: Vec<f64>,
}

/// The `count` axes of the largest positive eigenvalues of a symmetric map of `size` numbers that takes columns
/// `[columns, size]` to as many. It is asked `rounds` times and once more. They are fewer where there are no more, or where more
/// axes of negative eigenvalues stretch as far than the few that are followed beyond `count`.
///
/// # Errors
/// When the map isn't finite.
pub fn leading_axes(
    size: usize,
    count: usize,
    rounds: usize,
    map: &dyn Fn(&[f32]) -> Vec<f32>,
    rng: &mut Rng,
) -> Result<Axes> {
    let count = count.min(size);
    if count == 0 {
        return Ok(Axes::default());
    }
    let followed = (count + (count / SPARE).max(LEAST_SPARE)).min(size);
    let first: Vec<f32> = (0..followed * size)
        .map(|_| rng.random::<f32>() - 0.5)
        .collect();
    let mut basis = orthonormal(&first, size);
    for _ in 0..rounds {
        let next = map(&basis);
        if next.iter().any(|x| !x.is_finite()) {
            return Err(trouble());
        }
        basis = orthonormal(&next, size);
    }
    best_within(&basis, &map(&basis), size, count)
}

fn trouble() -> Error {
    Error::run("counts whose products have no axes").expected("finite numbers")
}

/// The best axes within the span of a basis, of which the map made this (Rayleigh & Ritz).
fn best_within(basis: &[f32], made: &[f32], size: usize, count: usize) -> Result<Axes> {
    let followed = basis.len() / size;
    let basis = MatRef::from_column_major_slice(basis, size, followed);
    let made = MatRef::from_column_major_slice(made, size, followed);
    let inner = basis.transpose() * made;
    let inner = Mat::from_fn(followed, followed, |i, j| {
        0.5 * (f64::from(inner[(i, j)]) + f64::from(inner[(j, i)]))
    });
    if (0..followed).any(|i| (0..followed).any(|j| !inner[(i, j)].is_finite())) {
        return Err(trouble());
    }
    let axes = inner
        .self_adjoint_eigen(Side::Lower)
        .map_err(|_| trouble())?;
    // Ascending, as they come.
    let place = |rank: usize| followed - 1 - rank;
    let least = ROUNDING * axes.S()[place(0)].abs();
    let stretches: Vec<f64> = (0..count)
        .map(|rank| axes.S()[place(rank)])
        .take_while(|stretch| *stretch > least)
        .collect();
    let turn = Mat::from_fn(followed, stretches.len(), |i, rank| {
        axes.U()[(i, place(rank))] as f32
    });
    let vectors = basis * &turn;
    Ok(Axes {
        vectors: columns_of(&vectors),
        stretches,
    })
}

/// Columns of length 1 at right angles to each other that span those given; where these span less, others fill up.
fn orthonormal(columns: &[f32], size: usize) -> Vec<f32> {
    let count = columns.len() / size;
    let columns = MatRef::from_column_major_slice(columns, size, count);
    columns_of(&columns.qr().compute_thin_Q())
}

fn columns_of(of: &Mat<f32>) -> Vec<f32> {
    let mut columns = Vec::with_capacity(of.nrows() * of.ncols());
    for column in 0..of.ncols() {
        columns.extend_from_slice(of.col_as_slice(column));
    }
    columns
}

/// What a symmetric matrix `[size, size]` makes of columns `[columns, size]`.
pub fn symmetric_product(matrix: &[f32], size: usize, columns: &[f32]) -> Vec<f32> {
    let count = columns.len() / size;
    let mut product = vec![0f32; columns.len()];
    matmul(
        MatMut::from_column_major_slice_mut(&mut product, size, count),
        Accum::Replace,
        MatRef::from_column_major_slice(matrix, size, size),
        MatRef::from_column_major_slice(columns, size, count),
        1.0,
        get_global_parallelism(),
    );
    product
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Purpose, stream};

    const SIZE: usize = 90;

    /// A symmetric matrix of these eigenvalues and 0 else, with their axes.
    fn matrix(values: &[f64]) -> (Vec<f32>, Vec<f32>) {
        let mut rng = stream(1, Purpose::Synthetic, &[]);
        let random: Vec<f32> = (0..values.len() * SIZE)
            .map(|_| rng.random::<f32>() - 0.5)
            .collect();
        let axes = orthonormal(&random, SIZE);
        let mut matrix = vec![0f32; SIZE * SIZE];
        for (axis, value) in axes.chunks(SIZE).zip(values) {
            for i in 0..SIZE {
                for j in 0..SIZE {
                    matrix[i * SIZE + j] += *value as f32 * axis[i] * axis[j];
                }
            }
        }
        (matrix, axes)
    }

    fn found(matrix: &[f32], count: usize) -> Axes {
        let mut rng = stream(2, Purpose::Method, &[]);
        let map = |columns: &[f32]| symmetric_product(matrix, SIZE, columns);
        leading_axes(SIZE, count, 12, &map, &mut rng).unwrap()
    }

    #[test]
    fn the_largest_are_found_in_their_order_and_what_shrinks_is_left_out() {
        let values = [9.0, -8.0, 5.0, 3.0, 2.0, -1.0, 0.5];
        let (matrix, axes) = matrix(&values);
        let found = found(&matrix, 4);
        for (stretch, expected) in found.stretches.iter().zip([9.0, 5.0, 3.0, 2.0]) {
            assert!((stretch - expected).abs() < 1e-3, "{:?}", found.stretches);
        }
        for (vector, number) in found.vectors.chunks(SIZE).zip([0, 2, 3, 4]) {
            let axis = &axes[number * SIZE..][..SIZE];
            let along: f32 = vector.iter().zip(axis).map(|(a, b)| a * b).sum();
            assert!(along.abs() > 0.999, "{number}: {along}");
        }
    }

    #[test]
    fn there_are_no_more_axes_than_the_map_has() {
        let (matrix, _) = matrix(&[4.0, 2.0]);
        let found = found(&matrix, 8);
        assert_eq!((found.stretches.len(), found.vectors.len()), (2, 2 * SIZE));
        let nothing = self::found(&vec![0.0; SIZE * SIZE], 8);
        assert_eq!(nothing, Axes::default());
        let mut rng = stream(2, Purpose::Method, &[]);
        let infinite = |columns: &[f32]| vec![f32::NAN; columns.len()];
        assert!(leading_axes(SIZE, 2, 1, &infinite, &mut rng).is_err());
    }
}
