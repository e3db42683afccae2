//! Small data sets of every kind, made in temporary folders.

mod formats;
mod hostile;
mod odd;
mod parts;
mod real;
mod times;

use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::*;
use crate::modality::source::{Part, Recordings};

fn write(root: &Path, name: &str, bytes: impl AsRef<[u8]>) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn tar_of(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in members {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder.append_data(&mut header, name, *bytes).unwrap();
    }
    builder.into_inner().unwrap()
}

fn zip_of(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (name, bytes) in members {
        let options = zip::write::SimpleFileOptions::default();
        writer.start_file(*name, options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

/// An array as `numpy.save` writes it.
fn npy(kind: &str, shape: &str, values: &[u8]) -> Vec<u8> {
    let mut header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}");
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(values);
    bytes
}

fn spec(path: impl AsRef<Path>, reading: &str) -> SourceSpec {
    SourceSpec {
        path: Some(path.as_ref().to_path_buf()),
        memory_limit: 1 << 20,
        reading: reading.parse().unwrap(),
        ..SourceSpec::default()
    }
}

fn opened(path: impl AsRef<Path>, reading: &str) -> Box<dyn Source<Series>> {
    open(&spec(path, reading)).unwrap()
}

fn part(path: impl AsRef<Path>, reading: &str, part: Part) -> Result<Box<dyn Source<Series>>> {
    open(&SourceSpec {
        part: Some(part),
        ..spec(path, reading)
    })
}

fn failed(path: impl AsRef<Path>, reading: &str) -> String {
    let error = open(&spec(path, reading)).err().expect("an error");
    format!("{error} | {}", error.remedy().unwrap_or_default())
}

fn names(source: &dyn Source<Series>) -> Vec<String> {
    (0..source.len()).map(|index| source.name(index)).collect()
}

fn classes(source: &dyn Source<Series>) -> Vec<&str> {
    let labels = source.labels().expect("labels");
    assert_eq!(labels.of.len(), source.len());
    let name = |class: &Option<u32>| class.map_or("-", |class| &labels.classes[class as usize]);
    labels.of.iter().map(name).collect()
}

/// The values of an item as text, in which what is missing equals itself.
fn values(source: &dyn Source<Series>, index: usize) -> String {
    format!("{:?}", source.get(index).unwrap().values)
}

/// A file of a name with contents, opened.
fn of_file(name: &str, text: &str, reading: &str) -> Box<dyn Source<Series>> {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), name, text);
    opened(folder.path().join(name), reading)
}

fn refused(name: &str, text: &str, reading: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), name, text);
    failed(folder.path().join(name), reading)
}
