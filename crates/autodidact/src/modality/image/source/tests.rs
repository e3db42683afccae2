//! Small data sets of every kind, made in temporary folders, and hostile files.

mod arrays;
mod columns;
mod deep;
mod formats;
mod hostile;
mod real;

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use image::{DynamicImage, ImageFormat};

use super::*;
use crate::modality::image::Pixels;

/// An image whose bytes depend on `seed`, encoded.
fn encoded(seed: u8, format: ImageFormat) -> Vec<u8> {
    let pixels = image::RgbImage::from_fn(9, 7, |x, y| {
        image::Rgb([seed, (x * 20) as u8, (y * 30) as u8 ^ seed])
    });
    let mut bytes = std::io::Cursor::new(Vec::new());
    DynamicImage::ImageRgb8(pixels)
        .write_to(&mut bytes, format)
        .unwrap();
    bytes.into_inner()
}

fn png(seed: u8) -> Vec<u8> {
    encoded(seed, ImageFormat::Png)
}

fn write(root: &Path, name: &str, bytes: &[u8]) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, bytes).unwrap();
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn tar_of(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in members {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder
            .append_data(&mut header, name, bytes.as_slice())
            .unwrap();
    }
    builder.into_inner().unwrap()
}

fn zip_of(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    for (index, (name, bytes)) in members.iter().enumerate() {
        let method = if index % 2 == 0 {
            zip::CompressionMethod::Stored
        } else {
            zip::CompressionMethod::Deflated
        };
        let options = zip::write::SimpleFileOptions::default().compression_method(method);
        writer.start_file(*name, options).unwrap();
        writer.write_all(bytes).unwrap();
    }
    writer.finish().unwrap().into_inner()
}

fn spec(path: impl AsRef<Path>) -> SourceSpec {
    SourceSpec {
        path: Some(path.as_ref().to_path_buf()),
        memory_limit: 1 << 20,
        ..SourceSpec::default()
    }
}

fn part(path: impl AsRef<Path>, part: Part) -> SourceSpec {
    SourceSpec {
        part: Some(part),
        ..spec(path)
    }
}

fn error(spec: &SourceSpec) -> Error {
    open(spec).err().expect("an error")
}

fn names(source: &dyn Source<Image>) -> Vec<String> {
    (0..source.len()).map(|index| source.name(index)).collect()
}

fn classes(source: &dyn Source<Image>) -> Vec<&str> {
    let labels = source.labels().expect("labels");
    assert_eq!(labels.of.len(), source.len());
    labels
        .of
        .iter()
        .map(|class| class.map_or("-", |class| labels.classes[class as usize].as_str()))
        .collect()
}

#[test]
fn a_folder_is_read_by_content_in_the_order_of_names() {
    let folder = tempfile::tempdir().unwrap();
    let formats = [
        ImageFormat::Jpeg,
        ImageFormat::Png,
        ImageFormat::Bmp,
        ImageFormat::WebP,
        ImageFormat::Gif,
        ImageFormat::Tiff,
    ];
    for (index, format) in formats.into_iter().enumerate() {
        // Every name lies about its format, and the last has none.
        let ending = [".png", ".jpg", ".tif", ".bmp", ".webp", ""][index];
        let class = ["cat", "dog"][index % 2];
        write(
            folder.path(),
            &format!("{class}/{index}{ending}"),
            &encoded(3, format),
        );
    }
    write(folder.path(), "__MACOSX/cat/._0.png", b"x");
    write(folder.path(), "cat/.hidden.png", b"x");
    write(folder.path(), "cat/notes.txt", b"BM is how this begins");
    let source = open(&spec(folder.path())).unwrap();
    assert_eq!(
        names(&*source),
        [
            "cat/0.png",
            "cat/2.tif",
            "cat/4.webp",
            "dog/1.jpg",
            "dog/3.bmp",
            "dog/5"
        ]
    );
    assert_eq!(
        classes(&*source),
        ["cat", "cat", "cat", "dog", "dog", "dog"]
    );
    for index in 0..6 {
        let image = source.get(index).unwrap();
        assert_eq!((image.width(), image.height(), image.channels()), (9, 7, 3));
    }
    assert!(
        source
            .describe()
            .starts_with("6 images, 2 classes, the first 9×7 color"),
        "{}",
        source.describe()
    );
    assert!(source.get(6).is_err());
}

#[test]
fn color_modes_become_grey_or_color_over_white() {
    let encode = |image: DynamicImage| {
        let mut bytes = std::io::Cursor::new(Vec::new());
        image.write_to(&mut bytes, ImageFormat::Png).unwrap();
        decode(&bytes.into_inner()).unwrap()
    };
    let deep = image::ImageBuffer::from_pixel(2, 1, image::Luma([0xff00u16]));
    let image = encode(DynamicImage::ImageLuma16(deep));
    let kept = Pixels::Words([0xff00, 0xff00].into());
    assert_eq!((image.channels(), image.values()), (1, &kept));
    let clear = image::RgbaImage::from_pixel(1, 1, image::Rgba([10, 20, 30, 0]));
    assert_eq!(
        encode(DynamicImage::ImageRgba8(clear)).pixels(),
        [255, 255, 255]
    );
    let half = image::ImageBuffer::from_pixel(1, 1, image::LumaA([0u8, 51]));
    let image = encode(DynamicImage::ImageLumaA8(half));
    assert_eq!((image.channels(), image.pixels()), (1, &[204][..]));
}

#[test]
fn archives_read_like_the_folder_that_was_packed() {
    let members = [
        ("set/dog/2.png", png(2)),
        ("set/cat/1.png", png(1)),
        ("set/dog/3.png", png(3)),
        ("set/readme.txt", b"x".to_vec()),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in &members {
        write(&folder.path().join("tree"), name, bytes);
    }
    write(folder.path(), "a.tar", &tar_of(&members));
    write(folder.path(), "b.tar.gz", &gzip(&tar_of(&members)));
    write(folder.path(), "c.tgz", &gzip(&tar_of(&members)));
    write(folder.path(), "d.zip", &zip_of(&members));
    let tree = open(&spec(folder.path().join("tree"))).unwrap();
    for file in ["a.tar", "b.tar.gz", "c.tgz", "d.zip"] {
        // Without memory, members of a .tar.gz lie in a temporary file.
        for memory_limit in [0, 1 << 20] {
            let source = open(&SourceSpec {
                memory_limit,
                ..spec(folder.path().join(file))
            })
            .unwrap();
            assert_eq!(names(&*source), names(&*tree));
            assert_eq!(source.labels(), tree.labels());
            for index in 0..3 {
                assert_eq!(
                    source.get(index).unwrap(),
                    tree.get(index).unwrap(),
                    "{file} {index}"
                );
                assert_eq!(
                    source.get(index).unwrap(),
                    tree.get(index).unwrap(),
                    "{file} {index}"
                );
            }
        }
    }
}

#[test]
fn parts_are_folders_or_archives_and_share_their_classes() {
    let folder = tempfile::tempdir().unwrap();
    let train = [("train/cat/1.png", png(1)), ("train/dog/2.png", png(2))];
    let test = [("test/dog/1.png", png(3)), ("test/eel/1.png", png(4))];
    let both: Vec<_> = train.iter().chain(&test).cloned().collect();
    write(
        folder.path(),
        "archives/train.tar.gz",
        &gzip(&tar_of(&train)),
    );
    write(folder.path(), "archives/test.tar.gz", &gzip(&tar_of(&test)));
    write(folder.path(), "one.zip", &zip_of(&both));
    for (name, bytes) in &both {
        write(&folder.path().join("tree"), name, bytes);
    }
    for path in ["archives", "one.zip", "tree"].map(|name| folder.path().join(name)) {
        let whole = open(&spec(&path)).unwrap();
        let train = open(&part(&path, Part::Train)).unwrap();
        let test = open(&part(&path, Part::Test)).unwrap();
        assert_eq!(names(&*whole), names(&*train));
        assert_eq!(
            (classes(&*train), train.other_parts()),
            (vec!["cat", "dog"], &[Part::Test][..])
        );
        assert_eq!(
            (classes(&*test), test.other_parts()),
            (vec!["dog", "eel"], &[Part::Train][..])
        );
        assert_eq!(
            train.labels().unwrap().classes,
            test.labels().unwrap().classes
        );
        assert_eq!(test.get(1).unwrap(), decode(&png(4)).unwrap());
    }
    let error = error(&part(
        folder.path().join("archives/train.tar.gz"),
        Part::Test,
    ))
    .to_string();
    assert!(error.contains("no test part"), "{error}");
}

#[test]
fn a_folder_of_archives_is_one_set() {
    let folder = tempfile::tempdir().unwrap();
    write(
        folder.path(),
        "small1.zip",
        &zip_of(&[
            ("small1/Greek/c1/a.png", png(1)),
            ("small1/Greek/c2/a.png", png(2)),
        ]),
    );
    write(
        folder.path(),
        "small2.zip",
        &zip_of(&[("small2/Latin/c1/a.png", png(3))]),
    );
    let source = open(&spec(folder.path())).unwrap();
    assert_eq!(
        names(&*source),
        [
            "small1/Greek/c1/a.png",
            "small1/Greek/c2/a.png",
            "small2/Latin/c1/a.png"
        ]
    );
    assert_eq!(
        classes(&*source),
        ["small1/Greek/c1", "small1/Greek/c2", "small2/Latin/c1"]
    );
}

#[test]
fn labels_of_the_user_override() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), "set/a/1.png", &png(1));
    write(folder.path(), "set/b/2.png", &png(2));
    write(
        folder.path(),
        "labels.csv",
        b"name,label\n2,x\n1.png,y\n5,z\n",
    );
    let labelled = SourceSpec {
        labels: Some(folder.path().join("labels.csv")),
        ..spec(folder.path().join("set"))
    };
    let source = open(&labelled).unwrap();
    assert_eq!(classes(&*source), ["y", "x"]);
    assert!(
        source.describe().contains("1 rows of which match no item"),
        "{}",
        source.describe()
    );
}

#[test]
fn a_survey_sums_exactly_and_names_the_bad() {
    let folder = tempfile::tempdir().unwrap();
    for (name, value) in [("1.png", 0u8), ("2.png", 255)] {
        let mut bytes = std::io::Cursor::new(Vec::new());
        let grey =
            image::RgbImage::from_pixel(4, 8 - u32::from(value) / 255, image::Rgb([value; 3]));
        DynamicImage::ImageRgb8(grey)
            .write_to(&mut bytes, ImageFormat::Png)
            .unwrap();
        write(folder.path(), name, &bytes.into_inner());
    }
    File::create(folder.path().join("3.png")).unwrap();
    let source = open(&spec(folder.path())).unwrap();
    let found = survey(&*source, 100, 0);
    // 32 black pixels and 28 white ones.
    let mean = 28.0 / 60.0f32;
    assert_eq!(
        (found.channels, found.images, found.min_side, found.max_side),
        (1, 2, 4, 8)
    );
    assert!(
        (found.mean[0] - mean).abs() < 1e-6
            && (found.deviation[0] - (mean * (1.0 - mean)).sqrt()).abs() < 1e-6
    );
    assert_eq!(found.bad[0].0, "3.png");
    assert!(found.bad[0].1.to_string().contains("is empty"));
    write(folder.path(), "4.png", &png(9));
    assert_eq!(
        survey(&*open(&spec(folder.path())).unwrap(), 100, 0).channels,
        3
    );
}

#[test]
fn without_a_path_the_set_is_drawn() {
    let spec = SourceSpec {
        synthetic_items: 50,
        seed: 1,
        memory_limit: 1 << 20,
        ..SourceSpec::default()
    };
    let source = open(&spec).unwrap();
    assert_eq!(
        (source.len(), source.other_parts()),
        (50, &[Part::Test][..])
    );
    assert_eq!(source.get(3).unwrap(), source.get(3).unwrap());
    assert!(source.describe().contains("synthetic"));
    assert!(source.get(50).is_err());
    let test = open(&SourceSpec {
        part: Some(Part::Test),
        ..spec
    })
    .unwrap();
    assert_eq!(
        (test.len(), test.name(0).as_str()),
        (10, "synthetic/test/00000")
    );
}
