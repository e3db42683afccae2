#![no_main]

use libfuzzer_sys::fuzz_target;

use autodidact_fuzz::{begin, file, read};

// What is packed is recognized by its first bytes, so that these are `.tar.gz` files too.
fuzz_target!(init: begin("tar"), |bytes: &[u8]| {
    read(&file("photos.tar", bytes), None);
});
