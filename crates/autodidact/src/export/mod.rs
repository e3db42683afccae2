//! What leaves the house: vectors and predictions, and networks as graphs that other engines run.

mod embeddings;
pub mod onnx;
mod predictions;

pub use embeddings::{Format, write_embeddings};
pub use predictions::{PredictionFormat, write_predictions};
