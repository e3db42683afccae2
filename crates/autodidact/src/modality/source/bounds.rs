//! What a Parquet file claims of its own sizes, looked at before the crate that reads it believes it: that one takes
//! memory for whatever a file declares, and where there isn't as much the program ends.

mod shapes;
mod thrift;

use std::io::Read;

use flate2::read::MultiGzDecoder;
use parquet::basic::Compression;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::reader::ChunkReader;

use super::storage::LONGEST_MEMBER;
use shapes::{FILE, PAGE};
use thrift::{I32, LIST, STRUCT, Stop, Walk};

/// The most groups of rows: their numbers have 16 bits.
const MOST_GROUPS: u64 = 1 << 15;
/// Bytes of a page's header that are read at first; few are longer.
const HEADER: u64 = 256;
/// How much longer than its packed bytes a page can be: snappy copies 64 bytes at the price of 3, deflate 258 at the
/// price of 2 bits.
const SNAPPY: u64 = 22;
const DEFLATE: u64 = 1032;
/// Encodings whose tables of lengths are allocated before they are read.
const DELTA_LENGTHS: [i64; 2] = [6, 7];

/// Looks at the notes at the end of the file.
///
/// # Errors
/// When they are no Thrift, lie beyond the file, hold other things than such notes do, or count more than there is room for.
pub(in crate::modality) fn footer(file: &impl ChunkReader) -> Result<(), String> {
    let length = file.len();
    let tail = length.checked_sub(8).ok_or("it is too short")?;
    let bytes = file.get_bytes(tail, 8).map_err(|error| error.to_string())?;
    let notes = u64::from(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
    let start = tail
        .checked_sub(notes)
        .ok_or("its notes are longer than it is")?;
    let notes = file.get_bytes(start, notes as usize);
    let notes = notes.map_err(|error| error.to_string())?;
    let mut walk = Walk::new(&notes);
    let mut last = 0;
    while let Some((id, kind)) = walk.field(&mut last).map_err(of_notes)? {
        if (id, kind) == (4, LIST) {
            let groups = Walk::new(&notes[walk.at()..]).list().map_err(of_notes)?.1;
            if groups > MOST_GROUPS {
                return Err(format!("it claims {groups} groups of rows"));
            }
        }
        walk.field_of(&FILE, id, kind).map_err(of_notes)?;
    }
    Ok(())
}

fn of_notes(stop: Stop) -> String {
    match stop {
        Stop::End => "its notes end too early".to_owned(),
        Stop::Nonsense => {
            "its notes are none of Parquet's, or count more than there is room for".to_owned()
        }
    }
}

/// Looks at the headers of a column's pages.
///
/// # Errors
/// When a page is longer than what it was packed from can be, or is packed in a way that can't be looked through.
pub(in crate::modality) fn pages(
    file: &impl ChunkReader,
    column: &ColumnChunkMetaData,
) -> Result<(), String> {
    let wrong = || "its pages don't fit into it".to_owned();
    let start = column
        .dictionary_page_offset()
        .unwrap_or(column.data_page_offset());
    let mut at = u64::try_from(start).map_err(|_| wrong())?;
    let length = u64::try_from(column.compressed_size()).map_err(|_| wrong())?;
    let end = at
        .checked_add(length)
        .filter(|&end| end <= file.len())
        .ok_or_else(wrong)?;
    while at < end {
        let page = page(file, at, end)?;
        at += page.header;
        if page.packed > end - at {
            return Err(wrong());
        }
        let longest = match column.compression() {
            Compression::UNCOMPRESSED => page.packed,
            Compression::SNAPPY => page.packed * SNAPPY + 64,
            _ => page.packed * DEFLATE + 64,
        };
        if page.unpacked > longest.min(LONGEST_MEMBER) {
            return Err(format!(
                "{} bytes are to become {}",
                page.packed, page.unpacked
            ));
        }
        if DELTA_LENGTHS.contains(&page.encoding) {
            return Err(
                "its values are packed as differences of lengths, which isn't read".to_owned(),
            );
        }
        if matches!(column.compression(), Compression::GZIP(_)) {
            not_longer(file, at, &page)?;
        }
        at += page.packed;
    }
    Ok(())
}

/// Unpacks a page into nothing: only that tells how much a gzip stream holds.
fn not_longer(file: &impl ChunkReader, at: u64, page: &Page) -> Result<(), String> {
    let packed = file.get_bytes(
        at + page.levels.min(page.packed),
        (page.packed - page.levels.min(page.packed)) as usize,
    );
    let packed = packed.map_err(|error| error.to_string())?;
    let mut stream = MultiGzDecoder::new(&packed[..]).take(page.unpacked + 1);
    // What doesn't unpack is said when it is read in earnest.
    match std::io::copy(&mut stream, &mut std::io::sink()) {
        Ok(length) if length > page.unpacked => {
            Err("a page holds more than its header says".to_owned())
        }
        _ => Ok(()),
    }
}

/// What a page says about itself, all in bytes.
#[derive(Debug, Default)]
struct Page {
    header: u64,
    packed: u64,
    unpacked: u64,
    /// Levels before the values, which aren't packed, of the second version of pages.
    levels: u64,
    encoding: i64,
}

fn page(file: &impl ChunkReader, at: u64, end: u64) -> Result<Page, String> {
    let mut count = HEADER;
    loop {
        let there = count.min(end - at);
        let bytes = file.get_bytes(at, there as usize);
        let bytes = bytes.map_err(|error| error.to_string())?;
        match header(&bytes) {
            Ok(page) => return Ok(page),
            Err(Stop::End) if there < end - at => count *= 8,
            Err(_) => return Err("the header of a page is damaged".to_owned()),
        }
    }
}

fn header(bytes: &[u8]) -> Result<Page, Stop> {
    Walk::new(bytes).shaped(&PAGE)?;
    let mut walk = Walk::new(bytes);
    let mut page = Page::default();
    let mut last = 0;
    let size = |number: i64| u64::try_from(number).map_err(|_| Stop::Nonsense);
    while let Some((id, kind)) = walk.field(&mut last)? {
        match (id, kind) {
            (2, I32) => page.unpacked = size(walk.signed()?)?,
            (3, I32) => page.packed = size(walk.signed()?)?,
            // Of a page of the first version, of the second.
            (5 | 8, STRUCT) => {
                let mut last = 0;
                while let Some((inner, kind)) = walk.field(&mut last)? {
                    match (id, inner, kind) {
                        (5, 2, I32) | (8, 4, I32) => page.encoding = walk.signed()?,
                        (8, 5 | 6, I32) => {
                            page.levels = page.levels.saturating_add(size(walk.signed()?)?);
                        }
                        _ => walk.skip(kind)?,
                    }
                }
            }
            _ => walk.skip(kind)?,
        }
    }
    page.header = walk.at() as u64;
    Ok(page)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn a_footer_of_billions_of_groups_is_refused() {
        // {4: a list of 2³¹ − 1 structs}, and the same with 40,000 that are there, and empty.
        let few = [0x49, 0xfc, 0xff, 0xff, 0xff, 0xff, 0x07].to_vec();
        let many = [&[0x49, 0xfc, 0xc0, 0xb8, 0x02][..], &[0; 40_001]].concat();
        for (notes, found) in [(few, "more than there is room for"), (many, "40000 groups")] {
            let length = (notes.len() as u32).to_le_bytes();
            let error = footer(&Bytes::from(
                [b"PAR1", &notes[..], &length, b"PAR1"].concat(),
            ));
            let error = error.unwrap_err();
            assert!(error.contains(found), "{error}");
        }
        assert!(footer(&Bytes::from_static(b"PAR1\xff\xff\xff\xffPAR1")).is_err());
        assert!(footer(&Bytes::from_static(b"PAR1")).is_err());
    }

    #[test]
    fn notes_that_are_read_in_two_ways_are_refused() {
        // Found by fuzzing. {3: true}: where the number of rows is a truth, a reader that goes by numbers takes it from what comes
        // next, and then is out of step, up to a list of two billion behind the end of these notes.
        let file =
            b"PAR1\x1d\x83\x08\0\x001\0\x8b\xff\xff\xd7\xc4\x06\x12`\xff\xc2@\x16\0Y\x10\0\0\0PAR1";
        let error = footer(&Bytes::from_static(file)).unwrap_err();
        assert!(error.contains("none of Parquet's"), "{error}");
    }

    #[test]
    fn the_header_of_a_page_is_read() {
        // {1: 0, 2: 300, 3: 40, 5: {1: 9, 2: 6, 3: 3, 4: 3}}
        let bytes = [
            0x15, 0, 0x15, 0xd8, 0x04, 0x15, 80, 0x2c, 0x15, 18, 0x15, 12, 0x15, 6, 0x15, 6, 0, 0,
        ];
        let page = header(&bytes).unwrap();
        assert_eq!(
            (page.header, page.unpacked, page.packed, page.encoding),
            (18, 300, 40, 6)
        );
        assert_eq!(header(&bytes[..17]).unwrap_err(), Stop::End);
        // {8: {5: 2⁶³ − 1, and again, and again}}, as no writer has it.
        let most = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        let again = [&[0x05, 10][..], &most].concat();
        let levels = [&[0x8c, 0x55][..], &most, &again, &again, &[0, 0]].concat();
        assert_eq!(header(&levels).unwrap().levels, u64::MAX);
        let mut negative = bytes;
        negative[6] = 81;
        assert_eq!(header(&negative).unwrap_err(), Stop::Nonsense);
    }
}
