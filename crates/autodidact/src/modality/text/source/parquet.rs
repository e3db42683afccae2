//! Columns of text in Parquet files.

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};

use super::collect::{Collect, Row};
use super::table::{Chosen, choose};
use crate::error::{AtPath, Error, Result};
use crate::modality::source::bounds;
use crate::modality::source::guard::guarded;
use crate::modality::source::storage::{LONGEST_MEMBER, Member};
use crate::modality::text::reading::TextReading;

/// Rows that are unpacked at once: few, since each may be long.
const BATCH: usize = 128;
/// The most rows, and beyond [`MOST_TEXT`] the most bytes of text, that a byte of a file may stand for.
const MOST_PER_BYTE: u64 = 64;
/// Bytes of text that any file may hold.
const MOST_TEXT: u64 = 4 * LONGEST_MEMBER;

/// Rows of a Parquet file.
///
/// # Errors
/// When it is none, has no column of text, or repeats a text beyond measure.
pub(super) fn read(
    member: &Member,
    reading: &TextReading,
    collect: &mut Collect<'_>,
    class: Option<&str>,
) -> Result<()> {
    let bytes = Bytes::from(member.read()?);
    let room = Room::of(bytes.len() as u64);
    rows(bytes, room, &member.shown, reading, collect, class)
}

fn rows(
    bytes: Bytes,
    mut room: Room,
    shown: &str,
    reading: &TextReading,
    collect: &mut Collect<'_>,
    class: Option<&str>,
) -> Result<()> {
    let file = guarded(|| File::open(bytes, reading, shown));
    let mut file = file.ok_or_else(|| damaged(shown))??;
    while let Some(columns) = guarded(|| file.next(shown)).ok_or_else(|| damaged(shown))? {
        let columns = columns?;
        for at in 0..columns.text.len() {
            let row = columns.row(at);
            room.take(&row).map_err(|error| error.at(shown))?;
            let class = row.class.or(class);
            collect.row(Row { class, ..row }).at_path(shown)?;
        }
    }
    Ok(())
}

/// How much a file may still hold: a few bits of it can stand for any number of rows without a text, or with the same.
struct Room {
    rows: u64,
    bytes: u64,
}

impl Room {
    /// What a file of so many bytes may hold.
    fn of(file: u64) -> Self {
        let most = file.saturating_mul(MOST_PER_BYTE);
        Self {
            rows: most,
            bytes: most.max(MOST_TEXT),
        }
    }

    fn take(&mut self, row: &Row<'_>) -> Result<()> {
        let texts = [Some(row.text), row.other, row.score];
        let texts: usize = texts.into_iter().flatten().map(<[u8]>::len).sum();
        let bytes = (texts + row.class.map_or(0, str::len)) as u64;
        let Some(rows) = self.rows.checked_sub(1) else {
            let found = format!("holds more than {MOST_PER_BYTE} rows for each of its bytes");
            return Err(Error::data(found)
                .expected("rows that differ, with a text in most of them")
                .mend("leave out rows that are empty or there more than once"));
        };
        let Some(bytes) = self.bytes.checked_sub(bytes) else {
            let found = format!(
                "unpacks to more than {MOST_PER_BYTE} times its bytes, and more than {} GiB",
                MOST_TEXT >> 30
            );
            return Err(Error::data(found)
                .expected("texts that differ")
                .mend("leave out those that are there more than once"));
        };
        *self = Self { rows, bytes };
        Ok(())
    }
}

/// A file that is open, and which of its columns hold what.
struct File {
    reader: ParquetRecordBatchReader,
    names: Vec<String>,
    chosen: Chosen,
}

impl File {
    fn open(bytes: Bytes, reading: &TextReading, shown: &str) -> Result<Self> {
        let unlikely = |why: String| damaged(shown).because(why);
        bounds::footer(&bytes).map_err(unlikely)?;
        // Types that arrow notes beside the columns could make one batch of any size of long texts.
        let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let builder = ParquetRecordBatchReaderBuilder::try_new_with_options(bytes.clone(), options)
            .map_err(|error| damaged(shown).because(error))?;
        let schema = builder.parquet_schema();
        // Only columns of plain values: a name below a struct or a list means something else.
        let roots: Vec<String> = (schema.root_schema().get_fields().iter())
            .map(|field| field.name().to_owned())
            .collect();
        let names: Vec<&str> = roots.iter().map(String::as_str).collect();
        let chosen = choose(&names, reading, shown)?;
        let wanted = [Some(chosen.text), chosen.other, chosen.score, chosen.label];
        for column in builder
            .metadata()
            .row_groups()
            .iter()
            .flat_map(|group| group.columns())
        {
            let root = column.column_path().parts().first();
            let is_wanted = |&at: &usize| root.is_some_and(|root| *root == roots[at]);
            if wanted.iter().flatten().any(is_wanted) {
                bounds::pages(&bytes, column).map_err(unlikely)?;
            }
        }
        let mask = ProjectionMask::roots(schema, wanted.into_iter().flatten());
        let reader = builder
            .with_projection(mask)
            .with_batch_size(BATCH)
            .build()
            .map_err(|error| damaged(shown).because(error))?;
        Ok(Self {
            reader,
            names: roots,
            chosen,
        })
    }

    /// The next rows; `None` at the end.
    fn next(&mut self, shown: &str) -> Option<Result<Columns>> {
        let batch = self.reader.next()?;
        let batch = batch.map_err(|error| damaged(shown).because(error));
        Some(batch.and_then(|batch| self.columns(&batch, shown)))
    }

    fn columns(&self, batch: &RecordBatch, shown: &str) -> Result<Columns> {
        let column = |at: usize| {
            let name = &self.names[at];
            let column = batch.column_by_name(name).ok_or_else(|| damaged(shown))?;
            cast(column, &DataType::Utf8).map_err(|_| {
                Error::data(format!("column {name} is of type {}", column.data_type()))
                    .at(shown)
                    .expected("text")
            })
        };
        Ok(Columns {
            text: column(self.chosen.text)?,
            other: self.chosen.other.map(column).transpose()?,
            score: self.chosen.score.map(column).transpose()?,
            class: self.chosen.label.map(column).transpose()?,
        })
    }
}

/// The columns of a batch, as text.
struct Columns {
    text: ArrayRef,
    other: Option<ArrayRef>,
    score: Option<ArrayRef>,
    class: Option<ArrayRef>,
}

impl Columns {
    fn row(&self, at: usize) -> Row<'_> {
        Row {
            text: cell(Some(&self.text), at).unwrap_or_default().as_bytes(),
            // A pair that lacks its second text has an empty one.
            other: (self.other.as_ref())
                .map(|other| cell(Some(other), at).unwrap_or_default().as_bytes()),
            score: cell(self.score.as_ref(), at).map(str::as_bytes),
            class: cell(self.class.as_ref(), at),
        }
    }
}

/// What stands in a row of a column; `None` where there is no column, or nothing in it.
fn cell(column: Option<&ArrayRef>, at: usize) -> Option<&str> {
    let column = column?.as_string::<i32>();
    match column.is_valid(at) {
        true => Some(column.value(at)),
        false => None,
    }
}

fn damaged(shown: &str) -> Error {
    Error::data("is damaged or ends too early")
        .at(shown)
        .expected("a whole Parquet file")
        .mend("download or write it again")
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::StringArray;
    use parquet::arrow::ArrowWriter;

    use super::*;

    #[test]
    fn a_text_that_is_there_beyond_measure_is_refused() {
        let text = "x".repeat(1000);
        let column: ArrayRef = Arc::new(StringArray::from(vec![text.as_str(); 1000]));
        let batch = RecordBatch::try_from_iter([("text", column)]).unwrap();
        let mut file = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut file, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let (file, reading) = (Bytes::from(file), TextReading::default());
        let within = |room: Room| {
            let mut collect = Collect::new(&reading, 1 << 20);
            rows(file.clone(), room, "x", &reading, &mut collect, None)
        };
        let room = |rows, bytes| Room { rows, bytes };
        assert!(within(room(1000, 1_000_000)).is_ok());
        let error = within(room(999, 1_000_000)).unwrap_err().to_string();
        assert!(error.contains("x: holds more than 64 rows"), "{error}");
        let error = within(room(1000, 999_999)).unwrap_err().to_string();
        assert!(error.contains("x: unpacks to more than"), "{error}");
        assert_eq!(Room::of(1 << 40).bytes, 1 << 46);
        assert_eq!((Room::of(10).rows, Room::of(10).bytes), (640, 4 << 30));
    }
}
