//! Parquet files with a column of encoded images, as Hugging Face's data sets have them.
//!
//! <https://huggingface.co/docs/datasets/image_dataset>: a column of structs `{bytes, path}` or of plain bytes, a
//! column of labels, and in the file's notes, under `huggingface`, what the columns are and what the classes are called.
//! Files are called for their parts and numbered, `train-00000-of-00002.parquet`, or lie in folders of the parts.

mod notes;
mod stretch;
mod table;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use self::stretch::Stretch;
use self::table::Table;
use super::decode;
use super::layout::{self, Split};
use super::set::{Items, Set};
use super::storage::{Blob, Member};
use crate::error::{Error, Result};
use crate::modality::image::Image;
use crate::modality::source::{Labels, Part};

/// The most rows that are opened.
const MOST_ROWS: usize = 50_000_000;
/// The highest class number where the file names no classes, so that a wrong column can't ask for billions of them.
const MOST_CLASSES: i64 = 1 << 20;

/// Whether the bytes begin a Parquet file.
pub(super) fn is_parquet(head: &[u8]) -> bool {
    head.starts_with(b"PAR1")
}

/// Whether a name is that of a Parquet file.
pub(super) fn has_table_name(name: &str) -> bool {
    name.to_ascii_lowercase().ends_with(".parquet")
}

/// Whether the bytes are those of a Parquet file with a column that says of itself that it holds images.
pub(super) fn holds_images(bytes: Vec<u8>) -> bool {
    let length = bytes.len() as u64;
    let blob = Arc::new(Blob::Memory(bytes));
    table::holds_images(&Stretch {
        blob,
        offset: 0,
        length,
    })
}

/// Images in the rows of files of one layout.
pub(super) struct Columns {
    tables: Vec<Table>,
    /// Whether what was read of a file stays in memory.
    keep: bool,
}

impl Columns {
    /// Number of rows.
    pub(super) fn len(&self) -> usize {
        self.tables.iter().map(Table::rows).sum()
    }

    /// Bytes that may come to be kept here.
    pub(super) fn held(&self) -> u64 {
        if self.keep {
            self.tables.iter().map(Table::image_bytes).sum()
        } else {
            0
        }
    }

    /// The path that the row gives its image, or else the file's name and the row's number.
    pub(super) fn name(&self, index: usize) -> Option<String> {
        self.find(index).map(|(table, row)| table.name(row))
    }

    /// Reads and decodes a row's image.
    ///
    /// # Errors
    /// Names file, row and column.
    pub(super) fn get(&self, index: usize) -> Result<Image> {
        let (table, row) = self
            .find(index)
            .ok_or_else(|| Error::data(format!("there is no item {index}")))?;
        let bytes = table.image(row, self.keep)?;
        decode::decode(&bytes).map_err(|error| error.at(table.place(row)))
    }

    fn find(&self, mut index: usize) -> Option<(&Table, usize)> {
        self.tables.iter().find_map(|table| {
            if index < table.rows() {
                return Some((table, index));
            }
            index -= table.rows();
            None
        })
    }
}

/// The part that a file is of, by its name or its folder's.
fn split_of(name: &str) -> Option<Split> {
    let mut parts = name.rsplit('/');
    let file = parts.next().unwrap_or(name);
    let word = file.split(['-', '_', '.']).next().unwrap_or(file);
    Split::of_name(word).or_else(|| parts.next().and_then(Split::of_name))
}

/// Opens the Parquet files among `members`, where there are some and no image files beside them.
///
/// Encoded images stay in memory once they were read, where all of the part's fit into `memory` bytes. Otherwise each
/// row is read when it is asked for, with the page that it lies on.
///
/// # Errors
/// When the wished part isn't there, a file is damaged or too long, or holds no column of images.
pub(super) fn recognize(
    members: &[Member],
    root: &Path,
    wanted: Option<Part>,
    memory: u64,
) -> Result<Option<Set>> {
    let files: Vec<&Member> = members
        .iter()
        .filter(|member| has_table_name(&member.name))
        .collect();
    if files.is_empty()
        || members
            .iter()
            .any(|member| decode::has_image_name(&member.name))
    {
        return Ok(None);
    }
    let present: BTreeSet<Split> = files.iter().filter_map(|f| split_of(&f.name)).collect();
    let choice = layout::choose(&present, wanted, root)?;
    let mut tables = Vec::new();
    let mut others = Vec::new();
    for file in files {
        let split = split_of(&file.name);
        if split == choice.split {
            tables.push(Table::open(file)?);
        } else if split.is_some() {
            others.push(file);
        }
    }
    let rows: usize = tables.iter().map(Table::rows).sum();
    if rows == 0 || rows > MOST_ROWS {
        return Err(Error::data(format!("holds {rows} rows"))
            .at(root)
            .expected(format!("one to {MOST_ROWS}")));
    }
    let labels = labels(&tables, &others)?;
    let column = tables.first().map_or("", Table::column).to_owned();
    let mut columns = Columns { tables, keep: true };
    columns.keep = columns.held() <= memory;
    Ok(Some(Set {
        about: format!(
            "column {column} of Parquet files in {}{}",
            root.display(),
            choice.shown()
        ),
        items: Items::Columns(columns),
        labels,
        other_parts: choice.others,
    }))
}

/// Opens one file, whatever it is called.
///
/// # Errors
/// As [`recognize`].
pub(super) fn open_file(
    path: &Path,
    member: &Member,
    wanted: Option<Part>,
    memory: u64,
) -> Result<Set> {
    let mut member = member.clone();
    if !has_table_name(&member.name) {
        member.name.push_str(".parquet");
    }
    recognize(&[member], path, wanted, memory)?
        .ok_or_else(|| Error::data("holds no images").at(path))
}

/// The rows' classes: as the notes name them, or else numbered over all parts, so that these have the same classes.
fn labels(tables: &[Table], others: &[&Member]) -> Result<Option<Labels>> {
    if let Some(classes) = tables.first().and_then(Table::classes) {
        let mut of = Vec::new();
        for table in tables {
            of.extend(numbers(table, classes.len())?);
        }
        return Ok(Some(Labels {
            classes: classes.to_vec(),
            of,
        }));
    }
    let mut names = Vec::new();
    for table in tables {
        names.extend(texts(table)?);
    }
    if names.iter().all(Option::is_none) {
        return Ok(None);
    }
    let items = names.len();
    for file in others {
        names.extend(texts(&Table::open(file)?)?);
    }
    Ok(layout::number(names, None).map(|mut labels| {
        labels.of.truncate(items);
        labels
    }))
}

/// Numbers of named classes; below zero means without a label.
fn numbers(table: &Table, classes: usize) -> Result<Vec<Option<u32>>> {
    let number = |(row, text): (usize, Option<String>)| match text.map(|text| text.parse::<i64>()) {
        None | Some(Ok(i64::MIN..0)) => Ok(None),
        Some(Ok(class)) if class < classes as i64 => Ok(u32::try_from(class).ok()),
        Some(class) => Err(Error::data(match class {
            Ok(class) => format!("holds the class {class}"),
            Err(_) => "holds a class that is no number".to_owned(),
        })
        .at(table.label_place(row))
        .expected(format!(
            "0 to {}, since the file names {classes} classes",
            classes.saturating_sub(1)
        ))),
    };
    table
        .labels()?
        .into_iter()
        .enumerate()
        .map(number)
        .collect()
}

/// Names of classes; numbers below zero mean without a label.
fn texts(table: &Table) -> Result<Vec<Option<String>>> {
    let text = |(row, text): (usize, Option<String>)| match text.as_deref().map(str::parse::<i64>) {
        Some(Ok(i64::MIN..0)) => Ok(None),
        Some(Ok(class)) if class >= MOST_CLASSES => {
            Err(Error::data(format!("holds the class {class}"))
                .at(table.label_place(row))
                .expected(format!("numbers of classes, below {MOST_CLASSES}")))
        }
        _ => Ok(text.filter(|text| !text.is_empty())),
    };
    table.labels()?.into_iter().enumerate().map(text).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_of_the_part_in_their_name_or_their_folder() {
        for (name, split) in [
            ("data/train-00000-of-00002-2b5d.parquet", Some(Split::Train)),
            ("default/test/0000.parquet", Some(Split::Test)),
            ("validation.parquet", Some(Split::Validation)),
            ("trained.parquet", None),
            ("0000.parquet", None),
        ] {
            assert_eq!(split_of(name), split, "{name}");
        }
    }
}
