use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;
use parquet::file::properties::WriterProperties;

use super::{looks_like_text, open};
use crate::error::Result;
use crate::modality::Likeness;
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
fn pairs_come_with_their_scores_or_classes() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let csv = write(
        "pairs.csv",
        "a,b,s,label\nx,y,1.5,p\nx,,2,p\nz,w,none,q\nu,v,4,q\n",
    );
    let json = write(
        "pairs.jsonl",
        "{\"a\": \"x\", \"b\": \"y\", \"s\": 1.5}\n{\"a\": \"u\", \"b\": \"v\", \"s\": \"4\"}\n",
    );
    let tsv = write("pairs.tsv", "g\t1.5\tx\ty\ng\t4\tu\tv\tand more\n");
    let columns: [ArrayRef; 3] = [
        Arc::new(StringArray::from(vec!["x", "u"])),
        Arc::new(StringArray::from(vec!["y", "v"])),
        Arc::new(arrow::array::Float64Array::from(vec![1.5, 4.0])),
    ];
    let batch = RecordBatch::try_from_iter(["a", "b", "s"].into_iter().zip(columns)).unwrap();
    let parquet = folder.path().join("pairs.parquet");
    let file = std::fs::File::create(&parquet).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let named = "column = \"a\"\nother = \"b\"\nscore = \"s\"";
    let numbered = "column = 3\nother = \"4\"\nscore = 2";
    for (path, reading) in [
        (&csv, named),
        (&json, named),
        (&parquet, named),
        (&tsv, numbered),
    ] {
        let source = open(&spec(path, reading)).unwrap();
        let shown = path.display();
        let pairs: Vec<Passage> = (0..source.len())
            .map(|at| source.get(at).unwrap())
            .collect();
        let pair = |a: &str, b: &str| Passage::Pair(a.into(), b.into());
        assert_eq!(pairs, [pair("x", "y"), pair("u", "v")], "{shown}");
        assert_eq!(source.scores(), Some(&[1.5, 4.0][..]), "{shown}");
        assert!(source.labels().is_none(), "{shown}");
    }
    let about = open(&spec(&csv, named)).unwrap().describe();
    assert!(
        about.contains("2 pairs, with scores") && about.contains("1 was without a score"),
        "{about}"
    );
    let classes = open(&spec(&csv, "column = \"a\"\nother = \"b\"")).unwrap();
    assert_eq!(classes.labels().unwrap().of, [Some(0), Some(1), Some(1)]);
    assert!(classes.scores().is_none());
    for (path, reading, wanted) in [
        (&csv, "column = \"a\"\nother = \"c\"", "`c`"),
        (&csv, "column = \"a\"\nscore = \"s\"", "second text"),
        (
            &csv,
            "column = \"a\"\nother = \"b\"\nscore = \"label\"",
            "no number",
        ),
        (&tsv, "column = \"3\"\nother = \"b\"", "data.reading.other"),
        (&write("plain.txt", "x y"), named, "no columns"),
    ] {
        let error = open(&spec(path, reading)).map(|_| ()).unwrap_err();
        let shown = error.to_string();
        assert!(shown.contains(wanted), "{shown}");
    }
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
    let reading = "documents = \"line\"\ndrop_duplicates = true";
    let source = open(&spec(&path, reading)).unwrap();
    assert_eq!(source.len(), 2);
    assert!(source.describe().contains("there before and left out"));
}

#[test]
fn columns_are_found_by_name_or_number_and_bring_their_classes() {
    let folder = tempfile::tempdir().unwrap();
    let rows = "id,text,label\n1,\"hello, you\",b\n2,bye,a\n3,,a\n";
    let csv = folder.path().join("rows.csv");
    std::fs::write(&csv, rows).unwrap();
    let json = folder.path().join("rows.jsonl");
    let lines =
        "{\"text\": \"hello, you\", \"label\": \"b\"}\n\n{\"label\": \"a\", \"text\": \"bye\"}\n";
    std::fs::write(&json, lines).unwrap();
    let columns: [ArrayRef; 2] = [
        Arc::new(StringArray::from(vec!["hello, you", "bye"])),
        Arc::new(StringArray::from(vec!["b", "a"])),
    ];
    let batch = RecordBatch::try_from_iter(["text", "label"].into_iter().zip(columns)).unwrap();
    let parquet = folder.path().join("rows.parquet");
    let file = std::fs::File::create(&parquet).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    for path in [&csv, &json, &parquet] {
        let source = open(&spec(path, "")).unwrap();
        assert_eq!(
            texts(source.as_ref()),
            ["hello, you", "bye"],
            "{}",
            path.display()
        );
        let labels = source.labels().unwrap();
        assert_eq!(labels.classes, ["a", "b"]);
        assert_eq!(labels.of, [Some(1), Some(0)]);
    }
    let tsv = folder.path().join("dev.tsv");
    std::fs::write(&tsv, "\"quoted\" start\t1\nplain\t0\n").unwrap();
    let source = open(&spec(&tsv, "column = \"1\"\nlabel = \"2\"")).unwrap();
    assert_eq!(texts(source.as_ref()), ["\"quoted\" start", "plain"]);
    assert_eq!(source.labels().unwrap().of, [Some(1), Some(0)]);
}

#[test]
fn rows_whose_fields_are_not_those_of_the_header_are_made_whole_or_counted() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let told = "of another number of fields than the header";
    // Of one column, no comma parts anything.
    let path = write("one.csv", "text\nHello, world\n\"a, b\"\nplain\n");
    let source = open(&spec(&path, "")).unwrap();
    assert_eq!(texts(source.as_ref()), ["Hello, world", "a, b", "plain"]);
    assert!(!source.describe().contains(told), "{}", source.describe());
    let path = write("one.tsv", "text\na\tb\n");
    assert_eq!(read(&path, "").unwrap(), ["a\tb"]);
    // Of several, nobody knows which are a text's.
    let path = write("two.csv", "label,text\n1,Hello, world\n2,bye\n3\n");
    let about = open(&spec(&path, "")).unwrap().describe();
    assert!(about.contains(&format!("2 were {told}")), "{about}");
}

#[test]
fn what_parts_fields_otherwise_than_a_name_promises_is_seen_or_told() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let text = "\u{feff}\"text\";label\r\n\"hello; you\";b\r\nbye, all;a\r\n";
    let path = write("excel.csv", text);
    assert_eq!(looks_like_text(&path), Likeness::Clear);
    let source = open(&spec(&path, "")).unwrap();
    assert_eq!(texts(source.as_ref()), ["hello; you", "bye, all"]);
    assert_eq!(source.labels().unwrap().of, [Some(1), Some(0)]);
    // Packed it is seen as well.
    for (name, packed) in [
        ("excel.csv.gz", gzip(text.as_bytes())),
        ("excel.csv.zst", zstd(text.as_bytes())),
    ] {
        let path = folder.path().join(name);
        std::fs::write(&path, packed).unwrap();
        assert_eq!(looks_like_text(&path), Likeness::Clear, "{name}");
    }
    // In quotation marks it is part of a name.
    let path = write("quoted.csv", "\"text\",\"a;b\"\nx;y,z\n");
    assert_eq!(read(&path, "").unwrap(), ["x;y"]);
    for (name, text, found) in [
        ("bars.csv", "text|label\nhello|b\n", "vertical bars"),
        ("tabs.csv", "text\tlabel\nhello\tb\n", "tabs"),
        ("semicolons.tsv", "text;label\nhello;b\n", "semicolons"),
    ] {
        let path = write(name, text);
        let error = open(&spec(&path, "")).map(|_| ()).unwrap_err();
        let shown = error.to_string();
        assert!(
            shown.contains(&format!("which {found} seem to part")),
            "{shown}"
        );
        assert!(error.remedy().unwrap().contains("data.reading.column"));
    }
    let path = folder.path().join("bars.csv");
    let found = read(&path, "column = \"text|label\"").unwrap();
    assert_eq!(found, ["hello|b"]);
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

#[test]
fn a_column_that_is_not_there_is_named_with_those_that_are() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rows.csv");
    std::fs::write(&path, "id,text\n1,hello\n").unwrap();
    for (reading, wanted) in [
        ("column = \"words\"", "`words`"),
        ("label = \"kind\"", "`kind`"),
    ] {
        let error = open(&spec(&path, reading)).map(|_| ()).unwrap_err();
        let shown = error.to_string();
        assert!(
            shown.contains(wanted) && shown.contains("id, text"),
            "{shown}"
        );
        assert!(error.remedy().unwrap().contains("data.reading"));
    }
    let json = folder.path().join("rows.jsonl");
    std::fs::write(&json, "{\"id\": 1, \"words\": \"hello\"}\n").unwrap();
    let error = open(&spec(&json, "column = \"text\""))
        .map(|_| ())
        .unwrap_err();
    let shown = error.to_string();
    assert!(
        shown.contains("`text`") && shown.contains("id, words"),
        "{shown}"
    );
    let numbers: ArrayRef = Arc::new(Int64Array::from(vec![1, 2]));
    let batch = RecordBatch::try_from_iter([("number", numbers)]).unwrap();
    let path = folder.path().join("n.parquet");
    let file = std::fs::File::create(&path).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    let error = open(&spec(&path, "column = \"text\""))
        .map(|_| ())
        .unwrap_err();
    assert!(error.to_string().contains("`text`"), "{error}");
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
