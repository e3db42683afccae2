//! `metrics.jsonl`, one line per logged step, and TensorBoard's event file beside it.

use std::path::Path;

use serde_json::{Map, Value};

use super::events::EventFile;
use super::writer::AppendLog;
use crate::error::Result;

/// One line of metrics: a step and named numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Line {
    /// Steps taken.
    pub step: u64,
    /// Names and values, in order.
    pub values: Vec<(String, f64)>,
}

/// The two files.
#[derive(Debug)]
pub struct Metrics {
    log: AppendLog,
    events: EventFile,
}

impl Metrics {
    /// Opens the files in a run's folder, `metrics.jsonl` cut to its first `length` bytes.
    ///
    /// # Errors
    /// When they can't be opened.
    pub fn open(folder: &Path, length: u64, from_step: u64) -> Result<Self> {
        Ok(Self {
            log: AppendLog::open(&folder.join("metrics.jsonl"), length)?,
            events: EventFile::open(folder, from_step)?,
        })
    }

    /// Writes a line to both. A number that isn't finite becomes `null`.
    ///
    /// # Errors
    /// When the disk is full or gone.
    pub fn write(&mut self, line: &Line) -> Result<()> {
        let mut object = Map::new();
        object.insert("step".to_owned(), line.step.into());
        for (name, value) in &line.values {
            object.insert(name.clone(), Value::from(*value));
        }
        self.log
            .append(format!("{}\n", Value::Object(object)).as_bytes())?;
        self.events.scalars(line.step, &line.values)
    }

    /// Makes the lines last; gives the length of `metrics.jsonl`.
    ///
    /// # Errors
    /// When the disk is full or gone.
    pub fn sync(&mut self) -> Result<u64> {
        self.log.sync()
    }
}
