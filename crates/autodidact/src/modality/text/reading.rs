//! The recipe's `[data.reading]` for text: what a document is, which column holds it, how it falls into symbols.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::modality::SourceSpec;
use crate::recipe::fill;

/// How text is read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TextReading {
    /// What of a `.txt` file is a document: `file`, `line` or `paragraph` (lines up to an empty one).
    pub documents: Documents,
    /// Of a table: the column that holds the text, by its name or, where columns have none, by its number from 1. Empty
    /// takes the first that is called like text.
    pub column: String,
    /// Of a table: the column that holds the class. Empty takes the first that is called like one, if any.
    pub label: String,
    /// Whether a document that comes again is left out.
    pub drop_duplicates: bool,
    /// How text falls into symbols: `wordpiece`, `bpe` (of bytes), `unigram` or `characters`, learned from the data, or
    /// the path of a `tokenizer.json` or a `vocab.txt`.
    pub tokenizer: String,
    /// Symbols to learn, at most, 16 to 1,000,000.
    pub vocabulary: usize,
    /// Whether capitals and accents are dropped (`wordpiece` only).
    pub lowercase: bool,
}

/// What of a text file is a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Documents {
    /// All of it.
    File,
    /// Each line.
    Line,
    /// Lines up to an empty one.
    Paragraph,
}

impl Default for TextReading {
    fn default() -> Self {
        Self {
            documents: Documents::File,
            column: String::new(),
            label: String::new(),
            drop_duplicates: false,
            tokenizer: "wordpiece".to_owned(),
            vocabulary: 8192,
            lowercase: true,
        }
    }
}

impl TextReading {
    /// The settings of what is to be opened.
    ///
    /// # Errors
    /// Names the key that isn't one, or whose value doesn't fit.
    pub fn of(spec: &SourceSpec) -> Result<Self> {
        let reading: Self = fill(&Self::default(), Some(&spec.reading), "data.reading")?;
        if !(16..=1_000_000).contains(&reading.vocabulary) {
            return Err(
                Error::recipe(format!("data.reading.vocabulary = {}", reading.vocabulary))
                    .expected("16 to 1000000"),
            );
        }
        Ok(reading)
    }
}
