//! A run's networks and its data with their types erased, to look at rather than to measure.

use std::marker::PhantomData;

use autodidact_eval::Matrix;
use burn::module::Module;
use burn::tensor::Device;
use rand::RngExt;
use rayon::prelude::*;

use crate::error::Result;
use crate::layers::Init;
use crate::layers::state::{State, load_state};
use crate::method::{ForObjective, Method, Objective, Step};
use crate::modality::{
    self, Draw, ForModality, Modality, Picture, Rows, Sampling, Source, SourceSpec,
};
use crate::random::{Purpose, stream};
use crate::recipe::{Plan, Recipe};
use crate::train::device;
use crate::train::features::{Who, features};

/// What a run left of its networks.
pub(super) enum Weights {
    /// The whole method, heads and decoders too: a checkpoint.
    Model(State),
    /// The encoder alone.
    Encoder(State),
}

/// What was seen of the data: one row an item.
pub(super) struct Seen {
    /// The items' numbers in the data.
    pub(super) items: Vec<usize>,
    /// Their vectors.
    pub(super) features: Matrix,
    /// Their classes, where they are known.
    pub(super) classes: Vec<Option<u32>>,
    /// Items that couldn't be read: name and what was wrong.
    pub(super) unreadable: Vec<(String, String)>,
}

/// Something for people to look at or to read.
pub(super) enum Look {
    Picture(Picture),
    Words(String),
}

/// An item that a method restored a part of.
pub(super) struct Restoration {
    pub(super) whole: Look,
    /// What the method was given of it.
    pub(super) given: Look,
    /// What it made of that before it had learned anything; told of what is read alone.
    pub(super) before: Option<Look>,
    pub(super) restored: Look,
}

/// Looks at data through a run's networks.
pub(super) trait Observer {
    /// What the data is, in a line.
    fn describe(&self) -> String;
    /// Number of items.
    fn len(&self) -> usize;
    /// Names of the classes; empty where there are no labels.
    fn class_names(&self) -> &[String];
    /// The item's name.
    fn name(&self, item: usize) -> String;
    /// Embeds up to `limit` items, evenly over the data.
    fn look(&self, limit: usize, advance: &mut dyn FnMut(usize, usize)) -> Result<Seen>;
    /// Pictures of items, their longer edge `edge` pixels at most; `None` where an item can't be shown or read.
    fn pictures(&self, items: &[usize], edge: usize) -> Vec<Option<Picture>>;
    /// Items in words, so many letters at most; `None` where an item isn't read.
    fn words(&self, items: &[usize], most: usize) -> Vec<Option<String>>;
    /// The views of each item as the network sees them, `[item][slot]`; none where they can't be shown.
    fn views(&self, items: &[usize]) -> Result<Vec<Vec<Look>>>;
    /// What the method restored of each item; none where it restores nothing.
    fn restored(&self, items: &[usize]) -> Result<Vec<Restoration>>;
    /// What the network writes from no beginning, before and after it has learned; `None` where it writes nothing.
    fn samples(&self, symbols: usize) -> Option<[String; 2]>;
}

/// Opens the data and builds the networks.
///
/// # Errors
/// When the data can't be read, or the weights are another network's.
pub(super) fn observer(
    recipe: &Recipe,
    weights: &Weights,
    data: &SourceSpec,
) -> Result<Box<dyn Observer>> {
    let of_kind = OfKind {
        recipe,
        weights,
        data,
    };
    modality::by_name(&recipe.kind()?, of_kind)?
}

struct OfKind<'a> {
    recipe: &'a Recipe,
    weights: &'a Weights,
    data: &'a SourceSpec,
}

impl ForModality for OfKind<'_> {
    type Output = Result<Box<dyn Observer>>;
    fn run<M: Modality>(self) -> Self::Output {
        let name = crate::method::of(self.recipe)?;
        let of_method = OfMethod {
            of: self,
            kind: PhantomData::<M>,
        };
        crate::method::on::<M, _>(&name, of_method)?
    }
}

struct OfMethod<'a, M> {
    of: OfKind<'a>,
    kind: PhantomData<M>,
}

impl<M: Modality> ForObjective for OfMethod<'_, M> {
    type Output = Result<Box<dyn Observer>>;
    fn run<O: Objective>(self) -> Self::Output {
        let source = M::open(self.of.data)?;
        let plan = Plan::<M, O>::resolve(self.of.recipe, None)?;
        let device = device::open(&plan.train.device)?;
        let mut init = Init::new(plan.train.seed, &device);
        let mut encoder = plan.modality.encoder(&mut init)?;
        if let Weights::Encoder(state) = self.of.weights {
            encoder = load_state(encoder, state)?;
        }
        let mut model = plan.objective.build(encoder, &mut init)?;
        if let Weights::Model(state) = self.of.weights {
            model = load_state(model, state)?;
        }
        Ok(Box::new(Observing::<M, O> {
            source,
            modality: plan.modality,
            objective: plan.objective,
            model: model.valid(),
            whole: matches!(self.of.weights, Weights::Model(_)),
            seed: plan.train.seed,
            device,
        }))
    }
}

struct Observing<M: Modality, O: Objective> {
    source: Box<dyn Source<M::Item>>,
    modality: M,
    objective: O,
    model: O::Method<M::Encoder>,
    /// Whether the heads and decoders are the run's too.
    whole: bool,
    seed: u64,
    device: Device,
}

impl<M: Modality, O: Objective> Observing<M, O> {
    /// Those of the items that can be read, by their numbers.
    fn read(&self, items: &[usize]) -> Vec<(u64, M::Item)> {
        let source = self.source.as_ref();
        items
            .par_iter()
            .filter_map(|&item| Some((item as u64, source.get(item).ok()?)))
            .collect()
    }

    /// The networks as they were before the first step, but for what they took from the data.
    fn untrained(&self) -> Result<O::Method<M::Encoder>> {
        let mut init = Init::new(self.seed, &self.device);
        let encoder = self.modality.encoder(&mut init)?;
        Ok(self.objective.build(encoder, &mut init)?.valid())
    }

    /// The views of a batch as pictures or, where there are none, in words.
    fn looks(&self, batch: &M::Batch) -> Vec<Look> {
        let pictures = self.modality.pictures(batch);
        if pictures.is_empty() {
            let words = self.modality.spelled(batch).into_iter();
            return words.map(Look::Words).collect();
        }
        pictures.into_iter().map(Look::Picture).collect()
    }

    fn collate(&self, items: &[(u64, M::Item)], views: &[M::View]) -> Result<M::Batch> {
        let rows = Rows {
            ids: items.iter().map(|(id, _)| *id).collect(),
            classes: None,
        };
        self.modality.collate(views, &rows, &self.device)
    }
}

impl<M: Modality, O: Objective> Observer for Observing<M, O> {
    fn describe(&self) -> String {
        self.source.describe()
    }

    fn len(&self) -> usize {
        self.source.len()
    }

    fn class_names(&self) -> &[String] {
        self.source
            .labels()
            .map_or(&[], |labels| labels.classes.as_slice())
    }

    fn name(&self, item: usize) -> String {
        self.source.name(item)
    }

    fn look(&self, limit: usize, advance: &mut dyn FnMut(usize, usize)) -> Result<Seen> {
        let (all, source) = (self.source.len(), self.source.as_ref());
        let count = limit.clamp(1, all.max(1)).min(all);
        // Evenly over the data, which is often sorted by class, and at random within each stretch of it: data that
        // goes through its classes in turn would otherwise lose some of them.
        let mut rng = stream(self.seed, Purpose::Evaluation, &[0x6c6f_6f6b]);
        let mut one_of = |place: usize| {
            let (from, to) = (place * all / count, (place + 1) * all / count);
            rng.random_range(from..to)
        };
        let indices: Vec<usize> = (0..count).map(&mut one_of).collect();
        let who = [Who::Network(self.model.encoder(), &self.device)];
        let mut done = 0;
        let mut found = features(&self.modality, source, &indices, &who, |items| {
            done += items;
            advance(done, count);
        })?;
        let labels = source.labels();
        Ok(Seen {
            classes: found
                .read
                .iter()
                .map(|&item| labels.and_then(|labels| labels.of[item]))
                .collect(),
            features: found.matrices.remove(0),
            items: found.read,
            unreadable: found
                .unreadable
                .into_iter()
                .map(|(item, why)| (source.name(item), why))
                .collect(),
        })
    }

    fn pictures(&self, items: &[usize], edge: usize) -> Vec<Option<Picture>> {
        let (modality, source) = (&self.modality, self.source.as_ref());
        items
            .par_iter()
            .map(|&item| modality.picture(&source.get(item).ok()?, edge))
            .collect()
    }

    fn words(&self, items: &[usize], most: usize) -> Vec<Option<String>> {
        let (modality, source) = (&self.modality, self.source.as_ref());
        items
            .par_iter()
            .map(|&item| modality.words(&source.get(item).ok()?, most))
            .collect()
    }

    fn views(&self, items: &[usize]) -> Result<Vec<Vec<Look>>> {
        let items = self.read(items);
        if items.is_empty() {
            return Ok(Vec::new());
        }
        let draw = Draw {
            seed: self.seed,
            epoch: 0,
        };
        let mut shown: Vec<Vec<Look>> = items.iter().map(|_| Vec::new()).collect();
        for slot in self.modality.views(&items, draw)? {
            let batch = self.collate(&items, &slot)?;
            for (shown, look) in shown.iter_mut().zip(self.looks(&batch)) {
                shown.push(look);
            }
        }
        shown.retain(|views| !views.is_empty());
        Ok(shown)
    }

    fn restored(&self, items: &[usize]) -> Result<Vec<Restoration>> {
        let items = self.read(items);
        if items.is_empty() || !self.whole {
            return Ok(Vec::new());
        }
        let batch = self.collate(&items, &self.modality.plain(&items)?)?;
        let at = Step {
            number: 0,
            part: 0,
            progress: 1.0,
            seed: self.seed,
        };
        // Other methods want several views of an item, which one undisturbed view is not.
        let Ok(Some(restored)) = self.model.restored(vec![batch.clone()], &at) else {
            return Ok(Vec::new());
        };
        let before = match self.modality.pictures(&batch).is_empty() {
            true => self.untrained()?.restored(vec![batch.clone()], &at)?,
            false => None,
        };
        let before = before.map_or_else(Vec::new, |before| self.looks(&before.restored));
        let mut before = before.into_iter();
        let [whole, given, restored] =
            [&batch, &restored.given, &restored.restored].map(|batch| self.looks(batch));
        let given_restored = given.into_iter().zip(restored);
        let triples = whole.into_iter().zip(given_restored);
        Ok(triples
            .map(|(whole, (given, restored))| Restoration {
                whole,
                given,
                before: before.next(),
                restored,
            })
            .collect())
    }

    fn samples(&self, symbols: usize) -> Option<[String; 2]> {
        let how = Sampling {
            symbols,
            seed: self.seed,
            ..Sampling::default()
        };
        let write = |method: &O::Method<M::Encoder>| {
            let mut text = String::new();
            let mut hear = |more: &str| {
                text.push_str(more);
                true
            };
            let written = (self.modality).generate(method.encoder(), "", &how, &mut hear);
            written.ok().map(|()| text)
        };
        if !self.modality.abilities().predicts {
            return None;
        }
        Some([write(&self.untrained().ok()?)?, write(&self.model)?])
    }
}
