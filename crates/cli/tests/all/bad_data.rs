//! Data, recipes and disks as they shouldn't be: each ends in a clear message or a counted skip, and nothing is lost.

use std::fs;
use std::path::Path;

use super::{TINY, autodidact, fails, succeeds};

/// Settings that make a run of a second out of small images.
const SMALL: &[&str] = &[
    "--encoder",
    "small_conv",
    "--batch-size",
    "20",
    "--steps",
    "12",
    "--no-evaluate",
    "--set",
    "encoder.width=4",
    "--set",
    "views.crops=[{count=2,size=16}]",
];

/// A PNG that can be read.
fn picture(here: &Path) -> Vec<u8> {
    succeeds(autodidact(here).args(["views", "--items", "1", "--out", "views.png"]));
    fs::read(here.join("views.png")).unwrap()
}

#[test]
fn an_empty_folder_is_named() {
    let scratch = tempfile::tempdir().unwrap();
    fs::create_dir(scratch.path().join("empty")).unwrap();
    let (message, code) = fails(autodidact(scratch.path()).args(["pretrain", "empty"]));
    assert!(
        message.contains("empty: holds no images (found: nothing)"),
        "{message}"
    );
    assert_eq!(code, 3);
}

#[test]
fn broken_files_are_counted_and_left_out() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    let good = picture(here);
    let photos = here.join("photos");
    fs::create_dir(&photos).unwrap();
    for number in 0..116 {
        fs::write(photos.join(format!("{number:03}.png")), &good).unwrap();
    }
    fs::write(photos.join("cut.jpg"), b"\xff\xd8\xff\xe0\x00\x10JFIF\0").unwrap();
    fs::write(photos.join("text.jpg"), "no picture at all").unwrap();
    fs::write(photos.join("nothing.png"), "").unwrap();
    // The header alone of 60,000×60,000 pixels; its check sum is wrong too, so that it is refused either way.
    let mut bomb = good.clone();
    bomb[16..24].copy_from_slice(&[0, 0, 0xea, 0x60, 0, 0, 0xea, 0x60]);
    fs::write(photos.join("bomb.png"), bomb).unwrap();
    let out = succeeds(
        autodidact(here)
            .args(["pretrain", "photos", "--out", "run"])
            .args(SMALL),
    );
    assert!(out.contains("4 items could not be read"), "{out}");
}

#[test]
fn a_corrupt_archive_is_named() {
    let scratch = tempfile::tempdir().unwrap();
    fs::write(scratch.path().join("x.zip"), b"PK\x03\x04 and then noise").unwrap();
    let (message, code) = fails(autodidact(scratch.path()).args(["pretrain", "x.zip"]));
    assert!(
        message.contains("x.zip: is damaged or ends too early") && message.contains("try:"),
        "{message}"
    );
    assert_eq!(code, 3);
}

#[test]
fn settings_that_cannot_be_are_named() {
    let scratch = tempfile::tempdir().unwrap();
    for (setting, words) in [
        ("train.learning_rat=1", "learning_rate"),
        ("train.learning_rate=\"fast\"", "learning_rate"),
        ("train.learning_rate=-0.1", "learning_rate"),
    ] {
        let (message, code) = fails(
            autodidact(scratch.path())
                .arg("pretrain")
                .args(TINY)
                .args(["--steps", "1", "--set", setting]),
        );
        assert!(message.contains(words), "{setting}: {message}");
        assert_eq!(code, 2, "{setting}: {message}");
    }
    let (message, code) = fails(autodidact(scratch.path()).args([
        "pretrain",
        "--method",
        "mae",
        "--encoder",
        "small_conv",
    ]));
    assert!(
        message.contains("small_conv") || message.contains("vit"),
        "{message}"
    );
    assert_eq!(code, 2);
    assert!(!scratch.path().join("runs").exists());
}

#[test]
fn a_place_that_cannot_hold_a_run_is_named() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    fs::write(here.join("file"), "in the way").unwrap();
    let begin = |out: &str| {
        let mut command = autodidact(here);
        command
            .arg("pretrain")
            .args(TINY)
            .args(["--steps", "2", "--no-evaluate", "--out", out]);
        command
    };
    let (message, _) = fails(&mut begin("file/run"));
    assert!(message.contains("file/run"), "{message}");
    succeeds(&mut begin("run"));
    let before = fs::read(here.join("run/encoder.safetensors")).unwrap();
    let (message, code) = fails(&mut begin("run"));
    assert!(message.contains("run: a run is there already"), "{message}");
    assert_eq!(code, 4);
    assert!(fs::read(here.join("run/encoder.safetensors")).unwrap() == before);
}

#[test]
fn half_a_checkpoint_gives_way_to_the_one_before_it() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    let run = |out: &str| {
        succeeds(autodidact(here).arg("pretrain").args(TINY).args([
            "--steps",
            "400",
            "--no-evaluate",
            "--set",
            "train.checkpoint_every=\"0.1s\"",
            "--out",
            out,
        ]));
    };
    run("whole");
    run("cut");
    let encoder = |out: &str| fs::read(here.join(out).join("encoder.safetensors")).unwrap();
    let last = here.join("cut/checkpoints/last.safetensors");
    let bytes = fs::read(&last).unwrap();
    fs::remove_file(&last).unwrap();
    fs::write(&last, &bytes[..bytes.len() / 2]).unwrap();
    fs::remove_file(here.join("cut/encoder.safetensors")).unwrap();
    let output = autodidact(here)
        .args(["pretrain", "--resume", "cut", "--no-evaluate"])
        .output()
        .unwrap();
    let message = super::text(&output.stderr);
    assert!(output.status.success(), "{message}");
    assert!(
        message.contains("the last checkpoint can't be read")
            && message.contains("going on from the one before it"),
        "{message}"
    );
    assert!(
        encoder("cut") == encoder("whole"),
        "it ends otherwise than a run left in peace"
    );
    // With both damaged there is nothing to go on from, and that is said.
    for name in ["last", "previous"] {
        fs::write(
            here.join(format!("cut/checkpoints/{name}.safetensors")),
            "x",
        )
        .unwrap();
    }
    let (message, code) = fails(autodidact(here).args(["pretrain", "--resume", "cut"]));
    assert!(message.contains("last.safetensors"), "{message}");
    assert_eq!(code, 4);
}
