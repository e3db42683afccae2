//! MD5 (RFC 1321): the checksum that data sets were published with. It finds damage and withstands no forger.

/// The digest of bytes that come in pieces.
pub(super) struct Md5 {
    state: [u32; 4],
    /// Bytes that don't fill a block yet.
    waiting: Vec<u8>,
    length: u64,
    /// The integer parts of 2³² |sin i|, for i from 1 to 64.
    sines: [u32; 64],
}

/// Bits that each of the four rounds turns by, in turn.
const TURNS: [[u32; 4]; 4] = [
    [7, 12, 17, 22],
    [5, 9, 14, 20],
    [4, 11, 16, 23],
    [6, 10, 15, 21],
];

impl Md5 {
    pub(super) fn new() -> Self {
        Self {
            state: [0x6745_2301, 0xefcd_ab89, 0x98ba_dcfe, 0x1032_5476],
            waiting: Vec::with_capacity(64),
            length: 0,
            sines: std::array::from_fn(|i| ((i as f64 + 1.0).sin().abs() * 4_294_967_296.0) as u32),
        }
    }

    /// Adds bytes.
    pub(super) fn add(&mut self, mut bytes: &[u8]) {
        self.length += bytes.len() as u64;
        if !self.waiting.is_empty() {
            let (fill, rest) = bytes.split_at(bytes.len().min(64 - self.waiting.len()));
            self.waiting.extend_from_slice(fill);
            bytes = rest;
            let Ok(block) = self.waiting.as_slice().try_into() else {
                return;
            };
            self.block(&block);
            self.waiting.clear();
        }
        let (blocks, rest) = bytes.as_chunks::<64>();
        for block in blocks {
            self.block(block);
        }
        self.waiting.extend_from_slice(rest);
    }

    /// The digest as 32 hexadecimal digits.
    pub(super) fn finish(mut self) -> String {
        let bits = self.length.wrapping_mul(8);
        let padding = (119 - self.length % 64) % 64 + 1;
        let mut end = vec![0; padding as usize];
        end[0] = 0x80;
        end.extend(bits.to_le_bytes());
        self.add(&end);
        let bytes = self.state.iter().flat_map(|word| word.to_le_bytes());
        bytes.map(|byte| format!("{byte:02x}")).collect()
    }

    fn block(&mut self, block: &[u8; 64]) {
        let words = block.as_chunks::<4>().0;
        let [mut a, mut b, mut c, mut d] = self.state;
        for i in 0..64 {
            let (mixed, word) = match i / 16 {
                0 => ((b & c) | (!b & d), i),
                1 => ((b & d) | (c & !d), 5 * i + 1),
                2 => (b ^ c ^ d, 3 * i + 5),
                _ => (c ^ (b | !d), 7 * i),
            };
            let sum = a
                .wrapping_add(mixed)
                .wrapping_add(self.sines[i])
                .wrapping_add(u32::from_le_bytes(words[word % 16]));
            let turned = b.wrapping_add(sum.rotate_left(TURNS[i / 16][i % 4]));
            (a, b, c, d) = (d, turned, b, c);
        }
        for (state, value) in self.state.iter_mut().zip([a, b, c, d]) {
            *state = state.wrapping_add(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_rfc_come_out_in_whatever_pieces_they_come() {
        let digits = "1234567890".repeat(8);
        let examples = [
            ("", "d41d8cd98f00b204e9800998ecf8427e"),
            ("abc", "900150983cd24fb0d6963f7d28e17f72"),
            (
                "abcdefghijklmnopqrstuvwxyz",
                "c3fcd3d76192e4007dfb496cca67e13b",
            ),
            (digits.as_str(), "57edf4a22be3c955ac49da2e2107b67a"),
        ];
        for (text, digest) in examples {
            for piece in [1, 7, 64, 80] {
                let mut md5 = Md5::new();
                text.as_bytes()
                    .chunks(piece)
                    .for_each(|bytes| md5.add(bytes));
                assert_eq!(md5.finish(), digest, "{text} in pieces of {piece}");
            }
        }
    }
}
