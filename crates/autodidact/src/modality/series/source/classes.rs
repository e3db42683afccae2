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
    let names: Vec<&str> = numbers
        .iter()
        .map(|&n| recordings[n].name.as_str())
        .collect();
    let of_recordings = labels::read(path, &names);
    let error = match of_recordings {
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
