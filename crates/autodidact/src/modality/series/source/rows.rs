//! Tables of a row a series, as the UCR archive has them, and of blocks of rows.

use csv::ByteRecord;

use super::collect::Collect;
use super::dialect::Dialect;
use super::files::File;
use super::format::stem;
use super::number::Cell;
use super::shape::numbers;
use super::table::each_row;
use super::tape::{Origin, Tape};
use crate::error::{AtPath, Result};
use crate::modality::series::reading::SeriesReading;
use crate::modality::source::bounded::{LONGEST_ROW, read_line};
use crate::modality::source::packed::unpacked;

fn origin(file: &File, reading: &SeriesReading, place: usize) -> Origin {
    Origin {
        name: format!("{}/{place:05}", stem(&file.member.name)),
        group: reading.group_of(&file.member.name),
        split: file.split,
        piece: 0,
    }
}

/// Reads a table of a row a series: the class, then values; what is missing at the end is no part of it.
///
/// # Errors
/// When it can't be read, or is no such table.
pub(super) fn read(
    file: &File,
    dialect: &Dialect,
    label: Option<usize>,
    class: Option<u32>,
    reading: &SeriesReading,
    collect: &mut Collect,
) -> Result<()> {
    let mut place = 0;
    each_row(file, dialect, |record: &ByteRecord| {
        let class = match label.and_then(|at| record.get(at)) {
            Some(name) => collect.class(&String::from_utf8_lossy(name)),
            None => class,
        };
        let fields = record.iter().enumerate();
        let fields = fields.filter(|(at, _)| Some(*at) != label);
        let mut values: Vec<f32> = fields
            .map(|(_, field)| collect.value(field, dialect.comma))
            .collect();
        let end = values.iter().rposition(|value| !value.is_nan());
        values.truncate(end.map_or(values.len(), |end| end + 1));
        let origin = origin(file, reading, place);
        place += 1;
        collect
            .whole(origin, values, class)
            .at_path(&file.member.shown)
    })
}

/// Reads blocks: a line with the class, a line a step, an empty line.
///
/// # Errors
/// When it can't be read.
pub(super) fn read_blocks(
    file: &File,
    dialect: &Dialect,
    reading: &SeriesReading,
    collect: &mut Collect,
) -> Result<()> {
    let shown = &file.member.shown;
    let (mut stream, _) = unpacked(&file.member)?;
    let (mut line, mut place) = (Vec::new(), 0);
    let mut block: Option<(Tape, Option<u32>)> = None;
    loop {
        line.clear();
        let read = read_line(&mut stream, LONGEST_ROW, &mut line).at_path(shown)?;
        let text = String::from_utf8_lossy(&line);
        let text = text.trim();
        let record: ByteRecord = match dialect.separator {
            b' ' | b'\t' => text.split_ascii_whitespace().map(str::as_bytes).collect(),
            separator => (text.split(char::from(separator)))
                .map(|field| field.trim().as_bytes())
                .collect(),
        };
        let fields: Vec<&[u8]> = numbers(&record).collect();
        let is_word = |field: &[u8]| Cell::of(field, dialect.comma) == Cell::Other;
        let is_class = matches!(fields[..], [only] if is_word(only));
        if (read == 0 || is_class || fields.is_empty())
            && let Some((tape, _)) = block.take()
        {
            collect.finish(tape).at_path(shown)?;
        }
        if read == 0 {
            return Ok(());
        }
        if is_class || !fields.is_empty() && block.is_none() {
            // A block without a class is one all the same.
            let class = if is_class { collect.class(text) } else { None };
            block = Some((collect.tape(origin(file, reading, place)), class));
            place += 1;
        }
        if let Some((tape, class)) = block.as_mut().filter(|_| !is_class && !fields.is_empty()) {
            let width = collect.channels.len();
            collect.notes.ragged += usize::from(fields.len() != width);
            let mut row: Vec<f32> = Vec::with_capacity(width);
            for at in 0..width {
                let field = fields.get(at).copied().unwrap_or_default();
                row.push(collect.value(field, dialect.comma));
            }
            if !collect.keep {
                row.clear();
            }
            let class = *class;
            collect.step(tape, None, &row, class).at_path(shown)?;
        }
    }
}
