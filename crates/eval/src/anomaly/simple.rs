//! Detectors that need no learning: chance, and the distance from a moving mean.

use rand::RngExt;
use rayon::prelude::*;

use crate::error::{EvalError, Result};
use crate::matrix::Matrix;
use crate::sampling::generator;

/// Numbers from 0 to 1 that know nothing: what any detector has to beat.
pub fn random_scores(steps: usize, seed: u64) -> Vec<f64> {
    let mut generator = generator(seed, 0);
    (0..steps).map(|_| generator.random()).collect()
}

/// How many standard deviations each step of a series `[T, C]` is from the mean of the `window` steps before it, as the
/// root mean square over the channels. It sees no step ahead; the first two steps, which have no deviation before them,
/// score 0.
///
/// Where nothing varied before, a change is measured in millionths of the mean: unusual beyond all others, and finite.
/// Takes T · `window` · C operations.
///
/// # Errors
///
/// If `window` is below 2.
pub fn moving_z_score(series: &Matrix, window: usize) -> Result<Vec<f64>> {
    if window < 2 {
        return Err(EvalError::Setting {
            name: "window",
            found: window as f64,
            expected: "2 steps at least",
        });
    }
    let channels = series.columns();
    let score = |step: usize| {
        if step < 2 {
            return 0.;
        }
        let squares = (0..channels).map(|channel| {
            let before = step.saturating_sub(window)..step;
            let count = before.len() as f64;
            let value = |step: usize| f64::from(series.row(step)[channel]);
            let mean = before.clone().map(value).sum::<f64>() / count;
            let variance = before.map(|step| (value(step) - mean).powi(2)).sum::<f64>() / count;
            let least = f64::MIN_POSITIVE.sqrt() + 1e-6 * mean.abs();
            (value(step) - mean).powi(2) / variance.max(least * least)
        });
        // What a constant 0 changes by may overflow its measure.
        (squares.sum::<f64>() / channels as f64)
            .sqrt()
            .min(f64::MAX)
    };
    Ok((0..series.rows())
        .into_par_iter()
        .with_min_len(64)
        .map(score)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_case_by_hand() {
        let series = Matrix::from_vec(5, 1, vec![1., 3., 2., 8., 2.]).unwrap();
        let found = moving_z_score(&series, 2).unwrap();
        // 2 after 1 and 3; 8 after 3 and 2: 5.5 by 0.5; 2 after 2 and 8: −3 by 3.
        assert_eq!(found, [0., 0., 0., 11., 1.]);
        let both = Matrix::from_vec(4, 2, vec![1., 5., 3., 6., 2., 5.5, 8., 5.75]).unwrap();
        let found = moving_z_score(&both, 2).unwrap();
        assert!(
            (found[3] - ((121. + 0.) / 2_f64).sqrt()).abs() < 1e-9,
            "{found:?}"
        );
    }

    #[test]
    fn a_spike_scores_highest_and_a_constant_raises_nothing_but_finite_numbers() {
        let mut values: Vec<f32> = (0..300).map(|i| (i as f32 * 0.7).sin()).collect();
        values[200] = 6.;
        let series = Matrix::from_vec(300, 1, values).unwrap();
        let found = moving_z_score(&series, 50).unwrap();
        let highest = (0..300).max_by(|&a, &b| found[a].total_cmp(&found[b]));
        assert!(highest == Some(200) && found[200] > 7.);
        let mut flat = vec![0.1_f32; 60];
        flat[40] = f32::MAX;
        let found = moving_z_score(&Matrix::from_vec(60, 1, flat).unwrap(), 20).unwrap();
        assert!(found.iter().all(|score| score.is_finite()) && found[40] > 1e30);
        assert!(found[..40].iter().all(|&score| score < 1e-3));
        let zeros = Matrix::from_vec(3, 1, vec![0., 0., f32::MAX]).unwrap();
        assert!(moving_z_score(&zeros, 2).unwrap()[2].is_finite());
        assert!(moving_z_score(&zeros, 1).is_err());
    }

    #[test]
    fn chance_is_even_and_depends_on_the_seed_alone() {
        let scores = random_scores(10_000, 4);
        let mean = scores.iter().sum::<f64>() / 10_000.;
        assert!((mean - 0.5).abs() < 0.01);
        assert!(scores.iter().all(|score| (0. ..1.).contains(score)));
        assert!(scores == random_scores(10_000, 4) && scores != random_scores(10_000, 5));
    }
}
