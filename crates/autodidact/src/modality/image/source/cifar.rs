//! The binary version of CIFAR-10 and CIFAR-100.
//!
//! Krizhevsky, "Learning Multiple Layers of Features from Tiny Images" (2009),
//! <https://www.cs.toronto.edu/~kriz/cifar.html>: records of one label byte (CIFAR-100: a coarse and a fine one), then
//! the red, the green and the blue plane of 32×32.

use std::collections::{BTreeMap, BTreeSet};
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
/// When several sets are there, or not the wished part, or a file doesn't hold whole records with labels that have names.
pub(super) fn recognize(
    members: &[Member],
    root: &Path,
    wanted: Option<Part>,
) -> Result<Option<Set>> {
    let named = |name: &str| members.iter().find(|member| member.file_name() == name);
    let records = |label_bytes: u64| -> Vec<&Member> {
        let of = members.iter();
        of.filter(|member| split_of(member, label_bytes).is_some())
            .collect()
    };
    let (ten, hundred) = (named("batches.meta.txt"), named("fine_label_names.txt"));
    let tens = records(1);
    // The files of CIFAR-100 are called like many others; the list of its classes tells them.
    let hundreds = hundred.map_or_else(Vec::new, |_| records(2));
    one_set(&tens, &hundreds, root)?;
    let (records, label_bytes, names) = if tens.is_empty() {
        (hundreds, 2, hundred)
    } else {
        (tens, 1, ten)
    };
    if records.is_empty() {
        return Ok(None);
    }
    let classes: Vec<String> = match names {
        Some(member) => String::from_utf8_lossy(&member.read()?)
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .map(str::to_owned)
            .collect(),
        // Batches without the list of their names; CIFAR-10 has ten of them.
        None => (0..10).map(|class| class.to_string()).collect(),
    };
    open(&records, root, wanted, label_bytes, classes).map(Some)
}

/// Refuses to choose between sets, or to mix one with a copy of it.
fn one_set(tens: &[&Member], hundreds: &[&Member], root: &Path) -> Result<()> {
    let several = |found: String, expected: &str| {
        Error::data(found)
            .at(root)
            .expected(expected)
            .mend("name the folder, or the archive, of one of them")
    };
    if let (Some(ten), Some(hundred)) = (tens.first(), hundreds.first()) {
        let (ten, hundred) = (&ten.name, &hundred.name);
        let found = format!("holds CIFAR-10 ({ten}) and CIFAR-100 ({hundred})");
        return Err(several(found, "one of them"));
    }
    let mut files: BTreeMap<&str, &Member> = BTreeMap::new();
    for member in tens.iter().chain(hundreds) {
        if let Some(other) = files.insert(member.file_name(), member) {
            let found = format!("holds several sets: {}, {}", other.name, member.name);
            return Err(several(found, "one file of each name"));
        }
    }
    Ok(())
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
    records: &[&Member],
    root: &Path,
    wanted: Option<Part>,
    label_bytes: u64,
    classes: Vec<String>,
) -> Result<Set> {
    let present: BTreeSet<Split> = records
        .iter()
        .filter_map(|member| split_of(member, label_bytes))
        .collect();
    let choice = layout::choose(&present, wanted, root)?;
    let stride = PIXELS + label_bytes;
    let mut runs = Vec::new();
    let mut of = Vec::new();
    for member in records
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
    Ok(Set {
        items: Items::Records(records),
        labels: Some(Labels { classes, of }),
        other_parts: choice.others,
        about,
    })
}
