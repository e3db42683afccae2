//! The residual block on Flex, a few images at a time.

use burn::backend::{DispatchTensor, TensorMetadata};
use burn::tensor::Tensor;
use burn_flex::FlexTensor;

use super::ResidualBlockOutput;
use super::backward::Back;
use super::groups::{Groups, Sizes, Source};
use crate::batch_norm::fused::Moments;
use crate::batch_norm::norm::Norm;
use crate::batch_norm::stretches::normalize;
use crate::buffer::{Unwritten, elements, tensor};
use crate::conv2d::images::{self, Forward};
use crate::conv2d::mixed;
use crate::conv2d::shapes::Shapes;
use crate::conv2d::winograd;
use crate::operation::{self, Operation, apply, fusible};
use crate::precision;

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
pub(super) struct SavedLayer {
    pub(super) weight: FlexTensor,
    /// What the convolution gave.
    pub(super) map: FlexTensor,
    pub(super) norm: Norm,
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

    fn backward(
        saved: Saved,
        mut gradient: FlexTensor,
        wanted: &[bool],
    ) -> Vec<Option<FlexTensor>> {
        let Saved {
            x,
            sizes,
            layers: [first, second],
            shortcut,
            output,
        } = saved;
        let back = Back {
            groups: Groups::new(&sizes),
            sizes,
            x: &x,
            first: &first,
            second: &second,
            shortcut: shortcut.as_ref(),
            wanted,
        };
        let [sums2, sums3] = back.through_relu(&mut gradient, output);
        let gradient = elements(&gradient);
        let (between, weight2_gradient, sums1) = back.through_second(gradient, &sums2);
        let [x_gradient, weight1_gradient, weight3_gradient] =
            back.through_first(gradient, between, &sums1, &sums3);

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
