//! A network over symbols for tests: what it says of a place depends on the symbol there alone.

use std::sync::Arc;

use autodidact_kernels::embedding;
use burn::module::{Module, Param};
use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::layers::Init;
use crate::modality::{Batch, Encoder, Maskable, Rows, Symbolic, Symbols, Tokens, Vocabulary};

/// A table of scores, `[symbols, symbols]`, a row for each symbol.
#[derive(Module, Debug)]
pub(super) struct Toy {
    pub(super) table: Param<Tensor<2>>,
}

#[derive(Debug, Clone)]
pub(super) struct ToyBatch {
    pub(super) symbols: Arc<Symbols>,
    rows: Rows,
}

impl Toy {
    pub(super) fn new(symbols: usize, device: &Device) -> Self {
        Self {
            table: Init::new(5, device).normal([symbols, symbols], 1.0),
        }
    }

    /// −log p of a symbol where another stands.
    pub(super) fn cost(&self, there: u32, said: i64) -> f64 {
        let values = crate::layers::state::host(self.table.val());
        let count = self.table.dims()[0];
        let row = &values[there as usize * count..][..count];
        let sum: f64 = row.iter().map(|&score| f64::from(score).exp()).sum();
        sum.ln() - f64::from(row[said as usize])
    }
}

impl ToyBatch {
    /// One row of symbols of one document; the last has none after it.
    pub(super) fn new(ids: &[u32]) -> Self {
        let next = ids.iter().skip(1).map(|&id| Some(id)).chain([None]);
        Self {
            symbols: Arc::new(Symbols {
                length: ids.len(),
                ids: ids.to_vec(),
                next: next.collect(),
                documents: vec![1; ids.len()],
            }),
            rows: Rows::default(),
        }
    }
}

impl Batch for ToyBatch {
    fn rows(&self) -> &Rows {
        &self.rows
    }
}

impl Encoder for Toy {
    type Batch = ToyBatch;

    fn tokens(&self, batch: &ToyBatch) -> Tokens {
        let ids: Vec<i64> = batch.symbols.ids.iter().map(|&id| i64::from(id)).collect();
        let data = TensorData::new(ids, [1, batch.symbols.length]);
        let ids = Tensor::<2, Int>::from_data(data, &self.table.val().device());
        Tokens {
            values: embedding(self.table.val(), ids),
            valid: None,
        }
    }

    fn pool(&self, tokens: Tokens) -> Tensor<2> {
        tokens.values.mean_dim(1).squeeze_dim(1)
    }

    fn dim(&self) -> usize {
        self.table.dims()[1]
    }

    fn symbolic(&self) -> Option<&dyn Symbolic<ToyBatch>> {
        Some(self)
    }
}

impl Maskable for Toy {}

impl Symbolic<ToyBatch> for Toy {
    fn vocabulary(&self) -> Vocabulary {
        Vocabulary {
            size: self.dim(),
            mask: 0,
            special: Arc::new(vec![0]),
        }
    }

    fn symbols<'a>(&self, batch: &'a ToyBatch) -> &'a Arc<Symbols> {
        &batch.symbols
    }

    fn replaced(&self, batch: &ToyBatch, ids: Vec<u32>) -> ToyBatch {
        let symbols = Symbols {
            ids,
            ..(*batch.symbols).clone()
        };
        ToyBatch {
            symbols: Arc::new(symbols),
            ..batch.clone()
        }
    }

    fn scores(&self, tokens: Tensor<3>, places: &[usize]) -> Tensor<2> {
        let numbers: Vec<i64> = places.iter().map(|&place| place as i64).collect();
        let data = TensorData::new(numbers, [places.len()]);
        let places = Tensor::<1, Int>::from_data(data, &tokens.device());
        tokens.squeeze_dim::<2>(0).select(0, places)
    }
}
