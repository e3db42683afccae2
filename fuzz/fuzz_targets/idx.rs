#![no_main]

use libfuzzer_sys::fuzz_target;

use autodidact_fuzz::{file, read, seeds, two};

fuzz_target!(init: seeds::sow("idx"), |input: &[u8]| {
    let (images, labels) = two(input);
    let path = file("train-images-idx3-ubyte", images);
    file("train-labels-idx1-ubyte", labels);
    read(&path, None);
});
