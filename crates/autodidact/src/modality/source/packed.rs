//! Single files that are packed with gzip or zstd.

use std::io::{BufRead, BufReader};

use flate2::read::MultiGzDecoder;
use ruzstd::decoding::StreamingDecoder;

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
    if head.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        let decoder = StreamingDecoder::new(stream).map_err(|error| {
            Error::data("is no whole zstd file")
                .at(&member.shown)
                .because(std::io::Error::other(error.to_string()))
        })?;
        return Ok((Box::new(BufReader::new(decoder)), true));
    }
    Ok((Box::new(BufReader::with_capacity(1 << 20, stream)), false))
}
