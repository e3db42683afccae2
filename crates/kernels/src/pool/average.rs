//! Average pooling on Flex.

use burn::backend::DispatchTensor;
use burn_flex::FlexTensor;

use super::Pool2dOptions;
use crate::buffer::{Unwritten, elements, in_parts, part, threads};
use crate::operation::{Forward, Operation, apply};
use crate::taps::Grid;
use crate::vectorized::vectorized;

pub(super) fn avg_pool2d(
    x: DispatchTensor,
    options: Pool2dOptions,
    count_include_pad: bool,
) -> DispatchTensor {
    let operation = AvgPool2d {
        options,
        count_include_pad,
    };
    apply(operation, [x]).0
}

#[derive(Clone, Debug)]
struct AvgPool2d {
    options: Pool2dOptions,
    count_include_pad: bool,
}

#[derive(Clone, Debug)]
struct Saved {
    operation: AvgPool2d,
    /// `[batch, height, width, channels]` of the input.
    shape: [usize; 4],
}

impl AvgPool2d {
    /// For each window of an image, one over the number of pixels that it counts.
    fn shares(&self, windows: &Grid) -> Vec<f32> {
        let area = self.options.kernel[0] * self.options.kernel[1];
        let counts = windows.counts().into_iter();
        counts
            .map(|count| if self.count_include_pad { area } else { count })
            .map(|count| 1.0 / count as f32)
            .collect()
    }
}

impl Operation for AvgPool2d {
    type Saved = Saved;

    fn forward(self, inputs: &[FlexTensor], tracked: &[bool]) -> Forward<Saved> {
        let shape = inputs[0].layout().shape();
        let shape @ [batch, height, width, channels] = [0, 1, 2, 3].map(|axis| shape[axis]);
        let windows = Grid::of_windows(self.options.axes([height, width]));
        let shares = self.shares(&windows);
        let source = elements(&inputs[0]);
        let output = gather(&windows, [batch, channels], source, |window, _| {
            shares[window]
        });
        let saved = tracked[0].then_some(Saved {
            operation: self,
            shape,
        });
        Forward {
            output,
            statistics: Vec::new(),
            saved,
        }
    }

    fn backward(saved: Saved, gradient: FlexTensor, wanted: &[bool]) -> Vec<Option<FlexTensor>> {
        let [batch, height, width, channels] = saved.shape;
        let axes = saved.operation.options.axes([height, width]);
        let shares = saved.operation.shares(&Grid::of_windows(axes));
        vec![wanted[0].then(|| {
            let pixels = Grid::of_pixels(axes);
            gather(
                &pixels,
                [batch, channels],
                elements(&gradient),
                |_, window| shares[window],
            )
        })]
    }
}

/// Sums what each destination pixel gathers, each times the share of the two, which are counted
/// within their image.
fn gather(
    grid: &Grid,
    [batch, channels]: [usize; 2],
    source: &[f32],
    share: impl Fn(usize, usize) -> f32 + Sync,
) -> FlexTensor {
    let ([height, width], area) = (grid.dest, grid.source[0] * grid.source[1]);
    assert_eq!(source.len(), batch * area * channels);
    let rows = batch * height;
    let floats = width * channels;
    let mut output = Unwritten::new(rows * floats);
    let dest = output.pointer();
    let parts = (4 * threads()).min(rows).max(1);
    in_parts(parts, |index| {
        let rows = part(rows, parts, index);
        // SAFETY: the parts are disjoint and cover the output once.
        let dest = unsafe { dest.part(rows.start * floats..rows.end * floats) };
        vectorized(
            #[inline(always)]
            || {
                let mut pixels = dest.chunks_exact_mut(channels.max(1));
                for row in grid.rows(rows.clone()) {
                    for (column, dest) in pixels.by_ref().take(width).enumerate() {
                        let index = row.index * width + column;
                        dest.fill(0.0);
                        row.gather(
                            column,
                            #[inline(always)]
                            |pixel, _| {
                                let share = share(index, pixel - row.image * area);
                                let source = &source[pixel * channels..][..channels];
                                for (dest, source) in dest.iter_mut().zip(source) {
                                    *dest += source * share;
                                }
                            },
                        );
                    }
                }
            },
        );
    });
    // SAFETY: every pixel was written.
    unsafe { output.written([batch, height, width, channels]) }
}
