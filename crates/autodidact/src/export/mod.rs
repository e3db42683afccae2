//! What leaves the house: vectors and predictions, networks as graphs that other engines run, and as folders that other
//! programs load.

mod embeddings;
mod folder;
pub mod onnx;
mod predictions;

pub use embeddings::{Format, write_embeddings};
pub use folder::write_publication;
pub use predictions::{PredictionFormat, write_predictions};
