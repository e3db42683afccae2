//! The binary as a user meets it: verbs, files, messages, exit codes, and what survives a kill.

mod adapt;
mod bad_data;
mod datasets;
mod kill;
mod published;
mod recordings;
mod text;
mod verbs;
mod weights;

use std::path::Path;
use std::process::{Command, Output};

/// The binary, in a folder of its own.
fn autodidact(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_autodidact"));
    command.current_dir(folder);
    command
}

/// Settings that make a run of a second out of the embedded images.
const TINY: &[&str] = &[
    "--method",
    "simclr",
    "--encoder",
    "small_conv",
    "--batch-size",
    "16",
    "--set",
    "data.synthetic_items=200",
    "--set",
    "encoder.width=4",
    "--set",
    "views.crops=[{count=2,size=16}]",
];

fn run(command: &mut Command) -> Output {
    command.output().expect("the binary starts")
}

fn succeeds(command: &mut Command) -> String {
    let output = run(command);
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{command:?} failed:\n{out}\n{err}");
    out
}

/// Runs what should fail; returns its message and its exit code.
fn fails(command: &mut Command) -> (String, i32) {
    let output = run(command);
    assert!(
        !output.status.success(),
        "{command:?} should have failed:\n{}",
        text(&output.stdout)
    );
    (
        text(&output.stderr),
        output.status.code().expect("it ended by itself"),
    )
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
