//! `card.md`: what the encoder is, what it learned from, how good it is beside what.

use std::fmt::Write;

use super::protocol::Judged;
use crate::error::Result;
use crate::recipe::Recipe;
use crate::run::{RunFolder, write_atomic};

impl RunFolder {
    /// Writes the card.
    ///
    /// # Errors
    /// When the recipe can't be read or the card not be written.
    pub fn write_card(&self, judged: &Judged) -> Result<()> {
        let name = self
            .path()
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let card = card(&name, &self.recipe()?, judged);
        write_atomic(&self.file("card.md"), card.as_bytes())
    }
}

fn card(name: &str, recipe: &Recipe, judged: &Judged) -> String {
    let setting = |section: &str, key: &str| recipe.text(section, key).unwrap_or("–");
    let trained = match judged.saw_labels {
        true => "An encoder trained with labels.",
        false => "An encoder pretrained without labels.",
    };
    let mut card = String::new();
    let _ = writeln!(card, "# {name}\n");
    let _ = writeln!(card, "{trained}\n");
    let _ = writeln!(card, "- method: {}", setting("method", "name"));
    let _ = writeln!(card, "- network: {}", setting("encoder", "name"));
    let _ = writeln!(card, "- learned from: {}", judged.data);
    let _ = writeln!(card, "- everything else: `recipe.toml`\n");
    let _ = writeln!(
        card,
        "| | task | measure | value | 95 % interval |\n|---|---|---|---|---|"
    );
    for finding in &judged.results {
        let who = match finding.who.as_str() {
            "pretrained" if judged.saw_labels => "this run, with labels",
            who => who,
        };
        let _ = writeln!(
            card,
            "| {who} | {} | {} | {:.4} | {:.4}–{:.4} |",
            finding.task, finding.metric, finding.value, finding.low, finding.high
        );
    }
    let _ = writeln!(
        card,
        "\n{} items judged, {} classes. {}",
        judged.items, judged.classes, judged.verdict
    );
    if judged.set_aside {
        let _ = writeln!(card, "\n{}", aside(judged));
    }
    card
}

/// What is to be known of items that were set aside.
fn aside(judged: &Judged) -> &'static str {
    match (judged.seen, judged.saw_labels) {
        (true, true) => {
            "The judged items were set aside from the same data, whose labels this run learned from: theirs may be among them."
        }
        (true, false) => {
            "The judged items were set aside from the same data; pretraining has seen them, unlabeled."
        }
        (false, _) => {
            "The judged items were set aside from the data whose labels were learned from."
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::Finding;

    fn judged(saw_labels: bool) -> Judged {
        let finding = |metric: &str, value: f64| Finding {
            who: "pretrained".to_owned(),
            task: "linear".to_owned(),
            metric: metric.to_owned(),
            value,
            low: value - 0.125,
            high: value + 0.125,
        };
        Judged {
            run: "runs/a".to_owned(),
            data: "photos".to_owned(),
            items: 40,
            learned_from: 160,
            classes: 2,
            verdict: "Pretraining helped.".to_owned(),
            set_aside: true,
            seen: true,
            saw_labels,
            results: vec![finding("accuracy", 0.75), finding("macro_f1", 0.5)],
            left_out: Vec::new(),
        }
    }

    #[test]
    fn each_value_stands_beside_its_measure() {
        let card = card("a", &Recipe::default(), &judged(false));
        for line in [
            "| pretrained | linear | accuracy | 0.7500 | 0.6250–0.8750 |",
            "| pretrained | linear | macro_f1 | 0.5000 | 0.3750–0.6250 |",
            "An encoder pretrained without labels.",
            "pretraining has seen them, unlabeled.",
        ] {
            assert!(card.contains(line), "{line} is not in {card}");
        }
    }

    #[test]
    fn what_learned_from_labels_is_not_called_pretrained_without() {
        let card = card("a", &Recipe::default(), &judged(true));
        assert!(card.contains("An encoder trained with labels.") && !card.contains("unlabeled"));
        assert!(
            card.contains("| this run, with labels | linear |") && !card.contains("pretrained")
        );
    }
}
