//! One error type for the whole library: what was found, where, what was expected and how to mend it.

use std::fmt;
use std::path::{Path, PathBuf};

/// What the library's functions return.
pub type Result<T> = std::result::Result<T, Error>;

/// The sort of trouble, which decides the exit code of the binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The recipe or the arguments ask for something that isn't there or doesn't fit.
    Recipe,
    /// The user's data can't be read or used.
    Data,
    /// A run folder is missing, damaged, or of another shape than its recipe says.
    Run,
    /// Training went wrong: a loss that isn't finite, for example.
    Training,
    /// Someone asked to stop.
    Interrupted,
    /// The operating system refused a file.
    Io,
}

/// An error that tells a person what to do next.
///
/// Built in the order in which it reads: `Error::data("holds no images").at(path).expected("…").mend("…")`.
#[derive(Debug)]
pub struct Error {
    kind: Kind,
    at: Option<PathBuf>,
    found: String,
    expected: Option<String>,
    mend: Option<String>,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error of `kind` that says what was found.
    pub fn new(kind: Kind, found: impl Into<String>) -> Self {
        Self {
            kind,
            at: None,
            found: found.into(),
            expected: None,
            mend: None,
            source: None,
        }
    }

    /// The recipe or the arguments are wrong.
    pub fn recipe(found: impl Into<String>) -> Self {
        Self::new(Kind::Recipe, found)
    }

    /// The user's data is wrong.
    pub fn data(found: impl Into<String>) -> Self {
        Self::new(Kind::Data, found)
    }

    /// The run folder is wrong.
    pub fn run(found: impl Into<String>) -> Self {
        Self::new(Kind::Run, found)
    }

    /// Training went wrong.
    pub fn training(found: impl Into<String>) -> Self {
        Self::new(Kind::Training, found)
    }

    /// The operating system refused `path`. Says what to do where that depends on the refusal alone.
    pub fn io(path: impl AsRef<Path>, source: std::io::Error) -> Self {
        use std::io::ErrorKind::{
            FileTooLarge, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull,
        };
        let error = Self::new(Kind::Io, source.to_string()).at(path);
        match source.kind() {
            StorageFull | QuotaExceeded | FileTooLarge => {
                error.mend("make room there, or name another place")
            }
            ReadOnlyFilesystem | PermissionDenied => {
                error.mend("name a place that you may use, or change its permissions")
            }
            _ => error,
        }
    }

    /// Names the file, folder or archive member (`photos.zip!cats/1.jpg`).
    #[must_use]
    pub fn at(mut self, path: impl AsRef<Path>) -> Self {
        self.at = Some(path.as_ref().to_path_buf());
        self
    }

    /// Says what was expected instead.
    #[must_use]
    pub fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    /// Says how to mend it.
    #[must_use]
    pub fn mend(mut self, mend: impl Into<String>) -> Self {
        self.mend = Some(mend.into());
        self
    }

    /// Keeps the error underneath.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The sort of trouble.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What to do about it, where something can be done.
    pub fn remedy(&self) -> Option<&str> {
        self.mend.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(at) = &self.at {
            write!(f, "{}: ", at.display())?;
        }
        f.write_str(&self.found)?;
        if let Some(source) = &self.source {
            write!(f, " ({source})")?;
        }
        if let Some(expected) = &self.expected {
            write!(f, "; expected {expected}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// Attaches a path to an I/O error.
pub trait AtPath<T> {
    /// Turns the error of an I/O call on `path` into one that names it.
    fn at_path(self, path: impl AsRef<Path>) -> Result<T>;
}

impl<T> AtPath<T> for std::io::Result<T> {
    fn at_path(self, path: impl AsRef<Path>) -> Result<T> {
        self.map_err(|source| Error::io(path, source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_reads_from_the_file_to_what_was_expected() {
        let error = Error::data("holds no images")
            .at("photos")
            .expected("JPEG, PNG, BMP, WebP, GIF or TIFF files")
            .mend("name the folder that holds them");
        assert_eq!(
            error.to_string(),
            "photos: holds no images; expected JPEG, PNG, BMP, WebP, GIF or TIFF files"
        );
        assert_eq!(error.remedy(), Some("name the folder that holds them"));
    }
}
