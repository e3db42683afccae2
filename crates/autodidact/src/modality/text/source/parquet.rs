//! Columns of text in Parquet files.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use super::collect::{Collect, Row};
use super::table::choose;
use crate::error::{Error, Result};
use crate::modality::source::bounds;
use crate::modality::source::guard::guarded;
use crate::modality::source::storage::Member;
use crate::modality::text::reading::TextReading;

/// Rows that are unpacked at once.
const BATCH: usize = 1024;

/// A row as it was read.
struct Found {
    text: String,
    other: Option<String>,
    score: Option<String>,
    class: Option<String>,
}

/// Rows of a Parquet file.
///
/// # Errors
/// When it is none, or has no column of text.
pub(super) fn read(
    member: &Member,
    reading: &TextReading,
    collect: &mut Collect<'_>,
    class: Option<&str>,
) -> Result<()> {
    let bytes = Bytes::from(member.read()?);
    let rows = guarded(|| rows(bytes, reading, &member.shown));
    let rows = rows.ok_or_else(|| damaged(&member.shown))??;
    for found in rows {
        let row = Row {
            text: found.text.as_bytes(),
            other: found.other.as_ref().map(|text| text.as_bytes()),
            score: found.score.as_ref().map(|score| score.as_bytes()),
            class: found.class.as_deref().or(class),
        };
        collect
            .row(row)
            .map_err(|error| Error::io(&member.shown, error))?;
    }
    Ok(())
}

fn rows(bytes: Bytes, reading: &TextReading, shown: &str) -> Result<Vec<Found>> {
    let unlikely = |why: String| damaged(shown).because(why);
    bounds::footer(&bytes).map_err(unlikely)?;
    let builder = ParquetRecordBatchReaderBuilder::try_new(bytes.clone())
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
    let mut rows = Vec::new();
    for batch in reader {
        let batch = batch.map_err(|error| damaged(shown).because(error))?;
        let column = |at: usize| {
            let column = batch.column_by_name(names[at]);
            let column = column.ok_or_else(|| damaged(shown))?;
            cast(column, &DataType::Utf8).map_err(|_| {
                Error::data(format!(
                    "column {} is of type {}",
                    names[at],
                    column.data_type()
                ))
                .at(shown)
                .expected("text")
            })
        };
        let texts = column(chosen.text)?;
        let [others, scores, labels] =
            [chosen.other, chosen.score, chosen.label].map(|at| at.map(column).transpose());
        let (others, scores, labels) = (others?, scores?, labels?);
        let cell = |cells: &Option<ArrayRef>, row: usize| {
            let cells = cells.as_ref()?.as_string::<i32>();
            cells.is_valid(row).then(|| cells.value(row).to_owned())
        };
        for (row, text) in texts.as_string::<i32>().iter().enumerate() {
            rows.push(Found {
                text: text.unwrap_or_default().to_owned(),
                // A pair that lacks its second text has an empty one.
                other: (others.is_some()).then(|| cell(&others, row).unwrap_or_default()),
                score: cell(&scores, row),
                class: cell(&labels, row),
            });
        }
    }
    Ok(rows)
}

fn damaged(shown: &str) -> Error {
    Error::data("is damaged or ends too early")
        .at(shown)
        .expected("a whole Parquet file")
        .mend("download or write it again")
}
