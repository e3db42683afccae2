//! The direct convolution on Flex, and its gradients.

use burn::backend::DispatchTensor;
use burn_flex::FlexTensor;

use super::Conv2dOptions;
use crate::bfloat::{self, Engine, Product, Rounded, Weight};
use crate::buffer::{Unwritten, elements, in_parts, part, tensor, threads};
use crate::operation::{Forward, Operation, apply};
use crate::precision;
use crate::tile::{self, Panels};
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
}

impl Operation for Conv2d {
    type Saved = Saved;

    fn forward(self, inputs: &[FlexTensor], tracked: &[bool]) -> Forward<Saved> {
        let (x, weight) = (&inputs[0], &inputs[1]);
        let shapes = Shapes::new(x, weight, self.options);
        let bias = inputs.get(2).map(elements);
        let engine = precision::engine();
        let output = forward(&shapes, elements(x), elements(weight), bias, engine);
        let saved = tracked.contains(&true).then(|| Saved {
            engine,
            x: tracked[1].then(|| x.clone()),
            weight: tracked[0].then(|| weight.clone()),
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
        let gradient = elements(&gradient);
        let weight_gradient = saved
            .x
            .filter(|_| wanted[1])
            .map(|x| weight_gradient(&shapes, elements(&x), gradient, engine));
        let input_gradient = saved
            .weight
            .filter(|_| wanted[0])
            .map(|weight| input_gradient(&shapes, elements(&weight), gradient, engine));
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

/// The sizes of a convolution; the pairs are (height, width).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shapes {
    pub(crate) batch: usize,
    pub(crate) input: [usize; 2],
    pub(crate) channels: usize,
    pub(crate) output: [usize; 2],
    pub(crate) out: usize,
    pub(crate) kernel: [usize; 2],
    pub(crate) options: Conv2dOptions,
}

impl Shapes {
    fn new(x: &FlexTensor, weight: &FlexTensor, options: Conv2dOptions) -> Self {
        let [x, weight] = [x, weight].map(|tensor| tensor.layout().shape());
        let input = [x[1], x[2]];
        let kernel = [weight[2], weight[3]];
        Self {
            batch: x[0],
            input,
            channels: x[3],
            output: options.output_size(input, kernel),
            out: weight[0],
            kernel,
            options,
        }
    }

    /// The windows of the input that the output's pixels see.
    fn forward_windows(&self) -> Windows {
        Windows {
            source: self.input,
            channels: self.channels,
            pixels: self.output,
            taps: self.kernel,
            stride: self.options.stride,
            dilation: self.options.dilation,
            padding: self.options.padding.map(|padding| padding as isize),
            dest: self.output,
            dest_start: [0, 0],
            dest_step: [1, 1],
        }
    }

    /// Floats from one output channel of the weight to the next.
    fn weight_stride(&self) -> usize {
        self.channels * self.kernel[0] * self.kernel[1]
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
    let area = shapes.kernel[0] * shapes.kernel[1];
    let taps: Vec<usize> = (0..area).collect();
    let windows = shapes.forward_windows();
    let weight = Right::new(
        weight,
        &windows,
        &taps,
        area,
        [shapes.out, shapes.weight_stride()],
        engine,
    );
    let bias = bias.map(|bias| {
        let mut padded = bias.to_vec();
        padded.resize(weight.padded(), 0.0);
        padded
    });
    let [height, width] = shapes.output;
    let mut output = Unwritten::new(shapes.batch * height * width * shapes.out);
    // SAFETY: one walk writes every pixel of the output.
    unsafe {
        walk(
            &windows,
            shapes.batch,
            x,
            &weight,
            bias.as_deref(),
            output.pointer().pointer(),
        );
        output.written([shapes.batch, height, width, shapes.out])
    }
}

/// The right operand of a walk, as the tiles of its precision read it.
enum Right {
    F32(Vec<f32>, Panels),
    Bf16(Weight, usize),
}

impl Right {
    /// The weight for these windows: element (tap, channel, column) comes from
    /// `tap + channel · channel_stride + column · column_stride`.
    fn new(
        weight: &[f32],
        windows: &Windows,
        taps: &[usize],
        channel_stride: usize,
        [columns, column_stride]: [usize; 2],
        engine: Option<Engine>,
    ) -> Self {
        let channels = windows.channels;
        let Some(engine) = engine else {
            let panels = Panels::new(columns);
            let inner = [channels, channel_stride];
            return Self::F32(pack(weight, taps, inner, column_stride, panels), panels);
        };
        let rows: Vec<usize> = taps
            .iter()
            .flat_map(|tap| (0..channels).map(move |channel| tap + channel * channel_stride))
            .collect();
        let weight = Weight::new(
            engine,
            weight,
            &rows,
            [columns, column_stride],
            &windows.segments(),
        );
        Self::Bf16(weight, columns)
    }

    fn columns(&self) -> usize {
        match self {
            Self::F32(_, panels) => panels.columns,
            Self::Bf16(_, columns) => *columns,
        }
    }

    /// How long a bias has to be.
    fn padded(&self) -> usize {
        match self {
            Self::F32(_, panels) => panels.padded(),
            Self::Bf16(_, columns) => Weight::padded(*columns),
        }
    }
}

/// Runs the product over all windows.
///
/// # Safety
/// `dest` must have room for the destination images, and nobody else may use it meanwhile.
unsafe fn walk(
    windows: &Windows,
    batch: usize,
    source: &[f32],
    weight: &Right,
    bias: Option<&[f32]>,
    dest: *mut f32,
) {
    let dest = crate::buffer::Shared::new(dest);
    let total = batch * windows.pixels[0];
    let rows = match weight {
        Right::F32(..) => windows.block_rows(),
        Right::Bf16(..) => windows.rounded_block_rows(),
    };
    let blocks = total.div_ceil(rows);
    // Four parts to each thread even out a machine that is shared with others; every pixel comes
    // out the same whoever computes it.
    let parts = (4 * threads()).min(blocks).max(1);
    in_parts(parts, |index| {
        let columns = weight.columns();
        let mut to = Vec::new();
        let blocks =
            part(blocks, parts, index).map(|block| block * rows..((block + 1) * rows).min(total));
        match weight {
            Right::F32(weight, panels) => {
                let mut walk = Walk::new(windows, source);
                for block in blocks {
                    let (gather, pixels) = walk.block(block);
                    to.clear();
                    to.extend(pixels.iter().map(|pixel| pixel * columns));
                    // SAFETY: blocks have disjoint destination pixels, inside the room promised.
                    unsafe { tile::product(gather, weight, bias, *panels, dest.pointer(), &to) };
                }
            }
            Right::Bf16(weight, _) => {
                let mut walk = Walk::rounded(windows, source, Rounded::new(weight.engine()));
                let mut product = Product::default();
                for block in blocks {
                    let (gather, pixels) = walk.rounded_block(block);
                    to.clear();
                    to.extend(pixels.iter().map(|pixel| pixel * columns));
                    // SAFETY: as above.
                    unsafe { product.run(gather, weight, bias, dest.pointer(), &to) };
                }
            }
        }
    });
}

/// The gradient of the input: for each phase of the stride, a stride-1 convolution of the output's
/// gradient with the taps that meet this phase, in reverse order.
pub(crate) fn input_gradient(
    shapes: &Shapes,
    weight: &[f32],
    gradient: &[f32],
    engine: Option<Engine>,
) -> FlexTensor {
    let [height, width] = shapes.input;
    let mut dest = Unwritten::new(shapes.batch * height * width * shapes.channels);
    for row_phase in 0..shapes.options.stride[0] {
        let rows = Phase::new(shapes, 0, row_phase);
        for column_phase in 0..shapes.options.stride[1] {
            let columns = Phase::new(shapes, 1, column_phase);
            let taps: Vec<usize> = rows
                .taps
                .iter()
                .flat_map(|row| {
                    columns
                        .taps
                        .iter()
                        .map(move |column| row * shapes.kernel[1] + column)
                })
                .collect();
            let windows = Windows {
                source: shapes.output,
                channels: shapes.out,
                pixels: [rows.pixels, columns.pixels],
                taps: [rows.taps.len(), columns.taps.len()],
                stride: [1, 1],
                dilation: shapes.options.dilation,
                padding: [rows.padding, columns.padding],
                dest: shapes.input,
                dest_start: [rows.start, columns.start],
                dest_step: shapes.options.stride,
            };
            // Here the depth runs over output channels and the columns over input channels.
            let area = shapes.kernel[0] * shapes.kernel[1];
            let weight = Right::new(
                weight,
                &windows,
                &taps,
                shapes.weight_stride(),
                [shapes.channels, area],
                engine,
            );
            // SAFETY: phases write disjoint pixels of the input's gradient.
            unsafe {
                let dest = dest.pointer().pointer();
                walk(&windows, shapes.batch, gradient, &weight, None, dest);
            }
        }
    }
    // SAFETY: every pixel belongs to one phase.
    unsafe { dest.written([shapes.batch, height, width, shapes.channels]) }
}

/// The input coordinates `i` of one axis with `(i + padding) mod stride = phase`, and the taps that
/// reach them.
struct Phase {
    /// Number of coordinates.
    pixels: usize,
    /// The first coordinate.
    start: usize,
    /// Taps in the order in which they meet rising output coordinates.
    taps: Vec<usize>,
    /// How far before the output's first coordinate the first window begins.
    padding: isize,
}

impl Phase {
    fn new(shapes: &Shapes, axis: usize, phase: usize) -> Self {
        let Conv2dOptions {
            stride,
            padding,
            dilation,
            ..
        } = shapes.options;
        let (stride, padding, dilation) = (stride[axis], padding[axis], dilation[axis]);
        // The caller lets through a stride or a dilation, never both, so that tap `u` meets the
        // phase `u mod stride` whatever the dilation.
        let taps: Vec<usize> = (phase..shapes.kernel[axis]).step_by(stride).rev().collect();
        // With i + padding = phase + stride·t, tap u = phase + stride·n reaches output t − n·dilation.
        let first = padding.saturating_sub(phase).div_ceil(stride);
        let start = phase + stride * first - padding;
        let size = shapes.input[axis];
        let pixels = size.saturating_sub(start).div_ceil(stride);
        let span = (taps.len().max(1) - 1) * dilation;
        Self {
            pixels,
            start,
            taps,
            padding: span as isize - first as isize,
        }
    }
}

/// The gradient of the weight, as torch lays it out: `[out, channels, kernel height, width]`.
pub(crate) fn weight_gradient(
    shapes: &Shapes,
    x: &[f32],
    gradient: &[f32],
    engine: Option<Engine>,
) -> FlexTensor {
    let windows = shapes.forward_windows();
    let shape = [
        shapes.out,
        shapes.channels,
        shapes.kernel[0],
        shapes.kernel[1],
    ];
    if let Some(engine) = engine {
        let sums = bfloat::correlate(engine, &windows, shapes.batch, x, gradient, shapes.out);
        return tensor(sums.sum(), shape);
    }
    let panels = Panels::new(shapes.out);
    let padded = panels.padded();
    let total = shapes.batch * windows.pixels[0];
    let rows = windows.block_rows();
    let blocks = total.div_ceil(rows);
    let parts = threads().min(blocks).max(1);
    let sums = in_parts(parts, |index| {
        let mut sum = vec![0.0; windows.depth() * padded];
        let mut walk = Walk::new(&windows, x);
        let mut offsets = Vec::new();
        let mut rows_of_gradient = Vec::new();
        for block in part(blocks, parts, index) {
            let (gather, pixels) = walk.block(block * rows..((block + 1) * rows).min(total));
            offsets.clear();
            if padded == shapes.out {
                offsets.extend(pixels.iter().map(|pixel| pixel * padded));
                tile::correlate(gather, gradient, &offsets, panels, &mut sum);
                continue;
            }
            // The tiles read whole vectors of channels, so an odd number of them is padded here.
            rows_of_gradient.clear();
            for pixel in pixels {
                offsets.push(rows_of_gradient.len());
                let from = pixel * shapes.out;
                rows_of_gradient.extend_from_slice(&gradient[from..from + shapes.out]);
                rows_of_gradient.resize(offsets.len() * padded, 0.0);
            }
            tile::correlate(gather, &rows_of_gradient, &offsets, panels, &mut sum);
        }
        sum
    });
    tensor(unpack(&sums, shapes, panels), shape)
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
fn unpack(sums: &[Vec<f32>], shapes: &Shapes, panels: Panels) -> Vec<f32> {
    let area = shapes.kernel[0] * shapes.kernel[1];
    let depth = area * shapes.channels;
    let unpacked = in_parts(panels.count(), |index| {
        let (first, columns, width) = panels.panel(index);
        let mut unpacked = vec![0.0; columns * depth];
        let mut row = vec![0.0; width];
        for tap in 0..area {
            for channel in 0..shapes.channels {
                let start = depth * first + (tap * shapes.channels + channel) * width;
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
