//! Small whole files of every format, written anew before each run: what mutation starts from.

use std::io::{Cursor, Write};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, Int64Array, RecordBatch, StringArray, StructArray};
use arrow::datatypes::{DataType, Field};
use flate2::Compression;
use flate2::write::GzEncoder;
use image::{DynamicImage, ImageFormat};
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use crate::joined;

/// Puts the seeds of a target beside what earlier runs found.
pub fn sow(target: &str) {
    let seeds = match target {
        "image" => images(),
        "idx" => idx(),
        "npy" => npy(),
        "tar" | "shard" => tars(),
        "zip" => zips(),
        "parquet" => tables(),
        "cifar" => cifar(),
        "list" => lists(),
        "series" => series(),
        "text" => texts(),
        "tokenizer" => tokenizers(),
        "checkpoint" => checkpoints(),
        "recipe" => recipes(),
        _ => panic!("no target is called {target}"),
    };
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    std::fs::create_dir_all(&corpus).expect("the folder of seeds");
    for (index, seed) in seeds.iter().enumerate() {
        std::fs::write(corpus.join(format!("seed-{index:02}")), seed).expect("a seed");
    }
}

/// A byte for the format, one for how it is read, then a file and one of labels.
fn series() -> Vec<Vec<u8>> {
    let wide = b"time,a,b,anomaly\n2024-05-01 10:00,1,2,0\n2024-05-01 11:00,3,,1\n2024-05-01 12:00,5,6,0\n";
    let long = b"id;t;x\n1;1;0,5\n1;2;0,75\n2;1;1,5\n2;2;\n";
    let rows = b"1\t0.1\t0.2\t0.3\n2\t0.3\t0.2\n";
    let blocks = b"walk\n\t1\t2\n\t3\t4\n\nrun\n\t5\t6\n\t7\t8\n";
    let ts = b"@problemName x\n@timeStamps false\n@univariate false\n@classLabel true a b\n@data\n1,2,3:4,5,6:a\n1,?,3:4,5:b\n";
    let stretches = b"recording,start,end,label\nx,0,2,a\nx,2,3,b\n";
    let windows = br#"{"x.csv": [["2024-05-01 10:30", "2024-05-01 11:30"]]}"#;
    let named = b"name,label\nx,a\n";
    let texts: [(u8, &[u8], &[u8]); 7] = [
        (0, wide, windows),
        (0, wide, stretches),
        (0, long, named),
        (1, rows, b""),
        (2, blocks, b""),
        (3, ts, b""),
        (2, wide, b"a\nb\nc\n"),
    ];
    let mut seeds = Vec::new();
    for (number, (format, table, labels)) in texts.into_iter().enumerate() {
        let file = joined(table, labels);
        seeds.push([&[format, number as u8][..], &file].concat());
    }
    seeds.extend(npy().into_iter().map(|file| [&[4, 0][..], &file].concat()));
    seeds
}

/// A byte for the format, one for how it is read, then a file and one of labels.
fn texts() -> Vec<Vec<u8>> {
    let prose = b"A first line. Another one!\n\nAnd \xff after an empty line.\n";
    let wiki = b" = Title = \n\nWords.\n\n = = Part = = \n\nMore.\n\n = Other = \n\nEnd.\n";
    let lines = b"{\"text\": \"one\", \"label\": 1}\n{\"text\": \"two\", \"label\": \"b\"}\n";
    let table = b"text,label\n\"a, b\",x\nc,y\n";
    let pairs = b"a\tb\tc\none\ttwo\t0.5\nthree\tfour\t5\n";
    let column: ArrayRef = Arc::new(StringArray::from(vec![Some("one"), None, Some("three")]));
    let parquet = self::table(
        vec![("text", column)],
        None,
        parquet::basic::Compression::UNCOMPRESSED,
    );
    let named = b"name,label\nx/000000,a\n";
    let files: [(u8, u8, &[u8], &[u8]); 9] = [
        (0, 0, prose, b""),
        (0, 1, prose, named),
        (0, 2, prose, b"a\nb\nc\n"),
        (0, 3, prose, b""),
        (0, 4, wiki, b""),
        (1, 0, lines, b""),
        (2, 5, table, b""),
        (3, 6, pairs, b""),
        (4, 0, &parquet, b""),
    ];
    let mut seeds: Vec<Vec<u8>> = (files.into_iter())
        .map(|(format, reading, file, labels)| {
            [&[format, reading][..], &joined(file, labels)].concat()
        })
        .collect();
    seeds.push([&[5, 1][..], &joined(&gzip(prose), b"")].concat());
    seeds
}

/// A `tokenizer.json` of each model, and a text.
fn tokenizers() -> Vec<Vec<u8>> {
    let special = r###"{"id":0,"content":"[UNK]","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true},{"id":1,"content":"[SEP]","single_word":false,"lstrip":false,"rstrip":false,"normalized":false,"special":true}"###;
    let models = [
        r###"{"type":"WordPiece","unk_token":"[UNK]","continuing_subword_prefix":"##","max_input_chars_per_word":100,"vocab":{"[UNK]":0,"[SEP]":1,"a":2,"##b":3,"b":4}}"###,
        r###"{"type":"BPE","dropout":null,"unk_token":"[UNK]","continuing_subword_prefix":null,"end_of_word_suffix":null,"fuse_unk":false,"byte_fallback":false,"ignore_merges":false,"vocab":{"[UNK]":0,"[SEP]":1,"a":2,"b":3,"ab":4},"merges":[["a","b"]]}"###,
        r###"{"type":"Unigram","unk_id":0,"vocab":[["[UNK]",0.0],["[SEP]",0.0],["a",-1.0],["b",-2.0],["ab",-1.5]],"byte_fallback":false}"###,
        r###"{"type":"WordLevel","unk_token":"[UNK]","vocab":{"[UNK]":0,"[SEP]":1,"a":2,"b":3}}"###,
    ];
    let dresses = [
        r#""normalizer":{"type":"BertNormalizer","clean_text":true,"handle_chinese_chars":true,"strip_accents":null,"lowercase":true},"pre_tokenizer":{"type":"BertPreTokenizer"},"post_processor":null,"decoder":{"type":"WordPiece","prefix":"\u0023\u0023","cleanup":true}"#,
        r#""normalizer":null,"pre_tokenizer":{"type":"ByteLevel","add_prefix_space":false,"trim_offsets":true,"use_regex":true},"post_processor":null,"decoder":{"type":"ByteLevel","add_prefix_space":true,"trim_offsets":true,"use_regex":true}"#,
        r#""normalizer":{"type":"NFKC"},"pre_tokenizer":{"type":"Metaspace","replacement":"▁","prepend_scheme":"always","split":true},"post_processor":null,"decoder":{"type":"Metaspace","replacement":"▁","prepend_scheme":"always","split":true}"#,
        r#""normalizer":{"type":"Sequence","normalizers":[{"type":"Lowercase"},{"type":"StripAccents"}]},"pre_tokenizer":{"type":"Split","pattern":{"Regex":"."},"behavior":"Isolated","invert":false},"post_processor":null,"decoder":{"type":"Fuse"}"#,
    ];
    let file = |(model, dress): (&str, &str)| {
        format!(
            r#"{{"version":"1.0","truncation":null,"padding":null,"added_tokens":[{special}],{dress},"model":{model}}}"#
        )
    };
    let files = models.into_iter().zip(dresses).map(file);
    files
        .map(|file| joined(file.as_bytes(), "ab b ä".as_bytes()))
        .collect()
}

/// The smallest image file: one black pixel, as a bitmap.
pub const TINY: &[u8] = b"BM\x3a\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\x18\0\0\0\0\0\x04\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

/// A shard with one sample.
pub fn shard() -> Vec<u8> {
    tar_of(&[("9.bmp", TINY.to_vec()), ("9.cls", b"1".to_vec())], false)
}

/// A picture of 19×13 pixels: no edge is a multiple of a block.
fn picture() -> DynamicImage {
    DynamicImage::ImageRgba8(image::RgbaImage::from_fn(19, 13, |x, y| {
        image::Rgba([(x * 13) as u8, (y * 19) as u8, (x * y) as u8, 255 - x as u8])
    }))
}

fn encoded(image: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    image
        .write_to(&mut bytes, format)
        .expect("an image that its format can hold");
    bytes.into_inner()
}

fn png() -> Vec<u8> {
    encoded(&picture().to_rgb8().into(), ImageFormat::Png)
}

fn images() -> Vec<Vec<u8>> {
    use ImageFormat::{Bmp, Gif, Jpeg, Png, Tiff, WebP};
    let picture = picture();
    let color: DynamicImage = picture.to_rgb8().into();
    let grey: DynamicImage = picture.to_luma8().into();
    let mut seeds = Vec::new();
    for format in [Jpeg, Png, Bmp, WebP, Gif, Tiff] {
        seeds.push(encoded(&color, format));
    }
    for format in [Png, WebP, Gif, Tiff] {
        seeds.push(encoded(&picture, format));
    }
    for format in [Jpeg, Png, Bmp, Tiff] {
        seeds.push(encoded(&grey, format));
    }
    for deep in [picture.to_luma16().into(), picture.to_rgba16().into()] {
        seeds.push(encoded(&deep, Png));
        seeds.push(encoded(&deep, Tiff));
    }
    seeds.push(encoded(&picture.to_rgb32f().into(), Tiff));
    seeds.push(bands());
    // Color in planes and tiles, color that its opacity was multiplied into, and grey in a JPEG.
    let tiles: Vec<Vec<u8>> = (0..12).map(|tile| vec![20 * tile; 8]).collect();
    let planes = [(258, 8), (262, 2), (277, 3), (284, 2), (322, 4), (323, 2)];
    seeds.push(raw_tiff(true, 5, 3, &planes, &tiles));
    let multiplied = [(258, 8), (262, 2), (274, 6), (277, 4), (338, 1)];
    seeds.push(raw_tiff(false, 5, 3, &multiplied, &[vec![90; 60]]));
    let packed = [(258, 8), (259, 7), (262, 1)];
    let jpeg = encoded(&grey, Jpeg);
    seeds.push(raw_tiff(false, 19, 13, &packed, &[jpeg]));
    // A JPEG with an EXIF note that says it lies on its side.
    let mut turned = seeds[0].clone();
    let note = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0";
    let length = (note.len() as u16 + 2).to_be_bytes();
    turned.splice(2..2, [&[0xff, 0xe1], &length[..], note].concat());
    seeds.push(turned);
    seeds
}

/// A TIFF file written by hand: strips or tiles of bytes, and notes of one number each.
fn raw_tiff(
    tiled: bool,
    width: u32,
    height: u32,
    notes: &[(u16, u32)],
    parts: &[Vec<u8>],
) -> Vec<u8> {
    let mut bytes = b"II*\0\0\0\0\0".to_vec();
    let (mut places, mut lengths) = (Vec::new(), Vec::new());
    for part in parts {
        places.push(bytes.len() as u32);
        lengths.push(part.len() as u32);
        bytes.extend(part);
    }
    let mut all: Vec<(u16, Vec<u32>)> = vec![(256, vec![width]), (257, vec![height])];
    all.extend(notes.iter().map(|&(tag, value)| (tag, vec![value])));
    let (at, of) = if tiled { (324, 325) } else { (273, 279) };
    all.extend([(at, places), (of, lengths)]);
    all.sort();
    let mut directory = (all.len() as u16).to_le_bytes().to_vec();
    for (tag, values) in all {
        directory.extend(tag.to_le_bytes());
        // Four bytes a number, but two for what the channels beside the colors are: the reader takes no others there.
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

/// A TIFF of one channel of floats, which is neither grey nor color to most programs.
fn bands() -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    let values: Vec<f32> = (0..35).map(|i| i as f32 / 35.0).collect();
    tiff::encoder::TiffEncoder::new(&mut bytes)
        .and_then(|mut file| {
            file.write_image::<tiff::encoder::colortype::Gray32Float>(7, 5, &values)
        })
        .expect("a TIFF of floats");
    bytes.into_inner()
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn idx() -> Vec<Vec<u8>> {
    let images = [
        &[0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 3][..],
        &[7; 18],
    ]
    .concat();
    let labels = [0, 0, 8, 1, 0, 0, 0, 3, 1, 0, 2];
    vec![
        joined(&images, &labels),
        joined(&gzip(&images), &labels),
        joined(&images, &gzip(&labels)),
    ]
}

/// An array as `numpy.save` writes it.
fn array(kind: &str, shape: &str, values: &[u8]) -> Vec<u8> {
    let header = format!("{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n");
    let length = (header.len() as u16).to_le_bytes();
    [b"\x93NUMPY\x01\0", &length[..], header.as_bytes(), values].concat()
}

fn npy() -> Vec<Vec<u8>> {
    let labels = array("<i8", "(2,)", &[[1, 0, 0, 0, 0, 0, 0, 0], [0; 8]].concat());
    let few = array("|u1", "(2, 1)", &[0, 1]);
    vec![
        joined(&array("|u1", "(2, 4, 3, 3)", &[9; 72]), &labels),
        joined(&array("|u1", "(2, 4, 3)", &[9; 24]), &few),
        joined(&array(">u2", "(2, 3, 4, 3)", &[9; 144]), &labels),
        joined(&array("<f4", "(2, 5, 4, 3)", &[0; 480]), &few),
    ]
}

/// Members that try all that archives are read for.
fn members() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("train/a/1.png", png()),
        ("train/b/2.png", png()),
        ("test/a/3.png", png()),
        ("test/../../4.png", png()),
    ]
}

fn samples() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("1.png", png()),
        ("1.cls", b"3".to_vec()),
        ("2.png", png()),
        ("2.json", br#"{"label": "cat"}"#.to_vec()),
    ]
}

fn tar_of(members: &[(&str, Vec<u8>)], long: bool) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in members {
        let mut header = if long {
            tar::Header::new_gnu()
        } else {
            tar::Header::new_ustar()
        };
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        // Written past the check, which refuses `..`.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        builder.append(&header, bytes.as_slice()).expect("memory");
    }
    if long {
        let mut header = tar::Header::new_gnu();
        header.set_size(3);
        builder
            .append_data(&mut header, "long/".repeat(30) + "5.png", &b"png"[..])
            .expect("memory");
    }
    builder.into_inner().expect("memory")
}

fn tars() -> Vec<Vec<u8>> {
    let mut seeds = vec![
        tar_of(&members(), false),
        tar_of(&members(), true),
        tar_of(&samples(), false),
        tar_of(
            &[
                ("metadata.csv", b"file,label\n1.png,x\n".to_vec()),
                ("1.png", png()),
            ],
            false,
        ),
    ];
    seeds.extend([gzip(&seeds[0]), gzip(&seeds[2])]);
    seeds
}

fn zip_of(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut writer = zip::ZipWriter::new(Cursor::new(Vec::new()));
    for (index, (name, bytes)) in members.iter().enumerate() {
        let packing = match index % 2 {
            0 => zip::CompressionMethod::Stored,
            _ => zip::CompressionMethod::Deflated,
        };
        let options = zip::write::SimpleFileOptions::default().compression_method(packing);
        writer.start_file(*name, options).expect("memory");
        writer.write_all(bytes).expect("memory");
    }
    writer.finish().expect("memory").into_inner()
}

fn zips() -> Vec<Vec<u8>> {
    let arrays = [
        ("x.npy", array("|u1", "(2, 4, 3)", &[9; 24])),
        ("y.npy", array("|u1", "(2,)", &[0, 1])),
    ];
    vec![zip_of(&members()), zip_of(&samples()), zip_of(&arrays)]
}

fn tables() -> Vec<Vec<u8>> {
    let plain: ArrayRef = Arc::new(BinaryArray::from_iter([Some(png()), None, Some(png())]));
    let paths: ArrayRef = Arc::new(StringArray::from_iter([Some("1.png"), None, Some("3.png")]));
    let field = |name, kind| Arc::new(Field::new(name, kind, true));
    let structs: ArrayRef = Arc::new(StructArray::from(vec![
        (field("bytes", DataType::Binary), Arc::clone(&plain)),
        (field("path", DataType::Utf8), paths),
    ]));
    let labels: ArrayRef = Arc::new(Int64Array::from(vec![0, 1, -1]));
    let texts: ArrayRef = Arc::new(StringArray::from(vec!["cat", "dog", "cat"]));
    let notes = r#"{"info": {"features": {"picture": {"_type": "Image"},
        "kind": {"names": ["ant", "bee"], "_type": "ClassLabel"}}}}"#;
    use parquet::basic::{Compression::SNAPPY, Compression::UNCOMPRESSED};
    let gzip = parquet::basic::Compression::GZIP(Default::default());
    vec![
        table(
            vec![("picture", structs), ("kind", labels)],
            Some(notes),
            SNAPPY,
        ),
        table(
            vec![("image", Arc::clone(&plain)), ("label", texts)],
            None,
            UNCOMPRESSED,
        ),
        table(vec![("image", plain)], None, gzip),
    ]
}

fn table(
    columns: Vec<(&str, ArrayRef)>,
    notes: Option<&str>,
    packing: parquet::basic::Compression,
) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter(columns).expect("columns of one length");
    let notes = notes.map(|notes| vec![KeyValue::new("huggingface".to_owned(), notes.to_owned())]);
    let how = WriterProperties::builder()
        .set_compression(packing)
        .set_max_row_group_row_count(Some(2))
        .set_key_value_metadata(notes)
        .build();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), Some(how)).expect("memory");
    writer.write(&batch).expect("memory");
    writer.into_inner().expect("memory")
}

fn cifar() -> Vec<Vec<u8>> {
    let names = b"airplane\nautomobile\nbird\n";
    vec![
        joined(names, &[1; 3073]),
        joined(b"", &[2; 2 * 3073]),
        joined(names, &[0; 3074]),
    ]
}

fn lists() -> Vec<Vec<u8>> {
    vec![
        joined(
            b"file,label,split\na/1.png,1,train\nb/2.png,2,test\n",
            b"name,label\n1,cat\n2,dog\n3,cat\n",
        ),
        joined(
            b"image,class,label\n1.png,ant,0\n\"b/2.png\",bee,1\n",
            b"cat\ndog\n\n",
        ),
        joined(b"\xef\xbb\xbfpath\r\nb\\3.png\r\n", b"\"a/1.png\",x\r\n"),
    ]
}

fn checkpoints() -> Vec<Vec<u8>> {
    let file = |header: &str, values: &[u8]| {
        [
            &(header.len() as u64).to_le_bytes(),
            header.as_bytes(),
            values,
        ]
        .concat()
    };
    let position = r#"{\"progress\":{\"step\":2,\"began\":0,\"done\":0.5,\"total\":4,\"elapsed\":1.5,\"corrections\":[[1,4]],\"replayed\":[],\"budget\":null},\"updates\":2,\"metrics\":0,\"best\":null,\"stale\":0,\"gathered\":[[\"loss\",1.5]],\"checkups\":[0,0,0],\"warned\":[]}"#;
    vec![
        file(
            &format!(
                r#"{{"__metadata__":{{"autodidact.position":"{position}"}},"model.a":{{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]}},"bn.num_batches_tracked":{{"dtype":"I64","shape":[],"data_offsets":[8,16]}}}}"#
            ),
            &[0; 16],
        ),
        file(
            r#"{"a":{"dtype":"F16","shape":[2],"data_offsets":[0,4]}}"#,
            &[0; 4],
        ),
    ]
}

fn recipes() -> Vec<Vec<u8>> {
    let measured = "\n[data.measured]\nchannels = 3\nmean = [0.5, 0.5, 0.5]\ndeviation = [0.2, 0.2, 0.2]\nside = 32\n";
    let mut seeds = vec![
        format!(
            "[method]\nname = \"simclr\"\n[train]\nepochs = 2.0\nbatch_size = 64\nlearning_rate = 1e-3\n{measured}"
        ),
        format!(
            "[method]\nname = \"mae\"\n[encoder]\nname = \"vit_tiny\"\npatch = 4\n[train]\nbudget = \"1h30m\"\n{measured}"
        ),
        format!(
            "[views]\nsize = 32\n[encoder]\nname = \"resnet18\"\nwidth = 16\n[evaluate]\nlinear = true\n{measured}"
        ),
    ];
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../recipes/images");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .collect();
    files.sort();
    seeds.extend(files.iter().filter_map(|path| {
        let text = std::fs::read_to_string(path).ok()?;
        Some(text + measured)
    }));
    seeds.into_iter().map(String::into_bytes).collect()
}
