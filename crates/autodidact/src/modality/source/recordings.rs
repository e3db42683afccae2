//! Data that goes on step by step: what may come next is foretold there, and what is not normal found.

use std::ops::Range;

use crate::error::Result;

/// Recordings, whose items are stretches of them.
pub trait Recordings<Item>: Send + Sync {
    /// Number of recordings in the part that is open.
    fn count(&self) -> usize;
    /// The names of what was measured: of the values of a step they come first. What follows is known of any step
    /// beforehand.
    fn measured(&self) -> &[String];
    /// The name of one: the path inside the folder or archive.
    fn name(&self, recording: usize) -> String;
    /// Number of steps of one, with those that belong to another part.
    fn steps(&self, recording: usize) -> usize;
    /// The steps of one that belong to the part that is learned from.
    fn learned(&self, recording: usize) -> Range<usize>;
    /// The recording that an item is cut from, and the steps that it is.
    fn window(&self, item: usize) -> (usize, Range<usize>);
    /// The stretch that ends with `step`, of as many steps as there are before it and `most` at most, whatever part they
    /// belong to.
    ///
    /// # Errors
    /// When there is no such step, or it can't be read.
    fn ending(&self, recording: usize, step: usize, most: usize) -> Result<Item>;
    /// Which steps of one are known not to be normal; `None` where nobody said.
    fn abnormal(&self, recording: usize) -> Option<Vec<bool>>;
    /// When the step so many after the last one of a recording would be, as it is written; `None` where times aren't known
    /// or steps are irregular.
    fn after(&self, recording: usize, steps: usize) -> Option<String>;
    /// Brings what was measured, step by step, from the one scale that recordings are brought to back to the scale of one of
    /// them; where they are left on their own, nothing changes.
    fn rescale(&self, recording: usize, values: &mut [f32]);
}

/// What a setting means that is a number of steps, or below 1 the part of all of them.
pub fn steps_of(setting: f64, steps: usize) -> usize {
    match setting < 1.0 {
        true => (setting * steps as f64).round() as usize,
        false => setting as usize,
    }
}

/// What was recorded, step by step.
#[derive(Debug, Clone, PartialEq)]
pub struct Timeline {
    /// Values a step.
    pub channels: usize,
    /// Step by step, on the scale that networks see; not a number where a value is missing.
    pub values: Vec<f32>,
}

/// What a network takes in of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stretch {
    /// Steps, at most.
    pub steps: usize,
    /// Values a step.
    pub channels: usize,
}

/// Reads steps as they arrive, line by line.
pub trait ReadRows {
    /// The values of the step that a line holds, not a number where one is missing; `None` for a line that holds none, such as
    /// a header.
    ///
    /// # Errors
    /// When it holds other channels than were learned from.
    fn read(&mut self, line: &str) -> Result<Option<Vec<f32>>>;
}
