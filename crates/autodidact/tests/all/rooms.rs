//! The rooms of the house: what each part of the source may not know, do or say.
//!
//! Every rule is a function from source files to offenses. It is held twice: the workspace has none, and a line
//! made to offend is caught, since a rule that can't fail protects nothing.

mod rules;
mod source;

use rules::{
    draws_from_seed_alone, no_dependency, one_backward_pass, one_writer, only_the_binary_prints,
    rooms_name, tensor_free,
};
use source::{SourceFile, manifest, room, workspace};

/// Kinds of data by every word that a method could know them by: those there are, and those to come.
fn words_of_data() -> Vec<String> {
    let to_come = [
        "text", "texts", "series", "graph", "graphs", "video", "audio",
    ];
    let mut words: Vec<String> = ["pixel", "pixels", "photo", "photos"]
        .iter()
        .chain(&to_come)
        .map(ToString::to_string)
        .collect();
    words.extend(
        autodidact::modality::ALL
            .iter()
            .map(|(name, _)| (*name).to_owned()),
    );
    // The folders: `image` beside the recipe's `images`.
    // `source/` is what all kinds of data share.
    let folders = source::folders("crates/autodidact/src/modality");
    words.extend(folders.into_iter().filter(|folder| folder != "source"));
    words
}

/// The methods by the names that they are registered under.
fn words_of_methods() -> Vec<String> {
    autodidact::method::ALL
        .iter()
        .map(|entry| entry.name.replace('_', ""))
        .collect()
}

fn none(offenses: &[String]) {
    assert!(
        offenses.is_empty(),
        "{} offenses:\n  {}",
        offenses.len(),
        offenses.join("\n  ")
    );
}

fn caught(offenses: &[String]) {
    assert!(!offenses.is_empty(), "a line that offends went through");
}

fn library(folder: &str) -> Vec<SourceFile> {
    room(&format!("crates/autodidact/src/{folder}"))
}

#[test]
fn no_method_names_a_kind_of_data() {
    let words = words_of_data();
    let files = library("method");
    assert!(
        files.len() > autodidact::method::ALL.len(),
        "a file a method, and the list"
    );
    none(&rooms_name(&files, &words));
    for offense in [
        "use crate::modality::image::ImageBatch;",
        "fn pixels(&self) -> usize { 0 }",
        "let batch: ImageBatch = views;",
        "let image_side = 32;",
        "#[cfg(test)] mod tests { use crate::modality::image; }",
    ] {
        caught(&rooms_name(
            &[SourceFile::made("method/new.rs", offense)],
            &words,
        ));
    }
    let fine = "//! For images.\n/* pixels */ let context = \"image\"; // text\nuse crate::modality::Pretext;";
    none(&rooms_name(
        &[SourceFile::made("method/new.rs", fine)],
        &words,
    ));
}

#[test]
fn no_kind_of_data_names_a_method() {
    let words = words_of_methods();
    assert!(words.contains(&"simclr".to_owned()));
    for offense in [
        "fn simclr() {}",
        "struct SimClrViews;",
        "use crate::method::mae;",
        "let byol_views = 2;",
    ] {
        caught(&rooms_name(
            &[SourceFile::made("modality/new/mod.rs", offense)],
            &words,
        ));
    }
    none(&rooms_name(
        &[SourceFile::made(
            "modality/new/mod.rs",
            "/// As SimCLR has it.\nfn strong() { name(\"byol\") }",
        )],
        &words,
    ));
    none(&rooms_name(&library("modality"), &words));
}

#[test]
fn the_loop_the_judge_and_the_run_folder_name_neither() {
    let mut words = words_of_data();
    words.extend(words_of_methods());
    // A recipe has values that are text, whatever the data.
    words.retain(|word| word != "text");
    for folder in ["train", "run", "judge", "recipe", "layers"] {
        let files = library(folder);
        assert!(!files.is_empty(), "{folder} is empty");
        // Their tests may name the method whose table or schedule they check.
        let code: Vec<_> = files.iter().map(SourceFile::without_tests).collect();
        none(&rooms_name(&code, &words));
    }
    caught(&rooms_name(
        &[SourceFile::made(
            "train/loop.rs",
            "if let ImageEncoder::Vit(vit) = encoder {}",
        )],
        &words,
    ));
    caught(&rooms_name(
        &[SourceFile::made(
            "train/loop.rs",
            "use crate::method::byol::Byol;",
        )],
        &words,
    ));
}

#[test]
fn there_is_one_backward_pass() {
    none(&one_backward_pass(&library("")));
    caught(&one_backward_pass(&[SourceFile::made(
        "crates/autodidact/src/method/new.rs",
        "let g = loss.backward();",
    )]));
}

#[test]
fn what_is_random_comes_from_the_seed() {
    none(&draws_from_seed_alone(&library("")));
    for offense in [
        "let x = Tensor::<2>::random([2, 2], Distribution::Default, &device);",
        "let mut rng = rand::rng();",
        "let rng = Pcg64::from_os_rng();",
        "let rng = Rng::seed_from_u64(7);",
        "let now = SystemTime::now();",
    ] {
        caught(&draws_from_seed_alone(&[SourceFile::made(
            "crates/autodidact/src/layers/new.rs",
            offense,
        )]));
    }
    let test = "#[cfg(test)]\nmod tests { fn f() { Tensor::random(Distribution::Default) } }";
    none(&draws_from_seed_alone(&[SourceFile::made(
        "crates/autodidact/src/layers/new.rs",
        test,
    )]));
}

#[test]
fn every_file_is_written_by_the_one_writer() {
    none(&one_writer(&workspace()));
    for offense in [
        "std::fs::write(path, bytes)?;",
        "let file = File::create(path)?;",
        "fs::write(path, bytes)?;",
        "OpenOptions::new().append(true).open(path)?;",
        "File::options().write(true).open(path)?;",
        "file.persist(path)?;",
        "let file = tempfile::tempfile()?;",
        "fs::rename(a, b)?;",
        // Code after a test module is code again.
        "#[cfg(test)]\nmod tests { fn f() {} }\nfn g() { fs::write(path, bytes) }",
        "#[cfg(test)]\nmod tests;\nfn g() { fs::write(path, bytes) }",
    ] {
        caught(&one_writer(&[SourceFile::made(
            "crates/cli/src/new.rs",
            offense,
        )]));
        caught(&one_writer(&[SourceFile::made(
            "crates/autodidact/src/train/new.rs",
            offense,
        )]));
    }
    let test = "#[cfg(test)]\nmod tests { fn f() { fs::write(path, bytes); } }";
    none(&one_writer(&[SourceFile::made(
        "crates/autodidact/src/train/new.rs",
        test,
    )]));
}

#[test]
fn printing_is_for_the_binary() {
    none(&only_the_binary_prints(&workspace()));
    for offense in [
        "println!(\"{x}\");",
        "eprint!(\"x\");",
        "dbg!(x);",
        "io::stdout().write_all(b)?;",
        "let x = stderr();",
    ] {
        caught(&only_the_binary_prints(&[SourceFile::made(
            "crates/autodidact/src/run/new.rs",
            offense,
        )]));
        caught(&only_the_binary_prints(&[SourceFile::made(
            "crates/eval/src/new.rs",
            offense,
        )]));
        none(&only_the_binary_prints(&[SourceFile::made(
            "crates/cli/src/new.rs",
            offense,
        )]));
    }
}

#[test]
fn evaluation_and_the_binary_know_nothing_of_burn() {
    // The binary takes its allocator from the kernels; evaluation takes nothing.
    let unwanted = [
        ("eval", ["burn", "autodidact-kernels"].as_slice()),
        ("cli", &["burn"]),
    ];
    for (name, unwanted) in unwanted {
        none(&no_dependency(name, &manifest(name), unwanted));
        let files = room(&format!("crates/{name}/src"));
        assert!(!files.is_empty(), "{name} is empty");
        none(&tensor_free(&files));
    }
    caught(&no_dependency(
        "x",
        "[dependencies]\nburn.workspace = true\n",
        &["burn"],
    ));
    caught(&no_dependency(
        "x",
        "[dependencies]\nx = { package = \"burn-flex\" }\n",
        &["burn"],
    ));
    none(&no_dependency(
        "x",
        "# burn\n[dependencies]\nautodidact.workspace = true\n",
        &["burn"],
    ));
    for offense in [
        "use burn::tensor::Tensor;",
        "fn show(x: Tensor<2>) {}",
        "use burn_flex::Flex;",
        "use autodidact_kernels::conv2d;",
    ] {
        caught(&tensor_free(&[SourceFile::made(
            "crates/cli/src/new.rs",
            offense,
        )]));
    }
    none(&tensor_free(&[SourceFile::made(
        "crates/cli/src/new.rs",
        "use autodidact_kernels::Recycling;",
    )]));
}

#[test]
fn dependencies_run_one_way() {
    let depends = |manifest: &str, on: &str| {
        let line = |line: &str| line.split(['.', ' ', '=']).next() == Some(on);
        manifest.lines().any(line)
    };
    for (name, may_not) in [
        (
            "eval",
            ["autodidact", "autodidact-kernels", "autodidact-cli"].as_slice(),
        ),
        (
            "kernels",
            &["autodidact", "autodidact-eval", "autodidact-cli"],
        ),
        ("autodidact", &["autodidact-cli"]),
    ] {
        for other in may_not {
            assert!(
                !depends(&manifest(name), other),
                "{name} depends on {other}"
            );
        }
    }
    assert!(
        depends(&manifest("autodidact"), "autodidact-kernels"),
        "the check finds what is there"
    );
}
