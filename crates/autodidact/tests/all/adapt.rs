//! What a run with labels may change, and how fast.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use autodidact::adapt::{Adaptation, Pace, Round};
use autodidact::layers::Init;
use autodidact::layers::state::{State, trained};
use autodidact::method::supervised::Supervised;
use autodidact::method::{Method, Objective};
use autodidact::modality::Encoder;
use autodidact::modality::image::{Architecture, ImageEncoder, ImageNetwork};
use autodidact::recipe::{Length, Recipe};
use autodidact::run::{Checkpoint, RunFolder};
use autodidact::train;

use super::training::{recipe, recipes_of_series, run};

fn network(name: Architecture) -> (ImageEncoder, Init) {
    let device = train::device::open("cpu").unwrap().autodiff();
    let mut init = Init::new(0, &device);
    let network = ImageNetwork {
        name,
        width: if name.is_vit() { 24 } else { 4 },
        depth: 3,
        ..ImageNetwork::default()
    };
    (network.build(16, 3, &mut init).unwrap(), init)
}

const NETWORKS: [Architecture; 3] = [
    Architecture::SmallConv,
    Architecture::ResNet18,
    Architecture::VitTiny,
];

#[test]
fn every_parameter_has_its_stage_and_every_stage_its_parameters() {
    for name in NETWORKS {
        let (encoder, _) = network(name);
        let mut stages = vec![Vec::new(); encoder.stages()];
        for parameter in trained(&encoder) {
            stages[encoder.stage(&parameter)].push(parameter);
        }
        assert!(stages.iter().all(|stage| !stage.is_empty()), "{stages:?}");
        let of = |parameter: &str| encoder.stage(parameter);
        match name {
            Architecture::SmallConv => {
                assert_eq!([of("convs.0.weight"), of("norms.3.training")], [0, 3]);
            }
            Architecture::ResNet18 => {
                assert_eq!([of("bn1.running_mean"), of("layer4.1.bn2.bias")], [0, 4]);
            }
            _ => {
                let found = [
                    "cls_token",
                    "patch_embed.proj.weight",
                    "blocks.0.norm1.weight",
                ]
                .map(of);
                assert_eq!(found, [0, 0, 1]);
                // The norm behind the last block belongs to it.
                assert_eq!([of("blocks.2.mlp.fc1.bias"), of("norm.weight")], [3, 3]);
            }
        }
    }
}

#[test]
fn a_stage_learns_the_more_slowly_the_earlier_it_is() {
    for name in NETWORKS {
        let (encoder, mut init) = network(name);
        let stages = encoder.stages();
        let stage_of: Vec<(String, usize)> = trained(&encoder)
            .into_iter()
            .map(|parameter| (format!("encoder.{parameter}"), encoder.stage(&parameter)))
            .collect();
        let settings = Supervised {
            layer_decay: 0.5,
            ..Supervised::default()
        };
        let method = settings.build(encoder, &mut init).unwrap();
        assert_eq!(
            Method::<ImageEncoder>::rate(&method, "classifier.weight"),
            1.0
        );
        for (parameter, stage) in stage_of {
            let expected = 0.5f64.powi((stages - stage) as i32);
            assert_eq!(
                Method::<ImageEncoder>::rate(&method, &parameter),
                expected,
                "{parameter}"
            );
        }
    }
}

/// Names of the encoder's arrays that a run of `recipe` moved.
fn moved(recipe: &Recipe) -> Vec<String> {
    let before = train::open(recipe).unwrap().encoder();
    let scratch = tempfile::tempdir().unwrap();
    let (whole, parts) = (scratch.path().join("whole"), scratch.path().join("parts"));
    run(recipe, &whole, None);
    let after = RunFolder::open(&whole).unwrap().encoder().unwrap();
    // What stands still does so in a run that was interrupted, too.
    run(recipe, &parts, Some(3));
    run(recipe, &parts, None);
    assert_eq!(RunFolder::open(&parts).unwrap().encoder().unwrap(), after);
    differing(&before, &after)
}

/// Names under which two states don't hold the same bits.
fn differing(a: &State, b: &State) -> Vec<String> {
    assert_eq!(a.len(), b.len());
    let bits = |state: &State, name: &str| -> Vec<u32> {
        state[name]
            .values
            .iter()
            .map(|value| value.to_bits())
            .collect()
    };
    a.keys()
        .filter(|name| bits(a, name) != bits(b, name))
        .cloned()
        .collect()
}

#[test]
fn frozen_stages_keep_every_bit_and_the_others_move() {
    let mut recipe = recipe("supervised");
    recipe.put("method.last_stages", 0).unwrap();
    assert!(moved(&recipe).is_empty());
    recipe.put("method.last_stages", 1).unwrap();
    let last = [
        "convs.3.weight",
        "norms.3.bias",
        "norms.3.running_mean",
        "norms.3.running_var",
        "norms.3.weight",
    ];
    assert_eq!(moved(&recipe), last);
    recipe.remove("method", "last_stages");
    assert!(
        moved(&recipe)
            .iter()
            .any(|name| name == "norms.0.running_mean")
    );
}

#[test]
fn a_run_that_gets_no_better_ends_early_with_the_weights_that_were_best() {
    let scratch = tempfile::tempdir().unwrap();
    let path = scratch.path().join("run");
    let mut stuck = recipe("supervised");
    // Steps so small that no number of 32 bits moves, so that the first look stays the best.
    stuck.put("train.learning_rate", 1e-30).unwrap();
    stuck.put("train.steps", 40).unwrap();
    stuck.put("train.patience", 2).unwrap();
    stuck.put("method.last_stages", 0).unwrap();
    let outcome = run(&stuck, &path, None);
    // The sixth look of ten, the second that counts: neither the first half of the run does, nor passes over the data, which
    // end every 7 steps here.
    assert_eq!((outcome.early, outcome.steps), (true, 24));
    let folder = RunFolder::open(&path).unwrap();
    let best = Checkpoint::read(&folder.best()).unwrap();
    let last = Checkpoint::read(&folder.last()).unwrap();
    assert_eq!(last.state, best.state);
    assert!(best.position.progress.step() < last.position.progress.step());

    // It is finished, and goes on when it is told for how long.
    let go_on = |more| {
        let mut session = train::reopen(&folder.recipe().unwrap()).unwrap();
        let (from, stop) = (Some(last.clone()), AtomicBool::new(false));
        train::pretrain(session.as_mut(), &folder, from, more, &stop, &mut |_| {})
    };
    let finished = go_on(None).unwrap_err().to_string();
    assert!(finished.contains("a run that is finished"), "{finished}");
    let more = go_on(Some(autodidact::recipe::Length::Steps(1))).unwrap();
    assert_eq!(more.steps, outcome.steps + 1);
}

/// The last checkpoint of a run.
fn kept(run: &Path) -> Checkpoint {
    RunFolder::open(run).unwrap().checkpoint().unwrap().0
}

/// Time can't be repeated: how many items the first classifier was fitted to stands in the recipe.
#[test]
fn a_run_in_time_that_begins_with_a_classifier_repeats_from_the_recipe_that_it_leaves() {
    let scratch = tempfile::tempdir().unwrap();
    let [before, first, again] = ["before", "first", "again"].map(|name| scratch.path().join(name));
    run(&recipe("supervised"), &before, None);
    let mut timed = recipe("supervised");
    timed.remove("train", "steps");
    timed.put("train.budget", "2s").unwrap();
    timed.put("train.init", before.to_str().unwrap()).unwrap();
    timed.put("train.patience", 20).unwrap();
    run(&timed, &first, None);
    let left = RunFolder::open(&first).unwrap().recipe().unwrap();
    let items: usize = train::reopen(&left)
        .unwrap()
        .labeled()
        .unwrap()
        .items
        .iter()
        .sum();
    let text = left.to_string();
    assert!(text.contains(&format!("probe_items = {items}\n")), "{text}");
    run(&left, &again, None);
    let [first, again] = [kept(&first), kept(&again)];
    assert!(first.state == again.state);
    assert_eq!(first.position.best, again.position.best);
}

/// Few items are held out of it, so that what they cost the best weights is in its checkpoints.
#[test]
fn a_run_that_keeps_the_best_of_given_weights_can_be_interrupted() {
    let scratch = tempfile::tempdir().unwrap();
    let [before, whole, parts] = ["before", "whole", "parts"].map(|name| scratch.path().join(name));
    run(&recipe("supervised"), &before, None);
    let mut tuned = recipe("supervised");
    tuned.put("train.init", before.to_str().unwrap()).unwrap();
    tuned.put("train.steps", 20).unwrap();
    tuned.put("train.patience", 20).unwrap();
    run(&tuned, &whole, None);
    for after in [3, 11] {
        run(&tuned, &parts, Some(after));
        let held_out = train::reopen(&tuned).unwrap().labeled().unwrap().held_out;
        assert!(held_out > 0);
        assert_eq!(kept(&parts).position.best_costs.len(), held_out);
    }
    run(&tuned, &parts, None);
    let [whole, parts] = [kept(&whole), kept(&parts)];
    assert!(whole.state == parts.state);
    assert_eq!(whole.position.best_costs, parts.position.best_costs);
}

#[test]
fn a_method_of_labels_learns_from_the_share_that_it_is_told() {
    let mut few = recipe("supervised");
    few.put("data.by_class", true).unwrap();
    few.put("data.labels_per_class", 5).unwrap();
    few.put("method.classes", 0).unwrap();
    let session = train::open(&few).unwrap();
    let labeled = session.labeled().unwrap();
    assert_eq!(labeled.classes.len(), 10);
    assert_eq!((labeled.items, labeled.held_out), (vec![4; 10], 10));
    let (vectors, classes) = session.held_out().unwrap().unwrap();
    assert_eq!((vectors.rows(), classes.len()), (10, 10));
    let complete = session.recipe().unwrap().to_string();
    assert!(complete.contains("classes = 10"), "{complete}");
    assert!(train::open(&recipe("simclr")).unwrap().labeled().is_none());
}

/// A stretch of another wave than the data holds.
fn stretch(first: usize) -> Vec<f32> {
    (0..36)
        .map(|step| ((first + step) as f32 * 1.1).sin())
        .collect()
}

#[test]
fn what_is_watched_is_learned_from_within_its_budget() {
    for method in ["ts2vec", "simclr", "reliability"] {
        let scratch = tempfile::tempdir().unwrap();
        let (whole, out) = (scratch.path().join("run"), scratch.path().join("out"));
        run(&recipes_of_series(method).remove(0), &whole, None);
        let folder = RunFolder::open(&whole).unwrap();
        let pace = Pace {
            every: 4,
            steps: 2,
            most: 3,
            forgets: 10.0,
            ..Pace::default()
        };
        let mut adaptation = Adaptation::open(&folder, pace).unwrap();
        let before = adaptation.encoder();
        for first in 0..3 {
            adaptation.take(stretch(first), first);
        }
        // Of what is mostly missing nothing is learned, but time goes by.
        assert!(!adaptation.is_due());
        adaptation.take(vec![f32::NAN; 36], 3);
        assert!(adaptation.is_due());
        let round = adaptation.learn().unwrap();
        assert!(
            matches!(round, Round::Learned(loss) if loss.is_finite()),
            "{method}: {round:?}"
        );
        let after = adaptation.encoder();
        assert!(!differing(&before, &after).is_empty(), "{method}");
        assert_eq!(adaptation.spent(), 2);
        for first in 4..8 {
            adaptation.take(stretch(first), first);
        }
        adaptation.learn().unwrap();
        // The third step was the last.
        assert_eq!(adaptation.spent(), 3);
        for first in 8..12 {
            adaptation.take(stretch(first), first);
        }
        assert!(!adaptation.is_due());
        let out = RunFolder::create(Some(&out), "").unwrap();
        adaptation.write(&out).unwrap();
        assert_eq!(
            RunFolder::open(out.path()).unwrap().encoder().unwrap(),
            adaptation.encoder()
        );
    }
}

/// The best weights of the run that it came from aren't in its folder, so it must not go back to them.
#[test]
fn what_went_on_learning_is_a_run_that_can_be_resumed() {
    let scratch = tempfile::tempdir().unwrap();
    let (whole, out) = (scratch.path().join("run"), scratch.path().join("out"));
    let mut patient = recipes_of_series("ts2vec").remove(0);
    patient.put("train.patience", 5).unwrap();
    run(&patient, &whole, None);
    let folder = RunFolder::open(&whole).unwrap();
    let (last, _) = folder.checkpoint().unwrap();
    assert!(last.position.best.is_some());
    let adaptation = Adaptation::open(&folder, Pace::default()).unwrap();
    let out = RunFolder::create(Some(&out), "").unwrap();
    adaptation.write(&out).unwrap();
    let (adapted, _) = out.checkpoint().unwrap();
    assert_eq!((adapted.position.best, adapted.position.stale), (None, 0));
    let mut session = train::reopen(&out.recipe().unwrap()).unwrap();
    let (more, stop) = (Some(Length::Steps(2)), AtomicBool::new(false));
    let session = session.as_mut();
    train::pretrain(session, &out, Some(adapted), more, &stop, &mut |_| {}).unwrap();
    assert!(out.best().is_file());
}

#[test]
fn what_goes_wrong_is_taken_back_and_three_times_in_a_row_are_the_end() {
    let scratch = tempfile::tempdir().unwrap();
    let whole = scratch.path().join("run");
    run(&recipes_of_series("ts2vec").remove(0), &whole, None);
    let folder = RunFolder::open(&whole).unwrap();
    // A rate at which nothing holds, and a loss that may not grow at all.
    for pace in [
        Pace {
            rate: 1e12,
            ..Pace::default()
        },
        Pace {
            forgets: -10.0,
            ..Pace::default()
        },
    ] {
        let pace = Pace {
            every: 1,
            steps: 3,
            ..pace
        };
        let mut adaptation = Adaptation::open(&folder, pace).unwrap();
        let before = adaptation.encoder();
        for round in 0..3 {
            adaptation.take(stretch(round), round);
            assert!(adaptation.is_due());
            let round = adaptation.learn().unwrap();
            assert!(matches!(round, Round::TakenBack(_)), "{round:?}");
            assert_eq!(adaptation.encoder(), before);
        }
        adaptation.take(stretch(9), 9);
        assert!(!adaptation.is_due());
    }
}

#[test]
fn a_run_with_labels_does_not_go_on_without_them() {
    let scratch = tempfile::tempdir().unwrap();
    let whole = scratch.path().join("run");
    run(&recipes_of_series("supervised").remove(0), &whole, None);
    let error = Adaptation::open(&RunFolder::open(&whole).unwrap(), Pace::default());
    assert!(
        error
            .err()
            .unwrap()
            .to_string()
            .contains("learned from labels")
    );
}
