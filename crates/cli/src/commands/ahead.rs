//! `autodidact predict --forecast`.

use std::process::ExitCode;

use autodidact::error::Result;
use autodidact::export::{PredictionFormat, write_foretold};
use autodidact::judge::{Ahead, Foretold, foretell, frozen};
use autodidact::modality::Part;
use autodidact::run::RunFolder;

use super::{reading_as, source_of, write_json};
use crate::arguments::Predict;
use crate::progress::Bar;

/// Recordings that get a line each, at most.
const MOST_SHOWN: usize = 20;

pub(super) fn run(arguments: &Predict, horizon: usize) -> Result<ExitCode> {
    // Before the work, not after it.
    PredictionFormat::of(&arguments.out)?;
    let folder = RunFolder::open(&arguments.run)?;
    let recipe = reading_as(folder.recipe()?, &arguments.reading)?;
    let part = arguments.test_part.then_some(Part::Test);
    let spec = source_of(&recipe, arguments.data.as_deref(), None, part)?;
    let encoder = frozen(&recipe, &folder.encoder()?, folder.path())?;
    let context = recipe.evaluate()?.context;
    let bar = Bar::new();
    let (encoder, coverage) = (encoder.as_ref(), arguments.coverage);
    let found = foretell(
        encoder,
        &spec,
        horizon,
        coverage,
        context,
        &mut |what, done, all| {
            bar.show(what, done, all);
        },
    );
    bar.finish();
    let found = found?;
    write_foretold(&arguments.out, &found)?;
    // The run's page is about its own data; and a run that others share may be read-only.
    if arguments.data.is_none() {
        write_json(&folder.file("foretold.json"), &found.upcoming())?;
    }
    show(&found);
    println!("written to {}", arguments.out.display());
    Ok(ExitCode::SUCCESS)
}

fn show(found: &Foretold) {
    if found.recordings.len() <= MOST_SHOWN {
        for one in &found.recordings {
            println!("{}", line(one, found.horizon));
        }
    } else {
        for (by, count) in found.by() {
            println!("{count:>8} recordings foretold by {by}");
        }
    }
    println!(
        "each recording is foretold by whoever did so best on its fourth fifth; how far off that was on its last fifth \
         gives the bounds, {:.0} % of what comes is to lie within if it goes on alike",
        100.0 * found.coverage
    );
    if !found.recordings.iter().any(|one| one.by_network) {
        println!(
            "forecasts that need no network did better than those from this one, so theirs are taken"
        );
    }
    for what in &found.left_out {
        println!("{what}");
    }
}

fn line(one: &Ahead, horizon: usize) -> String {
    let from = match one.times.first() {
        Some(time) => format!("from {time} on"),
        None => format!("from step {} on", one.first),
    };
    format!(
        "{}: {horizon} steps {from}, foretold by {} (squared error before {:.4}; the last value {:.4})",
        one.name, one.by, one.error, one.error_of_last_value
    )
}
