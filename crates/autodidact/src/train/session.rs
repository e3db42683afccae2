//! A run with its types erased, so that the loop is compiled once.

use std::time::Duration;

use autodidact_eval::Matrix;

use super::labeled::Labeled;
use super::learner::Learner;
use super::likelihood::Likelihood;
use super::monitor::Checkup;
use crate::error::Result;
use crate::layers::state::State;
use crate::method::{ForObjective, Objective, Step};
use crate::modality::{self, ForModality, Modality, Rung};
use crate::recipe::{Recipe, Train};

/// A run of some method on some kind of data.
pub trait Session: Send {
    /// The plan as a recipe, complete.
    ///
    /// # Errors
    /// When a value has no form in TOML.
    fn recipe(&self) -> Result<Recipe>;
    /// The recipe's `[train]`, with nothing left open.
    fn train(&self) -> &Train;
    /// What a run with a budget may choose from, small ones first.
    fn ladder(&self) -> Vec<Rung>;
    /// How many values learn, by gradient or not.
    fn values(&self) -> usize;
    /// Whether the method learns by gradient.
    fn by_gradient(&self) -> bool;
    /// Whether the encoder's vectors are a map of fixed features.
    fn has_features(&self) -> bool;
    /// Lines for people: what the data is, what the network is.
    fn describe(&self) -> Vec<String>;
    /// How long it took to open the data, to look at it and to build the networks.
    fn opened_in(&self) -> Duration;
    /// Steps in a pass over the data.
    fn steps_per_epoch(&self) -> u64;
    /// What the network takes from the data before the first step of a new run; lines for people. What was left to the run
    /// there stands in [`Session::recipe`] afterwards.
    ///
    /// # Errors
    /// When the data can't be read.
    fn begin(&mut self) -> Result<Vec<String>>;
    /// Brings the encoder up to what was learned so far, for a method that doesn't in each step.
    ///
    /// # Errors
    /// When what was learned makes no encoder.
    fn settle(&mut self, at: Step) -> Result<()>;
    /// Starts making batches for the steps from `step` on.
    fn start(&mut self, step: u64);
    /// One step: loss, gradients, update, after-step. Nothing is changed if loss or gradients aren't finite.
    ///
    /// # Errors
    /// When they aren't, naming the parts; when too much data is unreadable.
    fn step(&mut self, at: Step, learning_rate: f64) -> Result<StepReport>;
    /// One step on stretches that were just recorded (values and the number of the first step), beside as many items as
    /// fill the batch, drawn by the step's number: so that what was learned before isn't forgotten.
    ///
    /// # Errors
    /// As [`Session::step`], and for data that isn't made of steps.
    fn rehearse(
        &mut self,
        recent: &[(Vec<f32>, usize)],
        at: Step,
        learning_rate: f64,
    ) -> Result<StepReport>;
    /// The mean loss on the held-out items, if any are held out.
    ///
    /// # Errors
    /// When they can't be read.
    fn validate(&self) -> Result<Option<Validation>>;
    /// How well the method's predictions hold on all that was held out; `None` for a method that predicts no symbols, or
    /// where nothing is held out.
    ///
    /// # Errors
    /// When it can't be read.
    fn likelihood(&self) -> Result<Option<Likelihood>>;
    /// Whether vectors that all become alike would serve the method's loss, so that a warning is in place.
    fn may_collapse(&self) -> bool;
    /// How the representation is doing.
    ///
    /// # Errors
    /// When the items for it can't be read.
    fn checkup(&self) -> Result<Checkup>;
    /// From about how many items could be learned in the time that [`Session::validate`] and [`Session::checkup`] take.
    fn look_cost(&self) -> f64;
    /// Everything that learning goes by: weights, statistics, teachers, averages.
    fn state(&self) -> (State, u64);
    /// Takes up where [`Session::state`] was written; the number is that of the optimizer's updates.
    ///
    /// # Errors
    /// When the state is another network's.
    fn restore(&mut self, model: &State, optimizer: &State, updates: u64) -> Result<()>;
    /// The encoder alone, under the ecosystem's names.
    fn encoder(&self) -> State;
    /// The labels that a method learns from; `None` for one that needs none.
    fn labeled(&self) -> Option<Labeled>;
    /// The vectors of the held-out items and their classes, for a method that learns from labels; `None` where nothing
    /// is held out or none of it can be read.
    ///
    /// # Errors
    /// When the views can't be made.
    fn held_out(&self) -> Result<Option<(Matrix, Vec<u32>)>>;
    /// Fits the classifier that given weights began with once more, as [`Session::begin`] did but to all labeled items, also
    /// to those that are held out; how many these are. `None`, and nothing is changed, where there was no such classifier, or
    /// where it began with some of the items to learn from only, since all would have taken too long.
    ///
    /// # Errors
    /// When the views can't be made.
    fn refit(&mut self) -> Result<Option<usize>> {
        Ok(None)
    }
    /// Unreadable items found so far: name and what was wrong.
    fn unreadable(&self) -> Vec<(String, String)>;
}

/// What a step came to.
#[derive(Debug, Clone, PartialEq)]
pub struct StepReport {
    /// What is minimized.
    pub loss: f64,
    /// Its named parts.
    pub parts: Vec<(&'static str, f64)>,
    /// Norm of all gradients together, before clipping.
    pub gradient_norm: f64,
    /// Items learned from.
    pub items: usize,
    /// Time spent waiting for data.
    pub waited: Duration,
}

/// How a method does on what was held out.
#[derive(Debug, Clone, PartialEq)]
pub struct Validation {
    /// The mean of what is minimized.
    pub loss: f64,
    /// The mean −log p of predicted symbols, for a method that predicts some.
    pub symbols: Option<f64>,
    /// The means of the loss's named parts.
    pub parts: Vec<(&'static str, f64)>,
    /// What each item costs and what it weighs in the mean, for a method whose loss is one over items; else nothing.
    pub each: Vec<[f64; 2]>,
}

/// Opens the data, looks at it, fills the recipe in and builds the networks.
///
/// # Errors
/// When the data can't be read or the recipe doesn't fit it.
pub fn open(recipe: &Recipe) -> Result<Box<dyn Session>> {
    let recipe = &recipe.begun()?;
    let fresh = true;
    modality::by_name(&recipe.kind()?, OfKind { recipe, fresh })?
}

/// As [`open`], for a run whose weights come from a checkpoint: what it started from is not read again.
///
/// # Errors
/// As [`open`].
pub fn reopen(recipe: &Recipe) -> Result<Box<dyn Session>> {
    let fresh = false;
    modality::by_name(&recipe.kind()?, OfKind { recipe, fresh })?
}

struct OfKind<'a> {
    recipe: &'a Recipe,
    fresh: bool,
}

impl ForModality for OfKind<'_> {
    type Output = Result<Box<dyn Session>>;
    fn run<M: Modality>(self) -> Self::Output {
        let name = crate::method::of(self.recipe)?;
        let of_method = OfMethod {
            recipe: self.recipe,
            fresh: self.fresh,
            kind: std::marker::PhantomData::<M>,
        };
        crate::method::on::<M, _>(&name, of_method)?
    }
}

struct OfMethod<'a, M> {
    recipe: &'a Recipe,
    fresh: bool,
    kind: std::marker::PhantomData<M>,
}

impl<M: Modality> ForObjective for OfMethod<'_, M> {
    type Output = Result<Box<dyn Session>>;
    fn run<O: Objective>(self) -> Self::Output {
        Ok(Box::new(Learner::<M, O>::open(self.recipe, self.fresh)?))
    }
}
