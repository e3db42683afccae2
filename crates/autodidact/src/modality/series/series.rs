//! A recording, or a window of one, on the host.

use std::sync::Arc;

use crate::error::{Error, Result};

/// The most values that are measured at once.
pub const MOST_CHANNELS: usize = 1024;

/// A recording, or a window of one: `[time, channels]`, NaN where a value is missing.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Values a step.
    pub channels: usize,
    /// Step by step, on the scale that they were recorded on.
    pub values: Arc<[f32]>,
    /// The first step in its recording.
    pub start: usize,
}

impl Series {
    /// A series of `channels` values a step.
    ///
    /// # Errors
    /// When there is no step, or the values don't make whole steps.
    pub fn new(channels: usize, values: impl Into<Arc<[f32]>>, start: usize) -> Result<Self> {
        let values = values.into();
        if !(1..=MOST_CHANNELS).contains(&channels)
            || values.is_empty()
            || !values.len().is_multiple_of(channels)
        {
            return Err(Error::data(format!(
                "a series of {} values and {channels} channels",
                values.len()
            ))
            .expected(format!(
                "one step at least, of 1 to {MOST_CHANNELS} channels"
            )));
        }
        Ok(Self {
            channels,
            values,
            start,
        })
    }

    /// Number of steps.
    pub fn steps(&self) -> usize {
        self.values.len() / self.channels.max(1)
    }
}
