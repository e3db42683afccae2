//! Findings as a table.

use std::fmt::Write;

use autodidact::judge::Finding;

/// How many tasks stand side by side before each gets a row of its own.
const SIDE_BY_SIDE: usize = 3;

/// A row for each who and a column for each task, or the other way round where there are many tasks. `labeled` says
/// that the run itself learned from labels.
pub(crate) fn findings(results: &[Finding], labeled: bool) -> String {
    let (mut who, mut tasks): (Vec<&str>, Vec<(&str, &str)>) = (Vec::new(), Vec::new());
    for finding in results {
        if !who.contains(&finding.who.as_str()) {
            who.push(&finding.who);
        }
        let task = (finding.task.as_str(), finding.metric.as_str());
        if !tasks.contains(&task) {
            tasks.push(task);
        }
    }
    let cell = |who: &str, (task, metric): (&str, &str)| {
        results
            .iter()
            .find(|found| found.who == who && found.task == task && found.metric == metric)
            .map_or_else(|| "–".to_owned(), score)
    };
    let mut text = String::new();
    if tasks.len() <= SIDE_BY_SIDE {
        let _ = write!(text, "{:<32}", "");
        for &task in &tasks {
            let _ = write!(text, "{:<26}", named(task));
        }
        for who in who {
            let _ = write!(text, "\n{:<32}", in_words(who, labeled));
            for &task in &tasks {
                let _ = write!(text, "{:<26}", cell(who, task));
            }
        }
        return trimmed(&text);
    }
    let longest = tasks.iter().map(|&task| named(task).len()).max();
    let wide = longest.unwrap_or(0).max(18) + 2;
    let _ = write!(text, "{:<wide$}", "");
    for who in &who {
        let _ = write!(text, "{:<30}", in_words(who, labeled));
    }
    for &(task, metric) in &tasks {
        let _ = write!(text, "\n{:<wide$}", named((task, metric)));
        for who in &who {
            let _ = write!(text, "{:<30}", cell(who, (task, metric)));
        }
    }
    trimmed(&text)
}

/// A task, and what is measured where that isn't how often it is done rightly.
fn named((task, metric): (&str, &str)) -> String {
    match metric {
        "accuracy" => task.to_owned(),
        _ => format!("{task} {metric}"),
    }
}

/// Without the spaces at the ends of lines.
fn trimmed(text: &str) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    lines.join("\n")
}

/// Shares in percent; agreement, correlation and errors on their own scale.
fn score(finding: &Finding) -> String {
    let plain = ["nmi", "ari", "spearman", "pearson", "mse", "mae"];
    if finding.metric.starts_with("nab") {
        return format!("{:5.2}", finding.value);
    }
    if finding.low == finding.high && !plain.contains(&finding.metric.as_str()) {
        return format!("{:5.2} %", 100.0 * finding.value);
    }
    if plain.contains(&finding.metric.as_str()) {
        if !(finding.low.is_finite() && finding.high.is_finite()) {
            return format!("{:7.4}  (too few to tell)", finding.value);
        }
        return format!(
            "{:7.4}  ({:.4}–{:.4})",
            finding.value, finding.low, finding.high
        );
    }
    format!(
        "{:5.2} %  ({:.2}–{:.2})",
        100.0 * finding.value,
        100.0 * finding.low,
        100.0 * finding.high
    )
}

fn in_words(who: &str, labeled: bool) -> &str {
    match who {
        "pretrained" if labeled => "this run, with labels",
        "pretrained" => "pretrained, without labels",
        "untrained" => "untrained network",
        "raw" => "raw values",
        "supervised" => "ceiling, trained with labels",
        "with values" => "pretrained, with values",
        "untrained with values" => "untrained, with values",
        "pretrained over linear" => "pretrained, over a linear map",
        "untrained over linear" => "untrained, over a linear map",
        "foretold" => "pretrained, foretelling",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(who: &str, task: &str, metric: &str) -> Finding {
        Finding {
            who: who.to_owned(),
            task: task.to_owned(),
            metric: metric.to_owned(),
            value: 0.5,
            low: 0.4,
            high: 0.625,
        }
    }

    #[test]
    fn a_few_tasks_stand_side_by_side_and_many_below_each_other() {
        let of = |who: &str| ["knn1", "knn20", "linear"].map(|task| finding(who, task, "accuracy"));
        let mut results: Vec<_> = of("pretrained").into_iter().chain(of("raw")).collect();
        let text = findings(&results, false);
        assert_eq!(text.lines().count(), 3);
        assert!(text.contains("pretrained, without labels      50.00 %  (40.00–62.50)"));
        results.push(finding("pretrained", "clusters", "ari"));
        results.push(finding("raw", "clusters", "nmi"));
        let text = findings(&results, true);
        assert_eq!(text.lines().count(), 6);
        assert!(text.contains("this run, with labels"));
        let row = text.lines().find(|line| line.starts_with("clusters ari"));
        assert!(row.unwrap().contains("0.5000  (0.4000–0.6250)") && row.unwrap().contains('–'));
    }
}
