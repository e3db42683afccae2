//! Every check that a change has to pass, the cheapest first.

use std::process::{Command, ExitCode};
use std::time::Instant;

/// A command of cargo's and what it is for. All of them in one profile, so that what runs while compiling is compiled
/// once.
struct Check {
    name: &'static str,
    arguments: &'static [&'static str],
    /// Environment variables, set for this command alone.
    settings: &'static [(&'static str, &'static str)],
    mend: &'static str,
}

const FORMAT: Check = Check {
    name: "format",
    arguments: &["xtask", "format", "--check"],
    settings: &[],
    mend: "cargo xtask format",
};

const CLIPPY: Check = Check {
    name: "clippy",
    arguments: &[
        "clippy",
        "--release",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ],
    settings: &[],
    mend: "mend what clippy names, or allow it where it is with a reason",
};

/// The binary bears the library's name, so its pages would land on the library's: clippy sees to its docs.
const DOCS: Check = Check {
    name: "docs",
    arguments: &[
        "doc",
        "--release",
        "--workspace",
        "--no-deps",
        "--exclude",
        "autodidact-cli",
    ],
    settings: &[("RUSTDOCFLAGS", "-D warnings")],
    mend: "mend the comment that rustdoc names",
};

const TESTS: Check = Check {
    name: "tests",
    arguments: &["test", "--release", "--workspace"],
    settings: &[],
    mend: "run the one that failed by its name: cargo test --release --workspace NAME",
};

/// Runs the checks until one fails.
pub(crate) fn run(with_tests: bool) -> ExitCode {
    let began = Instant::now();
    for check in [FORMAT, CLIPPY, DOCS]
        .into_iter()
        .chain(with_tests.then_some(TESTS))
    {
        println!("\n== {}: {}", check.name, check.command_line());
        let started = Instant::now();
        if let Err(trouble) = check.run() {
            eprintln!(
                "\n== {} failed: {trouble}\n   try: {}",
                check.name, check.mend
            );
            return ExitCode::FAILURE;
        }
        println!(
            "== {} passed in {:.1} s",
            check.name,
            started.elapsed().as_secs_f64()
        );
    }
    println!("\n== all passed in {:.1} s", began.elapsed().as_secs_f64());
    ExitCode::SUCCESS
}

impl Check {
    /// As one would type it.
    fn command_line(&self) -> String {
        let settings = self
            .settings
            .iter()
            .map(|(name, value)| format!("{name}=\"{value}\" "));
        settings
            .chain(["cargo ".to_owned(), self.arguments.join(" ")])
            .collect()
    }

    fn run(&self) -> Result<(), String> {
        // The cargo that runs this program, so that the toolchain is the same.
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command
            .args(self.arguments)
            .envs(self.settings.iter().copied());
        match command.status() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(status.to_string()),
            Err(error) => Err(format!("cargo could not be started ({error})")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_reads_as_one_would_type_it() {
        assert_eq!(FORMAT.command_line(), "cargo xtask format --check");
        assert!(
            DOCS.command_line()
                .starts_with("RUSTDOCFLAGS=\"-D warnings\" cargo doc")
        );
    }
}
