//! Where the bytes of a member lie: a file of its own, or a stretch of an archive, of memory or of a spill file.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::read::DeflateDecoder;

use crate::error::{AtPath, Error, Result};

/// The longest member that is read whole, in bytes. Sizes declared in archives are promises of strangers.
pub(in crate::modality) const LONGEST_MEMBER: u64 = 1 << 30;

/// Many bytes that any thread may read at any place.
pub(in crate::modality) enum Blob {
    /// In memory.
    Memory(Vec<u8>),
    /// In an open file.
    File(File),
}

impl Blob {
    /// Fills `buffer` from `offset`.
    pub(in crate::modality) fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        match self {
            Self::Memory(bytes) => {
                let range = usize::try_from(offset)
                    .ok()
                    .and_then(|start| bytes.get(start..start.checked_add(buffer.len())?));
                buffer.copy_from_slice(range.ok_or(io::ErrorKind::UnexpectedEof)?);
                Ok(())
            }
            Self::File(file) => read_file_at(file, offset, buffer),
        }
    }

    /// Whether reading costs no system call.
    pub(in crate::modality) fn is_memory(&self) -> bool {
        matches!(self, Self::Memory(_))
    }
}

#[cfg(unix)]
fn read_file_at(file: &File, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
}

#[cfg(windows)]
fn read_file_at(file: &File, mut offset: u64, mut buffer: &mut [u8]) -> io::Result<()> {
    while !buffer.is_empty() {
        match std::os::windows::fs::FileExt::seek_read(file, buffer, offset)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            n => {
                offset += n as u64;
                buffer = &mut buffer[n..];
            }
        }
    }
    Ok(())
}

/// Gathers bytes in memory up to a limit, and beyond it in an anonymous temporary file.
pub(in crate::modality) struct Spill {
    limit: u64,
    length: u64,
    memory: Vec<u8>,
    file: Option<io::BufWriter<File>>,
}

impl Spill {
    /// Keeps at most `limit` bytes in memory.
    pub(in crate::modality) fn new(limit: u64) -> Self {
        Self {
            limit,
            length: 0,
            memory: Vec::new(),
            file: None,
        }
    }

    /// Number of bytes so far.
    pub(in crate::modality) fn length(&self) -> u64 {
        self.length
    }

    /// What was gathered.
    pub(in crate::modality) fn finish(self) -> io::Result<Blob> {
        Ok(match self.file {
            Some(file) => Blob::File(file.into_inner().map_err(io::IntoInnerError::into_error)?),
            None => Blob::Memory(self.memory),
        })
    }
}

impl Write for Spill {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.file.is_none() && self.length + bytes.len() as u64 > self.limit {
            let mut file = io::BufWriter::with_capacity(1 << 20, tempfile::tempfile()?);
            file.write_all(&std::mem::take(&mut self.memory))?;
            self.file = Some(file);
        }
        match &mut self.file {
            Some(file) => file.write_all(bytes)?,
            None => self.memory.extend_from_slice(bytes),
        }
        self.length += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), Write::flush)
    }
}

/// How a stretch is packed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::modality) enum Packing {
    /// As it is.
    Stored,
    /// Raw deflate of a zip member, with the check sum of what comes out.
    Deflate {
        /// CRC-32 of the unpacked bytes.
        crc: u32,
    },
    /// Something that isn't read, with its name.
    Unreadable(&'static str),
}

/// The packed bytes of a member as a stream: of one whose beginning is wanted no more is read than it takes.
struct Packed<'a> {
    blob: &'a Blob,
    at: u64,
    left: u64,
}

impl Read for Packed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = (buffer.len() as u64).min(self.left);
        self.blob.read_at(self.at, &mut buffer[..count as usize])?;
        self.at += count;
        self.left -= count;
        Ok(count as usize)
    }
}

/// Where a member's bytes lie.
#[derive(Clone)]
pub(in crate::modality) enum Place {
    /// A file of its own.
    File(PathBuf),
    /// A stretch of something longer.
    Stretch {
        /// What it is a stretch of.
        blob: Arc<Blob>,
        /// First byte.
        offset: u64,
        /// Packed bytes.
        length: u64,
        /// How it is packed.
        packing: Packing,
    },
    /// Seen in a part that isn't open, and not kept.
    NotKept,
}

/// A file, in a folder or in an archive.
#[derive(Clone)]
pub(in crate::modality) struct Member {
    /// Path inside what the user named, with `/` between the parts.
    pub(in crate::modality) name: String,
    /// What people are told: the path of the file, or `photos.zip!cats/1.jpg`.
    pub(in crate::modality) shown: String,
    /// Where the bytes lie.
    pub(in crate::modality) place: Place,
}

impl Member {
    /// A file that the user named himself.
    pub(in crate::modality) fn of_file(path: &Path) -> Self {
        let name = path.file_name().map(|name| name.to_string_lossy());
        Self {
            name: name.unwrap_or_default().into_owned(),
            shown: path.display().to_string(),
            place: Place::File(path.to_path_buf()),
        }
    }

    /// All bytes, at most [`LONGEST_MEMBER`].
    ///
    /// # Errors
    /// When the file can't be read, is longer, or doesn't unpack to what its archive promises.
    pub(in crate::modality) fn read(&self) -> Result<Vec<u8>> {
        self.read_up_to(LONGEST_MEMBER).and_then(|(bytes, whole)| {
            if whole {
                Ok(bytes)
            } else {
                Err(self.too_long())
            }
        })
    }

    /// The first bytes, at most `count`; fewer where the member is shorter.
    pub(in crate::modality) fn head(&self, count: u64) -> Result<Vec<u8>> {
        Ok(self.read_up_to(count)?.0)
    }

    /// The bytes as something to read at any place: offset and length in a blob.
    /// Files and stored stretches stay where they are; what is packed is unpacked into memory.
    pub(in crate::modality) fn blob(&self) -> Result<(Arc<Blob>, u64, u64)> {
        match &self.place {
            Place::File(path) => {
                let file = File::open(path).at_path(&self.shown)?;
                let length = file.metadata().at_path(&self.shown)?.len();
                Ok((Arc::new(Blob::File(file)), 0, length))
            }
            Place::Stretch {
                blob,
                offset,
                length,
                packing: Packing::Stored,
            } => Ok((Arc::clone(blob), *offset, *length)),
            _ => {
                let bytes = self.read()?;
                let length = bytes.len() as u64;
                Ok((Arc::new(Blob::Memory(bytes)), 0, length))
            }
        }
    }

    /// The bytes as a stream, unpacked.
    pub(in crate::modality) fn stream(&self) -> Result<Box<dyn Read>> {
        match &self.place {
            Place::File(path) => Ok(Box::new(File::open(path).at_path(&self.shown)?)),
            _ => Ok(Box::new(io::Cursor::new(self.read()?))),
        }
    }

    /// The last part of the name.
    pub(in crate::modality) fn file_name(&self) -> &str {
        self.name.rsplit('/').next().unwrap_or(&self.name)
    }

    fn read_up_to(&self, limit: u64) -> Result<(Vec<u8>, bool)> {
        match &self.place {
            Place::File(path) => {
                let about = std::fs::metadata(path).at_path(&self.shown)?;
                if !about.is_file() {
                    // A pipe would be waited for, and a device has no end.
                    return Err(Error::data("is no regular file")
                        .at(&self.shown)
                        .expected("a file on a disk"));
                }
                let mut file = File::open(path).at_path(&self.shown)?;
                // A reader over its limit, so that a file which grows can't fill the memory.
                let likely = about.len().min(limit).min(1 << 24);
                let mut bytes = Vec::with_capacity(likely as usize + 1);
                (&mut file)
                    .take(limit + 1)
                    .read_to_end(&mut bytes)
                    .at_path(&self.shown)?;
                let whole = bytes.len() as u64 <= limit;
                bytes.truncate(limit as usize);
                Ok((bytes, whole))
            }
            Place::Stretch {
                blob,
                offset,
                length,
                packing: Packing::Stored,
            } => {
                let mut bytes = vec![0; (*length).min(limit) as usize];
                blob.read_at(*offset, &mut bytes).map_err(|source| {
                    self.broken("ends before its archive says").because(source)
                })?;
                Ok((bytes, *length <= limit))
            }
            Place::Stretch {
                blob,
                offset,
                length,
                packing: Packing::Deflate { crc },
            } => {
                let packed = Packed {
                    blob,
                    at: *offset,
                    left: *length,
                };
                self.inflate(packed, limit, *crc)
            }
            Place::Stretch {
                packing: Packing::Unreadable(what),
                ..
            } => Err(Error::data(format!("is {what}"))
                .at(&self.shown)
                .expected("a member that is stored or deflated, without a password")
                .mend("unpack the archive and name the folder")),
            Place::NotKept => Err(self.broken("was not kept")),
        }
    }

    fn inflate(&self, packed: impl Read, limit: u64, crc: u32) -> Result<(Vec<u8>, bool)> {
        let mut bytes = Vec::new();
        DeflateDecoder::new(packed)
            .take(limit + 1)
            .read_to_end(&mut bytes)
            .map_err(|source| self.broken("doesn't unpack").because(source))?;
        let whole = bytes.len() as u64 <= limit;
        bytes.truncate(limit as usize);
        if whole {
            let mut sum = flate2::Crc::new();
            sum.update(&bytes);
            if sum.sum() != crc {
                return Err(self.broken("unpacks to bytes with another check sum"));
            }
        }
        Ok((bytes, whole))
    }

    fn broken(&self, found: &str) -> Error {
        Error::data(found)
            .at(&self.shown)
            .expected("an intact member")
            .mend("download or pack the archive again")
    }

    fn too_long(&self) -> Error {
        Error::data("is longer than 1 GiB")
            .at(&self.shown)
            .expected("a file of ordinary size")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn what_has_no_end_is_no_file() {
        let error = Member::of_file(Path::new("/dev/zero")).read().unwrap_err();
        assert!(error.to_string().contains("no regular file"), "{error}");
    }

    #[test]
    fn of_a_packed_member_no_more_is_read_than_its_beginning_takes() {
        let mut state = 1u32;
        let mut noise = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        };
        let bytes: Vec<u8> = (0..200_000).map(|_| noise()).collect();
        let mut encoder =
            flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(&bytes).unwrap();
        let packed = encoder.finish().unwrap();
        let mut sum = flate2::Crc::new();
        sum.update(&bytes);
        let member = |packed: &[u8], length: usize| Member {
            name: "a".to_owned(),
            shown: "a".to_owned(),
            place: Place::Stretch {
                blob: Arc::new(Blob::Memory(packed.to_vec())),
                offset: 0,
                length: length as u64,
                packing: Packing::Deflate { crc: sum.sum() },
            },
        };
        let whole = member(&packed, packed.len());
        assert!(whole.read().unwrap() == bytes);
        assert_eq!(whole.head(10).unwrap(), bytes[..10]);
        // The end isn't there.
        assert!(packed.len() > 100_000, "{}", packed.len());
        let cut = member(&packed[..packed.len() / 2], packed.len());
        assert_eq!(cut.head(10).unwrap(), bytes[..10]);
        let error = cut.read().unwrap_err().to_string();
        assert!(error.contains("doesn't unpack"), "{error}");
    }

    #[test]
    fn a_spill_reads_the_same_from_memory_and_from_a_file() {
        let bytes: Vec<u8> = (0..10_000u32).map(|i| (i * 7) as u8).collect();
        for limit in [0, 9_000, 10_000] {
            let mut spill = Spill::new(limit);
            for chunk in bytes.chunks(999) {
                spill.write_all(chunk).unwrap();
            }
            assert_eq!(spill.length(), 10_000);
            let blob = spill.finish().unwrap();
            assert_eq!(blob.is_memory(), limit == 10_000);
            let mut read = vec![0; 500];
            blob.read_at(4_321, &mut read).unwrap();
            assert_eq!(read, bytes[4_321..4_821]);
            assert!(blob.read_at(9_999, &mut read).is_err());
            assert!(blob.read_at(u64::MAX, &mut read).is_err());
        }
    }
}
