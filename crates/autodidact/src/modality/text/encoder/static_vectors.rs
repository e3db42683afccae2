//! A vector for each symbol and nothing else: a text is the mean of them, wherever they stand (Joulin et al. 2016, fastText;
//! `StaticEmbedding` of sentence-transformers, whose name the vectors have; Model2Vec).

use autodidact_kernels::{Activation, embedding, linear};
use burn::module::Module;
use burn::tensor::{Int, Tensor};

use super::{About, Table};
use crate::error::{Error, Result};
use crate::layers::Init;
use crate::layers::state::replaced;

/// The vectors of symbols.
#[derive(Module, Debug)]
pub struct StaticVectors {
    /// `[vocabulary, dim]`.
    embedding: Table,
    pub(super) about: About,
}

impl StaticVectors {
    /// Random vectors of length 1, about.
    pub(super) fn new(about: About, dim: usize, init: &mut Init) -> Self {
        let deviation = 1.0 / (dim as f32).sqrt();
        let weight = init.normal([about.symbols, dim], deviation);
        Self {
            embedding: Table { weight },
            about,
        }
    }

    /// `[batch, length]` → `[batch, length, dim]`.
    pub(super) fn tokens(&self, ids: Tensor<2, Int>) -> Tensor<3> {
        embedding(self.embedding.weight.val(), ids)
    }

    /// `[places, dim]` → `[places, vocabulary]`: the products with the symbols' own vectors.
    pub(super) fn scores(&self, tokens: Tensor<2>) -> Tensor<2> {
        linear(tokens, self.embedding.weight.val(), None, Activation::None)
    }

    pub(super) fn dim(&self) -> usize {
        self.embedding.weight.dims()[1]
    }

    /// The same with other vectors, row by row.
    ///
    /// # Errors
    /// When they are of other symbols or another width.
    pub(super) fn with_vectors(self, vectors: Vec<f32>) -> Result<Self> {
        let [symbols, dim] = self.embedding.weight.dims();
        if vectors.len() != symbols * dim {
            return Err(Error::run(format!("{} values", vectors.len()))
                .expected(format!("{dim} for each of {symbols} symbols")));
        }
        let weight = replaced(self.embedding.weight, vectors);
        Ok(Self {
            embedding: Table { weight },
            about: self.about,
        })
    }
}
