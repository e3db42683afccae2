//! `card.md`: what the encoder is, what it learned from, how good it is beside what.

use std::fmt::Write;

use super::protocol::Judged;
use crate::error::Result;
use crate::run::{RunFolder, write_atomic};

impl RunFolder {
    /// Writes the card.
    ///
    /// # Errors
    /// When the recipe can't be read or the card not be written.
    pub fn write_card(&self, judged: &Judged) -> Result<()> {
        let recipe = self.recipe()?;
        let setting =
            |section: &str, key: &str| recipe.text(section, key).unwrap_or("–").to_owned();
        let mut card = String::new();
        let name = self
            .path()
            .file_name()
            .map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let _ = writeln!(card, "# {name}\n");
        let _ = writeln!(card, "An encoder pretrained without labels.\n");
        let _ = writeln!(card, "- method: {}", setting("method", "name"));
        let _ = writeln!(card, "- network: {}", setting("encoder", "name"));
        let _ = writeln!(card, "- learned from: {}", judged.data);
        let _ = writeln!(card, "- everything else: `recipe.toml`\n");
        let _ = writeln!(
            card,
            "| | task | accuracy | 95 % interval |\n|---|---|---|---|"
        );
        for finding in &judged.results {
            let _ = writeln!(
                card,
                "| {} | {} | {:.4} | {:.4}–{:.4} |",
                finding.who, finding.task, finding.value, finding.low, finding.high
            );
        }
        let _ = writeln!(
            card,
            "\n{} items judged, {} classes. {}",
            judged.items, judged.classes, judged.verdict
        );
        if judged.set_aside {
            let _ = writeln!(
                card,
                "\nThe judged items were set aside from the same data; pretraining has seen them, unlabeled."
            );
        }
        write_atomic(&self.file("card.md"), card.as_bytes())
    }
}
