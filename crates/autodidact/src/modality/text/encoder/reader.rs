//! A network that predicts, reading symbols one after the other.

use burn::tensor::{Int, Tensor};

use super::TextEncoder;
use super::pass::Cache;
use crate::error::{Error, Result};

/// A network that reads symbols one after the other and remembers what it read.
pub(in crate::modality::text) struct Reader<'a> {
    encoder: &'a TextEncoder,
    cache: Cache,
}

impl TextEncoder {
    /// Starts reading symbols one after the other.
    ///
    /// # Errors
    /// When the network doesn't predict what comes next.
    pub(in crate::modality::text) fn reader(&self) -> Result<Reader<'_>> {
        if !self.about().causal {
            return Err(Error::recipe("a network that sees both sides")
                .expected("one that predicts what comes next: gpt2 or modern_causal"));
        }
        Ok(Reader {
            encoder: self,
            cache: Cache::default(),
        })
    }
}

impl Reader<'_> {
    /// Symbols read.
    pub(in crate::modality::text) fn read(&self) -> usize {
        self.cache.read
    }

    /// Reads symbols and returns the scores of what comes after the last, `[1, vocabulary]`.
    pub(in crate::modality::text) fn extend(&mut self, ids: Tensor<2, Int>) -> Tensor<2> {
        let tokens = match self.encoder {
            TextEncoder::Gpt2(network) => network.extend(ids, &mut self.cache),
            TextEncoder::Modern(network) => network.extend(ids, &mut self.cache),
            TextEncoder::Bert(_) | TextEncoder::Static(_) => {
                unreachable!("`TextEncoder::reader` refuses it")
            }
        };
        let last = tokens.dims()[1] - 1;
        self.encoder.score(tokens.narrow(1, last, 1).squeeze_dim(1))
    }
}
