//! A run's encoder, frozen, and what it makes of data: what can be asked of it, whatever kind of data it learned from.

mod run;
mod sheet;

use std::ops::Range;

use autodidact_eval::Matrix;

use super::following::Following;
use crate::error::Result;
use crate::export::onnx::OnnxModel;
use crate::layers::state::State;
use crate::modality::{Publication, Raw, ReadRows, SourceSpec, Stretch};
pub(super) use run::FrozenRun;
pub use run::frozen;
pub use sheet::views_sheet;

/// An item's description by whom.
#[derive(Debug, Clone, PartialEq)]
pub enum Whom {
    /// The run's encoder.
    Pretrained,
    /// The same network with the initial weights of the run's own seed.
    Untrained,
    /// Another network of the same architecture, such as the supervised ceiling's.
    Other(State),
    /// The item's own numbers, where these are values; counts become vectors once it is known which items are learned from
    /// ([`Frozen::counted`]).
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
    /// The pairs' numbers in their source.
    pub items: Vec<usize>,
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
    /// When the data can't be read, or the items' own numbers are asked for and are counts.
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

    /// What is counted of some items of some data, by their numbers: of each as often as it stands there. Nothing where the
    /// items' own numbers are values.
    ///
    /// # Errors
    /// When the data or one of the items can't be read.
    fn counted(&self, data: &SourceSpec, items: &[usize]) -> Result<Vec<Vec<u64>>>;

    /// Vectors of both halves of each pair, each half by itself. `advance` hears how many halves are done.
    ///
    /// # Errors
    /// As [`Frozen::embed`], and when the data holds no pairs with scores.
    fn embed_pairs(
        &self,
        data: &SourceSpec,
        whom: &[Whom],
        advance: &mut dyn FnMut(usize, usize),
    ) -> Result<Pairs>;

    /// What is counted of the halves of some pairs, by the pairs' numbers: of the first half of each and then of its second, each
    /// by itself.
    ///
    /// # Errors
    /// When the data or one of the pairs can't be read.
    fn counted_halves(&self, data: &SourceSpec, pairs: &[usize]) -> Result<Vec<Vec<u64>>>;

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

    /// How the channels of those stretches stood, the first `measured` of them, on the scale that networks see
    /// (`judge/levels.rs`): `[stretches, levels]`.
    ///
    /// # Errors
    /// As [`Frozen::ends`].
    fn levels(&self, stretches: &[(Vec<f32>, usize)], measured: usize) -> Result<Matrix>;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn some_items_are_taken_evenly_and_few_all() {
        assert_eq!(evenly((0..5).collect(), 5), [0, 1, 2, 3, 4]);
        assert_eq!(evenly((0..10).collect(), 4), [0, 2, 5, 7]);
        assert_eq!(evenly(vec![3, 4, 9], 1), [3]);
    }
}
