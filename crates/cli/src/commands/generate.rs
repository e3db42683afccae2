//! `autodidact generate`.

use std::io::Write;
use std::process::ExitCode;
use std::sync::atomic::Ordering;

use autodidact::error::Result;
use autodidact::judge::generate;
use autodidact::modality::Sampling;
use autodidact::run::RunFolder;

use super::{Listening, STOP, hear_ctrl_c};
use crate::arguments::Generate;

pub(crate) fn run(arguments: &Generate) -> Result<ExitCode> {
    hear_ctrl_c()?;
    let folder = RunFolder::open(&arguments.run)?;
    let how = Sampling {
        symbols: arguments.symbols,
        temperature: arguments.temperature,
        top_k: arguments.top_k,
        top_p: arguments.top_p,
        seed: u64::from(arguments.seed),
    };
    let _listening = Listening::begin();
    print!("{}", arguments.beginning);
    let mut hear = |more: &str| {
        print!("{more}");
        // Whoever reads may have gone, and then there is nobody left to tell.
        std::io::stdout().flush().is_ok() && !STOP.load(Ordering::Relaxed)
    };
    let recipe = folder.recipe()?;
    generate(
        &recipe,
        &folder.encoder()?,
        &arguments.beginning,
        &how,
        &mut hear,
    )?;
    println!();
    Ok(ExitCode::SUCCESS)
}
