#![no_main]

use libfuzzer_sys::fuzz_target;

use autodidact_fuzz::{begin, file, read, seeds};

// A folder of shards, as WebDataset has them; the second is always the same.
fuzz_target!(init: begin("shard"), |bytes: &[u8]| {
    let path = file("shards/train-000000.tar", bytes);
    if let Some(folder) = path.parent() {
        file("shards/train-000001.tar", &seeds::shard());
        read(folder, None);
    }
});
