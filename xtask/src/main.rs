//! The chores of this workspace: `cargo xtask check` runs every check that a change has to pass.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the terminal"
)]

mod bench;
mod check;
mod format;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask check [--no-tests]
       cargo xtask format [--check]
       cargo xtask bench [WORKLOAD ...] [OPTIONS]
       cargo xtask bench kernels [KERNEL ...] [OPTIONS]

  check        format, clippy, docs, tests; stops at the first that fails
  --no-tests   leaves the tests out
  format       formats all files, also those that `cargo fmt` doesn't find
  --check      only says which are not formatted
  bench        times whole training steps (B to G, or by name) or single kernels
    --against-torch PYTHON   takes turns with PyTorch, in the Python that has it
    --json FILE              writes every measure down
    --rounds N               turns of each side, 3 unless told
    --steps N                training steps in a turn, 20 unless told
    --threads N              all of the processor's unless told
    --bf16                   both sides with half-width products";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["check"] => check::run(true),
        ["check", "--no-tests"] => check::run(false),
        ["format"] => format::run(false),
        ["format", "--check"] => format::run(true),
        ["bench", rest @ ..] => match bench::parse(rest) {
            Ok(options) => bench::run(&options),
            Err(trouble) => {
                eprintln!("error: {trouble}\n{USAGE}");
                ExitCode::from(2)
            }
        },
        [] | ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            ExitCode::SUCCESS
        }
        other => {
            eprintln!("error: no chore named `{}`\n{USAGE}", other.join(" "));
            ExitCode::from(2)
        }
    }
}
