//! How far two measures of the same items go together: Pearson's and Spearman's correlation, and the cosines of pairs of
//! vectors that are to be correlated with what people say of them.
//!
//! `r = Σ (xᵢ − x̄)(yᵢ − ȳ) / √(Σ (xᵢ − x̄)² · Σ (yᵢ − ȳ)²)`; Spearman's is that of the ranks, those of equal values being
//! the mean of the ranks that they take up. −1 to 1; 0, too, where one of the two doesn't vary, so that nothing goes with it.

use crate::error::{EvalError, Result};
use crate::matrix::Matrix;

/// Pearson's correlation: how nearly the one is a rising line of the other.
///
/// # Errors
///
/// If the two differ in length, there are none, or one is not finite.
pub fn pearson(x: &[f64], y: &[f64]) -> Result<f64> {
    check(x, y)?;
    Ok(of(x, y))
}

/// Spearman's correlation: how nearly the one rises wherever the other does. That of SciPy's `spearmanr`.
///
/// ```
/// # use autodidact_eval::correlation::spearman;
/// assert_eq!(spearman(&[1.0, 2.0, 3.0], &[2.0, 4.0, 8.0])?, 1.0);
/// # Ok::<(), autodidact_eval::EvalError>(())
/// ```
///
/// # Errors
///
/// As [`pearson`].
pub fn spearman(x: &[f64], y: &[f64]) -> Result<f64> {
    check(x, y)?;
    Ok(of(&ranks(x), &ranks(y)))
}

/// The cosine of each row of `first` with the same row of `second`; 0 where one of them is all zeros.
///
/// # Errors
///
/// If the two differ in shape.
pub fn cosines(first: &Matrix, second: &Matrix) -> Result<Vec<f64>> {
    first.check_columns(second)?;
    EvalError::check_length("rows of the second matrix", second.rows(), first.rows())?;
    let cosine = |row: usize| {
        let (a, b) = (first.row(row), second.row(row));
        let dot = |a: &[f32], b: &[f32]| -> f64 {
            let products = a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b));
            products.sum()
        };
        over(dot(a, b), dot(a, a) * dot(b, b))
    };
    Ok((0..first.rows()).map(cosine).collect())
}

fn check(x: &[f64], y: &[f64]) -> Result<()> {
    EvalError::check_length("values of the second measure", y.len(), x.len())?;
    if x.is_empty() {
        return Err(EvalError::Empty { what: "items" });
    }
    for (column, values) in [x, y].into_iter().enumerate() {
        if let Some(row) = values.iter().position(|value| !value.is_finite()) {
            return Err(EvalError::NotFinite {
                row,
                column,
                value: values[row] as f32,
            });
        }
    }
    Ok(())
}

fn of(x: &[f64], y: &[f64]) -> f64 {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (mean_x, mean_y) = (mean(x), mean(y));
    let (mut both, mut of_x, mut of_y) = (0., 0., 0.);
    for (x, y) in x.iter().zip(y) {
        let (x, y) = (x - mean_x, y - mean_y);
        both += x * y;
        of_x += x * x;
        of_y += y * y;
    }
    over(both, of_x * of_y)
}

/// A product over the root of the product of squares, within what rounding may leave.
fn over(product: f64, squares: f64) -> f64 {
    if squares > 0. {
        (product / squares.sqrt()).clamp(-1., 1.)
    } else {
        0.
    }
}

/// From 1, the smallest first; equal values share the mean of their ranks.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.; values.len()];
    let mut before = 0;
    // Zeros of either sign are equal, whatever their order.
    for equal in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let rank = before as f64 + (equal.len() + 1) as f64 / 2.;
        equal.iter().for_each(|&item| ranks[item] = rank);
        before += equal.len();
    }
    ranks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: f64, expected: f64) {
        assert!(
            (found - expected).abs() < 1e-12,
            "{found} beside {expected}"
        );
    }

    #[test]
    fn the_correlations_are_scipys() {
        let (x, y) = ([1., 2., 3., 4., 5.], [5., 6., 7., 8., 7.]);
        // scipy.stats.spearmanr and pearsonr, as their documentation has them.
        near(spearman(&x, &y).unwrap(), 0.820_782_681_668_123_3);
        near(pearson(&x, &y).unwrap(), 0.832_050_294_337_843_7);
        let turned = y.map(|y: f64| -y);
        near(spearman(&x, &turned).unwrap(), -0.820_782_681_668_123_3);
    }

    #[test]
    fn equal_values_share_their_ranks_and_what_rises_everywhere_is_1() {
        assert_eq!(
            ranks(&[3., 1., 3., -0., 0., 3.]),
            [5., 3., 5., 1.5, 1.5, 5.]
        );
        let x: Vec<f64> = (0..50).map(|n| f64::from(n * n % 47)).collect();
        let bent: Vec<f64> = x
            .iter()
            .map(|x| x.powi(3).exp_m1().min(1e300) + x)
            .collect();
        near(spearman(&x[..4], &bent[..4]).unwrap(), 1.);
        assert!(pearson(&x[..4], &bent[..4]).unwrap() < 1.);
        assert_eq!(spearman(&[2.; 5], &[1., 2., 3., 4., 5.]).unwrap(), 0.);
    }

    #[test]
    fn cosines_are_row_by_row() {
        let first = Matrix::from_vec(3, 2, vec![1., 0., 3., 4., 0., 0.]).unwrap();
        let second = Matrix::from_vec(3, 2, vec![0., 2., 4., 3., 1., 1.]).unwrap();
        assert_eq!(cosines(&first, &second).unwrap(), [0., 24. / 25., 0.]);
        assert!(cosines(&first, &second.select(&[0, 1]).unwrap()).is_err());
    }

    #[test]
    fn wrong_input_is_refused() {
        assert!(pearson(&[], &[]).is_err());
        assert!(spearman(&[1., 2.], &[1.]).is_err());
        assert!(matches!(
            pearson(&[1., 2.], &[1., f64::NAN]),
            Err(EvalError::NotFinite {
                row: 1,
                column: 1,
                ..
            })
        ));
    }
}
