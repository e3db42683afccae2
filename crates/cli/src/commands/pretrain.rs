//! `autodidact pretrain`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use autodidact::error::{Error, Kind, Result};
use autodidact::recipe::{Duration, Length, Recipe};
use autodidact::run::{Checkpoint, RunFolder};
use autodidact::train::{self, Outcome, Session, Stop};

use super::{
    Listening, STOP, evaluate, hear_ctrl_c, plan, put_data, put_path, recipe_of, report_unreadable,
};
use crate::arguments::{Pretrain, Settings};
use crate::progress::Progress;

/// The recipe of `autodidact pretrain` with nothing said.
const EMBEDDED: &str = "images/synthetic";
/// Steps of the ceiling that the embedded data is shown with, as a share of the steps of pretraining.
const CEILING_SHARE: f64 = 0.5;

pub(crate) fn run(arguments: Pretrain) -> Result<ExitCode> {
    hear_ctrl_c()?;
    let (folder, outcome, embedded) = match &arguments.resume {
        Some(path) => resume(path, &arguments)?,
        None => begin(&arguments)?,
    };
    println!(
        "{} after {} steps in {}",
        if outcome.stop == Stop::Finished {
            "finished"
        } else {
            "stopped"
        },
        outcome.steps,
        Duration(outcome.seconds.round()),
    );
    report_unreadable(&outcome.unreadable);
    let path = folder.path().display();
    if outcome.stop == Stop::Asked {
        println!("a checkpoint is written; go on with\n  autodidact pretrain --resume {path}");
        return Ok(ExitCode::from(130));
    }
    if !arguments.no_evaluate {
        let ceiling = if embedded {
            ceiling(&folder, outcome.steps)?
        } else {
            None
        };
        evaluate::after_pretraining(&folder, ceiling)?;
    }
    println!("the encoder is in {path}/encoder.safetensors; what next:");
    println!("  autodidact evaluate {path} DATA     how good is it, on labeled data?");
    println!("  autodidact embed {path} DATA        a vector for each item");
    println!("  autodidact search {path} DATA FILE  the items most like a file");
    Ok(ExitCode::SUCCESS)
}

/// The recipe that the flags describe or, with nothing said, the one that was made for the embedded data; and whether it is
/// about that data.
pub(super) fn recipe_or_embedded(
    settings: &Settings,
    data: Option<&Path>,
) -> Result<(Recipe, bool)> {
    let recipe = recipe_of(settings, data)?;
    let embedded = data.is_none() && recipe.text("data", "path").is_none();
    if !embedded || settings.recipe.is_some() || settings.method.is_some() {
        return Ok((recipe, embedded));
    }
    let named = Settings {
        recipe: Some(EMBEDDED.to_owned()),
        epochs: settings.epochs,
        steps: settings.steps,
        budget: settings.budget,
        encoder: settings.encoder.clone(),
        batch_size: settings.batch_size,
        device: settings.device.clone(),
        precision: settings.precision,
        seed: settings.seed,
        labels: settings.labels.clone(),
        set: settings.set.clone(),
        ..Settings::default()
    };
    Ok((recipe_of(&named, None)?, embedded))
}

fn begin(arguments: &Pretrain) -> Result<(RunFolder, Outcome, bool)> {
    let data = arguments.data.as_deref();
    let (mut recipe, embedded) = recipe_or_embedded(&arguments.settings, data)?;
    put_path(&mut recipe, "train.init", arguments.init.as_deref())?;
    let began = Instant::now();
    let mut session = train::open(&recipe)?;
    if let Some(chosen) = within_budget(&recipe, session.as_ref(), began)? {
        session = train::open(&chosen)?;
    }
    let method = autodidact::method::of(&recipe)?;
    let name = format!("{}-{method}", called(data, &recipe));
    let folder = RunFolder::create(arguments.out.as_deref(), &name)?;
    let outcome = carry_out(session.as_mut(), &folder, None, None)?;
    Ok((folder, outcome, embedded))
}

/// What data is called in the name of its run, be it named beside the recipe or in it: the file or the folder, also where
/// that is said as `.` or `..`.
fn called(data: Option<&Path>, recipe: &Recipe) -> String {
    let Some(data) = data.or_else(|| recipe.text("data", "path").map(Path::new)) else {
        return "synthetic".to_owned();
    };
    let whole = data.canonicalize();
    let named = data
        .file_stem()
        .or_else(|| whole.as_ref().ok().and_then(|path| path.file_stem()));
    named.map_or("data".into(), |stem| stem.to_string_lossy().into_owned())
}

/// Runs the loop from a checkpoint or the beginning, shows how it goes, and lets Ctrl-C end it with a checkpoint.
fn carry_out(
    session: &mut dyn Session,
    folder: &RunFolder,
    from: Option<Checkpoint>,
    more: Option<Length>,
) -> Result<Outcome> {
    let _listening = Listening::begin();
    let mut progress = Progress::new();
    let outcome = train::pretrain(session, folder, from, more, &STOP, &mut |event| {
        progress.show(event)
    });
    progress.finish();
    let outcome = outcome.map_err(|error| keep_going(error, folder))?;
    let budget = session.train().budget.filter(|_| more.is_none());
    let took = (outcome.steps, outcome.seconds);
    let spared = budget
        .and_then(|budget| plan::spared(session.train(), session.steps_per_epoch(), took, budget));
    if let Some(text) = spared {
        println!("{text}");
    }
    Ok(outcome)
}

/// For a recipe with a budget, the same with what it leaves open chosen for that time on this machine. The time began when
/// the data was opened.
fn within_budget(recipe: &Recipe, session: &dyn Session, began: Instant) -> Result<Option<Recipe>> {
    let Some(budget) = recipe.budget()? else {
        return Ok(None);
    };
    let choice = train::choose(recipe, session, budget.0, false, &mut |candidate| {
        println!("{}", plan::line(candidate));
    })?;
    let Some(choice) = choice else {
        return Ok(None);
    };
    println!("{}", plan::verdict(&choice, budget));
    // The trials are part of the time that was given, and so is opening the data for them.
    let left = (budget.0 - began.elapsed().as_secs_f64()).max(1.0);
    let mut recipe = choice.recipe;
    recipe.put("train.budget", Duration(left).to_string())?;
    Ok(Some(recipe))
}

fn resume(path: &Path, arguments: &Pretrain) -> Result<(RunFolder, Outcome, bool)> {
    let folder = RunFolder::resume(path)?;
    let mut recipe = folder.recipe()?;
    let settings = &arguments.settings;
    if settings.method.is_some()
        || settings.encoder.is_some()
        || settings.seed.is_some()
        || settings.batch_size.is_some()
    {
        return Err(Error::recipe(
            "another method, network, batch or seed for a run that has begun",
        )
        .expected("only data, labels, a length, --device, --precision or --set for a resumed run")
        .mend("begin a new run"));
    }
    put_data(&mut recipe, arguments.data.as_deref())?;
    put_path(&mut recipe, "data.labels", settings.labels.as_deref())?;
    if let Some(device) = &settings.device {
        recipe.put("train.device", device.as_str())?;
    }
    if let Some(precision) = settings.precision {
        recipe.put("train.precision", precision.to_string())?;
    }
    for assignment in &settings.set {
        recipe.set(assignment)?;
    }
    let embedded = recipe.text("data", "path").is_none();
    let more = match settings {
        Settings {
            epochs: Some(epochs),
            ..
        } => Some(Length::Epochs(*epochs)),
        Settings {
            steps: Some(steps), ..
        } => Some(Length::Steps(*steps)),
        Settings {
            budget: Some(budget),
            ..
        } => Some(Length::Budget(budget.0)),
        _ => None,
    };
    let from = kept(&folder)?;
    let mut session = opened(&recipe, from.as_ref())?;
    if let Some(from) = &from
        && more.is_none()
        && !arguments.no_evaluate
        && !folder.file("evaluation.json").is_file()
        && from.position.ended(session.train().patience)
    {
        // It may have been killed while it was judged.
        println!(
            "there is nothing left to learn but for longer (--epochs, --steps or --budget): it is judged"
        );
        let progress = &from.position.progress;
        let outcome = Outcome {
            stop: Stop::Finished,
            steps: progress.step(),
            seconds: progress.elapsed,
            checkup: None,
            unreadable: Vec::new(),
            early: !progress.finished(),
        };
        return Ok((folder, outcome, embedded));
    }
    let outcome = carry_out(session.as_mut(), &folder, from, more)?;
    Ok((folder, outcome, embedded))
}

/// The checkpoint that a run goes on from; `None` where it was killed before it had written one.
fn kept(folder: &RunFolder) -> Result<Option<Checkpoint>> {
    let Some((checkpoint, damaged)) = folder.kept()? else {
        eprintln!("the run was ended before its first checkpoint, and begins anew");
        return Ok(None);
    };
    if let Some(error) = damaged {
        let step = checkpoint.position.progress.step();
        eprintln!("the last checkpoint can't be read: {error}");
        eprintln!("going on from the one before it, after {step} steps");
    }
    Ok(Some(checkpoint))
}

/// The session of a run that has begun: what it started from is read again only where it has nothing to go on from.
fn opened(recipe: &Recipe, from: Option<&Checkpoint>) -> Result<Box<dyn Session>> {
    match from {
        Some(_) => train::reopen(recipe),
        None => train::open(recipe),
    }
}

/// Training that went wrong still left a checkpoint: say where.
fn keep_going(error: Error, folder: &RunFolder) -> Error {
    if error.kind() != Kind::Training {
        return error;
    }
    let remedy = error.remedy().unwrap_or("look at metrics.jsonl").to_owned();
    let path = folder.path().display();
    error.mend(format!("{remedy}\n       the last good checkpoint is kept: autodidact pretrain --resume {path} --set …"))
}

/// Trains the same network with all labels, to show beside: what the network could reach on this data.
fn ceiling(folder: &RunFolder, steps: u64) -> Result<Option<PathBuf>> {
    let path = folder.file("ceiling");
    // A run that goes on has one already.
    if path.join("encoder.safetensors").is_file() {
        return Ok(Some(path));
    }
    let (mut session, ceiling, from) = match path.join("recipe.toml").is_file() {
        // It was stopped, or killed, before it had come to its end.
        true => {
            let ceiling = RunFolder::resume(&path)?;
            let from = kept(&ceiling)?;
            (opened(&ceiling.recipe()?, from.as_ref())?, ceiling, from)
        }
        false => {
            let recipe = recipe_of_ceiling(&folder.recipe()?, steps)?;
            let ceiling = RunFolder::create(Some(&path), "ceiling")?;
            (train::open(&recipe)?, ceiling, None)
        }
    };
    println!("the ceiling: the same network, trained with all labels");
    let outcome = carry_out(session.as_mut(), &ceiling, from, None)?;
    Ok((outcome.stop == Stop::Finished).then_some(path))
}

fn recipe_of_ceiling(pretrained: &Recipe, steps: u64) -> Result<Recipe> {
    let mut recipe = Recipe::parse("[method]\nname = \"supervised\"")?;
    recipe.take_over(pretrained, &["data", "encoder"]);
    let steps = ((steps as f64 * CEILING_SHARE) as i64).max(1);
    recipe.put("train.steps", steps)?;
    recipe.put("train.seed", i64::try_from(pretrained.seed()).unwrap_or(0))?;
    for key in ["device", "precision"] {
        if let Some(value) = pretrained.text("train", key) {
            recipe.put(&format!("train.{key}"), value)?;
        }
    }
    Ok(recipe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_called_like_its_data_however_that_is_said() {
        let here = Path::new(".").canonicalize().unwrap();
        let here = here.file_stem().unwrap().to_string_lossy().into_owned();
        let of = |data: Option<&str>, recipe: &str| {
            called(data.map(Path::new), &Recipe::parse(recipe).unwrap())
        };
        assert_eq!(of(Some("."), ""), here);
        assert_eq!(of(Some("photos/"), ""), "photos");
        assert_eq!(of(Some("a/rows.csv"), ""), "rows");
        assert_eq!(of(None, ""), "synthetic");
        let named = "[data]\npath = \"b/lines.csv\"";
        assert_eq!(of(None, named), "lines");
        assert_eq!(of(Some("a/rows.csv"), named), "rows");
    }
}
