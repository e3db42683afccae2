//! WebDataset: files of one sample share their name up to the first dot, `0001.jpg` and `0001.cls`, in tar shards.
//!
//! Aizman, Maltby, Breuel, "High Performance I/O For Large Scale Deep Learning" (2019),
//! <https://github.com/webdataset/webdataset>. Shards are numbered, `train-000123.tar`; they are read in place.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::decode;
use super::layout::{self, Choice, Layout, Split};
use super::set::{Items, Set};
use super::storage::{Member, Place};
use crate::error::Result;
use crate::modality::source::{Labels, Part};

/// The longest file with a label that is read, in bytes.
const LONGEST_LABEL: u64 = 1 << 20;
/// Endings of files with a label; of two beside one image the later says more surely what it means.
const NOTES: [&str; 2] = [".json", ".cls"];

/// Whether a file may say of what class the image beside it is.
pub(super) fn is_note(name: &str) -> bool {
    NOTES.iter().any(|ending| name.ends_with(ending))
}

/// The split that an archive's name without its ending means: `train`, or of a shard `imagenet-train-000123`.
pub(super) fn split_of(stem: &str) -> Option<Split> {
    Split::of_name(stem).or_else(|| {
        let series = series(stem)?;
        Split::of_name(series.rsplit(['-', '_', '.']).next().unwrap_or(series))
    })
}

/// The name of a shard without its number; `None` for what isn't numbered.
fn series(stem: &str) -> Option<&str> {
    let name = stem.trim_end_matches(|c: char| c.is_ascii_digit());
    (name.len() < stem.len())
        .then(|| name.strip_suffix(['-', '_', '.']))
        .flatten()
}

/// The name up to the first dot of its last part.
fn key(name: &str) -> &str {
    let start = name.rfind('/').map_or(0, |slash| slash + 1);
    let dot = name[start..]
        .find('.')
        .map_or(name.len(), |dot| start + dot);
    &name[..dot]
}

/// Opens the samples among `members`: images with a `.cls` or `.json` of the same key, or numbered shards of images.
///
/// A `.cls` holds the class, as number or name; a `.json` may hold it under `label`, `cls` or `class`. Shards called
/// for parts are those parts.
///
/// # Errors
/// When the wished part isn't there.
pub(super) fn recognize(
    members: &[Member],
    root: &Path,
    wanted: Option<Part>,
) -> Result<Option<Set>> {
    let images: BTreeMap<&str, &Member> = members
        .iter()
        .filter(|member| decode::has_image_name(&member.name))
        .rev()
        .map(|member| (key(&member.name), member))
        .collect();
    let mut notes: BTreeMap<&str, &Member> = BTreeMap::new();
    for ending in NOTES {
        for member in members.iter().filter(|m| m.name.ends_with(ending)) {
            if images.contains_key(key(&member.name)) {
                notes.insert(key(&member.name), member);
            }
        }
    }
    let mut named: BTreeMap<&str, Option<String>> = BTreeMap::new();
    for (key, member) in &notes {
        named.insert(key, class(member));
    }
    let labeled = named.values().any(Option::is_some);
    if images.is_empty() || !(labeled || sharded(members)) {
        return Ok(None);
    }
    // With labels of their own, several images of a key would be several views of one sample; the first stands for it.
    let samples: Vec<(&str, &Member)> = images.into_iter().collect();
    let splits: Vec<Option<Split>> = splits(&samples);
    let present: BTreeSet<Split> = splits.iter().flatten().copied().collect();
    let choice: Choice = layout::choose(&present, wanted, root)?;
    let classes = samples
        .iter()
        .map(|(key, _)| named.get(key).cloned().flatten())
        .collect();
    let labels = layout::number(classes, None);
    let chosen: Vec<usize> = (0..samples.len())
        .filter(|&index| splits[index] == choice.split)
        .collect();
    Ok(Some(Set {
        items: Items::Files(chosen.iter().map(|&at| samples[at].1.clone()).collect()),
        labels: labels.map(|labels| Labels {
            of: chosen.iter().map(|&at| labels.of[at]).collect(),
            ..labels
        }),
        other_parts: choice.others.clone(),
        about: format!("WebDataset samples in {}{}", root.display(), choice.shown()),
    }))
}

/// The parts that shards are called for, or else the folders.
fn splits(samples: &[(&str, &Member)]) -> Vec<Option<Split>> {
    let of_shards: Vec<Option<Split>> = samples
        .iter()
        .map(|(key, _)| key.split_once('/').and_then(|(top, _)| split_of(top)))
        .collect();
    if of_shards.iter().all(Option::is_some) {
        return of_shards;
    }
    let names: Vec<&str> = samples.iter().map(|(_, m)| m.name.as_str()).collect();
    Layout::of(&names).splits
}

/// Whether all members come from archives that are numbered alike, at least two of them: their names are no classes.
fn sharded(members: &[Member]) -> bool {
    let mut shards = BTreeSet::new();
    let mut names = BTreeSet::new();
    for member in members {
        let Some((top, _)) = member.name.split_once('/') else {
            return false;
        };
        let (Some(series), Place::Stretch { .. } | Place::NotKept) = (series(top), &member.place)
        else {
            return false;
        };
        shards.insert(top);
        names.insert(series);
    }
    shards.len() > names.len()
}

/// The class that a file beside an image names; `None` where it names none or can't be read.
fn class(member: &Member) -> Option<String> {
    let bytes = member.head(LONGEST_LABEL).ok()?;
    let text = std::str::from_utf8(&bytes).ok()?.trim();
    if member.name.ends_with(".cls") {
        return (!text.is_empty()).then(|| text.to_owned());
    }
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(text).ok()?;
    ["label", "cls", "class"]
        .iter()
        .find_map(|name| match object.get(*name) {
            Some(serde_json::Value::String(class)) => Some(class.clone()),
            Some(serde_json::Value::Number(class)) => Some(class.to_string()),
            _ => None,
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_are_named_for_their_parts() {
        assert_eq!(split_of("train"), Some(Split::Train));
        assert_eq!(split_of("imagenet-train-000123"), Some(Split::Train));
        assert_eq!(split_of("val_07"), Some(Split::Validation));
        assert_eq!(split_of("train2017"), None);
        assert_eq!(split_of("crossing-train"), None);
        assert_eq!(split_of("000"), None);
    }

    #[test]
    fn a_key_ends_at_the_first_dot_of_the_file() {
        assert_eq!(key("a.b/c.left.jpg"), "a.b/c");
        assert_eq!(key("c"), "c");
    }
}
