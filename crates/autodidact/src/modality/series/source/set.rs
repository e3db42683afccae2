//! An opened data set: recordings, and what of them are items.

use std::ops::Range;
use std::path::Path;

use super::about::about;
use super::classes::{Classes, bring};
use super::collect::{Collect, Recording};
use super::files::Found;
use super::shape::{Kind, Survey, survey};
use super::table::{self, Feed};
use super::windows::{Cut, Item};
use super::{arrays, parquet, parts, rows, segments, ts};
use crate::error::{AtPath, Error, Result};
use crate::modality::series::Series;
use crate::modality::series::reading::SeriesReading;
use crate::modality::source::layout::{self, Split};
use crate::modality::source::storage::Blob;
use crate::modality::source::{Labels, Part, Recordings, Source, SourceSpec, steps_of};

/// The part of all rows that time may turn at.
const TURNS: f64 = 0.05;

/// What the class of steps is called at which nothing is wrong.
const NORMAL: [&str; 8] = ["0", "0.0", "normal", "no", "false", "ok", "healthy", "good"];

/// Series, their classes, and what was found out about them.
pub struct SeriesSet {
    blob: Blob,
    /// Values a step, the first of which were measured.
    channels: usize,
    /// What those are called.
    measured: Vec<String>,
    recordings: Vec<Recording>,
    items: Vec<Item>,
    /// Whether items are windows.
    windowed: bool,
    labels: Option<Labels>,
    other_parts: Vec<Part>,
    /// The part of each recording's steps that is learned from, where the rest is another part.
    learned: Option<f64>,
    /// The recordings of the open part.
    open: Vec<usize>,
    /// Names of the classes that steps have.
    classes: Vec<String>,
    /// Whether a file says for all recordings which stretches are of a class.
    told: bool,
    /// Mean and deviation of each channel of each recording, where recordings are brought to one scale.
    scales: Vec<Vec<(f32, f32)>>,
    about: String,
}

/// Reads all that was found.
///
/// # Errors
/// As [`super::open`].
pub(super) fn read(
    mut found: Found,
    path: &Path,
    reading: &SeriesReading,
    spec: &SourceSpec,
) -> Result<SeriesSet> {
    let Survey {
        shapes,
        channels,
        notes,
    } = survey(&found, reading)?;
    found.notes.extend(notes);
    let memory = spec.memory_limit.saturating_sub(found.held);
    let mut collect = Collect::new(channels, reading.calendar, reading.resample, memory);
    collect.timed = spec.labels.is_some();
    // Where one file tells classes, folders are no classes.
    let by_folder = !shapes.iter().any(|shape| shape.labeled);
    let mut arrays = None;
    for (file, shape) in found.files.iter().zip(&shapes) {
        // The other parts are read as well: they have classes and lengths.
        collect.keep = file.split == found.choice.split;
        let class = match &file.class {
            Some(class) if by_folder => collect.class(class),
            _ => None,
        };
        match &shape.kind {
            Kind::Table { dialect, roles } => {
                let feed = Feed::new(file, roles, dialect.comma, class, reading, &collect);
                table::read(file, dialect, feed, &mut collect)?;
            }
            Kind::Parquet { roles } => {
                let feed = Feed::new(file, roles, false, class, reading, &collect);
                parquet::read(file, feed, &mut collect)?;
            }
            Kind::Rows { dialect, label } => {
                rows::read(file, dialect, *label, class, reading, &mut collect)?;
            }
            Kind::Blocks { dialect } => rows::read_blocks(file, dialect, reading, &mut collect)?,
            Kind::Ts => ts::read(file, class, reading, &mut collect)?,
            Kind::Array(axes) => {
                arrays = Some(axes.describe());
                arrays::read(file, *axes, class, reading, &mut collect)?;
            }
        }
    }
    found.notes.extend(arrays.map(str::to_owned));
    arrays::label(&found, &mut collect)?;
    assemble(collect, found, path, reading, spec)
}

fn assemble(
    mut collect: Collect,
    found: Found,
    path: &Path,
    reading: &SeriesReading,
    spec: &SourceSpec,
) -> Result<SeriesSet> {
    let steps: usize = collect
        .recordings
        .iter()
        .map(|recording| recording.steps)
        .sum();
    let turned = collect.notes.turned;
    if turned > 2 && turned as f64 > TURNS * steps as f64 {
        return Err(
            Error::data(format!("time turns round {turned} times in {steps} rows"))
                .at(path)
                .expected("rows in the order of their times")
                .mend("sort them, name what tells recordings apart with data.reading.id, or set data.reading.time = \"none\""),
        );
    }
    let stretches = match &spec.labels {
        Some(path) => segments::mark(path, &mut collect)?,
        None => None,
    };
    let told = stretches.is_some();
    let cut = Cut::of(&collect, reading);
    let windowed = cut.window.is_some();
    let learned = parts::make(&mut collect.recordings, reading, windowed, path)?;
    let choice = match learned {
        Some(_) => layout::choose(&[Split::Train, Split::Test].into(), spec.part, path)?,
        None if found.choice.split.is_some() => found.choice.clone(),
        None => {
            let present = collect
                .recordings
                .iter()
                .filter_map(|recording| recording.split);
            layout::choose(&present.collect(), spec.part, path)?
        }
    };
    let names = std::mem::take(&mut collect.classes);
    let mut about = about(path, &choice, &cut, &collect, &found);
    let width = collect.width();
    let Collect {
        channels,
        spill,
        recordings,
        ..
    } = collect;
    let within = |recording: &Recording| match (learned, choice.split) {
        (None, _) if recording.split != choice.split => 0..0,
        (None, _) => 0..recording.steps,
        (Some(part), Some(Split::Test)) => cut_at(recording.steps, part)..recording.steps,
        (Some(part), _) => 0..cut_at(recording.steps, part),
    };
    let mut items = Vec::new();
    for (number, recording) in recordings.iter().enumerate() {
        cut.items(number, within(recording), &mut items);
    }
    if items.is_empty() {
        return Err(Error::data(format!("holds no series{}", choice.shown()))
            .at(path)
            .expected("at least one step"));
    }
    let classes = Classes {
        names: &names,
        recordings: &recordings,
    };
    let mut labels = classes.of(&items);
    let open = (0..recordings.len()).filter(|&number| {
        !recordings[number].chunks.is_empty() && !within(&recordings[number]).is_empty()
    });
    if let Some(path) = &spec.labels {
        let unmatched = match stretches {
            Some(unmatched) => unmatched,
            None => {
                let (brought, unmatched) = bring(path, &recordings, &items, windowed)?;
                labels = Some(brought);
                unmatched
            }
        };
        about.push_str(&format!("; labels from {}", path.display()));
        if unmatched > 0 {
            about.push_str(&format!(", {unmatched} rows of which match no item"));
        }
    }
    let mut set = SeriesSet {
        scales: Vec::new(),
        learned,
        open: open.collect(),
        classes: names,
        told,
        blob: spill.finish().at_path(path)?,
        channels: width,
        measured: channels,
        recordings,
        items,
        windowed,
        labels,
        other_parts: choice.others,
        about,
    };
    if reading.standardize > 0.0 {
        set.scales = (0..set.recordings.len())
            .map(|recording| set.scale(recording, reading.standardize))
            .collect::<Result<_>>()?;
    }
    Ok(set)
}

impl SeriesSet {
    /// What was recorded in some steps; `name` is what errors call them.
    fn values(&self, item: Item, name: &dyn Fn() -> String) -> Result<Vec<f32>> {
        let chunks = &self.recordings[item.recording].chunks;
        let first = chunks.partition_point(|chunk| chunk.from <= item.from);
        let first = first.checked_sub(1);
        let first = first.ok_or_else(|| Error::data("was not kept").at(name()))?;
        let row = self.channels * 4;
        let mut bytes = vec![0; item.steps * row];
        let mut done = 0;
        for (at, chunk) in chunks.iter().enumerate().skip(first) {
            let from = item.from + done;
            let end = chunks.get(at + 1).map_or(usize::MAX, |next| next.from);
            let to = end.min(item.from + item.steps);
            let place = chunk.offset + ((from - chunk.from) * row) as u64;
            let bytes = &mut bytes[done * row..(to - item.from) * row];
            self.blob.read_at(place, bytes).at_path(name())?;
            done = to - item.from;
            if done == item.steps {
                break;
            }
        }
        let floats = bytes.as_chunks().0.iter();
        let mut values: Vec<f32> = floats.map(|&float| f32::from_le_bytes(float)).collect();
        if let Some(scale) = self
            .scales
            .get(item.recording)
            .filter(|scale| !scale.is_empty())
        {
            for step in values.chunks_exact_mut(self.channels) {
                for (value, (mean, deviation)) in step.iter_mut().zip(scale) {
                    *value = (*value - mean) / deviation;
                }
            }
        }
        Ok(values)
    }

    /// Mean and deviation of each channel at the beginning of a recording; nothing of one that isn't kept.
    fn scale(&self, recording: usize, beginning: f64) -> Result<Vec<(f32, f32)>> {
        let of = &self.recordings[recording];
        if of.chunks.is_empty() {
            return Ok(Vec::new());
        }
        let steps = steps_of(beginning, of.steps);
        let item = Item {
            recording,
            from: 0,
            steps: steps.clamp(1, of.steps),
        };
        let values = self.values(item, &|| of.name.clone())?;
        let of_channel = |channel: usize| {
            let known = values.iter().skip(channel).step_by(self.channels);
            let known: Vec<f64> = (known.filter(|value| value.is_finite()))
                .map(|&value| f64::from(value))
                .collect();
            let count = known.len().max(1) as f64;
            let mean = known.iter().sum::<f64>() / count;
            let squares: f64 = known.iter().map(|value| (value - mean).powi(2)).sum();
            let deviation = (squares / count).sqrt();
            // What doesn't vary keeps its scale.
            let varies = deviation > 1e-6 * mean.abs() && deviation > 0.0;
            (mean as f32, if varies { deviation as f32 } else { 1.0 })
        };
        // The calendar is the same for all.
        let scales = (0..self.channels).map(|channel| match channel < self.measured.len() {
            true => of_channel(channel),
            false => (0.0, 1.0),
        });
        Ok(scales.collect())
    }
}

impl Recordings<Series> for SeriesSet {
    fn count(&self) -> usize {
        self.open.len()
    }

    fn measured(&self) -> &[String] {
        &self.measured
    }

    fn name(&self, recording: usize) -> String {
        self.recordings[self.open[recording]].name.clone()
    }

    fn steps(&self, recording: usize) -> usize {
        self.recordings[self.open[recording]].steps
    }

    fn learned(&self, recording: usize) -> Range<usize> {
        let recording = &self.recordings[self.open[recording]];
        match (self.learned, recording.split) {
            (Some(part), _) => 0..cut_at(recording.steps, part),
            (None, None | Some(Split::Train)) => 0..recording.steps,
            (None, Some(_)) => 0..0,
        }
    }

    fn window(&self, item: usize) -> (usize, Range<usize>) {
        let Item {
            recording,
            from,
            steps,
        } = self.items[item];
        let before = self.open.partition_point(|&open| open < recording);
        (before, from..from + steps)
    }

    fn ending(&self, recording: usize, step: usize, most: usize) -> Result<Series> {
        let number = self.open[recording];
        let name = || format!("{}/{step:06}", self.recordings[number].name);
        if step >= self.recordings[number].steps || most == 0 {
            return Err(Error::data("there is no such step").at(name()));
        }
        let steps = most.min(step + 1);
        let item = Item {
            recording: number,
            from: step + 1 - steps,
            steps,
        };
        Series::new(self.channels, self.values(item, &name)?, item.from)
    }

    /// Where there are two classes of steps, one of which is called like what is normal.
    fn abnormal(&self, recording: usize) -> Option<Vec<bool>> {
        let normal = |class: u32| {
            let name = self.classes[class as usize].trim().to_ascii_lowercase();
            NORMAL.contains(&name.as_str())
        };
        if !(0..self.classes.len() as u32).any(normal) {
            return None;
        }
        let recording = &self.recordings[self.open[recording]];
        // A file without the column of the others says nothing of its steps.
        let silent = recording.marks.iter().all(|mark| mark.class.is_none());
        if silent && !self.told {
            return None;
        }
        let ends = recording.marks.iter().skip(1).map(|mark| mark.from);
        let ends = ends.chain([recording.steps]);
        let mut steps = Vec::with_capacity(recording.steps);
        for (mark, end) in recording.marks.iter().zip(ends) {
            steps.resize(end, mark.class.is_some_and(|class| !normal(class)));
        }
        // Of a recording that a file of stretches doesn't name, nothing is wrong.
        steps.resize(recording.steps, false);
        Some(steps)
    }

    fn after(&self, recording: usize, steps: usize) -> Option<String> {
        let regular = self.recordings[self.open[recording]].regular?;
        Some(regular.after(steps).to_string())
    }

    fn rescale(&self, recording: usize, values: &mut [f32]) {
        let Some(scale) = self.scales.get(self.open[recording]) else {
            return;
        };
        for step in values.chunks_exact_mut(self.measured.len()) {
            for (value, (mean, deviation)) in step.iter_mut().zip(scale) {
                *value = *value * deviation + mean;
            }
        }
    }
}

fn cut_at(steps: usize, part: f64) -> usize {
    (steps as f64 * part).round() as usize
}

impl Source<Series> for SeriesSet {
    fn len(&self) -> usize {
        self.items.len()
    }

    fn name(&self, index: usize) -> String {
        match self.items.get(index) {
            Some(item) => item.name(&self.recordings, self.windowed),
            None => String::new(),
        }
    }

    fn get(&self, index: usize) -> Result<Series> {
        let item = self.items.get(index).copied();
        let item = item.ok_or_else(|| Error::data(format!("there is no series {index}")))?;
        let name = || Source::name(self, index);
        let values = self.values(item, &name)?;
        if values.iter().all(|value| value.is_nan()) {
            return Err(Error::data("holds no value: all are missing")
                .at(name())
                .expected("at least one"));
        }
        Series::new(self.channels, values, item.from)
    }

    fn labels(&self) -> Option<&Labels> {
        self.labels.as_ref()
    }

    fn recordings(&self) -> Option<&dyn Recordings<Series>> {
        Some(self)
    }

    fn other_parts(&self) -> &[Part] {
        &self.other_parts
    }

    fn advice(&self) -> Option<&'static str> {
        Some(
            "a recording is one item: set data.reading.window to cut it into windows of so many steps",
        )
    }

    fn describe(&self) -> String {
        let classes = match &self.labels {
            Some(labels) => format!("{} classes", labels.classes.len()),
            None => "no labels".to_owned(),
        };
        let count = match (self.items.len(), self.windowed) {
            (1, _) => "1 series".to_owned(),
            (n, false) => format!("{n} series"),
            (n, true) => format!("{n} windows"),
        };
        let lengths = || self.items.iter().map(|item| item.steps);
        let (least, most) = (lengths().min().unwrap_or(0), lengths().max().unwrap_or(0));
        let steps = match least == most {
            true => format!("{most} steps"),
            false => format!("{least} to {most} steps"),
        };
        let channels = match self.channels {
            1 => "1 channel".to_owned(),
            n => format!("{n} channels"),
        };
        format!("{count}, {channels}, {steps}, {classes}: {}", self.about)
    }
}
