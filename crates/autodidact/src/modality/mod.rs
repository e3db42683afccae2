//! Kinds of data: how items are read, what views of them are made, which networks take them in.
//!
//! *Architecture Invariant:* nothing here names a method. A new kind of data is a folder here and one line in
//! `modalities!`.

mod encoder;
mod ordered;
mod picture;
mod pretext;
mod published;
mod source;
mod symbols;

use std::path::Path;
use std::sync::Arc;

use burn::tensor::{Device, Int, Tensor};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::export::onnx::OnnxModel;
use crate::layers::Init;
use crate::recipe::Recipe;
pub use encoder::{Encoder, Maskable, Readout, Tokens};
pub use ordered::{Causal, Ending, Ordered, Track};
pub use picture::Picture;
pub use pretext::{Abilities, Change, Need, Pretext};
pub use published::{Publication, Published, ReadWeights, Setting};
pub use source::{
    Labels, Likeness, Part, Pieces, ReadRows, Recordings, Source, SourceSpec, Stretch, Timeline,
    steps_of,
};
pub use symbols::{Sampling, Seam, Symbolic, Symbols, Vocabulary};

/// One kind of data, ready to be drawn from: it knows the recipe's `[views]` and what was measured on the data.
pub trait Modality: Clone + Send + Sync + Sized + 'static {
    /// The name in a recipe.
    const NAME: &'static str;
    /// One line for people.
    const SUMMARY: &'static str;
    /// What an item's own numbers are: values ([`Modality::raw`]) or counts ([`Modality::counted`]).
    const RAW: Raw = Raw::Values;
    /// What some network for this kind of data can do. What none can do is not compiled; where there are networks of fixed
    /// features, the [`Modality::defaults`] of a method that needs them are such.
    const ABLE: Abilities;
    /// Whether views differ in length, so that batches of alike ones ([`Modality::extent`]) save work.
    const RAGGED: bool = false;
    /// Settings of `[encoder]` that suit the usual network, which is that of a recipe that says nothing of it: where a recipe
    /// says these alone, such as a width, network and method stay the usual ones.
    const USUAL: &'static [&'static str] = &[];
    /// Settings of `[encoder]` that say what a method asks of the network, and not what its weights are.
    const ASKED: &'static [&'static str] = &[];
    /// An item on the host: an image, a document, a window, an event with its neighborhood.
    type Item: Clone + Send + Sync + 'static;
    /// An item as the network will see it, with the label it made for itself: the rotation, the crop's place.
    type View: Clone + Send + 'static;
    /// Views of one slot of a batch, on the device.
    type Batch: Batch;
    /// The networks for this kind of data; usually an enum of them.
    type Encoder: Maskable<Batch = Self::Batch>;
    /// The recipe's `[views]`.
    type Views: Table;
    /// The recipe's `[encoder]`.
    type Network: Table;
    /// What is measured on the data before training, kept in the recipe as `[data.measured]`: it makes the run
    /// repeatable, and new data is treated as the training data was.
    type Measured: Table;

    /// Whether `path` looks like data of this kind.
    fn recognizes(path: &Path) -> Likeness;

    /// Opens what the user named.
    ///
    /// # Errors
    /// Names what was found there and what was expected.
    fn open(from: &SourceSpec) -> Result<Box<dyn Source<Self::Item>>>;

    /// Looks at the items once. `from` is what the source was opened with; its seed decides where to look.
    ///
    /// # Errors
    /// When too many of them can't be read.
    fn measure(source: &dyn Source<Self::Item>, from: &SourceSpec) -> Result<Self::Measured>;

    /// Completes what a recipe holds of the measurements with the files beside the recipe, read by their names: what is
    /// too large for the recipe, such as a vocabulary. [`Modality::files`] are those files.
    ///
    /// # Errors
    /// When a file is missing, damaged, or another than was measured.
    fn complete(
        measured: Self::Measured,
        _file: &dyn Fn(&str) -> Result<Vec<u8>>,
    ) -> Result<Self::Measured> {
        Ok(measured)
    }

    /// What was measured and is too large for the recipe: files beside it, by their names.
    fn files(&self) -> Vec<(&'static str, Arc<Vec<u8>>)> {
        Vec::new()
    }

    /// The views and the network that suit a pretext task and this data, before the recipe has its say.
    fn defaults(pretext: &Pretext, measured: &Self::Measured) -> (Self::Views, Self::Network);

    /// The recipe's tables joined, checked against each other.
    ///
    /// # Errors
    /// Names the key, what it holds and what it may hold.
    fn new(views: &Self::Views, network: &Self::Network, measured: &Self::Measured)
    -> Result<Self>;

    /// Networks and sizes of views that a run with a budget may choose from, small ones first; none where there is no
    /// choice.
    fn ladder(
        _views: &Self::Views,
        _network: &Self::Network,
        _measured: &Self::Measured,
    ) -> Vec<Rung> {
        Vec::new()
    }

    /// Settings for one lightly changed view an item, alike in form to the views that there are now: what learning
    /// from labels takes in, so that the same network goes on.
    fn one_view(&self) -> Self::Views;

    /// How many views an item has.
    fn slots(&self) -> usize;

    /// The items at `indices` cut or joined to the length of views, a part of them held out; `None` where a pass over
    /// the data goes through the items themselves. The seed decides what is held out.
    ///
    /// # Errors
    /// When the items can't be read, or there is nothing to learn from.
    fn pieces(
        &self,
        _source: &Arc<dyn Source<Self::Item>>,
        _indices: &[usize],
        _held_out: f64,
        _seed: u64,
    ) -> Result<Option<Pieces<Self::Item>>> {
        Ok(None)
    }

    /// Views of a whole batch, `[slot][item]`. Drawn together, so that they may relate to each other or to other items.
    /// What is random about an item's views depends on the draw and the item's number alone, and of what of other items is in
    /// them on the batch.
    ///
    /// # Errors
    /// When an item can't be viewed as the recipe asks.
    fn views(&self, items: &[(u64, Self::Item)], draw: Draw) -> Result<Vec<Vec<Self::View>>>;

    /// The one undisturbed view that embeddings are computed from.
    ///
    /// # Errors
    /// As [`Modality::views`].
    fn plain(&self, items: &[(u64, Self::Item)]) -> Result<Vec<Self::View>>;

    /// How long a view is, where they differ: what it takes of a batch.
    fn extent(_view: &Self::View) -> usize {
        1
    }

    /// Whether the plain view of an item leaves out a part of it, because the network takes in no more.
    fn shortened(&self, _item: &Self::Item, _plain: &Self::View) -> bool {
        false
    }

    /// Brings the views of one slot to the device.
    ///
    /// # Errors
    /// When they don't fit together.
    fn collate(&self, views: &[Self::View], rows: &Rows, device: &Device) -> Result<Self::Batch>;

    /// The item's own numbers, laid out alike for every item: the honest baseline that needs no learning. None where they are
    /// counts ([`Raw::Counts`]).
    fn raw(&self, _item: &Self::Item) -> Vec<f32> {
        Vec::new()
    }

    /// What is counted of an item, such as its words, each as a hash of it and as often as it stands there: the honest baseline
    /// where an item's own numbers are counts. Which of them become columns is settled by the items that are learned from. None
    /// where they are values ([`Raw::Values`]).
    fn counted(&self, _item: &Self::Item) -> Vec<u64> {
        Vec::new()
    }

    /// An item of which one step follows another, step by step; `None` for any other item.
    fn timeline(&self, _item: &Self::Item) -> Option<Timeline> {
        None
    }

    /// Brings what was measured of recordings, step by step, from the scale that networks see back to that of the data.
    fn restore(&self, _values: &mut [f32]) {}

    /// What the network takes in where items are stretches of recordings ([`Source::recordings`]); `None` elsewhere.
    fn stretch(&self) -> Option<Stretch> {
        None
    }

    /// The item that some steps make, the first of which has that number: `[steps, channels]` as they were recorded, not a
    /// number where a value is missing.
    ///
    /// # Errors
    /// When items aren't made of steps, or these are of other channels.
    fn of_steps(&self, _values: Vec<f32>, _first: usize) -> Result<Self::Item> {
        Err(stepless(Self::NAME))
    }

    /// Reads steps as they arrive, line by line. `reading` is what the recipe says of how data is to be read.
    ///
    /// # Errors
    /// When items aren't made of steps, or the recipe doesn't fit.
    fn rows(&self, _reading: &SourceSpec) -> Result<Box<dyn ReadRows>> {
        Err(stepless(Self::NAME))
    }

    /// The two halves of an item that is a pair, each an item by itself; `None` for any other item.
    fn halves(_item: &Self::Item) -> Option<[Self::Item; 2]> {
        None
    }

    /// Builds the network.
    ///
    /// # Errors
    /// Names the setting that can't be.
    fn encoder(&self, init: &mut Init) -> Result<Self::Encoder>;

    /// What the network takes from the data before the first step, without gradients, such as a dictionary; with a line
    /// for people. `some` reads about so many items, spread over those that are learned from. `None` where it takes
    /// nothing.
    ///
    /// # Errors
    /// When the items can't be read or viewed.
    fn begun(
        &self,
        _encoder: &Self::Encoder,
        _some: &mut dyn FnMut(usize) -> Result<Vec<(u64, Self::Item)>>,
        _seed: u64,
    ) -> Result<Option<(Self::Encoder, String)>> {
        Ok(None)
    }

    /// What the network can do: asked while a recipe becomes a plan.
    fn abilities(&self) -> Abilities;

    /// The encoder as a graph that other engines run, from items as they come (`raw`) or already normalized.
    ///
    /// # Errors
    /// When this kind of data has no graphs.
    fn onnx(&self, _encoder: &Self::Encoder, _raw: bool) -> Result<OnnxModel> {
        Err(
            Error::recipe(format!("a graph of an encoder for {}", Self::NAME))
                .expected("a kind of data whose encoders can be written as ONNX")
                .mend("export it as safetensors"),
        )
    }

    /// What a folder or a file of published weights settles; `None` where it holds none, or none for this kind of data.
    ///
    /// # Errors
    /// When it holds a network of this kind of data that can't be taken over, or is damaged.
    fn published(_path: &Path) -> Result<Option<Published>> {
        Ok(None)
    }

    /// What a run settles, besides `[encoder]`, for another that starts from its weights, in `folder`.
    fn settled_by(_run: &Recipe, _folder: &Path) -> Vec<Setting> {
        Vec::new()
    }

    /// The encoder as a folder that others' programs load.
    ///
    /// # Errors
    /// When this kind of data has no such form, or the network doesn't fit it.
    fn publication(&self, _encoder: &Self::Encoder) -> Result<Publication> {
        Err(
            Error::recipe(format!("an encoder for {} as a folder", Self::NAME))
                .expected("a kind of data whose encoders have such a form")
                .mend("export it as safetensors, which torchvision and timm load"),
        )
    }

    /// The views of some items, for people to look at.
    ///
    /// # Errors
    /// When the kind of data can't be shown, or an item can't be viewed.
    fn sheet(&self, items: &[(u64, Self::Item)], draw: Draw) -> Result<Sheet>;

    /// Goes on from a beginning, symbol by symbol, and hands what comes to `hear` as it comes, until that says no more.
    ///
    /// # Errors
    /// When the network can't go on from a beginning, or the settings don't fit.
    fn generate(
        &self,
        _encoder: &Self::Encoder,
        _beginning: &str,
        _how: &Sampling,
        _hear: &mut dyn FnMut(&str) -> bool,
    ) -> Result<()> {
        Err(
            Error::recipe(format!("going on from a beginning, with {}", Self::NAME))
                .expected("a run whose network predicts what comes next"),
        )
    }

    /// A picture of an item, its longer edge `edge` pixels at most; `None` where the kind of data can't be shown.
    fn picture(&self, _item: &Self::Item, _edge: usize) -> Option<Picture> {
        None
    }

    /// An item in words, so many letters at most; `None` where the kind of data isn't read.
    fn words(&self, _item: &Self::Item, _most: usize) -> Option<String> {
        None
    }

    /// Each view of a batch in words, as the network reads it, hidden symbols by their name; none where the kind of data isn't
    /// read.
    fn spelled(&self, _batch: &Self::Batch) -> Vec<String> {
        Vec::new()
    }

    /// A picture of each view of a batch, as the network sees it; none where the kind of data can't be shown. Values
    /// that are not a number are shown as hidden.
    fn pictures(&self, _batch: &Self::Batch) -> Vec<Picture> {
        Vec::new()
    }
}

fn stepless(kind: &str) -> Error {
    Error::recipe(format!("steps, of data of the kind `{kind}`"))
        .expected("data in which one step follows another, such as series")
}

/// A network, and what it sees, of a size that a run with a budget may choose.
#[derive(Debug, Clone, PartialEq)]
pub struct Rung {
    /// What people read: `width 16, 32 pixels`.
    pub name: String,
    /// Settings of the recipe, by their dotted paths.
    pub settings: Vec<(&'static str, toml::Value)>,
    /// From how many items it has to learn before it is better than the rung below, about.
    pub pays_from: f64,
}

/// What an item's own numbers are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Raw {
    /// Values, each on a scale of its own.
    Values,
    /// Counts, such as of words, to be weighed by how rare each is.
    Counts,
}

/// Views of some items, for people to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sheet {
    /// A picture, as PNG.
    Png(Vec<u8>),
    /// Lines to read.
    Lines(String),
}

/// A table of the recipe: read with unknown keys as errors, written back complete.
pub trait Table:
    Serialize + DeserializeOwned + Clone + std::fmt::Debug + PartialEq + Send + Sync + 'static
{
}
impl<T: Serialize + DeserializeOwned + Clone + std::fmt::Debug + PartialEq + Send + Sync + 'static>
    Table for T
{
}

/// Views on the device: the network's input, and whose views they are.
pub trait Batch: Clone + Send + 'static {
    /// Whose views these are.
    fn rows(&self) -> &Rows;

    /// The labels that the views made for themselves, row by row: by how many quarter turns each was rotated, which
    /// of several places it was cut from, whether its halves belong together. `None` where the views make none.
    fn own_labels(&self) -> Option<&[u32]> {
        None
    }

    /// Which of the two stretches that a view is made of each token belongs to, 0 for the first and 1 for the second,
    /// `[batch, tokens]`; padding may have either. `None` where views are one.
    fn stretches(&self) -> Option<&Tensor<2, Int>> {
        None
    }

    /// The batch without the last steps of each item, so many, and those steps; `None` where items have none. Of an item that
    /// is not longer the first step stays, and nothing is told.
    fn ending(&self, _steps: usize) -> Option<Ending<Self>> {
        None
    }
}

/// Whose views a batch holds, row by row.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Rows {
    /// The items' numbers.
    pub ids: Vec<u64>,
    /// The items' classes, where they are known; used by methods that learn from labels and by nothing else.
    pub classes: Option<Vec<u32>>,
}

/// Where in a run a view is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draw {
    /// The run's seed.
    pub seed: u64,
    /// The pass over the data.
    pub epoch: u64,
}

/// What to do with a kind of data that is known by name only.
pub trait ForModality {
    /// What comes out.
    type Output;
    /// Does it for one kind of data.
    fn run<M: Modality>(self) -> Self::Output;
}

/// One line a kind of data: it declares the folder, and the name in recipes finds the type.
macro_rules! modalities {
    ($($folder:ident::$modality:ident),+ $(,)?) => {
        $(pub mod $folder;)+

        /// The kinds of data there are: name and one line.
        pub const ALL: &[(&str, &str)] = &[$((<$folder::$modality>::NAME, <$folder::$modality>::SUMMARY)),+];

        /// Runs `what` for the kind of data of that name.
        ///
        /// # Errors
        /// When there is none.
        pub fn by_name<F: ForModality>(name: &str, what: F) -> Result<F::Output> {
            $(if name == <$folder::$modality>::NAME {
                return Ok(what.run::<$folder::$modality>());
            })+
            let known: Vec<_> = ALL.iter().map(|(name, _)| *name).collect();
            Err(Error::recipe(format!("no kind of data named `{name}`")).expected(known.join(", ")))
        }

        /// What a folder or a file of published weights settles, for the kind of data that its network is for; `None` where
        /// it holds none.
        ///
        /// # Errors
        /// When it holds a network that can't be taken over, or is damaged.
        pub fn published(path: &Path) -> Result<Option<Published>> {
            $(if let Some(found) = <$folder::$modality>::published(path)? {
                return Ok(Some(found));
            })+
            Ok(None)
        }

        /// The kind of data that `path` looks most like; the first of several alike, and for none at all.
        pub fn recognize(path: Option<&Path>) -> &'static str {
            let mut best = (Likeness::None, ALL[0].0);
            if let Some(path) = path {
                $({
                    let likeness = <$folder::$modality>::recognizes(path);
                    if likeness > best.0 {
                        best = (likeness, <$folder::$modality>::NAME);
                    }
                })+
            }
            best.1
        }
    };
}

modalities![image::Images, text::Texts, series::SeriesData];
