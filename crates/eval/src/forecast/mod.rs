//! Forecasts of time series: the next H steps from what is known at a step, the *origin*.
//!
//! A series is a [`Matrix`] with a row per step and a column per channel, best standardized by its training part. A part
//! of it is a range of steps; its origins are those of its steps after which H more lie in the part, N = length − H of
//! them. Forecasts are `[N, H · C]`: a row per origin, in it the next step with all its channels first. [`ridge`] reads
//! them off representations, as TS2Vec is judged; [`last_value`], [`seasonal_value`] and [`Decomposition`] are what it
//! should beat; [`Rest`] is what the last of these leaves over, and a [`Correction`] what representations tell of that;
//! [`judge`] holds them to what came.

mod baselines;
mod decomposition;
mod regression;
mod representation;
mod rest;

use std::ops::Range;

use rayon::prelude::*;

use crate::error::{EvalError, Result};
use crate::matrix::Matrix;

pub use baselines::{last_value, period, seasonal_value};
pub use decomposition::{Decomposition, DecompositionSettings};
pub use representation::{Ridge, ridge};
pub use rest::{CORRECTION_ALPHAS, Correction, Rest};

/// The penalties that TS2Vec's protocol chooses from.
pub const ALPHAS: [f64; 13] = [
    0.1, 0.2, 0.5, 1., 2., 5., 10., 20., 50., 100., 200., 500., 1000.,
];

/// Where the parts of a series lie, in steps from 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// To fit to.
    pub train: Range<usize>,
    /// To choose the penalty on.
    pub validation: Range<usize>,
    /// To judge on.
    pub test: Range<usize>,
}

/// How far forecasts are from what came.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Errors {
    /// The mean squared error.
    pub squared: f64,
    /// The mean absolute error.
    pub absolute: f64,
}

/// The errors of forecasts of H steps.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Over all steps ahead.
    pub overall: Errors,
    /// For each step ahead, the next one first.
    pub by_step: Vec<Errors>,
}

/// The errors of forecasts at the origins of a part, each averaged over origins and channels.
///
/// # Errors
///
/// If the part is not in the series or has no origin, the horizon is 0, or the forecasts are not `[N, H · C]`.
pub fn judge(
    forecasts: &Matrix,
    series: &Matrix,
    part: &Range<usize>,
    horizon: usize,
) -> Result<Outcome> {
    let origins = origins(series, part, horizon)?;
    EvalError::check_length("forecasts", forecasts.rows(), origins.len())?;
    let (channels, width) = (series.columns(), horizon * series.columns());
    if forecasts.columns() != width {
        return Err(EvalError::Columns {
            found: forecasts.columns(),
            expected: width,
        });
    }
    // Sums of squares and of absolute values for each step ahead, in blocks of origins that are added up in order.
    let partial: Vec<Vec<Errors>> = (0..origins.len())
        .into_par_iter()
        .chunks(64)
        .map(|rows| {
            let mut sums = vec![Errors::NONE; horizon];
            for row in rows {
                let pairs = forecasts
                    .row(row)
                    .iter()
                    .zip(came(series, origins.start + row, width));
                for (at, (&forecast, &truth)) in pairs.enumerate() {
                    let error = f64::from(forecast) - f64::from(truth);
                    sums[at / channels].add(error * error, error.abs());
                }
            }
            sums
        })
        .collect();
    let mut by_step = vec![Errors::NONE; horizon];
    for sums in partial {
        for (total, sum) in by_step.iter_mut().zip(sums) {
            total.add(sum.squared, sum.absolute);
        }
    }
    let mut overall = Errors::NONE;
    for step in &mut by_step {
        *step = step.over((origins.len() * channels) as f64);
        overall.add(step.squared, step.absolute);
    }
    Ok(Outcome {
        overall: overall.over(horizon as f64),
        by_step,
    })
}

impl Errors {
    const NONE: Self = Self {
        squared: 0.,
        absolute: 0.,
    };

    fn add(&mut self, squared: f64, absolute: f64) {
        self.squared += squared;
        self.absolute += absolute;
    }

    fn over(self, count: f64) -> Self {
        Self {
            squared: self.squared / count,
            absolute: self.absolute / count,
        }
    }
}

/// The origins of a part.
fn origins(series: &Matrix, part: &Range<usize>, horizon: usize) -> Result<Range<usize>> {
    EvalError::check_count("horizon", horizon)?;
    EvalError::check_stretches("a part", std::slice::from_ref(part), series.rows())?;
    match part.end.checked_sub(horizon) {
        Some(end) if end > part.start => Ok(part.start..end),
        _ => Err(EvalError::FewRows {
            found: part.len(),
            expected: horizon.saturating_add(1),
        }),
    }
}

/// The first `width` values after an origin.
fn came(series: &Matrix, origin: usize, width: usize) -> &[f32] {
    let start = (origin + 1) * series.columns();
    &series.data()[start..start + width]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_a_small_case_by_hand() {
        // Two channels; from the origins 1 and 2 of the part 1..5, two steps ahead.
        let series = Matrix::from_vec(6, 2, (0..12).map(|i| i as f32).collect()).unwrap();
        let forecasts = Matrix::from_vec(2, 4, vec![4., 5., 6., 7., 7., 5., 8., 13.]).unwrap();
        let found = judge(&forecasts, &series, &(1..5), 2).unwrap();
        let errors = |squared, absolute| Errors { squared, absolute };
        // The first origin is right; the second is off by 1 and 2 in the first step, by 0 and 4 in the second.
        assert_eq!(
            found.by_step,
            [errors(5. / 4., 3. / 4.), errors(16. / 4., 4. / 4.)]
        );
        assert_eq!(found.overall, errors(21. / 8., 7. / 8.));
    }

    #[test]
    fn wrong_input_is_refused() {
        let series = Matrix::from_vec(6, 1, vec![0.; 6]).unwrap();
        let forecasts = Matrix::from_vec(2, 2, vec![0.; 4]).unwrap();
        assert!(judge(&forecasts, &series, &(0..4), 2).is_ok());
        for (part, horizon) in [
            (0..4, 0),
            (0..4, 4),
            (0..4, 3),
            (0..7, 2),
            (4..4, 2),
            (0..5, 2),
        ] {
            assert!(judge(&forecasts, &series, &part, horizon).is_err());
        }
        assert!(matches!(
            judge(&forecasts, &series, &(3..9), 1),
            Err(EvalError::Stretch { steps: 6, .. })
        ));
    }
}
