//! How well predictions of symbols hold: loss, perplexity, bits a byte.

use std::sync::Arc;

use burn::module::Module;
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::device;
use super::division::divide;
use super::loader::{Items, prepare};
use crate::error::Result;
use crate::layers::Init;
use crate::layers::state::{State, host, load_state};
use crate::method::{Loss, Method, Objective, Step};
use crate::modality::{Draw, Modality, Need, Source};
use crate::recipe::Plan;

/// The epoch and the step whose views and draws are for looking at: no training ever reaches them.
pub(super) const ASIDE: u64 = u64::MAX;

/// How well predictions of symbols hold on data that was not learned from.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Likelihood {
    /// Mean −log p of what was to be predicted, in nats, 0 or more; the logarithm of the vocabulary's size is guessing.
    pub loss: f64,
    /// e to the loss: among how many symbols the choice is, as it were.
    pub perplexity: f64,
    /// Bits that a byte of the data takes, which vocabularies can be compared by. Only for methods that predict every
    /// symbol from those before it: the others say nothing of the whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bits_per_byte: Option<f64>,
    /// Number of predictions.
    pub predictions: u64,
}

impl Likelihood {
    /// From mean losses in nats.
    pub(super) fn new(means: &Means, bytes_per_symbol: Option<f64>) -> Self {
        let loss = means.symbols();
        let bytes = bytes_per_symbol.filter(|&bytes| bytes > 0.0);
        Self {
            loss,
            perplexity: loss.exp(),
            bits_per_byte: bytes.map(|bytes| loss / std::f64::consts::LN_2 / bytes),
            predictions: means.weight as u64,
        }
    }
}

/// How well an encoder's predictions hold on a part of a source, from 0 to 1, that the seed decides; `None` where the
/// method predicts no symbols or that part is empty.
pub(crate) fn likelihood<M: Modality, O: Objective>(
    plan: &Plan<M, O>,
    encoder: &State,
    source: &Arc<dyn Source<M::Item>>,
    part: f64,
) -> Result<Option<Likelihood>> {
    let need = plan.objective.pretext().needs;
    if !plan.objective.predicts_symbols() {
        return Ok(None);
    }
    let all: Vec<usize> = (0..source.len()).collect();
    let cut = plan.modality.pieces(source, &all, part, plan.train.seed)?;
    let (source, indices, bytes) = match cut {
        Some(cut) => {
            let held = (0..cut.held_out.len()).collect();
            (cut.held_out, held, Some(cut.bytes_per_symbol))
        }
        // Of the data that the run learned from, what it held out.
        None if part < 1.0 => {
            let mut train = plan.train.clone();
            let (_, held) = divide(&mut train, &plan.data, source.as_ref(), all, None);
            (Arc::clone(source), held, None)
        }
        None => (Arc::clone(source), all, None),
    };
    if indices.is_empty() {
        return Ok(None);
    }
    let device = device::open(&plan.train.device)?;
    let mut init = Init::new(plan.train.seed, &device);
    let network = load_state(plan.modality.encoder(&mut init)?, encoder)?;
    let model = plan.objective.build(network, &mut init)?.valid();
    let places: Vec<usize> = (0..indices.len()).collect();
    let items = Items::new(
        source,
        plan.modality.clone(),
        indices,
        false,
        plan.train.seed,
        device,
        plan.data.unreadable,
    );
    let means = mean_loss::<M, _>(&model, &items, &places, plan.train.batch_size)?;
    let bytes = bytes.filter(|_| need == Need::Next);
    Ok(Some(Likelihood::new(&means, bytes)))
}

/// Mean losses in the making.
#[derive(Debug, Clone, Default)]
pub(super) struct Means {
    total: f64,
    symbols: f64,
    parts: Vec<(&'static str, f64)>,
    weight: f64,
    each: Vec<[f64; 2]>,
}

impl Means {
    /// Adds the loss of a batch of so many items.
    fn add(&mut self, loss: &Loss, items: usize) {
        if let Some((costs, weights)) = &loss.each {
            let costs = host(costs.clone());
            let each = costs.into_iter().map(f64::from).zip(weights);
            self.each.extend(each.map(|(cost, &weight)| [cost, weight]));
        }
        let weight = loss.counts_for(items);
        if weight == 0.0 {
            return;
        }
        let value = |of: &Tensor<1>| weight * f64::from(of.clone().detach().into_scalar::<f32>());
        let total = value(&loss.total);
        self.weight += weight;
        self.total += total;
        self.symbols += loss.symbols.as_ref().map_or(total, value);
        for (index, (name, part)) in loss.parts.iter().enumerate() {
            match self.parts.get_mut(index) {
                Some(sum) => sum.1 += value(part),
                None => self.parts.push((name, value(part))),
            }
        }
    }

    /// The mean of what is minimized.
    pub(super) fn total(&self) -> f64 {
        self.mean(self.total)
    }

    /// The mean −log p of predicted symbols.
    pub(super) fn symbols(&self) -> f64 {
        self.mean(self.symbols)
    }

    /// The means of the loss's parts.
    pub(super) fn parts(&self) -> Vec<(&'static str, f64)> {
        let mean = |&(name, sum): &(&'static str, f64)| (name, self.mean(sum));
        self.parts.iter().map(mean).collect()
    }

    /// What each item costs and what it weighs, for a method that tells; else nothing.
    pub(super) fn each(&self) -> &[[f64; 2]] {
        &self.each
    }

    /// What a sum comes to by the weight of all that was added; 0 where that was nothing.
    fn mean(&self, sum: f64) -> f64 {
        match self.weight > 0.0 {
            true => sum / self.weight,
            false => 0.0,
        }
    }
}

/// The mean loss of a method on items by their places, `batch` at a time: over its predictions where it counts them, by
/// the weights of the items where they have some, and else over the items. What is random about it is the same each time.
pub(super) fn mean_loss<M: Modality, T: Method<M::Encoder>>(
    model: &T,
    items: &Items<M>,
    places: &[usize],
    batch: usize,
) -> Result<Means> {
    let draw = Draw {
        seed: items.seed,
        epoch: ASIDE,
    };
    let mut means = Means::default();
    for (number, places) in places.chunks(batch.max(1)).enumerate() {
        let ready = prepare(items, places, draw)?;
        let at = Step {
            number: ASIDE,
            part: number as u64,
            progress: 0.0,
            seed: items.seed,
        };
        let (loss, _) = model.loss(ready.slots, &at)?;
        means.add(&loss, places.len());
    }
    Ok(means)
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;

    #[test]
    fn guessing_among_eight_takes_three_bits() {
        let device = Device::default();
        let scalar = |value: f64| Tensor::<1>::from_data([value as f32], &device);
        let mut means = Means::default();
        let symbols = scalar(8f64.ln());
        let loss = Loss::new(scalar(5.0)).part("other", &scalar(3.0)).over(10);
        means.add(&loss.of_symbols(&symbols), 4);
        assert_eq!((means.total(), means.parts()), (5.0, vec![("other", 3.0)]));
        let found = Likelihood::new(&means, Some(2.0));
        assert!((found.perplexity - 8.0).abs() < 1e-5);
        assert!((found.bits_per_byte.unwrap() - 1.5).abs() < 1e-6);
        assert_eq!(found.predictions, 10);
        assert_eq!(Likelihood::new(&means, Some(0.0)).bits_per_byte, None);
    }

    #[test]
    fn a_batch_counts_by_what_its_items_weigh_also_where_that_is_little() {
        let scalar = |value: f64| Tensor::<1>::from_data([value as f32], &Device::default());
        let mut means = Means::default();
        for (loss, weight) in [(1.0, 0.125), (9.0, 0.0), (3.0, 0.375)] {
            let loss = Loss::new(scalar(loss)).part("half", &scalar(loss / 2.0));
            means.add(&loss.weighing(weight), 4);
        }
        assert_eq!((means.total(), means.parts()), (2.5, vec![("half", 1.25)]));
        assert!(means.each().is_empty());
        let costs = Tensor::<1>::from_data([4.0f32, 0.5], &Device::default());
        let loss = Loss::new(scalar(2.25)).of_items(&costs, vec![1.0, 3.0]);
        means.add(&loss, 2);
        assert_eq!(means.each(), [[4.0, 1.0], [0.5, 3.0]]);
        assert_eq!(Means::default().total(), 0.0);
    }
}
