//! What a look sees: the loss of what was held out, and how the vectors are doing.

use burn::module::Module;

use super::Learner;
use crate::error::Result;
use crate::layers::state::host;
use crate::method::{Method, Objective};
use crate::modality::{Draw, Encoder, Modality, Need};
use crate::train::features::{Who, features};
use crate::train::likelihood::{ASIDE, mean_loss};
use crate::train::{Checkup, Likelihood, Validation, monitor};

/// Held-out pieces that are looked at while training goes on, at most; its end sees all.
const PIECES_LOOKED_AT: usize = 512;

impl<M: Modality, O: Objective> Learner<M, O> {
    /// Items that a look embeds undisturbed, at most.
    fn sampled(&self) -> usize {
        match self.plan.objective.may_collapse() {
            true => monitor::SAMPLE,
            false => monitor::SMALL_SAMPLE,
        }
    }

    /// Held-out items that a look takes the loss of.
    fn looked_at(&self) -> usize {
        let held = self.held_out.indices.len();
        match self.pieces {
            Some(_) => held.min(PIECES_LOOKED_AT),
            None => held,
        }
    }

    /// The mean loss on the held-out items.
    pub(super) fn held_out_loss(&self) -> Result<Option<Validation>> {
        let held = self.held_out.indices.len();
        let looked = self.looked_at();
        if held == 0 {
            return Ok(None);
        }
        let places: Vec<usize> = (0..looked).map(|place| place * held / looked).collect();
        let model = self.model().valid();
        let means = mean_loss::<M, _>(&model, &self.held_out, &places, self.part())?;
        let predicts = self.plan.objective.predicts_symbols();
        Ok(Some(Validation {
            loss: means.total(),
            symbols: predicts.then(|| means.symbols()),
            parts: means.parts(),
            each: means.each().to_vec(),
        }))
    }

    /// How well predictions of symbols hold on all that was held out.
    pub(super) fn held_out_likelihood(&self) -> Result<Option<Likelihood>> {
        let need = self.plan.objective.pretext().needs;
        let held = self.held_out.indices.len();
        if held == 0 || !self.plan.objective.predicts_symbols() {
            return Ok(None);
        }
        let places: Vec<usize> = (0..held).collect();
        let model = self.model().valid();
        let means = mean_loss::<M, _>(&model, &self.held_out, &places, self.part())?;
        let bytes = self.pieces.filter(|_| need == Need::Next);
        Ok(Some(Likelihood::new(&means, bytes)))
    }

    /// How the vectors of some items, and of two views of others, are doing.
    pub(super) fn look_at_vectors(&self) -> Result<Checkup> {
        let device = self.device.clone().inner();
        let encoder = self.model().encoder().valid();
        let source = self.items.source.as_ref();
        let indices = monitor::sample(&self.items.indices, source.labels(), self.sampled());
        let who = [Who::Network(&encoder, &device)];
        let mut seen = features(&self.plan.modality, source, &indices, &who, |_| {})?;
        let (read, plain) = (seen.read, seen.matrices.remove(0));

        // Two views of the same items, which the network should see as nearly the same.
        let places: Vec<usize> = (0..self.items.indices.len().min(monitor::PAIRS)).collect();
        let (items, rows) = self.items.read(&places)?;
        let draw = Draw {
            seed: self.plan.train.seed,
            epoch: ASIDE,
        };
        let views = self.plan.modality.views(&items, draw)?;
        let embed = |views: &[M::View]| -> Result<Vec<f32>> {
            let batch = self.plan.modality.collate(views, &rows, &device)?;
            Ok(host(encoder.encode(&batch)))
        };
        let pair = match views.as_slice() {
            [first, second, ..] => Some((embed(first)?, embed(second)?)),
            _ => None,
        };
        Checkup::new(
            &plain,
            &read,
            source.labels(),
            pair,
            items.len(),
            self.plan.evaluate.neighbors,
        )
    }

    /// From about how many items could be learned in the time of a look.
    pub(super) fn cost_of_a_look(&self) -> f64 {
        let slots = self.plan.modality.slots().max(1);
        let learned = self.items.indices.len();
        let plain = learned.min(self.sampled());
        let pairs = 2 * learned.min(monitor::PAIRS);
        let held = self.looked_at() * slots;
        // Backward takes twice as long as forward, where there is one.
        let passes = if self.learns() { 3 } else { 1 };
        (plain + pairs + held) as f64 / (passes * slots) as f64 + self.model().settling_cost()
    }
}
