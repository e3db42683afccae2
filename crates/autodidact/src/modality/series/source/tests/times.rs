//! What times say: zones, months, the calendar, stretches.

use super::*;

#[test]
fn resampling_wants_times() {
    for (name, text) in [
        ("a.csv", "x\n1\n2\n"),
        ("a.ts", "@data\n1,2\n"),
        ("a.txt", "walk 1 2\n"),
    ] {
        let found = refused(name, text, "resample = 5");
        assert!(
            found.contains("no column of time, and data.reading.resample asks for it"),
            "{found}"
        );
    }
}

#[test]
fn what_comes_after_is_dated_as_the_rows_are() {
    for (rows, reading, expected) in [
        // In the zone of the rows.
        (
            "2024-05-01T10:00+02:00;1\n2024-05-01T11:00+02:00;2",
            "",
            "2024-05-01 12:00:00+02:00",
        ),
        (
            "2024-05-01T10:10-05:00;1\n2024-05-01T11:10-05:00;2",
            "resample = 3600",
            "2024-05-01 12:10:00-05:00",
        ),
        // Before numbers of seconds are large enough to be told from others.
        ("1961-03-01;1\n1961-03-02;2", "", "1961-03-03 00:00:00"),
        // By the calendar, where years and months differ in length.
        (
            "2021-03-01;1\n2022-03-01;2\n2023-03-01;3",
            "",
            "2024-03-01 00:00:00",
        ),
        (
            "2023-11-30;1\n2023-12-31;2\n2024-01-31;3",
            "",
            "2024-02-29 00:00:00",
        ),
        // Decimals with a comma are times as well.
        ("0,5;1,5\n1;2\n1,5;3", "", "2"),
        ("10:00:00,5;1\n10:00:01;2", "", "10:00:01.500"),
    ] {
        let source = of_file("a.csv", &format!("date;x\n{rows}\n"), reading);
        let after = source.recordings().unwrap().after(0, 1);
        assert_eq!(after.as_deref(), Some(expected), "{rows}");
        let said = source.describe();
        assert!(
            !said.contains("different length") && !said.contains("can't be read"),
            "{said}"
        );
    }
}

#[test]
fn the_calendar_is_that_of_the_place_of_the_rows() {
    // Noon of three days, over the change to summer time.
    let table =
        "date,x\n2024-03-30 12:00+01:00,1\n2024-03-31 12:00+02:00,2\n2024-04-01 12:00+02:00,3\n";
    for reading in ["", "\nresample = 82800"] {
        let set = of_file("a.csv", table, &format!("calendar = true{reading}"));
        let series = set.get(0).unwrap();
        assert_eq!(series.steps(), 3, "{reading}");
        let noon = |step: &[f32]| step[1].abs() + (step[2] + 1.0).abs() < 1e-6;
        // The third step of 23 hours begins at eleven.
        let steps = if reading.is_empty() { 3 } else { 2 };
        assert!(series.values.chunks_exact(7).take(steps).all(noon));
    }
}

#[test]
fn stretches_without_a_zone_are_of_the_zone_of_the_recording() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write(
        root,
        "data/1.csv",
        "time,x\n2024-05-01T10:00+02:00,1\n2024-05-01T11:00+02:00,2\n2024-05-01T12:00+02:00,3\n",
    );
    for text in [
        "recording,start,end\n1,2024-05-01T11:00,2024-05-01T11:30\n",
        "recording,start,end\n1,2024-05-01T09:00Z,2024-05-01T12:30+03:00\n",
        r#"{"1.csv": [["2024-05-01 10:30:00", "2024-05-01 11:30:00"]]}"#,
        r#"{"1.csv": [[1714554000000, 1714555800000]]}"#,
    ] {
        write(root, "labels", text);
        let source = open(&SourceSpec {
            labels: Some(root.join("labels")),
            ..spec(root.join("data"), "")
        })
        .unwrap();
        let abnormal = source.recordings().unwrap().abnormal(0).unwrap();
        assert_eq!(abnormal, [false, true, false], "{text}");
    }
}
