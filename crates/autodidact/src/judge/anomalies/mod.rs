//! Whether a network's vectors tell what is not normal: the protocol, the same for every detector.
//!
//! The beginning of each recording is taken as known and as mostly normal; nobody labels it. Every later step gets a score
//! from what came up to it alone: how far the vector of the stretch that ends there, and the levels of its channels
//! (`judge/levels.rs`), lie from the known ones (of the pretrained network, of the untrained one, of levels alone, of the
//! values themselves), how far the step is from what was foretold from the
//! pretrained network's vector of the step before, and what plain detectors say. From the known scores comes a threshold for a
//! false-alarm rate that is stated beforehand (conformal: Laxhammar and Falkman 2010), and to bring recordings on one scale,
//! scores are measured in quartile ranges of the known ones. Where what is usual changes with time, `evaluate.usual =
//! "recent"` takes as many of the last steps for the known ones, for every detector alike. The labels only judge.

mod detectors;
mod measures;
mod verdict;

use std::ops::Range;

use autodidact_eval::Matrix;
use autodidact_eval::anomaly::ranges;
use autodidact_eval::interval::Bootstrap;
use serde::{Deserialize, Serialize};

use self::detectors::{Said, watch};
use self::measures::{areas, findings};
use self::verdict::verdict;
use super::embedding::Frozen;
use super::protocol::unfit;
use super::verdict::Finding;
use crate::error::{Error, Result};
use crate::modality::{SourceSpec, steps_of};
use crate::recipe::Evaluate;

/// Fewer known steps than so many stretches tell nothing of what is usual.
const FEWEST_STRETCHES: usize = 4;
/// Fewer known steps tell no threshold.
const FEWEST_STEPS: usize = 50;
/// Points of a curve in a report, at most.
const POINTS: usize = 2000;

/// The detectors, and what they are called in a sentence.
const DETECTORS: [(&str, &str); 8] = [
    ("pretrained", "distance by this network and levels"),
    ("foretold", "what this network foretold"),
    ("untrained", "distance by the untrained network and levels"),
    ("levels", "distance by levels alone"),
    ("raw", "distance by values"),
    ("isolation forest", "an isolation forest"),
    ("moving z-score", "a moving z-score"),
    ("random", "chance"),
];
/// The places of two of them.
const PRETRAINED: usize = 0;
const UNTRAINED: usize = 2;
/// From here on no network is needed.
const PLAIN: usize = 3;

/// Everything that was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Anomalies {
    /// The run's folder.
    pub run: String,
    /// The data.
    pub data: String,
    /// Recordings judged on.
    pub recordings: usize,
    /// Steps judged on.
    pub steps: usize,
    /// How many of them are not normal.
    pub abnormal: usize,
    /// In how many stretches those lie.
    pub stretches: usize,
    /// Steps that a network takes in.
    pub window: usize,
    /// The part of normal steps that may be alarms, as asked.
    pub false_alarms: f64,
    /// The verdict in words.
    pub verdict: String,
    /// One line each for which detector, by which measure.
    pub results: Vec<Finding>,
    /// A few recordings with their scores, to look at.
    pub examples: Vec<Watched>,
    /// What was not tried, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
}

/// A recording with the scores of its steps, to look at; thinned out where it is long.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Watched {
    /// The name of the recording.
    pub name: String,
    /// Steps from one point to the next.
    pub every: usize,
    /// The first channel.
    pub values: Vec<f32>,
    /// How unusual the network finds each, in quartile ranges; nothing while it is known.
    pub scores: Vec<Option<f64>>,
    /// From which score on each is an alarm.
    pub thresholds: Vec<Option<f64>>,
    /// From where to where it is not normal, in steps.
    pub abnormal: Vec<Range<usize>>,
}

/// A recording that was judged on.
struct Judged {
    /// After the known beginning.
    abnormal: Vec<bool>,
    /// Steps of the known beginning.
    known: usize,
    said: Vec<Said>,
}

/// Judges detection by a run's encoder on recordings whose abnormal steps are known, beside the untrained network and plain
/// detectors. `advance` hears what is being done and how far.
///
/// # Errors
/// When the data can't be read, or nobody said which steps are not normal, or all recordings are too short.
pub fn anomalies(
    frozen: &dyn Frozen,
    data: &SourceSpec,
    settings: &Evaluate,
    seed: u64,
    advance: &mut dyn FnMut(&str, usize, usize),
) -> Result<Anomalies> {
    let following = frozen.follow(data, settings.context)?;
    let following = following.as_ref();
    let at = data.path.clone().unwrap_or_default();
    let window = following.stretch();
    let fewest = (FEWEST_STRETCHES * window).max(FEWEST_STEPS);
    let (mut too_short, mut unsaid, mut usable) = (0, 0, Vec::new());
    for recording in 0..following.count() {
        let steps = following.steps(recording);
        let Some(abnormal) = following.abnormal(recording) else {
            unsaid += 1;
            continue;
        };
        match steps_of(settings.known, steps) {
            known if known >= fewest && known < steps => usable.push((recording, known, abnormal)),
            _ => too_short += 1,
        }
    }
    if usable.is_empty() && too_short == 0 {
        return Err(Error::data("nobody said which steps are not normal")
            .at(at)
            .expected("a column such as `anomaly` of 0 and 1, or stretches in a file of labels")
            .mend("name the column with data.reading.label, or a file of stretches with --labels (recording,start,end, or windows as JSON)"));
    }
    if usable.is_empty() {
        return Err(Error::data(format!("no recording of which {fewest} steps can be known beforehand"))
            .at(at)
            .expected(format!("longer recordings, or shorter windows than {window} steps"))
            .mend("take more of each recording as known (evaluate.known), or pretrain with a shorter data.reading.window"));
    }
    let mut left_out = Vec::new();
    if too_short > 0 {
        left_out.push(format!(
            "{too_short} recordings: fewer than {fewest} steps of them would be known"
        ));
    }
    if unsaid > 0 {
        left_out.push(format!(
            "{unsaid} recordings: nobody said what is normal there"
        ));
    }
    let total: usize = usable
        .iter()
        .map(|(recording, ..)| following.steps(*recording))
        .sum();
    let (mut done, mut judged, mut examples) = (0, Vec::new(), Vec::new());
    for (recording, known, abnormal) in usable {
        let values = following.values(recording)?.known;
        let mut progress = |more: usize| {
            done += more;
            advance("watching recordings", done, total);
        };
        let said = watch(
            following,
            recording,
            &values,
            known,
            settings,
            seed,
            &mut progress,
        )?;
        let after = abnormal[known..].to_vec();
        if examples.len() < 6 && after.contains(&true) {
            let name = following.name(recording);
            examples.push(Watched::of(name, &values, &abnormal, known, &said[0]));
        }
        judged.push(Judged {
            abnormal: after,
            known,
            said,
        });
    }
    let abnormal: usize = judged.iter().map(|one| count(&one.abnormal)).sum();
    if abnormal == 0 {
        return Err(
            Error::data("no step after the known beginnings is said not to be normal")
                .at(at)
                .expected("some that are, to judge by"),
        );
    }
    let intervals = Bootstrap {
        resamples: settings.resamples,
        seed,
        ..Bootstrap::default()
    };
    let areas = areas(&judged, &intervals).map_err(unfit)?;
    let results = findings(&judged, &areas, &intervals).map_err(unfit)?;
    Ok(Anomalies {
        run: String::new(),
        data: String::new(),
        recordings: judged.len(),
        steps: judged.iter().map(|one| one.abnormal.len()).sum(),
        abnormal,
        stretches: judged
            .iter()
            .map(|one| ranges::of(&one.abnormal).len())
            .sum(),
        window,
        false_alarms: settings.false_alarms,
        verdict: verdict(&results, &areas, &judged, settings.false_alarms).map_err(unfit)?,
        results,
        examples,
        left_out,
    })
}

impl Watched {
    fn of(name: String, values: &Matrix, abnormal: &[bool], known: usize, said: &Said) -> Self {
        let every = values.rows().div_ceil(POINTS).max(1);
        let places = (0..values.rows()).step_by(every);
        // The highest score between two points, so that no peak is lost.
        let score = |place: usize| {
            let of = place.saturating_sub(known)..(place + every).saturating_sub(known);
            let of = said.scores.get(of.start..of.end.min(said.scores.len()))?;
            of.iter().copied().reduce(f64::max)
        };
        Self {
            name,
            every,
            values: places.clone().map(|place| values.row(place)[0]).collect(),
            scores: places.clone().map(score).collect(),
            thresholds: places
                .map(|place| said.thresholds.get(place.checked_sub(known)?).copied())
                .collect(),
            abnormal: ranges::of(abnormal),
        }
    }
}

fn count(steps: &[bool]) -> usize {
    steps.iter().filter(|&&step| step).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_is_thinned_out_and_keeps_its_peaks() {
        let values = Matrix::from_vec(4001, 1, vec![1.0; 4001]).unwrap();
        let mut scores = vec![0.0; 3901];
        scores[1] = 9.0;
        let said = Said {
            thresholds: vec![5.0; scores.len()],
            scores,
        };
        let abnormal: Vec<bool> = (0..4001).map(|step| (100..103).contains(&step)).collect();
        let watched = Watched::of("a".to_owned(), &values, &abnormal, 100, &said);
        assert_eq!((watched.every, watched.values.len()), (3, 1334));
        assert_eq!(watched.abnormal.len(), 1);
        assert_eq!(watched.abnormal[0], 100..103);
        // Steps 99 to 101, of which the first is known.
        assert!(watched.scores[32].is_none() && watched.scores[33] == Some(9.0));
        assert_eq!(watched.scores[34], Some(0.0));
    }
}
