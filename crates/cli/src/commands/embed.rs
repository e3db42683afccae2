//! `autodidact embed`.

use std::process::ExitCode;
use std::time::Instant;

use autodidact::error::Result;
use autodidact::export::{Format, write_embeddings};
use autodidact::judge::{Which, Whom, frozen};
use autodidact::modality::Part;
use autodidact::run::RunFolder;

use super::{reading_as, report_shortened, report_unreadable, source_of};
use crate::arguments::Embed;
use crate::progress::Bar;

pub(crate) fn run(arguments: &Embed) -> Result<ExitCode> {
    // Before the work, not after it.
    Format::of(&arguments.out)?;
    let folder = RunFolder::open(&arguments.run)?;
    let recipe = reading_as(folder.recipe()?, &arguments.reading)?;
    let (weights, notes) = folder.encoder_and_notes()?;
    for note in notes {
        println!("{note}");
    }
    let encoder = frozen(&recipe, &weights, folder.path())?;
    let part = arguments.test_part.then_some(Part::Test);
    let spec = source_of(
        &recipe,
        arguments.data.as_deref(),
        arguments.labels.as_deref(),
        part,
    )?;
    let began = Instant::now();
    let bar = Bar::new();
    let embedded = encoder.embed(&spec, &[Whom::Pretrained], Which::All, &mut |done, all| {
        bar.show("embedding", done, all)
    });
    bar.finish();
    let embedded = embedded?;
    let seconds = began.elapsed().as_secs_f64();
    let files = write_embeddings(&arguments.out, &embedded)?;
    let dimensions = embedded
        .features
        .first()
        .map_or(0, |matrix| matrix.columns());
    let count = embedded.names.len();
    println!(
        "{count} vectors of {dimensions} dimensions in {seconds:.2} s, {:.0} a second",
        count as f64 / seconds
    );
    report_shortened(embedded.shortened);
    report_unreadable(&embedded.unreadable);
    for file in files {
        println!("written to {}", file.display());
    }
    Ok(ExitCode::SUCCESS)
}
