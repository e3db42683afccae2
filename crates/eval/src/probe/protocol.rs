//! The probing protocol: choose scaling and penalty without the test part, fit again on everything.

use super::choice::{Choice, ProbeSettings, Tried};
use super::logistic::LinearModel;
use super::scaling::{Moments, Scaler, Scaling};
use crate::error::{EvalError, Result};
use crate::matrix::Matrix;
use crate::sampling::{generator, permutation};

/// A linear classifier on scaled features, its scaling and penalty chosen.
#[derive(Clone, Debug, PartialEq)]
pub struct Probe {
    /// The classifier of the scaled features.
    pub model: LinearModel,
    /// The chosen scaling.
    pub scaling: Scaling,
    /// The chosen value of [`LogisticRegression::c`](super::LogisticRegression::c).
    pub chosen_c: f64,
    /// What was tried; empty where there was nothing to choose or the training part is too small to split, in which case
    /// the first candidates are taken.
    pub tried: Vec<Tried>,
    scaler: Scaler,
}

/// What a probe says about a test part.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbeResult {
    /// The predicted class of each test row.
    pub predictions: Vec<u32>,
    /// The chosen scaling.
    pub scaling: Scaling,
    /// The chosen value of [`LogisticRegression::c`](super::LogisticRegression::c).
    pub chosen_c: f64,
    /// What was tried on the training part.
    pub tried: Vec<Tried>,
    /// Whether the final fit converged.
    pub converged: bool,
}

/// Fits a [`Probe`] to the training part and predicts the test part.
///
/// # Errors
///
/// As [`Probe::fit`] and [`Probe::predict`].
pub fn linear_probe(
    train: &Matrix,
    train_labels: &[u32],
    test: &Matrix,
    settings: &ProbeSettings,
) -> Result<ProbeResult> {
    train.check_columns(test)?;
    let probe = Probe::fit(train, train_labels, settings)?;
    let predictions = probe.predict(test)?;
    let Probe {
        model,
        scaling,
        chosen_c,
        tried,
        ..
    } = probe;
    Ok(ProbeResult {
        predictions,
        scaling,
        chosen_c,
        tried,
        converged: model.converged,
    })
}

impl Probe {
    /// Shuffles the training part, scales it by its means and standard deviations (plus 1e-6), chooses among the
    /// candidates by the accuracy on the last fifth (and more of them, by [`ProbeSettings::rounds`]), and fits to all of it
    /// with the chosen one.
    ///
    /// # Errors
    ///
    /// If the labels are not one per row or all of one class, or a setting is out of its range.
    pub fn fit(train: &Matrix, labels: &[u32], settings: &ProbeSettings) -> Result<Self> {
        Self::fit_with(&Moments::of(train), train, labels, settings)
    }

    /// As [`fit`](Self::fit), but scales by the given moments, such as those of many more items than have labels.
    ///
    /// # Errors
    ///
    /// As [`fit`](Self::fit), and if the moments are those of another number of features.
    pub fn fit_with(
        moments: &Moments,
        train: &Matrix,
        labels: &[u32],
        settings: &ProbeSettings,
    ) -> Result<Self> {
        EvalError::check_length("training labels", labels.len(), train.rows())?;
        moments.check_columns(train)?;
        settings.check()?;
        let mut order = permutation(train.rows(), &mut generator(settings.seed, 0));
        if let Some(limit) = settings.max_fit_rows {
            order.truncate(limit);
        }
        let labels: Vec<u32> = order.iter().map(|&row| labels[row]).collect();
        let Choice {
            scaling,
            c,
            tried,
            start,
        } = settings.choose(train, &order, &labels, moments)?;
        let scaler = moments.scaler(scaling);
        let features = scaler.rows(train, &order);
        let regression = settings.regression(c);
        let model = regression.fit_rows(&features, train.columns(), &labels, start.as_ref())?;
        Ok(Self {
            model,
            scaling,
            chosen_c: c,
            tried,
            scaler,
        })
    }

    /// The same classifier of raw features: its weights `[C, D]` and intercepts.
    ///
    /// # Errors
    ///
    /// If it has no place among numbers of 32 bits.
    pub fn unscaled(&self) -> Result<(Matrix, Vec<f32>)> {
        let (classes, columns) = (self.model.weights.rows(), self.model.weights.columns());
        let mut weights = Vec::with_capacity(classes * columns);
        let mut intercepts = Vec::with_capacity(classes);
        for (class, &intercept) in self.model.intercepts.iter().enumerate() {
            let row = self.model.weights.row(class).iter();
            let row = row.zip(&self.scaler.divisors);
            let row: Vec<f64> = row.map(|(&w, d)| f64::from(w) / d).collect();
            let shifts = row.iter().zip(&self.scaler.shifts);
            let shift: f64 = shifts.map(|(w, m)| w * m).sum();
            intercepts.push((f64::from(intercept) - shift) as f32);
            weights.extend(row.into_iter().map(|w| w as f32));
        }
        let overflow = EvalError::Overflow {
            what: "the weights of raw features",
        };
        if intercepts.iter().any(|intercept| !intercept.is_finite()) {
            return Err(overflow);
        }
        let weights = Matrix::from_vec(classes, columns, weights).map_err(|_| overflow)?;
        Ok((weights, intercepts))
    }

    /// The class of each row of raw, not scaled features.
    ///
    /// # Errors
    ///
    /// If the width of the rows is not that of the training part.
    pub fn predict(&self, features: &Matrix) -> Result<Vec<u32>> {
        self.model.weights.check_columns(features)?;
        let features = self.scaler.matrix(features)?;
        self.model.predict(&features)
    }

    /// The probability of each class, `[N, C]`, for rows of raw features; the columns follow `model.classes`.
    ///
    /// # Errors
    ///
    /// As [`predict`](Self::predict).
    pub fn probabilities(&self, features: &Matrix) -> Result<Matrix> {
        self.model.weights.check_columns(features)?;
        let features = self.scaler.matrix(features)?;
        self.model.probabilities(&features)
    }
}
