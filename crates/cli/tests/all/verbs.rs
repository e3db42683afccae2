//! Each verb once, and the messages that people meet first.

use std::fs;

use super::{TINY, autodidact, fails, succeeds};

#[test]
fn a_run_is_learned_judged_embedded_searched_and_continued() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    let out = succeeds(
        autodidact(here)
            .arg("pretrain")
            .args(TINY)
            .args(["--steps", "8", "--out", "run"]),
    );
    assert!(
        out.contains("pretrained, without labels") && out.contains("raw values"),
        "{out}"
    );
    for file in [
        "recipe.toml",
        "metrics.jsonl",
        "encoder.safetensors",
        "card.md",
        "evaluation.json",
        "train.log",
    ] {
        assert!(here.join("run").join(file).is_file(), "{file} is missing");
    }
    let events = fs::read_dir(here.join("run")).unwrap();
    assert!(events.flatten().any(|entry| {
        entry
            .file_name()
            .to_string_lossy()
            .starts_with("events.out.tfevents")
    }));

    let out = succeeds(autodidact(here).args(["evaluate", "run", "--json", "findings.json"]));
    assert!(out.contains("nearest neighbors"), "{out}");
    let findings: serde_json::Value =
        serde_json::from_slice(&fs::read(here.join("findings.json")).unwrap()).unwrap();
    for key in ["run", "data", "items", "classes", "verdict", "results"] {
        assert!(findings.get(key).is_some(), "no `{key}` in {findings}");
    }
    for key in ["who", "task", "metric", "value", "low", "high"] {
        assert!(
            findings["results"][0].get(key).is_some(),
            "no `{key}` in {findings}"
        );
    }

    let out = succeeds(autodidact(here).args(["report", "run", "--items", "100"]));
    assert!(out.contains("report.html"), "{out}");
    let page = fs::read_to_string(here.join("run/report.html")).unwrap();
    for text in [
        "20 nearest neighbors",
        "100 of 200 items",
        "id=\"map\"",
        "threads",
    ] {
        assert!(page.contains(text), "no {text}");
    }
    let (message, code) = fails(autodidact(here).args(["report", "nowhere"]));
    assert!(
        message.contains("nowhere: no such folder") && code == 4,
        "{message}"
    );

    succeeds(autodidact(here).args(["embed", "run", "--out", "vectors.csv"]));
    assert_eq!(
        fs::read_to_string(here.join("vectors.csv"))
            .unwrap()
            .lines()
            .count(),
        201
    );
    succeeds(autodidact(here).args(["embed", "run", "--out", "vectors.npy"]));
    assert!(here.join("vectors.index.csv").is_file());

    succeeds(autodidact(here).args(["views", "--items", "2", "--out", "views.png"]));
    let sheet = fs::read(here.join("views.png")).unwrap();
    assert!(sheet.starts_with(b"\x89PNG"));
    fs::create_dir(here.join("images")).unwrap();
    for name in ["a.png", "b.png"] {
        fs::write(here.join("images").join(name), &sheet).unwrap();
    }
    let out =
        succeeds(autodidact(here).args(["search", "run", "images", "images/a.png", "-k", "1"]));
    assert!(
        out.contains("1.000  a.png") || out.contains("1.000  b.png"),
        "{out}"
    );

    let out = succeeds(autodidact(here).args([
        "pretrain",
        "--resume",
        "run",
        "--steps",
        "3",
        "--no-evaluate",
    ]));
    assert!(out.contains("after 11 steps"), "{out}");
    let out = succeeds(autodidact(here).args([
        "pretrain",
        "--resume",
        "run",
        "images",
        "--steps",
        "2",
        "--no-evaluate",
    ]));
    assert!(out.contains("after 13 steps"), "{out}");
}

#[test]
fn the_lists_say_what_there_is() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    let methods = succeeds(autodidact(here).arg("methods"));
    for method in autodidact::method::ALL {
        assert!(methods.contains(method.name));
    }
    assert!(succeeds(autodidact(here).arg("recipes")).contains("images/synthetic"));
    assert!(succeeds(autodidact(here).args(["recipes", "images/simclr"])).contains("[method]"));
    assert!(succeeds(autodidact(here).arg("devices")).contains("cpu"));
    assert!(succeeds(autodidact(here).arg("datasets")).contains("images"));
    assert!(succeeds(autodidact(here).args(["completions", "bash"])).contains("autodidact"));
}

#[test]
fn errors_say_what_was_found_what_was_expected_and_what_to_do() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    let (message, code) = fails(autodidact(here).args(["pretrain", "photos"]));
    assert!(message.contains("photos"), "{message}");
    assert_eq!(code, 3);
    fs::create_dir(here.join("tables")).unwrap();
    fs::write(here.join("tables/a.xlsx"), "cells").unwrap();
    let (message, _) = fails(autodidact(here).args(["pretrain", "tables"]));
    assert!(
        message.contains("no images") && message.contains("JPEG"),
        "{message}"
    );
    let (message, code) =
        fails(autodidact(here).args(["pretrain", "--set", "train.learnin_rate=1"]));
    assert!(
        message.contains("try: did you mean `train.learning_rate`?"),
        "{message}"
    );
    assert_eq!(code, 2);
    let (message, _) = fails(autodidact(here).args(["pretrain", "--method", "simlcr"]));
    assert!(
        message.contains("no method named `simlcr`") && message.contains("simclr"),
        "{message}"
    );
    let (message, code) = fails(autodidact(here).args(["evaluate", "nowhere"]));
    assert!(message.contains("nowhere: no such folder"), "{message}");
    assert_eq!(code, 4);
    let (message, _) = fails(autodidact(here).args(["pretrain", "--device", "abacus"]));
    assert!(
        message.contains("no device named `abacus`") && message.contains("cpu"),
        "{message}"
    );
}

#[test]
fn the_precision_is_kept_and_said() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    let pretrain = ["--steps", "2", "--no-evaluate", "--precision"];
    succeeds(
        autodidact(here)
            .arg("pretrain")
            .args(TINY)
            .args(pretrain)
            .args(["bf16", "--out", "run"]),
    );
    let recipe = fs::read_to_string(here.join("run/recipe.toml")).unwrap();
    assert!(recipe.contains("precision = \"bf16\""), "{recipe}");
    let log = fs::read_to_string(here.join("run/train.log")).unwrap();
    assert!(
        log.contains("numbers  bf16") || log.contains("numbers  f32, since"),
        "{log}"
    );
    let (message, _) = fails(autodidact(here).arg("pretrain").args(pretrain).arg("f16"));
    assert!(message.contains("f32 or bf16"), "{message}");
}

#[test]
fn unreadable_images_are_named_and_left_out() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    succeeds(autodidact(here).args(["views", "--items", "1", "--out", "views.png"]));
    let sheet = fs::read(here.join("views.png")).unwrap();
    fs::create_dir(here.join("photos")).unwrap();
    for number in 0..39 {
        fs::write(here.join(format!("photos/{number:02}.png")), &sheet).unwrap();
    }
    fs::write(here.join("photos/99-broken.png"), &sheet[..sheet.len() / 2]).unwrap();
    let tiny = [
        "--encoder",
        "small_conv",
        "--set",
        "encoder.width=4",
        "--set",
        "views.crops=[{count=2,size=16}]",
    ];
    let out = succeeds(
        autodidact(here)
            .args([
                "pretrain",
                "photos",
                "--steps",
                "4",
                "--batch-size",
                "20",
                "--out",
                "run",
            ])
            .args(tiny),
    );
    assert!(
        out.contains("1 item could not be read") && out.contains("99-broken.png"),
        "{out}"
    );
    for number in 0..20 {
        fs::write(
            here.join(format!("photos/{number:02}.png")),
            b"\x89PNG nothing",
        )
        .unwrap();
    }
    let (message, code) = fails(
        autodidact(here)
            .args(["pretrain", "photos", "--steps", "4", "--batch-size", "20"])
            .args(tiny),
    );
    assert!(
        message.contains("unreadable") && message.contains("expected at most"),
        "{message}"
    );
    assert_eq!(code, 3);
}

#[test]
fn a_budget_chooses_what_the_recipe_leaves_open() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    let small = [
        "--set",
        "data.synthetic_items=200",
        "--set",
        "views.crops=[{count=2,size=16}]",
        "--method",
        "simclr",
    ];
    let out = succeeds(
        autodidact(here)
            .arg("plan")
            .args(small)
            .args(["--budget", "2s"]),
    );
    for text in [
        "width 8",
        "width 64",
        "passes over the data",
        "chosen for 2s",
    ] {
        assert!(out.contains(text), "no `{text}` in {out}");
    }
    let pretrain = |extra: &[&str], run: &str| {
        succeeds(
            autodidact(here)
                .arg("pretrain")
                .args(small)
                .args(["--budget", "2s", "--no-evaluate", "--out", run])
                .args(extra),
        )
    };
    assert!(pretrain(&[], "chosen").contains("chosen for 2s"));
    let recipe = fs::read_to_string(here.join("chosen/recipe.toml")).unwrap();
    assert!(recipe.contains("width = 8\n"), "{recipe}");
    // A size that is given, and weights that are, leave nothing to choose.
    let given = pretrain(&["--set", "encoder.width=4"], "given");
    assert!(!given.contains("chosen"), "{given}");
    let started = pretrain(&["--init", "given", "--set", "encoder.width=4"], "started");
    assert!(!started.contains("chosen"), "{started}");
}
