//! Parts that are made of one whole: by groups, by the end of time, or by the last of the recordings.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::collect::Recording;
use crate::error::{Error, Result};
use crate::modality::series::reading::SeriesReading;
use crate::modality::source::layout::Split;

/// Makes parts where the recipe asks for them. `windowed` says that recordings are cut into windows: then each gives its
/// end, and what is returned is the part of its steps that is learned from.
///
/// # Errors
/// When there are parts already, or groups are missing, in both parts, or all in one.
pub(super) fn make(
    recordings: &mut [Recording],
    reading: &SeriesReading,
    windowed: bool,
    at: &Path,
) -> Result<Option<f64>> {
    let given = recordings.iter().any(|recording| recording.split.is_some());
    if reading.test == 0.0 && reading.test_groups.is_empty() {
        return apart(recordings, at).map(|()| None);
    }
    if given {
        return Err(Error::recipe("data.reading.test")
            .at(at)
            .expected("none beside parts that the data comes in: it has training and test files"));
    }
    if reading.group.is_empty() {
        if windowed {
            return Ok(Some(1.0 - reading.test));
        }
        let count = recordings.len();
        let test = share(count, reading.test);
        if test == 0 || test == count {
            return Err(too_few(count, "recordings", at));
        }
        for (place, recording) in recordings.iter_mut().enumerate() {
            let learned = place < count - test;
            recording.split = Some(if learned { Split::Train } else { Split::Test });
        }
        return Ok(None);
    }
    let mut groups: BTreeSet<&str> = BTreeSet::new();
    for recording in recordings.iter() {
        groups.insert(recording.group.as_deref().ok_or_else(|| {
            Error::data(format!("{} tells no group", recording.name))
                .at(at)
                .expected(format!(
                    "one in every recording, by data.reading.group = \"{}\"",
                    reading.group
                ))
        })?);
    }
    let test: BTreeSet<String> = if reading.test_groups.is_empty() {
        // By a hash of their names, so that parts are the same whatever the seed and whatever groups come later.
        let mut order: Vec<&str> = groups.iter().copied().collect();
        order.sort_by_key(|group| (hash(group), *group));
        let count = share(order.len(), reading.test);
        order[..count]
            .iter()
            .map(|group| (*group).to_owned())
            .collect()
    } else {
        let wanted = groups.iter().filter(|group| reading.is_test_group(group));
        wanted.map(|group| (*group).to_owned()).collect()
    };
    if test.is_empty() || test.len() == groups.len() {
        return Err(match reading.test_groups.as_slice() {
            [] => too_few(groups.len(), "groups", at),
            _ => Error::recipe(format!(
                "data.reading.test_groups = {:?}",
                reading.test_groups
            ))
            .at(at)
            .expected(format!(
                "some of the {} groups there are, such as {}, and not all",
                groups.len(),
                groups.first().copied().unwrap_or_default()
            )),
        });
    }
    for recording in recordings.iter_mut() {
        let is_test = recording
            .group
            .as_ref()
            .is_some_and(|group| test.contains(group));
        recording.split = Some(if is_test { Split::Test } else { Split::Train });
    }
    Ok(None)
}

/// Refuses groups that are in several parts.
fn apart(recordings: &[Recording], at: &Path) -> Result<()> {
    let mut of: BTreeMap<&str, Split> = BTreeMap::new();
    for recording in recordings {
        let (Some(group), Some(split)) = (&recording.group, recording.split) else {
            continue;
        };
        if *of.entry(group).or_insert(split) != split {
            return Err(Error::data(format!("group {group} is in two parts"))
                .at(at)
                .expected("each group in one part"));
        }
    }
    Ok(())
}

fn too_few(count: usize, what: &str, at: &Path) -> Error {
    Error::data(format!("holds {count} {what} to make two parts of"))
        .at(at)
        .expected("at least one for each part")
        .mend("choose another data.reading.test")
}

/// A part of some, rounded.
fn share(count: usize, part: f64) -> usize {
    (count as f64 * part).round() as usize
}

/// FNV-1a, which is the same everywhere, with its bits mixed.
fn hash(text: &str) -> u64 {
    let hash = text.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
