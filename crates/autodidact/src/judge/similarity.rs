//! How far the cosines of pairs go with what people say of their likeness: the protocol, the same for every side.
//!
//! Each half is embedded by itself, undisturbed. The cosines are held against the scores by Spearman's and Pearson's
//! correlation, with bootstrap intervals over the pairs; nothing is learned from the scores. Where the halves' own numbers
//! are counts, columns are what most of all halves have, weighed by how rare it is (TF-IDF).

use autodidact_eval::correlation::{cosines, pearson, spearman};
use autodidact_eval::interval::{Bootstrap, Interval, bootstrap_statistic};
use autodidact_eval::{EvalError, Matrix};
use serde::Serialize;

use super::counted::weighed;
use super::embedding::{Frozen, Whom};
use super::protocol::unfit;
use super::verdict::Finding;
use crate::error::{Error, Result};
use crate::modality::{Raw, SourceSpec};
use crate::recipe::Evaluate;

/// Fewer pairs say nothing.
const FEWEST: usize = 3;
/// The task in findings.
const TASK: &str = "similarity";
/// Who is asked, and what they are called in a sentence.
const SIDES: [(&str, &str); 3] = [
    ("pretrained", "this network"),
    ("untrained", "the untrained network"),
    ("raw", "raw values"),
];

type Correlation = fn(&[f64], &[f64]) -> autodidact_eval::Result<f64>;

/// Everything that was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Similarity {
    /// The run's folder.
    pub run: String,
    /// The data.
    pub data: String,
    /// Pairs judged on.
    pub pairs: usize,
    /// The verdict in words.
    pub verdict: String,
    /// One line each for who, by which correlation.
    pub results: Vec<Finding>,
}

/// Judges a run's encoder by pairs with scores, beside the untrained network and raw values. `advance` hears what is being
/// done and how far.
///
/// # Errors
/// When the data can't be read, or holds no such pairs.
pub fn similarity(
    frozen: &dyn Frozen,
    data: &SourceSpec,
    settings: &Evaluate,
    seed: u64,
    advance: &mut dyn FnMut(&str, usize, usize),
) -> Result<Similarity> {
    let mut whom = vec![Whom::Pretrained, Whom::Untrained];
    if frozen.raw() == Raw::Values {
        whom.push(Whom::Raw);
    }
    let mut embedding = |done, all| advance("embedding the halves of pairs", done, all);
    let mut pairs = frozen.embed_pairs(data, &whom, &mut embedding)?;
    let count = pairs.scores.len();
    if count < FEWEST {
        return Err(Error::data(format!("{count} pairs with scores"))
            .at(data.path.clone().unwrap_or_default())
            .expected(format!("{FEWEST} at least")));
    }
    let intervals = Bootstrap {
        resamples: settings.resamples,
        seed,
        ..Bootstrap::default()
    };
    if frozen.raw() == Raw::Counts {
        let halves = frozen.counted_halves(data, &pairs.items)?;
        pairs.features.push(weighed_halves(&halves).map_err(unfit)?);
    }
    let sides = pairs.features.iter();
    let sides = sides.map(|[first, second]| cosines(first, second).map_err(unfit));
    let sides: Vec<Vec<f64>> = sides.collect::<Result<_>>()?;
    judge(&sides, &pairs.scores, &intervals).map_err(unfit)
}

/// Vectors of the first halves and of the second, of what is counted of each half: a first one, its second, and so on.
fn weighed_halves(halves: &[Vec<u64>]) -> autodidact_eval::Result<[Matrix; 2]> {
    // Nothing is learned from some of them to judge others by.
    let (weighed, _) = weighed(halves, &halves[..1])?;
    let every_other = |from: usize| {
        let rows: Vec<usize> = (from..halves.len()).step_by(2).collect();
        weighed.select(&rows)
    };
    Ok([every_other(0)?, every_other(1)?])
}

/// Holds the cosines of each of [`SIDES`] against the scores.
fn judge(
    sides: &[Vec<f64>],
    scores: &[f64],
    intervals: &Bootstrap,
) -> std::result::Result<Similarity, EvalError> {
    let count = scores.len();
    let pick = |values: &[f64], drawn: &[usize]| -> Vec<f64> {
        drawn.iter().map(|&pair| values[pair]).collect()
    };
    let mut results = Vec::new();
    for (side, (who, _)) in sides.iter().zip(&SIDES) {
        for (metric, of) in [("spearman", spearman as Correlation), ("pearson", pearson)] {
            let drawn = |drawn: &[usize]| of(&pick(side, drawn), &pick(scores, drawn));
            let found = bootstrap_statistic(count, drawn, intervals)?;
            results.push(Finding {
                who: (*who).to_owned(),
                task: TASK.to_owned(),
                metric: metric.to_owned(),
                value: found.value,
                low: found.low.max(-1.0),
                high: found.high.min(1.0),
            });
        }
    }
    let mut sentences = Vec::new();
    let mut wins = 0;
    for (other, (who, words)) in sides.iter().zip(&SIDES).skip(1) {
        let difference = |drawn: &[usize]| {
            let scores = pick(scores, drawn);
            Ok(spearman(&pick(&sides[0], drawn), &scores)?
                - spearman(&pick(other, drawn), &scores)?)
        };
        let difference = bootstrap_statistic(count, difference, intervals)?;
        wins += usize::from(difference.low > 0.0);
        let theirs = results
            .iter()
            .find(|found| found.who == *who)
            .map_or(0.0, |found| found.value);
        sentences.push(compared(words, theirs, &difference));
    }
    let opening = match wins {
        2 => "Pretraining helped.",
        1 => "Pretraining helped in part.",
        _ => "Pretraining did not help.",
    };
    Ok(Similarity {
        run: String::new(),
        data: String::new(),
        pairs: count,
        verdict: format!(
            "{opening} {} The ranges are 95 % intervals over the {count} pairs; what another training seed would change, \
             one run can't say.",
            sentences.join(" ")
        ),
        results,
    })
}

fn compared(words: &str, theirs: f64, difference: &Interval) -> String {
    let range = format!("{:+.3} to {:+.3}", difference.low, difference.high);
    if difference.low > 0.0 {
        format!(
            "Its cosines go with the scores better than those of {words} ({theirs:.3}; {range})."
        )
    } else if difference.high < 0.0 {
        format!("Those of {words} go with the scores better ({theirs:.3}; {range}).")
    } else {
        format!("It can't be told from {words} ({theirs:.3}; difference {range}).")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_that_share_more_of_what_is_counted_have_the_greater_cosine() {
        let halves: [[u64; 3]; 6] = [
            [1, 2, 3],
            [1, 2, 3],
            [1, 4, 5],
            [1, 4, 6],
            [1, 5, 7],
            [1, 8, 9],
        ];
        let [first, second] = weighed_halves(&halves.map(|half| half.to_vec())).unwrap();
        assert_eq!((first.rows(), second.rows()), (3, 3));
        let found = cosines(&first, &second).unwrap();
        assert!((found[0] - 1.0).abs() < 1e-6, "{found:?}");
        assert!(
            found[0] > found[1] && found[1] > found[2] && found[2] > 0.0,
            "{found:?}"
        );
    }

    #[test]
    fn who_goes_with_the_scores_wins() {
        let scores: Vec<f64> = (0..200).map(|pair| f64::from(pair * 37 % 200)).collect();
        let good: Vec<f64> = scores.iter().map(|score| score.sqrt()).collect();
        let bad: Vec<f64> = (0..200).map(|pair| f64::from(pair).sin()).collect();
        let settings = Bootstrap {
            resamples: 200,
            ..Bootstrap::default()
        };
        let found = judge(
            &[good.clone(), bad.clone(), bad.clone()],
            &scores,
            &settings,
        )
        .unwrap();
        assert!(
            found.verdict.starts_with("Pretraining helped. "),
            "{}",
            found.verdict
        );
        assert_eq!(found.results.len(), 6);
        let first = &found.results[0];
        assert!(first.metric == "spearman" && first.value > 1.0 - 1e-12);
        assert!(found.results[1].value < 1.0);
        let beaten = judge(&[bad.clone(), bad, good], &scores, &settings).unwrap();
        let verdict = beaten.verdict;
        assert!(
            verdict.starts_with(
                "Pretraining did not help. It can't be told from the untrained network"
            ) && verdict.contains("Those of raw values go with the scores better (1.000"),
            "{verdict}"
        );
    }
}
