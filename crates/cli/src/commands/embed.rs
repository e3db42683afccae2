//! `autodidact embed`.

use std::process::ExitCode;

use autodidact::error::Result;
use autodidact::export::{Format, write_embeddings};
use autodidact::judge::{Whom, frozen};
use autodidact::modality::Part;
use autodidact::run::RunFolder;

use super::{reading_as, report_unreadable, source_of};
use crate::arguments::Embed;
use crate::progress::Bar;

pub(crate) fn run(arguments: &Embed) -> Result<ExitCode> {
    // Before the work, not after it.
    Format::of(&arguments.out)?;
    let folder = RunFolder::open(&arguments.run)?;
    let recipe = reading_as(folder.recipe()?, &arguments.reading)?;
    let encoder = frozen(&recipe, &folder.encoder()?, folder.path())?;
    let part = arguments.test_part.then_some(Part::Test);
    let spec = source_of(
        &recipe,
        arguments.data.as_deref(),
        arguments.labels.as_deref(),
        part,
    )?;
    let bar = Bar::new();
    let embedded = encoder.embed(&spec, &[Whom::Pretrained], false, &mut |done, all| {
        bar.show("embedding", done, all)
    });
    bar.finish();
    let embedded = embedded?;
    let files = write_embeddings(&arguments.out, &embedded)?;
    let dimensions = embedded
        .features
        .first()
        .map_or(0, |matrix| matrix.columns());
    println!(
        "{} vectors of {dimensions} dimensions",
        embedded.names.len()
    );
    report_unreadable(&embedded.unreadable);
    for file in files {
        println!("written to {}", file.display());
    }
    Ok(ExitCode::SUCCESS)
}
