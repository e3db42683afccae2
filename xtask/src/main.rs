//! The chores of this workspace: `cargo xtask check` runs every check that a change has to pass.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a program for the terminal"
)]

mod check;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask check [--no-tests]

  check        format, clippy, docs, tests; stops at the first that fails
  --no-tests   leaves the tests out";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["check"] => check::run(true),
        ["check", "--no-tests"] => check::run(false),
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
