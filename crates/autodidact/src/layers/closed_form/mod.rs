//! What is learned in closed form, without gradients: whitening, dictionaries of patches, and the directions that two
//! views of an item share.

mod dictionary;
mod directions;
mod whitening;

pub use dictionary::spherical_kmeans;
pub use directions::{Directions, Moments, shared_directions};
pub use whitening::Whitening;
