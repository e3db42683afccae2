//! How long runs are, where the recipe says it, where the method does, and where both do; and which method and network a recipe
//! gets that names neither.

use autodidact::method::{self, ForObjective, Objective};
use autodidact::recipe::{Length, Recipe};
use autodidact::run::RunFolder;
use autodidact::train::{self, Stop};

use super::training::{checkpoint, metrics, recipes, recipes_of_series, run};

#[test]
fn a_method_that_knows_how_many_steps_are_enough_takes_them_unless_told_otherwise() {
    let mut recipe = recipes_of_series("reliability").remove(0);
    recipe.remove("train", "steps");
    let steps = |recipe: &Recipe| train::open(recipe).unwrap().train().steps;
    assert_eq!(steps(&recipe), Some(32));
    recipe.put("train.epochs", 2.0).unwrap();
    assert_eq!(steps(&recipe), None);
}

#[test]
fn a_method_that_knows_how_many_passes_are_enough_makes_them_unless_told_otherwise() {
    let mut recipe = recipes("ppmi").remove(0);
    let length = |recipe: &Recipe| {
        let session = train::open(recipe).unwrap();
        (session.train().steps, session.train().epochs)
    };
    assert_eq!(length(&recipe), (Some(6), None));
    recipe.remove("train", "steps");
    assert_eq!(length(&recipe), (None, Some(1.0)));
    recipe.put("train.budget", "2s").unwrap();
    assert_eq!(length(&recipe), (None, None));
}

#[test]
fn of_a_budget_no_more_is_spent_than_the_method_needs() {
    for (method, enough) in [
        ("ppmi", Length::Epochs(1.0)),
        ("reliability", Length::Steps(32)),
    ] {
        let scratch = tempfile::tempdir().unwrap();
        let [whole, parts, again, longer] =
            ["whole", "parts", "again", "longer"].map(|name| scratch.path().join(name));
        let mut recipe = recipes(method).remove(0);
        recipe.remove("train", "steps");
        recipe.put("train.budget", "30s").unwrap();
        let session = train::open(&recipe).unwrap();
        assert_eq!(session.train().enough, Some(enough));
        let steps = enough.steps(session.steps_per_epoch()).unwrap();
        let outcome = run(&recipe, &whole, None);
        assert_eq!((outcome.stop, outcome.steps), (Stop::Finished, steps));

        // Interrupted, and by the recipe that it left.
        assert_eq!(run(&recipe, &parts, Some(3)).stop, Stop::Asked);
        run(&recipe, &parts, None);
        let left = RunFolder::open(&whole).unwrap().recipe().unwrap();
        run(&left, &again, None);
        for other in [&parts, &again] {
            assert_eq!(metrics(other), metrics(&whole), "{method}");
            assert_eq!(checkpoint(other).state, checkpoint(&whole).state);
        }

        // What is said in steps is what somebody wants.
        recipe.remove("train", "budget");
        let more = steps + 2;
        recipe.put("train.steps", more as i64).unwrap();
        assert_eq!(run(&recipe, &longer, None).steps, more);
    }
}

#[test]
fn what_learns_more_the_longer_it_runs_has_never_enough() {
    struct Enough;
    impl ForObjective for Enough {
        type Output = bool;
        fn run<O: Objective>(self) -> bool {
            let objective = O::default();
            objective.steps().is_some() || objective.epochs().is_some()
        }
    }
    let names = method::ALL.iter().map(|entry| entry.name);
    let found: Vec<&str> = names
        .filter(|name| method::by_name(name, Enough).unwrap())
        .collect();
    assert_eq!(found, ["reliability", "ppmi"]);
}

#[test]
fn a_width_alone_leaves_the_usual_network_and_its_method() {
    for (method, network, width) in [
        ("spectral", "patches", "width = 6\n"),
        ("ppmi", "static", "width = 16\n"),
        ("reliability", "kernels", "width = 336\n"),
    ] {
        let mut recipe = recipes(method).remove(0);
        recipe.remove("method", "name");
        for key in ["name", "vector", "patch", "dim", "depth", "heads"] {
            recipe.remove("encoder", key);
        }
        let opened = train::open(&recipe).unwrap().recipe().unwrap();
        let found = (opened.method(), opened.text("encoder", "name"));
        assert_eq!(found, (Some(method), Some(network)));
        assert!(opened.to_string().contains(width), "{opened}");
    }
}
