//! Linear probes: how much of the labels a linear classifier reads off frozen features.
//!
//! [`LogisticRegression`] is the classifier, [`Probe`] the protocol around it: features scaled by their [`Moments`], the
//! scaling and the penalty chosen on a held-out fifth of the training part, then a fit on everything.

mod choice;
mod logistic;
mod objective;
mod protocol;
mod scaling;

pub use choice::{ProbeSettings, Tried};
pub use logistic::{LinearModel, LogisticRegression};
pub use protocol::{Probe, ProbeResult, linear_probe};
pub use scaling::{Moments, Scaling};

#[cfg(test)]
mod tests;
