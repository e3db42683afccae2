//! A run that is killed at random moments, and goes on each time, ends like one that was left in peace.

use std::path::Path;
#[cfg(unix)]
use std::process::Command;
use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use autodidact::run::{Checkpoint, RunFolder};

use super::{TINY, autodidact, succeeds};

/// How often the run is killed.
const KILLS: usize = 20;

#[test]
fn killed_at_twenty_random_moments_and_resumed_a_run_ends_the_same() {
    let scratch = tempfile::tempdir().unwrap();
    let steps = [
        "--steps",
        "400",
        "--set",
        "train.checkpoint_every=\"0.1s\"",
        "--set",
        "train.log_every=7",
        "--no-evaluate",
    ];
    let begin = |out: &str| {
        let mut command = autodidact(scratch.path());
        command
            .arg("pretrain")
            .args(TINY)
            .args(steps)
            .args(["--out", out]);
        command
    };
    succeeds(&mut begin("whole"));

    // Moments that differ from one run of the test to the next: a failure names its own.
    let clock = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(1, |time| time.as_nanos() as u64);
    let (mut state, mut moments) = (clock | 1, Vec::new());
    let mut child = begin("parts")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    for _ in 0..KILLS {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let moment = 20 + (state >> 33) % 380;
        moments.push(moment);
        std::thread::sleep(Duration::from_millis(moment));
        child.kill().unwrap();
        child.wait().unwrap();
        // Killed before it had begun, it is begun again; killed before its first checkpoint, it begins anew by itself.
        let begun = scratch.path().join("parts/recipe.toml").exists();
        let mut next = if begun {
            resume(scratch.path())
        } else {
            begin("parts")
        };
        if !begun {
            let _ = std::fs::remove_dir_all(scratch.path().join("parts"));
        }
        child = next
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
    }
    child.wait().unwrap();
    if !scratch.path().join("parts/encoder.safetensors").exists() {
        succeeds(&mut resume(scratch.path()));
    }

    let read = |name: &str| {
        let folder = RunFolder::open(&scratch.path().join(name)).unwrap();
        (Checkpoint::read(&folder.last()).unwrap(), folder)
    };
    let ((whole, whole_folder), (parts, parts_folder)) = (read("whole"), read("parts"));
    assert!(
        whole.state == parts.state,
        "weights differ after kills at {moments:?} ms"
    );
    let encoder = |folder: &RunFolder| std::fs::read(folder.file("encoder.safetensors")).unwrap();
    assert!(
        encoder(&whole_folder) == encoder(&parts_folder),
        "encoders differ after kills at {moments:?} ms"
    );
    assert_eq!(
        metrics(&whole_folder),
        metrics(&parts_folder),
        "metrics differ after kills at {moments:?} ms"
    );
}

fn resume(folder: &Path) -> std::process::Command {
    let mut command = autodidact(folder);
    command.args(["pretrain", "--resume", "parts", "--no-evaluate"]);
    command
}

/// `metrics.jsonl` without what the clock says.
fn metrics(folder: &RunFolder) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(folder.file("metrics.jsonl")).unwrap();
    let mut lines: Vec<serde_json::Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    for line in &mut lines {
        line.as_object_mut()
            .unwrap()
            .retain(|name, _| !name.starts_with("time/"));
    }
    lines
}

#[cfg(unix)]
#[test]
fn asked_to_stop_a_run_ends_with_a_checkpoint_that_it_goes_on_from() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    let child = autodidact(here)
        .arg("pretrain")
        .args(TINY)
        .args(["--steps", "1000000", "--out", "run", "--no-evaluate"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let learning = here.join("run/metrics.jsonl");
    for _ in 0..1200 {
        if learning.exists() {
            break;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    let asked = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(asked.unwrap().success());
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(130), "{said}");
    assert!(said.contains("autodidact pretrain --resume run"), "{said}");
    assert!(here.join("run/checkpoints/last.safetensors").is_file());
    let more = [
        "pretrain",
        "--resume",
        "run",
        "--steps",
        "1",
        "--no-evaluate",
    ];
    let out = succeeds(autodidact(here).args(more));
    assert!(out.contains("finished after"), "{out}");
}
