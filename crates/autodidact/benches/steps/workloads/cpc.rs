//! F: contrastive predictive coding of series; strided convolutions, a GRU, and one prediction for each of four steps
//! ahead, told apart from the other series' at the same time.

use autodidact::layers::{Conv1d, Gru, Init, Linear};
use autodidact::method::Optimizer;
use autodidact::recipe::Train;
use autodidact_kernels::cross_entropy;
use burn::module::Module;
use burn::tensor::{Int, Tensor};

use super::{Draw, Workload};

/// Kernel and stride of each convolution.
const CONVOLUTIONS: [(usize, usize); 5] = [(5, 2), (5, 2), (3, 1), (3, 1), (3, 1)];
/// How many steps ahead are predicted.
const AHEAD: usize = 4;

/// Random series.
pub(super) struct Series {
    batch: usize,
    length: usize,
    channels: usize,
    dim: usize,
}

impl Series {
    pub(super) fn new(full: bool) -> Self {
        let [batch, length, channels, dim] = if full {
            [32, 512, 6, 64]
        } else {
            [8, 96, 3, 16]
        };
        Self {
            batch,
            length,
            channels,
            dim,
        }
    }
}

#[derive(Module, Debug)]
pub(super) struct Network {
    convs: Vec<Conv1d>,
    gru: Gru,
    predict: Vec<Linear>,
}

impl Workload for Series {
    type Network = Network;
    type Batch = Tensor<3>;

    fn network(&self, init: &mut Init) -> Network {
        let dim = self.dim;
        let inputs = |index| if index == 0 { self.channels } else { dim };
        Network {
            convs: CONVOLUTIONS
                .iter()
                .enumerate()
                .map(|(index, &(kernel, stride))| {
                    Conv1d::new(inputs(index), dim, kernel, stride, kernel / 2, init)
                })
                .collect(),
            gru: Gru::new(dim, dim, init),
            predict: (0..AHEAD)
                .map(|_| Linear::new(dim, dim, true, init))
                .collect(),
        }
    }

    fn batch(&self, draw: &mut Draw) -> Tensor<3> {
        let shape = [self.batch, self.length, self.channels];
        let values = draw.normal(shape.iter().product());
        draw.inputs(values, shape)
    }

    fn loss(&self, network: &Network, series: &Tensor<3>) -> Tensor<1> {
        let mut x = series.clone();
        for conv in &network.convs {
            x = conv.relu(x);
        }
        let context = network.gru.forward(x.clone(), None); // [batch, times, dim]
        let [batch, times, _] = context.dims();
        let times = times - AHEAD;
        let context = context.narrow(1, 0, times);
        let targets = Tensor::<1, Int>::arange(0..batch as i64, &x.device()).repeat_dim(0, times);
        let losses = network.predict.iter().enumerate().map(|(index, predict)| {
            let predicted = predict.forward(context.clone()).swap_dims(0, 1);
            let true_ones = x.clone().narrow(1, index + 1, times).swap_dims(0, 1);
            // At each time, every prediction beside what came in every series.
            let logits = predicted.matmul(true_ones.transpose()); // [times, batch, batch]
            cross_entropy(logits.flatten::<2>(0, 1), targets.clone(), None)
        });
        losses.reduce(|sum, loss| sum + loss).expect("four of them") / AHEAD as f32
    }

    fn training(&self) -> Train {
        Train {
            optimizer: Optimizer::Adamw,
            learning_rate: 1e-3,
            weight_decay: 0.0,
            ..Train::default()
        }
    }
}
