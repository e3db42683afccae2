//! Views of images: what the network sees instead of the image itself, drawn anew each time.
//!
//! The distributions and the pixel operations are those of torchvision's `transforms.v2` on floating-point
//! tensors, in the order of lightly's `SimCLRTransform`; `reference.py` makes the figures that the tests
//! compare with. The random stream is this library's own.
//!
//! One file per family of operations: `crop` chooses a region, `resize` turns it into planes of floats,
//! `turn`, `jitter` with `color` and `hue`, `blur` and `erase` change them, `view` puts them in order, `settings` is the
//! recipe's table (`presets` fills it in) and `sheet` shows the result to a person.
//!
//! Every loop is written over slices that the compiler vectorizes, and compiled once for each vector width
//! (`planes::vectorized`). No fused multiply-add is asked for, so all widths give the same bits.

mod blur;
mod color;
mod crop;
mod erase;
mod hue;
mod jitter;
mod normalization;
mod planes;
mod presets;
mod resize;
mod settings;
mod sheet;
#[cfg(test)]
mod tests;
mod turn;
mod view;

pub use crop::CropBox;
pub use normalization::Normalization;
pub use settings::{Blur, Crop, Erase, ImageViews, Jitter, Solarize};
pub use sheet::{encode_png, sheet};
pub(super) use sheet::{fitted, shown_values};
pub use view::{ImageView, plain};
