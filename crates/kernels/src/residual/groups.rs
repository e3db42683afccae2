//! A few images at a time.

use std::ops::Range;

use burn_flex::FlexTensor;

use super::options;
use crate::batch_norm::fused::{Columns, Moments, Totals};
use crate::batch_norm::stretches::normalize;
use crate::buffer::{Shared, Unwritten, in_parts, part, threads};
use crate::conv2d::images::Forward;
use crate::conv2d::shapes::Shapes;
use crate::conv2d::winograd::{self, Correlation};

/// The sizes of the convolutions of a block.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sizes {
    pub(super) first: Shapes,
    pub(super) second: Shapes,
    /// That of the shortcut, if there is one.
    pub(super) beside: Shapes,
}

impl Sizes {
    pub(super) fn new(
        [batch, height, width, channels]: [usize; 4],
        out: usize,
        stride: usize,
    ) -> Self {
        let shapes = |input: [usize; 2], channels: usize, kernel: usize, stride: usize| {
            let options = options(kernel, stride);
            Shapes {
                batch,
                input,
                channels,
                output: options.output_size(input, [kernel; 2]),
                out,
                kernel: [kernel; 2],
                options,
            }
        };
        let first = shapes([height, width], channels, 3, stride);
        Self {
            first,
            second: shapes(first.output, out, 3, 1),
            beside: shapes([height, width], channels, 1, stride),
        }
    }

    pub(super) fn of(inputs: &[FlexTensor], stride: usize) -> Self {
        let [x, weight] = [0, 1].map(|input| inputs[input].layout().shape());
        Self::new([x[0], x[1], x[2], x[3]], weight[0], stride)
    }

    /// The shortcut's convolution of only those pixels that it meets.
    pub(super) fn met(&self) -> Shapes {
        Shapes {
            input: self.beside.output,
            options: options(1, 1),
            ..self.beside
        }
    }

    /// Whether it pays to do a few images at a time: where there are enough of them for all threads to have
    /// as good as the same, and the sums of the weights' gradients are near.
    pub(super) fn pay(&self) -> bool {
        let groups = self
            .first
            .batch
            .div_ceil(winograd::images_together(&self.second));
        Correlation::pays(&self.second) && (groups == 0 || groups >= 3 * threads())
    }
}

/// What convolutions are given.
pub(super) enum Source<'a> {
    /// Values, and how many an image has.
    Given(&'a [f32], usize),
    /// A map, and the mean, the scale and the shift of the norm before the ReLU that follows it.
    Normalized(&'a [f32], [Vec<f32>; 3]),
}

impl Source<'_> {
    /// Those of some images.
    fn images<'a>(
        &'a self,
        images: &Range<usize>,
        floats: usize,
        room: &'a mut [f32],
    ) -> &'a [f32] {
        match self {
            Self::Given(values, floats) => &values[images.start * floats..images.end * floats],
            Self::Normalized(map, [mean, scale, beta]) => {
                let range = images.start * floats..images.end * floats;
                let room = &mut room[..range.len()];
                normalize(&map[range], (mean, scale, beta), None, true, room);
                room
            }
        }
    }
}

/// How the images of a batch are grouped: those of a group go through all steps between two sums over
/// the batch, one after another, in the cache.
#[derive(Clone, Copy, Debug)]
pub(super) struct Groups {
    /// Those of the maps.
    pub(super) columns: Columns,
    batch: usize,
    /// Images of a group.
    images: usize,
    /// Floats of an image of the input, and of the output.
    pub(super) input: usize,
    pub(super) output: usize,
    /// The shape of a map.
    map: [usize; 4],
}

/// What one thread has of its own on the way back.
pub(super) struct Part {
    /// Room for the images of a group each, of the input or the output.
    pub(super) rooms: [Vec<f32>; 3],
    /// Those of the gradients of two weights.
    pub(super) sums: [Option<Vec<f32>>; 2],
    pub(super) totals: Totals,
}

impl Groups {
    pub(super) fn new(sizes: &Sizes) -> Self {
        let batch = sizes.first.batch;
        let second = &sizes.second;
        Self {
            columns: Columns::new(second.channels),
            batch,
            images: winograd::images_together(second),
            input: sizes.first.floats(),
            output: second.floats(),
            map: [batch, second.input[0], second.input[1], second.channels],
        }
    }

    /// The images of the groups of one of so many parts.
    fn of_part(&self, parts: usize, index: usize) -> impl Iterator<Item = Range<usize>> {
        let Self { batch, images, .. } = *self;
        let groups = batch.div_ceil(images);
        part(groups, parts, index)
            .map(move |group| group * images..((group + 1) * images).min(batch))
    }

    /// Calls `work` with the images of each group and what the thread has.
    pub(super) fn each(&self, work: impl Fn(Range<usize>, &mut Part) + Send + Sync) -> Vec<Part> {
        let parts = threads();
        in_parts(parts, |index| {
            let room = self.images * self.input.max(self.output);
            let mut part = Part {
                rooms: [(); 3].map(|()| vec![0.0; room]),
                sums: [None, None],
                totals: Totals::new(self.columns),
            };
            for images in self.of_part(parts, index) {
                work(images, &mut part);
            }
            part
        })
    }

    /// The maps that convolutions make of the same source, with the moments of each channel, by parts.
    pub(super) fn convolve(
        &self,
        convolutions: &[&Forward],
        source: Source<'_>,
    ) -> Vec<(FlexTensor, Vec<Moments>)> {
        let mut outputs: Vec<_> = convolutions
            .iter()
            .map(|_| Unwritten::new(self.batch * self.output))
            .collect();
        let dests: Vec<Shared> = outputs.iter_mut().map(Unwritten::pointer).collect();
        // Four parts to each thread even out a machine that is shared with others.
        let parts = 4 * threads();
        let moments = in_parts(parts, |index| {
            let mut room = match source {
                Source::Given(..) => Vec::new(),
                Source::Normalized(..) => vec![0.0; self.images * self.output],
            };
            let mut moments: Vec<_> = dests.iter().map(|_| Moments::new(self.columns)).collect();
            for images in self.of_part(parts, index) {
                let source = source.images(&images, self.output, &mut room);
                let range = images.start * self.output..images.end * self.output;
                for ((convolution, dest), moments) in
                    convolutions.iter().zip(&dests).zip(&mut moments)
                {
                    // SAFETY: groups have disjoint images, which are written before they are read.
                    let map = unsafe {
                        let dest = Shared::new(dest.pointer().add(range.start));
                        convolution.images(images.len(), source, dest);
                        dest.part(0..range.len())
                    };
                    moments.add(map);
                }
            }
            moments
        });
        let mut moments: Vec<_> = moments.into_iter().map(Vec::into_iter).collect();
        let outputs = outputs.into_iter().map(|output| {
            let moments = moments.iter_mut().filter_map(Iterator::next).collect();
            // SAFETY: the groups cover all images.
            (unsafe { output.written(self.map) }, moments)
        });
        outputs.collect()
    }
}
