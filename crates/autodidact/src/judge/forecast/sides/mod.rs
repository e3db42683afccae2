//! Who foretells, and from what: one recording at a time.

use std::ops::Range;

use autodidact_eval::forecast::{
    Decomposition, DecompositionSettings, Parts, judge, period, ridge,
};
use autodidact_eval::span::onto_span;
use autodidact_eval::{EvalError, Matrix};

use super::errors::{BLOCKS, Blocks, Found};
use super::forecaster::{Base, Forecaster, Penalties};
use super::{By, Example, SIDES, UNTRAINED, VECTORS};
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
    /// values: what [`By`] tells the place of.
    vectors: [Option<Matrix>; VECTORS],
    pub(super) season: Option<usize>,
    /// Steps that the linear map of trend and remainder sees.
    seen: usize,
}

/// What a side says of the test part.
pub(super) struct Said {
    /// At its origins.
    pub(super) told: Matrix,
    /// The error of what it says of the validation part, where the network says it.
    validation: Blocks,
    /// Whether it might have gone by vectors and does without.
    unused: bool,
}

impl Known {
    pub(super) fn new(
        values: Matrix,
        parts: Parts,
        vectors: [Option<Matrix>; VECTORS],
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
        let beside = |vectors: &Matrix| side_by_side(vectors, &raw).map_err(unfit);
        let both = beside(&pretrained)?;
        let untrained_both = untrained.as_ref().map(beside).transpose()?;
        let vectors = [
            Some(pretrained),
            Some(both),
            untrained,
            untrained_both,
            Some(raw),
        ];
        Ok(Self::new(values, parts, vectors, season.map_err(unfit)?))
    }

    pub(super) fn values(&self) -> &Matrix {
        &self.values
    }

    pub(super) fn parts(&self) -> &Parts {
        &self.parts
    }

    /// The linear map, learned from the training part, its penalty chosen on the validation part, and what it leaves over where
    /// that is asked; `None` where there is too little to learn it from.
    pub(super) fn base(
        &self,
        horizon: usize,
        penalties: &Penalties,
        rest: bool,
    ) -> autodidact_eval::Result<Option<Base>> {
        let (values, parts) = (&self.values, &self.parts);
        let settings = DecompositionSettings {
            window: self.seen,
            alphas: penalties.regression.clone(),
            ..DecompositionSettings::default()
        };
        unless_short(if rest {
            Decomposition::fit_with_rest(values, parts, horizon, &settings)
                .map(|(linear, rest)| Base { linear, rest })
        } else {
            Decomposition::fit(values, parts, horizon, &settings)
                .map(|linear| Base { linear, rest: None })
        })
    }

    /// What the side of that place among [`SIDES`] learns from the training part, its penalty chosen on the validation part;
    /// `None` where it has nothing to say. `base` is what it may stand on.
    pub(super) fn learned(
        &self,
        side: usize,
        horizon: usize,
        penalties: &Penalties,
        base: Option<&Base>,
    ) -> autodidact_eval::Result<Option<Forecaster<'_>>> {
        match SIDES[side].2 {
            By::Vectors(place) => {
                let Some(vectors) = &self.vectors[place] else {
                    return Ok(None);
                };
                let alphas = &penalties.regression;
                let ridge = ridge(vectors, &self.values, &self.parts, horizon, alphas);
                unless_short(ridge.map(|ridge| Forecaster::Vectors(vectors, ridge)))
            }
            By::Above(place) => {
                let Some(vectors) = &self.vectors[place] else {
                    return Ok(None);
                };
                let Some(Base {
                    linear,
                    rest: Some(rest),
                }) = base
                else {
                    return Ok(None);
                };
                let correction = rest.correct(vectors, &penalties.rest)?;
                Ok(Some(Forecaster::Above(vectors, linear.clone(), correction)))
            }
            By::LastValue => Ok(Some(Forecaster::LastValue)),
            By::LastSeason => Ok(self.season.map(Forecaster::LastSeason)),
            By::Linear => Ok(base.map(|base| Forecaster::Linear(base.linear.clone()))),
        }
    }

    /// What one side then says at the origins of a part.
    pub(super) fn told(
        &self,
        side: usize,
        part: &Range<usize>,
        horizon: usize,
        penalties: &Penalties,
    ) -> autodidact_eval::Result<Option<Matrix>> {
        let base = match SIDES[side].2 {
            By::Above(_) => self.base(horizon, penalties, true)?,
            By::Linear => self.base(horizon, penalties, false)?,
            By::Vectors(_) | By::LastValue | By::LastSeason => None,
        };
        let learned = self.learned(side, horizon, penalties, base.as_ref())?;
        let told = learned.map(|learned| learned.told(&self.values, part, horizon));
        told.transpose()
    }

    /// What each of [`SIDES`] says at the origins of the test part; `None` where one has nothing to say.
    pub(super) fn foretell(
        &self,
        horizon: usize,
        step: &mut dyn FnMut(),
    ) -> autodidact_eval::Result<Vec<Option<Said>>> {
        let penalties = Penalties::all();
        let base = self.base(horizon, &penalties, true)?;
        let of_side = |side: usize| -> autodidact_eval::Result<Option<Said>> {
            step();
            let learned = self.learned(side, horizon, &penalties, base.as_ref())?;
            let Some(learned) = learned else {
                return Ok(None);
            };
            let mut validation = Blocks::new();
            if side < UNTRAINED {
                let part = &self.parts.validation;
                let told = learned.told(&self.values, part, horizon)?;
                let found = judge(&told, &self.values, part, horizon)?.overall;
                validation.push((found.squared, found.absolute, told.rows() as f64));
            }
            Ok(Some(Said {
                told: learned.told(&self.values, &self.parts.test, horizon)?,
                validation,
                unused: learned.adds_nothing(),
            }))
        };
        (0..SIDES.len()).map(of_side).collect()
    }

    /// What that comes to.
    pub(super) fn found(&self, said: &Said, horizon: usize) -> autodidact_eval::Result<Found> {
        Ok(Found {
            test: self.errors(&said.told, horizon)?,
            validation: said.validation.clone(),
            unused: said.unused,
        })
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
        let kept = match SIDES[side].2 {
            By::Vectors(place) | By::Above(place) => Some(place),
            By::LastValue | By::LastSeason | By::Linear => None,
        };
        for (place, vectors) in self.vectors.iter_mut().enumerate() {
            // The others have nothing more to say, and each takes as much memory.
            *vectors = match vectors.take() {
                Some(vectors) if kept == Some(place) => Some(longer(&vectors)?),
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
    fn errors(&self, told: &Matrix, horizon: usize) -> autodidact_eval::Result<Blocks> {
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

    /// A few forecasts, evenly over the test part: by one of the network's ways and by the best simple one.
    pub(super) fn examples(
        &self,
        said: &[Option<Said>],
        way: usize,
        best: usize,
        horizon: usize,
        name: &str,
    ) -> Vec<Example> {
        let (Some(Some(network)), Some(Some(simple))) = (said.get(way), said.get(best)) else {
            return Vec::new();
        };
        let (network, simple) = (&network.told, &simple.told);
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

/// Horizons longer than what is left of a shortened training part were counted with the whole of it: there is nothing to say.
fn unless_short<Of>(found: autodidact_eval::Result<Of>) -> autodidact_eval::Result<Option<Of>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(EvalError::FewRows { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Columns of both, row by row.
fn side_by_side(first: &Matrix, second: &Matrix) -> autodidact_eval::Result<Matrix> {
    let rows = (0..first.rows()).flat_map(|row| [first.row(row), second.row(row)]);
    let data: Vec<f32> = rows.flatten().copied().collect();
    Matrix::from_vec(first.rows(), first.columns() + second.columns(), data)
}

#[cfg(test)]
mod tests;
