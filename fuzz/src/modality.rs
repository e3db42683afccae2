//! As much of the library's room of this name as the readers of images need.

pub mod image;
#[path = "../../crates/autodidact/src/modality/source/mod.rs"]
pub mod source;
