//! The loop at work on a session that learns nothing and looks as a script says.

use std::time::Duration;

use autodidact_eval::Matrix;

use super::*;
use crate::layers::state::{Array, State};
use crate::modality::Rung;
use crate::recipe::{Recipe, Train};
use crate::train::{Labeled, Likelihood, StepReport, Validation};

/// What it has learned is how many steps it took.
struct Scripted {
    train: Train,
    steps: u64,
    /// What the held-out items cost after so many steps.
    costs: fn(u64) -> Vec<f64>,
    opened_in: Duration,
    begun: bool,
}

impl Scripted {
    /// Ten steps with a look after each, and the best of given weights and what comes after them is kept.
    fn new(costs: fn(u64) -> Vec<f64>) -> Self {
        Self {
            train: Train {
                steps: Some(10),
                patience: 3,
                init: Some("a run".into()),
                ..Train::default()
            },
            steps: 0,
            costs,
            opened_in: Duration::ZERO,
            begun: false,
        }
    }

    fn state_after(steps: u64) -> State {
        let array = Array {
            shape: vec![1],
            values: vec![steps as f32],
        };
        State::from([("steps".to_owned(), array)])
    }
}

impl Session for Scripted {
    fn recipe(&self) -> Result<Recipe> {
        let mut recipe = Recipe::default();
        recipe.put("train.seed", i64::from(self.begun))?;
        Ok(recipe)
    }

    fn train(&self) -> &Train {
        &self.train
    }

    fn ladder(&self) -> Vec<Rung> {
        Vec::new()
    }

    fn values(&self) -> usize {
        1
    }

    fn by_gradient(&self) -> bool {
        true
    }

    fn has_features(&self) -> bool {
        false
    }

    fn describe(&self) -> Vec<String> {
        Vec::new()
    }

    fn opened_in(&self) -> Duration {
        self.opened_in
    }

    fn steps_per_epoch(&self) -> u64 {
        5
    }

    fn begin(&mut self) -> Result<Vec<String>> {
        self.begun = true;
        Ok(Vec::new())
    }

    fn settle(&mut self, _: Step) -> Result<()> {
        Ok(())
    }

    fn start(&mut self, _: u64) {}

    fn step(&mut self, _: Step, _: f64) -> Result<StepReport> {
        self.steps += 1;
        Ok(StepReport {
            loss: 1.0,
            parts: Vec::new(),
            gradient_norm: 1.0,
            items: 1,
            waited: Duration::ZERO,
        })
    }

    fn rehearse(&mut self, _: &[(Vec<f32>, usize)], at: Step, rate: f64) -> Result<StepReport> {
        self.step(at, rate)
    }

    fn validate(&self) -> Result<Option<Validation>> {
        let costs = (self.costs)(self.steps);
        let loss = costs.iter().sum::<f64>() / costs.len() as f64;
        Ok(Some(Validation {
            loss,
            symbols: None,
            parts: Vec::new(),
            each: costs.into_iter().map(|cost| [cost, 1.0]).collect(),
        }))
    }

    fn likelihood(&self) -> Result<Option<Likelihood>> {
        Ok(None)
    }

    fn may_collapse(&self) -> bool {
        false
    }

    fn checkup(&self) -> Result<Checkup> {
        Ok(Checkup {
            rankme: 1.0,
            dimensions: 1,
            deviation: 1.0,
            alignment: None,
            uniformity: -1.0,
            knn: None,
        })
    }

    fn look_cost(&self) -> f64 {
        0.0
    }

    fn state(&self) -> (State, u64) {
        let named = |(name, array): (String, Array)| (format!("model.{name}"), array);
        let state = Self::state_after(self.steps).into_iter().map(named);
        (state.collect(), self.steps)
    }

    fn restore(&mut self, model: &State, _: &State, _: u64) -> Result<()> {
        self.steps = model["steps"].values[0] as u64;
        Ok(())
    }

    fn encoder(&self) -> State {
        Self::state_after(self.steps)
    }

    fn labeled(&self) -> Option<Labeled> {
        None
    }

    fn held_out(&self) -> Result<Option<(Matrix, Vec<u32>)>> {
        Ok(None)
    }

    fn unreadable(&self) -> Vec<(String, String)> {
        Vec::new()
    }
}

/// Four of five items cost as much as at the beginning or more, and one far less: a mean of 0.96 where it was 1.
fn by_chance(steps: u64) -> Vec<f64> {
    match steps {
        0 => vec![1.0; 5],
        _ => vec![0.2, 1.6, 1.0, 1.0, 1.0],
    }
}

/// After the fourth step all of them cost less.
fn in_earnest(steps: u64) -> Vec<f64> {
    match steps {
        4.. => vec![0.7, 0.8, 0.75, 0.8, 0.75],
        _ => by_chance(steps),
    }
}

/// Runs a script in a folder of its own; how many steps the weights have that were kept.
fn kept_by(session: &mut Scripted) -> u64 {
    let scratch = tempfile::tempdir().unwrap();
    let folder = RunFolder::create(Some(scratch.path()), "").unwrap();
    run(session, &folder, None, &mut |_| {}).unwrap();
    assert_eq!(
        folder.encoder().unwrap(),
        Scripted::state_after(session.steps)
    );
    session.steps
}

fn run(
    session: &mut Scripted,
    folder: &RunFolder,
    from: Option<Checkpoint>,
    watch: &mut dyn FnMut(&Event),
) -> Result<Outcome> {
    pretrain(session, folder, from, None, &AtomicBool::new(false), watch)
}

#[test]
fn what_a_run_began_with_is_kept_until_there_is_evidence() {
    assert_eq!(kept_by(&mut Scripted::new(by_chance)), 0);
    assert_eq!(kept_by(&mut Scripted::new(in_earnest)), 4);
    // From untrained weights there is no beginning that is worth keeping.
    let mut untrained = Scripted::new(by_chance);
    untrained.train.init = None;
    assert_eq!(kept_by(&mut untrained), 1);
}

#[test]
fn of_many_items_the_lower_mean_is_the_better_one() {
    // A mean of 0.99 where it was 1, and a standard error of 0.022.
    let few: fn(u64) -> Vec<f64> = |steps| match steps {
        0 => vec![1.0; 495],
        _ => [0.2, 1.75, 1.0, 1.0, 1.0].repeat(99),
    };
    assert_eq!(kept_by(&mut Scripted::new(few)), 0);
    let many: fn(u64) -> Vec<f64> = |steps| match steps {
        0 => vec![1.0; 500],
        _ => [0.2, 1.75, 1.0, 1.0, 1.0].repeat(100),
    };
    assert_eq!(kept_by(&mut Scripted::new(many)), 1);
}

#[test]
fn an_interrupted_run_knows_what_the_items_cost() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = RunFolder::create(Some(scratch.path()), "").unwrap();
    let stop = AtomicBool::new(false);
    let mut watch = |event: &Event| {
        if matches!(event, Event::Stepped { step: 2, .. }) {
            stop.store(true, Ordering::Relaxed);
        }
    };
    let mut session = Scripted::new(by_chance);
    let outcome = pretrain(&mut session, &folder, None, None, &stop, &mut watch).unwrap();
    assert_eq!((outcome.stop, outcome.steps), (Stop::Asked, 2));
    let (from, _) = folder.kept().unwrap().unwrap();
    let mut session = Scripted::new(by_chance);
    run(&mut session, &folder, Some(from), &mut |_| {}).unwrap();
    assert_eq!(session.steps, 0);
}

#[test]
fn a_run_whose_best_weights_are_damaged_ends_with_its_last_and_says_so() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = RunFolder::create(Some(scratch.path()), "").unwrap();
    let mut said = Vec::new();
    let mut session = Scripted::new(by_chance);
    run(&mut session, &folder, None, &mut |event| match event {
        Event::Stepped { step: 1, .. } => std::fs::write(folder.best(), b"half").unwrap(),
        Event::Warned(text) => said.push(text.clone()),
        _ => {}
    })
    .unwrap();
    assert!(session.steps > 0);
    assert_eq!(said.len(), 1);
    assert!(
        said[0].contains("the best weights can't be read"),
        "{said:?}"
    );
}

#[test]
fn what_opening_took_is_part_of_a_budget_and_leaves_half_of_it() {
    for (opened, most) in [(12, 88.0), (3600, 50.0)] {
        let scratch = tempfile::tempdir().unwrap();
        let folder = RunFolder::create(Some(scratch.path()), "").unwrap();
        let mut session = Scripted::new(by_chance);
        session.train = Train {
            budget: Some(crate::recipe::Duration(100.0)),
            ..Train::default()
        };
        session.opened_in = Duration::from_secs(opened);
        let (stop, mut left) = (AtomicBool::new(false), None);
        let mut watch = |event: &Event| {
            if let Event::Stepped { seconds_left, .. } = event {
                left = left.or(*seconds_left);
                stop.store(true, Ordering::Relaxed);
            }
        };
        pretrain(&mut session, &folder, None, None, &stop, &mut watch).unwrap();
        let left = left.unwrap();
        assert!(left <= most && left > most - 20.0, "{left} of {most}");
    }
}

/// Begins a run with a budget, which stops after so many steps if any, and goes on with it; how many steps it took.
fn steps_within(budget: f64, enough: Option<Length>, stop_after: Option<u64>) -> u64 {
    let scratch = tempfile::tempdir().unwrap();
    let folder = RunFolder::create(Some(scratch.path()), "").unwrap();
    let stop = AtomicBool::new(false);
    let mut from = None;
    for stop_after in [stop_after, None] {
        let mut session = Scripted::new(by_chance);
        session.train = Train {
            budget: Some(crate::recipe::Duration(budget)),
            enough,
            ..Train::default()
        };
        let mut said = Vec::new();
        let mut watch = |event: &Event| match event {
            Event::Begun { lines, .. } => said.clone_from(lines),
            Event::Stepped { step, .. } => {
                stop.store(stop_after == Some(*step), Ordering::Relaxed);
            }
            _ => {}
        };
        let outcome = pretrain(&mut session, &folder, from, None, &stop, &mut watch).unwrap();
        let told = said.iter().any(|line| line.starts_with("length   "));
        assert_eq!(told, enough.is_some(), "{said:?}");
        if outcome.stop == Stop::Finished {
            // A time can't be repeated, and steps can.
            let recipe = folder.recipe().unwrap();
            let steps = toml::Value::from(outcome.steps as i64);
            assert_eq!(recipe.value("train.steps"), Some(&steps));
            assert_eq!(recipe.value("train.budget"), None);
            return outcome.steps;
        }
        stop.store(false, Ordering::Relaxed);
        from = folder.kept().unwrap().map(|(kept, _)| kept);
    }
    panic!("a run that doesn't end");
}

#[test]
fn a_budget_is_spent_as_far_as_there_is_something_to_learn() {
    for stop_after in [None, Some(3)] {
        let steps = |enough| steps_within(100.0, Some(enough), stop_after);
        assert_eq!(steps(Length::Epochs(2.0)), 10);
        assert_eq!(steps(Length::Steps(7)), 7);
    }
    // Where nobody says what is enough, and where the time is over before.
    assert!(steps_within(0.5, None, None) > 10);
    let most = 1_000_000_000;
    assert!(steps_within(0.5, Some(Length::Steps(most)), None) < most);
}

#[test]
fn the_recipe_holds_what_was_settled_before_the_first_step_and_scraps_are_swept_up() {
    let scratch = tempfile::tempdir().unwrap();
    let folder = RunFolder::create(Some(scratch.path()), "").unwrap();
    let checkpoints = scratch.path().join("checkpoints");
    std::fs::create_dir(&checkpoints).unwrap();
    std::fs::write(checkpoints.join(".writing-a1b2c3"), b"half of one").unwrap();
    let seed = |folder: &RunFolder| folder.recipe().unwrap().seed();
    let mut seeds = Vec::new();
    let mut session = Scripted::new(by_chance);
    run(&mut session, &folder, None, &mut |event| {
        if matches!(event, Event::Begun { .. }) {
            seeds.push(seed(&folder));
        }
    })
    .unwrap();
    assert_eq!(seeds, [1]);
    let names = std::fs::read_dir(&checkpoints).unwrap();
    let mut names = names.map(|entry| entry.unwrap().file_name());
    assert!(names.all(|name| !name.to_string_lossy().starts_with('.')));
}
