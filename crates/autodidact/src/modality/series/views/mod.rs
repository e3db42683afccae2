//! Views of series: crops, and what changes values without changing what they are of.

mod crop;
mod curve;
mod disturb;
mod plot;
mod settings;
#[cfg(test)]
mod tests;

pub(super) use crop::Frame;
pub(super) use plot::{encode_png, plot, stack};
pub use settings::{Disturbance, Permutation, SeriesViews};

/// A series as the network will see it.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesView {
    /// `[time, channels]`, less the mean and over the deviation of the data; NaN where a value is missing.
    pub values: Vec<f32>,
    /// Values a step.
    pub channels: usize,
    /// The step of its series at which it begins.
    pub start: usize,
    /// What networks that hide a part while learning draw from; `None` in an undisturbed view.
    pub hiding: Option<u64>,
}

impl SeriesView {
    /// Number of steps.
    pub fn steps(&self) -> usize {
        self.values.len() / self.channels.max(1)
    }
}
