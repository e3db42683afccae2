//! Text as a user meets it: a run, what it predicts, what it writes, and the messages of bad data.

use std::fs;
#[cfg(unix)]
use std::io::Read;
use std::path::Path;
#[cfg(unix)]
use std::process::Command;
use std::process::Stdio;

use super::{autodidact, fails, succeeds};

/// Lines that repeat themselves, so that there is something to learn in seconds.
fn poem(folder: &Path) {
    let line = |n: usize| format!("the {} fox sees the {} hen\n", n % 3, n % 5);
    fs::write(
        folder.join("poem.txt"),
        (0..400).map(line).collect::<String>(),
    )
    .unwrap();
}

const TINY: &[&str] = &[
    "--batch-size",
    "8",
    "--set",
    "views.length=24",
    "--set",
    "encoder.width=32",
    "--set",
    "encoder.depth=2",
    "--set",
    "data.validation=0.1",
];

#[test]
fn a_model_is_learned_judged_and_goes_on_from_a_beginning() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    poem(here);
    let out = succeeds(
        autodidact(here)
            .args([
                "pretrain",
                "poem.txt",
                "--method",
                "causal_lm",
                "--steps",
                "300",
            ])
            .args(TINY)
            .args(["--set", "train.learning_rate=0.2"])
            .args(["--set", "data.reading.tokenizer=characters", "--out", "run"]),
    );
    assert!(out.contains("bits a byte"), "{out}");
    let found: serde_json::Value =
        serde_json::from_slice(&fs::read(here.join("run/likelihood.json")).unwrap()).unwrap();
    let loss = found["loss"].as_f64().unwrap();
    // Guessing among its 19 characters costs 2.9.
    assert!(loss < 1.0, "{found}");
    let perplexity = found["perplexity"].as_f64().unwrap();
    assert!((perplexity - loss.exp()).abs() < 1e-6);
    // A character is a byte here.
    let bits = found["bits_per_byte"].as_f64().unwrap();
    assert!(
        (bits - loss / std::f64::consts::LN_2).abs() < 1e-6,
        "{found}"
    );

    let go_on = |more: &[&str]| {
        succeeds(
            autodidact(here)
                .args(["generate", "run", "the 1 fox", "-n", "40"])
                .args(more),
        )
    };
    let first = go_on(&["--seed", "1"]);
    assert!(
        first.starts_with("the 1 fox") && first.len() > 45,
        "{first}"
    );
    assert_eq!(first, go_on(&["--seed", "1"]));
    assert_ne!(first, go_on(&["--seed", "2", "--temperature", "1.5"]));
    assert!(go_on(&["--temperature", "0"]).contains(" sees the "));
    let (message, code) = fails(autodidact(here).args(["generate", "run", "--top-p", "0"]));
    assert!(message.contains("top-p 0") && code == 2, "{message}");

    // Whoever reads may go away.
    let mut unheard = autodidact(here)
        .args(["generate", "run", "-n", "2000"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(unheard.stdout.take());
    let ended = unheard.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{said}");

    #[cfg(unix)]
    asked_to_stop_it_ends_as_other_verbs_do(here);

    let evaluate = ["evaluate", "run", "poem.txt", "--json", "found.json"];
    let out = succeeds(autodidact(here).args(evaluate));
    assert!(
        out.contains("perplexity") && out.contains("no labels"),
        "{out}"
    );
    let found: serde_json::Value =
        serde_json::from_slice(&fs::read(here.join("found.json")).unwrap()).unwrap();
    assert!(found["perplexity"].as_f64().unwrap() > 1.0, "{found}");
    // What is missing is the text, and not the weights.
    fs::rename(here.join("poem.txt"), here.join("elsewhere.txt")).unwrap();
    let (message, code) = fails(autodidact(here).args(["evaluate", "run"]));
    assert!(
        message.contains("poem.txt: is not there") && code == 3,
        "{message}"
    );
    fs::remove_file(here.join("run/tokenizer.json")).unwrap();
    let (message, code) = fails(autodidact(here).args(["generate", "run"]));
    assert!(
        message.contains("no tokenizer.json") && code == 4,
        "{message}"
    );
}

/// `generate` from a run that goes on forever.
#[cfg(unix)]
fn asked_to_stop_it_ends_as_other_verbs_do(here: &Path) {
    let endless = ["-n", "1000000000", "--temperature", "0"];
    let mut child = autodidact(here)
        .args(["generate", "run", "the 1 fox"])
        .args(endless)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // The beginning, and a symbol more: it is at work.
    let mut begun = [0; "the 1 fox".len() + 1];
    let told = child.stdout.as_mut().unwrap();
    told.read_exact(&mut begun).unwrap();
    let asked = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(asked.unwrap().success());
    let ended = child.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(130));
    assert!(ended.stdout.ends_with(b"\n"));
}

#[test]
fn the_vocabulary_goes_where_the_recipe_goes() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    let rows = (0..120).map(|n| match n % 2 {
        0 => format!("\"a fine day, number {n}\",good\n"),
        _ => format!("rain and wind all day {n},bad\n"),
    });
    let rows: String = std::iter::once("text,label\n".to_owned())
        .chain(rows)
        .collect();
    fs::write(here.join("days.csv"), rows).unwrap();
    let out = succeeds(
        autodidact(here)
            .args([
                "pretrain",
                "days.csv",
                "--method",
                "masked_lm",
                "--steps",
                "20",
            ])
            .args(TINY)
            .args(["--set", "data.reading.vocabulary=80", "--out", "run"]),
    );
    assert!(
        out.contains("perplexity") && out.contains("pretrained"),
        "{out}"
    );
    let recipe = fs::read_to_string(here.join("run/recipe.toml")).unwrap();
    assert!(recipe.contains("kind = \"text\""), "{recipe}");
    succeeds(autodidact(here).args(["finetune", "run", "--steps", "20", "--out", "tuned"]));
    succeeds(autodidact(here).args(["predict", "tuned", "days.csv", "-o", "classes.csv"]));
    let [first, second] =
        ["run", "tuned"].map(|run| fs::read(here.join(run).join("tokenizer.json")).unwrap());
    assert_eq!(first, second);
    let classes = fs::read_to_string(here.join("classes.csv")).unwrap();
    assert_eq!(classes.lines().count(), 121);
    fs::create_dir(here.join("moved")).unwrap();
    for file in ["recipe.toml", "tokenizer.json"] {
        fs::copy(here.join("run").join(file), here.join("moved").join(file)).unwrap();
    }
    succeeds(autodidact(here).args([
        "pretrain",
        "--recipe",
        "moved/recipe.toml",
        "--out",
        "again",
        "--no-evaluate",
    ]));
    let [first, second] =
        ["run", "again"].map(|run| fs::read(here.join(run).join("encoder.safetensors")).unwrap());
    assert_eq!(first, second);
}

/// A size is a name in recipes, and numbers in networks and in what others load.
#[test]
fn a_size_by_its_name_goes_where_the_run_goes() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    poem(here);
    let pretrain = |more: &[&str]| {
        let mut command = autodidact(here);
        command.args(["pretrain", "poem.txt", "--method", "causal_lm"]);
        command.args(["--steps", "2", "--batch-size", "8", "--no-evaluate"]);
        command.args(["--set", "views.length=24"]).args(more);
        command
    };
    let characters = ["--set", "data.reading.tokenizer=characters"];
    let sized = ["--set", "encoder.size=tiny", "--set", "encoder.depth=1"];
    succeeds(pretrain(&["--out", "run"]).args(characters).args(sized));
    let said = ["size = \"tiny\"\n", "depth = 1\n", "width = 0\n"];
    let has_what_was_said = |run: &str| {
        let recipe = fs::read_to_string(here.join(run).join("recipe.toml")).unwrap();
        for line in said {
            assert!(recipe.contains(line), "no `{line}` in {recipe}");
        }
    };
    has_what_was_said("run");
    succeeds(&mut pretrain(&["--init", "run", "--out", "more"]));
    has_what_was_said("more");

    let export = ["export", "run", "--format", "transformers", "--out", "out"];
    succeeds(autodidact(here).args(export));
    let config: serde_json::Value =
        serde_json::from_slice(&fs::read(here.join("out/config.json")).unwrap()).unwrap();
    for (key, expected) in [
        ("n_embd", 128),
        ("n_layer", 1),
        ("n_head", 2),
        ("n_inner", 512),
    ] {
        assert_eq!(config[key], expected, "{key} in {config}");
    }
    // Published weights leave a size nothing to say.
    let (message, code) = fails(pretrain(&["--init", "out"]).args(["--set", "encoder.size=base"]));
    assert!(
        message.contains("encoder.size = \"base\" beside encoder.width = 128") && code == 2,
        "{message}"
    );
    let (message, code) = fails(pretrain(&[]).args(["--set", "encoder.size=huge"]));
    assert!(
        message.contains("encoder.size") && message.contains("`medium`") && code == 2,
        "{message}"
    );
}

#[test]
fn a_plan_of_text_tells_what_its_one_size_comes_to() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    poem(here);
    let mut plan = autodidact(here);
    plan.args([
        "plan",
        "poem.txt",
        "--method",
        "causal_lm",
        "--budget",
        "2s",
    ]);
    plan.args(["--batch-size", "8", "--set", "views.length=8"]);
    let out = succeeds(plan.args(["--set", "data.reading.tokenizer=characters"]));
    assert!(out.contains("there is one size"), "{out}");
}

#[test]
fn views_of_text_are_lines_and_bad_text_is_named() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    poem(here);
    let views = |more: &[&str]| {
        let mut command = autodidact(here);
        command
            .args(["views", "poem.txt", "--items", "2"])
            .args(more);
        command
    };
    let lines = ["--set", "data.reading.documents=line"];
    let out = succeeds(views(&lines).args(["--method", "simclr"]));
    assert!(out.contains("[CLS]") && out.lines().count() == 6, "{out}");
    let (message, code) = fails(&mut views(&["--set", "data.reading.documents=verse"]));
    assert!(
        message.contains("data.reading.documents") && code == 2,
        "{message}"
    );
    let (message, _) = fails(&mut views(&["--method", "mae"]));
    assert!(
        message.contains("mae, with data of the kind `text`") && message.contains("masked_lm"),
        "{message}"
    );
    let (message, code) = fails(&mut views(&["--method", "causal_lm", "--encoder", "bert"]));
    assert!(message.contains("gpt2") && code == 2, "{message}");
    let first = ["--method", "causal_lm", "--set", "encoder.pooling=first"];
    let (message, code) = fails(&mut views(&first));
    assert!(
        message.contains("encoder.pooling = \"mean\"") && code == 2,
        "{message}"
    );
    let whole = ["pretrain", "poem.txt", "--method", "simclr"];
    let (message, code) = fails(autodidact(here).args(whole));
    assert!(
        message.contains("data.reading.documents") && code == 3,
        "{message}"
    );
    fs::write(here.join("empty.txt"), "\n").unwrap();
    let (message, code) = fails(autodidact(here).args(["pretrain", "empty.txt"]));
    assert!(message.contains("holds no text") && code == 3, "{message}");
}

/// Nothing said of method or network: one pass, vectors of symbols by counts, and a folder that others load.
#[test]
fn text_with_nothing_said_is_learned_from_in_one_pass() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    poem(here);
    let mut pretrain = autodidact(here);
    pretrain.args(["pretrain", "poem.txt", "--no-evaluate"]);
    for set in ["data.reading.documents=line", "data.reading.vocabulary=60"] {
        pretrain.args(["--set", set]);
    }
    succeeds(pretrain.args(["--out", "run"]));
    let recipe = fs::read_to_string(here.join("run/recipe.toml")).unwrap();
    for line in ["name = \"static\"\n", "name = \"ppmi\"\n", "epochs = 1.0\n"] {
        assert!(recipe.contains(line), "no `{line}` in {recipe}");
    }
    // A budget is what may be spent.
    let enough = "learns all there is in one pass over the data; the rest of the 5m is not needed";
    for (verb, more) in [
        ("plan", vec![]),
        ("pretrain", vec!["--no-evaluate", "--out", "budgeted"]),
    ] {
        let mut command = autodidact(here);
        command.args([verb, "poem.txt", "--budget", "5m"]);
        command.args(more);
        for set in ["data.reading.documents=line", "data.reading.vocabulary=60"] {
            command.args(["--set", set]);
        }
        let out = succeeds(&mut command);
        assert!(out.contains(enough), "{verb}: {out}");
    }
    let [first, second] = ["run", "budgeted"]
        .map(|run| fs::read(here.join(run).join("encoder.safetensors")).unwrap());
    assert!(first == second);
    let export = ["export", "run", "--format", "transformers", "--out", "out"];
    succeeds(autodidact(here).args(export));
    let modules: serde_json::Value =
        serde_json::from_slice(&fs::read(here.join("out/modules.json")).unwrap()).unwrap();
    for (number, kind) in ["StaticEmbedding", "Normalize"].into_iter().enumerate() {
        let expected = format!("sentence_transformers.models.{kind}");
        assert_eq!(modules[number]["type"], expected, "{modules}");
    }
    let folder = here.join("out/0_StaticEmbedding");
    assert!(folder.join("tokenizer.json").is_file());
    let (weights, _) = autodidact::run::read_weights(&folder.join("model.safetensors")).unwrap();
    let vectors = &weights["embedding.weight"];
    assert_eq!(vectors.shape[1], 768);
    // Five symbols that stand for no text come first.
    assert!(vectors.values[..5 * 768].iter().all(|value| *value == 0.0));
    assert!(vectors.values.iter().any(|value| *value != 0.0));
}

/// Pairs with scores judge vectors, and pairs with classes are learned from as one.
#[test]
fn pairs_are_judged_by_their_scores_and_told_apart_by_their_classes() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    poem(here);
    let pair = |n: usize| {
        let (first, second) = (format!("the {} fox", n % 3), format!("the {} hen", n % 5));
        match n % 2 {
            0 => format!("x\t5.0\t{first}\t{first} sees\tsame\n"),
            _ => format!("x\t{}.5\t{first}\t{second}\tother\n", n % 3),
        }
    };
    fs::write(
        here.join("pairs.tsv"),
        (0..120).map(pair).collect::<String>(),
    )
    .unwrap();
    succeeds(
        autodidact(here)
            .args([
                "pretrain", "poem.txt", "--method", "simclr", "--steps", "20",
            ])
            .args(TINY)
            .args(["--set", "data.reading.documents=line"])
            .args(["--set", "data.reading.vocabulary=60", "--out", "run"]),
    );
    let pairs = ["--reading", "column=3", "--reading", "other=4"];
    let out = succeeds(
        autodidact(here)
            .args(["evaluate", "run", "pairs.tsv", "--json", "found.json"])
            .args(pairs)
            .args(["--reading", "score=2"]),
    );
    assert!(
        out.contains("similarity spearman") && out.contains("120 pairs"),
        "{out}"
    );
    let found: serde_json::Value =
        serde_json::from_slice(&fs::read(here.join("found.json")).unwrap()).unwrap();
    let raw = found["results"].as_array().unwrap().iter();
    let raw = raw.filter(|found| found["who"] == "raw" && found["metric"] == "spearman");
    let raw = raw
        .map(|found| found["value"].as_f64().unwrap())
        .next()
        .unwrap();
    // Half of the pairs share their words, and those are the ones with the high scores.
    assert!(raw > 0.7, "{found}");
    let (message, code) = fails(
        autodidact(here)
            .args(["evaluate", "run", "pairs.tsv", "--quick"])
            .args(pairs)
            .args(["--reading", "score=2"]),
    );
    assert!(
        message.contains("--quick with pairs that have scores") && code == 2,
        "{message}"
    );

    let settings = [
        "--set",
        "data.reading.column=3",
        "--set",
        "data.reading.other=4",
        "--set",
        "data.reading.label=5",
    ];
    succeeds(
        autodidact(here)
            .args([
                "pretrain",
                "pairs.tsv",
                "--method",
                "masked_lm",
                "--steps",
                "5",
            ])
            .args(TINY)
            .args(settings)
            .args([
                "--set",
                "data.reading.vocabulary=60",
                "--out",
                "both",
                "--no-evaluate",
            ]),
    );
    succeeds(autodidact(here).args(["finetune", "both", "--steps", "10", "--out", "tuned"]));
    succeeds(autodidact(here).args(["predict", "tuned", "pairs.tsv", "-o", "classes.csv"]));
    let classes = fs::read_to_string(here.join("classes.csv")).unwrap();
    assert_eq!(classes.lines().count(), 121);
    let (message, code) = fails(
        autodidact(here)
            .args([
                "pretrain",
                "pairs.tsv",
                "--method",
                "supervised",
                "--steps",
                "2",
            ])
            .args(TINY)
            .args(settings)
            .args(["--set", "data.reading.label=2", "--set", "method.classes=2"])
            .args(["--set", "data.reading.vocabulary=60"]),
    );
    assert!(
        message.contains("class number") && message.contains("method.classes") && code == 2,
        "{message}"
    );
}

/// What was measured not to learn by itself says so before the time is spent.
#[test]
fn what_follows_what_is_not_learned_alone_and_that_is_said() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    let note = |n: usize| format!("The {n} foxes sleep. A hen wakes {n} of them. All run.\n\n");
    let notes: String = (0..40).map(note).collect();
    fs::write(here.join("notes.txt"), notes).unwrap();
    let method = ["--method", "next_sentence", "--steps", "1"];
    let settings = ["documents=paragraph", "vocabulary=60"];
    let mut command = autodidact(here);
    command.args(["pretrain", "notes.txt", "--no-evaluate", "--out", "run"]);
    command.args(method).args(TINY);
    for setting in settings {
        command.args(["--set", &format!("data.reading.{setting}")]);
    }
    succeeds(&mut command);
    let log = fs::read_to_string(here.join("run/train.log")).unwrap();
    assert!(
        log.contains("alone it stays at guessing") && log.contains("masked_lm"),
        "{log}"
    );
}
