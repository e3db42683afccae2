//! Fine-tunings on few labels: which classifier is there in the end, and what it learned from.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use autodidact::adapt::{Classifier, Finetuned, Layers, Setting, Share, finetune};
use autodidact::judge::{Embedded, Which, Whom, frozen};
use autodidact::recipe::Recipe;
use autodidact::run::{Checkpoint, RunFolder};
use autodidact::train::{self, Event};
use autodidact_eval::Matrix;
use autodidact_eval::calibration::{fit_temperature, negative_log_likelihood};
use autodidact_eval::probe::{Probe, ProbeSettings};

use super::training::{recipe, run};

const SETTING: Setting = Setting {
    layers: Layers::Frozen,
    share: Share::All,
    balance: false,
    from_scratch: false,
};

/// A fine-tuning of the classifier alone on 160 labels of ten classes, in steps so small that no number of 32 bits moves:
/// what it begins with stays the best.
fn stuck(before: &Path) -> Recipe {
    let mut pretraining = recipe("simclr");
    pretraining.put("data.synthetic_items", 160).unwrap();
    run(&pretraining, before, None);
    let mut tuning = SETTING.recipe(&RunFolder::open(before).unwrap()).unwrap();
    tuning.put("train.learning_rate", 1e-30).unwrap();
    tuning.put("train.steps", 10).unwrap();
    tuning
}

/// Begins a fine-tuning by a recipe, or goes on with the one that is there, to the end or until `after` steps are done.
fn tune(begin: Option<Recipe>, out: &Path, after: Option<u64>) -> Option<Finetuned> {
    let stop = AtomicBool::new(false);
    let mut watch = |event: &Event| {
        if let Event::Stepped { step, .. } = event
            && Some(*step) == after
        {
            stop.store(true, Ordering::Relaxed);
        }
    };
    let (setting, recipe, folder) = match begin {
        Some(recipe) => {
            let folder = RunFolder::create(Some(out), "").unwrap();
            (Some(&SETTING), recipe, folder)
        }
        None => {
            let folder = RunFolder::open(out).unwrap();
            (None, folder.recipe().unwrap(), folder)
        }
    };
    let (_, _, report) = finetune(setting, recipe, None, || Ok(folder), &stop, &mut watch).unwrap();
    report
}

/// The vectors of all labeled items, with their classes.
fn all_labeled(folder: &RunFolder) -> (Matrix, Vec<u32>) {
    let recipe = folder.recipe().unwrap();
    let network = frozen(&recipe, &folder.encoder().unwrap(), folder.path()).unwrap();
    let data = recipe.data().unwrap().source(recipe.seed(), None);
    let which = Which::Labeled(usize::MAX);
    let embedded = network.embed(&data, &[Whom::Pretrained], which, &mut |_, _| {});
    let Embedded {
        mut features,
        classes,
        ..
    } = embedded.unwrap();
    (features.remove(0), classes.into_iter().flatten().collect())
}

/// The scores of a linear layer, `[items, classes]`.
fn scores(vectors: &Matrix, weight: &Matrix, bias: &[f32]) -> Matrix {
    let products = vectors.times_transposed(weight).unwrap();
    let (rows, columns) = (products.rows(), products.columns());
    let mut scores = products.into_data();
    for row in scores.chunks_exact_mut(columns) {
        for (score, bias) in row.iter_mut().zip(bias) {
            *score += bias;
        }
    }
    Matrix::from_vec(rows, columns, scores).unwrap()
}

/// The scores by the classifier of a checkpoint.
fn scores_by(checkpoint: &Checkpoint, vectors: &Matrix) -> Matrix {
    let [weight, bias] =
        ["weight", "bias"].map(|part| &checkpoint.state[&format!("model.classifier.{part}")]);
    let rows = weight.values.clone();
    let rows = Matrix::from_vec(weight.shape[0], weight.shape[1], rows).unwrap();
    scores(vectors, &rows, &bias.values)
}

/// The largest difference.
fn apart(a: &Matrix, b: &Matrix) -> f32 {
    assert_eq!((a.rows(), a.columns()), (b.rows(), b.columns()));
    let pairs = a.data().iter().zip(b.data());
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[test]
fn where_no_step_was_better_the_classifier_has_learned_from_all_labels() {
    let scratch = tempfile::tempdir().unwrap();
    let [before, out] = ["before", "out"].map(|name| scratch.path().join(name));
    let report = tune(Some(stuck(&before)), &out, None).unwrap();
    assert_eq!(report.learned_from, [13; 10]);
    assert_eq!((report.held_out, report.refitted), (30, Some(160)));
    let folder = RunFolder::open(&out).unwrap();
    let written = Classifier::read(&folder).unwrap();
    let kept = Checkpoint::read(&folder.last()).unwrap();

    let (vectors, classes) = all_labeled(&folder);
    assert_eq!(classes.len(), 160);
    let found = written.logits(&vectors).unwrap();
    // In the way that those learned from have chosen: one of these.
    let ways = ProbeSettings::default();
    let of_all = ways.scalings.iter().flat_map(|&scaling| {
        let fit = |&c: &f64| {
            let way = ProbeSettings {
                scalings: vec![scaling],
                candidates: vec![c],
                ..ProbeSettings::default()
            };
            let probe = Probe::fit(&vectors, &classes, &way).unwrap();
            let (weight, bias) = probe.unscaled().unwrap();
            apart(&found, &scores(&vectors, &weight, &bias))
        };
        ways.candidates.iter().map(fit).collect::<Vec<_>>()
    });
    let to_all = of_all.fold(f32::INFINITY, f32::min);
    let to_learned = apart(&found, &scores_by(&kept, &vectors));
    assert!(to_all < 0.01 * to_learned, "{to_all} and {to_learned}");

    // How sure it may be, and how good it is, tells what the one before said of items that it hadn't seen.
    let mut session = train::reopen(&folder.recipe().unwrap()).unwrap();
    let (model, optimizer) = (kept.under("model"), kept.under("optimizer"));
    let updates = kept.position.updates;
    session.restore(&model, &optimizer, updates).unwrap();
    let (vectors, classes) = session.held_out().unwrap().unwrap();
    let honest = scores_by(&kept, &vectors);
    let temperature = fit_temperature(&honest, &classes).unwrap();
    assert!((written.temperature / temperature - 1.0).abs() < 1e-6);
    let cost = negative_log_likelihood(&honest, &classes, 1.0).unwrap();
    let told = report.validation.unwrap().negative_log_likelihood[0];
    assert!((told - cost).abs() < 1e-6, "{told} and {cost}");
}

#[test]
fn an_interrupted_fine_tuning_ends_with_the_same_classifier() {
    let scratch = tempfile::tempdir().unwrap();
    let [before, whole, parts] = ["before", "whole", "parts"].map(|name| scratch.path().join(name));
    let tuning = stuck(&before);
    let report = tune(Some(tuning.clone()), &whole, None).unwrap();
    assert_eq!(report.refitted, Some(160));
    assert!(tune(Some(tuning), &parts, Some(2)).is_none());
    // The second time all that is left is to conclude.
    for _ in 0..2 {
        tune(None, &parts, None).unwrap();
        for name in ["classifier.safetensors", "finetuning.json"] {
            let [expected, found] = [&whole, &parts].map(|run| run.join(name));
            let same = std::fs::read(expected).unwrap() == std::fs::read(&found).unwrap();
            assert!(same, "{name} differs");
            std::fs::remove_file(found).unwrap();
        }
    }
}

#[test]
fn what_training_made_stays_and_so_does_what_began_with_a_part_of_the_labels() {
    let scratch = tempfile::tempdir().unwrap();
    let tuning = stuck(&scratch.path().join("before"));
    let tuned = |name: &str, key: &str, value: i64| {
        let mut tuning = tuning.clone();
        tuning.put(key, value).unwrap();
        let out = scratch.path().join(name);
        let report = tune(Some(tuning), &out, None).unwrap();
        (RunFolder::open(&out).unwrap(), report.refitted)
    };
    let stays = |folder: &RunFolder| {
        let (vectors, _) = all_labeled(folder);
        let found = Classifier::read(folder).unwrap().logits(&vectors).unwrap();
        let last = Checkpoint::read(&folder.last()).unwrap();
        assert!(apart(&found, &scores_by(&last, &vectors)) < 1e-6);
    };
    // As many as there are to learn from, and one fewer.
    let (all, refitted) = tuned("all", "train.probe_items", 130);
    assert_eq!(refitted, Some(160));
    let (part, refitted) = tuned("part", "train.probe_items", 129);
    assert_eq!(refitted, None);
    stays(&part);
    // The last weights are kept, whatever was better.
    let (last, refitted) = tuned("last", "train.patience", 0);
    assert_eq!(refitted, None);
    stays(&last);
    // As if the last look had found the best weights.
    let weights = Checkpoint::read(&all.last()).unwrap();
    weights.write(&all.best()).unwrap();
    let report = tune(None, all.path(), None).unwrap();
    assert_eq!(report.refitted, None);
    stays(&all);
}
