//! What is no text, or was made to harm: an error that names it, never a panic.

use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

use super::super::open;
use super::{POEM, gzip, spec, texts, zstd};

#[test]
fn what_is_no_text_ends_in_an_error_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    for (path, expected) in [
        (write("empty.txt", b""), "holds no text"),
        (write("blank.txt", b" \n\n"), "holds no text"),
        (
            write("binary.txt", b"GIF89a\0\0\x01"),
            "holds bytes of zero",
        ),
        (
            write("rows.jsonl", b"{\"text\": \"a\"}\nnonsense\n"),
            "line 2",
        ),
        (write("array.jsonl", b"[1, 2]\n"), "no object of JSON"),
        (write("number.jsonl", b"{\"text\": 3}\n"), "is no text"),
        (write("short.parquet", b"PAR1 and no more"), "damaged"),
        (
            write("cut.txt.gz", &gzip(POEM.as_bytes())[..20]),
            "cut.txt.gz",
        ),
        (
            write("cut.txt.zst", &zstd(POEM.as_bytes())[..12]),
            "cut.txt.zst",
        ),
        (folder.path().join("missing.txt"), "is not there"),
    ] {
        let error = open(&spec(&path, "")).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(expected), "{}: {error}", path.display());
    }
    let mixed = folder.path().join("mixed");
    std::fs::create_dir(&mixed).unwrap();
    std::fs::write(mixed.join("good.txt"), "hello").unwrap();
    std::fs::write(mixed.join("picture.txt"), b"GIF89a\0\0\x01").unwrap();
    let source = open(&spec(&mixed, "")).unwrap();
    assert_eq!(texts(source.as_ref()), ["hello"]);
    assert!(source.describe().contains("1 was no text and left out"));
    let pictures = folder.path().join("pictures");
    std::fs::create_dir(&pictures).unwrap();
    std::fs::write(pictures.join("a.png"), b"x").unwrap();
    let error = open(&spec(&pictures, ""))
        .map(|_| ())
        .unwrap_err()
        .to_string();
    assert!(error.contains("holds no text (found: 1 .png)"), "{error}");
    let error = open(&spec(&pictures, "colum = \"x\""))
        .map(|_| ())
        .unwrap_err();
    assert!(
        error.remedy().unwrap().contains("data.reading.column"),
        "{error}"
    );
}

/// A chapter that is called a table has a column at each comma.
#[test]
fn a_message_names_some_columns_and_the_beginnings_of_long_names() {
    let folder = tempfile::tempdir().unwrap();
    let long = "k".repeat(100_000);
    for (name, text, found) in [
        (
            "chapter.csv",
            "some words,".repeat(50_000) + "the end\n1\n",
            "some words, and 49971 more)",
        ),
        (
            "keys.jsonl",
            format!("{{\"{long}\": \"a\", \"other\": \"b\"}}\n"),
            "kk…, other)",
        ),
        (
            "key.jsonl",
            format!("{{\"{long}\": 1}}\n"),
            "kk…` is no text",
        ),
        ("key.tsv", format!("{long};b\nx;y\n"), "semicolons"),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        let error = open(&spec(&path, "")).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains(found) && error.len() < 2000, "{error}");
    }
}

#[test]
fn a_parquet_file_of_rows_without_a_text_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("nothing.parquet");
    let column: ArrayRef = Arc::new(StringArray::new_null(200_000));
    let batch = RecordBatch::try_from_iter([("text", column)]).unwrap();
    let how = WriterProperties::builder().set_data_page_row_count_limit(usize::MAX);
    let file = std::fs::File::create(&path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), Some(how.build())).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let error = open(&spec(&path, "")).map(|_| ()).unwrap_err().to_string();
    assert!(
        error.contains("more than 64 rows for each of its bytes"),
        "{error}"
    );
}

/// Bytes changed at random: an error or text, never a panic.
#[test]
fn changed_tables_of_text_never_panic() {
    use rand::RngExt;
    let mut rng = crate::random::stream(0, crate::random::Purpose::Evaluation, &[]);
    let folder = tempfile::tempdir().unwrap();
    let column: ArrayRef = Arc::new(StringArray::from(vec!["hello"; 50]));
    let batch = RecordBatch::try_from_iter([("text", column)]).unwrap();
    let mut parquet = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut parquet, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let csv = b"text,label\n\"a \"\"b\",1\nc,2\n".to_vec();
    let json = b"{\"text\": \"a\", \"label\": [1]}\n{\"text\": \"b\"}\n".to_vec();
    for (name, whole) in [
        ("x.parquet", parquet),
        ("x.csv", csv.clone()),
        ("x.jsonl", json),
        ("x.csv.gz", gzip(&csv)),
        ("x.csv.zst", zstd(&csv)),
    ] {
        let path = folder.path().join(name);
        for _ in 0..60 {
            let mut bytes = whole.clone();
            for _ in 0..rng.random_range(1..6) {
                let at = rng.random_range(0..bytes.len());
                bytes[at] = rng.random();
            }
            bytes.truncate(rng.random_range(1..=bytes.len()));
            std::fs::write(&path, &bytes).unwrap();
            if let Ok(source) = open(&spec(&path, "")) {
                (0..source.len()).for_each(|index| drop(source.get(index)));
            }
        }
    }
}
