//! The gated recurrent unit on Flex.

use burn::backend::DispatchTensor;
use burn_flex::FlexTensor;

use super::steps::Recurrence;
use super::sums::Gradients;
use crate::buffer::{Shared, Unwritten, elements, in_parts, part, tensor, threads};
use crate::matrix::Packed;
use crate::operation::{Forward, Operation, apply};
use crate::tile::{Gather, Segment, product};

/// Steps that are multiplied at once where their order doesn't matter.
pub(super) const ROWS: usize = 192;

/// The inputs are `x`, the two weights, the two biases, and the initial states where there are any.
pub(super) fn gru(inputs: [DispatchTensor; 5], initial: Option<DispatchTensor>) -> DispatchTensor {
    let [x, input, hidden, input_bias, hidden_bias] = inputs;
    match initial {
        Some(initial) => {
            let inputs = [x, input, hidden, input_bias, hidden_bias, initial];
            apply(Gru, inputs).0
        }
        None => apply(Gru, [x, input, hidden, input_bias, hidden_bias]).0,
    }
}

#[derive(Clone, Debug)]
struct Gru;

#[derive(Clone, Debug)]
struct Saved {
    sizes: Sizes,
    x: FlexTensor,
    input: FlexTensor,
    hidden: FlexTensor,
    initial: Option<FlexTensor>,
    states: FlexTensor,
    /// `[batch, time, 4 · hidden]`: r, z, n and `W_hn h + b_hn`.
    gates: FlexTensor,
}

/// The sizes of a unit and of what it runs over.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub(super) batch: usize,
    pub(super) time: usize,
    pub(super) features: usize,
    pub(super) hidden: usize,
}

impl Operation for Gru {
    type Saved = Saved;

    fn flops(&self, inputs: &[FlexTensor], _tracked: &[bool]) -> [f64; 2] {
        let [x, hidden] = [&inputs[0], &inputs[2]].map(|tensor| tensor.layout().shape());
        let steps = (x[0] * x[1]) as f64;
        let forward = 2.0 * steps * (hidden[0] * (x[2] + hidden[1])) as f64;
        [forward, 2.0 * forward]
    }

    fn forward(self, inputs: &[FlexTensor], tracked: &[bool]) -> Forward<Saved> {
        let [x, input, hidden, input_bias, hidden_bias] = [0, 1, 2, 3, 4].map(|i| &inputs[i]);
        let initial = inputs.get(5);
        let shape = x.layout().shape();
        let sizes = Sizes {
            batch: shape[0],
            time: shape[1],
            features: shape[2],
            hidden: hidden.layout().shape()[1],
        };
        let Sizes {
            batch,
            time,
            hidden: width,
            ..
        } = sizes;
        let mut gates = Unwritten::new(batch * time * 4 * width);
        let mut states = Unwritten::new(batch * time * width);
        // SAFETY: the first call writes r, z and n of every step, the second the rest.
        let (gates, states) = unsafe {
            let gates_at = gates.pointer();
            let (input, bias) = (elements(input), elements(input_bias));
            project(&sizes, elements(x), input, bias, gates_at);
            let recurrence = Recurrence {
                sizes,
                weight: elements(hidden),
                initial: initial.map(elements),
            };
            recurrence.forward(elements(hidden_bias), gates_at, states.pointer());
            (
                gates.written([batch, time, 4 * width]),
                states.written([batch, time, width]),
            )
        };
        let saved = tracked.contains(&true).then(|| Saved {
            sizes,
            x: x.clone(),
            input: input.clone(),
            hidden: hidden.clone(),
            initial: initial.cloned(),
            states: states.clone(),
            gates,
        });
        Forward {
            output: states,
            statistics: Vec::new(),
            saved,
        }
    }

    fn backward(saved: Saved, gradient: FlexTensor, wanted: &[bool]) -> Vec<Option<FlexTensor>> {
        let Saved {
            sizes, mut gates, ..
        } = saved;
        let (batch, width) = (sizes.batch, sizes.hidden);
        let recurrence = Recurrence {
            sizes,
            weight: elements(&saved.hidden),
            initial: saved.initial.as_ref().map(elements),
        };
        let states = elements(&saved.states);
        // From here on the gates are their own gradients.
        let at = Shared::new(gates.storage_mut::<f32>().as_mut_ptr());
        // SAFETY: the gates are ours alone, `batch · time` rows of them.
        let initial = unsafe { recurrence.backward(elements(&gradient), states, at) };
        let gates = elements(&gates);

        let previous = |row: usize| match row % sizes.time {
            0 => {
                let initial = recurrence.initial?;
                Some(&initial[row / sizes.time * width..][..width])
            }
            _ => Some(&states[(row - 1) * width..][..width]),
        };
        let x = elements(&saved.x);
        let mut x_gradient = wanted[0].then(|| Unwritten::new(x.len()));
        let all = Gradients {
            sizes,
            x,
            input: elements(&saved.input),
            gates,
            wanted: [wanted[1], wanted[2]],
        };
        let sums = all.sum(x_gradient.as_mut().map(Unwritten::pointer), previous);
        // SAFETY: the sum wrote every row of the gradient that it was given.
        let x_gradient = x_gradient
            .map(|x_gradient| unsafe { x_gradient.written(saved.x.layout().shape().clone()) });
        let mut gradients = vec![
            x_gradient,
            wanted[1].then(|| tensor(sums.input, [3 * width, sizes.features])),
            wanted[2].then(|| tensor(sums.hidden, [3 * width, width])),
            wanted[3].then(|| tensor(sums.gates[..3 * width].to_vec(), [3 * width])),
            wanted[4].then(|| {
                let (shared, rest) = sums.gates.split_at(2 * width);
                tensor([shared, &rest[width..]].concat(), [3 * width])
            }),
        ];
        if let Some(&wanted) = wanted.get(5) {
            gradients.push(wanted.then(|| tensor(initial, [batch, width])));
        }
        gradients
    }
}

/// A single run of `length` floats.
pub(super) fn run(length: usize) -> [Segment; 1] {
    [Segment { offset: 0, length }]
}

/// Writes `x · Wᵀ + b` of every step to the first three gates.
///
/// # Safety
/// `gates` must have room for `4 · hidden` floats a step, and nobody else may use it meanwhile.
unsafe fn project(sizes: &Sizes, x: &[f32], weight: &[f32], bias: &[f32], gates: Shared) {
    let Sizes {
        features, hidden, ..
    } = *sizes;
    let weight = Packed::new(Vec::new(), [features, 3 * hidden], |feature, gate| {
        weight[gate * features + feature]
    });
    let bias = padded(bias, &weight);
    let rows = sizes.batch * sizes.time;
    let blocks = rows.div_ceil(ROWS);
    let parts = (4 * threads()).min(blocks).max(1);
    in_parts(parts, |index| {
        let (mut offsets, mut dest_offsets) = (Vec::new(), Vec::new());
        for block in part(blocks, parts, index) {
            let rows = block * ROWS..((block + 1) * ROWS).min(rows);
            offsets.clear();
            offsets.extend(rows.clone().map(|row| row * features));
            dest_offsets.clear();
            dest_offsets.extend(rows.map(|row| row * 4 * hidden));
            let gather = Gather {
                source: x,
                offsets: &offsets,
                segments: &run(features),
            };
            let (values, panels) = (&weight.values, weight.panels);
            // SAFETY: blocks have disjoint rows, inside the room promised.
            unsafe {
                let dest = gates.pointer();
                product(gather, values, Some(&bias), panels, dest, &dest_offsets);
            }
        }
    });
}

/// A bias, padded to whole vectors.
pub(super) fn padded(bias: &[f32], weight: &Packed) -> Vec<f32> {
    let mut padded = bias.to_vec();
    padded.resize(weight.panels.padded(), 0.0);
    padded
}
