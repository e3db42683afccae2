//! What forecasts come to: by blocks of origins, over recordings, and in words.

use autodidact_eval::interval::{Bootstrap, Interval, bootstrap_statistic};

use super::{BOTH, SIDES, SIMPLE, UNTRAINED};
use crate::judge::verdict::Finding;

/// Blocks that the origins of a recording's test part are cut into for the bootstrap, at most.
pub(super) const BLOCKS: usize = 20;

/// Fewer blocks don't tell how much one differs from another.
const FEWEST: usize = 5;

/// The errors of one side at one horizon, block by block: squared, absolute, and how many origins.
pub(super) type Blocks = Vec<(f64, f64, f64)>;

/// The blocks of each side over all recordings. Only who speaks of every one of them can be compared with the others; of who
/// doesn't, nothing is left.
pub(super) fn joined(of_recordings: &[Vec<Option<Blocks>>]) -> Vec<Blocks> {
    let of_side = |side: usize| {
        let all: Option<Vec<&Blocks>> = of_recordings
            .iter()
            .map(|sides| sides[side].as_ref())
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

pub(super) fn verdict(
    blocks: &[Vec<Blocks>],
    horizons: &[usize],
    intervals: &Bootstrap,
) -> autodidact_eval::Result<String> {
    let (mut over_untrained, mut over_simple, mut sentences) = (0, 0, Vec::new());
    let mut untold = 0;
    for (sides, horizon) in blocks.iter().zip(horizons) {
        if sides[0].is_empty() {
            untold += 1;
            sentences.push(format!(
                "{horizon} steps ahead there is too little to learn a regression from."
            ));
            continue;
        }
        let all: Vec<usize> = (0..sides[0].len()).collect();
        let value = |side: usize| mean(&sides[side], &all, true);
        let best = best_simple(sides);
        let (ours, words) = (value(BOTH), SIDES[best].1);
        if too_few(sides) {
            untold += 1;
            sentences.push(format!(
                "{horizon} steps ahead the test part is too short to tell it from {words} ({:.3} and {:.3}).",
                ours,
                value(best)
            ));
            continue;
        }
        over_untrained += usize::from(against(sides, 0, UNTRAINED, intervals)?.high < 0.0);
        let difference = against(sides, BOTH, best, intervals)?;
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
    let all = horizons.len() - untold;
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
    fn who_does_not_speak_of_every_recording_is_left_out() {
        let spoken = |error| Some(vec![(error, error, 1.0); 3]);
        let mut recordings = [
            [0.4, 0.4, 0.5, 0.4, 0.9, 0.1, 0.5].map(spoken).to_vec(),
            [0.4, 0.4, 0.5, 0.4, 0.9, 0.1, 0.5].map(spoken).to_vec(),
        ];
        let all = joined(&recordings);
        assert!(all.iter().all(|blocks| blocks.len() == 6));
        assert_eq!(SIDES[best_simple(&all)].0, "last season");
        // There is no season in the second.
        recordings[1][5] = None;
        let all = joined(&recordings);
        assert_eq!((all[5].len(), all[0].len()), (0, 6));
        assert_eq!(best_simple(&all), SIMPLE);
        let said = verdict(std::slice::from_ref(&all), &[4], &settings()).unwrap();
        assert!(said.contains("can't be told from a regression"), "{said}");
        let found = findings(&[all], &[4], &settings()).unwrap();
        assert!(found.iter().all(|one| one.who != "last season"));
    }

    #[test]
    fn what_a_few_blocks_say_has_an_open_interval_and_decides_nothing() {
        let of = |error: f64, count: usize| vec![(error, error, 1.0); count];
        let sides = |count| [0.1, 0.1, 0.5, 0.4, 0.9, 0.3, 0.6].map(|error| of(error, count));
        let few = [sides(1).to_vec()];
        let said = verdict(&few, &[720], &settings()).unwrap();
        assert!(
            said.starts_with("Whether pretraining helped can't be told. 720 steps ahead")
                && said.contains("too short to tell it from the last season (0.100 and 0.300)"),
            "{said}"
        );
        let found = findings(&few, &[720], &settings()).unwrap();
        let open = |one: &Finding| (one.low, one.high) == (f64::NEG_INFINITY, f64::INFINITY);
        assert!(found.iter().all(open) && found[0].value == 0.1);
        // What can be told at another horizon is.
        let both = [sides(FEWEST).to_vec(), sides(FEWEST - 1).to_vec()];
        let said = verdict(&both, &[24, 720], &settings()).unwrap();
        assert!(said.starts_with("Pretraining helped. At 1 of 1"), "{said}");
        assert!(!too_few(&both[0]) && too_few(&both[1]));
    }

    #[test]
    fn where_no_regression_could_be_learned_nothing_is_decided() {
        let mut none = errors([0.1, 0.1, 0.5, 0.4, 0.9, 0.3, 0.6]);
        for side in [0, BOTH, UNTRAINED, SIMPLE] {
            none[side].clear();
        }
        let said = verdict(std::slice::from_ref(&none), &[90], &settings()).unwrap();
        assert!(
            said.starts_with("Whether pretraining helped can't be told. 90 steps ahead there is"),
            "{said}"
        );
        // What can be told at another horizon is.
        let both = [errors([0.2, 0.2, 0.5, 0.4, 0.9, 0.3, 0.6]), none];
        let said = verdict(&both, &[24, 90], &settings()).unwrap();
        assert!(said.starts_with("Pretraining helped. At 1 of 1"), "{said}");
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
}
