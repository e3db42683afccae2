//! The binary version of CIFAR-10 and CIFAR-100.
//!
//! Krizhevsky, "Learning Multiple Layers of Features from Tiny Images" (2009),
//! <https://www.cs.toronto.edu/~kriz/cifar.html>: records of one label byte (CIFAR-100: a coarse and a fine one), then
//! the red, the green and the blue plane of 32×32.

use std::collections::BTreeSet;
use std::path::Path;

use super::layout::{self, Split};
use super::set::{Items, Records, Run, Set, Stored};
use super::storage::Member;
use crate::error::{AtPath, Error, Result};
use crate::modality::source::{Labels, Part};

const SIDE: usize = 32;
const PIXELS: u64 = (SIDE * SIDE * 3) as u64;

/// Opens the CIFAR files among `members`, if there are any.
///
/// # Errors
/// When the wished part isn't there, or a file doesn't hold whole records with labels that have names.
pub(super) fn recognize(
    members: &[Member],
    root: &Path,
    wanted: Option<Part>,
) -> Result<Option<Set>> {
    let named = |name: &str| members.iter().find(|member| member.file_name() == name);
    let (classes, label_bytes) = if let Some(member) = named("batches.meta.txt") {
        (member, 1)
    } else if let Some(member) = named("fine_label_names.txt") {
        (member, 2)
    } else {
        return recognize_nameless(members, root, wanted);
    };
    let text = classes.read()?;
    let classes = String::from_utf8_lossy(&text)
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect();
    open(members, root, wanted, label_bytes, classes)
}

/// Batches without the list of their names; CIFAR-10 has ten of them.
fn recognize_nameless(
    members: &[Member],
    root: &Path,
    wanted: Option<Part>,
) -> Result<Option<Set>> {
    if members.iter().any(|member| split_of(member, 1).is_some()) {
        let classes = (0..10).map(|class| class.to_string()).collect();
        return open(members, root, wanted, 1, classes);
    }
    Ok(None)
}

fn split_of(member: &Member, label_bytes: u64) -> Option<Split> {
    let name = member.file_name().strip_suffix(".bin")?;
    match (label_bytes, name) {
        (1, "test_batch") | (2, "test") => Some(Split::Test),
        (2, "train") => Some(Split::Train),
        (1, _)
            if name
                .strip_prefix("data_batch_")
                .is_some_and(|n| n.parse::<u32>().is_ok()) =>
        {
            Some(Split::Train)
        }
        _ => None,
    }
}

fn open(
    members: &[Member],
    root: &Path,
    wanted: Option<Part>,
    label_bytes: u64,
    classes: Vec<String>,
) -> Result<Option<Set>> {
    let present: BTreeSet<Split> = members
        .iter()
        .filter_map(|m| split_of(m, label_bytes))
        .collect();
    if present.is_empty() {
        return Ok(None);
    }
    let choice = layout::choose(&present, wanted, root)?;
    let stride = PIXELS + label_bytes;
    let mut runs = Vec::new();
    let mut of = Vec::new();
    for member in members
        .iter()
        .filter(|member| split_of(member, label_bytes) == choice.split)
    {
        let (blob, offset, length) = member.blob()?;
        if length == 0 || length % stride != 0 {
            return Err(Error::data(format!("holds {length} bytes"))
                .at(&member.shown)
                .expected(format!("whole records of {stride} bytes"))
                .mend("download it again"));
        }
        let count = (length / stride) as usize;
        for record in 0..count as u64 {
            let mut label = [0];
            // The last of the label bytes is the fine one.
            blob.read_at(offset + record * stride + label_bytes - 1, &mut label)
                .at_path(&member.shown)?;
            if usize::from(label[0]) >= classes.len() {
                return Err(
                    Error::data(format!("record {record} is of class {}", label[0]))
                        .at(&member.shown)
                        .expected(format!(
                            "one of the {} classes that have names",
                            classes.len()
                        )),
                );
            }
            of.push(Some(u32::from(label[0])));
        }
        let name = member
            .name
            .strip_suffix(".bin")
            .unwrap_or(&member.name)
            .to_owned();
        runs.push(Run {
            blob,
            offset,
            count,
            name,
        });
    }
    let records = Records {
        runs,
        stride,
        skip: label_bytes,
        width: SIDE,
        height: SIDE,
        channels: 3,
        planar: true,
        values: Stored::Byte,
    };
    let about = format!("CIFAR records in {}{}", root.display(), choice.shown());
    Ok(Some(Set {
        items: Items::Records(records),
        labels: Some(Labels { classes, of }),
        other_parts: choice.others,
        about,
    }))
}
