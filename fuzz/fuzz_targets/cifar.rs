#![no_main]

use libfuzzer_sys::fuzz_target;

use autodidact_fuzz::{file, read, seeds, two};

fuzz_target!(init: seeds::sow("cifar"), |input: &[u8]| {
    let (names, records) = two(input);
    let path = file("cifar/batches.meta.txt", names);
    file("cifar/data_batch_1.bin", records);
    if let Some(folder) = path.parent() {
        read(folder, None);
    }
});
