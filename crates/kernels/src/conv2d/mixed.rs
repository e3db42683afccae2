//! The direct convolution in bf16, with sums in `f32`, and its gradients.
//!
//! The walks are those of `direct`; each block of rows is rounded once, on its way into the buffer
//! that gives it its padding. Groups stay in `f32`: they are narrower than a tile.

use burn_flex::FlexTensor;

use super::shapes::Shapes;
use super::winograd;
use crate::bfloat::{self, Engine, Product, Rounded, Weight};
use crate::buffer::{Shared, Unwritten, in_parts, part, tensor, threads};
use crate::window::{Walk, Windows};

/// Whether an engine multiplies these products. Vectors of pairs leave half of the multiplications, Winograd's filtering in
/// `f32` a third of them or 4 of 9.
pub(crate) fn multiplies(engine: Engine, shapes: &Shapes) -> bool {
    shapes.options.groups == 1 && !(engine.only_halves() && winograd::applies(shapes))
}

/// The output, `[batch, height, width, out]`.
pub(super) fn forward(
    engine: Engine,
    shapes: &Shapes,
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
) -> FlexTensor {
    let area = shapes.kernel[0] * shapes.kernel[1];
    let taps: Vec<usize> = (0..area).collect();
    let windows = shapes.forward_windows();
    let columns = [shapes.out, shapes.weight_stride()];
    let right = Right {
        weight: pack(engine, weight, &windows, &taps, area, columns),
        columns: shapes.out,
        bias: bias.map(|bias| {
            let mut padded = bias.to_vec();
            padded.resize(Weight::padded(shapes.out), 0.0);
            padded
        }),
        relu: shapes.options.relu,
    };
    let [height, width] = shapes.output;
    let mut output = Unwritten::new(shapes.batch * height * width * shapes.out);
    // SAFETY: one walk writes every pixel of the output.
    unsafe {
        walk(&windows, shapes.batch, x, &right, output.pointer());
        output.written([shapes.batch, height, width, shapes.out])
    }
}

/// The gradient of the input.
pub(super) fn input_gradient(
    engine: Engine,
    shapes: &Shapes,
    weight: &[f32],
    gradient: &[f32],
) -> FlexTensor {
    let area = shapes.kernel[0] * shapes.kernel[1];
    let [height, width] = shapes.input;
    let mut dest = Unwritten::new(shapes.batch * height * width * shapes.channels);
    for (windows, taps) in shapes.gradient_windows() {
        // Here the depth runs over output channels and the columns over input channels.
        let stride = shapes.weight_stride();
        let right = Right {
            weight: pack(
                engine,
                weight,
                &windows,
                &taps,
                stride,
                [shapes.channels, area],
            ),
            columns: shapes.channels,
            bias: None,
            relu: false,
        };
        // SAFETY: phases write disjoint pixels of the input's gradient.
        unsafe { walk(&windows, shapes.batch, gradient, &right, dest.pointer()) };
    }
    // SAFETY: every pixel belongs to one phase.
    unsafe { dest.written([shapes.batch, height, width, shapes.channels]) }
}

/// The gradient of the weight, as torch lays it out.
pub(super) fn weight_gradient(
    engine: Engine,
    shapes: &Shapes,
    x: &[f32],
    gradient: &[f32],
) -> FlexTensor {
    let windows = shapes.forward_windows();
    let sums = bfloat::correlate(engine, &windows, shapes.batch, x, gradient, shapes.out);
    tensor(sums.sum(), shapes.weight())
}

/// The weight for these windows: element (tap, channel, column) comes from
/// `tap + channel · channel_stride + column · column_stride`.
fn pack(
    engine: Engine,
    weight: &[f32],
    windows: &Windows,
    taps: &[usize],
    channel_stride: usize,
    columns: [usize; 2],
) -> Weight {
    let channels = windows.channels;
    let rows: Vec<usize> = taps
        .iter()
        .flat_map(|tap| (0..channels).map(move |channel| tap + channel * channel_stride))
        .collect();
    Weight::new(engine, weight, &rows, columns, &windows.segments())
}

/// What a walk multiplies the windows with.
struct Right {
    weight: Weight,
    columns: usize,
    /// Padded to whole panels.
    bias: Option<Vec<f32>>,
    /// Whether negative results become zero; for walks that write every pixel in order.
    relu: bool,
}

/// Runs the product over all windows.
///
/// # Safety
/// `dest` must have room for the destination images, and nobody else may use it meanwhile.
unsafe fn walk(windows: &Windows, batch: usize, source: &[f32], right: &Right, dest: Shared) {
    let total = batch * windows.pixels[0];
    let rows = windows.rounded_block_rows();
    let blocks = total.div_ceil(rows);
    // Four parts to each thread even out a machine that is shared with others; every pixel comes
    // out the same whoever computes it.
    let parts = (4 * threads()).min(blocks).max(1);
    in_parts(parts, |index| {
        let mut walk = Walk::rounded(windows, source, Rounded::new(right.weight.engine()));
        let mut product = Product::default();
        let mut to = Vec::new();
        for block in part(blocks, parts, index) {
            let (gather, pixels) =
                walk.rounded_block(block * rows..((block + 1) * rows).min(total));
            to.clear();
            to.extend(pixels.iter().map(|pixel| pixel * right.columns));
            let bias = right.bias.as_deref();
            // SAFETY: blocks have disjoint destination pixels, inside the room promised.
            unsafe { product.run(gather, &right.weight, bias, dest.pointer(), &to) };
            if let (true, Some(first)) = (right.relu, to.first()) {
                let range = *first..first + to.len() * right.columns;
                // SAFETY: the pixels of the block lie in order and were just written.
                super::direct::relu(unsafe { dest.part(range) });
            }
        }
    });
}
