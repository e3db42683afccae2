#![no_main]

use libfuzzer_sys::fuzz_target;

use autodidact_fuzz::{begin, file, read};

// `.npz` files are these too.
fuzz_target!(init: begin("zip"), |bytes: &[u8]| {
    read(&file("photos.zip", bytes), None);
});
