//! The residual block on Flex, a few images at a time.

use burn::backend::{DispatchTensor, TensorMetadata};
use burn::tensor::Tensor;
use burn_flex::FlexTensor;

use super::ResidualBlockOutput;
use super::groups::{Groups, Part, Sizes, Source};
use super::norm::Norm;
use crate::batch_norm::fused::{Moments, Totals};
use crate::batch_norm::stretches::{
    gradient_sums, gradient_sums_again, gradient_sums_relu, input_gradient, normalize,
};
use crate::buffer::{Shared, Unwritten, elements, in_parts, part, tensor, threads};
use crate::conv2d::images::{self, Forward, InputGradient, WeightGradient};
use crate::conv2d::mixed;
use crate::conv2d::shapes::Shapes;
use crate::conv2d::winograd;
use crate::operation::{self, Operation, apply, fusible};
use crate::precision;
use crate::vectorized::vectorized;

/// A weight, and a norm's scale and shift.
pub(super) type Layer = (DispatchTensor, [DispatchTensor; 2]);

/// The sizes of a block that can be done here: in `f32`, with a second convolution by Winograd's
/// filtering.
pub(super) fn sizes(
    x: &DispatchTensor,
    layers: &[Layer; 2],
    shortcut: Option<&Layer>,
    stride: usize,
) -> Option<Sizes> {
    let all = layers.iter().chain(shortcut);
    let parameters = all.flat_map(|(weight, norm)| [weight, &norm[0], &norm[1]]);
    let tensors: Vec<_> = [x].into_iter().chain(parameters).collect();
    let (x, weight) = (x.shape(), layers[0].0.shape());
    let sizes = Sizes::new([x[0], x[1], x[2], x[3]], weight[0], stride);
    let engine = precision::engine();
    let in_f32 = |shapes: &Shapes| !engine.is_some_and(|engine| mixed::multiplies(engine, shapes));
    let beside = shortcut.is_some().then_some(sizes.beside);
    let mut convolutions = [sizes.first, sizes.second].into_iter().chain(beside);
    let possible = fusible(&tensors)
        && winograd::applies(&sizes.second)
        && images::applies(&sizes.first)
        && convolutions.all(|shapes| in_f32(&shapes));
    possible.then_some(sizes)
}

pub(super) fn train(
    x: DispatchTensor,
    layers: [Layer; 2],
    shortcut: Option<Layer>,
    stride: usize,
    epsilon: f64,
) -> ResidualBlockOutput {
    let operation = ResidualBlock { stride, epsilon };
    let [(weight1, [gamma1, beta1]), (weight2, [gamma2, beta2])] = layers;
    let (output, statistics) = match shortcut {
        None => apply(
            operation,
            [x, weight1, gamma1, beta1, weight2, gamma2, beta2],
        ),
        Some((weight3, [gamma3, beta3])) => apply(
            operation,
            [
                x, weight1, gamma1, beta1, weight2, gamma2, beta2, weight3, gamma3, beta3,
            ],
        ),
    };
    let mut statistics = statistics.into_iter().map(Tensor::from_dispatch);
    let mut pairs = Vec::new();
    while let (Some(mean), Some(variance)) = (statistics.next(), statistics.next()) {
        pairs.push([mean, variance]);
    }
    ResidualBlockOutput {
        output: Tensor::from_dispatch(output),
        statistics: pairs,
    }
}

/// Inputs: x, then of each layer the weight, gamma and beta: the first, the second, and the shortcut's, if
/// it has one.
#[derive(Clone, Debug)]
struct ResidualBlock {
    stride: usize,
    epsilon: f64,
}

/// What the backward pass needs of a convolution and its norm.
#[derive(Clone, Debug)]
struct SavedLayer {
    weight: FlexTensor,
    /// What the convolution gave.
    map: FlexTensor,
    norm: Norm,
}

#[derive(Clone, Debug)]
struct Saved {
    x: FlexTensor,
    sizes: Sizes,
    layers: [SavedLayer; 2],
    shortcut: Option<SavedLayer>,
    output: FlexTensor,
}

impl Operation for ResidualBlock {
    type Saved = Saved;

    fn flops(&self, inputs: &[FlexTensor], tracked: &[bool]) -> [f64; 2] {
        let sizes = Sizes::of(inputs, self.stride);
        let [first, second, beside] =
            [sizes.first, sizes.second, sizes.beside].map(|shapes| shapes.flops());
        let beside = if inputs.len() > 7 { beside } else { 0.0 };
        // The gradient goes on through the second convolution whatever wants one.
        let through = second + if tracked[0] { first + beside } else { 0.0 };
        let weights = [(1, first), (4, second), (7, beside)].into_iter();
        let weights = weights.filter(|(input, _)| tracked.get(*input) == Some(&true));
        let weights: f64 = weights.map(|(_, flops)| flops).sum();
        [first + second + beside, through + weights]
    }

    fn forward(self, inputs: &[FlexTensor], tracked: &[bool]) -> operation::Forward<Saved> {
        let x = &inputs[0];
        let sizes = Sizes::of(inputs, self.stride);
        let groups = Groups::new(&sizes);
        let columns = groups.columns;
        let input = elements(x);
        let layer = |index: usize, (map, moments): (FlexTensor, Vec<Moments>)| {
            let [weight, gamma, beta] = [0, 1, 2].map(|input| &inputs[3 * index + 1 + input]);
            let (mean, variance) = Moments::of_parts(&moments);
            let statistics = [mean.clone(), variance.clone()];
            let norm = Norm::new(mean, &variance, [gamma, beta], self.epsilon);
            let weight = weight.clone();
            (SavedLayer { weight, map, norm }, statistics)
        };
        let weight = |index: usize| elements(&inputs[3 * index + 1]);

        let first = Forward::new(&sizes.first, weight(0));
        let beside = (inputs.len() > 7).then(|| Forward::new(&sizes.beside, weight(2)));
        let convolutions: Vec<_> = [&first].into_iter().chain(&beside).collect();
        let mut maps = groups
            .convolve(&convolutions, Source::Given(input, groups.input))
            .into_iter();
        let mut next = || maps.next().expect("a map of each convolution");
        let (first, statistics1) = layer(0, next());
        let shortcut = beside.is_some().then(|| layer(2, next()));

        let second = Forward::new(&sizes.second, weight(1));
        let source = Source::Normalized(elements(&first.map), first.norm.constants(columns));
        let mut maps = groups.convolve(&[&second], source).into_iter();
        let (second, statistics2) = layer(1, maps.next().expect("a map"));

        let [mean, scale, beta] = second.norm.constants(columns);
        let map = elements(&second.map);
        let beside = shortcut
            .as_ref()
            .map(|(layer, _)| (elements(&layer.map), layer.norm.constants(columns)));
        let mut output = Unwritten::new(map.len());
        let dest = output.pointer();
        columns.each_stretch(map.len(), |range| {
            // SAFETY: stretches are disjoint and cover the output once.
            let dest = unsafe { dest.part(range.clone()) };
            let mut room = Vec::new();
            let residual = match &beside {
                None => &input[range.clone()],
                Some((map, [mean, scale, beta])) => {
                    room.resize(range.len(), 0.0);
                    normalize(
                        &map[range.clone()],
                        (mean, scale, beta),
                        None,
                        false,
                        &mut room,
                    );
                    &room
                }
            };
            let constants = (&mean[..], &scale[..], &beta[..]);
            normalize(&map[range], constants, Some(residual), true, dest);
        });
        // SAFETY: every stretch was written.
        let output = unsafe { output.written(second.map.layout().shape().clone()) };

        let (shortcut, statistics3) = shortcut.unzip();
        let statistics = [statistics1, statistics2].into_iter().chain(statistics3);
        let statistics = statistics
            .flatten()
            .map(|values| tensor(values, [sizes.second.channels]))
            .collect();
        let saved = tracked.contains(&true).then(|| Saved {
            x: x.clone(),
            sizes,
            layers: [first, second],
            shortcut,
            output: output.clone(),
        });
        operation::Forward {
            output,
            statistics,
            saved,
        }
    }

    fn backward(saved: Saved, gradient: FlexTensor, wanted: &[bool]) -> Vec<Option<FlexTensor>> {
        let Saved {
            x,
            sizes,
            layers: [first, second],
            shortcut,
            output,
        } = saved;
        let wants = |input: usize| wanted.get(input) == Some(&true);
        let groups = Groups::new(&sizes);
        let columns = groups.columns;
        let (input, map1, map2) = (elements(&x), elements(&first.map), elements(&second.map));
        let rows = map2.len() as f64 / sizes.second.channels as f64;

        // Through the last ReLU, in place: what the shortcut and the second norm get.
        let mut gradient = gradient;
        let (sums2, sums3) = {
            let gradient = Shared::new(gradient.storage_mut::<f32>().as_mut_ptr());
            let output = elements(&output);
            let mean = columns.tile(&second.norm.mean);
            let beside = shortcut
                .as_ref()
                .map(|layer| (elements(&layer.map), columns.tile(&layer.norm.mean)));
            let block = columns.block();
            let blocks = map2.len().div_ceil(block);
            let parts = threads().min(blocks).max(1);
            let totals = in_parts(parts, |index| {
                let mut totals = [(); 2].map(|()| Totals::new(columns));
                for i in part(blocks, parts, index) {
                    let range = i * block..((i + 1) * block).min(map2.len());
                    // SAFETY: blocks are disjoint, and the gradient is ours alone.
                    let gradient = unsafe { gradient.part(range.clone()) };
                    let (x, output) = (&map2[range.clone()], &output[range.clone()]);
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
            (Totals::of_parts(&second), Totals::of_parts(&beside))
        };
        drop(output);
        let gradient = elements(&gradient);

        // Through the second norm and the second convolution. What the ReLU before it let through is made again
        // wherever its gradient is taken up.
        let slopes2 = second.norm.slopes(columns, &sums2, rows);
        let slopes2 = slopes2.each_ref().map(Vec::as_slice);
        let back = InputGradient::new(&sizes.second, elements(&second.weight));
        let correlation2 = WeightGradient::new(&sizes.second);
        let [mean1, scale1, beta1] = first.norm.constants(columns);
        let mut between = Unwritten::new(map1.len());
        let dest = between.pointer();
        let mut parts = groups.each(|images, part: &mut Part| {
            let range = images.start * groups.output..images.end * groups.output;
            let Part {
                rooms: [room, normalized, _],
                sums,
                totals,
            } = part;
            let room = &mut room[..range.len()];
            let normalized = &mut normalized[..range.len()];
            let map1 = &map1[range.clone()];
            input_gradient(
                room,
                &gradient[range.clone()],
                &map2[range.clone()],
                slopes2,
                None,
            );
            normalize(map1, (&mean1, &scale1, &beta1), None, true, normalized);
            if wants(4) {
                let sums = sums[0].get_or_insert_with(|| correlation2.zeros());
                correlation2.images(images.len(), normalized, room, sums);
            }
            // SAFETY: groups have disjoint images, which are written before they are read.
            let dest = unsafe {
                let dest = Shared::new(dest.pointer().add(range.start));
                back.images(images.len(), room, dest);
                &*dest.part(0..range.len())
            };
            totals.add(range.len(), |range, [sum, product]| {
                let constants = [&mean1[..], &scale1, &beta1];
                gradient_sums_again(&dest[range.clone()], &map1[range], constants, sum, product);
            });
        });
        let weight2_gradient = finish(&correlation2, &mut parts, 0, wants(4));
        let totals: Vec<_> = parts.into_iter().map(|part| part.totals).collect();
        let sums1 = Totals::of_parts(&totals);

        // Through the first ReLU, its norm and convolution, and by the shortcut. Without a convolution
        // there, the gradient of the input stands in the place of what is taken up.
        let slopes1 = first.norm.slopes(columns, &sums1, rows);
        let slopes1 = slopes1.each_ref().map(Vec::as_slice);
        let back = InputGradient::new(&sizes.first, elements(&first.weight));
        let correlation1 = WeightGradient::new(&sizes.first);
        let correlation3 = WeightGradient::new(&sizes.beside);
        let beside = shortcut.as_ref().map(|layer| {
            let slopes = layer.norm.slopes(columns, &sums3, rows);
            let back = InputGradient::new(&sizes.beside, elements(&layer.weight));
            (elements(&layer.map), slopes, back)
        });
        let mut apart = beside.as_ref().map(|_| Unwritten::new(input.len()));
        let x_dest = apart.as_mut().map_or(dest, Unwritten::pointer);
        let mut parts = groups.each(|images, part: &mut Part| {
            let range = images.start * groups.output..images.end * groups.output;
            let inputs = images.start * groups.input..images.end * groups.input;
            let Part {
                rooms: [room, other, third],
                sums: [sums1, sums3],
                ..
            } = part;
            let room = &mut room[..range.len()];
            // SAFETY: groups have disjoint images, all of which were written above.
            let between = unsafe { dest.part(range.clone()) };
            input_gradient(room, between, &map1[range.clone()], slopes1, Some(&beta1));
            let x = &input[inputs.clone()];
            if wants(1) {
                let sums = sums1.get_or_insert_with(|| correlation1.zeros());
                correlation1.images(images.len(), x, room, sums);
            }
            // SAFETY: groups have disjoint images, which are written before they are read.
            let x_dest = unsafe { Shared::new(x_dest.pointer().add(inputs.start)) };
            if wants(0) {
                // SAFETY: as above.
                unsafe { back.images(images.len(), room, x_dest) };
            }
            let Some((map, slopes, back)) = &beside else {
                if wants(0) {
                    // SAFETY: as above.
                    add(unsafe { x_dest.part(0..inputs.len()) }, &gradient[range]);
                }
                return;
            };
            let other = &mut other[..range.len()];
            let slopes = slopes.each_ref().map(Vec::as_slice);
            input_gradient(other, &gradient[range.clone()], &map[range], slopes, None);
            if wants(7) {
                let sums = sums3.get_or_insert_with(|| correlation3.zeros());
                correlation3.images(images.len(), x, other, sums);
            }
            if wants(0) {
                let third = &mut third[..inputs.len()];
                // SAFETY: the room is ours.
                unsafe {
                    back.images(images.len(), other, Shared::new(third.as_mut_ptr()));
                    add(x_dest.part(0..inputs.len()), third);
                }
            }
        });
        let weight1_gradient = finish(&correlation1, &mut parts, 0, wants(1));
        let weight3_gradient = finish(&correlation3, &mut parts, 1, wants(7));
        let x_gradient = wants(0).then(|| {
            let shape = x.layout().shape().clone();
            // SAFETY: every group was written.
            unsafe { apart.unwrap_or(between).written(shape) }
        });

        let [gamma1, beta1] = first.norm.gradients(&sums1);
        let [gamma2, beta2] = second.norm.gradients(&sums2);
        let mut gradients = vec![
            x_gradient,
            weight1_gradient,
            Some(gamma1),
            Some(beta1),
            weight2_gradient,
            Some(gamma2),
            Some(beta2),
        ];
        if let Some(layer) = shortcut {
            let [gamma3, beta3] = layer.norm.gradients(&sums3);
            gradients.extend([weight3_gradient, Some(gamma3), Some(beta3)]);
        }
        let gradients = gradients.into_iter().zip(wanted);
        gradients
            .map(|(gradient, wanted)| gradient.filter(|_| *wanted))
            .collect()
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
