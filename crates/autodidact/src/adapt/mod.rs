//! From an encoder to a predictor: labels teach it classes ([`finetune`]), and it names those of new items
//! ([`predict`]).
//!
//! An encoder that watches a stream may go on learning from it ([`Adaptation`]).
//!
//! There is no second training loop here. A fine-tuning is a run like any other, of the method `supervised`, that starts
//! from another run's encoder; what this room adds is the recipe of that run, the probabilities at its end, and a
//! report.

mod classifier;
mod finetuning;
mod prediction;
mod setting;
mod stream;

pub use classifier::Classifier;
pub use finetuning::{Calibration, Finetuned, finetune};
pub use prediction::{Predictions, predict};
pub use setting::{Layers, Setting, Share};
pub use stream::{Adaptation, Pace, Round};
