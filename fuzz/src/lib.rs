//! What the fuzz targets share: a folder to put a stranger's files into, and the seeds that mutation starts from.
//!
//! The readers of images are mounted here as modules, under the paths that they have in the library. They know nothing
//! of networks, and without these the instrumented build is several times shorter.

#[path = "../../crates/autodidact/src/error.rs"]
pub mod error;
pub mod modality;
#[path = "../../crates/autodidact/src/random.rs"]
pub mod random;
pub mod seeds;

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use crate::modality::image::source::open;
use crate::modality::source::{Part, SourceSpec};

/// Items of a set that are read.
const READ: usize = 4;

/// A folder in memory, where there is one, since every input becomes a file.
static ROOM: LazyLock<tempfile::TempDir> = LazyLock::new(|| {
    let memory = Path::new("/dev/shm");
    let made = if memory.is_dir() {
        tempfile::tempdir_in(memory)
    } else {
        tempfile::tempdir()
    };
    made.expect("a temporary folder")
});

/// Writes a file and tells where. A file of that name is replaced; files of other names stay.
pub fn file(name: &str, contents: &[u8]) -> PathBuf {
    let path = ROOM.path().join(name);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).expect("a temporary folder");
    }
    std::fs::write(&path, contents).expect("a temporary file");
    path
}

/// Opens what lies at `path`, either part of it, and reads some of its images and all of its names, as a run does.
pub fn read(path: &Path, labels: Option<&Path>) {
    for part in [None, Some(Part::Test)] {
        let spec = SourceSpec {
            path: Some(path.to_path_buf()),
            part,
            labels: labels.map(Path::to_path_buf),
            memory_limit: 1 << 20,
            ..SourceSpec::default()
        };
        let Ok(source) = open(&spec) else {
            continue;
        };
        let _ = source.describe();
        for index in (0..source.len())
            .take(READ)
            .chain(source.len().checked_sub(1))
        {
            let _ = (source.name(index), source.get(index));
        }
        if let Some(labels) = source.labels() {
            assert_eq!(labels.of.len(), source.len());
            let classes = labels.of.iter().flatten();
            assert!(
                classes
                    .into_iter()
                    .all(|&class| (class as usize) < labels.classes.len())
            );
        }
    }
}

/// Cuts an input in two: its first two bytes are the length of the first piece. Mutation then changes either file.
pub fn two(input: &[u8]) -> (&[u8], &[u8]) {
    let Some((length, rest)) = input.split_first_chunk() else {
        return (input, &[]);
    };
    rest.split_at(usize::from(u16::from_le_bytes(*length)).min(rest.len()))
}

/// Joins two files to an input that [`two`] cuts.
pub fn joined(first: &[u8], second: &[u8]) -> Vec<u8> {
    let length = u16::try_from(first.len()).expect("seeds are small");
    [&length.to_le_bytes(), first, second].concat()
}
