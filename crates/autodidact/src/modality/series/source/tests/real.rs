//! The published data sets, where the environment variable `AUTODIDACT_DATA` names the folder that holds them.

use std::time::Instant;

use super::*;
use crate::modality::Likeness;

fn data(name: &str) -> Option<std::path::PathBuf> {
    let (folder, rest) = name.split_once('/').unwrap_or((name, ""));
    let path = std::env::var_os("AUTODIDACT_DATA")
        .map(|root| Path::new(&root).join(folder))
        .filter(|path| path.exists());
    if path.is_none() {
        #[allow(clippy::print_stderr, reason = "a test that is skipped says so")]
        {
            eprintln!("skipped: AUTODIDACT_DATA names no folder with {folder}");
        }
    }
    path.map(|path| {
        if rest.is_empty() {
            path
        } else {
            path.join(rest)
        }
    })
}

/// Opens a part, reads all of it, and checks number, channels and classes.
#[allow(clippy::print_stderr, reason = "shows the time that it took")]
fn check(
    path: &Path,
    reading: &str,
    wanted: Part,
    [count, channels, classes]: [usize; 3],
) -> Box<dyn Source<Series>> {
    let start = Instant::now();
    assert_eq!(
        looks_like_series(path),
        Likeness::Clear,
        "{}",
        path.display()
    );
    let source = part(path, reading, wanted).unwrap();
    let said = source.describe();
    assert_eq!(source.len(), count, "{said}");
    let found = source.labels().map_or(0, |labels| labels.classes.len());
    assert_eq!(found, classes, "{said}");
    for index in 0..count {
        assert_eq!(source.get(index).unwrap().channels, channels);
    }
    eprintln!("{said}\n  read in {:.2?}", start.elapsed());
    source
}

#[test]
fn sets_of_the_ucr_archive() {
    for (set, train, test, length, classes) in [
        ("Adiac", 390, 391, 176, 37),
        ("Coffee", 28, 28, 286, 2),
        ("ItalyPowerDemand", 67, 1029, 24, 2),
        ("SonyAIBORobotSurface1", 20, 601, 70, 2),
        ("Trace", 100, 100, 275, 4),
    ] {
        let Some(path) = data(&format!("ucr/{set}")) else {
            return;
        };
        let source = check(&path, "", Part::Train, [train, 1, classes]);
        assert_eq!(source.get(0).unwrap().steps(), length);
        check(&path, "", Part::Test, [test, 1, classes]);
    }
    let Some(path) = data("ucr/Adiac_TRAIN.tsv.gz") else {
        return;
    };
    let source = check(&path, "", Part::Train, [390, 1, 37]);
    assert_eq!(source.get(0).unwrap().values[..2], [1.5980065, 1.5994389]);
    assert_eq!(
        (
            classes(&*source)[0],
            source.labels().unwrap().classes[0].as_str()
        ),
        ("22", "1")
    );
}

#[test]
fn basic_motions() {
    let Some(path) = data("uea/BasicMotions") else {
        return;
    };
    let source = check(&path, "", Part::Train, [40, 6, 4]);
    assert_eq!(source.get(0).unwrap().steps(), 100);
    assert_eq!(classes(&*source)[0], "Standing");
    check(&path, "", Part::Test, [40, 6, 4]);
}

#[test]
fn movements_of_thirty_people() {
    let Some(path) = data("hapt/signals.tar.gz") else {
        return;
    };
    let reading = "group = \"user{}\"\nwindow = 128\nstride = 64\n\
                   test_groups = [\"2\", \"4\", \"9\", \"10\", \"12\", \"13\", \"18\", \"20\", \"24\"]";
    let train = part(&path, reading, Part::Train).unwrap();
    let test = part(&path, reading, Part::Test).unwrap();
    let steps = |source: &dyn Source<Series>| source.len();
    // 1,122,772 steps, a window every 64 but for the ends of 61 recordings.
    let windows = steps(&*train) + steps(&*test);
    assert!(
        (1_122_772 / 64 - 3 * 61..1_122_772 / 64).contains(&windows),
        "{windows}"
    );
    assert_eq!(train.get(0).unwrap().channels, 6);
    assert!(names(&*test).iter().all(|name| !name.contains("user01")));
    assert_eq!(looks_like_series(&path), Likeness::Clear);
}

#[test]
fn temperatures_of_transformers() {
    let Some(path) = data("ett/ETTh1.csv.gz") else {
        return;
    };
    let source = check(&path, "", Part::Train, [(17_420 - 256) / 128 + 1, 7, 0]);
    assert_eq!(source.get(0).unwrap().values[..2], [5.827, 2.009]);
    assert!(!source.describe().contains("gaps"), "{}", source.describe());
}

#[test]
fn streams_with_anomalies() {
    let Some(path) = data("nab/nab.tar.gz") else {
        return;
    };
    let source = part(&path, "window = 100000", Part::Train).unwrap();
    let said = source.describe();
    // One of them goes back in time once.
    assert_eq!(source.len(), 59, "{said}");
    assert!(said.contains("1 times time turned back"), "{said}");
    assert_eq!(source.labels().unwrap().classes.len(), 7);
    let steps: usize = (0..59)
        .map(|index| source.get(index).unwrap().steps())
        .sum();
    assert_eq!(steps, 365_558);
}

#[test]
fn a_water_circuit() {
    let Some(path) = data("skab/skab.tar.gz") else {
        return;
    };
    let source = part(&path, "", Part::Train).unwrap();
    let said = source.describe();
    assert_eq!(source.get(0).unwrap().channels, 8, "{said}");
    assert_eq!(source.labels().unwrap().classes.len(), 2, "{said}");
    assert!(said.contains("changepoint"), "{said}");
    assert_eq!(looks_like_series(&path), Likeness::Clear);
}

#[test]
fn failures_of_robots() {
    for (set, count, classes) in [("lp1", 88, 4), ("lp2", 47, 5), ("lp5", 164, 5)] {
        let Some(path) = data(&format!("robot_failures/{set}.data")) else {
            return;
        };
        let source = check(&path, "", Part::Train, [count, 6, classes]);
        assert_eq!(source.get(count - 1).unwrap().steps(), 15);
    }
    let Some(path) = data("wall_following_robot/sensor_readings_24.data.gz") else {
        return;
    };
    check(&path, "", Part::Train, [(5456 - 128) / 64 + 1, 24, 4]);
    check(
        &path,
        "test = 0.25",
        Part::Test,
        [(1364 - 128) / 64 + 1, 24, 4],
    );
}
