//! What leaves the house: vectors today, weights and graphs under the ecosystem's names.

mod embeddings;

pub use embeddings::{Format, write_embeddings};
