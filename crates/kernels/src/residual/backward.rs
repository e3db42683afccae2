//! The way back through a residual block, in three passes over the images.

use burn_flex::FlexTensor;

use super::fused::SavedLayer;
use super::groups::{Groups, Part, Sizes};
use crate::batch_norm::fused::Totals;
use crate::batch_norm::stretches::{
    gradient_sums, gradient_sums_again, gradient_sums_relu, input_gradient, normalize,
};
use crate::buffer::{Shared, Unwritten, elements, in_parts, part, threads};
use crate::conv2d::images::{InputGradient, WeightGradient};
use crate::conv2d::shapes::Shapes;
use crate::vectorized::vectorized;

/// Of each channel the sum of a gradient, and of its products with what a map differs by from its mean.
type Sums = (Vec<f64>, Vec<f64>);

/// What the passes have in common.
pub(super) struct Back<'a> {
    pub(super) sizes: Sizes,
    pub(super) groups: Groups,
    pub(super) x: &'a FlexTensor,
    pub(super) first: &'a SavedLayer,
    pub(super) second: &'a SavedLayer,
    pub(super) shortcut: Option<&'a SavedLayer>,
    /// Of which inputs of the operation a gradient is wanted.
    pub(super) wanted: &'a [bool],
}

impl Back<'_> {
    fn wants(&self, input: usize) -> bool {
        self.wanted.get(input) == Some(&true)
    }

    /// Rows of a map: its pixels in all images.
    fn rows(&self) -> f64 {
        let [height, width] = self.sizes.second.output;
        (self.sizes.second.batch * height * width) as f64
    }

    /// Through the last ReLU, in place: what the shortcut and the second norm get. Gives the sums of the
    /// second norm, and those of the shortcut's.
    pub(super) fn through_relu(&self, gradient: &mut FlexTensor, output: FlexTensor) -> [Sums; 2] {
        let columns = self.groups.columns;
        let gradient = Shared::new(gradient.storage_mut::<f32>().as_mut_ptr());
        let output = elements(&output);
        let map = elements(&self.second.map);
        let mean = columns.tile(&self.second.norm.mean);
        let beside = self
            .shortcut
            .map(|layer| (elements(&layer.map), columns.tile(&layer.norm.mean)));
        let block = columns.block();
        let blocks = map.len().div_ceil(block);
        let parts = threads().min(blocks).max(1);
        let totals = in_parts(parts, |index| {
            let mut totals = [(); 2].map(|()| Totals::new(columns));
            for i in part(blocks, parts, index) {
                let range = i * block..((i + 1) * block).min(map.len());
                // SAFETY: blocks are disjoint, and the gradient is ours alone.
                let gradient = unsafe { gradient.part(range.clone()) };
                let (x, output) = (&map[range.clone()], &output[range.clone()]);
                totals[0].add_block(|[sum, product]| {
                    gradient_sums_relu(gradient, output, x, &mean, sum, product);
                });
                if let Some((map, mean)) = &beside {
                    totals[1].add_block(|[sum, product]| {
                        gradient_sums(gradient, &map[range], mean, sum, product);
                    });
                }
            }
            totals
        });
        let (second, beside): (Vec<_>, Vec<_>) = totals.into_iter().map(Into::into).unzip();
        [second, beside].map(|totals| Totals::of_parts(&totals))
    }

    /// Through the second norm and the second convolution: what comes to the first ReLU, the gradient of
    /// the weight, and the sums of the first norm. What the ReLU let through is made again wherever its
    /// gradient is taken up.
    pub(super) fn through_second(
        &self,
        gradient: &[f32],
        sums2: &Sums,
    ) -> (Unwritten, Option<FlexTensor>, Sums) {
        let Self {
            sizes,
            groups,
            first,
            second,
            ..
        } = self;
        let columns = groups.columns;
        let (map1, map2) = (elements(&first.map), elements(&second.map));
        let slopes = second.norm.slopes(columns, sums2, self.rows());
        let slopes = slopes.each_ref().map(Vec::as_slice);
        let [mean, scale, beta] = first.norm.constants(columns);
        let back = InputGradient::new(&sizes.second, elements(&second.weight));
        let correlation = WeightGradient::new(&sizes.second);
        let mut between = Unwritten::new(map1.len());
        let dest = between.pointer();
        let mut parts = groups.each(|images, part: &mut Part| {
            let range = images.start * groups.output..images.end * groups.output;
            let Part {
                rooms: [room, normalized, _],
                sums: [sums, _],
                totals,
            } = part;
            let room = &mut room[..range.len()];
            let (gradient, map2) = (&gradient[range.clone()], &map2[range.clone()]);
            input_gradient(room, gradient, map2, slopes, None);
            let map1 = &map1[range.clone()];
            if self.wants(4) {
                let normalized = &mut normalized[..range.len()];
                normalize(map1, (&mean, &scale, &beta), None, true, normalized);
                let sums = sums.get_or_insert_with(|| correlation.zeros());
                correlation.images(images.len(), normalized, room, sums);
            }
            // SAFETY: groups have disjoint images, which are written before they are read.
            let dest = unsafe {
                let dest = Shared::new(dest.pointer().add(range.start));
                back.images(images.len(), room, dest);
                &*dest.part(0..range.len())
            };
            totals.add(range.len(), |range, [sum, product]| {
                let constants = [&mean[..], &scale, &beta];
                gradient_sums_again(&dest[range.clone()], &map1[range], constants, sum, product);
            });
        });
        let weight_gradient = finish(&correlation, &mut parts, 0, self.wants(4));
        let totals: Vec<_> = parts.into_iter().map(|part| part.totals).collect();
        (between, weight_gradient, Totals::of_parts(&totals))
    }

    /// Through the first ReLU, its norm and convolution, and by the shortcut: the gradients of x, of the
    /// first weight and of the shortcut's. Without a convolution in the shortcut, the gradient of x stands in
    /// the place of what is taken up.
    pub(super) fn through_first(
        &self,
        gradient: &[f32],
        mut between: Unwritten,
        sums1: &Sums,
        sums3: &Sums,
    ) -> [Option<FlexTensor>; 3] {
        let Self {
            sizes,
            groups,
            first,
            shortcut,
            ..
        } = self;
        let columns = groups.columns;
        let (x, map1) = (elements(self.x), elements(&first.map));
        let slopes = first.norm.slopes(columns, sums1, self.rows());
        let slopes = slopes.each_ref().map(Vec::as_slice);
        let [_, _, beta] = first.norm.constants(columns);
        let back = InputGradient::new(&sizes.first, elements(&first.weight));
        let correlation = WeightGradient::new(&sizes.first);
        let beside_correlation = WeightGradient::new(&sizes.beside);
        let beside = shortcut.map(|layer| {
            let slopes = layer.norm.slopes(columns, sums3, self.rows());
            let back = InputGradient::new(&sizes.met(), elements(&layer.weight));
            (elements(&layer.map), slopes, back)
        });
        let taken_up = between.pointer();
        let mut apart = beside.as_ref().map(|_| Unwritten::new(x.len()));
        let dest = apart.as_mut().map_or(taken_up, Unwritten::pointer);
        let mut parts = groups.each(|images, part: &mut Part| {
            let range = images.start * groups.output..images.end * groups.output;
            let inputs = images.start * groups.input..images.end * groups.input;
            let Part {
                rooms: [room, other, met],
                sums: [sums, beside_sums],
                ..
            } = part;
            let room = &mut room[..range.len()];
            // SAFETY: groups have disjoint images, all of which were written by the pass before.
            let taken_up = unsafe { &*taken_up.part(range.clone()) };
            input_gradient(room, taken_up, &map1[range.clone()], slopes, Some(&beta));
            let x = &x[inputs.clone()];
            if self.wants(1) {
                let sums = sums.get_or_insert_with(|| correlation.zeros());
                correlation.images(images.len(), x, room, sums);
            }
            if self.wants(0) {
                // SAFETY: groups have disjoint images, and what is taken up isn't read any more.
                unsafe {
                    let dest = Shared::new(dest.pointer().add(inputs.start));
                    back.images(images.len(), room, dest);
                }
            }
            // SAFETY: as above; where no gradient is wanted, this isn't read either.
            let dest = || unsafe { dest.part(inputs.clone()) };
            let Some((map, slopes, back)) = &beside else {
                if self.wants(0) {
                    add(dest(), &gradient[range]);
                }
                return;
            };
            let other = &mut other[..range.len()];
            let slopes = slopes.each_ref().map(Vec::as_slice);
            input_gradient(other, &gradient[range.clone()], &map[range], slopes, None);
            if self.wants(7) {
                let sums = beside_sums.get_or_insert_with(|| beside_correlation.zeros());
                beside_correlation.images(images.len(), x, other, sums);
            }
            if self.wants(0) {
                let met = &mut met[..images.len() * sizes.met().floats()];
                // SAFETY: the room is ours.
                unsafe { back.images(images.len(), other, Shared::new(met.as_mut_ptr())) };
                add_met(&sizes.beside, dest(), met);
            }
        });
        let x_gradient = self.wants(0).then(|| {
            let shape = self.x.layout().shape().clone();
            // SAFETY: every group was written.
            unsafe { apart.unwrap_or(between).written(shape) }
        });
        let weight_gradient = finish(&correlation, &mut parts, 0, self.wants(1));
        let beside_gradient = finish(&beside_correlation, &mut parts, 1, self.wants(7));
        [x_gradient, weight_gradient, beside_gradient]
    }
}

/// The gradient of a weight, of these sums of all parts.
fn finish(
    correlation: &WeightGradient,
    parts: &mut [Part],
    which: usize,
    wanted: bool,
) -> Option<FlexTensor> {
    wanted.then(|| {
        let sums = parts.iter_mut().filter_map(|part| part.sums[which].take());
        let mut sums: Vec<_> = sums.collect();
        if sums.is_empty() {
            sums.push(correlation.zeros());
        }
        correlation.finish(&sums)
    })
}

/// Adds to images the values of those of their pixels that a kernel of one pixel meets.
fn add_met(shapes: &Shapes, images: &mut [f32], values: &[f32]) {
    let channels = shapes.channels;
    let row = shapes.input[1] * channels;
    let [down, right] = shapes.options.stride;
    let met = shapes.output[1] * channels;
    vectorized(
        #[inline(always)]
        || {
            let images = images.chunks_exact_mut(shapes.input[0] * row);
            for (image, values) in images.zip(values.chunks_exact(shapes.output[0] * met)) {
                let rows = image.chunks_exact_mut(row).step_by(down);
                for (row, values) in rows.zip(values.chunks_exact(met)) {
                    let pixels = row.chunks_exact_mut(channels).step_by(right);
                    for (pixel, values) in pixels.zip(values.chunks_exact(channels)) {
                        for (sum, value) in pixel.iter_mut().zip(values) {
                            *sum += value;
                        }
                    }
                }
            }
        },
    );
}

fn add(dest: &mut [f32], values: &[f32]) {
    vectorized(
        #[inline(always)]
        || {
            for (dest, value) in dest.iter_mut().zip(values) {
                *dest += value;
            }
        },
    );
}
