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

/// A few dozen small pictures, each of its own.
fn pictures(folder: &Path, count: u8) {
    fs::create_dir_all(folder).unwrap();
    for seed in 0..count {
        image::RgbImage::from_fn(24, 20, |x, y| {
            image::Rgb([seed * 6, (x * 9) as u8 ^ seed, (y * 11) as u8])
        })
        .save(folder.join(format!("{seed:02}.png")))
        .unwrap();
    }
}

/// Begins a run in which files can't grow beyond `kib` KiB, as on a disk that is full. Needs a shell, and no rights.
#[cfg(unix)]
fn on_a_full_disk(here: &Path, kib: u32) -> std::process::Command {
    let mut command = std::process::Command::new("bash");
    let script = format!("trap '' XFSZ; ulimit -f {kib}; exec \"$@\"");
    command
        .current_dir(here)
        .args(["-c", &script, "bash", env!("CARGO_BIN_EXE_autodidact")]);
    command
}

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

#[test]
fn a_dot_and_an_aerial_photo_are_images_and_a_bomb_is_not() {
    let scratch = tempfile::tempdir().unwrap();
    let photos = scratch.path().join("photos");
    pictures(&photos, 12);
    image::GrayImage::new(1, 1)
        .save(photos.join("dot.png"))
        .unwrap();
    image::GrayImage::new(12_000, 9_000)
        .save(photos.join("aerial.png"))
        .unwrap();
    let run = |out: &str| {
        succeeds(
            autodidact(scratch.path())
                .args(["pretrain", "photos", "--out", out])
                .args(SMALL)
                .args(["--set", "data.unreadable=0.2"]),
        )
    };
    let out = run("large");
    assert!(!out.contains("could not be read"), "{out}");
    fs::remove_file(photos.join("aerial.png")).unwrap();
    // A header of 54 bytes that declares 60,000×60,000 pixels of 24 bits.
    let mut bomb = b"BM\x36\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".to_vec();
    bomb.extend([60_000u32.to_le_bytes(), 60_000u32.to_le_bytes()].concat());
    bomb.extend([1, 0, 24, 0]);
    bomb.resize(200, 0);
    fs::write(photos.join("bomb.bmp"), bomb).unwrap();
    let out = run("bomb");
    assert!(
        out.contains("1 item could not be read") && out.contains("60000×60000"),
        "{out}"
    );
}

#[test]
fn a_recipe_file_that_cannot_be_is_named_with_its_key() {
    let scratch = tempfile::tempdir().unwrap();
    for (text, words) in [
        ("[train]\nepoch = 3", "epochs"),
        ("[train]\nbatch_size = \"many\"", "batch_size"),
        ("[train]\nlearning_rate = -0.1", "learning_rate"),
        ("[train\n", "my.toml"),
    ] {
        fs::write(scratch.path().join("my.toml"), text).unwrap();
        let (message, code) =
            fails(autodidact(scratch.path()).args(["pretrain", "--recipe", "my.toml"]));
        assert!(message.contains(words), "{text}: {message}");
        assert_eq!(code, 2, "{text}: {message}");
    }
    assert!(!scratch.path().join("runs").exists());
}

#[cfg(unix)]
#[test]
fn a_full_disk_is_named_and_what_was_there_stays() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    let begin = ["pretrain", "--steps", "3", "--no-evaluate", "--out"];
    succeeds(autodidact(here).args(begin).arg("run").args(TINY));
    succeeds(autodidact(here).args(["embed", "run", "--out", "v.csv"]));
    let kept = |name: &str| fs::read(here.join(name)).unwrap();
    let files = [
        "run/checkpoints/last.safetensors",
        "run/encoder.safetensors",
        "v.csv",
    ];
    let before = files.map(kept);

    let (message, code) = fails(
        on_a_full_disk(here, 40)
            .args(begin)
            .arg("second")
            .args(TINY),
    );
    assert!(
        message.contains("second/checkpoints/last.safetensors")
            && message.contains("make room there"),
        "{message}"
    );
    assert!(!message.contains(".writing-"), "{message}");
    assert_eq!(code, 6);
    let resume = ["pretrain", "--resume", "run", "--steps", "3"];
    let (message, code) = fails(on_a_full_disk(here, 10).args(resume));
    assert!(message.contains("run/"), "{message}");
    assert_eq!(code, 6);
    let embed = ["embed", "run", "--out", "v.csv"];
    let (message, code) = fails(on_a_full_disk(here, 1).args(embed));
    assert!(message.contains("v.csv: "), "{message}");
    assert_eq!(code, 6);
    assert!(files.map(kept) == before, "a full disk cost a file");
    // Nothing half written is left, and with room again the run goes on.
    let scraps = |folder: &str| {
        fs::read_dir(here.join(folder))
            .unwrap()
            .flatten()
            .filter(|entry| entry.file_name().to_string_lossy().starts_with(".writing"))
            .count()
    };
    for folder in ["", "run", "run/checkpoints", "second/checkpoints"] {
        assert_eq!(scraps(folder), 0, "scraps in {folder:?}");
    }
    let out = succeeds(autodidact(here).args(resume).arg("--no-evaluate"));
    assert!(out.contains("after 6 steps"), "{out}");
}

#[cfg(unix)]
#[test]
#[allow(clippy::print_stderr, reason = "a test that is skipped says so")]
fn a_folder_that_may_not_be_written_is_named() {
    use std::os::unix::fs::PermissionsExt;
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    let locked = here.join("locked");
    fs::create_dir(&locked).unwrap();
    fs::set_permissions(&locked, fs::Permissions::from_mode(0o555)).unwrap();
    // Permissions don't bind the superuser; where even they can't write is below the kernel's own tree.
    let out = if fs::write(locked.join("x"), "").is_ok() {
        "/proc/run"
    } else {
        "locked/run"
    };
    if !Path::new("/proc/self").exists() && out == "/proc/run" {
        eprintln!("skipped: a superuser without /proc can write everywhere");
        return;
    }
    let (message, code) = fails(
        autodidact(here)
            .arg("pretrain")
            .args(TINY)
            .args(["--steps", "2", "--out", out]),
    );
    assert!(message.contains(out), "{message}");
    assert!(code == 4 || code == 6, "{code}: {message}");
}

#[test]
fn labels_for_half_of_the_items_judge_that_half() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    pictures(&here.join("photos"), 40);
    let rows: String = (0..20)
        .map(|item| format!("{item:02}.png,{}\n", ["cat", "dog"][item % 2]))
        .collect();
    fs::write(here.join("half.csv"), rows).unwrap();
    let output = autodidact(here)
        .args(["pretrain", "photos", "--labels", "half.csv", "--out", "run"])
        .args(SMALL.iter().filter(|word| **word != "--no-evaluate"))
        .output()
        .unwrap();
    let (out, message) = (super::text(&output.stdout), super::text(&output.stderr));
    assert!(message.contains("2 classes (20 without)"), "{message}");
    assert!(
        out.contains("4 items judged, 16 learned from, 2 classes"),
        "{out}\n{message}"
    );
}

#[test]
fn a_batch_larger_than_the_data_is_cut_to_it_and_that_is_said() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    pictures(&here.join("photos"), 12);
    succeeds(
        autodidact(here)
            .args(["pretrain", "photos", "--out", "run"])
            .args(SMALL),
    );
    let log = fs::read_to_string(here.join("run/train.log")).unwrap();
    assert!(log.contains("12 items and not 20"), "{log}");
    fs::create_dir(here.join("single")).unwrap();
    fs::copy(here.join("photos/00.png"), here.join("single/00.png")).unwrap();
    let (message, code) = fails(autodidact(here).args(["pretrain", "single"]));
    assert!(message.contains("1 item to learn from"), "{message}");
    assert_eq!(code, 3);
}

#[test]
fn a_class_of_one_item_is_no_obstacle() {
    let scratch = tempfile::tempdir().unwrap();
    let here = scratch.path();
    for (class, count) in [("cats", 14), ("dogs", 14), ("eel", 1)] {
        pictures(&here.join("photos").join(class), count);
    }
    let out = succeeds(
        autodidact(here)
            .args(["pretrain", "photos", "--out", "run"])
            .args(SMALL.iter().filter(|word| **word != "--no-evaluate")),
    );
    assert!(out.contains("3 classes"), "{out}");
}
