//! `autodidact predict`.

use std::process::ExitCode;

use autodidact::adapt::predict;
use autodidact::error::Result;
use autodidact::export::{PredictionFormat, write_predictions};
use autodidact::modality::Part;
use autodidact::run::RunFolder;

use super::{reading_as, report_unreadable, source_of};
use crate::arguments::Predict;
use crate::progress::Bar;

pub(crate) fn run(arguments: &Predict) -> Result<ExitCode> {
    // Before the work, not after it.
    PredictionFormat::of(&arguments.out)?;
    let folder = RunFolder::open(&arguments.run)?;
    let part = arguments.test_part.then_some(Part::Test);
    let recipe = reading_as(folder.recipe()?, &arguments.reading)?;
    let spec = source_of(
        &recipe,
        Some(&arguments.data),
        arguments.labels.as_deref(),
        part,
    )?;
    let bar = Bar::new();
    let predictions = predict(&folder, &spec, &mut |done, all| {
        bar.show("predicting", done, all);
    });
    bar.finish();
    let predictions = predictions?;
    write_predictions(&arguments.out, &predictions)?;
    println!(
        "{} items, {} classes",
        predictions.names.len(),
        predictions.classes.len()
    );
    for (class, name) in (0..).zip(&predictions.classes) {
        let count = predictions
            .predicted
            .iter()
            .filter(|&&found| found == class)
            .count();
        if count > 0 && predictions.classes.len() <= MOST_SHOWN {
            println!("  {count:>8}  {name}");
        }
    }
    if let Some((accuracy, labeled)) = predictions.accuracy {
        println!(
            "right in {:.2} % of the {labeled} items whose label is known",
            100.0 * accuracy
        );
    }
    report_unreadable(&predictions.unreadable);
    println!("written to {}", arguments.out.display());
    Ok(ExitCode::SUCCESS)
}

/// Classes whose counts are shown, at most.
const MOST_SHOWN: usize = 30;
