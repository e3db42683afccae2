//! NumPy arrays of images, alone (`.npy`) or several in a zip (`.npz`).

use std::collections::BTreeSet;
use std::path::Path;

use super::decode;
use super::layout::{self, Split};
use super::set::{Items, Records, Run, Set, Stored};
use super::storage::{Member, Place};
use crate::error::{Error, Result};
use crate::modality::image::MOST_CHANNELS;
use crate::modality::source::npy::{Array, Named, labels, parse};
use crate::modality::source::{Labels, Part};

pub(super) use crate::modality::source::npy::is_array;

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
