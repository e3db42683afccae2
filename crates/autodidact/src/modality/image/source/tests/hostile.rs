//! Missing, damaged and hostile files. What is wrong is said; of changed bytes every outcome is fine except a panic,
//! an endless loop, or memory without end.

use rand::RngExt;

use super::formats::idx;
use super::*;
use crate::random::{Purpose, Rng, stream};

#[test]
fn errors_say_what_was_found_and_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path();
    write(root, "photos/a.heic", b"x");
    write(root, "photos/b.txt", b"x");
    let text = error(&spec(root.join("photos"))).to_string();
    assert!(
        text.contains("holds no images (found: 1 .heic, 1 .txt)"),
        "{text}"
    );
    assert!(
        error(&spec(root.join("photo")))
            .remedy()
            .unwrap()
            .contains("photos")
    );
    write(root, "what.dat", b"nothing in particular");
    assert!(
        error(&spec(root.join("what.dat")))
            .to_string()
            .contains("unknown kind")
    );
    write(root, "one.png", &png(1));
    assert_eq!(open(&spec(root.join("one.png"))).unwrap().len(), 1);
    let packed = zip_of(&[
        ("cats/1.jpg", encoded(1, ImageFormat::Jpeg)[..200].to_vec()),
        ("cats/2.jpg", b"garbage".to_vec()),
    ]);
    write(root, "photos.zip", &packed);
    let source = open(&spec(root.join("photos.zip"))).unwrap();
    for (index, found) in [
        (0, "damaged JPEG"),
        (1, "is no image: begins with \"garbage\""),
    ] {
        let text = source.get(index).unwrap_err().to_string();
        assert!(
            text.contains(&format!("photos.zip!cats/{}.jpg", index + 1)) && text.contains(found),
            "{text}"
        );
    }
    let tar = tar_of(&[("a/1.png", png(1)), ("b/2.png", png(2))]);
    for (name, bytes) in [
        ("cut.tar", &tar[..600]),
        ("cut.tar.gz", &gzip(&tar)[..300]),
        ("cut.zip", &packed[..packed.len() - 30]),
    ] {
        write(root, name, bytes);
        let text = error(&spec(root.join(name))).to_string();
        assert!(text.contains("damaged or ends too early"), "{text}");
    }
}

pub(super) fn mutate(bytes: &[u8], rng: &mut Rng) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    for _ in 0..rng.random_range(1..8) {
        let at = rng.random_range(0..bytes.len());
        match rng.random_range(0..6) {
            0 => bytes[at] = rng.random(),
            1 => bytes[at] ^= 1 << rng.random_range(0..8),
            2 => bytes[at] = [0, 0xff, 0x7f, 0x80][rng.random_range(0..4)],
            3 => bytes.truncate(at.max(1)),
            4 => {
                bytes.remove(at);
                bytes.push(0);
            }
            _ => bytes.insert(at, rng.random()),
        }
    }
    bytes
}

#[test]
fn changed_images_never_panic() {
    let mut seeds: Vec<Vec<u8>> = [
        ImageFormat::Jpeg,
        ImageFormat::Png,
        ImageFormat::Bmp,
        ImageFormat::WebP,
        ImageFormat::Gif,
        ImageFormat::Tiff,
    ]
    .map(|format| encoded(200, format))
    .into();
    let mut grey = std::io::Cursor::new(Vec::new());
    DynamicImage::ImageLuma8(image::GrayImage::new(40, 30))
        .write_to(&mut grey, ImageFormat::Jpeg)
        .unwrap();
    seeds.push(grey.into_inner());
    let mut read = 0;
    for (format, seed) in seeds.iter().enumerate() {
        for round in 0..1_500 {
            let mut rng = stream(0, Purpose::Evaluation, &[format as u64, round]);
            read += usize::from(decode(&mutate(seed, &mut rng)).is_ok());
        }
    }
    assert!(
        read > 100,
        "only {read} could be read, so that the decoders were hardly tried"
    );
}

#[test]
fn changed_archives_and_tables_never_panic() {
    let members = [
        ("train/a/1.png", png(1)),
        ("train/b/2.png", png(2)),
        ("test/a/3.png", png(3)),
    ];
    let images = idx(&[3, 2, 3], &[7; 18]);
    let files = [
        ("x.tar", tar_of(&members)),
        ("x.tar.gz", gzip(&tar_of(&members))),
        ("x.zip", zip_of(&members)),
        ("train-images-idx3-ubyte", images.clone()),
        ("train-images-idx3-ubyte.gz", gzip(&images)),
        (
            "x.csv",
            b"file,label,split\nx.png,1,train\ny.png,2,test\n".to_vec(),
        ),
    ];
    for (kind, (name, seed)) in files.iter().enumerate() {
        let folder = tempfile::tempdir().unwrap();
        for round in 0..400 {
            let mut rng = stream(1, Purpose::Evaluation, &[kind as u64, round]);
            write(folder.path(), name, &mutate(seed, &mut rng));
            if let Ok(source) = open(&spec(folder.path().join(name))) {
                for index in 0..source.len().min(10) {
                    let _ = source.get(index);
                }
            }
        }
    }
}

#[test]
fn a_bomb_is_refused_before_it_goes_off() {
    // A PNG of 60,000×60,000 whose header alone is true.
    let mut bytes = png(1);
    bytes[16..20].copy_from_slice(&60_000u32.to_be_bytes());
    bytes[20..24].copy_from_slice(&60_000u32.to_be_bytes());
    let mut sum = flate2::Crc::new();
    sum.update(&bytes[12..29]);
    bytes[29..33].copy_from_slice(&sum.sum().to_be_bytes());
    let error = decode(&bytes).unwrap_err().to_string();
    assert!(error.contains("60000×60000"), "{error}");
}
