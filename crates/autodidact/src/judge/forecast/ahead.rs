//! What comes after the end of recordings: of each as it is told by whoever foretold its own last steps best.
//!
//! A forecast is worth what it was worth before. So everyone who can foretell learns from the first three fifths of a
//! recording; on the fourth it is chosen who is believed, and on the last fifth it is measured how far that one is off, which
//! gives the intervals (split conformal prediction: Lei et al. 2018). Then the one who was chosen learns from the whole
//! recording and tells what comes after it. The network's vectors, alone or on top of what is simple, compete with forecasts that
//! need no network: where a simple one is better, it is taken, and that is said.

use std::collections::BTreeMap;
use std::ops::Range;

use autodidact_eval::Matrix;
use autodidact_eval::anomaly::threshold::conformal;
use autodidact_eval::forecast::{Parts, judge};
use serde::{Deserialize, Serialize};

use super::forecaster::{Forecaster, Penalties};
use super::sides::Known;
use super::{LAST_VALUE, SIDES, UNTRAINED, fits, parts};
use crate::error::{Error, Result};
use crate::judge::embedding::Frozen;
use crate::judge::following::Following;
use crate::judge::protocol::unfit;
use crate::modality::SourceSpec;

/// The parts of a recording that are learned from, chosen by and measured on.
const FIFTHS: [f64; 3] = [0.6, 0.2, 0.2];

/// Curves that are kept to look at, at most.
const SHOWN: usize = 6;
/// Steps before the end of a recording that are kept to look at, at most.
const PAST: usize = 400;

/// What comes after the end of recordings.
#[derive(Debug, Clone, PartialEq)]
pub struct Foretold {
    /// Steps ahead.
    pub horizon: usize,
    /// The part of what comes that is to lie within the bounds, 0 to 1.
    pub coverage: f64,
    /// What was measured, by its names.
    pub channels: Vec<String>,
    /// Recording by recording.
    pub recordings: Vec<Ahead>,
    /// What was not foretold or not told exactly, and why.
    pub left_out: Vec<String>,
}

/// What comes after the end of one recording.
#[derive(Debug, Clone, PartialEq)]
pub struct Ahead {
    /// The recording's name.
    pub name: String,
    /// The number of the first step that is foretold.
    pub first: usize,
    /// When each step will be; empty where that isn't known.
    pub times: Vec<String>,
    /// Who was chosen, in words.
    pub by: &'static str,
    /// Whether that is one who sees through the network.
    pub by_network: bool,
    /// Their mean squared error on the last fifth of the recording, on the scale of the data that the network learned from.
    pub error: f64,
    /// That of the last value.
    pub error_of_last_value: f64,
    /// The last steps that were recorded, `[steps, channels]`.
    pub past: Matrix,
    /// `[steps ahead, channels]`, as they were recorded.
    pub values: Matrix,
    /// Between what they are to lie; `None` where the last fifth is too short to say.
    pub bounds: Option<[Matrix; 2]>,
}

/// A few forecasts to look at, which a run's folder keeps for its report.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Upcoming {
    /// Steps ahead.
    pub horizon: usize,
    /// The part of what comes that is to lie within the bounds, 0 to 1.
    pub coverage: f64,
    /// How many recordings were foretold by whom, in words.
    pub by: BTreeMap<String, usize>,
    /// The first channels of the first recordings.
    pub curves: Vec<Curve>,
}

/// One channel of a recording, and what comes after.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// The recording, the channel and who foretells it.
    pub name: String,
    /// The number of the first step that is foretold.
    pub first: usize,
    /// The last values that were recorded.
    pub past: Vec<f32>,
    /// Those that are foretold.
    pub foretold: Vec<f32>,
    /// Between what they are to lie, where that can be told.
    pub bounds: Option<[Vec<f32>; 2]>,
}

impl Foretold {
    /// How many recordings were foretold by whom, in words.
    pub fn by(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for one in &self.recordings {
            *counts.entry(one.by.to_owned()).or_default() += 1;
        }
        counts
    }

    /// A few of them to look at.
    pub fn upcoming(&self) -> Upcoming {
        let column = |values: &Matrix, at: usize| -> Vec<f32> {
            (0..values.rows()).map(|row| values.row(row)[at]).collect()
        };
        let curves = self.recordings.iter().flat_map(|one| {
            self.channels
                .iter()
                .enumerate()
                .map(move |(at, channel)| Curve {
                    name: format!("{}, {channel}, foretold by {}", one.name, one.by),
                    first: one.first,
                    past: column(&one.past, at),
                    foretold: column(&one.values, at),
                    bounds: one
                        .bounds
                        .as_ref()
                        .map(|[low, high]| [column(low, at), column(high, at)]),
                })
        });
        Upcoming {
            horizon: self.horizon,
            coverage: self.coverage,
            by: self.by(),
            curves: curves.take(SHOWN).collect(),
        }
    }
}

/// Foretells what comes after the end of each recording, so many steps. A network looks back over `context` steps of its
/// recording, or as many as its views have where that is 0. `advance` hears what is being done and how far.
///
/// # Errors
/// When the data can't be read, holds no recordings, or none is long enough.
pub fn foretell(
    frozen: &dyn Frozen,
    data: &SourceSpec,
    horizon: usize,
    coverage: f64,
    context: usize,
    advance: &mut dyn FnMut(&str, usize, usize),
) -> Result<Foretold> {
    if horizon == 0 {
        return Err(Error::recipe("a forecast of 0 steps").expected("at least one step"));
    }
    if !(coverage > 0.0 && coverage < 1.0) {
        return Err(Error::recipe(format!(
            "bounds that {coverage} of what comes is to lie within"
        ))
        .expected("a part between 0 and 1, such as 0.9"));
    }
    let following = frozen.follow(data, context)?;
    let following = following.as_ref();
    let count = following.count();
    let (mut recordings, mut too_short, mut filled) = (Vec::new(), 0, 0);
    for recording in 0..count {
        let parts = fifths(following.steps(recording));
        if !fits(&parts, horizon) {
            too_short += 1;
            continue;
        }
        let values = following.values(recording)?;
        filled += values.missing;
        let mut embedding = |what: &str, done: usize, all: usize| match count {
            1 => advance(what, done, all),
            _ => advance("foretelling", recording, count),
        };
        let known = Known::of(
            following,
            recording,
            values.known,
            parts,
            false,
            &mut embedding,
        )?;
        recordings.push(ahead(following, recording, known, horizon, coverage)?);
    }
    advance("foretelling", count, count);
    let needed = horizon.saturating_add(1).saturating_mul(5);
    if recordings.is_empty() {
        return Err(Error::data("no recording long enough to be foretold")
            .at(data.path.clone().unwrap_or_default())
            .expected(format!("at least {needed} steps"))
            .mend("foretell fewer steps, or name longer recordings"));
    }
    let mut left_out = Vec::new();
    if too_short > 0 {
        left_out.push(format!(
            "{too_short} recordings: too short to foretell {horizon} steps, which takes {needed}"
        ));
    }
    if filled > 0 {
        left_out.push(format!(
            "{filled} missing values: the value before stood for them"
        ));
    }
    if recordings.iter().any(|one| one.bounds.is_none()) {
        left_out.push(format!(
            "bounds of {:.0} % for some recordings: their last fifth is too short to tell them",
            100.0 * coverage
        ));
    }
    Ok(Foretold {
        horizon,
        coverage,
        channels: following.channels().to_vec(),
        recordings,
        left_out,
    })
}

/// What comes after the end of one recording.
fn ahead(
    following: &dyn Following,
    recording: usize,
    known: Known,
    horizon: usize,
    coverage: f64,
) -> Result<Ahead> {
    let (values, test) = (known.values(), &known.parts().test);
    let channels = values.columns();
    let before = |by: &Forecaster<'_>| -> Result<(Matrix, f64)> {
        let told = by.told(values, test, horizon).map_err(unfit)?;
        let found = judge(&told, values, test, horizon).map_err(unfit)?;
        Ok((told, found.overall.squared))
    };
    let (chosen, forecaster) = chosen(&known, horizon).map_err(unfit)?;
    let (told, error) = before(&forecaster)?;
    let margins = margins(&told, &known, horizon, coverage);
    let (_, error_of_last_value) = before(&Forecaster::LastValue)?;
    let penalties = forecaster.penalties();

    let whole = known.whole_for(chosen, horizon).map_err(unfit)?;
    let end = &whole.parts().test;
    let told = whole.told(chosen, end, horizon, &penalties);
    let told = told.map_err(unfit)?;
    let told =
        told.ok_or_else(|| Error::data("a forecast by one who had said something before"))?;
    let restored = |mut values: Vec<f32>| {
        following.restore(recording, &mut values);
        Matrix::from_vec(values.len() / channels, channels, values).map_err(unfit)
    };
    let recorded = |margin: f32| {
        let moved = |(at, &value): (usize, &f32)| match &margins {
            Some(margins) => value + margin * margins[at],
            None => value,
        };
        restored(told.row(0).iter().enumerate().map(moved).collect())
    };
    let bounds = match margins {
        Some(_) => Some([recorded(-1.0)?, recorded(1.0)?]),
        None => None,
    };
    let steps = following.steps(recording);
    let past = steps.saturating_sub((2 * horizon).min(PAST))..steps;
    let past = &whole.values().data()[past.start * channels..past.end * channels];
    let times = (1..=horizon).map(|ahead| following.after(recording, ahead));
    Ok(Ahead {
        name: following.name(recording),
        first: steps,
        times: times.collect::<Option<_>>().unwrap_or_default(),
        by: SIDES[chosen].1,
        by_network: chosen < UNTRAINED,
        error,
        error_of_last_value,
        past: restored(past.to_vec())?,
        values: recorded(0.0)?,
        bounds,
    })
}

/// The parts of a recording of so many steps; the last one ends with it.
fn fifths(steps: usize) -> Parts {
    let parts = parts(steps, &FIFTHS);
    Parts {
        test: parts.test.start..steps,
        ..parts
    }
}

/// The side whose forecasts of the validation part have the least squared error, the first of the best, and what it has
/// learned.
fn chosen(known: &Known, horizon: usize) -> autodidact_eval::Result<(usize, Forecaster<'_>)> {
    let part = &known.parts().validation;
    let (mut least, mut best) = (f64::INFINITY, (LAST_VALUE, Forecaster::LastValue));
    let penalties = Penalties::all();
    let base = known.base(horizon, &penalties, true)?;
    for side in 0..SIDES.len() {
        let learned = known.learned(side, horizon, &penalties, base.as_ref())?;
        // Who says the same as the linear map is not to be praised for it.
        let Some(forecaster) = learned.filter(|learned| !learned.adds_nothing()) else {
            continue;
        };
        let told = forecaster.told(known.values(), part, horizon)?;
        let error = judge(&told, known.values(), part, horizon)?.overall.squared;
        if error < least {
            (least, best) = (error, (side, forecaster));
        }
    }
    Ok(best)
}

/// How far off forecasts of the test part were, so large a part of them at most: for each step ahead and channel. `None`
/// where they are too few to say.
fn margins(told: &Matrix, known: &Known, horizon: usize, coverage: f64) -> Option<Vec<f32>> {
    let (values, first) = (known.values(), known.parts().test.start);
    let channels = values.columns();
    let margin = |column: usize| {
        let (ahead, channel) = (column / channels, column % channels);
        let off = |origin: usize| {
            let came = values.row(first + origin + 1 + ahead)[channel];
            f64::from((told.row(origin)[column] - came).abs())
        };
        let off: Vec<f64> = (0..told.rows()).map(off).collect();
        // The one error is that they are too few.
        conformal(&off, 1.0 - coverage)
            .ok()
            .map(|margin| margin as f32)
    };
    let columns: Range<usize> = 0..horizon * channels;
    columns.map(margin).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::forecast::sides::last_values;

    fn known(value: impl Fn(usize) -> f32, season: Option<usize>) -> Known {
        let series = Matrix::from_vec(300, 1, (0..300).map(value).collect()).unwrap();
        // A network that tells nothing.
        let nothing = Matrix::from_vec(300, 1, vec![0.0; 300]).unwrap();
        let raw = last_values(&series, 8).unwrap();
        let vectors = [Some(nothing.clone()), Some(nothing), None, None, Some(raw)];
        Known::new(series, fifths(300), vectors, season)
    }

    #[test]
    fn who_foretold_best_before_is_believed() {
        let wave = |step: usize| (step as f32 * 0.7).sin();
        let of_wave = known(wave, None);
        let (side, forecaster) = chosen(&of_wave, 5).unwrap();
        assert!(["raw", "linear"].contains(&SIDES[side].0));
        assert_eq!(forecaster.penalties().regression.len(), 1);
        let whole = of_wave.whole_for(side, 5).unwrap();
        let end = whole.parts().test.clone();
        assert_eq!(end, 299..305);
        let told = {
            let penalties = Penalties {
                regression: vec![0.1],
                ..Penalties::all()
            };
            whole.told(side, &end, 5, &penalties).unwrap().unwrap()
        };
        assert_eq!((told.rows(), told.columns()), (1, 5));
        for (ahead, &value) in told.row(0).iter().enumerate() {
            assert!((value - wave(300 + ahead)).abs() < 0.05, "{told:?}");
        }
        // What jumps about in a season is told by the season, and what doesn't change by the last value.
        let season = known(
            |step| [3.0, -1.0, 4.0, 1.0, -5.0, 9.0, -2.0][step % 7],
            Some(7),
        );
        let (side, forecaster) = chosen(&season, 3).unwrap();
        assert_eq!(SIDES[side].0, "last season");
        assert!(forecaster.penalties().regression.len() > 1);
        let whole = season.whole_for(side, 3).unwrap();
        let end = whole.parts().test.clone();
        let told = whole.told(side, &end, 3, &Penalties::all());
        let told = told.unwrap().unwrap();
        assert_eq!(told.data(), [-2.0, 3.0, -1.0], "300 = 42 · 7 + 6");
    }

    #[test]
    fn margins_are_as_wide_as_forecasts_were_off() {
        // From 240 on the errors of the last value are 0 and, every tenth step, 1 or 2.
        let known = known(|step| [0.0, 1.0, 2.0][step / 10 % 3], None);
        let part = known.parts().test.clone();
        let told = known.told(LAST_VALUE, &part, 1, &Penalties::all());
        let told = told.unwrap().unwrap();
        let of = |coverage: f64| margins(&told, &known, 1, coverage).map(|margins| margins[0]);
        assert_eq!(told.rows(), 59);
        assert!(of(0.85).unwrap() < 1e-6);
        assert!((of(0.95).unwrap() - 1.0).abs() < 1e-6);
        assert!((of(0.98).unwrap() - 2.0).abs() < 1e-6);
        assert_eq!(of(0.99), None);
    }
}
