//! IDX files, CIFAR records and lists.

use super::*;

pub(super) fn idx(dimensions: &[u32], body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0, 0, 8, dimensions.len() as u8];
    bytes.extend(dimensions.iter().flat_map(|size| size.to_be_bytes()));
    bytes.extend(body);
    bytes
}

#[test]
fn idx_files_are_read_plain_and_gzipped_with_labels_and_parts() {
    let folder = tempfile::tempdir().unwrap();
    let pixels: Vec<u8> = (0..18).collect();
    write(
        folder.path(),
        "train-images-idx3-ubyte.gz",
        &gzip(&idx(&[3, 2, 3], &pixels)),
    );
    write(
        folder.path(),
        "train-labels-idx1-ubyte.gz",
        &gzip(&idx(&[3], &[1, 0, 1])),
    );
    write(
        folder.path(),
        "t10k-images.idx3-ubyte",
        &idx(&[1, 2, 3], &pixels[..6]),
    );
    write(folder.path(), "t10k-labels.idx1-ubyte", &idx(&[1], &[2]));
    for memory_limit in [0, 1 << 20] {
        for path in [
            folder.path().to_path_buf(),
            folder.path().join("train-images-idx3-ubyte.gz"),
        ] {
            let source = open(&SourceSpec {
                memory_limit,
                ..spec(&path)
            })
            .unwrap();
            assert_eq!(classes(&*source), ["1", "0", "1"]);
            assert_eq!(source.labels().unwrap().classes, ["0", "1", "2"]);
            let image = source.get(2).unwrap();
            assert_eq!(
                (image.width(), image.height(), image.pixels()),
                (3, 2, &pixels[12..])
            );
            assert_eq!(source.other_parts(), [Part::Test]);
            let test = open(&part(&path, Part::Test)).unwrap();
            assert_eq!((test.len(), classes(&*test)), (1, vec!["2"]));
        }
    }
    let alone = open(&spec(folder.path().join("t10k-images.idx3-ubyte"))).unwrap();
    assert_eq!(alone.len(), 1);
    write(
        folder.path(),
        "train-images-idx3-ubyte.gz",
        &gzip(&idx(&[4, 2, 3], &pixels)),
    );
    let error = error(&spec(folder.path())).to_string();
    assert!(
        error.contains("fewer bytes than its header says"),
        "{error}"
    );
}

#[test]
fn sets_that_call_their_files_alike_are_not_mixed() {
    let folder = tempfile::tempdir().unwrap();
    let images = idx(&[1, 2, 3], &[7; 6]);
    // Packed and unpacked beside each other, or in a folder called like the file, is one set.
    write(
        folder.path(),
        "mnist/train-images-idx3-ubyte.gz",
        &gzip(&images),
    );
    write(folder.path(), "mnist/train-images.idx3-ubyte", &images);
    write(
        folder.path(),
        "mnist/train/train-images-idx3-ubyte",
        &images,
    );
    assert_eq!(open(&spec(folder.path())).unwrap().len(), 1);
    write(folder.path(), "fashion/train-images-idx3-ubyte", &images);
    let text = error(&spec(folder.path())).to_string();
    assert!(
        text.contains("holds several sets: fashion/train-images-idx3-ubyte, mnist/train"),
        "{text}"
    );
    assert_eq!(open(&spec(folder.path().join("mnist"))).unwrap().len(), 1);
}

#[test]
fn cifar_records_are_read_from_folders_and_archives() {
    let record = |label: u8| {
        let planes = [10u8, 20, 30]
            .into_iter()
            .flat_map(|value| std::iter::repeat_n(value + label, 1024));
        std::iter::once(label).chain(planes).collect::<Vec<u8>>()
    };
    let members = [
        (
            "cifar-10-batches-bin/batches.meta.txt",
            b"plane\ncar\n\n".to_vec(),
        ),
        (
            "cifar-10-batches-bin/data_batch_1.bin",
            [record(0), record(1)].concat(),
        ),
        ("cifar-10-batches-bin/data_batch_2.bin", record(1)),
        ("cifar-10-batches-bin/test_batch.bin", record(0)),
    ];
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        "x/cifar-10-binary.tar.gz",
        &gzip(&tar_of(&members)),
    );
    for (name, bytes) in &members {
        write(&folder.path().join("tree"), name, bytes);
    }
    for path in ["x", "x/cifar-10-binary.tar.gz", "tree"].map(|name| folder.path().join(name)) {
        let train = open(&spec(&path)).unwrap();
        assert_eq!(classes(&*train), ["plane", "car", "car"]);
        let image = train.get(2).unwrap();
        assert_eq!(
            (image.width(), image.channels(), &image.pixels()[..3]),
            (32, 3, &[11, 21, 31][..])
        );
        assert_eq!(
            classes(&*open(&part(&path, Part::Test)).unwrap()),
            ["plane"]
        );
    }
    write(
        folder.path(),
        "tree/cifar-10-batches-bin/data_batch_2.bin",
        &record(7),
    );
    let error = error(&spec(folder.path().join("tree"))).to_string();
    assert!(error.contains("class 7"), "{error}");
}

#[test]
fn two_sets_of_cifar_are_not_chosen_between() {
    let ten = [
        ("cifar-10/batches.meta.txt", b"plane\ncar\n".to_vec()),
        ("cifar-10/data_batch_1.bin", vec![1; 3073]),
        ("cifar-10/test_batch.bin", vec![0; 3073]),
    ];
    let hundred = [
        ("cifar-100/fine_label_names.txt", b"apple\nfish\n".to_vec()),
        ("cifar-100/train.bin", vec![1; 3074]),
        ("cifar-100/test.bin", vec![0; 3074]),
    ];
    let folder = tempfile::tempdir().unwrap();
    let both = ten.iter().chain(&hundred);
    for (name, bytes) in both {
        write(&folder.path().join("tree"), name, bytes);
    }
    write(folder.path(), "packed/ten.tar.gz", &gzip(&tar_of(&ten)));
    write(folder.path(), "packed/hundred.zip", &zip_of(&hundred));
    for path in ["tree", "packed"].map(|name| folder.path().join(name)) {
        let found = error(&spec(&path));
        let text = found.to_string();
        assert!(
            text.contains("cifar-10/data_batch_1.bin) and CIFAR-100 (")
                && text.contains("cifar-100/test.bin"),
            "{text}"
        );
        assert!(found.remedy().unwrap().contains("name the folder"));
    }
    for (name, class) in [("tree/cifar-10", "car"), ("tree/cifar-100", "fish")] {
        let source = open(&spec(folder.path().join(name))).unwrap();
        assert_eq!(classes(&*source), [class]);
    }
    // A copy of a set isn't learned from twice.
    write(folder.path(), "twice/a/data_batch_1.bin", &[1; 3073]);
    write(folder.path(), "twice/b/data_batch_1.bin", &[1; 3073]);
    let text = error(&spec(folder.path().join("twice"))).to_string();
    assert!(
        text.contains("holds several sets: a/data_batch_1.bin, b/data_batch_1.bin"),
        "{text}"
    );
}

#[test]
fn a_list_names_files_labels_and_parts() {
    let folder = tempfile::tempdir().unwrap();
    let list = b"file,label,class,split\na/1.png,1,ant,train\na/2.png,0,bee,train\nb/3.png,0,bee,val\nb/9.png,0,bee,train\n";
    let members = [
        ("a/1.png", png(1)),
        ("a/2.png", png(2)),
        ("b/3.png", png(3)),
    ];
    write(folder.path(), "packed/index.csv", list);
    write(
        folder.path(),
        "packed/cells.tar.gz",
        &gzip(&tar_of(&members)),
    );
    write(folder.path(), "tree/index.csv", list);
    for (name, bytes) in &members {
        write(&folder.path().join("tree"), name, bytes);
    }
    for path in ["packed", "packed/index.csv", "tree", "tree/index.csv"]
        .map(|name| folder.path().join(name))
    {
        let train = open(&part(&path, Part::Train)).unwrap();
        assert_eq!(classes(&*train)[..2], ["ant", "bee"], "{}", path.display());
        assert_eq!(train.labels().unwrap().classes, ["bee", "ant"]);
        assert_eq!(train.get(1).unwrap(), decode(&png(2)).unwrap());
        let test = open(&part(&path, Part::Test)).unwrap();
        assert_eq!((test.len(), classes(&*test)), (1, vec!["bee"]));
    }
    write(folder.path(), "wrong/list.csv", b"file\nnothing.png\n");
    let error = error(&spec(folder.path().join("wrong/list.csv"))).to_string();
    assert!(error.contains("none of its 1 files is there"), "{error}");
}
