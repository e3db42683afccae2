//! Writing so that nothing is ever half there.
//!
//! *Architecture Invariant:* every file that the library writes goes through here.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use crate::error::{AtPath, Error, Result};

/// How the names of files begin that are being written and have no place yet.
const PASSING: &str = ".writing-";

/// Replaces a file at once: whoever looks, whenever the power fails, finds the old contents or the new, never a part.
///
/// # Errors
/// When the folder can't be written to; the old file is then untouched.
pub fn write_atomic(path: &Path, contents: &[u8]) -> Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(folder).at_path(folder)?;
    let mut file = tempfile::Builder::new()
        .prefix(PASSING)
        .tempfile_in(folder)
        .at_path(folder)?;
    // Past `tempfile`, whose errors name the passing file.
    file.as_file_mut().write_all(contents).at_path(path)?;
    file.as_file().sync_all().at_path(path)?;
    allow_reading(file.as_file()).at_path(path)?;
    file.persist(path)
        .map_err(|error| Error::io(path, error.error))?;
    sync_folder(folder);
    Ok(())
}

/// Keeps others from writing into a folder, as long as what it gives lives. The system lets go of it when the process dies,
/// however that happens, so that the empty file `lock` means nothing by itself and stays where it is. On a file system without
/// locks nobody is kept from anything.
///
/// # Errors
/// When another holds the folder, or the file can't be made.
pub(super) fn hold(folder: &Path) -> Result<File> {
    let path = folder.join("lock");
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .at_path(&path)?;
    match file.try_lock() {
        Ok(()) | Err(TryLockError::Error(_)) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::run("another process trains into it")
            .at(folder)
            .expected("a folder that nobody else trains into")
            .mend("wait until it has ended, copy the folder, or name another with --out")),
    }
}

/// Removes what processes have left in a folder that were killed while they wrote a file; nobody else may be writing there.
pub(super) fn sweep(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(PASSING) {
            // What can't be removed takes room and does no other harm.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Gives the file `from` the second name `to`, replacing what was called so; `from` is there all the while.
///
/// # Errors
/// When the folder can't be written to; the old `to` is then untouched.
pub(super) fn keep_as(from: &Path, to: &Path) -> Result<()> {
    let waiting = to.with_extension("keeping");
    let _ = std::fs::remove_file(&waiting);
    if std::fs::hard_link(from, &waiting).is_err() {
        // A file system without second names.
        return write_atomic(to, &std::fs::read(from).at_path(from)?);
    }
    let renamed = std::fs::rename(&waiting, to).at_path(to);
    // Where both names are one file already, renaming does nothing and leaves the third.
    let _ = std::fs::remove_file(&waiting);
    renamed
}

/// Gives a file that was written as a log, and is whole now, its place under the name `to`, replacing what was called so.
///
/// # Errors
/// When the folder can't be written to; both files are then as they were.
pub fn take_place(from: &Path, to: &Path) -> Result<()> {
    std::fs::rename(from, to).at_path(to)?;
    if let Some(folder) = to.parent() {
        sync_folder(folder);
    }
    Ok(())
}

/// Temporary files are private; what is kept gets the permissions of an ordinary file.
#[cfg(unix)]
fn allow_reading(file: &File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn allow_reading(_: &File) -> std::io::Result<()> {
    Ok(())
}

/// Makes a rename last through a power failure, where the system can.
fn sync_folder(folder: &Path) {
    if let Ok(folder) = File::open(folder) {
        // Some file systems can't; the rename itself is atomic there all the same.
        let _ = folder.sync_all();
    }
}

/// A log that grows line by line.
#[derive(Debug)]
pub struct AppendLog {
    path: PathBuf,
    file: File,
}

impl AppendLog {
    /// Opens a log, cut to its first `length` bytes where it is longer; makes it where there is none.
    ///
    /// # Errors
    /// When the file can't be opened or cut.
    pub fn open(path: &Path, length: u64) -> Result<Self> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).at_path(folder)?;
        }
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(path)
            .at_path(path)?;
        if file.metadata().at_path(path)?.len() > length {
            file.set_len(length).at_path(path)?;
        }
        file.seek(SeekFrom::End(0)).at_path(path)?;
        Ok(Self {
            path: path.to_path_buf(),
            file,
        })
    }

    /// Adds bytes at the end.
    ///
    /// # Errors
    /// When the disk is full or gone.
    pub fn append(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).at_path(&self.path)
    }

    /// Makes what was added last through a power failure.
    ///
    /// # Errors
    /// When the disk is full or gone.
    pub fn sync(&mut self) -> Result<u64> {
        self.file.sync_data().at_path(&self.path)?;
        Ok(self.file.metadata().at_path(&self.path)?.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_no_scraps_are_left() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new/a.txt");
        write_atomic(&path, b"one").unwrap();
        write_atomic(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(
            std::fs::read_dir(path.parent().unwrap()).unwrap().count(),
            1
        );
    }

    #[test]
    fn what_a_killed_process_left_is_swept_up_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        write_atomic(&path("last.safetensors"), b"whole").unwrap();
        std::fs::write(path(".writing-Xy12"), b"ha").unwrap();
        sweep(folder.path());
        assert!(!path(".writing-Xy12").exists());
        assert!(path("last.safetensors").exists());
        sweep(&path("nowhere"));
    }

    #[test]
    fn a_log_is_cut_where_the_checkpoint_knows_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let mut log = AppendLog::open(&path, 0).unwrap();
        log.append(b"kept\n").unwrap();
        let length = log.sync().unwrap();
        log.append(b"lost\n").unwrap();
        drop(log);
        AppendLog::open(&path, length)
            .unwrap()
            .append(b"new\n")
            .unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"kept\nnew\n");
    }
}
