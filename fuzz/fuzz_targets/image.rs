#![no_main]

use libfuzzer_sys::fuzz_target;

use autodidact_fuzz::modality::image::source::decode;

fuzz_target!(init: autodidact_fuzz::begin("image"), |bytes: &[u8]| {
    let _ = decode(bytes);
});
