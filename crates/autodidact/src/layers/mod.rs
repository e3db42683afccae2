//! Building blocks that several encoders and methods share.

pub mod attention;
pub mod closed_form;
pub mod conv;
pub mod dropout;
pub(crate) mod emptied;
pub mod freeze;
pub mod gru;
pub mod head;
pub mod init;
pub mod linear;
pub mod masking;
pub mod norm;
pub mod positions;
pub mod rotary;
pub mod running;
pub mod schedule;
pub mod state;
pub mod teacher;

pub use attention::TransformerBlock;
pub use conv::{Conv1d, Conv2d};
pub use dropout::Dropout;
pub use gru::Gru;
pub use head::Projector;
pub use init::Init;
pub use linear::Linear;
pub(crate) use norm::residual_block;
pub use norm::{BatchNorm, LayerNorm};
pub use running::RunningStatistic;
pub use teacher::Teacher;
