//! Parquet files of a row a step: their columns as fields, so that they are read as tables of text are.

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
    let columns: Vec<Option<ArrayRef>> = (batch.columns().iter())
        .map(|column| cast(column, &DataType::Utf8).ok())
        .collect();
    let record = |row: usize| {
        let fields = columns.iter().map(|column| match column {
            Some(column) if column.is_valid(row) => column.as_string::<i32>().value(row),
            _ => "",
        });
        fields.map(str::as_bytes).collect()
    };
    (0..batch.num_rows()).map(record).collect()
}

fn damaged(shown: &str) -> Error {
    Error::data("is damaged or ends too early")
        .at(shown)
        .expected("a whole Parquet file")
        .mend("download or write it again")
}
