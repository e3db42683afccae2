//! Predictions, of classes and of what comes next, as files that others read.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array, StringArray};
use arrow::datatypes::Field;
use serde_json::{Map, Value, json};

use super::table::{csv, parquet};
use crate::adapt::Predictions;
use crate::error::{Error, Result};
use crate::run::write_atomic;

/// How predictions are written: a row an item, or a row a channel of a step that is foretold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PredictionFormat {
    /// Columns `filename`, `predicted`, `confidence`, and `p_<class>` for each class; of what is
    /// foretold `recording`, `step`, `time`, `channel`, `forecast`, `low`, `high`.
    Csv,
    /// The same columns.
    Parquet,
    /// An object a line: the same names, and the probabilities by class.
    JsonLines,
}

impl PredictionFormat {
    /// The format that a file's ending asks for.
    ///
    /// # Errors
    /// When it asks for none.
    pub fn of(path: &Path) -> Result<Self> {
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("csv") => Ok(Self::Csv),
            Some("parquet") => Ok(Self::Parquet),
            Some("jsonl") => Ok(Self::JsonLines),
            _ => Err(Error::recipe("a file for predictions of no known kind")
                .at(path)
                .expected("a name that ends in .csv, .parquet or .jsonl")),
        }
    }
}

/// Writes predictions.
///
/// # Errors
/// When they can't be written.
pub fn write_predictions(path: &Path, predictions: &Predictions) -> Result<()> {
    let contents = match PredictionFormat::of(path)? {
        PredictionFormat::Csv => {
            let header = columns(predictions);
            let rows = (0..predictions.names.len()).map(|row| {
                let probabilities = predictions.probabilities.row(row);
                let (class, confidence) = predictions.of(row);
                [
                    predictions.names[row].clone(),
                    class.to_owned(),
                    confidence.to_string(),
                ]
                .into_iter()
                .chain(probabilities.iter().map(ToString::to_string))
                .collect()
            });
            csv(header, rows)
        }
        PredictionFormat::Parquet => table(predictions),
        PredictionFormat::JsonLines => json_lines(predictions),
    };
    write_atomic(path, &contents.map_err(|error| error.at(path))?)
}

impl Predictions {
    /// The likeliest class of an item and its probability.
    pub fn of(&self, row: usize) -> (&str, f32) {
        let class = self.predicted[row] as usize;
        (&self.classes[class], self.probabilities.row(row)[class])
    }
}

fn columns(predictions: &Predictions) -> Vec<String> {
    let fixed = ["filename", "predicted", "confidence"].map(str::to_owned);
    let classes = predictions.classes.iter().map(|class| format!("p_{class}"));
    fixed.into_iter().chain(classes).collect()
}

fn table(predictions: &Predictions) -> Result<Vec<u8>> {
    let rows = 0..predictions.names.len();
    let predicted = rows.clone().map(|row| predictions.of(row).0);
    let confidence = rows.clone().map(|row| predictions.of(row).1);
    let mut arrays: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(&predictions.names)),
        Arc::new(StringArray::from_iter_values(predicted)),
        Arc::new(Float32Array::from_iter_values(confidence)),
    ];
    for class in 0..predictions.classes.len() {
        let of_class = rows
            .clone()
            .map(|row| predictions.probabilities.row(row)[class]);
        arrays.push(Arc::new(Float32Array::from_iter_values(of_class)));
    }
    let named = columns(predictions).into_iter().zip(arrays);
    let named = named.map(|(name, array)| {
        let kind = array.data_type().clone();
        (Field::new(name, kind, false), array)
    });
    parquet(named.collect())
}

fn json_lines(predictions: &Predictions) -> Result<Vec<u8>> {
    let mut lines = Vec::new();
    for row in 0..predictions.names.len() {
        let (predicted, confidence) = predictions.of(row);
        let probabilities: Map<String, Value> = predictions
            .classes
            .iter()
            .zip(predictions.probabilities.row(row))
            .map(|(class, probability)| (class.clone(), json!(probability)))
            .collect();
        let line = json!({
            "filename": predictions.names[row],
            "predicted": predicted,
            "confidence": confidence,
            "probabilities": probabilities,
        });
        lines.extend(line.to_string().into_bytes());
        lines.push(b'\n');
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use autodidact_eval::Matrix;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    fn predictions() -> Predictions {
        Predictions {
            names: vec!["a, b.png".to_owned(), "c.png".to_owned()],
            classes: vec!["cat".to_owned(), "dog \"x\"".to_owned()],
            predicted: vec![1, 0],
            probabilities: Matrix::from_vec(2, 2, vec![0.25, 0.75, 0.5, 0.5]).unwrap(),
            unreadable: Vec::new(),
            accuracy: None,
        }
    }

    #[test]
    fn every_format_holds_the_same() {
        let scratch = tempfile::tempdir().unwrap();
        let write = |name: &str| {
            let path = scratch.path().join(name);
            write_predictions(&path, &predictions()).unwrap();
            path
        };
        let text = std::fs::read_to_string(write("p.csv")).unwrap();
        assert_eq!(
            text,
            "filename,predicted,confidence,p_cat,\"p_dog \"\"x\"\"\"\n\"a, b.png\",\"dog \"\"x\"\"\",0.75,0.25,0.75\n\
             c.png,cat,0.5,0.5,0.5\n"
        );
        let text = std::fs::read_to_string(write("p.jsonl")).unwrap();
        let lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["predicted"], "dog \"x\"");
        assert_eq!(lines[0]["probabilities"]["cat"], 0.25);
        let file = std::fs::File::open(write("p.parquet")).unwrap();
        let mut reader = ParquetRecordBatchReaderBuilder::try_new(file)
            .unwrap()
            .build()
            .unwrap();
        let batch = reader.next().unwrap().unwrap();
        assert_eq!((batch.num_rows(), batch.num_columns()), (2, 5));
        let confidence = batch
            .column(2)
            .as_any()
            .downcast_ref::<Float32Array>()
            .unwrap();
        assert_eq!(confidence.values(), &[0.75, 0.5]);
        assert!(PredictionFormat::of(Path::new("p.npy")).is_err());
    }
}
