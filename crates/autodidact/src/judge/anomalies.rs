//! Whether a network's vectors tell what is not normal: the protocol, the same for every detector.
//!
//! The beginning of each recording is taken as known and as mostly normal; nobody labels it. Every later step gets a score
//! from what came up to it alone: how far the vector of the stretch that ends there lies from the known ones (of the
//! pretrained network, of the untrained one, of the values themselves), how far the step is from what was foretold from the
//! pretrained network's vector of the step before, and what plain detectors say. From the known scores comes a threshold for a
//! false-alarm rate that is stated beforehand (conformal: Laxhammar and Falkman 2010), and to bring recordings on one scale,
//! scores are measured in quartile ranges of the known ones. The labels only judge.

use std::ops::Range;

use autodidact_eval::anomaly::isolation::IsolationForest;
use autodidact_eval::anomaly::nab::{self, Profile, Scored};
use autodidact_eval::anomaly::points::{Counts, best_f1, best_point_adjusted_f1};
use autodidact_eval::anomaly::ranges::{self, RangeSettings};
use autodidact_eval::anomaly::ranking::{average_precision, roc_auc};
use autodidact_eval::anomaly::simple::{moving_z_score, random_scores};
use autodidact_eval::anomaly::threshold::conformal;
use autodidact_eval::forecast::{self, ALPHAS, ridge};
use autodidact_eval::interval::{Bootstrap, bootstrap_statistic};
use autodidact_eval::span::onto_span;
use autodidact_eval::{EvalError, Matrix};
use serde::{Deserialize, Serialize};

use super::detector::Detector;
use super::embedding::{Frozen, Whom};
use super::following::Following;
use super::forecast::{WIDEST, last_values};
use super::protocol::unfit;
use super::verdict::Finding;
use crate::error::{Error, Result};
use crate::modality::SourceSpec;
use crate::recipe::Evaluate;

/// Fewer known steps than so many stretches tell nothing of what is usual.
const FEWEST_STRETCHES: usize = 4;
/// Fewer known steps tell no threshold.
const FEWEST_STEPS: usize = 50;
/// Points of a curve in a report, at most.
const POINTS: usize = 2000;

/// The detectors, and what they are called in a sentence.
const DETECTORS: [(&str, &str); 7] = [
    ("pretrained", "distance by this network"),
    ("foretold", "what this network foretold"),
    ("untrained", "distance by the untrained network"),
    ("raw", "distance by values"),
    ("isolation forest", "an isolation forest"),
    ("moving z-score", "a moving z-score"),
    ("random", "chance"),
];
/// The first of the detectors that need no pretraining.
const PLAIN: usize = 2;

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
    /// Above it is an alarm.
    pub threshold: f64,
    /// From where to where it is not normal, in steps.
    pub abnormal: Vec<Range<usize>>,
}

/// What a detector says of a recording after its known beginning, in quartile ranges of the known scores above their median.
struct Said {
    scores: Vec<f64>,
    threshold: f64,
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
    let following = frozen.follow(data)?;
    let following = following.as_ref();
    let at = data.path.clone().unwrap_or_default();
    let known = |steps: usize| match settings.known < 1.0 {
        true => (settings.known * steps as f64).round() as usize,
        false => settings.known as usize,
    };
    let window = following.stretch().max(1);
    let fewest = (FEWEST_STRETCHES * window).max(FEWEST_STEPS);
    let (mut too_short, mut unsaid, mut usable) = (0, 0, Vec::new());
    for recording in 0..following.count() {
        let steps = following.steps(recording);
        let Some(abnormal) = following.abnormal(recording) else {
            unsaid += 1;
            continue;
        };
        match known(steps) {
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
    let results = findings(&judged, &intervals).map_err(unfit)?;
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
        verdict: verdict(&results, settings.false_alarms, judged.len()),
        results,
        examples,
        left_out,
    })
}

/// What each of [`DETECTORS`] says of a recording.
fn watch(
    following: &dyn Following,
    recording: usize,
    values: &Matrix,
    known: usize,
    settings: &Evaluate,
    seed: u64,
    advance: &mut dyn FnMut(usize),
) -> Result<Vec<Said>> {
    let steps: Vec<usize> = (0..values.rows()).collect();
    let whom = [Whom::Pretrained, Whom::Untrained];
    let networks = following.moments(recording, &steps, &whom, advance)?;
    let window = following.stretch().max(1);
    let rate = settings.false_alarms;
    // A stretch that is not yet whole is not like the others, and one that shares steps with those that are judged lies near
    // them whatever happens.
    let first = (window - 1).min(known / 2);
    let last = known.saturating_sub(window - 1).max(first + 1);
    let raw = last_values(values, window).map_err(unfit)?;
    let distance = |vectors: &Matrix| -> Result<Said> {
        let bank: Vec<usize> = (first..last).collect();
        let rest: Vec<usize> = (known..vectors.rows()).collect();
        let detector = Detector::new(vectors.select(&bank).map_err(unfit)?, window)?;
        let scores = detector.distances(&vectors.select(&rest).map_err(unfit)?)?;
        Said::of(detector.known(), scores, rate).map_err(unfit)
    };
    let plain = |scores: Vec<f64>| {
        let (before, after) = scores.split_at(known);
        Said::of(&before[first..], after.to_vec(), rate).map_err(unfit)
    };
    let known_rows: Vec<usize> = (0..known).collect();
    let forest = IsolationForest {
        seed,
        ..IsolationForest::default()
    };
    let forest = forest
        .fit(&values.select(&known_rows).map_err(unfit)?)
        .map_err(unfit)?;
    let seed = seed.wrapping_add(recording as u64);
    Ok(vec![
        distance(&networks[0])?,
        surprise(&networks[0], values, first..known, rate).map_err(unfit)?,
        distance(&networks[1])?,
        distance(&raw)?,
        plain(forest.scores(values).map_err(unfit)?)?,
        plain(moving_z_score(values, window.max(2)).map_err(unfit)?)?,
        plain(random_scores(values.rows(), seed))?,
    ])
}

/// How far each step is from what was foretold from the vector of the one before: the root of the mean square over the
/// channels. The regression is fitted to the first half of what is known and chosen on the next quarter; what is usual is
/// seen on the last.
fn surprise(
    vectors: &Matrix,
    values: &Matrix,
    known: Range<usize>,
    rate: f64,
) -> autodidact_eval::Result<Said> {
    let (half, quarters) = (
        known.start + known.len() / 2,
        known.start + known.len() * 3 / 4,
    );
    let parts = forecast::Parts {
        train: known.start..half,
        validation: half..quarters,
        test: quarters..values.rows(),
    };
    let vectors = onto_span(vectors, &parts.train, WIDEST)?;
    let model = ridge(&vectors, values, &parts, 1, &ALPHAS)?;
    let told = model.predict_part(&vectors, &parts.test)?;
    let channels = values.columns();
    // Of the step after each origin.
    let off = (0..told.rows()).map(|row| {
        let came = values.row(quarters + row + 1);
        let squares = told.row(row).iter().zip(came);
        let squares = squares.map(|(&told, &came)| (f64::from(told) - f64::from(came)).powi(2));
        (squares.sum::<f64>() / channels as f64).sqrt()
    });
    let off: Vec<f64> = off.collect();
    // The first origin's step is `quarters + 1`; the first step after what is known is `known.end`.
    let (before, after) = off.split_at(known.end - quarters - 1);
    Said::of(before, after.to_vec(), rate)
}

impl Said {
    /// Scores on the scale of the known ones.
    fn of(known: &[f64], scores: Vec<f64>, rate: f64) -> autodidact_eval::Result<Self> {
        let mut sorted = known.to_vec();
        sorted.sort_unstable_by(f64::total_cmp);
        let at = |part: f64| {
            let place = part * sorted.len().saturating_sub(1) as f64;
            sorted.get(place.round() as usize).copied().unwrap_or(0.0)
        };
        let (median, wide) = (at(0.5), at(0.75) - at(0.25));
        // Where nothing varied, in parts of the median, so that what is the same stays 0.
        let unit = wide.max(1e-6 * median.abs()).max(f64::MIN_POSITIVE.sqrt());
        let scale = |score: f64| ((score - median) / unit).clamp(-1e12, 1e12);
        // Few known steps can't tell a small rate; the highest of them then is the threshold.
        let threshold = match conformal(known, rate) {
            Err(EvalError::FewRows { .. }) => at(1.0).next_up(),
            threshold => threshold?,
        };
        Ok(Self {
            scores: scores.into_iter().map(scale).collect(),
            threshold: scale(threshold),
        })
    }

    fn alarms(&self) -> Vec<bool> {
        self.scores
            .iter()
            .map(|&score| score >= self.threshold)
            .collect()
    }
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
            scores: places.map(score).collect(),
            threshold: said.threshold,
            abnormal: ranges::of(abnormal),
        }
    }
}

fn count(steps: &[bool]) -> usize {
    steps.iter().filter(|&&step| step).count()
}

/// Every measure of every detector, over all recordings.
fn findings(judged: &[Judged], intervals: &Bootstrap) -> autodidact_eval::Result<Vec<Finding>> {
    let labels: Vec<bool> = joined(judged.iter().map(|one| one.abnormal.clone()), false);
    let windows: Vec<Vec<Range<usize>>> = (judged.iter())
        .map(|one| {
            let ranges = ranges::of(&one.abnormal).into_iter();
            ranges
                .map(|r| r.start + one.known..r.end + one.known)
                .collect()
        })
        .collect();
    let mut results = Vec::new();
    for (at, (who, _)) in DETECTORS.iter().enumerate() {
        // A normal step without an alarm stands between recordings, so that no range goes over from one to the next.
        let lowest = -1e12;
        let scores = joined(judged.iter().map(|one| one.said[at].scores.clone()), lowest);
        let alarms: Vec<bool> = joined(judged.iter().map(|one| one.said[at].alarms()), false);
        let counts: Vec<Counts> = (judged.iter())
            .map(|one| Counts::new(&one.said[at].alarms(), &one.abnormal))
            .collect::<autodidact_eval::Result<_>>()?;
        let sum = |drawn: &[usize]| {
            let mut all = Counts::default();
            for &one in drawn {
                all.true_positives += counts[one].true_positives;
                all.false_positives += counts[one].false_positives;
                all.false_negatives += counts[one].false_negatives;
                all.true_negatives += counts[one].true_negatives;
            }
            all
        };
        let mut push = |task: &str, metric: &str, value: f64, low: f64, high: f64| {
            results.push(Finding {
                who: (*who).to_owned(),
                task: task.to_owned(),
                metric: metric.to_owned(),
                value,
                low,
                high,
            });
        };
        let mut of_counts = |metric: &str, of: fn(&Counts) -> f64| -> autodidact_eval::Result<()> {
            let found = bootstrap_statistic(
                counts.len(),
                |drawn: &[usize]| Ok(of(&sum(drawn))),
                intervals,
            )?;
            let (low, high) = (found.low.max(0.0), found.high.min(1.0));
            push("alarms", metric, found.value, low, high);
            Ok(())
        };
        of_counts("f1", Counts::f1)?;
        of_counts("precision", Counts::precision)?;
        of_counts("recall", Counts::recall)?;
        of_counts("false_alarms", Counts::false_alarm_rate)?;
        let mut plain =
            |task: &str, metric: &str, value: f64| push(task, metric, value, value, value);
        plain(
            "alarms",
            "range_f1",
            ranges::scores(&alarms, &labels, &RangeSettings::default())?.f1,
        );
        plain("scores", "auc_pr", average_precision(&scores, &labels)?);
        plain("scores", "auc_roc", roc_auc(&scores, &labels)?);
        plain("best threshold", "f1", best_f1(&scores, &labels)?.f1);
        plain(
            "best threshold",
            "adjusted_f1",
            best_point_adjusted_f1(&scores, &labels)?.f1,
        );
        // The known beginning is scored as nothing unusual.
        let whole: Vec<Vec<f64>> = (judged.iter())
            .map(|one| [vec![lowest; one.known], one.said[at].scores.clone()].concat())
            .collect();
        let scored: Vec<Scored<'_>> = (whole.iter().zip(&windows))
            .map(|(scores, windows)| Scored { scores, windows })
            .collect();
        for (metric, profile) in [
            ("nab", Profile::STANDARD),
            ("nab_low_fp", Profile::REWARD_LOW_FALSE_POSITIVES),
            ("nab_low_fn", Profile::REWARD_LOW_FALSE_NEGATIVES),
        ] {
            match nab::best(&scored, &profile) {
                Ok(found) => plain("best threshold", metric, found.normalized),
                // All windows lie where detectors may still be learning.
                Err(EvalError::Empty { .. }) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(results)
}

/// One after the other, with `between` in between.
fn joined<T: Clone>(all: impl Iterator<Item = Vec<T>>, between: T) -> Vec<T> {
    let mut joined = Vec::new();
    for one in all {
        joined.extend(one);
        joined.push(between.clone());
    }
    joined
}

fn verdict(results: &[Finding], rate: f64, recordings: usize) -> String {
    let value = |who: &str, task: &str, metric: &str| {
        let is =
            |found: &&Finding| found.who == who && found.task == task && found.metric == metric;
        results.iter().find(is).map_or(0.0, |found| found.value)
    };
    let area = |at: usize| value(DETECTORS[at].0, "scores", "auc_pr");
    let best = |from: Range<usize>| {
        from.max_by(|&a, &b| area(a).total_cmp(&area(b)))
            .unwrap_or(0)
    };
    let (ours, untrained, plain) = (best(0..PLAIN), area(2), best(3..DETECTORS.len()));
    let chance = area(DETECTORS.len() - 1);
    let opening = match (area(ours) > untrained, area(ours) > area(plain)) {
        (true, true) => "Pretraining helped.",
        (true, false) => {
            "Pretraining taught the network something, but a plain detector serves as well or better."
        }
        (false, true) => "Pretraining did not help: the untrained network serves as well.",
        (false, false) => "Pretraining did not help.",
    };
    let said = |metric: &str| 100.0 * value(DETECTORS[ours].0, "alarms", metric);
    format!(
        "{opening} By the area under precision and recall, {} comes to {:.3}, the untrained network to {untrained:.3}, {} to \
         {:.3}, chance to {chance:.3}. With a threshold for {:.1} % of false alarms, set without labels, {:.1} % of the \
         abnormal steps are found, {:.1} % of the normal ones are alarms, and {:.1} % of the alarms are right. Over {recordings} \
         recordings; what another training seed would change, one run can't say. The adjusted F1 counts a whole stretch as \
         found where one step of it is: it flatters, chance too.",
        DETECTORS[ours].1,
        area(ours),
        DETECTORS[plain].1,
        area(plain),
        100.0 * rate,
        said("recall"),
        said("false_alarms"),
        said("precision"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A wave with a stretch of another one.
    fn wave(steps: usize, odd: Range<usize>) -> Matrix {
        let at = |step: usize| {
            let fast = if odd.contains(&step) { 1.7 } else { 0.4 };
            (step as f32 * fast).sin()
        };
        Matrix::from_vec(steps, 1, (0..steps).map(at).collect()).unwrap()
    }

    #[test]
    fn scores_are_measured_by_the_known_ones() {
        let known: Vec<f64> = (0..101).map(f64::from).collect();
        let said = Said::of(&known, vec![50.0, 100.0, 150.0], 0.05).unwrap();
        assert_eq!(said.scores, [0.0, 1.0, 2.0]);
        assert!((said.threshold - 0.92).abs() < 0.021, "{}", said.threshold);
        assert_eq!(said.alarms(), [false, true, true]);
        // Too few known for so small a rate: the highest of them is where alarms begin.
        let said = Said::of(&known[..10], vec![9.0, 9.5], 0.01).unwrap();
        assert_eq!(said.alarms(), [false, true]);
        let said = Said::of(&[3.0; 60], vec![3.0, 3.1], 0.05).unwrap();
        assert_eq!((said.alarms(), said.scores[0]), (vec![false, true], 0.0));
    }

    #[test]
    fn what_never_changed_and_then_does_is_found_and_nothing_else() {
        let mut values = vec![5.0; 300];
        values[200] = 5.5;
        let values = Matrix::from_vec(300, 1, values).unwrap();
        // Wider than what a regression takes as it is.
        let wide = (0..300).flat_map(|step| [values.row(step)[0]; 600]);
        let wide = Matrix::from_vec(300, 600, wide.collect()).unwrap();
        let said = surprise(&wide, &values, 0..100, 0.02).unwrap();
        assert_eq!(said.scores.len(), 200);
        let alarms: Vec<usize> = (0..200).filter(|&at| said.alarms()[at]).collect();
        assert_eq!(alarms, [100]);
    }

    #[test]
    fn a_stretch_of_another_wave_is_found_by_what_was_foretold_and_by_distance_and_not_by_chance() {
        let values = wave(1200, 900..960);
        let vectors = last_values(&values, 8).unwrap();
        let (known, odd): (usize, Vec<bool>) =
            (400, (0..1200).map(|s| (900..960).contains(&s)).collect());
        let bank: Vec<usize> = (7..known).collect();
        let rest: Vec<usize> = (known..1200).collect();
        let detector = Detector::new(vectors.select(&bank).unwrap(), 8).unwrap();
        let distances = detector.distances(&vectors.select(&rest).unwrap()).unwrap();
        let distance = || Said::of(detector.known(), distances.clone(), 0.02).unwrap();
        let foretold = surprise(&vectors, &values, 7..known, 0.02).unwrap();
        assert_eq!(foretold.scores.len(), 800);
        let chance = || Said::of(&random_scores(400, 1), random_scores(800, 2), 0.02).unwrap();
        let judged = [Judged {
            abnormal: odd[known..].to_vec(),
            known,
            said: vec![
                distance(),
                foretold,
                distance(),
                distance(),
                distance(),
                chance(),
                chance(),
            ],
        }];
        let settings = Bootstrap {
            resamples: 100,
            ..Bootstrap::default()
        };
        let found = findings(&judged, &settings).unwrap();
        let value = |who: &str, task: &str, metric: &str| {
            let mut all = found.iter();
            let is = |f: &&Finding| f.who == who && f.task == task && f.metric == metric;
            all.find(is).unwrap().value
        };
        for who in ["pretrained", "foretold"] {
            assert!(value(who, "scores", "auc_pr") > 0.8, "{who}");
            assert!(value(who, "alarms", "recall") > 0.7, "{who}");
            assert!(value(who, "alarms", "false_alarms") < 0.06, "{who}");
            assert!(value(who, "best threshold", "nab") > 80.0, "{who}");
        }
        assert!(value("random", "scores", "auc_pr") < 0.2);
        assert!(
            value("random", "best threshold", "adjusted_f1")
                > value("random", "best threshold", "f1")
        );
        let said = verdict(&found, 0.02, 1);
        assert!(
            said.contains("2.0 % of false alarms") && said.contains("chance to 0."),
            "{said}"
        );
        let watched = Watched::of("a".to_owned(), &values, &odd, known, &judged[0].said[0]);
        assert_eq!((watched.every, watched.abnormal.len()), (1, 1));
        assert_eq!(watched.abnormal[0], 900..960);
        assert!(watched.scores[399].is_none() && watched.scores[400].is_some());
    }
}
