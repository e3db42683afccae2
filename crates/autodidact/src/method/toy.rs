//! Networks for tests. One over symbols: what it says of a place depends on the symbol there alone. One over moments: it
//! knows each moment by its values, and those before it by their sum.

use std::sync::Arc;

use autodidact_kernels::embedding;
use burn::module::{Module, Param};
use burn::tensor::{Device, Int, Tensor, TensorData};

use crate::error::Result;
use crate::layers::Init;
use crate::layers::state::replaced;
use crate::modality::{
    Batch, Causal, Encoder, Ending, Maskable, Ordered, Readout, Rows, Symbolic, Symbols, Tokens,
    Track, Vocabulary,
};

/// A table of scores, `[symbols, symbols]`, a row for each symbol.
#[derive(Module, Debug)]
pub(super) struct Toy {
    pub(super) table: Param<Tensor<2>>,
    /// What symbols are made of.
    #[module(skip)]
    pub(super) parts: Arc<Vec<Vec<u32>>>,
}

#[derive(Debug, Clone)]
pub(super) struct ToyBatch {
    pub(super) symbols: Arc<Symbols>,
    own: Option<Vec<u32>>,
    stretches: Option<Tensor<2, Int>>,
    rows: Rows,
}

impl Toy {
    pub(super) fn new(symbols: usize, device: &Device) -> Self {
        Self {
            table: Init::new(5, device).normal([symbols, symbols], 1.0),
            parts: Arc::default(),
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
            own: None,
            stretches: None,
            rows: Rows::default(),
        }
    }

    /// The same as two stretches, the second of which begins in the middle, with the label that the view made for itself.
    pub(super) fn of_stretches(self, own: u32, device: &Device) -> Self {
        let length = self.symbols.length;
        let second = (0..length).map(|place| i64::from(place >= length / 2));
        let second = TensorData::new(second.collect(), [1, length]);
        Self {
            own: Some(vec![own]),
            stretches: Some(Tensor::from_data(second, device)),
            ..self
        }
    }
}

impl Batch for ToyBatch {
    fn rows(&self) -> &Rows {
        &self.rows
    }

    fn own_labels(&self) -> Option<&[u32]> {
        self.own.as_deref()
    }

    fn stretches(&self) -> Option<&Tensor<2, Int>> {
        self.stretches.as_ref()
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

    fn with_symbol_vectors(self, vectors: Vec<f32>) -> Result<Self> {
        Ok(Self {
            table: replaced(self.table, vectors),
            ..self
        })
    }
}

impl Maskable for Toy {
    fn narrower(&self, _: usize, init: &mut Init) -> Result<Self> {
        let symbols = self.dim();
        Ok(Self {
            table: init.normal([symbols, symbols], 1.0),
            parts: Arc::clone(&self.parts),
        })
    }
}

impl Symbolic<ToyBatch> for Toy {
    fn vocabulary(&self) -> Vocabulary {
        Vocabulary {
            size: self.dim(),
            mask: 0,
            special: Arc::new(vec![0]),
            seams: Arc::default(),
            parts: Arc::clone(&self.parts),
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

    fn kept(&self, batch: &ToyBatch, keep: &[bool]) -> ToyBatch {
        ToyBatch {
            symbols: Arc::new(batch.symbols.kept(keep, 0, 1)),
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

/// Values of each moment times a factor that learns.
#[derive(Module, Debug)]
pub(super) struct Clock {
    /// `[dim]`.
    pub(super) factor: Param<Tensor<1>>,
}

#[derive(Debug, Clone)]
pub(super) struct ClockBatch {
    /// `[batch, moments, dim]`.
    pub(super) values: Tensor<3>,
    pub(super) tracks: Vec<Track>,
    rows: Rows,
}

impl Clock {
    pub(super) fn new(dim: usize, device: &Device) -> Self {
        Self {
            factor: Init::new(7, device).normal([dim], 1.0),
        }
    }
}

impl ClockBatch {
    pub(super) fn new(values: Tensor<3>, tracks: &[[usize; 2]]) -> Self {
        let tracks = tracks
            .iter()
            .map(|&[start, tokens]| Track { start, tokens });
        Self {
            values,
            tracks: tracks.collect(),
            rows: Rows::default(),
        }
    }
}

impl Batch for ClockBatch {
    fn rows(&self) -> &Rows {
        &self.rows
    }

    fn ending(&self, steps: usize) -> Option<Ending<Self>> {
        let [batch, moments, dim] = self.values.dims();
        let kept = moments - steps;
        let values = |from, count| self.values.clone().narrow(1, from, count);
        Some(Ending {
            given: Self {
                values: values(0, kept),
                ..self.clone()
            },
            last: values(kept - 1, 1).squeeze_dim(1),
            came: values(kept, steps),
            there: Tensor::ones([batch, steps, dim], &self.values.device()),
        })
    }
}

impl Encoder for Clock {
    type Batch = ClockBatch;

    fn tokens(&self, batch: &ClockBatch) -> Tokens {
        Tokens {
            values: batch.values.clone() * self.factor.val().unsqueeze(),
            valid: None,
        }
    }

    fn pool(&self, tokens: Tokens) -> Tensor<2> {
        tokens.values.mean_dim(1).squeeze_dim(1)
    }

    fn dim(&self) -> usize {
        self.factor.dims()[0]
    }

    fn channels(&self) -> usize {
        self.dim()
    }

    fn ordered(&self) -> Option<&dyn Ordered<ClockBatch>> {
        Some(self)
    }

    fn causal(&self) -> Option<&dyn Causal<ClockBatch>> {
        Some(self)
    }
}

impl Maskable for Clock {}

impl Ordered<ClockBatch> for Clock {
    fn tracks(&self, batch: &ClockBatch) -> Vec<Track> {
        batch.tracks.clone()
    }

    fn stride(&self) -> usize {
        1
    }
}

impl Causal<ClockBatch> for Clock {
    fn latents(&self, batch: &ClockBatch) -> Tokens {
        self.tokens(batch)
    }

    fn latent_width(&self) -> usize {
        self.dim()
    }

    fn context(&self, latents: Tensor<3>) -> Tensor<3> {
        let [batch, moments, _] = latents.dims();
        let before: Vec<f32> = (0..moments * moments)
            .map(|place| f32::from(u8::from(place % moments <= place / moments)))
            .collect();
        let before = TensorData::new(before, [1, moments, moments]);
        let before = Tensor::<3>::from_data(before, &latents.device());
        before.repeat_dim(0, batch).matmul(latents)
    }
}

/// A network whose features are its batch, `[batch, features]`: a map or weights stand before the vector.
#[derive(Module, Debug)]
pub(super) struct Bare {
    pub(super) mean: Param<Tensor<1>>,
    pub(super) map: Option<Param<Tensor<2>>>,
    pub(super) weights: Option<Param<Tensor<1>>>,
}

#[derive(Debug, Clone)]
pub(super) struct Given(Tensor<2>, Rows);

impl Given {
    /// Rows of so many features.
    pub(super) fn new(values: &[f32], features: usize, device: &Device) -> Self {
        let shape = [values.len() / features, features];
        let data = TensorData::new(values.to_vec(), shape);
        Self(Tensor::from_data(data, device), Rows::default())
    }
}

impl Batch for Given {
    fn rows(&self) -> &Rows {
        &self.1
    }
}

impl Bare {
    /// A random map to a vector of `dim` values.
    pub(super) fn mapping(features: usize, dim: usize, init: &mut Init) -> Self {
        Self {
            mean: init.constant([features], 0.0),
            map: Some(init.normal([dim, features], 1.0)),
            weights: None,
        }
    }

    /// A weight of 1 for each feature.
    pub(super) fn weighing(features: usize, init: &mut Init) -> Self {
        Self {
            mean: init.constant([features], 0.0),
            map: None,
            weights: Some(init.constant([features], 1.0)),
        }
    }
}

impl Encoder for Bare {
    type Batch = Given;

    fn tokens(&self, batch: &Given) -> Tokens {
        let x = batch.0.clone() - self.mean.val().unsqueeze();
        let x = match (&self.map, &self.weights) {
            (Some(map), _) => x.matmul(map.val().transpose()),
            (None, Some(weights)) => x * weights.val().unsqueeze(),
            (None, None) => x,
        };
        Tokens {
            values: x.unsqueeze_dim(1),
            valid: None,
        }
    }

    fn pool(&self, tokens: Tokens) -> Tensor<2> {
        tokens.values.squeeze_dim(1)
    }

    fn dim(&self) -> usize {
        self.map
            .as_ref()
            .map_or(self.mean.dims()[0], |map| map.dims()[0])
    }

    fn features(&self, batch: &Given) -> Option<Tensor<2>> {
        Some(batch.0.clone())
    }

    fn features_width(&self) -> Option<usize> {
        Some(self.mean.dims()[0])
    }

    fn with_readout(self, readout: Readout) -> Result<Self> {
        Ok(match (self.map, self.weights, readout) {
            (Some(own), _, Readout::Map { mean, map }) => Self {
                mean: replaced(self.mean, mean),
                map: Some(replaced(own, map)),
                weights: None,
            },
            (None, Some(own), Readout::Weights { mean, weights }) => Self {
                mean: replaced(self.mean, mean),
                map: None,
                weights: Some(replaced(own, weights)),
            },
            _ => panic!("the other of a map and weights is what this network has"),
        })
    }
}

impl Maskable for Bare {}
