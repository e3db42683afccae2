//! The classes of items: of most of their steps, or as the user brings them.

use std::collections::BTreeMap;
use std::path::Path;

use super::collect::Recording;
use super::tape::Mark;
use super::windows::Item;
use crate::error::Result;
use crate::modality::source::layout;
use crate::modality::source::{Labels, labels};

/// The classes of items.
pub(super) struct Classes<'a> {
    pub(super) names: &'a [String],
    pub(super) recordings: &'a [Recording],
}

impl Classes<'_> {
    /// The class of each item, numbered over all parts; `None` where there are no two classes.
    pub(super) fn of(&self, items: &[Item]) -> Option<Labels> {
        let name = |class: u32| self.names[class as usize].clone();
        let mut of: Vec<Option<String>> = items
            .iter()
            .map(|item| most(&self.recordings[item.recording].marks, item).map(name))
            .collect();
        let count = of.len();
        of.extend(self.names.iter().cloned().map(Some));
        let mut labels = layout::number(of, None)?;
        labels.of.truncate(count);
        let known = labels.of.iter().any(Option::is_some);
        (known && labels.classes.len() > 1).then_some(labels)
    }
}

/// The class of most of an item's steps that have one.
fn most(marks: &[Mark], item: &Item) -> Option<u32> {
    let end = item.from + item.steps;
    let first = marks
        .partition_point(|mark| mark.from <= item.from)
        .saturating_sub(1);
    let mut counts: BTreeMap<u32, usize> = BTreeMap::new();
    for (place, mark) in marks.iter().enumerate().skip(first) {
        if mark.from >= end {
            break;
        }
        let until = marks.get(place + 1).map_or(end, |next| next.from.min(end));
        if let Some(class) = mark.class {
            *counts.entry(class).or_default() += until - mark.from.max(item.from);
        }
    }
    let best = counts
        .into_iter()
        .max_by_key(|&(class, count)| (count, std::cmp::Reverse(class)));
    best.map(|(class, _)| class)
}

/// Labels that the user brings: of recordings, whose windows all have theirs, or of items.
pub(super) fn bring(
    path: &Path,
    recordings: &[Recording],
    items: &[Item],
    windowed: bool,
) -> Result<(Labels, usize)> {
    // Those of this part alone.
    let mut numbers: Vec<usize> = items.iter().map(|item| item.recording).collect();
    numbers.dedup();
    let open: Vec<&Recording> = numbers.iter().map(|&n| &recordings[n]).collect();
    let error = match of_recordings(path, &open) {
        Ok((labels, unmatched)) => {
            let place: BTreeMap<usize, usize> = numbers.into_iter().zip(0..).collect();
            let of = items.iter().map(|item| labels.of[place[&item.recording]]);
            let of = of.collect();
            return Ok((Labels { of, ..labels }, unmatched));
        }
        Err(error) => error,
    };
    if windowed {
        let names: Vec<String> = items
            .iter()
            .map(|item| item.name(recordings, true))
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        if let Ok(labels) = labels::read(path, &names) {
            return Ok(labels);
        }
    }
    Err(error)
}

/// The label of each recording by its name. The pieces of a recording, which time turned round in or was left out of, have
/// the label of the whole where they aren't named themselves: people name the files that they have.
fn of_recordings(path: &Path, recordings: &[&Recording]) -> Result<(Labels, usize)> {
    let names: Vec<&str> = recordings.iter().map(|of| of.name.as_str()).collect();
    let own = labels::read(path, &names);
    if recordings.iter().all(|recording| recording.piece == 0) || !are_named(path) {
        return own;
    }
    let mut wholes: Vec<&str> = recordings.iter().map(|of| of.whole()).collect();
    wholes.sort_unstable();
    wholes.dedup();
    let Ok((whole, strangers)) = labels::read(path, &wholes) else {
        return own;
    };
    let of_whole = |recording: &&Recording| {
        let at = wholes.binary_search(&recording.whole()).ok()?;
        whole.of[at]
    };
    let of_wholes: Vec<Option<u32>> = recordings.iter().map(of_whole).collect();
    Ok(match own {
        Ok((own, unmatched)) if own.classes == whole.classes => {
            let both = own.of.iter().zip(of_wholes);
            let of = both.map(|(own, whole)| own.or(whole)).collect();
            let classes = own.classes;
            (Labels { classes, of }, unmatched.min(strangers))
        }
        Ok(own) => own,
        Err(_) => {
            let classes = whole.classes;
            let of = of_wholes;
            (Labels { classes, of }, strangers)
        }
    })
}

/// Whether a file of labels names what they are of, rather than hold one a line in the order of the items.
fn are_named(path: &Path) -> bool {
    let rows = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_path(path);
    let first = rows.ok().and_then(|rows| rows.into_byte_records().next());
    first.is_some_and(|row| row.is_ok_and(|row| row.len() > 1))
}
