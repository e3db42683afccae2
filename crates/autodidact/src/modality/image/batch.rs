//! Images on the device.

use burn::tensor::Tensor;

use crate::modality::{Batch, Rows};

/// One slot of views as the network takes it in.
#[derive(Debug, Clone)]
pub struct ImageBatch {
    /// Normalized pixels, channels last: `[batch, height, width, channels]`.
    pub pixels: Tensor<4>,
    /// Quarter turns that each view was rotated by, 0 to 3.
    pub turns: Vec<u32>,
    /// Whose views these are.
    pub rows: Rows,
}

impl Batch for ImageBatch {
    fn rows(&self) -> &Rows {
        &self.rows
    }

    fn own_labels(&self) -> Option<&[u32]> {
        Some(&self.turns)
    }
}
