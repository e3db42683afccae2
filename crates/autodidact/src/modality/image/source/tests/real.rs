//! The published data sets, where the environment variable `AUTODIDACT_DATA` names the folder that holds them.

use std::time::Instant;

use rayon::prelude::*;

use super::*;

fn data(name: &str) -> Option<std::path::PathBuf> {
    let path = std::env::var_os("AUTODIDACT_DATA")
        .map(|root| Path::new(&root).join(name))
        .filter(|path| path.exists());
    if path.is_none() {
        #[allow(clippy::print_stderr, reason = "a test that is skipped says so")]
        {
            eprintln!("skipped: AUTODIDACT_DATA names no folder with {name}");
        }
    }
    path
}

/// Opens a part, decodes all of it, and checks number, classes and side of the first.
#[allow(clippy::print_stderr, reason = "shows the time that it took")]
fn check(spec: &SourceSpec, count: usize, classes: usize) -> Box<dyn Source<Image>> {
    let start = Instant::now();
    let source = open(&SourceSpec {
        memory_limit: 1 << 30,
        ..spec.clone()
    })
    .unwrap();
    let opened = start.elapsed();
    assert_eq!(source.len(), count, "{}", source.describe());
    assert_eq!(
        source.labels().map_or(0, |labels| labels.classes.len()),
        classes,
        "{}",
        source.describe()
    );
    let start = Instant::now();
    (0..count)
        .into_par_iter()
        .for_each(|index| drop(source.get(index).unwrap()));
    eprintln!(
        "{}\n  opened in {opened:.2?}, decoded in {:.2?}",
        source.describe(),
        start.elapsed()
    );
    source
}

fn close(found: &[f32], expected: &[f32], within: f32) {
    assert_eq!(found.len(), expected.len(), "{found:?}");
    assert!(
        found
            .iter()
            .zip(expected)
            .all(|(a, b)| (a - b).abs() < within),
        "{found:?}, expected {expected:?}"
    );
}

#[test]
fn cifar10() {
    let Some(path) = data("cifar10") else { return };
    let train = check(&part(&path, Part::Train), 50_000, 10);
    let found = survey(&*train, usize::MAX, 0);
    // As libjpeg decodes them; ours rounds chroma up (see decode.rs).
    close(&found.mean, &[0.4913, 0.4821, 0.4465], 1.6e-3);
    close(&found.deviation, &[0.245, 0.243, 0.261], 3e-3);
    let test = check(&part(&path, Part::Test), 10_000, 10);
    assert_eq!(
        train.labels().unwrap().classes,
        test.labels().unwrap().classes
    );
    check(&spec(path.join("train.tar.gz")), 50_000, 10);
}

#[test]
fn fashion_mnist_and_mnist() {
    let Some(path) = data("fashion_mnist") else {
        return;
    };
    let train = check(&spec(&path), 60_000, 10);
    let found = survey(&*train, usize::MAX, 0);
    close(&found.mean, &[0.2860], 1e-4);
    close(&found.deviation, &[0.3530], 1e-4);
    check(&part(&path, Part::Test), 10_000, 10);
    let Some(path) = data("mnist") else { return };
    check(&part(&path, Part::Test), 10_000, 10);
    assert!(
        error(&part(&path, Part::Train))
            .to_string()
            .contains("no training part")
    );
}

#[test]
fn omniglot() {
    let Some(path) = data("omniglot") else { return };
    let small = check(&spec(path.join("images_background_small1.zip")), 2_720, 136);
    assert_eq!(survey(&*small, 500, 0).channels, 1);
    assert_eq!(
        (
            small.get(0).unwrap().width(),
            small.get(0).unwrap().height()
        ),
        (105, 105)
    );
    check(&spec(path.join("images_background_small2.zip")), 3_120, 156);
    check(&spec(&path), 2_720 + 3_120 + 800, 136 + 156 + 40);
}

#[test]
fn malaria_and_flowers() {
    let Some(path) = data("malaria_cells") else {
        return;
    };
    check(&spec(&path), 5_475, 2);
    check(&part(path.join("index.csv"), Part::Test), 1_251, 2);
    let Some(path) = data("flower_photos_96") else {
        return;
    };
    let train = check(&spec(&path), 1_500, 5);
    assert_eq!(
        train.labels().unwrap().classes,
        ["daisy", "dandelion", "roses", "sunflowers", "tulips"]
    );
    check(&part(&path, Part::Test), 450, 5);
    check(&part(path.join("images.tar"), Part::Test), 450, 5);
}

#[test]
fn bccd() {
    let Some(path) = data("bccd") else { return };
    let source = check(&spec(path), 364, 0);
    assert_eq!(
        (
            source.get(0).unwrap().width(),
            source.get(0).unwrap().height()
        ),
        (640, 480)
    );
}
