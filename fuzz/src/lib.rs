//! What the fuzz targets share: a folder to put a stranger's files into, and the seeds that mutation starts from.
//!
//! The readers of images and series are mounted here as modules, under the paths that they have in the library. They know nothing
//! of networks, and without these the instrumented build is several times shorter.

#[path = "../../crates/autodidact/src/error.rs"]
pub mod error;
pub mod modality;
#[path = "../../crates/autodidact/src/random.rs"]
pub mod random;
pub mod recipe;
pub mod seeds;

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use crate::modality::ReadRows;
use crate::modality::image;
use crate::modality::series;
use crate::modality::source::{Part, Source, SourceSpec};

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

/// Readies a target, and sows its seeds. The library catches panics of the crates that read Parquet and TIFF, and libFuzzer's
/// hook would end the program before it can. What isn't caught ends it all the same.
pub fn begin(target: &str) {
    let _ = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    seeds::sow(target);
}

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
        if let Ok(source) = image::source::open(&spec(path, labels, part)) {
            look(source.as_ref());
        }
    }
}

/// Opens the series at `path` as the table `reading` says, and reads some of them and the steps of their recordings.
pub fn read_series(path: &Path, labels: Option<&Path>, reading: &toml::Table) {
    for part in [None, Some(Part::Test)] {
        let spec = SourceSpec {
            reading: reading.clone(),
            ..spec(path, labels, part)
        };
        let Ok(source) = series::source::open(&spec) else {
            continue;
        };
        look(source.as_ref());
        let Some(recordings) = source.recordings() else {
            continue;
        };
        for recording in 0..recordings.count().min(READ) {
            let steps = recordings.steps(recording);
            assert!(recordings.learned(recording).end <= steps);
            if let Some(abnormal) = recordings.abnormal(recording) {
                assert_eq!(abnormal.len(), steps);
            }
            let _ = (
                recordings.name(recording),
                recordings.ending(recording, steps, 3),
            );
            let _ = recordings.ending(recording, steps.saturating_sub(1), 3);
        }
    }
}

/// Reads a file line by line, as steps of one to three channels that arrive.
pub fn read_rows(text: &[u8], reading: &toml::Table) {
    let spec = SourceSpec {
        reading: reading.clone(),
        ..SourceSpec::default()
    };
    let text = String::from_utf8_lossy(text);
    for channels in 1..=3 {
        let Some(mut rows) = series::live(channels, &spec) else {
            return;
        };
        for line in text.lines() {
            match rows.read(line) {
                Ok(Some(values)) => assert_eq!(values.len(), channels),
                Ok(None) => {}
                Err(_) => break,
            }
        }
    }
}

fn spec(path: &Path, labels: Option<&Path>, part: Option<Part>) -> SourceSpec {
    SourceSpec {
        path: Some(path.to_path_buf()),
        part,
        labels: labels.map(Path::to_path_buf),
        memory_limit: 1 << 20,
        ..SourceSpec::default()
    }
}

/// Reads some items and all classes.
fn look<Item>(source: &dyn Source<Item>) {
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
