//! Where the files of a run are.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::checkpoint::Checkpoint;
use super::weights::{read_weights, write_published};
use super::writer::{keep_as, write_atomic};
use crate::error::{AtPath, Error, Result};
use crate::layers::state::State;
use crate::modality::{self, Published};
use crate::recipe::Recipe;

/// `runs/<name>/`: recipe, checkpoints, metrics, the encoder, the card. A folder of published weights is one that has just
/// an encoder and the recipe that can be made of it.
#[derive(Debug, Clone)]
pub struct RunFolder {
    path: PathBuf,
    published: Option<Arc<Published>>,
}

impl RunFolder {
    /// A new folder. With no path given, the next free `runs/<name>`, `runs/<name>-2`, ….
    ///
    /// # Errors
    /// When it holds a run already, or can't be made.
    pub fn create(path: Option<&Path>, name: &str) -> Result<Self> {
        let path = match path {
            Some(path) => path.to_path_buf(),
            None => (1..)
                .map(|n| {
                    Path::new("runs").join(if n == 1 {
                        name.to_owned()
                    } else {
                        format!("{name}-{n}")
                    })
                })
                .find(|path| !path.exists())
                .unwrap_or_else(|| Path::new("runs").join(name)),
        };
        if path.join("recipe.toml").exists() {
            return Err(Error::run("a run is there already").at(&path).expected("a new folder").mend(
                "name another with --out, or go on with `autodidact pretrain --resume` and this folder",
            ));
        }
        std::fs::create_dir_all(&path).at_path(&path)?;
        Ok(Self {
            path,
            published: None,
        })
    }

    /// A folder that holds a run, or published weights.
    ///
    /// # Errors
    /// When there is none, or its weights are of a network that can't be taken over.
    pub fn open(path: &Path) -> Result<Self> {
        let published = match path.join("recipe.toml").is_file() || !path.is_dir() {
            true => None,
            false => modality::published(path)?.map(Arc::new),
        };
        if published.is_some() || path.join("recipe.toml").is_file() {
            return Ok(Self {
                path: path.to_path_buf(),
                published,
            });
        }
        let found = if path.is_dir() {
            "no recipe.toml in it"
        } else if path.exists() {
            "a file"
        } else {
            "no such folder"
        };
        Err(Error::run(found)
            .at(path)
            .expected(
                "the folder of a run, as `autodidact pretrain` leaves it, or one of published weights with its \
                 config.json",
            ))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file in it.
    pub fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// `checkpoints/last.safetensors`.
    pub fn last(&self) -> PathBuf {
        self.path.join("checkpoints/last.safetensors")
    }

    /// `checkpoints/previous.safetensors`: the checkpoint before the last, should the disk damage that.
    pub fn previous(&self) -> PathBuf {
        self.path.join("checkpoints/previous.safetensors")
    }

    /// Writes the last checkpoint and keeps the one before it.
    ///
    /// # Errors
    /// When it can't be written; the last one is then untouched.
    pub fn write_checkpoint(&self, checkpoint: &Checkpoint) -> Result<()> {
        if self.last().exists() {
            keep_as(&self.last(), &self.previous())?;
        }
        checkpoint.write(&self.last())
    }

    /// The newest checkpoint that can be read, and what is wrong with the last one where that isn't it.
    ///
    /// The last one is then replaced by the readable one, and kept as `damaged.safetensors`.
    ///
    /// # Errors
    /// Those of the last checkpoint, where no other can be read either.
    pub fn checkpoint(&self) -> Result<(Checkpoint, Option<Error>)> {
        let error = match Checkpoint::read(&self.last()) {
            Ok(checkpoint) => return Ok((checkpoint, None)),
            Err(error) => error,
        };
        let mut older = vec![self.previous()];
        older.extend(self.all_numbered().unwrap_or_default().into_iter().rev());
        for path in older {
            if let Ok(checkpoint) = Checkpoint::read(&path) {
                // Else the next checkpoint would keep the damaged one as its previous.
                if self.last().exists() {
                    keep_as(
                        &self.last(),
                        &self.path.join("checkpoints/damaged.safetensors"),
                    )?;
                }
                keep_as(&path, &self.last())?;
                return Ok((checkpoint, Some(error)));
            }
        }
        Err(error)
    }

    /// `checkpoints/best.safetensors`.
    pub fn best(&self) -> PathBuf {
        self.path.join("checkpoints/best.safetensors")
    }

    /// `checkpoints/step-….safetensors`.
    pub fn numbered(&self, step: u64) -> PathBuf {
        self.path
            .join(format!("checkpoints/step-{step:09}.safetensors"))
    }

    /// Removes all but the newest `keep` numbered checkpoints.
    ///
    /// # Errors
    /// When the folder can't be read.
    pub fn prune(&self, keep: usize) -> Result<()> {
        for path in self.all_numbered()?.iter().rev().skip(keep) {
            std::fs::remove_file(path).at_path(path)?;
        }
        Ok(())
    }

    /// The numbered checkpoints, the oldest first.
    fn all_numbered(&self) -> Result<Vec<PathBuf>> {
        let folder = self.path.join("checkpoints");
        let mut numbered: Vec<PathBuf> = std::fs::read_dir(&folder)
            .at_path(&folder)?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| {
                path.file_name()
                    .is_some_and(|name| name.to_string_lossy().starts_with("step-"))
            })
            .collect();
        numbered.sort();
        Ok(numbered)
    }

    /// The recipe, as resolved.
    ///
    /// # Errors
    /// When it can't be read.
    pub fn recipe(&self) -> Result<Recipe> {
        match &self.published {
            Some(published) => Recipe::of_published(published),
            None => Recipe::read(&self.file("recipe.toml")),
        }
    }

    /// Writes the recipe under a few lines of comment, and first the files that belong beside it.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn write_recipe(&self, recipe: &Recipe, comment: &str) -> Result<()> {
        for (name, contents) in recipe.files() {
            write_atomic(&self.file(name), contents)?;
        }
        let comment: String = comment.lines().map(|line| format!("# {line}\n")).collect();
        write_atomic(
            &self.file("recipe.toml"),
            format!("{comment}\n{recipe}").as_bytes(),
        )
    }

    /// Writes the encoder, loadable by PyTorch's ecosystem.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn write_encoder(&self, encoder: &State) -> Result<()> {
        write_published(&self.file("encoder.safetensors"), encoder)
    }

    /// The encoder.
    ///
    /// # Errors
    /// When the run hasn't come so far, or the file is damaged.
    pub fn encoder(&self) -> Result<State> {
        self.encoder_and_notes().map(|(encoder, _)| encoder)
    }

    /// The encoder and, of published weights, lines for people: what was left out or adapted.
    ///
    /// # Errors
    /// As [`RunFolder::encoder`].
    pub fn encoder_and_notes(&self) -> Result<(State, Vec<String>)> {
        if let Some(published) = &self.published {
            return (published.weights)();
        }
        let path = self.file("encoder.safetensors");
        if !path.is_file() {
            return Err(Error::run("no encoder.safetensors in it yet")
                .at(&self.path)
                .expected("a run that has come to an end")
                .mend("finish it with `autodidact pretrain --resume`"));
        }
        Ok((read_weights(&path)?.0, Vec::new()))
    }
}
