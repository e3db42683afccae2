//! One small file of each format, and packed.

use std::sync::Arc;

use ::parquet::arrow::ArrowWriter;
use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampSecondArray};

use super::*;
use crate::modality::Likeness;

#[test]
fn a_wide_table_is_one_recording() {
    let text =
        "time,x,y\n2020-01-01 00:00:00,1,2\n2020-01-01 00:00:01,,4\n2020-01-01 00:00:02,5,NA\n";
    let source = of_file("a.csv", text, "");
    assert_eq!(names(&*source), ["a"]);
    assert_eq!(values(&*source, 0), "[1.0, 2.0, NaN, 4.0, 5.0, NaN]");
    assert!(source.labels().is_none());
    let said = source.describe();
    assert!(
        said.starts_with("1 series, 2 channels, 3 steps, no labels: "),
        "{said}"
    );
    let source = of_file("a.csv", text, "columns = [\"y\"]");
    assert_eq!(values(&*source, 0), "[2.0, 4.0, NaN]");
}

#[test]
fn separators_and_decimals_are_found_or_said() {
    let expected = "[1.5, 2.0, 3.0, -4.25]";
    for (name, text, reading) in [
        ("a.csv", "x;y\r\n1,5;2\r\n3;-4,25\r\n", ""),
        ("a.tsv", "1.5\t2\n3\t-4.25\n", ""),
        ("a.txt", "  1.5   2\n  3 -4.25\n", ""),
        ("a.dat", "# of a scope\n1.5|2\n3|-4.25\n", ""),
        ("a.csv", "\u{feff}x,y\n\"1.5\",\"2\"\n3,-4.25\n", ""),
        (
            "a.log",
            "1,5 2\n3 -4,25\n",
            "separator = \"space\"\ndecimal = \",\"",
        ),
        ("a.log", "1,5 2,0\n3,0 -4,25\n", ""),
    ] {
        assert_eq!(
            values(&*of_file(name, text, reading), 0),
            expected,
            "{text}"
        );
    }
    // As R writes tables: names in quotes, of rows as well.
    let text = "\"time\" \"x y\"\n\"1\" 0.5 2\n\"2\" 1 3\n\"3\" 1.5 4\n";
    let source = of_file("a.txt", text, "");
    let recordings = source.recordings().unwrap();
    assert_eq!(recordings.measured(), ["x y"]);
    assert_eq!(recordings.after(0, 1).as_deref(), Some("2"));
    assert_eq!(values(&*source, 0), "[2.0, 3.0, 4.0]");
}

#[test]
fn a_long_table_holds_a_recording_for_each_id() {
    let text = "series_id,t,x,label\nb,0,1,u\na,0,5,v\nb,1,2,u\na,1,6,v\nb,2,3,u\n";
    let source = of_file("a.csv", text, "");
    assert_eq!(names(&*source), ["a/b", "a/a"]);
    assert_eq!(values(&*source, 0), "[1.0, 2.0, 3.0]");
    assert_eq!(values(&*source, 1), "[5.0, 6.0]");
    assert_eq!(classes(&*source), ["u", "v"]);
}

#[test]
fn rows_are_series_as_the_ucr_archive_has_them() {
    let folder = tempfile::tempdir().unwrap();
    let row = |class: &str, from: i32| {
        let values: Vec<String> = (from..from + 9).map(|v| format!("{v}.5")).collect();
        format!("{class}\t{}\n", values.join("\t"))
    };
    let train = [row("-1", 0), row("10", 1), row("2", 2)].concat();
    write(folder.path(), "Set_TRAIN.tsv.gz", gzip(train.as_bytes()));
    write(
        folder.path(),
        "Set_TEST.tsv.gz",
        gzip(row("3", 7).as_bytes()),
    );
    for path in ["Set_TRAIN.tsv.gz", "Set", ""] {
        let source = opened(folder.path().join(path), "");
        assert_eq!(classes(&*source), ["-1", "10", "2"], "{path}");
        assert_eq!(source.labels().unwrap().classes, ["-1", "2", "3", "10"]);
        assert_eq!(source.other_parts(), [Part::Test]);
        assert_eq!(source.get(1).unwrap().values[..2], [1.5, 2.5]);
        assert_eq!(source.name(1), "Set_TRAIN/00001");
        let source = part(folder.path().join(path), "", Part::Test).unwrap();
        assert_eq!(classes(&*source), ["3"]);
        assert_eq!(source.other_parts(), [Part::Train]);
    }
    // Whoever names the test part means it.
    let source = opened(folder.path().join("Set_TEST.tsv.gz"), "");
    assert_eq!(
        (source.len(), source.other_parts()),
        (1, &[Part::Train][..])
    );
    write(folder.path(), "Other_TRAIN.tsv", row("1", 0));
    write(folder.path(), "Other_TEST.tsv", row("1", 0));
    let said = failed(folder.path(), "");
    assert!(
        said.contains("holds 2 sets: Other, Set") && said.contains("name one"),
        "{said}"
    );
}

#[test]
fn rows_may_be_said_and_differ_in_length() {
    let text = "walk 1 2 3\nrun 4 5 NaN\nrun 6 NaN 7\n";
    let source = of_file("a.txt", text, "layout = \"rows\"");
    assert_eq!(classes(&*source), ["walk", "run", "run"]);
    let all: Vec<String> = (0..3).map(|index| values(&*source, index)).collect();
    assert_eq!(all, ["[1.0, 2.0, 3.0]", "[4.0, 5.0]", "[6.0, NaN, 7.0]"]);
    let source = of_file(
        "a.txt",
        "1 2 3\n4 5 6\n",
        "layout = \"rows\"\nlabel = \"none\"",
    );
    assert_eq!(values(&*source, 1), "[4.0, 5.0, 6.0]");
}

#[test]
fn blocks_are_series_with_the_class_above() {
    let text = "normal\n\t1\t2\n\t3\t4\n\n\nlost\n\t5\t6\n\t7\t8\n\nnormal\n\t9\t9\n\n";
    let source = of_file("lp1.data", text, "");
    assert_eq!(classes(&*source), ["normal", "lost", "normal"]);
    assert_eq!(values(&*source, 1), "[5.0, 6.0, 7.0, 8.0]");
}

#[test]
fn cases_of_sktime_may_differ_in_length_and_lack_values() {
    let text = "# about\n@problemName x\n@classLabel true b a c\n@data\n1,2,3:4,5,?:b\n6:7,NaN:a\n";
    let source = of_file("x.ts", text, "");
    assert_eq!(classes(&*source), ["b", "a"]);
    assert_eq!(source.labels().unwrap().classes, ["a", "b", "c"]);
    assert_eq!(values(&*source, 0), "[1.0, 4.0, 2.0, 5.0, 3.0, NaN]");
    assert_eq!(values(&*source, 1), "[6.0, 7.0, NaN, NaN]");
    let timed = "@timeStamps true\n@classLabel true 1 2\n@data\n(0,1.5),(1,2):(0,3),(1,?):1\n(2020-01-01 00:00,4):(0,5):2\n";
    let source = of_file("x.ts", timed, "");
    assert_eq!(values(&*source, 0), "[1.5, 3.0, 2.0, NaN]");
    assert_eq!(values(&*source, 1), "[4.0, 5.0]");
    // Times are seen where the header doesn't speak of them, and a space may stand between pairs.
    let said = "@classLabel true 1 2\n@data\n(0,1.5), (1,2):(0,3),(1,?):1\n(0,7):(0,8):?\n";
    let source = of_file("x.ts", said, "");
    assert_eq!(values(&*source, 0), "[1.5, 3.0, 2.0, NaN]");
    assert_eq!(values(&*source, 1), "[7.0, 8.0]");
    // A class that isn't known is none.
    assert_eq!(classes(&*source), ["1", "-"]);
    assert_eq!(source.labels().unwrap().classes, ["1", "2"]);
    assert!(refused("x.ts", "1,2\n", "").contains("@data"));
    assert!(refused("x.ts", "@data\n1:2\n1:2:3\n", "").contains("case 2 has 3 dimensions"));
}

#[test]
fn the_axes_of_an_array_are_told_or_said() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let bytes: Vec<u8> = (0..12).collect();
    write(root, "wide.npy", npy("|u1", "(6, 2)", &bytes));
    let source = opened(root.join("wide.npy"), "");
    let series = source.get(0).unwrap();
    assert_eq!((source.len(), series.channels, series.steps()), (1, 2, 6));
    let source = opened(root.join("wide.npy"), "layout = \"rows\"");
    assert_eq!(
        (source.len(), values(&*source, 1)),
        (6, "[2.0, 3.0]".to_owned())
    );
    write(root, "three.npy", npy("|u1", "(2, 3, 2)", &bytes));
    let source = opened(root.join("three.npy"), "");
    assert_eq!(values(&*source, 1), "[6.0, 7.0, 8.0, 9.0, 10.0, 11.0]");
    let source = opened(root.join("three.npy"), "channels_first = true");
    let series = source.get(1).unwrap();
    assert_eq!((series.channels, series.steps()), (3, 2));
    assert_eq!(values(&*source, 1), "[6.0, 8.0, 10.0, 7.0, 9.0, 11.0]");
    let doubles: Vec<u8> = [1.5f64, f64::NAN, 1e40]
        .iter()
        .flat_map(|v| v.to_be_bytes())
        .collect();
    write(root, "one.npy", npy(">f8", "(3,)", &doubles));
    let source = opened(root.join("one.npy"), "");
    assert_eq!(values(&*source, 0), "[1.5, NaN, NaN]");
    assert!(
        source
            .describe()
            .contains("; 1 values that are infinite or beyond")
    );
}

#[test]
fn labels_lie_beside_arrays() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write(root, "x.npy", npy("|u1", "(2, 3)", &[1, 2, 3, 4, 5, 6]));
    write(root, "labels.npy", npy("|i1", "(2,)", &[1, 0]));
    let source = opened(root.join("x.npy"), "");
    assert_eq!(
        (classes(&*source), values(&*source, 1)),
        (vec!["1", "0"], "[4.0, 5.0, 6.0]".into())
    );
    let packed = zip_of(&[
        ("x_train.npy", &npy("|u1", "(2, 2, 1)", &[1, 2, 3, 4])),
        ("y_train.npy", &npy("|u1", "(2,)", &[0, 2])),
        ("x_test.npy", &npy("|u1", "(1, 2, 1)", &[5, 6])),
        ("y_test.npy", &npy("|u1", "(1,)", &[1])),
    ]);
    write(root, "set.npz", packed);
    let source = opened(root.join("set.npz"), "");
    assert_eq!(classes(&*source), ["0", "2"]);
    let source = part(root.join("set.npz"), "", Part::Test).unwrap();
    assert_eq!(classes(&*source), ["1"]);
    assert_eq!(source.labels().unwrap().classes, ["0", "1", "2"]);
    write(root, "labels.npy", npy("|i1", "(4,)", &[1, 0, 1, 1]));
    let said = failed(root.join("x.npy"), "layout = \"rows\"");
    assert!(
        said.contains("holds 4 labels") && said.contains("expected 2"),
        "{said}"
    );
}

#[test]
fn arrays_may_be_packed_alone_in_folders_and_in_archives() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let x = gzip(&npy("|u1", "(2, 2, 1)", &[1, 2, 3, 4]));
    let y = gzip(&npy("|u1", "(2,)", &[1, 0]));
    write(root, "folder/x.npy.gz", &x);
    write(root, "folder/y.npy.gz", &y);
    let members: [(&str, &[u8]); 2] = [("x.npy.gz", &x), ("y.npy.gz", &y)];
    write(root, "data.zip", zip_of(&members));
    write(root, "data.tar.gz", gzip(&tar_of(&members)));
    for path in ["folder", "data.zip", "data.tar.gz"] {
        for memory_limit in [0, 1 << 20] {
            let spec = SourceSpec {
                memory_limit,
                ..spec(root.join(path), "")
            };
            let source = open(&spec).unwrap();
            assert_eq!(classes(&*source), ["1", "0"], "{path}");
            assert_eq!(values(&*source, 1), "[3.0, 4.0]");
        }
    }
    let alone = root.join("folder/x.npy.gz");
    assert_eq!(looks_like_series(&alone), Likeness::Clear);
    assert_eq!(values(&*opened(alone, ""), 1), "[3.0, 4.0]");
    write(root, "cut.npy.gz", &x[..x.len() / 2]);
    assert!(failed(root.join("cut.npy.gz"), "").contains("cut.npy.gz"));
}

#[test]
fn parquet_reads_like_the_table_that_was_written() {
    let folder = tempfile::tempdir().unwrap();
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("when", Arc::new(TimestampSecondArray::from(vec![0, 1, 2]))),
        (
            "x",
            Arc::new(Float64Array::from(vec![Some(1.5), None, Some(-3.0)])),
        ),
        ("what", Arc::new(StringArray::from(vec!["a", "a", "a"]))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    write(folder.path(), "a.parquet", &bytes);
    let source = opened(folder.path().join("a.parquet"), "");
    assert_eq!(values(&*source, 0), "[1.5, NaN, -3.0]");
    write(folder.path(), "b.parquet.gz", gzip(&bytes));
    let source = opened(folder.path().join("b.parquet.gz"), "");
    assert_eq!(values(&*source, 0), "[1.5, NaN, -3.0]");
    bytes.truncate(bytes.len() - 9);
    write(folder.path(), "a.parquet", &bytes);
    assert!(failed(folder.path().join("a.parquet"), "").contains("damaged"));
}

#[test]
fn folders_are_classes_and_archives_read_like_them() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let files = [
        ("run/1.csv", "x\n1\n2\n"),
        ("run/2.csv", "x\n3\n"),
        ("walk/1.csv", "x\n4\n5\n"),
    ];
    for (name, text) in files {
        write(root, &format!("folder/{name}"), text);
    }
    write(
        root,
        "folder/about.txt",
        "What this is, in words.\nAnd who made it.\n",
    );
    let members = files.map(|(name, text)| (name, text.as_bytes()));
    write(root, "data.tar", tar_of(&members));
    write(root, "data.tar.gz", gzip(&tar_of(&members)));
    write(root, "data.zip", zip_of(&members));
    write(root, "inside/data.tar.gz", gzip(&tar_of(&members)));
    for path in ["folder", "data.tar", "data.tar.gz", "data.zip", "inside"] {
        let source = opened(root.join(path), "");
        assert_eq!(classes(&*source), ["run", "run", "walk"], "{path}");
        assert_eq!(values(&*source, 2), "[4.0, 5.0]");
        assert!(source.name(1).ends_with("run/2"), "{}", source.name(1));
    }
    assert!(open(&spec(root.join("nothing"), "")).is_err());
}

#[test]
fn what_is_kept_beyond_memory_reads_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let rows: Vec<String> = (0..5000).map(|row| format!("{row},{}", row * 2)).collect();
    write(
        folder.path(),
        "a.csv",
        format!("x,y\n{}\n", rows.join("\n")),
    );
    let small = SourceSpec {
        memory_limit: 100,
        ..spec(folder.path().join("a.csv"), "window = 10\nstride = 7")
    };
    let source = open(&small).unwrap();
    assert_eq!(source.len(), (5000 - 10) / 7 + 1);
    let series = source.get(3).unwrap();
    assert_eq!(
        (series.start, series.values[0], series.values[19]),
        (21, 21.0, 60.0)
    );
    assert_eq!(source.name(3), "a/000021");
    // Recordings that take turns row by row, the last of which runs backward.
    let mut table = "id,t,x\n".to_owned();
    for row in 0..5000 {
        let (twice, back) = (2 * row, 5000 - row);
        table += &format!("a,{row},{row}\nb,{row},{twice}\nc,{back},{row}\n");
    }
    write(folder.path(), "b.csv", table);
    let small = SourceSpec {
        memory_limit: 100,
        ..spec(folder.path().join("b.csv"), "window = 10\nstride = 10")
    };
    let source = open(&small).unwrap();
    assert_eq!(source.len(), 1500);
    for item in 0..1500 {
        let step = |at: usize| item % 500 * 10 + at;
        let expected = (0..10).map(|at| match item / 500 {
            0 => step(at) as f32,
            1 => 2.0 * step(at) as f32,
            _ => 4999.0 - step(at) as f32,
        });
        let expected: Vec<f32> = expected.collect();
        assert_eq!(source.get(item).unwrap().values[..], expected, "{item}");
    }
}
