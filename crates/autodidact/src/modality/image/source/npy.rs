//! NumPy arrays of images, alone (`.npy`) or several in a zip (`.npz`).
//!
//! <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>: a magic word, a version, the length of the
//! header, a Python literal with type, order and shape, then the values.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use super::decode;
use super::layout::{self, Split};
use super::set::{Items, Records, Run, Set, Stored};
use super::storage::{Blob, Member, Place};
use crate::error::{AtPath, Error, Result};
use crate::modality::image::MOST_CHANNELS;
use crate::modality::source::{Labels, Part};

const MAGIC: &[u8] = b"\x93NUMPY";
/// The longest header that is read, in bytes.
const LONGEST_HEADER: usize = 1 << 16;
/// The highest class number, so that a wrong file can't ask for the names of billions.
const MOST_CLASSES: i64 = 1 << 20;

/// Whether the bytes begin an array.
pub(super) fn is_array(head: &[u8]) -> bool {
    head.starts_with(MAGIC)
}

/// An array that lies somewhere, not read yet.
struct Array {
    blob: Arc<Blob>,
    offset: u64,
    kind: String,
    shape: Vec<u64>,
}

impl Array {
    fn open(member: &Member) -> Result<Self> {
        let wrong = |found: &str| {
            Error::data(found)
                .at(&member.shown)
                .expected("an array as numpy.save writes it")
        };
        let (blob, start, length) = member.blob()?;
        let mut head = [0; 12];
        if length < 12 || blob.read_at(start, &mut head).is_err() || !is_array(&head) {
            return Err(wrong("is no NumPy array"));
        }
        let (skip, size) = match head[6] {
            1 => (10, usize::from(u16::from_le_bytes([head[8], head[9]]))),
            2 | 3 => (
                12,
                u32::from_le_bytes([head[8], head[9], head[10], head[11]]) as usize,
            ),
            _ => return Err(wrong("is of an unknown version of NumPy's format")),
        };
        if size > LONGEST_HEADER || (skip + size) as u64 > length {
            return Err(wrong("has a header that is longer than the file"));
        }
        let mut header = vec![0; size];
        blob.read_at(start + skip as u64, &mut header)
            .at_path(&member.shown)?;
        let header = String::from_utf8_lossy(&header);
        let (Some(kind), Some(shape)) = (kind(&header), shape(&header)) else {
            return Err(wrong("has a header without type and shape"));
        };
        if header.contains("'fortran_order': True") {
            return Err(wrong("is stored column by column")
                .mend("write numpy.ascontiguousarray of it instead"));
        }
        let width = kind.get(2..).and_then(|width| width.parse::<u64>().ok());
        let bytes = shape
            .iter()
            .try_fold(width.unwrap_or(1), |n, &size| n.checked_mul(size));
        if bytes != Some(length - (skip + size) as u64) {
            return Err(wrong(&format!(
                "holds {} bytes of values, unlike its shape {shape:?} of type {kind}",
                length - (skip + size) as u64
            ))
            .mend("download or write it again"));
        }
        Ok(Self {
            blob,
            offset: start + (skip + size) as u64,
            kind,
            shape,
        })
    }
}

/// The text after `'descr':`, such as `|u1`.
fn kind(header: &str) -> Option<String> {
    let rest = header.split_once("'descr':")?.1.trim_start();
    let kind = rest.strip_prefix('\'')?.split_once('\'')?.0;
    (kind.is_ascii() && kind.len() >= 3).then(|| kind.to_owned())
}

fn shape(header: &str) -> Option<Vec<u64>> {
    let rest = header.split_once("'shape':")?.1.trim_start();
    let inside = rest.strip_prefix('(')?.split_once(')')?.0;
    let sizes: Vec<&str> = inside.split(',').map(str::trim).collect();
    sizes
        .iter()
        .filter(|size| !size.is_empty())
        .map(|size| size.parse().ok())
        .collect()
}

/// What an array is for, by its name: `x_train.npy`, `train_images.npy`, `labels.npy`.
struct Named {
    labels: bool,
    split: Option<Split>,
}

fn parse(name: &str) -> Option<Named> {
    let name = name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase();
    let name = name.strip_suffix(".npy")?;
    let words: Vec<&str> = name.split(['_', '-', '.']).collect();
    let is = |names: &[&str]| words.iter().any(|word| names.contains(word));
    Some(Named {
        labels: is(&["y", "label", "labels", "target", "targets"]),
        split: words.iter().find_map(|word| Split::of_name(word)),
    })
}

/// Opens the arrays of images among `members`, where there is nothing else: one, or one for each part.
///
/// Shapes are items × height × width, with channels last or first; labels are an array of whole numbers called
/// `y` or `labels`, with the part's name where there are parts.
///
/// # Errors
/// When the wished part isn't there, or an array isn't what is read here.
pub(super) fn recognize(
    members: &[Member],
    root: &Path,
    wanted: Option<Part>,
) -> Result<Option<Set>> {
    if members
        .iter()
        .any(|member| decode::has_image_name(&member.name))
    {
        return Ok(None);
    }
    let arrays: Vec<(&Member, Named)> = members
        .iter()
        .filter_map(|member| Some((member, parse(&member.name)?)))
        .collect();
    let images: Vec<_> = arrays.iter().filter(|(_, named)| !named.labels).collect();
    if images.is_empty() {
        return Ok(None);
    }
    let present: BTreeSet<Split> = images.iter().filter_map(|(_, named)| named.split).collect();
    let choice = layout::choose(&present, wanted, root)?;
    let mut fitting = images
        .iter()
        .filter(|(_, named)| named.split == choice.split);
    let (Some((member, _)), None) = (fitting.next(), fitting.next()) else {
        let names: Vec<&str> = images
            .iter()
            .map(|(member, _)| member.file_name())
            .collect();
        return Err(
            Error::data(format!("holds several arrays: {}", names.join(", ")))
                .at(root)
                .expected("one array of images for each part, and labels called y or labels")
                .mend("name the array of images itself"),
        );
    };
    let records = records(member)?;
    let count: usize = records.runs.iter().map(|run| run.count).sum();
    // All parts' labels are looked at, so that all parts have the same classes.
    let mut highest = 0;
    let mut own = None;
    for (member, named) in arrays.iter().filter(|(_, named)| named.labels) {
        let values = labels(member)?;
        highest = highest.max(values.iter().copied().max().unwrap_or(0));
        if named.split == choice.split {
            own = Some((values, *member));
        }
    }
    let labels = match own {
        Some((values, member)) if values.len() != count => {
            return Err(Error::data(format!("holds {} labels", values.len()))
                .at(&member.shown)
                .expected(format!("{count}, one for each image")));
        }
        Some((values, _)) => Some(Labels {
            classes: (0..=highest).map(|class| class.to_string()).collect(),
            // Below zero means without a label, as scikit-learn has it.
            of: values.iter().map(|&v| u32::try_from(v).ok()).collect(),
        }),
        None => None,
    };
    Ok(Some(Set {
        items: Items::Records(records),
        labels,
        about: format!("{}{}", member.shown, choice.shown()),
        other_parts: choice.others,
    }))
}

/// Opens one array of images, with the labels that lie beside it as `labels.npy` or `y.npy`.
///
/// # Errors
/// As [`recognize`].
pub(super) fn open_file(path: &Path, member: &Member, wanted: Option<Part>) -> Result<Set> {
    let mut members = vec![Member {
        // Whatever it is called, the user says that it holds images.
        name: "x.npy".to_owned(),
        ..member.clone()
    }];
    for name in ["labels.npy", "y.npy"] {
        let beside = path.with_file_name(name);
        if beside.is_file() && beside != path && members.len() == 1 {
            members.push(Member {
                name: name.to_owned(),
                shown: beside.display().to_string(),
                place: Place::File(beside),
            });
        }
    }
    recognize(&members, path, wanted)?.ok_or_else(|| Error::data("is no array of images").at(path))
}

fn records(member: &Member) -> Result<Records> {
    let array = Array::open(member)?;
    let values = match array.kind.as_str() {
        "|u1" | "<u1" | ">u1" => Stored::Byte,
        "<u2" => Stored::Word { low_first: true },
        ">u2" => Stored::Word { low_first: false },
        "<f4" => Stored::Float { low_first: true },
        ">f4" => Stored::Float { low_first: false },
        kind => {
            return Err(Error::data(format!("holds values of type {kind}"))
                .at(&member.shown)
                .expected("uint8, uint16, or float32 from 0 to 1")
                .mend("bring them to 0..1 and write them with astype('float32')"));
        }
    };
    // Of two axes that could be channels, grey or color, or else the shorter is.
    let (count, height, width, channels, planar) = match *array.shape.as_slice() {
        [n, h, w] => (n, h, w, 1, false),
        [n, h, w, c @ (1 | 3)] => (n, h, w, c, false),
        [n, c @ (1 | 3), h, w] => (n, h, w, c, true),
        [n, h, w, c] if c <= h && (1..=MOST_CHANNELS as u64).contains(&c) => (n, h, w, c, false),
        [n, c, h, w] if (1..=MOST_CHANNELS as u64).contains(&c) => (n, h, w, c, true),
        _ => {
            return Err(Error::data(format!("is of shape {:?}", array.shape))
                .at(&member.shown)
                .expected(format!(
                    "items × height × width, with 1 to {MOST_CHANNELS} channels last or first, or none"
                )));
        }
    };
    let pixels = height.checked_mul(width);
    if count == 0 || !pixels.is_some_and(|n| n > 0 && n <= decode::MOST_PIXELS) {
        return Err(
            Error::data(format!("holds {count} images of {width}×{height}"))
                .at(&member.shown)
                .expected("at least one, of a size that fits into memory"),
        );
    }
    Ok(Records {
        stride: height * width * channels * values.width() as u64,
        runs: vec![Run {
            blob: array.blob,
            offset: array.offset,
            count: count as usize,
            name: member.name.trim_end_matches(".npy").to_owned(),
        }],
        skip: 0,
        width: width as usize,
        height: height as usize,
        channels: channels as usize,
        planar,
        values,
    })
}

fn labels(member: &Member) -> Result<Vec<i64>> {
    let array = Array::open(member)?;
    let wrong = |found: String| {
        Error::data(found)
            .at(&member.shown)
            .expected("one whole number a label (N or N×1), little-endian")
    };
    let (signed, width) = match array.kind.as_str() {
        "|u1" => (false, 1),
        "|i1" => (true, 1),
        "<u2" => (false, 2),
        "<i2" => (true, 2),
        "<u4" => (false, 4),
        "<i4" => (true, 4),
        "<i8" | "<u8" => (true, 8),
        kind => return Err(wrong(format!("holds labels of type {kind}"))),
    };
    let count = match *array.shape.as_slice() {
        [n] | [n, 1] => n,
        _ => return Err(wrong(format!("is of shape {:?}", array.shape))),
    };
    // The file is as long as its shape says: `Array::open` has looked.
    let mut bytes = vec![0; count as usize * width];
    array
        .blob
        .read_at(array.offset, &mut bytes)
        .at_path(&member.shown)?;
    let values: Vec<i64> = bytes
        .chunks_exact(width)
        .map(|value| {
            let fill = if signed && value[width - 1] >= 0x80 {
                0xff
            } else {
                0
            };
            let mut whole = [fill; 8];
            whole[..width].copy_from_slice(value);
            i64::from_le_bytes(whole)
        })
        .collect();
    if let Some(value) = values.iter().find(|&&value| value >= MOST_CLASSES) {
        return Err(wrong(format!("holds the class {value}")));
    }
    Ok(values)
}
