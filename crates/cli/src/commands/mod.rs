//! One file a verb.

mod ahead;
mod embed;
mod evaluate;
mod export;
mod finetune;
mod generate;
mod lists;
mod plan;
mod predict;
mod pretrain;
mod report;
mod search;
mod views;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use autodidact::datasets::{self, Store};
use autodidact::error::{Error, Kind, Result};
use autodidact::modality::{Part, SourceSpec};
use autodidact::recipe::Recipe;
use autodidact::run::write_atomic;

use crate::arguments::{Command, Settings};
use crate::progress::Bar;

/// Set by Ctrl-C.
static STOP: AtomicBool = AtomicBool::new(false);

/// Whether something looks at [`STOP`] now and then.
static LISTENING: AtomicBool = AtomicBool::new(false);

/// As long as it lives, Ctrl-C sets [`STOP`], and something looks at that.
struct Listening;

impl Listening {
    fn begin() -> Self {
        LISTENING.store(true, Ordering::Relaxed);
        Self
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        LISTENING.store(false, Ordering::Relaxed);
    }
}

/// Lets Ctrl-C set [`STOP`] where something listens, and end the program elsewhere and when it comes twice.
fn hear_ctrl_c() -> Result<()> {
    ctrlc::set_handler(|| {
        if !LISTENING.load(Ordering::Relaxed) || STOP.swap(true, Ordering::Relaxed) {
            // Files are written whole or not at all: what is there holds.
            std::process::exit(130);
        }
    })
    .map_err(|error| Error::new(Kind::Io, "no way to hear Ctrl-C").because(error))
}

pub(crate) fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Pretrain(arguments) => pretrain::run(arguments),
        Command::Embed(arguments) => embed::run(&arguments),
        Command::Evaluate(arguments) => evaluate::run(&arguments),
        Command::Finetune(arguments) => finetune::run(&arguments),
        Command::Predict(arguments) => predict::run(&arguments),
        Command::Export(arguments) => export::run(&arguments),
        Command::Search(arguments) => search::run(&arguments),
        Command::Generate(arguments) => generate::run(&arguments),
        Command::Views(arguments) => views::run(&arguments),
        Command::Report(arguments) => report::run(&arguments),
        Command::Plan(arguments) => plan::run(&arguments),
        Command::Methods => lists::methods(),
        Command::Recipes(arguments) => lists::recipes(&arguments),
        Command::Datasets => lists::datasets(),
        Command::Devices => lists::devices(),
        Command::Completions(arguments) => lists::completions(&arguments),
    }
}

/// The recipe that the flags describe, laid over the recipe that they name.
fn recipe_of(settings: &Settings, data: Option<&Path>) -> Result<Recipe> {
    let mut recipe = match &settings.recipe {
        Some(name) => lists::find_recipe(name)?,
        None => Recipe::default(),
    };
    if let Some(method) = &settings.method {
        if let Some(named) = recipe.method().filter(|named| *named != method) {
            return Err(Error::recipe(format!(
                "--method {method} with a recipe of the method {named}"
            ))
            .expected("a recipe and a method that agree")
            .mend("leave --method out, or --recipe"));
        }
        recipe.put("method.name", method.as_str())?;
    }
    if let Some(encoder) = &settings.encoder {
        recipe.put("encoder.name", encoder.as_str())?;
    }
    if settings.epochs.is_some() || settings.steps.is_some() || settings.budget.is_some() {
        for key in ["epochs", "steps", "budget", "corrections"] {
            recipe.remove("train", key);
        }
    }
    if let Some(epochs) = settings.epochs {
        recipe.put("train.epochs", epochs)?;
    }
    if let Some(steps) = settings.steps {
        recipe.put("train.steps", i64::try_from(steps).unwrap_or(i64::MAX))?;
    }
    if let Some(budget) = settings.budget {
        recipe.put("train.budget", budget.to_string())?;
    }
    if let Some(batch) = settings.batch_size {
        recipe.put("train.batch_size", batch)?;
    }
    if let Some(device) = &settings.device {
        recipe.put("train.device", device.as_str())?;
    }
    if let Some(precision) = settings.precision {
        recipe.put("train.precision", precision.to_string())?;
    }
    if let Some(seed) = settings.seed {
        recipe.put("train.seed", i64::from(seed))?;
    }
    put_path(&mut recipe, "data.labels", settings.labels.as_deref())?;
    if data.is_some() {
        // What a recipe measured on its own data doesn't hold for other data.
        recipe.remove("data", "measured");
    }
    put_data(&mut recipe, data)?;
    for assignment in &settings.set {
        recipe.set(assignment)?;
    }
    Ok(recipe)
}

/// The data that is named, by its path or by the name of published data.
fn put_data(recipe: &mut Recipe, data: Option<&Path>) -> Result<()> {
    let path = data.map(located).transpose()?;
    put_path(recipe, "data.path", path.as_deref())
}

/// Where data lies: at its path or, where nothing is there and published data is called so, in the cache, fetched if
/// it has to be.
fn located(data: &Path) -> Result<PathBuf> {
    let known = data.to_str().and_then(datasets::find);
    let Some(set) = known.filter(|_| !data.exists()) else {
        return Ok(data.to_path_buf());
    };
    let store = Store::of_user()?;
    let folder = store.folder(set);
    if store.has(set) {
        return Ok(folder);
    }
    eprintln!(
        "{} is not here yet: fetching about {} MB into {} (license: {})",
        set.name,
        set.megabytes(),
        folder.display(),
        set.license
    );
    let bar = Bar::new();
    let fetched = store.fetch(set, &mut |file, bytes, of| {
        bar.show(
            &format!("MB of {file}"),
            (bytes / 1_000_000) as usize,
            (bytes.max(of) / 1_000_000) as usize,
        );
    });
    bar.finish();
    fetched
}

/// Paths are kept absolute, so that a run can be taken up from any folder.
fn put_path(recipe: &mut Recipe, key: &str, path: Option<&Path>) -> Result<()> {
    let Some(path) = path else {
        return Ok(());
    };
    let absolute = absolute(path);
    let text = absolute.to_str().ok_or_else(|| {
        Error::data("a path that is no UTF-8")
            .at(path)
            .expected("a path that a recipe can hold")
            .mend("rename it")
    })?;
    recipe.put(key, text)
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf())
}

/// The recipe of a run with other settings for reading data, such as `column=sentence`.
fn reading_as(mut recipe: Recipe, reading: &[String]) -> Result<Recipe> {
    for assignment in reading {
        recipe.set(&format!("data.reading.{assignment}"))?;
    }
    Ok(recipe)
}

/// What to open: the data that is named, or else the data that a run learned from.
fn source_of(
    recipe: &Recipe,
    data: Option<&Path>,
    labels: Option<&Path>,
    part: Option<Part>,
) -> Result<SourceSpec> {
    let mut spec = recipe.data()?.source(recipe.seed(), part);
    if let Some(data) = data {
        spec.path = Some(located(data)?);
        spec.labels = None;
    }
    if let Some(labels) = labels {
        spec.labels = Some(labels.to_path_buf());
    }
    Ok(spec)
}

/// Writes what was found as JSON.
fn write_json(path: &Path, found: &impl serde::Serialize) -> Result<()> {
    let text = serde_json::to_string_pretty(found).map_err(|error| {
        Error::run("findings that JSON can't hold")
            .at(path)
            .because(error)
    })?;
    write_atomic(path, format!("{text}\n").as_bytes())
}

/// Says how many items were longer than the network takes in.
fn report_shortened(shortened: usize) {
    match shortened {
        0 => {}
        1 => println!("1 item is longer than the network takes in: its vector is of its beginning"),
        n => println!(
            "{n} items are longer than the network takes in: their vectors are of their beginnings"
        ),
    }
}

/// Names the first few items that couldn't be read.
fn report_unreadable(unreadable: &[(String, String)]) {
    if unreadable.is_empty() {
        return;
    }
    match unreadable.len() {
        1 => println!("1 item could not be read and was left out:"),
        n => println!("{n} items could not be read and were left out:"),
    }
    for (_, why) in unreadable.iter().take(5) {
        println!("  {why}");
    }
    if unreadable.len() > 5 {
        println!("  …and {} more", unreadable.len() - 5);
    }
}
