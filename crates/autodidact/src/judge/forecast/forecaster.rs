//! What a side has learned, and what it then says.

use std::ops::Range;

use autodidact_eval::Matrix;
use autodidact_eval::forecast::{
    ALPHAS, CORRECTION_ALPHAS, Correction, Decomposition, Rest, Ridge, last_value, seasonal_value,
};

/// The penalties that are chosen from.
pub(super) struct Penalties {
    /// Of a regression to what comes.
    pub(super) regression: Vec<f64>,
    /// Of one to what the linear map leaves over; an infinite one leaves the vectors out.
    pub(super) rest: Vec<f64>,
}

impl Penalties {
    pub(super) fn all() -> Self {
        Self {
            regression: ALPHAS.to_vec(),
            rest: CORRECTION_ALPHAS.to_vec(),
        }
    }
}

/// The linear map of one horizon, on which several sides stand.
pub(super) struct Base {
    pub(super) linear: Decomposition,
    /// What it leaves over, where that is asked and there is enough to tell it from.
    pub(super) rest: Option<Rest>,
}

/// What one of the sides has learned.
pub(super) enum Forecaster<'a> {
    /// From vectors of each step.
    Vectors(&'a Matrix, Ridge),
    /// The linear map, and from vectors of each step what that leaves over.
    Above(&'a Matrix, Decomposition, Correction),
    LastValue,
    LastSeason(usize),
    Linear(Decomposition),
}

impl Forecaster<'_> {
    /// What it says at the origins of a part.
    pub(super) fn told(
        &self,
        values: &Matrix,
        part: &Range<usize>,
        horizon: usize,
    ) -> autodidact_eval::Result<Matrix> {
        match self {
            Self::Vectors(vectors, ridge) => ridge.predict_part(vectors, part),
            Self::Above(vectors, linear, correction) => {
                correction.add_to(linear.predict_part(values, part)?, vectors, part)
            }
            Self::LastValue => last_value(values, part, horizon),
            Self::LastSeason(season) => seasonal_value(values, part, horizon, *season),
            Self::Linear(linear) => linear.predict_part(values, part),
        }
    }

    /// The penalties that it chose; all where it had none to choose.
    pub(super) fn penalties(&self) -> Penalties {
        let mut penalties = Penalties::all();
        match self {
            Self::Vectors(_, ridge) => penalties.regression = vec![ridge.alpha],
            Self::Above(_, linear, correction) => {
                penalties.regression = vec![linear.alpha];
                penalties.rest = vec![correction.alpha];
            }
            Self::Linear(linear) => penalties.regression = vec![linear.alpha],
            Self::LastValue | Self::LastSeason(_) => {}
        }
        penalties
    }

    /// Whether it stands on the linear map and says the same.
    pub(super) fn adds_nothing(&self) -> bool {
        matches!(self, Self::Above(_, _, correction) if correction.adds_nothing())
    }
}
