//! What comes next, foretold from what a network makes of the steps before; and how well that can be done: the protocol, the
//! same for every side.
//!
//! After TS2Vec (Yue et al. 2022): from the vector of each step, frozen, a ridge regression to the next steps of all
//! channels, whose penalty is chosen on the validation part; mean squared and absolute error on the test part, on the scale
//! of the training data. Beside it what needs no network: the same regression from the last values, the last value, the last
//! season, and a linear map of trend and remainder after DLinear (Zeng et al. 2023). A network may also stand on what is simple,
//! in two ways: its vectors and the last values together, and the linear map, its vectors asked for what that leaves over. The
//! untrained network foretells in the same ways. Intervals are of a bootstrap over blocks of origins, since neighboring errors
//! are alike.

mod ahead;
mod errors;
mod forecaster;
mod sides;

use autodidact_eval::forecast::Parts;
use autodidact_eval::interval::Bootstrap;
use serde::{Deserialize, Serialize};

pub use self::ahead::{Ahead, Curve, Foretold, Upcoming, foretell};
use self::errors::{Found, Judged, best_simple, findings, too_few, verdict};
use self::sides::Known;
pub(super) use self::sides::{WIDEST, last_values};
use super::embedding::Frozen;
use super::protocol::unfit;
use super::verdict::Finding;
use crate::error::{Error, Result};
use crate::modality::{SourceSpec, steps_of};
use crate::recipe::Evaluate;

/// Who is asked, what they are called in a sentence, and by what they foretell. The untrained network does so in the same ways
/// as the pretrained one, in the same order.
const SIDES: [(&str, &str, By); 10] = [
    ("pretrained", "this network", By::Vectors(0)),
    (
        "with values",
        "this network and the last values",
        By::Vectors(1),
    ),
    (
        "pretrained over linear",
        "a linear map with this network for the rest",
        By::Above(0),
    ),
    ("untrained", "the untrained network", By::Vectors(2)),
    (
        "untrained with values",
        "the untrained network and the last values",
        By::Vectors(3),
    ),
    (
        "untrained over linear",
        "a linear map with the untrained network for the rest",
        By::Above(2),
    ),
    ("raw", "a regression on the last values", By::Vectors(4)),
    ("last value", "the last value", By::LastValue),
    ("last season", "the last season", By::LastSeason),
    ("linear", "a linear map of trend and remainder", By::Linear),
];
/// The places of some of them. Those before the untrained network's are the ways of this one.
const ABOVE: usize = 2;
const UNTRAINED: usize = 3;
/// From here on no network is needed.
const SIMPLE: usize = 6;
const LAST_VALUE: usize = 7;
const SEASON: usize = 8;
const LINEAR: usize = 9;

/// Vectors that a side may go by.
const VECTORS: usize = 5;

/// By what a side foretells.
#[derive(Debug, Clone, Copy)]
enum By {
    /// A regression on the vectors of that place.
    Vectors(usize),
    /// The linear map, and a regression on the vectors of that place for what it leaves over.
    Above(usize),
    LastValue,
    LastSeason,
    Linear,
}

/// Everything that was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Forecasts {
    /// The run's folder.
    pub run: String,
    /// The data.
    pub data: String,
    /// Recordings judged on.
    pub recordings: usize,
    /// Values a step.
    pub channels: usize,
    /// Steps ahead that were foretold.
    pub horizons: Vec<usize>,
    /// The season that was found in the training part of the first recording, in steps.
    pub season: Option<usize>,
    /// Whether pretraining has seen steps that are judged on, without being told what is asked of it.
    pub seen: bool,
    /// The verdict in words.
    pub verdict: String,
    /// One line each for who, how far ahead, by which error.
    pub results: Vec<Finding>,
    /// A few forecasts of the longest horizon, to look at.
    pub examples: Vec<Example>,
    /// What was not tried, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
}

/// A forecast of a channel, to look at.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Example {
    /// The recording, the step that was known last, and the channel from 1.
    pub name: String,
    /// The values before.
    pub past: Vec<f32>,
    /// The values that came.
    pub came: Vec<f32>,
    /// What was foretold from this network, in the way that was best on the validation part.
    pub foretold: Vec<f32>,
    /// What the best simple forecast had said.
    pub simple: Vec<f32>,
    /// Which that is.
    pub by: String,
}

/// Judges forecasts from a run's encoder, beside those of the untrained network and of what needs none. `advance` hears
/// what is being done and how far.
///
/// # Errors
/// When the data can't be read, holds no recordings, or none is long enough for the shortest horizon.
pub fn forecasts(
    frozen: &dyn Frozen,
    data: &SourceSpec,
    horizons: &[usize],
    settings: &Evaluate,
    seed: u64,
    advance: &mut dyn FnMut(&str, usize, usize),
) -> Result<Forecasts> {
    let following = frozen.follow(data, settings.context)?;
    let following = following.as_ref();
    let mut horizons = horizons.to_vec();
    horizons.sort_unstable();
    horizons.dedup();
    let shortest = horizons.first().copied().unwrap_or(0);
    if shortest == 0 {
        return Err(
            Error::recipe("a forecast of 0 steps").expected("horizons of at least one step")
        );
    }
    let (mut left_out, mut usable, mut too_short) = (Vec::new(), Vec::new(), 0);
    for recording in 0..following.count() {
        let parts = parts(following.steps(recording), &settings.forecast_parts);
        if fits(&parts, shortest) {
            usable.push((recording, parts));
        } else {
            too_short += 1;
        }
    }
    if usable.is_empty() {
        return Err(
            Error::data("no recording long enough to be parted and foretold")
                .at(data.path.clone().unwrap_or_default())
                .expected(format!(
                    "parts for training, validation and test ({:?}), each longer than {shortest} steps",
                    settings.forecast_parts
                ))
                .mend("name shorter horizons, other parts (evaluate.forecast_parts), or longer recordings"),
        );
    }
    if too_short > 0 {
        left_out.push(format!(
            "{too_short} recordings: too short for parts of more than {shortest} steps each"
        ));
    }
    horizons.retain(|&horizon| {
        let fits = usable.iter().all(|(_, parts)| fits(parts, horizon));
        if !fits {
            left_out.push(format!(
                "{horizon} steps ahead: longer than a part of a recording"
            ));
        }
        fits
    });
    let total = usable.len() * horizons.len() * SIDES.len();
    let (mut done, mut filled) = (0, 0);
    // By horizon, recording and side.
    let mut told: Vec<Vec<Vec<Option<Found>>>> = horizons.iter().map(|_| Vec::new()).collect();
    let (mut season, mut channels, mut examples, mut seen) = (None, 0, Vec::new(), false);
    // Of other data the network has seen nothing, whatever its parts are called.
    let own = frozen.is_own(data);
    for (number, (recording, parts)) in usable.iter().enumerate() {
        let values = following.values(*recording)?;
        filled += values.missing;
        channels = values.known.columns();
        seen |= own && following.learned(*recording).end > parts.test.start;
        let sides = Known::of(
            following,
            *recording,
            values.known,
            parts.clone(),
            true,
            advance,
        )?;
        if number == 0 {
            season = sides.season;
        }
        for (at, &horizon) in horizons.iter().enumerate() {
            let mut step = || {
                advance("foretelling", done, total);
                done += 1;
            };
            let said = sides.foretell(horizon, &mut step).map_err(unfit)?;
            let found = |said: &Option<_>| {
                let found = said.as_ref().map(|said| sides.found(said, horizon));
                found.transpose().map_err(unfit)
            };
            let found: Vec<Option<Found>> = said.iter().map(found).collect::<Result<_>>()?;
            told[at].push(found);
            let longest = at + 1 == horizons.len();
            if number == 0 && longest {
                let judged = Judged::of(horizon, &told[at]);
                let (way, best) = (judged.way.unwrap_or(0), best_simple(&judged.sides));
                examples = sides.examples(&said, way, best, horizon, &following.name(*recording));
            }
        }
    }
    advance("foretelling", total, total);
    let judged: Vec<Judged> = (told.iter().zip(&horizons))
        .map(|(told, &horizon)| Judged::of(horizon, told))
        .collect();
    if filled > 0 {
        left_out.push(format!(
            "{filled} missing values: the value before stood for them, in what was known and in what was asked"
        ));
    }
    for Judged { sides, horizon, .. } in &judged {
        if too_few(sides) {
            left_out.push(format!(
                "how sure the errors are {horizon} steps ahead: the test part holds too few stretches of so many steps to say"
            ));
        }
        if sides[ABOVE].is_empty() && !sides[LINEAR].is_empty() {
            left_out.push(format!(
                "what a linear map leaves over {horizon} steps ahead: the training part is too short to learn it from"
            ));
        }
    }
    if judged.iter().any(|one| one.sides[SEASON].is_empty()) {
        left_out.push(
            "the last season: none was found in the training part of some recording".to_owned(),
        );
    }
    let intervals = Bootstrap {
        resamples: settings.resamples,
        seed,
        ..Bootstrap::default()
    };
    let results = findings(&judged, &intervals).map_err(unfit)?;
    let verdict = verdict(&judged, &intervals).map_err(unfit)?;
    Ok(Forecasts {
        run: String::new(),
        data: String::new(),
        recordings: usable.len(),
        channels,
        horizons,
        season,
        seen,
        verdict,
        results,
        examples,
        left_out,
    })
}

/// Where the parts of a recording lie.
fn parts(steps: usize, settings: &[f64; 3]) -> Parts {
    let [train, validation, test] = settings.map(|setting| steps_of(setting, steps));
    let train = train.min(steps);
    let validation = (train + validation).min(steps);
    let test = (validation + test).min(steps);
    Parts {
        train: 0..train,
        validation: train..validation,
        test: validation..test,
    }
}

/// Whether every part has an origin.
fn fits(parts: &Parts, horizon: usize) -> bool {
    [&parts.train, &parts.validation, &parts.test]
        .iter()
        .all(|part| part.len() > horizon)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_shares_or_steps_and_end_with_the_recording() {
        let of = |steps, settings| {
            let found = parts(steps, &settings);
            [found.train, found.validation, found.test]
        };
        assert_eq!(of(100, [0.6, 0.2, 0.2]), [0..60, 60..80, 80..100]);
        assert_eq!(of(17, [8.0, 4.0, 4.0]), [0..8, 8..12, 12..16]);
        assert_eq!(of(10, [8.0, 4.0, 4.0]), [0..8, 8..10, 10..10]);
        assert!(fits(&parts(100, &[0.6, 0.2, 0.2]), 19));
        assert!(!fits(&parts(100, &[0.6, 0.2, 0.2]), 20));
    }
}
