//! Weights in and out: `export` and `pretrain --init`.

use std::fs;

use super::{TINY, autodidact, fails, succeeds};

#[test]
fn an_encoder_is_exported_and_another_run_starts_from_it() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    let pretrain = |more: &[&str]| {
        let mut command = autodidact(here);
        command.arg("pretrain").args(TINY).args(["--no-evaluate"]);
        command.args(more);
        command
    };
    succeeds(&mut pretrain(&["--steps", "2", "--out", "first"]));
    succeeds(autodidact(here).args(["export", "first", "--out", "w.safetensors"]));
    let weights = fs::read(here.join("w.safetensors")).unwrap();
    let text = String::from_utf8_lossy(&weights);
    assert!(
        text.contains("norms.0.num_batches_tracked"),
        "for strict=True"
    );
    succeeds(autodidact(here).args(["export", "first", "--format", "onnx", "--raw-input"]));
    let graph = fs::read(here.join("encoder.onnx")).unwrap();
    let text = String::from_utf8_lossy(&graph);
    for name in [
        "GlobalAveragePool",
        "convs.3.weight",
        "deviation",
        "features",
    ] {
        assert!(text.contains(name), "no {name} in the graph");
    }

    // A learning rate of nearly nothing leaves what the run started from.
    let still = ["--steps", "1", "--set", "train.learning_rate=1e-12"];
    let begin = |from: &str, out: &str| {
        let mut arguments = still.to_vec();
        arguments.extend(["--init", from, "--out", out, "--set", "train.seed=7"]);
        succeeds(&mut pretrain(&arguments));
        fs::read_to_string(here.join(out).join("train.log")).unwrap()
    };
    let log = begin("w.safetensors", "second");
    assert!(log.contains("start    from"), "{log}");
    begin("first", "third");
    let conv = |run: &str| {
        let path = here.join(run).join("encoder.safetensors");
        let (state, _) = autodidact::run::read_weights(&path).unwrap();
        state["convs.0.weight"].values.clone()
    };
    for run in ["second", "third"] {
        for (started, first) in conv(run).iter().zip(conv("first")) {
            assert!((started - first).abs() < 1e-6, "{started} beside {first}");
        }
    }

    // The checkpoint holds them: the file isn't needed again.
    fs::rename(here.join("w.safetensors"), here.join("weights.pth")).unwrap();
    succeeds(autodidact(here).args([
        "pretrain",
        "--resume",
        "second",
        "--steps",
        "1",
        "--no-evaluate",
    ]));

    let (error, _) = fails(&mut pretrain(&["--steps", "1", "--init", "weights.pth"]));
    assert!(
        error.contains("pickle") && error.contains("save_file"),
        "{error}"
    );
    let (error, _) = fails(&mut pretrain(&[
        "--steps",
        "1",
        "--init",
        "first",
        "--set",
        "encoder.width=8",
    ]));
    assert!(
        error.contains("`convs.0.weight` [4, 3, 3, 3] instead of [8, 3, 3, 3]"),
        "{error}"
    );
}

#[test]
fn what_is_left_open_of_a_network_is_as_in_the_weights_that_a_run_starts_from() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    let pretrain = |arguments: &[&str], out: &str| {
        let mut command = autodidact(here);
        command.arg("pretrain").args(arguments);
        command.args(["--steps", "1", "--no-evaluate", "--out", out]);
        succeeds(&mut command);
        fs::read_to_string(here.join(out).join("recipe.toml")).unwrap()
    };
    let small = [
        "--method",
        "simclr",
        "--batch-size",
        "16",
        "--set",
        "data.synthetic_items=200",
        "--set",
        "views.crops=[{count=2,size=16}]",
    ];
    let residual = ["--encoder", "resnet34", "--set", "encoder.width=4"];
    pretrain(&[&small[..], &residual].concat(), "residual");
    succeeds(autodidact(here).args(["export", "residual", "--out", "w.safetensors"]));
    for (from, out) in [("w.safetensors", "second"), ("residual", "third")] {
        let recipe = pretrain(&[&small[..], &["--init", from]].concat(), out);
        assert!(recipe.contains("name = \"resnet34\"\n"), "{recipe}");
        assert!(recipe.contains("width = 4\n"), "{recipe}");
    }
    // Words stay those that the vectors are of, though other texts would have made others.
    let lines = |of: &[&str]| {
        let lines = (0..60).map(|n| of[n % of.len()].repeat(1 + n % 3) + "\n");
        format!("text\n{}", lines.collect::<String>())
    };
    fs::write(here.join("one.csv"), lines(&["red fox ", "blue bird "])).unwrap();
    fs::write(here.join("two.csv"), lines(&["green tree ", "old stone "])).unwrap();
    let small_text = [
        "--batch-size",
        "8",
        "--set",
        "encoder.width=8",
        "--set",
        "encoder.heads=2",
        "--set",
        "encoder.depth=1",
        "--set",
        "views.length=32",
    ];
    let words = ["one.csv", "--method", "masked_lm"];
    pretrain(&[&words[..], &small_text].concat(), "words");
    let sentences = ["two.csv", "--recipe", "text/simcse", "--batch-size", "8"];
    let from = ["--set", "views.length=16", "--init", "words"];
    let recipe = pretrain(&[&sentences[..], &from].concat(), "sentences");
    assert!(recipe.contains("positions = 32\n"), "{recipe}");
    let vocabulary = |run: &str| {
        let text = fs::read(here.join(run).join("tokenizer.json")).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&text).unwrap();
        json["model"].clone()
    };
    assert_eq!(vocabulary("sentences"), vocabulary("words"));
    // The network as well, whichever the run of words has.
    let words = ["one.csv", "--recipe", "text/masked-lm"];
    pretrain(&[&words[..], &small_text].concat(), "modern");
    let from = ["--set", "views.length=16", "--init", "modern"];
    let recipe = pretrain(&[&sentences[..], &from].concat(), "others");
    assert!(recipe.contains("name = \"modern\"\n"), "{recipe}");
    let (error, _) = fails(autodidact(here).args(["pretrain", "two.csv", "--init", "residual"]));
    assert!(error.contains("a network for images"), "{error}");
}
