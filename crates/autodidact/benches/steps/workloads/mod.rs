//! Whole training steps on made-up data: six networks, each with its loss and its optimizer.
//!
//! | name | letter | network | batch | loss | optimizer |
//! |---|---|---|---|---|---|
//! | `resnet-simclr` | B | ResNet-18, small stem | 64 pairs of 3×32×32 | NT-Xent | SGD |
//! | `bert-mlm` | C | 4 blocks of 256, 4 heads | 16 × 128 words of 8192, 15 % asked for | cross-entropy | AdamW |
//! | `vit-mae` | D | 6 blocks of 192 and 2 of 128 | 128 × 64 patches of 48, 75 % hidden | squares | AdamW |
//! | `conv-simclr` | E | 3 convolutions | 256 pairs of 1×28×28 | NT-Xent | SGD |
//! | `gru-cpc` | F | 5 convolutions and a GRU | 32 × 512 of 6 | cross-entropy | Adam |
//! | `narrow-simclr` | G | ResNet-18 of width 16, small stem | 256 pairs of 3×32×32 | NT-Xent | SGD |
//!
//! `xtask/torch/steps.py` has the same six in PyTorch, with the same number of parameters and of multiplications.
//! Letters are for typing. A is left to single kernels, see `cargo xtask bench kernels`.

#![allow(
    dead_code,
    reason = "shared by the bench, which wants the full sizes, and a test, which wants the small ones"
)]

mod cpc;
mod mae;
mod mlm;
mod simclr;

use std::time::{Duration, Instant};

use autodidact::layers::Init;
use autodidact::layers::state::{load_state, state_of, trained_values};
use autodidact::random::{Purpose, Rng, stream};
use autodidact::recipe::Train;
use autodidact::train::{Gradients, Optimizer, device};
use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use rand::RngExt;
use rand::seq::SliceRandom;

/// The workloads by name and letter.
pub(crate) const ALL: [(&str, char); 6] = [
    ("resnet-simclr", 'B'),
    ("bert-mlm", 'C'),
    ("vit-mae", 'D'),
    ("conv-simclr", 'E'),
    ("gru-cpc", 'F'),
    ("narrow-simclr", 'G'),
];

/// How large a workload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Size {
    /// As in the table, for timing.
    Full,
    /// The same parts, for tests of seconds.
    Small,
}

/// One network with its data, loss and optimizer.
trait Workload {
    type Network: Module;
    type Batch;
    fn network(&self, init: &mut Init) -> Self::Network;
    fn batch(&self, draw: &mut Draw) -> Self::Batch;
    fn loss(&self, network: &Self::Network, batch: &Self::Batch) -> Tensor<1>;
    /// Optimizer and learning rate; nothing else of it counts.
    fn training(&self) -> Train;
}

/// A workload that is being trained on its one batch.
pub(crate) trait Training {
    /// Loss, gradients, update.
    fn step(&mut self) -> Step;
    /// Number of values that learn.
    fn parameters(&self) -> usize;
}

/// What a step gave and how long its parts took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    /// Before the update.
    pub(crate) loss: f32,
    /// From the batch to the loss.
    pub(crate) forward: Duration,
    /// From the loss to the gradient of every parameter.
    pub(crate) backward: Duration,
    /// From the gradients to the new parameters, with reading the loss.
    pub(crate) update: Duration,
}

impl Step {
    /// The whole step.
    pub(crate) fn total(&self) -> Duration {
        self.forward + self.backward + self.update
    }
}

/// What differs between two runs of the same workload, if anything.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Change {
    /// Another draw of the data.
    pub(crate) data: u64,
    /// Moves every input and every initial weight to its neighbor among the floats, up or down as this seed says.
    pub(crate) nudge: Option<u64>,
    /// A factor on the learning rate, less one.
    pub(crate) rate: f64,
}

/// Draws a workload's weights and data and sets it up on the CPU.
///
/// # Panics
/// If there is no workload of this name.
pub(crate) fn start(name: &str, size: Size, change: Change) -> Box<dyn Training> {
    let device = device::open("cpu").expect("built with the CPU backend");
    start_on(&device, name, size, change)
}

/// The same on a device of choice, with the same weights and data.
///
/// # Panics
/// If there is no workload of this name.
pub(crate) fn start_on(
    device: &Device,
    name: &str,
    size: Size,
    change: Change,
) -> Box<dyn Training> {
    let full = size == Size::Full;
    match name {
        "resnet-simclr" => begin(device, simclr::residual(full), change),
        "bert-mlm" => begin(device, mlm::Words::new(full), change),
        "vit-mae" => begin(device, mae::Patches::new(full), change),
        "conv-simclr" => begin(device, simclr::small(full), change),
        "gru-cpc" => begin(device, cpc::Series::new(full), change),
        "narrow-simclr" => begin(device, simclr::narrow(full), change),
        _ => panic!("no workload named {name}"),
    }
}

fn begin<W: Workload + 'static>(device: &Device, workload: W, change: Change) -> Box<dyn Training> {
    let device = device.clone().autodiff();
    let mut network = workload.network(&mut Init::new(0, &device));
    let mut draw = Draw::new(&device, change);
    if change.nudge.is_some() {
        let mut state = state_of(&network);
        for array in state.values_mut() {
            draw.nudge(&mut array.values);
        }
        network = load_state(network, &state).expect("the network's own state");
    }
    let batch = workload.batch(&mut draw);
    let train = workload.training();
    Box::new(Running {
        optimizer: Optimizer::new(&train),
        learning_rate: train.learning_rate * (1.0 + change.rate),
        network: Some(network),
        workload,
        batch,
    })
}

struct Running<W: Workload> {
    workload: W,
    /// Only empty while the optimizer has it.
    network: Option<W::Network>,
    batch: W::Batch,
    optimizer: Optimizer,
    learning_rate: f64,
}

impl<W: Workload> Training for Running<W> {
    fn step(&mut self) -> Step {
        let network = self.network.take().expect("put back by every step");
        let start = Instant::now();
        let loss = self.workload.loss(&network, &self.batch);
        let looked = Instant::now();
        let mut gradients = Gradients::default();
        gradients.add(&loss, &network, 1.0);
        let blamed = Instant::now();
        let network = self
            .optimizer
            .update(network, gradients, self.learning_rate);
        let loss = loss.detach().into_scalar::<f32>();
        let end = Instant::now();
        self.network = Some(network);
        Step {
            loss,
            forward: looked - start,
            backward: blamed - looked,
            update: end - blamed,
        }
    }

    fn parameters(&self) -> usize {
        self.network.as_ref().map_or(0, trained_values)
    }
}

/// Draws the data of a workload.
struct Draw {
    rng: Rng,
    nudges: Option<Rng>,
    device: Device,
}

impl Draw {
    fn new(device: &Device, change: Change) -> Self {
        let stream = |keys: &[u64]| stream(0, Purpose::Synthetic, keys);
        Self {
            rng: stream(&[change.data]),
            nudges: change.nudge.map(|nudge| stream(&[change.data, nudge])),
            device: device.clone(),
        }
    }

    /// Standard normal numbers (Box & Muller 1958).
    fn normal(&mut self, count: usize) -> Vec<f32> {
        let mut one = || {
            let radius = (-2.0 * (1.0 - self.rng.random::<f64>()).ln()).sqrt();
            (radius * (std::f64::consts::TAU * self.rng.random::<f64>()).cos()) as f32
        };
        (0..count).map(|_| one()).collect()
    }

    /// Inputs of these values, or of their neighbors.
    fn inputs<const D: usize>(&mut self, mut values: Vec<f32>, shape: [usize; D]) -> Tensor<D> {
        self.nudge(&mut values);
        Tensor::from_data(TensorData::new(values, shape), &self.device)
    }

    /// Uniform whole numbers from 0 to below `limit`.
    fn below<const D: usize>(&mut self, limit: usize, shape: [usize; D]) -> Tensor<D, Int> {
        let count = shape.iter().product();
        let values: Vec<i64> = (0..count)
            .map(|_| self.rng.random_range(0..limit as i64))
            .collect();
        Tensor::from_data(TensorData::new(values, shape), &self.device)
    }

    /// `count` different numbers from 0 to below `limit`, in random order.
    fn places(&mut self, limit: usize, count: usize) -> Tensor<1, Int> {
        let mut all: Vec<i64> = (0..limit as i64).collect();
        all.shuffle(&mut self.rng);
        all.truncate(count);
        Tensor::from_data(TensorData::new(all, [count]), &self.device)
    }

    /// Moves each value by one unit in its last place, if this run is to be nudged. Zeros stay: their neighbors are
    /// not numbers that a computation arrives at.
    fn nudge(&mut self, values: &mut [f32]) {
        let Some(rng) = &mut self.nudges else { return };
        for value in values.iter_mut().filter(|value| **value != 0.0) {
            *value = if rng.random() {
                value.next_up()
            } else {
                value.next_down()
            };
        }
    }
}
