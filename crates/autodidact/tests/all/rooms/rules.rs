//! The rules, each from source files to a list of offenses.

use super::source::SourceFile;

/// The one file that writes files.
const WRITER: &str = "crates/autodidact/src/run/writer.rs";
/// Holds the decompressed members of an archive in a file without a name: nobody can find it, nothing is left of it.
const SPILL: &str = "crates/autodidact/src/modality/source/storage.rs";

/// Identifiers that hold one of `words`, tests included: `ImageBatch`, `image_side` and `image` all hold `image`.
pub(super) fn rooms_name(files: &[SourceFile], words: &[String]) -> Vec<String> {
    let names = |identifier: &str| {
        let parts = parts(identifier);
        // `SimClr` is `simclr` in two parts.
        (0..parts.len())
            .any(|from| (from..parts.len()).any(|to| words.contains(&parts[from..=to].concat())))
    };
    offenses(files, |_, line| identifiers(line).any(names))
}

/// Gradients are made in one place, so that no method brings a loop of its own.
pub(super) fn one_backward_pass(files: &[SourceFile]) -> Vec<String> {
    let of_code: Vec<_> = files.iter().map(SourceFile::without_tests).collect();
    offenses(&of_code, |path, line| {
        !path.ends_with("train/gradients.rs") && line.contains(".backward(")
    })
}

/// Generators are made from (seed, purpose, place) in `random.rs` alone; the clock only stamps TensorBoard's events.
pub(super) fn draws_from_seed_alone(files: &[SourceFile]) -> Vec<String> {
    let of_code: Vec<_> = files.iter().map(SourceFile::without_tests).collect();
    offenses(&of_code, |path, line| {
        let clock = line.contains("SystemTime") && !path.ends_with("run/events.rs");
        let seeds = line.contains("seed_from_u64") && !path.ends_with("src/random.rs");
        let others = [
            "Distribution::",
            "rand::rng",
            "thread_rng",
            "from_os_rng",
            "from_entropy",
            "OsRng",
            "SysRng",
        ];
        clock || seeds || others.iter().any(|other| line.contains(other))
    })
}

/// Files are written by the one atomic writer, tests aside.
pub(super) fn one_writer(files: &[SourceFile]) -> Vec<String> {
    let ways = [
        "File::create",
        "fs::write",
        "OpenOptions",
        "File::options",
        ".persist(",
        ".persist_noclobber(",
        "tempfile::",
        "NamedTempFile",
        "fs::rename",
        "fs::copy",
    ];
    let of_code: Vec<_> = files.iter().map(SourceFile::without_tests).collect();
    offenses(&of_code, |path, line| {
        let line = if path.ends_with(SPILL) {
            line.replace("tempfile::tempfile()", "")
        } else {
            line.to_owned()
        };
        !path.ends_with(WRITER) && ways.iter().any(|way| line.contains(way))
    })
}

/// Nobody prints but the binary, tests aside.
pub(super) fn only_the_binary_prints(files: &[SourceFile]) -> Vec<String> {
    let ways = ["println!", "print!", "dbg!", "stdout()", "stderr()"];
    let of_code: Vec<_> = files.iter().map(SourceFile::without_tests).collect();
    offenses(&of_code, |path, line| {
        !path.contains("crates/cli/") && ways.iter().any(|way| line.contains(way))
    })
}

/// No line that names Burn's crates or types. Of our kernels, which are made of them, only the allocator is no tensor.
pub(super) fn tensor_free(files: &[SourceFile]) -> Vec<String> {
    let of_burn = |name: &str| name == "Tensor" || name == "burn" || name.starts_with("burn_");
    offenses(files, |_, line| {
        let kernel = line.contains("autodidact_kernels") && !line.contains("Recycling");
        kernel || identifiers(line).any(of_burn)
    })
}

/// No dependency on any of `unwanted`.
pub(super) fn no_dependency(path: &str, manifest: &str, unwanted: &[&str]) -> Vec<String> {
    let code = |line: &str| line.split('#').next().unwrap_or_default().to_owned();
    let offends = |line: &str| unwanted.iter().any(|name| line.contains(name));
    manifest
        .lines()
        .map(code)
        .filter(|line| offends(line))
        .map(|line| format!("{path}: {line}"))
        .collect()
}

fn offenses(files: &[SourceFile], offends: impl Fn(&str, &str) -> bool) -> Vec<String> {
    let of_file = |file: &SourceFile| -> Vec<String> {
        let lines = file
            .code
            .lines()
            .enumerate()
            .filter(|(_, line)| offends(&file.path, line));
        lines
            .map(|(number, line)| format!("{}:{}: {}", file.path, number + 1, line.trim()))
            .collect()
    };
    files.iter().flat_map(of_file).collect()
}

fn identifiers(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
}

/// The words of an identifier, lowercase: `ImageBatch` and `image_batch` are `image` and `batch`.
fn parts(identifier: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut before = '_';
    for letter in identifier.chars() {
        if letter == '_' || (letter.is_uppercase() && before.is_lowercase()) {
            parts.push(String::new());
        }
        if letter != '_'
            && let Some(part) = parts.last_mut()
        {
            part.extend(letter.to_lowercase());
        }
        before = letter;
    }
    parts.retain(|part| !part.is_empty());
    parts
}

#[test]
fn identifiers_fall_into_their_words() {
    assert_eq!(parts("ImageBatch"), ["image", "batch"]);
    assert_eq!(parts("image_batch_2"), ["image", "batch", "2"]);
    assert_eq!(parts("SimClr"), ["sim", "clr"]);
    assert_eq!(parts("LARGEST_SIDE"), ["largest", "side"]);
    assert_eq!(parts("Pretext"), ["pretext"]);
}
