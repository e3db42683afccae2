//! Arrays in a safetensors file.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView, serialize};

use super::writer::write_atomic;
use crate::error::{AtPath, Error, Result};
use crate::layers::state::{Array, State};

/// PyTorch's counter of the batches that a batch norm has seen; momentum makes it idle.
const COUNTER: &str = "num_batches_tracked";
/// The longest header that is read, in bytes, as the format has it.
const LONGEST_HEADER: u64 = 100_000_000;

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
/// When it is no safetensors file, is cut short, or holds anything but floats of 16 or 32 bits. PyTorch's counters of
/// batches are left out.
pub fn read_weights(path: &Path) -> Result<(State, HashMap<String, String>)> {
    read_some_weights(path, &|_| true)
}

/// As [`read_weights`], of the arrays whose names are wanted; what the others hold doesn't matter.
///
/// # Errors
/// As [`read_weights`].
pub fn read_some_weights(
    path: &Path,
    wanted: &dyn Fn(&str) -> bool,
) -> Result<(State, HashMap<String, String>)> {
    let contents = std::fs::read(path).at_path(path)?;
    let broken = |error: safetensors::SafeTensorError| {
        Error::run("no whole safetensors file")
            .at(path)
            .because(error)
            .mend("restore it from a copy, or fetch or train it again")
    };
    let (_, header) = SafeTensors::read_metadata(&contents).map_err(broken)?;
    let tensors = SafeTensors::deserialize(&contents).map_err(broken)?;
    let mut state = State::new();
    for (name, view) in tensors.tensors() {
        if name.ends_with(COUNTER) || !wanted(&name) {
            continue;
        }
        let values = floats(view.dtype(), view.data()).ok_or_else(|| {
            Error::run(format!("`{name}` of type {:?}", view.dtype()))
                .at(path)
                .expected("floats of 16 or 32 bits")
        })?;
        let shape = view.shape().to_vec();
        state.insert(name, Array { shape, values });
    }
    Ok((state, header.metadata().clone().unwrap_or_default()))
}

/// The values of an array; `None` where they are no floats of 16 or 32 bits.
fn floats(of: Dtype, bytes: &[u8]) -> Option<Vec<f32>> {
    let halves = || {
        bytes
            .as_chunks()
            .0
            .iter()
            .map(|&half| u16::from_le_bytes(half))
    };
    Some(match of {
        Dtype::F32 => {
            let values = bytes.as_chunks().0.iter();
            values.map(|&value| f32::from_le_bytes(value)).collect()
        }
        Dtype::BF16 => halves()
            .map(|half| f32::from_bits(u32::from(half) << 16))
            .collect(),
        Dtype::F16 => halves().map(of_half).collect(),
        _ => return None,
    })
}

/// A float of 16 bits: 5 of them are the exponent.
fn of_half(half: u16) -> f32 {
    let sign = u32::from(half >> 15) << 31;
    let (exponent, fraction) = (u32::from((half >> 10) & 0x1f), u32::from(half & 0x3ff));
    let bits = match (exponent, fraction) {
        (0x1f, fraction) => 0x7f80_0000 | (fraction << 13),
        // The smallest have no leading one.
        (0, fraction) => (fraction as f32 / 16_777_216.0).to_bits(),
        _ => ((exponent + 112) << 23) | (fraction << 13),
    };
    f32::from_bits(sign | bits)
}

/// What the header of a safetensors file says, read without its values.
#[derive(Debug)]
pub struct Header {
    /// The shape of each array.
    pub shapes: BTreeMap<String, Vec<usize>>,
}

/// Reads the header of a safetensors file and checks it against the file's length, so that sizes can be trusted before
/// anything is allocated by them.
///
/// # Errors
/// When it is no safetensors file, is cut short, or an array's shape isn't that of its values.
pub fn read_header(path: &Path) -> Result<Header> {
    let broken = |found: String| {
        Error::run(format!("no whole safetensors file: {found}"))
            .at(path)
            .mend("restore it from a copy, or fetch or train it again")
    };
    let mut file = File::open(path).at_path(path)?;
    let length = file.metadata().at_path(path)?.len();
    let mut size = [0; 8];
    file.read_exact(&mut size)
        .map_err(|_| broken(format!("{length} bytes")))?;
    let size = u64::from_le_bytes(size);
    if size > LONGEST_HEADER || size + 8 > length {
        return Err(broken(format!(
            "a header of {size} bytes in a file of {length}"
        )));
    }
    let mut header = vec![0; size as usize];
    file.read_exact(&mut header).at_path(path)?;
    let parsed = serde_json::from_slice(&header);
    let entries: BTreeMap<String, serde_json::Value> =
        parsed.map_err(|error| broken(format!("a header that is no JSON ({error})")))?;
    let mut shapes = BTreeMap::new();
    let (mut end, mut sum) = (0, 0u64);
    for (name, entry) in entries {
        if name == "__metadata__" {
            continue;
        }
        let entry: Entry =
            serde_json::from_value(entry).map_err(|error| broken(format!("`{name}` ({error})")))?;
        let values = entry
            .shape
            .iter()
            .try_fold(1u64, |product, &side| product.checked_mul(side as u64));
        let [from, to] = entry.data_offsets;
        let bits = values.and_then(|values| values.checked_mul(bits_of(&entry.dtype)));
        if bits.is_none() || to.checked_sub(from).and_then(|bytes| bytes.checked_mul(8)) != bits {
            return Err(broken(format!(
                "`{name}` of shape {:?} in {} bytes",
                entry.shape,
                to.saturating_sub(from)
            )));
        }
        end = end.max(to);
        sum = sum.saturating_add(to.saturating_sub(from));
        shapes.insert(name, entry.shape);
    }
    let held = length - 8 - size;
    if end != held {
        return Err(broken(format!("{held} bytes of values instead of {end}")));
    }
    // Arrays that share bytes would make much of little.
    if sum != held {
        return Err(broken(format!("arrays of {sum} bytes in {held}")));
    }
    Ok(Header { shapes })
}

#[derive(serde::Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [u64; 2],
}

/// Bits of a value, by the name that safetensors has for its type.
fn bits_of(dtype: &str) -> u64 {
    match dtype {
        "BOOL" => 8,
        "F4" => 4,
        _ => {
            let digits: String = dtype
                .chars()
                .skip_while(|letter| !letter.is_ascii_digit())
                .take_while(char::is_ascii_digit)
                .collect();
            digits.parse().unwrap_or(8)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_of_16_bits_are_read() {
        for (half, value) in [
            (0x3c00, 1.0),
            (0xc000, -2.0),
            (0x7bff, 65504.0),
            (0x0001, 5.960_464_5e-8),
            (0x8000, -0.0),
            (0x3555, 0.333_251_95),
            (0x7c00, f32::INFINITY),
        ] {
            assert_eq!(of_half(half).to_bits(), f32::to_bits(value), "{half:#x}");
        }
        assert!(of_half(0x7e00).is_nan());
        let third = 0.333f32.to_bits() >> 16;
        let bytes = (third as u16).to_le_bytes();
        assert_eq!(
            floats(Dtype::BF16, &bytes),
            Some(vec![f32::from_bits(third << 16)])
        );
        assert_eq!(floats(Dtype::I64, &[0; 8]), None);
    }

    #[test]
    fn a_header_is_believed_where_the_file_holds_what_it_says() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("w.safetensors");
        let array = Array {
            shape: vec![2, 3],
            values: vec![0.5; 6],
        };
        let state = State::from([("a.weight".to_owned(), array)]);
        write_weights(&path, &state, HashMap::new()).unwrap();
        assert_eq!(read_header(&path).unwrap().shapes["a.weight"], [2, 3]);
        let whole = std::fs::read(&path).unwrap();
        for cut in [0, 7, 8, 40, whole.len() - 1] {
            std::fs::write(&path, &whole[..cut]).unwrap();
            let error = read_header(&path).unwrap_err().to_string();
            assert!(
                error.contains("no whole safetensors file"),
                "{cut}: {error}"
            );
        }
        let large = String::from_utf8_lossy(&whole).replace("[2,3]", "[9,3]");
        std::fs::write(&path, large.as_bytes()).unwrap();
        assert!(read_header(&path).is_err());
        let entry = "{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]}";
        let header = format!("{{\"a\":{entry},\"b\":{entry}}}");
        let length = (header.len() as u64).to_le_bytes();
        std::fs::write(&path, [&length[..], header.as_bytes(), &[0; 8]].concat()).unwrap();
        let error = read_header(&path).unwrap_err().to_string();
        assert!(error.contains("arrays of 16 bytes in 8"), "{error}");
    }
}
