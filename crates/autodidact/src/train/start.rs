//! Weights that an encoder starts from: another run's, or published ones.

use std::path::Path;

use crate::error::{AtPath, Error, Result};
use crate::layers::state::{State, load_state, state_of};
use crate::modality::Encoder;
use crate::run::{RunFolder, read_weights};

/// The largest file that is read, in bytes: 8 GiB hold two billion values.
const LARGEST: u64 = 8 << 30;
/// Names that a message lists.
const NAMED: usize = 4;

/// Gives the encoder the weights of a run's folder, of a folder of published weights or of a safetensors file. Also returns lines for people: what was
/// adapted, what was left out.
///
/// # Errors
/// When there is no such file, it is of another format, or its tensors aren't the encoder's: names those that are
/// missing, unexpected or of another shape.
pub(super) fn start_from<E: Encoder>(encoder: E, path: &Path) -> Result<(E, Vec<String>)> {
    let (mut state, notes) = read(path)?;
    let mut lines = vec![format!("start    from {}", path.display())];
    lines.extend(notes.into_iter().map(|note| format!("         {note}")));
    for line in encoder.adopt(&mut state).map_err(|error| error.at(path))? {
        lines.push(format!("         {line}"));
    }
    compare(&state_of(&encoder), &state).map_err(|error| error.at(path))?;
    let encoder = load_state(encoder, &state).map_err(|error| error.at(path))?;
    Ok((encoder, lines))
}

fn read(path: &Path) -> Result<(State, Vec<String>)> {
    let about = std::fs::metadata(path).at_path(path)?;
    if about.is_dir() {
        return RunFolder::open(path)?.encoder_and_notes();
    }
    let ending = path.extension().and_then(|ending| ending.to_str());
    if matches!(ending, Some("pth" | "pt" | "bin" | "ckpt" | "pkl")) {
        return Err(
            Error::data("weights as a Python pickle, which can run code when it is read")
                .at(path)
                .expected("a safetensors file")
                .mend(
                    "convert it in Python: safetensors.torch.save_file(torch.load(path, weights_only=True), \
                     \"weights.safetensors\")",
                ),
        );
    }
    if about.len() > LARGEST {
        return Err(Error::data(format!("{} bytes", about.len()))
            .at(path)
            .expected(format!("weights of at most {LARGEST} bytes")));
    }
    Ok((read_weights(path)?.0, Vec::new()))
}

/// Whether `given` holds the arrays of `own`, no more and no less.
fn compare(own: &State, given: &State) -> Result<()> {
    let missing = own.keys().filter(|name| !given.contains_key(*name));
    let missing = missing.map(|name| format!("`{name}` {:?}", own[name].shape));
    let unexpected = given.keys().filter(|name| !own.contains_key(*name));
    let unexpected = unexpected.map(|name| format!("`{name}` {:?}", given[name].shape));
    let misshaped = own.iter().filter_map(|(name, array)| {
        let found = &given.get(name)?.shape;
        let expected = &array.shape;
        (found != expected).then(|| format!("`{name}` {found:?} instead of {expected:?}"))
    });
    let troubles: Vec<String> = [
        ("missing", missing.collect::<Vec<_>>()),
        ("unexpected", unexpected.collect()),
        ("of another shape", misshaped.collect()),
    ]
    .into_iter()
    .filter(|(_, names)| !names.is_empty())
    .map(|(what, names)| {
        let more = if names.len() > NAMED { ", …" } else { "" };
        let first = names[..names.len().min(NAMED)].join(", ");
        format!("{} {what}: {first}{more}", names.len())
    })
    .collect();
    if troubles.is_empty() {
        return Ok(());
    }
    Err(Error::data(format!(
        "tensors that don't fit the network ({})",
        troubles.join("; ")
    ))
    .expected("the names and shapes of the network in [encoder], which are torchvision's, timm's or transformers'")
    .mend(
        "set encoder.name, encoder.width, encoder.depth and what else [encoder] has to the network of the file, and mind \
         the images' channels; of a network for text, name the folder that holds its config.json",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::state::Array;

    fn state(arrays: &[(&str, &[usize])]) -> State {
        let array = |shape: &[usize]| Array {
            shape: shape.to_vec(),
            values: vec![0.0; shape.iter().product()],
        };
        arrays
            .iter()
            .map(|(name, shape)| ((*name).to_owned(), array(shape)))
            .collect()
    }

    #[test]
    fn what_does_not_fit_is_named() {
        let own = state(&[("a", &[2]), ("b", &[3, 1]), ("c", &[1])]);
        assert!(compare(&own, &own).is_ok());
        let given = state(&[("b", &[1, 3]), ("c", &[1]), ("d", &[4])]);
        let error = compare(&own, &given).unwrap_err().to_string();
        for part in [
            "1 missing: `a` [2]",
            "1 unexpected: `d` [4]",
            "1 of another shape: `b` [1, 3] instead of [3, 1]",
        ] {
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn a_pickle_is_refused_with_the_way_to_convert_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("weights.pth");
        std::fs::write(&path, b"\x80\x02").unwrap();
        let error = read(&path).unwrap_err();
        assert!(error.remedy().unwrap().contains("save_file"), "{error}");
    }
}
