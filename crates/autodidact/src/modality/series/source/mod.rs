//! Where series come from: tables of text, sktime's `.ts`, NumPy arrays, Parquet, alone, in folders or in archives.
//!
//! Everything is gone through once when it is opened. Recordings are then kept as 32-bit floats, in memory and beyond a
//! limit in a nameless temporary file, so that a window of any of them is one short read. What is missing stays missing,
//! and what is odd (times that turn, gaps, fields that are no numbers, channels that some files lack) is counted and said.

mod about;
mod arrays;
mod calendar;
mod classes;
mod clock;
mod collect;
mod columns;
mod dialect;
mod files;
mod format;
mod live;
mod number;
mod parquet;
mod parts;
mod rows;
mod segments;
mod set;
mod shape;
mod table;
mod tape;
#[cfg(test)]
mod tests;
mod time;
mod ts;
mod windows;

use crate::error::{Error, Result};
use crate::modality::series::Series;
use crate::modality::series::reading::SeriesReading;
use crate::modality::source::{Source, SourceSpec};

pub use format::looks_like_series;
pub(super) use live::LiveRows;
pub use set::SeriesSet;

/// What may be named.
const EXPECTED: &str = "series: .csv, .tsv, .txt, .ts, .npy or .parquet files (also as .gz or .zst), .npz, \
                        alone, in folders, or in .tar, .tar.gz or .zip archives";

/// Opens the series that the user named.
///
/// # Errors
/// When there is nothing at the path, no series in it, or not the part that was asked for; when a column that the recipe
/// names isn't there; when files hold different channels; when the labels that the user brings don't match.
pub fn open(spec: &SourceSpec) -> Result<Box<dyn Source<Series>>> {
    let reading = SeriesReading::of(spec)?;
    let path = spec.path.as_ref().ok_or_else(|| {
        Error::data("no series were named")
            .expected(EXPECTED)
            .mend("name a file or a folder: there are no embedded series")
    })?;
    let found = files::find(path, spec)?;
    let set = set::read(found, path, &reading, spec)?;
    Ok(Box::new(set))
}
