//! `autodidact report`.

use std::process::ExitCode;

use autodidact::error::Result;
use autodidact::judge::report;
use autodidact::run::{RunFolder, write_atomic};

use super::source_of;
use crate::arguments::Report;
use crate::progress::Bar;

pub(crate) fn run(arguments: &Report) -> Result<ExitCode> {
    let folder = RunFolder::open(&arguments.run)?;
    let recipe = folder.recipe()?;
    let data = arguments.data.as_deref();
    let spec = source_of(&recipe, data, arguments.labels.as_deref(), None)?;
    let bar = Bar::new();
    let page = report(&folder, &spec, arguments.items, &mut |what, done, all| {
        bar.show(what, done, all);
    });
    bar.finish();
    let page = page?;
    for warning in &page.warnings {
        println!("warning: {warning}");
    }
    let path = match &arguments.out {
        Some(path) => path.clone(),
        None => folder.file("report.html"),
    };
    write_atomic(&path, page.html.as_bytes())?;
    let size = page.html.len() as f64 / 1e6;
    println!(
        "written to {} ({size:.1} MB): open it in any browser, no network needed",
        path.display()
    );
    Ok(ExitCode::SUCCESS)
}
