//! Classes of stretches of recordings, which the user brings: rows of recording, beginning, end and class, or windows of time
//! in which something was not normal, as the Numenta Anomaly Benchmark writes them.

use std::collections::BTreeMap;
use std::path::Path;

use super::collect::{Collect, Recording};
use super::format::stem;
use super::tape::Mark;
use super::time::{Form, Time};
use crate::error::{AtPath, Error, Result};
use crate::modality::source::labels::{is_label_column, is_name_column};
use crate::modality::source::names::Names;

/// What the columns of the first step and of the step after the last are called.
const START: [&str; 4] = ["start", "begin", "from", "first"];
const END: [&str; 4] = ["end", "stop", "to", "until"];
/// What the column of recordings is called besides what columns of items are.
const RECORDING: [&str; 2] = ["recording", "series"];
/// Whole numbers from here on are times.
const MOST_STEPS: usize = 100_000_000;
/// The class of what lies in windows of time, and of what doesn't.
const ABNORMAL: &str = "anomaly";
const NORMAL: &str = "normal";

/// Marks recordings with the classes of a CSV file whose header names the columns, or with the windows of a JSON object from
/// the name of a recording to the times at which each begins and ends. Returns the number of rows that match no step of any;
/// `None` where the file is no list of stretches.
///
/// # Errors
/// When a row says no stretch, two stretches overlap, or no row matches.
pub(super) fn mark(path: &Path, collect: &mut Collect) -> Result<Option<usize>> {
    let text = std::fs::read(path).at_path(path)?;
    let text = String::from_utf8_lossy(&text);
    let text = text.trim_start_matches('\u{feff}');
    let (named, free) = match text.trim_start().starts_with('{') {
        true => windows(text, path)?,
        false => match rows(text, path)? {
            Some(rows) => (rows, Vec::new()),
            None => return Ok(None),
        },
    };
    collect.forget_classes();
    let names: Vec<String> = (collect.recordings.iter())
        .map(|recording| recording.name.clone())
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let index = Names::new(&names);
    let pieces = pieces(&names);
    // Recordings are called after their files, without what these end with.
    let find = |name: &str| index.find(name).or_else(|| index.find(stem(name)));
    let mut stretches: BTreeMap<usize, Vec<(usize, usize, u32)>> = BTreeMap::new();
    let (mut unmatched, mut example) = (0, None);
    for named in named {
        let Some(first) = find(&named.recording) else {
            unmatched += 1;
            example.get_or_insert(named.recording);
            continue;
        };
        let Some(class) = collect.class(&named.class) else {
            continue;
        };
        // What time turned round in, or was left out of, became several recordings.
        let later = pieces.get(names[first]).into_iter().flatten().copied();
        let (mut found, mut before) = (false, 0);
        for number in std::iter::once(first).chain(later) {
            let recording = &collect.recordings[number];
            let steps = match named.stretch {
                Stretch::Steps(from, to) if to < from => {
                    return Err(out_of_order(recording, (from, to), path));
                }
                Stretch::Steps(from, to) => within(recording, before, (from, to)),
                Stretch::Times(from, to) => between(recording, (from, to), path)?,
            };
            before += recording.steps;
            if let Some((from, to)) = steps {
                stretches.entry(number).or_default().push((from, to, class));
                found = true;
            }
        }
        if !found {
            unmatched += 1;
            example.get_or_insert(named.recording);
        }
    }
    // Those that are listed without any window are matched too.
    let (free, strangers): (Vec<String>, Vec<String>) =
        free.into_iter().partition(|name| find(name).is_some());
    unmatched += strangers.len();
    if stretches.is_empty() && free.is_empty() {
        let example = example.or_else(|| strangers.into_iter().next());
        return Err(Error::data(format!(
            "none of its {unmatched} rows is of a recording's steps, the first being of {:?}",
            example.unwrap_or_default()
        ))
        .at(path)
        .expected(format!(
            "names such as {:?}, and steps or times that there are",
            names.first().copied().unwrap_or_default()
        )));
    }
    // Windows say what is not normal: all else is.
    let rest = match !free.is_empty() || collect.classes.iter().any(|class| class == ABNORMAL) {
        true => collect.class(NORMAL),
        false => None,
    };
    for recording in &mut collect.recordings {
        recording.marks.clear();
    }
    for (number, mut of) in stretches {
        let recording = &mut collect.recordings[number];
        of.sort_unstable();
        let mut done = 0;
        for (from, to, class) in of {
            if from < done {
                return Err(out_of_order(recording, (from, to), path));
            }
            if from > done {
                recording.marks.push(Mark {
                    from: done,
                    class: rest,
                });
            }
            let class = Some(class);
            recording.marks.push(Mark { from, class });
            done = to;
        }
        if done < recording.steps {
            recording.marks.push(Mark {
                from: done,
                class: rest,
            });
        }
    }
    Ok(Some(unmatched))
}

/// The later pieces of recordings, by the names of the first.
fn pieces<'a>(names: &[&'a str]) -> BTreeMap<&'a str, Vec<usize>> {
    let mut pieces: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (number, name) in names.iter().enumerate() {
        if let Some((first, piece)) = name.rsplit_once('+')
            && piece.parse::<usize>().is_ok()
        {
            pieces.entry(first).or_default().push(number);
        }
    }
    pieces
}

/// Refuses a stretch of a recording.
fn out_of_order(recording: &Recording, (from, to): (usize, usize), path: &Path) -> Error {
    Error::data(format!(
        "the stretch from {from} to {to} of {} overlaps another, or ends before it begins",
        recording.name
    ))
    .at(path)
    .expected("stretches one after the other")
}

/// Which of its own steps a recording has of some that are counted from the beginning of the first piece, `before` of them
/// in pieces before it; `None` where it has none.
fn within(
    recording: &Recording,
    before: usize,
    (from, to): (usize, usize),
) -> Option<(usize, usize)> {
    let from = from.saturating_sub(before);
    let to = to.saturating_sub(before).min(recording.steps);
    (from < to).then_some((from, to))
}

/// The first step of some time, and the step after the last; `None` where the recording has none.
fn between(
    recording: &Recording,
    (from, to): (Time, Time),
    path: &Path,
) -> Result<Option<(usize, usize)>> {
    // Dates without a zone are those that people read in the recording.
    let seconds = |time: Time| match (time.form, time.zone, recording.zone) {
        (Form::Date, None, Some(zone)) => time.seconds - f64::from(zone),
        _ => time.seconds,
    };
    let (from, to) = (seconds(from), seconds(to));
    let times = &recording.times;
    if times.iter().all(|time| time.is_nan()) {
        return Err(Error::data(format!("{} has no times", recording.name))
            .at(path)
            .expected("a column of times, since the stretches are given as times")
            .mend("name it with data.reading.time, or give the stretches as steps"));
    }
    let first = times.iter().position(|&time| time >= from);
    let last = times.iter().rposition(|&time| time <= to);
    Ok(match (first, last) {
        (Some(first), Some(last)) if first <= last => Some((first, last + 1)),
        _ => None,
    })
}

/// A stretch of a recording, by its name.
struct Named {
    recording: String,
    stretch: Stretch,
    class: String,
}

/// From where to where.
enum Stretch {
    /// The first step, and the step after the last.
    Steps(usize, usize),
    /// The times of the first step and of the last.
    Times(Time, Time),
}

impl Stretch {
    fn of(start: &str, end: &str) -> Option<Self> {
        if let (Ok(start), Ok(end)) = (start.parse(), end.parse())
            && start < MOST_STEPS
        {
            return Some(Self::Steps(start, end));
        }
        let (start, end) = (Time::of(start)?, Time::of(end)?);
        (start.seconds <= end.seconds).then_some(Self::Times(start, end))
    }
}

/// The rows of a table; `None` where its columns don't say where stretches begin and end.
fn rows(text: &str, path: &Path) -> Result<Option<Vec<Named>>> {
    let mut rows = csv::ReaderBuilder::new()
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
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
    let Some(name) = name else {
        return Err(Error::data("names no column of recordings")
            .at(path)
            .expected("the columns recording, start, end, and label where there are classes"));
    };
    let label = find(&|name| is_label_column(name));
    let mut found = Vec::new();
    for (number, row) in rows.into_records().enumerate() {
        let row = row.map_err(|source| Error::data("is no CSV").at(path).because(source))?;
        let field = |at: usize| row.get(at).unwrap_or_default();
        let Some(stretch) = Stretch::of(field(start), field(end)) else {
            return Err(
                Error::data(format!("row {} says no stretch", number + 1))
                    .at(path)
                    .expected(
                        "the first step, from 0, and the step after the last; or the times of the first and the last step",
                    ),
            );
        };
        found.push(Named {
            recording: field(name).to_owned(),
            stretch,
            class: label.map_or(ABNORMAL, field).to_owned(),
        });
    }
    Ok(Some(found))
}

/// The windows of an object from the name of a recording to pairs of times, and the recordings that have none.
fn windows(text: &str, path: &Path) -> Result<(Vec<Named>, Vec<String>)> {
    let wrong = |what: String| {
        Error::data(what)
            .at(path)
            .expected("an object from the name of a recording to pairs of times: {\"a.csv\": [[\"2024-05-01 10:00\", \"2024-05-01 12:00\"]]}")
    };
    let all: BTreeMap<String, Vec<Vec<serde_json::Value>>> = serde_json::from_str(text)
        .map_err(|source| wrong("is no list of windows".to_owned()).because(source))?;
    let (mut found, mut free) = (Vec::new(), Vec::new());
    for (recording, windows) in all {
        if windows.is_empty() {
            free.push(recording);
            continue;
        }
        for window in windows {
            let time = |at: usize| match window.get(at) {
                Some(serde_json::Value::String(text)) => Time::of(text),
                Some(other) => other.as_f64().map(Time::of_number),
                None => None,
            };
            let (Some(from), Some(to), 2) = (time(0), time(1), window.len()) else {
                return Err(wrong(format!(
                    "a window of {recording} is no pair of times"
                )));
            };
            found.push(Named {
                recording: recording.clone(),
                stretch: Stretch::Times(from, to),
                class: ABNORMAL.to_owned(),
            });
        }
    }
    Ok((found, free))
}

#[cfg(test)]
mod tests {
    use super::super::tape::Origin;
    use super::*;

    type Marks = Vec<(usize, Option<u32>)>;

    /// A recording of ten steps, its later piece of five, and another of four, marked by the rows of a table; and how many rows
    /// match nothing.
    fn marked(rows: &str) -> Result<(Vec<Marks>, Option<usize>)> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("labels.csv");
        std::fs::write(&path, format!("recording,start,end,label\n{rows}")).unwrap();
        let mut collect = Collect::new(vec!["x".to_owned()], false, 0.0, 1 << 20);
        for (name, piece, steps) in [("a", 0, 10), ("a", 1, 5), ("b", 0, 4)] {
            let origin = Origin {
                name: name.to_owned(),
                piece,
                ..Origin::default()
            };
            collect.whole(origin, vec![0.0; steps], None).unwrap();
        }
        let unmatched = mark(&path, &mut collect)?;
        let marks = |recording: &Recording| -> Marks {
            let marks = recording.marks.iter();
            marks.map(|mark| (mark.from, mark.class)).collect()
        };
        Ok((collect.recordings.iter().map(marks).collect(), unmatched))
    }

    #[test]
    fn steps_are_counted_on_through_the_pieces_of_a_recording() {
        let (marks, unmatched) = marked("a,8,12,run\nb,3,9,walk\n").unwrap();
        assert_eq!(marks[0], [(0, None), (8, Some(0))]);
        assert_eq!(marks[1], [(0, Some(0)), (2, None)]);
        assert_eq!(marks[2], [(0, None), (3, Some(1))]);
        assert_eq!(unmatched, Some(0));
        // A piece that is named itself has steps of its own.
        let (marks, _) = marked("a,1,3,run\na+1,1,9,run\n").unwrap();
        assert_eq!(marks[0], [(0, None), (1, Some(0)), (3, None)]);
        assert_eq!(marks[1], [(0, None), (1, Some(0))]);
    }

    #[test]
    fn stretches_beyond_the_end_of_a_recording_match_nothing_and_are_counted() {
        let (marks, unmatched) = marked("a,0,2,run\nb,4,9,run\na,15,20,run\n").unwrap();
        assert_eq!(marks[0], [(0, Some(0)), (2, None)]);
        assert_eq!(unmatched, Some(2));
        let error = marked("b,4,9,run\n").unwrap_err().to_string();
        assert!(error.contains("none of its 1 rows"), "{error}");
    }
}
