//! The images and where they come from; neither views nor networks.

#[path = "../../../crates/autodidact/src/modality/image/image.rs"]
mod pixels;
#[path = "../../../crates/autodidact/src/modality/image/source/mod.rs"]
pub mod source;

pub use pixels::{Image, MOST_CHANNELS, Pixels};
