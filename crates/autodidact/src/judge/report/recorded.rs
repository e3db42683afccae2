//! Forecasts beside what came, what comes next, and how unusual each step was under what was recorded: from what `evaluate`
//! and `predict` left in the run's folder.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::curves::{Chart, Line, rounded, short};
use super::text;
use crate::error::{Error, Result};
use crate::judge::{Anomalies, Curve, Example, Finding, Forecasts, Upcoming, Watched};
use crate::run::RunFolder;

/// Scores are drawn up to so many times the threshold: beyond it, how far doesn't matter.
const TIMES: f64 = 5.0;

/// What was found about recordings.
#[derive(Debug, Serialize)]
pub(super) struct Recorded {
    pub(super) title: &'static str,
    /// The first sentence of the verdict, and the others.
    pub(super) headline: String,
    pub(super) verdict: String,
    pub(super) about: String,
    /// Names of the columns of the table, and its rows: who, and what each came to.
    pub(super) columns: Vec<String>,
    pub(super) rows: Vec<(String, Vec<String>)>,
    pub(super) charts: Vec<Chart>,
}

/// What the run's folder holds of it.
///
/// # Errors
/// When a file can't be read.
pub(super) fn recorded(folder: &RunFolder) -> Result<Vec<Recorded>> {
    let mut found = Vec::new();
    if let Some(forecasts) = read::<Forecasts>(folder, "forecast.json")? {
        found.push(of_forecasts(forecasts));
    }
    if let Some(upcoming) = read::<Upcoming>(folder, "foretold.json")? {
        found.push(of_upcoming(upcoming));
    }
    if let Some(anomalies) = read::<Anomalies>(folder, "anomalies.json")? {
        found.push(of_anomalies(anomalies));
    }
    Ok(found)
}

fn read<T: DeserializeOwned>(folder: &RunFolder, name: &str) -> Result<Option<T>> {
    let path = folder.file(name);
    let text = text(&path)?;
    if text.is_empty() {
        return Ok(None);
    }
    serde_json::from_str(&text).map(Some).map_err(|error| {
        Error::run("findings that can't be read")
            .at(&path)
            .because(error)
            .mend("judge again, or remove the file")
    })
}

fn of_forecasts(found: Forecasts) -> Recorded {
    let columns: Vec<String> = (found.horizons.iter())
        .map(|ahead| format!("{ahead} ahead"))
        .collect();
    let cell = |who: &str, task: &str| {
        let is = |metric: &str| {
            let found = Finding::find(&found.results, who, task, metric);
            found.map_or_else(|| "–".to_owned(), |found| format!("{:.3}", found.value))
        };
        format!("{} / {}", is("mse"), is("mae"))
    };
    let (headline, verdict) = parted(&found.verdict);
    Recorded {
        title: "Forecasts",
        about: format!(
            "Mean squared / absolute error of what was foretold for the next steps, on the scale of the training data, over {} \
             recordings. Each chart: the values before, what came, what was foretold from this network, and by the best \
             simple forecast.",
            found.recordings
        ),
        rows: table(&found.results, &columns, &cell),
        charts: found.examples.iter().map(example).collect(),
        columns,
        headline,
        verdict,
    }
}

fn of_upcoming(found: Upcoming) -> Recorded {
    let count: usize = found.by.values().sum();
    let recordings = match count {
        1 => "the recording".to_owned(),
        count => format!("each of {count} recordings"),
    };
    Recorded {
        title: "What comes next",
        headline: format!("{} steps after the end of {recordings}.", found.horizon),
        verdict: format!(
            "By whoever foretold the fourth fifth of a recording best, a network or not. {:.0} % of what comes is to lie \
             within the bounds, if it goes on as in the last fifth.",
            100.0 * found.coverage
        ),
        about: "How many recordings each foretells, and some of them: the last values that were recorded, those that are \
                foretold, and their bounds."
            .to_owned(),
        columns: vec!["recordings".to_owned()],
        rows: (found.by.into_iter())
            .map(|(by, count)| (by, vec![count.to_string()]))
            .collect(),
        charts: found.curves.iter().map(upcoming).collect(),
    }
}

fn of_anomalies(found: Anomalies) -> Recorded {
    let shown = [
        ("scores", "auc_pr", "area under precision and recall"),
        ("alarms", "f1", "F1 of alarms"),
        ("alarms", "range_f1", "F1 of ranges"),
        ("alarms", "false_alarms", "false alarms"),
        ("best threshold", "nab", "NAB, best threshold"),
    ];
    let columns: Vec<String> = shown.iter().map(|(.., name)| (*name).to_owned()).collect();
    let cell = |who: &str, column: &str| {
        let of = shown.iter().find(|(.., name)| *name == column);
        let found =
            of.and_then(|(task, metric, _)| Finding::find(&found.results, who, task, metric));
        match found {
            None => "–".to_owned(),
            Some(found) if found.metric == "nab" => format!("{:.1}", found.value),
            Some(found) => format!("{:.3}", found.value),
        }
    };
    let (headline, verdict) = parted(&found.verdict);
    Recorded {
        title: "What is not normal",
        about: format!(
            "{} of {} steps in {} recordings are said not to be normal. Scores are how far the stretch that ends at each step \
             lies from those of the beginning, in quartile ranges; the threshold is set without labels, for {:.2} % of false \
             alarms. What is shaded is said not to be normal.",
            found.abnormal,
            found.steps,
            found.recordings,
            100.0 * found.false_alarms
        ),
        rows: table(&found.results, &columns, &cell),
        charts: found.examples.iter().flat_map(watched).collect(),
        columns,
        headline,
        verdict,
    }
}

/// The first sentence, and the others.
fn parted(verdict: &str) -> (String, String) {
    match verdict.split_once(". ") {
        Some((first, others)) => (format!("{first}."), others.to_owned()),
        None => (verdict.to_owned(), String::new()),
    }
}

/// A row for each who, in the order in which they come first.
fn table(
    results: &[Finding],
    columns: &[String],
    cell: &dyn Fn(&str, &str) -> String,
) -> Vec<(String, Vec<String>)> {
    let mut rows: Vec<(String, Vec<String>)> = Vec::new();
    for who in results.iter().map(|found| found.who.as_str()) {
        if rows.iter().all(|(known, _)| known != who) {
            let cells = columns.iter().map(|column| cell(who, column));
            rows.push((who.to_owned(), cells.collect()));
        }
    }
    rows
}

/// Steps from the one that was known last.
fn example(of: &Example) -> Chart {
    let known = of.past.len() as f64;
    let mut lines = vec![
        stepwise("before", &of.past, 1.0 - known),
        stepwise("came", &of.came, 1.0),
        stepwise("foretold", &of.foretold, 1.0),
        stepwise(&of.by, &of.simple, 1.0),
    ];
    lines.retain(|line| !line.points.is_empty());
    let error = |told: &[f32]| {
        let pairs = told.iter().zip(&of.came);
        let squares = pairs.map(|(told, came)| f64::from(told - came).powi(2));
        short(squares.sum::<f64>() / of.came.len().max(1) as f64)
    };
    Chart {
        title: of.name.clone(),
        about: String::new(),
        summary: format!(
            "squared error of the forecast {}, of {} {}",
            error(&of.foretold),
            of.by,
            error(&of.simple)
        ),
        lines,
        bands: Vec::new(),
    }
}

fn stepwise(name: &str, values: &[f32], from: f64) -> Line {
    Line {
        name: name.to_owned(),
        points: (values.iter().enumerate())
            .map(|(at, &value)| (from + at as f64, rounded(f64::from(value))))
            .collect(),
    }
}

/// Steps by their number in the recording.
fn upcoming(of: &Curve) -> Chart {
    let first = of.first as f64;
    let mut lines = vec![
        stepwise("recorded", &of.past, first - of.past.len() as f64),
        stepwise("foretold", &of.foretold, first),
    ];
    if let Some([low, high]) = &of.bounds {
        lines.push(stepwise("not below", low, first));
        lines.push(stepwise("not above", high, first));
    }
    Chart {
        title: of.name.clone(),
        about: String::new(),
        summary: format!("what comes from step {} on", of.first),
        lines,
        bands: Vec::new(),
    }
}

/// What was recorded, and under it the scores.
fn watched(of: &Watched) -> [Chart; 2] {
    let step = |at: usize| at as f64 * of.every as f64;
    let bands: Vec<(f64, f64)> = (of.abnormal.iter())
        .map(|range| (range.start as f64, range.end as f64))
        .collect();
    let thresholds = of.thresholds.iter().flatten();
    let highest = TIMES * thresholds.fold(1.0, |most: f64, threshold| most.max(threshold.abs()));
    let points = |values: &[Option<f64>]| -> Vec<(f64, f64)> {
        (values.iter().enumerate())
            .filter_map(|(at, value)| Some((step(at), rounded((*value)?.clamp(-highest, highest)))))
            .collect()
    };
    let scores = points(&of.scores);
    let threshold = points(&of.thresholds);
    // Where the known beginning ends, a point has the score of a step after it, whose threshold stands at the next point.
    let threshold_from = |at: usize| of.thresholds.iter().skip(at).flatten().copied().next();
    let above = (of.scores.iter().enumerate())
        .filter(|&(at, score)| {
            let both = score.zip(threshold_from(at));
            both.is_some_and(|(score, threshold)| score >= threshold)
        })
        .count();
    let values = (of.values.iter().enumerate())
        .map(|(at, &value)| (step(at), rounded(f64::from(value))))
        .collect();
    let line = |name: &str, points| Line {
        name: name.to_owned(),
        points,
    };
    [
        Chart {
            title: of.name.clone(),
            about: "The first channel.".to_owned(),
            summary: match bands.len() {
                1 => "1 stretch is not normal".to_owned(),
                n => format!("{n} stretches are not normal"),
            },
            lines: vec![line("recorded", values)],
            bands: bands.clone(),
        },
        Chart {
            title: format!("{}, how unusual", of.name),
            about: String::new(),
            summary: format!(
                "{above} of {} points are at or above the threshold",
                scores.len()
            ),
            lines: vec![line("score", scores), line("threshold", threshold)],
            bands,
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forecast_begins_where_what_was_known_ends_and_scores_are_cut_where_they_no_longer_matter()
    {
        let chart = example(&Example {
            name: "a".to_owned(),
            past: vec![1.0, 2.0],
            came: vec![3.0, 4.0],
            foretold: vec![3.0, 5.0],
            simple: vec![2.0, 2.0],
            by: "the last value".to_owned(),
        });
        let points: Vec<_> = chart.lines.iter().map(|line| line.points.clone()).collect();
        assert_eq!(points[0], [(-1.0, 1.0), (0.0, 2.0)]);
        assert_eq!(points[1], [(1.0, 3.0), (2.0, 4.0)]);
        assert_eq!(
            chart.summary,
            "squared error of the forecast 0.500, of the last value 2.50"
        );
        let chart = upcoming(&Curve {
            name: "a".to_owned(),
            first: 10,
            past: vec![1.0, 2.0],
            foretold: vec![3.0],
            bounds: Some([vec![2.0], vec![4.0]]),
        });
        let points: Vec<_> = chart.lines.iter().map(|line| line.points.clone()).collect();
        assert_eq!(points[0], [(8.0, 1.0), (9.0, 2.0)]);
        assert_eq!(points[1..], [[(10.0, 3.0)], [(10.0, 2.0)], [(10.0, 4.0)]]);
        let [values, scores] = watched(&Watched {
            name: "b".to_owned(),
            every: 10,
            values: vec![1.0, 2.0, 3.0],
            scores: vec![None, Some(0.5), Some(1e6)],
            thresholds: vec![None, Some(2.0), Some(2.0)],
            abnormal: vec![12..25, 28..30],
        });
        assert_eq!(values.bands, [(12.0, 25.0), (28.0, 30.0)]);
        assert_eq!(scores.lines[0].points, [(10.0, 0.5), (20.0, 10.0)]);
        assert_eq!(scores.lines[1].points, [(10.0, 2.0), (20.0, 2.0)]);
        assert!(scores.summary.starts_with("1 of 2"), "{}", scores.summary);
    }

    #[test]
    fn points_of_a_damaged_file_lie_beyond_every_recording() {
        let [values, _] = watched(&Watched {
            name: "a".to_owned(),
            every: usize::MAX,
            values: vec![1.0; 3],
            scores: Vec::new(),
            thresholds: Vec::new(),
            abnormal: Vec::new(),
        });
        assert_eq!(values.lines[0].points[2].0, 2.0 * usize::MAX as f64);
    }

    #[test]
    fn a_score_at_the_end_of_the_known_beginning_is_held_against_the_next_threshold() {
        for (score, said) in [(0.5, "0 of 2"), (9.0, "1 of 2")] {
            let [_, scores] = watched(&Watched {
                name: "a".to_owned(),
                every: 10,
                values: vec![1.0; 3],
                scores: vec![None, Some(score), Some(0.5)],
                thresholds: vec![None, None, Some(2.0)],
                abnormal: Vec::new(),
            });
            assert!(scores.summary.starts_with(said), "{}", scores.summary);
        }
    }
}
