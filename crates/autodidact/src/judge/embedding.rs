//! A run's encoder, frozen, and what it makes of data.

use std::marker::PhantomData;
use std::ops::Range;
use std::path::{Path, PathBuf};

use autodidact_eval::Matrix;
use burn::module::Module;
use burn::tensor::Device;

use super::following::{Followed, Following, Values};
use super::halves::Halves;
use crate::error::{Error, Result};
use crate::export::onnx::OnnxModel;
use crate::layers::Init;
use crate::layers::state::{State, host, load_state};
use crate::method::{ForObjective, Objective};
use crate::modality::{
    self, Draw, Encoder, ForModality, Labels, Modality, Part, Publication, Raw, ReadRows, Rows,
    Sheet, Source, SourceSpec, Stretch,
};
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
    /// The items' numbers in their source, row by row.
    pub items: Vec<usize>,
    /// Names of the items, row by row.
    pub names: Vec<String>,
    /// Their classes, row by row.
    pub classes: Vec<Option<u32>>,
    /// Names of the classes.
    pub class_names: Vec<String>,
    /// `[items, dimensions]`, one for each who was asked.
    pub features: Vec<Matrix>,
    /// The recording that each is cut from and the steps that it is, row by row; empty where items are cut from none.
    pub windows: Vec<(usize, Range<usize>)>,
    /// Items that couldn't be read: name and what was wrong.
    pub unreadable: Vec<(String, String)>,
    /// How many items are longer than the network takes in, so that it saw a part of them only.
    pub shortened: usize,
    /// How many labeled items were not looked at, since there were enough of them.
    pub beyond: usize,
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
    /// Whether items are pairs with scores of how alike their halves are.
    pub scored: bool,
}

/// Pairs with what somebody said of them, and the vectors of their halves for each who was asked.
#[derive(Debug, Clone)]
pub struct Pairs {
    /// How alike the halves of each pair are, on any scale.
    pub scores: Vec<f64>,
    /// `[pairs, dimensions]` twice, for each who was asked.
    pub features: Vec<[Matrix; 2]>,
    /// Pairs of which a half couldn't be read: name and what was wrong.
    pub unreadable: Vec<(String, String)>,
}

/// Which items of some data are embedded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Which {
    /// All.
    All,
    /// Where there are labels: those that have one, evenly so many of them at most.
    Labeled(usize),
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
        which: Which,
        advance: &mut dyn FnMut(usize, usize),
    ) -> Result<Embedded>;

    /// The values of some items of some data, by their numbers, of which one step follows another: `[steps, channels]` each, on
    /// the scale that networks see, what is missing as it was before. `None` where items have no steps.
    ///
    /// # Errors
    /// When the data or one of the items can't be read.
    fn timelines(&self, data: &SourceSpec, items: &[usize]) -> Result<Option<Vec<Matrix>>>;

    /// Vectors of both halves of each pair, each half by itself. `advance` hears how many halves are done.
    ///
    /// # Errors
    /// When the data can't be read, or holds no pairs with scores.
    fn embed_pairs(
        &self,
        data: &SourceSpec,
        whom: &[Whom],
        advance: &mut dyn FnMut(usize, usize),
    ) -> Result<Pairs>;

    /// The run's encoder along the recordings of some data. It takes in `context` steps before each, or as many as its views
    /// have where these are fewer or `context` is 0.
    ///
    /// # Errors
    /// When the data can't be read, or holds no recordings.
    fn follow(&self, data: &SourceSpec, context: usize) -> Result<Box<dyn Following + '_>>;

    /// What the network takes in of a recording; `None` where items are no stretches of any.
    fn stretch(&self) -> Option<Stretch>;

    /// What the run's encoder makes of the ends of some stretches, `[stretches, dimensions]`: of each its values as they were
    /// recorded and the number of its first step.
    ///
    /// # Errors
    /// When items are no stretches, or these are of other channels.
    fn ends(&self, stretches: &[(Vec<f32>, usize)]) -> Result<Matrix>;

    /// Reads steps as they arrive, as the data is read that the run learned from.
    ///
    /// # Errors
    /// When items are no stretches of recordings.
    fn rows(&self, data: &SourceSpec) -> Result<Box<dyn ReadRows>>;

    /// The run's encoder as a graph that other engines run, from items as they come (`raw`) or already normalized.
    ///
    /// # Errors
    /// When the kind of data has no graphs.
    fn onnx(&self, raw: bool) -> Result<OnnxModel>;

    /// The run's encoder as a folder that others' programs load.
    ///
    /// # Errors
    /// When the kind of data has no such form, or the network doesn't fit it.
    fn publication(&self) -> Result<Publication>;

    /// What the data comes in.
    ///
    /// # Errors
    /// When the data can't be read.
    fn splits(&self, data: &SourceSpec) -> Result<Splits>;

    /// What the items' own numbers are.
    fn raw(&self) -> Raw;

    /// Whether some data is what the run learned from, whatever part of it.
    fn is_own(&self, data: &SourceSpec) -> bool;

    /// Whether the run learned from labels.
    fn saw_labels(&self) -> bool;
}

/// Builds the network of a recipe, as a run leaves it, around an encoder's weights.
///
/// # Errors
/// When the recipe isn't one of a run, or the weights are another network's.
pub fn frozen(recipe: &Recipe, encoder: &State, at: &Path) -> Result<Box<dyn Frozen>> {
    let built = modality::by_name(&recipe.kind()?, OfKind { recipe, encoder })?;
    // Published weights lie in a file of another name.
    let file = at.join("encoder.safetensors");
    built.map_err(|error| error.at(if file.is_file() { &file } else { at }))
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
            crate::method::on::<M, _>(&name, planned)??;
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
            own: self.recipe.data()?.path,
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

pub(super) struct FrozenRun<M: Modality> {
    pub(super) modality: M,
    pretrained: M::Encoder,
    untrained: M::Encoder,
    device: Device,
    /// The part of the items that may be unreadable.
    unreadable: f64,
    saw_labels: bool,
    /// Where the data lies that the run learned from; `None` where it is embedded.
    own: Option<PathBuf>,
}

impl<M: Modality> FrozenRun<M> {
    /// The other networks among those who are asked.
    pub(super) fn others(&self, whom: &[Whom]) -> Result<Vec<Option<M::Encoder>>> {
        let network = |whom: &Whom| match whom {
            Whom::Other(state) => load_state(self.untrained.clone(), state).map(Some),
            _ => Ok(None),
        };
        whom.iter().map(network).collect()
    }

    pub(super) fn who<'a>(
        &'a self,
        whom: &[Whom],
        others: &'a [Option<M::Encoder>],
    ) -> Vec<Who<'a, M::Encoder>> {
        let one = |(whom, other): (&Whom, &'a Option<M::Encoder>)| match (whom, other) {
            (Whom::Pretrained, _) => Who::Network(&self.pretrained, &self.device),
            (_, Some(other)) => Who::Network(other, &self.device),
            (Whom::Raw, _) => Who::Raw,
            (Whom::Untrained | Whom::Other(_), None) => Who::Network(&self.untrained, &self.device),
        };
        whom.iter().zip(others).map(one).collect()
    }

    /// Refuses more unreadable items than the recipe allows.
    fn bear(&self, unreadable: &[(String, String)], count: usize) -> Result<()> {
        if unreadable.len() as f64 <= (count as f64 * self.unreadable).max(1.0) {
            return Ok(());
        }
        let examples = unreadable.iter().take(3).map(|(_, why)| why.as_str());
        let examples: Vec<_> = examples.collect();
        Err(Error::data(format!(
            "{} unreadable items among {count}, such as: {}",
            unreadable.len(),
            examples.join("; ")
        ))
        .expected(format!("at most {:.0} %", 100.0 * self.unreadable))
        .mend("mend or remove them, or allow more with data.unreadable in the run's recipe.toml"))
    }
}

impl<M: Modality> Frozen for FrozenRun<M> {
    fn embed(
        &self,
        data: &SourceSpec,
        whom: &[Whom],
        which: Which,
        advance: &mut dyn FnMut(usize, usize),
    ) -> Result<Embedded> {
        let source = M::open(data)?;
        let labels = source.labels();
        let (mut indices, mut beyond): (Vec<usize>, usize) = ((0..source.len()).collect(), 0);
        if let (Some(labels), Which::Labeled(most)) = (labels, which) {
            indices.retain(|&index| labels.of[index].is_some());
            let all = indices.len();
            indices = evenly(indices, most);
            beyond = all - indices.len();
        }
        let others = self.others(whom)?;
        let who = self.who(whom, &others);
        let (count, mut done) = (indices.len(), 0);
        let embedded = features(&self.modality, source.as_ref(), &indices, &who, |items| {
            done += items;
            advance(done, count);
        })?;
        let (read, features) = (embedded.read, embedded.matrices);
        let windows = match source.recordings() {
            Some(of) => read.iter().map(|&index| of.window(index)).collect(),
            None => Vec::new(),
        };
        let unreadable: Vec<_> = embedded
            .unreadable
            .into_iter()
            .map(|(index, why)| (source.name(index), why))
            .collect();
        self.bear(&unreadable, count)?;
        Ok(Embedded {
            items: read.clone(),
            names: read.iter().map(|&index| source.name(index)).collect(),
            classes: read
                .iter()
                .map(|&index| labels.and_then(|labels| labels.of[index]))
                .collect(),
            class_names: labels.map_or_else(Vec::new, |Labels { classes, .. }| classes.clone()),
            features,
            windows,
            unreadable,
            shortened: embedded.shortened,
            beyond,
        })
    }

    fn timelines(&self, data: &SourceSpec, items: &[usize]) -> Result<Option<Vec<Matrix>>> {
        // Before the data is read again.
        if self.modality.stretch().is_none() {
            return Ok(None);
        }
        let source = M::open(data)?;
        let measured = source.recordings().map(|all| all.measured().len());
        let read = |&index: &usize| -> Result<Option<Matrix>> {
            let Some(timeline) = self.modality.timeline(&source.get(index)?) else {
                return Ok(None);
            };
            let measured = measured.unwrap_or(timeline.channels);
            Values::of(&timeline, measured).map(|values| Some(values.known))
        };
        items.iter().map(read).collect()
    }

    fn embed_pairs(
        &self,
        data: &SourceSpec,
        whom: &[Whom],
        advance: &mut dyn FnMut(usize, usize),
    ) -> Result<Pairs> {
        let source = Halves::<M>::new(M::open(data)?);
        let scores = source.scores().ok_or_else(|| {
            Error::data("no pairs with scores")
                .at(data.path.clone().unwrap_or_default())
                .expected("two items and a number of how alike they are, in each row of a table")
                .mend("name the columns in data.reading")
        })?;
        let indices: Vec<usize> = (0..source.len()).collect();
        let others = self.others(whom)?;
        let (count, mut done) = (indices.len(), 0);
        let who = self.who(whom, &others);
        let embedded = features(&self.modality, &source, &indices, &who, |items| {
            done += items;
            advance(done, count);
        })?;
        let unreadable = embedded.unreadable.into_iter();
        let unreadable: Vec<_> = unreadable
            .map(|(half, why)| (source.name(half), why))
            .collect();
        self.bear(&unreadable, count)?;
        // Rows of both halves of a pair stand side by side where both could be read.
        let rows = embedded.read.windows(2).enumerate();
        let whole = rows.filter(|(_, of)| of[0] % 2 == 0 && of[1] == of[0] + 1);
        let (rows, scores): (Vec<usize>, Vec<f64>) =
            whole.map(|(row, of)| (row, scores[of[0] / 2])).unzip();
        let halves = |matrix: Matrix| -> Result<[Matrix; 2]> {
            let second: Vec<usize> = rows.iter().map(|row| row + 1).collect();
            let select = |rows: &[usize]| matrix.select(rows).map_err(super::protocol::unfit);
            Ok([select(&rows)?, select(&second)?])
        };
        Ok(Pairs {
            features: embedded
                .matrices
                .into_iter()
                .map(halves)
                .collect::<Result<_>>()?,
            scores,
            unreadable,
        })
    }

    fn follow(&self, data: &SourceSpec, context: usize) -> Result<Box<dyn Following + '_>> {
        let followed = Followed::new(self, M::open(data)?, context);
        let followed = followed.map_err(|error| match &data.path {
            Some(path) => error.at(path),
            None => error,
        })?;
        Ok(Box::new(followed))
    }

    fn stretch(&self) -> Option<Stretch> {
        self.modality.stretch()
    }

    fn ends(&self, stretches: &[(Vec<f32>, usize)]) -> Result<Matrix> {
        let item = |(values, first): &(Vec<f32>, usize)| {
            let item = self.modality.of_steps(values.clone(), *first)?;
            Ok((*first as u64, item))
        };
        let items: Vec<_> = stretches.iter().map(item).collect::<Result<_>>()?;
        let views = self.modality.plain(&items)?;
        let rows = Rows {
            ids: items.iter().map(|(id, _)| *id).collect(),
            classes: None,
        };
        let batch = self.modality.collate(&views, &rows, &self.device)?;
        let vectors = self.pretrained.latest(&batch);
        let [count, dim] = vectors.dims();
        Matrix::from_vec(count, dim, host(vectors)).map_err(super::protocol::unfit)
    }

    fn rows(&self, data: &SourceSpec) -> Result<Box<dyn ReadRows>> {
        self.modality.rows(data)
    }

    fn onnx(&self, raw: bool) -> Result<OnnxModel> {
        self.modality.onnx(&self.pretrained, raw)
    }

    fn publication(&self) -> Result<Publication> {
        self.modality.publication(&self.pretrained)
    }

    fn splits(&self, data: &SourceSpec) -> Result<Splits> {
        let source = M::open(data)?;
        Ok(Splits {
            test: source.other_parts().contains(&Part::Test),
            description: source.describe(),
            items: source.len(),
            labeled: source.labels().is_some(),
            scored: source.scores().is_some(),
        })
    }

    fn raw(&self) -> Raw {
        M::RAW
    }

    fn is_own(&self, data: &SourceSpec) -> bool {
        same_place(self.own.as_deref(), data.path.as_deref())
    }

    fn saw_labels(&self) -> bool {
        self.saw_labels
    }
}

/// Whether data lies at the same place, by whatever path; `None` is the embedded data.
fn same_place(one: Option<&Path>, other: Option<&Path>) -> bool {
    let place = |path: &Path| {
        // Sets that are named without what tells their parts apart lie nowhere themselves.
        let found = std::fs::canonicalize(path).or_else(|_| std::path::absolute(path));
        found.unwrap_or_else(|_| path.to_path_buf())
    };
    one.map(place) == other.map(place)
}

/// So many of them at most, evenly over all: data is often sorted by class.
fn evenly(indices: Vec<usize>, most: usize) -> Vec<usize> {
    let all = indices.len();
    if all <= most {
        return indices;
    }
    (0..most)
        .map(|place| indices[place * all / most.max(1)])
        .collect()
}

/// A sheet of views of some items, before any training.
///
/// # Errors
/// When the data can't be read or the recipe doesn't fit it.
pub fn views_sheet(recipe: &Recipe, items: usize) -> Result<Sheet> {
    let recipe = &recipe.begun()?;
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
        crate::method::on::<M, _>(&name, of_method)?
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
        let mut items = Vec::new();
        for index in evenly((0..source.len()).collect(), self.items.max(1)) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_the_runs_own_by_whatever_path_and_other_data_is_not() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path();
        std::fs::create_dir(root.join("inner")).unwrap();
        std::fs::write(root.join("a.csv"), "x").unwrap();
        let same = |one: &str, other: &str| {
            let [one, other] = [one, other].map(|name| root.join(name));
            same_place(Some(&one), Some(&other))
        };
        assert!(same("a.csv", "inner/../a.csv"));
        assert!(!same("a.csv", "inner"));
        // There is no such file, only those of its parts.
        assert!(same("Adiac", "Adiac") && !same("Adiac", "Beef"));
        assert!(same_place(None, None) && !same_place(None, Some(root)));
    }

    #[test]
    fn some_items_are_taken_evenly_and_few_all() {
        assert_eq!(evenly((0..5).collect(), 5), [0, 1, 2, 3, 4]);
        assert_eq!(evenly((0..10).collect(), 4), [0, 2, 5, 7]);
        assert_eq!(evenly(vec![3, 4, 9], 1), [3]);
    }
}
