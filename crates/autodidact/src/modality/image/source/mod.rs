//! Where images come from: folders, archives, the formats of MNIST and CIFAR, NumPy arrays, Parquet files,
//! WebDataset shards, CSV lists, or our own drawing.
//!
//! A folder and an archive are both a list of members with names; what the names say (parts, classes, lists) is read
//! in one place, whatever holds the bytes. Nothing is unpacked by name, and nothing that a file declares is trusted.

mod alike;
mod bands;
mod cache;
mod channels;
mod cifar;
mod columns;
mod decode;
mod idx;
mod list;
mod npy;
mod opacity;
mod orientation;
mod recognize;
mod set;
mod shrunk;
mod survey;
pub mod synthetic;
#[cfg(test)]
mod tests;
mod webdataset;

use std::collections::BTreeSet;
use std::path::Path;

pub use cache::Cached;
pub use channels::{is_grey, to_channels};
pub use decode::{MOST_PIXELS, decode};
pub use recognize::holds_tables_of_images;
pub use survey::{Survey, survey};

use self::alike::Alike;
use self::layout::{Layout, Split};
use self::list::List;
use self::set::{Items, Set};
use self::shrunk::Shrunk;
use self::storage::{Member, Place};
use self::synthetic::Synthetic;
use crate::error::{AtPath, Error, Result};
use crate::modality::image::Image;
use crate::modality::source::archive::{self, Archive};
use crate::modality::source::{Part, Source, SourceSpec, folder, labels, layout, names, storage};

/// Opens the images that the user named.
///
/// Recognizes, in this order: IDX files (MNIST), CIFAR records, NumPy arrays (`.npy`, `.npz`), Parquet files, a list
/// (`index.csv`, `labels.csv`, `metadata.csv`, or the CSV file itself), WebDataset samples (`key.jpg` with `key.cls` or
/// `key.json`, in shards or not), images in folders whose names are parts or classes, and archives (`.tar`, `.tar.gz`, `.zip`)
/// of any of these. Without a path the set is [`Synthetic`].
///
/// Images whose shorter side is twice `spec.shrink` or longer are averaged down by a whole factor. `spec.memory_limit` covers the encoded members of `.tar.gz` files first and then decoded images. Without a wish
/// for a part the training part is opened, or the only part that there is.
///
/// # Errors
/// When there is nothing at the path, no images in it, or not the part that was asked for; when an archive is damaged;
/// when the labels that the user brings don't match.
pub fn open(spec: &SourceSpec) -> Result<Box<dyn Source<Image>>> {
    if let Some(key) = spec.reading.keys().next() {
        return Err(Error::recipe(format!("data.reading.{key}"))
            .expected("no [data.reading]: images need no settings to be read"));
    }
    let (mut set, held) = match &spec.path {
        None => (synthetic_set(spec), 0),
        Some(path) => open_path(path, spec)?,
    };
    if let Some(path) = &spec.labels {
        let names: Vec<String> = (0..set.len()).map(|index| set.name(index)).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let (labels, unmatched) = labels::read(path, &names)?;
        set.labels = Some(labels);
        set.about
            .push_str(&format!("; labels from {}", path.display()));
        if unmatched > 0 {
            set.about
                .push_str(&format!(", {unmatched} rows of which match no item"));
        }
    }
    if set.items.in_memory() {
        return Ok(Box::new(Shrunk::new(set, spec.shrink)));
    }
    let held = held.saturating_add(set.items.held());
    Ok(Box::new(Cached::new(
        Shrunk::new(Alike::new(set), spec.shrink),
        spec.memory_limit.saturating_sub(held),
    )))
}

fn synthetic_set(spec: &SourceSpec) -> Set {
    let part = spec.part.unwrap_or(Part::Train);
    let synthetic = Synthetic::new(spec.seed, part, spec.synthetic_items);
    let (other, shown) = match part {
        Part::Train => (Part::Test, "training"),
        Part::Test => (Part::Train, "test"),
    };
    Set {
        labels: Some(synthetic.labels()),
        items: Items::Synthetic(synthetic),
        other_parts: vec![other],
        about: format!("synthetic drawings (embedded; no real data), {shown} part"),
    }
}

fn open_path(path: &Path, spec: &SourceSpec) -> Result<(Set, u64)> {
    let metadata = match std::fs::metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(folder::missing(
                path,
                "a folder, an archive or a list of images",
            ));
        }
        metadata => metadata.at_path(path)?,
    };
    if metadata.is_dir() {
        let members = folder::list(path)?;
        open_members(members, path, spec)
    } else {
        open_file(path, spec)
    }
}

fn open_file(path: &Path, spec: &SourceSpec) -> Result<(Set, u64)> {
    let name = path
        .file_name()
        .map(|name| name.to_string_lossy().into_owned())
        .unwrap_or_default();
    let member = Member {
        name: name.clone(),
        shown: path.display().to_string(),
        place: Place::File(path.to_path_buf()),
    };
    let head = member.head(512)?;
    let unpacked = if head.starts_with(&[0x1f, 0x8b]) {
        gzip_head(path)
    } else {
        Vec::new()
    };
    let kind = if head.starts_with(b"PK\x03\x04") || head.starts_with(b"PK\x05\x06") {
        Some(Archive::Zip)
    } else if is_tar(&head) {
        Some(Archive::Tar)
    } else if is_tar(&unpacked) {
        Some(Archive::TarGz)
    } else if idx::is_images(&head) || idx::is_images(&unpacked) {
        return open_idx_file(path, &name, &member, spec);
    } else if idx::is_labels(&head) || idx::is_labels(&unpacked) {
        return Err(Error::data("holds labels, not images")
            .at(path)
            .expected("the file of images beside it")
            .mend("name the file of images, or the folder of both"));
    } else if npy::is_array(&head) {
        return Ok((npy::open_file(path, &member, spec.part)?, 0));
    } else if columns::is_parquet(&head) {
        let set = columns::open_file(path, &member, spec.part, spec.memory_limit)?;
        return Ok((set, 0));
    } else if decode::sniff(&head).is_some() {
        // A set of one: what a search asks with.
        return open_members(vec![member], path, spec);
    } else if name.to_ascii_lowercase().ends_with(".csv") {
        return list::open_file(path, spec.part, spec.memory_limit);
    } else {
        // Of an archive by name alone the reader says what is wrong with it.
        Archive::of_name(&name)
    };
    let Some(kind) = kind else {
        return Err(Error::data("is a file of unknown kind").at(path).expected(
            "a folder, a .tar, .tar.gz or .zip archive, an IDX, .npy, .npz or .parquet file of images, or a CSV list of files",
        ));
    };
    let (members, held) = archive::list(path, kind, spec.memory_limit, true, &is_wanted)?;
    let rest = SourceSpec {
        memory_limit: spec.memory_limit.saturating_sub(held),
        ..spec.clone()
    };
    let (set, more) = open_members(members, path, &rest)?;
    Ok((set, held + more))
}

fn open_idx_file(
    path: &Path,
    name: &str,
    member: &Member,
    spec: &SourceSpec,
) -> Result<(Set, u64)> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let mut beside = Vec::new();
    for entry in std::fs::read_dir(folder).at_path(folder)?.flatten() {
        let path = entry.path();
        beside.push(Member {
            name: entry.file_name().to_string_lossy().into_owned(),
            shown: path.display().to_string(),
            place: Place::File(path),
        });
    }
    beside.sort_by(|a, b| a.name.cmp(&b.name));
    let set = match idx::recognize(&beside, folder, spec.part, Some(name), spec.memory_limit)? {
        Some(set) => set,
        None => idx::open_file(member, spec.memory_limit)?,
    };
    Ok((set, 0))
}

fn is_tar(head: &[u8]) -> bool {
    head.get(257..262) == Some(b"ustar")
}

/// The first bytes of what a gzip file holds, as far as they unpack.
fn gzip_head(path: &Path) -> Vec<u8> {
    use std::io::Read;
    let mut bytes = Vec::new();
    if let Ok(file) = std::fs::File::open(path) {
        // A damaged file shows its damage when it is read in earnest.
        let _ = flate2::read::MultiGzDecoder::new(file)
            .take(512)
            .read_to_end(&mut bytes);
    }
    bytes
}

/// Opens what a folder or an archive holds; archives at the top of a folder are read where there is nothing else.
fn open_members(members: Vec<Member>, root: &Path, spec: &SourceSpec) -> Result<(Set, u64)> {
    if let Some(set) = recognize(&members, root, spec)? {
        return Ok((set, 0));
    }
    let listed = List::find(&members)?.is_some();
    if let Some((inner, held)) = expand(&members, root, spec, listed)? {
        let rest = SourceSpec {
            memory_limit: spec.memory_limit.saturating_sub(held),
            ..spec.clone()
        };
        // A list beside the archives speaks of their members.
        let all: Vec<Member> = members.iter().cloned().chain(inner).collect();
        if let Some(list) = List::find(&members)? {
            return Ok((list.open(&all, spec.part)?, held));
        }
        if let Some(set) = recognize(&all[members.len()..], root, &rest)? {
            return Ok((set, held));
        }
        return Err(no_images(&all, root));
    }
    match List::find(&members)? {
        Some(list) => Ok((list.open(&members, spec.part)?, 0)),
        None => Err(no_images(&members, root)),
    }
}

fn no_images(members: &[Member], root: &Path) -> Error {
    let found = folder::kinds(members.iter().map(|member| member.name.as_str()));
    Error::data(format!("holds no images (found: {found})"))
        .at(root)
        .expected(format!(
            "{}, or a data set in the format of MNIST or CIFAR",
            decode::FORMATS
        ))
        .mend("name the folder or archive that holds the images")
}

fn recognize(members: &[Member], root: &Path, spec: &SourceSpec) -> Result<Option<Set>> {
    if let Some(set) = idx::recognize(members, root, spec.part, None, spec.memory_limit)? {
        return Ok(Some(set));
    }
    if let Some(set) = cifar::recognize(members, root, spec.part)? {
        return Ok(Some(set));
    }
    if let Some(set) = npy::recognize(members, root, spec.part)? {
        return Ok(Some(set));
    }
    if let Some(set) = columns::recognize(members, root, spec.part, spec.memory_limit)? {
        return Ok(Some(set));
    }
    let images: Vec<&Member> = members.iter().filter(|member| is_image(member)).collect();
    if images.is_empty() {
        return Ok(None);
    }
    if let Some(list) = List::find(members)?
        && list.fits(members)
    {
        return list.open(members, spec.part).map(Some);
    }
    if let Some(set) = webdataset::recognize(members, root, spec.part)? {
        return Ok(Some(set));
    }
    let names: Vec<&str> = images.iter().map(|member| member.name.as_str()).collect();
    let layout = Layout::of(&names);
    let choice = layout::choose(&layout.present(), spec.part, root)?;
    let chosen: Vec<usize> = (0..images.len())
        .filter(|&index| layout.splits[index] == choice.split)
        .collect();
    let labels = layout.labels.map(|mut labels| {
        labels.of = chosen.iter().map(|&index| labels.of[index]).collect();
        labels
    });
    let about = format!("{}{}", root.display(), choice.shown());
    let files = chosen.iter().map(|&index| images[index].clone()).collect();
    Ok(Some(Set {
        items: Items::Files(files),
        labels,
        other_parts: choice.others,
        about,
    }))
}

/// Endings of files that are common beside images and never are one.
const NO_IMAGES: [&str; 15] = [
    "csv", "tsv", "txt", "json", "jsonl", "xml", "md", "zip", "tar", "gz", "tgz", "npy", "parquet",
    "bin", "mp4",
];

/// Whether a member of an archive is kept: an image, or a file that says something about images.
fn is_wanted(name: &str, head: &[u8]) -> bool {
    decode::sniff(head).is_some() || decode::has_image_name(name) || is_data_file(name)
}

/// Files that aren't images but say something about them.
fn is_data_file(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    [
        ".csv", ".bin", ".txt", ".cls", ".json", ".npy", ".parquet", "ubyte", "ubyte.gz",
    ]
    .iter()
    .any(|ending| lower.ends_with(ending))
}

fn is_image(member: &Member) -> bool {
    if decode::has_image_name(&member.name) {
        return true;
    }
    let ending = member
        .file_name()
        .rsplit_once('.')
        .map(|(_, ending)| ending.to_ascii_lowercase());
    !ending.is_some_and(|ending| NO_IMAGES.contains(&ending.as_str()))
        && member
            .head(decode::HEAD)
            .is_ok_and(|head| decode::sniff(&head).is_some())
}

/// Lists the archives at the top of a folder: those named for parts (`train.tar.gz`), or else all. Members are called
/// `archive/member`. Of a part that isn't wanted only the names are kept, and what says the classes beside images, so that
/// all parts have the same classes.
fn expand(
    members: &[Member],
    root: &Path,
    spec: &SourceSpec,
    all: bool,
) -> Result<Option<(Vec<Member>, u64)>> {
    let archives: Vec<_> = members
        .iter()
        .filter(|member| !member.name.contains('/'))
        .filter_map(
            |member| match (&member.place, Archive::of_name(&member.name)) {
                (Place::File(path), Some(kind)) => Some((archive::stem(&member.name), path, kind)),
                _ => None,
            },
        )
        .collect();
    if archives.is_empty() {
        return Ok(None);
    }
    let parts: BTreeSet<Split> = archives
        .iter()
        .filter_map(|(stem, ..)| webdataset::split_of(stem))
        .collect();
    // Archives that aren't parts may have parts inside.
    let whole = all || parts.is_empty();
    let choice = if whole {
        None
    } else {
        Some(layout::choose(&parts, spec.part, root)?)
    };
    let mut inner = Vec::new();
    let mut held = 0;
    for (stem, path, kind) in archives {
        let split = webdataset::split_of(stem);
        if !whole && split.is_none() {
            continue;
        }
        let open = choice.as_ref().is_none_or(|choice| choice.split == split);
        let kept: &dyn Fn(&str, &[u8]) -> bool = if open {
            &is_wanted
        } else {
            &|name, _| webdataset::is_note(name)
        };
        let left = spec.memory_limit.saturating_sub(held);
        let (mut listed, bytes) = archive::list(path, kind, left, true, kept)?;
        held += bytes;
        rename(&mut listed, stem);
        inner.extend(listed);
    }
    Ok(Some((inner, held)))
}

/// Puts the archive's name in front, unless all members lie in a folder that is called like it.
fn rename(members: &mut [Member], stem: &str) {
    let shared = members
        .first()
        .and_then(|member| member.name.split_once('/'))
        .map(|(top, _)| format!("{top}/"));
    let shared = shared.filter(|top| {
        top.to_ascii_lowercase()
            .contains(&stem.to_ascii_lowercase())
            && members
                .iter()
                .all(|member| member.name.starts_with(top.as_str()))
    });
    let skip = shared.map_or(0, |top| top.len());
    for member in members {
        member.name = format!("{stem}/{}", &member.name[skip..]);
    }
}
