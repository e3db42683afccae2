#![no_main]

use libfuzzer_sys::fuzz_target;

use autodidact_fuzz::{file, read_rows, read_series, seeds, two};

const ENDINGS: [&str; 6] = ["csv", "tsv", "txt", "ts", "npy", "csv.gz"];
const READINGS: [&str; 6] = [
    "",
    "window = 2\nstride = 1",
    "layout = \"long\"",
    "resample = 1.0\ntime = \"time\"",
    "window = 2\ntest = 0.5\nstandardize = 0.5",
    "channels_first = true",
];

fuzz_target!(init: seeds::sow("series"), |input: &[u8]| {
    let Some((&[format, reading], rest)) = input.split_first_chunk() else {
        return;
    };
    let (table, labels) = two(rest);
    let ending = ENDINGS[usize::from(format) % ENDINGS.len()];
    let path = file(&format!("{ending}/x.{ending}"), table);
    let reading = READINGS[usize::from(reading) % READINGS.len()];
    let reading = reading.parse().expect("a table");
    let labels = (!labels.is_empty()).then(|| file("labels.csv", labels));
    read_series(&path, labels.as_deref(), &reading);
    read_rows(table, &reading);
});
