//! The files beside a recipe: what was measured on the data and is too large for the recipe itself.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::error::{AtPath, Error, Result};

/// The largest file that is read, in bytes.
const LARGEST: u64 = 1 << 30;

/// Files by name, held in memory or in the folder of the recipe.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Beside {
    folder: Option<PathBuf>,
    held: BTreeMap<&'static str, Arc<Vec<u8>>>,
}

impl Beside {
    /// Those in the folder of a recipe that was read.
    pub(super) fn folder_of(recipe: &Path) -> Self {
        let folder = recipe.parent().unwrap_or(Path::new(""));
        Self {
            folder: Some(folder.to_path_buf()),
            held: BTreeMap::new(),
        }
    }

    /// Those of data that was just measured.
    pub(super) fn holding(files: Vec<(&'static str, Arc<Vec<u8>>)>) -> Self {
        Self {
            folder: None,
            held: files.into_iter().collect(),
        }
    }

    /// Those in memory, which have to be written.
    pub(super) fn held(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.held.iter().map(|(name, bytes)| (*name, &bytes[..]))
    }

    /// One of them.
    ///
    /// # Errors
    /// When it isn't there, can't be read, or is too large.
    pub(super) fn read(&self, name: &str) -> Result<Vec<u8>> {
        if let Some(bytes) = self.held.get(name) {
            return Ok(bytes.to_vec());
        }
        let missing = || {
            Error::run(format!("no {name} beside the recipe"))
                .expected("the file that the run wrote there")
                .mend("name the recipe in the run's own folder, or leave [data.measured] out of it")
        };
        let path = self.folder.as_ref().ok_or_else(missing)?.join(name);
        let about = std::fs::metadata(&path).map_err(|_| missing().at(&path))?;
        if about.len() > LARGEST {
            return Err(Error::run(format!("{} bytes", about.len()))
                .at(&path)
                .expected(format!("at most {LARGEST}")));
        }
        std::fs::read(&path).at_path(&path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_found_in_memory_or_in_the_folder_and_missed_by_name() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("a.json"), b"{}").unwrap();
        let read = Beside::folder_of(&folder.path().join("recipe.toml"));
        assert_eq!(read.read("a.json").unwrap(), b"{}");
        let error = read.read("b.json").unwrap_err().to_string();
        assert!(error.contains("no b.json beside the recipe"), "{error}");
        let held = Beside::holding(vec![("b.json", Arc::new(b"[]".to_vec()))]);
        assert_eq!(held.read("b.json").unwrap(), b"[]");
        assert!(Beside::default().read("b.json").is_err());
    }
}
