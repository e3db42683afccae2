//! What features are brought to before a classifier sees them, and by which numbers.

use std::borrow::Cow;

use rayon::prelude::*;

use crate::error::{EvalError, Result};
use crate::matrix::Matrix;

/// What features are brought to before a classifier sees them.
///
/// How far features vary may say how much they tell: those of a spectral embedding by their eigenvalues, those that were
/// weighed by their weights. It may as well say nothing, as the units of a table's columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scaling {
    /// Mean 0 and deviation 1, each.
    Each,
    /// Mean 0 each, and a mean variance of 1: what their deviations are beside each other stays.
    Together,
    /// As they are.
    Unscaled,
}

/// The mean and the standard deviation of each feature over some items.
///
/// They need no labels: where few items have one, all others tell as well how far a feature varies, and a handful can't.
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    means: Vec<f64>,
    /// Unbiased as PyTorch's, plus 1e-6 for columns that do not vary.
    deviations: Vec<f64>,
}

impl Moments {
    /// The moments of the columns of a matrix.
    pub fn of(features: &Matrix) -> Self {
        let means = features.column_means();
        let mut deviations = features.column_sums(|column, value| (value - means[column]).powi(2));
        let degrees = features.rows().saturating_sub(1).max(1) as f64;
        deviations
            .iter_mut()
            .for_each(|deviation| *deviation = (*deviation / degrees).sqrt() + 1e-6);
        Self { means, deviations }
    }

    /// Checks that features have as many columns.
    pub(super) fn check_columns(&self, features: &Matrix) -> Result<()> {
        if features.columns() == self.means.len() {
            Ok(())
        } else {
            Err(EvalError::Columns {
                found: features.columns(),
                expected: self.means.len(),
            })
        }
    }

    /// The numbers of a scaling.
    pub(super) fn scaler(&self, scaling: Scaling) -> Scaler {
        let columns = self.means.len();
        let (shifts, divisors) = match scaling {
            Scaling::Each => (self.means.clone(), self.deviations.clone()),
            Scaling::Together => {
                let squares = self.deviations.iter().map(|deviation| deviation.powi(2));
                let together = (squares.sum::<f64>() / columns as f64).sqrt();
                (self.means.clone(), vec![together; columns])
            }
            Scaling::Unscaled => (vec![0.; columns], vec![1.; columns]),
        };
        Scaler { shifts, divisors }
    }
}

/// What is subtracted from each column, and what it is divided by then.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Scaler {
    pub(super) shifts: Vec<f64>,
    pub(super) divisors: Vec<f64>,
}

impl Scaler {
    /// The given rows, scaled, one after the other.
    pub(super) fn rows(&self, features: &Matrix, order: &[usize]) -> Vec<f32> {
        let mut data = vec![0.; order.len() * features.columns()];
        data.par_chunks_mut(features.columns())
            .zip(order)
            .with_min_len(64)
            .for_each(|(out, &row)| {
                let values = out.iter_mut().zip(features.row(row));
                let numbers = self.shifts.iter().zip(&self.divisors);
                for ((out, &value), (shift, divisor)) in values.zip(numbers) {
                    *out = ((f64::from(value) - shift) / divisor) as f32;
                }
            });
        data
    }

    /// All rows, scaled; the features themselves where that changes nothing.
    ///
    /// # Errors
    ///
    /// If a value is too large for `f32`.
    pub(super) fn matrix<'a>(&self, features: &'a Matrix) -> Result<Cow<'a, Matrix>> {
        let same = |numbers: &[f64], number: f64| numbers.iter().all(|&found| found == number);
        if same(&self.shifts, 0.) && same(&self.divisors, 1.) {
            return Ok(Cow::Borrowed(features));
        }
        let order: Vec<usize> = (0..features.rows()).collect();
        let data = self.rows(features, &order);
        let scaled = Matrix::from_vec(features.rows(), features.columns(), data);
        scaled.map(Cow::Owned).map_err(|_| EvalError::Overflow {
            what: "the standardized features",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalings_of_a_small_case_by_hand() {
        // Deviations of 2 and 14 around 2 and 10, and a column that does not vary.
        let data = vec![0., -4., 5., 2., 10., 5., 4., 24., 5.];
        let features = Matrix::from_vec(3, 3, data).unwrap();
        let moments = Moments::of(&features);
        let scaled = |scaling| moments.scaler(scaling).matrix(&features).unwrap();
        let near = |found: &Matrix, expected: [f32; 9]| {
            let pairs = found.data().iter().zip(expected);
            pairs.for_each(|(a, b)| assert!((a - b).abs() < 1e-5, "{found:?}"));
        };
        let each = [-1., -1., 0., 0., 0., 0., 1., 1., 0.];
        near(&scaled(Scaling::Each), each);
        let together = (200_f32 / 3.).sqrt();
        near(
            &scaled(Scaling::Together),
            [-2., -14., 0., 0., 0., 0., 2., 14., 0.].map(|value: f32| value / together),
        );
        // Without a copy.
        let unscaled = scaled(Scaling::Unscaled);
        assert!(matches!(unscaled, Cow::Borrowed(same) if std::ptr::eq(same, &features)));
        let chosen = moments.scaler(Scaling::Each).rows(&features, &[2, 0]);
        assert!((chosen[0] - 1.).abs() < 1e-5 && (chosen[3] + 1.).abs() < 1e-5);
    }

    #[test]
    fn one_item_has_moments_and_another_width_is_refused() {
        let one = Matrix::from_vec(1, 2, vec![3., 4.]).unwrap();
        let moments = Moments::of(&one);
        assert_eq!(
            moments.scaler(Scaling::Each).matrix(&one).unwrap().data(),
            [0., 0.]
        );
        let narrow = Matrix::from_vec(1, 1, vec![3.]).unwrap();
        assert_eq!(
            moments.check_columns(&narrow),
            Err(EvalError::Columns {
                found: 1,
                expected: 2
            })
        );
    }
}
