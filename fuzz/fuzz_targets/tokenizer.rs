#![no_main]

use libfuzzer_sys::fuzz_target;

use autodidact::modality::text::Words;
use autodidact_fuzz::{begin, two};

fuzz_target!(init: begin("tokenizer"), |input: &[u8]| {
    let (json, text) = two(input);
    let Ok(words) = Words::parse(json.to_vec()) else {
        return;
    };
    let text = String::from_utf8_lossy(text);
    if let Ok(symbols) = words.encode(&text) {
        let size = words.vocabulary().size;
        assert!(symbols.iter().all(|&symbol| (symbol as usize) < size));
        let _ = (words.decode(&symbols), words.spell(&symbols));
    }
    let _ = (words.encode_framed(&text), words.unknown(), words.names());
});
