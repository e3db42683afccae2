//! The sizes of a convolution, and the walks of windows that compute it and its input's gradient.

use burn_flex::FlexTensor;

use super::Conv2dOptions;
use crate::window::Windows;

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
    pub(crate) fn new(x: &FlexTensor, weight: &FlexTensor, options: Conv2dOptions) -> Self {
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

    /// The floating-point operations of the forward pass.
    pub(crate) fn flops(&self) -> f64 {
        let [height, width] = self.output;
        let outputs = self.batch * height * width * self.out;
        2.0 * outputs as f64 * self.weight_stride() as f64
    }

    /// Floats of an image of the input.
    pub(crate) fn floats(&self) -> usize {
        self.input[0] * self.input[1] * self.channels
    }

    /// The windows of the input that the output's pixels see.
    pub(super) fn forward_windows(&self) -> Windows {
        Windows {
            source: self.input,
            channels: self.channels,
            group_channels: self.group_channels(),
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

    /// Whether each channel is convolved by itself into one output channel.
    pub(super) fn depthwise(&self) -> bool {
        self.options.groups > 1 && self.group_channels() == 1 && self.group_out() == 1
    }

    /// Input channels of a group.
    pub(super) fn group_channels(&self) -> usize {
        self.channels / self.options.groups
    }

    /// Output channels of a group.
    pub(super) fn group_out(&self) -> usize {
        self.out / self.options.groups
    }

    /// Floats from one output channel of the weight to the next.
    pub(super) fn weight_stride(&self) -> usize {
        self.group_channels() * self.kernel[0] * self.kernel[1]
    }

    /// The weight's, as torch lays it out: `[out, channels / groups, kernel height, width]`.
    pub(super) fn weight(&self) -> [usize; 4] {
        [
            self.out,
            self.group_channels(),
            self.kernel[0],
            self.kernel[1],
        ]
    }

    /// The weight of each group.
    pub(super) fn weights<'a>(&self, weight: &'a [f32]) -> impl Iterator<Item = &'a [f32]> {
        let length = self.group_out() * self.weight_stride();
        (0..self.options.groups).map(move |group| &weight[group * length..][..length])
    }

    /// For each phase of the stride, the windows of the output's gradient that the input's pixels
    /// of this phase meet, and the taps that they meet, in order.
    pub(super) fn gradient_windows(&self) -> Vec<(Windows, Vec<usize>)> {
        let stride = self.options.stride;
        let phases =
            |axis: usize| (0..stride[axis]).map(move |phase| Phase::new(self, axis, phase));
        phases(0)
            .flat_map(|rows| phases(1).map(move |columns| self.phase(&rows, &columns)))
            .collect()
    }

    fn phase(&self, rows: &Phase, columns: &Phase) -> (Windows, Vec<usize>) {
        let taps = rows.taps.iter().flat_map(|row| {
            let columns = columns.taps.iter();
            columns.map(move |column| row * self.kernel[1] + column)
        });
        let windows = Windows {
            source: self.output,
            channels: self.out,
            group_channels: self.group_out(),
            pixels: [rows.pixels, columns.pixels],
            taps: [rows.taps.len(), columns.taps.len()],
            stride: [1, 1],
            dilation: self.options.dilation,
            padding: [rows.padding, columns.padding],
            dest: self.input,
            dest_start: [rows.start, columns.start],
            dest_step: self.options.stride,
        };
        (windows, taps.collect())
    }
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
