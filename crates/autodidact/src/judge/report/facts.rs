//! What a run's files say about it: how long, on what, what went wrong, what it scored.

use serde::{Deserialize, Serialize};

use super::curves::{History, count, short};
use crate::judge::verdict::{Finding, task_in_words};
use crate::method;
use crate::recipe::{Duration, Recipe};
use crate::run::Position;

/// Off by more than this, a budget was missed.
const TOLERANCE: f64 = 0.05;
/// Waiting for more than this share of the time is worth a warning.
const WAITING: f64 = 0.25;

/// A line of the page's head.
#[derive(Debug, Serialize)]
pub(super) struct Fact {
    pub(super) name: &'static str,
    pub(super) value: String,
}

/// The head of the page, from the recipe, the log and the last checkpoint.
pub(super) fn facts(
    recipe: &Recipe,
    log: &str,
    position: Option<&Position>,
    history: &History,
) -> Vec<Fact> {
    let logged = |name: &str| {
        // The last leg's, where a run went on.
        let lines = log.lines().rev();
        let mut found = lines.filter_map(|line| line.strip_prefix(name));
        found.next().map(|rest| rest.trim().to_owned())
    };
    let method = recipe.method().unwrap_or("unnamed");
    let source = method::ALL.iter().find(|entry| entry.name == method);
    let network = recipe.text("encoder", "name").unwrap_or("unnamed");
    let mut facts = vec![
        (
            "Learned from",
            logged("data ").unwrap_or_else(|| match recipe.text("data", "path") {
                Some(path) => path.to_owned(),
                None => "the embedded data".to_owned(),
            }),
        ),
        (
            "Method",
            match source {
                Some(entry) => format!("{method}: {} ({})", entry.summary, entry.source),
                None => method.to_owned(),
            },
        ),
        (
            "Network",
            match logged("network ") {
                Some(said) => format!("{network}: {said}"),
                None => network.to_owned(),
            },
        ),
    ];
    if let Some(length) = length(position, history) {
        facts.push(("Training", length));
    }
    let machine = logged("machine ").unwrap_or_else(|| "not recorded by this run".to_owned());
    let numbers = logged("numbers ").map_or_else(String::new, |numbers| format!("; {numbers}"));
    facts.push(("Machine", format!("{machine}{numbers}")));
    facts
        .into_iter()
        .map(|(name, value)| Fact { name, value })
        .collect()
}

/// How long it learned, in steps, passes and time.
fn length(position: Option<&Position>, history: &History) -> Option<String> {
    let progress = &position?.progress;
    let mut text = format!("{} steps", progress.step());
    if let Some(epochs) = history.last("epoch") {
        text.push_str(&format!(", {} passes over the data", short(epochs)));
    }
    text.push_str(&format!(", {}", Duration(progress.elapsed.round())));
    if progress.began() > 0 {
        text.push_str(&format!(
            " for the last leg, after {} steps before",
            progress.began()
        ));
    }
    if !progress.finished() {
        text.push_str(&format!(
            "; stopped before its end, {:.0} % done",
            100.0 * progress.done()
        ));
    }
    Some(text)
}

/// What a person should know before believing the rest.
pub(super) fn warnings(log: &str, position: Option<&Position>, history: &History) -> Vec<String> {
    let mut warnings: Vec<String> = Vec::new();
    if let Some(progress) = position.map(|position| &position.progress) {
        if !progress.finished() {
            warnings.push(format!(
                "The run was stopped after {} of about {} steps: everything here is about a network that was still \
                 learning. `autodidact pretrain --resume` goes on.",
                progress.step(),
                progress.total()
            ));
        } else if let Some(budget) = progress.budget()
            && (progress.elapsed / budget - 1.0).abs() > TOLERANCE
        {
            warnings.push(format!(
                "The run took {} of the {} it was given.",
                Duration(progress.elapsed.round()),
                Duration(budget)
            ));
        }
    }
    let mut said: Vec<&str> = log
        .lines()
        .filter_map(|line| line.strip_prefix("warning: "))
        .collect();
    said.dedup();
    for warning in said {
        let mut text = format!("During training: {warning}");
        if let (Some(deviation), Some(rank)) = (
            history.last("checkup/deviation"),
            history.last("checkup/rankme"),
        ) {
            text.push_str(&format!(
                " At the last look: deviation {}, {} dimensions in use.",
                short(deviation),
                short(rank)
            ));
        }
        warnings.push(text);
    }
    if let Some(waiting) = history
        .mean("time/waiting")
        .filter(|&share| share > WAITING)
    {
        warnings.push(format!(
            "The network waited for data in {:.0} % of the time: more train.workers, smaller files or a larger \
             data.memory would make it quicker.",
            100.0 * waiting
        ));
    }
    warnings
}

/// `evaluation.json`, as far as it is known here: what is missing is left out, what is unknown passed over.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Evaluation {
    data: String,
    items: usize,
    learned_from: usize,
    classes: usize,
    verdict: String,
    set_aside: bool,
    /// Whether pretraining saw what was set aside; it isn't said in older files, which are of the run's own data.
    seen: Option<bool>,
    results: Vec<Finding>,
}

/// The findings as a table: a row a task, a column each who was judged.
#[derive(Debug, Serialize)]
pub(super) struct Scores {
    /// The verdict's first sentence, and the others.
    pub(super) headline: String,
    pub(super) details: String,
    pub(super) about: String,
    pub(super) who: Vec<String>,
    pub(super) rows: Vec<Row>,
}

/// A task.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) task: String,
    pub(super) cells: Vec<Option<Cell>>,
}

/// How someone did at it.
#[derive(Debug, Serialize)]
pub(super) struct Cell {
    pub(super) value: String,
    /// The interval, or that there is too little to tell; none where both ends are the value, which is no interval.
    pub(super) interval: Option<String>,
    pub(super) best: bool,
    /// The value and the ends of its interval in percent of the bar; none where there is no scale from 0 to 1.
    pub(super) bar: Option<[f64; 3]>,
}

impl Evaluation {
    /// The table; `None` where nothing was found.
    pub(super) fn scores(&self) -> Option<Scores> {
        let mut who: Vec<&str> = Vec::new();
        let mut tasks: Vec<(&str, &str)> = Vec::new();
        for finding in &self.results {
            if !who.contains(&finding.who.as_str()) {
                who.push(&finding.who);
            }
            let task = (finding.task.as_str(), finding.metric.as_str());
            if !tasks.contains(&task) {
                tasks.push(task);
            }
        }
        if tasks.is_empty() {
            return None;
        }
        let rows = tasks.iter().map(|&task| self.row(task, &who)).collect();
        let intervals = if self.results.iter().any(has_interval) {
            " Small figures and whiskers are 95 % intervals."
        } else {
            ""
        };
        let (headline, details) = match self.verdict.split_once(". ") {
            Some((first, rest)) => (format!("{first}."), rest.to_owned()),
            None => (self.verdict.clone(), String::new()),
        };
        let aside = if self.set_aside && self.seen.unwrap_or(true) {
            " The judged items were set aside from the data that pretraining saw, unlabeled."
        } else {
            ""
        };
        Some(Scores {
            headline,
            details,
            about: format!(
                "Judged on {} items of {} classes, with the labels of {} others to learn from: {}.{intervals}{aside}",
                count(self.items),
                self.classes,
                count(self.learned_from),
                self.data
            ),
            who: who.iter().map(|who| in_words(who)).collect(),
            rows,
        })
    }

    fn row(&self, (task, metric): (&str, &str), who: &[&str]) -> Row {
        let of = |name: &&str| {
            let mut found = self.results.iter();
            found.find(|f| f.who == **name && f.task == task && f.metric == metric)
        };
        // The ceiling learned from all labels; it is there to be compared with, not to win.
        let rivals = who.iter().filter(|name| **name != "supervised");
        let best = rivals
            .filter_map(of)
            .map(|f| f.value)
            .fold(f64::NEG_INFINITY, f64::max);
        let cell = |finding: &Finding| {
            let share = finding.metric == "accuracy";
            let number = |value: f64| {
                if share {
                    format!("{:.1}", 100.0 * value)
                } else {
                    short(value)
                }
            };
            let ends = [finding.value, finding.low, finding.high];
            let on_scale = ends.iter().all(|end| (0.0..=1.0).contains(end));
            Cell {
                value: format!("{}{}", number(finding.value), if share { " %" } else { "" }),
                interval: if has_interval(finding) {
                    Some(format!("{}–{}", number(finding.low), number(finding.high)))
                } else {
                    let bounded = finding.low.is_finite() && finding.high.is_finite();
                    (!bounded).then(|| "too few to tell".to_owned())
                },
                best: finding.value >= best && finding.who != "supervised",
                bar: on_scale.then(|| ends.map(|end| (1000.0 * end).round() / 10.0)),
            }
        };
        let mut words = task_in_words(task);
        if metric != "accuracy" {
            words = format!("{words}, {}", metric.replace('_', " "));
        }
        Row {
            task: words,
            cells: who.iter().map(|name| of(name).map(cell)).collect(),
        }
    }
}

/// Whether the ends of a finding's interval say anything.
fn has_interval(finding: &Finding) -> bool {
    finding.low.is_finite() && finding.high.is_finite() && finding.low < finding.high
}

fn in_words(who: &str) -> String {
    match who {
        "pretrained" => "Pretrained, this run",
        "untrained" => "Untrained network",
        "raw" => "Raw values",
        "supervised" => "Ceiling, with all labels",
        other => other,
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn evaluation(text: &str) -> Evaluation {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn findings_become_a_row_a_task_and_a_column_a_side() {
        let scores = evaluation(
            r#"{"verdict": "It helped. By much. Indeed.", "unknown": [1], "results": [
                {"who": "pretrained", "task": "knn20", "metric": "accuracy", "value": 0.6, "low": 0.5, "high": 0.7},
                {"who": "pretrained", "task": "clusters", "metric": "nmi", "value": 0.25, "low": -0.1, "high": 0.3},
                {"who": "supervised", "task": "knn20", "metric": "accuracy", "value": 0.9, "low": 0.8, "high": 1.0},
                {"who": "raw", "task": "knn20", "metric": "accuracy", "value": 0.4, "low": 0.3, "high": 0.5}]}"#,
        )
        .scores()
        .unwrap();
        assert_eq!(
            (scores.headline.as_str(), scores.details.as_str()),
            ("It helped.", "By much. Indeed.")
        );
        assert_eq!(
            scores.who,
            [
                "Pretrained, this run",
                "Ceiling, with all labels",
                "Raw values"
            ]
        );
        let cells: Vec<_> = scores.rows[0].cells.iter().flatten().collect();
        assert_eq!(scores.rows[0].task, "20 nearest neighbors");
        assert_eq!(
            (cells[0].value.as_str(), cells[0].interval.as_deref()),
            ("60.0 %", Some("50.0–70.0"))
        );
        assert_eq!(
            cells.iter().map(|cell| cell.best).collect::<Vec<_>>(),
            [true, false, false]
        );
        assert_eq!(cells[0].bar, Some([60.0, 50.0, 70.0]));
        assert_eq!(scores.rows[1].task, "clusters, nmi");
        assert!(scores.rows[1].cells[1].is_none());
        assert_eq!(scores.rows[1].cells[0].as_ref().unwrap().bar, None);
        assert!(evaluation("{}").scores().is_none());
        // Of other data nothing was seen, though items were set aside.
        let about = |more: &str| {
            let finding = r#"{"who": "raw", "task": "knn20", "metric": "accuracy", "value": 0.4, "low": 0.3, "high": 0.5}"#;
            let text = format!(r#"{{"set_aside": true, {more} "results": [{finding}]}}"#);
            evaluation(&text).scores().unwrap().about
        };
        assert!(about("").contains("pretraining saw"));
        assert!(about(r#""seen": true,"#).contains("pretraining saw"));
        assert!(!about(r#""seen": false,"#).contains("pretraining saw"));
    }

    #[test]
    fn ends_that_meet_are_no_interval() {
        let of = |low: &str, high: &str| {
            let finding = format!(
                r#"{{"who": "raw", "task": "clusters", "metric": "nmi", "value": 0.4, "low": {low}, "high": {high}}}"#
            );
            let scores = evaluation(&format!(r#"{{"results": [{finding}]}}"#)).scores();
            let mut scores = scores.unwrap();
            let cell = scores.rows[0].cells.remove(0).unwrap();
            (cell.interval, scores.about.contains("95 %"))
        };
        let interval = "0.300–0.500".to_owned();
        assert_eq!(of("0.3", "0.5"), (Some(interval), true));
        assert_eq!(of("0.4", "0.4"), (None, false));
        // Nobody knows how sure it is.
        let few = "too few to tell".to_owned();
        assert_eq!(of("null", "null"), (Some(few), false));
    }

    #[test]
    fn what_went_wrong_is_said() {
        let log = "data     x\nwarning: it collapses\nwarning: it collapses\n";
        let history = History::read(
            "{\"step\":1,\"checkup/deviation\":0.03,\"checkup/rankme\":1.5,\"time/waiting\":0.5}",
        );
        let warnings = warnings(log, None, &history);
        assert_eq!(warnings.len(), 2, "{warnings:?}");
        assert!(
            warnings[0]
                .contains("it collapses At the last look: deviation 0.0300, 1.50 dimensions")
        );
        assert!(warnings[1].contains("50 %"));
    }
}
