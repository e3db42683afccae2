//! Formatting, also of the files that rustfmt doesn't find by itself.
//!
//! Methods and kinds of data are declared by a macro, so that each is one line of registration; rustfmt follows module
//! declarations only outside macros.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Formats everything, or with `check` only says what isn't.
pub(crate) fn run(check: bool) -> ExitCode {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut everything = Command::new(&cargo);
    everything.args(["fmt", "--all"]);
    // A workspace of its own.
    let mut fuzz = Command::new(cargo);
    fuzz.args(["fmt", "--manifest-path"])
        .arg(root().join("fuzz/Cargo.toml"));
    let mut declared = Command::new("rustfmt");
    declared.args(["--edition", "2024"]).args(by_macro());
    for command in [&mut everything, &mut fuzz, &mut declared] {
        if check {
            command.arg("--check");
        }
        match command.status() {
            Ok(status) if status.success() => {}
            Ok(_) => return ExitCode::FAILURE,
            Err(error) => {
                eprintln!("error: {command:?} could not be started ({error})");
                return ExitCode::FAILURE;
            }
        }
    }
    ExitCode::SUCCESS
}

/// The folder of the repository.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The files that `methods!` and `modalities!` declare.
fn by_macro() -> Vec<PathBuf> {
    let library = root().join("crates/autodidact/src");
    let entries = |room: &str| {
        let entries = std::fs::read_dir(library.join(room));
        entries
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
    };
    let files =
        entries("method").filter(|path| path.extension().is_some_and(|ending| ending == "rs"));
    let folders = entries("modality")
        .map(|path| path.join("mod.rs"))
        .filter(|path| path.is_file());
    let mut found: Vec<PathBuf> = files.chain(folders).collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_and_kinds_of_data_are_found() {
        let found = by_macro();
        for file in ["method/simclr.rs", "modality/image/mod.rs"] {
            assert!(
                found.iter().any(|path| path.ends_with(file)),
                "{file} is not among {found:?}"
            );
        }
    }
}
