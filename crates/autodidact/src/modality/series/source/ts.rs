//! sktime's and aeon's `.ts` files: lines that begin with `@`, then a case a line, dimensions parted by `:`, values by `,`.
//!
//! <https://www.aeon-toolkit.org/en/stable/api_reference/file_specifications/ts.html>

use std::io::BufRead;

use super::collect::Collect;
use super::files::File;
use super::format::stem;
use super::shape::{Kind, Shape, numbered};
use super::tape::Origin;
use crate::error::{AtPath, Error, Result};
use crate::modality::series::MOST_CHANNELS;
use crate::modality::series::reading::SeriesReading;
use crate::modality::source::bounded::{LONGEST_ROW, read_line};
use crate::modality::source::packed::unpacked;
use crate::modality::source::storage::Member;

/// The longest header, in lines.
const LONGEST_HEADER: usize = 100_000;

/// What a file's header says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Header {
    /// Whether the last field of a case is its class.
    labeled: bool,
    /// Whether it is a number that was to be predicted.
    target: bool,
    /// The classes that it names.
    classes: Vec<String>,
}

struct Cases<'a> {
    stream: Box<dyn BufRead>,
    header: Header,
    shown: &'a str,
    line: Vec<u8>,
}

impl<'a> Cases<'a> {
    fn open(member: &'a Member) -> Result<Self> {
        let (stream, _) = unpacked(member)?;
        let mut cases = Self {
            stream,
            header: Header::default(),
            shown: &member.shown,
            line: Vec::new(),
        };
        for _ in 0..LONGEST_HEADER {
            let Some(line) = cases.line()? else {
                break;
            };
            let mut words = line.split_ascii_whitespace();
            let key = words.next().unwrap_or_default().to_ascii_lowercase();
            let rest: Vec<&str> = words.collect();
            let is_true = rest
                .first()
                .is_some_and(|word| word.eq_ignore_ascii_case("true"));
            match key.as_str() {
                "@data" => return Ok(cases),
                "@classlabel" => {
                    cases.header.labeled = is_true;
                    cases.header.classes = rest.iter().skip(1).map(|c| (*c).to_owned()).collect();
                }
                "@targetlabel" => cases.header.target = is_true,
                key if key.starts_with('@') => {}
                _ => break,
            }
        }
        Err(Error::data("has no line @data after its header")
            .at(&member.shown)
            .expected("a file in sktime's format (.ts)"))
    }

    /// The next line that says something.
    fn line(&mut self) -> Result<Option<String>> {
        loop {
            self.line.clear();
            let read =
                read_line(&mut self.stream, LONGEST_ROW, &mut self.line).at_path(self.shown)?;
            if read == 0 {
                return Ok(None);
            }
            let text = String::from_utf8_lossy(&self.line);
            let text = text.trim().trim_start_matches('\u{feff}');
            if !text.is_empty() && !text.starts_with(['#', '%']) {
                return Ok(Some(text.to_owned()));
            }
        }
    }

    /// The dimensions of the next case and its class.
    fn next(&mut self) -> Result<Option<(Vec<String>, Option<String>)>> {
        let Some(line) = self.line()? else {
            return Ok(None);
        };
        let mut fields = split(&line);
        let last = match self.header.labeled || self.header.target {
            true if fields.len() > 1 => fields.pop(),
            _ => None,
        };
        let class = last.filter(|_| self.header.labeled);
        Ok(Some((fields, class)))
    }
}

/// Parts a case at its colons, apart from those of times in parentheses.
fn split(line: &str) -> Vec<String> {
    let mut depth = 0usize;
    let mut fields = vec![String::new()];
    for c in line.chars() {
        match c {
            '(' => depth += 1,
            ')' => depth = depth.saturating_sub(1),
            _ => {}
        }
        match (c, depth, fields.last_mut()) {
            (':', 0, _) => fields.push(String::new()),
            (c, _, Some(field)) => field.push(c),
            _ => {}
        }
    }
    fields
}

/// What a file holds.
///
/// # Errors
/// When it has no header or no case.
pub(super) fn shape(member: &Member) -> Result<Shape> {
    let mut cases = Cases::open(member)?;
    let labeled = cases.header.labeled;
    let Some((dimensions, _)) = cases.next()? else {
        return Err(Error::data("holds no case after @data")
            .at(&member.shown)
            .expected("a case a line"));
    };
    if !(1..=MOST_CHANNELS).contains(&dimensions.len()) {
        return Err(
            Error::data(format!("holds {} dimensions", dimensions.len()))
                .at(&member.shown)
                .expected(format!("1 to {MOST_CHANNELS}")),
        );
    }
    Ok(Shape {
        kind: Kind::Ts,
        channels: numbered(dimensions.len()),
        labeled,
    })
}

/// Reads all cases. A dimension that is shorter than another of its case is missing at the end.
///
/// # Errors
/// When it can't be read, or a case has another number of dimensions.
pub(super) fn read(
    file: &File,
    class: Option<u32>,
    reading: &SeriesReading,
    collect: &mut Collect,
) -> Result<()> {
    let member = &file.member;
    let mut cases = Cases::open(member)?;
    // Parts name the same classes, whichever of them have cases.
    for class in std::mem::take(&mut cases.header.classes) {
        collect.class(&class);
    }
    let width = collect.channels.len();
    let mut place = 0;
    while let Some((dimensions, own)) = cases.next()? {
        if dimensions.len() != width {
            return Err(Error::data(format!(
                "case {} has {} dimensions",
                place + 1,
                dimensions.len()
            ))
            .at(&member.shown)
            .expected(format!("{width}, as the first has")));
        }
        let mut columns: Vec<Vec<f32>> = Vec::with_capacity(width);
        for dimension in &dimensions {
            columns.push(values(dimension, collect));
        }
        let steps = columns.iter().map(Vec::len).max().unwrap_or(0);
        let written: usize = columns.iter().map(Vec::len).sum();
        let count = steps.saturating_mul(width);
        if count > most_values(written) {
            return Err(Error::data(format!(
                "case {} has {steps} values in its longest dimension and {written} in all {width}",
                place + 1
            ))
            .at(&member.shown)
            .expected("dimensions of about one length")
            .mend("write dimensions that were recorded apart into files of their own"));
        }
        let mut rows = vec![f32::NAN; count];
        for (channel, column) in columns.iter().enumerate() {
            for (row, value) in rows.chunks_exact_mut(width).zip(column) {
                row[channel] = *value;
            }
        }
        let class = match cases.header.labeled {
            true => own.and_then(|name| collect.class(&name)),
            false => class,
        };
        let origin = Origin {
            name: format!("{}/{place:05}", stem(&member.name)),
            group: reading.group_of(&member.name),
            split: file.split,
            piece: 0,
        };
        collect.whole(origin, rows, class).at_path(&member.shown)?;
        place += 1;
    }
    Ok(())
}

/// The most values, missing ones among them, that a case may come to where so many are written: its longest dimension
/// makes all as long.
fn most_values(written: usize) -> usize {
    written.saturating_mul(64).saturating_add(1 << 20)
}

/// The values of a dimension: `1,2,?`, or each with its time, `(time,1),(time,2)`.
fn values(dimension: &str, collect: &mut Collect) -> Vec<f32> {
    let dimension = dimension.trim();
    if dimension.is_empty() {
        return Vec::new();
    }
    let mut value = |field: &str| collect.value(field.as_bytes(), false);
    if !dimension.contains('(') {
        return dimension.split(',').map(value).collect();
    }
    let pairs = dimension.split(')').filter_map(|pair| pair.split_once('('));
    pairs
        .map(|(_, pair)| value(pair.rsplit_once(',').map_or(pair, |(_, value)| value)))
        .collect()
}
