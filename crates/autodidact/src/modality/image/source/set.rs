//! An opened data set: files to decode, or records of raw pixels.

use std::sync::Arc;

use super::columns::Columns;
use super::decode;
use super::storage::{Blob, Member};
use super::synthetic::Synthetic;
use crate::error::{AtPath, Error, Result};
use crate::modality::image::{Image, Pixels};
use crate::modality::source::{Labels, Part, Source};

/// What was found, before the cache.
pub(super) struct Set {
    /// The images.
    pub(super) items: Items,
    /// Their classes.
    pub(super) labels: Option<Labels>,
    /// The parts that aren't open.
    pub(super) other_parts: Vec<Part>,
    /// What was found and where, for people, without numbers.
    pub(super) about: String,
}

/// The images of a set.
pub(super) enum Items {
    /// One encoded file each.
    Files(Vec<Member>),
    /// Raw pixels.
    Records(Records),
    /// Encoded files in the rows of tables.
    Columns(Columns),
    /// Drawn when they are asked for.
    Synthetic(Synthetic),
}

impl Items {
    /// Whether the images lie in memory as they are, so that a cache would only keep them twice.
    pub(super) fn in_memory(&self) -> bool {
        match self {
            Self::Files(_) | Self::Columns(_) | Self::Synthetic(_) => false,
            Self::Records(records) => records.runs.iter().all(|run| run.blob.is_memory()),
        }
    }

    /// Bytes of memory that encoded images may come to take.
    pub(super) fn held(&self) -> u64 {
        match self {
            Self::Columns(columns) => columns.held(),
            _ => 0,
        }
    }
}

/// Images of one size, stored as raw bytes one after another.
pub(super) struct Records {
    /// Stretches of records.
    pub(super) runs: Vec<Run>,
    /// Bytes from one record to the next.
    pub(super) stride: u64,
    /// Bytes of a record before its pixels.
    pub(super) skip: u64,
    /// Width in pixels.
    pub(super) width: usize,
    /// Height in pixels.
    pub(super) height: usize,
    /// Values per pixel.
    pub(super) channels: usize,
    /// Whether several channels lie one plane after the other, rather than pixel by pixel.
    pub(super) planar: bool,
    /// How a value is stored.
    pub(super) values: Stored,
}

/// How a value is stored in a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stored {
    /// 8 bits.
    Byte,
    /// 16 bits, the low byte first or last.
    Word { low_first: bool },
    /// A float from 0 to 1, the low byte first or last.
    Float { low_first: bool },
}

impl Stored {
    /// Bytes of a value.
    pub(super) fn width(self) -> usize {
        match self {
            Self::Byte => 1,
            Self::Word { .. } => 2,
            Self::Float { .. } => 4,
        }
    }

    fn pixels(self, bytes: Vec<u8>) -> Pixels {
        let words = |read: fn([u8; 2]) -> u16| {
            Pixels::Words(bytes.as_chunks().0.iter().map(|&word| read(word)).collect())
        };
        let floats = |read: fn([u8; 4]) -> f32| {
            Pixels::Floats(
                bytes
                    .as_chunks()
                    .0
                    .iter()
                    .map(|&float| read(float))
                    .collect(),
            )
        };
        match self {
            Self::Word { low_first: true } => words(u16::from_le_bytes),
            Self::Word { low_first: false } => words(u16::from_be_bytes),
            Self::Float { low_first: true } => floats(f32::from_le_bytes),
            Self::Float { low_first: false } => floats(f32::from_be_bytes),
            Self::Byte => Pixels::Bytes(bytes.into()),
        }
    }
}

/// A stretch of records.
pub(super) struct Run {
    /// Where it lies.
    pub(super) blob: Arc<Blob>,
    /// The first record's first byte.
    pub(super) offset: u64,
    /// Number of records.
    pub(super) count: usize,
    /// The file's name, with which the names of the items begin.
    pub(super) name: String,
}

impl Records {
    fn find(&self, mut index: usize) -> Option<(&Run, usize)> {
        self.runs.iter().find_map(|run| {
            if index < run.count {
                return Some((run, index));
            }
            index -= run.count;
            None
        })
    }

    fn get(&self, index: usize) -> Result<Image> {
        let (run, place) = self.find(index).ok_or_else(|| beyond(index))?;
        let width = self.values.width();
        let mut bytes = vec![0; self.width * self.height * self.channels * width];
        let offset = run.offset + place as u64 * self.stride + self.skip;
        run.blob.read_at(offset, &mut bytes).at_path(&run.name)?;
        if self.planar && self.channels == 3 && width == 1 {
            // The most common by far.
            let plane = self.width * self.height;
            bytes = (0..plane)
                .flat_map(|i| [bytes[i], bytes[plane + i], bytes[2 * plane + i]])
                .collect();
        } else if self.planar && self.channels > 1 {
            let plane = self.width * self.height;
            let value = |at: usize| &bytes[at * width..(at + 1) * width];
            bytes = (0..plane)
                .flat_map(|i| (0..self.channels).map(move |channel| channel * plane + i))
                .flat_map(value)
                .copied()
                .collect();
        }
        let pixels = self.values.pixels(bytes);
        Image::of(self.width, self.height, self.channels, pixels)
            .map_err(|error| error.at(format!("{}/{place:05}", run.name)))
    }
}

fn beyond(index: usize) -> Error {
    Error::data(format!("there is no item {index}"))
}

impl Source<Image> for Set {
    fn len(&self) -> usize {
        match &self.items {
            Items::Files(members) => members.len(),
            Items::Records(records) => records.runs.iter().map(|run| run.count).sum(),
            Items::Columns(columns) => columns.len(),
            Items::Synthetic(synthetic) => synthetic.len(),
        }
    }

    fn name(&self, index: usize) -> String {
        match &self.items {
            Items::Files(members) => members.get(index).map(|member| member.name.clone()),
            Items::Records(records) => records
                .find(index)
                .map(|(run, place)| format!("{}/{place:05}", run.name)),
            Items::Columns(columns) => columns.name(index),
            Items::Synthetic(synthetic) => Some(synthetic.name(index)),
        }
        .unwrap_or_else(|| index.to_string())
    }

    fn get(&self, index: usize) -> Result<Image> {
        match &self.items {
            Items::Files(members) => {
                let member = members.get(index).ok_or_else(|| beyond(index))?;
                decode::decode(&member.read()?).map_err(|error| error.at(&member.shown))
            }
            Items::Records(records) => records.get(index),
            Items::Columns(columns) => columns.get(index),
            Items::Synthetic(synthetic) if index < synthetic.len() => synthetic.draw(index),
            Items::Synthetic(_) => Err(beyond(index)),
        }
    }

    fn labels(&self) -> Option<&Labels> {
        self.labels.as_ref()
    }

    fn other_parts(&self) -> &[Part] {
        &self.other_parts
    }

    fn describe(&self) -> String {
        describe(self, &self.about)
    }
}

/// One line about any source of images: number, classes, size of the first, and what it is.
pub(super) fn describe(source: &dyn Source<Image>, about: &str) -> String {
    let classes = source.labels().map_or_else(
        || "no labels".to_owned(),
        |labels| {
            let unlabeled = labels.of.iter().filter(|class| class.is_none()).count();
            let some = if unlabeled > 0 {
                format!(" ({unlabeled} without)")
            } else {
                String::new()
            };
            format!("{} classes{some}", labels.classes.len())
        },
    );
    let size = source.get(0).map_or_else(
        |_| "the first can't be read".to_owned(),
        |image| {
            let color = match image.channels() {
                1 => "grey".to_owned(),
                3 => "color".to_owned(),
                channels => format!("of {channels} channels"),
            };
            let depth = match image.values() {
                Pixels::Bytes(_) => "",
                Pixels::Words(_) => ", 16 bits",
                Pixels::Floats(_) => ", floats",
            };
            let (width, height) = (image.width(), image.height());
            format!("the first {width}×{height} {color}{depth}")
        },
    );
    format!(
        "{} images, {classes}, {size}: {about}",
        thousands(source.len())
    )
}

fn thousands(n: usize) -> String {
    let digits = n.to_string();
    let groups: Vec<&str> = digits
        .as_bytes()
        .rchunks(3)
        .rev()
        .map(|group| std::str::from_utf8(group).unwrap_or_default())
        .collect();
    groups.join(",")
}
