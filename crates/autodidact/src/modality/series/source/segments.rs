//! Classes of stretches of recordings, which the user brings: rows of recording, first step, step after the last, class.

use std::collections::BTreeMap;
use std::path::Path;

use super::collect::Collect;
use super::tape::Mark;
use crate::error::{AtPath, Error, Result};
use crate::modality::source::labels::{is_label_column, is_name_column};
use crate::modality::source::names::Names;

/// What the columns of the first step and of the step after the last are called.
const START: [&str; 4] = ["start", "begin", "from", "first"];
const END: [&str; 4] = ["end", "stop", "to", "until"];
/// What the column of recordings is called besides what columns of items are.
const RECORDING: [&str; 2] = ["recording", "series"];

/// Marks recordings with the classes of a CSV file whose header names the columns. Returns the number of rows that match no
/// recording; `None` where the file is no list of stretches.
///
/// # Errors
/// When a row says no stretch, two stretches overlap, or no row matches.
pub(super) fn mark(path: &Path, collect: &mut Collect) -> Result<Option<usize>> {
    let text = std::fs::read(path).at_path(path)?;
    let text = String::from_utf8_lossy(&text);
    let mut rows = csv::ReaderBuilder::new()
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(text.trim_start_matches('\u{feff}').as_bytes());
    let header = match rows.headers() {
        Ok(header) => header.clone(),
        Err(_) => return Ok(None),
    };
    let find = |fits: &dyn Fn(&str) -> bool| header.iter().position(fits);
    let is = |names: &'static [&'static str]| {
        move |name: &str| names.contains(&name.to_ascii_lowercase().as_str())
    };
    let (Some(start), Some(end)) = (find(&is(&START)), find(&is(&END))) else {
        return Ok(None);
    };
    let name = find(&|name| is_name_column(name) || is(&RECORDING)(name));
    let (Some(name), Some(label)) = (name, find(&|name| is_label_column(name))) else {
        return Err(Error::data("names no column of recordings or of classes")
            .at(path)
            .expected("the columns recording, start, end and label"));
    };
    collect.forget_classes();
    let mut stretches: BTreeMap<usize, Vec<(usize, usize, u32)>> = BTreeMap::new();
    let mut unmatched = 0;
    let names: Vec<String> = (collect.recordings.iter())
        .map(|recording| recording.name.clone())
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let index = Names::new(&names);
    for (number, row) in rows.into_records().enumerate() {
        let row = row.map_err(|source| Error::data("is no CSV").at(path).because(source))?;
        let step = |at: usize| row.get(at).and_then(|field| field.parse::<usize>().ok());
        let (Some(from), Some(to)) = (step(start), step(end)) else {
            return Err(Error::data(format!("row {} says no stretch", number + 1))
                .at(path)
                .expected("the first step, from 0, and the step after the last"));
        };
        let Some(recording) = row.get(name).and_then(|name| index.find(name)) else {
            unmatched += 1;
            continue;
        };
        if let Some(class) = row.get(label).and_then(|class| collect.class(class)) {
            let of = stretches.entry(recording).or_default();
            of.push((from, to, class));
        }
    }
    if stretches.is_empty() {
        return Err(
            Error::data(format!("none of its {unmatched} rows is of a recording"))
                .at(path)
                .expected(format!(
                    "names such as {:?}",
                    names.first().copied().unwrap_or_default()
                )),
        );
    }
    for recording in &mut collect.recordings {
        recording.marks.clear();
    }
    for (number, mut of) in stretches {
        let recording = &mut collect.recordings[number];
        of.sort_unstable();
        let mut done = 0;
        for (from, to, class) in of {
            if from < done || to < from {
                return Err(Error::data(format!(
                    "the stretch from {from} to {to} of {} overlaps another, or ends before it begins",
                    recording.name
                ))
                .at(path)
                .expected("stretches one after the other"));
            }
            let to = to.min(recording.steps);
            if from >= to {
                continue;
            }
            if from > done {
                recording.marks.push(Mark {
                    from: done,
                    class: None,
                });
            }
            let class = Some(class);
            recording.marks.push(Mark { from, class });
            done = to;
        }
        if done < recording.steps {
            recording.marks.push(Mark {
                from: done,
                class: None,
            });
        }
    }
    Ok(Some(unmatched))
}
