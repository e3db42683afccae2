//! What comes next, as files that others read.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float32Array, StringArray, UInt64Array};
use arrow::datatypes::{DataType, Field};
use serde_json::{Map, Value, json};

use super::predictions::PredictionFormat;
use super::table::{csv, parquet};
use crate::error::Result;
use crate::judge::Foretold;
use crate::run::write_atomic;

/// The columns: the recording, the number of the step, when it will be where that is known, what was measured, and of that
/// the value that is foretold, as it was recorded, and the bounds that it is to lie within where those can be told.
const COLUMNS: [&str; 7] = [
    "recording",
    "step",
    "time",
    "channel",
    "forecast",
    "low",
    "high",
];

/// One channel of a step that is foretold.
struct Row<'a> {
    recording: &'a str,
    step: usize,
    time: Option<&'a str>,
    channel: &'a str,
    forecast: f32,
    bounds: [Option<f32>; 2],
}

fn rows(foretold: &Foretold) -> impl Iterator<Item = Row<'_>> {
    foretold.recordings.iter().flat_map(move |one| {
        let steps = (0..one.values.rows()).flat_map(|ahead| {
            let channels = foretold.channels.iter().enumerate();
            channels.map(move |(at, name)| (ahead, at, name))
        });
        steps.map(|(ahead, at, channel)| Row {
            recording: &one.name,
            step: one.first + ahead,
            time: one.times.get(ahead).map(String::as_str),
            channel,
            forecast: one.values.row(ahead)[at],
            bounds: match &one.bounds {
                Some(bounds) => [0, 1].map(|side| Some(bounds[side].row(ahead)[at])),
                None => [None, None],
            },
        })
    })
}

/// Writes what is foretold: a row a channel of each step.
///
/// # Errors
/// When it can't be written.
pub fn write_foretold(path: &Path, foretold: &Foretold) -> Result<()> {
    let contents = match PredictionFormat::of(path)? {
        PredictionFormat::Csv => csv(
            COLUMNS.map(str::to_owned).to_vec(),
            rows(foretold).map(|row| {
                let [low, high] = row.bounds.map(written);
                vec![
                    row.recording.to_owned(),
                    row.step.to_string(),
                    row.time.unwrap_or_default().to_owned(),
                    row.channel.to_owned(),
                    row.forecast.to_string(),
                    low,
                    high,
                ]
            }),
        ),
        PredictionFormat::Parquet => columns(foretold),
        PredictionFormat::JsonLines => Ok(json_lines(foretold)),
    };
    write_atomic(path, &contents.map_err(|error| error.at(path))?)
}

fn written(bound: Option<f32>) -> String {
    bound.map_or_else(String::new, |bound| bound.to_string())
}

fn columns(foretold: &Foretold) -> Result<Vec<u8>> {
    let text = |of: fn(&Row<'_>) -> Option<String>| -> ArrayRef {
        Arc::new(StringArray::from_iter(rows(foretold).map(|row| of(&row))))
    };
    let number = |of: fn(&Row<'_>) -> Option<f32>| -> ArrayRef {
        Arc::new(Float32Array::from_iter(rows(foretold).map(|row| of(&row))))
    };
    let steps = rows(foretold).map(|row| row.step as u64);
    let arrays: [ArrayRef; COLUMNS.len()] = [
        text(|row| Some(row.recording.to_owned())),
        Arc::new(UInt64Array::from_iter_values(steps)),
        text(|row| row.time.map(str::to_owned)),
        text(|row| Some(row.channel.to_owned())),
        number(|row| Some(row.forecast)),
        number(|row| row.bounds[0]),
        number(|row| row.bounds[1]),
    ];
    let optional = [false, false, true, false, false, true, true];
    let named = COLUMNS.into_iter().zip(optional).zip(arrays);
    let columns = named.map(|((name, optional), array)| {
        let kind: DataType = array.data_type().clone();
        (Field::new(name, kind, optional), array)
    });
    parquet(columns.collect())
}

fn json_lines(foretold: &Foretold) -> Vec<u8> {
    let mut lines = Vec::new();
    for row in rows(foretold) {
        let [low, high] = row.bounds;
        let values = [
            json!(row.recording),
            json!(row.step),
            json!(row.time),
            json!(row.channel),
            json!(row.forecast),
            json!(low),
            json!(high),
        ];
        let named = COLUMNS.into_iter().map(str::to_owned).zip(values);
        let line: Map<String, Value> = named.collect();
        lines.extend(Value::Object(line).to_string().into_bytes());
        lines.push(b'\n');
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::Ahead;
    use autodidact_eval::Matrix;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    fn foretold() -> Foretold {
        let of = |values: [f32; 4]| Matrix::from_vec(2, 2, values.to_vec()).unwrap();
        let known = Ahead {
            name: "a, b.csv".to_owned(),
            first: 100,
            times: vec![
                "2016-07-01 00:00:00".to_owned(),
                "2016-07-01 01:00:00".to_owned(),
            ],
            by: "the last value",
            by_network: false,
            error: 0.5,
            error_of_last_value: 0.5,
            past: of([0.0; 4]),
            values: of([1.0, 2.0, 3.0, 4.5]),
            bounds: Some([of([0.0, 1.0, 2.0, 3.5]), of([2.0, 3.0, 4.0, 5.5])]),
        };
        let unknown = Ahead {
            name: "c.csv".to_owned(),
            first: 7,
            times: Vec::new(),
            bounds: None,
            ..known.clone()
        };
        Foretold {
            horizon: 2,
            coverage: 0.9,
            channels: vec!["load".to_owned(), "oil".to_owned()],
            recordings: vec![known, unknown],
            left_out: Vec::new(),
        }
    }

    #[test]
    fn every_format_holds_a_row_for_each_channel_of_a_step() {
        let scratch = tempfile::tempdir().unwrap();
        let write = |name: &str| {
            let path = scratch.path().join(name);
            write_foretold(&path, &foretold()).unwrap();
            path
        };
        let text = std::fs::read_to_string(write("f.csv")).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 9);
        assert_eq!(lines[0], "recording,step,time,channel,forecast,low,high");
        assert_eq!(lines[2], "\"a, b.csv\",100,2016-07-01 00:00:00,oil,2,1,3");
        assert_eq!(lines[8], "c.csv,8,,oil,4.5,,");
        let text = std::fs::read_to_string(write("f.jsonl")).unwrap();
        let lines: Vec<Value> = (text.lines())
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(
            (&lines[3]["step"], &lines[3]["high"]),
            (&json!(101), &json!(5.5))
        );
        assert_eq!(
            (&lines[7]["time"], &lines[7]["low"]),
            (&Value::Null, &Value::Null)
        );
        let file = std::fs::File::open(write("f.parquet")).unwrap();
        let mut reader = ParquetRecordBatchReaderBuilder::try_new(file)
            .unwrap()
            .build()
            .unwrap();
        let batch = reader.next().unwrap().unwrap();
        assert_eq!((batch.num_rows(), batch.num_columns()), (8, 7));
        assert_eq!([4, 5].map(|at| batch.column(at).null_count()), [0, 4]);
        assert!(write_foretold(Path::new("f.npy"), &foretold()).is_err());
    }
}
