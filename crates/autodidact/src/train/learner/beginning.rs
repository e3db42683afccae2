//! What a learner takes from the data before the first step: a dictionary, say, or the first classifier over given weights.

use std::collections::HashSet;
use std::time::Instant;

use autodidact_eval::Matrix;
use burn::module::Module;

use super::Learner;
use crate::error::Result;
use crate::layers::Init;
use crate::method::{Method, Objective};
use crate::modality::{Encoder, Labels, Modality};
use crate::recipe::Length;
use crate::train::features::{Who, features};
use crate::train::labeled;

/// Items that a classifier begins with in any case, where there are so many.
const ALWAYS: usize = 5000;
/// The part of the views that are learned from in a run whose items may be embedded once more to begin with: a third of
/// the time, as a step takes three times as long as an embedding.
const SHARE: f64 = 1.0;
/// The part of a budget that the first classifier may take. Where labels are many and time is short, one that has seen all of
/// them is worth more than a pass of steps over a part of them.
const THIRD: f64 = 1.0 / 3.0;
/// Items that tell how long a run with a budget takes for each.
const TIMED: usize = 1024;
/// Values of all vectors that a classifier is fitted to, at most: 128 MiB, and as much again while it is fitted.
const ROOM: usize = 1 << 25;
/// Products of values and classes in a pass over these vectors, at most; a fit makes hundreds of passes.
const PRODUCTS: usize = 1 << 29;

impl<M: Modality, O: Objective> Learner<M, O> {
    /// What the network takes from the data, and a line for people about it.
    pub(super) fn take_from_data(&mut self) -> Result<Vec<String>> {
        // Given weights have begun before; a classifier of theirs begins with what they tell.
        if self.plan.train.init.is_some() {
            return Ok(self.read_out()?.into_iter().collect());
        }
        let began = Instant::now();
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

    /// Begins a classifier with what the vectors of labeled items tell; a line for people.
    fn read_out(&mut self) -> Result<Option<String>> {
        let Some(labels) = self.labels() else {
            return Ok(None);
        };
        let size = self.size(labels);
        match self.reach(&size) {
            Reach::Items(count) => self.fit_to(count),
            Reach::Seconds(seconds) => self.fit_within(seconds, &size),
        }
    }

    /// Fits the classifier that given weights began with once more, to all labeled items, also to those that are held out; how
    /// many these are. `None` where it began with some of those to learn from only: what is too much then is so now, and
    /// where labels are so many a few more tell little more.
    ///
    /// It is fitted in the same way as then: with another penalty its scores would be of another size, and the temperature that
    /// was fitted to those of held-out items would be none of its own.
    pub(super) fn fit_to_all(&mut self) -> Result<Option<usize>> {
        let labels = self.labels();
        let Some(labels) = labels.filter(|_| self.plan.train.init.is_some()) else {
            return Ok(None);
        };
        let size = self.size(labels);
        if !matches!(self.reach(&size), Reach::Items(count) if count == size.items) {
            return Ok(None);
        }
        let all = labeled::choose(labels, &self.plan.data, self.plan.train.seed)?;
        let Some(seen) = self.seen(&all)? else {
            return Ok(None);
        };
        let learned: HashSet<usize> = self.items.indices.iter().copied().collect();
        let rows = seen.read.iter().enumerate();
        let learned = rows.filter(|(_, index)| learned.contains(*index));
        let learned: Vec<usize> = learned.map(|(row, _)| row).collect();
        Ok(self.fit(&seen, Some(&learned)).map(|_| seen.read.len()))
    }

    fn size(&self, labels: &Labels) -> Size {
        Size {
            items: self.items.indices.len(),
            dim: self.model().encoder().dim(),
            classes: labels.classes.len(),
        }
    }

    /// What the first classifier is fitted to.
    fn reach(&self, size: &Size) -> Reach {
        let train = &self.plan.train;
        let seen = match (train.probe_items, train.length()) {
            (Some(count), _) => return Reach::Items(count.min(size.items)),
            (None, Length::Budget(seconds)) => return Reach::Seconds(THIRD * seconds),
            (None, Length::Steps(steps)) => steps as f64 * train.batch_size as f64,
            (None, Length::Epochs(epochs)) => epochs * size.items as f64,
        };
        Reach::Items(size.affordable(seen))
    }

    /// Fits a classifier to as many items as there are seconds for, and notes in the plan how many that were: with the
    /// number the run can be repeated, with the time it could not.
    fn fit_within(&mut self, seconds: f64, size: &Size) -> Result<Option<String>> {
        let began = Instant::now();
        let most = size.fitting();
        let mut count = most.min(TIMED);
        let line = loop {
            let started = Instant::now();
            let line = self.fit_to(count)?;
            let took = started.elapsed().as_secs_f64().max(1e-3);
            let left = seconds - began.elapsed().as_secs_f64();
            let next = most.min((count as f64 * left / took) as usize);
            // A few items more would tell little more.
            if next <= count || (next < 2 * count && next < most) {
                break line;
            }
            count = next;
        };
        self.plan.train.probe_items = Some(count);
        Ok(line)
    }

    /// Fits a classifier to so many of the items that are learned from, evenly over all.
    fn fit_to(&mut self, count: usize) -> Result<Option<String>> {
        let learned = &self.items.indices;
        let some: Vec<usize> = (0..count)
            .map(|place| learned[place * learned.len() / count])
            .collect();
        Ok(self.seen(&some)?.and_then(|seen| self.fit(&seen, None)))
    }

    /// Fits a classifier to some items, in the way that is best for some of their rows if any are named; a line for people, or
    /// `None` where nothing can be fitted to them.
    fn fit(&mut self, to: &LabeledVectors, chosen_by: Option<&[usize]>) -> Option<String> {
        let model = self.take_model();
        let (model, line) = model.read_out(&to.vectors, &to.classes, chosen_by);
        self.model = Some(model);
        line
    }

    /// Some items as the network sees them, for a method that learns from labels; `None` where none can be read.
    pub(super) fn seen(&self, indices: &[usize]) -> Result<Option<LabeledVectors>> {
        let source = self.items.source.as_ref();
        let Some(labels) = self.labels() else {
            return Ok(None);
        };
        if !indices.iter().any(|&index| source.get(index).is_ok()) {
            return Ok(None);
        }
        let device = self.device.clone().inner();
        let encoder = self.model().encoder().valid();
        let who = [Who::Network(&encoder, &device)];
        let mut seen = features(&self.plan.modality, source, indices, &who, |_| {})?;
        let classes = seen.read.iter().filter_map(|&index| labels.of[index]);
        Ok(Some(LabeledVectors {
            vectors: seen.matrices.remove(0),
            classes: classes.collect(),
            read: seen.read,
        }))
    }
}

/// Labeled items as the network sees them.
pub(super) struct LabeledVectors {
    /// `[items, dim]`.
    pub(super) vectors: Matrix,
    /// Of each.
    pub(super) classes: Vec<u32>,
    /// Their numbers in the data, without those that can't be read.
    read: Vec<usize>,
}

/// What a first classifier is fitted to.
enum Reach {
    /// So many of the items that are learned from.
    Items(usize),
    /// As many as there are seconds for.
    Seconds(f64),
}

/// How much there is to fit a classifier to.
struct Size {
    /// Items that are learned from.
    items: usize,
    /// Dimensions of their vectors.
    dim: usize,
    classes: usize,
}

impl Size {
    /// Items that there is room for, and whose fit doesn't take too long.
    fn fitting(&self) -> usize {
        let dim = self.dim.max(1);
        let fitting = (ROOM / dim).min(PRODUCTS / (dim * self.classes.max(1)));
        self.items.min(fitting.max(ALWAYS))
    }

    /// Those that a run pays for in which so many views are learned from.
    fn affordable(&self, seen: f64) -> usize {
        self.fitting().min(((SHARE * seen) as usize).max(ALWAYS))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_classifier_begins_with_as_many_items_as_memory_and_a_third_of_the_run_allow() {
        let size = |items, dim, classes| Size {
            items,
            dim,
            classes,
        };
        // All of sixty thousand small items that a run goes through once; of one that goes through half of them, half.
        let all = size(58_000, 512, 10);
        assert_eq!(all.affordable(58_000.0), 58_000);
        assert_eq!(all.affordable(29_000.0), 29_000);
        // A short run takes what it took from few.
        assert_eq!(all.affordable(640.0), ALWAYS);
        assert_eq!(size(480, 512, 10).affordable(640.0), 480);
        // Wide vectors fill the memory, many classes take time.
        assert_eq!(size(58_000, 4096, 10).affordable(1e9), 8192);
        assert_eq!(size(58_000, 512, 100).affordable(1e9), 10_485);
        assert_eq!(size(58_000, 30_000, 1000).affordable(1e9), ALWAYS);
    }
}
