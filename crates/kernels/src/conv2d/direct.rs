//! The direct convolution on Flex, and its gradients.

use burn::backend::DispatchTensor;
use burn_flex::FlexTensor;

use super::shapes::Shapes;
use super::walks::{Right, walk, walk_together};
use super::winograd::strided::{self, Strided, StridedSums};
use super::{Conv2dOptions, depthwise, gathered, mixed, pointwise, winograd};
use crate::bfloat::Engine;
use crate::buffer::{Unwritten, elements, in_parts, part, tensor, threads};
use crate::elementwise::zip_in_place;
use crate::operation::{Forward, Operation, apply};
use crate::precision;
use crate::tile::{self, Gather, Panels};
use crate::vectorized::vectorized;
use crate::window::{Walk, Windows};

pub(super) fn conv2d(
    x: DispatchTensor,
    weight: DispatchTensor,
    bias: Option<DispatchTensor>,
    options: Conv2dOptions,
) -> DispatchTensor {
    let operation = Conv2d { options };
    match bias {
        Some(bias) => apply(operation, [x, weight, bias]).0,
        None => apply(operation, [x, weight]).0,
    }
}

#[derive(Clone, Debug)]
struct Conv2d {
    options: Conv2dOptions,
}

#[derive(Clone, Debug)]
struct Saved {
    shapes: Shapes,
    /// What multiplies bf16, backward as forward, if anything does.
    engine: Option<Engine>,
    /// Kept where the weight wants its gradient.
    x: Option<FlexTensor>,
    /// Kept where the input wants its gradient.
    weight: Option<FlexTensor>,
    /// Kept where a ReLU has to know what it let through.
    output: Option<FlexTensor>,
}

impl Operation for Conv2d {
    type Saved = Saved;

    fn flops(&self, inputs: &[FlexTensor], tracked: &[bool]) -> [f64; 2] {
        let flops = Shapes::new(&inputs[0], &inputs[1], self.options).flops();
        let gradients = tracked[..2].iter().filter(|tracked| **tracked).count();
        [flops, flops * gradients as f64]
    }

    fn forward(self, inputs: &[FlexTensor], tracked: &[bool]) -> Forward<Saved> {
        let (x, weight) = (&inputs[0], &inputs[1]);
        let shapes = Shapes::new(x, weight, self.options);
        let bias = inputs.get(2).map(elements);
        let engine = precision::engine();
        let output = if shapes.depthwise() {
            depthwise::forward(&shapes, elements(x), elements(weight), bias)
        } else {
            forward(&shapes, elements(x), elements(weight), bias, engine)
        };
        let saved = tracked.contains(&true).then(|| Saved {
            x: tracked[1].then(|| x.clone()),
            weight: tracked[0].then(|| weight.clone()),
            output: self.options.relu.then(|| output.clone()),
            engine,
            shapes,
        });
        Forward {
            output,
            statistics: Vec::new(),
            saved,
        }
    }

    fn backward(saved: Saved, gradient: FlexTensor, wanted: &[bool]) -> Vec<Option<FlexTensor>> {
        let (shapes, engine) = (saved.shapes, saved.engine);
        let gradient = match &saved.output {
            Some(output) => zip_in_place(gradient, output, |g, y| if y > 0.0 { g } else { 0.0 }),
            None => gradient,
        };
        let gradient = elements(&gradient);
        let weight_gradient = saved.x.filter(|_| wanted[1]).map(|x| {
            if shapes.depthwise() {
                depthwise::weight_gradient(&shapes, elements(&x), gradient)
            } else {
                weight_gradient(&shapes, elements(&x), gradient, engine)
            }
        });
        let input_gradient = saved.weight.filter(|_| wanted[0]).map(|weight| {
            if shapes.depthwise() {
                depthwise::input_gradient(&shapes, elements(&weight), gradient)
            } else {
                input_gradient(&shapes, elements(&weight), gradient, engine)
            }
        });
        let mut gradients = vec![input_gradient, weight_gradient];
        if let Some(&wanted) = wanted.get(2) {
            gradients.push(wanted.then(|| {
                tensor(
                    crate::reduce::column_sums(gradient, shapes.out),
                    [shapes.out],
                )
            }));
        }
        gradients
    }
}

/// The output, `[batch, height, width, out]`.
pub(crate) fn forward(
    shapes: &Shapes,
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
    engine: Option<Engine>,
) -> FlexTensor {
    if let Some(engine) = engine.filter(|&engine| mixed::multiplies(engine, shapes)) {
        return mixed::forward(engine, shapes, x, weight, bias);
    }
    if pointwise::applies(shapes) {
        return pointwise::forward(shapes, x, weight, bias);
    }
    if winograd::applies(shapes) {
        return winograd::forward(shapes, x, weight, bias);
    }
    if bias.is_none() && !shapes.options.relu && strided::applies(shapes) {
        return Strided::forward(shapes, weight).all(x);
    }
    if gathered::forward_pays(shapes) {
        return gathered::forward(shapes, x, weight, bias);
    }
    let right = forward_right(shapes, weight, bias);
    let [height, width] = shapes.output;
    let mut output = Unwritten::new(shapes.batch * height * width * shapes.out);
    let windows = shapes.forward_windows();
    // SAFETY: one walk writes every pixel of the output.
    unsafe {
        walk(&windows, shapes.batch, x, &right, output.pointer());
        output.written([shapes.batch, height, width, shapes.out])
    }
}

/// What the windows of the input are multiplied with.
pub(super) fn forward_right(shapes: &Shapes, weight: &[f32], bias: Option<&[f32]>) -> Right {
    let area = shapes.kernel[0] * shapes.kernel[1];
    let taps: Vec<usize> = (0..area).collect();
    let panels = Panels::new(shapes.group_out());
    let inner = [shapes.group_channels(), area];
    Right {
        weights: shapes
            .weights(weight)
            .map(|weight| pack(weight, &taps, inner, shapes.weight_stride(), panels))
            .collect(),
        biases: bias.map(|bias| {
            let biases = (0..shapes.options.groups).map(|group| {
                let mut padded = bias[group * panels.columns..][..panels.columns].to_vec();
                padded.resize(panels.padded(), 0.0);
                padded
            });
            biases.collect()
        }),
        panels,
        relu: shapes.options.relu,
    }
}

/// The same windows of the channels from `channel` on.
pub(super) fn of_group(gather: Gather<'_>, channel: usize) -> Gather<'_> {
    Gather {
        source: &gather.source[channel..],
        ..gather
    }
}

pub(super) fn relu(values: &mut [f32]) {
    vectorized(
        #[inline(always)]
        || {
            for value in values.iter_mut() {
                *value = if *value < 0.0 { 0.0 } else { *value };
            }
        },
    );
}

/// The gradient of the input: for each phase of the stride, a stride-1 convolution of the output's
/// gradient with the taps that meet this phase, in reverse order.
pub(crate) fn input_gradient(
    shapes: &Shapes,
    weight: &[f32],
    gradient: &[f32],
    engine: Option<Engine>,
) -> FlexTensor {
    if let Some(engine) = engine.filter(|&engine| mixed::multiplies(engine, shapes)) {
        return mixed::input_gradient(engine, shapes, weight, gradient);
    }
    if pointwise::applies(shapes) {
        return pointwise::input_gradient(shapes, weight, gradient);
    }
    if winograd::applies(shapes) {
        return winograd::input_gradient(shapes, weight, gradient);
    }
    if strided::applies(shapes) {
        return Strided::input_gradient(shapes, weight).all(gradient);
    }
    if gathered::input_gradient_pays(shapes) {
        return gathered::input_gradient(shapes, weight, gradient);
    }
    let walks = gradient_walks(shapes, weight);
    let [height, width] = shapes.input;
    let mut dest = Unwritten::new(shapes.batch * height * width * shapes.channels);
    // SAFETY: phases write disjoint pixels of the input's gradient, and every pixel belongs to one.
    unsafe {
        walk_together(&walks, shapes.batch, gradient, dest.pointer());
        dest.written([shapes.batch, height, width, shapes.channels])
    }
}

/// The walks over the output's gradient that make the input's, one for each phase of the stride.
pub(super) fn gradient_walks(shapes: &Shapes, weight: &[f32]) -> Vec<(Windows, Right)> {
    let panels = Panels::new(shapes.group_channels());
    // Here the depth runs over output channels and the columns over input channels.
    let area = shapes.kernel[0] * shapes.kernel[1];
    let inner = [shapes.group_out(), shapes.weight_stride()];
    let phases = shapes.gradient_windows().into_iter();
    phases
        .map(|(windows, taps)| {
            let weights = shapes.weights(weight);
            let right = Right {
                weights: weights
                    .map(|weight| pack(weight, &taps, inner, area, panels))
                    .collect(),
                biases: None,
                panels,
                relu: false,
            };
            (windows, right)
        })
        .collect()
}

/// The gradient of the weight, as torch lays it out: `[out, channels / groups, kernel height, width]`.
pub(crate) fn weight_gradient(
    shapes: &Shapes,
    x: &[f32],
    gradient: &[f32],
    engine: Option<Engine>,
) -> FlexTensor {
    if let Some(engine) = engine.filter(|&engine| mixed::multiplies(engine, shapes)) {
        return mixed::weight_gradient(engine, shapes, x, gradient);
    }
    if pointwise::applies(shapes) {
        return pointwise::weight_gradient(shapes, x, gradient);
    }
    if winograd::applies(shapes) {
        return winograd::weight_gradient(shapes, x, gradient);
    }
    if strided::applies(shapes) {
        return StridedSums::new(shapes).all(x, gradient);
    }
    if gathered::weight_gradient_pays(shapes) {
        return gathered::weight_gradient(shapes, x, gradient);
    }
    let windows = shapes.forward_windows();
    let panels = Panels::new(shapes.group_out());
    let (columns, padded) = (panels.columns, panels.padded());
    let length = windows.depth() * padded;
    let total = shapes.batch * windows.pixels[0];
    let rows = windows.block_rows();
    let blocks = total.div_ceil(rows);
    let parts = threads().min(blocks).max(1);
    let sums = in_parts(parts, |index| {
        let mut sums = vec![0.0; shapes.options.groups * length];
        let mut walk = Walk::new(&windows, x);
        let mut offsets = Vec::new();
        let mut rows_of_gradient = Vec::new();
        for block in part(blocks, parts, index) {
            let (gather, pixels) = walk.block(block * rows..((block + 1) * rows).min(total));
            offsets.clear();
            if padded == columns {
                offsets.extend(pixels.iter().map(|pixel| pixel * shapes.out));
            } else {
                offsets.extend((0..pixels.len()).map(|pixel| pixel * padded));
            }
            for (group, sum) in sums.chunks_exact_mut(length.max(1)).enumerate() {
                let gather = of_group(gather, group * windows.group_channels);
                let gradient = &gradient[group * columns..];
                if padded == columns {
                    tile::correlate(gather, gradient, &offsets, panels, (sum, false));
                    continue;
                }
                // The tiles read whole vectors of channels, so an odd number of them is padded here.
                rows_of_gradient.clear();
                for pixel in pixels {
                    rows_of_gradient.extend_from_slice(&gradient[pixel * shapes.out..][..columns]);
                    rows_of_gradient.resize(rows_of_gradient.len() + padded - columns, 0.0);
                }
                tile::correlate(gather, &rows_of_gradient, &offsets, panels, (sum, false));
            }
        }
        sums
    });
    tensor(unpack(&sums, shapes, panels), shapes.weight())
}

/// The weight as the tiles read it: panels of `[taps × inner, columns]`.
///
/// Element (tap, inner, column) comes from `tap + inner · inner_stride + column · column_stride`.
fn pack(
    weight: &[f32],
    taps: &[usize],
    [inner, inner_stride]: [usize; 2],
    column_stride: usize,
    panels: Panels,
) -> Vec<f32> {
    let depth = taps.len() * inner;
    let packed = in_parts(panels.count(), |index| {
        let (first, columns, width) = panels.panel(index);
        let mut packed = vec![0.0; depth * width];
        for (t, tap) in taps.iter().enumerate() {
            for i in 0..inner {
                let row = &mut packed[(t * inner + i) * width..][..columns];
                let from = &weight[tap + i * inner_stride + first * column_stride..];
                for (column, value) in row.iter_mut().enumerate() {
                    *value = from[column * column_stride];
                }
            }
        }
        packed
    });
    packed.concat()
}

/// Adds up the parts of the weight's gradient, in their order, and lays it out as torch does.
pub(super) fn unpack(sums: &[Vec<f32>], shapes: &Shapes, panels: Panels) -> Vec<f32> {
    let area = shapes.kernel[0] * shapes.kernel[1];
    let channels = shapes.group_channels();
    let depth = area * channels;
    let unpacked = in_parts(shapes.options.groups * panels.count(), |index| {
        let (group, panel) = (index / panels.count(), index % panels.count());
        let (first, columns, width) = panels.panel(panel);
        let panel = depth * (group * panels.padded() + first);
        let mut unpacked = vec![0.0; columns * depth];
        let mut row = vec![0.0; width];
        for tap in 0..area {
            for channel in 0..channels {
                let start = panel + (tap * channels + channel) * width;
                row.copy_from_slice(&sums[0][start..start + width]);
                for sum in &sums[1..] {
                    for (row, sum) in row.iter_mut().zip(&sum[start..start + width]) {
                        *row += sum;
                    }
                }
                for (column, value) in row[..columns].iter().enumerate() {
                    unpacked[column * depth + channel * area + tap] = *value;
                }
            }
        }
        unpacked
    });
    unpacked.concat()
}
