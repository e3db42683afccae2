//! Forecasts without learning: what came last, and what came a season ago.

use std::ops::Range;

use rayon::prelude::*;

use super::origins;
use crate::error::{EvalError, Result};
use crate::matrix::Matrix;

/// A peak of the autocorrelation counts if it rises at least this far above the lowest value before it,
const RISE: f64 = 0.1;
/// and above this many standard deviations of the autocorrelation of noise, which are 1/√T.
const NOISE: f64 = 4.;
/// A peak of this share of the highest is as good as that.
const HIGH: f64 = 0.9;

/// The value at the origin, for each of the next H steps, at the origins of a part.
///
/// # Shapes
///
/// `[T, C]` gives `[N, H · C]`.
///
/// # Errors
///
/// If the part is not in the series or too short for the horizon.
pub fn last_value(series: &Matrix, part: &Range<usize>, horizon: usize) -> Result<Matrix> {
    repeated(series, part, horizon, 1)
}

/// The value one season before each of the next H steps, at the origins of a part; where that lies after the origin
/// itself, two seasons before, and so on.
///
/// # Shapes
///
/// `[T, C]` gives `[N, H · C]`.
///
/// # Errors
///
/// As [`last_value`], if the period is 0, or the part begins before the series is one period old.
pub fn seasonal_value(
    series: &Matrix,
    part: &Range<usize>,
    horizon: usize,
    period: usize,
) -> Result<Matrix> {
    EvalError::check_count("period", period)?;
    if part.start + 1 < period {
        return Err(EvalError::FewRows {
            found: part.start + 1,
            expected: period,
        });
    }
    repeated(series, part, horizon, period)
}

/// The last `period` values over and over.
fn repeated(series: &Matrix, part: &Range<usize>, horizon: usize, period: usize) -> Result<Matrix> {
    let origins = origins(series, part, horizon)?;
    let mut forecasts = Vec::with_capacity(origins.len() * horizon * series.columns());
    for origin in origins.clone() {
        for ahead in 0..horizon {
            let step = origin + 1 + ahead % period - period;
            forecasts.extend_from_slice(series.row(step));
        }
    }
    Matrix::from_vec(origins.len(), horizon * series.columns(), forecasts)
}

/// The period of a part of a series, from 2 to `longest` steps: the lag of the first high peak of the autocorrelation,
/// which is averaged over the channels that vary. A peak is high if it comes within a tenth of the highest, so that the
/// season itself is found and not one of its multiples. None where no peak is 0.1 above what lies before it and above
/// 4/√T, which noise seldom reaches. Takes T · `longest` · C operations.
///
/// # Errors
///
/// If the part is empty or not in the series, or `longest` is 0.
pub fn period(series: &Matrix, part: &Range<usize>, longest: usize) -> Result<Option<usize>> {
    EvalError::check_stretches("a part", std::slice::from_ref(part), series.rows())?;
    EvalError::check_count("longest period", longest)?;
    let channels: Vec<Vec<f64>> = (0..series.columns())
        .filter_map(|channel| standardized(series, part, channel))
        .collect();
    // One lag beyond, to see that the last is a peak.
    let lags = longest.saturating_add(1).min(part.len().saturating_sub(1));
    let correlation = |lag: usize| {
        let of_channel = |values: &Vec<f64>| {
            let pairs = values.iter().zip(&values[lag..]);
            pairs.map(|(a, b)| a * b).sum::<f64>() / values.len() as f64
        };
        channels.iter().map(of_channel).sum::<f64>() / channels.len() as f64
    };
    if channels.is_empty() {
        return Ok(None);
    }
    let correlations: Vec<f64> = (0..=lags).into_par_iter().map(correlation).collect();
    let noise = NOISE / (part.len() as f64).sqrt();
    let (mut lowest, mut peaks) = (f64::INFINITY, Vec::new());
    for lag in 1..lags {
        let here = correlations[lag];
        let peak = correlations[lag - 1] < here && here >= correlations[lag + 1];
        if peak && here > noise && here > lowest + RISE {
            peaks.push(lag);
        }
        lowest = lowest.min(here);
    }
    let highest = |peaks: &[usize]| {
        let by_height = |&a: &usize, &b: &usize| correlations[a].total_cmp(&correlations[b]);
        peaks.iter().copied().max_by(by_height)
    };
    let Some(best) = highest(&peaks) else {
        return Ok(None);
    };
    // Noise splits one peak into several; the next multiple is at twice the lag.
    let first = peaks.partition_point(|&lag| lag < best);
    let first = (0..=first).find(|&at| correlations[peaks[at]] >= HIGH * correlations[best]);
    let from_first = &peaks[first.unwrap_or(0)..];
    let near = from_first.partition_point(|&lag| 2 * lag < 3 * from_first[0]);
    Ok(highest(&from_first[..near]))
}

/// The values of a channel with mean 0 and deviation 1; none if it does not vary.
fn standardized(series: &Matrix, part: &Range<usize>, channel: usize) -> Option<Vec<f64>> {
    let values = part
        .clone()
        .map(|step| f64::from(series.row(step)[channel]));
    let mut values: Vec<f64> = values.collect();
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    values.iter_mut().for_each(|value| *value -= mean);
    let deviation = (values.iter().map(|value| value * value).sum::<f64>() / count).sqrt();
    // What rounding leaves of a constant is no variation.
    if deviation <= 1e-9 * mean.abs() {
        return None;
    }
    values.iter_mut().for_each(|value| *value /= deviation);
    Some(values)
}

#[cfg(test)]
mod tests {
    use rand::RngExt;

    use super::super::judge;
    use super::*;
    use crate::sampling::generator;

    fn series(steps: usize, value: impl Fn(usize) -> f32) -> Matrix {
        Matrix::from_vec(steps, 1, (0..steps).map(value).collect()).unwrap()
    }

    #[test]
    fn forecasts_of_a_small_case_by_hand() {
        let series = Matrix::from_vec(7, 2, (0..14).map(|i| i as f32).collect()).unwrap();
        let last = last_value(&series, &(2..6), 2).unwrap();
        assert_eq!(last.data(), [4., 5., 4., 5., 6., 7., 6., 7.]);
        let season = seasonal_value(&series, &(2..6), 3, 2).unwrap();
        // From the origin 2: the steps 1, 2 and 1 again.
        assert_eq!(season.data(), [2., 3., 4., 5., 2., 3.]);
        assert!(seasonal_value(&series, &(1..6), 3, 2).is_ok());
        assert!(seasonal_value(&series, &(0..6), 3, 2).is_err());
        assert!(seasonal_value(&series, &(0..6), 3, 0).is_err());
        assert!(last_value(&series, &(5..7), 2).is_err());
    }

    #[test]
    fn a_season_that_repeats_is_forecast_exactly() {
        let series = series(100, |step| [3., 1., 4., 1., 5.][step % 5]);
        for horizon in [1, 4, 5, 13] {
            let forecasts = seasonal_value(&series, &(50..100), horizon, 5).unwrap();
            let found = judge(&forecasts, &series, &(50..100), horizon).unwrap();
            assert_eq!(found.overall.squared, 0.);
        }
        assert_eq!(period(&series, &(0..100), 40).unwrap(), Some(5));
    }

    #[test]
    fn a_period_is_found_under_noise_and_a_trend_and_none_where_there_is_none() {
        let mut generator = generator(2, 0);
        let noise: Vec<f32> = (0..1000)
            .map(|_| generator.random_range(-0.5..0.5))
            .collect();
        let daily = series(1000, |step| {
            (step as f32 * std::f32::consts::TAU / 24.).sin() + noise[step]
        });
        assert_eq!(period(&daily, &(0..1000), 200).unwrap(), Some(24));
        assert_eq!(period(&daily, &(0..1000), 20).unwrap(), None);
        let rising = series(1000, |step| step as f32 + noise[step]);
        assert_eq!(period(&rising, &(0..1000), 200).unwrap(), None);
        let alone = series(1000, |step| noise[step]);
        assert_eq!(period(&alone, &(0..1000), 200).unwrap(), None);
        assert_eq!(period(&series(50, |_| 0.1), &(0..50), 20).unwrap(), None);
        assert_eq!(period(&series(1, |_| 2.), &(0..1), 20).unwrap(), None);
    }
}
