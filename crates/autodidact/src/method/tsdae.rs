//! TSDAE: most symbols of an item are deleted, and all of them are said again from the vector of what was left, alone.
//!
//! Loss: −log p(xₜ | x₁ … xₜ₋₁, h), averaged over the symbols that have one before them, where h is the pooled vector of x
//! without the deleted symbols. A small decoder goes through x from left to right and sees of the rest only h, so h has to
//! hold what x says. Ends and begins are never deleted.
//!
//! Wang, Reimers & Gurevych, *TSDAE* (2021, arXiv 2104.06979); official code: UKPLab/sentence-transformers. Differs: the
//! decoder is a GRU with symbol vectors of its own instead of a transformer that shares the encoder's weights, so that any
//! network over symbols can be its encoder.
//!
//! `autodidact pretrain DATA --method tsdae`

use autodidact_kernels::{Activation, cross_entropy, embedding, linear};
use burn::module::{Module, Param};
use burn::tensor::{Int, Tensor, TensorData};
use rand::RngExt;
use serde::{Deserialize, Serialize};

use super::{Loss, Method, Objective, Step, Training, positive, take, within, wordless};
use crate::error::Result;
use crate::layers::{Gru, Init, Linear};
use crate::modality::{Encoder, Maskable, Need, Symbols, Vocabulary};
use crate::random::Rng;

/// The target of a place that asks for nothing.
const NONE: i64 = -1;
/// Deviation of the decoder's symbol vectors.
const DEVIATION: f32 = 0.02;

/// The recipe's `[method]` for TSDAE.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tsdae {
    /// The part of the symbols that is deleted, each by a draw of its own, 0 to 0.99.
    pub deletion: f64,
    /// Width of the decoder.
    pub decoder_width: usize,
}

impl Default for Tsdae {
    fn default() -> Self {
        Self {
            deletion: 0.6,
            decoder_width: 128,
        }
    }
}

impl Objective for Tsdae {
    const NAME: &'static str = "tsdae";
    const SUMMARY: &'static str = "restore a whole from the vector of what deletion left of it";
    const SOURCE: &'static str = "Wang et al. 2021, arXiv 2104.06979, UKPLab/sentence-transformers";
    const NEEDS: Need = Need::Symbols;
    type Method<E: Maskable> = TsdaeMethod<E>;

    fn training(&self) -> Training {
        // For small networks, from scratch.
        Training::adamw(5e-4, 0.01).for_batch(32)
    }

    fn may_collapse(&self) -> bool {
        // Vectors that are alike restore nothing.
        false
    }

    fn check(&self) -> Result<()> {
        within("deletion", self.deletion, 0.0, 0.99)?;
        positive("decoder_width", self.decoder_width)
    }

    fn build<E: Maskable>(&self, encoder: E, init: &mut Init) -> Result<TsdaeMethod<E>> {
        let network = encoder.symbolic().ok_or_else(|| wordless(Self::NAME))?;
        let (symbols, width) = (network.vocabulary().size, self.decoder_width);
        Ok(TsdaeMethod {
            words: init.normal([symbols, width], DEVIATION),
            context: Linear::new(encoder.dim(), width, true, init),
            decoder: Gru::new(width, width, init),
            deletion: self.deletion,
            encoder,
        })
    }
}

/// An encoder and the decoder that says its item again.
#[derive(Module, Debug)]
pub struct TsdaeMethod<E: Encoder> {
    encoder: E,
    /// `[symbols, width]`: what the decoder reads symbols as, and scores them by.
    words: Param<Tensor<2>>,
    context: Linear,
    decoder: Gru,
    deletion: f64,
}

impl<E: Encoder> TsdaeMethod<E> {
    /// How likely the decoder finds each symbol after those at places of `[batch, length]` symbols and with vectors
    /// `[batch, dim]`: `[batch · length, symbols]`, as unnormalized logarithms.
    fn scores(&self, ids: Tensor<2, Int>, vectors: Tensor<2>) -> Tensor<2> {
        let words = self.words.val();
        let context = self.context.forward(vectors).unsqueeze_dim::<3>(1); // [batch, 1, width]
        let states = self
            .decoder
            .forward(embedding(words.clone(), ids) + context, None);
        let [batch, length, width] = states.dims();
        let states = states.reshape([batch * length, width]);
        linear(states, words, None, Activation::None)
    }
}

impl<E: Encoder> Method<E> for TsdaeMethod<E> {
    type Carry = ();

    fn loss(&self, views: Vec<E::Batch>, at: &Step) -> Result<(Loss, ())> {
        let [batch]: [E::Batch; 1] = take(views, Tsdae::NAME)?;
        let network = self
            .encoder
            .symbolic()
            .ok_or_else(|| wordless(Tsdae::NAME))?;
        let symbols = network.symbols(&batch);
        let kept = keep(symbols, &network.vocabulary(), self.deletion, &mut at.rng());
        let vectors = self.encoder.encode(&network.kept(&batch, &kept));
        let device = vectors.device();
        let ids: Vec<i64> = symbols.ids.iter().map(|&id| i64::from(id)).collect();
        let shape = [vectors.dims()[0], symbols.length];
        let ids = Tensor::<2, Int>::from_data(TensorData::new(ids, shape), &device);
        let targets = targets(symbols);
        let asked = targets.iter().filter(|&&target| target != NONE).count();
        let count = targets.len();
        let targets = Tensor::<1, Int>::from_data(TensorData::new(targets, [count]), &device);
        let loss = cross_entropy(self.scores(ids, vectors), targets, Some(NONE));
        Ok((Loss::new(loss).over(asked), ()))
    }

    fn encoder(&self) -> &E {
        &self.encoder
    }

    fn into_encoder(self) -> E {
        self.encoder
    }
}

/// Which symbols stay: all that stand for no data, and of the others a part, at least one in a row.
fn keep(symbols: &Symbols, vocabulary: &Vocabulary, deletion: f64, rng: &mut Rng) -> Vec<bool> {
    let mut kept = Vec::with_capacity(symbols.ids.len());
    let rows = symbols.ids.chunks(symbols.length.max(1));
    for (ids, documents) in rows.zip(symbols.documents.chunks(symbols.length.max(1))) {
        let data = |place: &usize| documents[*place] > 0 && vocabulary.is_data(ids[*place]);
        let mut row: Vec<bool> = (0..ids.len())
            .map(|place| !data(&place) || rng.random::<f64>() >= deletion)
            .collect();
        let places: Vec<usize> = (0..ids.len()).filter(data).collect();
        if !places.is_empty() && !places.iter().any(|&place| row[place]) {
            row[places[rng.random_range(0..places.len())]] = true;
        }
        kept.extend(row);
    }
    kept
}

/// The symbol after each in its row, or [`NONE`] where padding or nothing comes.
fn targets(symbols: &Symbols) -> Vec<i64> {
    let place = |place: usize| {
        let next = place + 1;
        let in_row = !next.is_multiple_of(symbols.length.max(1));
        match in_row && symbols.documents[next] > 0 {
            true => i64::from(symbols.ids[next]),
            false => NONE,
        }
    };
    (0..symbols.ids.len()).map(place).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::toy::{Toy, ToyBatch};
    use super::*;
    use crate::layers::init::tests_device;
    use crate::layers::state::host;
    use crate::random::{Purpose, stream};

    const AT: Step = Step {
        number: 0,
        part: 0,
        progress: 0.0,
        seed: 2,
    };

    #[test]
    fn as_many_are_deleted_as_was_asked_for_and_one_stays_in_each_row() {
        let row: Vec<u32> = [0].into_iter().chain(1..1000).collect();
        let symbols = Symbols {
            length: 1000,
            ids: row.repeat(20),
            documents: [vec![1; 900], vec![0; 100]].concat().repeat(20),
            next: vec![None; 20_000],
        };
        let vocabulary = Vocabulary {
            size: 1000,
            mask: 0,
            special: Arc::new(vec![0]),
            seams: Arc::default(),
            parts: Arc::default(),
        };
        let mut rng = stream(0, Purpose::Method, &[]);
        let kept = keep(&symbols, &vocabulary, 0.6, &mut rng);
        let data = |place: &usize| (1..900).contains(&(place % 1000));
        assert!(
            (0..20_000)
                .filter(|place| !data(place))
                .all(|place| kept[place])
        );
        let left = (0..20_000)
            .filter(data)
            .filter(|&place| kept[place])
            .count();
        assert!(left.abs_diff(7192) < 270, "{left}");
        let nearly_all = Symbols {
            length: 4,
            ids: [0, 1, 2, 0].repeat(500),
            documents: vec![1; 2000],
            next: vec![None; 2000],
        };
        let kept = keep(&nearly_all, &vocabulary, 0.99, &mut rng);
        assert!(kept.chunks(4).all(|row| row[1] || row[2]));
    }

    /// The formula of the header, symbol by symbol, over the decoder's states.
    #[test]
    fn the_loss_is_that_of_the_formula() {
        let device = tests_device();
        let ids: Vec<u32> = (0..30).map(|place| place * place % 7).collect();
        let mut batch = ToyBatch::new(&ids);
        let mut symbols = (*batch.symbols).clone();
        symbols.documents[26..].fill(0);
        batch.symbols = Arc::new(symbols);
        let settings = Tsdae {
            decoder_width: 5,
            ..Tsdae::default()
        };
        let toy = Toy::new(7, &device);
        let method = settings.build(toy, &mut Init::new(4, &device)).unwrap();
        let (loss, ()) = method.loss(vec![batch.clone()], &AT).unwrap();
        let network = method.encoder.symbolic().unwrap();
        let kept = keep(&batch.symbols, &network.vocabulary(), 0.6, &mut AT.rng());
        // The toy's vector is the mean of its rows for the symbols that stayed.
        let table = host(method.encoder.table.val());
        let left: Vec<u32> = (0..26)
            .filter(|&place| kept[place])
            .map(|place| ids[place])
            .collect();
        assert!(left.len() < 20);
        let mut vector = vec![0f32; 7];
        for &id in &left {
            for (sum, value) in vector.iter_mut().zip(&table[7 * id as usize..]) {
                *sum += value / left.len() as f32;
            }
        }
        let vector = Tensor::<2>::from_data(TensorData::new(vector, [1, 7]), &device);
        let numbers: Vec<i64> = ids.iter().map(|&id| i64::from(id)).collect();
        let all = Tensor::<2, Int>::from_data(TensorData::new(numbers, [1, 30]), &device);
        let scores = host(method.scores(all, vector));
        let cost = |place: usize| {
            let row = &scores[7 * place..][..7];
            let sum: f64 = row.iter().map(|&score| f64::from(score).exp()).sum();
            sum.ln() - f64::from(row[ids[place + 1] as usize])
        };
        let expected = (0..25).map(cost).sum::<f64>() / 25.0;
        let found = f64::from(loss.total.into_scalar::<f32>());
        assert!((found - expected).abs() < 1e-5, "{found} beside {expected}");
        assert_eq!(loss.predictions, Some(25));
        assert!(
            (expected - 7f64.ln()).abs() < 0.05,
            "small weights guess: {expected}"
        );
    }

    /// What reaches the encoder comes through its vector: the gradient is the slope of the loss over one of its numbers.
    #[test]
    fn the_gradient_of_the_encoder_is_the_slope_of_the_loss() {
        let device = tests_device();
        let ids: Vec<u32> = (0..30).map(|place| 1 + place * place % 6).collect();
        let loss = |moved: f32| {
            let mut toy = Toy::new(7, &device);
            let mut values = host(toy.table.val());
            values[2 * 7 + 3] += moved;
            toy.table = Param::from_data(TensorData::new(values, [7, 7]), &device);
            let settings = Tsdae::default();
            let mut method = settings.build(toy, &mut Init::new(4, &device)).unwrap();
            // Initial symbol vectors are so small that the slope would drown in rounding.
            method.words = Init::new(9, &device).normal([7, 128], 0.5);
            let (loss, ()) = method.loss(vec![ToyBatch::new(&ids)], &AT).unwrap();
            (loss.total, method.encoder.table.val())
        };
        let (at, table) = loss(0.0);
        let gradient = host(table.grad(&at.backward()).unwrap())[2 * 7 + 3];
        let value = |moved| f64::from(loss(moved).0.into_scalar::<f32>());
        let slope = (value(0.5) - value(-0.5)) as f32;
        assert!(gradient != 0.0);
        assert!(
            (gradient - slope).abs() < 0.1 * slope.abs() + 1e-6,
            "{gradient} beside {slope}"
        );
    }
}
