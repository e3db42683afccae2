//! `autodidact search`.

use std::process::ExitCode;

use autodidact::error::{Error, Result};
use autodidact::judge::{Which, Whom, frozen, nearest};
use autodidact::modality::SourceSpec;
use autodidact::run::{RunFolder, write_atomic};

use super::{reading_as, source_of};
use crate::arguments::Search;
use crate::progress::Bar;

pub(crate) fn run(arguments: &Search) -> Result<ExitCode> {
    let folder = RunFolder::open(&arguments.run)?;
    let recipe = reading_as(folder.recipe()?, &arguments.reading)?;
    let encoder = frozen(&recipe, &folder.encoder()?, folder.path())?;
    let bar = Bar::new();
    let embed = |spec: &SourceSpec| {
        encoder.embed(spec, &[Whom::Pretrained], Which::All, &mut |done, all| {
            bar.show("embedding", done, all)
        })
    };
    let bank = embed(&source_of(&recipe, Some(&arguments.data), None, None)?);
    let queries = embed(&source_of(&recipe, Some(&arguments.query), None, None)?);
    bar.finish();
    let found = nearest(&bank?, &queries?, arguments.k)?;
    for query in &found {
        println!("{}", query.query);
        for hit in &query.hits {
            let label = hit
                .label
                .as_ref()
                .map_or_else(String::new, |label| format!("  ({label})"));
            println!("  {:.3}  {}{label}", hit.similarity, hit.name);
        }
    }
    if let Some(path) = &arguments.json {
        let text = serde_json::to_string_pretty(&found).map_err(|error| {
            Error::run("findings that JSON can't hold")
                .at(path)
                .because(error)
        })?;
        write_atomic(path, format!("{text}\n").as_bytes())?;
        println!("written to {}", path.display());
    }
    Ok(ExitCode::SUCCESS)
}
