//! Arrays in a safetensors file.

use std::collections::HashMap;
use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView, serialize};

use super::writer::write_atomic;
use crate::error::{AtPath, Error, Result};
use crate::layers::state::{Array, State};

/// PyTorch's counter of the batches that a batch norm has seen; momentum makes it idle.
const COUNTER: &str = "num_batches_tracked";

/// Writes arrays and notes to one file, at once.
///
/// # Errors
/// When the file can't be written.
pub fn write_weights(path: &Path, state: &State, notes: HashMap<String, String>) -> Result<()> {
    write(path, state, &[], notes)
}

/// Writes an encoder as PyTorch saves it: beside each running variance stands a counter of batches, which is 0, without
/// which PyTorch refuses to load the file strictly.
///
/// # Errors
/// When the file can't be written.
pub fn write_published(path: &Path, state: &State) -> Result<()> {
    let counters: Vec<String> = state
        .keys()
        .filter_map(|name| Some(format!("{}.{COUNTER}", name.strip_suffix(".running_var")?)))
        .collect();
    let notes = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    write(path, state, &counters, notes)
}

fn write(
    path: &Path,
    state: &State,
    counters: &[String],
    notes: HashMap<String, String>,
) -> Result<()> {
    let bytes: Vec<(&String, &Array, Vec<u8>)> = state
        .iter()
        .map(|(name, array)| {
            (
                name,
                array,
                array
                    .values
                    .iter()
                    .flat_map(|value| value.to_le_bytes())
                    .collect(),
            )
        })
        .collect();
    let mut views = bytes
        .iter()
        .map(|(name, array, bytes)| {
            let view =
                TensorView::new(Dtype::F32, array.shape.clone(), bytes).map_err(|error| {
                    Error::run(format!("`{name}` that safetensors can't hold")).because(error)
                })?;
            Ok((name.as_str(), view))
        })
        .collect::<Result<Vec<_>>>()?;
    for counter in counters {
        let zero = TensorView::new(Dtype::I64, Vec::new(), &[0; 8]).map_err(|error| {
            Error::run(format!("`{counter}` that safetensors can't hold")).because(error)
        })?;
        views.push((counter.as_str(), zero));
    }
    let contents = serialize(views, Some(notes)).map_err(|error| {
        Error::run("weights that safetensors can't hold")
            .at(path)
            .because(error)
    })?;
    write_atomic(path, &contents)
}

/// Reads arrays and notes. Nothing in the file is run, and its sizes are checked before anything is allocated.
///
/// # Errors
/// When it is no safetensors file, is cut short, or holds anything but 32-bit floats. PyTorch's counters of
/// batches are left out.
pub fn read_weights(path: &Path) -> Result<(State, HashMap<String, String>)> {
    let contents = std::fs::read(path).at_path(path)?;
    let broken = |error: safetensors::SafeTensorError| {
        Error::run("no whole safetensors file")
            .at(path)
            .because(error)
            .mend("restore it from a copy, or train again")
    };
    let (_, header) = SafeTensors::read_metadata(&contents).map_err(broken)?;
    let tensors = SafeTensors::deserialize(&contents).map_err(broken)?;
    let mut state = State::new();
    for (name, view) in tensors.tensors() {
        if name.ends_with(COUNTER) {
            continue;
        }
        if view.dtype() != Dtype::F32 {
            return Err(Error::run(format!("`{name}` of type {:?}", view.dtype()))
                .at(path)
                .expected("32-bit floats"));
        }
        let values = view
            .data()
            .chunks_exact(4)
            .map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
            .collect();
        let shape = view.shape().to_vec();
        state.insert(name, Array { shape, values });
    }
    Ok((state, header.metadata().clone().unwrap_or_default()))
}
