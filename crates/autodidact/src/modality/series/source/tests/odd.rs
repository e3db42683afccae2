//! What is odd about data: said as an error, or counted and said.

use super::*;

fn said(text: &str, reading: &str, what: &str) -> Box<dyn Source<Series>> {
    let source = of_file("a.csv", text, reading);
    let about = source.describe();
    assert!(about.contains(what), "{about}");
    source
}

#[test]
fn tables_without_a_number_are_refused() {
    let found = refused("a.csv", "name,what\nanna,walks\nbert,runs\n", "");
    assert!(
        found.contains("no column of numbers (columns: name, what)"),
        "{found}"
    );
    assert!(refused("a.csv", "", "").contains("no column of numbers"));
    assert!(refused("a.csv", "x,y\n", "").contains("no"));
    assert!(refused("a.csv", "a\0b", "").contains("bytes of zero"));
}

#[test]
fn constant_and_empty_channels_are_named() {
    let source = said("x,y,z\n1,7,\n2,7,\n", "", "; channels without any value: z");
    assert!(
        source
            .describe()
            .contains("; channels that are constant: y")
    );
    assert_eq!(values(&*source, 0), "[1.0, 7.0, NaN, 2.0, 7.0, NaN]");
}

#[test]
fn a_series_without_any_value_is_unreadable() {
    let source = of_file("a.csv", "series_id,x\na,1\na,2\nb,\nb,\n", "");
    assert!(source.get(0).is_ok());
    let error = source.get(1).unwrap_err().to_string();
    assert!(error.contains("a/b: holds no value"), "{error}");
}

#[test]
fn time_that_turns_begins_another_recording() {
    let source = said(
        "time,x\n1,1\n2,2\n3,3\n2,9\n3,8\n",
        "",
        "; 1 times time turned back",
    );
    assert_eq!(names(&*source), ["a", "a+1"]);
    assert_eq!(values(&*source, 1), "[9.0, 8.0]");
    let rows: String = (0..200).map(|row| format!("{},{row}\n", row % 4)).collect();
    let found = refused("a.csv", &format!("time,x\n{rows}"), "");
    assert!(
        found.contains("time turns round 49 times in 200 rows"),
        "{found}"
    );
    assert!(found.contains("data.reading.id"), "{found}");
    let source = of_file("a.csv", &format!("time,x\n{rows}"), "time = \"none\"");
    let series = source.get(0).unwrap();
    assert_eq!((series.channels, series.steps()), (1, 200));
}

#[test]
fn rows_that_run_backward_are_turned_round() {
    let source = said(
        "time,x\n3,30\n2,20\n1,10\n",
        "",
        "; 1 recordings had their latest row first",
    );
    assert_eq!(values(&*source, 0), "[10.0, 20.0, 30.0]");
}

#[test]
fn equal_times_gaps_and_irregular_steps_are_counted() {
    said(
        "time,x\n1,1\n2,2\n2,3\n3,4\n",
        "",
        "; 1 rows have the time of the row before",
    );
    said(
        "time,x\n1,1\n2,2\n3,3\n60,4\n",
        "",
        "; 1 gaps in time, the longest of 57 seconds",
    );
    said(
        "time,x\n1,1\n2,2\n3.2,3\n4.1,4\n",
        "",
        "steps of different length in time",
    );
    said(
        "time,x\nsoon,1\n2,2\n3,3\n",
        "",
        "; 1 rows have a time that can't be read",
    );
}

#[test]
fn resampling_averages_and_leaves_gaps_empty() {
    let text = "time,x\n0,1\n0.5,3\n1,4\n4,5\n9000,6\n";
    let source = said(text, "resample = 1", "; 1 gaps were too long to be filled");
    assert_eq!(values(&*source, 0), "[2.0, 4.0, NaN, NaN, 5.0]");
    assert_eq!(values(&*source, 1), "[6.0]");
}

#[test]
fn values_that_were_not_measured_are_missing() {
    let source = said(
        "x,y\n1e30,1\ninf,2\n3,-Infinity\n",
        "",
        "; 3 values that are infinite",
    );
    assert_eq!(values(&*source, 0), "[NaN, 1.0, NaN, 2.0, 3.0, NaN]");
    let text = "x,y\n1,1\n2,2\noff,3\n4\n5,5,5\n";
    let source = said(text, "", "; 1 fields that are no numbers count as missing");
    assert!(
        source
            .describe()
            .contains("; 2 rows have another number of fields")
    );
    assert_eq!(source.get(0).unwrap().steps(), 5);
}

#[test]
fn a_series_shorter_than_the_window_is_taken_whole() {
    let text = "series_id,x\na,1\na,2\na,3\na,4\na,5\nb,6\nb,7\n";
    let source = said(
        text,
        "window = 3\nstride = 1",
        "; 1 recordings are shorter and taken whole",
    );
    assert_eq!(
        names(&*source),
        ["a/a/000000", "a/a/000001", "a/a/000002", "a/b/000000"]
    );
    assert_eq!(values(&*source, 3), "[6.0, 7.0]");
}

#[test]
fn long_recordings_without_a_class_are_cut() {
    let rows: String = (0..5000).map(|row| format!("{row}\n")).collect();
    let source = of_file("a.csv", &format!("x\n{rows}"), "");
    assert_eq!(source.len(), (5000 - 256) / 128 + 1);
    assert!(
        source
            .describe()
            .contains("windows of 256 steps every 128, as the longest recording has 5000")
    );
    let source = of_file("a.csv", &format!("x\n{rows}"), "window = 100000");
    assert_eq!((source.len(), source.get(0).unwrap().steps()), (1, 5000));
}

#[test]
fn windows_have_the_class_of_most_of_their_steps() {
    let rows: String = (0..500)
        .map(|row| format!("{row},{}\n", if row < 180 { "rest" } else { "walk" }))
        .collect();
    let source = of_file("a.csv", &format!("x,what\n{rows}"), "");
    assert!(
        source
            .describe()
            .contains("windows of 128 steps every 64, as classes change")
    );
    // From 0, 64, 128, …: of the second window 116 steps are of rest, of the third 52.
    assert_eq!(
        classes(&*source),
        ["rest", "rest", "walk", "walk", "walk", "walk"]
    );
    let source = of_file("a.csv", &format!("x,what\n{rows}"), "label = \"none\"");
    assert_eq!(source.len(), 1);
}

#[test]
fn channels_are_those_of_all_files() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write(root, "1.csv", "x,y\n1,2\n3,4\n");
    write(root, "2.csv", "y,z,x\n5,6,7\n8,9,10\n");
    let source = opened(root, "");
    assert_eq!(values(&*source, 0), "[1.0, 2.0, NaN, 3.0, 4.0, NaN]");
    assert_eq!(values(&*source, 1), "[7.0, 5.0, 6.0, 10.0, 8.0, 9.0]");
    assert!(
        source
            .describe()
            .contains("missing there: z (in 1 of 2 files)")
    );
    write(root, "3.csv", "u,v\n1,2\n3,4\n");
    let found = failed(root, "");
    assert!(
        found.contains("3.csv: holds other channels (u, v) than"),
        "{found}"
    );
    assert!(failed(root, "columns = [\"x\"]").contains("3.csv: has no column `x`"));
}

#[test]
fn channels_of_one_name_are_all_kept() {
    let source = of_file("a.csv", "t,X,Y,X\n1,1,2,3\n2,4,5,6\n", "");
    assert_eq!(source.recordings().unwrap().measured(), ["X", "Y", "X.2"]);
    assert_eq!(values(&*source, 0), "[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]");
}

#[test]
fn rows_may_end_with_a_separator() {
    let text = "x,y,label\n1,2,walk,\n3,4,walk,\n5,6,run,\n7,8,run,\n";
    let source = of_file("a.csv", text, "");
    assert_eq!(source.recordings().unwrap().measured(), ["x", "y"]);
    assert_eq!(
        values(&*source, 0),
        "[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]"
    );
    let about = source.describe();
    assert!(!about.contains("another number of fields"), "{about}");
}

#[test]
fn labels_that_are_brought_must_fit() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for name in ["1.csv", "2.csv", "3.csv"] {
        write(root, &format!("data/{name}"), "x\n1\n2\n3\n4\n");
    }
    write(root, "labels.csv", "name,label\n1,a\n3,b\n");
    let with = |file: &str, reading: &str| {
        open(&SourceSpec {
            labels: Some(root.join(file)),
            ..spec(root.join("data"), reading)
        })
    };
    assert_eq!(classes(&*with("labels.csv", "").unwrap()), ["a", "-", "b"]);
    // Every window has the class of its recording.
    let source = with("labels.csv", "window = 2").unwrap();
    assert_eq!(classes(&*source)[..4], ["a", "a", "a", "-"]);
    write(root, "four.csv", "a\nb\nc\nd\n");
    let found = with("four.csv", "").err().unwrap().to_string();
    assert!(found.contains("holds 4 labels for 3 items"), "{found}");
    write(root, "nine.csv", "a\nb\nc\na\nb\nc\na\nb\nc\n");
    assert_eq!(
        classes(&*with("nine.csv", "window = 2").unwrap())[..3],
        ["a", "b", "c"]
    );
}

#[test]
fn labels_by_name_are_of_all_pieces_of_a_recording() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    // Time turns round after three rows of the first.
    write(root, "data/pump7.csv", "time,x\n1,1\n2,2\n3,3\n2,9\n3,8\n");
    write(root, "data/pump8.csv", "time,x\n1,1\n2,2\n3,5\n");
    let with = |labels: &str, reading: &str, part: Part| {
        write(root, "labels.csv", labels);
        open(&SourceSpec {
            labels: Some(root.join("labels.csv")),
            part: Some(part).filter(|_| !reading.is_empty()),
            ..spec(root.join("data"), reading)
        })
    };
    let named = "name,label\npump7,faulty\npump8,fine\n";
    let source = with(named, "", Part::Train).unwrap();
    assert_eq!(names(&*source), ["pump7", "pump7+1", "pump8"]);
    assert_eq!(classes(&*source), ["faulty", "faulty", "fine"]);
    let source = with(&format!("{named}pump7+1,fine\n"), "", Part::Train).unwrap();
    assert_eq!(classes(&*source), ["faulty", "fine", "fine"]);
    // Also where the first piece is of another part.
    for (test, of_test) in [("0.67", vec!["faulty", "fine"]), ("0.34", vec!["fine"])] {
        let source = with(named, &format!("test = {test}"), Part::Test).unwrap();
        assert_eq!(classes(&*source), of_test);
    }
    let source = with(named, "test = 0.67", Part::Test).unwrap();
    assert!(!source.describe().contains("match no item"));
    // Labels without names are of the items as they are.
    let lines = |text: &str| with(text, "", Part::Train);
    assert_eq!(
        classes(&*lines("fine\nfaulty\nfine\n").unwrap()),
        ["fine", "faulty", "fine"]
    );
    let found = lines("faulty\nfine\n").err().unwrap().to_string();
    assert!(found.contains("holds 2 labels for 3 items"), "{found}");
}

#[test]
fn classes_of_stretches_are_those_of_their_windows() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let rows: String = (0..20).map(|row| format!("{row}\n")).collect();
    write(root, "data/1.csv", format!("x\n{rows}"));
    write(root, "data/2.csv", format!("x\n{rows}"));
    let with = |text: &str| {
        write(root, "labels.csv", text);
        open(&SourceSpec {
            labels: Some(root.join("labels.csv")),
            ..spec(root.join("data"), "window = 4\nstride = 4")
        })
    };
    let text = "recording,start,end,label\n1,12,40,run\n1,3,8,walk\n2,0,4,walk\n7,0,1,sit\n";
    let source = with(text).unwrap();
    let expected = [
        "walk", "walk", "-", "run", "run", "walk", "-", "-", "-", "-",
    ];
    assert_eq!(classes(&*source), expected);
    assert!(source.describe().contains("1 rows of which match no item"));
    for (text, found) in [
        ("recording,start,end,label\n1,0,5,a\n1,4,6,b\n", "overlaps"),
        (
            "recording,start,end,label\n1,x,5,a\n",
            "row 1 says no stretch",
        ),
        (
            "recording,start,end,label\n1,5,3,a\n",
            "ends before it begins",
        ),
        (
            "recording,start,end,label\n1,2024-01-02,2024-01-01,a\n",
            "row 1 says no stretch",
        ),
        ("recording,start,end,label\n9,0,5,a\n", "none of its 1 rows"),
        ("start,end,label\n0,5,a\n", "no column of recordings"),
    ] {
        let error = with(text).err().unwrap().to_string();
        assert!(error.contains(found), "{error}");
    }
}

#[test]
fn recordings_on_scales_of_their_own_are_brought_to_one_by_their_beginning() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    let table = |scale: f64, offset: f64| {
        let rows = [1.0, 3.0, 1.0, 3.0, 9.0, 9.0, 9.0, 9.0];
        let rows = rows.map(|x| format!("{},7\n", offset + scale * x));
        format!("x,same\n{}", rows.concat())
    };
    write(root, "data/1.csv", table(1.0, 0.0));
    write(root, "data/2.csv", table(1000.0, -5000.0));
    for beginning in ["4", "0.5"] {
        let source = open(&spec(
            root.join("data"),
            &format!("standardize = {beginning}"),
        ))
        .unwrap();
        for item in 0..2 {
            let values = source.get(item).unwrap().values;
            assert_eq!(values[..6], [-1.0, 0.0, 1.0, 0.0, -1.0, 0.0]);
            assert_eq!(values[14], 7.0);
        }
        let recordings = source.recordings().unwrap();
        assert_eq!(recordings.ending(1, 1, 1).unwrap().values[..], [1.0, 0.0]);
        let mut values = [-1.0, 0.0, 7.0, 1.0];
        recordings.rescale(1, &mut values);
        assert_eq!(values, [-4000.0, 7.0, 4000.0, 8.0]);
        assert_eq!(recordings.after(1, 1), None);
    }
}

#[test]
fn the_calendar_stands_after_what_was_measured_and_in_gaps() {
    let table = "date,x\n2024-01-01 00:00,1\n2024-01-01 06:00,2\n2024-01-01 18:00,3\n";
    let set = of_file(
        "a.csv",
        table,
        "calendar = true\nresample = 21600\nstandardize = 0.9",
    );
    let series = set.get(0).unwrap();
    assert_eq!((series.channels, series.steps()), (7, 4));
    // Midnight, six, twelve (where nothing was measured) and eighteen o'clock: sine and cosine, whatever scale the rest has.
    let phases = [[0.0, 1.0], [1.0, 0.0], [0.0, -1.0], [-1.0, 0.0]];
    for (step, phase) in series.values.chunks_exact(7).zip(phases) {
        assert!((step[1] - phase[0]).abs() + (step[2] - phase[1]).abs() < 1e-6);
    }
    assert!(series.values[14].is_nan());
    let recordings = set.recordings().unwrap();
    assert_eq!(recordings.measured(), ["x"]);
    let after = |of: &dyn Recordings<Series>, steps| of.after(0, steps);
    assert_eq!(after(recordings, 1).as_deref(), Some("2024-01-02 00:00:00"));
    assert_eq!(after(recordings, 3).as_deref(), Some("2024-01-02 12:00:00"));
    let said = set.describe();
    assert!(
        said.contains("7 channels") && said.contains("day, week, year"),
        "{said}"
    );
    // What runs backward is turned round with its times.
    let table = "date,x\n2024-01-01 06:00,2\n2024-01-01 00:00,1\n";
    let set = of_file("a.csv", table, "calendar = true");
    let next = after(set.recordings().unwrap(), 1);
    assert_eq!(next.as_deref(), Some("2024-01-01 12:00:00"));
    let series = set.get(0).unwrap();
    assert_eq!(series.values[0], 1.0);
    assert!(series.values[2] > 0.99 && series.values[8] > 0.99);
    let error = refused("a.csv", "x,y\n1,2\n3,4\n", "calendar = true");
    assert!(error.contains("no column of time"), "{error}");
}

#[test]
fn stretches_of_time_say_what_is_not_normal() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    // The clock turns after four rows: two recordings of one file.
    let rows = "time,x\n2024-05-01 10:00,1\n2024-05-01 11:00,2\n2024-05-01 12:00,3\n2024-05-01 13:00,4\n\
                2024-05-01 11:00,5\n2024-05-01 12:00,6\n";
    write(root, "data/a/1.csv", rows);
    write(
        root,
        "data/b/2.csv",
        "time,x\n2024-05-01 10:00,1\n2024-05-01 11:00,2\n",
    );
    let with = |text: &str| {
        write(root, "windows.json", text);
        open(&SourceSpec {
            labels: Some(root.join("windows.json")),
            ..spec(root.join("data"), "")
        })
    };
    let text = r#"{"a/1.csv": [["2024-05-01 10:30:00.000", "2024-05-01 12:00:00.000"]], "2.csv": [], "3.csv": []}"#;
    let csv = "recording,start,end\n1,2024-05-01T11:00,2024-05-01T12:59\n";
    for text in [text, csv] {
        let source = with(text).unwrap();
        let recordings = source.recordings().unwrap();
        let abnormal: Vec<_> = (0..3).map(|at| recordings.abnormal(at).unwrap()).collect();
        assert_eq!(
            abnormal,
            [
                vec![false, true, true, false],
                vec![true, true],
                vec![false, false]
            ]
        );
        assert_eq!(recordings.name(1), "a/1+1");
        let item = recordings.ending(0, 2, 2).unwrap();
        assert_eq!((&item.values[..], item.start), (&[2.0, 3.0][..], 1));
        assert_eq!(recordings.ending(0, 1, 9).unwrap().steps(), 2);
        assert!(recordings.ending(0, 4, 2).is_err());
        assert_eq!(recordings.learned(0), 0..4);
    }
    // Steps are counted from the beginning of the recording that is named.
    let source = with("recording,start,end\na/1,1,2\n").unwrap();
    let recordings = source.recordings().unwrap();
    assert_eq!(recordings.abnormal(0).unwrap(), [false, true, false, false]);
    assert_eq!(recordings.abnormal(1).unwrap(), [false, false]);
    let source = with(r#"{"a/1.csv": [], "2.csv": []}"#).unwrap();
    let recordings = source.recordings().unwrap();
    assert!((0..3).all(|at| !recordings.abnormal(at).unwrap().contains(&true)));
    for (text, found) in [
        (
            r#"{"1.csv": [["2025-05-01", "2025-05-02"]]}"#,
            "none of its 1 rows",
        ),
        (r#"{"a/1.csv": [["2024-05-01 10:30"]]}"#, "no pair of times"),
        (r#"{"a/1.csv": [["x", "y"]]}"#, "no pair of times"),
        (r#"{"a/1.csv": 5}"#, "no list of windows"),
        (r#"{"7.csv": []}"#, "none of its 1 rows"),
    ] {
        let error = with(text).err().unwrap().to_string();
        assert!(error.contains(found), "{error}");
    }
    write(root, "timeless/1.csv", "x\n1\n2\n");
    let error = open(&SourceSpec {
        labels: Some(root.join("windows.json")),
        ..spec(root.join("timeless"), "")
    });
    write(root, "windows.json", csv);
    assert!(error.is_err());
    let error = open(&SourceSpec {
        labels: Some(root.join("windows.json")),
        ..spec(root.join("timeless"), "")
    });
    let error = error.err().unwrap().to_string();
    assert!(error.contains("has no times"), "{error}");
}

#[test]
fn a_file_without_the_column_of_the_others_says_nothing_of_its_steps() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write(root, "data/a.csv", "x,anomaly\n1,0\n2,1\n3,\n");
    write(root, "data/b.csv", "x\n1\n2\n3\n");
    let source = open(&spec(root.join("data"), "label = \"anomaly\"")).unwrap();
    let recordings = source.recordings().unwrap();
    assert_eq!(recordings.abnormal(0).unwrap(), [false, true, false]);
    assert_eq!(recordings.abnormal(1), None);
}

#[test]
fn what_is_not_there_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    assert!(failed(root.join("nothing.csv"), "").contains("is not there"));
    assert!(failed(root, "").contains("holds no series (found: nothing)"));
    write(
        root,
        "notes.txt",
        "Only words lie here.\nNothing else does.\n",
    );
    assert!(failed(root, "").contains("holds no series (found: 1 .txt)"));
    let error = open(&SourceSpec::default()).err().unwrap().to_string();
    assert!(error.contains("no series were named"), "{error}");
    assert!(
        refused("a.csv", "x,y\n1,2\n", "label = \"what\"").contains("no file has a column `what`")
    );
    assert!(refused("a.csv", "x,y\n1,2\n", "colums = [\"x\"]").contains("colums"));
}
