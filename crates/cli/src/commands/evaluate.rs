//! `autodidact evaluate`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use autodidact::error::{Error, Kind, Result};
use autodidact::judge::{
    Frozen, Judged, Parts, anomalies, evaluate, forecasts, frozen, likelihood, similarity,
};
use autodidact::modality::{Part, SourceSpec};
use autodidact::recipe::{Recipe, Usual};
use autodidact::run::RunFolder;
use autodidact::train::Likelihood;

use super::{reading_as, source_of, write_json};
use crate::arguments::Evaluate;
use crate::progress::Bar;
use crate::table::findings;

pub(crate) fn run(arguments: &Evaluate) -> Result<ExitCode> {
    if !arguments.forecast.is_empty() && arguments.labels.is_some() {
        return Err(Error::recipe("--labels with --forecast")
            .expected("no labels: forecasts are judged by how the data itself goes on")
            .mend("leave --labels out, or take --anomalies, which are judged by labels"));
    }
    let folder = RunFolder::open(&arguments.run)?;
    let mut recipe = reading_as(folder.recipe()?, &arguments.reading)?;
    for assignment in &arguments.set {
        recipe.set(&format!("evaluate.{assignment}"))?;
    }
    if arguments.anomalies {
        return watch(&folder, &recipe, arguments);
    }
    if !arguments.forecast.is_empty() {
        return ahead(&folder, &recipe, arguments);
    }
    let data = arguments.data.as_deref();
    let asked = arguments.test.as_deref().or(data);
    let spec = source_of(&recipe, data, arguments.labels.as_deref(), None)?;
    let encoder = frozen(&recipe, &folder.encoder()?, folder.path())?;
    let splits = encoder.splits(&spec)?;
    if splits.scored {
        suits_pairs(arguments)?;
    }
    let predicted = foretold(&folder, &recipe, asked)?;
    if splits.scored {
        return by_pairs(&folder, &recipe, encoder.as_ref(), arguments);
    }
    if predicted.is_some() && !splits.labeled {
        println!("no labels in the data, so there is nothing else to judge by");
        return finish(arguments, &predicted);
    }
    let judged = judge(
        &folder,
        &recipe,
        data,
        arguments.test.as_deref(),
        arguments.labels.as_deref(),
        arguments.ceiling.as_deref(),
        arguments.quick,
    )?;
    show(&judged);
    finish(arguments, &judged)
}

/// Judges forecasts from a run's encoder, and keeps them beside the run for its report.
fn ahead(folder: &RunFolder, recipe: &Recipe, arguments: &Evaluate) -> Result<ExitCode> {
    let spec = source_of(recipe, arguments.data.as_deref(), None, None)?;
    let encoder = frozen(recipe, &folder.encoder()?, folder.path())?;
    let spec = judged_on(encoder.as_ref(), spec)?;
    let own = encoder.is_own(&spec);
    let (settings, seed) = (recipe.evaluate()?, recipe.seed());
    let mut found = watched(|advance| {
        forecasts(
            encoder.as_ref(),
            &spec,
            &arguments.forecast,
            &settings,
            seed,
            advance,
        )
    })?;
    found.run = folder.path().display().to_string();
    found.data = spec.path.unwrap_or_default().display().to_string();
    println!("\n{}", findings(&found.results, encoder.saw_labels()));
    println!(
        "errors of forecasts on the scale of the training data, with 95 % intervals; {} recordings of {} channels{}",
        found.recordings,
        found.channels,
        found.season.map_or_else(String::new, |season| format!(
            ", a season of {season} steps"
        ))
    );
    for what in &found.left_out {
        println!("{what}");
    }
    if found.seen {
        println!(
            "pretraining has seen the steps that are judged on, though nothing of the regression: data.reading.test keeps \
             the end of recordings from it"
        );
    }
    println!("\n{}\n", found.verdict);
    keep(folder, "forecast.json", own, &found)?;
    finish(arguments, &found)
}

/// Judges how well a run's encoder finds what is not normal, and keeps it beside the run for its report.
fn watch(folder: &RunFolder, recipe: &Recipe, arguments: &Evaluate) -> Result<ExitCode> {
    let labels = arguments.labels.as_deref();
    let spec = source_of(recipe, arguments.data.as_deref(), labels, None)?;
    let encoder = frozen(recipe, &folder.encoder()?, folder.path())?;
    let spec = judged_on(encoder.as_ref(), spec)?;
    let own = encoder.is_own(&spec);
    let (settings, seed) = (recipe.evaluate()?, recipe.seed());
    let mut found =
        watched(|advance| anomalies(encoder.as_ref(), &spec, &settings, seed, advance))?;
    found.run = folder.path().display().to_string();
    found.data = spec.path.unwrap_or_default().display().to_string();
    println!("\n{}", findings(&found.results, encoder.saw_labels()));
    println!(
        "alarms: at a threshold for {:.2} % of false alarms, set without labels by {}; {} recordings, {} of {} steps not \
         normal, in {} stretches; a network sees {} steps",
        100.0 * found.false_alarms,
        match settings.usual {
            Usual::Beginning => "the beginning of each recording",
            Usual::Recent => "what came last before each step",
        },
        found.recordings,
        found.abnormal,
        found.steps,
        found.stretches,
        found.window
    );
    println!(
        "best threshold: chosen with the labels in sight, so an upper bound; adjusted_f1 counts a stretch as found where one \
         of its steps is, and flatters"
    );
    for what in &found.left_out {
        println!("{what}");
    }
    println!("\n{}\n", found.verdict);
    keep(folder, "anomalies.json", own, &found)?;
    finish(arguments, &found)
}

/// Keeps what was found on a run's own data for its report; that is not about other data.
fn keep(folder: &RunFolder, name: &str, own: bool, found: &impl serde::Serialize) -> Result<()> {
    match own {
        true => write_json(&folder.file(name), found),
        false => {
            println!("other data than the run's: its folder and its report stay as they are");
            Ok(())
        }
    }
}

/// The part of some data to judge on: its test part where it has one. Where the end of recordings is set apart these are
/// whole all the same, so that what comes before is known.
fn judged_on(encoder: &dyn Frozen, mut spec: SourceSpec) -> Result<SourceSpec> {
    if encoder.splits(&spec)?.test {
        spec.part = Some(Part::Test);
    }
    Ok(spec)
}

/// Refuses what would go unheard where pairs with scores are judged by.
fn suits_pairs(arguments: &Evaluate) -> Result<()> {
    let unheard = [
        ("--labels", arguments.labels.is_some()),
        ("--ceiling", arguments.ceiling.is_some()),
        ("--quick", arguments.quick),
    ];
    match unheard.into_iter().find(|(_, given)| *given) {
        None => Ok(()),
        Some((flag, _)) => Err(Error::recipe(format!("{flag} with pairs that have scores"))
            .expected("the data alone: such pairs are judged by their scores, and by nothing else")
            .mend(format!("leave {flag} out"))),
    }
}

/// Judges a run by pairs with scores: on the data to judge on, its test part where it has one.
fn by_pairs(
    folder: &RunFolder,
    recipe: &Recipe,
    encoder: &dyn Frozen,
    arguments: &Evaluate,
) -> Result<ExitCode> {
    let data = arguments.test.as_deref().or(arguments.data.as_deref());
    let spec = judged_on(encoder, source_of(recipe, data, None, None)?)?;
    let (settings, seed) = (recipe.evaluate()?, recipe.seed());
    let mut found = watched(|advance| similarity(encoder, &spec, &settings, seed, advance))?;
    found.run = folder.path().display().to_string();
    found.data = spec.path.unwrap_or_default().display().to_string();
    println!("\n{}", findings(&found.results, encoder.saw_labels()));
    println!(
        "correlations of cosines with the scores, with 95 % intervals; {} pairs",
        found.pairs
    );
    println!("\n{}\n", found.verdict);
    finish(arguments, &found)
}

/// How well a run's predictions hold: on the data that is named, its test part where it has one, or else on what the run
/// held out. Says so, and keeps it in `likelihood.json` where the data is the run's own.
fn foretold(
    folder: &RunFolder,
    recipe: &Recipe,
    data: Option<&Path>,
) -> Result<Option<Likelihood>> {
    let weights = folder.encoder()?;
    let spec = match data {
        None => None,
        Some(data) => {
            let spec = source_of(recipe, Some(data), None, None)?;
            let encoder = frozen(recipe, &weights, folder.path())?;
            Some(judged_on(encoder.as_ref(), spec)?)
        }
    };
    let found = likelihood(recipe, &weights, folder.path(), spec.as_ref())?;
    if let Some(found) = &found {
        let bits = found
            .bits_per_byte
            .map_or_else(String::new, |bits| format!(", {bits:.3} bits a byte"));
        println!(
            "loss {:.4} nats, perplexity {:.2} a symbol{bits}: over {} predictions on what was not learned from",
            found.loss, found.perplexity, found.predictions
        );
        if data.is_none() {
            write_json(&folder.file("likelihood.json"), found)?;
        }
    }
    Ok(found)
}

/// Judges a run that has just ended on its own data, if that has labels.
pub(crate) fn after_pretraining(folder: &RunFolder, ceiling: Option<PathBuf>) -> Result<()> {
    let recipe = folder.recipe()?;
    let spec = source_of(&recipe, None, None, None)?;
    let encoder = frozen(&recipe, &folder.encoder()?, folder.path())?;
    let predicted = foretold(folder, &recipe, None)?;
    if !encoder.splits(&spec)?.labeled {
        if predicted.is_none() {
            println!("no labels in the data, so there is nothing to judge by yet");
        }
        return Ok(());
    }
    let judged = match judge(folder, &recipe, None, None, None, ceiling.as_deref(), true) {
        // Nothing is wrong with what was learned.
        Err(error) if error.kind() == Kind::Data => {
            println!("the encoder can't be judged by the labels in the data: {error}");
            return Ok(());
        }
        judged => judged?,
    };
    show(&judged);
    write_json(&folder.file("evaluation.json"), &judged)?;
    folder.write_card(&judged)
}

fn judge(
    folder: &RunFolder,
    recipe: &Recipe,
    data: Option<&Path>,
    test: Option<&Path>,
    labels: Option<&Path>,
    ceiling: Option<&Path>,
    quick: bool,
) -> Result<Judged> {
    let mut settings = recipe.evaluate()?;
    if quick {
        settings = settings.quick();
    }
    let encoder = frozen(recipe, &folder.encoder()?, folder.path())?;
    let spec = source_of(recipe, data, labels, None)?;
    let test = test
        .map(|path| source_of(recipe, Some(path), labels, None))
        .transpose()?;
    let parts = Parts::find(encoder.as_ref(), &spec, test.as_ref())?;
    let ceiling = ceiling
        .map(|path| RunFolder::open(path)?.encoder())
        .transpose()?;
    let mut judged = watched(|advance| {
        let (encoder, seed) = (encoder.as_ref(), recipe.seed());
        evaluate(encoder, &parts, &settings, seed, ceiling, advance)
    })?;
    judged.run = folder.path().display().to_string();
    judged.data = match &spec.path {
        Some(path) => path.display().to_string(),
        None => "the embedded synthetic images".to_owned(),
    };
    Ok(judged)
}

fn show(judged: &Judged) {
    println!();
    println!("{}", findings(&judged.results, judged.saw_labels));
    let few = judged
        .results
        .iter()
        .any(|found| found.task.starts_with("few_shot"));
    println!(
        "accuracy with 95 % intervals; {} items judged, {} learned from, {} classes",
        judged.items, judged.learned_from, judged.classes
    );
    if few {
        println!(
            "few_shot_N: a probe on N labels of each class, the mean of several draws and where one draw is to be expected"
        );
    }
    if judged.results.iter().any(|found| found.task == "dtw1") {
        println!("dtw1: the class of the nearest item by dynamic time warping of the values");
    }
    for what in &judged.left_out {
        println!("{what}");
    }
    if judged.saw_labels {
        println!(
            "this run learned from labels: what it is judged on tells something only if those labels weren't among them"
        );
    } else if judged.set_aside {
        let seen = match judged.seen {
            true => ", and pretraining has seen them unlabeled",
            false => "",
        };
        println!("the data has no test part: the judged items were set aside from it{seen}");
    }
    println!("\n{}\n", judged.verdict);
}

/// What hears how far something is.
type Advance<'a> = dyn FnMut(&str, usize, usize) + 'a;

/// Shows how far some work is while it is done.
fn watched<T>(work: impl FnOnce(&mut Advance<'_>) -> Result<T>) -> Result<T> {
    let bar = Bar::new();
    let found = work(&mut |what, done, all| bar.show(what, done, all));
    bar.finish();
    found
}

/// Writes what was found where it is wanted.
fn finish(arguments: &Evaluate, found: &impl serde::Serialize) -> Result<ExitCode> {
    if let Some(path) = &arguments.json {
        write_json(path, found)?;
        println!("written to {}", path.display());
    }
    Ok(ExitCode::SUCCESS)
}
