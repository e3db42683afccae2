//! How well what comes next can be foretold from what a network makes of the steps before: the protocol, the same for every
//! side.
//!
//! After TS2Vec (Yue et al. 2022): from the vector of each step, frozen, a ridge regression to the next steps of all
//! channels, whose penalty is chosen on the validation part; mean squared and absolute error on the test part, on the scale
//! of the training data. Beside it the same regression from these vectors and the last values together, from the untrained
//! network's vectors and from the last values alone, and what needs no network: the last value, the last season, and a linear map of trend and remainder after
//! DLinear (Zeng et al. 2023). Intervals are of a bootstrap over blocks of origins, since neighboring errors are alike.

use autodidact_eval::forecast::{
    ALPHAS, Decomposition, DecompositionSettings, Parts, judge, last_value, period, ridge,
    seasonal_value,
};
use autodidact_eval::interval::{Bootstrap, Interval, bootstrap_statistic};
use autodidact_eval::span::onto_span;
use autodidact_eval::{EvalError, Matrix};
use serde::{Deserialize, Serialize};

use super::embedding::{Frozen, Whom};
use super::following::Following;
use super::protocol::unfit;
use super::verdict::Finding;
use crate::error::{Error, Result};
use crate::modality::SourceSpec;
use crate::recipe::Evaluate;

/// Vectors wider than this are seen from so many of those that are fitted to ([`onto_span`]).
pub(super) const WIDEST: usize = 512;
/// Values of the last steps that the raw side is told from, at most.
const RAW: usize = 512;
/// Blocks that the origins of the test part are cut into for the bootstrap.
const BLOCKS: usize = 20;
/// The longest season that is looked for.
const LONGEST_SEASON: usize = 1000;
/// Steps that the linear map of trend and remainder sees, at most (the published number).
const SEEN: usize = 336;

/// Who is asked, and what they are called in a sentence.
const SIDES: [(&str, &str); 7] = [
    ("pretrained", "this network"),
    ("with values", "this network and the last values"),
    ("untrained", "the untrained network"),
    ("raw", "the same regression on the last values"),
    ("last value", "the last value"),
    ("last season", "the last season"),
    ("linear", "a linear map of trend and remainder"),
];
/// The places of some of them.
const BOTH: usize = 1;
const UNTRAINED: usize = 2;
/// From here on no network is needed.
const SIMPLE: usize = 3;

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
    /// The recording, the step that was known last, and the channel from 0.
    pub name: String,
    /// The values before.
    pub past: Vec<f32>,
    /// The values that came.
    pub came: Vec<f32>,
    /// What was foretold from this network.
    pub foretold: Vec<f32>,
    /// What the best simple forecast had said.
    pub simple: Vec<f32>,
    /// Which that is.
    pub by: String,
}

/// The errors of one side at one horizon, block by block: squared, absolute, and how many origins.
type Blocks = Vec<(f64, f64, f64)>;

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
    let following = frozen.follow(data)?;
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
    let mut blocks: Vec<Vec<Blocks>> = vec![vec![Vec::new(); SIDES.len()]; horizons.len()];
    let (mut season, mut channels, mut examples, mut seen) = (None, 0, Vec::new(), false);
    for (number, (recording, parts)) in usable.iter().enumerate() {
        let values = following.values(*recording)?;
        filled += values.missing;
        channels = values.known.columns();
        seen |= following.learned(*recording).end > parts.test.start;
        let sides = Known::of(following, *recording, values.known, parts.clone(), advance)?;
        if number == 0 {
            season = sides.season;
        }
        for (at, &horizon) in horizons.iter().enumerate() {
            let mut step = || {
                advance("foretelling", done, total);
                done += 1;
            };
            let told = sides.foretell(horizon, &mut step).map_err(unfit)?;
            for (side, told) in told.iter().enumerate() {
                if let Some(told) = told {
                    let errors = sides.errors(told, horizon).map_err(unfit)?;
                    blocks[at][side].extend(errors);
                }
            }
            let longest = at + 1 == horizons.len();
            if number == 0 && longest {
                let best = best_simple(&blocks[at]);
                examples = sides.examples(&told, best, horizon, &following.name(*recording));
            }
        }
    }
    advance("foretelling", total, total);
    if filled > 0 {
        left_out.push(format!(
            "{filled} missing values: the value before stood for them, in what was known and in what was asked"
        ));
    }
    if season.is_none() {
        left_out.push("the last season: none was found in the training part".to_owned());
    }
    let intervals = Bootstrap {
        resamples: settings.resamples,
        seed,
        ..Bootstrap::default()
    };
    let results = findings(&blocks, &horizons, &intervals).map_err(unfit)?;
    let verdict = verdict(&blocks, &horizons, &intervals).map_err(unfit)?;
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

/// Where the parts of a recording lie: each setting is a number of steps, or the part of all steps where it is below 1.
fn parts(steps: usize, settings: &[f64; 3]) -> Parts {
    let share = |setting: f64| match setting < 1.0 {
        true => (setting * steps as f64).round() as usize,
        false => setting as usize,
    };
    let train = share(settings[0]).min(steps);
    let validation = (train + share(settings[1])).min(steps);
    let test = (validation + share(settings[2])).min(steps);
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

/// What is known of a recording, by each side that a regression reads from.
struct Known {
    values: Matrix,
    parts: Parts,
    /// Of the pretrained network, alone and beside the last values, of the untrained one, and the last values.
    vectors: [Matrix; 4],
    season: Option<usize>,
}

impl Known {
    fn of(
        following: &dyn Following,
        recording: usize,
        values: Matrix,
        parts: Parts,
        advance: &mut dyn FnMut(&str, usize, usize),
    ) -> Result<Self> {
        let steps: Vec<usize> = (0..parts.test.end).collect();
        let (count, mut done) = (steps.len(), 0);
        let whom = [Whom::Pretrained, Whom::Untrained];
        let networks = following.moments(recording, &steps, &whom, &mut |more| {
            done += more;
            advance("embedding each step", done, count);
        })?;
        let [pretrained, untrained] = <[Matrix; 2]>::try_from(networks)
            .map_err(|_| Error::data("vectors of another number of networks than were asked"))?;
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
        let (pretrained, untrained) = (narrow(&pretrained)?, narrow(&untrained)?);
        let both = side_by_side(&pretrained, &raw).map_err(unfit)?;
        Ok(Self {
            vectors: [pretrained, both, untrained, raw],
            values,
            parts,
            season: season.map_err(unfit)?,
        })
    }

    /// What each of [`SIDES`] says at the origins of the test part; `None` where one has nothing to say.
    fn foretell(
        &self,
        horizon: usize,
        step: &mut dyn FnMut(),
    ) -> autodidact_eval::Result<Vec<Option<Matrix>>> {
        let (values, parts) = (&self.values, &self.parts);
        let mut told = Vec::with_capacity(SIDES.len());
        for vectors in &self.vectors {
            step();
            // Horizons longer than what is left of a shortened training part were counted with the whole of it.
            let model = ridge(vectors, values, parts, horizon, &ALPHAS);
            told.push(match model {
                Ok(model) => Some(model.predict_part(vectors, &parts.test)?),
                Err(EvalError::FewRows { .. }) => None,
                Err(error) => return Err(error),
            });
        }
        step();
        told.push(Some(last_value(values, &parts.test, horizon)?));
        step();
        told.push(match self.season {
            Some(season) => Some(seasonal_value(values, &parts.test, horizon, season)?),
            None => None,
        });
        step();
        let settings = DecompositionSettings {
            window: SEEN.min(parts.train.len() / 2).max(1),
            ..DecompositionSettings::default()
        };
        let linear = Decomposition::fit(values, parts, horizon, &settings);
        told.push(match linear {
            Ok(linear) => Some(linear.predict_part(values, &parts.test)?),
            Err(EvalError::FewRows { .. }) => None,
            Err(error) => return Err(error),
        });
        Ok(told)
    }

    /// The errors of forecasts, by blocks of origins.
    fn errors(&self, told: &Matrix, horizon: usize) -> autodidact_eval::Result<Blocks> {
        let origins = told.rows();
        let length = origins.div_ceil(BLOCKS).max(1);
        let mut blocks = Vec::new();
        for from in (0..origins).step_by(length) {
            let to = (from + length).min(origins);
            let rows: Vec<usize> = (from..to).collect();
            let start = self.parts.test.start;
            let part = start + from..start + to + horizon;
            let found = judge(&told.select(&rows)?, &self.values, &part, horizon)?.overall;
            blocks.push((found.squared, found.absolute, (to - from) as f64));
        }
        Ok(blocks)
    }

    /// A few forecasts, evenly over the test part.
    fn examples(
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
pub(super) fn last_values(values: &Matrix, stretch: usize) -> autodidact_eval::Result<Matrix> {
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

/// The mean of blocks, by their weights: squared or absolute.
fn mean(blocks: &Blocks, drawn: &[usize], squared: bool) -> f64 {
    let drawn = drawn.iter().map(|&block| blocks[block]);
    let (sum, count) = drawn.fold((0.0, 0.0), |(sum, count), (square, absolute, weight)| {
        let error = if squared { square } else { absolute };
        (sum + weight * error, count + weight)
    });
    sum / count
}

fn findings(
    blocks: &[Vec<Blocks>],
    horizons: &[usize],
    intervals: &Bootstrap,
) -> autodidact_eval::Result<Vec<Finding>> {
    let mut results = Vec::new();
    for (sides, horizon) in blocks.iter().zip(horizons) {
        for metric in ["mse", "mae"] {
            for (of, (who, _)) in sides.iter().zip(&SIDES) {
                if of.is_empty() {
                    continue;
                }
                let error = |drawn: &[usize]| Ok(mean(of, drawn, metric == "mse"));
                let found = bootstrap_statistic(of.len(), error, intervals)?;
                results.push(Finding {
                    who: (*who).to_owned(),
                    task: format!("{horizon} ahead"),
                    metric: metric.to_owned(),
                    value: found.value,
                    low: found.low,
                    high: found.high,
                });
            }
        }
    }
    Ok(results)
}

/// The side without a network that has the least squared error.
fn best_simple(sides: &[Blocks]) -> usize {
    let error = |side: &usize| {
        let all: Vec<usize> = (0..sides[*side].len()).collect();
        mean(&sides[*side], &all, true)
    };
    (SIMPLE..SIDES.len())
        .filter(|&side| !sides[side].is_empty())
        .min_by(|a, b| error(a).total_cmp(&error(b)))
        .unwrap_or(SIMPLE)
}

/// How one side stands to another at one horizon.
fn against(
    sides: &[Blocks],
    one: usize,
    other: usize,
    intervals: &Bootstrap,
) -> autodidact_eval::Result<Interval> {
    let difference =
        |drawn: &[usize]| Ok(mean(&sides[one], drawn, true) - mean(&sides[other], drawn, true));
    bootstrap_statistic(sides[one].len(), difference, intervals)
}

fn verdict(
    blocks: &[Vec<Blocks>],
    horizons: &[usize],
    intervals: &Bootstrap,
) -> autodidact_eval::Result<String> {
    let (mut over_untrained, mut over_simple, mut sentences) = (0, 0, Vec::new());
    for (sides, horizon) in blocks.iter().zip(horizons) {
        if sides[0].is_empty() {
            sentences.push(format!(
                "{horizon} steps ahead there is too little to learn a regression from."
            ));
            continue;
        }
        let all: Vec<usize> = (0..sides[0].len()).collect();
        let value = |side: usize| mean(&sides[side], &all, true);
        over_untrained += usize::from(against(sides, 0, UNTRAINED, intervals)?.high < 0.0);
        let best = best_simple(sides);
        let difference = against(sides, BOTH, best, intervals)?;
        let (ours, words) = (value(BOTH), SIDES[best].1);
        let share = 100.0 * (ours / value(best) - 1.0);
        sentences.push(if difference.high < 0.0 {
            over_simple += 1;
            format!(
                "{horizon} steps ahead its squared error, with the last values beside it ({:.3}), is {:.0} % below that of {words}, the best simple forecast \
                 ({:.3}).",
                ours,
                -share,
                value(best)
            )
        } else if difference.low > 0.0 {
            format!(
                "{horizon} steps ahead {words} ({:.3}) does better than this network ({:.3}).",
                value(best),
                ours
            )
        } else {
            format!(
                "{horizon} steps ahead it can't be told from {words} ({:.3} and {:.3}).",
                ours,
                value(best)
            )
        });
    }
    let all = horizons.len();
    let opening = match (over_untrained, over_simple) {
        (untrained, simple) if untrained == all && simple == all => "Pretraining helped.",
        (0, _) => "Pretraining did not help.",
        (_, 0) => {
            "Pretraining taught the network something, but simple forecasts serve as well or better."
        }
        _ => "Pretraining helped in part.",
    };
    Ok(format!(
        "{opening} At {over_untrained} of {all} horizons forecasts from this network are better than those from the \
         untrained one. {} By 95 % intervals over blocks of the test part; what another training seed would change, one \
         run can't say.",
        sentences.join(" ")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> Bootstrap {
        Bootstrap {
            resamples: 200,
            ..Bootstrap::default()
        }
    }

    fn errors(of: [f64; 7]) -> Vec<Blocks> {
        let blocks = |error: f64| {
            let block = |at: usize| (error + 0.01 * (at as f64).sin(), error, 10.0);
            (0..BLOCKS).map(block).collect()
        };
        of.into_iter().map(blocks).collect()
    }

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

    #[test]
    fn the_verdict_names_the_best_simple_forecast_and_who_wins() {
        let all = [errors([0.2, 0.2, 0.5, 0.4, 0.9, 0.3, 0.6])];
        let said = verdict(&all, &[24], &settings()).unwrap();
        assert!(
            said.starts_with("Pretraining helped. At 1 of 1")
                && said.contains("33 % below that of the last season"),
            "{said}"
        );
        let all = [errors([0.4, 0.4, 0.5, 0.4, 0.9, 0.5, 0.2])];
        let said = verdict(&all, &[24], &settings()).unwrap();
        assert!(
            said.contains("simple forecasts serve as well or better")
                && said.contains("24 steps ahead a linear map of trend and remainder (0.2"),
            "{said}"
        );
        let all = [errors([0.5, 0.5, 0.5, 0.5, 0.9, 0.9, 0.9])];
        let said = verdict(&all, &[24], &settings()).unwrap();
        assert!(
            said.contains("did not help") && said.contains("can't be told"),
            "{said}"
        );
    }

    #[test]
    fn blocks_add_up_to_the_error_of_all_origins_and_gaps_of_sides_are_left_out() {
        let series = Matrix::from_vec(200, 2, (0..400).map(|x| (x as f32 * 0.7).sin()).collect());
        let series = series.unwrap();
        let known = Known {
            vectors: [0, 1, 2, 3].map(|_| last_values(&series, 8).unwrap()),
            values: series.clone(),
            parts: parts(200, &[0.5, 0.2, 0.3]),
            season: None,
        };
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
