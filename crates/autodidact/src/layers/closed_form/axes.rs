//! The axes along which a symmetric map stretches most, by subspace iteration in 32 bits.
//!
//! For maps that are too large for all of their axes and need not be written down: only what they make of some columns is
//! asked (Halko, Martinsson & Tropp 2011). Columns lie one after the other, each whole.
//!
//! Wanted are axes of positive eigenvalues λ, but a map M also makes long what it turns around. So every second round takes the
//! columns u to M·u + σ·u in place of M·u, with −σ the lowest eigenvalue that the second round meets. Two rounds make an axis
//! λ·(λ + σ) times as long: between −σ and 0 that is σ²/4 at most, no more than at 0.21·σ. Of a map without negative
//! eigenvalues, σ is 0, and all rounds are alike.

use autodidact_kernels::{Activation, linear};
use burn::tensor::{Tensor, TensorData};
use faer::{Mat, MatRef, Side};
use rand::RngExt;

use crate::error::{Error, Result};
use crate::layers::state::host;
use crate::random::Rng;

/// One axis in so many is followed beyond those that are wanted: the more, the sooner the others settle.
const SPARE: usize = 8;
/// At least so many are.
const LEAST_SPARE: usize = 16;
/// What is less than this part of the most is taken for rounding.
const ROUNDING: f64 = 1e-6;

/// What takes columns to as many.
type OnColumns<'a> = dyn Fn(&[f32]) -> Vec<f32> + 'a;

/// The map C·K of columns, with C and K symmetric and K without negative eigenvalues: it is symmetric by the inner product
/// uᵀ·K·v.
pub struct SymmetricMap<'a> {
    /// How many numbers a column has.
    pub size: usize,
    /// C·x of columns x, `[columns, size]`.
    pub map: &'a OnColumns<'a>,
    /// K·x of columns x, `[columns, size]`; where there is none, the inner product is the plain one, uᵀ·v.
    pub inner: Option<&'a OnColumns<'a>>,
}

impl SymmetricMap<'_> {
    /// K·u and C·K·u of columns u.
    fn ask(&self, columns: &[f32]) -> Result<[Vec<f32>; 2]> {
        let seen = match self.inner {
            Some(inner) => inner(columns),
            None => columns.to_vec(),
        };
        let made = (self.map)(&seen);
        match seen.iter().chain(&made).all(|x| x.is_finite()) {
            true => Ok([seen, made]),
            false => Err(trouble()),
        }
    }
}

/// Axes of a symmetric map and how far it stretches along each, the furthest first; only those along which it does, beyond
/// rounding.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Axes {
    /// `[count, size]`: by the map's inner product of length 1, each at right angles to the others.
    pub vectors: Vec<f32>,
    /// `[count]`: the eigenvalues, above 0.
    pub stretches: Vec<f64>,
}

/// The `count` axes of the largest positive eigenvalues of a symmetric map, which is asked `rounds` times and once more. They
/// are fewer where there are no more. Some of the last may be missing, or lesser ones stand in their place, where the wanted
/// eigenvalues go down to less than a fifth of the lowest negative one, and after few rounds to about half of it.
///
/// # Errors
/// When the map isn't finite.
pub fn leading_axes(
    map: &SymmetricMap<'_>,
    count: usize,
    rounds: usize,
    rng: &mut Rng,
) -> Result<Axes> {
    let size = map.size;
    let count = count.min(size);
    if count == 0 {
        return Ok(Axes::default());
    }
    let followed = (count + (count / SPARE).max(LEAST_SPARE)).min(size);
    let mut basis: Vec<f32> = (0..followed * size)
        .map(|_| rng.random::<f32>() - 0.5)
        .collect();
    let mut shift = 0.0;
    for round in 0..rounds {
        let [seen, mut made] = map.ask(&basis)?;
        if round == 1 {
            shift = Ritz::new(&basis, &seen, &made, size)?.below_zero() as f32;
        }
        if round % 2 == 1 {
            for (made, own) in made.iter_mut().zip(&basis) {
                *made += shift * own;
            }
        }
        basis = orthonormal(&made, size);
    }
    let [seen, made] = map.ask(&basis)?;
    Ok(Ritz::new(&basis, &seen, &made, size)?.axes(&basis, size, count))
}

fn trouble() -> Error {
    Error::run("counts whose products have no axes").expected("finite numbers")
}

/// The best axes within the span of a basis (Rayleigh & Ritz), in 64 bits.
struct Ritz {
    /// `[found]`: the eigenvalues, ascending.
    stretches: Vec<f64>,
    /// `[columns of the basis, found]`: how much of each column is in each axis.
    turn: Mat<f64>,
}

impl Ritz {
    /// Of a basis u, K·u and C·K·u. The basis need not be orthonormal by the inner product, nor independent.
    fn new(basis: &[f32], seen: &[f32], made: &[f32], size: usize) -> Result<Self> {
        let [basis, seen, made] = [basis, seen, made].map(|columns| doubles(columns, size));
        let followed = basis.ncols();
        let products = basis.transpose() * &seen;
        let lengths = products
            .self_adjoint_eigen(Side::Lower)
            .map_err(|_| trouble())?;
        // Ascending, as they come: along the first of them, the inner product sees nothing of the basis.
        let least = ROUNDING * lengths.S()[followed - 1].max(0.0);
        let unseen = (0..followed)
            .take_while(|&rank| lengths.S()[rank] <= least)
            .count();
        let independent = Mat::from_fn(followed, followed - unseen, |i, rank| {
            lengths.U()[(i, unseen + rank)] / lengths.S()[unseen + rank].sqrt()
        });
        if unseen == followed {
            return Ok(Self {
                stretches: Vec::new(),
                turn: independent,
            });
        }
        let inner = independent.transpose() * (seen.transpose() * &made) * &independent;
        let axes = inner
            .self_adjoint_eigen(Side::Lower)
            .map_err(|_| trouble())?;
        Ok(Self {
            stretches: (0..inner.nrows()).map(|rank| axes.S()[rank]).collect(),
            turn: &independent * axes.U(),
        })
    }

    /// How far below 0 the lowest eigenvalue is.
    fn below_zero(&self) -> f64 {
        self.stretches.first().map_or(0.0, |low| (-low).max(0.0))
    }

    /// The `count` furthest, as columns.
    fn axes(&self, basis: &[f32], size: usize, count: usize) -> Axes {
        let most = self
            .stretches
            .iter()
            .fold(0.0, |most: f64, stretch| most.max(stretch.abs()));
        let furthest = self.stretches.iter().rev().take(count);
        let stretches: Vec<f64> = furthest
            .copied()
            .take_while(|stretch| *stretch > ROUNDING * most)
            .collect();
        let [followed, found] = [self.turn.nrows(), self.turn.ncols()];
        let turn = Mat::from_fn(followed, stretches.len(), |i, rank| {
            self.turn[(i, found - 1 - rank)] as f32
        });
        let basis = MatRef::from_column_major_slice(basis, size, followed);
        Axes {
            vectors: columns_of(&(basis * &turn)),
            stretches,
        }
    }
}

fn doubles(columns: &[f32], size: usize) -> Mat<f64> {
    Mat::from_fn(size, columns.len() / size, |i, column| {
        f64::from(columns[column * size + i])
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

/// What a symmetric matrix `[size, size]` makes of columns `[columns, size]`: a linear layer without inputs of its own.
pub fn symmetric_product(matrix: &Tensor<2>, columns: &[f32]) -> Vec<f32> {
    if columns.is_empty() {
        return Vec::new();
    }
    let size = matrix.dims()[0];
    let columns = TensorData::new(columns.to_vec(), [columns.len() / size, size]);
    let columns = Tensor::<2>::from_data(columns, &matrix.device());
    host(linear(columns, matrix.clone(), None, Activation::None))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::init::tests_device;
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
        found_by(None, matrix, count)
    }

    fn found_by(inner: Option<&OnColumns<'_>>, matrix: &[f32], count: usize) -> Axes {
        let matrix = TensorData::new(matrix.to_vec(), [SIZE, SIZE]);
        let matrix = Tensor::<2>::from_data(matrix, &tests_device());
        let map = |columns: &[f32]| symmetric_product(&matrix, columns);
        let map = SymmetricMap {
            size: SIZE,
            map: &map,
            inner,
        };
        leading_axes(&map, count, 12, &mut stream(2, Purpose::Method, &[])).unwrap()
    }

    fn along(vector: &[f32], axis: &[f32]) -> f32 {
        vector.iter().zip(axis).map(|(a, b)| a * b).sum()
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
            let along = along(vector, &axes[number * SIZE..][..SIZE]);
            assert!(along.abs() > 0.999, "{number}: {along}");
        }
    }

    /// 40 axes are followed for 24; of the 40 that are stretched furthest, 20 are turned around.
    #[test]
    fn axes_that_are_turned_around_crowd_no_others_out() {
        let size = |rank: usize| 8.0 * 2f64.powf(-(rank as f64) / 16.0);
        let values: Vec<f64> = (0..40).flat_map(|rank| [size(rank), -size(rank)]).collect();
        let (matrix, axes) = matrix(&values);
        let found = found(&matrix, 24);
        assert_eq!(found.stretches.len(), 24);
        for (rank, stretch) in found.stretches.iter().enumerate() {
            let expected = size(rank);
            assert!((stretch / expected - 1.0).abs() < 1e-2, "{rank}: {stretch}");
            let vector = &found.vectors[rank * SIZE..][..SIZE];
            let along = along(vector, &axes[2 * rank * SIZE..][..SIZE]);
            assert!(along.abs() > 0.99, "{rank}: {along}");
        }
    }

    /// With K = diag(k) and C = K^(−½)·M·K^(−½), C·K stretches K^(−½)·v as far as M does v.
    #[test]
    fn an_inner_product_says_what_is_long_and_at_right_angles() {
        let (matrix, axes) = matrix(&[6.0, -5.0, 4.0, 2.0]);
        let root = |at: usize| (1.0 + (at % 4) as f32).sqrt();
        let inner = |columns: &[f32]| -> Vec<f32> {
            let places = columns.iter().enumerate();
            places.map(|(at, x)| root(at % SIZE).powi(2) * x).collect()
        };
        let scaled: Vec<f32> = (matrix.iter().enumerate())
            .map(|(at, value)| value / (root(at / SIZE) * root(at % SIZE)))
            .collect();
        let found = found_by(Some(&inner), &scaled, 3);
        for (stretch, expected) in found.stretches.iter().zip([6.0, 4.0, 2.0]) {
            assert!((stretch - expected).abs() < 1e-3, "{:?}", found.stretches);
        }
        assert_eq!(found.vectors.len(), 3 * SIZE);
        for (vector, number) in found.vectors.chunks(SIZE).zip([0, 2, 3]) {
            let vector: Vec<f32> = (0..SIZE).map(|i| root(i) * vector[i]).collect();
            let along = along(&vector, &axes[number * SIZE..][..SIZE]);
            assert!((along.abs() - 1.0).abs() < 1e-3, "{number}: {along}");
        }
    }

    #[test]
    fn there_are_no_more_axes_than_the_map_has() {
        let (matrix, _) = matrix(&[4.0, 2.0]);
        let found = found(&matrix, 8);
        assert_eq!((found.stretches.len(), found.vectors.len()), (2, 2 * SIZE));
        let nothing = self::found(&vec![0.0; SIZE * SIZE], 8);
        assert_eq!(nothing, Axes::default());
        let unseen = |columns: &[f32]| vec![0f32; columns.len()];
        assert_eq!(found_by(Some(&unseen), &matrix, 8), Axes::default());
        let infinite = |columns: &[f32]| vec![f32::NAN; columns.len()];
        let map = SymmetricMap {
            size: SIZE,
            map: &infinite,
            inner: None,
        };
        assert!(leading_axes(&map, 2, 1, &mut stream(2, Purpose::Method, &[])).is_err());
    }
}
