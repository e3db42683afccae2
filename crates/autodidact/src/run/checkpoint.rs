//! Checkpoints: everything that going on needs, in one file, written at once.

use std::collections::HashMap;
use std::path::Path;

use serde::{Deserialize, Deserializer, Serialize};

use super::progress::Progress;
use super::weights::{read_weights, write_weights};
use crate::error::{Error, Result};
use crate::layers::state::State;

/// Key of the position among the file's notes.
const POSITION: &str = "autodidact.position";

/// Where a run stood when the checkpoint was written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Position {
    /// Steps, schedule, time.
    pub progress: Progress,
    /// Updates that the optimizer has made.
    pub updates: u64,
    /// Length of `metrics.jsonl` in bytes: what is beyond was written after the checkpoint.
    pub metrics: u64,
    /// The best score so far, lower is better.
    pub best: Option<f64>,
    /// Looks in a row that found no better one.
    #[serde(default)]
    pub stale: u64,
    /// What each held-out item cost the weights of that score, where a better score is judged item by item.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub best_costs: Vec<f64>,
    /// Sums of the log line being gathered: loss and parts, gradient norm, steps.
    #[serde(deserialize_with = "finite_or_not")]
    pub gathered: Vec<(String, f64)>,
    /// Tenths of the run and passes over the data that have had their checkup, and the step of the last one.
    pub checkups: [u64; 3],
    /// The last checkup's warnings, so that they aren't said again.
    pub warned: Vec<String>,
}

/// Reads named numbers. JSON has none that aren't finite, and holds null in their place; a part of a loss may be one, and
/// the checkpoint has to be good all the same.
fn finite_or_not<'de, D: Deserializer<'de>>(
    from: D,
) -> std::result::Result<Vec<(String, f64)>, D::Error> {
    let found = Vec::<(String, Option<f64>)>::deserialize(from)?;
    let number = |(name, value): (String, Option<f64>)| (name, value.unwrap_or(f64::NAN));
    Ok(found.into_iter().map(number).collect())
}

impl Position {
    /// Whether nothing is left to do: the last step was taken, or the last `patience` looks found nothing better (0 is
    /// patient forever).
    pub fn ended(&self, patience: u64) -> bool {
        self.progress.finished() || (patience > 0 && self.stale >= patience)
    }
}

/// Weights, teachers, averages and position.
#[derive(Debug, Clone, PartialEq)]
pub struct Checkpoint {
    /// `model.…` and `optimizer.…`.
    pub state: State,
    /// Where the run stood.
    pub position: Position,
}

impl Checkpoint {
    /// Writes it, at once.
    ///
    /// # Errors
    /// When the file can't be written; an older one of that name is then untouched.
    pub fn write(&self, path: &Path) -> Result<()> {
        let position = serde_json::to_string(&self.position).map_err(|error| {
            Error::run("a position that JSON can't hold")
                .at(path)
                .because(error)
        })?;
        write_weights(
            path,
            &self.state,
            HashMap::from([(POSITION.to_owned(), position)]),
        )
    }

    /// Reads it.
    ///
    /// # Errors
    /// When it is missing, cut short or no checkpoint.
    pub fn read(path: &Path) -> Result<Self> {
        let (state, notes) = read_weights(path)?;
        let position = notes.get(POSITION).ok_or_else(|| {
            Error::run("no position in it")
                .at(path)
                .expected("a checkpoint of a run")
        })?;
        let position = serde_json::from_str(position).map_err(|error| {
            Error::run("a position that can't be read")
                .at(path)
                .because(error)
        })?;
        Ok(Self { state, position })
    }

    /// The arrays under a prefix, without it.
    pub fn under(&self, prefix: &str) -> State {
        let strip = |name: &str| {
            name.strip_prefix(prefix)?
                .strip_prefix('.')
                .map(str::to_owned)
        };
        self.state
            .iter()
            .filter_map(|(name, array)| Some((strip(name)?, array.clone())))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::state::Array;
    use crate::recipe::Length;

    #[test]
    fn a_part_that_is_no_number_spoils_no_checkpoint() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("last.safetensors");
        let array = Array {
            shape: vec![1],
            values: vec![0.5],
        };
        let named = |name: &str, value| (name.to_owned(), value);
        let written = Checkpoint {
            state: State::from([("model.weight".to_owned(), array)]),
            position: Position {
                progress: Progress::new(Length::Steps(9), 3, &[]),
                updates: 4,
                metrics: 0,
                best: Some(0.25),
                stale: 1,
                best_costs: vec![0.1, 1.0 / 3.0],
                gathered: vec![named("loss", 1.5), named("loss/part", f64::NAN)],
                checkups: [0, 0, 0],
                warned: Vec::new(),
            },
        };
        written.write(&path).unwrap();
        let read = Checkpoint::read(&path).unwrap();
        assert_eq!(read.state, written.state);
        assert_eq!(read.position.best_costs, written.position.best_costs);
        assert_eq!(read.position.gathered[0], named("loss", 1.5));
        assert!(read.position.gathered[1].1.is_nan());
    }
}
