//! The residual block on Flex, a few images at a time.

use std::ops::Range;

use burn::backend::{DispatchTensor, TensorMetadata};
use burn::tensor::Tensor;
use burn_flex::FlexTensor;

use super::ResidualBlockOutput;
use crate::batch_norm::fused::{Columns, Moments, Totals};
use crate::batch_norm::stretches::{gradient_sums_relu, input_gradient, normalize};
use crate::buffer::{Shared, Unwritten, elements, in_parts, part, tensor, threads};
use crate::conv2d::Conv2dOptions;
use crate::conv2d::mixed;
use crate::conv2d::shapes::Shapes;
use crate::conv2d::winograd::{self, Correlation, Filter};
use crate::operation::{Forward, Operation, apply, fusible};
use crate::precision;
use crate::vectorized::vectorized;

/// A weight, and a norm's scale and shift.
pub(super) type Layer = (DispatchTensor, [DispatchTensor; 2]);

const OPTIONS: Conv2dOptions = Conv2dOptions {
    stride: [1, 1],
    padding: [1, 1],
    dilation: [1, 1],
    groups: 1,
    relu: false,
};

/// Whether the block is done here: in `f32`, by Winograd's filtering.
pub(super) fn applies(x: &DispatchTensor, layers: &[Layer; 2]) -> bool {
    let [first, second] = layers;
    let norms = first.1.iter().chain(&second.1);
    let tensors: Vec<_> = [x, &first.0, &second.0].into_iter().chain(norms).collect();
    let [x, weight] = [x, &first.0].map(|tensor| tensor.shape());
    let shapes = Shapes {
        batch: x[0],
        input: [x[1], x[2]],
        channels: x[3],
        output: [x[1], x[2]],
        out: weight[0],
        kernel: [3, 3],
        options: OPTIONS,
    };
    let engine = precision::engine();
    fusible(&tensors)
        && winograd::applies(&shapes)
        && !engine.is_some_and(|engine| mixed::multiplies(engine, &shapes))
}

pub(super) fn train(x: DispatchTensor, layers: [Layer; 2], epsilon: f64) -> ResidualBlockOutput {
    let [(weight1, [gamma1, beta1]), (weight2, [gamma2, beta2])] = layers;
    let inputs = [x, weight1, gamma1, beta1, weight2, gamma2, beta2];
    let (output, statistics) = apply(ResidualBlock { epsilon }, inputs);
    let mut statistics = statistics.into_iter().map(Tensor::from_dispatch);
    let mut next = || statistics.next().expect("two means and two variances");
    ResidualBlockOutput {
        output: Tensor::from_dispatch(output),
        statistics: [[next(), next()], [next(), next()]],
    }
}

/// Inputs: x, then of each layer the weight, gamma and beta.
#[derive(Clone, Debug)]
struct ResidualBlock {
    epsilon: f64,
}

#[derive(Clone, Debug)]
struct Saved {
    x: FlexTensor,
    /// What the convolutions gave.
    maps: [FlexTensor; 2],
    weights: [FlexTensor; 2],
    norms: [Norm; 2],
    output: FlexTensor,
}

impl Operation for ResidualBlock {
    type Saved = Saved;

    fn flops(&self, inputs: &[FlexTensor], tracked: &[bool]) -> [f64; 2] {
        let flops = Shapes::new(&inputs[0], &inputs[1], OPTIONS).flops();
        // The second convolution's gradient goes on to the first whatever wants one.
        let gradients = [0, 1, 4].iter().filter(|&&input| tracked[input]).count() + 1;
        [2.0 * flops, gradients as f64 * flops]
    }

    fn forward(self, inputs: &[FlexTensor], tracked: &[bool]) -> Forward<Saved> {
        let [x, weight1, gamma1, beta1, weight2, gamma2, beta2] = inputs else {
            unreachable!("seven inputs")
        };
        let shapes = Shapes::new(x, weight1, OPTIONS);
        let groups = Groups::new(&shapes);
        let columns = groups.columns;
        let input = elements(x);

        let filter = Filter::forward(&shapes, elements(weight1));
        let (map1, [mean, variance]) = groups.convolve(&filter, Source::Given(input));
        let statistics1 = [mean.clone(), variance.clone()];
        let norm1 = Norm::new(mean, &variance, [gamma1, beta1], self.epsilon);

        let filter = Filter::forward(&shapes, elements(weight2));
        let normalized = Source::Normalized(elements(&map1), norm1.constants(columns));
        let (map2, [mean, variance]) = groups.convolve(&filter, normalized);
        let statistics2 = [mean.clone(), variance.clone()];
        let norm2 = Norm::new(mean, &variance, [gamma2, beta2], self.epsilon);

        let [mean, scale, beta] = norm2.constants(columns);
        let map = elements(&map2);
        let mut output = Unwritten::new(input.len());
        let dest = output.pointer();
        columns.each_stretch(input.len(), |range| {
            // SAFETY: stretches are disjoint and cover the output once.
            let dest = unsafe { dest.part(range.clone()) };
            let residual = Some(&input[range.clone()]);
            normalize(&map[range], (&mean, &scale, &beta), residual, true, dest);
        });
        // SAFETY: every stretch was written.
        let output = unsafe { output.written(x.layout().shape().clone()) };

        let saved = tracked.contains(&true).then(|| Saved {
            x: x.clone(),
            maps: [map1, map2],
            weights: [weight1.clone(), weight2.clone()],
            norms: [norm1, norm2],
            output: output.clone(),
        });
        let statistics = [statistics1, statistics2].into_iter().flatten();
        Forward {
            output,
            statistics: statistics
                .map(|values| tensor(values, [shapes.channels]))
                .collect(),
            saved,
        }
    }

    fn backward(saved: Saved, gradient: FlexTensor, wanted: &[bool]) -> Vec<Option<FlexTensor>> {
        let Saved {
            x,
            maps: [map1, map2],
            weights: [weight1, weight2],
            norms: [norm1, norm2],
            output,
        } = saved;
        let shapes = Shapes::new(&x, &weight1, OPTIONS);
        let groups = Groups::new(&shapes);
        let columns = groups.columns;
        let (input, map1, map2) = (elements(&x), elements(&map1), elements(&map2));
        let shape = x.layout().shape().clone();

        // Through the last ReLU, in place: what the shortcut and the second norm get.
        let mut gradient = gradient;
        let sums2 = {
            let gradient = Shared::new(gradient.storage_mut::<f32>().as_mut_ptr());
            let output = elements(&output);
            let mean = columns.tile(&norm2.mean);
            columns.sums(input.len(), |range, [sum, product]| {
                // SAFETY: stretches are disjoint, and the gradient is ours alone.
                let gradient = unsafe { gradient.part(range.clone()) };
                let (x, output) = (&map2[range.clone()], &output[range]);
                gradient_sums_relu(gradient, output, x, &mean, sum, product);
            })
        };
        drop(output);
        let gradient = elements(&gradient);
        let rows = input.len() as f64 / shapes.channels as f64;
        let slopes2 = norm2.slopes(columns, &sums2, rows);
        let slopes = slopes2.each_ref().map(Vec::as_slice);

        // Through the second norm, the second convolution and the first ReLU.
        let filter = Filter::input_gradient(&shapes, elements(&weight2));
        let correlation = Correlation::new(&shapes);
        let [mean1, scale1, beta1] = norm1.constants(columns);
        let mut between = Unwritten::new(input.len());
        let dest = between.pointer();
        let parts = groups.each(|range, part: &mut Part| {
            let Part {
                rooms,
                sums,
                totals,
            } = part;
            let [room, normalized] = rooms.each_mut().map(|room| &mut room[..range.len()]);
            let (gradient, map1) = (&gradient[range.clone()], &map1[range.clone()]);
            input_gradient(room, gradient, &map2[range.clone()], slopes, None);
            normalize(map1, (&mean1, &scale1, &beta1), None, true, normalized);
            let images = groups.images_of(range.len());
            if wanted[4] {
                let sums = sums.get_or_insert_with(|| correlation.zeros());
                correlation.images(images, normalized, room, sums);
            }
            // SAFETY: groups have disjoint images, which the filter writes before they are read.
            unsafe {
                filter.images(images, room, Shared::new(dest.pointer().add(range.start)));
                let dest = dest.part(range);
                totals.add(dest.len(), |range, [sum, product]| {
                    let (x, output) = (&map1[range.clone()], &normalized[range.clone()]);
                    gradient_sums_relu(&mut dest[range], output, x, &mean1, sum, product);
                });
            }
        });
        let (weights, totals): (Vec<_>, Vec<_>) = parts
            .into_iter()
            .map(|part| (part.sums, part.totals))
            .unzip();
        let weight2_gradient = finish(&correlation, weights, wanted[4]);
        let sums1 = Totals::of_parts(&totals);
        let slopes1 = norm1.slopes(columns, &sums1, rows);
        let slopes = slopes1.each_ref().map(Vec::as_slice);

        // Through the first norm and the first convolution, and what came by the shortcut: in the place of
        // what is taken up.
        let filter = Filter::input_gradient(&shapes, elements(&weight1));
        let parts = groups.each(|range, part: &mut Part| {
            let Part { rooms, sums, .. } = part;
            let room = &mut rooms[0][..range.len()];
            // SAFETY: groups have disjoint images, all of which were written above.
            let dest = unsafe { dest.part(range.clone()) };
            input_gradient(room, dest, &map1[range.clone()], slopes, None);
            let images = groups.images_of(range.len());
            if wanted[1] {
                let sums = sums.get_or_insert_with(|| correlation.zeros());
                correlation.images(images, &input[range.clone()], room, sums);
            }
            if wanted[0] {
                // SAFETY: as above.
                unsafe { filter.images(images, room, Shared::new(dest.as_mut_ptr())) };
                add(dest, &gradient[range]);
            }
        });
        let weights = parts.into_iter().map(|part| part.sums).collect();
        let weight1_gradient = finish(&correlation, weights, wanted[1]);
        // SAFETY: every group was written.
        let x_gradient = wanted[0].then(|| unsafe { between.written(shape) });

        let [gamma1, beta1] = norm1.gradients(&sums1);
        let [gamma2, beta2] = norm2.gradients(&sums2);
        let gradients = [
            x_gradient,
            weight1_gradient,
            Some(gamma1),
            Some(beta1),
            weight2_gradient,
            Some(gamma2),
            Some(beta2),
        ];
        let gradients = gradients.into_iter().zip(wanted);
        gradients
            .map(|(gradient, wanted)| gradient.filter(|_| *wanted))
            .collect()
    }
}

/// The gradient of a weight of the sums of all parts.
fn finish(
    correlation: &Correlation,
    sums: Vec<Option<Vec<f32>>>,
    wanted: bool,
) -> Option<FlexTensor> {
    wanted.then(|| {
        let mut sums: Vec<_> = sums.into_iter().flatten().collect();
        if sums.is_empty() {
            sums.push(correlation.zeros());
        }
        correlation.finish(&sums)
    })
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

/// A norm by the statistics of a batch.
#[derive(Clone, Debug)]
struct Norm {
    mean: Vec<f32>,
    inverse_deviation: Vec<f32>,
    /// γ by the deviation.
    scale: Vec<f32>,
    beta: FlexTensor,
}

impl Norm {
    fn new(
        mean: Vec<f32>,
        variance: &[f32],
        [gamma, beta]: [&FlexTensor; 2],
        epsilon: f64,
    ) -> Self {
        let inverse_deviation: Vec<f32> = variance
            .iter()
            .map(|variance| (1.0 / (f64::from(*variance) + epsilon).sqrt()) as f32)
            .collect();
        let scale = inverse_deviation.iter().zip(elements(gamma));
        Self {
            scale: scale.map(|(inverse, gamma)| inverse * gamma).collect(),
            mean,
            inverse_deviation,
            beta: beta.clone(),
        }
    }

    /// The mean, the scale and the shift over a stretch.
    fn constants(&self, columns: Columns) -> [Vec<f32>; 3] {
        [&self.mean, &self.scale, elements(&self.beta)].map(|values| columns.tile(values))
    }

    /// What makes the gradient of the norm's input of that of its output, over a stretch: see
    /// [`input_gradient`].
    fn slopes(
        &self,
        columns: Columns,
        (sum, product): &(Vec<f64>, Vec<f64>),
        rows: f64,
    ) -> [Vec<f32>; 4] {
        let offset: Vec<f32> = sum.iter().map(|sum| (sum / rows) as f32).collect();
        let slope: Vec<f32> = product
            .iter()
            .zip(&self.inverse_deviation)
            .map(|(product, inverse)| (product / rows * f64::from(*inverse).powi(2)) as f32)
            .collect();
        [&self.scale, &offset, &slope, &self.mean].map(|values| columns.tile(values))
    }

    /// Those of gamma and beta.
    fn gradients(&self, (sum, product): &(Vec<f64>, Vec<f64>)) -> [FlexTensor; 2] {
        let gamma = product.iter().zip(&self.inverse_deviation);
        let gamma: Vec<f32> = gamma
            .map(|(sum, inverse)| (sum * f64::from(*inverse)) as f32)
            .collect();
        let beta: Vec<f32> = sum.iter().map(|sum| *sum as f32).collect();
        [gamma, beta].map(|values| {
            let channels = values.len();
            tensor(values, [channels])
        })
    }
}

/// What a convolution is given.
enum Source<'a> {
    Given(&'a [f32]),
    /// A map, and the mean, the scale and the shift of the norm before the ReLU that follows it.
    Normalized(&'a [f32], [Vec<f32>; 3]),
}

impl Source<'_> {
    /// Those of some images.
    fn images<'a>(&'a self, range: Range<usize>, room: &'a mut [f32]) -> &'a [f32] {
        match self {
            Self::Given(values) => &values[range],
            Self::Normalized(map, [mean, scale, beta]) => {
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
struct Groups {
    columns: Columns,
    batch: usize,
    /// Images of a group.
    images: usize,
    /// Floats of an image.
    floats: usize,
    shapes: Shapes,
}

/// What one thread has of its own on the way back.
struct Part {
    /// Room for a map of a group each.
    rooms: [Vec<f32>; 2],
    /// Those of a weight's gradient.
    sums: Option<Vec<f32>>,
    totals: Totals,
}

impl Groups {
    fn new(shapes: &Shapes) -> Self {
        Self {
            columns: Columns::new(shapes.channels),
            batch: shapes.batch,
            images: winograd::images_together(shapes),
            floats: shapes.input[0] * shapes.input[1] * shapes.channels,
            shapes: *shapes,
        }
    }

    fn images_of(&self, floats: usize) -> usize {
        floats / self.floats
    }

    /// The floats of the groups of one of so many parts.
    fn of_part(&self, parts: usize, index: usize) -> impl Iterator<Item = Range<usize>> {
        let groups = self.batch.div_ceil(self.images);
        let Self {
            batch,
            images,
            floats,
            ..
        } = *self;
        part(groups, parts, index).map(move |group| {
            let images = group * images..((group + 1) * images).min(batch);
            images.start * floats..images.end * floats
        })
    }

    /// Calls `work` with the floats of each group and what the thread has.
    fn each(&self, work: impl Fn(Range<usize>, &mut Part) + Send + Sync) -> Vec<Part> {
        let parts = threads();
        in_parts(parts, |index| {
            let room = self.images * self.floats;
            let mut part = Part {
                rooms: [(); 2].map(|()| vec![0.0; room]),
                sums: None,
                totals: Totals::new(self.columns),
            };
            for range in self.of_part(parts, index) {
                work(range, &mut part);
            }
            part
        })
    }

    /// A convolution, and the mean and the variance of each channel of what it gives.
    fn convolve(&self, filter: &Filter, source: Source<'_>) -> (FlexTensor, [Vec<f32>; 2]) {
        let mut output = Unwritten::new(self.batch * self.floats);
        let dest = output.pointer();
        // Four parts to each thread even out a machine that is shared with others.
        let parts = 4 * threads();
        let moments = in_parts(parts, |index| {
            let mut room = match source {
                Source::Given(_) => Vec::new(),
                Source::Normalized(..) => vec![0.0; self.images * self.floats],
            };
            let mut moments = Moments::new(self.columns);
            for range in self.of_part(parts, index) {
                let source = source.images(range.clone(), &mut room);
                let images = self.images_of(range.len());
                // SAFETY: groups have disjoint images, which the filter writes before they are read.
                let map = unsafe {
                    filter.images(images, source, Shared::new(dest.pointer().add(range.start)));
                    dest.part(range)
                };
                moments.add(map);
            }
            moments
        });
        let (mean, variance) = Moments::of_parts(&moments);
        let [height, width] = self.shapes.output;
        let shape = [self.batch, height, width, self.shapes.out];
        // SAFETY: the groups cover all images.
        (unsafe { output.written(shape) }, [mean, variance])
    }
}
