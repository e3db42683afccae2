//! Single files that are packed with gzip or zstd.

use std::io::{self, BufRead, BufReader, Read};

use flate2::read::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use super::storage::Member;
use crate::error::{Error, Result};

/// The bytes of a file as a stream, unpacked where they are packed. Also whether they were.
///
/// # Errors
/// When the file can't be read.
pub(in crate::modality) fn unpacked(member: &Member) -> Result<(Box<dyn BufRead>, bool)> {
    let head = member.head(4)?;
    let stream = member.stream()?;
    if head.starts_with(&[0x1f, 0x8b]) {
        return Ok((Box::new(BufReader::new(MultiGzDecoder::new(stream))), true));
    }
    if is_zstd(&head) {
        let mut frames = Frames {
            packed: BufReader::with_capacity(1 << 20, stream),
            decoder: FrameDecoder::new(),
        };
        frames.begin().map_err(|error| {
            Error::data("is no whole zstd file")
                .at(&member.shown)
                .because(error)
        })?;
        return Ok((Box::new(BufReader::new(frames)), true));
    }
    Ok((Box::new(BufReader::with_capacity(1 << 20, stream)), false))
}

/// Whether bytes begin with a frame of zstd, or with one that is skipped: some packers write those first.
fn is_zstd(head: &[u8]) -> bool {
    matches!(
        head,
        [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..]
    )
}

/// What all frames of a zstd file unpack to: packers that work in parallel write many, and so does `cat`.
struct Frames<R> {
    packed: R,
    decoder: FrameDecoder,
}

impl<R: BufRead> Frames<R> {
    /// Goes on to the next frame that isn't skipped; `false` where there is none.
    fn begin(&mut self) -> io::Result<bool> {
        while !self.packed.fill_buf()?.is_empty() {
            match self.decoder.reset(&mut self.packed) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => self.skip(u64::from(length))?,
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        Ok(false)
    }

    fn skip(&mut self, length: u64) -> io::Result<()> {
        let skipped = io::copy(&mut (&mut self.packed).take(length), &mut io::sink())?;
        if skipped < length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(())
    }

    /// Compares the check sum of a frame that has been handed out whole, where it has one.
    fn check(&self) -> io::Result<()> {
        match self.decoder.get_checksum_from_data() {
            Some(sum) if self.decoder.get_calculated_checksum() != Some(sum) => {
                Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "unpacks to bytes with another check sum",
                ))
            }
            _ => Ok(()),
        }
    }
}

impl<R: BufRead> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.decoder.can_collect() == 0 {
            if self.decoder.is_finished() {
                self.check()?;
                if !self.begin()? {
                    return Ok(0);
                }
            }
            self.decoder
                .decode_blocks(&mut self.packed, BlockDecodingStrategy::UptoBlocks(1))
                .map_err(io::Error::other)?;
        }
        self.decoder.read(buffer)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;
    use crate::modality::source::storage::{Blob, Packing, Place};

    /// A frame that holds nothing to unpack.
    const SKIPPED: &[u8] = &[0x5e, 0x2a, 0x4d, 0x18, 3, 0, 0, 0, b'x', b'y', b'z'];

    fn frame(text: &str) -> Vec<u8> {
        compress_to_vec(text.as_bytes(), CompressionLevel::Fastest)
    }

    fn read(bytes: Vec<u8>) -> io::Result<String> {
        let place = Place::Stretch {
            length: bytes.len() as u64,
            blob: Arc::new(Blob::Memory(bytes)),
            offset: 0,
            packing: Packing::Stored,
        };
        let member = Member {
            name: "a.zst".to_owned(),
            shown: "a.zst".to_owned(),
            place,
        };
        let (mut stream, packed) = unpacked(&member).map_err(io::Error::other)?;
        assert!(packed);
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        Ok(text)
    }

    #[test]
    fn all_frames_of_a_file_are_read() {
        let long: String = (0..50_000).map(|line| format!("{line}\n")).collect();
        let (first, second, none) = (frame(&long), frame("the end\n"), frame(""));
        let expected = format!("{long}the end\n");
        let (first, second, none) = (&first[..], &second[..], &none[..]);
        for parts in [
            vec![first, second],
            vec![SKIPPED, first, SKIPPED, SKIPPED, second, SKIPPED],
            vec![none, first, none, second],
        ] {
            assert!(read(parts.concat()).unwrap() == expected);
        }
        assert_eq!(read(SKIPPED.to_vec()).unwrap(), "");
    }

    #[test]
    fn frames_that_are_damaged_or_cut_are_refused() {
        let whole = [frame("one\n"), frame("two\n")].concat();
        for end in 1..whole.len() - frame("one\n").len() {
            assert!(read(whole[..whole.len() - end].to_vec()).is_err(), "{end}");
        }
        // The last bytes of a frame are its check sum.
        let mut changed = whole.clone();
        *changed.last_mut().unwrap() ^= 1;
        let error = read(changed).unwrap_err().to_string();
        assert!(error.contains("another check sum"), "{error}");
        let mut changed = whole;
        let end = frame("one\n").len();
        changed[end - 1] ^= 1;
        let error = read(changed).unwrap_err().to_string();
        assert!(error.contains("another check sum"), "{error}");
        assert!(read([SKIPPED, b"no zstd"].concat()).is_err());
        assert!(read(SKIPPED[..9].to_vec()).is_err());
    }
}
