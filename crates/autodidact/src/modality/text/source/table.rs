//! Rows of tables: CSV, TSV, JSON Lines.

use std::io::BufRead;

use serde_json::Value;

use super::collect::{BYTE_ORDER_MARK, Collect, Row};
use crate::error::{AtPath, Error, Result};
use crate::modality::source::bounded::{Bounded, LONGEST_ROW, read_line};
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
/// How many columns a message names, and how many letters of a name it shows.
const NAMED: usize = 30;
const LONGEST_NAME: usize = 60;
/// What columns of classes are called.
const LABEL_NAMES: [&str; 6] = ["label", "class", "category", "target", "intent", "labels"];

/// Which columns hold what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chosen {
    /// The text.
    pub(super) text: usize,
    /// The second text, of pairs.
    pub(super) other: Option<usize>,
    /// How alike the two are.
    pub(super) score: Option<usize>,
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
        Error::data(format!("has no column {what} (columns: {})", listed(names)))
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
    let named = |wanted: &str, key: &str| match wanted {
        "" => Ok(None),
        wanted => match called(wanted) {
            Some(at) => Ok(Some(at)),
            None => Err(missing(&format!("`{wanted}`"), key)),
        },
    };
    let other = named(&reading.other, "other")?;
    let score = named(&reading.score, "score")?;
    let label = match (reading.label.as_str(), score) {
        // Of pairs with scores, a column that is called like a class is the score, if anything.
        ("", Some(_)) => None,
        ("", None) => (LABEL_NAMES.iter().find_map(|name| called(name)))
            .filter(|&at| at != text && other != Some(at)),
        (wanted, _) => named(wanted, "label")?,
    };
    Ok(Chosen {
        text,
        other,
        score,
        label,
    })
}

/// Names of columns for a message. What is no table may look like one of many, or of a name as long as a chapter.
fn listed(names: &[&str]) -> String {
    let mut list: Vec<String> = names.iter().take(NAMED).map(|name| short(name)).collect();
    let more = names.len().saturating_sub(NAMED);
    if more > 0 {
        list.push(format!("and {more} more"));
    }
    list.join(", ")
}

/// A name, or the beginning of a very long one.
fn short(name: &str) -> String {
    match name.char_indices().nth(LONGEST_NAME) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}

/// The columns of a table without names, by number; `None` where the settings hold no number.
fn numbered(reading: &TextReading) -> Result<Option<Chosen>> {
    if reading.column.parse::<usize>().is_err() {
        return Ok(None);
    }
    let number = |key: &str, wanted: &str| match wanted.parse::<usize>() {
        _ if wanted.is_empty() => Ok(None),
        Ok(number) if number > 0 => Ok(Some(number - 1)),
        _ => Err(Error::recipe(format!("data.reading.{key} = \"{wanted}\""))
            .expected("a number from 1, as data.reading.column is")),
    };
    Ok(Some(Chosen {
        text: number("column", &reading.column)?.unwrap_or(0),
        other: number("other", &reading.other)?,
        score: number("score", &reading.score)?,
        label: number("label", &reading.label)?,
    }))
}

/// What parts the fields of a table that begins with `head`: what its name promises, or semicolons where its header has such
/// and no comma, as spreadsheets write CSV where the comma is the decimal one.
pub(super) fn parted_by(head: &[u8], promised: u8) -> u8 {
    let head = head.trim_ascii_start();
    let header = head.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let mut quoted = false;
    let outside = header.iter().copied().filter(|&byte| {
        quoted ^= byte == b'"';
        !quoted
    });
    let outside: Vec<u8> = outside.collect();
    let has = |byte: u8| outside.contains(&byte);
    match promised == b',' && has(b';') && !has(b',') {
        true => b';',
        false => promised,
    }
}

/// Refuses a table whose only column is several by its name, since something else parts them than its file's name promises.
fn one_column(name: &str, reading: &TextReading) -> Result<()> {
    // Whoever says that the column is called so knows.
    if name.trim().eq_ignore_ascii_case(&reading.column) {
        return Ok(());
    }
    let marks = [
        ('\t', "tabs", "call it .tsv"),
        (';', "semicolons", "write it with commas"),
        ('|', "vertical bars", "write it with commas or tabs"),
    ];
    let found = marks.into_iter().find(|(mark, ..)| name.contains(*mark));
    let Some((_, marks, mend)) = found else {
        return Ok(());
    };
    Err(Error::data(format!(
        "has one column, {:?}, which {marks} seem to part",
        short(name)
    ))
    .expected("fields parted by commas or semicolons in .csv, by tabs in .tsv")
    .mend(format!(
        "{mend}; if it is one column, set data.reading.column to its name"
    )))
}

/// Which columns a header says hold what, and how many it names.
fn by_name(
    header: &csv::ByteRecord,
    reading: &TextReading,
    shown: &str,
) -> Result<(Chosen, usize)> {
    let name = |name: &[u8]| {
        let name = String::from_utf8_lossy(name);
        name.trim_start_matches('\u{feff}').to_owned()
    };
    let names: Vec<String> = header.iter().map(name).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    if let [only] = names[..] {
        one_column(only, reading).map_err(|error| error.at(shown))?;
    }
    Ok((choose(&names, reading, shown)?, names.len()))
}

/// Rows of columns.
///
/// # Errors
/// When it is no such table, or has no column of text.
pub(super) fn columns(
    mut stream: impl BufRead,
    separator: u8,
    member: &Member,
    reading: &TextReading,
    collect: &mut Collect<'_>,
    class: Option<&str>,
) -> Result<()> {
    let by_number = numbered(reading)?;
    let separator = match by_number {
        Some(_) => separator,
        None => parted_by(stream.fill_buf().at_path(&member.shown)?, separator),
    };
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(separator)
        // Tabs need no quotes, and sentences begin with some.
        .quoting(separator != b'\t')
        .flexible(true)
        .has_headers(by_number.is_none())
        .from_reader(Bounded::new(stream, LONGEST_ROW));
    let wrong = |error: csv::Error| {
        Error::data("is no table of columns")
            .at(&member.shown)
            .because(error)
    };
    let (chosen, width) = match by_number {
        Some(chosen) => (chosen, None),
        None => {
            let header = reader.byte_headers().map_err(wrong)?;
            let (chosen, width) = by_name(header, reading, &member.shown)?;
            (chosen, Some(width))
        }
    };
    let (mut record, mut rows) = (csv::ByteRecord::new(), 0usize);
    while reader.read_byte_record(&mut record).map_err(wrong)? {
        rows += 1;
        reader.get_mut().row_ends();
        // Nothing parts the text of a table of one column.
        let whole = (width == Some(1) && record.len() > 1).then(|| joined(&record, separator));
        if whole.is_none() && width.is_some_and(|width| width != record.len()) {
            collect.ragged();
        }
        let Some(text) = whole.as_deref().or_else(|| record.get(chosen.text)) else {
            continue;
        };
        let cell = |at: Option<usize>| at.and_then(|at| record.get(at));
        let label = cell(chosen.label);
        let label = label.map(|label| String::from_utf8_lossy(label).trim().to_owned());
        let label = label.as_deref().filter(|label| !label.is_empty());
        let row = Row {
            text,
            // A row that is too short has an empty second text.
            other: chosen.other.map(|at| record.get(at).unwrap_or_default()),
            score: cell(chosen.score),
            class: label.or(class),
        };
        collect.row(row).at_path(&member.shown)?;
    }
    if rows > 0 && collect.is_empty() && !collect.left_out() {
        return Err(
            Error::data(format!("has no row with a column {}", chosen.text + 1))
                .at(&member.shown)
                .expected("text in that column")
                .mend("name another with data.reading.column"),
        );
    }
    Ok(())
}

/// The fields of a row as they were before they were parted.
fn joined(record: &csv::ByteRecord, separator: u8) -> Vec<u8> {
    let fields: Vec<&[u8]> = record.iter().collect();
    fields.join(&separator)
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
        let read = read_line(&mut stream, LONGEST_ROW, &mut line).at_path(&member.shown)?;
        if read == 0 {
            return Ok(());
        }
        number += 1;
        if line.trim_ascii().is_empty() {
            continue;
        }
        collect.look_for_damage(&line);
        let bytes = match number {
            1 => line.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&line),
            _ => &line[..],
        };
        let row = String::from_utf8_lossy(bytes);
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
        let text = |at: usize| match value(at) {
            Some(Value::String(text)) => Ok(text.as_bytes()),
            _ => Err(Error::data(format!("`{}` is no text", short(names[at])))
                .at(&place)
                .expected("a string")),
        };
        let label = chosen.label.and_then(value).and_then(|label| match label {
            Value::String(label) => Some(label.clone()),
            Value::Null => None,
            other => Some(other.to_string()),
        });
        let score = chosen.score.and_then(value).map(|score| match score {
            Value::String(score) => score.clone(),
            other => other.to_string(),
        });
        let row = Row {
            text: text(chosen.text)?,
            other: chosen.other.map(text).transpose()?,
            score: score.as_ref().map(|score| score.as_bytes()),
            class: label.as_deref().or(class),
        };
        collect.row(row).at_path(&member.shown)?;
    }
}
