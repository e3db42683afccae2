//! NumPy arrays: a series of one channel (`[time]`), a recording (`[time, channels]`), many series of one channel
//! (`[items, time]`) or of several (`[items, time, channels]`, or channels before steps).

use super::collect::Collect;
use super::files::{File, Found};
use super::format::stem;
use super::shape::{Kind, Shape, numbered};
use super::tape::{Mark, Origin};
use crate::error::{AtPath, Error, Result};
use crate::modality::series::MOST_CHANNELS;
use crate::modality::series::reading::{Layout, SeriesReading};
use crate::modality::source::layout::Split;
use crate::modality::source::npy::{self, Array};

/// More columns than this are steps rather than channels, where nothing else tells.
const CHANNELS: u64 = 32;
/// Bytes that are read at once.
const CHUNK: u64 = 1 << 20;

/// What an array's axes are, each in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Axes {
    items: usize,
    steps: usize,
    channels: usize,
    /// Whether channels stand before steps.
    channels_first: bool,
    /// Whether the file is one recording.
    single: bool,
}

/// What an array holds.
///
/// # Errors
/// When it is none, or not of a shape that is read.
pub(super) fn shape(file: &File, found: &Found, reading: &SeriesReading) -> Result<Shape> {
    let array = Array::open(&file.member)?;
    let labels = labels_of(found, file.split).map(Array::open);
    let labels = labels.transpose()?.map(|labels| labels.shape);
    let of_items = labels.is_some_and(|shape| shape.first() == array.shape.first());
    // Of many files each is a recording, labeled or not.
    let many = found
        .files
        .iter()
        .filter(|other| other.split == file.split)
        .count()
        > 1;
    let rows = match (reading.layout, &array.shape[..]) {
        (Layout::Rows, _) => true,
        (Layout::Wide | Layout::Long | Layout::Blocks, _) => false,
        (Layout::Auto, [_, columns]) => *columns > CHANNELS || of_items && !many,
        (Layout::Auto, _) => false,
    };
    let (items, steps, channels, single) = match array.shape[..] {
        [t] => (1, t, 1, true),
        [n, t] if rows => (n, t, 1, false),
        [t, c] => (1, t, c, true),
        [n, c, t] if reading.channels_first => (n, t, c, false),
        [n, t, c] => (n, t, c, false),
        _ => (0, 0, 0, false),
    };
    if items == 0 || steps == 0 || !(1..=MOST_CHANNELS as u64).contains(&channels) {
        return Err(Error::data(format!("is of shape {:?}", array.shape))
            .at(&file.member.shown)
            .expected(format!(
                "steps, steps × channels, items × steps or items × steps × channels, with 1 to {MOST_CHANNELS} channels"
            ))
            .mend("say which with data.reading.layout = \"rows\" or \"wide\", or data.reading.channels_first = true"));
    }
    Value::of(&array.kind).ok_or_else(|| {
        Error::data(format!("holds values of type {}", array.kind))
            .at(&file.member.shown)
            .expected("whole numbers of 8 to 64 bits, or floats of 32 or 64")
    })?;
    Ok(Shape {
        kind: Kind::Array(Axes {
            items: items as usize,
            steps: steps as usize,
            channels: channels as usize,
            channels_first: reading.channels_first && array.shape.len() == 3,
            single,
        }),
        channels: numbered(channels as usize),
        labeled: labels_of(found, file.split).is_some(),
    })
}

fn labels_of(
    found: &Found,
    split: Option<Split>,
) -> Option<&crate::modality::source::storage::Member> {
    let own = found.labels.iter().find(|(_, of)| *of == split);
    own.map(|(member, _)| member)
}

impl Axes {
    /// What the axes were taken for, for people.
    pub(super) fn describe(&self) -> &'static str {
        match (self.single, self.channels_first) {
            (true, _) => "arrays of steps × channels",
            (false, true) => "arrays of items × channels × steps",
            (false, false) => "arrays of items × steps (× channels)",
        }
    }
}

/// Reads an array.
///
/// # Errors
/// When it can't be read.
pub(super) fn read(
    file: &File,
    axes: Axes,
    class: Option<u32>,
    reading: &SeriesReading,
    collect: &mut Collect,
) -> Result<()> {
    let shown = &file.member.shown;
    let array = Array::open(&file.member)?;
    let Some(value) = Value::of(&array.kind) else {
        return Err(Error::data(format!("holds values of type {}", array.kind)).at(shown));
    };
    let name = stem(&file.member.name);
    let width = axes.channels;
    let mut bytes = Vec::new();
    // Some rows at a time: an item, where channels stand before steps; else as many as are read at once.
    let row = (width * value.width) as u64;
    let chunk = match axes.channels_first {
        true => axes.steps as u64,
        false => (CHUNK / row).clamp(1, axes.steps as u64),
    };
    for item in 0..axes.items {
        let origin = Origin {
            name: match axes.single {
                true => name.to_owned(),
                false => format!("{name}/{item:05}"),
            },
            group: reading.group_of(&file.member.name),
            split: file.split,
            piece: 0,
        };
        let mut tape = collect.tape(origin);
        if !collect.keep {
            tape.steps = axes.steps;
            tape.marks.push(Mark { from: 0, class });
            collect.finish(tape).at_path(shown)?;
            continue;
        }
        let first = (item * axes.steps) as u64;
        let mut done = 0;
        while done < axes.steps as u64 {
            let rows = chunk.min(axes.steps as u64 - done);
            bytes.resize((rows * row) as usize, 0);
            let offset = array.offset + (first + done) * row;
            array.blob.read_at(offset, &mut bytes).at_path(shown)?;
            let values: Vec<f32> = bytes
                .chunks_exact(value.width)
                .map(|bytes| collect.measured((value.read)(bytes)))
                .collect();
            let rows = rows as usize;
            let mut step = vec![0.0; width];
            for at in 0..rows {
                for (channel, slot) in step.iter_mut().enumerate() {
                    *slot = match axes.channels_first {
                        true => values[channel * rows + at],
                        false => values[at * width + channel],
                    };
                }
                collect.step(&mut tape, None, &step, class).at_path(shown)?;
            }
            done += rows as u64;
        }
        collect.finish(tape).at_path(shown)?;
    }
    Ok(())
}

/// How a value of an array is read.
struct Value {
    /// Bytes.
    width: usize,
    read: fn(&[u8]) -> f32,
}

/// The bytes as a number of some type, the low or the high one first.
macro_rules! number {
    ($type:ty, $from:ident) => {
        Value {
            width: size_of::<$type>(),
            // Rounded where 24 bits don't hold it: values of sensors.
            read: |bytes| {
                bytes
                    .try_into()
                    .map_or(f32::NAN, |bytes| <$type>::$from(bytes) as f32)
            },
        }
    };
}

impl Value {
    fn of(kind: &str) -> Option<Self> {
        Some(match kind {
            "|u1" => number!(u8, from_le_bytes),
            "|i1" => number!(i8, from_le_bytes),
            "|b1" => number!(u8, from_le_bytes),
            "<u2" => number!(u16, from_le_bytes),
            ">u2" => number!(u16, from_be_bytes),
            "<i2" => number!(i16, from_le_bytes),
            ">i2" => number!(i16, from_be_bytes),
            "<u4" => number!(u32, from_le_bytes),
            ">u4" => number!(u32, from_be_bytes),
            "<i4" => number!(i32, from_le_bytes),
            ">i4" => number!(i32, from_be_bytes),
            "<u8" => number!(u64, from_le_bytes),
            ">u8" => number!(u64, from_be_bytes),
            "<i8" => number!(i64, from_le_bytes),
            ">i8" => number!(i64, from_be_bytes),
            "<f4" => number!(f32, from_le_bytes),
            ">f4" => number!(f32, from_be_bytes),
            "<f8" => number!(f64, from_le_bytes),
            ">f8" => number!(f64, from_be_bytes),
            _ => return None,
        })
    }
}

/// Gives the recordings of each part the labels that lie beside them as arrays: one a recording, or one a step where
/// there is only one recording.
///
/// # Errors
/// When there are as many as neither, or they are no labels.
pub(super) fn label(found: &Found, collect: &mut Collect) -> Result<()> {
    let mut highest = 0;
    let mut all = Vec::new();
    for (member, split) in &found.labels {
        let values = npy::labels(member)?;
        highest = highest.max(values.iter().copied().max().unwrap_or(0));
        all.push((member, *split, values));
    }
    if all.is_empty() {
        return Ok(());
    }
    // All that there may be, so that parts have the same; below zero means without a label, as scikit-learn has it.
    for class in 0..=highest {
        collect.class(&class.to_string());
    }
    for (member, split, values) in all {
        let mut of: Vec<_> = (collect.recordings.iter_mut())
            .filter(|recording| recording.split == split)
            .collect();
        let class = |value: &i64| u32::try_from(*value).ok();
        let count = of.len();
        match &mut of[..] {
            [only] if only.steps == values.len() => {
                only.marks.clear();
                for (from, value) in values.iter().enumerate() {
                    let class = class(value);
                    if only.marks.last().is_none_or(|mark| mark.class != class) {
                        only.marks.push(Mark { from, class });
                    }
                }
            }
            of if of.len() == values.len() => {
                for (recording, value) in of.iter_mut().zip(&values) {
                    let class = class(value);
                    recording.marks = vec![Mark { from: 0, class }];
                }
            }
            _ => {
                return Err(Error::data(format!("holds {} labels", values.len()))
                    .at(&member.shown)
                    .expected(format!("{count}, one for each series")));
            }
        }
    }
    Ok(())
}
