//! A linear forecast from the last L values, taken apart into a trend and what is left.
//!
//! DLinear (Zeng et al. 2023, "Are Transformers Effective for Time Series Forecasting?"): the trend is the moving average
//! of 25 steps, the ends repeated; one linear map reads the next H steps off the trend, another off the remainder, and
//! the two are added. All channels share the maps. It differs from the published code (cure-lab/LTSF-Linear) in how the
//! maps are found: by ridge regression in closed form, where that trains by gradients.

use std::ops::Range;

use super::regression::{Linear, Samples, fit};
use super::{ALPHAS, Parts, came, origins};
use crate::error::{EvalError, Result};
use crate::matrix::Matrix;

/// How to fit a [`Decomposition`].
#[derive(Clone, Debug, PartialEq)]
pub struct DecompositionSettings {
    /// The number L of last values that are seen. Default 336, the paper's.
    pub window: usize,
    /// Steps of the moving average, an odd number. Default 25, the paper's.
    pub average: usize,
    /// The penalties to choose from by the least √MSE + MAE on the validation part. Default [`ALPHAS`].
    pub alphas: Vec<f64>,
}

impl DecompositionSettings {
    pub(super) fn check(&self) -> Result<()> {
        EvalError::check_count("window", self.window)?;
        if self.average.is_multiple_of(2) {
            return Err(EvalError::Setting {
                name: "moving average of",
                found: self.average as f64,
                expected: "an odd number of steps",
            });
        }
        Ok(())
    }

    /// The origins of a part that have enough values up to them.
    pub(super) fn windows<'a>(
        &self,
        series: &'a Matrix,
        part: &Range<usize>,
        horizon: usize,
    ) -> Result<Windows<'a>> {
        let all = origins(series, part, horizon)?;
        let old_enough = all.start.max(self.window - 1)..all.end;
        if old_enough.is_empty() {
            return Err(EvalError::FewRows {
                found: part.end,
                expected: self.window.saturating_add(horizon),
            });
        }
        Ok(Windows {
            series,
            origins: old_enough,
            horizon,
            window: self.window,
            average: self.average,
        })
    }
}

impl Default for DecompositionSettings {
    fn default() -> Self {
        Self {
            window: 336,
            average: 25,
            alphas: ALPHAS.to_vec(),
        }
    }
}

/// A linear map from the last L values of a channel, as trend and remainder, to its next H.
#[derive(Clone, Debug)]
pub struct Decomposition {
    /// The chosen penalty.
    pub alpha: f64,
    /// Each penalty and its √MSE + MAE on the validation part.
    pub validation: Vec<(f64, f64)>,
    /// Steps ahead.
    pub horizon: usize,
    window: usize,
    average: usize,
    linear: Linear,
}

impl Decomposition {
    /// Fits to the training part of a series `[T, C]`; every channel at every origin is a sample.
    ///
    /// Origins with fewer than L values up to them are left out. The values before a part are seen, as usual: those
    /// before the validation part are of the training part.
    ///
    /// # Errors
    ///
    /// If a part is not in the series or has no origin with L values before, or a setting is out of its range.
    pub fn fit(
        series: &Matrix,
        parts: &Parts,
        horizon: usize,
        settings: &DecompositionSettings,
    ) -> Result<Self> {
        settings.check()?;
        let linear = fit(
            &settings.windows(series, &parts.train, horizon)?,
            &settings.windows(series, &parts.validation, horizon)?,
            &settings.alphas,
        )?;
        Ok(Self::of(linear, horizon, settings))
    }

    pub(super) fn of(linear: Linear, horizon: usize, settings: &DecompositionSettings) -> Self {
        Self {
            alpha: linear.alpha,
            validation: linear.validation.clone(),
            horizon,
            window: settings.window,
            average: settings.average,
            linear,
        }
    }

    /// Forecasts at the origins of a part, `[N, H · C]`, as [`judge`](super::judge) takes them.
    ///
    /// # Errors
    ///
    /// If the part is not in the series, has no origin, or begins before there are L values, or a forecast is too large
    /// for `f32`.
    pub fn predict_part(&self, series: &Matrix, part: &Range<usize>) -> Result<Matrix> {
        let origins = origins(series, part, self.horizon)?;
        if origins.start + 1 < self.window {
            return Err(EvalError::FewRows {
                found: origins.start + 1,
                expected: self.window,
            });
        }
        let windows = Windows {
            series,
            origins,
            horizon: self.horizon,
            window: self.window,
            average: self.average,
        };
        let (count, width) = (windows.origins.len(), self.horizon * series.columns());
        let forecasts = windows.foretold(&self.linear);
        Matrix::from_vec(count, width, forecasts).map_err(|_| EvalError::Overflow {
            what: "the forecasts",
        })
    }
}

/// The last values of each channel at each origin.
pub(super) struct Windows<'a> {
    series: &'a Matrix,
    pub(super) origins: Range<usize>,
    horizon: usize,
    window: usize,
    average: usize,
}

impl<'a> Windows<'a> {
    /// Those at other origins.
    pub(super) fn at(&self, origins: Range<usize>) -> Windows<'a> {
        Windows { origins, ..*self }
    }

    /// What a map says of them: a row per origin, steps before channels.
    pub(super) fn foretold(&self, linear: &Linear) -> Vec<f32> {
        let (channels, horizon) = (self.series.columns(), self.horizon);
        let by_channel = linear.predict(self);
        let mut forecasts = vec![0.; by_channel.len()];
        for (sample, row) in by_channel.chunks_exact(horizon).enumerate() {
            let (origin, channel) = (sample / channels, sample % channels);
            for (ahead, &value) in row.iter().enumerate() {
                forecasts[(origin * horizon + ahead) * channels + channel] = value;
            }
        }
        forecasts
    }

    /// What came less what a map says.
    pub(super) fn left_over(&self, linear: &Linear) -> Vec<f32> {
        let width = self.horizon * self.series.columns();
        let mut left = self.foretold(linear);
        for (row, origin) in left.chunks_exact_mut(width).zip(self.origins.clone()) {
            let pairs = row.iter_mut().zip(came(self.series, origin, width));
            pairs.for_each(|(value, came)| *value = came - *value);
        }
        left
    }

    fn origin_and_channel(&self, sample: usize) -> (usize, usize) {
        let channels = self.series.columns();
        (self.origins.start + sample / channels, sample % channels)
    }
}

impl Samples for Windows<'_> {
    fn shape(&self) -> (usize, usize, usize) {
        let samples = self.origins.len() * self.series.columns();
        (samples, 2 * self.window, self.horizon)
    }

    fn input(&self, sample: usize, out: &mut [f64]) {
        let (origin, channel) = self.origin_and_channel(sample);
        let (trend, rest) = out.split_at_mut(self.window);
        for (at, value) in rest.iter_mut().enumerate() {
            let step = origin + 1 + at - self.window;
            *value = f64::from(self.series.row(step)[channel]);
        }
        moving_average(rest, self.average, trend);
        rest.iter_mut()
            .zip(trend)
            .for_each(|(value, trend)| *value -= *trend);
    }

    fn output(&self, sample: usize, out: &mut [f64]) {
        let (origin, channel) = self.origin_and_channel(sample);
        let channels = self.series.columns();
        let came = came(self.series, origin, self.horizon * channels);
        let values = came.iter().skip(channel).step_by(channels);
        out.iter_mut()
            .zip(values)
            .for_each(|(out, &value)| *out = f64::from(value));
    }
}

/// The centered mean of `width` values; beyond the ends the first and last are repeated.
fn moving_average(values: &[f64], width: usize, out: &mut [f64]) {
    let (half, last) = (width / 2, values.len() - 1);
    let (first_value, last_value) = (values[0], values[last]);
    for (at, out) in out.iter_mut().enumerate() {
        let (from, to) = (at.saturating_sub(half), (at + half).min(last));
        let before = half.saturating_sub(at) as f64 * first_value;
        let after = (at + half).saturating_sub(last) as f64 * last_value;
        *out = (before + values[from..=to].iter().sum::<f64>() + after) / width as f64;
    }
}

#[cfg(test)]
mod tests {
    use super::super::{judge, last_value, seasonal_value};
    use super::*;

    fn parts() -> Parts {
        Parts {
            train: 0..500,
            validation: 500..600,
            test: 600..800,
        }
    }

    fn settings(window: usize) -> DecompositionSettings {
        DecompositionSettings {
            window,
            average: 7,
            ..DecompositionSettings::default()
        }
    }

    #[test]
    fn a_trend_with_a_season_is_forecast_and_no_baseline_does_as_well() {
        let data = (0..800).flat_map(|step| {
            let time = step as f32;
            let season = (time * std::f32::consts::TAU / 12.).sin();
            [0.01 * time + season, 2. - 0.004 * time - 2. * season]
        });
        let series = Matrix::from_vec(800, 2, data.collect()).unwrap();
        let (parts, horizon) = (parts(), 20);
        let model = Decomposition::fit(&series, &parts, horizon, &settings(24)).unwrap();
        let squared = |forecasts: &Matrix| {
            let found = judge(forecasts, &series, &parts.test, horizon).unwrap();
            found.overall.squared
        };
        let found = squared(&model.predict_part(&series, &parts.test).unwrap());
        let last = squared(&last_value(&series, &parts.test, horizon).unwrap());
        let season = squared(&seasonal_value(&series, &parts.test, horizon, 12).unwrap());
        assert!(
            found < 0.01 && found < 0.5 * season && found < last,
            "{found} {season} {last}"
        );
        assert!(model.alpha == 0.1 && model.validation.len() == 13);
    }

    #[test]
    fn the_parts_of_a_window_are_its_trend_and_what_is_left() {
        let series = Matrix::from_vec(9, 2, (0..18).map(|i| (i * i) as f32).collect()).unwrap();
        let windows = Windows {
            series: &series,
            origins: 3..7,
            horizon: 2,
            window: 4,
            average: 3,
        };
        assert_eq!(windows.shape(), (8, 8, 2));
        let (mut input, mut output) = ([0.; 8], [0.; 2]);
        // The origin 4 and its second channel: the squares of 3, 5, 7, 9, and then of 11 and 13.
        windows.input(3, &mut input);
        windows.output(3, &mut output);
        let trend = [43. / 3., 83. / 3., 155. / 3., 211. / 3.];
        for at in 0..4 {
            let value = [9., 25., 49., 81.][at];
            assert!((input[at] - trend[at]).abs() < 1e-12);
            assert!((input[4 + at] - (value - trend[at])).abs() < 1e-12);
        }
        assert_eq!(output, [121., 169.]);
    }

    #[test]
    fn a_moving_average_wider_than_the_values_repeats_the_ends() {
        let mut out = [0.; 2];
        moving_average(&[1., 4.], 7, &mut out);
        assert_eq!(out, [(4. + 12.) / 7., (3. + 16.) / 7.]);
        moving_average(&[1., 4.], 1, &mut out);
        assert_eq!(out, [1., 4.]);
    }

    #[test]
    fn wrong_input_is_refused() {
        let series = Matrix::from_vec(800, 1, (0..800).map(|i| (i as f32).sin()).collect());
        let series = series.unwrap();
        let fit = |horizon, settings: &DecompositionSettings| {
            Decomposition::fit(&series, &parts(), horizon, settings)
        };
        assert!(fit(5, &settings(0)).is_err() && fit(0, &settings(9)).is_err());
        assert!(fit(5, &settings(496)).is_err() && fit(100, &settings(9)).is_err());
        let even = DecompositionSettings {
            average: 4,
            ..settings(9)
        };
        let none = DecompositionSettings {
            alphas: Vec::new(),
            ..settings(9)
        };
        assert!(fit(5, &even).is_err() && fit(5, &none).is_err());
        let model = fit(5, &settings(30)).unwrap();
        assert!(model.predict_part(&series, &(28..60)).is_err());
        assert!(model.predict_part(&series, &(29..60)).is_ok());
    }
}
