//! Vectors as files that others read.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, FixedSizeListArray, Float32Array, StringArray};
use arrow::datatypes::{DataType, Field};
use autodidact_eval::Matrix;

use super::table::{csv, parquet, unfit};
use crate::error::{Error, Result};
use crate::judge::Embedded;
use crate::run::write_atomic;

/// How vectors are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Columns `filename`, `label` and `embedding`, a list of floats of fixed length.
    Parquet,
    /// NumPy's format, `[items, dimensions]`, with the names in a CSV beside it.
    Npy,
    /// Columns `filename`, `embedding_0`, …, `label`: the layout of lightly's files.
    Csv,
}

impl Format {
    /// The format that a file's ending asks for.
    ///
    /// # Errors
    /// When it asks for none.
    pub fn of(path: &Path) -> Result<Self> {
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("parquet") => Ok(Self::Parquet),
            Some("npy") => Ok(Self::Npy),
            Some("csv") => Ok(Self::Csv),
            _ => Err(Error::recipe("a file for vectors of no known kind")
                .at(path)
                .expected("a name that ends in .parquet, .npy or .csv")),
        }
    }
}

/// Writes the vectors of the first who was asked. Returns the files written.
///
/// # Errors
/// When they can't be written.
pub fn write_embeddings(path: &Path, embedded: &Embedded) -> Result<Vec<PathBuf>> {
    let matrix = embedded
        .features
        .first()
        .ok_or_else(|| Error::data("no vectors").expected("at least one"))?;
    let labels: Vec<Option<&str>> = embedded
        .classes
        .iter()
        .map(|class| {
            class
                .and_then(|class| embedded.class_names.get(class as usize))
                .map(String::as_str)
        })
        .collect();
    match Format::of(path)? {
        Format::Parquet => {
            write_atomic(
                path,
                &columns(&embedded.names, &labels, matrix).map_err(|error| error.at(path))?,
            )?;
            Ok(vec![path.to_path_buf()])
        }
        Format::Csv => {
            let header = (0..matrix.columns()).map(|column| format!("embedding_{column}"));
            let header = std::iter::once("filename".to_owned())
                .chain(header)
                .chain(["label".to_owned()]);
            let rows = (0..matrix.rows()).map(|row| {
                let values = matrix.row(row).iter().map(ToString::to_string);
                std::iter::once(embedded.names[row].clone())
                    .chain(values)
                    .chain([labels[row].unwrap_or_default().to_owned()])
                    .collect()
            });
            write_atomic(
                path,
                &csv(header.collect(), rows).map_err(|error| error.at(path))?,
            )?;
            Ok(vec![path.to_path_buf()])
        }
        Format::Npy => {
            let index = path.with_extension("index.csv");
            let rows = (0..matrix.rows()).map(|row| {
                vec![
                    row.to_string(),
                    embedded.names[row].clone(),
                    labels[row].unwrap_or_default().to_owned(),
                ]
            });
            let header = ["row", "filename", "label"].map(str::to_owned).to_vec();
            write_atomic(
                &index,
                &csv(header, rows).map_err(|error| error.at(&index))?,
            )?;
            write_atomic(path, &npy(matrix))?;
            Ok(vec![path.to_path_buf(), index])
        }
    }
}

fn columns(names: &[String], labels: &[Option<&str>], matrix: &Matrix) -> Result<Vec<u8>> {
    let item = Arc::new(Field::new("item", DataType::Float32, false));
    let width = i32::try_from(matrix.columns()).map_err(|error| unfit(&error))?;
    let values: ArrayRef = Arc::new(Float32Array::from(matrix.data().to_vec()));
    let vectors = FixedSizeListArray::try_new(Arc::clone(&item), width, values, None)
        .map_err(|error| unfit(&error))?;
    let of_vectors = DataType::FixedSizeList(item, width);
    parquet(vec![
        (
            Field::new("filename", DataType::Utf8, false),
            Arc::new(StringArray::from_iter_values(names)) as ArrayRef,
        ),
        (
            Field::new("label", DataType::Utf8, true),
            Arc::new(StringArray::from_iter(labels.iter().copied())),
        ),
        (
            Field::new("embedding", of_vectors, false),
            Arc::new(vectors),
        ),
    ])
}

/// NumPy's format, version 1.0: magic, length of the header, a Python dict padded to 64 bytes, the values.
fn npy(matrix: &Matrix) -> Vec<u8> {
    let dict = format!(
        "{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}",
        matrix.rows(),
        matrix.columns()
    );
    let padded = (10 + dict.len() + 1).next_multiple_of(64) - 10;
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((padded as u16).to_le_bytes());
    bytes.extend(format!("{dict:<width$}\n", width = padded - 1).bytes());
    bytes.extend(matrix.data().iter().flat_map(|value| value.to_le_bytes()));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn embedded() -> Embedded {
        Embedded {
            items: vec![0, 1],
            names: vec!["a, b.png".to_owned(), "c.png".to_owned()],
            classes: vec![Some(1), None],
            class_names: vec!["cat".to_owned(), "dog".to_owned()],
            features: vec![Matrix::from_vec(2, 3, vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.5]).unwrap()],
            windows: Vec::new(),
            unreadable: Vec::new(),
            shortened: 0,
            beyond: 0,
        }
    }

    #[test]
    fn csv_has_lightlys_columns_and_quotes_what_needs_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("e.csv");
        write_embeddings(&path, &embedded()).unwrap();
        let text = std::fs::read_to_string(path).unwrap();
        assert_eq!(
            text,
            "filename,embedding_0,embedding_1,embedding_2,label\n\"a, b.png\",1,2,3,dog\nc.png,4,5,6.5,\n"
        );
    }

    #[test]
    fn npy_begins_as_numpy_wants_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("e.npy");
        let files = write_embeddings(&path, &embedded()).unwrap();
        assert_eq!(files.len(), 2);
        let bytes = std::fs::read(path).unwrap();
        let header = u16::from_le_bytes([bytes[8], bytes[9]]) as usize;
        assert_eq!((10 + header) % 64, 0);
        assert!(String::from_utf8_lossy(&bytes[10..10 + header]).contains("'shape': (2, 3)"));
        assert_eq!(bytes.len(), 10 + header + 24);
        assert_eq!(&bytes[bytes.len() - 4..], 6.5f32.to_le_bytes());
    }

    #[test]
    fn parquet_reads_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("e.parquet");
        write_embeddings(&path, &embedded()).unwrap();
        let file = std::fs::File::open(path).unwrap();
        let reader =
            parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        let batch = reader.build().unwrap().next().unwrap().unwrap();
        assert_eq!((batch.num_rows(), batch.num_columns()), (2, 3));
        let vectors = batch
            .column(2)
            .as_any()
            .downcast_ref::<FixedSizeListArray>()
            .unwrap();
        let values = vectors
            .values()
            .as_any()
            .downcast_ref::<Float32Array>()
            .unwrap();
        assert_eq!(values.value(5), 6.5);
    }
}
