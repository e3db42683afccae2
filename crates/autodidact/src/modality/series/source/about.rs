//! What was found, in one line for people: the odd above all.

use std::path::Path;

use super::collect::Collect;
use super::columns::listed;
use super::files::Found;
use super::windows::Cut;
use crate::modality::source::layout::Choice;

/// What was found, for people.
pub(super) fn about(
    path: &Path,
    choice: &Choice,
    cut: &Cut,
    collect: &Collect,
    found: &Found,
) -> String {
    let mut about = format!("{}{}{}", path.display(), choice.shown(), cut.why);
    let notes = &collect.notes;
    let counts = [
        (
            notes.unreadable,
            "fields that are no numbers count as missing",
        ),
        (
            notes.beyond,
            "values that are infinite or beyond 1e18 count as missing",
        ),
        (notes.ragged, "rows have another number of fields"),
        (
            notes.timeless,
            "rows have a time that can't be read: their order isn't checked",
        ),
        (notes.same, "rows have the time of the row before"),
        (
            notes.turned,
            "times time turned back: another recording begins there",
        ),
        (
            notes.parted,
            "gaps were too long to be filled: another recording begins there",
        ),
        (
            notes.backward,
            "recordings had their latest row first and were turned round",
        ),
        (
            notes.irregular,
            "recordings have steps of different length in time (see data.reading.resample)",
        ),
    ];
    for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
        about.push_str(&format!("; {count} {what}"));
    }
    if notes.gaps > 0 {
        let (gaps, longest) = (notes.gaps, notes.longest);
        about.push_str(&format!(
            "; {gaps} gaps in time, the longest of {longest} seconds"
        ));
    }
    let named = |what: &dyn Fn(usize) -> bool| -> Vec<String> {
        let channels = (0..collect.channels.len()).filter(|&channel| what(channel));
        channels
            .map(|channel| collect.channels[channel].clone())
            .collect()
    };
    let extents = &collect.extents;
    let empty = named(&|channel| extents[channel].count == 0);
    let constant = named(&|channel| {
        extents[channel].count > 0 && extents[channel].least == extents[channel].most
    });
    for (names, what) in [
        (empty, "without any value"),
        (constant, "that are constant"),
    ] {
        if !names.is_empty() {
            let names = listed(&names);
            about.push_str(&format!("; channels {what}: {names}"));
        }
    }
    for note in found.notes.iter().chain(&notes.others) {
        about.push_str(&format!("; {note}"));
    }
    about
}
