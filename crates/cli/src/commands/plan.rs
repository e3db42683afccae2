//! `autodidact plan`.

use std::process::ExitCode;

use autodidact::error::{Error, Result};
use autodidact::recipe::{Duration, Train};
use autodidact::train::{self, Candidate, Choice};

use super::pretrain::recipe_or_embedded;
use crate::arguments::Plan;

/// What is planned for when nobody says: as long as a run without a length.
const DEFAULT_BUDGET: Duration = Duration(600.0);

pub(crate) fn run(arguments: &Plan) -> Result<ExitCode> {
    let settings = &arguments.settings;
    if settings.epochs.is_some() || settings.steps.is_some() {
        return Err(Error::recipe("a plan for --epochs or --steps")
            .expected("a time, since a plan says what can be trained in it")
            .mend("give --budget instead, such as --budget 30m"));
    }
    let (recipe, _) = recipe_or_embedded(settings, arguments.data.as_deref())?;
    let length = ["epochs", "steps"]
        .into_iter()
        .find(|key| settings.budget.is_none() && recipe.has("train", key));
    if let Some(key) = length {
        let error = Error::recipe(format!("a plan for a recipe whose length is train.{key}"))
            .expected("a time, since a plan says what can be trained in it")
            .mend("give --budget, which takes its place, such as --budget 30m");
        return Err(match &settings.recipe {
            Some(name) => error.at(name),
            None => error,
        });
    }
    let budget = recipe.budget()?.unwrap_or(DEFAULT_BUDGET);
    let session = train::open(&recipe)?;
    println!("{budget} on this machine, from a few steps of each size:");
    let choice = train::choose(
        &recipe,
        session.as_ref(),
        budget.0,
        true,
        &mut |candidate| {
            println!("{}", line(candidate));
        },
    )?;
    match choice {
        Some(choice) => println!("{}", verdict(&choice, budget)),
        None => {
            let only = train::estimate(&recipe, session.as_ref(), budget.0)?;
            println!("{}", line(&only));
            let seconds = only.steps as f64 * only.batch as f64 / only.speed;
            let (per_epoch, takes) = (session.steps_per_epoch(), (only.steps, seconds));
            if let Some(text) = spared(session.train(), per_epoch, takes, budget) {
                println!("{text}");
            }
            println!(
                "there is one size to train: {}. Sizes are chosen for a dictionary of patches and for a resnet18 whose \
                 encoder.width or views.size is left out; those of other networks, the embedded images' own among them, \
                 and of given weights are what they are",
                only.prospect
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A size and what it would come to, in a line.
pub(super) fn line(candidate: &Candidate) -> String {
    let memory = candidate.memory.map_or_else(String::new, |bytes| {
        format!(", {} MiB of memory", bytes >> 20)
    });
    format!(
        "  {:<22} {:>5.2} million values, {:>5.0} items/s: {:>6.2} passes over the data in {} steps of {}{memory}",
        candidate.name,
        candidate.values as f64 / 1e6,
        candidate.speed,
        candidate.passes,
        candidate.steps,
        candidate.batch,
    )
}

/// That a budget is more than is needed, where so many steps are all that the method has use for, and so many seconds, in which
/// they were taken and what comes after the last one, are fewer than it has.
pub(super) fn spared(
    train: &Train,
    steps_per_epoch: u64,
    (steps, seconds): (u64, f64),
    budget: Duration,
) -> Option<String> {
    let enough = train.enough?;
    let all = enough.steps(steps_per_epoch) == Some(steps);
    (all && seconds < budget.0).then(|| {
        format!(
            "the method learns all there is in {enough}; the rest of the {budget} is not needed"
        )
    })
}

/// What was chosen, and why.
pub(super) fn verdict(choice: &Choice, budget: Duration) -> String {
    let best = choice.best();
    let mut text = format!("chosen for {budget}: {}, {}", best.name, best.prospect);
    for other in &choice.candidates[choice.chosen + 1..] {
        text.push_str(&format!("\n  {}: {}", other.name, other.prospect));
    }
    text
}

#[cfg(test)]
mod tests {
    use autodidact::recipe::Length;

    use super::*;

    #[test]
    fn a_budget_is_more_than_is_needed_only_where_it_is_not_over() {
        let train = Train {
            enough: Some(Length::Epochs(1.0)),
            ..Train::default()
        };
        let after = |steps, seconds| spared(&train, 60, (steps, seconds), Duration(5.0));
        assert!(after(60, 3.0).unwrap().contains("the rest of the 5s"));
        assert_eq!(after(60, 14.0), None);
        assert_eq!(after(59, 3.0), None);
        let never = Train::default();
        assert_eq!(spared(&never, 60, (60, 3.0), Duration(5.0)), None);
    }
}
