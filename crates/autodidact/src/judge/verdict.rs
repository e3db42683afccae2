//! Whether pretraining helped, in plain words.

use std::fmt;

use autodidact_eval::interval::Interval;
use serde::{Deserialize, Deserializer, Serialize};

/// How someone did at a task, with the 95 % interval over the test items.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding {
    /// `pretrained`, `untrained`, `raw`, `supervised`.
    pub who: String,
    /// `knn20`, `linear`, `few_shot_10`, `clusters`, `retrieval`.
    pub task: String,
    /// What is measured: `accuracy`, `nmi`, `ari`, `recall@5`.
    pub metric: String,
    /// The value.
    pub value: f64,
    /// Lower end of the interval; minus infinity where none can be told.
    #[serde(deserialize_with = "or_lowest")]
    pub low: f64,
    /// Upper end of the interval; infinity where none can be told.
    #[serde(deserialize_with = "or_highest")]
    pub high: f64,
}

/// A lower end, or `null`: JSON has no infinities.
fn or_lowest<'de, D: Deserializer<'de>>(end: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(end)?.unwrap_or(f64::NEG_INFINITY))
}

/// An upper end, or `null`.
fn or_highest<'de, D: Deserializer<'de>>(end: D) -> Result<f64, D::Error> {
    Ok(Option::<f64>::deserialize(end)?.unwrap_or(f64::INFINITY))
}

impl Finding {
    /// What somebody came to at a task, by a measure.
    pub(in crate::judge) fn find<'a>(
        all: &'a [Self],
        who: &str,
        task: &str,
        metric: &str,
    ) -> Option<&'a Self> {
        let is = |found: &&Self| found.who == who && found.task == task && found.metric == metric;
        all.iter().find(is)
    }
}

/// How tasks of a few labels of each class are named, before the number of labels.
pub(super) const FEW: &str = "few_shot_";
/// The number of labels of each class that the verdict speaks of.
const HANDFUL: usize = 10;

/// Sentences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict(Vec<String>);

impl Verdict {
    /// Weighs what was found; `compare` gives the paired difference of the pretrained network and another side.
    pub fn of(
        findings: &[Finding],
        tasks: &[&str],
        compare: &dyn Fn(&str, &str) -> Option<Interval>,
    ) -> Self {
        let value = |who: &str, task: &str| {
            findings
                .iter()
                .find(|f| f.who == who && f.task == task)
                .map(|f| f.value)
        };
        let mut sentences = Vec::new();
        let mut wins = [0; 2];
        let (mut comparisons, mut losses) = (0, 0);
        let sides = [
            ("raw", "raw values", "are"),
            ("untrained", "the untrained network", "is"),
        ];
        for task in tasks {
            for (side, (who, words, verb)) in sides.into_iter().enumerate() {
                let (Some(difference), Some(theirs)) = (compare(who, task), value(who, task))
                else {
                    continue;
                };
                comparisons += 1;
                let points = |x: f64| format!("{:.1}", 100.0 * x.abs());
                let range = format!(
                    "{:+.1} to {:+.1}",
                    100.0 * difference.low,
                    100.0 * difference.high
                );
                let task = task_in_words(task);
                sentences.push(if difference.low > 0.0 {
                    wins[side] += 1;
                    format!(
                        "By {task} it beats {words} ({:.1} %) by {} points ({range}).",
                        100.0 * theirs,
                        points(difference.value)
                    )
                } else if difference.high < 0.0 {
                    losses += usize::from(who == "untrained");
                    format!(
                        "By {task} {words} ({:.1} %) {verb} better by {} points ({:+.1} to {:+.1}).",
                        100.0 * theirs,
                        points(difference.value),
                        -100.0 * difference.high,
                        -100.0 * difference.low
                    )
                } else {
                    format!(
                        "By {task} it can't be told from {words} ({:.1} %; difference {range}).",
                        100.0 * theirs
                    )
                });
            }
        }
        let opening = match (wins, comparisons) {
            (_, 0) => "There is nothing to compare with.".to_owned(),
            ([raw, untrained], _) if raw == tasks.len() && untrained == tasks.len() => {
                "Pretraining helped.".to_owned()
            }
            // Whatever raw values are worth: what it began with was better.
            (_, _) if losses > 0 && wins[1] == 0 => {
                "Pretraining did more harm than good.".to_owned()
            }
            ([0, 0], _) => "Pretraining did not help.".to_owned(),
            ([0, _], _) => {
                "Pretraining taught the network something, but raw values serve as well or better."
                    .to_owned()
            }
            ([_, 0], _) => {
                "Pretraining did not help: the untrained network serves as well.".to_owned()
            }
            _ => "Pretraining helped in part.".to_owned(),
        };
        sentences.insert(0, opening);
        sentences.extend(with_few_labels(findings));
        Self(sentences)
    }

    /// Speaks of a run that learned from labels, which is no pretraining.
    pub(super) fn with_labels(mut self) -> Self {
        if let Some(opening) = self.0.first_mut() {
            *opening = opening.replacen("Pretraining", "Training with labels", 1);
        }
        self
    }

    /// Adds how sure all this is.
    pub(super) fn surely(mut self, judged: usize) -> Self {
        self.0.push(format!(
            "The ranges are 95 % intervals over the {judged} judged items; what another training seed would change, one \
             run can't say."
        ));
        self
    }
}

/// What a handful of labels is worth: the case that self-supervision is for.
fn with_few_labels(findings: &[Finding]) -> Option<String> {
    let labels =
        |finding: &&Finding| -> Option<usize> { finding.task.strip_prefix(FEW)?.parse().ok() };
    let of = |who: &'static str| findings.iter().filter(move |finding| finding.who == who);
    // Ten labels are a handful; where there are fewer, as many as there are.
    let nearest = |finding: &&Finding| labels(finding).map_or(usize::MAX, |n| n.abs_diff(HANDFUL));
    let own = of("pretrained").filter(|finding| labels(finding).is_some());
    let own = own.min_by_key(nearest)?;
    let words = |value: f64| format!("{:.1} %", 100.0 * value);
    let other = |who: &'static str| of(who).find(|finding| finding.task == own.task);
    let others: Vec<String> = [
        ("raw", "raw values"),
        ("untrained", "the untrained network"),
    ]
    .into_iter()
    .filter_map(|(who, name)| Some(format!("{name} {}", words(other(who)?.value))))
    .collect();
    let count = labels(&own)?;
    Some(format!(
        "With {count} label{} of each class a linear probe reaches {} on average ({} to {} from draw to draw){}{}.",
        if count == 1 { "" } else { "s" },
        words(own.value),
        words(own.low),
        words(own.high),
        if others.is_empty() { "" } else { "; " },
        others.join(", ")
    ))
}

/// What a task is called in a sentence.
pub(super) fn task_in_words(task: &str) -> String {
    let labels = |count: &str| match count {
        "1" => "a probe on 1 label of each class".to_owned(),
        count => format!("a probe on {count} labels of each class"),
    };
    match task {
        "linear" => "a linear probe".to_owned(),
        "svm" => "a support vector machine".to_owned(),
        "dtw1" => "the nearest by dynamic time warping".to_owned(),
        _ => match (task.strip_prefix("knn"), task.strip_prefix(FEW)) {
            (Some(count), _) => format!("{count} nearest neighbors"),
            (_, Some(count)) => labels(count),
            _ => task.to_owned(),
        },
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(differences: [f64; 4]) -> String {
        let finding = |who: &str, task: &str| Finding {
            who: who.to_owned(),
            task: task.to_owned(),
            metric: "accuracy".to_owned(),
            value: 0.5,
            low: 0.4,
            high: 0.6,
        };
        let findings: Vec<_> = ["raw", "untrained"]
            .iter()
            .flat_map(|who| ["knn20", "linear"].map(|task| finding(who, task)))
            .collect();
        let compare = |who: &str, task: &str| {
            let value =
                differences[usize::from(task == "linear") * 2 + usize::from(who == "untrained")];
            Some(Interval {
                value,
                low: value - 0.02,
                high: value + 0.02,
            })
        };
        Verdict::of(&findings, &["knn20", "linear"], &compare).to_string()
    }

    #[test]
    fn it_says_whether_pretraining_helped_and_when_raw_values_win() {
        assert!(verdict([0.1; 4]).starts_with("Pretraining helped. By 20 nearest neighbors it beats raw values (50.0 %) by 10.0 points (+8.0 to +12.0)."));
        let raw_wins = verdict([-0.05, 0.1, -0.05, 0.1]);
        assert!(
            raw_wins.contains("raw values serve as well or better"),
            "{raw_wins}"
        );
        assert!(
            raw_wins.contains("raw values (50.0 %) are better by 5.0 points (+3.0 to +7.0)"),
            "{raw_wins}"
        );
        assert!(verdict([0.0; 4]).starts_with("Pretraining did not help."));
        assert!(verdict([0.0; 4]).contains("can't be told from"));
        let harm = verdict([-0.3, -0.1, 0.1, -0.1]);
        assert!(
            harm.starts_with("Pretraining did more harm than good."),
            "{harm}"
        );
        assert!(
            harm.contains("the untrained network (50.0 %) is better by 10.0 points"),
            "{harm}"
        );
        // Being worse than raw values as well makes it no better.
        let worst = verdict([-0.3, -0.1, -0.1, -0.1]);
        assert!(
            worst.starts_with("Pretraining did more harm than good."),
            "{worst}"
        );
        let idle = verdict([0.3, 0.0, 0.1, 0.0]);
        assert!(
            idle.starts_with("Pretraining did not help: the untrained network serves as well."),
            "{idle}"
        );
    }

    #[test]
    fn an_interval_without_ends_is_kept_and_read_again() {
        let mut finding = Finding {
            who: "raw".to_owned(),
            task: "720 ahead".to_owned(),
            metric: "mse".to_owned(),
            value: 0.5,
            low: f64::NEG_INFINITY,
            high: f64::INFINITY,
        };
        let kept = |finding: &Finding| serde_json::to_string(finding).unwrap();
        let text = kept(&finding);
        assert!(text.contains(r#""low":null,"high":null"#), "{text}");
        assert_eq!(serde_json::from_str::<Finding>(&text).unwrap(), finding);
        (finding.low, finding.high) = (0.25, 0.75);
        let text = kept(&finding);
        assert_eq!(serde_json::from_str::<Finding>(&text).unwrap(), finding);
    }

    #[test]
    fn it_says_what_a_handful_of_labels_is_worth() {
        let finding = |who: &str, task: &str, value: f64| Finding {
            who: who.to_owned(),
            task: task.to_owned(),
            metric: "accuracy".to_owned(),
            value,
            low: value - 0.05,
            high: value + 0.05,
        };
        let findings = [
            finding("pretrained", "few_shot_5", 0.6),
            finding("pretrained", "few_shot_50", 0.8),
            finding("raw", "few_shot_5", 0.4),
        ];
        let verdict = Verdict::of(&findings, &["knn20"], &|_, _| None);
        let helped = Verdict(vec!["Pretraining helped.".to_owned()]).with_labels();
        assert_eq!(helped.to_string(), "Training with labels helped.");
        let text = verdict.surely(200).to_string();
        assert!(text.contains(
            "With 5 labels of each class a linear probe reaches 60.0 % on average (55.0 % to 65.0 % from draw to draw); \
             raw values 40.0 %."
        ), "{text}");
        assert!(
            text.ends_with("one run can't say.") && text.contains("200 judged items"),
            "{text}"
        );
    }
}
