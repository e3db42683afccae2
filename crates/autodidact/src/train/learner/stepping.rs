//! A step: losses and gradients of the parts of a batch, one update, and what follows it.

use std::sync::Arc;
use std::time::Duration;

use burn::tensor::Tensor;
use rand::RngExt;

use super::Learner;
use crate::error::{Error, Result};
use crate::method::{Method, Objective, Step};
use crate::modality::{Draw, Modality};
use crate::random::{Purpose, stream};
use crate::train::StepReport;
use crate::train::gradients::Gradients;
use crate::train::loader::Loader;

impl<M: Modality, O: Objective> Learner<M, O> {
    /// Items in a part of an accumulated batch.
    pub(super) fn part(&self) -> usize {
        self.plan.train.batch_size / self.plan.train.accumulate
    }

    /// Starts making batches for the steps from `step` on.
    pub(super) fn load_from(&mut self, step: u64) {
        let workers = match self.plan.train.workers {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            workers => workers,
        };
        self.loader = None; // The old threads end before the new ones begin.
        let first = step * self.plan.train.accumulate as u64;
        self.loader = Some(Loader::start(
            Arc::clone(&self.items),
            self.part(),
            first,
            workers,
        ));
    }

    /// A step on the next batch of the data.
    pub(super) fn step_on_next(&mut self, at: Step, learning_rate: f64) -> Result<StepReport> {
        if self.loader.is_none() {
            self.load_from(at.number);
        }
        let mut loader = self.loader.take().expect("started above");
        let waited = loader.waited;
        let mut next = || loader.next().map(|ready| (ready.slots, ready.items));
        let report = self.learn(self.plan.train.accumulate, &mut next, at, learning_rate);
        let waited = loader.waited - waited;
        self.loader = Some(loader);
        Ok(StepReport { waited, ..report? })
    }

    /// A step on stretches that were just recorded, beside items of the data.
    pub(super) fn step_on_recorded(
        &mut self,
        recent: &[(Vec<f32>, usize)],
        at: Step,
        learning_rate: f64,
    ) -> Result<StepReport> {
        let (train, modality, items) = (&self.plan.train, &self.plan.modality, &self.items);
        let count = train.batch_size.max(recent.len());
        let mut rng = stream(train.seed, Purpose::Order, &[at.number, 1]);
        let places: Vec<usize> = (recent.len()..count)
            .map(|_| rng.random_range(0..items.indices.len()))
            .collect();
        let (mut numbered, mut rows) = items.read(&places)?;
        for (values, first) in recent {
            // Numbers that no item of the data has.
            let id = (items.source.len() + first) as u64;
            numbered.push((id, modality.of_steps(values.clone(), *first)?));
            rows.ids.push(id);
        }
        rows.classes = None;
        let draw = Draw {
            seed: train.seed,
            epoch: at.number,
        };
        let views = modality.views(&numbered, draw)?;
        let slots = views
            .iter()
            .map(|views| modality.collate(views, &rows, &self.device));
        let mut slots = Some(slots.collect::<Result<Vec<_>>>()?);
        let mut next = || Ok((slots.take().unwrap_or_default(), count));
        self.learn(1, &mut next, at, learning_rate)
    }

    /// A step on batches in so many parts, as they come.
    fn learn(
        &mut self,
        parts: usize,
        next: &mut dyn FnMut() -> Result<(Vec<M::Batch>, usize)>,
        at: Step,
        learning_rate: f64,
    ) -> Result<StepReport> {
        // A method may gather what it needs in its steps, and learn nothing by gradient.
        let learns = self.learns();
        let model = self.model();
        let mut gradients = Gradients::default();
        let mut carries = Vec::with_capacity(parts);
        let (mut items, mut total, mut shares) = (0, 0.0, 0.0);
        let mut named: Vec<(&'static str, f64)> = Vec::new();
        let mut first = None;
        for part in 0..parts as u64 {
            let (slots, count) = next()?;
            items += count;
            // The backward pass keeps to the precision of the forward pass.
            let precision = self.plan.train.precision.of_kernels();
            let (loss, carry) = precision.scope(|| model.loss(slots, &Step { part, ..at }))?;
            let value = scalar(&loss.total);
            let parts = loss.parts.iter();
            let values: Vec<_> = parts.map(|(name, part)| (*name, scalar(part))).collect();
            if !value.is_finite() {
                return Err(diverged("the loss", at.number, value, &values));
            }
            // Parts may hold more or less of what a loss is the mean of. How much all of them hold is known at the end, so
            // each counts by what it has for one of the first.
            let counts = loss.counts_for(count);
            let share = counts / *first.get_or_insert(if counts > 0.0 { counts } else { 1.0 });
            shares += share;
            total += share * value;
            for (index, (name, value)) in values.into_iter().enumerate() {
                match named.get_mut(index) {
                    Some(slot) => slot.1 += share * value,
                    None => named.push((name, share * value)),
                }
            }
            if learns {
                gradients.add(&loss.total, model, share);
            }
            carries.push(carry);
        }
        if shares > 0.0 {
            total /= shares;
            named.iter_mut().for_each(|(_, value)| *value /= shares);
            gradients.times(1.0 / shares);
        }
        let norm = gradients.norm();
        if !norm.is_finite() {
            return Err(diverged("the gradient's norm", at.number, norm, &named));
        }
        if self.plan.train.clip_norm > 0.0 {
            gradients.clip(norm, self.plan.train.clip_norm);
        }
        if let Some(model) = self.model.take() {
            let model = self.optimizer.update(model, gradients, learning_rate);
            self.model = Some(model.after_step(carries, &at));
        }
        Ok(StepReport {
            loss: total,
            parts: named,
            gradient_norm: norm,
            items,
            waited: Duration::ZERO,
        })
    }
}

fn scalar(tensor: &Tensor<1>) -> f64 {
    f64::from(tensor.clone().detach().into_scalar::<f32>())
}

fn diverged(what: &str, step: u64, value: f64, parts: &[(&'static str, f64)]) -> Error {
    let parts: Vec<_> = parts
        .iter()
        .map(|(name, value)| format!("{name} {value}"))
        .collect();
    let parts = if parts.is_empty() {
        String::new()
    } else {
        format!(" ({})", parts.join(", "))
    };
    Error::training(format!("{what} is {value} at step {step}{parts}"))
        .expected("a finite number")
        .mend(
            "go on from the last checkpoint with a lower train.learning_rate, a longer train.warmup or train.clip_norm = 1; \
             if it happens at once, look at the data with `autodidact views`",
        )
}
