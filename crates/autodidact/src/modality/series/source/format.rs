//! How a file holds series, as far as its name and its first bytes tell.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use crate::modality::Likeness;
use crate::modality::source::allowance::limited;
use crate::modality::source::archive::Archive;
use crate::modality::source::layout::Split;
use crate::modality::source::npy::{self, Array};
use crate::modality::source::numbers::is_table_of_numbers;
use crate::modality::source::storage::{Member, Place};
use crate::modality::source::{folder, packed};

/// How many of a folder's files are looked at to tell what it holds.
const LOOKED_AT: usize = 20;
/// Bytes of each.
const HEAD: u64 = 1 << 14;
/// Arrays of so many axes, of types that images have too, may be images.
const AXES_OF_IMAGES: usize = 3;
/// Endings of images, which say that something else lies here.
const IMAGES: [&str; 6] = ["jpg", "jpeg", "png", "webp", "tif", "tiff"];

/// How a file holds series; where several formats lie side by side, the first of these is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Format {
    /// sktime's and aeon's.
    Ts,
    /// NumPy's.
    Npy,
    /// Parquet.
    Parquet,
    /// Rows of fields.
    Table,
    /// The same, by a name that other texts bear as well.
    Text,
}

impl Format {
    /// What a file's name promises; `None` for a file that holds no series.
    pub(super) fn of_name(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        Some(match without_packing(&name).rsplit_once('.')?.1 {
            "ts" => Self::Ts,
            "npy" => Self::Npy,
            "parquet" | "pq" => Self::Parquet,
            "csv" | "tsv" => Self::Table,
            "txt" | "dat" | "data" | "asc" | "log" => Self::Text,
            _ => return None,
        })
    }
}

/// A name without what says that the file is packed.
pub(super) fn without_packing(name: &str) -> &str {
    let lower = name.to_ascii_lowercase();
    let packing = [".gz", ".zst"].into_iter().find(|end| lower.ends_with(end));
    &name[..name.len() - packing.map_or(0, str::len)]
}

/// A file's name without its ending.
pub(super) fn stem(name: &str) -> &str {
    let folder = name.rfind('/').map_or(0, |at| at + 1);
    let inner = without_packing(name).len();
    match Format::of_name(name).and(name[folder..inner].rfind('.')) {
        Some(at) => &name[..folder + at],
        None => name,
    }
}

/// The part that a file's name tells, and the rest of its name: `Adiac_TRAIN.tsv` is the training part of `Adiac`.
pub(super) fn part_of_name(name: &str) -> Option<(Split, String)> {
    let stem = stem(name);
    let folder = stem.rfind('/').map_or(0, |at| at + 1);
    let words: Vec<&str> = stem[folder..].split(['_', '-', '.']).collect();
    let at = words
        .iter()
        .rposition(|word| Split::of_name(word).is_some())?;
    let mut rest = words.clone();
    rest.remove(at);
    let split = Split::of_name(words[at])?;
    Some((split, format!("{}{}", &stem[..folder], rest.join("_"))))
}

/// Whether what lies at a path are series rather than something else.
pub fn looks_like_series(path: &Path) -> Likeness {
    let sure = |likely: bool| match likely {
        true => Likeness::Clear,
        false => Likeness::None,
    };
    let name = path.to_string_lossy();
    if path.is_file() {
        return sure(match archive_kind(&name) {
            Some(kind) => archive_of_series(path, kind),
            None => file_of_series(path),
        });
    }
    if !path.exists() {
        return sure(!super::files::beside(path).is_empty());
    }
    let Ok(members) = folder::list(path) else {
        return Likeness::None;
    };
    let files: Vec<&Path> = (members.iter())
        .filter_map(|member| match &member.place {
            Place::File(path) => Some(path.as_path()),
            _ => None,
        })
        .collect();
    let archives = files.iter().filter_map(|path| {
        let kind = archive_kind(&path.to_string_lossy())?;
        Some((path, kind))
    });
    let archives: Vec<_> = archives.collect();
    if !archives.is_empty() && archives.len() * 2 > files.len() {
        return sure(
            archives
                .iter()
                .take(2)
                .any(|(path, kind)| archive_of_series(path, *kind)),
        );
    }
    // Spread over the folder, since what lies first may be special.
    let step = files.len().div_ceil(LOOKED_AT).max(1);
    let looked: Vec<&&Path> = files.iter().step_by(step).collect();
    let found = looked.iter().filter(|path| file_of_series(path)).count();
    sure(found * 2 > looked.len())
}

fn text_head(path: &Path) -> Option<String> {
    let (stream, _) = packed::unpacked(&Member::of_file(path)).ok()?;
    let mut bytes = Vec::new();
    stream.take(HEAD).read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes);
    // The last line may be cut short.
    let end = text.rfind('\n').map_or(text.len(), |at| at + 1);
    Some(text[..end].to_owned())
}

fn file_of_series(path: &Path) -> bool {
    match Format::of_name(&path.to_string_lossy()) {
        Some(Format::Ts) => text_head(path).is_some_and(|head| {
            let mut lines = head.lines().map(str::trim);
            let first = lines.find(|line| !line.is_empty() && !line.starts_with(['#', '%']));
            first.is_some_and(|line| line.starts_with('@'))
        }),
        // Images don't come as packed arrays.
        Some(Format::Npy) if is_packed_array(path) => true,
        Some(Format::Npy) => is_no_image(&Member::of_file(path)),
        Some(Format::Table | Format::Text) => is_table_of_numbers(path),
        // Rows of anything: the user says what they are.
        Some(Format::Parquet) | None => false,
    }
}

fn is_packed_array(path: &Path) -> bool {
    let mut head = Vec::new();
    let read = packed::unpacked(&Member::of_file(path))
        .is_ok_and(|(stream, packed)| packed && stream.take(8).read_to_end(&mut head).is_ok());
    read && npy::is_array(&head)
}

fn is_no_image(member: &Member) -> bool {
    let Ok(array) = Array::open(member) else {
        return false;
    };
    let of_images = ["|u1", "<u2", ">u2", "<f4", ">f4"].contains(&array.kind.as_str());
    array.shape.len() < AXES_OF_IMAGES || array.shape.len() == AXES_OF_IMAGES && !of_images
}

/// The kind of archive, `.npz` among them.
pub(super) fn archive_kind(name: &str) -> Option<Archive> {
    match Archive::of_name(name) {
        None if name.to_ascii_lowercase().ends_with(".npz") => Some(Archive::Zip),
        kind => kind,
    }
}

/// Whether the first members of an archive are series, by their names; of one of arrays, by their axes.
fn archive_of_series(path: &Path, kind: Archive) -> bool {
    let names = match kind {
        Archive::Zip => zip_names(path),
        Archive::Tar => File::open(path)
            .ok()
            .map(|file| tar_names(BufReader::new(file))),
        Archive::TarGz => {
            (File::open(path).ok()).map(|file| tar_names(MultiGzDecoder::new(BufReader::new(file))))
        }
    };
    let names = names.unwrap_or_default();
    let is_image = |name: &String| {
        let ending = name
            .rsplit_once('.')
            .map(|(_, ending)| ending.to_ascii_lowercase());
        ending.is_some_and(|ending| IMAGES.contains(&ending.as_str()))
    };
    if names.is_empty() || names.iter().any(is_image) {
        return false;
    }
    let formats: Vec<Format> = names
        .iter()
        .filter_map(|name| Format::of_name(name))
        .collect();
    let arrays = formats
        .iter()
        .filter(|&&format| format == Format::Npy)
        .count();
    if kind == Archive::Zip && arrays * 2 > names.len() {
        return arrays_of_series(path);
    }
    formats
        .iter()
        .filter(|&&format| format < Format::Text)
        .count()
        * 2
        > names.len()
}

fn arrays_of_series(path: &Path) -> bool {
    use crate::modality::source::archive;
    let Ok((members, _)) = archive::list(path, Archive::Zip, 0, true, &|_, _| true) else {
        return false;
    };
    let mut data = members.iter().filter(|member| {
        let named = npy::parse(&member.name);
        named.is_some_and(|named| !named.labels)
    });
    data.next().is_some_and(is_no_image)
}

fn zip_names(path: &Path) -> Option<Vec<String>> {
    let file = BufReader::new(File::open(path).ok()?);
    let archive = zip::ZipArchive::new(file).ok()?;
    let names = archive
        .file_names()
        .flatten()
        .filter(|name| !name.ends_with('/'));
    Some(names.map(std::borrow::Cow::into_owned).take(1000).collect())
}

fn tar_names(stream: impl Read) -> Vec<String> {
    let (stream, allowance) = limited(stream);
    let mut archive = tar::Archive::new(stream);
    let Ok(entries) = archive.entries() else {
        return Vec::new();
    };
    entries
        .map_while(std::result::Result::ok)
        .filter_map(|mut entry| {
            allowance.renew(&mut entry);
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            entry.header().entry_type().is_file().then_some(name)
        })
        .take(LOOKED_AT)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_format_and_part() {
        for (name, format, part) in [
            (
                "ucr/Adiac_TRAIN.tsv.gz",
                Some(Format::Table),
                Some((Split::Train, "ucr/Adiac")),
            ),
            (
                "BasicMotions_TEST.ts",
                Some(Format::Ts),
                Some((Split::Test, "BasicMotions")),
            ),
            ("x_train.npy", Some(Format::Npy), Some((Split::Train, "x"))),
            ("train.csv", Some(Format::Table), Some((Split::Train, ""))),
            (
                "rec.train.01.data.zst",
                Some(Format::Text),
                Some((Split::Train, "rec_01")),
            ),
            ("a.train/b.csv", Some(Format::Table), None),
            (
                "a/x_test.npy.GZ",
                Some(Format::Npy),
                Some((Split::Test, "a/x")),
            ),
            ("x.parquet.zst", Some(Format::Parquet), None),
            ("x.jpg", None, None),
            ("x.jpg.gz", None, None),
            ("noend", None, None),
        ] {
            assert_eq!(Format::of_name(name), format, "{name}");
            let found = part_of_name(name);
            let found = found.as_ref().map(|(split, rest)| (*split, rest.as_str()));
            assert_eq!(found, part, "{name}");
        }
        assert_eq!(stem("a.b/c.d.csv.gz"), "a.b/c.d");
        assert_eq!(stem("a.b/c"), "a.b/c");
    }

    #[test]
    fn members_behind_a_name_that_would_fill_the_memory_are_not_listed() {
        let mut builder = tar::Builder::new(Vec::new());
        for (kind, name, size) in [
            (tar::EntryType::Regular, "a.csv", 3 << 20),
            (tar::EntryType::Directory, "folder", 0),
            (tar::EntryType::Regular, "b.csv", 1),
            (tar::EntryType::GNULongName, "long", 2 << 20),
            (tar::EntryType::Regular, "c.csv", 1),
        ] {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_size(size);
            let data = std::io::repeat(b'x').take(size);
            builder.append_data(&mut header, name, data).unwrap();
        }
        let bytes: Vec<u8> = builder.into_inner().unwrap();
        assert_eq!(tar_names(&bytes[..]), ["a.csv", "b.csv"]);
    }
}
