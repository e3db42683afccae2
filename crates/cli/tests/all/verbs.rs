//! Each verb once, and the messages that people meet first.

use std::fs;

use autodidact::run::RunFolder;

use super::{TINY, autodidact, fails, run, succeeds, text};

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
    assert!(message.contains("try: did you mean `simclr`?"), "{message}");
    let (message, _) = fails(autodidact(here).args(["pretrain", "--recipe", "images/simlcr"]));
    assert!(
        message.contains("no recipe `images/simlcr`")
            && message.contains("try: `autodidact recipes`"),
        "{message}"
    );
    let other = ["pretrain", "--recipe", "images/simclr", "--method", "byol"];
    let (message, _) = fails(autodidact(here).args(other));
    assert!(
        message.contains("--method byol with a recipe of the method simclr"),
        "{message}"
    );
    let (message, code) = fails(autodidact(here).args(["evaluate", "nowhere"]));
    assert!(message.contains("nowhere: no such folder"), "{message}");
    assert_eq!(code, 4);
    // Of what would be ignored it says so before it looks at anything else.
    let both = ["--forecast", "4", "--labels", "labels.csv"];
    let (message, code) = fails(autodidact(here).args(["evaluate", "nowhere"]).args(both));
    assert!(
        message.contains("--labels with --forecast") && message.contains("try: leave --labels out"),
        "{message}"
    );
    assert_eq!(code, 2);
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

#[test]
fn a_plan_tells_what_the_one_size_comes_to_and_wants_a_time() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    let plan = |more: &[&str]| {
        let mut command = autodidact(here);
        command.args(["plan", "--set", "data.synthetic_items=200"]);
        command.args(more);
        command
    };
    let out = succeeds(&mut plan(&["--budget", "2s"]));
    assert!(
        out.contains("as the recipe has it") && out.contains("passes over the data"),
        "{out}"
    );
    assert!(out.contains("there is one size to train"), "{out}");
    for (key, value) in [("epochs", "3.0"), ("steps", "40")] {
        let recipe = format!(
            "[views]\ncrops = [{{ count = 2, size = 16 }}]\n[method]\nname = \"simclr\"\n[train]\n{key} = {value}\n"
        );
        fs::write(here.join("long.toml"), recipe).unwrap();
        let named = ["--recipe", "long.toml"];
        let (message, code) = fails(&mut plan(&named));
        let expected = format!("long.toml: a plan for a recipe whose length is train.{key}");
        assert!(message.contains(&expected) && code == 2, "{message}");
        assert!(message.contains("try: give --budget"), "{message}");
        let settled = ["--budget", "1s", "--set", "encoder.width=8"];
        let out = succeeds(plan(&named).args(settled));
        assert!(out.contains("1s on this machine"), "{out}");
    }
}

#[test]
fn a_folder_that_is_trained_into_is_kept_from_others_that_would_and_may_be_read() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    let begin = ["--steps", "4", "--no-evaluate", "--out", "run"];
    succeeds(autodidact(here).arg("pretrain").args(TINY).args(begin));
    let kept = || {
        ["checkpoints/last.safetensors", "metrics.jsonl"]
            .map(|name| fs::read(here.join("run").join(name)).unwrap())
    };
    let before = kept();
    let resume = [
        "pretrain",
        "--resume",
        "run",
        "--steps",
        "1",
        "--no-evaluate",
    ];

    // What a process has in its hands that trains into it.
    let held = RunFolder::resume(&here.join("run")).unwrap();
    for second in [
        autodidact(here).args(resume),
        autodidact(here).args(["finetune", "--resume", "run"]),
        autodidact(here).arg("pretrain").args(TINY).args(begin),
    ] {
        let (message, code) = fails(second);
        assert!(
            message.contains("run: another process trains into it")
                && message.contains("try: wait until it has ended"),
            "{message}"
        );
        assert_eq!(code, 4);
    }
    assert!(kept() == before);
    succeeds(autodidact(here).args(["embed", "run", "--out", "vectors.csv"]));
    drop(held);
    let out = succeeds(autodidact(here).args(resume));
    assert!(out.contains("after 5 steps"), "{out}");
}

#[test]
fn a_run_that_was_killed_before_its_first_checkpoint_or_while_it_was_judged_goes_on() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    let begin = ["--steps", "4", "--no-evaluate", "--out", "run"];
    succeeds(autodidact(here).arg("pretrain").args(TINY).args(begin));
    let encoder = fs::read(here.join("run/encoder.safetensors")).unwrap();
    let resume = |more: &[&str]| {
        let mut command = autodidact(here);
        command.args(["pretrain", "--resume", "run"]).args(more);
        command
    };
    // What a kill leaves that comes before the first checkpoint.
    fs::remove_dir_all(here.join("run/checkpoints")).unwrap();
    fs::remove_file(here.join("run/encoder.safetensors")).unwrap();
    let output = run(&mut resume(&["--no-evaluate"]));
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    assert!(err.contains("begins anew"), "{err}");
    assert!(out.contains("finished after 4 steps"), "{out}");
    assert!(fs::read(here.join("run/encoder.safetensors")).unwrap() == encoder);

    let judged = here.join("run/evaluation.json");
    assert!(!judged.exists());
    let out = succeeds(&mut resume(&[]));
    assert!(
        out.contains("it is judged") && out.contains("raw values"),
        "{out}"
    );
    assert!(judged.is_file());
    let (message, code) = fails(&mut resume(&[]));
    assert!(
        message.contains("a run that is finished after 4 steps") && code == 4,
        "{message}"
    );

    // A ceiling that was killed is finished when the run is judged again.
    let ceiling = here.join("run/ceiling");
    assert!(ceiling.join("encoder.safetensors").is_file());
    fs::remove_file(ceiling.join("encoder.safetensors")).unwrap();
    fs::remove_dir_all(ceiling.join("checkpoints")).unwrap();
    fs::remove_file(&judged).unwrap();
    let out = succeeds(&mut resume(&[]));
    assert!(out.contains("ceiling, trained with labels"), "{out}");

    // Of a network whose checkpoints somebody removed nothing is begun anew.
    fs::remove_dir_all(here.join("run/checkpoints")).unwrap();
    let (message, code) = fails(&mut resume(&[]));
    assert!(
        message.contains("no checkpoint to go on from") && message.contains("--init run"),
        "{message}"
    );
    assert_eq!(code, 4);
    assert!(fs::read(here.join("run/encoder.safetensors")).unwrap() == encoder);
}
