//! TS2Vec's encoder (Yue et al. 2022, yuezhihan/ts2vec) with its names: residual blocks of convolutions whose taps lie
//! twice as far apart from block to block, one token for each step.
//!
//! While it learns, half of the steps are hidden from it behind the first layer, drawn anew for each batch, and a tenth
//! of what it gives out is dropped. Differs: where a value is missing, the network is told so by a channel of its own;
//! the published one sees nothing of a step that misses one. And what lies beyond the end of a row is no step to any layer,
//! so that a vector doesn't depend on how long the other rows of its batch are; the published one masks it before the first
//! convolution alone.

use autodidact_kernels::gelu;
use burn::module::Module;
use burn::tensor::Tensor;

use super::super::batch::SeriesBatch;
use super::only_real;
use crate::layers::{Conv1d, Dropout, Init, Linear};

/// Taps of a convolution.
const KERNEL: usize = 3;

/// A linear layer, blocks, and a last block that widens to the vector.
#[derive(Module, Debug)]
pub struct Dilated {
    input_fc: Linear,
    feature_extractor: Extractor,
    hidden: f64,
    dropped: f64,
    missing: bool,
}

#[derive(Module, Debug)]
struct Extractor {
    net: Vec<Block>,
}

#[derive(Module, Debug)]
struct Block {
    conv1: Same,
    conv2: Same,
    /// Of the last block, and of others whose widths differ.
    projector: Option<Conv1d>,
}

/// A convolution that keeps the length; the name that PyTorch's has inside the published wrapper.
#[derive(Module, Debug)]
struct Same {
    conv: Conv1d,
}

impl Dilated {
    /// Values that it takes in a step, and whether half of them say which are missing.
    pub(super) fn inputs(&self) -> (usize, bool) {
        (self.input_fc.weight.dims()[1], self.missing)
    }

    /// For steps of `channels` values, of which some may be missing: `depth` blocks of `width` channels and one of `dim`.
    /// `hidden` is the part of the steps that is hidden while learning, `dropped` the part of the outputs.
    pub(super) fn new(
        channels: usize,
        missing: bool,
        [width, depth, dim]: [usize; 3],
        [hidden, dropped]: [f64; 2],
        init: &mut Init,
    ) -> Self {
        let inputs = if missing { 2 * channels } else { channels };
        let input_fc = Linear::new(inputs, width, true, init);
        let block = |number: usize| {
            let last = number == depth;
            let outputs = if last { dim } else { width };
            Block::new(width, outputs, 1 << number, last, init)
        };
        Self {
            input_fc,
            feature_extractor: Extractor {
                net: (0..=depth).map(block).collect(),
            },
            hidden,
            dropped,
            missing,
        }
    }

    /// `[batch, time, dim]`.
    pub(super) fn tokens(&self, batch: &SeriesBatch) -> Tensor<3> {
        let real = batch.real();
        let mut x = self.input_fc.forward(batch.input(self.missing));
        if let Some(seen) = self.seen(batch, real.clone()) {
            x = x * seen;
        }
        for block in &self.feature_extractor.net {
            x = block.forward(x, real.as_ref());
        }
        Dropout::new(self.dropped, batch.seed()).apply(x, 1)
    }

    /// 1 where a step is real and not hidden, `[batch, time, 1]`; `None` where all are.
    fn seen(&self, batch: &SeriesBatch, real: Option<Tensor<3>>) -> Option<Tensor<3>> {
        let hiding = Dropout::new(self.hidden, batch.seed());
        if !hiding.is_on() {
            return real;
        }
        let [count, time, _] = batch.values.dims();
        let ones = Tensor::<3>::ones([count, time, 1], &batch.values.device());
        // What dropout leaves it also makes larger, which is taken back.
        let seen = hiding.apply(ones, 0).mul_scalar(1.0 - self.hidden);
        Some(match real {
            Some(real) => seen * real,
            None => seen,
        })
    }

    /// Length of the vector.
    pub(super) fn dim(&self) -> usize {
        let last = self.feature_extractor.net.last();
        last.map_or(0, |block| block.conv2.conv.weight.dims()[0])
    }

    /// Number of blocks, the last one included.
    pub(super) fn blocks(&self) -> usize {
        self.feature_extractor.net.len()
    }
}

impl Block {
    fn new(inputs: usize, outputs: usize, dilation: usize, last: bool, init: &mut Init) -> Self {
        Self {
            conv1: Same {
                conv: Conv1d::dilated(inputs, outputs, KERNEL, dilation, init),
            },
            conv2: Same {
                conv: Conv1d::dilated(outputs, outputs, KERNEL, dilation, init),
            },
            projector: (last || inputs != outputs)
                .then(|| Conv1d::new(inputs, outputs, 1, 1, 0, init)),
        }
    }

    /// `real` tells the steps that are real, where not all are.
    fn forward(&self, x: Tensor<3>, real: Option<&Tensor<3>>) -> Tensor<3> {
        // GELU leaves zeros as they are.
        let inner = only_real(gelu(x.clone()), real);
        let inner = only_real(gelu(self.conv1.conv.forward(inner)), real);
        let inner = self.conv2.conv.forward(inner);
        match &self.projector {
            Some(projector) => inner + projector.forward(x),
            None => inner + x,
        }
    }
}
