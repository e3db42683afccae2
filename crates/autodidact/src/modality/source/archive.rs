//! The members of `.tar`, `.tar.gz` and `.zip` files, read in place: nothing is unpacked by name.

use std::fs::File;
use std::io::{BufReader, Read, Seek, Write};
use std::path::Path;
use std::sync::Arc;

use flate2::bufread::MultiGzDecoder;

use super::allowance::limited;
use super::folder::is_hidden;
use super::storage::{Blob, LONGEST_MEMBER, Member, Packing, Place, Spill};
use crate::error::{AtPath, Error, Result};

/// The most members that are listed; beyond it a file is a bomb, or wants to be several files.
const MOST_MEMBERS: usize = 50_000_000;
/// Bytes at the start of a member by which it is told what it is.
const HEAD: u64 = 32;

/// The kinds of archive that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::modality) enum Archive {
    Tar,
    TarGz,
    Zip,
}

impl Archive {
    /// The kind that a file's name promises.
    pub(in crate::modality) fn of_name(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        if name.ends_with(".tar") {
            Some(Self::Tar)
        } else if name.ends_with(".tar.gz") || name.ends_with(".tgz") {
            Some(Self::TarGz)
        } else if name.ends_with(".zip") {
            Some(Self::Zip)
        } else {
            None
        }
    }
}

/// The name of an archive without its folder and kind: `train` for `data/train.tar.gz`.
pub(in crate::modality) fn stem(name: &str) -> &str {
    let name = name.rsplit('/').next().unwrap_or(name);
    let lower = name.to_ascii_lowercase();
    let ending = [".tar.gz", ".tgz", ".tar", ".zip"]
        .iter()
        .find(|ending| lower.ends_with(*ending))
        .map_or(0, |ending| ending.len());
    &name[..name.len() - ending]
}

/// Lists the members of the archive at `path`, sorted by the bytes of their names.
///
/// Members of a `.tar.gz` that are `wanted`, by name and first bytes, are kept, still encoded, in `memory` bytes or in a
/// temporary file; with `keep` unset only their names are. Returns the members and the bytes of memory that they occupy.
///
/// # Errors
/// When the file can't be read or isn't a whole archive.
pub(in crate::modality) fn list(
    path: &Path,
    archive: Archive,
    memory: u64,
    keep: bool,
    wanted: &dyn Fn(&str, &[u8]) -> bool,
) -> Result<(Vec<Member>, u64)> {
    let (mut members, held) = match archive {
        Archive::Tar => (tar(path)?, 0),
        Archive::TarGz => tar_gz(path, memory, keep, wanted)?,
        Archive::Zip => (zip(path)?, 0),
    };
    // A name that comes twice means the later one, as it would after unpacking.
    members.sort_by(|a, b| a.name.as_bytes().cmp(b.name.as_bytes()));
    members.reverse();
    members.dedup_by(|a, b| a.name == b.name);
    members.reverse();
    Ok((members, held))
}

fn member(path: &Path, name: String, place: Place) -> Member {
    Member {
        shown: format!("{}!{name}", path.display()),
        name,
        place,
    }
}

fn too_many(path: &Path) -> Error {
    Error::data(format!("has more than {MOST_MEMBERS} members")).at(path)
}

fn truncated(path: &Path, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::data("is damaged or ends too early")
        .at(path)
        .because(source)
        .expected("a whole archive")
        .mend("download or pack it again")
}

/// A plain name with `/`, or nothing for what is hidden. Nothing is unpacked by name, so that `..` leads nowhere and
/// is left out.
fn plain_name(raw: &[u8]) -> Option<String> {
    let name = String::from_utf8_lossy(raw).replace('\\', "/");
    let parts: Vec<&str> = name
        .split('/')
        .filter(|part| !matches!(*part, "" | "." | ".."))
        .collect();
    (!parts.is_empty() && !parts.iter().any(|part| is_hidden(part))).then(|| parts.join("/"))
}

fn tar(path: &Path) -> Result<Vec<Member>> {
    let file = File::open(path).at_path(path)?;
    let length = file.metadata().at_path(path)?.len();
    let blob = Arc::new(Blob::File(file.try_clone().at_path(path)?));
    let mut reader = BufReader::new(file);
    reader.rewind().at_path(path)?;
    let (reader, allowance) = limited(reader);
    let mut archive = tar::Archive::new(reader);
    let mut members = Vec::new();
    for entry in archive
        .entries_with_seek()
        .map_err(|source| truncated(path, source))?
    {
        let mut entry = entry.map_err(|source| truncated(path, source))?;
        allowance.renew(&mut entry);
        if !(entry.header().entry_type().is_file() || entry.header().entry_type().is_contiguous()) {
            continue;
        }
        let (offset, size) = (entry.raw_file_position(), entry.size());
        let Some(name) = plain_name(&entry.path_bytes()) else {
            continue;
        };
        if offset.checked_add(size).is_none_or(|end| end > length) {
            return Err(truncated(path, format!("{name} goes on beyond the end")));
        }
        if members.len() == MOST_MEMBERS {
            return Err(too_many(path));
        }
        let place = Place::Stretch {
            blob: Arc::clone(&blob),
            offset,
            length: size,
            packing: Packing::Stored,
        };
        members.push(member(path, name, place));
    }
    Ok(members)
}

fn tar_gz(
    path: &Path,
    memory: u64,
    keep: bool,
    wanted: &dyn Fn(&str, &[u8]) -> bool,
) -> Result<(Vec<Member>, u64)> {
    let file = BufReader::with_capacity(1 << 20, File::open(path).at_path(path)?);
    let (stream, allowance) = limited(MultiGzDecoder::new(file));
    let mut archive = tar::Archive::new(stream);
    let mut spill = Spill::new(memory);
    let mut found: Vec<(String, u64, u64)> = Vec::new();
    for entry in archive
        .entries()
        .map_err(|source| truncated(path, source))?
    {
        let mut entry = entry.map_err(|source| truncated(path, source))?;
        allowance.renew(&mut entry);
        if !(entry.header().entry_type().is_file() || entry.header().entry_type().is_contiguous()) {
            continue;
        }
        let Some(name) = plain_name(&entry.path_bytes()) else {
            continue;
        };
        if found.len() == MOST_MEMBERS {
            return Err(too_many(path));
        }
        let (offset, size) = (spill.length(), entry.size());
        let mut head = Vec::new();
        (&mut entry)
            .take(HEAD)
            .read_to_end(&mut head)
            .map_err(|source| truncated(path, source))?;
        let wanted = size <= LONGEST_MEMBER && wanted(&name, &head);
        if !wanted {
            // Listed all the same, so that an archive that holds something else can say what.
            found.push((name, offset, u64::MAX));
        } else if keep {
            spill.write_all(&head).at_path(path)?;
            std::io::copy(&mut entry, &mut spill).map_err(|source| truncated(path, source))?;
            if spill.length() - offset != size {
                return Err(truncated(path, format!("{name} ends too early")));
            }
            found.push((name, offset, size));
        } else {
            found.push((name, offset, size));
        }
    }
    let blob = Arc::new(spill.finish().at_path(path)?);
    let held = if let Blob::Memory(bytes) = &*blob {
        bytes.len() as u64
    } else {
        0
    };
    let members = found.into_iter().map(|(name, offset, length)| {
        let place = if keep && length != u64::MAX {
            Place::Stretch {
                blob: Arc::clone(&blob),
                offset,
                length,
                packing: Packing::Stored,
            }
        } else {
            Place::NotKept
        };
        member(path, name, place)
    });
    Ok((members.collect(), held))
}

fn zip(path: &Path) -> Result<Vec<Member>> {
    let file = File::open(path).at_path(path)?;
    let length = file.metadata().at_path(path)?.len();
    let blob = Arc::new(Blob::File(file.try_clone().at_path(path)?));
    let mut archive =
        zip::ZipArchive::new(BufReader::new(file)).map_err(|source| truncated(path, source))?;
    if archive.len() > MOST_MEMBERS {
        return Err(too_many(path));
    }
    let mut members = Vec::with_capacity(archive.len());
    for index in 0..archive.len() {
        let entry = archive
            .by_index_raw(index)
            .map_err(|source| truncated(path, source))?;
        if !entry.is_file() {
            continue;
        }
        let named = entry.name().map_err(|source| truncated(path, source))?;
        let Some(name) = plain_name(named.as_bytes()) else {
            continue;
        };
        let offset = entry.data_start();
        let size = entry.compressed_size();
        let Some(offset) = offset.filter(|o| o.checked_add(size).is_some_and(|end| end <= length))
        else {
            return Err(truncated(path, format!("{name} goes on beyond the end")));
        };
        let packing = match entry.compression() {
            _ if entry.encrypted() => Packing::Unreadable("encrypted"),
            zip::CompressionMethod::Stored => Packing::Stored,
            zip::CompressionMethod::Deflated => Packing::Deflate { crc: entry.crc32() },
            _ => Packing::Unreadable("packed in a way that isn't read"),
        };
        let place = Place::Stretch {
            blob: Arc::clone(&blob),
            offset,
            length: size,
            packing,
        };
        members.push(member(path, name, place));
    }
    Ok(members)
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use tar::EntryType;

    use super::*;

    fn append(builder: &mut tar::Builder<Vec<u8>>, kind: EntryType, name: &str, size: u64) {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(kind);
        header.set_size(size);
        let data = std::io::repeat(b'x').take(size);
        builder.append_data(&mut header, name, data).unwrap();
    }

    /// The archive as a `.tar` and as a `.tar.gz` in a folder.
    fn both(folder: &Path, bytes: &[u8]) -> [(std::path::PathBuf, Archive); 2] {
        let (plain, packed) = (folder.join("a.tar"), folder.join("a.tar.gz"));
        std::fs::write(&plain, bytes).unwrap();
        let file = File::create(&packed).unwrap();
        let mut encoder = GzEncoder::new(file, Compression::fast());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap();
        [(plain, Archive::Tar), (packed, Archive::TarGz)]
    }

    fn refused(folder: &Path, bytes: &[u8]) {
        for (path, archive) in both(folder, bytes) {
            let listed = list(&path, archive, 1 << 20, true, &|_, _| true);
            let error = listed.err().expect("an error").to_string();
            assert!(
                error.contains("headers and names of more than 1 MiB"),
                "{error}"
            );
        }
    }

    #[test]
    fn names_that_would_fill_the_memory_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        for kind in [
            EntryType::GNULongName,
            EntryType::GNULongLink,
            EntryType::XHeader,
        ] {
            let mut builder = tar::Builder::new(Vec::new());
            append(&mut builder, EntryType::Regular, "a.txt", 3 << 20);
            append(&mut builder, kind, "long", 2 << 20);
            append(&mut builder, EntryType::Regular, "b.txt", 10);
            refused(folder.path(), &builder.into_inner().unwrap());
        }
    }

    #[test]
    fn the_holes_of_a_sparse_member_leave_no_room_for_a_name() {
        let folder = tempfile::tempdir().unwrap();
        let mut builder = tar::Builder::new(Vec::new());
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(EntryType::GNUSparse);
        header.set_size(512);
        let sparse = header.as_gnu_mut().unwrap();
        sparse.sparse[0].set_offset(1 << 60);
        sparse.sparse[0].set_length(512);
        sparse.set_real_size((1 << 60) + 512);
        builder
            .append_data(&mut header, "holes", &[7_u8; 512][..])
            .unwrap();
        append(&mut builder, EntryType::GNULongName, "long", 2 << 20);
        append(&mut builder, EntryType::Regular, "b.txt", 10);
        refused(folder.path(), &builder.into_inner().unwrap());
    }

    #[test]
    fn long_members_and_names_are_read_and_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let long = format!("{}/a.txt", "folder".repeat(40));
        let mut builder = tar::Builder::new(Vec::new());
        append(&mut builder, EntryType::Regular, "passed.bin", 3 << 20);
        append(&mut builder, EntryType::XGlobalHeader, "global", 2 << 20);
        append(&mut builder, EntryType::Regular, &long, (2 << 20) + 1);
        append(&mut builder, EntryType::Regular, "last.txt", 10);
        let bytes = builder.into_inner().unwrap();
        for (path, archive) in both(folder.path(), &bytes) {
            let is_wanted = |name: &str, _: &[u8]| name.ends_with(".txt");
            let (members, _) = list(&path, archive, 1 << 20, true, &is_wanted).unwrap();
            let names: Vec<&str> = members.iter().map(|member| member.name.as_str()).collect();
            assert_eq!(names, [long.as_str(), "last.txt", "passed.bin"]);
            assert_eq!(members[0].read().unwrap().len(), (2 << 20) + 1);
            assert_eq!(members[1].read().unwrap(), b"xxxxxxxxxx");
        }
    }
}
