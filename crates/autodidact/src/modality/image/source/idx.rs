//! The IDX format of the MNIST family: big-endian sizes, then raw bytes, plain or gzipped.
//!
//! <http://yann.lecun.com/exdb/mnist/>: two zero bytes, the type (8 is a byte), the number of dimensions, the sizes.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use flate2::bufread::MultiGzDecoder;

use super::layout::{self, Split};
use super::set::{Items, Records, Run, Set, Stored};
use super::storage::{Member, Spill};
use crate::error::{AtPath, Error, Result};
use crate::modality::source::{Labels, Part};

/// What a file holds, by its name: `train-images-idx3-ubyte.gz` is the images of `train`.
struct Named {
    labels: bool,
    of: String,
}

fn parse(name: &str) -> Option<Named> {
    let name = name.rsplit('/').next().unwrap_or(name).to_ascii_lowercase();
    let name = name.strip_suffix(".gz").unwrap_or(&name);
    let (labels, at) = match (name.find("images"), name.find("labels")) {
        (Some(at), None) if name.contains("idx3") => (false, at),
        (None, Some(at)) if name.contains("idx1") => (true, at),
        _ => return None,
    };
    let of = name[..at].trim_end_matches(['-', '_', '.']).to_owned();
    Some(Named { labels, of })
}

fn split_of(name: &str) -> Option<Split> {
    name.rsplit(['-', '_', '.']).find_map(Split::of_name)
}

fn folder(member: &Member) -> &Path {
    Path::new(&member.name).parent().unwrap_or(Path::new(""))
}

/// Whether two members lie in folders of which neither holds the other.
fn apart(one: &Member, other: &Member) -> bool {
    let (one, other) = (folder(one), folder(other));
    !one.starts_with(other) && !other.starts_with(one)
}

/// Whether the bytes begin an IDX file of images.
pub(super) fn is_images(head: &[u8]) -> bool {
    head.starts_with(&[0, 0, 8, 3])
}

/// Whether the bytes begin an IDX file of labels.
pub(super) fn is_labels(head: &[u8]) -> bool {
    head.starts_with(&[0, 0, 8, 1])
}

/// Opens the IDX files among `members`, if there are any. `only` names the one that the user named.
///
/// # Errors
/// When the wished part isn't there, or a file isn't what its header says.
pub(super) fn recognize(
    members: &[Member],
    root: &Path,
    wanted: Option<Part>,
    only: Option<&str>,
    memory: u64,
) -> Result<Option<Set>> {
    let mut images: BTreeMap<String, &Member> = BTreeMap::new();
    let mut labels: BTreeMap<String, &Member> = BTreeMap::new();
    for member in members {
        if let Some(named) = parse(&member.name) {
            let alike = if named.labels {
                &mut labels
            } else {
                &mut images
            };
            // Copies lie beside each other or one folder down; elsewhere lies another set that calls its files alike.
            if let Some(other) = alike.insert(named.of, member)
                && apart(other, member)
            {
                let names = format!("{}, {}", other.name, member.name);
                return Err(Error::data(format!("holds several sets: {names}"))
                    .at(root)
                    .expected("one file of images for each part")
                    .mend("name the folder of one of them"));
            }
        }
    }
    let mut wanted = wanted;
    if let Some(only) = only
        && let Some(named) = parse(only)
    {
        // The named file's part, unless the other is asked for, of the same family (EMNIST has several in a folder).
        let family = |of: &str| {
            of.rsplit_once(['-', '_', '.'])
                .map_or(String::new(), |(f, _)| f.to_owned())
        };
        images.retain(|of, _| family(of) == family(&named.of));
        wanted = wanted.or(match split_of(&named.of) {
            Some(Split::Train) => Some(Part::Train),
            Some(_) => Some(Part::Test),
            None => None,
        });
    }
    if images.is_empty() {
        return Ok(None);
    }
    let present: BTreeSet<Split> = images.keys().filter_map(|of| split_of(of)).collect();
    let choice = layout::choose(&present, wanted, root)?;
    let mut fitting = images.iter().filter(|(of, _)| split_of(of) == choice.split);
    let (Some((of, member)), None) = (fitting.next(), fitting.next()) else {
        let names: Vec<&str> = images.values().map(|member| member.file_name()).collect();
        return Err(
            Error::data(format!("holds several sets: {}", names.join(", ")))
                .at(root)
                .expected("one file of images for each part")
                .mend("name the file of images itself"),
        );
    };
    let records = read_images(member, memory)?;
    let count: usize = records.runs.iter().map(|run| run.count).sum();
    // All parts' labels are looked at, so that all parts have the same classes.
    let mut highest = 0;
    let mut own = None;
    for (other, member) in &labels {
        if images.contains_key(other) {
            let values = read_labels(member)?;
            highest = highest.max(values.iter().copied().max().unwrap_or(0));
            if other == of {
                own = Some((values, *member));
            }
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
            of: values
                .into_iter()
                .map(|value| Some(u32::from(value)))
                .collect(),
        }),
        None => None,
    };
    let about = format!("{}{}", member.shown, choice.shown());
    Ok(Some(Set {
        items: Items::Records(records),
        labels,
        other_parts: choice.others,
        about,
    }))
}

/// Opens one file of images, whatever its name, without labels.
pub(super) fn open_file(member: &Member, memory: u64) -> Result<Set> {
    let records = read_images(member, memory)?;
    Ok(Set {
        items: Items::Records(records),
        labels: None,
        other_parts: Vec::new(),
        about: member.shown.clone(),
    })
}

fn read_images(member: &Member, memory: u64) -> Result<Records> {
    let wrong = |found: String| {
        Error::data(found)
            .at(&member.shown)
            .expected("an IDX file of 8-bit images in three dimensions")
    };
    let mut header = [0; 16];
    let (blob, offset, length) = if is_gzip(member)? {
        let mut stream = MultiGzDecoder::new(BufReader::new(member.stream()?));
        let broken = |source: std::io::Error| wrong("doesn't unpack".to_owned()).because(source);
        stream.read_exact(&mut header).map_err(broken)?;
        let mut spill = Spill::new(memory);
        let promised = body(&header).ok_or_else(|| wrong(unlike(&header)))?;
        std::io::copy(&mut stream.take(promised.saturating_add(1)), &mut spill).map_err(broken)?;
        let length = spill.length();
        (Arc::new(spill.finish().at_path(&member.shown)?), 0, length)
    } else {
        let (blob, offset, length) = member.blob()?;
        blob.read_at(offset, &mut header)
            .map_err(|source| wrong("is too short".to_owned()).because(source))?;
        (blob, offset + 16, length.saturating_sub(16))
    };
    let promised = body(&header).ok_or_else(|| wrong(unlike(&header)))?;
    if length != promised {
        let than = if length > promised { "more" } else { "fewer" };
        return Err(
            Error::data(format!("holds {than} bytes than its header says"))
                .at(&member.shown)
                .expected(format!("{promised} bytes of pixels"))
                .mend("download it again"),
        );
    }
    let [count, height, width] = sizes(&header).map(|size| size as usize);
    let name = member
        .name
        .strip_suffix(".gz")
        .unwrap_or(&member.name)
        .to_owned();
    Ok(Records {
        runs: vec![Run {
            blob,
            offset,
            count,
            name,
        }],
        stride: (width * height) as u64,
        skip: 0,
        width,
        height,
        channels: 1,
        planar: false,
        values: Stored::Byte,
    })
}

fn is_gzip(member: &Member) -> Result<bool> {
    Ok(member.head(2)? == [0x1f, 0x8b])
}

fn sizes(header: &[u8; 16]) -> [u32; 3] {
    let size = |at: usize| {
        u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    };
    [size(4), size(8), size(12)]
}

/// Bytes of pixels that a header promises; `None` for what isn't read.
fn body(header: &[u8; 16]) -> Option<u64> {
    let [count, height, width] = sizes(header).map(u64::from);
    let pixels = height
        .checked_mul(width)
        .filter(|&n| n > 0 && n <= super::decode::MOST_PIXELS)?;
    (is_images(header) && count > 0)
        .then(|| count.checked_mul(pixels))
        .flatten()
}

fn unlike(header: &[u8; 16]) -> String {
    let [count, height, width] = sizes(header);
    if is_images(header) {
        format!("promises {count} images of {width}×{height}")
    } else {
        format!(
            "begins with {:02x} {:02x} {:02x} {:02x}",
            header[0], header[1], header[2], header[3]
        )
    }
}

fn read_labels(member: &Member) -> Result<Vec<u8>> {
    let bytes = if is_gzip(member)? {
        let mut bytes = Vec::new();
        MultiGzDecoder::new(BufReader::new(member.stream()?))
            .take(super::storage::LONGEST_MEMBER)
            .read_to_end(&mut bytes)
            .at_path(&member.shown)?;
        bytes
    } else {
        member.read()?
    };
    let promised = bytes
        .get(4..8)
        .map(|n| u32::from_be_bytes([n[0], n[1], n[2], n[3]]) as usize);
    match (is_labels(&bytes), promised) {
        (true, Some(count)) if bytes.len() == count + 8 => Ok(bytes[8..].to_vec()),
        _ => Err(Error::data("is not what its name says, or ends too early")
            .at(&member.shown)
            .expected("an IDX file of 8-bit labels in one dimension")),
    }
}
