//! Parquet files with a column of images.

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Int64Array, RecordBatch, StringArray, StructArray};
use arrow::datatypes::{DataType, Field};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression as Packing;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use rand::RngExt;

use super::hostile::mutate;
use super::*;
use crate::random::{Purpose, stream};

const NOTES: &str = r#"{"info": {"features": {
    "note": {"dtype": "binary", "_type": "Value"},
    "picture": {"_type": "Image"},
    "kind": {"names": ["ant", "bee", "cat"], "_type": "ClassLabel"}}}}"#;

/// A table as the library `datasets` writes it, two rows to a group.
fn table(columns: Vec<(&str, ArrayRef)>, notes: Option<&str>, packing: Packing) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let notes = notes.map(|notes| vec![KeyValue::new("huggingface".to_owned(), notes.to_owned())]);
    let how = WriterProperties::builder()
        .set_compression(packing)
        .set_max_row_group_row_count(Some(2))
        .set_key_value_metadata(notes)
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(how)).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

fn plain(seeds: &[Option<u8>]) -> ArrayRef {
    let images: Vec<_> = seeds.iter().map(|seed| seed.map(png)).collect();
    Arc::new(BinaryArray::from_iter(images))
}

fn structs(seeds: &[Option<u8>], path: impl Fn(u8) -> Option<String>) -> ArrayRef {
    let paths = seeds.iter().map(|seed| seed.and_then(&path));
    let paths: ArrayRef = Arc::new(StringArray::from_iter(paths));
    let field = |name, kind| Arc::new(Field::new(name, kind, true));
    Arc::new(StructArray::from(vec![
        (field("bytes", DataType::Binary), plain(seeds)),
        (field("path", DataType::Utf8), paths),
    ]))
}

fn numbers(values: &[Option<i64>]) -> ArrayRef {
    Arc::new(Int64Array::from(values.to_vec()))
}

#[test]
fn files_of_a_part_are_one_set_with_the_names_and_classes_of_their_notes() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let path = |seed: u8| (seed != 2).then(|| format!("{seed}.png"));
    let write_part = |name: &str, seeds: &[Option<u8>], classes: &[Option<i64>]| {
        let note: ArrayRef = Arc::new(BinaryArray::from_iter_values(vec![b"x"; seeds.len()]));
        let columns = vec![
            ("note", note),
            ("picture", structs(seeds, path)),
            ("kind", numbers(classes)),
        ];
        write(root, name, &table(columns, Some(NOTES), Packing::SNAPPY));
    };
    let seeds = [Some(1), Some(2), None];
    write_part(
        "data/train-00000-of-00002-ab12.parquet",
        &seeds,
        &[Some(2), Some(-1), None],
    );
    write_part(
        "data/train-00001-of-00002-cd34.parquet",
        &[Some(4)],
        &[Some(0)],
    );
    write_part("data/test-00000-of-00001.parquet", &[Some(5)], &[Some(1)]);
    // With room for what is read, and without.
    for memory_limit in [1 << 20, 0] {
        let of = |part: Part| SourceSpec {
            memory_limit,
            part: Some(part),
            ..spec(root)
        };
        let train = open(&of(Part::Train)).unwrap();
        assert_eq!(
            names(&*train),
            [
                "1.png",
                "data/train-00000-of-00002-ab12/00001",
                "data/train-00000-of-00002-ab12/00002",
                "4.png"
            ]
        );
        assert_eq!(classes(&*train), ["cat", "-", "-", "ant"]);
        for (index, seed) in [(3, 4), (0, 1), (1, 2)] {
            assert_eq!(train.get(index).unwrap(), decode(&png(seed)).unwrap());
        }
        let text = train.get(2).unwrap_err().to_string();
        assert!(
            text.contains("ab12.parquet, row 2, column picture: holds no image"),
            "{text}"
        );
        assert_eq!(train.other_parts(), [Part::Test]);
        let test = open(&of(Part::Test)).unwrap();
        assert_eq!(classes(&*test), ["bee"]);
        assert_eq!(test.labels().unwrap().classes, ["ant", "bee", "cat"]);
    }
}

#[test]
fn without_notes_names_and_types_tell_the_columns() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("photos.parquet");
    let text: ArrayRef = Arc::new(StringArray::from(vec![Some("dog"), None, Some("cat")]));
    let other: ArrayRef = Arc::new(BinaryArray::from_iter_values([b"x"; 3]));
    let images = plain(&[Some(1), Some(2), Some(3)]);
    let columns = vec![("other", other.clone()), ("IMAGE", images), ("label", text)];
    for packing in [Packing::UNCOMPRESSED, Packing::GZIP(Default::default())] {
        let bytes = table(columns.clone(), None, packing);
        write(folder.path(), "photos.parquet", &bytes);
        let source = open(&spec(&path)).unwrap();
        assert_eq!(classes(&*source), ["dog", "-", "cat"]);
        assert_eq!(source.name(2), "photos/00002");
        assert_eq!(source.get(2).unwrap(), decode(&png(3)).unwrap());
        // Without room the next row is read by itself.
        let none = SourceSpec {
            memory_limit: 0,
            ..spec(&path)
        };
        assert_eq!(
            open(&none).unwrap().get(1).unwrap(),
            decode(&png(2)).unwrap()
        );
    }
    let columns = vec![("a", other.clone()), ("b", other)];
    write(
        folder.path(),
        "photos.parquet",
        &table(columns, None, Packing::SNAPPY),
    );
    let text = error(&spec(&path)).to_string();
    assert!(
        text.contains("photos.parquet: has no column of images (columns: a, b)"),
        "{text}"
    );
}

#[test]
fn packed_tables_are_of_the_kind_that_their_columns_tell() {
    let folder = tempfile::tempdir().unwrap();
    let images = table(
        vec![("image", plain(&[Some(1), Some(2), Some(3)]))],
        None,
        Packing::SNAPPY,
    );
    let values = vec![("x", numbers(&[Some(1), Some(2)]))];
    let values = table(values, None, Packing::SNAPPY);
    for (number, (bytes, kind)) in [(images, "images"), (values, "series")].iter().enumerate() {
        let members = [("data/train-0.parquet", bytes.clone())];
        let root = folder.path().join(number.to_string());
        write(&root, "a.zip", &zip_of(&members));
        write(&root, "b.tar", &tar_of(&members));
        write(&root, "c.tar.gz", &gzip(&tar_of(&members)));
        for path in [
            root.join("a.zip"),
            root.join("b.tar"),
            root.join("c.tar.gz"),
            root,
        ] {
            let found = crate::modality::recognize(Some(path.as_path()));
            assert_eq!(found, *kind, "{}", path.display());
            if *kind == "images" && path.is_file() {
                assert_eq!(open(&spec(&path)).unwrap().len(), 3);
            }
        }
    }
}

#[test]
fn groups_that_lie_on_one_another_are_refused() {
    use parquet::file::metadata::{ParquetMetaDataReader, ParquetMetaDataWriter};
    let folder = tempfile::tempdir().unwrap();
    let images = plain(&[Some(1), Some(2), Some(3), Some(4), Some(5)]);
    let bytes = table(vec![("image", images)], None, Packing::SNAPPY);
    let reader = bytes::Bytes::from(bytes.clone());
    let metadata = ParquetMetaDataReader::new()
        .parse_and_finish(&reader)
        .unwrap();
    // Each of the three says that it is as long as the file was.
    let whole = bytes.len() as i64;
    let longer = metadata.row_groups().iter().map(|group| {
        let columns = group.columns().iter().map(|column| {
            let column = column.clone().into_builder();
            column.set_total_compressed_size(whole).build().unwrap()
        });
        let columns = columns.collect();
        let group = group.clone().into_builder();
        group.set_column_metadata(columns).build().unwrap()
    });
    let longer: Vec<_> = longer.collect();
    assert_eq!(longer.len(), 3);
    let metadata = metadata.into_builder().set_row_groups(longer).build();
    let mut written = bytes;
    let mut notes = Vec::new();
    ParquetMetaDataWriter::new(&mut notes, &metadata)
        .finish()
        .unwrap();
    written.extend(notes);
    write(folder.path(), "x.parquet", &written);
    let text = error(&spec(folder.path().join("x.parquet"))).to_string();
    assert!(text.contains("damaged or ends too early"), "{text}");
}

#[test]
fn wrong_rows_are_named_with_file_row_and_column() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.parquet");
    let garbage: ArrayRef = Arc::new(BinaryArray::from_iter_values([b"garbage"; 2]));
    let columns = vec![("picture", garbage), ("kind", numbers(&[Some(0), Some(7)]))];
    write(
        folder.path(),
        "x.parquet",
        &table(columns.clone(), None, Packing::SNAPPY),
    );
    let text = open(&spec(&path)).unwrap().get(1).unwrap_err().to_string();
    assert!(
        text.contains("x.parquet, row 1, column picture: is no image: begins with \"garbage\""),
        "{text}"
    );
    let bytes = table(columns, Some(NOTES), Packing::SNAPPY);
    write(folder.path(), "x.parquet", &bytes);
    let text = error(&spec(&path)).to_string();
    assert!(
        text.contains("x.parquet, row 1, column kind: holds the class 7; expected 0 to 2"),
        "{text}"
    );
    write(folder.path(), "x.parquet", &bytes[..bytes.len() - 9]);
    let text = error(&spec(&path)).to_string();
    assert!(text.contains("damaged or ends too early"), "{text}");
}

#[test]
fn what_a_file_claims_of_itself_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.parquet");
    let found = |bytes: &[u8]| {
        write(folder.path(), "x.parquet", bytes);
        let error = open(&spec(&path))
            .and_then(|source| source.get(0))
            .unwrap_err();
        let reason = std::error::Error::source(&error).map(ToString::to_string);
        format!("{error}: {}", reason.unwrap_or_default())
    };
    // Two billion groups of rows, each of which would be given room.
    let text = found(b"PAR1\x49\xfc\xff\xff\xff\xff\x07\x07\0\0\0PAR1");
    assert!(text.contains("more than there is room for"), "{text}");
    // A page that says that it becomes longer than what it is packed from can; its length stands behind type and tag.
    let columns = vec![("picture", plain(&[Some(1)]))];
    let mut bytes = table(columns.clone(), None, Packing::UNCOMPRESSED);
    assert!(bytes[7] >= 0x80 && bytes[8] < 0x80, "a length of two bytes");
    bytes[7..9].copy_from_slice(&[0xfe, 0x7f]);
    let text = found(&bytes);
    assert!(text.contains("bytes are to become 8191"), "{text}");
    // A packed page that holds more than it says.
    let long: ArrayRef = Arc::new(BinaryArray::from_iter_values([[0; 3_000]]));
    let mut bytes = table(
        vec![("picture", long)],
        None,
        Packing::GZIP(Default::default()),
    );
    assert!(bytes[7] >= 0x80 && bytes[8] < 0x80, "a length of two bytes");
    bytes[7..9].copy_from_slice(&[0x80, 0x01]);
    let text = found(&bytes);
    assert!(text.contains("holds more than its header says"), "{text}");
}

#[test]
fn lengths_that_are_packed_as_differences_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let columns = vec![("picture", plain(&[Some(1), Some(2)]))];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let how = WriterProperties::builder()
        .set_dictionary_enabled(false)
        .set_encoding(parquet::basic::Encoding::DELTA_LENGTH_BYTE_ARRAY)
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(how)).unwrap();
    writer.write(&batch).unwrap();
    write(folder.path(), "x.parquet", &writer.into_inner().unwrap());
    let source = open(&spec(folder.path().join("x.parquet"))).unwrap();
    let error = source.get(0).unwrap_err();
    let reason = std::error::Error::source(&error).unwrap().to_string();
    assert!(
        reason.contains("differences of lengths"),
        "{error}: {reason}"
    );
}

#[test]
fn changed_tables_never_panic() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.parquet");
    let seeds = [Some(1), None, Some(2), Some(3)];
    let columns = vec![
        ("picture", structs(&seeds, |seed| Some(seed.to_string()))),
        ("kind", numbers(&[Some(0), Some(1), None, Some(2)])),
    ];
    let mut read = 0;
    for (kind, packing) in [Packing::UNCOMPRESSED, Packing::SNAPPY]
        .into_iter()
        .enumerate()
    {
        let whole = table(columns.clone(), Some(NOTES), packing);
        for round in 0..600 {
            let mut rng = stream(3, Purpose::Evaluation, &[kind as u64, round]);
            // The notes are at the end; a file whose length is another has lost them.
            let (front, back) = whole.split_at(if round % 2 == 0 { 0 } else { whole.len() / 2 });
            let mut bytes = [front, &mutate(back, &mut rng)].concat();
            bytes.resize(whole.len(), 0);
            let end = whole.len() - 8;
            bytes[end..].copy_from_slice(&whole[end..]);
            write(folder.path(), "x.parquet", &bytes);
            let memory_limit = rng.random_range(0..2) << 20;
            let spec = SourceSpec {
                memory_limit,
                ..spec(&path)
            };
            if let Ok(source) = open(&spec) {
                for index in 0..source.len().min(10) {
                    read += usize::from(source.get(index).is_ok());
                }
            }
        }
    }
    assert!(read > 100, "only {read} could be read");
}
