//! The linear layer on Flex.

use burn::backend::DispatchTensor;
use burn_flex::FlexTensor;

use super::Activation;
use crate::bfloat::Engine;
use crate::buffer::{elements, tensor};
use crate::conv2d::shapes::Shapes;
use crate::conv2d::{Conv2dOptions, direct};
use crate::elementwise::{map, map_in_place, zip_in_place};
use crate::operation::{Forward, Operation, apply};
use crate::precision;
use crate::reduce::column_sums;
use crate::special::{gelu, gelu_derivative, silu, silu_derivative, tanh};

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

pub(super) fn linear_residual(
    residual: DispatchTensor,
    x: DispatchTensor,
    weight: DispatchTensor,
    bias: Option<DispatchTensor>,
) -> DispatchTensor {
    match bias {
        Some(bias) => apply(LinearResidual, [residual, x, weight, bias]).0,
        None => apply(LinearResidual, [residual, x, weight]).0,
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
    /// What multiplies bf16, backward as forward, if anything does.
    engine: Option<Engine>,
    activation: Activation,
    /// What the derivative of the activation is a function of: the output of a ReLU or a
    /// hyperbolic tangent, the input of the others.
    activated: Option<FlexTensor>,
}

impl Operation for Linear {
    type Saved = Saved;

    fn forward(self, inputs: &[FlexTensor], tracked: &[bool]) -> Forward<Saved> {
        let (x, weight) = (&inputs[0], &inputs[1]);
        let engine = precision::engine();
        let product = product(x, weight, inputs.get(2), engine);
        let tracked = tracked.contains(&true);
        let (output, activated) = match self.activation {
            Activation::None => (product, None),
            Activation::Relu => {
                let output = map_in_place(product, |x| if x < 0.0 { 0.0 } else { x });
                let activated = output.clone();
                (output, Some(activated))
            }
            Activation::Tanh => {
                let output = map_in_place(product, tanh);
                let activated = output.clone();
                (output, Some(activated))
            }
            Activation::Gelu if tracked => (map(&product, gelu), Some(product)),
            Activation::Gelu => (map_in_place(product, gelu), None),
            Activation::Silu if tracked => (map(&product, silu), Some(product)),
            Activation::Silu => (map_in_place(product, silu), None),
        };
        let saved = tracked.then(|| Saved {
            x: x.clone(),
            weight: weight.clone(),
            engine,
            activation: self.activation,
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
                zip_in_place(gradient, output, |g, y| if y > 0.0 { g } else { 0.0 })
            }
            (Activation::Tanh, Some(output)) => {
                zip_in_place(gradient, output, |g, y| g * (1.0 - y * y))
            }
            (Activation::Gelu, Some(input)) => {
                zip_in_place(gradient, input, |g, x| g * gelu_derivative(x))
            }
            (Activation::Silu, Some(input)) => {
                zip_in_place(gradient, input, |g, x| g * silu_derivative(x))
            }
            _ => gradient,
        };
        gradients(&saved.x, &saved.weight, &gradient, saved.engine, wanted)
    }
}

/// `residual + x · Wᵀ + b`, with the inputs in this order.
#[derive(Clone, Debug)]
struct LinearResidual;

#[derive(Clone, Debug)]
struct SavedResidual {
    x: FlexTensor,
    weight: FlexTensor,
    /// What multiplies bf16, backward as forward, if anything does.
    engine: Option<Engine>,
}

impl Operation for LinearResidual {
    type Saved = SavedResidual;

    fn forward(self, inputs: &[FlexTensor], tracked: &[bool]) -> Forward<SavedResidual> {
        let (x, weight) = (&inputs[1], &inputs[2]);
        let engine = precision::engine();
        let product = product(x, weight, inputs.get(3), engine);
        let output = zip_in_place(product, &inputs[0], |y, residual| y + residual);
        let saved = tracked.contains(&true).then(|| SavedResidual {
            x: x.clone(),
            weight: weight.clone(),
            engine,
        });
        Forward {
            output,
            statistics: Vec::new(),
            saved,
        }
    }

    fn backward(
        saved: SavedResidual,
        gradient: FlexTensor,
        wanted: &[bool],
    ) -> Vec<Option<FlexTensor>> {
        let SavedResidual { x, weight, engine } = saved;
        let of_layer = gradients(&x, &weight, &gradient, engine, &wanted[1..]);
        let mut all = vec![wanted[0].then_some(gradient)];
        all.extend(of_layer);
        all
    }
}

/// `x · Wᵀ + b`, shaped as `x` but for the last axis; in bf16 where there is an engine for it.
pub(crate) fn product(
    x: &FlexTensor,
    weight: &FlexTensor,
    bias: Option<&FlexTensor>,
    engine: Option<Engine>,
) -> FlexTensor {
    let mut shape = x.layout().shape().clone();
    let last = shape.num_dims() - 1;
    shape[last] = weight.layout().shape()[0];
    let bias = bias.map(elements);
    let product = direct::forward(
        &sizes(x, weight),
        elements(x),
        elements(weight),
        bias,
        engine,
    );
    product.reshape(shape)
}

/// The gradients of [`product`]'s input, weight and, where it is asked about, bias.
pub(crate) fn gradients(
    x: &FlexTensor,
    weight: &FlexTensor,
    gradient: &FlexTensor,
    engine: Option<Engine>,
    wanted: &[bool],
) -> Vec<Option<FlexTensor>> {
    let gradient = elements(gradient);
    let sizes = sizes(x, weight);
    let mut gradients = vec![
        wanted[0].then(|| {
            let shape = x.layout().shape().clone();
            direct::input_gradient(&sizes, elements(weight), gradient, engine).reshape(shape)
        }),
        wanted[1].then(|| {
            let shape = weight.layout().shape().clone();
            direct::weight_gradient(&sizes, elements(x), gradient, engine).reshape(shape)
        }),
    ];
    if let Some(&wanted) = wanted.get(2) {
        gradients.push(wanted.then(|| tensor(column_sums(gradient, sizes.out), [sizes.out])));
    }
    gradients
}

/// The layer as a 1×1 convolution of one image, one pixel wide, whose rows are the input's.
fn sizes(x: &FlexTensor, weight: &FlexTensor) -> Shapes {
    let weight = weight.layout().shape();
    let rows = x
        .layout()
        .num_elements()
        .checked_div(weight[1])
        .unwrap_or(0);
    Shapes {
        batch: 1,
        input: [rows, 1],
        channels: weight[1],
        output: [rows, 1],
        out: weight[0],
        kernel: [1, 1],
        options: Conv2dOptions::default(),
    }
}
