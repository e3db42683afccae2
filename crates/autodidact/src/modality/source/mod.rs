//! Where items come from, whatever their kind: what the user named, parts, labels, and where bytes lie.

pub(in crate::modality) mod allowance;
pub(in crate::modality) mod archive;
pub(in crate::modality) mod bounded;
pub(in crate::modality) mod bounds;
pub(in crate::modality) mod folder;
pub(in crate::modality) mod guard;
pub(in crate::modality) mod labels;
pub(in crate::modality) mod layout;
pub(in crate::modality) mod names;
pub(in crate::modality) mod npy;
pub(in crate::modality) mod numbers;
pub(in crate::modality) mod packed;
mod recordings;
pub(in crate::modality) mod storage;

use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::Result;
pub use recordings::{ReadRows, Recordings, Stretch, Timeline, steps_of};

/// Which part of a data set that comes in parts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// What is learned from.
    Train,
    /// What is judged on, and nothing else.
    Test,
}

/// What the user named: where the data is and how to read it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SourceSpec {
    /// A folder, an archive, a file; `None` is the embedded data set.
    pub path: Option<PathBuf>,
    /// The part to open, where the data comes in parts (`train/`, `test/`, …). `None` takes the training part
    /// where there are parts, and everything where there are none.
    pub part: Option<Part>,
    /// Labels that override those found in the data: CSV of item name and label, or one label a line in item order.
    pub labels: Option<PathBuf>,
    /// Decoded items kept in memory, in bytes; what is beyond is read again each time it is needed.
    pub memory_limit: u64,
    /// How this kind of data wants to be read: the recipe's `[data.reading]`, which the kind of data checks.
    pub reading: toml::Table,
    /// What an item is made smaller to as soon as it is read, where its kind knows how: of images, the shorter side that
    /// is left at the least, in pixels. 0 leaves items as they are.
    pub shrink: usize,
    /// How many items the embedded data set makes.
    pub synthetic_items: usize,
    /// The run's seed.
    pub seed: u64,
}

/// Items cut or joined to the length of views, and which of them are learned from.
///
/// For kinds of data whose items are much longer or shorter than what a network takes in, a pass over the data goes
/// through these instead of the items. An item's pieces are all learned from or all held out; of an item that is the
/// greater part of the data, its end is held out.
pub struct Pieces<Item> {
    /// Those to learn from.
    pub learned: Arc<dyn Source<Item>>,
    /// Those held out; it may be empty.
    pub held_out: Arc<dyn Source<Item>>,
    /// Bytes of the user's data that a symbol of the held-out pieces stands for, on average: with it, what different
    /// vocabularies come to can be compared. Bytes without a symbol of their own don't count, so that nothing unknown
    /// comes free. 0 where nothing is held out.
    pub bytes_per_symbol: f64,
}

/// How sure a kind of data is of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Likeness {
    /// Nothing of this kind.
    None,
    /// It can't be told without reading it.
    Unclear,
    /// Names or contents say so.
    Clear,
}

/// Labels, where there are any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    /// Names of the classes, in the order of their numbers.
    pub classes: Vec<String>,
    /// The class of each item; `None` where the item has no label.
    pub of: Vec<Option<u32>>,
}

/// Items on the host, by index, from any thread.
pub trait Source<Item>: Send + Sync {
    /// Number of items.
    fn len(&self) -> usize;
    /// Whether there is nothing at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
    /// The item's name: the path inside the folder or archive, or the position in a file of many.
    fn name(&self, index: usize) -> String;
    /// Reads and decodes an item.
    ///
    /// # Errors
    /// Names the item and says what is wrong with it; the caller counts it and goes on with another.
    fn get(&self, index: usize) -> Result<Item>;
    /// Labels, if the data carries them.
    fn labels(&self) -> Option<&Labels>;
    /// How alike the two halves of each item are, where items are pairs that somebody judged: numbers on any scale.
    fn scores(&self) -> Option<&[f64]> {
        None
    }
    /// The recordings that items are stretches of, where they are.
    fn recordings(&self) -> Option<&dyn Recordings<Item>> {
        None
    }
    /// The parts that the data comes in, besides the one that is open; empty where it is one whole.
    fn other_parts(&self) -> &[Part];
    /// One line for people: what was found, how many, of what size.
    fn describe(&self) -> String;
    /// What to try where there are too few items.
    fn advice(&self) -> Option<&'static str> {
        None
    }
}
