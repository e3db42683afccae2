//! As much of the library's room of this name as the readers of images and series need.

pub mod image;
pub mod series;
#[path = "../../crates/autodidact/src/modality/source/mod.rs"]
pub mod source;

use serde::Serialize;
use serde::de::DeserializeOwned;

pub use source::{Likeness, ReadRows, SourceSpec};

/// A table of the recipe.
pub trait Table:
    Serialize + DeserializeOwned + Clone + std::fmt::Debug + PartialEq + Send + Sync + 'static
{
}
impl<T: Serialize + DeserializeOwned + Clone + std::fmt::Debug + PartialEq + Send + Sync + 'static>
    Table for T
{
}
