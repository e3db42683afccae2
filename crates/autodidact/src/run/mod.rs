//! The run folder: what a run leaves behind, and the one writer that everything that is written goes through.

mod checkpoint;
mod events;
mod folder;
mod metrics;
mod progress;
mod weights;
mod writer;

pub use checkpoint::{Checkpoint, Position};
pub use folder::RunFolder;
pub use metrics::{Line, Metrics};
pub use progress::Progress;
pub use weights::{
    Header, read_header, read_some_weights, read_weights, write_published, write_weights,
};
pub use writer::{AppendLog, take_place, write_atomic};
