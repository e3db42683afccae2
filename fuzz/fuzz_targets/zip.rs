#![no_main]

use libfuzzer_sys::fuzz_target;

use autodidact_fuzz::{file, read, seeds};

// `.npz` files are these too.
fuzz_target!(init: seeds::sow("zip"), |bytes: &[u8]| {
    read(&file("photos.zip", bytes), None);
});
