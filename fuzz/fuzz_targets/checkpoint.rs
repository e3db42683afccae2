#![no_main]

use libfuzzer_sys::fuzz_target;

use autodidact::run::{Checkpoint, read_weights};
use autodidact_fuzz::{file, seeds};

fuzz_target!(init: seeds::sow("checkpoint"), |bytes: &[u8]| {
    let path = file("last.safetensors", bytes);
    if let Ok(checkpoint) = Checkpoint::read(&path) {
        let _ = checkpoint.under("model");
        let _ = (checkpoint.position.ended(3), checkpoint.position.progress.finished());
    }
    let _ = read_weights(&path);
});
