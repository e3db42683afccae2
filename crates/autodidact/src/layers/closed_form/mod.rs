//! What is learned in closed form, without gradients: whitening, dictionaries of patches, the directions that two views of an
//! item share, and the axes of large symmetric maps.

mod axes;
mod dictionary;
mod directions;
mod whitening;

pub use axes::{Axes, SymmetricMap, leading_axes, symmetric_product};
pub use dictionary::spherical_kmeans;
pub use directions::{Directions, Moments, shared_directions};
pub use whitening::Whitening;
