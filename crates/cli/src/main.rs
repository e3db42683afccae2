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
    let arguments = arguments::Arguments::parse();
    match commands::run(arguments.command) {
        Ok(code) => code,
        Err(error) => {
            report(&error);
            ExitCode::from(exit_code(error.kind()))
        }
    }
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
