//! Symbols on the device.

use std::sync::Arc;

use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::modality::{Batch, Rows, Symbols};

/// One slot of views as the network takes it in.
#[derive(Debug, Clone)]
pub struct TextBatch {
    /// `[batch, length]`, rows that are shorter ending in padding.
    pub ids: Tensor<2, Int>,
    /// The same on the host, with what belongs to it.
    pub symbols: Arc<Symbols>,
    /// Which of two texts each symbol belongs to, 0 or 1, `[batch, length]`; `None` where there is but one.
    pub kinds: Option<Tensor<2, Int>>,
    /// What the views say of themselves, row by row.
    pub own: Option<Arc<Vec<u32>>>,
    /// What dropout draws from; `None` where nothing is dropped.
    pub dropout: Option<u64>,
    /// Whose views these are.
    pub rows: Rows,
}

impl TextBatch {
    /// Brings symbols to the device.
    pub fn new(symbols: Symbols, dropout: Option<u64>, rows: Rows, device: &Device) -> Self {
        Self {
            ids: on_device(&symbols.ids, symbols.length, device),
            symbols: Arc::new(symbols),
            kinds: None,
            own: None,
            dropout,
            rows,
        }
    }

    /// Says which of two texts each symbol belongs to, as many as there are symbols, and what the views say of themselves.
    #[must_use]
    pub fn of_pairs(self, kinds: &[u32], own: Option<Vec<u32>>) -> Self {
        let device = self.ids.device();
        Self {
            kinds: Some(on_device(kinds, self.symbols.length, &device)),
            own: own.map(Arc::new),
            ..self
        }
    }

    /// The batch with other symbols in their places.
    pub fn replaced(&self, ids: Vec<u32>) -> Self {
        let symbols = Symbols {
            ids,
            ..(*self.symbols).clone()
        };
        Self {
            ids: on_device(&symbols.ids, symbols.length, &self.ids.device()),
            symbols: Arc::new(symbols),
            ..self.clone()
        }
    }
}

fn on_device(ids: &[u32], length: usize, device: &Device) -> Tensor<2, Int> {
    let numbers: Vec<i64> = ids.iter().map(|&id| i64::from(id)).collect();
    let shape = [ids.len() / length.max(1), length];
    Tensor::from_data(TensorData::new(numbers, shape), device)
}

impl Batch for TextBatch {
    fn rows(&self) -> &Rows {
        &self.rows
    }

    fn own_labels(&self) -> Option<&[u32]> {
        self.own.as_ref().map(|own| own.as_slice())
    }

    fn stretches(&self) -> Option<&Tensor<2, Int>> {
        self.kinds.as_ref()
    }
}
