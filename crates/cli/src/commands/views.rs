//! `autodidact views`.

use std::process::ExitCode;

use autodidact::error::Result;
use autodidact::judge::views_sheet;
use autodidact::run::write_atomic;

use super::recipe_of;
use crate::arguments::Views;

pub(crate) fn run(arguments: &Views) -> Result<ExitCode> {
    let recipe = recipe_of(&arguments.settings, arguments.data.as_deref())?;
    let sheet = views_sheet(&recipe, arguments.items)?;
    write_atomic(&arguments.out, &sheet)?;
    println!(
        "written to {}: each row an item, then its views",
        arguments.out.display()
    );
    Ok(ExitCode::SUCCESS)
}
