use burn::tensor::Tensor;

use super::{Conv2dOptions, conv2d, conv2d_reference};
use crate::bfloat::Engine;
use crate::oracle::{assert_close, device, double, relative_error, short, tensor, values};
use crate::precision::in_engine;

/// The value and the gradients of a convolution, by loops in double precision.
pub(crate) struct Naive {
    pub(crate) output: Vec<f64>,
    pub(crate) x: Vec<f64>,
    pub(crate) weight: Vec<f64>,
    bias: Vec<f64>,
}

pub(super) fn naive(
    x: &Tensor<4>,
    weight: &Tensor<4>,
    bias: &Tensor<1>,
    upstream: &[f32],
    options: Conv2dOptions,
) -> Naive {
    let upstream: Vec<f64> = upstream.iter().copied().map(f64::from).collect();
    let dims = [x.dims(), weight.dims()];
    let [x, weight] = [x, weight].map(double);
    naive_of(dims, [&x, &weight, &double(bias)], &upstream, options)
}

/// The same of numbers in double precision: those of x, the weight and the bias, of which the first two
/// have these dimensions.
pub(crate) fn naive_of(
    dims: [[usize; 4]; 2],
    [x, weight, bias]: [&[f64]; 3],
    upstream: &[f64],
    options: Conv2dOptions,
) -> Naive {
    let [
        [batch, height, width, channels],
        [out, group, kernel_height, kernel_width],
    ] = dims;
    let [rows, columns] = options.output_size([height, width], [kernel_height, kernel_width]);
    let mut naive = Naive {
        output: vec![0.0; batch * rows * columns * out],
        x: vec![0.0; x.len()],
        weight: vec![0.0; weight.len()],
        bias: vec![0.0; out],
    };
    for b in 0..batch {
        for row in 0..rows {
            for column in 0..columns {
                for (o, bias) in bias.iter().enumerate() {
                    let pixel = ((b * rows + row) * columns + column) * out + o;
                    let upstream = upstream[pixel];
                    let mut met = Vec::new();
                    for u in 0..kernel_height {
                        for v in 0..kernel_width {
                            let i = row * options.stride[0] + u * options.dilation[0];
                            let j = column * options.stride[1] + v * options.dilation[1];
                            let Some(i) = i.checked_sub(options.padding[0]) else {
                                continue;
                            };
                            let Some(j) = j.checked_sub(options.padding[1]) else {
                                continue;
                            };
                            if i >= height || j >= width {
                                continue;
                            }
                            for c in 0..group {
                                let channel = o / (out / options.groups) * group + c;
                                let from = ((b * height + i) * width + j) * channels + channel;
                                let tap = ((o * group + c) * kernel_height + u) * kernel_width + v;
                                met.push((from, tap));
                            }
                        }
                    }
                    let sum: f64 = met.iter().map(|&(from, tap)| x[from] * weight[tap]).sum();
                    naive.output[pixel] = bias + sum;
                    if options.relu && bias + sum <= 0.0 {
                        naive.output[pixel] = 0.0;
                        continue;
                    }
                    naive.bias[o] += upstream;
                    for (from, tap) in met {
                        naive.x[from] += upstream * weight[tap];
                        naive.weight[tap] += upstream * x[from];
                    }
                }
            }
        }
    }
    naive
}

pub(super) fn check(x: Tensor<4>, out: usize, kernel: [usize; 2], options: Conv2dOptions) {
    let channels = x.dims()[3];
    let x = x.require_grad();
    let weight = tensor([out, channels / options.groups, kernel[0], kernel[1]], 2).require_grad();
    let bias = tensor([out], 3).require_grad();
    let output = conv2d(x.clone(), weight.clone(), Some(bias.clone()), options);
    let upstream = tensor(output.dims(), 4);
    let expected = naive(&x, &weight, &bias, &values(&upstream), options);
    let name = format!("x {:?} weight {:?} {options:?}", x.dims(), weight.dims());
    assert_close(&format!("output of {name}"), &output, &expected.output);
    let gradients = (output * upstream).sum().backward();
    assert_close(
        &format!("x of {name}"),
        &x.grad(&gradients).unwrap(),
        &expected.x,
    );
    assert_close(
        &format!("weight of {name}"),
        &weight.grad(&gradients).unwrap(),
        &expected.weight,
    );
    assert_close(
        &format!("bias of {name}"),
        &bias.grad(&gradients).unwrap(),
        &expected.bias,
    );
}

fn options(stride: usize, padding: usize) -> Conv2dOptions {
    Conv2dOptions {
        stride: [stride; 2],
        padding: [padding; 2],
        ..Default::default()
    }
}

#[test]
fn values_and_gradients_match_naive_loops() {
    for (kernel, strides_and_paddings) in [
        (1, vec![(1, 0), (2, 0), (3, 0), (1, 1), (3, 1)]),
        (2, vec![(2, 0), (1, 1)]),
        (3, vec![(1, 0), (1, 1), (2, 1), (2, 0), (3, 3)]),
        (7, vec![(1, 3), (2, 3), (4, 0)]),
    ] {
        for (stride, padding) in strides_and_paddings {
            for (shape, out) in [
                ([2, 11, 9, 3], 5),
                ([1, 8, 8, 16], 16),
                ([3, 7, 10, 17], 35),
            ] {
                check(tensor(shape, 1), out, [kernel; 2], options(stride, padding));
            }
        }
    }
}

#[test]
fn axes_are_independent() {
    let options = Conv2dOptions {
        stride: [1, 2],
        padding: [2, 0],
        ..Default::default()
    };
    check(tensor([2, 6, 9, 4], 1), 6, [3, 2], options);
    let options = Conv2dOptions {
        stride: [3, 1],
        padding: [0, 1],
        ..Default::default()
    };
    check(tensor([2, 9, 6, 4], 1), 6, [1, 3], options);
}

#[test]
fn dilation_and_groups_match_naive_loops() {
    let dilated = Conv2dOptions {
        dilation: [2, 3],
        padding: [2, 1],
        ..Default::default()
    };
    check(tensor([2, 9, 10, 5], 1), 4, [3, 3], dilated);
    check(
        tensor([2, 9, 10, 5], 1),
        4,
        [3, 3],
        Conv2dOptions {
            stride: [2, 1],
            ..dilated
        },
    );
    let grouped = Conv2dOptions {
        groups: 2,
        padding: [1, 1],
        ..Default::default()
    };
    check(tensor([2, 5, 6, 4], 1), 6, [3, 3], grouped);
}

#[test]
fn groups_of_any_width_match_naive_loops() {
    for (groups, channels, out) in [(2, 34, 70), (3, 9, 6), (4, 64, 64), (8, 8, 24), (5, 10, 5)] {
        for options in [options(1, 1), options(2, 1)] {
            let options = Conv2dOptions { groups, ..options };
            check(tensor([2, 9, 8, channels], 1), out, [3, 3], options);
            check(tensor([1, 6, 7, channels], 1), out, [1, 2], options);
        }
    }
    let many = Conv2dOptions {
        groups: 4,
        ..options(1, 1)
    };
    check(tensor([3, 33, 30, 64], 1), 64, [3, 3], many);
}

#[test]
fn depthwise_matches_naive_loops() {
    for channels in [2, 8, 16, 35, 64, 100] {
        for options in [options(1, 1), options(2, 1), options(3, 2)] {
            let options = Conv2dOptions {
                groups: channels,
                ..options
            };
            check(tensor([2, 9, 11, channels], 1), channels, [3, 3], options);
            check(tensor([1, 8, 6, channels], 1), channels, [5, 2], options);
        }
    }
    let strided_and_dilated = Conv2dOptions {
        stride: [2, 1],
        padding: [3, 0],
        dilation: [2, 3],
        groups: 20,
        relu: true,
    };
    check(tensor([2, 12, 13, 20], 1), 20, [3, 3], strided_and_dilated);
    let large = Conv2dOptions {
        groups: 24,
        ..options(1, 1)
    };
    check(tensor([3, 40, 31, 24], 1), 24, [3, 3], large);
}

#[test]
fn relu_matches_naive_loops() {
    for (groups, channels, out) in [(1, 3, 20), (2, 16, 32), (18, 18, 18)] {
        for options in [options(1, 1), options(2, 0)] {
            let options = Conv2dOptions {
                groups,
                relu: true,
                ..options
            };
            check(tensor([2, 35, 31, channels], 1), out, [3, 3], options);
        }
    }
}

#[test]
fn many_blocks_and_threads_match_naive_loops() {
    check(tensor([3, 40, 33, 6], 1), 18, [3, 3], options(1, 1));
    check(tensor([130, 4, 4, 3], 1), 8, [3, 3], options(2, 1));
}

#[test]
fn strided_convolutions_of_many_images_match_naive_loops() {
    for (shape, out, options) in [
        ([33, 8, 8, 16], 32, options(2, 1)),
        ([70, 7, 5, 17], 33, options(3, 2)),
        // Deep windows.
        ([16, 8, 8, 64], 128, options(2, 1)),
        // Narrower than the stride, so that one of the phases has no pixels.
        ([50, 5, 1, 18], 35, options(2, 1)),
        // More phases than taps.
        ([40, 9, 10, 8], 8, options(5, 1)),
    ] {
        check(tensor(shape, 1), out, [3, 3], options);
        let relu = Conv2dOptions {
            relu: true,
            ..options
        };
        check(tensor(shape, 1), out, [3, 3], relu);
    }
    let grouped = Conv2dOptions {
        groups: 2,
        ..options(3, 1)
    };
    check(tensor([90, 7, 5, 4], 1), 6, [3, 3], grouped);
}

/// Relative errors of the output and of the gradients of input and weight in bf16.
fn errors_in_bf16(
    engine: Engine,
    inputs: [Tensor<4>; 2],
    upstream: impl Fn([usize; 4]) -> Tensor<4>,
    options: Conv2dOptions,
) -> [f64; 3] {
    let [x, weight] = inputs.map(Tensor::require_grad);
    let bias = tensor([weight.dims()[0]], 3).require_grad();
    let output = in_engine(Some(engine), || {
        conv2d(x.clone(), weight.clone(), Some(bias.clone()), options)
    });
    let upstream = upstream(output.dims());
    let expected = naive(&x, &weight, &bias, &values(&upstream), options);
    let gradients = (output.clone() * upstream).sum().backward();
    let of_bias = values(&bias.grad(&gradients).unwrap());
    assert!(relative_error(&of_bias, &expected.bias) < 2e-6);
    [
        relative_error(&values(&output), &expected.output),
        relative_error(&values(&x.grad(&gradients).unwrap()), &expected.x),
        relative_error(&values(&weight.grad(&gradients).unwrap()), &expected.weight),
    ]
}

#[test]
fn in_bf16_products_of_short_numbers_are_exact() {
    let engines = Engine::available().into_iter().chain([Engine::Plain]);
    for engine in engines {
        for (kernel, stride, padding) in [
            (1, 1, 0),
            (1, 2, 0),
            (2, 2, 0),
            (3, 1, 1),
            (3, 2, 1),
            (7, 4, 3),
        ] {
            for (shape, out) in [
                ([2, 11, 9, 3], 5),
                ([1, 8, 8, 16], 16),
                ([3, 7, 10, 17], 35),
                ([1, 5, 16, 64], 48),
                ([37, 4, 4, 40], 64),
            ] {
                let inputs = [short(shape, 1), short([out, shape[3], kernel, kernel], 2)];
                let errors = errors_in_bf16(
                    engine,
                    inputs,
                    |shape| short(shape, 4),
                    options(stride, padding),
                );
                assert!(
                    errors.iter().all(|error| *error < 2e-6),
                    "{engine:?} {shape:?} -> {out}, {kernel} {stride} {padding}: {errors:?}"
                );
            }
        }
        // Windows deeper than what is summed at once, and more columns than one panel.
        let inputs = [short([2, 4, 5, 200], 1), short([70, 200, 3, 3], 2)];
        let errors = errors_in_bf16(engine, inputs, |shape| short(shape, 4), options(2, 1));
        assert!(
            errors.iter().all(|error| *error < 2e-6),
            "{engine:?} {errors:?}"
        );
        // An image narrower than the stride: of its pixels none is in one of the phases.
        let inputs = [short([2, 5, 1, 17], 1), short([35, 17, 3, 3], 2)];
        let errors = errors_in_bf16(engine, inputs, |shape| short(shape, 4), options(2, 1));
        assert!(
            errors.iter().all(|error| *error < 2e-6),
            "{engine:?} {errors:?}"
        );
        let dilated = Conv2dOptions {
            dilation: [2, 3],
            padding: [2, 1],
            ..Default::default()
        };
        let inputs = [short([2, 9, 10, 5], 1), short([4, 5, 3, 3], 2)];
        let errors = errors_in_bf16(engine, inputs, |shape| short(shape, 4), dilated);
        assert!(
            errors.iter().all(|error| *error < 2e-6),
            "{engine:?} {errors:?}"
        );
    }
}

#[test]
fn bf16_rounds_both_operands() {
    for engine in Engine::available().into_iter().chain([Engine::Plain]) {
        let inputs = [tensor([6, 9, 8, 24], 1), tensor([20, 24, 3, 3], 2)];
        let errors = errors_in_bf16(engine, inputs, |shape| tensor(shape, 4), options(1, 1));
        // Each factor is off by at most 2⁻⁸ of itself, and by a third of that on average.
        assert!(
            errors.iter().all(|error| (5e-4..4e-3).contains(error)),
            "{engine:?} {errors:?}"
        );
    }
}

#[test]
fn a_permuted_and_a_sliced_input_are_read_right() {
    let permuted = tensor([2, 5, 8, 7], 1).permute([0, 2, 3, 1]);
    check(permuted, 4, [3, 3], options(1, 1));
    let sliced = tensor([4, 8, 9, 6], 1).slice([1..3, 1..7, 2..9, 1..4]);
    check(sliced, 4, [3, 3], options(2, 1));
}

#[test]
#[should_panic(expected = "a number for each of the 5 output channels")]
fn a_bias_of_another_length_is_refused() {
    let (x, weight) = (tensor([1, 6, 6, 3], 1), tensor([5, 3, 3, 3], 2));
    conv2d(x, weight, Some(tensor([7], 3)), options(2, 1));
}

#[test]
fn an_empty_batch_gives_an_empty_output() {
    for (groups, channels) in [(1, 3), (2, 4), (6, 6)] {
        let options = Conv2dOptions {
            groups,
            ..options(1, 1)
        };
        let x = Tensor::<4>::zeros([0, 4, 4, channels], &device()).require_grad();
        let weight = tensor([6, channels / groups, 3, 3], 1).require_grad();
        let output = conv2d(x.clone(), weight.clone(), None, options);
        assert_eq!(output.dims(), [0, 4, 4, 6]);
        let gradients = output.sum().backward();
        assert_eq!(x.grad(&gradients).unwrap().dims(), x.dims());
        let gradient = values(&weight.grad(&gradients).unwrap());
        assert!(gradient.iter().all(|value| *value == 0.0));
    }
}

#[test]
fn the_fused_path_agrees_with_the_reference_and_runs_without_autodiff() {
    let (x, weight) = (
        tensor([2, 9, 9, 8], 1).inner(),
        tensor([12, 8, 3, 3], 2).inner(),
    );
    let fused = conv2d(x.clone(), weight.clone(), None, options(2, 1));
    let expected = conv2d_reference(x.clone(), weight, None, options(2, 1));
    assert_close("output", &fused, &double(&expected));
    let options = Conv2dOptions {
        groups: 8,
        relu: true,
        ..options(1, 1)
    };
    let weight = tensor([8, 1, 3, 3], 3).inner();
    let fused = conv2d(x.clone(), weight.clone(), None, options);
    let expected = conv2d_reference(x, weight, None, options);
    assert_close("depthwise output", &fused, &double(&expected));
}

#[test]
fn only_tracked_inputs_get_a_gradient() {
    let (x, weight) = (
        tensor([2, 9, 9, 8], 1),
        tensor([12, 8, 3, 3], 2).require_grad(),
    );
    let gradients = conv2d(x.clone(), weight.clone(), None, options(2, 1))
        .sum()
        .backward();
    assert!(x.grad(&gradients).is_none());
    assert!(weight.grad(&gradients).is_some());
}

#[test]
fn two_runs_are_bit_identical() {
    let run = |engine, [out, stride]: [usize; 2]| {
        let x = tensor([8, 32, 32, 16], 1).require_grad();
        let weight = tensor([out, 16, 3, 3], 2).require_grad();
        let output = in_engine(engine, || {
            conv2d(x.clone(), weight.clone(), None, options(stride, 1))
        });
        let gradients = output.clone().powi_scalar(2).sum().backward();
        let x = x.grad(&gradients).unwrap();
        let weight = weight.grad(&gradients).unwrap();
        [values(&output), values(&x), values(&weight)]
            .map(|v| v.into_iter().map(f32::to_bits).collect::<Vec<_>>())
    };
    for case in [[24, 1], [32, 1], [32, 2]] {
        assert!(run(None, case) == run(None, case));
        for engine in Engine::available().into_iter().map(Some) {
            assert!(run(engine, case) == run(engine, case));
            assert!(run(engine, case) != run(None, case));
        }
    }
}

#[test]
fn other_precisions_take_the_reference_and_checkpointed_graphs_the_kernel() {
    let (x, weight) = (tensor([2, 6, 6, 3], 1), tensor([4, 3, 3, 3], 2));
    let expected = double(&conv2d(x.clone(), weight.clone(), None, options(1, 1)));
    let cast = |dtype| move |tensor: Tensor<4>| tensor.cast(dtype);
    let [x64, weight64] = [x.clone(), weight.clone()].map(cast(burn::tensor::DType::F64));
    let output = conv2d(x64, weight64, None, options(1, 1)).cast(burn::tensor::DType::F32);
    assert_close("in double precision", &output, &expected);

    let device = burn::tensor::Device::flex()
        .autodiff()
        .gradient_checkpointing();
    let [x, weight] = [x, weight]
        .map(|tensor| Tensor::<4>::from_data(tensor.into_data(), &device).require_grad());
    let output = conv2d(x.clone() * 1.0, weight.clone(), None, options(1, 1));
    assert_close("with checkpointing", &output, &expected);
    let gradients = output.exp().sum().backward();
    assert!(x.grad(&gradients).is_some() && weight.grad(&gradients).is_some());
}
