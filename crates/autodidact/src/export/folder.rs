//! Networks as folders that other programs load.

use std::path::Path;

use crate::error::{AtPath, Error, Result};
use crate::modality::Publication;
use crate::run::{write_atomic, write_published};

/// The weights' file, where transformers looks for it.
const WEIGHTS: &str = "model.safetensors";

/// Writes a network as a folder, and returns lines for people: what had to be added. The file that says what the network
/// is comes last, so that a folder that has it is whole.
///
/// # Errors
/// When the folder holds a run, or can't be written.
pub fn write_publication(folder: &Path, publication: &Publication) -> Result<Vec<String>> {
    if folder.join("recipe.toml").exists() {
        return Err(Error::run("a run is there")
            .at(folder)
            .expected("a folder of its own for what is exported")
            .mend("name another with --out"));
    }
    let inner = folder.join(&publication.weights_in);
    std::fs::create_dir_all(&inner).at_path(&inner)?;
    write_published(&inner.join(WEIGHTS), &publication.weights)?;
    for (name, contents) in publication.files.iter().rev() {
        let path = folder.join(name);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).at_path(parent)?;
        }
        write_atomic(&path, contents)?;
    }
    Ok(publication.notes.clone())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::state::State;

    #[test]
    fn files_go_where_their_names_say_and_no_run_is_written_over() {
        let scratch = tempfile::tempdir().unwrap();
        let publication = Publication {
            weights: State::new(),
            weights_in: String::new(),
            files: vec![
                ("config.json".to_owned(), b"{}".to_vec()),
                ("1_Pooling/config.json".to_owned(), b"[]".to_vec()),
            ],
            notes: vec!["a note".to_owned()],
        };
        let folder = scratch.path().join("out");
        assert_eq!(
            write_publication(&folder, &publication).unwrap(),
            ["a note"]
        );
        assert_eq!(
            std::fs::read(folder.join("1_Pooling/config.json")).unwrap(),
            b"[]"
        );
        assert!(folder.join(WEIGHTS).is_file());
        std::fs::write(folder.join("recipe.toml"), "").unwrap();
        let error = write_publication(&folder, &publication).unwrap_err();
        assert!(error.to_string().contains("a run is there"), "{error}");
    }
}
