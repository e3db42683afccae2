//! Who foretells, and from what: one recording at a time.

use std::ops::Range;

use autodidact_eval::forecast::{
    ALPHAS, Decomposition, DecompositionSettings, Parts, Ridge, judge, last_value, period, ridge,
    seasonal_value,
};
use autodidact_eval::span::onto_span;
use autodidact_eval::{EvalError, Matrix};

use super::errors::{BLOCKS, Blocks};
use super::{Example, LAST_VALUE, SEASON, SIDES, SIMPLE};
use crate::error::{Error, Result};
use crate::judge::embedding::Whom;
use crate::judge::following::Following;
use crate::judge::protocol::unfit;

/// Vectors wider than this are seen from so many of those that are fitted to ([`onto_span`]).
pub(in crate::judge) const WIDEST: usize = 512;
/// Values of the last steps that the raw side is told from, at most.
const RAW: usize = 512;
/// The longest season that is looked for.
const LONGEST_SEASON: usize = 1000;
/// Steps that the linear map of trend and remainder sees, at most (the published number).
const SEEN: usize = 336;

/// What is known of a recording, by each side that a regression reads from.
pub(super) struct Known {
    values: Matrix,
    parts: Parts,
    /// Of the pretrained network, alone and beside the last values, of the untrained one where it is asked, and the last
    /// values.
    vectors: [Option<Matrix>; SIMPLE + 1],
    pub(super) season: Option<usize>,
    /// Steps that the linear map of trend and remainder sees.
    seen: usize,
}

/// What one of [`SIDES`] has learned.
pub(super) enum Forecaster<'a> {
    /// From vectors of each step.
    Vectors(&'a Matrix, Ridge),
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
            Self::LastValue => last_value(values, part, horizon),
            Self::LastSeason(season) => seasonal_value(values, part, horizon, *season),
            Self::Linear(linear) => linear.predict_part(values, part),
        }
    }

    /// The penalty of its regression, where it is one.
    pub(super) fn penalty(&self) -> Option<f64> {
        match self {
            Self::Vectors(_, ridge) => Some(ridge.alpha),
            Self::Linear(linear) => Some(linear.alpha),
            Self::LastValue | Self::LastSeason(_) => None,
        }
    }
}

impl Known {
    pub(super) fn new(
        values: Matrix,
        parts: Parts,
        vectors: [Option<Matrix>; SIMPLE + 1],
        season: Option<usize>,
    ) -> Self {
        Self {
            seen: SEEN.min(parts.train.len() / 2).max(1),
            values,
            parts,
            vectors,
            season,
        }
    }

    /// Lets the network go along a recording; beside it, where that is wanted, the untrained one.
    pub(super) fn of(
        following: &dyn Following,
        recording: usize,
        values: Matrix,
        parts: Parts,
        untrained: bool,
        advance: &mut dyn FnMut(&str, usize, usize),
    ) -> Result<Self> {
        let steps: Vec<usize> = (0..parts.test.end).collect();
        let (count, mut done) = (steps.len(), 0);
        let whom = [Whom::Pretrained, Whom::Untrained];
        let whom = if untrained { &whom[..] } else { &whom[..1] };
        let networks = following.moments(recording, &steps, whom, &mut |more| {
            done += more;
            advance("embedding each step", done, count);
        })?;
        let values = values.select(&steps).map_err(unfit)?;
        let raw = last_values(&values, following.stretch()).map_err(unfit)?;
        let season = period(
            &values,
            &parts.train,
            LONGEST_SEASON.min(parts.train.len() / 3).max(1),
        );
        // Before it a stretch is not a whole one, and no season over: as the published code, which leaves out 200 steps.
        let old_enough = following.stretch().min(parts.train.len() / 4);
        let parts = Parts {
            train: old_enough..parts.train.end,
            ..parts
        };
        let narrow = |vectors: &Matrix| onto_span(vectors, &parts.train, WIDEST).map_err(unfit);
        let mut networks = networks.iter().map(narrow);
        let pretrained = networks
            .next()
            .transpose()?
            .ok_or_else(|| Error::data("vectors of another number of networks than were asked"))?;
        let untrained = networks.next().transpose()?;
        let both = side_by_side(&pretrained, &raw).map_err(unfit)?;
        let vectors = [Some(pretrained), Some(both), untrained, Some(raw)];
        Ok(Self::new(values, parts, vectors, season.map_err(unfit)?))
    }

    pub(super) fn values(&self) -> &Matrix {
        &self.values
    }

    pub(super) fn parts(&self) -> &Parts {
        &self.parts
    }

    /// What the side of that place among [`SIDES`] learns from the training part, its penalty chosen on the validation part;
    /// `None` where it has nothing to say.
    pub(super) fn learned(
        &self,
        side: usize,
        horizon: usize,
        alphas: &[f64],
    ) -> autodidact_eval::Result<Option<Forecaster<'_>>> {
        let (values, parts) = (&self.values, &self.parts);
        let learned = match self.vectors.get(side) {
            Some(Some(vectors)) => ridge(vectors, values, parts, horizon, alphas)
                .map(|ridge| Forecaster::Vectors(vectors, ridge)),
            Some(None) => return Ok(None),
            None if side == LAST_VALUE => return Ok(Some(Forecaster::LastValue)),
            None if side == SEASON => return Ok(self.season.map(Forecaster::LastSeason)),
            None => {
                let settings = DecompositionSettings {
                    window: self.seen,
                    alphas: alphas.to_vec(),
                    ..DecompositionSettings::default()
                };
                Decomposition::fit(values, parts, horizon, &settings).map(Forecaster::Linear)
            }
        };
        match learned {
            Ok(learned) => Ok(Some(learned)),
            // Horizons longer than what is left of a shortened training part were counted with the whole of it.
            Err(EvalError::FewRows { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What it then says at the origins of a part.
    pub(super) fn told(
        &self,
        side: usize,
        part: &Range<usize>,
        horizon: usize,
        alphas: &[f64],
    ) -> autodidact_eval::Result<Option<Matrix>> {
        let learned = self.learned(side, horizon, alphas)?;
        let told = learned.map(|learned| learned.told(&self.values, part, horizon));
        told.transpose()
    }

    /// What each of [`SIDES`] says at the origins of the test part; `None` where one has nothing to say.
    pub(super) fn foretell(
        &self,
        horizon: usize,
        step: &mut dyn FnMut(),
    ) -> autodidact_eval::Result<Vec<Option<Matrix>>> {
        let of_side = |side: usize| {
            step();
            self.told(side, &self.parts.test, horizon, &ALPHAS)
        };
        (0..SIDES.len()).map(of_side).collect()
    }

    /// The same recording for one side to learn from as a whole, up to its last step, which is the one origin of the test part:
    /// so many steps follow that nobody knows.
    pub(super) fn whole_for(
        mut self,
        side: usize,
        horizon: usize,
    ) -> autodidact_eval::Result<Self> {
        let steps = self.values.rows();
        let places: Vec<usize> = (0..steps + horizon)
            .map(|step| step.min(steps - 1))
            .collect();
        let longer = |matrix: &Matrix| matrix.select(&places);
        for (place, vectors) in self.vectors.iter_mut().enumerate() {
            // The others have nothing more to say, and each takes as much memory.
            *vectors = match vectors.take() {
                Some(vectors) if place == side => Some(longer(&vectors)?),
                _ => None,
            };
        }
        self.values = longer(&self.values)?;
        self.parts.train.end = steps;
        self.parts.test = steps - 1..steps + horizon;
        Ok(self)
    }

    /// The errors of forecasts, by blocks of origins. None is shorter than what is foretold, where there are so many origins:
    /// forecasts that share steps are off together.
    pub(super) fn errors(&self, told: &Matrix, horizon: usize) -> autodidact_eval::Result<Blocks> {
        let origins = told.rows();
        let count = (origins / horizon.max(1)).clamp(1, BLOCKS).min(origins);
        let cut = |number: usize| origins * number / count;
        let mut blocks = Vec::with_capacity(count);
        for number in 0..count {
            let (from, to) = (cut(number), cut(number + 1));
            let rows: Vec<usize> = (from..to).collect();
            let start = self.parts.test.start;
            let part = start + from..start + to + horizon;
            let found = judge(&told.select(&rows)?, &self.values, &part, horizon)?.overall;
            blocks.push((found.squared, found.absolute, (to - from) as f64));
        }
        Ok(blocks)
    }

    /// A few forecasts, evenly over the test part.
    pub(super) fn examples(
        &self,
        told: &[Option<Matrix>],
        best: usize,
        horizon: usize,
        name: &str,
    ) -> Vec<Example> {
        let (Some(Some(network)), Some(Some(simple))) = (told.first(), told.get(best)) else {
            return Vec::new();
        };
        let channels = self.values.columns();
        let pick = |values: &[f32], channel: usize| -> Vec<f32> {
            values
                .iter()
                .skip(channel)
                .step_by(channels)
                .copied()
                .collect()
        };
        let places = [1, 3, 5].map(|sixth| sixth * network.rows() / 6);
        let example = |(number, row): (usize, usize)| {
            let (origin, channel) = (self.parts.test.start + row, number % channels);
            let data = self.values.data();
            let from = (origin + 1).saturating_sub(horizon);
            Example {
                name: format!("{name}, after step {origin}, channel {}", channel + 1),
                past: pick(&data[from * channels..(origin + 1) * channels], channel),
                came: pick(
                    &data[(origin + 1) * channels..(origin + 1 + horizon) * channels],
                    channel,
                ),
                foretold: pick(network.row(row), channel),
                simple: pick(simple.row(row), channel),
                by: SIDES[best].1.to_owned(),
            }
        };
        places.into_iter().enumerate().map(example).collect()
    }
}

/// The last values up to each step, `[steps, window · channels]`; before there are so many, the first one again.
pub(in crate::judge) fn last_values(
    values: &Matrix,
    stretch: usize,
) -> autodidact_eval::Result<Matrix> {
    let (steps, channels) = (values.rows(), values.columns());
    let window = (RAW / channels).clamp(1, stretch.max(1));
    let mut rows = Vec::with_capacity(steps * window * channels);
    for step in 0..steps {
        for back in (0..window).rev() {
            rows.extend_from_slice(values.row(step.saturating_sub(back)));
        }
    }
    Matrix::from_vec(steps, window * channels, rows)
}

/// Columns of both, row by row.
fn side_by_side(first: &Matrix, second: &Matrix) -> autodidact_eval::Result<Matrix> {
    let rows = (0..first.rows()).flat_map(|row| [first.row(row), second.row(row)]);
    let data: Vec<f32> = rows.flatten().copied().collect();
    Matrix::from_vec(first.rows(), first.columns() + second.columns(), data)
}

#[cfg(test)]
mod tests {
    use super::super::errors::{best_simple, findings, mean};
    use super::super::parts;
    use super::*;
    use autodidact_eval::interval::Bootstrap;

    fn settings() -> Bootstrap {
        Bootstrap {
            resamples: 200,
            ..Bootstrap::default()
        }
    }

    #[test]
    fn blocks_add_up_to_the_error_of_all_origins_and_gaps_of_sides_are_left_out() {
        let series = Matrix::from_vec(200, 2, (0..400).map(|x| (x as f32 * 0.7).sin()).collect());
        let series = series.unwrap();
        let vectors = [0, 1, 2, 3].map(|_| Some(last_values(&series, 8).unwrap()));
        let known = Known::new(series.clone(), parts(200, &[0.5, 0.2, 0.3]), vectors, None);
        let told = known.foretell(5, &mut || ()).unwrap();
        assert_eq!(
            told.iter().map(Option::is_some).collect::<Vec<_>>(),
            [true, true, true, true, true, false, true]
        );
        let last = told[4].as_ref().unwrap();
        let blocks = known.errors(last, 5).unwrap();
        let all: Vec<usize> = (0..blocks.len()).collect();
        let whole = judge(last, &series, &known.parts.test, 5).unwrap().overall;
        assert!((mean(&blocks, &all, true) - whole.squared).abs() < 1e-9);
        assert!((mean(&blocks, &all, false) - whole.absolute).abs() < 1e-9);
        // 55 origins: blocks are as long as the horizon, or one where that is longer.
        let lengths = |horizon: usize| -> Vec<f64> {
            let told = known.told(LAST_VALUE, &known.parts.test, horizon, &ALPHAS);
            let blocks = known.errors(&told.unwrap().unwrap(), horizon).unwrap();
            blocks.iter().map(|(.., origins)| *origins).collect()
        };
        assert_eq!(lengths(5), [5.0; 11]);
        assert_eq!(lengths(1).len(), BLOCKS);
        assert_eq!(lengths(35), [25.0]);
        // A sine is foretold by its last values, and not by the last one.
        let regression = known.errors(told[SIMPLE].as_ref().unwrap(), 5).unwrap();
        assert!(mean(&regression, &all, true) < 0.01 * whole.squared);
        let sides: Vec<Blocks> = (told.iter())
            .map(|told| {
                told.as_ref()
                    .map_or_else(Vec::new, |told| known.errors(told, 5).unwrap())
            })
            .collect();
        let found = findings(std::slice::from_ref(&sides), &[5], &settings()).unwrap();
        assert_eq!(found.len(), 12);
        assert_eq!(found[0].task, "5 ahead");
        assert_eq!(best_simple(&sides), SIMPLE);
        let examples = known.examples(&told, SIMPLE, 5, "a");
        assert_eq!(examples.len(), 3);
        assert_eq!(examples[1].past.len(), 5);
        assert_eq!(examples[1].came, {
            let origin = known.parts.test.start + 3 * last.rows() / 6;
            (1..=5)
                .map(|ahead| series.row(origin + ahead)[1])
                .collect::<Vec<_>>()
        });
    }
}
