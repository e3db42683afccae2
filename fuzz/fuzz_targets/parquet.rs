#![no_main]

use libfuzzer_sys::fuzz_target;

use autodidact_fuzz::{file, read, seeds};

/// The library catches panics of the crate that reads Parquet, and libFuzzer's hook would end the program before it can.
/// What isn't caught ends it all the same.
fn begin() {
    let _ = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    seeds::sow("parquet");
}

fuzz_target!(init: begin(), |bytes: &[u8]| {
    read(&file("photos.parquet", bytes), None);
});
