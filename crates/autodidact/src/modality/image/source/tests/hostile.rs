//! Missing, damaged and hostile files. What is wrong is said; of changed bytes every outcome is fine except a panic,
//! an endless loop, or memory without end.

use rand::RngExt;

use super::deep::raw_tiff;
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

#[test]
fn what_a_tiff_claims_of_its_parts_is_looked_at_before_memory_is_taken() {
    // Rows of floats are unpacked from whole rows of a tile, however wide that says it is.
    let wide: &[(u16, &[u32])] = &[
        (256, &[4]),
        (257, &[1]),
        (258, &[32]),
        (262, &[1]),
        (277, &[2]),
        (317, &[3]),
        (322, &[1 << 30]),
        (323, &[1]),
        (339, &[3]),
    ];
    let text = decode(&raw_tiff(true, wide, &[&[0; 32]])).unwrap_err();
    let text = text.to_string();
    assert!(text.contains("parts of 1073741824×1"), "{text}");
    // A small image whose every tile is a thousand times as large.
    let many: &[(u16, &[u32])] = &[
        (256, &[1]),
        (257, &[1000]),
        (258, &[8]),
        (262, &[1]),
        (277, &[2]),
        (322, &[1 << 20]),
        (323, &[1]),
    ];
    let parts: Vec<&[u8]> = vec![&[0; 2][..]; 1000];
    let text = decode(&raw_tiff(true, many, &parts)).unwrap_err();
    let text = text.to_string();
    assert!(text.contains("in 1000 parts of 1048576×1"), "{text}");
    // A JPEG inside of it is larger than the image.
    let mut jpeg = std::io::Cursor::new(Vec::new());
    DynamicImage::ImageLuma8(image::GrayImage::new(200, 100))
        .write_to(&mut jpeg, ImageFormat::Jpeg)
        .unwrap();
    let jpeg = jpeg.into_inner();
    for (width, found) in [(8, Some("holds a JPEG of 200×100")), (200, None)] {
        let width = [width];
        let packed: &[(u16, &[u32])] = &[
            (256, &width),
            (257, &[100]),
            (258, &[8]),
            (259, &[7]),
            (262, &[1]),
        ];
        let read = decode(&raw_tiff(false, packed, &[&jpeg]));
        match (read, found) {
            (Err(error), Some(found)) => assert!(error.to_string().contains(found), "{error}"),
            (read, found) => assert_eq!(read.is_ok(), found.is_none()),
        }
    }
}

#[test]
fn a_tiff_that_its_reader_trips_over_is_a_damaged_one() {
    // Tiles of planes whose lower edge is padded, in colors that are left to the decoder of ordinary images.
    let notes: &[(u16, &[u32])] = &[
        (256, &[5]),
        (257, &[3]),
        (258, &[8]),
        (262, &[5]),
        (277, &[4]),
        (284, &[2]),
        (322, &[4]),
        (323, &[2]),
    ];
    let tiles: Vec<&[u8]> = vec![&[7; 8][..]; 16];
    let text = decode(&raw_tiff(true, notes, &tiles)).unwrap_err();
    assert!(text.to_string().contains("damaged TIFF"), "{text}");
}
