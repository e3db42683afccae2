//! A run's encoder, frozen, and what it makes of data.

use std::marker::PhantomData;
use std::path::Path;

use autodidact_eval::Matrix;
use burn::module::Module;
use burn::tensor::Device;

use crate::error::{Error, Result};
use crate::export::onnx::OnnxModel;
use crate::layers::Init;
use crate::layers::state::{State, load_state};
use crate::method::{ForObjective, Objective};
use crate::modality::{self, Draw, ForModality, Labels, Modality, Part, Raw, Sheet, SourceSpec};
use crate::recipe::{Plan, Recipe};
use crate::train::device;
use crate::train::features::{Who, features};

/// An item's description by whom.
#[derive(Debug, Clone, PartialEq)]
pub enum Whom {
    /// The run's encoder.
    Pretrained,
    /// The same network with the initial weights of the run's own seed.
    Untrained,
    /// Another network of the same architecture, such as the supervised ceiling's.
    Other(State),
    /// The item's own numbers.
    Raw,
}

/// Items by name, with their labels where there are any, and one matrix of vectors for each who was asked.
#[derive(Debug, Clone)]
pub struct Embedded {
    /// Names of the items, row by row.
    pub names: Vec<String>,
    /// Their classes, row by row.
    pub classes: Vec<Option<u32>>,
    /// Names of the classes.
    pub class_names: Vec<String>,
    /// `[items, dimensions]`, one for each who was asked.
    pub features: Vec<Matrix>,
    /// Items that couldn't be read: name and what was wrong.
    pub unreadable: Vec<(String, String)>,
}

/// Which parts data comes in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Splits {
    /// The part that is opened when none is named; `None` where the data is one whole.
    pub test: bool,
    /// One line for people.
    pub description: String,
    /// How many items the opened part has.
    pub items: usize,
    /// Whether there are labels.
    pub labeled: bool,
}

/// A run's encoder with its types erased.
pub trait Frozen {
    /// Vectors of all items of a part of some data. `advance` hears how many items are done.
    ///
    /// # Errors
    /// When the data can't be read.
    fn embed(
        &self,
        data: &SourceSpec,
        whom: &[Whom],
        labeled_only: bool,
        advance: &mut dyn FnMut(usize, usize),
    ) -> Result<Embedded>;

    /// The run's encoder as a graph that other engines run, from items as they come (`raw`) or already normalized.
    ///
    /// # Errors
    /// When the kind of data has no graphs.
    fn onnx(&self, raw: bool) -> Result<OnnxModel>;

    /// What the data comes in.
    ///
    /// # Errors
    /// When the data can't be read.
    fn splits(&self, data: &SourceSpec) -> Result<Splits>;

    /// What the items' own numbers are.
    fn raw(&self) -> Raw;

    /// Whether the run learned from labels.
    fn saw_labels(&self) -> bool;
}

/// Builds the network of a recipe, as a run leaves it, around an encoder's weights.
///
/// # Errors
/// When the recipe isn't one of a run, or the weights are another network's.
pub fn frozen(recipe: &Recipe, encoder: &State, at: &Path) -> Result<Box<dyn Frozen>> {
    let built = modality::by_name(&recipe.kind()?, OfKind { recipe, encoder })?;
    built.map_err(|error| error.at(at.join("encoder.safetensors")))
}

struct OfKind<'a> {
    recipe: &'a Recipe,
    encoder: &'a State,
}

impl ForModality for OfKind<'_> {
    type Output = Result<Box<dyn Frozen>>;
    fn run<M: Modality>(self) -> Self::Output {
        let name = crate::method::of(self.recipe)?;
        let planned = Planned {
            recipe: self.recipe,
            kind: PhantomData::<M>,
        };
        let (modality, seed, device, unreadable, saw_labels) =
            crate::method::by_name(&name, planned)??;
        let device = device::open(&device)?;
        let untrained = modality.encoder(&mut Init::new(seed, &device))?;
        let pretrained = load_state(untrained.clone(), self.encoder)?;
        Ok(Box::new(FrozenRun {
            pretrained: pretrained.valid(),
            untrained: untrained.valid(),
            modality,
            device,
            unreadable,
            saw_labels,
        }))
    }
}

/// Resolves the plan for a method known by name; embedding needs nothing else of it.
struct Planned<'a, M> {
    recipe: &'a Recipe,
    kind: PhantomData<M>,
}

impl<M: Modality> ForObjective for Planned<'_, M> {
    type Output = Result<(M, u64, String, f64, bool)>;
    fn run<O: Objective>(self) -> Self::Output {
        let plan = Plan::<M, O>::resolve(self.recipe, None)?;
        Ok((
            plan.modality,
            plan.train.seed,
            plan.train.device,
            plan.data.unreadable,
            plan.objective.needs_classes(),
        ))
    }
}

struct FrozenRun<M: Modality> {
    modality: M,
    pretrained: M::Encoder,
    untrained: M::Encoder,
    device: Device,
    /// The part of the items that may be unreadable.
    unreadable: f64,
    saw_labels: bool,
}

impl<M: Modality> Frozen for FrozenRun<M> {
    fn embed(
        &self,
        data: &SourceSpec,
        whom: &[Whom],
        labeled_only: bool,
        advance: &mut dyn FnMut(usize, usize),
    ) -> Result<Embedded> {
        let source = M::open(data)?;
        let labels = source.labels();
        let indices: Vec<usize> = match labels {
            Some(labels) if labeled_only => (0..source.len())
                .filter(|&index| labels.of[index].is_some())
                .collect(),
            _ => (0..source.len()).collect(),
        };
        let others = whom
            .iter()
            .map(|whom| match whom {
                Whom::Other(state) => Ok(Some(load_state(self.untrained.clone(), state)?)),
                _ => Ok(None),
            })
            .collect::<Result<Vec<_>>>()?;
        let who: Vec<_> = whom
            .iter()
            .zip(&others)
            .map(|(whom, other)| match (whom, other) {
                (Whom::Pretrained, _) => Who::Network(&self.pretrained, &self.device),
                (_, Some(other)) => Who::Network(other, &self.device),
                (Whom::Raw, _) => Who::Raw,
                (Whom::Untrained | Whom::Other(_), None) => {
                    Who::Network(&self.untrained, &self.device)
                }
            })
            .collect();
        let (count, mut done) = (indices.len(), 0);
        let embedded = features(&self.modality, source.as_ref(), &indices, &who, |items| {
            done += items;
            advance(done, count);
        })?;
        let (read, features) = (embedded.read, embedded.matrices);
        let unreadable: Vec<_> = embedded
            .unreadable
            .into_iter()
            .map(|(index, why)| (source.name(index), why))
            .collect();
        if unreadable.len() as f64 > (count as f64 * self.unreadable).max(1.0) {
            let examples: Vec<_> = unreadable
                .iter()
                .take(3)
                .map(|(_, why)| why.as_str())
                .collect();
            return Err(Error::data(format!(
                "{} unreadable items among {count}, such as: {}",
                unreadable.len(),
                examples.join("; ")
            ))
            .expected(format!("at most {:.0} %", 100.0 * self.unreadable))
            .mend(
                "mend or remove them, or allow more with data.unreadable in the run's recipe.toml",
            ));
        }
        Ok(Embedded {
            names: read.iter().map(|&index| source.name(index)).collect(),
            classes: read
                .iter()
                .map(|&index| labels.and_then(|labels| labels.of[index]))
                .collect(),
            class_names: labels.map_or_else(Vec::new, |Labels { classes, .. }| classes.clone()),
            features,
            unreadable,
        })
    }

    fn onnx(&self, raw: bool) -> Result<OnnxModel> {
        self.modality.onnx(&self.pretrained, raw)
    }

    fn splits(&self, data: &SourceSpec) -> Result<Splits> {
        let source = M::open(data)?;
        Ok(Splits {
            test: source.other_parts().contains(&Part::Test),
            description: source.describe(),
            items: source.len(),
            labeled: source.labels().is_some(),
        })
    }

    fn raw(&self) -> Raw {
        M::RAW
    }

    fn saw_labels(&self) -> bool {
        self.saw_labels
    }
}

/// A sheet of views of some items, before any training.
///
/// # Errors
/// When the data can't be read or the recipe doesn't fit it.
pub fn views_sheet(recipe: &Recipe, items: usize) -> Result<Sheet> {
    modality::by_name(&recipe.kind()?, SheetOf { recipe, items })?
}

struct SheetOf<'a> {
    recipe: &'a Recipe,
    items: usize,
}

impl ForModality for SheetOf<'_> {
    type Output = Result<Sheet>;
    fn run<M: Modality>(self) -> Self::Output {
        let name = crate::method::of(self.recipe)?;
        let of_method = SheetOfMethod {
            recipe: self.recipe,
            items: self.items,
            kind: PhantomData::<M>,
        };
        crate::method::by_name(&name, of_method)?
    }
}

struct SheetOfMethod<'a, M> {
    recipe: &'a Recipe,
    items: usize,
    kind: PhantomData<M>,
}

impl<M: Modality> ForObjective for SheetOfMethod<'_, M> {
    type Output = Result<Sheet>;
    fn run<O: Objective>(self) -> Self::Output {
        let seed = self.recipe.seed();
        let source = M::open(&self.recipe.data()?.source(seed, None))?;
        let plan = Plan::<M, O>::resolve(self.recipe, Some(source.as_ref()))?;
        let wanted = self.items.clamp(1, source.len());
        let mut items = Vec::with_capacity(wanted);
        // Evenly over the data, which is often sorted by class.
        for place in 0..wanted {
            let index = place * source.len() / wanted;
            if let Ok(item) = source.get(index) {
                items.push((index as u64, item));
            }
        }
        if items.is_empty() {
            return Err(Error::data("no item that can be read").expected("at least one"));
        }
        plan.modality.sheet(&items, Draw { seed, epoch: 0 })
    }
}
