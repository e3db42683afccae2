//! The recipe's `[data.reading]` for text: what a document is, which column holds it, how it falls into symbols.

use serde::{Deserialize, Deserializer, Serialize};

use crate::error::{Error, Result};
use crate::modality::SourceSpec;
use crate::recipe::fill;

/// How text is read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TextReading {
    /// What of a `.txt` file is a document: `file`, `line`, `sentence` (lines parted at stops), `paragraph` (lines up to an
    /// empty one) or `article` (all from a heading ` = Title = ` to the next).
    pub documents: Documents,
    /// Of a table: the column that holds the text, by its name or, where columns have none, by its number from 1. Empty
    /// takes the first that is called like text.
    #[serde(deserialize_with = "column")]
    pub column: String,
    /// Of a table of pairs: the column that holds the second text.
    #[serde(deserialize_with = "column")]
    pub other: String,
    /// Of a table of pairs: the column that holds how alike the two are, a number. The pairs are then not for classes, but
    /// to judge vectors by.
    #[serde(deserialize_with = "column")]
    pub score: String,
    /// Of a table: the column that holds the class. Empty takes the first that is called like one, if any.
    #[serde(deserialize_with = "column")]
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

/// A column by its name or its number.
fn column<'de, D: Deserializer<'de>>(value: D) -> std::result::Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged, expecting = "expected a column's name, or its number from 1")]
    enum Column {
        Number(u64),
        Name(String),
    }
    Ok(match Column::deserialize(value)? {
        Column::Number(number) => number.to_string(),
        Column::Name(name) => name,
    })
}

/// What of a text file is a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Documents {
    /// All of it.
    File,
    /// Each line.
    Line,
    /// Each sentence of each line.
    Sentence,
    /// Lines up to an empty one.
    Paragraph,
    /// All from a heading ` = Title = `, after an empty line, to the next: Wikipedia's texts as they are published.
    Article,
}

impl Default for TextReading {
    fn default() -> Self {
        Self {
            documents: Documents::File,
            column: String::new(),
            other: String::new(),
            score: String::new(),
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
        if reading.other.is_empty() && !reading.score.is_empty() {
            return Err(
                Error::recipe(format!("data.reading.score = \"{}\"", reading.score))
                    .expected("the column of the second text as well: a score is of a pair")
                    .mend("name it with data.reading.other"),
            );
        }
        Ok(reading)
    }
}
