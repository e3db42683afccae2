#![no_main]

use libfuzzer_sys::fuzz_target;

use autodidact_fuzz::{file, read, seeds, two};

fuzz_target!(init: seeds::sow("npy"), |input: &[u8]| {
    let (images, labels) = two(input);
    let path = file("x.npy", images);
    file("y.npy", labels);
    read(&path, None);
});
