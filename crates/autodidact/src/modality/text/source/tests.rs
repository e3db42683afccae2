mod hostile;
mod tables;

use std::io::Write;
use std::path::Path;

use super::open;
use crate::error::Result;
use crate::modality::source::{Part, Source, SourceSpec};
use crate::modality::text::Passage;

fn spec(path: impl AsRef<Path>, reading: &str) -> SourceSpec {
    SourceSpec {
        path: Some(path.as_ref().to_path_buf()),
        memory_limit: 1 << 20,
        reading: reading.parse().unwrap(),
        ..SourceSpec::default()
    }
}

fn texts(source: &dyn Source<Passage>) -> Vec<String> {
    (0..source.len())
        .map(|index| match source.get(index).unwrap() {
            Passage::Document(text) => text.to_string(),
            other => unreachable!("{other:?} where there are no pairs"),
        })
        .collect()
}

fn read(path: &Path, reading: &str) -> Result<Vec<String>> {
    Ok(texts(open(&spec(path, reading))?.as_ref()))
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    let level = ruzstd::encoding::CompressionLevel::Fastest;
    ruzstd::encoding::compress_to_vec(bytes, level)
}

const POEM: &str = "one line\nanother\n\n  \nthe last, ünïcode\n";

#[test]
fn a_file_is_a_document_or_its_lines_or_its_paragraphs_are_packed_or_not() {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in [
        ("poem.txt", POEM.as_bytes().to_vec()),
        ("poem.txt.gz", gzip(POEM.as_bytes())),
        ("poem.txt.zst", zstd(POEM.as_bytes())),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(read(&path, "").unwrap(), [POEM], "{name}");
        assert_eq!(
            read(&path, "documents = \"line\"").unwrap(),
            ["one line", "another", "the last, ünïcode"],
            "{name}"
        );
        assert_eq!(
            read(&path, "documents = \"paragraph\"").unwrap(),
            ["one line\nanother", "the last, ünïcode"],
            "{name}"
        );
    }
    let lines = open(&spec(
        folder.path().join("poem.txt"),
        "documents = \"line\"",
    ))
    .unwrap();
    assert_eq!(lines.name(2), "poem.txt/00002");
    assert!(
        lines.describe().contains("2 were empty"),
        "{}",
        lines.describe()
    );
}

#[test]
fn sentences_and_articles_are_documents_where_that_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let wiki = " \n = First = \n \n It began . It went on . \n \n = = Part = = \n \n More .\n = 3 = \n \n = Second = \n \n The end .\n";
    for (name, bytes) in [
        ("wiki.txt", wiki.as_bytes().to_vec()),
        ("wiki.txt.gz", gzip(wiki.as_bytes())),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        let articles = read(&path, "documents = \"article\"").unwrap();
        assert_eq!(articles.len(), 2, "{articles:?}");
        assert!(articles[0].starts_with("= First =") && articles[0].ends_with("= 3 ="));
        assert_eq!(articles[1], "= Second = \n \n The end .");
        let sentences = read(&path, "documents = \"sentence\"").unwrap();
        assert_eq!(sentences[..3], ["= First =", "It began .", "It went on ."]);
        assert_eq!(sentences.len(), 8, "{sentences:?}");
    }
    // Without a heading all is one article.
    let path = folder.path().join("poem.txt");
    std::fs::write(&path, POEM).unwrap();
    let whole = read(&path, "documents = \"article\"").unwrap();
    assert_eq!(whole, [POEM.trim()]);
}

#[test]
fn what_is_unpacked_may_go_to_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("long.txt.gz");
    let long = "many words ".repeat(1000);
    std::fs::write(&path, gzip(format!("{long}\nshort\n").as_bytes())).unwrap();
    let mut spec = spec(&path, "documents = \"line\"");
    spec.memory_limit = 100;
    let found = texts(open(&spec).unwrap().as_ref());
    assert_eq!(found, [long.trim(), "short"]);
}

#[test]
fn bad_bytes_and_duplicates_are_counted_and_read_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.txt");
    std::fs::write(&path, b"good\nb\xffd \xc3\x28\ngood\n").unwrap();
    let source = open(&spec(&path, "documents = \"line\"")).unwrap();
    assert_eq!(
        texts(source.as_ref()),
        ["good", "b\u{fffd}d \u{fffd}(", "good"]
    );
    let about = source.describe();
    assert!(
        about.contains("2 stretches of bytes") && about.contains("1 was there before"),
        "{about}"
    );
    let json = folder.path().join("bad.jsonl");
    std::fs::write(&json, b"{\"text\": \"b\xffd\"}\n").unwrap();
    let source = open(&spec(&json, "")).unwrap();
    assert_eq!(texts(source.as_ref()), ["b\u{fffd}d"]);
    assert!(source.describe().contains("1 stretches of bytes"));
    let reading = "documents = \"line\"\ndrop_duplicates = true";
    let source = open(&spec(&path, reading)).unwrap();
    assert_eq!(source.len(), 2);
    assert!(source.describe().contains("there before and left out"));
}

/// Editors of Windows put one before a text in UTF-8.
#[test]
fn a_mark_of_the_byte_order_is_no_part_of_a_text() {
    let folder = tempfile::tempdir().unwrap();
    let (lines, line) = ("\u{feff}one\ntwo\n", "documents = \"line\"");
    let objects = "\u{feff}{\"text\": \"one\"}\n{\"text\": \"two\"}\n";
    for (name, bytes, reading, expected) in [
        ("a.txt", lines.as_bytes().to_vec(), "", vec!["one\ntwo\n"]),
        ("b.txt", lines.as_bytes().to_vec(), line, vec!["one", "two"]),
        ("c.txt.gz", gzip(lines.as_bytes()), line, vec!["one", "two"]),
        (
            "d.jsonl",
            objects.as_bytes().to_vec(),
            "",
            vec!["one", "two"],
        ),
        (
            "e.jsonl.zst",
            zstd(objects.as_bytes()),
            "",
            vec!["one", "two"],
        ),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(read(&path, reading).unwrap(), expected, "{name}");
    }
}

#[test]
fn folders_and_names_of_files_say_parts_and_classes() {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in [
        ("train/neg/1.txt", "bad"),
        ("train/pos/1.txt", "good"),
        ("test/pos/1.txt", "fine"),
    ] {
        let path = folder.path().join("reviews").join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let root = folder.path().join("reviews");
    let train = open(&spec(&root, "")).unwrap();
    assert_eq!(texts(train.as_ref()), ["bad", "good"]);
    assert_eq!(train.labels().unwrap().classes, ["neg", "pos"]);
    assert_eq!(train.other_parts(), [Part::Test]);
    let wiki = folder.path().join("wiki");
    std::fs::create_dir(&wiki).unwrap();
    for part in ["train", "valid", "test"] {
        std::fs::write(
            wiki.join(format!("wiki.{part}.tokens.gz")),
            gzip(part.as_bytes()),
        )
        .unwrap();
    }
    let test = SourceSpec {
        part: Some(Part::Test),
        ..spec(&wiki, "")
    };
    assert_eq!(texts(open(&test).unwrap().as_ref()), ["test"]);
    assert_eq!(read(&wiki, "").unwrap(), ["train"]);
}
