//! What each file holds, by its beginning: the layout, the channels, whether it tells classes; and the channels of all.

use std::collections::HashMap;

use csv::ByteRecord;

use super::arrays::{self, Axes};
use super::calendar;
use super::columns::{Roles, listed, unique};
use super::dialect::{Dialect, Sample};
use super::files::Found;
use super::format::{Format, part_of_name};
use super::number::Cell;
use super::{parquet, ts};
use crate::error::{Error, Result};
use crate::modality::series::MOST_CHANNELS;
use crate::modality::series::reading::{Layout, NONE, SeriesReading};
use crate::modality::source::storage::Member;

/// Fields of a row that may be a series without being said to be one, at least.
const SHORTEST_ROW: usize = 8;

/// What a file holds.
pub(super) struct Shape {
    pub(super) kind: Kind,
    /// The names of its channels.
    pub(super) channels: Vec<String>,
    /// Whether it tells classes itself.
    pub(super) labeled: bool,
}

/// How it holds it.
pub(super) enum Kind {
    /// A row a step.
    Table { dialect: Dialect, roles: Roles },
    /// The same, packed by columns.
    Parquet { roles: Roles },
    /// A row a series, with the column of classes.
    Rows {
        dialect: Dialect,
        label: Option<usize>,
    },
    /// Blocks of rows.
    Blocks { dialect: Dialect },
    /// sktime's format.
    Ts,
    /// An array.
    Array(Axes),
}

impl Shape {
    /// Whether each step has a time.
    fn has_times(&self) -> bool {
        match &self.kind {
            Kind::Table { roles, .. } | Kind::Parquet { roles } => roles.time.is_some(),
            Kind::Rows { .. } | Kind::Blocks { .. } | Kind::Ts | Kind::Array(_) => false,
        }
    }
}

/// What all files hold.
pub(super) struct Survey {
    pub(super) shapes: Vec<Shape>,
    /// The channels of all, without those of the calendar.
    pub(super) channels: Vec<String>,
    pub(super) notes: Vec<String>,
}

/// Looks at the beginning of every file.
///
/// # Errors
/// When one can't be read, or holds other channels than the others.
pub(super) fn survey(found: &Found, reading: &SeriesReading) -> Result<Survey> {
    let mut known: HashMap<(Option<Vec<String>>, usize), Roles> = HashMap::new();
    let mut shapes = Vec::with_capacity(found.files.len());
    let mut notes = Vec::new();
    for file in &found.files {
        let member = &file.member;
        shapes.push(match file.format {
            Format::Ts => ts::shape(member)?,
            Format::Npy => arrays::shape(file, found, reading)?,
            Format::Parquet => {
                let (names, rows) = parquet::sample(member)?;
                let roles = Roles::of(Some(&names), &rows, false, reading, &member.shown)?;
                of_roles(roles, |roles| Kind::Parquet { roles })
            }
            Format::Table | Format::Text => {
                let sample = Sample::of(member, reading)?;
                let width = sample.rows.first().map_or(0, ByteRecord::len);
                match of_sample(&sample, member, reading)? {
                    Some(shape) => shape,
                    None => {
                        // Files alike are read alike, whatever their first rows hold.
                        let key = (sample.dialect.header.clone(), width);
                        let roles = match known.get(&key) {
                            Some(roles) => roles.clone(),
                            None => {
                                let header = sample.dialect.header.as_deref();
                                let comma = sample.dialect.comma;
                                let shown = &member.shown;
                                let roles = Roles::of(header, &sample.rows, comma, reading, shown)?;
                                known.insert(key, roles.clone());
                                roles
                            }
                        };
                        let dialect = sample.dialect;
                        of_roles(roles, |roles| Kind::Table { dialect, roles })
                    }
                }
            }
        });
    }
    if !["", NONE].contains(&reading.label.as_str()) && !shapes.iter().any(|shape| shape.labeled) {
        return Err(
            Error::data(format!("no file has a column `{}`", reading.label))
                .at(&found.files[0].member.shown)
                .expected("a column of classes")
                .mend("name another with data.reading.label"),
        );
    }
    let timeless = shapes.iter().position(|shape| !shape.has_times());
    for (asks, key, off) in [
        (reading.calendar, "calendar", "false"),
        (reading.resample > 0.0, "resample", "0"),
    ] {
        if let Some(at) = timeless.filter(|_| asks) {
            return Err(Error::data(format!(
                "has no column of time, and data.reading.{key} asks for it"
            ))
            .at(&found.files[at].member.shown)
            .expected("tables of a row a step with a column of dates")
            .mend(format!(
                "name it with data.reading.time, or set data.reading.{key} = {off}"
            )));
        }
    }
    if reading.calendar {
        notes.push(calendar::note());
    }
    let left_out = shapes.iter().find_map(|shape| match &shape.kind {
        Kind::Table { roles, .. } | Kind::Parquet { roles } => {
            (!roles.left_out.is_empty()).then(|| listed(&roles.left_out))
        }
        _ => None,
    });
    notes.extend(left_out.map(|names| format!("columns that are no channels: {names}")));
    let channels = union(&shapes, found, &mut notes)?;
    if reading.calendar {
        calendar::check(channels.len())?;
    }
    Ok(Survey {
        shapes,
        channels,
        notes,
    })
}

fn of_roles(roles: Roles, kind: impl FnOnce(Roles) -> Kind) -> Shape {
    let channels = roles.channels.iter().map(|(name, _)| name.clone());
    Shape {
        channels: channels.collect(),
        labeled: roles.label.is_some(),
        kind: kind(roles),
    }
}

/// A table whose rows aren't steps, or `None`.
fn of_sample(sample: &Sample, member: &Member, reading: &SeriesReading) -> Result<Option<Shape>> {
    let dialect = &sample.dialect;
    let first = |at: usize| {
        let fields = sample
            .rows
            .iter()
            .map(move |row| row.get(at).unwrap_or_default());
        fields.filter(|field| !field.is_empty())
    };
    let is_class = |field: &[u8]| match Cell::of(field, dialect.comma) {
        Cell::Number(value) => value.fract() == 0.0,
        Cell::Other => true,
        _ => false,
    };
    let are_classes = first(0).all(is_class) && first(0).next().is_some();
    match dialect.layout {
        Layout::Blocks => {
            let widths = sample.rows.iter().map(|row| numbers(row).count());
            let channels = widths.max().unwrap_or(0).min(MOST_CHANNELS);
            Ok(Some(Shape {
                kind: Kind::Blocks {
                    dialect: dialect.clone(),
                },
                channels: numbered(channels),
                labeled: true,
            }))
        }
        Layout::Auto
            if dialect.header.is_some()
                || part_of_name(&member.name).is_none()
                || !are_classes
                || sample.rows.iter().any(|row| row.len() < SHORTEST_ROW) =>
        {
            Ok(None)
        }
        Layout::Auto | Layout::Rows => {
            let label = label_of_rows(dialect, reading, are_classes, member)?;
            Ok(Some(Shape {
                kind: Kind::Rows {
                    dialect: dialect.clone(),
                    label,
                },
                channels: numbered(1),
                labeled: label.is_some(),
            }))
        }
        Layout::Wide | Layout::Long => Ok(None),
    }
}

/// The fields of a row that aren't empty.
pub(super) fn numbers(row: &ByteRecord) -> impl Iterator<Item = &[u8]> {
    row.iter().filter(|field| !field.trim_ascii().is_empty())
}

fn label_of_rows(
    dialect: &Dialect,
    reading: &SeriesReading,
    are_classes: bool,
    member: &Member,
) -> Result<Option<usize>> {
    let wanted = reading.label.as_str();
    let names = unique(dialect.header.as_deref().unwrap_or_default());
    let named = names
        .iter()
        .position(|name| name.eq_ignore_ascii_case(wanted));
    let number = wanted.parse::<usize>().ok().and_then(|n| n.checked_sub(1));
    match (wanted, named.or(number)) {
        (NONE, _) => Ok(None),
        ("", _) => Ok(are_classes.then_some(0)),
        (_, Some(at)) => Ok(Some(at)),
        _ => Err(Error::data(format!("has no column `{wanted}`"))
            .at(&member.shown)
            .expected("one of its columns, by name or by number from 1")
            .mend("name it with data.reading.label")),
    }
}

/// Names for channels that have none.
pub(super) fn numbered(count: usize) -> Vec<String> {
    (1..=count).map(|number| number.to_string()).collect()
}

/// The channels of all files: those of the first, then what others have besides.
fn union(shapes: &[Shape], found: &Found, notes: &mut Vec<String>) -> Result<Vec<String>> {
    let mut channels: Vec<String> = Vec::new();
    let mut counts: HashMap<&str, usize> = HashMap::new();
    for (shape, file) in shapes.iter().zip(&found.files) {
        let by_name = matches!(shape.kind, Kind::Table { .. } | Kind::Parquet { .. });
        let others = match by_name {
            true => !shape.channels.iter().any(|name| channels.contains(name)),
            false => channels != shape.channels,
        };
        if others && !channels.is_empty() {
            return Err(Error::data(format!(
                "holds other channels ({}) than {} ({})",
                listed(&shape.channels),
                found.files[0].member.shown,
                listed(&channels)
            ))
            .at(&file.member.shown)
            .expected("files that were recorded alike")
            .mend("name a folder of such, or set data.reading.columns"));
        }
        for name in &shape.channels {
            if !channels.contains(name) {
                channels.push(name.clone());
            }
            *counts.entry(name).or_default() += 1;
        }
    }
    if !(1..=MOST_CHANNELS).contains(&channels.len()) {
        return Err(Error::data(format!("holds {} channels", channels.len()))
            .at(&found.files[0].member.shown)
            .expected(format!("1 to {MOST_CHANNELS}")));
    }
    let files = shapes.len();
    let mut rare: Vec<String> = Vec::new();
    for name in &channels {
        let count = counts.get(name.as_str()).copied().unwrap_or(0);
        if count < files {
            rare.push(format!("{name} (in {count} of {files} files)"));
        }
    }
    if !rare.is_empty() {
        notes.push(format!(
            "channels that some files lack are missing there: {}",
            listed(&rare)
        ));
    }
    Ok(channels)
}
