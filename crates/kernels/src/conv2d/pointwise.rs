//! Convolutions with a kernel of one pixel, and linear layers: products of whole matrices.
//!
//! Without padding, the output is `x · Wᵀ` over all pixels that a window stands on, and both gradients
//! are products of the same matrices. With a stride, these pixels are gathered first, and their
//! gradients spread among zeros at the end: with few channels a copy costs less than products do
//! whose rows lie apart.

use std::borrow::Cow;

use burn_flex::FlexTensor;

use super::direct::relu;
use super::shapes::Shapes;
use crate::buffer::{Unwritten, elements, in_parts, part, threads};
use crate::product::{Matrix, multiply};

/// Whether a convolution is such a product.
pub(super) fn applies(shapes: &Shapes) -> bool {
    let options = &shapes.options;
    shapes.kernel == [1, 1] && options.padding == [0, 0] && options.groups == 1
}

/// The output, `[batch, height, width, out]`.
pub(super) fn forward(
    shapes: &Shapes,
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
) -> FlexTensor {
    let (pixels, out) = (pixels(shapes), shapes.out);
    let x = gathered(shapes, x);
    let x = Matrix::new(&x, [pixels, shapes.channels]);
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
    let [height, width] = shapes.output;
    let shape = [shapes.batch, height, width, shapes.channels];
    spread(shapes, product(gradient, weight, shape))
}

/// The gradient of the weight, `[out, channels, 1, 1]`.
pub(super) fn weight_gradient(shapes: &Shapes, x: &[f32], gradient: &[f32]) -> FlexTensor {
    let gradient = Matrix::new(gradient, [pixels(shapes), shapes.out]).transposed();
    let x = gathered(shapes, x);
    let x = Matrix::new(&x, [pixels(shapes), shapes.channels]);
    product(gradient, x, shapes.weight())
}

/// The pixels of all images of the output.
fn pixels(shapes: &Shapes) -> usize {
    shapes.batch * shapes.output[0] * shapes.output[1]
}

/// The pixels that a window stands on, one after another.
fn gathered<'a>(shapes: &Shapes, x: &'a [f32]) -> Cow<'a, [f32]> {
    let [down, right] = shapes.options.stride;
    if [down, right] == [1, 1] {
        return Cow::Borrowed(x);
    }
    let channels = shapes.channels;
    let [height, width] = shapes.output;
    let length = width * channels;
    let mut gathered = Unwritten::new(pixels(shapes) * channels);
    let dest = gathered.pointer();
    let rows = shapes.batch * height;
    let parts = (4 * threads()).min(rows).max(1);
    in_parts(parts, |index| {
        for row in part(rows, parts, index) {
            let (image, i) = (row / height, row % height);
            let from = (image * shapes.input[0] + i * down) * shapes.input[1] * channels;
            for j in 0..width {
                let source = &x[from + j * right * channels..][..channels];
                let place = row * length + j * channels;
                // SAFETY: each pixel belongs to one row, and rows to one part.
                unsafe { dest.part(place..place + channels) }.copy_from_slice(source);
            }
        }
    });
    // SAFETY: every pixel was written.
    Cow::Owned(unsafe { gathered.into_vec(pixels(shapes) * channels) })
}

/// The pixels where they came from, shaped as the input, with zeros between them.
fn spread(shapes: &Shapes, pixels: FlexTensor) -> FlexTensor {
    let [down, right] = shapes.options.stride;
    if [down, right] == [1, 1] {
        return pixels;
    }
    let channels = shapes.channels;
    let [height, width] = shapes.input;
    let length = width * channels;
    let pixels = elements(&pixels);
    let mut output = Unwritten::new(shapes.batch * height * length);
    let dest = output.pointer();
    let rows = shapes.batch * height;
    let parts = (4 * threads()).min(rows).max(1);
    in_parts(parts, |index| {
        for row in part(rows, parts, index) {
            let (image, i) = (row / height, row % height);
            // SAFETY: rows are disjoint, and nothing is read of them before it is written.
            let dest = unsafe { dest.part(row * length..(row + 1) * length) };
            dest.fill(0.0);
            if !i.is_multiple_of(down) || i / down >= shapes.output[0] {
                continue;
            }
            let from = (image * shapes.output[0] + i / down) * shapes.output[1] * channels;
            for j in 0..shapes.output[1] {
                dest[j * right * channels..][..channels]
                    .copy_from_slice(&pixels[from + j * channels..][..channels]);
            }
        }
    });
    // SAFETY: every row was written.
    unsafe { output.written([shapes.batch, height, width, channels]) }
}

fn product(left: Matrix<'_>, right: Matrix<'_>, shape: [usize; 4]) -> FlexTensor {
    let mut dest = Unwritten::new(shape.iter().product());
    // SAFETY: the product is written as a whole, into memory that is ours.
    unsafe {
        multiply(left, right, None, dest.pointer(), |_, _| {});
        dest.written(shape)
    }
}
