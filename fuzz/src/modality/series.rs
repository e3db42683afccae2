//! Series and where they come from; neither views nor networks.

#[path = "../../../crates/autodidact/src/modality/series/reading.rs"]
mod reading;
#[path = "../../../crates/autodidact/src/modality/series/series.rs"]
mod recording;
#[path = "../../../crates/autodidact/src/modality/series/source/mod.rs"]
pub mod source;

use crate::modality::{ReadRows, SourceSpec};

pub use reading::SeriesReading;
pub use recording::{MOST_CHANNELS, Series};

/// Reads steps of so many channels as they arrive.
pub fn live(channels: usize, spec: &SourceSpec) -> Option<impl ReadRows> {
    let reading = SeriesReading::of(spec).ok()?;
    Some(source::LiveRows::new(channels, reading))
}
