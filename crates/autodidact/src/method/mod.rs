//! Objectives: what a network learns from views. One file a method.
//!
//! *Architecture Invariant:* nothing here names a kind of data. A new method is a file here and one line in
//! `methods!`; the line gives it its recipe table, its `--method` name and its smoke test.

mod hiding;
#[cfg(test)]
mod toy;

use autodidact_eval::Matrix;
use burn::module::Module;
use burn::tensor::{Device, Int, Tensor};
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::layers::Init;
use crate::modality::{
    self, Abilities, Change, Encoder, ForModality, Maskable, Modality, Need, Pretext, Table,
};
use crate::random::{Purpose, Rng, stream};
use crate::recipe::Recipe;

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

    /// How many steps are enough, where the recipe names no length and more would change nothing.
    fn steps(&self) -> Option<u64> {
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
    /// line for people; for a method that learns from classes.
    fn read_out(self, _vectors: &Matrix, _classes: &[u32]) -> (Self, Option<String>) {
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

/// A loss and what it is made of.
#[derive(Debug, Clone)]
pub struct Loss {
    /// What is minimized, a scalar.
    pub total: Tensor<1>,
    /// Named parts for the curves, scalars.
    pub parts: Vec<(&'static str, Tensor<1>)>,
    /// How many predictions it is the mean of, for a method whose batches of as many items may hold more or fewer of
    /// them; `None` where items count alike.
    pub predictions: Option<u64>,
    /// What its items weigh together, for a method whose items don't count alike; `None` where they do.
    pub weight: Option<f64>,
    /// The mean −log p of the predicted symbols, where the total has other things in it as well.
    pub symbols: Option<Tensor<1>>,
}

impl Loss {
    /// A loss of one part.
    pub fn new(total: Tensor<1>) -> Self {
        Self {
            total,
            parts: Vec::new(),
            predictions: None,
            weight: None,
            symbols: None,
        }
    }

    /// Says how many predictions the loss is the mean of.
    #[must_use]
    pub fn over(mut self, predictions: usize) -> Self {
        self.predictions = Some(predictions as u64);
        self
    }

    /// Says what its items weigh together: what the batch counts for among others.
    #[must_use]
    pub fn weighing(mut self, weight: f64) -> Self {
        self.weight = Some(weight);
        self
    }

    /// Says what of it is the mean −log p of the predicted symbols.
    #[must_use]
    pub fn of_symbols(mut self, symbols: &Tensor<1>) -> Self {
        self.symbols = Some(symbols.clone().detach());
        self
    }

    /// Adds a named part for the curves.
    #[must_use]
    pub fn part(mut self, name: &'static str, value: &Tensor<1>) -> Self {
        self.parts.push((name, value.clone().detach()));
        self
    }
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

/// How a method likes to be trained.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Training {
    /// The optimizer.
    pub optimizer: Optimizer,
    /// Peak learning rate for a batch of 256 items; it grows in proportion to the batch.
    pub learning_rate: f64,
    /// Decoupled for AdamW, added to the gradient for SGD and LARS.
    pub weight_decay: f64,
}

/// The batch that [`Training::learning_rate`] is meant for.
pub(crate) const REFERENCE_BATCH: f64 = 256.0;

impl Training {
    /// By AdamW.
    pub fn adamw(learning_rate: f64, weight_decay: f64) -> Self {
        Self {
            optimizer: Optimizer::Adamw,
            learning_rate,
            weight_decay,
        }
    }

    /// By SGD with momentum.
    pub fn sgd(learning_rate: f64, weight_decay: f64) -> Self {
        Self {
            optimizer: Optimizer::Sgd,
            learning_rate,
            weight_decay,
        }
    }

    /// Of which nothing learns by gradient.
    pub fn none() -> Self {
        Self::sgd(1.0, 0.0)
    }

    /// The same, its learning rate meant for a batch of so many items.
    #[must_use]
    pub fn for_batch(self, batch: usize) -> Self {
        Self {
            learning_rate: self.learning_rate * REFERENCE_BATCH / batch as f64,
            ..self
        }
    }
}

/// The optimizers there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Optimizer {
    /// Stochastic gradient descent with momentum, as PyTorch has it.
    Sgd,
    /// Loshchilov & Hutter 2019.
    Adamw,
    /// You et al. 2017: SGD whose step is scaled by each layer's own norm.
    Lars,
}

/// Refuses a value outside its range.
///
/// # Errors
/// Names the key, the value and the range.
fn within(key: &str, value: f64, low: f64, high: f64) -> Result<()> {
    if value.is_finite() && (low..=high).contains(&value) {
        return Ok(());
    }
    Err(Error::recipe(format!("method.{key} = {value}"))
        .expected(format!("a number from {low} to {high}")))
}

/// Refuses zero.
///
/// # Errors
/// Names the key.
fn positive(key: &str, value: usize) -> Result<()> {
    if value > 0 {
        return Ok(());
    }
    Err(Error::recipe(format!("method.{key} = 0")).expected("at least 1"))
}

/// Refuses another number of views than the method takes.
///
/// # Errors
/// Says how many there are and how many are wanted.
fn take<const N: usize, B>(views: Vec<B>, method: &str) -> Result<[B; N]> {
    let found = views.len();
    views.try_into().map_err(|_| {
        Error::recipe(format!("{found} views per item for {method}"))
            .expected(format!("{N}"))
            .mend("change the number of crops in [views]")
    })
}

/// The part of `count` questions whose true candidate scores highest: `scores`, `[questions, candidates]`, `targets` the true
/// ones, below 0 where a question doesn't count.
fn share_right(scores: Tensor<2>, targets: Tensor<1, Int>, count: usize) -> Tensor<1> {
    let highest = scores.detach().argmax(1).squeeze_dim::<1>(1);
    highest
        .equal(targets)
        .float()
        .sum()
        .div_scalar(count as f64)
}

/// Refuses a network whose tokens are no symbols.
fn wordless(method: &str) -> Error {
    Error::recipe(format!(
        "{method} with a network whose tokens are no symbols"
    ))
    .expected("a network over symbols, such as words")
}

/// Refuses a network whose tokens stand in no order of time, or see what comes after them.
fn timeless(method: &str) -> Error {
    Error::recipe(format!("{method} with a network that knows no time"))
        .expected("a network whose tokens stand in the order of time")
}

/// What to do with a method that is known by name only.
pub trait ForObjective {
    /// What comes out.
    type Output;
    /// Does it for one method.
    fn run<O: Objective>(self) -> Self::Output;
}

/// A line about a method, for lists.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    /// The name in a recipe and after `--method`.
    pub name: &'static str,
    /// One line for people.
    pub summary: &'static str,
    /// Authors, year, where the official code is.
    pub source: &'static str,
}

/// One line a method: it declares the file, and the name in recipes finds the type.
macro_rules! methods {
    ($($file:ident::$objective:ident),+ $(,)?) => {
        $(pub mod $file;)+

        /// The methods there are.
        pub const ALL: &[Entry] = &[$(Entry {
            name: <$file::$objective>::NAME,
            summary: <$file::$objective>::SUMMARY,
            source: <$file::$objective>::SOURCE,
        }),+];

        /// Runs `what` for the method of that name.
        ///
        /// # Errors
        /// When there is none; names those that there are.
        pub fn by_name<F: ForObjective>(name: &str, what: F) -> Result<F::Output> {
            $(if name == <$file::$objective>::NAME {
                return Ok(what.run::<$file::$objective>());
            })+
            Err(unknown(name))
        }

        /// As [`by_name`], for a method on a kind of data: only what some network of that kind can serve is compiled.
        ///
        /// # Errors
        /// When there is no such method, or no network of that kind can serve it; names those that work.
        pub fn on<M: Modality, F: ForObjective>(name: &str, what: F) -> Result<F::Output> {
            $(if name == <$file::$objective>::NAME {
                if const { M::ABLE.serve(<$file::$objective as Objective>::NEEDS) } {
                    return Ok(what.run::<$file::$objective>());
                }
                return Err(unserved_by_data::<M>(name));
            })+
            Err(unknown(name))
        }

        /// The methods that a network of such abilities serves.
        fn served(able: Abilities) -> Vec<&'static str> {
            let mut names = Vec::new();
            $(if able.serve(<$file::$objective>::NEEDS) {
                names.push(<$file::$objective>::NAME);
            })+
            names
        }
    };
}

methods![
    simclr::SimClr,
    vicreg::VicReg,
    spectral::Spectral,
    reliability::Reliability,
    byol::Byol,
    mae::Mae,
    ts2vec::Ts2Vec,
    cpc::Cpc,
    wav2vec::Wav2vec,
    direct_forecast::DirectForecast,
    masked_lm::MaskedLm,
    next_sentence::NextSentence,
    electra::Electra,
    tsdae::Tsdae,
    causal_lm::CausalLm,
    supervised::Supervised,
];

/// The method of a run that names none, where the data or the network has no fixed features.
const BY_GRADIENT: &str = "simclr";
/// The method of a run that names none, where a vector may be a map of fixed features.
const BY_MAP: &str = "spectral";
/// The method of a run that names none, where a vector may be fixed features: what hundreds of items do for.
const BY_WEIGHTS: &str = "reliability";

/// The method that a recipe names, or the one that serves it best: in closed form where the kind of data allows it and the
/// recipe says nothing of the network.
///
/// # Errors
/// When there is no such kind of data.
pub fn of(recipe: &Recipe) -> Result<String> {
    struct Able;
    impl ForModality for Able {
        type Output = Abilities;
        fn run<M: Modality>(self) -> Abilities {
            M::ABLE
        }
    }
    if let Some(name) = recipe.method() {
        return Ok(name.to_owned());
    }
    let open = !recipe.speaks_of("encoder") && !recipe.has("train", "init");
    let able = modality::by_name(&recipe.kind()?, Able)?;
    Ok(match open {
        true if able.weighs => BY_WEIGHTS,
        true if able.reads_out => BY_MAP,
        _ => BY_GRADIENT,
    }
    .to_owned())
}

fn unknown(name: &str) -> Error {
    let known: Vec<_> = ALL.iter().map(|entry| entry.name).collect();
    Error::recipe(format!("no method named `{name}`")).expected(known.join(", "))
}

/// Refuses a method that no network for a kind of data can serve; names the methods that work.
fn unserved_by_data<M: Modality>(name: &str) -> Error {
    let what = format!("{name}, with data of the kind `{}`", M::NAME);
    Error::recipe(what)
        .expected(format!("one of {}", served(M::ABLE).join(", ")))
        .mend("name another method, or the kind of data with data.kind")
}

/// Refuses a method that a network can't serve; names the methods that work.
pub(crate) fn unserved(what: &str, needs: Need, able: Abilities) -> Error {
    Error::recipe(what).expected(needs.describe()).mend(format!(
        "take another encoder, or one of the methods {}",
        served(able).join(", ")
    ))
}

/// The first method that needs just that of a network: what a network is for that somebody published for it.
pub(crate) fn serving(need: Need) -> &'static str {
    struct Needs;
    impl ForObjective for Needs {
        type Output = Need;
        fn run<O: Objective>(self) -> Need {
            O::NEEDS
        }
    }
    let serves = |entry: &&Entry| by_name(entry.name, Needs).is_ok_and(|needs| needs == need);
    ALL.iter()
        .find(serves)
        .map_or(BY_GRADIENT, |entry| entry.name)
}

/// The device that a module lives on.
fn device_of<M: Module>(module: &M) -> Device {
    module.devices().into_iter().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipe_that_names_no_method_gets_the_one_that_serves_it() {
        for (recipe, method) in [
            ("", "spectral"),
            ("[views]\nflip = 0.0", "spectral"),
            ("[encoder]\nwidth = 16", "simclr"),
            ("[train]\ninit = \"run\"", "simclr"),
            ("[data]\nkind = \"text\"", "simclr"),
            ("[data]\nkind = \"series\"", "reliability"),
            ("[method]\nname = \"byol\"", "byol"),
        ] {
            assert_eq!(
                of(&Recipe::parse(recipe).unwrap()).unwrap(),
                method,
                "{recipe}"
            );
        }
    }

    #[test]
    fn what_no_network_of_a_kind_of_data_serves_is_refused_and_the_others_are_named() {
        struct Named;
        impl ForObjective for Named {
            type Output = &'static str;
            fn run<O: Objective>(self) -> &'static str {
                O::NAME
            }
        }
        struct On(&'static str);
        impl ForModality for On {
            type Output = Result<&'static str>;
            fn run<M: Modality>(self) -> Self::Output {
                on::<M, _>(self.0, Named)
            }
        }
        for (kind, _) in modality::ALL {
            for entry in ALL {
                let found = modality::by_name(kind, On(entry.name)).unwrap();
                let symbols = [
                    "masked_lm",
                    "next_sentence",
                    "causal_lm",
                    "electra",
                    "tsdae",
                ];
                let of_time = ["reliability", "ts2vec", "cpc", "wav2vec", "direct_forecast"];
                let expected = match *kind {
                    "text" => {
                        !of_time.contains(&entry.name) && !["mae", "spectral"].contains(&entry.name)
                    }
                    "series" => !symbols.contains(&entry.name),
                    _ => !symbols.contains(&entry.name) && !of_time.contains(&entry.name),
                };
                assert_eq!(found.is_ok(), expected, "{} on {kind}", entry.name);
                if let Err(error) = found {
                    let said = error.to_string();
                    let (found, others) = said.split_once("expected one of ").unwrap();
                    assert!(found.contains(kind) && found.contains(entry.name), "{said}");
                    let mut others = others.split(", ");
                    assert!(others.clone().any(|other| other == "simclr"), "{said}");
                    assert!(others.all(|other| other != entry.name), "{said}");
                }
            }
            assert!(modality::by_name(kind, On("none")).unwrap().is_err());
        }
    }
}
