//! What a method is: its settings before anything is built, and its networks at work.

use autodidact_eval::Matrix;
use burn::module::Module;

use super::{Loss, Training};
use crate::error::Result;
use crate::layers::Init;
use crate::modality::{Change, Encoder, Maskable, Need, Pretext, Table};
use crate::random::{Purpose, Rng, stream};

/// A method's settings: the recipe's `[method]`, what the method asks for, and how its networks are built.
pub trait Objective: Table + Default {
    /// The name in a recipe and after `--method`.
    const NAME: &'static str;
    /// One line for people.
    const SUMMARY: &'static str;
    /// Authors, year, where the official code is.
    const SOURCE: &'static str;
    /// What it needs of a network, beyond vectors, whatever its settings.
    const NEEDS: Need;
    /// The networks around an encoder.
    type Method<E: Maskable>: Method<E>;

    /// What the method asks of the data and the network: one view, lightly changed, unless it says otherwise.
    fn pretext(&self) -> Pretext {
        Pretext::new(1, Change::Light, Self::NEEDS)
    }

    /// The optimizer that suits it, before the recipe has its say.
    fn training(&self) -> Training;

    /// How many items a batch had best hold, where that is another number than for most methods.
    fn batch(&self) -> Option<usize> {
        None
    }

    /// How many steps are enough: more would change nothing. A run takes as many where its recipe names no length, and no more
    /// where that is a budget.
    fn steps(&self) -> Option<u64> {
        None
    }

    /// How many passes over the data are enough, as [`Objective::steps`] has it; for a method that doesn't count in steps.
    fn epochs(&self) -> Option<f64> {
        None
    }

    /// Whether its loss is that of predicted symbols, whose likelihood can be told.
    fn predicts_symbols(&self) -> bool {
        matches!(Self::NEEDS, Need::Next | Need::Replaced)
    }

    /// Whether vectors that all become alike would serve its loss, so that a warning is in place.
    fn may_collapse(&self) -> bool {
        !self.predicts_symbols()
    }

    /// Whether it learns from the classes in the data: a baseline, not self-supervision.
    fn needs_classes(&self) -> bool {
        false
    }

    /// For a method that learns from classes: told before it is built how many items of each class there are to learn
    /// from, so that settings left to the data can be filled in.
    fn see_classes(&mut self, _items: &[usize]) {}

    /// Checks the settings.
    ///
    /// # Errors
    /// Names the key, what it holds and what it may hold.
    fn check(&self) -> Result<()> {
        Ok(())
    }

    /// Builds the networks around an encoder.
    ///
    /// # Errors
    /// When the settings and the encoder don't fit.
    fn build<E: Maskable>(&self, encoder: E, init: &mut Init) -> Result<Self::Method<E>>;
}

/// One method at work: its heads, its teacher, its loss.
pub trait Method<E: Encoder>: Module + 'static {
    /// What a step hands on to [`Method::after_step`]: keys for a queue, means for a center.
    type Carry;

    /// The loss of a batch, `views[slot]`.
    ///
    /// # Errors
    /// When the views don't fit the method.
    fn loss(&self, views: Vec<E::Batch>, at: &Step) -> Result<(Loss, Self::Carry)>;

    /// Runs after the optimizer: teachers follow, queues take in keys. One carry for each part of an accumulated batch.
    /// Everything it changes must be a parameter or running statistic of the module, so that it is saved and resumed.
    #[must_use]
    fn after_step(self, _carries: Vec<Self::Carry>, _at: &Step) -> Self {
        self
    }

    /// Brings the encoder up to what was learned so far, before it is looked at or kept: for a method that gathers in its
    /// steps and draws its conclusion now and then.
    ///
    /// # Errors
    /// When there is no conclusion to draw.
    fn settled(self, _at: &Step) -> Result<Self> {
        Ok(self)
    }

    /// From about how many items could be learned in the time that [`Method::settled`] takes.
    fn settling_cost(&self) -> f64 {
        0.0
    }

    /// The same, begun with what a linear classifier tells by the encoder's vectors, `[items, dim]` with their classes, and a
    /// line for people; for a method that learns from classes. How the classifier is fitted is chosen by some of the rows, where
    /// any are named.
    fn read_out(
        self,
        _vectors: &Matrix,
        _classes: &[u32],
        _chosen_by: Option<&[usize]>,
    ) -> (Self, Option<String>) {
        (self, None)
    }

    /// What the method makes of a batch, for people to look at; `None` for a method that restores nothing.
    ///
    /// # Errors
    /// When the views don't fit the method.
    fn restored(&self, _views: Vec<E::Batch>, _at: &Step) -> Result<Option<Restored<E::Batch>>> {
        Ok(None)
    }

    /// The learning rate of a parameter, as a part of the run's: 1 for all, unless the method wants some of them to
    /// learn more slowly. Names are dotted paths of fields, such as `encoder.conv1.weight`.
    fn rate(&self, _parameter: &str) -> f64 {
        1.0
    }

    /// The encoder, to look at while training.
    fn encoder(&self) -> &E;

    /// The encoder, which is what training is for.
    fn into_encoder(self) -> E;
}

/// What a method was given of a batch, and what it made of it: batches like the one it started from.
#[derive(Debug, Clone)]
pub struct Restored<B> {
    /// The batch with what was hidden left out (values that are not a number, symbols that stand for hidden ones).
    pub given: B,
    /// The batch with what was hidden as the method thinks it was.
    pub restored: B,
}

/// Where in a run a step stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Steps taken before this one.
    pub number: u64,
    /// Part of an accumulated batch, from 0.
    pub part: u64,
    /// From 0 at the start to 1 at the end of the run.
    pub progress: f64,
    /// The run's seed.
    pub seed: u64,
}

impl Step {
    /// What a method draws in this step: masks, slices, negatives.
    pub fn rng(&self) -> Rng {
        stream(self.seed, Purpose::Method, &[self.number, self.part])
    }
}
