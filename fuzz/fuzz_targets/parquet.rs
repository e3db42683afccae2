#![no_main]

use libfuzzer_sys::fuzz_target;

use autodidact_fuzz::{begin, file, read};

fuzz_target!(init: begin("parquet"), |bytes: &[u8]| {
    read(&file("photos.parquet", bytes), None);
});
