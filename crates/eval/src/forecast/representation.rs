//! From the representation of a step to the steps after it, by ridge regression.

use std::ops::Range;

use super::regression::{Linear, Samples, fit};
use super::{Parts, came, origins};
use crate::error::{EvalError, Result};
use crate::matrix::Matrix;

/// A linear map from representations to the next H steps of all channels.
#[derive(Clone, Debug)]
pub struct Ridge {
    /// The chosen penalty.
    pub alpha: f64,
    /// Each penalty and its √MSE + MAE on the validation part.
    pub validation: Vec<(f64, f64)>,
    /// Steps ahead.
    pub horizon: usize,
    linear: Linear,
}

/// Fits forecasts to representations: of row t of `features` [T, D], which may know the series up to step t and no
/// further, to the steps t + 1 to t + H of `series` [T, C].
///
/// The protocol of TS2Vec (Yue et al. 2022, `tasks/_eval_protocols.py`): the penalty is the one among [`ALPHAS`] with
/// the least √MSE + MAE on the validation part, the fit is to the training part alone, the origins of a part are those
/// whose H steps lie in it. The published code leaves out the first 200 steps of the training part: let `parts.train`
/// begin there. It differs in that all rows are fitted to, not 100,000 at most.
///
/// [`ALPHAS`]: super::ALPHAS
///
/// # Errors
///
/// If the features are not one row per step, a part is not in the series or too short for the horizon, there are no
/// penalties or one is not positive, or the features are so large that the regression overflows.
pub fn ridge(
    features: &Matrix,
    series: &Matrix,
    parts: &Parts,
    horizon: usize,
    alphas: &[f64],
) -> Result<Ridge> {
    EvalError::check_length("representations", features.rows(), series.rows())?;
    let samples = |part: &Range<usize>| -> Result<Steps<'_>> {
        Ok(Steps {
            features,
            series: Some(series),
            origins: origins(series, part, horizon)?,
            outputs: horizon * series.columns(),
        })
    };
    let linear = fit(
        &samples(&parts.train)?,
        &samples(&parts.validation)?,
        alphas,
    )?;
    Ok(Ridge {
        alpha: linear.alpha,
        validation: linear.validation.clone(),
        horizon,
        linear,
    })
}

impl Ridge {
    /// Forecasts from representations, `[N, D]` to `[N, H · C]`.
    ///
    /// # Errors
    ///
    /// If the width of the representations is not that of the ones fitted to, or a forecast is too large for `f32`.
    pub fn predict(&self, features: &Matrix) -> Result<Matrix> {
        self.forecasts(features, 0..features.rows())
    }

    /// Forecasts at the origins of a part, as [`judge`](super::judge) takes them; `features` are those of all steps.
    ///
    /// # Errors
    ///
    /// As [`predict`](Self::predict), and if the part has no origin.
    pub fn predict_part(&self, features: &Matrix, part: &Range<usize>) -> Result<Matrix> {
        self.forecasts(features, origins(features, part, self.horizon)?)
    }

    fn forecasts(&self, features: &Matrix, origins: Range<usize>) -> Result<Matrix> {
        if features.columns() != self.linear.inputs() {
            return Err(EvalError::Columns {
                found: features.columns(),
                expected: self.linear.inputs(),
            });
        }
        let samples = Steps {
            features,
            series: None,
            origins,
            outputs: self.linear.outputs(),
        };
        let forecasts = self.linear.predict(&samples);
        Matrix::from_vec(samples.origins.len(), samples.outputs, forecasts).map_err(|_| {
            EvalError::Overflow {
                what: "the forecasts",
            }
        })
    }
}

/// Origins with their representations, and what came after them where that is known.
struct Steps<'a> {
    features: &'a Matrix,
    series: Option<&'a Matrix>,
    origins: Range<usize>,
    outputs: usize,
}

impl Samples for Steps<'_> {
    fn shape(&self) -> (usize, usize, usize) {
        (self.origins.len(), self.features.columns(), self.outputs)
    }

    fn input(&self, sample: usize, out: &mut [f64]) {
        widen(self.features.row(self.origins.start + sample), out);
    }

    fn output(&self, sample: usize, out: &mut [f64]) {
        if let Some(series) = self.series {
            widen(came(series, self.origins.start + sample, self.outputs), out);
        }
    }
}

pub(super) fn widen(from: &[f32], to: &mut [f64]) {
    to.iter_mut()
        .zip(from)
        .for_each(|(to, &from)| *to = f64::from(from));
}

#[cfg(test)]
mod tests {
    use super::super::{ALPHAS, judge, last_value};
    use super::*;

    /// A slow and a fast wave as two channels, and as representation their phases.
    fn waves(steps: usize) -> (Matrix, Matrix) {
        let (mut series, mut features) = (Vec::new(), Vec::new());
        for step in 0..steps {
            let (slow, fast) = (step as f32 * 0.05, step as f32 * 0.9);
            series.extend([slow.sin() + 2., fast.cos()]);
            features.extend([slow.sin(), slow.cos(), fast.sin(), fast.cos()]);
        }
        (
            Matrix::from_vec(steps, 4, features).unwrap(),
            Matrix::from_vec(steps, 2, series).unwrap(),
        )
    }

    #[test]
    fn phases_tell_the_next_steps_of_waves_and_the_last_value_does_not() {
        let (features, series) = waves(1000);
        let parts = Parts {
            train: 0..600,
            validation: 600..800,
            test: 800..1000,
        };
        for horizon in [1, 7, 60] {
            let model = ridge(&features, &series, &parts, horizon, &ALPHAS).unwrap();
            assert_eq!((model.alpha, model.validation.len()), (0.1, 13));
            let forecasts = model.predict_part(&features, &parts.test).unwrap();
            assert_eq!(
                (forecasts.rows(), forecasts.columns()),
                (200 - horizon, 2 * horizon)
            );
            let found = judge(&forecasts, &series, &parts.test, horizon).unwrap();
            assert!(found.overall.squared < 1e-6, "{found:?}");
            let last = last_value(&series, &parts.test, horizon).unwrap();
            let last = judge(&last, &series, &parts.test, horizon).unwrap();
            assert!(last.overall.squared > 0.1, "{last:?}");
            let rows: Vec<usize> = (800..1000 - horizon).collect();
            let alone = model.predict(&features.select(&rows).unwrap()).unwrap();
            assert_eq!(alone, forecasts);
        }
    }

    #[test]
    fn threads_do_not_change_a_bit() {
        let (features, series) = waves(700);
        let parts = Parts {
            train: 0..500,
            validation: 500..600,
            test: 600..700,
        };
        let run = |threads| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            let forecast = || {
                let model = ridge(&features, &series, &parts, 9, &ALPHAS).unwrap();
                (model.validation.clone(), model.predict(&features).unwrap())
            };
            pool.install(forecast)
        };
        assert_eq!(run(1), run(3));
    }

    #[test]
    fn wrong_input_is_refused() {
        let (features, series) = waves(100);
        let parts = Parts {
            train: 0..50,
            validation: 50..70,
            test: 70..100,
        };
        assert!(ridge(&features, &series, &parts, 20, &ALPHAS).is_err());
        let shorter = features.select(&[0, 1, 2]).unwrap();
        assert!(matches!(
            ridge(&shorter, &series, &parts, 2, &ALPHAS),
            Err(EvalError::Length { .. })
        ));
        let model = ridge(&features, &series, &parts, 2, &[1.]).unwrap();
        assert!(matches!(
            model.predict(&series),
            Err(EvalError::Columns { .. })
        ));
        assert!(model.predict_part(&features, &(98..100)).is_err());
    }
}
