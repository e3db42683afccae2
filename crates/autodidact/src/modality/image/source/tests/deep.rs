//! More than 8 bits and more than three channels, kept as they are.

use tiff::encoder::{TiffEncoder, colortype};
use tiff::tags::Tag;

use super::arrays::npy;
use super::*;
use crate::modality::image::views::{Normalization, plain};

/// Values that 8 bits can't tell apart.
fn words(count: u16) -> Vec<u16> {
    (0..count).map(|i| 1000 + i * 3).collect()
}

/// A TIFF file written by hand: strips or tiles of bytes, and notes of whole numbers. What a note says is never checked.
pub(super) fn raw_tiff(tiled: bool, notes: &[(u16, &[u32])], parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = b"II*\0\0\0\0\0".to_vec();
    let mut places = Vec::new();
    for part in parts {
        places.push(bytes.len() as u32);
        bytes.extend_from_slice(part);
    }
    let lengths = parts.iter().map(|part| part.len() as u32).collect();
    let mut notes: Vec<(u16, Vec<u32>)> = notes
        .iter()
        .map(|(tag, values)| (*tag, values.to_vec()))
        .collect();
    let (at, of) = if tiled { (324, 325) } else { (273, 279) };
    notes.extend([(at, places), (of, lengths)]);
    notes.sort();
    let mut directory = (notes.len() as u16).to_le_bytes().to_vec();
    for (tag, values) in notes {
        directory.extend(tag.to_le_bytes());
        // Four bytes a number, but two for what the channels beside the colors are, as the format wants it.
        directory.extend([if tag == 338 { 3 } else { 4 }, 0]);
        directory.extend((values.len() as u32).to_le_bytes());
        let place = match values[..] {
            [value] => value,
            _ => bytes.len() as u32,
        };
        directory.extend(place.to_le_bytes());
        if values.len() > 1 {
            bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        }
    }
    directory.extend([0; 4]);
    let at = bytes.len() as u32;
    bytes[4..8].copy_from_slice(&at.to_le_bytes());
    bytes.extend(directory);
    bytes
}

fn tiff<C: colortype::ColorType>(width: u32, height: u32, values: &[C::Inner]) -> Vec<u8>
where
    [C::Inner]: tiff::encoder::TiffValue,
{
    let mut bytes = std::io::Cursor::new(Vec::new());
    TiffEncoder::new(&mut bytes)
        .unwrap()
        .write_image::<C>(width, height, values)
        .unwrap();
    bytes.into_inner()
}

#[test]
fn sixteen_bits_and_floats_stay_what_they_are() {
    let values = words(24);
    let kept = Pixels::Words(values.clone().into());
    let color = image::ImageBuffer::from_raw(4, 2, values.clone()).unwrap();
    for format in [ImageFormat::Png, ImageFormat::Tiff] {
        let mut bytes = std::io::Cursor::new(Vec::new());
        DynamicImage::ImageRgb16(color.clone())
            .write_to(&mut bytes, format)
            .unwrap();
        let image = decode(&bytes.into_inner()).unwrap();
        assert_eq!((image.channels(), image.values()), (3, &kept));
    }
    let image = decode(&tiff::<colortype::Gray16>(6, 4, &values)).unwrap();
    assert_eq!((image.channels(), image.values()), (1, &kept));
    let floats: Vec<f32> = (0..24).map(|i| i as f32 / 1e4).collect();
    let image = decode(&tiff::<colortype::Gray32Float>(6, 4, &floats)).unwrap();
    assert_eq!(image.values(), &Pixels::Floats(floats.clone().into()));
    let mut beyond = floats;
    beyond[5] = 7.5;
    let text = decode(&tiff::<colortype::Gray32Float>(6, 4, &beyond)).unwrap_err();
    assert!(
        text.to_string()
            .contains("holds the value 7.5; expected 0 (black) to 1"),
        "{text}"
    );
}

#[test]
fn arrays_keep_their_bits_and_their_channels() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.npy");
    // One image of 4 rows, 5 columns and 2 channels, channels last and first.
    let value = |y: u16, x: u16, c: u16| y * 10_000 + x * 1_000 + c;
    let mut last = Vec::new();
    let mut first = Vec::new();
    for y in 0..4 {
        for x in 0..5 {
            last.extend((0..2).map(|c| value(y, x, c)));
        }
    }
    for c in 0..2 {
        for y in 0..4 {
            first.extend((0..5).map(|x| value(y, x, c)));
        }
    }
    let low: Vec<u8> = last.iter().flat_map(|word| word.to_le_bytes()).collect();
    let high: Vec<u8> = first.iter().flat_map(|word| word.to_be_bytes()).collect();
    for bytes in [
        npy("<u2", "(1, 4, 5, 2)", &low),
        npy(">u2", "(1, 2, 4, 5)", &high),
    ] {
        fs::write(&path, bytes).unwrap();
        let image = open(&spec(&path)).unwrap().get(0).unwrap();
        assert_eq!((image.width(), image.height(), image.channels()), (5, 4, 2));
        assert_eq!(image.values(), &Pixels::Words(last.clone().into()));
    }
    let floats: Vec<u8> = [0.25f32, f32::NAN]
        .iter()
        .flat_map(|v| v.to_le_bytes())
        .collect();
    fs::write(&path, npy("<f4", "(2, 1, 1)", &floats)).unwrap();
    let source = open(&spec(&path)).unwrap();
    assert_eq!(
        source.get(0).unwrap().values(),
        &Pixels::Floats([0.25].into())
    );
    let text = source.get(1).unwrap_err().to_string();
    assert!(text.contains("x/00001: holds the value NaN"), "{text}");
}

#[test]
fn views_of_deep_images_are_not_rounded_and_each_channel_is_its_own() {
    let values = words(5 * 16);
    let image = Image::of(4, 4, 5, Pixels::Words(values.clone().into())).unwrap();
    let normalization = Normalization::new(vec![0.0; 5], vec![1.0; 5]).unwrap();
    let view = plain(&image, 4, &normalization, 5);
    for (seen, value) in view.pixels.iter().zip(&values) {
        assert!((seen - f32::from(*value) / 65_535.0).abs() < 1e-7);
    }
    // The same picture in 8 bits, in 16 and in floats looks the same.
    let bytes: Vec<u8> = (0..60).map(|i| i * 4).collect();
    let wide = bytes.iter().map(|&byte| u16::from(byte) * 257).collect();
    let floats = bytes.iter().map(|&byte| f32::from(byte) / 255.0).collect();
    let normalization = Normalization::imagenet();
    let seen = [
        Pixels::Bytes(bytes.clone().into()),
        Pixels::Words(wide),
        Pixels::Floats(floats),
    ]
    .map(|pixels| {
        let image = Image::of(5, 4, 3, pixels).unwrap();
        plain(&image, 3, &normalization, 3).pixels
    });
    for other in &seen[1..] {
        for (a, b) in seen[0].iter().zip(other) {
            assert!((a - b).abs() < 1e-5, "{a} beside {b}");
        }
    }
}

#[test]
fn grey_with_opacity_is_laid_over_white() {
    for (extra, channels, seen) in [(2u16, 1, &[204u8, 10][..]), (0, 2, &[0, 51, 10, 255][..])] {
        let mut bytes = std::io::Cursor::new(Vec::new());
        let mut encoder = TiffEncoder::new(&mut bytes).unwrap();
        // As many grey values as 2×1 pixels of two samples have, and tags that say what the second of each is.
        let mut image = encoder.new_image::<colortype::Gray8>(4, 1).unwrap();
        let tags = image.encoder();
        tags.write_tag(Tag::ImageWidth, 2u32).unwrap();
        tags.write_tag(Tag::SamplesPerPixel, 2u16).unwrap();
        tags.write_tag(Tag::BitsPerSample, &[8u16; 2][..]).unwrap();
        tags.write_tag(Tag::SampleFormat, &[1u16; 2][..]).unwrap();
        tags.write_tag(Tag::ExtraSamples, &[extra][..]).unwrap();
        image.write_data(&[0, 51, 10, 255]).unwrap();
        let image = decode(&bytes.into_inner()).unwrap();
        assert_eq!((image.width(), image.channels()), (2, channels));
        assert_eq!(image.pixels(), seen, "extra samples of kind {extra}");
    }
}

#[test]
fn a_survey_counts_channels_and_measures_each() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.npy");
    // Channels of constant 0, 1/3, 2/3 and 1.
    let values: Vec<u8> = (0..64u16)
        .flat_map(|i| (i % 4 * 21_845).to_le_bytes())
        .collect();
    fs::write(&path, npy("<u2", "(1, 4, 4, 4)", &values)).unwrap();
    let source = open(&spec(&path)).unwrap();
    assert!(
        source.describe().contains("of 4 channels, 16 bits"),
        "{}",
        source.describe()
    );
    let survey = survey(&*source, 10, 0);
    assert_eq!(survey.channels, 4);
    for (channel, mean) in survey.mean.iter().enumerate() {
        assert!((mean - channel as f32 / 3.0).abs() < 1e-6, "{mean}");
    }
    assert!(survey.deviation.iter().all(|deviation| *deviation < 1e-3));
}

#[test]
fn an_image_of_another_sort_than_the_first_counts_as_unreadable() {
    let folder = tempfile::tempdir().unwrap();
    let bands = |name: &str| {
        let values = words(6 * 4 * 5);
        let mut bytes = std::io::Cursor::new(Vec::new());
        let mut encoder = TiffEncoder::new(&mut bytes).unwrap();
        let mut image = encoder.new_image::<colortype::Gray16>(6 * 5, 4).unwrap();
        image.encoder().write_tag(Tag::ImageWidth, 6u32).unwrap();
        image
            .encoder()
            .write_tag(Tag::SamplesPerPixel, 5u16)
            .unwrap();
        let sixteen = &[16u16; 5][..];
        image
            .encoder()
            .write_tag(Tag::BitsPerSample, sixteen)
            .unwrap();
        image
            .encoder()
            .write_tag(Tag::SampleFormat, &[1u16; 5][..])
            .unwrap();
        image.write_data(&values).unwrap();
        write(folder.path(), name, &bytes.into_inner());
        values
    };
    let values = bands("1.tif");
    write(folder.path(), "2.png", &png(1));
    bands("3.tif");
    let source = open(&spec(folder.path())).unwrap();
    let image = source.get(2).unwrap();
    assert_eq!((image.width(), image.height(), image.channels()), (6, 4, 5));
    assert_eq!(image.values(), &Pixels::Words(values.into()));
    let text = source.get(1).unwrap_err().to_string();
    assert!(
        text.contains("2.png: holds 3 channels; expected 5, as the first"),
        "{text}"
    );
}

#[test]
fn channels_that_a_color_file_says_nothing_of_are_not_left_out_silently() {
    let mut bytes = std::io::Cursor::new(Vec::new());
    let mut encoder = TiffEncoder::new(&mut bytes).unwrap();
    // As many grey values as 6×3 pixels of four channels have, and tags that say that they are color.
    let mut image = encoder.new_image::<colortype::Gray16>(24, 3).unwrap();
    let tags = image.encoder();
    tags.write_tag(Tag::ImageWidth, 6u32).unwrap();
    tags.write_tag(Tag::SamplesPerPixel, 4u16).unwrap();
    tags.write_tag(Tag::BitsPerSample, &[16u16; 4][..]).unwrap();
    tags.write_tag(Tag::SampleFormat, &[1u16; 4][..]).unwrap();
    tags.write_tag(Tag::PhotometricInterpretation, 2u16)
        .unwrap();
    tags.write_tag(Tag::ExtraSamples, &[0u16][..]).unwrap();
    image.write_data(&words(72)).unwrap();
    let error = decode(&bytes.into_inner()).unwrap_err();
    assert!(
        error
            .to_string()
            .contains("4 channels, of which it calls 3 colors"),
        "{error}"
    );
}

#[test]
fn colors_that_their_opacity_was_multiplied_into_are_laid_over_white_once() {
    for (kind, color, grey) in [(1, [227, 177, 127], 244), (2, [177, 152, 127], 212)] {
        let rgba: &[(u16, &[u32])] = &[
            (256, &[1]),
            (257, &[1]),
            (258, &[8]),
            (262, &[2]),
            (277, &[4]),
            (338, &[kind]),
        ];
        let image = decode(&raw_tiff(false, rgba, &[&[100, 50, 0, 128]])).unwrap();
        assert_eq!((image.channels(), image.pixels()), (3, &color[..]));
        let with_opacity: &[(u16, &[u32])] = &[
            (256, &[1]),
            (257, &[1]),
            (258, &[8]),
            (262, &[1]),
            (277, &[2]),
            (338, &[kind]),
        ];
        let image = decode(&raw_tiff(false, with_opacity, &[&[40, 51]])).unwrap();
        assert_eq!((image.channels(), image.pixels()), (1, &[grey][..]));
    }
}

#[test]
fn floats_and_bands_are_turned_as_their_notes_say() {
    let floats: Vec<f32> = (0..6).map(|i| i as f32 / 8.0).collect();
    let values: Vec<u8> = floats
        .iter()
        .flat_map(|float| float.to_le_bytes())
        .collect();
    let notes: &[(u16, &[u32])] = &[
        (256, &[3]),
        (257, &[2]),
        (258, &[32]),
        (262, &[1]),
        (274, &[6]),
        (339, &[3]),
    ];
    let image = decode(&raw_tiff(false, notes, &[&values])).unwrap();
    assert_eq!((image.width(), image.height()), (2, 3));
    // The lowest row stands first, at the left.
    let turned: Vec<f32> = [3, 0, 4, 1, 5, 2].map(|i| floats[i]).to_vec();
    assert_eq!(image.values(), &Pixels::Floats(turned.into()));
    let notes: &[(u16, &[u32])] = &[
        (256, &[2]),
        (257, &[1]),
        (258, &[8]),
        (262, &[1]),
        (274, &[3]),
        (277, &[5]),
    ];
    let image = decode(&raw_tiff(false, notes, &[&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]])).unwrap();
    assert_eq!(image.pixels(), [5, 6, 7, 8, 9, 0, 1, 2, 3, 4]);
}

#[test]
fn tiles_of_planes_are_joined_without_what_pads_them() {
    let value = |x: usize, y: usize, channel: usize| (x * 7 + y * 40 + channel * 80) as u8;
    for (channels, photometric) in [(3, 2), (2, 1)] {
        // 5×3 pixels in tiles of 4×2, of which four make a plane.
        let mut tiles: Vec<Vec<u8>> = Vec::new();
        for channel in 0..channels {
            for (left, top) in [(0, 0), (4, 0), (0, 2), (4, 2)] {
                let places = (0..8).map(|i| (left + i % 4, top + i / 4));
                let seen = |(x, y): (usize, usize)| match x < 5 && y < 3 {
                    true => value(x, y, channel),
                    false => 99,
                };
                tiles.push(places.map(seen).collect());
            }
        }
        let tiles: Vec<&[u8]> = tiles.iter().map(Vec::as_slice).collect();
        let samples = [channels as u32];
        let notes: &[(u16, &[u32])] = &[
            (256, &[5]),
            (257, &[3]),
            (258, &[8]),
            (262, &[photometric]),
            (277, &samples),
            (284, &[2]),
            (322, &[4]),
            (323, &[2]),
        ];
        let image = decode(&raw_tiff(true, notes, &tiles)).unwrap();
        let expected: Vec<u8> = (0..15 * channels)
            .map(|i| value(i / channels % 5, i / channels / 5, i % channels))
            .collect();
        assert_eq!((image.width(), image.height()), (5, 3));
        assert_eq!(image.pixels(), expected, "{channels} channels");
    }
}

/// Found by fuzzing: sampling factors that leave the inverse transform no room to write to.
#[test]
fn sampling_that_contradicts_the_size_is_no_panic() {
    const FOUND: &str = "\
        ffd8ffe100224578696600004d4d002a00000008000101120003000000010006000000000000ffe000104a464946000102000001000100\
        00ffc0001108000d001303011101012101031101ffdb00430008060607060508211c213232323232323232323232323232323206060700\
        00000000000003080a0c140d0c0b0b0c1912130f141d1a1f1e1d1a1c1c20242e2720222c231c1c2837292c30313434341f27393d38323c\
        2e333432ffdb0043010909090c0b0c180d0d38323c26333432ffdb00b700000043010909090c0b0c180d0d1832211c2132323230303030\
        3030303030303030303030303030303030303030303030303030303030303030303139383209000000363032373638ffc4001f00000105\
        01010101010100000000000000000102030405060708090a0bffc400b5100002010303020403050504040000017d010203030101010101\
        010101010000000000000102030405060708090a0bffc400b511000201020409233352f0156272d10a162434e125f11718191a26272829\
        2a35363738393a434445464748494a535455565758595a636465666768696ae8ff00007778797a82838485a3a4a5a6a7a8a9aab2b3b4b5\
        b6b7b8b9c3c2c3c4c5c6c7c8c9cad2d3d4d5d6d7d8d9dae1e2e3e4e5e6e7e8e9eaf1f2f3f4f5f6f7f8f9faffda0008010100003f00f39b\
        6f0ae71fbbfd2b62dbc27d3f77fa569af84be51fbbfd2bb9b4d1fffffffff3f4f5f6f7f8f9faffda000c03010002110311003f00f35b2f\
        0e671fb7c1dbe07f0464f3194e18d9c64b0000000049454e44aedb68e3d4afffd9426082\
    ";
    let digits: Vec<u8> = FOUND.bytes().filter(u8::is_ascii_hexdigit).collect();
    let bytes: Vec<u8> = digits
        .chunks_exact(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect();
    assert_eq!(bytes.len(), 586);
    if let Err(error) = decode(&bytes) {
        assert!(error.to_string().contains("JPEG"), "{error}");
    }
}
