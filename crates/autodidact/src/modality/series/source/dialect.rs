//! How a table of text is written: what parts its fields, whether a header stands above, how decimals are written.

use std::io::{BufRead, Read};

use csv::ByteRecord;

use super::number::Cell;
use super::time::is_date;
use crate::error::{AtPath, Error, Result};
use crate::modality::series::reading::{Layout, SeriesReading};
use crate::modality::source::bounded::{Bounded, LONGEST_ROW, read_line};
use crate::modality::source::packed::unpacked;
use crate::modality::source::storage::Member;

/// Bytes at the start of a file by which it is told how it is written.
const HEAD: u64 = 1 << 17;
/// Rows of them that are looked at.
const LOOKED_AT: usize = 1000;
/// What may part fields, the surest first: a comma may be a decimal one, a space may stand in a date.
pub(super) const SEPARATORS: [u8; 5] = [b'\t', b';', b'|', b',', b' '];

/// How a table of text is written.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Dialect {
    /// What parts fields; a space stands for any white space.
    pub(super) separator: u8,
    /// The names of the columns, where they stand above.
    pub(super) header: Option<Vec<String>>,
    /// Whether decimals are written with a comma.
    pub(super) comma: bool,
    /// Whether a row is a whole series, or there are blocks of rows, if that can be seen.
    pub(super) layout: Layout,
}

/// The first rows of a table and how they are written.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) dialect: Dialect,
    /// Rows below the header.
    pub(super) rows: Vec<ByteRecord>,
}

impl Sample {
    /// Looks at the beginning of a file.
    ///
    /// # Errors
    /// When it can't be read, or is no text.
    pub(super) fn of(member: &Member, reading: &SeriesReading) -> Result<Self> {
        let head = head(member)?;
        if head.contains(&0) {
            return Err(Error::data("holds bytes of zero")
                .at(&member.shown)
                .expected("a table of text"));
        }
        let text = String::from_utf8_lossy(&head);
        Ok(Self::look(&text, reading))
    }

    fn look(text: &str, reading: &SeriesReading) -> Self {
        let lines: Vec<&str> = text
            .trim_start_matches('\u{feff}')
            .lines()
            .filter(|line| !is_comment(line))
            .take(LOOKED_AT)
            .collect();
        let layout = match reading.layout {
            Layout::Auto if are_blocks(&lines) => Layout::Blocks,
            layout => layout,
        };
        let separator = reading.separator().unwrap_or_else(|| separator(&lines));
        let mut rows = Rows::new(text.as_bytes(), separator).sample();
        let comma = match reading.decimal.as_str() {
            "" => separator != b',' && has_comma(&rows),
            decimal => decimal == ",",
        };
        let header = match layout {
            Layout::Blocks => None,
            _ => rows.first().and_then(|first| names(first, comma)),
        };
        if header.is_some() {
            rows.remove(0);
        }
        Self {
            dialect: Dialect {
                separator,
                header,
                comma,
                layout,
            },
            rows,
        }
    }
}

/// The beginning of a file, unpacked, up to the end of a line.
fn head(member: &Member) -> Result<Vec<u8>> {
    let (stream, _) = unpacked(member)?;
    let mut head = Vec::new();
    stream
        .take(HEAD)
        .read_to_end(&mut head)
        .at_path(&member.shown)?;
    if head.len() as u64 == HEAD
        && let Some(end) = head.iter().rposition(|&byte| byte == b'\n')
    {
        head.truncate(end + 1);
    }
    Ok(head)
}

fn is_comment(line: &str) -> bool {
    line.starts_with(['#', '%'])
}

/// What parts the fields: the first of the separators that gives every line (but for one in twenty) the same number.
fn separator(lines: &[&str]) -> u8 {
    let lines: Vec<&&str> = lines
        .iter()
        .filter(|line| !line.trim().is_empty())
        .collect();
    let alike = |separator: &u8| {
        let counts: Vec<usize> = (lines.iter().map(|line| fields(line, *separator))).collect();
        let mut sorted = counts.clone();
        sorted.sort_unstable();
        let usual = sorted.get(sorted.len() / 2).copied().unwrap_or(0);
        let same = counts.iter().filter(|&&count| count == usual).count();
        usual > 1 && same * 20 >= counts.len() * 19
    };
    // Series of different lengths differ in their number of fields: then the one that gives the most.
    let found = SEPARATORS.into_iter().find(alike).unwrap_or_else(|| {
        let total = |separator: u8| -> usize {
            let counts = lines.iter().map(|line| fields(line, separator));
            counts.sum()
        };
        let mut best = (b',', total(b','));
        for separator in SEPARATORS {
            let total = total(separator);
            if total > best.1 {
                best = (separator, total);
            }
        }
        best.0
    });
    // A header may stand above.
    let below: Vec<&str> = lines.iter().skip(1).map(|line| **line).collect();
    match found {
        b',' if are_spaced_decimals(&below) => b' ',
        found => found,
    }
}

/// How many fields a line has.
fn fields(line: &str, separator: u8) -> usize {
    if separator == b' ' {
        return spaced(line.as_bytes()).count();
    }
    let mut quoted = false;
    let separators = line.bytes().filter(|&byte| {
        quoted ^= byte == b'"';
        byte == separator && !quoted
    });
    separators.count() + 1
}

/// Whether fields are decimals with a comma.
fn has_comma(rows: &[ByteRecord]) -> bool {
    let mut fields = rows.iter().flat_map(ByteRecord::iter);
    fields.any(is_decimal)
}

/// Whether a field is a decimal with a comma.
fn is_decimal(field: &[u8]) -> bool {
    let text = std::str::from_utf8(field).unwrap_or_default();
    let (whole, rest) = text.trim().split_once(',').unwrap_or(("", ""));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits(whole.trim_start_matches(['-', '+'])) && digits(rest)
}

/// Whether white space parts numbers, some of which are decimals with a comma, as in `1,5 2,25`: then no comma parts them.
pub(super) fn are_spaced_decimals(lines: &[&str]) -> bool {
    let (mut parted, mut decimals) = (false, false);
    for line in lines {
        let mut count = 0;
        for field in spaced(line.as_bytes()) {
            if is_decimal(field) {
                decimals = true;
            } else if !matches!(Cell::of(field, false), Cell::Number(_) | Cell::Missing) {
                return false;
            }
            count += 1;
        }
        parted |= count > 1;
    }
    parted && decimals
}

/// The names of columns, if the first row holds more of them than numbers.
fn names(first: &ByteRecord, comma: bool) -> Option<Vec<String>> {
    let is_name = |field: &[u8]| {
        Cell::of(field, comma) == Cell::Other && !is_date(&String::from_utf8_lossy(field))
    };
    let named = first.iter().filter(|field| is_name(field)).count();
    let others = first.iter().filter(|field| {
        let cell = Cell::of(field, comma);
        cell != Cell::Missing && !is_name(field)
    });
    (named > others.count()).then(|| {
        let text = |field: &[u8]| String::from_utf8_lossy(field).trim().to_owned();
        first.iter().map(text).collect()
    })
}

/// Whether the lines are blocks: a word, rows of numbers, an empty line.
fn are_blocks(lines: &[&str]) -> bool {
    let is_word = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let word = words.next().unwrap_or("");
        words.next().is_none() && is_class(word) && Cell::of(word.as_bytes(), false) == Cell::Other
    };
    let is_row = |line: &str| {
        let mut fields = line.split([' ', '\t', ',', ';']).filter(|f| !f.is_empty());
        let number = |field: &str| matches!(Cell::of(field.as_bytes(), false), Cell::Number(_));
        fields.next().is_some_and(number) && fields.all(number)
    };
    let mut lines = lines.iter().skip_while(|line| line.trim().is_empty());
    let (Some(first), Some(second)) = (lines.next(), lines.next()) else {
        return false;
    };
    let mut after = lines.skip_while(|line| is_row(line)).peekable();
    let parted = after.peek().is_some_and(|line| line.trim().is_empty());
    let next = after.find(|line| !line.trim().is_empty());
    is_word(first) && is_row(second) && parted && next.is_some_and(|line| is_word(line))
}

fn is_class(word: &str) -> bool {
    !word.is_empty() && !word.contains([',', ';', '|'])
}

/// Rows of fields, one after the other.
pub(super) enum Rows<R> {
    /// Parted by a character, with quotes.
    Parted(Box<csv::Reader<Bounded<R>>>),
    /// Parted by white space: the stream, the line at hand, and how long one may be.
    Spaced(R, Vec<u8>, u64),
}

impl<R: BufRead> Rows<R> {
    pub(super) fn new(stream: R, separator: u8) -> Self {
        Self::within(stream, separator, LONGEST_ROW)
    }

    /// Rows of at most `longest` bytes.
    fn within(stream: R, separator: u8, longest: u64) -> Self {
        if separator == b' ' {
            return Self::Spaced(stream, Vec::new(), longest);
        }
        let reader = csv::ReaderBuilder::new()
            .delimiter(separator)
            .flexible(true)
            .has_headers(false)
            .comment(Some(b'#'))
            .from_reader(Bounded::new(stream, longest));
        Self::Parted(Box::new(reader))
    }

    /// The next row that isn't empty; `false` at the end.
    pub(super) fn next(&mut self, record: &mut ByteRecord) -> csv::Result<bool> {
        match self {
            Self::Parted(reader) => loop {
                if !reader.read_byte_record(record)? {
                    return Ok(false);
                }
                reader.get_mut().row_ends();
                if record.get(0).is_some_and(|field| field.starts_with(b"%")) {
                    continue;
                }
                if record.iter().any(|field| !field.trim_ascii().is_empty()) {
                    return Ok(true);
                }
            },
            Self::Spaced(stream, line, longest) => loop {
                line.clear();
                if read_line(stream, *longest, line)? == 0 {
                    return Ok(false);
                }
                record.clear();
                spaced(line).for_each(|field| record.push_field(field));
                let first = record.get(0).unwrap_or(b"#");
                if !first.starts_with(b"#") && !first.starts_with(b"%") {
                    return Ok(true);
                }
            },
        }
    }

    /// The first rows, as far as they can be read; without the mark that stands before some texts.
    fn sample(mut self) -> Vec<ByteRecord> {
        let (mut rows, mut record) = (Vec::new(), ByteRecord::new());
        while rows.len() <= LOOKED_AT && matches!(self.next(&mut record), Ok(true)) {
            if rows.is_empty() {
                record = unmarked(&record);
            }
            rows.push(record.clone());
        }
        rows
    }
}

/// The fields of a line that white space parts, but for what stands between quotes.
fn spaced(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = line;
    std::iter::from_fn(move || {
        rest = rest.trim_ascii_start();
        if rest.is_empty() {
            return None;
        }
        if let Some(quoted) = rest.strip_prefix(b"\"")
            && let Some(end) = quoted.iter().position(|&byte| byte == b'"')
        {
            rest = &quoted[end + 1..];
            return Some(&quoted[..end]);
        }
        let end = rest.iter().position(u8::is_ascii_whitespace);
        let (field, after) = rest.split_at(end.unwrap_or(rest.len()));
        rest = after;
        Some(field)
    })
}

/// A row without the byte order mark before its first field.
pub(super) fn unmarked(record: &ByteRecord) -> ByteRecord {
    let mut fields = record.iter();
    let first = fields.next().unwrap_or_default();
    let first = first.strip_prefix(b"\xef\xbb\xbf").unwrap_or(first);
    std::iter::once(first).chain(fields).collect()
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    fn look(text: &str) -> Dialect {
        Sample::look(text, &SeriesReading::default()).dialect
    }

    #[test]
    fn separators_decimals_and_headers_are_seen() {
        let header = |names: &[&str]| Some(names.iter().map(|n| (*n).to_owned()).collect());
        for (text, separator, comma, expected) in [
            ("a,b\n1,2\n3,4\n", b',', false, header(&["a", "b"])),
            ("a;b\n1,5;2\n3;4,5\n", b';', true, header(&["a", "b"])),
            ("1\t2\n3\t4\n", b'\t', false, None),
            ("  1  2.5\n  3 4\n", b' ', false, None),
            (
                "time,x\n2014-04-01 00:00:00,20.0\n2014-04-01 00:05:00,2\n",
                b',',
                false,
                header(&["time", "x"]),
            ),
            (
                "2014-04-01 00:00:00,20.0\n2014-04-01 00:05:00,2\n",
                b',',
                false,
                None,
            ),
            ("\u{feff}x\n1\n2\n", b',', false, header(&["x"])),
            ("# made by hand\nwalk,1\nrun,2\n", b',', false, None),
            ("1,2,3\n1,2\n2,3,4,5\n", b',', false, None),
            // White space and commas both part every row into as many fields.
            ("1,5 2,5\n3,0 4,25\n", b' ', true, None),
            ("a b\n1,5 2\n3 -4,25\n", b' ', true, header(&["a", "b"])),
            ("a, b\n1, 2\n3, 4\n", b',', false, header(&["a", "b"])),
            ("1,2\n1,5\n", b',', false, None),
            (
                "\"a b\" \"c\"\n1 2\n3 4\n",
                b' ',
                false,
                header(&["a b", "c"]),
            ),
        ] {
            let dialect = look(text);
            assert_eq!(
                (dialect.separator, dialect.comma),
                (separator, comma),
                "{text}"
            );
            assert_eq!(dialect.header, expected, "{text}");
            assert_eq!(dialect.layout, Layout::Auto, "{text}");
        }
    }

    #[test]
    fn blocks_are_seen() {
        let text = "normal\n\t1\t2\n\t3\t4\n\nfailed\n\t1\t2\n\n";
        assert_eq!(look(text).layout, Layout::Blocks);
        assert_eq!(look("x\n1\n2\n").layout, Layout::Auto);
    }

    #[test]
    fn a_row_without_an_end_is_refused() {
        for separator in [b',', b' '] {
            let endless = BufReader::new(std::io::repeat(b'1'));
            let mut rows = Rows::within(endless, separator, 1 << 16);
            let error = rows.next(&mut ByteRecord::new()).unwrap_err().to_string();
            assert!(error.contains("a row of more than 65536 bytes"), "{error}");
            // Together rows may be longer.
            let table = "1,2 3\n".repeat(1 << 15);
            let mut rows = Rows::within(table.as_bytes(), separator, 1 << 16);
            let (mut record, mut count) = (ByteRecord::new(), 0);
            while rows.next(&mut record).unwrap() {
                count += 1;
            }
            assert_eq!(count, 1 << 15);
        }
    }
}
