//! A method, its optimizer and its data, behind [`Session`].

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use autodidact_eval::Matrix;
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use rand::RngExt;

use super::division::{bound, divide, enough};
use super::features::{Who, features};
use super::gradients::Gradients;
use super::labeled::{self, Labeled};
use super::likelihood::{ASIDE, Likelihood, mean_loss};
use super::loader::{Items, Loader, batches_per_epoch};
use super::monitor::{self, Checkup};
use super::optimizer::Optimizer;
use super::session::{Session, StepReport, Validation};
use super::start::start_from;
use crate::error::{Error, Result};
use crate::layers::Init;
use crate::layers::state::{State, load_state, state_of, trained, trained_values};
use crate::method::{Method, Objective, Step};
use crate::modality::{Draw, Encoder, Labels, Modality, Need, Rung};
use crate::random::{Purpose, stream};
use crate::recipe::{Plan, Recipe, Train};

/// Held-out pieces that are looked at while training goes on, at most; its end sees all.
const PIECES_LOOKED_AT: usize = 512;

/// Items that a classifier begins with, at most: more would take from the time for learning.
const READ_OUT_FROM: usize = 5000;

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
}

impl<M: Modality, O: Objective> Learner<M, O> {
    /// A `fresh` run reads the weights that it starts from, if the recipe names any.
    pub(super) fn open(recipe: &Recipe, fresh: bool) -> Result<Self> {
        let data = recipe.data()?;
        let seed = recipe.seed();
        let source = M::open(&data.source(seed, None))?;
        let source: Arc<dyn crate::modality::Source<M::Item>> = Arc::from(source);
        let mut plan = Plan::<M, O>::resolve(recipe, Some(source.as_ref()))?;
        let device = super::device::open(&plan.train.device)?.autodiff();

        let mut usable: Vec<usize> = (0..source.len()).collect();
        let mut labels: Option<&Labels> = None;
        if plan.objective.needs_classes() {
            let of_data = source.labels().ok_or_else(|| {
                Error::data(format!("no labels, which {} learns from", O::NAME))
                    .expected("class folders or a file of labels")
                    .mend("name one with --labels")
            });
            let chosen = of_data.and_then(|of_data| {
                labels = Some(of_data);
                labeled::choose(of_data, &plan.data, plan.train.seed)
            });
            usable = chosen.map_err(|error| match &plan.data.path {
                Some(path) => error.at(path),
                None => error,
            })?;
        }
        let asked = plan.train.batch_size;
        let cut = match labels {
            // Labels are of items, not of pieces.
            Some(_) => None,
            None => {
                let (part, seed) = (plan.data.validation, plan.train.seed);
                plan.modality.pieces(&source, &usable, part, seed)?
            }
        };
        let (sources, learned, held) = match &cut {
            Some(cut) => {
                let count = cut.learned.len();
                enough(count, "pieces", &plan.train, None)?;
                plan.train.batch_size = bound(&plan.train, count);
                let held = (0..cut.held_out.len()).collect();
                let sources = [&cut.learned, &cut.held_out].map(Arc::clone);
                (sources, (0..count).collect(), held)
            }
            None => {
                enough(usable.len(), "items", &plan.train, source.advice())?;
                let (learned, held) =
                    divide(&mut plan.train, &plan.data, source.as_ref(), usable, labels);
                ([&source, &source].map(Arc::clone), learned, held)
            }
        };
        let batch = plan.train.batch_size;
        if let Some(labels) = labels {
            plan.objective
                .see_classes(&labeled::counts(labels, &learned));
        }
        let items = |source, indices, device| {
            Items::new(
                source,
                plan.modality.clone(),
                indices,
                plan.objective.needs_classes(),
                plan.train.seed,
                device,
                plan.data.unreadable,
            )
        };
        let [learned_from, held_from] = sources;
        let (items, held_out) = (
            items(learned_from, learned, device.clone()),
            items(held_from, held, device.clone().inner()),
        );

        let mut init = Init::new(plan.train.seed, &device);
        let mut encoder = plan.modality.encoder(&mut init)?;
        let mut notes = Vec::new();
        if batch < asked {
            notes.push(format!(
                "batch    {batch} items and not {asked}: there are no more"
            ));
        }
        if let (true, Some(path)) = (fresh, &plan.train.init) {
            let (adopted, lines) = start_from(encoder, path)?;
            encoder = adopted;
            notes.extend(lines);
        }
        let model = plan.objective.build(encoder, &mut init)?;
        let rates: BTreeMap<String, f64> = trained(&model)
            .into_iter()
            .map(|name| (name.clone(), model.rate(&name)))
            .filter(|(_, rate)| *rate != 1.0)
            .collect();
        Ok(Self {
            optimizer: Optimizer::new(&plan.train).with_rates(rates),
            plan,
            model: Some(model),
            device,
            items: Arc::new(items),
            held_out,
            pieces: cut.map(|cut| cut.bytes_per_symbol),
            loader: None,
            notes,
        })
    }

    fn model(&self) -> &O::Method<M::Encoder> {
        self.model
            .as_ref()
            .expect("put back at the end of each step")
    }

    /// The vectors of some items and their classes, for a method that learns from labels; `None` where none can be read.
    fn vectors(&self, indices: &[usize]) -> Result<Option<(Matrix, Vec<u32>)>> {
        let source = self.items.source.as_ref();
        let labels = source.labels();
        let Some(labels) = labels.filter(|_| self.plan.objective.needs_classes()) else {
            return Ok(None);
        };
        let readable: Vec<usize> = (indices.iter().copied())
            .filter(|&index| source.get(index).is_ok())
            .collect();
        if readable.is_empty() {
            return Ok(None);
        }
        let device = self.device.clone().inner();
        let encoder = self.model().encoder().valid();
        let who = [Who::Network(&encoder, &device)];
        let mut seen = features(&self.plan.modality, source, &readable, &who, |_| {})?;
        let classes = seen.read.iter().filter_map(|&index| labels.of[index]);
        Ok(Some((seen.matrices.remove(0), classes.collect())))
    }

    /// Begins a classifier with what the vectors of some items tell; a line for people.
    fn read_out(&mut self) -> Result<Option<String>> {
        let learned = &self.items.indices;
        let count = learned.len().min(READ_OUT_FROM);
        let some: Vec<usize> = (0..count)
            .map(|place| learned[place * learned.len() / count])
            .collect();
        let Some((vectors, classes)) = self.vectors(&some)? else {
            return Ok(None);
        };
        let model = self.model.take().expect("put back at the end of each step");
        let (model, line) = model.read_out(&vectors, &classes);
        self.model = Some(model);
        Ok(line)
    }

    /// Items that a look embeds undisturbed, at most.
    fn sampled(&self) -> usize {
        match self.may_collapse() {
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

    /// Items in a part of an accumulated batch.
    fn part(&self) -> usize {
        self.plan.train.batch_size / self.plan.train.accumulate
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
        let learns = self.by_gradient();
        let model = self.model();
        let mut gradients = Gradients::default();
        let (mut carries, mut items, mut total) = (Vec::with_capacity(parts), 0, 0.0);
        let mut named: Vec<(&'static str, f64)> = Vec::new();
        for part in 0..parts as u64 {
            let (slots, count) = next()?;
            items += count;
            // The backward pass keeps to the precision of the forward pass.
            let precision = self.plan.train.precision.of_kernels();
            let (loss, carry) = precision.scope(|| model.loss(slots, &Step { part, ..at }))?;
            let share = 1.0 / parts as f64;
            total += share * scalar(&loss.total);
            for (index, (name, value)) in loss.parts.iter().enumerate() {
                let value = share * scalar(value);
                match named.get_mut(index) {
                    Some(slot) => slot.1 += value,
                    None => named.push((name, value)),
                }
            }
            if !total.is_finite() {
                return Err(diverged("the loss", at.number, total, &named));
            }
            if learns {
                gradients.add(&loss.total, model, share);
            }
            carries.push(carry);
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
        trained_values(self.model()) > 0
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

    fn steps_per_epoch(&self) -> u64 {
        batches_per_epoch(self.items.indices.len(), self.plan.train.batch_size)
    }

    fn begin(&mut self) -> Result<Vec<String>> {
        // Given weights have begun before; a classifier of theirs begins with what they tell.
        if self.plan.train.init.is_some() {
            return Ok(self.read_out()?.into_iter().collect());
        }
        let began = std::time::Instant::now();
        let items = &self.items;
        let mut some = |count: usize| {
            let held = items.indices.len();
            let count = count.min(held);
            let places: Vec<usize> = (0..count).map(|place| place * held / count).collect();
            items.read(&places).map(|(items, _)| items)
        };
        let seed = self.plan.train.seed;
        // The same initial weights once more, so that heads and teachers are built around what the encoder has become.
        let mut init = Init::new(seed, &self.device);
        let encoder = self.plan.modality.encoder(&mut init)?;
        let Some((encoder, line)) = self.plan.modality.begun(&encoder, &mut some, seed)? else {
            return Ok(Vec::new());
        };
        self.model = Some(self.plan.objective.build(encoder, &mut init)?);
        let seconds = began.elapsed().as_secs_f64();
        Ok(vec![format!("{line}, in {seconds:.1} s")])
    }

    fn settle(&mut self, at: Step) -> Result<()> {
        let model = self.model.take().expect("put back at the end of each step");
        self.model = Some(model.settled(&at)?);
        Ok(())
    }

    fn start(&mut self, step: u64) {
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

    fn step(&mut self, at: Step, learning_rate: f64) -> Result<StepReport> {
        if self.loader.is_none() {
            self.start(at.number);
        }
        let mut loader = self.loader.take().expect("started above");
        let waited = loader.waited;
        let mut next = || loader.next().map(|ready| (ready.slots, ready.items));
        let report = self.learn(self.plan.train.accumulate, &mut next, at, learning_rate);
        let waited = loader.waited - waited;
        self.loader = Some(loader);
        Ok(StepReport { waited, ..report? })
    }

    fn rehearse(
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

    fn validate(&self) -> Result<Option<Validation>> {
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
        }))
    }

    fn likelihood(&self) -> Result<Option<Likelihood>> {
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

    fn may_collapse(&self) -> bool {
        self.plan.objective.may_collapse()
    }

    fn checkup(&self) -> Result<Checkup> {
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
            Ok(crate::layers::state::host(encoder.encode(&batch)))
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

    fn look_cost(&self) -> f64 {
        let slots = self.plan.modality.slots().max(1);
        let learned = self.items.indices.len();
        let plain = learned.min(self.sampled());
        let pairs = 2 * learned.min(monitor::PAIRS);
        let held = self.looked_at() * slots;
        // Backward takes twice as long as forward, where there is one.
        let passes = if self.by_gradient() { 3 } else { 1 };
        (plain + pairs + held) as f64 / (passes * slots) as f64 + self.model().settling_cost()
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
        let own = self.model.take().expect("put back at the end of each step");
        self.model = Some(load_state(own, model)?);
        self.optimizer
            .restore(optimizer, updates, &self.device.clone().inner())
    }

    fn encoder(&self) -> State {
        state_of(self.model().encoder())
    }

    fn labeled(&self) -> Option<Labeled> {
        let labels = self.items.source.labels();
        let labels = labels.filter(|_| self.plan.objective.needs_classes())?;
        Some(Labeled {
            classes: labels.classes.clone(),
            items: labeled::counts(labels, &self.items.indices),
            held_out: self.held_out.indices.len(),
        })
    }

    fn held_out(&self) -> Result<Option<(Matrix, Vec<u32>)>> {
        self.vectors(&self.held_out.indices)
    }

    fn unreadable(&self) -> Vec<(String, String)> {
        let mut found = self.items.unreadable();
        found.extend(self.held_out.unreadable());
        found
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
