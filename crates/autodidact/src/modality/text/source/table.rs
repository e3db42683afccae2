//! Rows of tables: CSV, TSV, JSON Lines.

use std::io::{BufRead, Read};

use serde_json::Value;

use super::collect::Collect;
use crate::error::{AtPath, Error, Result};
use crate::modality::source::storage::Member;
use crate::modality::text::reading::TextReading;

/// What columns of text are called, the likeliest first.
pub(super) const TEXT_NAMES: [&str; 12] = [
    "text",
    "sentence",
    "content",
    "document",
    "tweet",
    "body",
    "review",
    "question",
    "utterance",
    "title",
    "comment",
    "abstract",
];
/// What columns of classes are called.
const LABEL_NAMES: [&str; 6] = ["label", "class", "category", "target", "intent", "labels"];
/// The longest row of JSON, in bytes.
const LONGEST_ROW: u64 = 1 << 28;

/// Which columns hold what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chosen {
    /// The text.
    pub(super) text: usize,
    /// The class.
    pub(super) label: Option<usize>,
}

/// Finds the columns by what they are called.
///
/// # Errors
/// When there is no such column.
pub(super) fn choose(names: &[&str], reading: &TextReading, shown: &str) -> Result<Chosen> {
    let called = |wanted: &str| {
        names
            .iter()
            .position(|name| name.trim().eq_ignore_ascii_case(wanted))
    };
    let missing = |what: &str, key: &str| {
        Error::data(format!(
            "has no column {what} (columns: {})",
            names.join(", ")
        ))
        .at(shown)
        .expected("one of its columns")
        .mend(format!("name it with data.reading.{key}"))
    };
    let text = match reading.column.as_str() {
        "" => (TEXT_NAMES.iter().find_map(|name| called(name)))
            .or_else(|| (names.len() == 1).then_some(0))
            .ok_or_else(|| missing("that is called like text", "column"))?,
        wanted => called(wanted).ok_or_else(|| missing(&format!("`{wanted}`"), "column"))?,
    };
    let label = match reading.label.as_str() {
        "" => (LABEL_NAMES.iter().find_map(|name| called(name))).filter(|&at| at != text),
        wanted => Some(called(wanted).ok_or_else(|| missing(&format!("`{wanted}`"), "label"))?),
    };
    Ok(Chosen { text, label })
}

/// The columns of a table without names, by number; `None` where the settings hold no number.
fn numbered(reading: &TextReading) -> Result<Option<Chosen>> {
    let number = |text: &str| text.parse::<usize>().ok();
    let Some(text) = number(&reading.column) else {
        return Ok(None);
    };
    let label = match (reading.label.as_str(), number(&reading.label)) {
        ("", _) => None,
        (_, Some(label)) if label > 0 => Some(label - 1),
        (wanted, _) => {
            return Err(Error::recipe(format!("data.reading.label = \"{wanted}\""))
                .expected("a number from 1, as data.reading.column is"));
        }
    };
    match text {
        0 => Err(Error::recipe("data.reading.column = \"0\"").expected("a number from 1")),
        _ => Ok(Some(Chosen {
            text: text - 1,
            label,
        })),
    }
}

/// Rows of columns.
///
/// # Errors
/// When it is no such table, or has no column of text.
pub(super) fn columns(
    stream: impl Read,
    separator: u8,
    member: &Member,
    reading: &TextReading,
    collect: &mut Collect<'_>,
    class: Option<&str>,
) -> Result<()> {
    let by_number = numbered(reading)?;
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(separator)
        // Tabs need no quotes, and sentences begin with some.
        .quoting(separator == b',')
        .flexible(true)
        .has_headers(by_number.is_none())
        .from_reader(stream);
    let wrong = |error: csv::Error| {
        Error::data("is no table of columns")
            .at(&member.shown)
            .because(error)
    };
    let chosen = match by_number {
        Some(chosen) => chosen,
        None => {
            let header = reader.byte_headers().map_err(wrong)?;
            let names: Vec<String> = header
                .iter()
                .map(|name| {
                    let name = String::from_utf8_lossy(name);
                    name.trim_start_matches('\u{feff}').to_owned()
                })
                .collect();
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            choose(&names, reading, &member.shown)?
        }
    };
    let (mut record, mut rows) = (csv::ByteRecord::new(), 0usize);
    while reader.read_byte_record(&mut record).map_err(wrong)? {
        rows += 1;
        let Some(text) = record.get(chosen.text) else {
            continue;
        };
        let label = chosen.label.and_then(|at| record.get(at));
        let label = label.map(|label| String::from_utf8_lossy(label).trim().to_owned());
        let label = label.as_deref().filter(|label| !label.is_empty());
        (collect.document(text, None, label.or(class))).at_path(&member.shown)?;
    }
    if rows > 0 && collect.is_empty() {
        return Err(
            Error::data(format!("has no row with a column {}", chosen.text + 1))
                .at(&member.shown)
                .expected("text in that column")
                .mend("name another with data.reading.column"),
        );
    }
    Ok(())
}

/// An object of JSON a line.
///
/// # Errors
/// When a line is none, or lacks the text.
pub(super) fn json_lines(
    mut stream: impl BufRead,
    member: &Member,
    reading: &TextReading,
    collect: &mut Collect<'_>,
    class: Option<&str>,
) -> Result<()> {
    let (mut line, mut number) = (Vec::new(), 0usize);
    loop {
        line.clear();
        let read = Read::take(&mut stream, LONGEST_ROW)
            .read_until(b'\n', &mut line)
            .at_path(&member.shown)?;
        if read == 0 {
            return Ok(());
        }
        number += 1;
        if line.trim_ascii().is_empty() {
            continue;
        }
        let row = String::from_utf8_lossy(&line);
        let place = format!("{}, line {number}", member.shown);
        let object: serde_json::Map<String, Value> =
            serde_json::from_str(&row).map_err(|error| {
                Error::data("is no object of JSON")
                    .at(&place)
                    .expected("{\"text\": \"…\"} on each line")
                    .because(error)
            })?;
        let names: Vec<&str> = object.keys().map(String::as_str).collect();
        let chosen = choose(&names, reading, &place)?;
        let value = |at: usize| object.get(names[at]);
        let Some(Value::String(text)) = value(chosen.text) else {
            return Err(Error::data(format!("`{}` is no text", names[chosen.text]))
                .at(&place)
                .expected("a string"));
        };
        let label = chosen.label.and_then(value).and_then(|label| match label {
            Value::String(label) => Some(label.clone()),
            Value::Null => None,
            other => Some(other.to_string()),
        });
        (collect.document(text.as_bytes(), None, label.as_deref().or(class)))
            .at_path(&member.shown)?;
    }
}
