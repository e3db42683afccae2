//! A limit to what lies between the members of a tar archive, so that no name fills the memory.
//!
//! The crate that reads these archives reads long names and other headers whole, however long they say they are.

use std::cell::Cell;
use std::io::{self, Read, Seek, SeekFrom};
use std::rc::Rc;

/// The most bytes of headers and names in front of a member.
const LONGEST: u64 = 1 << 20;

/// The stream of an archive that ends in an error where the allowance is used up.
pub(in crate::modality) struct Limited<R> {
    stream: R,
    left: Rc<Cell<u64>>,
}

/// How much may be read until the next member is found.
pub(in crate::modality) struct Allowance(Rc<Cell<u64>>);

/// Puts a limit to the stream of an archive, from its first byte on.
pub(in crate::modality) fn limited<R>(stream: R) -> (Limited<R>, Allowance) {
    let left = Rc::new(Cell::new(LONGEST));
    let allowance = Allowance(Rc::clone(&left));
    (Limited { stream, left }, allowance)
}

impl Allowance {
    /// Allows for a member that was found, whether it is read or passed over, and for what lies in front of the next.
    pub(in crate::modality) fn renew<R: Read>(&self, entry: &mut tar::Entry<'_, R>) {
        self.0.set(stored(entry).saturating_add(LONGEST));
    }
}

/// Bytes of a member in the archive.
fn stored<R: Read>(entry: &mut tar::Entry<'_, R>) -> u64 {
    if !entry.header().entry_type().is_gnu_sparse() {
        return entry.size();
    }
    // The size of a sparse member counts its holes, its header doesn't. No archiver gives it a second header with
    // another size, which would lift the limit.
    let plain = matches!(entry.pax_extensions(), Ok(None));
    match entry.header().entry_size() {
        Ok(size) if plain => size,
        _ => 0,
    }
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = self.left.get();
        if left == 0 {
            let found = format!("headers and names of more than {} MiB", LONGEST >> 20);
            return Err(io::Error::new(io::ErrorKind::InvalidData, found));
        }
        let most = buffer
            .len()
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        let count = self.stream.read(&mut buffer[..most])?;
        self.left.set(left.saturating_sub(count as u64));
        Ok(count)
    }
}

impl<R: Seek> Seek for Limited<R> {
    /// What is passed over counts as if it were read.
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        if let SeekFrom::Current(passed) = to {
            let passed = u64::try_from(passed).unwrap_or(0);
            self.left.set(self.left.get().saturating_sub(passed));
        }
        self.stream.seek(to)
    }
}
