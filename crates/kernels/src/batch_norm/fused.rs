//! Batch normalization on Flex.

use burn::backend::DispatchTensor;
use burn::tensor::Tensor;
use burn_flex::FlexTensor;

use super::BatchNormOutput;
use super::norm::Norm;
use super::stretches::{
    gradient_sums, gradient_sums_again, gradient_sums_relu, input_gradient,
    input_gradient_in_place, normalize, shifted_sums,
};
use crate::buffer::{Shared, Unwritten, elements, in_parts, part, tensor, threads};
use crate::operation::{Forward, Operation, apply};

/// Shortest stretch of memory that a loop treats at once; narrower rows are taken several at a
/// time, so that the vector units are full even with three channels.
const STRETCH: usize = 128;
/// Floats whose sums are kept in single precision before they join the double-precision totals.
const BLOCK: usize = 16 * 1024;

pub(super) fn train<const D: usize>(
    x: DispatchTensor,
    gamma: DispatchTensor,
    beta: DispatchTensor,
    residual: Option<DispatchTensor>,
    relu: bool,
    epsilon: f64,
) -> BatchNormOutput<D> {
    let operation = BatchNorm {
        relu,
        epsilon,
        given: false,
    };
    let (output, statistics) = match residual {
        Some(residual) => apply(operation, [x, gamma, beta, residual]),
        None => apply(operation, [x, gamma, beta]),
    };
    let mut statistics = statistics.into_iter().map(Tensor::from_dispatch);
    let mut next = || statistics.next().expect("a mean and a variance");
    BatchNormOutput {
        output: Tensor::from_dispatch(output),
        mean: next(),
        variance: next(),
    }
}

pub(super) fn eval(
    x: DispatchTensor,
    [gamma, beta, mean, variance]: [DispatchTensor; 4],
    residual: Option<DispatchTensor>,
    relu: bool,
    epsilon: f64,
) -> DispatchTensor {
    let operation = BatchNorm {
        relu,
        epsilon,
        given: true,
    };
    match residual {
        Some(residual) => apply(operation, [x, gamma, beta, mean, variance, residual]).0,
        None => apply(operation, [x, gamma, beta, mean, variance]).0,
    }
}

/// Inputs: x, gamma, beta, then the mean and variance where they are given, then perhaps the
/// residual.
#[derive(Clone, Debug)]
struct BatchNorm {
    relu: bool,
    epsilon: f64,
    given: bool,
}

#[derive(Clone, Debug)]
struct Saved {
    x: FlexTensor,
    relu: Relu,
    norm: Norm,
    given: bool,
}

/// How the backward pass knows where a ReLU has stopped the gradient.
#[derive(Clone, Debug)]
enum Relu {
    /// There is none.
    None,
    /// By the zeros of the output.
    Output(FlexTensor),
    /// Without a residual, by the sign of what it was given: that is made of the input again, by the
    /// same operations and so with the same digits, which costs less than to read the output.
    Again,
}

impl Operation for BatchNorm {
    type Saved = Saved;

    fn forward(self, inputs: &[FlexTensor], tracked: &[bool]) -> Forward<Saved> {
        let (x, gamma, beta) = (&inputs[0], &inputs[1], &inputs[2]);
        let residual = inputs.get(if self.given { 5 } else { 3 });
        let columns = Columns::new(elements(gamma).len());
        let (mean, variance) = if self.given {
            (elements(&inputs[3]).to_vec(), elements(&inputs[4]).to_vec())
        } else {
            statistics(elements(x), columns)
        };
        let norm = Norm::new(mean.clone(), &variance, [gamma, beta], self.epsilon);
        let [tile_mean, tile_scale, tile_beta] = norm.constants(columns);
        let residual = residual.map(elements);
        let input = elements(x);
        let mut output = Unwritten::new(input.len());
        let dest = output.pointer();
        columns.each_stretch(input.len(), |range| {
            // SAFETY: stretches are disjoint and cover the output once.
            let dest = unsafe { dest.part(range.clone()) };
            let residual = residual.map(|residual| &residual[range.clone()]);
            let constants = (&tile_mean[..], &tile_scale[..], &tile_beta[..]);
            normalize(&input[range], constants, residual, self.relu, dest);
        });
        // SAFETY: every stretch was written.
        let output = unsafe { output.written(x.layout().shape().clone()) };
        let saved = tracked.contains(&true).then(|| Saved {
            x: x.clone(),
            relu: match (self.relu, residual) {
                (false, _) => Relu::None,
                (true, Some(_)) => Relu::Output(output.clone()),
                (true, None) => Relu::Again,
            },
            norm,
            given: self.given,
        });
        let statistics = if self.given {
            Vec::new()
        } else {
            let channels = columns.channels;
            vec![tensor(mean, [channels]), tensor(variance, [channels])]
        };
        Forward {
            output,
            statistics,
            saved,
        }
    }

    fn backward(saved: Saved, gradient: FlexTensor, wanted: &[bool]) -> Vec<Option<FlexTensor>> {
        let shape = saved.x.layout().shape().clone();
        let x = elements(&saved.x);
        let norm = &saved.norm;
        let columns = Columns::new(norm.mean.len());
        let [mean, scale, beta] = norm.constants(columns);
        let residual_wanted = wanted.get(if saved.given { 5 } else { 3 }) == Some(&true);

        // First pass: the two sums by channel of the gradient before the ReLU. Where a residual is
        // to get it as well, it is written in place.
        let mut gradient = gradient;
        let sums = match &saved.relu {
            Relu::Output(output) => {
                let gradient = Shared::new(gradient.storage_mut::<f32>().as_mut_ptr());
                let output = elements(output);
                columns.sums(x.len(), |range, [sum, product]| {
                    // SAFETY: stretches are disjoint, and the gradient is ours alone.
                    let gradient = unsafe { gradient.part(range.clone()) };
                    let (x, output) = (&x[range.clone()], &output[range]);
                    gradient_sums_relu(gradient, output, x, &mean, sum, product);
                })
            }
            Relu::Again => {
                let gradient = elements(&gradient);
                let constants = [&mean[..], &scale, &beta];
                columns.sums(x.len(), |range, [sum, product]| {
                    let gradient = &gradient[range.clone()];
                    gradient_sums_again(gradient, &x[range], constants, sum, product);
                })
            }
            Relu::None => {
                let gradient = elements(&gradient);
                columns.sums(x.len(), |range, [sum, product]| {
                    gradient_sums(&gradient[range.clone()], &x[range], &mean, sum, product);
                })
            }
        };

        let residual_gradient = residual_wanted.then(|| gradient.clone());

        // Second pass: dx = scale · (g − Σg/n − (x − μ) · σ⁻² · Σg(x − μ)/n).
        let x_gradient = wanted[0].then(|| {
            let rows = if saved.given {
                f64::INFINITY
            } else {
                (x.len() / columns.channels.max(1)) as f64
            };
            let slopes = norm.slopes(columns, &sums, rows);
            let constants = slopes.each_ref().map(Vec::as_slice);
            let again = matches!(saved.relu, Relu::Again).then_some(&beta[..]);
            if gradient.is_unique() {
                let dest = Shared::new(gradient.storage_mut::<f32>().as_mut_ptr());
                columns.each_stretch(x.len(), |range| {
                    // SAFETY: stretches are disjoint, and the gradient is ours alone.
                    let dest = unsafe { dest.part(range.clone()) };
                    input_gradient_in_place(dest, &x[range], constants, again);
                });
                return gradient;
            }
            let gradient = elements(&gradient);
            let mut dest = Unwritten::new(x.len());
            let pointer = dest.pointer();
            columns.each_stretch(x.len(), |range| {
                // SAFETY: stretches are disjoint and cover the destination once.
                let dest = unsafe { pointer.part(range.clone()) };
                let gradient = &gradient[range.clone()];
                input_gradient(dest, gradient, &x[range], constants, again);
            });
            // SAFETY: every stretch was written.
            unsafe { dest.written(shape.clone()) }
        });

        let [gamma_gradient, beta_gradient] = norm.gradients(&sums);
        let mut gradients = vec![
            x_gradient,
            wanted[1].then_some(gamma_gradient),
            wanted[2].then_some(beta_gradient),
        ];
        if saved.given {
            gradients.extend([None, None]);
        }
        gradients.push(residual_gradient);
        gradients
    }
}

/// A matrix of `channels` columns, walked in stretches of one or several whole rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Columns {
    channels: usize,
    stretch: usize,
}

impl Columns {
    pub(crate) fn new(channels: usize) -> Self {
        let stretch = channels.max(1) * STRETCH.div_ceil(channels.max(1));
        Self { channels, stretch }
    }

    /// Repeats the numbers of the channels over a stretch.
    pub(crate) fn tile(self, values: &[f32]) -> Vec<f32> {
        values
            .iter()
            .copied()
            .cycle()
            .take(if values.is_empty() { 0 } else { self.stretch })
            .collect()
    }

    /// The mean of a few rows spread over all of them, near enough to the mean of all to be subtracted
    /// before squares are summed: these lose their digits where the mean is large against the deviation.
    fn rough_mean(self, x: &[f32]) -> Vec<f32> {
        let channels = self.channels;
        let rows = x.len().checked_div(channels).unwrap_or(0);
        let samples = rows.min(64);
        let mut mean = vec![0.0f32; channels];
        for sample in 0..samples {
            let row = sample * rows / samples;
            for (mean, value) in mean.iter_mut().zip(&x[row * channels..][..channels]) {
                *mean += value / samples as f32;
            }
        }
        mean
    }

    /// Calls `work` with blocks of whole stretches, the last of which may be cut short.
    pub(crate) fn each_stretch(
        self,
        length: usize,
        work: impl Fn(std::ops::Range<usize>) + Send + Sync,
    ) {
        let block = self.block();
        let blocks = length.div_ceil(block);
        let parts = (4 * threads()).min(blocks).max(1);
        in_parts(parts, |index| {
            for i in part(blocks, parts, index) {
                work(i * block..((i + 1) * block).min(length));
            }
        });
    }

    /// Two sums for each channel: `work` adds those of one block to its sums over a stretch.
    pub(crate) fn sums(
        self,
        length: usize,
        work: impl Fn(std::ops::Range<usize>, [&mut [f32]; 2]) + Send + Sync,
    ) -> (Vec<f64>, Vec<f64>) {
        let block = self.block();
        let blocks = length.div_ceil(block);
        let parts = threads().min(blocks).max(1);
        let totals = in_parts(parts, |index| {
            let mut totals = Totals::new(self);
            for i in part(blocks, parts, index) {
                totals.add_block(|sums| work(i * block..((i + 1) * block).min(length), sums));
            }
            totals
        });
        Totals::of_parts(&totals)
    }

    /// Floats of a block of whole stretches.
    pub(crate) fn block(self) -> usize {
        BLOCK.next_multiple_of(self.stretch)
    }
}

/// Two sums for each channel, which grow block by block.
#[derive(Debug)]
pub(crate) struct Totals {
    columns: Columns,
    /// Those of one block, over a stretch.
    sums: [Vec<f32>; 2],
    totals: Vec<[f64; 2]>,
}

impl Totals {
    pub(crate) fn new(columns: Columns) -> Self {
        Self {
            columns,
            sums: [(); 2].map(|()| vec![0.0; columns.stretch]),
            totals: vec![[0.0; 2]; columns.channels],
        }
    }

    /// Adds what `work` adds to its sums over a stretch, for each block of so many floats.
    pub(crate) fn add(
        &mut self,
        length: usize,
        mut work: impl FnMut(std::ops::Range<usize>, [&mut [f32]; 2]),
    ) {
        let block = self.columns.block();
        for first in (0..length).step_by(block) {
            self.add_block(|sums| work(first..(first + block).min(length), sums));
        }
    }

    /// Adds what `work` adds to its sums over a stretch, for one block.
    pub(crate) fn add_block(&mut self, work: impl FnOnce([&mut [f32]; 2])) {
        let [first, second] = &mut self.sums;
        first.fill(0.0);
        second.fill(0.0);
        work([first, second]);
        let channels = self.columns.channels.max(1);
        for (first, second) in first.chunks(channels).zip(second.chunks(channels)) {
            for ((total, first), second) in self.totals.iter_mut().zip(first).zip(second) {
                total[0] += f64::from(*first);
                total[1] += f64::from(*second);
            }
        }
    }

    /// The first and the second sum of each channel, those of the parts added in their order.
    pub(crate) fn of_parts(parts: &[Self]) -> (Vec<f64>, Vec<f64>) {
        let channels = parts.first().map_or(0, |part| part.columns.channels);
        let sum = |which: usize| {
            (0..channels)
                .map(|c| parts.iter().map(|part| part.totals[c][which]).sum())
                .collect()
        };
        (sum(0), sum(1))
    }
}

/// The mean and the variance of each channel, of maps that come a few images at a time.
#[derive(Debug)]
pub(crate) struct Moments {
    /// Over a stretch; empty before anything has come.
    shift: Vec<f32>,
    totals: Totals,
    rows: usize,
}

impl Moments {
    pub(crate) fn new(columns: Columns) -> Self {
        Self {
            shift: Vec::new(),
            totals: Totals::new(columns),
            rows: 0,
        }
    }

    pub(crate) fn add(&mut self, x: &[f32]) {
        let columns = self.totals.columns;
        if self.shift.is_empty() {
            self.shift = columns.tile(&columns.rough_mean(x));
        }
        self.rows += x.len() / columns.channels.max(1);
        let shift = &self.shift;
        self.totals.add(x.len(), |range, [sum, square]| {
            shifted_sums(&x[range], shift, sum, square);
        });
    }

    /// The mean and the biased variance of all parts together (Chan, Golub and LeVeque 1983).
    pub(crate) fn of_parts(parts: &[Self]) -> (Vec<f32>, Vec<f32>) {
        let channels = parts.first().map_or(0, |part| part.totals.columns.channels);
        (0..channels)
            .map(|c| {
                let (mut count, mut mean, mut squares) = (0.0, 0.0, 0.0);
                for part in parts.iter().filter(|part| part.rows > 0) {
                    let rows = part.rows as f64;
                    let [sum, square] = part.totals.totals[c];
                    let difference = f64::from(part.shift[c]) + sum / rows - mean;
                    let all = count + rows;
                    squares += (square - sum * sum / rows).max(0.0)
                        + difference * difference * count * rows / all;
                    mean += difference * rows / all;
                    count = all;
                }
                (mean as f32, (squares / f64::max(count, 1.0)) as f32)
            })
            .unzip()
    }
}

/// Mean and biased variance of each channel.
fn statistics(x: &[f32], columns: Columns) -> (Vec<f32>, Vec<f32>) {
    let channels = columns.channels;
    let rows = x.len().checked_div(channels).unwrap_or(0);
    if rows == 0 {
        return (vec![0.0; channels], vec![0.0; channels]);
    }
    let shift = columns.rough_mean(x);
    let tile = columns.tile(&shift);
    let (sum, square) = columns.sums(x.len(), |range, [sum, square]| {
        shifted_sums(&x[range], &tile, sum, square);
    });
    let rows = rows as f64;
    (0..channels)
        .map(|c| {
            let mean = sum[c] / rows;
            let variance = (square[c] / rows - mean * mean).max(0.0);
            ((f64::from(shift[c]) + mean) as f32, variance as f32)
        })
        .unzip()
}
