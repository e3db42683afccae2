//! Convolutions with a kernel of one pixel, and linear layers: products of whole matrices.
//!
//! With stride 1 and no padding, the output is `x · Wᵀ` over all pixels, and both gradients are
//! products of the same matrices.

use burn_flex::FlexTensor;

use super::direct::relu;
use super::shapes::Shapes;
use crate::buffer::Unwritten;
use crate::product::{Matrix, multiply};

/// Whether a convolution is such a product.
pub(super) fn applies(shapes: &Shapes) -> bool {
    let options = &shapes.options;
    shapes.kernel == [1, 1]
        && options.stride == [1, 1]
        && options.padding == [0, 0]
        && options.groups == 1
}

/// The output, `[batch, height, width, out]`.
pub(super) fn forward(
    shapes: &Shapes,
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
) -> FlexTensor {
    let (pixels, out) = (pixels(shapes), shapes.out);
    let x = Matrix::new(x, [pixels, shapes.channels]);
    let weight = Matrix::new(weight, [out, shapes.channels]).transposed();
    let mut output = Unwritten::new(pixels * out);
    let dest = output.pointer();
    // SAFETY: the product is written as a whole, into memory that is ours, and whoever wrote a
    // block of it goes over it again.
    unsafe {
        multiply(x, weight, bias, dest, |rows, columns| {
            if !shapes.options.relu {
                return;
            }
            for row in rows {
                relu(dest.part(row * out + columns.start..row * out + columns.end));
            }
        });
        let [height, width] = shapes.output;
        output.written([shapes.batch, height, width, out])
    }
}

/// The gradient of the input, shaped as the input.
pub(super) fn input_gradient(shapes: &Shapes, weight: &[f32], gradient: &[f32]) -> FlexTensor {
    let gradient = Matrix::new(gradient, [pixels(shapes), shapes.out]);
    let weight = Matrix::new(weight, [shapes.out, shapes.channels]);
    let [height, width] = shapes.input;
    let shape = [shapes.batch, height, width, shapes.channels];
    product(gradient, weight, shape)
}

/// The gradient of the weight, `[out, channels, 1, 1]`.
pub(super) fn weight_gradient(shapes: &Shapes, x: &[f32], gradient: &[f32]) -> FlexTensor {
    let gradient = Matrix::new(gradient, [pixels(shapes), shapes.out]).transposed();
    let x = Matrix::new(x, [pixels(shapes), shapes.channels]);
    product(gradient, x, shapes.weight())
}

/// The pixels of all images, which the output has as many of as the input.
fn pixels(shapes: &Shapes) -> usize {
    shapes.batch * shapes.input[0] * shapes.input[1]
}

fn product(left: Matrix<'_>, right: Matrix<'_>, shape: [usize; 4]) -> FlexTensor {
    let mut dest = Unwritten::new(shape.iter().product());
    // SAFETY: the product is written as a whole, into memory that is ours.
    unsafe {
        multiply(left, right, None, dest.pointer(), |_, _| {});
        dest.written(shape)
    }
}
