//! Folders that transformers reads: written by `export`, taken over by `pretrain --init` and in place of a run.

use std::fs;
use std::path::Path;

use super::{autodidact, fails, succeeds};

/// A table of texts, and a run on it.
fn run(here: &Path, method: &str, tokenizer: &str) {
    let line = |n: usize| format!("the {} fox sees the {} hen\n", n % 3, n % 5);
    let lines = (0..60).map(line).collect::<String>();
    fs::write(here.join("lines.csv"), format!("text\n{lines}")).unwrap();
    let sets = [
        "views.length=16",
        "encoder.width=16",
        "encoder.depth=1",
        "encoder.heads=2",
        "data.reading.vocabulary=300",
        tokenizer,
    ];
    let mut command = autodidact(here);
    command.args(["pretrain", "lines.csv", "--no-evaluate", "--out", "run"]);
    command.args(["--method", method, "--steps", "3", "--batch-size", "8"]);
    for set in sets {
        command.args(["--set", set]);
    }
    succeeds(&mut command);
}

fn export(here: &Path, from: &str, out: &str) -> String {
    succeeds(autodidact(here).args(["export", from, "--format", "transformers", "--out", out]))
}

/// The values of all vectors of the lines.
fn vectors(here: &Path, of: &str) -> Vec<f32> {
    succeeds(autodidact(here).args(["embed", of, "lines.csv", "--out", "v.npy"]));
    let bytes = fs::read(here.join("v.npy")).unwrap();
    let header = 10 + usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
    let values = bytes[header..].as_chunks().0.iter();
    values.map(|&value| f32::from_le_bytes(value)).collect()
}

#[test]
fn a_network_goes_out_and_comes_back_as_it_was() {
    for (method, tokenizer) in [
        ("masked_lm", "data.reading.tokenizer=wordpiece"),
        ("causal_lm", "data.reading.tokenizer=bpe"),
    ] {
        let scratch = tempfile::tempdir().unwrap();
        let here = scratch.path();
        run(here, method, tokenizer);
        export(here, "run", "out");
        let expected = vectors(here, "run");
        let found = vectors(here, "out");
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            assert!(
                (found - expected).abs() < 1e-5,
                "{method}: {found} beside {expected}"
            );
        }
        // It goes on learning where it stopped, with its own vocabulary.
        succeeds(autodidact(here).args([
            "pretrain",
            "lines.csv",
            "--init",
            "out",
            "--method",
            method,
            "--steps",
            "1",
            "--batch-size",
            "8",
            "--set",
            "train.learning_rate=1e-12",
            "--no-evaluate",
            "--out",
            "more",
        ]));
        let log = fs::read_to_string(here.join("more").join("train.log")).unwrap();
        assert!(log.contains("start    from"), "{log}");
        let [first, second] = ["run", "more"].map(|run| {
            let path = here.join(run).join("encoder.safetensors");
            autodidact::run::read_weights(&path).unwrap().0
        });
        assert!(first.keys().eq(second.keys()));
        for (name, array) in &first {
            assert_eq!(array.shape, second[name].shape, "{name}");
            for (a, b) in array.values.iter().zip(&second[name].values) {
                assert!((a - b).abs() < 1e-6, "{name}: {a} beside {b}");
            }
        }
        let [first, second] = ["run", "more"].map(|run| {
            let text = fs::read(here.join(run).join("tokenizer.json")).unwrap();
            let json: serde_json::Value = serde_json::from_slice(&text).unwrap();
            json["model"].clone()
        });
        assert_eq!(first, second);
    }
}

#[test]
fn what_contradicts_a_folder_and_a_damaged_one_are_named() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    run(here, "simclr", "data.reading.tokenizer=wordpiece");
    let out = export(here, "run", "out");
    assert!(out.contains("pooler"), "{out}");
    let pretrain = |more: &[&str]| {
        let mut command = autodidact(here);
        command.args(["pretrain", "lines.csv", "--init", "out", "--steps", "1"]);
        command.args(["--batch-size", "8"]).args(more);
        fails(&mut command)
    };
    let (error, code) = pretrain(&["--set", "encoder.width=32"]);
    assert!(
        error.contains("encoder.width = 32; expected 16") && code == 2,
        "{error}"
    );
    let (error, code) = pretrain(&["--set", "views.length=64"]);
    assert!(error.contains("16 places") && code == 2, "{error}");
    let (error, code) = fails(autodidact(here).args(["export", "out", "--format", "onnx"]));
    assert!(error.contains("graph") && code == 2, "{error}");
    let (error, _) =
        fails(autodidact(here).args(["export", "run", "--format", "transformers", "--out", "run"]));
    assert!(error.contains("a run is there"), "{error}");
    // There is nothing to go on from, and the folder stays as it is.
    let (error, code) = fails(autodidact(here).args(["pretrain", "--resume", "out"]));
    assert!(
        error.contains("no checkpoint to go on from") && code == 4,
        "{error}"
    );
    assert!(!here.join("out/lock").exists());

    let weights = here.join("out/model.safetensors");
    let whole = fs::read(&weights).unwrap();
    fs::write(&weights, &whole[..whole.len() / 2]).unwrap();
    let (error, code) = fails(autodidact(here).args(["embed", "out", "lines.csv"]));
    assert!(
        error.contains("no whole safetensors file") && code == 4,
        "{error}"
    );
    fs::write(here.join("out/config.json"), "{\"model_type\": \"t5\"}").unwrap();
    let (error, code) = fails(autodidact(here).args(["embed", "out", "lines.csv"]));
    assert!(error.contains("`t5`") && code == 3, "{error}");
}

#[test]
fn texts_that_are_too_long_are_counted() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    run(here, "simclr", "data.reading.tokenizer=wordpiece");
    fs::write(
        here.join("long.csv"),
        format!("text\nthe fox\n{}\n", "the hen ".repeat(40)),
    )
    .unwrap();
    let out = succeeds(autodidact(here).args(["embed", "run", "long.csv", "--out", "v.npy"]));
    assert!(out.contains("1 item is longer"), "{out}");
}
