//! Which files lie at a path, and what their names say: parts, classes, groups.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::EXPECTED;
use super::format::{Format, archive_kind, part_of_name, stem, without_packing};
use crate::error::{AtPath, Error, Result};
use crate::modality::source::archive;
use crate::modality::source::layout::{self, Choice, Layout, Split};
use crate::modality::source::npy;
use crate::modality::source::numbers::holds_numbers;
use crate::modality::source::packed::unpacked;
use crate::modality::source::storage::{LONGEST_MEMBER, Member, Packing, Place, Spill};
use crate::modality::source::{Part, SourceSpec, folder};

/// A file of series.
pub(super) struct File {
    pub(super) member: Member,
    pub(super) format: Format,
    pub(super) split: Option<Split>,
    /// The class that its folder tells.
    pub(super) class: Option<String>,
}

/// What lies at a path.
pub(super) struct Found {
    pub(super) files: Vec<File>,
    /// Arrays of labels, with the part that they are of.
    pub(super) labels: Vec<(Member, Option<Split>)>,
    pub(super) choice: Choice,
    /// Bytes of memory that unpacked members take.
    pub(super) held: u64,
    pub(super) notes: Vec<String>,
}

/// Finds the files of series.
///
/// # Errors
/// When there is nothing at the path, or no series, or not the part that was asked for.
pub(super) fn find(path: &Path, spec: &SourceSpec) -> Result<Found> {
    let mut listed = list(path, spec)?;
    unpack(&mut listed, path, spec.memory_limit)?;
    let mut notes = Vec::new();
    let (labels, data): (Vec<_>, Vec<_>) =
        listed.members.into_iter().partition(|(member, format)| {
            let named = npy::parse(&member.name).is_some_and(|named| named.labels);
            *format == Format::Npy && named
        });
    let Some(first) = data.iter().map(|(_, format)| *format).min() else {
        return Err(Error::data("holds no series").at(path).expected(EXPECTED));
    };
    let all = data.len();
    let data: Vec<_> = data
        .into_iter()
        .filter(|(_, format)| *format == first)
        .collect();
    if data.len() < all {
        notes.push(format!(
            "{} files of other formats are left out",
            all - data.len()
        ));
    }
    let names: Vec<&str> = data
        .iter()
        .map(|(member, _)| member.name.as_str())
        .collect();
    let layout = Layout::of(&names);
    let splits = splits(&names, &layout, path)?;
    let present: BTreeSet<Split> = splits.iter().flatten().copied().collect();
    // Of one whole, parts may be made yet.
    let wanted = spec.part.or(listed.named).filter(|_| !present.is_empty());
    let choice = layout::choose(&present, wanted, path)?;
    let class = |index: usize| {
        let labels = layout.labels.as_ref()?;
        Some(labels.classes[labels.of[index]? as usize].clone())
    };
    let classes: Vec<Option<String>> = (0..data.len()).map(class).collect();
    let files = data
        .into_iter()
        .zip(splits)
        .zip(classes)
        .map(|(((member, format), split), class)| File {
            member,
            format,
            split,
            class,
        })
        .collect();
    let labels = labels
        .into_iter()
        .map(|(member, _)| {
            let named = npy::parse(&member.name);
            let folders = Layout::of(&[&member.name]).splits[0];
            let split = named.and_then(|named| named.split).or(folders);
            (member, split)
        })
        .collect();
    Ok(Found {
        files,
        labels,
        choice,
        held: listed.held,
        notes,
    })
}

struct Listed {
    members: Vec<(Member, Format)>,
    /// The part that the file which the user named is.
    named: Option<Part>,
    held: u64,
}

/// Unpacks what is read at any place: arrays and Parquet files, into what is left of so many bytes of memory and beyond them
/// into a nameless temporary file. Other formats are read from the beginning to the end, and unpacked on the way.
///
/// # Errors
/// When one doesn't unpack, or to more than is read whole.
fn unpack(listed: &mut Listed, path: &Path, memory: u64) -> Result<()> {
    let mut spill = Spill::new(memory.saturating_sub(listed.held));
    let mut stretches = Vec::new();
    for (at, (member, format)) in listed.members.iter().enumerate() {
        let packed = without_packing(&member.name).len() < member.name.len();
        if !packed || !matches!(format, Format::Npy | Format::Parquet) {
            continue;
        }
        let offset = spill.length();
        let (stream, _) = unpacked(member)?;
        let mut stream = stream.take(LONGEST_MEMBER + 1);
        let length = std::io::copy(&mut stream, &mut spill).at_path(&member.shown)?;
        if length > LONGEST_MEMBER {
            return Err(Error::data("unpacks to more than 1 GiB")
                .at(&member.shown)
                .expected("a packed file of ordinary size")
                .mend("unpack it and name the file that comes out"));
        }
        stretches.push((at, offset, length));
    }
    if stretches.is_empty() {
        return Ok(());
    }
    let all = spill.length();
    let blob = Arc::new(spill.finish().at_path(path)?);
    if blob.is_memory() {
        listed.held += all;
    }
    for (at, offset, length) in stretches {
        let member = &mut listed.members[at].0;
        member.name.truncate(without_packing(&member.name).len());
        member.place = Place::Stretch {
            blob: Arc::clone(&blob),
            offset,
            length,
            packing: Packing::Stored,
        };
    }
    Ok(())
}

fn list(path: &Path, spec: &SourceSpec) -> Result<Listed> {
    let metadata = match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            let parts = beside(path);
            if parts.is_empty() {
                return Err(folder::missing(path, EXPECTED));
            }
            return Ok(of_files(parts, None));
        }
        metadata => metadata.at_path(path)?,
    };
    if metadata.is_dir() {
        return of_folder(path, spec);
    }
    let name = file_name(path);
    if let Some(kind) = archive_kind(&name) {
        let (members, held) = archive::list(path, kind, spec.memory_limit, true, &is_wanted)?;
        let found = members.iter().map(|member| member.name.clone()).collect();
        return Ok(Listed {
            members: series(members, found, path)?,
            named: None,
            held,
        });
    }
    // The other part of the same set lies beside it.
    if let Some((split, set)) = part_of_name(&name) {
        let folder = parent(path);
        let ending = &name[stem(&name).len()..];
        let other = |entry: &PathBuf| {
            let entry = file_name(entry);
            entry != name
                && entry[stem(&entry).len()..] == *ending
                && part_of_name(&entry).is_some_and(|part| part.1 == set && part.0 != split)
        };
        let mut files: Vec<PathBuf> = entries(&folder).into_iter().filter(other).collect();
        if !files.is_empty() {
            files.push(path.to_path_buf());
            files.sort();
            let named = match split {
                Split::Train => Part::Train,
                _ => Part::Test,
            };
            return Ok(of_files(files, Some(named)));
        }
    }
    let mut listed = of_files(vec![path.to_path_buf()], None);
    // Labels lie beside a single array.
    if listed.members[0].1 == Format::Npy {
        let beside = ["labels.npy", "y.npy"].map(|name| path.with_file_name(name));
        let found = beside
            .into_iter()
            .find(|beside| beside.is_file() && beside != path);
        let packing = &name[without_packing(&name).len()..];
        listed.members[0].0.name = format!("x.npy{packing}");
        listed
            .members
            .extend(found.map(|path| (Member::of_file(&path), Format::Npy)));
    }
    Ok(listed)
}

fn of_folder(path: &Path, spec: &SourceSpec) -> Result<Listed> {
    let members = folder::list(path)?;
    let found: Vec<String> = members.iter().map(|member| member.name.clone()).collect();
    let archives: Vec<(Member, archive::Archive)> = (members.iter())
        .filter_map(|member| Some((member.clone(), archive_kind(&member.name)?)))
        .collect();
    let read = series(members, found.clone(), path);
    if read.is_ok() || archives.is_empty() {
        return Ok(Listed {
            members: read?,
            named: None,
            held: 0,
        });
    }
    let (mut inner, mut held) = (Vec::new(), 0);
    for (member, kind) in archives {
        let Place::File(file) = &member.place else {
            continue;
        };
        let memory = spec.memory_limit.saturating_sub(held);
        let (mut members, bytes) = archive::list(file, kind, memory, true, &is_wanted)?;
        held += bytes;
        for inner in &mut members {
            inner.name = format!("{}/{}", archive::stem(&member.name), inner.name);
        }
        inner.extend(members);
    }
    Ok(Listed {
        members: series(inner, found, path)?,
        named: None,
        held,
    })
}

/// Those that hold series; `found` is what lies there for people.
fn series(members: Vec<Member>, found: Vec<String>, path: &Path) -> Result<Vec<(Member, Format)>> {
    let mut read = Vec::new();
    for member in members {
        let Some(format) = Format::of_name(&member.name) else {
            continue;
        };
        // Notes, lists of classes and other texts lie beside series.
        match format {
            Format::Text if !holds_numbers(&member)? => {}
            Format::Text => read.push((member, Format::Table)),
            format => read.push((member, format)),
        }
    }
    if read.is_empty() {
        let found = folder::kinds(found.iter().map(String::as_str));
        return Err(Error::data(format!("holds no series (found: {found})"))
            .at(path)
            .expected(EXPECTED));
    }
    Ok(read)
}

fn is_wanted(name: &str, _: &[u8]) -> bool {
    Format::of_name(name).is_some()
}

fn of_files(files: Vec<PathBuf>, named: Option<Part>) -> Listed {
    let member = |path: &PathBuf| {
        let member = Member::of_file(path);
        // Whatever it is called, the user says that it holds series.
        let format = match Format::of_name(&member.name) {
            None | Some(Format::Text) => Format::Table,
            Some(format) => format,
        };
        (member, format)
    };
    Listed {
        members: files.iter().map(member).collect(),
        named,
        held: 0,
    }
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().map(|name| name.to_string_lossy());
    name.unwrap_or_default().into_owned()
}

fn parent(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_path_buf(),
        _ => PathBuf::from("."),
    }
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| entry.path()).collect()
}

/// The files that are parts of a set by this name, where no file has the name itself: `ucr/Adiac` is
/// `ucr/Adiac_TRAIN.tsv.gz` and `ucr/Adiac_TEST.tsv.gz`.
pub(super) fn beside(path: &Path) -> Vec<PathBuf> {
    let wanted = file_name(path);
    let mut found: Vec<(Format, PathBuf)> = entries(&parent(path))
        .into_iter()
        .filter_map(|entry| {
            let name = file_name(&entry);
            let format = Format::of_name(&name)?;
            let (_, set) = part_of_name(&name)?;
            (set == wanted && !wanted.is_empty() && entry.is_file()).then_some((format, entry))
        })
        .collect();
    found.sort();
    let first = found.first().map(|(format, _)| *format);
    found.retain(|(format, _)| Some(*format) == first);
    found.into_iter().map(|(_, path)| path).collect()
}

/// The part of each file: what its folders say, or else a word of its name.
fn splits(names: &[&str], layout: &Layout, path: &Path) -> Result<Vec<Option<Split>>> {
    if names.len() == 1 || layout.splits.iter().any(Option::is_some) {
        return Ok(layout.splits.clone());
    }
    let parts: Vec<Option<(Split, String)>> = names.iter().map(|n| part_of_name(n)).collect();
    // One file that is called test among many is no part.
    if parts.iter().any(Option::is_none) {
        return Ok(vec![None; names.len()]);
    }
    let mut sets: BTreeMap<&str, BTreeSet<Split>> = BTreeMap::new();
    for (split, set) in parts.iter().flatten() {
        sets.entry(set).or_default().insert(*split);
    }
    let whole: Vec<&str> = (sets.iter())
        .filter(|(_, splits)| splits.len() > 1)
        .map(|(set, _)| *set)
        .collect();
    if let [first, _, ..] = whole[..] {
        let more = whole.len().saturating_sub(12);
        let mut listed = whole[..whole.len() - more].join(", ");
        if more > 0 {
            listed.push_str(&format!(" and {more} more"));
        }
        return Err(Error::data(format!("holds {} sets: {listed}", whole.len()))
            .at(path)
            .expected("one set with its parts")
            .mend(format!("name one of them: {}", path.join(first).display())));
    }
    Ok(parts
        .into_iter()
        .map(|part| part.map(|(split, _)| split))
        .collect())
}
