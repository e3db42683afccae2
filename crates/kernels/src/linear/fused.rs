//! The linear layer on Flex.

use burn::backend::DispatchTensor;
use burn::tensor::Shape;
use burn_flex::FlexTensor;

use super::Activation;
use crate::bfloat::Engine;
use crate::buffer::{Shared, Unwritten, elements, tensor};
use crate::conv2d::shapes::Shapes;
use crate::conv2d::{Conv2dOptions, direct};
use crate::elementwise::{stretches_in_place, zip_in_place};
use crate::operation::{Forward, Operation, apply};
use crate::precision;
use crate::product::{Matrix, multiply};
use crate::reduce::{column_sums, scale_and_sum_columns};
use crate::special::{gelu_and_slope, gelu_tanh_and_slope, silu_and_slope, tanh};
use crate::vectorized::vectorized;

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
    /// What the gradient needs of the activation: the output of a ReLU or a hyperbolic tangent, the
    /// slope of the others, which is known cheaply beside the value.
    activated: Option<FlexTensor>,
}

/// The floating-point operations of `x · weightᵀ`, and of the gradients of those that want one.
pub(crate) fn product_flops(factors: [&FlexTensor; 2], wanted: [bool; 2]) -> [f64; 2] {
    let [x, weight] = factors.map(|factor| factor.layout().shape());
    let flops = 2.0 * x.num_elements() as f64 * weight[0] as f64;
    let gradients = wanted.into_iter().filter(|wanted| *wanted).count();
    [flops, flops * gradients as f64]
}

impl Operation for Linear {
    type Saved = Saved;

    fn flops(&self, inputs: &[FlexTensor], tracked: &[bool]) -> [f64; 2] {
        product_flops([&inputs[0], &inputs[1]], [tracked[0], tracked[1]])
    }

    fn forward(self, inputs: &[FlexTensor], tracked: &[bool]) -> Forward<Saved> {
        let (x, weight) = (&inputs[0], &inputs[1]);
        let engine = precision::engine();
        let tracked = tracked.contains(&true);
        let layer = |finish: &(dyn Fn(usize, &mut [f32]) + Send + Sync)| {
            product_then(x, weight, inputs.get(2), engine, finish)
        };
        let with_slopes = |f: fn(&mut [f32], Option<&mut [f32]>)| {
            let shape = output_shape(x, weight);
            let mut slopes = Unwritten::new(if tracked { shape.num_elements() } else { 0 });
            let dest = slopes.pointer();
            let output = layer(&|start, values| {
                // SAFETY: stretches are disjoint, as those of the output are.
                let slopes = unsafe { slopes_at(dest, tracked, start, values.len()) };
                f(values, slopes);
            });
            // SAFETY: the stretches cover the output.
            let slopes = tracked.then(|| unsafe { slopes.written(shape) });
            (output, slopes)
        };
        let (output, activated) = match self.activation {
            Activation::None => (product(x, weight, inputs.get(2), engine), None),
            Activation::Relu => {
                let output = layer(&|_, values| each(values, relu));
                let activated = tracked.then(|| output.clone());
                (output, activated)
            }
            Activation::Tanh => {
                let output = layer(&|_, values| each(values, tanh));
                let activated = tracked.then(|| output.clone());
                (output, activated)
            }
            Activation::Gelu => with_slopes(|values, slopes| both(values, slopes, gelu_and_slope)),
            Activation::GeluTanh => {
                with_slopes(|values, slopes| both(values, slopes, gelu_tanh_and_slope))
            }
            Activation::Silu => with_slopes(|values, slopes| both(values, slopes, silu_and_slope)),
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
        let out = saved.weight.layout().shape()[0];
        let (gradient, bias) = match (saved.activation, &saved.activated) {
            (Activation::Relu, Some(output)) => {
                let passed = |g, y| if y > 0.0 { g } else { 0.0 };
                (zip_in_place(gradient, output, passed), None)
            }
            (Activation::Tanh, Some(output)) => {
                let tanh = |g, y| g * (1.0 - y * y);
                (zip_in_place(gradient, output, tanh), None)
            }
            (_, Some(slopes)) if wanted.get(2) == Some(&true) => {
                let (gradient, sums) = scale_and_sum_columns(gradient, slopes, out);
                (gradient, Some(sums))
            }
            (_, Some(slopes)) => (zip_in_place(gradient, slopes, |g, slope| g * slope), None),
            _ => (gradient, None),
        };
        let Saved {
            x, weight, engine, ..
        } = &saved;
        let Some(bias) = bias else {
            return gradients(x, weight, &gradient, *engine, wanted);
        };
        let mut all = gradients(x, weight, &gradient, *engine, &wanted[..2]);
        all.push(Some(tensor(bias, [out])));
        all
    }
}

#[inline(always)]
fn relu(x: f32) -> f32 {
    if x < 0.0 { 0.0 } else { x }
}

/// The stretch of the slopes beside one of the output, where slopes are wanted.
///
/// # Safety
/// As that of [`Shared::part`].
unsafe fn slopes_at<'a>(
    slopes: Shared,
    wanted: bool,
    start: usize,
    length: usize,
) -> Option<&'a mut [f32]> {
    // SAFETY: by the caller's promise.
    wanted.then(|| unsafe { slopes.part(start..start + length) })
}

/// Replaces each value by a function of it.
fn each(values: &mut [f32], f: impl Fn(f32) -> f32 + Copy) {
    vectorized(
        #[inline(always)]
        || values.iter_mut().for_each(|x| *x = f(*x)),
    );
}

/// Replaces each value by a function of it, and writes the function's slope there where it is wanted.
#[inline(always)]
fn both(values: &mut [f32], slopes: Option<&mut [f32]>, f: impl Fn(f32) -> (f32, f32) + Copy) {
    let Some(slopes) = slopes else {
        return each(
            values,
            #[inline(always)]
            |x| f(x).0,
        );
    };
    vectorized(
        #[inline(always)]
        || {
            for (x, slope) in values.iter_mut().zip(slopes.iter_mut()) {
                (*x, *slope) = f(*x);
            }
        },
    );
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

    fn flops(&self, inputs: &[FlexTensor], tracked: &[bool]) -> [f64; 2] {
        product_flops([&inputs[1], &inputs[2]], [tracked[1], tracked[2]])
    }

    fn forward(self, inputs: &[FlexTensor], tracked: &[bool]) -> Forward<SavedResidual> {
        let (x, weight) = (&inputs[1], &inputs[2]);
        let engine = precision::engine();
        let residual = elements(&inputs[0]);
        let output = product_then(x, weight, inputs.get(3), engine, &|start, values| {
            let residual = &residual[start..][..values.len()];
            vectorized(
                #[inline(always)]
                || {
                    for (y, residual) in values.iter_mut().zip(residual) {
                        *y += residual;
                    }
                },
            );
        });
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
    let shape = output_shape(x, weight);
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

/// [`product`], of which `finish` goes over every stretch once, told where it begins, while it is in
/// the cache.
fn product_then(
    x: &FlexTensor,
    weight: &FlexTensor,
    bias: Option<&FlexTensor>,
    engine: Option<Engine>,
    finish: &(dyn Fn(usize, &mut [f32]) + Send + Sync),
) -> FlexTensor {
    if engine.is_some() {
        let product = product(x, weight, bias, engine);
        return stretches_in_place(product, finish);
    }
    let shape = output_shape(x, weight);
    let sizes = sizes(x, weight);
    let (rows, out) = (sizes.input[0], sizes.out);
    let x = Matrix::new(elements(x), [rows, sizes.channels]);
    let weight = Matrix::new(elements(weight), [out, sizes.channels]).transposed();
    let mut output = Unwritten::new(rows * out);
    let dest = output.pointer();
    // SAFETY: the product is written as a whole, into memory that is ours, and whoever wrote a
    // block of it goes over it again.
    unsafe {
        multiply(x, weight, bias.map(elements), dest, |rows, columns| {
            for row in rows {
                let start = row * out + columns.start;
                finish(start, dest.part(start..row * out + columns.end));
            }
        });
        output.written(shape)
    }
}

/// The shape of `x` with as many columns as the layer has outputs.
fn output_shape(x: &FlexTensor, weight: &FlexTensor) -> Shape {
    let mut shape = x.layout().shape().clone();
    let last = shape.num_dims() - 1;
    shape[last] = weight.layout().shape()[0];
    shape
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
