//! How a file holds its text, and how it is packed.

use std::io::{BufRead, Read};
use std::path::Path;

use super::table::{TEXT_NAMES, parted_by};
use crate::modality::Likeness;
use crate::modality::source::folder;
use crate::modality::source::numbers::is_table_of_numbers;
use crate::modality::source::packed::unpacked;
use crate::modality::source::storage::Member;

/// What columns of files are called.
const FILE_NAMES: [&str; 9] = [
    "file",
    "filename",
    "file_name",
    "path",
    "filepath",
    "file_path",
    "image",
    "image_path",
    "img",
];
/// How many of a folder's files are looked at to tell what it holds.
const LOOKED_AT: usize = 1000;

/// How a file holds its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// Nothing but text.
    Plain,
    /// An object of JSON a line.
    JsonLines,
    /// Columns, separated by a character.
    Columns { separator: u8 },
    /// Parquet.
    Parquet,
}

impl Format {
    /// What a file's name promises; `None` for a file that is no text.
    pub(super) fn of_name(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let inner = name
            .strip_suffix(".gz")
            .or_else(|| name.strip_suffix(".zst"));
        let ending = inner.unwrap_or(&name).rsplit_once('.')?.1;
        Some(match ending {
            "txt" | "text" | "tokens" | "md" => Self::Plain,
            "jsonl" | "ndjson" => Self::JsonLines,
            "csv" => Self::Columns { separator: b',' },
            "tsv" => Self::Columns { separator: b'\t' },
            "parquet" if inner.is_none() => Self::Parquet,
            _ => return None,
        })
    }

    /// What a file is that the user named himself: text, if its name promises nothing else.
    pub(super) fn of_file(name: &str) -> Self {
        Self::of_name(name).unwrap_or(Self::Plain)
    }
}

/// Whether a file or a folder holds text rather than something else, by names alone.
pub fn looks_like_text(path: &Path) -> Likeness {
    // Numbers in rows are no text, whatever their file is called.
    let plain = |path: &Path| {
        matches!(
            Format::of_name(&path.to_string_lossy()),
            Some(Format::Plain | Format::JsonLines | Format::Columns { separator: b'\t' })
        ) && !is_table_of_numbers(path)
    };
    // CSV and Parquet hold anything, lists of other files included: what they hold the header says.
    let sure = |likely: bool| match likely {
        true => Likeness::Clear,
        false => Likeness::None,
    };
    if path.is_file() {
        return sure(plain(path) || columns_of_text(path));
    }
    let Ok(members) = folder::list(path) else {
        return Likeness::None;
    };
    let texts = |member: &&Member| {
        let path = Path::new(&member.shown);
        plain(path) || columns_of_text(path)
    };
    let members = &members[..members.len().min(LOOKED_AT)];
    // Notes lie beside anything: only where most files are text, the data is.
    let found = members.iter().filter(texts).count();
    sure(found * 2 > members.len())
}

/// Whether a CSV file's header names a column of text and none of files.
fn columns_of_text(path: &Path) -> bool {
    let name = path.to_string_lossy().to_ascii_lowercase();
    if !matches!(Format::of_name(&name), Some(Format::Columns { .. })) {
        return false;
    }
    let Ok((reader, _)) = unpacked(&Member::of_file(path)) else {
        return false;
    };
    let mut line = Vec::new();
    let read = reader.take(1 << 16).read_until(b'\n', &mut line);
    let header = String::from_utf8_lossy(&line);
    let header = header.trim_start_matches('\u{feff}');
    let separator = char::from(parted_by(&line, b','));
    let cells: Vec<String> = header
        .split(separator)
        .map(|cell| cell.trim().trim_matches('"').to_ascii_lowercase())
        .collect();
    let any = |names: &[&str]| cells.iter().any(|cell| names.contains(&cell.as_str()));
    // A list of files may have notes on them.
    read.is_ok() && any(&TEXT_NAMES) && !any(&FILE_NAMES)
}
