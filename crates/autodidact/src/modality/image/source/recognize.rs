//! Whether archives hold Parquet files of images. Their members' names don't tell these from tables of numbers, so that
//! the first of them is looked into.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

use super::{columns, decode};
use crate::modality::source::allowance::{Allowance, limited};
use crate::modality::source::archive::Archive;
use crate::modality::source::folder;

/// Archives of a folder that are looked at.
const ARCHIVES: usize = 2;
/// Members of an archive among which there has to be a table.
const MEMBERS: usize = 20;
/// The longest table that is looked into, in bytes: what it holds stands at its end.
const LONGEST: u64 = 1 << 28;

/// Whether a path is an archive with a Parquet file of images, or a folder that holds little else than such archives.
pub fn holds_tables_of_images(path: &Path) -> bool {
    if path.is_file() {
        return in_archive(path);
    }
    let Ok(entries) = std::fs::read_dir(path) else {
        return false;
    };
    let mut files: Vec<PathBuf> = entries
        .flatten()
        .filter(|entry| !folder::is_hidden(&entry.file_name().to_string_lossy()))
        .map(|entry| entry.path())
        .collect();
    files.sort();
    let archives: Vec<&PathBuf> = files.iter().filter(|path| kind(path).is_some()).collect();
    archives.len() * 2 > files.len()
        && archives
            .iter()
            .take(ARCHIVES)
            .any(|archive| in_archive(archive))
}

fn kind(path: &Path) -> Option<Archive> {
    Archive::of_name(&path.to_string_lossy())
}

fn in_archive(path: &Path) -> bool {
    let found = match kind(path) {
        Some(Archive::Zip) => in_zip(path),
        Some(Archive::Tar) => in_tar(path),
        Some(Archive::TarGz) => in_tar_gz(path),
        None => None,
    };
    found.is_some_and(columns::holds_images)
}

/// The first table of an archive; `None` where there is none, or where images lie beside it.
fn in_zip(path: &Path) -> Option<Vec<u8>> {
    let mut archive = zip::ZipArchive::new(BufReader::new(File::open(path).ok()?)).ok()?;
    let mut table = None;
    for index in 0..archive.len().min(MEMBERS) {
        let name = archive.name_for_index(index)?.ok()?;
        if decode::has_image_name(&name) {
            return None;
        }
        if table.is_none() && columns::has_table_name(&name) {
            table = Some(index);
        }
    }
    let entry = archive.by_index(table?).ok()?;
    let size = entry.size();
    whole(entry, size)
}

fn in_tar(path: &Path) -> Option<Vec<u8>> {
    let (stream, allowance) = limited(BufReader::new(File::open(path).ok()?));
    let mut archive = tar::Archive::new(stream);
    of_entries(archive.entries_with_seek().ok()?, &allowance)
}

fn in_tar_gz(path: &Path) -> Option<Vec<u8>> {
    let file = BufReader::new(File::open(path).ok()?);
    let (stream, allowance) = limited(MultiGzDecoder::new(file));
    let mut archive = tar::Archive::new(stream);
    of_entries(archive.entries().ok()?, &allowance)
}

fn of_entries<R: Read>(entries: tar::Entries<'_, R>, allowance: &Allowance) -> Option<Vec<u8>> {
    for entry in entries.take(MEMBERS) {
        let mut entry = entry.ok()?;
        allowance.renew(&mut entry);
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if decode::has_image_name(&name) {
            return None;
        }
        if columns::has_table_name(&name) && entry.header().entry_type().is_file() {
            let size = entry.size();
            return whole(entry, size);
        }
    }
    None
}

/// All bytes of a member, if it isn't too long to be looked into.
fn whole(member: impl Read, size: u64) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let read = (size <= LONGEST).then(|| member.take(LONGEST).read_to_end(&mut bytes))?;
    read.ok().map(|_| bytes)
}
