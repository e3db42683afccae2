//! Networks that others published as a folder: what such a folder settles, and the form that one is written in.

use std::fmt;
use std::sync::Arc;

use toml::Value;

use super::Need;
use crate::error::Result;
use crate::layers::state::State;

/// A setting of a recipe, by its dotted path.
pub type Setting = (&'static str, Value);

/// Reads the weights of a folder, under the network's own names, with lines for people: what was left out or adapted.
pub type ReadWeights = Box<dyn Fn() -> Result<(State, Vec<String>)> + Send + Sync>;

/// What a folder of published weights settles.
pub struct Published {
    /// The kind of data that the network is for.
    pub kind: &'static str,
    /// What it was published for.
    pub need: Need,
    /// What the network is. A recipe that starts from the weights can't say otherwise.
    pub fixed: Vec<Setting>,
    /// What is as in the folder where the recipe says nothing else.
    pub open: Vec<Setting>,
    /// What holds besides where the network is used as it is, without any recipe.
    pub alone: Vec<Setting>,
    /// What stands in for measurements where the network is used as it is: `[data.measured]`.
    pub measured: Value,
    /// What belongs beside a recipe, such as the vocabulary.
    pub files: Vec<(&'static str, Arc<Vec<u8>>)>,
    /// Reads its weights.
    pub weights: ReadWeights,
}

impl fmt::Debug for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Published")
            .field("kind", &self.kind)
            .field("fixed", &self.fixed)
            .field("open", &self.open)
            .finish_non_exhaustive()
    }
}

/// A network in the form that others read: a folder.
#[derive(Debug, Clone, PartialEq)]
pub struct Publication {
    /// Its numbers, under the published names.
    pub weights: State,
    /// The folder within that they go to; empty for the folder itself.
    pub weights_in: String,
    /// The files beside them: path within the folder and contents.
    pub files: Vec<(String, Vec<u8>)>,
    /// Lines for people: what had to be added.
    pub notes: Vec<String>,
}
