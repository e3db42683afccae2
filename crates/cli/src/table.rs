//! Findings as a table.

use std::fmt::Write;

use autodidact::judge::Finding;

/// A row for each who, a column for each task.
pub(crate) fn findings(results: &[Finding]) -> String {
    let (mut who, mut tasks): (Vec<&str>, Vec<&str>) = (Vec::new(), Vec::new());
    for finding in results {
        if !who.contains(&finding.who.as_str()) {
            who.push(&finding.who);
        }
        if !tasks.contains(&finding.task.as_str()) {
            tasks.push(&finding.task);
        }
    }
    let mut text = format!("{:<32}", "");
    for task in &tasks {
        let _ = write!(text, "{task:<26}");
    }
    for who in who {
        let _ = write!(text, "\n{:<32}", in_words(who));
        for task in &tasks {
            let cell = results
                .iter()
                .find(|finding| finding.who == who && finding.task == *task)
                .map_or_else(
                    || "–".to_owned(),
                    |finding| {
                        format!(
                            "{:5.2} %  ({:.2}–{:.2})",
                            100.0 * finding.value,
                            100.0 * finding.low,
                            100.0 * finding.high
                        )
                    },
                );
            let _ = write!(text, "{cell:<26}");
        }
    }
    text
}

fn in_words(who: &str) -> &str {
    match who {
        "pretrained" => "pretrained, without labels",
        "untrained" => "untrained network",
        "raw" => "raw values",
        "supervised" => "ceiling, trained with labels",
        other => other,
    }
}
