//! The curves of a run, from its `metrics.jsonl`.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

/// Points of a curve, at most: what is beyond is averaged, since no screen shows more.
const POINTS: usize = 400;

/// What belongs on one chart.
struct Wanted {
    title: &'static str,
    /// What it means and what is good, for someone who hasn't seen such a curve.
    about: &'static str,
    /// Names in `metrics.jsonl`, and what they are called on the chart.
    lines: &'static [(&'static str, &'static str)],
}

/// The charts that every run may have, in the order in which a person asks.
const WANTED: &[Wanted] = &[
    Wanted {
        title: "Loss",
        about: "What is minimized. It should fall; where the loss on held-out items rises again, the data is being learned by heart.",
        lines: &[
            ("loss", "training"),
            ("checkup/validation_loss", "held-out items"),
        ],
    },
    Wanted {
        title: "Perplexity",
        about: "Among how many symbols the choice is, as it were, on held-out items: e to the mean −log p. It should fall; 1 is knowing for sure.",
        lines: &[("checkup/perplexity", "held-out items")],
    },
    Wanted {
        title: "Nearest neighbors agree",
        about: "Accuracy of the nearest neighbors on a fixed sample of the training items, whose labels the network never saw. Higher is better.",
        lines: &[("checkup/knn", "kNN accuracy")],
    },
    Wanted {
        title: "RankMe",
        about: "How many dimensions of the embedding are in use (Garrido et al. 2023). More is better, other things equal; near 1 is collapse.",
        lines: &[("checkup/rankme", "dimensions in use")],
    },
    Wanted {
        title: "Deviation",
        about: "How evenly the embeddings are spread: 1 is evenly over all directions, 0 is collapsed to a point.",
        lines: &[("checkup/deviation", "deviation")],
    },
    Wanted {
        title: "Alignment",
        about: "Squared distance between two views of one item, 0 to 4 (Wang & Isola 2020). Lower is better, if uniformity stays low too.",
        lines: &[("checkup/alignment", "alignment")],
    },
    Wanted {
        title: "Uniformity",
        about: "How evenly embeddings cover the sphere, −8 to 0 (Wang & Isola 2020). Lower is better; 0 is collapse.",
        lines: &[("checkup/uniformity", "uniformity")],
    },
    Wanted {
        title: "Learning rate",
        about: "Warms up, then falls along a cosine to zero.",
        lines: &[("learning_rate", "learning rate")],
    },
    Wanted {
        title: "Gradient norm",
        about: "Length of all gradients together, before clipping. Sudden peaks go with unsteady training.",
        lines: &[("gradient_norm", "gradient norm")],
    },
    Wanted {
        title: "Speed",
        about: "Items learned from per second.",
        lines: &[("time/items_per_second", "items per second")],
    },
    Wanted {
        title: "Waiting for data",
        about: "Share of the time in which the network waited for views. Near 0 is good.",
        lines: &[("time/waiting", "share of the time")],
    },
];
/// Numbers that only say where in the run a line was written.
const PLACES: &[&str] = &["step", "epoch", "progress", "time/elapsed"];

/// One chart.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Chart {
    pub(super) title: String,
    pub(super) about: String,
    /// The same in words, for those who can't see it.
    pub(super) summary: String,
    pub(super) lines: Vec<Line>,
    /// From where to where it is shaded.
    pub(super) bands: Vec<(f64, f64)>,
}

/// One curve.
#[derive(Debug, PartialEq, Serialize)]
pub(super) struct Line {
    pub(super) name: String,
    /// Step and value.
    pub(super) points: Vec<(f64, f64)>,
}

/// Everything a run measured, by name.
pub(super) struct History {
    curves: BTreeMap<String, Vec<(f64, f64)>>,
}

impl History {
    /// Reads the lines of `metrics.jsonl`. A line that was cut off when the run was killed is passed over, as is a value
    /// that wasn't a number.
    pub(super) fn read(text: &str) -> Self {
        let mut curves: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
        for line in text.lines() {
            let Ok(values) = serde_json::from_str::<Map<String, Value>>(line) else {
                continue;
            };
            let Some(step) = values.get("step").and_then(Value::as_f64) else {
                continue;
            };
            for (name, value) in &values {
                if let Some(value) = value.as_f64() {
                    curves.entry(name.clone()).or_default().push((step, value));
                }
            }
        }
        Self { curves }
    }

    /// The last value of that name.
    pub(super) fn last(&self, name: &str) -> Option<f64> {
        Some(self.curves.get(name)?.last()?.1)
    }

    /// The mean of the values of that name.
    pub(super) fn mean(&self, name: &str) -> Option<f64> {
        let points = self.curves.get(name)?;
        Some(points.iter().map(|point| point.1).sum::<f64>() / points.len() as f64)
    }

    /// The charts that there is something for.
    pub(super) fn charts(&self) -> Vec<Chart> {
        let mut charts: Vec<Chart> = WANTED
            .iter()
            .map(|wanted| {
                let lines = wanted
                    .lines
                    .iter()
                    .filter_map(|(key, name)| self.line(key, name));
                chart(wanted.title, wanted.about, lines.collect())
            })
            .collect();
        let parts = |prefix: &str| -> Vec<Line> {
            let of = self.curves.keys().filter_map(|key| {
                let part = key.strip_prefix(prefix)?;
                self.line(key, &part.replace('_', " "))
            });
            of.collect()
        };
        for (at, title, about, prefix) in [
            (1, "Parts of the loss", "What the loss is made of.", "loss/"),
            (
                2,
                "Parts of the loss, held out",
                "The same on held-out items.",
                "validation/",
            ),
        ] {
            charts.insert(at, chart(title, about, parts(prefix)));
        }
        let known = |key: &str| {
            let wanted = WANTED.iter().flat_map(|wanted| wanted.lines);
            PLACES.contains(&key)
                || key.starts_with("loss/")
                || key.starts_with("validation/")
                || wanted.into_iter().any(|(name, _)| *name == key)
        };
        let others = self.curves.keys().filter(|key| !known(key));
        charts.extend(others.map(|key| chart(key, "", self.line(key, key).into_iter().collect())));
        charts.retain(|chart| !chart.lines.is_empty());
        charts
    }

    fn line(&self, key: &str, name: &str) -> Option<Line> {
        let points = self.curves.get(key).filter(|points| !points.is_empty())?;
        Some(Line {
            name: name.to_owned(),
            points: thinned(points),
        })
    }
}

fn chart(title: &str, about: &str, lines: Vec<Line>) -> Chart {
    let in_words = |line: &Line| {
        let (first, last) = (line.points[0], line.points[line.points.len() - 1]);
        format!("{} from {} to {}", line.name, short(first.1), short(last.1))
    };
    Chart {
        title: title.to_owned(),
        about: about.to_owned(),
        summary: lines.iter().map(in_words).collect::<Vec<_>>().join("; "),
        lines,
        bands: Vec::new(),
    }
}

/// At most [`POINTS`] points, each the mean of those that it stands for.
fn thinned(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let together = points.len().div_ceil(POINTS).max(1);
    let mean = |points: &[(f64, f64)]| {
        let sum = points
            .iter()
            .fold((0.0, 0.0), |sum, point| (sum.0 + point.0, sum.1 + point.1));
        (
            rounded(sum.0 / points.len() as f64),
            rounded(sum.1 / points.len() as f64),
        )
    };
    points.chunks(together).map(mean).collect()
}

/// Six digits: what a curve can show.
pub(super) fn rounded(value: f64) -> f64 {
    format!("{value:.5e}").parse().unwrap_or(value)
}

/// A number for people: three digits, or the whole where there are more before the point.
pub(super) fn short(value: f64) -> String {
    let size = value.abs();
    let text = if size == 0.0 {
        "0".to_owned()
    } else if size >= 1000.0 {
        format!("{value:.0}")
    } else if size >= 0.001 {
        let digits = (2.0 - size.log10().floor()).max(0.0) as usize;
        format!("{value:.digits$}")
    } else {
        format!("{value:.2e}")
    };
    text.replace('-', "−")
}

/// A number of things, with a comma between thousands.
pub(super) fn count(number: usize) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_curves_and_what_is_broken_is_passed_over() {
        let history = History::read(
            "{\"step\":10,\"loss\":5.5,\"loss/variance\":1.0,\"time/elapsed\":3.0}\n{\"step\":20,\"loss\":null}\nnonsense\n\
             {\"step\":20,\"checkup/validation_loss\":4.0}\n{\"step\":20,\"validation/variance\":2.0}\n{\"step\":30,\"loss\":4.5,\"new/thing\":1}\n{\"step\":40,\"lo",
        );
        let charts = history.charts();
        let titles: Vec<_> = charts.iter().map(|chart| chart.title.as_str()).collect();
        assert_eq!(
            titles,
            [
                "Loss",
                "Parts of the loss",
                "Parts of the loss, held out",
                "new/thing"
            ]
        );
        assert_eq!(charts[0].lines[0].points, [(10.0, 5.5), (30.0, 4.5)]);
        assert_eq!(charts[0].lines[1].name, "held-out items");
        assert_eq!(
            charts[0].summary,
            "training from 5.50 to 4.50; held-out items from 4.00 to 4.00"
        );
        assert_eq!(charts[1].lines[0].name, "variance");
        assert_eq!(
            (history.last("loss"), history.mean("loss")),
            (Some(4.5), Some(5.0))
        );
        assert!(History::read("").charts().is_empty());
    }

    #[test]
    fn long_curves_are_averaged() {
        let text: String = (1..=1000)
            .map(|step| format!("{{\"step\":{step},\"loss\":{step}}}\n"))
            .collect();
        let charts = History::read(&text).charts();
        let points = &charts[0].lines[0].points;
        assert_eq!(points.len(), 334);
        assert_eq!((points[0], points[333]), ((2.0, 2.0), (1000.0, 1000.0)));
    }

    #[test]
    fn numbers_are_short() {
        for (value, text) in [
            (0.0, "0"),
            (12345.6, "12346"),
            (49.26, "49.3"),
            (0.01234, "0.0123"),
            (-1.5, "−1.50"),
            (0.000_123, "1.23e−4"),
        ] {
            assert_eq!(short(value), text);
        }
        let counts = [0, 999, 1000, 1_234_567].map(count);
        assert_eq!(counts, ["0", "999", "1,000", "1,234,567"]);
    }
}
