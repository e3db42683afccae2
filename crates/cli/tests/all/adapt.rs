//! From a run to a predictor: fine-tuning, prediction, and labels as they shouldn't be.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use autodidact::layers::state::State;
use autodidact::run::RunFolder;

use super::{TINY, autodidact, fails, succeeds};

/// A run without labels to start from, of a moment.
fn pretrain(here: &Path) {
    succeeds(autodidact(here).arg("pretrain").args(TINY).args([
        "--steps",
        "4",
        "--no-evaluate",
        "--out",
        "run",
    ]));
}

/// An image of 16×16 pixels, red or blue on the whole, no two alike.
fn image(red: bool, number: usize) -> Vec<u8> {
    let pixels = 16 * 16 * 3;
    let mut file = b"BM".to_vec();
    file.extend((54 + pixels as u32).to_le_bytes());
    file.extend([0; 4]);
    file.extend(54u32.to_le_bytes());
    file.extend(40u32.to_le_bytes());
    file.extend(16i32.to_le_bytes());
    file.extend(16i32.to_le_bytes());
    file.extend([1, 0, 24, 0]);
    file.extend([0; 24]);
    let mut state = number as u32;
    for _ in 0..16 * 16 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let noise = (state >> 26) as u8;
        let [blue, red] = if red { [40, 180] } else { [180, 40] };
        file.extend([blue + noise, 60 + noise, red + noise]);
    }
    file
}

/// A flat folder `colors` of 60 images, the even ones red, and `labels.csv` with the labels that `label` gives.
fn colors(here: &Path, label: impl Fn(usize) -> Option<&'static str>) {
    let folder = here.join("colors");
    fs::create_dir_all(&folder).unwrap();
    let mut labels = "name,label\n".to_owned();
    for number in 0..60 {
        let name = format!("{number:02}.bmp");
        fs::write(folder.join(&name), image(color(number) == "red", number)).unwrap();
        if let Some(label) = label(number) {
            labels.push_str(&format!("{name},{label}\n"));
        }
    }
    fs::write(here.join("labels.csv"), labels).unwrap();
}

fn color(number: usize) -> &'static str {
    if number.is_multiple_of(2) {
        "red"
    } else {
        "blue"
    }
}

fn encoder(here: &Path, run: &str) -> State {
    RunFolder::open(&here.join(run)).unwrap().encoder().unwrap()
}

fn file(here: &Path, name: &str) -> Vec<u8> {
    fs::read(here.join(name)).unwrap()
}

#[test]
fn half_of_the_labels_make_a_predictor_of_all_items() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    pretrain(here);
    colors(here, |number| (number < 30).then(|| color(number)));
    let tune = |out: &str| {
        let labels = ["finetune", "run", "colors", "--labels", "labels.csv"];
        let mut command = autodidact(here);
        command.args(labels).args(["--epochs", "12", "--out", out]);
        command
    };
    let out = succeeds(&mut tune("tuned"));
    assert!(
        out.contains("learned from 24 labeled items of 2 classes; 6 more were held out"),
        "{out}"
    );
    assert!(out.contains("too few to calibrate on"), "{out}");
    let out = succeeds(autodidact(here).args(["predict", "tuned", "colors", "-o", "all.csv"]));
    assert!(out.contains("60 items, 2 classes"), "{out}");
    let text = fs::read_to_string(here.join("all.csv")).unwrap();
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(
        rows[0],
        ["filename", "predicted", "confidence", "p_blue", "p_red"]
    );
    assert_eq!(rows.len(), 61);
    let right = (0..60)
        .filter(|&number| rows[number + 1][1] == color(number))
        .count();
    assert!(right >= 57, "{right} of 60:\n{text}");
    for row in &rows[1..] {
        let [confidence, blue, red] = [2, 3, 4].map(|column| row[column].parse::<f64>().unwrap());
        assert!(
            (blue + red - 1.0).abs() < 1e-5 && confidence == blue.max(red),
            "{row:?}"
        );
    }

    // The same again is the same, to the last bit.
    succeeds(&mut tune("again"));
    assert_eq!(encoder(here, "tuned"), encoder(here, "again"));
    for name in ["classifier.safetensors", "finetuning.json"] {
        let [first, second] = ["tuned", "again"].map(|run| file(here, &format!("{run}/{name}")));
        assert!(first == second, "{name} differs");
    }
    for format in ["parquet", "jsonl"] {
        let path = format!("all.{format}");
        let out = succeeds(autodidact(here).args([
            "predict",
            "tuned",
            "colors",
            "--labels",
            "labels.csv",
            "-o",
            &path,
        ]));
        assert!(
            out.contains("of the 30 items whose label is known"),
            "{out}"
        );
        assert!(!file(here, &path).is_empty());
    }
    // What the vectors are worth on such labels can be asked, too.
    let out = succeeds(autodidact(here).args([
        "evaluate",
        "run",
        "colors",
        "--labels",
        "labels.csv",
        "--json",
        "found.json",
    ]));
    assert!(
        out.contains("knn5") && out.contains("clusters ari"),
        "{out}"
    );
    assert!(
        out.contains("no probe on 50 labels of each class or more"),
        "{out}"
    );
    let few = [
        "evaluate",
        "run",
        "colors",
        "--labels",
        "labels.csv",
        "--quick",
    ];
    let out = succeeds(autodidact(here).args(few).args(["--set", "most=20"]));
    assert!(
        out.contains("4 items judged, 16 learned from") && out.contains("10 labeled items, evenly"),
        "{out}"
    );
    let found: serde_json::Value = serde_json::from_slice(&file(here, "found.json")).unwrap();
    let tasks: Vec<String> = found["results"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|result| result["who"] == "raw")
        .map(|result| format!("{} {}", result["task"], result["metric"]).replace('"', ""))
        .collect();
    for task in [
        "knn1 accuracy",
        "linear accuracy",
        "few_shot_10 accuracy",
        "clusters nmi",
        "retrieval recall@1",
    ] {
        assert!(
            tasks.iter().any(|found| found == task),
            "no {task} in {tasks:?}"
        );
    }
}

#[test]
fn a_class_with_one_item_is_learned_and_named() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    pretrain(here);
    colors(here, |number| {
        Some(if number == 7 { "lonely" } else { color(number) })
    });
    let labeled = ["colors", "--labels", "labels.csv"];
    let out = succeeds(
        autodidact(here)
            .args(["finetune", "run"])
            .args(labeled)
            .args([
                "--mode",
                "frozen",
                "--balance",
                "--epochs",
                "2",
                "--out",
                "tuned",
            ]),
    );
    assert!(out.contains("of 3 classes"), "{out}");
    assert!(
        out.contains("fewer than two items to learn from: lonely (1)"),
        "{out}"
    );
    // The classifier alone has learned.
    assert_eq!(encoder(here, "tuned"), encoder(here, "run"));
    let recipe = fs::read_to_string(here.join("tuned/recipe.toml")).unwrap();
    assert!(recipe.contains("class_weights"), "{recipe}");
    let out = succeeds(autodidact(here).args(["evaluate", "run"]).args(labeled));
    assert!(
        out.contains("no probe on 5 labels of each class or more: the smallest class has 1"),
        "{out}"
    );
    let out = succeeds(
        autodidact(here)
            .args(["finetune", "run"])
            .args(labeled)
            .args(["--labels-per-class", "1", "--epochs", "1", "--out", "one"]),
    );
    assert!(
        out.contains("learned from 3 labeled items of 3 classes; 0 more"),
        "{out}"
    );
    // Of steps so small that nothing moves none can be better than what the run began with.
    let mut stuck = autodidact(here);
    stuck.args(["finetune", "run"]).args(labeled);
    let out = succeeds(stuck.args([
        "--mode",
        "frozen",
        "--steps",
        "2",
        "--set",
        "train.learning_rate=1e-30",
        "--out",
        "stuck",
    ]));
    assert!(
        out.contains("which then learned from all 60 labels"),
        "{out}"
    );
    // What pretraining left may be the best that is seen; untrained weights are none that could be kept.
    let mut untrained = autodidact(here);
    untrained.args(["finetune", "run"]).args(labeled);
    succeeds(untrained.args(["--from-scratch", "--epochs", "1", "--out", "untrained"]));
    let first = |run: &str| {
        let text = fs::read_to_string(here.join(run).join("metrics.jsonl")).unwrap();
        let line: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        line["step"].as_u64().unwrap()
    };
    assert_eq!(first("tuned"), 0);
    assert!(first("untrained") > 0);
}

#[test]
fn killed_and_resumed_a_fine_tuning_ends_the_same() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    pretrain(here);
    let begin = |out: &str| {
        let mut command = autodidact(here);
        command
            .args(["finetune", "run", "--mode", "last", "--stages", "2"])
            .args(["--steps", "300", "--set", "train.patience=0"])
            .args(["--set", "train.checkpoint_every=\"0.1s\"", "--out", out]);
        command
    };
    let whole = succeeds(&mut begin("whole"));
    assert!(
        whole.contains("test part") && whole.contains("calibration"),
        "{whole}"
    );
    for moment in [150, 400, 900] {
        let begun = here.join("parts/checkpoints/last.safetensors").exists();
        let mut command = if begun {
            let mut command = autodidact(here);
            command.args(["finetune", "--resume", "parts"]);
            command
        } else {
            let _ = fs::remove_dir_all(here.join("parts"));
            begin("parts")
        };
        let quiet = command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = quiet.spawn().unwrap();
        std::thread::sleep(Duration::from_millis(moment));
        child.kill().unwrap();
        child.wait().unwrap();
    }
    if !here.join("parts/checkpoints/last.safetensors").exists() {
        let _ = fs::remove_dir_all(here.join("parts"));
        succeeds(&mut begin("parts"));
    }
    // Also once it is finished: then it is only judged again.
    for _ in 0..2 {
        let out = succeeds(autodidact(here).args(["finetune", "--resume", "parts"]));
        assert!(out.contains("finished after 300 steps"), "{out}");
        assert_eq!(encoder(here, "parts"), encoder(here, "whole"));
        for name in ["classifier.safetensors", "finetuning.json"] {
            let [whole, parts] = ["whole", "parts"].map(|run| file(here, &format!("{run}/{name}")));
            assert!(whole == parts, "{name} differs");
        }
    }
}

#[test]
fn a_fine_tuning_in_time_repeats_from_its_recipe_where_nothing_was_kept() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    pretrain(here);
    colors(here, |number| Some(color(number)));
    let out = succeeds(autodidact(here).args([
        "finetune",
        "run",
        "colors",
        "--labels",
        "labels.csv",
        "--budget",
        "2s",
        "--out",
        "tuned",
    ]));
    assert!(out.contains("learned from 48 labeled items"), "{out}");
    let recipe = fs::read_to_string(here.join("tuned/recipe.toml")).unwrap();
    assert!(recipe.contains("probe_items = 48\n"), "{recipe}");
    // As after a kill that came before the first checkpoint; in steps now, so that it repeats itself.
    fs::remove_dir_all(here.join("tuned/checkpoints")).unwrap();
    let kept = encoder(here, "tuned");
    fs::remove_file(here.join("tuned/encoder.safetensors")).unwrap();
    succeeds(autodidact(here).args(["finetune", "--resume", "tuned"]));
    assert_eq!(encoder(here, "tuned"), kept);
}

#[test]
fn what_cannot_be_is_said_before_the_work() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    pretrain(here);
    colors(here, |_| Some("all"));
    let labeled = ["finetune", "run", "colors", "--labels", "labels.csv"];
    let embedded = ["finetune", "run"];
    for (base, more, words, code) in [
        (
            &labeled[..],
            &[][..],
            "colors: labels of one class only, `all`",
            3,
        ),
        (&labeled[..3], &[], "colors: no labels", 3),
        (
            &embedded,
            &["--labels-fraction", "2"],
            "data.labels_fraction = 2",
            2,
        ),
        (
            &embedded,
            &["--labels-per-class", "0"],
            "data.labels_per_class = 0",
            2,
        ),
        (
            &embedded,
            &["--stages", "2"],
            "--stages without --mode last",
            2,
        ),
        (
            &embedded,
            &["--mode", "frozen", "--from-scratch"],
            "try: leave --mode out, or --from-scratch",
            2,
        ),
        (&embedded, &["--layer-decay", "0"], "layer_decay = 0", 2),
        (&embedded, &["--test", "nowhere"], "nowhere", 3),
        (&["finetune", "nowhere"], &[], "nowhere: no such folder", 4),
        (
            &["finetune", "--resume", "run"],
            &[],
            "a method that needs no labels",
            4,
        ),
        (
            &["predict", "run", "colors"],
            &[],
            "this run has no classifier",
            4,
        ),
        (
            &["predict", "run", "colors", "-o", "x.txt"],
            &[],
            "x.txt",
            2,
        ),
        (
            &["evaluate", "run", "colors", "--labels", "labels.csv"],
            &[],
            "labels of one class only, `all`",
            3,
        ),
    ] {
        let (message, found) = fails(autodidact(here).args(base).args(more));
        assert!(
            message.contains(words) && found == code,
            "{base:?} {more:?}: {found} {message}"
        );
    }
    assert!(
        !here.join("runs").exists(),
        "a folder was made for a run that could not begin"
    );
}
