//! What leaves the house: vectors and predictions, networks as graphs that other engines run, and as folders that other
//! programs load.

mod embeddings;
mod folder;
mod foretold;
pub mod onnx;
mod predictions;
mod table;

pub use embeddings::{Format, write_embeddings};
pub use folder::write_publication;
pub use foretold::write_foretold;
pub use predictions::{PredictionFormat, write_predictions};
