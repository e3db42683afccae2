//! A stretch of a file or of an archive, as the crate that reads Parquet wants its bytes.

use std::io::Read;
use std::sync::Arc;

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::reader::{ChunkReader, Length};

use super::super::storage::Blob;

/// A stretch of something that many threads read at once: no position is shared.
#[derive(Clone)]
pub(super) struct Stretch {
    pub(super) blob: Arc<Blob>,
    pub(super) offset: u64,
    pub(super) length: u64,
}

impl Length for Stretch {
    fn len(&self) -> u64 {
        self.length
    }
}

impl ChunkReader for Stretch {
    type T = std::io::BufReader<Cursor>;

    fn get_read(&self, start: u64) -> std::result::Result<Self::T, ParquetError> {
        let cursor = Cursor {
            stretch: self.clone(),
            at: start.min(self.length),
        };
        Ok(std::io::BufReader::with_capacity(1 << 12, cursor))
    }

    fn get_bytes(&self, start: u64, length: usize) -> std::result::Result<Bytes, ParquetError> {
        // Looked at before anything is allocated: the file says itself how long its pieces are.
        if start
            .checked_add(length as u64)
            .is_none_or(|end| end > self.length)
        {
            return Err(ParquetError::EOF(format!("{length} bytes at {start}")));
        }
        let mut bytes = vec![0; length];
        self.blob.read_at(self.offset + start, &mut bytes)?;
        Ok(bytes.into())
    }
}

/// Reads a stretch from some byte on.
pub(super) struct Cursor {
    stretch: Stretch,
    at: u64,
}

impl Read for Cursor {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let left = self.stretch.length - self.at;
        let count = (buffer.len() as u64).min(left) as usize;
        let place = self.stretch.offset + self.at;
        self.stretch.blob.read_at(place, &mut buffer[..count])?;
        self.at += count as u64;
        Ok(count)
    }
}
