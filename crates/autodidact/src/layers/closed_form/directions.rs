//! The directions that two views of an item share.
//!
//! Of all linear maps of given features, which does self-supervision look for? With T the covariance of the features over
//! all views and B that between two views of an item, the directions u with B·u = λ·T·u are those along which items differ
//! by 1 and the two views of an item correlate by λ. The best of them minimize the spectral contrastive loss (HaoChen,
//! Wei, Gaidon & Ma 2021), and span what linear VICReg and SimCLR converge to (Balestriero & LeCun 2022). No step size, no
//! negatives, no schedule: two matrices are summed up, and one eigenproblem is solved.

use faer::linalg::triangular_solve::{
    solve_lower_triangular_in_place, solve_upper_triangular_in_place,
};
use faer::{Mat, MatRef, Side, get_global_parallelism};
use rand::RngExt;

use crate::error::{Error, Result};
use crate::random::Rng;

/// Up to this many features, all directions are computed and the best are taken.
const WHOLE: usize = 768;
/// How often the ridge may become ten times what was asked for.
const STRONGER: i32 = 4;
/// Directions followed beyond those that are wanted, as a part of them: the more, the sooner the others settle.
const SPARE: f64 = 0.5;

/// What was summed up over pairs of views: means of features and of their products.
#[derive(Debug, Clone, Copy)]
pub struct Moments<'a> {
    /// `[size]`: the mean.
    pub mean: &'a [f32],
    /// `[size, size]`: the mean of f·fᵀ over all views.
    pub total: &'a [f32],
    /// `[size, size]`: the mean of f·gᵀ over pairs of views (f, g) of one item, in either order or one.
    pub between: &'a [f32],
}

/// Directions, the most shared first.
#[derive(Debug, Clone, PartialEq)]
pub struct Directions {
    /// `[count, size]`: the features along each have a variance of 1.
    pub vectors: Vec<f32>,
    /// `[count]`: the correlation of two views along each, 0 to 1.
    pub strengths: Vec<f32>,
}

/// The `count` directions that views share most. `ridge` times the mean variance is added to each feature's variance, so
/// that directions along which hardly anything varies don't count. `start` are directions to begin from, `[_, size]`, such
/// as those of an earlier call; `rounds` of subspace iteration follow where the features are many.
///
/// # Errors
/// When the moments aren't finite.
pub fn shared_directions(
    moments: Moments<'_>,
    ridge: f64,
    count: usize,
    rounds: usize,
    start: Option<&[f32]>,
    rng: &mut Rng,
) -> Result<Directions> {
    let size = moments.mean.len();
    let count = count.min(size);
    let mean = |i: usize| f64::from(moments.mean[i]);
    let at = |of: &[f32], i: usize, j: usize| f64::from(of[i * size + j]);
    let mut total = Mat::from_fn(size, size, |i, j| {
        at(moments.total, i, j) - mean(i) * mean(j)
    });
    let between = Mat::from_fn(size, size, |i, j| {
        0.5 * (at(moments.between, i, j) + at(moments.between, j, i)) - mean(i) * mean(j)
    });
    let variance = (0..size).map(|i| total[(i, i)]).sum::<f64>() / size.max(1) as f64;
    let trouble = || {
        Error::run("features whose moments have no directions")
            .expected("finite numbers that vary between items")
    };
    if !variance.is_finite() {
        return Err(trouble());
    }
    // Where nothing varies at all, any direction is as good.
    let floor = ridge * variance.max(1e-12);
    // Sums of 32 bits over fewer items than there are features may lie below zero by more than a small ridge.
    let mut added = 0.0;
    let root = (0..STRONGER).find_map(|times| {
        let wanted = floor * 10f64.powi(times);
        for i in 0..size {
            total[(i, i)] += wanted - added;
        }
        added = wanted;
        total.llt(Side::Lower).ok()
    });
    let root = root.ok_or_else(trouble)?;
    let space = Space {
        root: root.L(),
        between: between.as_ref(),
    };
    let (vectors, strengths) = if size <= WHOLE {
        space.whole().ok_or_else(trouble)?
    } else {
        let followed = count + ((SPARE * count as f64) as usize).max(16);
        let first = space.first(followed.min(size), start, rng);
        space.followed(first, rounds).ok_or_else(trouble)?
    };
    // Ascending, as they come.
    let last = vectors.ncols();
    let place = |rank: usize| last - 1 - rank;
    Ok(Directions {
        vectors: (0..count * size)
            .map(|k| vectors[(k % size, place(k / size))] as f32)
            .collect(),
        strengths: (0..count)
            .map(|rank| strengths[place(rank)].clamp(0.0, 1.0) as f32)
            .collect(),
    })
}

/// The problem in coordinates where the total covariance, L·Lᵀ, is the identity: L⁻¹·B·L⁻ᵀ.
struct Space<'a> {
    root: MatRef<'a, f64>,
    between: MatRef<'a, f64>,
}

impl Space<'_> {
    /// L⁻¹·x.
    fn inward(&self, mut x: Mat<f64>) -> Mat<f64> {
        solve_lower_triangular_in_place(self.root, x.as_mut(), get_global_parallelism());
        x
    }

    /// L⁻ᵀ·x.
    fn outward(&self, mut x: Mat<f64>) -> Mat<f64> {
        solve_upper_triangular_in_place(
            self.root.transpose(),
            x.as_mut(),
            get_global_parallelism(),
        );
        x
    }

    /// All directions and strengths, ascending.
    fn whole(&self) -> Option<(Mat<f64>, Vec<f64>)> {
        let half = self.inward(self.between.to_owned());
        let inner = self.inward(half.transpose().to_owned());
        let axes = inner.self_adjoint_eigen(Side::Lower).ok()?;
        let strengths = (0..inner.nrows()).map(|i| axes.S()[i]).collect();
        Some((self.outward(axes.U().to_owned()), strengths))
    }

    /// Columns to begin from: those that are given, carried inward (Lᵀ·u), and random ones.
    fn first(&self, count: usize, start: Option<&[f32]>, rng: &mut Rng) -> Mat<f64> {
        let size = self.root.nrows();
        let given = start.unwrap_or_default();
        let known = (given.len() / size).min(count);
        let mut first = Mat::from_fn(size, count, |i, j| match j < known {
            true => f64::from(given[j * size + i]),
            false => rng.random::<f64>() - 0.5,
        });
        if known > 0 {
            let carried = self.root.transpose() * first.subcols(0, known);
            first.subcols_mut(0, known).copy_from(&carried);
        }
        first
    }

    /// Subspace iteration, and the best directions within what it arrives at (Rayleigh–Ritz), ascending.
    fn followed(&self, first: Mat<f64>, rounds: usize) -> Option<(Mat<f64>, Vec<f64>)> {
        let mut basis = first.qr().compute_thin_Q();
        for _ in 0..rounds {
            let next = self.inward(self.between * self.outward(basis));
            basis = next.qr().compute_thin_Q();
        }
        let outer = self.outward(basis.clone());
        let inner = outer.transpose() * (self.between * &outer);
        let axes = inner.self_adjoint_eigen(Side::Lower).ok()?;
        let strengths = (0..inner.nrows()).map(|i| axes.S()[i]).collect();
        Some((outer * axes.U(), strengths))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::{Purpose, stream};

    /// Moments of pairs of views: `size` features that are mixtures of sources, of which source i is shared by
    /// `shared[i]`.
    fn moments(size: usize, shared: &[f64], seed: u64) -> [Vec<f32>; 3] {
        let mut rng = stream(seed, Purpose::Synthetic, &[]);
        let sources = shared.len();
        let mixing = Mat::from_fn(size, sources, |_, _| rng.random::<f64>() - 0.5);
        let shares = Mat::from_fn(
            sources,
            sources,
            |i, j| if i == j { shared[i] } else { 0.0 },
        );
        let mean: Vec<f32> = (0..size).map(|i| i as f32 / size as f32).collect();
        let with_mean = |m: Mat<f64>| -> Vec<f32> {
            (0..size * size)
                .map(|k| {
                    let (i, j) = (k / size, k % size);
                    (m[(i, j)] + f64::from(mean[i]) * f64::from(mean[j])) as f32
                })
                .collect()
        };
        let total = with_mean(&mixing * mixing.transpose());
        let between = with_mean(&mixing * shares * mixing.transpose());
        [mean, total, between]
    }

    #[test]
    fn what_is_shared_is_found_in_its_order() {
        let shared: Vec<f64> = (0..20).map(|i| 0.95 - 0.04 * f64::from(i)).collect();
        for size in [20, 900] {
            let [mean, total, between] = moments(size, &shared, 1);
            let moments = Moments {
                mean: &mean,
                total: &total,
                between: &between,
            };
            let mut rng = stream(0, Purpose::Method, &[]);
            let found = shared_directions(moments, 1e-6, 8, 12, None, &mut rng).unwrap();
            for (rank, strength) in found.strengths.iter().enumerate() {
                let expected = shared[rank];
                assert!(
                    (f64::from(*strength) - expected).abs() < 5e-3,
                    "{size} features, {rank}: {strength} instead of {expected}"
                );
            }
            // Of variance 1 and uncorrelated, in all views and between two.
            let vectors = MatRef::from_row_major_slice(&found.vectors, 8, size);
            for (what, of) in [("total", &total), ("between", &between)] {
                let centered =
                    Mat::from_fn(size, size, |i, j| of[i * size + j] - mean[i] * mean[j]);
                let product = vectors * &centered * vectors.transpose();
                for i in 0..8 {
                    for j in 0..8 {
                        let expected = match (i == j, what) {
                            (false, _) => 0.0,
                            (true, "total") => 1.0,
                            (true, _) => found.strengths[i],
                        };
                        let value = product[(i, j)];
                        assert!((value - expected).abs() < 0.02, "{what} {i} {j}: {value}");
                    }
                }
            }
            // Begun from where it ended, one round changes nothing.
            let again =
                shared_directions(moments, 1e-6, 8, 1, Some(&found.vectors), &mut rng).unwrap();
            for (now, before) in again.strengths.iter().zip(&found.strengths) {
                assert!((now - before).abs() < 1e-3, "{now} {before}");
            }
        }
    }

    #[test]
    fn features_that_never_vary_or_are_no_numbers() {
        let mut rng = stream(0, Purpose::Method, &[]);
        let (mean, product) = (vec![0.5; 3], vec![0.25; 9]);
        let still = Moments {
            mean: &mean,
            total: &product,
            between: &product,
        };
        let found = shared_directions(still, 0.01, 2, 4, None, &mut rng).unwrap();
        assert!(found.vectors.iter().all(|x| x.is_finite()));
        let broken = vec![f32::NAN; 9];
        let broken = Moments {
            total: &broken,
            ..still
        };
        assert!(shared_directions(broken, 0.01, 2, 4, None, &mut rng).is_err());
    }

    #[test]
    fn sums_that_lie_a_little_below_zero_get_a_stronger_ridge() {
        // Two features that vary, and a third whose variance rounding has taken below zero by more than the ridge.
        let moments = Moments {
            mean: &[0.0; 3],
            total: &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, -0.003],
            between: &[0.9, 0.0, 0.0, 0.0, 0.5, 0.0, 0.0, 0.0, 0.0],
        };
        let mut rng = stream(0, Purpose::Method, &[]);
        let found = shared_directions(moments, 1e-3, 2, 4, None, &mut rng).unwrap();
        for (found, expected) in found.strengths.iter().zip([0.9, 0.5]) {
            assert!((found - expected).abs() < 0.02, "{found} {expected}");
        }
        let hopeless = Moments {
            total: &[-1.0, 0.0, 0.0, 0.0, -1.0, 0.0, 0.0, 0.0, 5.0],
            ..moments
        };
        assert!(shared_directions(hopeless, 1e-3, 2, 4, None, &mut rng).is_err());
    }
}
