//! The linear layer on Flex.

use burn::backend::DispatchTensor;
use burn_flex::FlexTensor;
use pulp::Arch;

use super::Activation;
use crate::bfloat::Engine;
use crate::buffer::{Shared, Unwritten, elements, in_parts, part, tensor, threads};
use crate::conv2d::{Conv2dOptions, direct};
use crate::operation::{Forward, Operation, apply};
use crate::precision;
use crate::reduce::column_sums;
use crate::special::{gelu, gelu_derivative};

pub(super) fn linear(
    x: DispatchTensor,
    weight: DispatchTensor,
    bias: Option<DispatchTensor>,
    activation: Activation,
) -> DispatchTensor {
    let operation = Linear { activation };
    match bias {
        Some(bias) => apply(operation, [x, weight, bias]).0,
        None => apply(operation, [x, weight]).0,
    }
}

#[derive(Clone, Debug)]
struct Linear {
    activation: Activation,
}

#[derive(Clone, Debug)]
struct Saved {
    x: FlexTensor,
    weight: FlexTensor,
    activation: Activation,
    /// What multiplies bf16, backward as forward, if anything does.
    engine: Option<Engine>,
    /// What the derivative of the activation is a function of: the output of a ReLU, the input of
    /// a GELU.
    activated: Option<FlexTensor>,
}

impl Operation for Linear {
    type Saved = Saved;

    fn forward(self, inputs: &[FlexTensor], tracked: &[bool]) -> Forward<Saved> {
        let (x, weight) = (&inputs[0], &inputs[1]);
        let bias = inputs.get(2).map(elements);
        let mut shape = x.layout().shape().clone();
        let last = shape.num_dims() - 1;
        shape[last] = weight.layout().shape()[0];
        let engine = precision::engine();
        let sizes = sizes(x, weight);
        let product = direct::forward(&sizes, elements(x), elements(weight), bias, engine);
        let product = product.reshape(shape);
        let tracked = tracked.contains(&true);
        let (output, activated) = match self.activation {
            Activation::None => (product, None),
            Activation::Relu => {
                let output = map_in_place(product, |x| if x < 0.0 { 0.0 } else { x });
                let activated = output.clone();
                (output, Some(activated))
            }
            Activation::Gelu if tracked => (map(&product, gelu), Some(product)),
            Activation::Gelu => (map_in_place(product, gelu), None),
        };
        let saved = tracked.then(|| Saved {
            x: x.clone(),
            weight: weight.clone(),
            activation: self.activation,
            engine,
            activated,
        });
        Forward {
            output,
            statistics: Vec::new(),
            saved,
        }
    }

    fn backward(saved: Saved, gradient: FlexTensor, wanted: &[bool]) -> Vec<Option<FlexTensor>> {
        let gradient = match (saved.activation, &saved.activated) {
            (Activation::Relu, Some(output)) => {
                multiply(gradient, output, |g, y| if y > 0.0 { g } else { 0.0 })
            }
            (Activation::Gelu, Some(input)) => {
                multiply(gradient, input, |g, x| g * gelu_derivative(x))
            }
            _ => gradient,
        };
        let gradient = elements(&gradient);
        let sizes = sizes(&saved.x, &saved.weight);
        let shape = saved.x.layout().shape().clone();
        let mut gradients = vec![
            wanted[0].then(|| {
                let weight = elements(&saved.weight);
                direct::input_gradient(&sizes, weight, gradient, saved.engine).reshape(shape)
            }),
            wanted[1].then(|| {
                let shape = saved.weight.layout().shape().clone();
                let x = elements(&saved.x);
                direct::weight_gradient(&sizes, x, gradient, saved.engine).reshape(shape)
            }),
        ];
        if let Some(&wanted) = wanted.get(2) {
            gradients.push(wanted.then(|| tensor(column_sums(gradient, sizes.out), [sizes.out])));
        }
        gradients
    }
}

/// The layer as a 1×1 convolution of one image, one pixel wide, whose rows are the input's.
fn sizes(x: &FlexTensor, weight: &FlexTensor) -> direct::Shapes {
    let weight = weight.layout().shape();
    let rows = x
        .layout()
        .num_elements()
        .checked_div(weight[1])
        .unwrap_or(0);
    direct::Shapes {
        batch: 1,
        input: [rows, 1],
        channels: weight[1],
        output: [rows, 1],
        out: weight[0],
        kernel: [1, 1],
        options: Conv2dOptions::default(),
    }
}

fn map(x: &FlexTensor, f: impl Fn(f32) -> f32 + Copy + Send + Sync) -> FlexTensor {
    let values = elements(x);
    let mut output = Unwritten::new(values.len());
    let dest = output.pointer();
    let parts = parts(values.len());
    in_parts(parts, |index| {
        let range = part(values.len(), parts, index);
        // SAFETY: the parts are disjoint and cover the output once.
        let dest = unsafe { dest.part(range.clone()) };
        let values = &values[range];
        Arch::new().dispatch(
            #[inline(always)]
            || {
                for (dest, x) in dest.iter_mut().zip(values) {
                    *dest = f(*x);
                }
            },
        );
    });
    // SAFETY: every part was written.
    unsafe { output.written(x.layout().shape().clone()) }
}

fn map_in_place(mut x: FlexTensor, f: impl Fn(f32) -> f32 + Copy + Send + Sync) -> FlexTensor {
    let values = x.storage_mut::<f32>();
    let length = values.len();
    let dest = Shared::new(values.as_mut_ptr());
    let parts = parts(length);
    in_parts(parts, |index| {
        // SAFETY: the parts are disjoint, and the tensor is ours alone.
        let values = unsafe { dest.part(part(length, parts, index)) };
        Arch::new().dispatch(
            #[inline(always)]
            || values.iter_mut().for_each(|x| *x = f(*x)),
        );
    });
    x
}

/// Replaces each `g` of the gradient by `f(g, y)`, with `y` the element of `of` beside it.
fn multiply(
    mut gradient: FlexTensor,
    of: &FlexTensor,
    f: impl Fn(f32, f32) -> f32 + Copy + Send + Sync,
) -> FlexTensor {
    let of = elements(of);
    let dest = Shared::new(gradient.storage_mut::<f32>().as_mut_ptr());
    let parts = parts(of.len());
    in_parts(parts, |index| {
        let range = part(of.len(), parts, index);
        // SAFETY: the parts are disjoint, and the gradient is ours alone.
        let gradient = unsafe { dest.part(range.clone()) };
        let of = &of[range];
        Arch::new().dispatch(
            #[inline(always)]
            || {
                for (g, y) in gradient.iter_mut().zip(of) {
                    *g = f(*g, *y);
                }
            },
        );
    });
    gradient
}

fn parts(length: usize) -> usize {
    (4 * threads()).min(length / 4096).max(1)
}
