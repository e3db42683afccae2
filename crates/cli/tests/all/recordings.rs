//! Recordings as a user meets them: forecasts, what is not normal, and steps that are watched as they arrive.

use std::fmt::Write as _;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;

use serde_json::Value;

use super::{autodidact, fails, run, succeeds, text};

/// Two channels of a wave; from step 900 to 960 it goes faster.
fn wave(steps: usize) -> String {
    let mut table = "time,a,b,anomaly\n".to_owned();
    for step in 0..steps {
        let odd = (900..960).contains(&step);
        let phase = step as f64 * if odd { 1.3 } else { 0.3 };
        let (a, b) = (
            phase.sin(),
            (phase * 2.0).cos() + 0.01 * (step as f64 * 7.7).sin(),
        );
        let _ = writeln!(
            table,
            "{},{a:.5},{b:.5},{}",
            1_700_000_000 + 60 * step,
            u8::from(odd)
        );
    }
    table
}

/// A run on windows of so many steps of the wave.
fn learned(here: &Path, steps: usize) -> String {
    fs::write(here.join("wave.csv"), wave(steps)).unwrap();
    learned_from(here, "wave.csv")
}

/// A run on windows of data that is there.
fn learned_from(here: &Path, data: &str) -> String {
    succeeds(autodidact(here).args([
        "pretrain",
        data,
        "--method",
        "reliability",
        "--out",
        "run",
        "--set",
        "data.reading.window=32",
        "--set",
        "data.reading.stride=4",
        "--set",
        "data.reading.label=none",
        "--set",
        "encoder.width=336",
    ]))
}

fn value(found: &Value, who: &str, task: &str, metric: &str) -> f64 {
    let results = found["results"].as_array().unwrap().iter();
    let mut is =
        results.filter(|one| one["who"] == who && one["task"] == task && one["metric"] == metric);
    is.next()
        .unwrap_or_else(|| panic!("{who} {task} {metric}: {found}"))["value"]
        .as_f64()
        .unwrap()
}

#[test]
fn what_comes_next_is_foretold_and_what_is_not_normal_found() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    learned(here, 1500);
    let out = succeeds(autodidact(here).args([
        "evaluate",
        "run",
        "--forecast",
        "16,4",
        "--json",
        "ahead.json",
    ]));
    assert!(
        out.contains("4 ahead mse") && out.contains("data.reading.test"),
        "{out}"
    );
    let found: Value = serde_json::from_slice(&fs::read(here.join("ahead.json")).unwrap()).unwrap();
    assert_eq!(found["season"], 21);
    assert_eq!(found["horizons"], serde_json::json!([4, 16]));
    let error = |who: &str| value(&found, who, "4 ahead", "mse");
    // A wave goes on as its last values say, and not as the last one does.
    assert!(error("raw") < 0.1 * error("last value"), "{out}");
    assert!(error("pretrained") < 0.7 * error("last value"), "{out}");
    // Who stands on something simple is asked like the others, and so is the untrained network.
    for who in [
        "pretrained over linear",
        "untrained over linear",
        "untrained with values",
    ] {
        assert!(error(who) < error("last value"), "{who}: {out}");
    }
    assert!(here.join("run/forecast.json").is_file());

    let marked = ["--reading", "label=anomaly"];
    let out = succeeds(
        autodidact(here)
            .args([
                "evaluate",
                "run",
                "--anomalies",
                "--set",
                "known=0.4",
                "--json",
                "odd.json",
            ])
            .args(marked),
    );
    assert!(
        out.contains("upper bound") && out.contains("flatters"),
        "{out}"
    );
    let found: Value = serde_json::from_slice(&fs::read(here.join("odd.json")).unwrap()).unwrap();
    assert_eq!(
        (&found["abnormal"], &found["stretches"]),
        (&60.into(), &1.into())
    );
    assert!(
        value(&found, "pretrained", "scores", "auc_pr") > 0.5,
        "{out}"
    );
    assert!(value(&found, "random", "scores", "auc_pr") < 0.3, "{out}");
    assert!(
        value(&found, "pretrained", "alarms", "recall") > 0.5,
        "{out}"
    );
    assert!(
        value(&found, "pretrained", "best threshold", "nab") > 50.0,
        "{out}"
    );

    // By what came last, from half as many steps: found as well, and said.
    let settings = ["--set", "usual=recent", "--set", "context=16"];
    let out = succeeds(
        autodidact(here)
            .args(["evaluate", "run", "--anomalies", "--set", "known=0.4"])
            .args(["--json", "recent.json"])
            .args(settings)
            .args(marked),
    );
    assert!(
        out.contains("by what came last before each step") && out.contains("sees 16 steps"),
        "{out}"
    );
    let recent: Value =
        serde_json::from_slice(&fs::read(here.join("recent.json")).unwrap()).unwrap();
    assert!(
        value(&recent, "pretrained", "scores", "auc_pr") > 0.3,
        "{out}"
    );
    assert_ne!(recent["results"], found["results"]);

    succeeds(autodidact(here).args(["report", "run", "--items", "20"]));
    let page = fs::read_to_string(here.join("run/report.html")).unwrap();
    for shown in [
        "What is not normal",
        "Forecasts",
        "\"bands\": [[900.0, 960.0]]",
        "data-part=\"1\"",
    ] {
        assert!(page.contains(shown), "{shown}");
    }
    // A damaged finding is said on the page, and the rest is there.
    fs::write(here.join("run/forecast.json"), "{").unwrap();
    succeeds(autodidact(here).args(["report", "run", "--items", "20"]));
    let page = fs::read_to_string(here.join("run/report.html")).unwrap();
    assert!(
        page.contains("findings that can&#x27;t be read") && page.contains("Before you believe it")
    );

    let (err, code) = fails(autodidact(here).args(["evaluate", "run", "--anomalies"]));
    assert!(
        code == 3 && err.contains("nobody said which steps are not normal"),
        "{err}"
    );
    let (err, _) = fails(autodidact(here).args(["evaluate", "run", "--forecast", "400"]));
    assert!(err.contains("no recording long enough"), "{err}");
    let (err, _) = fails(autodidact(here).args([
        "evaluate",
        "run",
        "--forecast",
        "4",
        "--set",
        "forecast_parts=[0,1,1]",
    ]));
    assert!(err.contains("three numbers above 0"), "{err}");
    // Of other data pretraining has seen nothing.
    fs::write(here.join("other.csv"), wave(400)).unwrap();
    let out = succeeds(autodidact(here).args(["evaluate", "run", "other.csv", "--forecast", "4"]));
    assert!(
        out.contains("4 ahead mse") && !out.contains("pretraining has seen"),
        "{out}"
    );
}

#[test]
fn recordings_that_are_set_apart_are_those_that_are_judged_on() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    fs::write(here.join("W_TRAIN.csv"), wave(850)).unwrap();
    fs::write(here.join("W_TEST.csv"), wave(1100)).unwrap();
    learned_from(here, "W");
    let evaluate = |asked: &[&str]| -> (Value, String) {
        let mut command = autodidact(here);
        command.args(["evaluate", "run"]).args(asked);
        let out = succeeds(command.args(["--json", "found.json"]));
        let found = fs::read(here.join("found.json")).unwrap();
        (serde_json::from_slice(&found).unwrap(), out)
    };
    let (found, out) = evaluate(&["--forecast", "4"]);
    let shown = found["examples"][0]["name"].as_str().unwrap();
    assert!(
        found["recordings"] == 1 && shown.contains("TEST"),
        "{found}"
    );
    assert!(!out.contains("pretraining has seen"), "{out}");
    // Nothing went wrong in what was learned from.
    let marked = ["--set", "known=0.4", "--reading", "label=anomaly"];
    let (found, _) = evaluate(&[&["--anomalies"][..], &marked].concat());
    assert_eq!(
        (&found["recordings"], &found["abnormal"]),
        (&1.into(), &60.into())
    );
}

#[test]
fn what_comes_after_the_end_is_foretold_with_bounds_and_times() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    learned(here, 1500);
    let predict = |extra: &[&str]| {
        let mut command = autodidact(here);
        command.args(["predict", "run", "--forecast"]).args(extra);
        command
    };
    let out = succeeds(&mut predict(&["8", "--out", "next.csv"]));
    assert!(
        out.contains("8 steps from 2023-11-15 23:13:20 on") && out.contains("90 % of what comes"),
        "{out}"
    );
    let table = fs::read_to_string(here.join("next.csv")).unwrap();
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 1 + 8 * 2, "{table}");
    for (row, line) in lines[1..].iter().enumerate() {
        let fields: Vec<&str> = line.split(',').collect();
        let step = 1500 + row / 2;
        assert_eq!(fields[1], step.to_string(), "{line}");
        assert_eq!(fields[3], ["a", "b"][row % 2], "{line}");
        let [value, low, high] = [4, 5, 6].map(|at| fields[at].parse::<f64>().unwrap());
        let phase = 0.3 * step as f64;
        let came = [phase.sin(), (2.0 * phase).cos()][row % 2];
        // On the scale that it was recorded on, which is not the network's.
        assert!((value - came).abs() < 0.3, "{line}: {came}");
        assert!(low < value && value < high, "{line}");
    }
    assert!(lines[16].contains("2023-11-15 23:20:20"), "{table}");
    succeeds(autodidact(here).args(["report", "run", "--items", "20"]));
    let page = fs::read_to_string(here.join("run/report.html")).unwrap();
    assert!(page.contains("What comes next") && page.contains("8 steps after the end"));
    // Another recording of the same, of which nothing is known but itself.
    fs::write(here.join("other.csv"), wave(700)).unwrap();
    succeeds(predict(&["3", "--coverage", "0.5", "--out", "next.jsonl"]).arg("other.csv"));
    let lines = fs::read_to_string(here.join("next.jsonl")).unwrap();
    let first: Value = serde_json::from_str(lines.lines().next().unwrap()).unwrap();
    assert!(
        first["recording"].as_str().unwrap().starts_with("other"),
        "{first}"
    );
    assert_eq!(
        (&first["step"], &first["channel"]),
        (&700.into(), &"a".into())
    );

    // The run's page goes on telling of the run's own data.
    let kept = fs::read_to_string(here.join("run/foretold.json")).unwrap();
    assert!(kept.contains("\"horizon\": 8"), "{kept}");

    let (err, _) = fails(&mut predict(&["400"]));
    assert!(err.contains("at least 2005 steps"), "{err}");
    let (err, _) = fails(&mut predict(&["4", "--coverage", "1.5"]));
    assert!(err.contains("a part between 0 and 1"), "{err}");
    let (err, _) = fails(&mut predict(&["4", "--out", "next.npy"]));
    assert!(err.contains(".csv, .parquet or .jsonl"), "{err}");
}

/// So many series, a row each behind its class: a step up and then down, or down and then up, early or late.
fn bumps(series: std::ops::Range<usize>) -> String {
    let mut table = String::new();
    for number in series {
        let (class, at) = (number % 2, 5 + number * 7 % 11);
        let sign = if class == 0 { 1.0 } else { -1.0 };
        let _ = write!(table, "{}", class + 1);
        for step in 0..60usize {
            let value = match step.checked_sub(at) {
                Some(0..3) => sign,
                Some(3..6) => -sign,
                _ => 0.0,
            };
            let _ = write!(table, "\t{value}");
        }
        table.push('\n');
    }
    table
}

#[test]
fn values_are_compared_by_warping_time_too() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    fs::write(here.join("X_TRAIN.tsv"), bumps(0..24)).unwrap();
    fs::write(here.join("X_TEST.tsv"), bumps(24..60)).unwrap();
    succeeds(autodidact(here).args(["pretrain", "X", "--no-evaluate", "--out", "run"]));
    let dtw = |data: &[&str]| {
        let mut command = autodidact(here);
        command.args(["evaluate", "run"]).args(data);
        let out = succeeds(command.args(["--json", "found.json"]));
        let text = fs::read(here.join("found.json")).unwrap();
        let found: Value = serde_json::from_slice(&text).unwrap();
        (value(&found, "raw", "dtw1", "accuracy"), out)
    };
    let (right, out) = dtw(&[]);
    assert!(
        right > 0.99 && out.contains("dynamic time warping"),
        "{out}"
    );
    // Where a share is set aside, the values looked at are those of the same items.
    let (right, out) = dtw(&["X_TRAIN.tsv"]);
    assert!(right > 0.99, "{out}");
    // Of other data pretraining has seen nothing.
    fs::create_dir(here.join("other")).unwrap();
    fs::write(here.join("other/X_TRAIN.tsv"), bumps(0..60)).unwrap();
    let (_, out) = dtw(&["other/X_TRAIN.tsv"]);
    assert!(
        out.contains("were set aside from it") && !out.contains("pretraining has seen"),
        "{out}"
    );
}

#[test]
fn steps_are_answered_as_they_arrive() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    // Before anything goes wrong: what is learned from is taken for normal.
    learned(here, 850);
    let mut child = autodidact(here)
        .args(["predict", "run", "--stream", "--false-alarms", "0.02"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut to = child.stdin.take().unwrap();
    let mut from = BufReader::new(child.stdout.take().unwrap());
    let mut next = || {
        let mut line = String::new();
        from.read_line(&mut line).unwrap();
        line
    };
    assert_eq!(next(), "step,distance,likelihood,alarm\n");
    let table = wave(1000);
    let mut lines = table.lines();
    writeln!(to, "{}", lines.next().unwrap()).unwrap();
    // Each row is answered before the next one is sent.
    let mut alarms = Vec::new();
    for (step, line) in lines.enumerate() {
        writeln!(to, "{line}").unwrap();
        let answer = next();
        let fields: Vec<&str> = answer.trim().split(',').collect();
        assert_eq!(
            (fields.len(), fields[0]),
            (4, step.to_string().as_str()),
            "{answer}"
        );
        alarms.push(fields[3] == "1");
    }
    drop(to);
    let output = child.wait_with_output().unwrap();
    let err = text(&output.stderr);
    assert!(output.status.success(), "{err}");
    assert!(err.contains("1000 rows, each answered within"), "{err}");
    let count = |of: std::ops::Range<usize>| alarms[of].iter().filter(|&&alarm| alarm).count();
    assert_eq!(count(0..31), 0, "before there is a whole stretch");
    assert!(count(32..900) < 90, "{}", count(32..900));
    assert!(count(910..960) > 25, "{}", count(910..960));

    // Rows of other channels, a run without recordings' steps, and a reader that goes away.
    let mut bad = autodidact(here)
        .args(["predict", "run", "--stream"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    bad.stdin.take().unwrap().write_all(b"1,2,3\n").unwrap();
    let output = bad.wait_with_output().unwrap();
    let err = text(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{err}");
    assert!(
        err.contains("line 1 holds 3 numbers; expected 2 channels"),
        "{err}"
    );
    let output = run(autodidact(here).args(["predict", "run"]));
    assert!(!output.status.success());
}

#[test]
fn an_encoder_goes_on_learning_from_what_it_watches() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    fs::write(here.join("wave.csv"), wave(800)).unwrap();
    succeeds(autodidact(here).args([
        "pretrain",
        "wave.csv",
        "--method",
        "ts2vec",
        "--steps",
        "3",
        "--batch-size",
        "8",
        "--out",
        "run",
        "--set",
        "data.reading.window=32",
        "--set",
        "data.reading.label=none",
        "--set",
        "encoder.width=8",
        "--set",
        "encoder.depth=2",
        "--set",
        "encoder.dim=16",
    ]));
    let stream = |out: &str, extra: &[&str]| {
        let mut child = autodidact(here)
            .args([
                "predict",
                "run",
                "--stream",
                "--false-alarms",
                "0.05",
                "--adapt",
                out,
            ])
            .args([
                "--learn-every",
                "100",
                "--learn-steps",
                "2",
                "--learn-most",
                "5",
            ])
            .args(extra)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut to = child.stdin.take().unwrap();
        let writing = std::thread::spawn(move || {
            // It may refuse before it has read all.
            let _ = to.write_all(wave(700).as_bytes());
        });
        let output = child.wait_with_output().unwrap();
        writing.join().unwrap();
        (
            output.status.code(),
            text(&output.stdout),
            text(&output.stderr),
        )
    };
    let (code, out, err) = stream("adapted", &[]);
    assert_eq!(code, Some(0), "{err}");
    assert_eq!(out.lines().count(), 701);
    assert!(
        err.contains("5 training steps in 3 rounds; the encoder is in adapted"),
        "{err}"
    );
    let encoder = |run: &str| fs::read(here.join(run).join("encoder.safetensors")).unwrap();
    assert!(encoder("run") != encoder("adapted"));
    // It is a run like any other.
    succeeds(autodidact(here).args(["embed", "adapted", "wave.csv", "--out", "vectors.npy"]));
    let (code, _, err) = stream("adapted", &[]);
    assert!(
        code == Some(4) && err.contains("a run is there already"),
        "{err}"
    );
}
