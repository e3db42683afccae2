//! The `autodidact` program: arguments in, tables and exit codes out. The only place that prints.
#![allow(clippy::print_stdout, clippy::print_stderr)]

mod arguments;
mod commands;
mod progress;
mod table;

use std::process::ExitCode;

use autodidact::error::{Error, Kind};
use autodidact_kernels::Recycling;
use clap::Parser;
use mimalloc::MiMalloc;

/// Burn's CPU backend allocates a buffer for every tensor. mimalloc is worth 15 to 50 % of a step over the system's
/// allocator, and giving a step the large buffers of the last one spares the pages from being cleared again.
#[global_allocator]
static ALLOCATOR: Recycling<MiMalloc> = Recycling::new(MiMalloc, 8 << 30);

fn main() -> ExitCode {
    end_with_the_reader();
    let arguments = arguments::Arguments::parse();
    match commands::run(arguments.command) {
        Ok(code) => code,
        Err(error) => {
            report(&error);
            ExitCode::from(exit_code(error.kind()))
        }
    }
}

/// Ends the program in silence where nobody reads what it prints any more (`autodidact recipes | head`), as others do.
fn end_with_the_reader() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |what| {
        let printing =
            |text: &str| text.starts_with("failed printing to std") && text.contains("Broken pipe");
        if what.payload_as_str().is_some_and(printing) {
            std::process::exit(0);
        }
        usual(what);
    }));
}

/// What happened, then what to do about it.
fn report(error: &Error) {
    eprintln!("error: {error}");
    if let Some(remedy) = error.remedy() {
        eprintln!("  try: {remedy}");
    }
}

/// One exit code for each sort of trouble, so that scripts can tell them apart.
fn exit_code(kind: Kind) -> u8 {
    match kind {
        Kind::Recipe => 2,
        Kind::Data => 3,
        Kind::Run => 4,
        Kind::Training => 5,
        Kind::Io => 6,
        Kind::Interrupted => 130,
    }
}
