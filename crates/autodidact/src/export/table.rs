//! Tables as bytes: CSV and Parquet.

use std::fmt::Display;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{Field, Schema};
use parquet::arrow::ArrowWriter;

use crate::error::{Error, Result};

pub(super) fn csv(header: Vec<String>, rows: impl Iterator<Item = Vec<String>>) -> Result<Vec<u8>> {
    let unfit = |error: csv::Error| Error::data("rows that CSV can't hold").because(error);
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(header).map_err(unfit)?;
    for row in rows {
        writer.write_record(row).map_err(unfit)?;
    }
    writer
        .into_inner()
        .map_err(|error| Error::data("rows that CSV can't hold").because(error.into_error()))
}

pub(super) fn parquet(columns: Vec<(Field, ArrayRef)>) -> Result<Vec<u8>> {
    let (fields, arrays): (Vec<Field>, Vec<ArrayRef>) = columns.into_iter().unzip();
    let schema = Arc::new(Schema::new(fields));
    let batch = RecordBatch::try_new(Arc::clone(&schema), arrays).map_err(|error| unfit(&error))?;
    let mut writer =
        ArrowWriter::try_new(Vec::new(), schema, None).map_err(|error| unfit(&error))?;
    writer.write(&batch).map_err(|error| unfit(&error))?;
    writer.into_inner().map_err(|error| unfit(&error))
}

/// What Parquet refuses.
pub(super) fn unfit(error: &dyn Display) -> Error {
    Error::data(format!("columns that Parquet can't hold ({error})"))
}
