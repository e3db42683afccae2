#![no_main]

use libfuzzer_sys::fuzz_target;

use autodidact_fuzz::{begin, file, read, seeds, two};

// Two lists: the one that comes with the data, and the labels that the user brings.
fuzz_target!(init: begin("list"), |input: &[u8]| {
    let (index, labels) = two(input);
    let labels = file("labels.txt", labels);
    let path = file("listed/index.csv", index);
    for name in ["a/1.png", "b/2.png", "b/3.png"] {
        file(&format!("listed/{name}"), seeds::TINY);
    }
    if let Some(folder) = path.parent() {
        read(folder, Some(&labels));
        read(folder, None);
    }
});
