//! What the loop tells whoever watches, and how a run ended.

use super::monitor::Checkup;

/// What the loop tells whoever watches.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A run begins, or goes on, at a step.
    Begun {
        /// What the data, the method and the network are.
        lines: Vec<String>,
        /// Steps taken before.
        step: u64,
    },
    /// A step is done.
    Stepped {
        /// Steps taken.
        step: u64,
        /// Steps in all, as thought now.
        total: u64,
        /// Passes over the data.
        epochs: f64,
        /// Smoothed.
        loss: f64,
        /// Items per second, smoothed.
        speed: f64,
        /// Share of the time spent waiting for data, 0 to 1.
        waiting: f64,
        /// Seconds until the end.
        seconds_left: Option<f64>,
    },
    /// The representation was looked at.
    Looked {
        /// Steps taken.
        step: u64,
        /// Loss on the held-out items.
        validation: Option<f64>,
        /// How the representation is doing.
        checkup: Checkup,
    },
    /// Something that a person should know.
    Warned(String),
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// Why it ended.
    pub stop: Stop,
    /// Steps taken in all.
    pub steps: u64,
    /// Seconds spent in all.
    pub seconds: f64,
    /// The last look at the representation.
    pub checkup: Option<Checkup>,
    /// Unreadable items: name and what was wrong.
    pub unreadable: Vec<(String, String)>,
    /// Whether it came to its end early, because nothing got better any more.
    pub early: bool,
}

/// Why a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// It came to its end.
    Finished,
    /// Someone asked it to stop; a checkpoint is there.
    Asked,
}
