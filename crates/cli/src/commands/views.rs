//! `autodidact views`.

use std::process::ExitCode;

use autodidact::error::Result;
use autodidact::judge::views_sheet;
use autodidact::modality::Sheet;
use autodidact::run::write_atomic;

use super::pretrain::recipe_or_embedded;
use crate::arguments::Views;

pub(crate) fn run(arguments: &Views) -> Result<ExitCode> {
    let (recipe, _) = recipe_or_embedded(&arguments.settings, arguments.data.as_deref())?;
    match views_sheet(&recipe, arguments.items)? {
        Sheet::Png(picture) => {
            write_atomic(&arguments.out, &picture)?;
            println!(
                "written to {}: each row an item, then its views",
                arguments.out.display()
            );
        }
        Sheet::Lines(lines) => print!("{lines}"),
    }
    Ok(ExitCode::SUCCESS)
}
