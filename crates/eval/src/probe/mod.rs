//! Linear probes: how much of the labels a linear classifier reads off frozen features.
//!
//! [`LogisticRegression`] is the classifier, [`Probe`] the protocol around it: features scaled, the scaling and
//! the penalty chosen on a held-out fifth of the training part, then a fit on everything.

mod logistic;
mod objective;
mod protocol;

pub use logistic::{LinearModel, LogisticRegression};
pub use protocol::{Probe, ProbeResult, ProbeSettings, Scaling, Tried, linear_probe};
