//! Parquet files of a row a step: their columns as fields, so that they are read as tables of text are.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use bytes::Bytes;
use csv::ByteRecord;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};

use super::collect::Collect;
use super::files::File;
use super::table::Feed;
use crate::error::{AtPath, Error, Result};
use crate::modality::source::bounds;
use crate::modality::source::guard::guarded;
use crate::modality::source::storage::Member;

/// Rows that are unpacked at once.
const BATCH: usize = 1024;

/// The names of the columns and the first rows.
///
/// # Errors
/// When it is no whole Parquet file.
pub(super) fn sample(member: &Member) -> Result<(Vec<String>, Vec<ByteRecord>)> {
    let mut rows = Vec::new();
    let names = batches(member, &mut |batch| {
        for row in records(&batch) {
            rows.push(row);
        }
        Ok(false)
    })?;
    Ok((names, rows))
}

/// Reads all rows.
///
/// # Errors
/// When it is damaged.
pub(super) fn read(file: &File, mut feed: Feed<'_>, collect: &mut Collect) -> Result<()> {
    let shown = &file.member.shown;
    batches(&file.member, &mut |batch| {
        for row in records(&batch) {
            feed.row(&row, collect).at_path(shown)?;
        }
        Ok(true)
    })?;
    feed.finish(collect).at_path(shown)
}

/// Goes through the file batch by batch, as long as `take` says so. Returns the names of its columns.
fn batches(
    member: &Member,
    take: &mut dyn FnMut(RecordBatch) -> Result<bool>,
) -> Result<Vec<String>> {
    let bytes = Bytes::from(member.read()?);
    let opened = guarded(|| open(bytes, &member.shown));
    let (names, mut reader) = opened.ok_or_else(|| damaged(&member.shown))??;
    loop {
        let batch = guarded(|| reader.next()).ok_or_else(|| damaged(&member.shown))?;
        let Some(batch) = batch else {
            return Ok(names);
        };
        let batch = batch.map_err(|error| damaged(&member.shown).because(error))?;
        if !take(batch)? {
            return Ok(names);
        }
    }
}

fn open(bytes: Bytes, shown: &str) -> Result<(Vec<String>, ParquetRecordBatchReader)> {
    let unlikely = |why: String| damaged(shown).because(why);
    bounds::footer(&bytes).map_err(unlikely)?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes.clone())
        .map_err(|error| damaged(shown).because(error))?;
    let schema = builder.parquet_schema();
    // Columns of plain values only: lists and structs are no channels.
    let plain: Vec<usize> = (schema.root_schema().get_fields().iter())
        .enumerate()
        .filter(|(_, field)| field.is_primitive())
        .map(|(at, _)| at)
        .collect();
    let names: Vec<String> = (plain.iter())
        .map(|&at| schema.root_schema().get_fields()[at].name().to_owned())
        .collect();
    for group in builder.metadata().row_groups() {
        for column in group.columns() {
            let root = column.column_path().parts().first();
            if root.is_some_and(|root| names.contains(root)) {
                bounds::pages(&bytes, column).map_err(unlikely)?;
            }
        }
    }
    let mask = ProjectionMask::roots(schema, plain);
    let reader = builder
        .with_projection(mask)
        .with_batch_size(BATCH)
        .build()
        .map_err(|error| damaged(shown).because(error))?;
    Ok((names, reader))
}

/// The rows of a batch, each value as text; what has none stays empty.
fn records(batch: &RecordBatch) -> Vec<ByteRecord> {
    let columns: Vec<Option<ArrayRef>> = batch.columns().iter().map(as_text).collect();
    let record = |row: usize| {
        let fields = columns.iter().map(|column| match column {
            Some(column) if column.is_valid(row) => column.as_string::<i32>().value(row),
            _ => "",
        });
        fields.map(str::as_bytes).collect()
    };
    (0..batch.num_rows()).map(record).collect()
}

/// A column as text; `None` where its type has none, which is then said of it as of a channel without any value.
fn as_text(column: &ArrayRef) -> Option<ArrayRef> {
    let column = match column.data_type() {
        // Arrow knows no zone by its name here, and a moment is the same in any.
        DataType::Timestamp(unit, Some(_)) => {
            let utc = DataType::Timestamp(*unit, Some("+00:00".into()));
            cast(column, &utc).ok()?
        }
        _ => Arc::clone(column),
    };
    cast(&column, &DataType::Utf8).ok()
}

fn damaged(shown: &str) -> Error {
    Error::data("is damaged or ends too early")
        .at(shown)
        .expected("a whole Parquet file")
        .mend("download or write it again")
}

#[cfg(test)]
mod tests {
    use arrow::array::{TimestampMillisecondArray, TimestampNanosecondArray};
    use parquet::arrow::ArrowWriter;

    use super::super::time::Time;
    use super::*;
    use crate::modality::source::storage::{Blob, Packing, Place};

    fn written(columns: Vec<(&str, ArrayRef)>) -> Member {
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let place = Place::Stretch {
            length: bytes.len() as u64,
            blob: Arc::new(Blob::Memory(bytes)),
            offset: 0,
            packing: Packing::Stored,
        };
        Member {
            name: "a.parquet".to_owned(),
            shown: "a.parquet".to_owned(),
            place,
        }
    }

    #[test]
    fn times_of_any_zone_are_read() {
        let times = || vec![Some(1_467_331_200_250_i64), None, Some(0)];
        let millis = |zone: &str| -> ArrayRef {
            Arc::new(TimestampMillisecondArray::from(times()).with_timezone(zone))
        };
        let nanos = times()
            .into_iter()
            .map(|time| time.map(|time| time * 1_000_000));
        let nanos = TimestampNanosecondArray::from_iter(nanos).with_timezone("UTC");
        let columns: Vec<(&str, ArrayRef)> = vec![
            ("utc", millis("UTC")),
            ("berlin", millis("Europe/Berlin")),
            ("fixed", millis("+05:30")),
            ("nanos", Arc::new(nanos)),
            ("none", Arc::new(TimestampMillisecondArray::from(times()))),
        ];
        let (names, rows) = sample(&written(columns)).unwrap();
        assert_eq!((names.len(), rows.len()), (5, 3));
        let seconds = |row: usize, at: usize| {
            let text = String::from_utf8_lossy(&rows[row][at]);
            Time::of(&text).map(|time| time.seconds)
        };
        for (at, name) in names.iter().enumerate() {
            assert_eq!(seconds(0, at), Some(1_467_331_200.25), "{name}");
            assert_eq!(seconds(1, at), None, "{name}");
            assert_eq!(seconds(2, at), Some(0.0), "{name}");
        }
    }
}
