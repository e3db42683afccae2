use burn::tensor::Tensor;

use super::{NormedConv, ResidualBlockOutput, residual_block_train, residual_block_train_composed};
use crate::batch_norm::tests::{EPSILON, naive as naive_norm};
use crate::conv2d::Conv2dOptions;
use crate::conv2d::tests::naive_of as naive_conv;
use crate::oracle::{device, double, numbers, relative_error, tensor, values};
use crate::unfused;

/// The output, and the gradients of x and of each layer's weight, gamma and beta.
type Results<T> = [Vec<T>; 8];

fn naive(x: &Tensor<4>, layers: &[NormedConv; 2], upstream: &[f64]) -> Results<f64> {
    let options = Conv2dOptions {
        padding: [1, 1],
        ..Default::default()
    };
    let dims = [x.dims(), layers[0].weight.dims()];
    let input = double(x);
    let weights = layers.each_ref().map(|layer| double(&layer.weight));
    let norms = layers
        .each_ref()
        .map(|layer| [&layer.gamma, &layer.beta].map(double));
    let bias = vec![0.0; dims[1][0]];
    let zeros = vec![0.0; input.len()];
    let convolve = |layer: usize, x: &[f64], upstream: &[f64]| {
        naive_conv(dims, [x, &weights[layer], &bias], upstream, options)
    };
    let normalize = |layer: usize, x: &[f64], residual: Option<&[f64]>, upstream: &[f64]| {
        let [gamma, beta] = &norms[layer];
        naive_norm(x, [gamma, beta], residual, true, upstream, None)
    };
    let map1 = convolve(0, &input, &zeros).output;
    let between = normalize(0, &map1, None, &zeros).output;
    let map2 = convolve(1, &between, &zeros).output;
    let norm2 = normalize(1, &map2, Some(&input), upstream);
    let conv2 = convolve(1, &between, &norm2.x);
    let norm1 = normalize(0, &map1, None, &conv2.x);
    let conv1 = convolve(0, &input, &norm1.x);
    let x_gradient = conv1.x.iter().zip(&norm2.residual).map(|(a, b)| a + b);
    [
        norm2.output,
        x_gradient.collect(),
        conv1.weight,
        norm1.gamma,
        norm1.beta,
        conv2.weight,
        norm2.gamma,
        norm2.beta,
    ]
}

fn layers(channels: usize) -> [NormedConv; 2] {
    [10, 20].map(|seed| NormedConv {
        weight: tensor([channels, channels, 3, 3], seed).require_grad(),
        gamma: (tensor([channels], seed + 1) + 1.5).require_grad(),
        beta: tensor([channels], seed + 2).require_grad(),
    })
}

type Block = fn(Tensor<4>, [NormedConv; 2], f64) -> ResidualBlockOutput;

fn run(
    block: Block,
    x: &Tensor<4>,
    layers: &[NormedConv; 2],
    upstream: &Tensor<4>,
) -> Results<f32> {
    let output = block(x.clone(), layers.clone(), EPSILON).output;
    let gradients = (output.clone() * upstream.clone()).sum().backward();
    let [weight1, weight2] = layers
        .each_ref()
        .map(|layer| values(&layer.weight.grad(&gradients).unwrap()));
    let [[gamma1, beta1], [gamma2, beta2]] = layers
        .each_ref()
        .map(|layer| [&layer.gamma, &layer.beta].map(|p| values(&p.grad(&gradients).unwrap())));
    let x = values(&x.grad(&gradients).unwrap());
    let output = values(&output);
    [output, x, weight1, gamma1, beta1, weight2, gamma2, beta2]
}

#[test]
fn errors_are_at_most_twice_those_of_burns_own_operations() {
    for shape in [
        [8, 8, 8, 16],
        [5, 7, 9, 16],
        [13, 4, 4, 32],
        [1, 16, 16, 16],
        [2, 12, 6, 48],
    ] {
        let x = tensor(shape, 1).require_grad();
        let layers = layers(shape[3]);
        let upstream = tensor(shape, 2);
        let exact = naive(&x, &layers, &double(&upstream));
        let errors = |found: &Results<f32>| -> [f64; 8] {
            std::array::from_fn(|i| relative_error(&found[i], &exact[i]))
        };
        let ours = errors(&run(residual_block_train, &x, &layers, &upstream));
        let twins = errors(&unfused(|| {
            run(residual_block_train, &x, &layers, &upstream)
        }));
        for (part, (ours, twins)) in ours.into_iter().zip(twins).enumerate() {
            assert!(
                ours <= 2.0 * twins,
                "{part} of {shape:?}: {ours:.2e}, {twins:.2e}"
            );
        }
    }
}

#[test]
fn statistics_are_those_of_the_norms() {
    let x = tensor([7, 8, 8, 16], 1) + 3.0;
    let layers = layers(16);
    let block = residual_block_train(x.clone(), layers.clone(), EPSILON);
    let composed = residual_block_train_composed(x, layers, EPSILON);
    let both = block.statistics.iter().zip(&composed.statistics);
    for (block, composed) in both.flat_map(|(block, composed)| block.iter().zip(composed)) {
        let error = relative_error(&values(block), &double(composed));
        assert!(error < 2e-6, "{error:.2e}");
    }
}

#[test]
fn gradients_that_nobody_wants_change_no_others() {
    let x = tensor([4, 8, 8, 16], 1).require_grad();
    let upstream = tensor([4, 8, 8, 16], 2);
    let all = layers(16);
    let [_, _, weight1, _, beta1, weight2, ..] = run(residual_block_train, &x, &all, &upstream);

    let fixed = |tensor: &Tensor<4>| tensor.clone().detach().set_require_grad(false);
    let mut some = all.clone();
    some[0].weight = fixed(&all[0].weight);
    let output = residual_block_train(fixed(&x), some, EPSILON).output;
    let gradients = (output * upstream.clone()).sum().backward();
    assert!(all[0].weight.grad(&gradients).is_none());
    assert_eq!(values(&all[0].beta.grad(&gradients).unwrap()), beta1);
    assert_eq!(values(&all[1].weight.grad(&gradients).unwrap()), weight2);

    let mut some = all.clone();
    some[1].weight = fixed(&all[1].weight);
    let output = residual_block_train(x, some, EPSILON).output;
    let gradients = (output * upstream).sum().backward();
    assert_eq!(values(&all[0].weight.grad(&gradients).unwrap()), weight1);
    assert!(all[1].weight.grad(&gradients).is_none());
}

#[test]
fn the_gradient_of_the_output_stays_what_it_is_elsewhere() {
    // The same gradient goes to the block and past it.
    let x = tensor([2, 8, 8, 16], 1).require_grad();
    let other = tensor([2, 8, 8, 16], 2).require_grad();
    let upstream = tensor([2, 8, 8, 16], 3);
    let output = residual_block_train(x, layers(16), EPSILON).output + other.clone();
    let gradients = (output * upstream.clone()).sum().backward();
    assert_eq!(values(&other.grad(&gradients).unwrap()), values(&upstream));
}

#[test]
fn a_batch_may_be_empty() {
    let x = Tensor::<4>::zeros([0, 8, 8, 16], &device()).require_grad();
    let layers = layers(16);
    let output = residual_block_train(x.clone(), layers.clone(), EPSILON).output;
    assert_eq!(output.dims(), [0, 8, 8, 16]);
    let gradients = output.sum().backward();
    assert_eq!(x.grad(&gradients).unwrap().dims(), [0, 8, 8, 16]);
    for layer in layers {
        let gradient = values(&layer.weight.grad(&gradients).unwrap());
        assert!(gradient.iter().all(|value| *value == 0.0));
    }
}

#[test]
fn nothing_undefined_is_hidden() {
    let mut x = numbers(2 * 8 * 8 * 16, 1);
    x[100] = f32::NAN;
    let x = Tensor::<1>::from_floats(x.as_slice(), &device()).reshape([2, 8, 8, 16]);
    let output = values(&residual_block_train(x, layers(16), EPSILON).output);
    assert!(output.iter().any(|value| value.is_nan()));
}

#[test]
fn sizes_without_a_kernel_are_composed() {
    // Eight channels fill no vector of AVX-512, and Winograd's filtering wants 16.
    let x = tensor([2, 8, 8, 8], 1).require_grad();
    let upstream = tensor([2, 8, 8, 8], 2);
    let layers = layers(8);
    let found = run(residual_block_train, &x, &layers, &upstream);
    let composed = run(residual_block_train_composed, &x, &layers, &upstream);
    assert_eq!(found, composed);
}

#[test]
#[should_panic(expected = "the weights must be [16, 16, 3, 3]")]
fn weights_of_other_sizes_are_refused() {
    let mut layers = layers(16);
    layers[1].weight = tensor([32, 16, 3, 3], 1);
    residual_block_train(tensor([1, 8, 8, 16], 1), layers, EPSILON);
}
