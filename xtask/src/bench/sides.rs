//! The two programs that are timed: each prints a line of JSON for a measure.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::Options;

/// A bench of this workspace, built.
pub(super) struct Program {
    path: PathBuf,
    threads: usize,
}

impl Program {
    /// Builds the bench `name` of a package, as the program is built.
    pub(super) fn build(package: &str, name: &str, threads: usize) -> Result<Self, String> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut command = Command::new(cargo);
        command
            .args([
                "bench",
                "--no-run",
                "--message-format=json",
                "--bench",
                name,
            ])
            // With the binary's package, so that dependencies have the features that the binary wants of them and are
            // built once for both.
            .args(["--package", package, "--package", "autodidact-cli"])
            .current_dir(root())
            .stderr(Stdio::inherit());
        let messages = output(&mut command)?;
        let executable = messages
            .lines()
            .filter_map(|line| serde_json::from_str::<Value>(line).ok())
            .filter(|message| message["target"]["name"] == name)
            .find_map(|message| message["executable"].as_str().map(PathBuf::from));
        let path = executable.ok_or_else(|| format!("cargo names no executable of {name}"))?;
        Ok(Self { path, threads })
    }

    /// Its measures.
    pub(super) fn run(&self, arguments: &[&str]) -> Result<Vec<Value>, String> {
        let mut command = Command::new(&self.path);
        command
            .args(arguments)
            .env("RAYON_NUM_THREADS", self.threads.to_string());
        measures(&mut command)
    }
}

/// A script of `torch/` with the Python that runs it.
pub(super) struct Torch {
    python: PathBuf,
    script: PathBuf,
    threads: usize,
}

impl Torch {
    /// Nothing where no Python was named.
    pub(super) fn new(options: &Options, script: &str) -> Option<Self> {
        Some(Self {
            python: options.against_torch.clone()?,
            script: root().join("xtask/torch").join(script),
            threads: options.threads,
        })
    }

    /// Its measures.
    pub(super) fn run(&self, arguments: &[String]) -> Result<Vec<Value>, String> {
        let threads = self.threads.to_string();
        let mut command = Command::new(&self.python);
        command
            .arg("-B")
            .arg(&self.script)
            .args(arguments)
            .args(["--threads", &threads])
            .env("OMP_NUM_THREADS", &threads);
        measures(&mut command)
    }
}

fn measures(command: &mut Command) -> Result<Vec<Value>, String> {
    let text = output(command)?;
    text.lines()
        .map(|line| serde_json::from_str(line).map_err(|error| format!("{error} in `{line}`")))
        .collect()
}

fn output(command: &mut Command) -> Result<String, String> {
    command.stderr(Stdio::inherit());
    let output = command
        .output()
        .map_err(|error| format!("{command:?} could not be started ({error})"))?;
    if !output.status.success() {
        return Err(format!("{command:?}: {}", output.status));
    }
    String::from_utf8(output.stdout).map_err(|error| error.to_string())
}

/// The workspace's folder.
pub(super) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The processor's name for itself, where the system tells.
pub(super) fn processor() -> Option<String> {
    let text = std::fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}
