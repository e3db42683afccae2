//! `autodidact generate`.

use std::io::{ErrorKind, Write};
use std::process::ExitCode;
use std::sync::atomic::Ordering;

use autodidact::error::{Error, Result};
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
    let mut out = std::io::stdout().lock();
    let mut wrong = None;
    let mut say = |text: &str| {
        let said = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        wrong = said.err();
        wrong.is_none()
    };
    say(&arguments.beginning);
    let recipe = folder.recipe()?;
    generate(
        &recipe,
        &folder.encoder()?,
        &arguments.beginning,
        &how,
        &mut |more: &str| say(more) && !STOP.load(Ordering::Relaxed),
    )?;
    say("\n");
    match wrong {
        Some(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Error::io("standard output", error))
        }
        _ if STOP.load(Ordering::Relaxed) => Ok(ExitCode::from(130)),
        // Whoever read may have gone away.
        _ => Ok(ExitCode::SUCCESS),
    }
}
