//! What leaves the house: vectors, and networks as graphs that other engines run.

mod embeddings;
pub mod onnx;

pub use embeddings::{Format, write_embeddings};
