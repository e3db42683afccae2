//! What forecasts come to: by blocks of origins, over recordings, and in words.

use autodidact_eval::interval::{Bootstrap, Interval, bootstrap_statistic};

use super::{ABOVE, LINEAR, SIDES, SIMPLE, UNTRAINED};
use crate::judge::verdict::Finding;

/// Blocks that the origins of a recording's test part are cut into for the bootstrap, at most.
pub(super) const BLOCKS: usize = 20;

/// Fewer blocks don't tell how much one differs from another.
const FEWEST: usize = 5;

/// The errors of one side at one horizon, block by block: squared, absolute, and how many origins.
pub(super) type Blocks = Vec<(f64, f64, f64)>;

/// What one side came to in one recording.
pub(super) struct Found {
    pub(super) test: Blocks,
    /// On the validation part, as one block, where the network foretold it.
    pub(super) validation: Blocks,
    /// Whether it might have gone by vectors and does without.
    pub(super) unused: bool,
}

/// What all sides came to at one horizon, over all recordings.
pub(super) struct Judged {
    pub(super) horizon: usize,
    /// The errors of each on the test parts; none of those that don't speak of every recording.
    pub(super) sides: Vec<Blocks>,
    /// The way of this network that was best on the validation parts, of those that both networks can go.
    pub(super) way: Option<usize>,
    /// Whether the linear map does without this network's vectors in every recording.
    pub(super) unused: bool,
}

impl Judged {
    pub(super) fn of(horizon: usize, recordings: &[Vec<Option<Found>>]) -> Self {
        let sides = joined(recordings, |found| &found.test);
        let validation = joined(recordings, |found| &found.validation);
        let error = |way: &usize| {
            let all: Vec<usize> = (0..validation[*way].len()).collect();
            mean(&validation[*way], &all, true)
        };
        let way = (0..UNTRAINED)
            .filter(|&way| {
                let both = [&sides[way], &sides[UNTRAINED + way], &validation[way]];
                both.iter().all(|blocks| !blocks.is_empty())
            })
            .min_by(|a, b| error(a).total_cmp(&error(b)));
        let unused = |sides: &Vec<Option<Found>>| {
            let above = sides[ABOVE].as_ref();
            above.is_some_and(|found| found.unused)
        };
        Self {
            horizon,
            unused: recordings.iter().all(unused),
            sides,
            way,
        }
    }
}

/// The blocks of each side over all recordings. Only who speaks of every one of them can be compared with the others; of who
/// doesn't, nothing is left.
fn joined(of_recordings: &[Vec<Option<Found>>], what: impl Fn(&Found) -> &Blocks) -> Vec<Blocks> {
    let of_side = |side: usize| {
        let all: Option<Vec<&Blocks>> = of_recordings
            .iter()
            .map(|sides| sides[side].as_ref().map(&what))
            .collect();
        all.unwrap_or_default()
            .into_iter()
            .flatten()
            .copied()
            .collect()
    };
    (0..SIDES.len()).map(of_side).collect()
}

/// The mean of blocks, by their weights: squared or absolute.
pub(super) fn mean(blocks: &Blocks, drawn: &[usize], squared: bool) -> f64 {
    let drawn = drawn.iter().map(|&block| blocks[block]);
    let (sum, count) = drawn.fold((0.0, 0.0), |(sum, count), (square, absolute, weight)| {
        let error = if squared { square } else { absolute };
        (sum + weight * error, count + weight)
    });
    sum / count
}

/// Whether there are errors at a horizon, but in too few blocks to say how sure they are.
pub(super) fn too_few(sides: &[Blocks]) -> bool {
    let mut counts = sides.iter().map(Vec::len);
    counts.any(|count| (1..FEWEST).contains(&count))
}

/// The interval of what a statistic makes of so many blocks, without ends where they are too few to tell any.
fn interval(
    blocks: usize,
    statistic: impl Fn(&[usize]) -> autodidact_eval::Result<f64> + Sync,
    settings: &Bootstrap,
) -> autodidact_eval::Result<Interval> {
    if !(1..FEWEST).contains(&blocks) {
        return bootstrap_statistic(blocks, statistic, settings);
    }
    let all: Vec<usize> = (0..blocks).collect();
    Ok(Interval {
        value: statistic(&all)?,
        low: f64::NEG_INFINITY,
        high: f64::INFINITY,
    })
}

pub(super) fn findings(
    judged: &[Judged],
    intervals: &Bootstrap,
) -> autodidact_eval::Result<Vec<Finding>> {
    let mut results = Vec::new();
    for Judged { sides, horizon, .. } in judged {
        for metric in ["mse", "mae"] {
            for (of, (who, ..)) in sides.iter().zip(&SIDES) {
                if of.is_empty() {
                    continue;
                }
                let error = |drawn: &[usize]| Ok(mean(of, drawn, metric == "mse"));
                let found = interval(of.len(), error, intervals)?;
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
pub(super) fn best_simple(sides: &[Blocks]) -> usize {
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
    interval(sides[one].len(), difference, intervals)
}

/// Holds the network, in the way that was best on the validation part, against the best simple forecast and against the untrained
/// network in the same way.
pub(super) fn verdict(judged: &[Judged], intervals: &Bootstrap) -> autodidact_eval::Result<String> {
    let (mut over_untrained, mut over_simple, mut sentences) = (0, 0, Vec::new());
    let mut untold = 0;
    for one in judged {
        let (sides, horizon) = (&one.sides, one.horizon);
        let Some(way) = one.way else {
            untold += 1;
            sentences.push(format!(
                "{horizon} steps ahead there is too little to learn a regression from."
            ));
            continue;
        };
        let all: Vec<usize> = (0..sides[way].len()).collect();
        let value = |side: usize| mean(&sides[side], &all, true);
        let best = best_simple(sides);
        let (words, simple_words) = (SIDES[way].1, SIDES[best].1);
        let (ours, simple) = (value(way), value(best));
        if too_few(sides) {
            untold += 1;
            sentences.push(format!(
                "{horizon} steps ahead the test part is too short to tell {words} from {simple_words} ({ours:.3} and \
                 {simple:.3})."
            ));
            continue;
        }
        let untrained = against(sides, way, UNTRAINED + way, intervals)?;
        over_untrained += usize::from(untrained.high < 0.0);
        let difference = against(sides, way, best, intervals)?;
        sentences.push(if difference.high < 0.0 {
            over_simple += 1;
            let below = 100.0 * (1.0 - ours / simple);
            format!(
                "{horizon} steps ahead the squared error of {words} ({ours:.3}) is {below:.0} % below that of \
                 {simple_words}, the best simple forecast ({simple:.3})."
            )
        } else if difference.low > 0.0 {
            format!(
                "{horizon} steps ahead {simple_words} ({simple:.3}) does better than {words} ({ours:.3})."
            )
        } else {
            format!(
                "{horizon} steps ahead {words} can't be told from {simple_words} ({ours:.3} and {simple:.3})."
            )
        });
    }
    let unused = judged.iter().filter(|one| one.unused);
    let unused: Vec<String> = unused.map(|one| one.horizon.to_string()).collect();
    if !unused.is_empty() {
        sentences.push(format!(
            "To {} its vectors add nothing {} steps ahead, by the validation part.",
            SIDES[LINEAR].1,
            unused.join(", ")
        ));
    }
    let all = judged.len() - untold;
    if all == 0 {
        return Ok(format!(
            "Whether pretraining helped can't be told. {}",
            sentences.join(" ")
        ));
    }
    let opening = match (over_untrained, over_simple) {
        (untrained, simple) if untrained == all && simple == all => "Pretraining helped.",
        (0, _) => "Pretraining did not help.",
        (_, 0) => {
            "Pretraining taught the network something, but simple forecasts serve as well or better."
        }
        _ => "Pretraining helped in part.",
    };
    Ok(format!(
        "{opening} At {over_untrained} of {all} horizons forecasts from this network are better than those that the \
         untrained one gives in the same way, the one that served this network best on the validation part. {} By 95 % \
         intervals over blocks of the test part; what another training seed would change, one run can't say.",
        sentences.join(" ")
    ))
}

#[cfg(test)]
mod tests {
    use super::super::SEASON;
    use super::*;

    fn settings() -> Bootstrap {
        Bootstrap {
            resamples: 200,
            ..Bootstrap::default()
        }
    }

    /// This network, alone and in its other ways; the untrained one; and those that need none.
    fn sides<Of>(of: [f64; 7], side: impl Fn(f64) -> Of) -> Vec<Of> {
        let [alone, others, untrained, raw, value, season, linear] = of;
        let all = [alone, others, others, untrained, untrained, untrained];
        let simple = [raw, value, season, linear];
        all.into_iter().chain(simple).map(side).collect()
    }

    fn judged(horizon: usize, sides: Vec<Blocks>) -> Judged {
        Judged {
            horizon,
            sides,
            way: Some(1),
            unused: false,
        }
    }

    fn errors(of: [f64; 7]) -> Judged {
        let blocks = |error: f64| {
            let block = |at: usize| (error + 0.01 * (at as f64).sin(), error, 10.0);
            (0..BLOCKS).map(block).collect()
        };
        judged(24, sides(of, blocks))
    }

    fn spoken(error: f64) -> Option<Found> {
        Some(Found {
            test: vec![(error, error, 1.0); 3],
            validation: vec![(1.0 - error, error, 3.0)],
            unused: false,
        })
    }

    #[test]
    fn who_does_not_speak_of_every_recording_is_left_out() {
        let recording = || sides([0.4, 0.4, 0.5, 0.4, 0.9, 0.1, 0.5], spoken);
        let mut recordings = [recording(), recording()];
        let all = Judged::of(4, &recordings);
        assert!(all.sides.iter().all(|blocks| blocks.len() == 6));
        assert_eq!(SIDES[best_simple(&all.sides)].0, "last season");
        // There is no season in the second.
        recordings[1][SEASON] = None;
        let all = Judged::of(4, &recordings);
        assert_eq!((all.sides[SEASON].len(), all.sides[0].len()), (0, 6));
        assert_eq!(best_simple(&all.sides), SIMPLE);
        let said = verdict(std::slice::from_ref(&all), &settings()).unwrap();
        assert!(said.contains("can't be told from a regression"), "{said}");
        let found = findings(&[all], &settings()).unwrap();
        assert!(found.iter().all(|one| one.who != "last season"));
    }

    #[test]
    fn the_way_is_the_best_of_the_validation_parts_that_both_networks_can_go() {
        let mut recordings = [
            sides([0.2, 0.3, 0.5, 0.4, 0.9, 0.1, 0.5], spoken),
            sides([0.2, 0.3, 0.5, 0.4, 0.9, 0.1, 0.5], spoken),
        ];
        // What is better on the test parts is worse on these.
        let way = |recordings: &[Vec<Option<Found>>]| Judged::of(4, recordings).way;
        assert_eq!(way(&recordings), Some(1));
        let validation = |error: f64| Found {
            test: vec![(0.9, 0.9, 1.0); 3],
            validation: vec![(error, error, 3.0)],
            unused: true,
        };
        recordings[0][ABOVE] = Some(validation(0.5));
        recordings[1][ABOVE] = Some(validation(0.8));
        assert_eq!(way(&recordings), Some(ABOVE));
        let all = Judged::of(4, &recordings);
        let said = verdict(&[all], &settings()).unwrap();
        assert!(
            said.contains(
                "the last season (0.100) does better than a linear map with this network"
            ) && said.contains("remainder its vectors add nothing 4 steps ahead"),
            "{said}"
        );
        recordings[1][UNTRAINED + ABOVE] = None;
        assert_eq!(way(&recordings), Some(1));
        // Where one recording has a use for them, nothing is said.
        recordings[1][ABOVE] = spoken(0.2);
        assert!(!Judged::of(4, &recordings).unused);
    }

    #[test]
    fn what_a_few_blocks_say_has_an_open_interval_and_decides_nothing() {
        let of = |horizon, count: usize| {
            let blocks = |error: f64| vec![(error, error, 1.0); count];
            let errors = [0.1, 0.1, 0.5, 0.4, 0.9, 0.3, 0.6];
            judged(horizon, sides(errors, blocks))
        };
        let few = [of(720, 1)];
        let said = verdict(&few, &settings()).unwrap();
        assert!(
            said.starts_with("Whether pretraining helped can't be told. 720 steps ahead")
                && said.contains("too short to tell this network and the last values from")
                && said.contains("from the last season (0.100 and 0.300)"),
            "{said}"
        );
        let found = findings(&few, &settings()).unwrap();
        let open = |one: &Finding| (one.low, one.high) == (f64::NEG_INFINITY, f64::INFINITY);
        assert!(found.iter().all(open) && found[0].value == 0.1);
        // What can be told at another horizon is.
        let both = [of(24, FEWEST), of(720, FEWEST - 1)];
        let said = verdict(&both, &settings()).unwrap();
        assert!(said.starts_with("Pretraining helped. At 1 of 1"), "{said}");
        assert!(!too_few(&both[0].sides) && too_few(&both[1].sides));
    }

    #[test]
    fn where_no_regression_could_be_learned_nothing_is_decided() {
        let none = || {
            let mut none = errors([0.1, 0.1, 0.5, 0.4, 0.9, 0.3, 0.6]);
            none.sides[..=SIMPLE].iter_mut().for_each(Vec::clear);
            Judged {
                horizon: 90,
                way: None,
                ..none
            }
        };
        let said = verdict(&[none()], &settings()).unwrap();
        assert!(
            said.starts_with("Whether pretraining helped can't be told. 90 steps ahead there is"),
            "{said}"
        );
        // What can be told at another horizon is.
        let both = [errors([0.2, 0.2, 0.5, 0.4, 0.9, 0.3, 0.6]), none()];
        let said = verdict(&both, &settings()).unwrap();
        assert!(said.starts_with("Pretraining helped. At 1 of 1"), "{said}");
    }

    #[test]
    fn the_verdict_names_the_best_simple_forecast_and_who_wins() {
        let said = |of: [f64; 7]| verdict(&[errors(of)], &settings()).unwrap();
        let helped = said([0.2, 0.2, 0.5, 0.4, 0.9, 0.3, 0.6]);
        assert!(
            helped.starts_with("Pretraining helped. At 1 of 1")
                && helped.contains("33 % below that of the last season")
                && !helped.contains("add nothing"),
            "{helped}"
        );
        let simple = said([0.4, 0.4, 0.5, 0.4, 0.9, 0.5, 0.2]);
        assert!(
            simple.contains("simple forecasts serve as well or better")
                && simple.contains("24 steps ahead a linear map of trend and remainder (0.2"),
            "{simple}"
        );
        let neither = said([0.5, 0.5, 0.5, 0.5, 0.9, 0.9, 0.9]);
        assert!(
            neither.contains("did not help") && neither.contains("can't be told"),
            "{neither}"
        );
    }
}
