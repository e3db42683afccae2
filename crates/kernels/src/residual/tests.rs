use burn::tensor::Tensor;

use super::{
    NormedConv, ResidualBlock, ResidualBlockOutput, options, residual_block_train,
    residual_block_train_composed, train,
};
use crate::batch_norm::tests::{EPSILON, naive as naive_norm};
use crate::buffer::threads;
use crate::conv2d::tests::naive_of as naive_conv;
use crate::oracle::{device, double, numbers, relative_error, tensor, values};
use crate::{profile, unfused};

/// The output, and the gradients of x and of each layer's weight, gamma and beta.
type Results<T> = Vec<Vec<T>>;

fn layers(block: &ResidualBlock) -> impl Iterator<Item = &NormedConv> {
    block.layers.iter().chain(&block.shortcut)
}

/// A layer by loops in double precision.
struct Layer {
    dims: [[usize; 4]; 2],
    stride: usize,
    weight: Vec<f64>,
    norm: [Vec<f64>; 2],
}

impl Layer {
    fn new(layer: &NormedConv, x: [usize; 4], stride: usize) -> Self {
        Self {
            dims: [x, layer.weight.dims()],
            stride,
            weight: double(&layer.weight),
            norm: [&layer.gamma, &layer.beta].map(double),
        }
    }

    fn output(&self) -> [usize; 4] {
        let [[batch, height, width, _], [out, _, kernel, _]] = self.dims;
        let options = options(kernel, self.stride);
        let [height, width] = options.output_size([height, width], [kernel; 2]);
        [batch, height, width, out]
    }

    /// The map; the gradients of x and the weight.
    fn convolve(&self, x: &[f64], upstream: Option<&[f64]>) -> [Vec<f64>; 3] {
        let zeros = vec![0.0; self.output().iter().product()];
        let bias = vec![0.0; self.dims[1][0]];
        let options = options(self.dims[1][2], self.stride);
        let operands = [x, &self.weight, &bias];
        let naive = naive_conv(self.dims, operands, upstream.unwrap_or(&zeros), options);
        [naive.output, naive.x, naive.weight]
    }
}

fn naive(x: &Tensor<4>, block: &ResidualBlock, upstream: &[f64]) -> Results<f64> {
    let first = Layer::new(&block.layers[0], x.dims(), block.stride);
    let second = Layer::new(&block.layers[1], first.output(), 1);
    let beside = block.shortcut.as_ref();
    let beside = beside.map(|layer| Layer::new(layer, x.dims(), block.stride));
    let x = double(x);
    let norm = |layer: &Layer, x: &[f64], residual: Option<&[f64]>, relu, upstream: &[f64]| {
        let [gamma, beta] = &layer.norm;
        naive_norm(x, [gamma, beta], residual, relu, upstream, None)
    };
    let [map1, ..] = first.convolve(&x, None);
    let between = norm(&first, &map1, None, true, upstream).output;
    let [map2, ..] = second.convolve(&between, None);
    let map3 = beside
        .as_ref()
        .map(|layer| layer.convolve(&x, None)[0].clone());
    let added = match (&beside, &map3) {
        (Some(layer), Some(map)) => norm(layer, map, None, false, upstream).output,
        _ => x.clone(),
    };
    let norm2 = norm(&second, &map2, Some(&added), true, upstream);
    let [_, gradient, weight2] = second.convolve(&between, Some(&norm2.x));
    let norm1 = norm(&first, &map1, None, true, &gradient);
    let [_, mut x_gradient, weight1] = first.convolve(&x, Some(&norm1.x));
    let mut more = Vec::new();
    let mut passed = norm2.residual.clone();
    if let (Some(layer), Some(map)) = (&beside, &map3) {
        let norm3 = norm(layer, map, None, false, &norm2.residual);
        let [_, gradient, weight3] = layer.convolve(&x, Some(&norm3.x));
        passed = gradient;
        more = vec![weight3, norm3.gamma, norm3.beta];
    }
    for (sum, more) in x_gradient.iter_mut().zip(passed) {
        *sum += more;
    }
    let results = [
        norm2.output,
        x_gradient,
        weight1,
        norm1.gamma,
        norm1.beta,
        weight2,
        norm2.gamma,
        norm2.beta,
    ];
    results.into_iter().chain(more).collect()
}

/// A block with a convolution in its shortcut where the channels or the size change.
fn block(channels: usize, out: usize, stride: usize) -> ResidualBlock {
    let layer = |channels: usize, kernel: usize, seed: u64| NormedConv {
        weight: tensor([out, channels, kernel, kernel], seed).require_grad(),
        gamma: (tensor([out], seed + 1) + 1.5).require_grad(),
        beta: tensor([out], seed + 2).require_grad(),
    };
    ResidualBlock {
        layers: [layer(channels, 3, 10), layer(out, 3, 20)],
        shortcut: (channels != out || stride > 1).then(|| layer(channels, 1, 30)),
        stride,
    }
}

/// As one operation also where that doesn't pay, as with these few images.
fn fused(x: Tensor<4>, block: ResidualBlock, epsilon: f64) -> ResidualBlockOutput {
    train(x, block, epsilon, true)
}

type Train = fn(Tensor<4>, ResidualBlock, f64) -> ResidualBlockOutput;

/// Another gradient for each pixel of the output.
fn upstream(output: &Tensor<4>) -> Tensor<4> {
    tensor(output.dims(), 2)
}

fn run(train: Train, x: &Tensor<4>, block: &ResidualBlock) -> Results<f32> {
    let output = train(x.clone(), block.clone(), EPSILON).output;
    let gradients = (output.clone() * upstream(&output)).sum().backward();
    let mut results = vec![values(&output), values(&x.grad(&gradients).unwrap())];
    for layer in layers(block) {
        results.push(values(&layer.weight.grad(&gradients).unwrap()));
        for norm in [&layer.gamma, &layer.beta] {
            results.push(values(&norm.grad(&gradients).unwrap()));
        }
    }
    results
}

#[test]
fn errors_are_at_most_twice_those_of_burns_own_operations() {
    for (shape, out, stride) in [
        ([8, 8, 8, 16], 16, 1),
        ([5, 7, 9, 16], 16, 1),
        ([13, 4, 4, 32], 32, 1),
        ([1, 16, 16, 16], 16, 1),
        ([2, 12, 6, 48], 48, 1),
        ([9, 16, 16, 16], 32, 2),
        ([5, 9, 15, 16], 32, 2),
        ([9, 8, 8, 64], 128, 2),
        ([16, 10, 10, 64], 128, 2),
        ([3, 8, 8, 16], 32, 1),
        ([5, 8, 8, 3], 16, 1),
        ([24, 4, 3, 16], 16, 1),
        ([3, 9, 10, 16], 16, 3),
        ([40, 8, 8, 16], 16, 1),
    ] {
        let x = tensor(shape, 1).require_grad();
        let block = block(shape[3], out, stride);
        let ours = run(fused, &x, &block);
        let twins = unfused(|| run(fused, &x, &block));
        let output = fused(x.clone(), block.clone(), EPSILON).output;
        let exact = naive(&x, &block, &double(&upstream(&output)));
        assert_eq!(ours.len(), exact.len());
        for (part, ((ours, twins), exact)) in ours.iter().zip(&twins).zip(&exact).enumerate() {
            let [ours, twins] = [ours, twins].map(|found| relative_error(found, exact));
            assert!(
                ours <= 2.0 * twins,
                "{part} of {shape:?} to {out} by {stride}: {ours:.2e}, {twins:.2e}"
            );
        }
    }
}

#[test]
fn statistics_are_those_of_the_norms() {
    for (channels, out, stride) in [(16, 16, 1), (16, 32, 2)] {
        let x = tensor([7, 8, 8, channels], 1) + 3.0;
        let block = block(channels, out, stride);
        let found = fused(x.clone(), block.clone(), EPSILON).statistics;
        let composed = residual_block_train_composed(x, block, EPSILON).statistics;
        assert_eq!(found.len(), if stride == 1 { 2 } else { 3 });
        let both = found.iter().flatten().zip(composed.iter().flatten());
        for (found, composed) in both {
            let error = relative_error(&values(found), &double(composed));
            assert!(error < 2e-6, "{error:.2e}");
        }
    }
}

#[test]
fn gradients_that_nobody_wants_change_no_others() {
    for (channels, out, stride) in [(16, 16, 1), (16, 32, 2)] {
        let x = tensor([4, 8, 8, channels], 1).require_grad();
        let all = block(channels, out, stride);
        let expected = run(fused, &x, &all);
        let fixed = |tensor: &Tensor<4>| tensor.clone().detach().set_require_grad(false);

        let mut some = all.clone();
        some.layers[0].weight = fixed(&all.layers[0].weight);
        let output = fused(fixed(&x), some, EPSILON).output;
        let gradients = (output.clone() * upstream(&output)).sum().backward();
        assert!(all.layers[0].weight.grad(&gradients).is_none());
        assert_eq!(
            values(&all.layers[0].beta.grad(&gradients).unwrap()),
            expected[4]
        );
        assert_eq!(
            values(&all.layers[1].weight.grad(&gradients).unwrap()),
            expected[5]
        );

        let mut some = all.clone();
        some.layers[1].weight = fixed(&all.layers[1].weight);
        if let Some(layer) = &mut some.shortcut {
            layer.weight = fixed(&layer.weight);
        }
        let output = fused(x.clone(), some, EPSILON).output;
        let gradients = (output.clone() * upstream(&output)).sum().backward();
        assert_eq!(values(&x.grad(&gradients).unwrap()), expected[1]);
        assert_eq!(
            values(&all.layers[0].weight.grad(&gradients).unwrap()),
            expected[2]
        );
        assert!(all.layers[1].weight.grad(&gradients).is_none());
    }
}

#[test]
fn the_gradient_of_the_output_stays_what_it_is_elsewhere() {
    // The same gradient goes to the block and past it.
    let x = tensor([2, 8, 8, 16], 1).require_grad();
    let other = tensor([2, 8, 8, 16], 2).require_grad();
    let upstream = tensor([2, 8, 8, 16], 3);
    let output = fused(x, block(16, 16, 1), EPSILON).output + other.clone();
    let gradients = (output * upstream.clone()).sum().backward();
    assert_eq!(values(&other.grad(&gradients).unwrap()), values(&upstream));
}

#[test]
fn a_batch_may_be_empty() {
    for (out, stride) in [(16, 1), (32, 2)] {
        let x = Tensor::<4>::zeros([0, 8, 8, 16], &device()).require_grad();
        let block = block(16, out, stride);
        let output = fused(x.clone(), block.clone(), EPSILON).output;
        assert_eq!(output.dims(), [0, 8 / stride, 8 / stride, out]);
        let gradients = output.sum().backward();
        assert_eq!(x.grad(&gradients).unwrap().dims(), x.dims());
        for layer in layers(&block) {
            let gradient = values(&layer.weight.grad(&gradients).unwrap());
            assert!(gradient.iter().all(|value| *value == 0.0));
        }
    }
}

#[test]
fn nothing_undefined_is_hidden() {
    for (out, stride) in [(16, 1), (32, 2)] {
        let mut x = numbers(2 * 8 * 8 * 16, 1);
        x[100] = f32::NAN;
        let x = Tensor::<1>::from_floats(x.as_slice(), &device()).reshape([2, 8, 8, 16]);
        let output = fused(x, block(16, out, stride), EPSILON).output;
        assert!(values(&output).iter().any(|value| value.is_nan()));
    }
}

#[test]
fn few_images_are_done_operation_by_operation() {
    // A group is of 24 such images, and each thread wants three.
    for (batch, one) in [(1, false), (24 * 3 * threads(), true)] {
        let x = Tensor::<4>::zeros([batch, 4, 4, 16], &device());
        let block = block(16, 16, 1);
        let (_, measured) = profile(|| residual_block_train(x, block, EPSILON));
        let fused = measured
            .iter()
            .any(|entry| entry.operation == "ResidualBlock");
        assert_eq!(fused, one, "{batch}");
    }
}

#[test]
fn two_runs_are_bit_identical() {
    for (out, stride) in [(16, 1), (32, 2)] {
        let x = tensor([40, 8, 8, 16], 1).require_grad();
        let block = block(16, out, stride);
        assert_eq!(run(fused, &x, &block), run(fused, &x, &block));
    }
}

#[test]
fn sizes_without_a_kernel_are_composed() {
    // Winograd's filtering wants 16 channels.
    let x = tensor([2, 8, 8, 8], 1).require_grad();
    let block = block(8, 8, 1);
    let found = run(fused, &x, &block);
    assert_eq!(found, run(residual_block_train_composed, &x, &block));
}

#[test]
#[should_panic(expected = "this weight must be [16, 16, 3, 3]")]
fn weights_of_other_sizes_are_refused() {
    let mut block = block(16, 16, 1);
    block.layers[1].weight = tensor([32, 16, 3, 3], 1);
    fused(tensor([1, 8, 8, 16], 1), block, EPSILON);
}

#[test]
#[should_panic(expected = "the shortcut must be a convolution")]
fn a_shortcut_that_cannot_be_added_is_refused() {
    let mut block = block(16, 32, 2);
    block.shortcut = None;
    fused(tensor([1, 8, 8, 16], 1), block, EPSILON);
}
