//! A CSV list of files: which images there are, their labels and the part that each belongs to.

use std::collections::BTreeMap;
use std::path::Path;

use super::layout::{self, Layout, Split};
use super::names::Names;
use super::set::{Items, Set};
use super::storage::{Member, Place};
use crate::error::{AtPath, Error, Result};
use crate::modality::source::archive::{self, Archive};
use crate::modality::source::{Labels, Part};

/// The lists that are looked for in a folder.
const NAMES: [&str; 3] = ["index.csv", "labels.csv", "metadata.csv"];

/// A list, read.
pub(super) struct List {
    shown: String,
    rows: Vec<Row>,
    /// The class names in the order of their numbers, where the list has both.
    order: Option<BTreeMap<String, i64>>,
    has_labels: bool,
    has_splits: bool,
}

struct Row {
    file: String,
    label: Option<String>,
    split: Option<Split>,
}

impl List {
    /// The list among the files at the top of a folder or archive, or of the one folder that holds all.
    ///
    /// # Errors
    /// When it can't be read.
    pub(super) fn find(members: &[Member]) -> Result<Option<Self>> {
        let root = members
            .first()
            .and_then(|member| member.name.split_once('/'));
        let root = root.map(|(top, _)| format!("{top}/"));
        let root = root.filter(|top| {
            members
                .iter()
                .all(|member| member.name.starts_with(top.as_str()))
        });
        let skip = root.map_or(0, |top| top.len());
        for name in NAMES {
            let here = members
                .iter()
                .find(|member| member.name[skip..].eq_ignore_ascii_case(name));
            if let Some(member) = here
                && let Some(list) = Self::parse(&member.read()?, &member.shown)?
            {
                return Ok(Some(list));
            }
        }
        Ok(None)
    }

    /// Reads a list; `None` where no column names files.
    pub(super) fn parse(bytes: &[u8], shown: &str) -> Result<Option<Self>> {
        let text = String::from_utf8_lossy(bytes);
        let text = text.trim_start_matches('\u{feff}');
        let mut reader = csv::ReaderBuilder::new()
            .flexible(true)
            .trim(csv::Trim::All)
            .from_reader(text.as_bytes());
        let wrong = |source: csv::Error| Error::data("is no CSV").at(shown).because(source);
        let headers: Vec<String> = reader
            .headers()
            .map_err(wrong)?
            .iter()
            .map(str::to_ascii_lowercase)
            .collect();
        let column = |names: &[&str]| {
            names
                .iter()
                .find_map(|name| headers.iter().position(|header| header == name))
        };
        let Some(file_at) = column(&[
            "file",
            "filename",
            "file_name",
            "path",
            "filepath",
            "file_path",
            "image",
            "image_path",
            "img",
        ]) else {
            return Ok(None);
        };
        let class_at = column(&["class", "class_name"]);
        let label_at = column(&["label"]);
        let split_at = column(&["split", "part", "subset"]);
        let mut rows = Vec::new();
        let mut order: Option<BTreeMap<String, i64>> =
            (class_at.is_some() && label_at.is_some()).then(BTreeMap::new);
        for record in reader.records() {
            let record = record.map_err(wrong)?;
            let cell = |at: Option<usize>| {
                at.and_then(|at| record.get(at))
                    .filter(|cell| !cell.is_empty())
            };
            let Some(file) = cell(Some(file_at)) else {
                continue;
            };
            let class = cell(class_at);
            let label = cell(label_at);
            if let (Some(map), Some(class)) = (&mut order, class) {
                match label.and_then(|label| label.parse().ok()) {
                    Some(number) if *map.entry(class.to_owned()).or_insert(number) == number => {}
                    _ => order = None,
                }
            }
            rows.push(Row {
                file: file.replace('\\', "/"),
                label: class.or(label).map(str::to_owned),
                split: cell(split_at).and_then(Split::of_name),
            });
        }
        let has_splits = rows.iter().any(|row| row.split.is_some());
        let has_labels = rows.iter().any(|row| row.label.is_some());
        Ok(Some(Self {
            shown: shown.to_owned(),
            rows,
            order,
            has_labels,
            has_splits,
        }))
    }

    /// Whether any row names one of the members.
    pub(super) fn fits(&self, members: &[Member]) -> bool {
        let names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
        let names = Names::new(&names);
        self.rows.iter().any(|row| names.find(&row.file).is_some())
    }

    /// Opens the listed files among `members`.
    ///
    /// # Errors
    /// When none of them is there, or the wished part isn't.
    pub(super) fn open(&self, members: &[Member], wanted: Option<Part>) -> Result<Set> {
        let names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
        let names = Names::new(&names);
        let found: Vec<Option<Member>> = self
            .rows
            .iter()
            .map(|row| names.find(&row.file).map(|index| members[index].clone()))
            .collect();
        self.assemble(found, wanted)
    }

    fn assemble(&self, found: Vec<Option<Member>>, wanted: Option<Part>) -> Result<Set> {
        let lost = found.iter().filter(|member| member.is_none()).count();
        if lost == found.len() {
            let first = self.rows.first().map_or("", |row| &row.file);
            return Err(Error::data(format!(
                "none of its {lost} files is there, the first being {first:?}"
            ))
            .at(&self.shown)
            .expected("paths from the list's folder, or of members of an archive beside it"));
        }
        let names: Vec<&str> = found
            .iter()
            .zip(&self.rows)
            .map(|(member, row)| {
                member
                    .as_ref()
                    .map_or(row.file.as_str(), |member| &member.name)
            })
            .collect();
        // Where the list doesn't say, the folders do.
        let layout = Layout::of(&names);
        let labels = if self.has_labels {
            let labels = self.rows.iter().map(|row| row.label.clone()).collect();
            layout::number(labels, self.order.as_ref())
        } else {
            layout.labels
        };
        let splits: Vec<Option<Split>> = if self.has_splits {
            self.rows.iter().map(|row| row.split).collect()
        } else {
            layout.splits
        };
        let present = splits.iter().flatten().copied().collect();
        let choice = layout::choose(&present, wanted, Path::new(&self.shown))?;
        let mut members = Vec::new();
        let mut of = Vec::new();
        for (index, member) in found.into_iter().enumerate() {
            if let Some(member) = member
                && splits[index] == choice.split
            {
                of.extend(labels.as_ref().map(|labels| labels.of[index]));
                members.push(member);
            }
        }
        let labels = labels.map(|labels| Labels { of, ..labels });
        let mut about = format!("{}{}", self.shown, choice.shown());
        if lost > 0 {
            about.push_str(&format!("; {lost} of its files are missing"));
        }
        Ok(Set {
            items: Items::Files(members),
            labels,
            other_parts: choice.others,
            about,
        })
    }
}

/// Opens the list at `path` itself: files relative to it, or members of the archives beside it.
/// Also returns the bytes of memory that the archives' members hold.
pub(super) fn open_file(path: &Path, wanted: Option<Part>, memory: u64) -> Result<(Set, u64)> {
    let bytes = std::fs::read(path).at_path(path)?;
    let list = List::parse(&bytes, &path.display().to_string())?.ok_or_else(|| {
        Error::data("is a list without a column of files")
            .at(path)
            .expected(
                "a header with file, filename, path or image, and perhaps label, class and split",
            )
    })?;
    let base = path.parent().unwrap_or(Path::new(""));
    if list
        .rows
        .iter()
        .take(16)
        .any(|row| base.join(&row.file).is_file())
    {
        let found = list.rows.iter().map(|row| {
            let path = base.join(&row.file);
            Some(Member {
                name: row.file.clone(),
                shown: path.display().to_string(),
                place: Place::File(path),
            })
        });
        return Ok((list.assemble(found.collect(), wanted)?, 0));
    }
    let folder = if base.as_os_str().is_empty() {
        Path::new(".")
    } else {
        base
    };
    let mut archives: Vec<_> = std::fs::read_dir(folder)
        .at_path(folder)?
        .flatten()
        .map(|entry| entry.path())
        .filter_map(|path| Archive::of_name(&path.to_string_lossy()).map(|kind| (path, kind)))
        .collect();
    archives.sort();
    let mut members = Vec::new();
    let mut held = 0;
    for (path, kind) in archives {
        let (more, bytes) = archive::list(
            &path,
            kind,
            memory.saturating_sub(held),
            true,
            &super::is_wanted,
        )?;
        members.extend(more);
        held += bytes;
    }
    Ok((list.open(&members, wanted)?, held))
}
