//! NumPy arrays as they lie in files (`.npy`).
//!
//! <https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html>: a magic word, a version, the length of the
//! header, a Python literal with type, order and shape, then the values.

use std::sync::Arc;

use super::layout::Split;
use super::storage::{Blob, Member};
use crate::error::{AtPath, Error, Result};

const MAGIC: &[u8] = b"\x93NUMPY";
/// The longest header that is read, in bytes.
const LONGEST_HEADER: usize = 1 << 16;
/// The highest class number, so that a wrong file can't ask for the names of billions.
const MOST_CLASSES: i64 = 1 << 20;

/// Whether the bytes begin an array.
pub(in crate::modality) fn is_array(head: &[u8]) -> bool {
    head.starts_with(MAGIC)
}

/// An array that lies somewhere, not read yet.
pub(in crate::modality) struct Array {
    /// What holds it.
    pub(in crate::modality) blob: Arc<Blob>,
    /// Where its values begin.
    pub(in crate::modality) offset: u64,
    /// Their type, such as `<f4`.
    pub(in crate::modality) kind: String,
    /// Its axes, the last of which lies closest together.
    pub(in crate::modality) shape: Vec<u64>,
}

impl Array {
    /// Reads the header.
    ///
    /// # Errors
    /// When it is no array, or the file isn't as long as its shape says.
    pub(in crate::modality) fn open(member: &Member) -> Result<Self> {
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
pub(in crate::modality) struct Named {
    /// Whether it holds labels.
    pub(in crate::modality) labels: bool,
    /// The part that it belongs to.
    pub(in crate::modality) split: Option<Split>,
}

/// What a name says; `None` where it isn't that of an array.
pub(in crate::modality) fn parse(name: &str) -> Option<Named> {
    let name = name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase();
    let name = name.strip_suffix(".npy")?;
    let words: Vec<&str> = name.split(['_', '-', '.']).collect();
    let is = |names: &[&str]| words.iter().any(|word| names.contains(word));
    Some(Named {
        labels: is(&["y", "label", "labels", "target", "targets"]),
        split: words.iter().find_map(|word| Split::of_name(word)),
    })
}

/// Labels: whole numbers, below zero for items without one.
///
/// # Errors
/// When it is no array of one whole number a label.
pub(in crate::modality) fn labels(member: &Member) -> Result<Vec<i64>> {
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
