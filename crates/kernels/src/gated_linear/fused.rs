//! The gated linear layer on Flex.

use burn::backend::DispatchTensor;
use burn_flex::FlexTensor;

use crate::bfloat::Engine;
use crate::buffer::{Shared, Unwritten, elements, in_parts, part, threads};
use crate::linear::{Activation, fused};
use crate::operation::{Forward, Operation, apply};
use crate::precision;
use crate::special::{
    gelu, gelu_derivative, gelu_tanh, gelu_tanh_and_slope, silu, silu_derivative, tanh,
};
use crate::vectorized::vectorized;

pub(super) fn gated_linear(
    x: DispatchTensor,
    weight: DispatchTensor,
    bias: Option<DispatchTensor>,
    activation: Activation,
) -> DispatchTensor {
    let operation = GatedLinear { activation };
    match bias {
        Some(bias) => apply(operation, [x, weight, bias]).0,
        None => apply(operation, [x, weight]).0,
    }
}

#[derive(Clone, Debug)]
struct GatedLinear {
    activation: Activation,
}

#[derive(Clone, Debug)]
struct Saved {
    operation: GatedLinear,
    x: FlexTensor,
    weight: FlexTensor,
    /// What multiplies bf16, backward as forward, if anything does.
    engine: Option<Engine>,
    /// The gate before its activation and what it gates, side by side: `[.., 2 · out]`.
    both: FlexTensor,
}

impl Operation for GatedLinear {
    type Saved = Saved;

    fn flops(&self, inputs: &[FlexTensor], tracked: &[bool]) -> [f64; 2] {
        fused::product_flops([&inputs[0], &inputs[1]], [tracked[0], tracked[1]])
    }

    fn forward(self, inputs: &[FlexTensor], tracked: &[bool]) -> Forward<Saved> {
        let (x, weight) = (&inputs[0], &inputs[1]);
        let engine = precision::engine();
        let both = fused::product(x, weight, inputs.get(2), engine);
        let output = match self.activation {
            Activation::None => gate(&both, |x| x),
            Activation::Relu => gate(&both, relu),
            Activation::Gelu => gate(&both, gelu),
            Activation::GeluTanh => gate(&both, gelu_tanh),
            Activation::Silu => gate(&both, silu),
            Activation::Tanh => gate(&both, tanh),
        };
        let saved = tracked.contains(&true).then(|| Saved {
            operation: self,
            x: x.clone(),
            weight: weight.clone(),
            engine,
            both,
        });
        Forward {
            output,
            statistics: Vec::new(),
            saved,
        }
    }

    fn backward(saved: Saved, gradient: FlexTensor, wanted: &[bool]) -> Vec<Option<FlexTensor>> {
        let both = saved.both;
        let gradient = match saved.operation.activation {
            Activation::None => gate_gradient(both, &gradient, |x| (x, 1.0)),
            Activation::Relu => gate_gradient(both, &gradient, |x| {
                (relu(x), if x > 0.0 { 1.0 } else { 0.0 })
            }),
            Activation::Gelu => gate_gradient(both, &gradient, |x| (gelu(x), gelu_derivative(x))),
            Activation::GeluTanh => gate_gradient(both, &gradient, gelu_tanh_and_slope),
            Activation::Silu => gate_gradient(both, &gradient, |x| (silu(x), silu_derivative(x))),
            Activation::Tanh => gate_gradient(both, &gradient, |x| {
                let y = tanh(x);
                (y, 1.0 - y * y)
            }),
        };
        fused::gradients(&saved.x, &saved.weight, &gradient, saved.engine, wanted)
    }
}

#[inline(always)]
fn relu(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

/// `f(gate) ∘ rest`, of the two halves of each row.
fn gate(both: &FlexTensor, f: impl Fn(f32) -> f32 + Copy + Send + Sync) -> FlexTensor {
    let [rows, out] = sizes(both);
    let values = elements(both);
    let mut output = Unwritten::new(rows * out);
    let dest = output.pointer();
    let parts = parts(rows, out);
    in_parts(parts, |index| {
        let rows = part(rows, parts, index);
        let values = &values[2 * rows.start * out..2 * rows.end * out];
        // SAFETY: the parts are disjoint and cover the output once.
        let dest = unsafe { dest.part(rows.start * out..rows.end * out) };
        vectorized(
            #[inline(always)]
            || {
                let rows = values
                    .chunks_exact((2 * out).max(1))
                    .zip(dest.chunks_exact_mut(out.max(1)));
                for (both, dest) in rows {
                    let (gate, rest) = both.split_at(out);
                    for ((dest, gate), rest) in dest.iter_mut().zip(gate).zip(rest) {
                        *dest = f(*gate) * rest;
                    }
                }
            },
        );
    });
    let mut shape = both.layout().shape().clone();
    let last = shape.num_dims() - 1;
    shape[last] = out;
    // SAFETY: every row was written.
    unsafe { output.written(shape) }
}

/// The gradient of both halves, in their place, from that of the output; `f` gives the activation
/// and its derivative.
fn gate_gradient(
    mut both: FlexTensor,
    gradient: &FlexTensor,
    f: impl Fn(f32) -> (f32, f32) + Copy + Send + Sync,
) -> FlexTensor {
    let [rows, out] = sizes(&both);
    let gradient = elements(gradient);
    let dest = Shared::new(both.storage_mut::<f32>().as_mut_ptr());
    let parts = parts(rows, out);
    in_parts(parts, |index| {
        let rows = part(rows, parts, index);
        let gradient = &gradient[rows.start * out..rows.end * out];
        // SAFETY: the parts are disjoint, and the tensor is ours alone.
        let dest = unsafe { dest.part(2 * rows.start * out..2 * rows.end * out) };
        vectorized(
            #[inline(always)]
            || {
                let rows = dest
                    .chunks_exact_mut((2 * out).max(1))
                    .zip(gradient.chunks_exact(out.max(1)));
                for (both, gradient) in rows {
                    let (gate, rest) = both.split_at_mut(out);
                    for ((gate, rest), g) in gate.iter_mut().zip(rest).zip(gradient) {
                        let (value, slope) = f(*gate);
                        *gate = g * *rest * slope;
                        *rest = g * value;
                    }
                }
            },
        );
    });
    both
}

/// The number of rows and the length of each of their halves.
fn sizes(both: &FlexTensor) -> [usize; 2] {
    let shape = both.layout().shape();
    let width = shape[shape.num_dims() - 1];
    let rows = shape.num_elements().checked_div(width).unwrap_or(0);
    [rows, width / 2]
}

fn parts(rows: usize, out: usize) -> usize {
    (4 * threads()).min(rows * out / 4096).max(1)
}
