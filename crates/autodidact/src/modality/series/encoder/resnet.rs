//! The residual network for series of Wang, Yan & Oates 2017 ("Time Series Classification from Scratch with Deep Neural
//! Networks", arXiv 1611.06455): three blocks of three convolutions of 8, 5 and 3 taps, no pooling, one token for each step.

use burn::module::Module;
use burn::tensor::Tensor;

use super::super::batch::SeriesBatch;
use super::only_real;
use crate::layers::{BatchNorm, Conv1d, Init};

/// Taps of a block's convolutions.
const KERNELS: [usize; 3] = [8, 5, 3];

/// Three residual blocks.
#[derive(Module, Debug)]
pub struct ResNet1d {
    blocks: Vec<Block>,
    missing: bool,
}

#[derive(Module, Debug)]
struct Block {
    convs: Vec<Conv1d>,
    norms: Vec<BatchNorm>,
    /// Where the widths differ.
    shortcut: Option<Conv1d>,
    shortcut_norm: BatchNorm,
}

impl ResNet1d {
    /// Values that it takes in a step, and whether half of them say which are missing.
    pub(super) fn inputs(&self) -> (usize, bool) {
        (self.blocks[0].convs[0].inputs(), self.missing)
    }

    /// For steps of `channels` values, of which some may be missing: blocks of `width` (64 as published), 2 · `width` and
    /// 2 · `width` channels.
    pub(super) fn new(channels: usize, missing: bool, width: usize, init: &mut Init) -> Self {
        let inputs = if missing { 2 * channels } else { channels };
        let widths = [inputs, width, 2 * width, 2 * width];
        Self {
            blocks: widths
                .windows(2)
                .map(|pair| Block::new(pair[0], pair[1], init))
                .collect(),
            missing,
        }
    }

    /// `[batch, time, dim]`.
    pub(super) fn tokens(&self, batch: &SeriesBatch) -> Tensor<3> {
        let real = batch.real();
        let mut x = batch.input(self.missing);
        for block in &self.blocks {
            x = block.forward(x, real.as_ref());
        }
        x
    }

    /// Channels of the last block.
    pub(super) fn dim(&self) -> usize {
        let last = self.blocks.last();
        last.map_or(0, |block| block.shortcut_norm.weight.dims()[0])
    }

    /// Number of blocks.
    pub(super) fn blocks(&self) -> usize {
        self.blocks.len()
    }
}

impl Block {
    fn new(inputs: usize, outputs: usize, init: &mut Init) -> Self {
        let convs = KERNELS.iter().enumerate().map(|(number, &kernel)| {
            let inputs = if number == 0 { inputs } else { outputs };
            Conv1d::plain(inputs, outputs, kernel, kernel / 2, init)
        });
        let convs = convs.collect();
        Self {
            convs,
            norms: KERNELS
                .iter()
                .map(|_| BatchNorm::new(outputs, init))
                .collect(),
            shortcut: (inputs != outputs).then(|| Conv1d::plain(inputs, outputs, 1, 0, init)),
            shortcut_norm: BatchNorm::new(outputs, init),
        }
    }

    /// `real` tells the steps that are real, where not all are.
    fn forward(&self, x: Tensor<3>, real: Option<&Tensor<3>>) -> Tensor<3> {
        let shortcut = match &self.shortcut {
            Some(conv) => conv.forward(x.clone()),
            None => x.clone(),
        };
        let shortcut = self.shortcut_norm.forward(shortcut);
        let time = x.dims()[1];
        let mut inner = x;
        let last = self.convs.len() - 1;
        for (number, (conv, norm)) in self.convs.iter().zip(&self.norms).enumerate() {
            let wide = conv.forward(only_real(inner, real));
            // An even kernel has one window too many. As published, the zero more stands at the end.
            let extra = wide.dims()[1] - time;
            let convolved = wide.narrow(1, extra, time);
            if number == last {
                return norm.add_relu(convolved, shortcut);
            }
            inner = norm.relu(convolved);
        }
        shortcut
    }
}
