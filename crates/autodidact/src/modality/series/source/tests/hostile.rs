//! Bytes changed at random: errors, never a panic.

use rand::RngExt;

use super::*;
use crate::random::{Purpose, Rng, stream};

/// Changes, removes, repeats or cuts off some bytes.
fn mutate(bytes: &mut Vec<u8>, rng: &mut Rng) {
    for _ in 0..rng.random_range(1..8) {
        if bytes.is_empty() {
            return;
        }
        let at = rng.random_range(0..bytes.len());
        match rng.random_range(0..6) {
            0 => bytes[at] = rng.random(),
            1 => bytes[at] ^= 1 << rng.random_range(0..8),
            2 => bytes.truncate(at),
            3 => drop(bytes.remove(at)),
            4 => bytes.insert(at, b"0,;\t\n-9e:?\"(@"[rng.random_range(0..13)]),
            _ => {
                let end = (at + rng.random_range(0..40)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                bytes.extend(piece);
            }
        }
    }
}

#[test]
fn changed_files_never_panic() {
    let folder = tempfile::tempdir().unwrap();
    let table = "time,id,x,y,label\n2020-01-01 00:00:00,1,1,2,a\n2020-01-01 00:00:01,1,?,4,b\n";
    let seeds: [(&str, Vec<u8>, &str); 8] = [
        ("a.csv", table.into(), ""),
        (
            "b.csv",
            table.into(),
            "layout = \"long\"\nresample = 0.5\nwindow = 2",
        ),
        (
            "c_TRAIN.tsv",
            b"1\t1\t2\t3\t4\t5\t6\t7\t8\n2\t1\t2\t3\t4\t5\t6\t7\t8\n".into(),
            "",
        ),
        ("d.data", b"a\n\t1\t2\n\t3\t4\n\nb\n\t1\t2\n".into(), ""),
        (
            "e.ts",
            b"@timeStamps true\n@classLabel true a b\n@data\n(0,1),(1,2):(0,3):a\n".into(),
            "",
        ),
        (
            "f.npy",
            npy("<f4", "(2, 3, 2)", &[7; 48]),
            "channels_first = true",
        ),
        (
            "g.txt.gz",
            gzip(b"1 2 3\n4 5 6\n7 8 9\n"),
            "test = 0.5\nwindow = 2",
        ),
        (
            "h.zip",
            zip_of(&[("train/a.csv", b"x\n1\n2\n"), ("test/b.csv", b"x\n3\n")]),
            "",
        ),
    ];
    for round in 0..300 {
        for (number, (name, bytes, reading)) in seeds.iter().enumerate() {
            let mut rng = stream(round, Purpose::Synthetic, &[number as u64]);
            let mut bytes = bytes.clone();
            mutate(&mut bytes, &mut rng);
            write(folder.path(), name, &bytes);
            let path = folder.path().join(name);
            let _ = looks_like_series(&path);
            let Ok(source) = open(&spec(&path, reading)) else {
                continue;
            };
            let _ = source.describe();
            for index in (0..source.len()).take(4) {
                let _ = (source.name(index), source.get(index));
            }
            if let Some(labels) = source.labels() {
                assert_eq!(labels.of.len(), source.len());
            }
        }
    }
}

#[test]
fn an_array_that_claims_more_than_its_file_is_refused() {
    for shape in [
        "(9999999999, 9999999999)",
        "(3, 0)",
        "(0,)",
        "(1, 1, 1, 1)",
        "()",
    ] {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "a.npy", npy("<f4", shape, &[0; 16]));
        assert!(
            open(&spec(folder.path().join("a.npy"), "")).is_err(),
            "{shape}"
        );
    }
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "a.npy", npy("<c8", "(2,)", &[0; 16]));
    assert!(failed(folder.path().join("a.npy"), "").contains("type <c8"));
}

#[test]
fn a_case_of_one_long_dimension_does_not_fill_the_memory() {
    let long = format!("{}1", "1,".repeat(19_999));
    let found = refused("a.ts", &format!("@data\n{long}{}\n", ":1".repeat(999)), "");
    assert!(
        found.contains("case 1 has 20000 values in its longest dimension and 20999 in all 1000"),
        "{found}"
    );
    let source = of_file("a.ts", &format!("@data\n{long}{}\n", ":1".repeat(19)), "");
    assert_eq!(source.recordings().unwrap().steps(0), 20_000);
}
