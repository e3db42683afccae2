//! The one training loop, and what it is made of. It sees methods and kinds of data through their traits only.

pub mod device;
mod division;
mod event;
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

pub use event::{Event, Outcome, Stop};
pub use gradients::Gradients;
pub use labeled::Labeled;
pub use likelihood::Likelihood;
pub(crate) use likelihood::likelihood;
pub use looping::pretrain;
pub use monitor::{Checkup, Warning};
pub use optimizer::Optimizer;
pub use planning::{Candidate, Choice, Prospect, choose, estimate};
pub use session::{Session, StepReport, Validation, open, reopen};
