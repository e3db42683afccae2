#![no_main]

use libfuzzer_sys::fuzz_target;

use autodidact::modality::text::source;
use autodidact::modality::{Part, SourceSpec};
use autodidact_fuzz::{begin, file, two};

const ENDINGS: [&str; 7] = [
    "txt",
    "jsonl",
    "csv",
    "tsv",
    "parquet",
    "txt.gz",
    "jsonl.zst",
];
const READINGS: [&str; 7] = [
    "",
    "documents = \"line\"",
    "documents = \"sentence\"",
    "documents = \"paragraph\"\ndrop_duplicates = true",
    "documents = \"article\"",
    "column = 1\nlabel = \"2\"",
    "column = \"a\"\nother = \"b\"\nscore = \"c\"",
];
/// Documents that are read.
const READ: usize = 8;

fuzz_target!(init: begin("text"), |input: &[u8]| {
    let Some((&[format, reading], rest)) = input.split_first_chunk() else {
        return;
    };
    let (contents, labels) = two(rest);
    let ending = ENDINGS[usize::from(format) % ENDINGS.len()];
    let path = file(&format!("text-{ending}/x.{ending}"), contents);
    let labels = (!labels.is_empty()).then(|| file("labels.csv", labels));
    for part in [None, Some(Part::Test)] {
        let spec = SourceSpec {
            path: Some(path.clone()),
            part,
            labels: labels.clone(),
            memory_limit: 1 << 20,
            reading: READINGS[usize::from(reading) % READINGS.len()].parse().expect("a table"),
            ..SourceSpec::default()
        };
        let Ok(source) = source::open(&spec) else {
            continue;
        };
        let _ = source.describe();
        for index in 0..source.len().min(READ) {
            let _ = (source.name(index), source.get(index));
        }
        if let Some(labels) = source.labels() {
            assert_eq!(labels.of.len(), source.len());
        }
        if let Some(scores) = source.scores() {
            assert_eq!(scores.len(), source.len());
        }
    }
});
