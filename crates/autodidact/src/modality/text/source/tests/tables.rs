//! Tables: which columns hold what, and rows that aren't as their header says.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, StringArray};
use arrow::record_batch::RecordBatch;
use parquet::arrow::ArrowWriter;

use super::super::{looks_like_text, open};
use super::{gzip, read, spec, texts, zstd};
use crate::modality::Likeness;
use crate::modality::text::Passage;

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
