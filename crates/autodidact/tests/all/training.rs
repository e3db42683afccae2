//! Whole runs on a handful of synthetic images, sentences and waves: every method learns, can be interrupted, and repeats
//! itself.

use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use autodidact::layers::state::State;
use autodidact::method;
use autodidact::modality::Need;
use autodidact::recipe::Recipe;
use autodidact::run::{Checkpoint, RunFolder};
use autodidact::train::{self, Event, Outcome, Stop};

/// A recipe of seconds: 64 images of 16 pixels, 6 steps of 8.
pub(crate) fn recipe(method: &str) -> Recipe {
    let objective = method::by_name(method, Wants).unwrap();
    let encoder = match objective.needs {
        Need::Hidden => "name = \"vit_tiny\"\nwidth = 24\ndepth = 2\npatch = 4",
        Need::Readout => "name = \"patches\"\nwidth = 6\npatch = 4\ndim = 8",
        _ => "name = \"small_conv\"\nwidth = 4",
    };
    let text = format!(
        "[data]\nsynthetic_items = 64\nvalidation = 0.2\n[views]\ncrops = [{{ count = {}, size = 16 }}]\n\
         [encoder]\n{encoder}\n[method]\nname = \"{method}\"\n\
         [train]\nsteps = 6\nbatch_size = 8\nlog_every = 2\nlearning_rate = 1.0\nwarmup = 0.0\nseed = 3\nworkers = 2",
        objective.views
    );
    Recipe::parse(&text).unwrap()
}

/// A table of sentences with two classes, which is there as long as the tests run.
fn sentences() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let words = [
            "red", "green", "blue", "old", "new", "house", "tree", "sings", "falls",
        ];
        let mut rows = String::from("text,label\n");
        for row in 0..64usize {
            let sentence = |from: usize, count: usize| {
                let word = |place| words[(row * 7 + place * place * 5 + row * place) % words.len()];
                let found: Vec<&str> = (from..from + count).map(word).collect();
                found.join(" ")
            };
            let (first, second) = (sentence(0, 3), sentence(3, 3 + row % 5));
            rows.push_str(&format!("{first}. The {second} {row},{}\n", row % 2));
        }
        std::fs::write(folder.path().join("rows.csv"), rows).unwrap();
        folder
    });
    folder.path()
}

/// A table of series, one a row behind its class: waves of two shapes, which are there as long as the tests run.
fn waves() -> &'static Path {
    static FOLDER: OnceLock<tempfile::TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().unwrap();
        let mut rows = String::new();
        for row in 0..64usize {
            let wave = (0..36).map(|step| {
                let angle = row as f64 + (1 + row % 2) as f64 * step as f64 * 0.4;
                format!(
                    "\t{:.4}",
                    angle.sin() + 0.1 * ((step * step + row) as f64).cos()
                )
            });
            rows.push_str(&format!("{}{}\n", row % 2 + 1, wave.collect::<String>()));
        }
        std::fs::write(folder.path().join("waves.tsv"), rows).unwrap();
        folder
    });
    folder.path()
}

/// The recipes for series in which a method runs, one for each network that serves it.
pub(crate) fn recipes_of_series(method: &str) -> Vec<Recipe> {
    let objective = method::by_name(method, Wants).unwrap();
    let networks: &[&str] = match objective.needs {
        Need::Vectors | Need::Ending => &["dilated", "conv_gru", "resnet1d", "patch_transformer"],
        Need::Hidden => &["patch_transformer"],
        Need::Readout | Need::Weights => &["kernels"],
        Need::Ordered => &["dilated", "conv_gru", "resnet1d"],
        Need::Ahead => &["conv_gru"],
        Need::Replaced | Need::Symbols | Need::Next | Need::Averages | Need::Stretches => &[],
    };
    let recipe = |name: &&str| {
        let width = match *name {
            "kernels" if objective.needs == Need::Weights => "336\nvector = \"features\"",
            "kernels" => "336",
            _ => "8",
        };
        let text = format!(
            "[data]\npath = {:?}\nkind = \"series\"\nvalidation = 0.2\nreading = {{ layout = \"rows\" }}\n\
             [encoder]\nname = \"{name}\"\nwidth = {width}\ndim = 8\ndepth = 2\nheads = 2\n\
             [method]\nname = \"{method}\"\n\
             [train]\nsteps = 6\nbatch_size = 8\nlog_every = 2\nlearning_rate = 0.3\nwarmup = 0.0\nseed = 3\nworkers = 2",
            waves().join("waves.tsv"),
        );
        Recipe::parse(&text).unwrap()
    };
    networks.iter().map(recipe).collect()
}

/// The recipes of seconds in which a method runs: one for each kind of data and of network that serves it.
pub(crate) fn recipes(method: &str) -> Vec<Recipe> {
    let objective = method::by_name(method, Wants).unwrap();
    let networks: &[&str] = match objective.needs {
        Need::Hidden
        | Need::Readout
        | Need::Weights
        | Need::Ending
        | Need::Ordered
        | Need::Ahead => &[],
        Need::Replaced | Need::Symbols => &["bert", "modern"],
        Need::Next => &["gpt2", "modern_causal"],
        Need::Averages => &["static"],
        Need::Vectors => &["bert", "modern", "gpt2", "modern_causal", "static"],
        Need::Stretches => &["bert", "modern", "gpt2", "modern_causal"],
    };
    let of_text = networks.iter().map(|name| {
        let blocks = match *name {
            "static" => "",
            _ => "depth = 2\nheads = 2\ndropout = 0.1\n",
        };
        let text = format!(
            "[data]\npath = {:?}\nkind = \"text\"\nvalidation = 0.2\nreading = {{ vocabulary = 64 }}\n\
             [views]\nlength = 16\ncount = {}\n\
             [encoder]\nname = \"{name}\"\nwidth = 16\n{blocks}\
             [method]\nname = \"{method}\"\n\
             [train]\nsteps = 6\nbatch_size = 8\nlog_every = 2\nlearning_rate = 0.3\nwarmup = 0.0\nseed = 3\nworkers = 2",
            sentences().join("rows.csv"),
            objective.views
        );
        Recipe::parse(&text).unwrap()
    });
    let of_text: Vec<Recipe> = of_text.collect();
    let of_images = match objective.needs {
        Need::Vectors | Need::Hidden | Need::Readout => vec![recipe(method)],
        _ => Vec::new(),
    };
    [of_images, of_text, recipes_of_series(method)].concat()
}

struct Wants;

impl method::ForObjective for Wants {
    type Output = autodidact::modality::Pretext;
    fn run<O: method::Objective>(self) -> Self::Output {
        O::default().pretext()
    }
}

/// Runs to the end, or until `after` steps are done.
pub(crate) fn run(recipe: &Recipe, folder: &Path, after: Option<u64>) -> Outcome {
    let (folder, from) = if folder.join("recipe.toml").exists() {
        let folder = RunFolder::open(folder).unwrap();
        let last = Checkpoint::read(&folder.last()).unwrap();
        (folder, Some(last))
    } else {
        (RunFolder::create(Some(folder), "").unwrap(), None)
    };
    let mut session = train::open(recipe).unwrap();
    let stop = AtomicBool::new(false);
    let mut watch = |event: &Event| {
        if let Event::Stepped { step, .. } = event
            && Some(*step) == after
        {
            stop.store(true, Ordering::Relaxed);
        }
    };
    train::pretrain(session.as_mut(), &folder, from, None, &stop, &mut watch).unwrap()
}

/// `metrics.jsonl` without what the clock says.
pub(crate) fn metrics(folder: &Path) -> Vec<serde_json::Map<String, serde_json::Value>> {
    let text = std::fs::read_to_string(folder.join("metrics.jsonl")).unwrap();
    text.lines()
        .map(|line| {
            let mut line: serde_json::Map<_, _> = serde_json::from_str(line).unwrap();
            line.retain(|name, _| !name.starts_with("time/"));
            line
        })
        .collect()
}

pub(crate) fn checkpoint(folder: &Path) -> Checkpoint {
    Checkpoint::read(&RunFolder::open(folder).unwrap().last()).unwrap()
}

#[test]
fn every_method_learns_and_an_interrupted_run_ends_like_an_uninterrupted_one() {
    let runs = method::ALL.iter().flat_map(|entry| {
        recipes(entry.name)
            .into_iter()
            .map(move |recipe| (entry, recipe))
    });
    for (entry, recipe) in runs {
        let scratch = tempfile::tempdir().unwrap();
        let (whole, parts) = (scratch.path().join("whole"), scratch.path().join("parts"));
        assert_eq!(run(&recipe, &whole, None).stop, Stop::Finished);
        for after in [1, 4] {
            assert_eq!(
                run(&recipe, &parts, Some(after)).stop,
                Stop::Asked,
                "{}",
                entry.name
            );
        }
        assert_eq!(run(&recipe, &parts, None).stop, Stop::Finished);
        let (expected, found) = (checkpoint(&whole), checkpoint(&parts));
        for (name, array) in &expected.state {
            assert_eq!(
                array, &found.state[name],
                "{}: `{name}` after resuming",
                entry.name
            );
        }
        assert_eq!(expected.state.len(), found.state.len());
        assert_eq!(metrics(&whole), metrics(&parts), "{}", entry.name);
        // What the encoder is made of has moved, all of it: the gradient reaches everything that learns.
        let (before, after) = (
            initial(&recipe),
            RunFolder::open(&whole).unwrap().encoder().unwrap(),
        );
        for (name, array) in &after {
            let fixed = name == "pos_embed";
            assert_eq!(
                before[name] == *array,
                fixed,
                "{}: `{name}` of the encoder",
                entry.name
            );
            assert!(array.values.iter().all(|value| value.is_finite()));
        }
    }
}

/// BERT as it was published: words hidden as a whole, and beside them whether the second stretch follows. Before anything is
/// learned, both are guessed; looks tell of both; and an interrupted run ends like an uninterrupted one.
#[test]
fn hidden_words_and_what_follows_are_learned_together() {
    let scratch = tempfile::tempdir().unwrap();
    let (whole, parts) = (scratch.path().join("whole"), scratch.path().join("parts"));
    let mut both = recipes("masked_lm").remove(0);
    both.put("method.whole_words", true).unwrap();
    both.put("method.next_sentence", 1.0).unwrap();
    both.put("views.length", 32).unwrap();
    both.put("train.log_every", 1).unwrap();
    run(&both, &whole, None);
    run(&both, &parts, Some(3));
    run(&both, &parts, None);
    assert_eq!(metrics(&whole), metrics(&parts));
    assert_eq!(checkpoint(&whole).state, checkpoint(&parts).state);
    let lines = metrics(&whole);
    let value = |line: usize, name: &str| lines[line][name].as_f64().unwrap();
    let learned = RunFolder::open(&whole).unwrap().recipe().unwrap();
    let text = learned.to_string();
    let symbols = text
        .lines()
        .find_map(|line| line.strip_prefix("symbols = "));
    let symbols: f64 = symbols.unwrap().parse().unwrap();
    assert!(
        (value(0, "loss/symbols") - symbols.ln()).abs() < 0.2,
        "{lines:?}"
    );
    assert!(
        (value(0, "loss/next_sentence") - 2f64.ln()).abs() < 0.05,
        "{lines:?}"
    );
    let sum = value(0, "loss/symbols") + value(0, "loss/next_sentence");
    assert!((value(0, "loss") - sum).abs() < 1e-5);
    let look = lines
        .iter()
        .find(|line| line.contains_key("checkup/perplexity"));
    let look = |name: &str| look.unwrap()[name].as_f64().unwrap();
    let perplexity = look("validation/symbols").exp();
    assert!((look("checkup/perplexity") / perplexity - 1.0).abs() < 1e-6);
    assert!((0.0..=1.0).contains(&look("validation/next_sentence_accuracy")));
    // The kind of data has no pairs where the views are told not to be any.
    both.put("views.pairs", false).unwrap();
    let folder = RunFolder::create(Some(&scratch.path().join("none")), "").unwrap();
    let mut session = train::open(&both).unwrap();
    let stop = AtomicBool::new(false);
    let error =
        train::pretrain(session.as_mut(), &folder, None, None, &stop, &mut |_| {}).unwrap_err();
    assert!(error.remedy().unwrap().contains("views.pairs"), "{error}");
}

fn initial(recipe: &Recipe) -> State {
    train::open(recipe).unwrap().encoder()
}

#[test]
fn the_same_seed_gives_the_same_run_and_another_seed_another() {
    let scratch = tempfile::tempdir().unwrap();
    let folders = ["a", "b", "c"].map(|name| scratch.path().join(name));
    let mut other = recipe("simclr");
    other.put("train.seed", 4).unwrap();
    for (folder, recipe) in folders
        .iter()
        .zip([recipe("simclr"), recipe("simclr"), other])
    {
        run(&recipe, folder, None);
    }
    assert_eq!(metrics(&folders[0]), metrics(&folders[1]));
    assert_eq!(checkpoint(&folders[0]).state, checkpoint(&folders[1]).state);
    assert_ne!(checkpoint(&folders[0]).state, checkpoint(&folders[2]).state);
}

#[test]
fn a_run_in_bf16_repeats_itself_and_is_not_the_one_in_f32() {
    let scratch = tempfile::tempdir().unwrap();
    let folders = ["a", "b", "f32"].map(|name| scratch.path().join(name));
    let mut half = recipe("simclr");
    half.put("train.precision", "bf16").unwrap();
    for (folder, recipe) in folders.iter().zip([&half, &half, &recipe("simclr")]) {
        run(recipe, folder, None);
    }
    assert_eq!(checkpoint(&folders[0]).state, checkpoint(&folders[1]).state);
    let here = autodidact_kernels::Precision::Bf16.instructions().is_some();
    let same = checkpoint(&folders[0]).state == checkpoint(&folders[2]).state;
    assert_eq!(same, !here);
}

#[test]
fn a_run_repeats_from_the_recipe_that_it_leaves() {
    let scratch = tempfile::tempdir().unwrap();
    let (first, again) = (scratch.path().join("first"), scratch.path().join("again"));
    let mut budgeted = recipe("vicreg");
    budgeted.remove("train", "steps");
    budgeted.put("train.budget", "2s").unwrap();
    run(&budgeted, &first, None);
    run(
        &RunFolder::open(&first).unwrap().recipe().unwrap(),
        &again,
        None,
    );
    assert_eq!(metrics(&first), metrics(&again));
    assert_eq!(checkpoint(&first).state, checkpoint(&again).state);
}

#[test]
fn a_budget_ends_in_time() {
    let scratch = tempfile::tempdir().unwrap();
    let mut budgeted = recipe("simclr");
    budgeted.remove("train", "steps");
    budgeted.put("train.budget", "4s").unwrap();
    let outcome = run(&budgeted, &scratch.path().join("run"), None);
    assert!(
        (3.0..6.0).contains(&outcome.seconds),
        "{} s",
        outcome.seconds
    );
}

#[test]
fn looks_take_a_tenth_of_a_run_at_most_and_come_at_the_same_steps_when_it_is_interrupted() {
    let scratch = tempfile::tempdir().unwrap();
    let mut recipe = recipe("simclr");
    recipe.put("train.steps", 120).unwrap();
    let (whole, cut) = (scratch.path().join("whole"), scratch.path().join("cut"));
    run(&recipe, &whole, None);
    run(&recipe, &cut, Some(50));
    run(&recipe, &cut, None);
    let looks = |folder: &Path| -> Vec<u64> {
        let lines = metrics(folder).into_iter();
        lines
            .filter(|line| line.contains_key("checkup/rankme"))
            .map(|line| line["step"].as_u64().unwrap())
            .collect()
    };
    // A look is some 230 views forward, a step 16 forward and backward: as long as five steps.
    let found = looks(&whole);
    assert!((2..=4).contains(&found.len()), "{found:?}");
    assert_eq!(looks(&cut), found);
}

#[test]
fn accumulating_gradients_uses_every_part_of_the_batch() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = scratch.path().join("run");
    let mut parts = recipe("vicreg");
    parts.put("train.accumulate", 2).unwrap();
    run(&parts, &folder, None);
    assert_eq!(checkpoint(&folder).position.updates, 6);
    assert_eq!(
        metrics(&folder)
            .iter()
            .filter(|line| line.contains_key("loss"))
            .count(),
        3
    );
}

/// The encoder stands, so that nothing but the loss sees the parts: the classifier is to learn from them what it learns from
/// the batch, though its classes weigh from 1/16 to 32 and each part has others of them.
#[test]
fn parts_of_a_batch_come_together_to_the_loss_of_the_batch() {
    let scratch = tempfile::tempdir().unwrap();
    let mut recipe = recipe("supervised");
    recipe.put("train.steps", 1).unwrap();
    recipe.put("method.last_stages", 0).unwrap();
    let weights: Vec<f64> = (0..10).map(|class| 2f64.powi(class - 4)).collect();
    recipe.put("method.class_weights", weights).unwrap();
    let initial = train::open(&recipe).unwrap().state().0;
    let learned = [1, 4].map(|parts| {
        recipe.put("train.accumulate", parts).unwrap();
        let folder = scratch.path().join(parts.to_string());
        run(&recipe, &folder, None);
        let lines = metrics(&folder);
        let loss = lines.iter().find_map(|line| line.get("loss")?.as_f64());
        (checkpoint(&folder).state, loss.unwrap())
    });
    let [(whole, loss), (parts, of_parts)] = learned;
    assert!((loss - of_parts).abs() < 1e-5, "{loss} and {of_parts}");
    let name = "model.classifier.weight";
    let values = |state: &State| state[name].values.clone();
    assert_ne!(values(&initial), values(&whole));
    for (whole, parts) in values(&whole).iter().zip(values(&parts)) {
        assert!((whole - parts).abs() < 1e-6, "{whole} and {parts}");
    }
}

#[test]
fn a_loss_that_is_not_finite_stops_the_run_and_the_last_good_checkpoint_stays() {
    let scratch = tempfile::tempdir().unwrap();
    let mut wild = recipe("vicreg");
    wild.put("train.learning_rate", 1e4).unwrap();
    wild.put("train.optimizer", "sgd").unwrap();
    wild.put("train.steps", 200).unwrap();
    let folder = RunFolder::create(Some(&scratch.path().join("run")), "").unwrap();
    let mut session = train::open(&wild).unwrap();
    let stop = AtomicBool::new(false);
    let error =
        train::pretrain(session.as_mut(), &folder, None, None, &stop, &mut |_| {}).unwrap_err();
    assert_eq!(error.kind(), autodidact::error::Kind::Training);
    assert!(error.to_string().contains("at step"), "{error}");
    assert!(error.remedy().unwrap().contains("learning_rate"));
    let kept = Checkpoint::read(&folder.last()).unwrap();
    assert!(
        kept.state
            .values()
            .all(|array| array.values.iter().all(|value| value.is_finite()))
    );
}

#[test]
fn a_finished_run_goes_on_for_longer() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("run");
    run(&recipe("byol"), &path, None);
    let folder = RunFolder::open(&path).unwrap();
    let last = Checkpoint::read(&folder.last()).unwrap();
    let mut session = train::open(&folder.recipe().unwrap()).unwrap();
    let stop = AtomicBool::new(false);
    let again = train::pretrain(
        session.as_mut(),
        &folder,
        Some(last.clone()),
        None,
        &stop,
        &mut |_| {},
    );
    assert!(
        again
            .unwrap_err()
            .to_string()
            .contains("finished after 6 steps")
    );
    let more = Some(autodidact::recipe::Length::Steps(4));
    let mut session = train::open(&folder.recipe().unwrap()).unwrap();
    let outcome = train::pretrain(
        session.as_mut(),
        &folder,
        Some(last),
        more,
        &stop,
        &mut |_| {},
    )
    .unwrap();
    assert_eq!(outcome.steps, 10);
    assert!(folder.recipe().unwrap().to_string().contains("steps = 4"));
}

#[test]
fn masking_a_network_that_cannot_be_masked_is_refused_with_the_methods_that_would_work() {
    let mut unfit = recipe("mae");
    unfit.put("encoder.name", "resnet18").unwrap();
    let error = train::open(&unfit).map(|_| ()).unwrap_err();
    assert_eq!(error.kind(), autodidact::error::Kind::Recipe);
    let remedy = error.remedy().unwrap();
    assert!(
        remedy.contains("simclr") && remedy.contains("byol") && !remedy.contains("mae"),
        "{remedy}"
    );
}
