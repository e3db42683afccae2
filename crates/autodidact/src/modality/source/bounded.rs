//! Rows no longer than rows are: a quotation mark or an end of a line too few makes one of all that follows.

use std::io::{self, BufRead, Read};

/// The longest row, in bytes.
pub(in crate::modality) const LONGEST_ROW: u64 = 1 << 28;

/// A stream that ends in an error where a row of it is too long to be one.
pub(in crate::modality) struct Bounded<R> {
    stream: R,
    /// Bytes read since the last row was complete.
    read: u64,
    longest: u64,
}

impl<R> Bounded<R> {
    /// Rows of at most `longest` bytes.
    pub(in crate::modality) fn new(stream: R, longest: u64) -> Self {
        Self {
            stream,
            read: 0,
            longest,
        }
    }

    /// Says that a row is complete.
    pub(in crate::modality) fn row_ends(&mut self) {
        self.read = 0;
    }
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(buffer)?;
        self.read += count as u64;
        if self.read > self.longest {
            return Err(too_long(self.longest));
        }
        Ok(count)
    }
}

/// Adds a line with its end; 0 at the end of the stream.
///
/// # Errors
/// When the line is longer than `longest` bytes, or can't be read.
pub(in crate::modality) fn read_line(
    stream: &mut (impl BufRead + ?Sized),
    longest: u64,
    line: &mut Vec<u8>,
) -> io::Result<usize> {
    let read = Read::take(stream, longest + 1).read_until(b'\n', line)?;
    match read as u64 > longest {
        true => Err(too_long(longest)),
        false => Ok(read),
    }
}

fn too_long(longest: u64) -> io::Error {
    let text = match longest >> 20 {
        0 => format!("a row of more than {longest} bytes"),
        mebibytes => format!("a row of more than {mebibytes} MiB"),
    };
    io::Error::new(io::ErrorKind::InvalidData, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_without_an_end_is_refused_before_it_fills_the_memory() {
        let mut stream = Bounded::new(io::repeat(b'x'), 1 << 20);
        let (mut buffer, mut filled) = (vec![0; 1 << 16], 0);
        let error = loop {
            match stream.read(&mut buffer) {
                Ok(count) => filled += count,
                Err(error) => break error,
            }
        };
        assert!(error.to_string().contains("more than 1 MiB"), "{error}");
        assert!(filled <= 1 << 20);
        stream.row_ends();
        assert!(stream.read(&mut buffer).is_ok());
    }

    #[test]
    fn a_line_without_an_end_is_no_row() {
        let mut stream = io::BufReader::new(io::repeat(b'x'));
        let mut line = Vec::new();
        let error = read_line(&mut stream, 1000, &mut line).unwrap_err();
        assert!(
            error.to_string().contains("more than 1000 bytes"),
            "{error}"
        );
        assert!(line.len() <= 1001);
        let (mut stream, mut lines) = (&b"four\nfive!\nlast"[..], Vec::new());
        for length in [5, 6, 4, 0] {
            assert_eq!(read_line(&mut stream, 6, &mut lines).unwrap(), length);
        }
        assert_eq!(lines, b"four\nfive!\nlast");
    }
}
