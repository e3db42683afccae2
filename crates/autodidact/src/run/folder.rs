//! Where the files of a run are.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::checkpoint::Checkpoint;
use super::weights::{read_weights, write_published};
use super::writer::{hold, keep_as, sweep, write_atomic};
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
    /// Of the one that trains into it: keeps others from it.
    _held: Option<Arc<File>>,
}

impl RunFolder {
    /// A new folder to train into, kept from others as by [`RunFolder::resume`]. With no path given, the next free
    /// `runs/<name>`, `runs/<name>-2`, ….
    ///
    /// # Errors
    /// When it holds a run already, another process trains into it, or it can't be made.
    pub fn create(path: Option<&Path>, name: &str) -> Result<Self> {
        let path = match path {
            Some(path) => path.to_path_buf(),
            None => next_free(name)?,
        };
        std::fs::create_dir_all(&path).at_path(&path)?;
        let held = hold(&path)?;
        // Looked at last: until now another may have begun a run there, and ended it.
        if path.join("recipe.toml").exists() {
            return Err(Error::run("a run is there already").at(&path).expected("a new folder").mend(
                "name another with --out, or go on with `autodidact pretrain --resume` and this folder",
            ));
        }
        Ok(Self {
            path,
            published: None,
            _held: Some(Arc::new(held)),
        })
    }

    /// A folder that holds a run, or published weights; to train into it, [`RunFolder::resume`] it.
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
                _held: None,
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
            )
            .mend("runs are in runs/, where --out named no other place"))
    }

    /// A folder that holds a run, to train into it: as long as this or a clone of it lives, no other process can, nor this one
    /// once more.
    ///
    /// # Errors
    /// As [`RunFolder::open`], and when another process trains into it.
    pub fn resume(path: &Path) -> Result<Self> {
        let mut folder = Self::open(path)?;
        // Nobody trains into published weights, whose folder may be one that can't be written to.
        if folder.published.is_none() {
            folder._held = Some(Arc::new(hold(path)?));
        }
        Ok(folder)
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

    /// What a run goes on from, as [`RunFolder::checkpoint`] has it; `None` for one that was killed before it had written a
    /// checkpoint, and begins anew.
    ///
    /// # Errors
    /// When no checkpoint can be read, or those of a run that has come to an end are gone.
    pub fn kept(&self) -> Result<Option<(Checkpoint, Option<Error>)>> {
        let numbered = || {
            self.all_numbered()
                .is_ok_and(|numbered| !numbered.is_empty())
        };
        if self.last().exists() || self.previous().exists() || numbered() {
            return self.checkpoint().map(Some);
        }
        // Beginning anew must not cost anybody a network.
        if self.published.is_none() && !self.file("encoder.safetensors").exists() {
            return Ok(None);
        }
        Err(Error::run("weights and no checkpoint to go on from")
            .at(&self.path)
            .expected("checkpoints/last.safetensors in it")
            .mend(format!(
                "begin a new run from the weights: `autodidact pretrain DATA --init {}`",
                self.path.display()
            )))
    }

    /// Removes what processes have left that were killed while they wrote a checkpoint. For the one that trains here.
    pub(crate) fn sweep(&self) {
        sweep(&self.path.join("checkpoints"));
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

/// Makes the next free folder of `runs/<name>`, `runs/<name>-2`, …; of two processes at the same moment each gets its own.
fn next_free(name: &str) -> Result<PathBuf> {
    let runs = Path::new("runs");
    std::fs::create_dir_all(runs).at_path(runs)?;
    let mut number = 1;
    loop {
        let path = match number {
            1 => runs.join(name),
            number => runs.join(format!("{name}-{number}")),
        };
        match std::fs::create_dir(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => number += 1,
            made => return made.at_path(&path).map(|()| path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_at_a_time_trains_into_a_folder_and_others_may_read_it() {
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("run");
        let first = RunFolder::create(Some(&path), "").unwrap();
        first.write_recipe(&Recipe::default(), "A run.").unwrap();
        for second in [RunFolder::create(Some(&path), ""), RunFolder::resume(&path)] {
            let error = second.unwrap_err();
            assert!(error.to_string().contains("another process"), "{error}");
            assert!(error.remedy().unwrap().contains("wait"), "{error}");
        }
        RunFolder::open(&path).unwrap();
        let clone = first.clone();
        drop(first);
        assert!(RunFolder::resume(&path).is_err());
        drop(clone);
        // The file is there still, and keeps nobody from anything.
        let again = RunFolder::resume(&path).unwrap();
        assert!(RunFolder::resume(&path).is_err());
        drop(again);
        let error = RunFolder::create(Some(&path), "").unwrap_err();
        assert!(error.to_string().contains("a run is there"), "{error}");
    }

    #[test]
    fn a_run_without_a_checkpoint_begins_anew_unless_it_has_come_to_an_end() {
        let scratch = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(Some(scratch.path()), "").unwrap();
        folder.write_recipe(&Recipe::default(), "A run.").unwrap();
        assert!(folder.kept().unwrap().is_none());
        std::fs::create_dir(scratch.path().join("checkpoints")).unwrap();
        assert!(folder.kept().unwrap().is_none());
        // What is damaged is said, and nothing begins anew over it.
        std::fs::write(folder.last(), b"half").unwrap();
        assert!(folder.kept().is_err());
        std::fs::remove_file(folder.last()).unwrap();
        std::fs::write(folder.file("encoder.safetensors"), b"weights").unwrap();
        let error = folder.kept().unwrap_err();
        assert!(error.to_string().contains("no checkpoint"), "{error}");
        assert!(error.remedy().unwrap().contains("--init"), "{error}");
    }
}
