//! What a linear forecast leaves over, and what representations tell of it.
//!
//! A forecast from representations of all channels has many weights and few steps to learn them from; a [`Decomposition`],
//! which all channels share, has few. So representations are asked only for what that leaves over. A map leaves less over
//! where it has learned than elsewhere, and short series nearly nothing. So what is left of the training part is found by
//! cross-fitting: of each fifth of it, by a map that has learned from origins all of whose H steps lie elsewhere. Forecasts
//! are then those of the map that has learned from the whole, and the correction.

use std::ops::Range;

use super::decomposition::{Decomposition, DecompositionSettings, Windows};
use super::regression::{Equations, Linear, Samples, score_of_zero};
use super::representation::widen;
use super::{Parts, origins};
use crate::error::{EvalError, Result};
use crate::matrix::Matrix;

/// The penalties of a [`Correction`]: those of [`ALPHAS`](super::ALPHAS), and heavier ones, since little may be left to tell; an
/// infinite one leaves the representations out.
pub const CORRECTION_ALPHAS: [f64; 17] = [
    0.1,
    0.2,
    0.5,
    1.,
    2.,
    5.,
    10.,
    20.,
    50.,
    100.,
    200.,
    500.,
    1000.,
    1e4,
    1e5,
    1e6,
    f64::INFINITY,
];

/// Blocks of time that the training part is cut into.
const BLOCKS: usize = 5;
/// Of noise, too, some penalty makes a forecast of the validation part that is better by a hair. Less than this share is none.
const WORTH: f64 = 0.01;
/// The deviation of columns that is rounding, as a part of what they are.
const ROUNDING: f64 = 1e-6;

/// What a [`Decomposition`] leaves over of the training part and the validation part.
#[derive(Clone, Debug)]
pub struct Rest {
    horizon: usize,
    steps: usize,
    train: Left,
    validation: Left,
}

/// What came less what was foretold, `[N, H · C]`, and at which origins.
#[derive(Clone, Debug)]
struct Left {
    origins: Vec<usize>,
    values: Matrix,
}

/// A linear map from representations to what a [`Decomposition`] leaves over.
#[derive(Clone, Debug)]
pub struct Correction {
    /// The chosen penalty; infinite where the representations are left out.
    pub alpha: f64,
    /// Each penalty and the √MSE + MAE of both together on the validation part.
    pub validation: Vec<(f64, f64)>,
    /// Steps ahead.
    pub horizon: usize,
    /// By what representations are multiplied, and the map; none where they are left out.
    map: Option<(f64, Linear)>,
}

impl Decomposition {
    /// As [`fit`](Self::fit), and what is left over; nothing is told of that where the training part is so short that no fifth
    /// of it leaves half of its origins to learn from.
    ///
    /// # Errors
    ///
    /// As [`fit`](Self::fit).
    pub fn fit_with_rest(
        series: &Matrix,
        parts: &Parts,
        horizon: usize,
        settings: &DecompositionSettings,
    ) -> Result<(Self, Option<Rest>)> {
        settings.check()?;
        let train = settings.windows(series, &parts.train, horizon)?;
        let validation = settings.windows(series, &parts.validation, horizon)?;
        let equations = Equations::of(&train);
        let linear = equations.fit(&validation, &settings.alphas)?;
        let width = horizon * series.columns();
        let (mut known, mut values) = (Vec::new(), Vec::new());
        for number in 0..BLOCKS {
            let Some((block, around)) = block(&train.origins, number, horizon) else {
                continue;
            };
            let others = equations.without(&Equations::of(&train.at(around)));
            let block = train.at(block);
            values.extend(block.left_over(&others.solve(linear.alpha)?));
            known.extend(block.origins);
        }
        let rest = if known.is_empty() {
            None
        } else {
            Some(Rest {
                horizon,
                steps: series.rows(),
                validation: Left::of(&validation, &linear, width)?,
                train: Left::new(known, values, width)?,
            })
        };
        Ok((Self::of(linear, horizon, settings), rest))
    }
}

/// A block of origins, and all origins that share some of the steps that are foretold from it; none where these leave less than
/// half of the origins.
fn block(
    all: &Range<usize>,
    number: usize,
    horizon: usize,
) -> Option<(Range<usize>, Range<usize>)> {
    let cut = |number: usize| all.start + all.len() * number / BLOCKS;
    let block = cut(number)..cut(number + 1);
    let from = (block.start + 1).saturating_sub(horizon).max(all.start);
    let around = from..(block.end + horizon - 1).min(all.end);
    (!block.is_empty() && 2 * around.len() <= all.len()).then_some((block, around))
}

impl Left {
    fn of(windows: &Windows<'_>, linear: &Linear, width: usize) -> Result<Self> {
        let origins = windows.origins.clone().collect();
        Self::new(origins, windows.left_over(linear), width)
    }

    fn new(origins: Vec<usize>, values: Vec<f32>, width: usize) -> Result<Self> {
        let values = Matrix::from_vec(origins.len(), width, values);
        let values = values.map_err(|_| EvalError::Overflow {
            what: "the forecasts",
        })?;
        Ok(Self { origins, values })
    }

    fn samples<'a>(&'a self, features: &'a Matrix, scale: f64) -> Steps<'a> {
        Steps {
            features,
            scale,
            origins: &self.origins,
            left: Some(&self.values),
            outputs: self.values.columns(),
        }
    }
}

impl Rest {
    /// Fits to representations: of row t of `features` [T, D], which may know the series up to step t and no further, to what
    /// is left over of the steps after it.
    ///
    /// One factor brings the columns to a mean variance of 1, so that a penalty means the same for all networks. The map goes
    /// through their mean: a constant is no merit of representations. The penalty is the one with the least √MSE + MAE on the
    /// validation part. An infinite one, where it is among them, is taken unless another does better by a hundredth.
    ///
    /// # Errors
    ///
    /// If the features are not one row per step, there are no penalties or one is not positive, or the features are so large
    /// that the regression overflows.
    pub fn correct(&self, features: &Matrix, alphas: &[f64]) -> Result<Correction> {
        EvalError::check_length("representations", features.rows(), self.steps)?;
        let scale = scale(features, &self.train.origins);
        let validation = self.validation.samples(features, scale);
        let (infinite, finite): (Vec<f64>, Vec<f64>) = alphas
            .iter()
            .copied()
            .partition(|&alpha| alpha == f64::INFINITY);
        let mut correction = Correction {
            alpha: f64::INFINITY,
            validation: Vec::new(),
            horizon: self.horizon,
            map: None,
        };
        let mut enough = f64::INFINITY;
        if !infinite.is_empty() {
            let without = score_of_zero(&validation);
            enough = (1. - WORTH) * without;
            correction.validation.push((f64::INFINITY, without));
            if finite.is_empty() {
                return Ok(correction);
            }
        }
        let equations = Equations::of(&self.train.samples(features, scale)).around_zero();
        let linear = equations.fit(&validation, &finite)?;
        let scores = linear.validation.iter().map(|&(_, score)| score);
        let least = scores.fold(f64::INFINITY, f64::min);
        correction.validation.extend_from_slice(&linear.validation);
        if infinite.is_empty() || least < enough {
            correction.alpha = linear.alpha;
            correction.map = Some((scale, linear));
        }
        Ok(correction)
    }
}

/// What brings columns to a mean variance of 1 over some rows; 0 where they don't vary.
fn scale(features: &Matrix, rows: &[usize]) -> f64 {
    let (columns, count) = (features.columns(), rows.len() as f64);
    let (mut means, mut squares) = (vec![0.; columns], 0.);
    for &row in rows {
        for (mean, &value) in means.iter_mut().zip(features.row(row)) {
            *mean += f64::from(value) / count;
            squares += f64::from(value) * f64::from(value) / count;
        }
    }
    let mut variance = 0.;
    for &row in rows {
        for (mean, &value) in means.iter().zip(features.row(row)) {
            variance += (f64::from(value) - mean).powi(2) / count;
        }
    }
    if variance <= ROUNDING * ROUNDING * squares {
        return 0.;
    }
    (columns as f64 / variance).sqrt()
}

impl Correction {
    /// Whether the representations are left out: forecasts stay what they were.
    pub fn adds_nothing(&self) -> bool {
        self.map.is_none()
    }

    /// Adds what representations tell to forecasts at the origins of a part; `features` are those of all steps.
    ///
    /// # Errors
    ///
    /// If the forecasts or the representations are not as many or as wide as those fitted to, the part has no origin, or a
    /// forecast is too large for `f32`.
    pub fn add_to(
        &self,
        forecasts: Matrix,
        features: &Matrix,
        part: &Range<usize>,
    ) -> Result<Matrix> {
        let Some((scale, linear)) = &self.map else {
            return Ok(forecasts);
        };
        let origins: Vec<usize> = origins(features, part, self.horizon)?.collect();
        EvalError::check_length("forecasts", forecasts.rows(), origins.len())?;
        for (found, expected) in [
            (features.columns(), linear.inputs()),
            (forecasts.columns(), linear.outputs()),
        ] {
            if found != expected {
                return Err(EvalError::Columns { found, expected });
            }
        }
        let samples = Steps {
            features,
            scale: *scale,
            origins: &origins,
            left: None,
            outputs: linear.outputs(),
        };
        let (rows, columns) = (forecasts.rows(), forecasts.columns());
        let mut corrected = forecasts.into_data();
        corrected
            .iter_mut()
            .zip(linear.predict(&samples))
            .for_each(|(value, more)| *value += more);
        Matrix::from_vec(rows, columns, corrected).map_err(|_| EvalError::Overflow {
            what: "the forecasts",
        })
    }
}

/// Origins with their representations, and what was left over after them where that is known.
struct Steps<'a> {
    features: &'a Matrix,
    scale: f64,
    origins: &'a [usize],
    left: Option<&'a Matrix>,
    outputs: usize,
}

impl Samples for Steps<'_> {
    fn shape(&self) -> (usize, usize, usize) {
        (self.origins.len(), self.features.columns(), self.outputs)
    }

    fn input(&self, sample: usize, out: &mut [f64]) {
        widen(self.features.row(self.origins[sample]), out);
        out.iter_mut().for_each(|value| *value *= self.scale);
    }

    fn output(&self, sample: usize, out: &mut [f64]) {
        if let Some(left) = self.left {
            widen(left.row(sample), out);
        }
    }
}

#[cfg(test)]
mod tests;
