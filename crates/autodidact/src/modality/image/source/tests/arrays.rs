//! NumPy arrays, WebDataset shards, and the way up that cameras note.

use rand::RngExt;

use super::hostile::mutate;
use super::*;
use crate::random::{Purpose, stream};

/// An array as `numpy.save` writes it.
pub(super) fn npy(kind: &str, shape: &str, values: &[u8]) -> Vec<u8> {
    let mut header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}");
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(values);
    bytes
}

#[test]
fn channels_may_come_first_or_last() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    // Two images of 2 rows and 4 columns, whose value tells item, row, column and channel.
    let value = |n: u8, y: u8, x: u8, c: u8| n * 100 + y * 40 + x * 10 + c;
    let (mut last, mut first) = (Vec::new(), Vec::new());
    for n in 0..2 {
        for y in 0..2 {
            for x in 0..4 {
                last.extend((0..3).map(|c| value(n, y, x, c)));
            }
        }
        for c in 0..3 {
            for y in 0..2 {
                first.extend((0..4).map(|x| value(n, y, x, c)));
            }
        }
    }
    write(root, "last.npy", &npy("|u1", "(2, 2, 4, 3)", &last));
    write(root, "first.npy", &npy("|u1", "(2, 3, 2, 4)", &first));
    for name in ["last.npy", "first.npy"] {
        let source = open(&spec(root.join(name))).unwrap();
        for n in 0..2 {
            let image = source.get(n).unwrap();
            assert_eq!((image.width(), image.height(), image.channels()), (4, 2, 3));
            assert_eq!(image.pixels(), &last[n * 24..][..24], "{name}");
        }
    }
}

#[test]
fn parts_and_labels_of_an_npz_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let packed = zip_of(&[
        ("x_train.npy", npy("|u1", "(3, 2, 2)", &[1; 12])),
        ("y_train.npy", npy("|u1", "(3,)", &[0, 1, 0])),
        ("x_test.npy", npy("|u1", "(1, 2, 2)", &[9; 4])),
        ("y_test.npy", npy("<i8", "(1,)", &2i64.to_le_bytes())),
    ]);
    write(folder.path(), "mnist.npz", &packed);
    let path = folder.path().join("mnist.npz");
    let train = open(&spec(&path)).unwrap();
    assert_eq!(classes(&*train), ["0", "1", "0"]);
    assert_eq!(train.other_parts(), [Part::Test]);
    let test = open(&part(&path, Part::Test)).unwrap();
    assert_eq!(classes(&*test), ["2"]);
    assert_eq!(test.labels().unwrap().classes.len(), 3);
    assert_eq!(test.get(0).unwrap().pixels(), [9; 4]);
}

#[test]
fn arrays_of_other_types_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (kind, width) in [("<i2", 2), ("<f8", 8)] {
        write(
            folder.path(),
            "x.npy",
            &npy(kind, "(1, 2, 2)", &vec![0; 4 * width]),
        );
        let text = error(&spec(folder.path().join("x.npy"))).to_string();
        assert!(text.contains(kind) && text.contains("uint16"), "{text}");
    }
}

#[test]
fn samples_of_shards_are_joined_by_their_keys() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for (name, samples) in [
        ("d-train-000.tar", [(1, "3"), (2, "12")]),
        ("d-train-001.tar", [(3, "3"), (4, "7")]),
        ("d-test-000.tar", [(5, "12"), (6, "7")]),
    ] {
        let mut members = Vec::new();
        for (seed, class) in samples {
            members.push((format!("{seed:04}.png"), png(seed)));
            members.push((format!("{seed:04}.cls"), class.as_bytes().to_vec()));
        }
        let members: Vec<_> = members
            .iter()
            .map(|(name, bytes)| (name.as_str(), bytes.clone()))
            .collect();
        write(root, name, &tar_of(&members));
    }
    let train = open(&spec(root)).unwrap();
    assert_eq!(classes(&*train), ["3", "12", "3", "7"]);
    assert_eq!(train.labels().unwrap().classes, ["3", "7", "12"]);
    assert_eq!(train.get(2).unwrap(), decode(&png(3)).unwrap());
    let test = open(&part(root, Part::Test)).unwrap();
    assert_eq!(classes(&*test), ["12", "7"]);
}

#[test]
fn shards_that_are_packed_share_the_classes_of_all_parts() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    for (name, first, second) in [("train", "ant", "cat"), ("test", "bee", "cat")] {
        let members = [
            ("1.png", png(1)),
            ("1.cls", first.as_bytes().to_vec()),
            ("2.png", png(2)),
            (
                "2.json",
                format!("{{\"label\": \"{second}\"}}").into_bytes(),
            ),
        ];
        write(
            root,
            &format!("{name}-000.tar.gz"),
            &gzip(&tar_of(&members)),
        );
    }
    // With room in memory for the notes, and without.
    for memory_limit in [0, 1 << 20] {
        for (which, own) in [(Part::Train, ["ant", "cat"]), (Part::Test, ["bee", "cat"])] {
            let source = open(&SourceSpec {
                memory_limit,
                ..part(root, which)
            });
            let source = source.unwrap();
            assert_eq!(classes(&*source), own);
            assert_eq!(source.labels().unwrap().classes, ["ant", "bee", "cat"]);
            assert_eq!(source.get(0).unwrap(), decode(&png(1)).unwrap());
        }
    }
}

#[test]
fn a_list_says_more_surely_what_it_means_than_notes_beside_images() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["1", "2"] {
        write(folder.path(), &format!("{name}.png"), &png(1));
        write(folder.path(), &format!("{name}.json"), b"{\"label\": 7}");
    }
    let list = b"file,label\n1.png,cat\n2.png,dog\n";
    write(folder.path(), "index.csv", list);
    let source = open(&spec(folder.path())).unwrap();
    assert_eq!(source.labels().unwrap().classes, ["cat", "dog"]);
}

#[test]
fn numbers_of_shards_are_no_classes() {
    let folder = tempfile::tempdir().unwrap();
    for shard in 0..3 {
        let name = format!("photos-{shard:04}.tar");
        write(folder.path(), &name, &tar_of(&[("a.png", png(shard))]));
    }
    let source = open(&spec(folder.path())).unwrap();
    assert_eq!(source.len(), 3);
    assert!(source.labels().is_none());
}

#[test]
fn a_name_that_climbs_out_of_its_archive_is_read_in_place() {
    let folder = tempfile::tempdir().unwrap();
    let packed = zip_of(&[("../../evil/1.png", png(1)), ("good/2.png", png(2))]);
    write(folder.path(), "in/x.zip", &packed);
    let source = open(&spec(folder.path().join("in/x.zip"))).unwrap();
    assert_eq!(names(&*source), ["evil/1.png", "good/2.png"]);
    let mut header = tar::Header::new_gnu();
    // Written by hand: the crate refuses to pack such a name.
    header.as_old_mut().name[..16].copy_from_slice(b"../../evil/3.png");
    header.set_size(png(3).len() as u64);
    header.set_cksum();
    let mut builder = tar::Builder::new(Vec::new());
    builder.append(&header, png(3).as_slice()).unwrap();
    let packed = builder.into_inner().unwrap();
    write(folder.path(), "in/x.tar", &packed);
    write(folder.path(), "in/x.tar.gz", &gzip(&packed));
    for name in ["in/x.tar", "in/x.tar.gz"] {
        let source = open(&spec(folder.path().join(name))).unwrap();
        assert_eq!(names(&*source), ["evil/3.png"]);
        assert_eq!(source.get(0).unwrap(), decode(&png(3)).unwrap());
    }
    assert!(!folder.path().join("evil").exists());
}

#[test]
fn a_photo_is_turned_as_its_camera_noted() {
    let upright = decode(&encoded(200, ImageFormat::Jpeg)).unwrap();
    for (orientation, wide) in [(1u8, 9), (3, 9), (6, 7), (8, 7)] {
        let mut exif = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
        exif.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
        let mut bytes = encoded(200, ImageFormat::Jpeg);
        let mut marker = vec![0xff, 0xe1];
        marker.extend((exif.len() as u16 + 2).to_be_bytes());
        marker.extend(exif);
        bytes.splice(2..2, marker);
        let image = decode(&bytes).unwrap();
        assert_eq!(image.width(), wide, "orientation {orientation}");
        // Where the first pixel of the file has to stand, and what stands there.
        let (x, y) = match orientation {
            1 => (0, 0),
            3 => (8, 6),
            6 => (6, 0),
            _ => (0, 8),
        };
        let at = (y * image.width() + x) * 3;
        assert_eq!(image.pixels()[at..at + 3], upright.pixels()[..3]);
    }
}

#[test]
fn changed_arrays_and_shards_never_panic() {
    let members = [
        ("1.png", png(1)),
        ("1.cls", b"1".to_vec()),
        ("2.png", png(2)),
        ("2.json", b"{\"label\": 2}".to_vec()),
    ];
    let labels = npy("<i4", "(2,)", &[1, 0, 0, 0, 2, 0, 0, 0]);
    let images = npy("|u1", "(2, 3, 2)", &[7; 12]);
    let files = [
        ("x.tar", tar_of(&members)),
        ("x.npy", images.clone()),
        (
            "x.npz",
            zip_of(&[("x.npy", images), ("y.npy", labels.clone())]),
        ),
        ("labels.npy", labels),
    ];
    for (kind, (name, seed)) in files.iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), "x.npy", &npy("|u1", "(2, 3, 2)", &[7; 12]));
        for round in 0..300 {
            let mut rng = stream(2, Purpose::Evaluation, &[kind as u64, round]);
            write(folder.path(), name, &mutate(seed, &mut rng));
            let named = if *name == "labels.npy" { "x.npy" } else { name };
            if let Ok(source) = open(&spec(folder.path().join(named))) {
                let at = rng.random_range(0..source.len().max(1));
                let _ = source.get(at);
            }
        }
    }
}
