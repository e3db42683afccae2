//! Where text comes from: text files, JSON Lines, CSV, TSV and Parquet, packed with gzip or zstd or not, and folders of
//! these.
//!
//! Everything is gone through once when it is opened: documents are counted, their places noted, and what is no UTF-8,
//! empty or there twice is counted as well. Plain text files stay where they are and are read document by document;
//! what has to be unpacked goes into memory, and beyond a limit into a nameless temporary file.

mod collect;
mod documents;
mod format;
mod parquet;
mod table;
#[cfg(test)]
mod tests;

use std::path::Path;

use self::collect::Collect;
use self::format::Format;
use super::Passage;
use super::reading::TextReading;
use crate::error::{AtPath, Error, Result};
use crate::modality::source::layout::{self, Layout, Split};
use crate::modality::source::storage::Member;
use crate::modality::source::{Source, SourceSpec, folder, labels};

pub use documents::DocumentSet;
pub use format::looks_like_text;

/// What may be named.
const EXPECTED: &str =
    "text: .txt, .jsonl, .csv, .tsv or .parquet files, the first four also as .gz or .zst";

/// Opens the text that the user named.
///
/// # Errors
/// When there is nothing at the path, no text in it, or not the part that was asked for; when a table has no column of
/// that name; when the labels that the user brings don't match.
pub fn open(spec: &SourceSpec) -> Result<Box<dyn Source<Passage>>> {
    let reading = TextReading::of(spec)?;
    let path = spec.path.as_ref().ok_or_else(|| {
        Error::data("no text was named")
            .expected(EXPECTED)
            .mend("name a file or a folder: there is no embedded text")
    })?;
    let members = list(path)?;
    let names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
    let layout = Layout::of(&names);
    let splits = splits(&names, &layout);
    let present = splits.iter().flatten().copied().collect();
    let choice = layout::choose(&present, spec.part, path)?;
    let mut collect = Collect::new(&reading, spec.memory_limit);
    for ((index, member), split) in members.iter().enumerate().zip(&splits) {
        if *split != choice.split {
            continue;
        }
        let class = layout.labels.as_ref().and_then(|labels| {
            let class = labels.of[index]?;
            Some(labels.classes[class as usize].as_str())
        });
        collect.take(member, class)?;
    }
    let mut set = collect.finish(path, choice)?;
    if let Some(path) = &spec.labels {
        let names: Vec<String> = (0..set.len()).map(|index| set.name(index)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (labels, unmatched) = labels::read(path, &names)?;
        set.label(labels, path, unmatched);
    }
    Ok(Box::new(set))
}

/// The files of text at a path, sorted by name.
fn list(path: &Path) -> Result<Vec<Member>> {
    let metadata = match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(folder::missing(path, EXPECTED));
        }
        metadata => metadata.at_path(path)?,
    };
    if metadata.is_dir() {
        let mut members = folder::list(path)?;
        let found = folder::kinds(members.iter().map(|member| member.name.as_str()));
        members.retain(|member| Format::of_name(&member.name).is_some());
        if members.is_empty() {
            return Err(Error::data(format!("holds no text (found: {found})"))
                .at(path)
                .expected(EXPECTED));
        }
        return Ok(members);
    }
    Ok(vec![Member::of_file(path)])
}

/// The part of each file: what its folders say, or else a word of its name (`wiki.train.tokens`, `dev.tsv`).
fn splits(names: &[&str], layout: &Layout) -> Vec<Option<Split>> {
    if names.len() == 1 || layout.splits.iter().any(Option::is_some) {
        return layout.splits.clone();
    }
    let of_name = |name: &&str| {
        let file = name.rsplit('/').next().unwrap_or(name);
        file.split(['.', '_', '-']).find_map(Split::of_name)
    };
    let splits: Vec<Option<Split>> = names.iter().map(of_name).collect();
    // One file that is called test among many is no part.
    let named = splits.iter().flatten().count();
    if named == names.len() {
        splits
    } else {
        vec![None; names.len()]
    }
}
