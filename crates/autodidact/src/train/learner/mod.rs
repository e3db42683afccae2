//! A method, its optimizer and its data, behind [`Session`].
//!
//! How it comes to be is in `opening`, what it takes from the data before the first step in `beginning`, what a step does in
//! `stepping`, and what a look sees in `looking`.

mod beginning;
mod looking;
mod opening;
mod stepping;

use std::sync::Arc;
use std::time::Duration;

use autodidact_eval::Matrix;
use burn::tensor::Device;

use super::labeled::{self, Labeled};
use super::likelihood::Likelihood;
use super::loader::{Items, Loader, batches_per_epoch};
use super::monitor::Checkup;
use super::optimizer::Optimizer;
use super::session::{Session, StepReport, Validation};
use crate::error::Result;
use crate::layers::state::{State, load_state, state_of, trained_values};
use crate::method::{Method, Objective, Step};
use crate::modality::{Encoder, Labels, Modality, Rung};
use crate::recipe::{Plan, Recipe, Train};

/// One method at work on one kind of data.
pub(super) struct Learner<M: Modality, O: Objective> {
    plan: Plan<M, O>,
    /// Only empty while a step hands the networks through the optimizer.
    model: Option<O::Method<M::Encoder>>,
    optimizer: Optimizer,
    device: Device,
    items: Arc<Items<M>>,
    held_out: Items<M>,
    /// Bytes that a symbol stands for, where a pass goes through pieces of the items.
    pieces: Option<f64>,
    loader: Option<Loader<M>>,
    /// Lines for people about the batch, and about the weights that the encoder started from.
    notes: Vec<String>,
    opened_in: Duration,
}

impl<M: Modality, O: Objective> Learner<M, O> {
    fn model(&self) -> &O::Method<M::Encoder> {
        self.model
            .as_ref()
            .expect("put back at the end of each step")
    }

    fn take_model(&mut self) -> O::Method<M::Encoder> {
        self.model.take().expect("put back at the end of each step")
    }

    /// The labels in the data, for a method that learns from them.
    fn labels(&self) -> Option<&Labels> {
        let labels = self.items.source.labels();
        labels.filter(|_| self.plan.objective.needs_classes())
    }

    /// Whether anything learns by gradient.
    fn learns(&self) -> bool {
        trained_values(self.model()) > 0
    }
}

impl<M: Modality, O: Objective> Session for Learner<M, O> {
    fn recipe(&self) -> Result<Recipe> {
        self.plan.to_recipe()
    }

    fn train(&self) -> &Train {
        &self.plan.train
    }

    fn ladder(&self) -> Vec<Rung> {
        M::ladder(&self.plan.views, &self.plan.network, &self.plan.measured)
    }

    fn values(&self) -> usize {
        let encoder = self.model().encoder();
        match trained_values(self.model()) {
            0 => encoder.dim() * encoder.features_width().unwrap_or(0),
            values => values,
        }
    }

    fn by_gradient(&self) -> bool {
        self.learns()
    }

    fn has_features(&self) -> bool {
        self.model().encoder().features_width().is_some()
    }

    fn describe(&self) -> Vec<String> {
        let held = match self.held_out.indices.len() {
            0 => String::new(),
            held => format!(", {held} of them held out for the validation loss"),
        };
        let dim = self.model().encoder().dim();
        let mut lines = vec![
            format!("data     {}{held}", self.items.source.describe()),
            format!("method   {} ({})", O::NAME, O::SUMMARY),
            match trained_values(self.model()) {
                0 => format!(
                    "network  solved for, not trained by gradient; vectors of {dim} dimensions"
                ),
                values => format!(
                    "network  {:.2} million values learn; vectors of {dim} dimensions",
                    values as f64 / 1e6
                ),
            },
            format!(
                "numbers  {}",
                self.plan.train.precision.describe(&self.plan.train.device)
            ),
        ];
        lines.extend(self.notes.iter().cloned());
        lines
    }

    fn opened_in(&self) -> Duration {
        self.opened_in
    }

    fn steps_per_epoch(&self) -> u64 {
        batches_per_epoch(self.items.indices.len(), self.plan.train.batch_size)
    }

    fn begin(&mut self) -> Result<Vec<String>> {
        self.take_from_data()
    }

    fn settle(&mut self, at: Step) -> Result<()> {
        let settled = self.take_model().settled(&at)?;
        self.model = Some(settled);
        Ok(())
    }

    fn start(&mut self, step: u64) {
        self.load_from(step);
    }

    fn step(&mut self, at: Step, learning_rate: f64) -> Result<StepReport> {
        self.step_on_next(at, learning_rate)
    }

    fn rehearse(
        &mut self,
        recent: &[(Vec<f32>, usize)],
        at: Step,
        learning_rate: f64,
    ) -> Result<StepReport> {
        self.step_on_recorded(recent, at, learning_rate)
    }

    fn validate(&self) -> Result<Option<Validation>> {
        self.held_out_loss()
    }

    fn likelihood(&self) -> Result<Option<Likelihood>> {
        self.held_out_likelihood()
    }

    fn may_collapse(&self) -> bool {
        self.plan.objective.may_collapse()
    }

    fn checkup(&self) -> Result<Checkup> {
        self.look_at_vectors()
    }

    fn look_cost(&self) -> f64 {
        self.cost_of_a_look()
    }

    fn state(&self) -> (State, u64) {
        let mut state = State::new();
        for (name, array) in state_of(self.model()) {
            state.insert(format!("model.{name}"), array);
        }
        for (name, array) in self.optimizer.state() {
            state.insert(format!("optimizer.{name}"), array);
        }
        (state, self.optimizer.updates())
    }

    fn restore(&mut self, model: &State, optimizer: &State, updates: u64) -> Result<()> {
        let own = self.take_model();
        self.model = Some(load_state(own, model)?);
        self.optimizer
            .restore(optimizer, updates, &self.device.clone().inner())
    }

    fn encoder(&self) -> State {
        state_of(self.model().encoder())
    }

    fn labeled(&self) -> Option<Labeled> {
        let labels = self.labels()?;
        Some(Labeled {
            classes: labels.classes.clone(),
            items: labeled::counts(labels, &self.items.indices),
            held_out: self.held_out.indices.len(),
        })
    }

    fn held_out(&self) -> Result<Option<(Matrix, Vec<u32>)>> {
        let seen = self.seen(&self.held_out.indices)?;
        Ok(seen.map(|seen| (seen.vectors, seen.classes)))
    }

    fn refit(&mut self) -> Result<Option<usize>> {
        self.fit_to_all()
    }

    fn unreadable(&self) -> Vec<(String, String)> {
        let mut found = self.items.unreadable();
        found.extend(self.held_out.unreadable());
        found
    }
}
