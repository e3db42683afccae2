//! The chores of this workspace: `cargo xtask check` runs every check that a change has to pass.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the terminal"
)]

mod check;
mod format;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask check [--no-tests]
       cargo xtask format [--check]

  check        format, clippy, docs, tests; stops at the first that fails
  --no-tests   leaves the tests out
  format       formats all files, also those that `cargo fmt` doesn't find
  --check      only says which are not formatted";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["check"] => check::run(true),
        ["check", "--no-tests"] => check::run(false),
        ["format"] => format::run(false),
        ["format", "--check"] => format::run(true),
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
