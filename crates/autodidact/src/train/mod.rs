//! The one training loop, and what it is made of. It sees methods and kinds of data through their traits only.

pub mod device;
mod division;
pub mod features;
mod gradients;
mod labeled;
mod learner;
mod likelihood;
mod loader;
mod looping;
mod monitor;
mod optimizer;
mod planning;
mod session;
mod start;
pub(crate) mod windows;

pub use gradients::Gradients;
pub use labeled::Labeled;
pub use likelihood::Likelihood;
pub(crate) use likelihood::likelihood;
pub use looping::{Event, Outcome, Stop, pretrain};
pub use monitor::{Checkup, Warning};
pub use optimizer::Optimizer;
pub use planning::{Candidate, Choice, Prospect, choose};
pub use session::{Session, StepReport, Validation, open, reopen};
