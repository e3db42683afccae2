use burn::tensor::Tensor;

use super::{Conv1dOptions, conv1d, conv1d_reference};
use crate::bfloat::Engine;
use crate::oracle::{assert_close, double, relative_error, short, tensor, values};
use crate::precision::in_engine;

fn check(x: Tensor<3>, out: usize, kernel: usize, options: Conv1dOptions) {
    let [batch, length, channels] = x.dims();
    let x = x.require_grad();
    let weight = tensor([out, channels / options.groups, kernel], 2).require_grad();
    let bias = tensor([out], 3).require_grad();
    let output = conv1d(x.clone(), weight.clone(), Some(bias.clone()), options);
    let steps = output.dims()[1];
    let upstream = tensor(output.dims(), 4);

    let (input, w, up) = (double(&x), double(&weight), double(&upstream));
    let group = channels / options.groups;
    let mut expected_output = vec![0.0; up.len()];
    let mut expected_x = vec![0.0; input.len()];
    let mut expected_weight = vec![0.0; w.len()];
    let mut expected_bias = vec![0.0; out];
    for b in 0..batch {
        for step in 0..steps {
            for (o, bias) in double(&bias).into_iter().enumerate() {
                // Every (input element, tap) pair of this output.
                let pairs: Vec<(usize, usize)> = (0..kernel * group)
                    .filter_map(|pair| {
                        let (u, c) = (pair / group, pair % group);
                        let at = step * options.stride + u * options.dilation;
                        let at = at.checked_sub(options.padding).filter(|at| *at < length)?;
                        let channel = o / (out / options.groups) * group + c;
                        let from = (b * length + at) * channels + channel;
                        Some((from, (o * group + c) * kernel + u))
                    })
                    .collect();
                let sum: f64 = pairs.iter().map(|&(from, tap)| input[from] * w[tap]).sum();
                let (y, at) = (bias + sum, (b * steps + step) * out + o);
                expected_output[at] = if options.relu { y.max(0.0) } else { y };
                if options.relu && y <= 0.0 {
                    continue;
                }
                expected_bias[o] += up[at];
                for (from, tap) in pairs {
                    expected_x[from] += up[at] * w[tap];
                    expected_weight[tap] += up[at] * input[from];
                }
            }
        }
    }
    let name = format!("x {:?} weight {:?} {options:?}", x.dims(), weight.dims());
    let gradients = (output.clone() * upstream.clone()).sum().backward();
    let twin = conv1d_reference(x.clone(), weight.clone(), Some(bias.clone()), options);
    let twins = (twin.clone() * upstream).sum().backward();
    let compare = |what: &str, found: Vec<f32>, twin: Vec<f32>, expected: &[f64]| {
        let (error, other) = (
            relative_error(&found, expected),
            relative_error(&twin, expected),
        );
        assert!(other < 1e-5, "twin's {what} of {name}: {other:.1e}");
        let limit = (2.0 * other).max(1e-6);
        assert!(error < limit, "{what} of {name}: {error:.1e}");
    };
    compare("output", values(&output), values(&twin), &expected_output);
    let of = |gradients| {
        [
            values(&x.grad(gradients).unwrap()),
            values(&weight.grad(gradients).unwrap()),
            values(&bias.grad(gradients).unwrap()),
        ]
    };
    let expected = [expected_x, expected_weight, expected_bias];
    let both = of(&gradients).into_iter().zip(of(&twins));
    for ((what, (found, twin)), expected) in
        ["x", "weight", "bias"].into_iter().zip(both).zip(&expected)
    {
        compare(what, found, twin, expected);
    }
}

fn options(stride: usize, padding: usize) -> Conv1dOptions {
    Conv1dOptions {
        stride,
        padding,
        ..Default::default()
    }
}

#[test]
fn values_and_gradients_match_naive_loops() {
    check(tensor([1, 1, 1], 1), 1, 1, options(1, 0));
    check(tensor([2, 37, 6], 1), 20, 5, options(2, 2));
    check(tensor([3, 50, 16], 1), 16, 3, options(1, 1));
    check(tensor([1, 41, 1], 1), 7, 10, options(5, 0));
    check(tensor([2, 900, 3], 1), 5, 4, options(1, 3));
    let dilated = Conv1dOptions {
        dilation: 3,
        ..options(1, 6)
    };
    check(tensor([2, 23, 9], 1), 4, 5, dilated);
    let both = Conv1dOptions {
        dilation: 2,
        ..options(2, 1)
    };
    check(tensor([2, 23, 4], 1), 4, 3, both);
}

#[test]
fn groups_and_relu_match_naive_loops() {
    for groups in [2, 4, 8] {
        for relu in [false, true] {
            let options = Conv1dOptions {
                groups,
                relu,
                ..options(2, 1)
            };
            check(tensor([2, 19, 8], 1), 8, 3, options);
            check(tensor([2, 19, 8], 1), 24, 3, options);
        }
    }
}

/// The gradients of input and weight, of numbers whose products bf16 holds exactly.
fn gradients(
    engine: Option<Engine>,
    shape: [usize; 3],
    [out, kernel]: [usize; 2],
    options: Conv1dOptions,
) -> [Vec<f32>; 2] {
    let x = short(shape, 1).require_grad();
    let weight = short([out, shape[2], kernel], 2).require_grad();
    let output = in_engine(engine, || conv1d(x.clone(), weight.clone(), None, options));
    let upstream = short(output.dims(), 3);
    let gradients = (output * upstream).sum().backward();
    [x, weight].map(|tensor| values(&tensor.grad(&gradients).unwrap()))
}

/// Sequences so long that the sums of the weight's gradient are cut, also where windows reach far.
#[test]
fn in_bf16_long_sequences_are_summed_whole() {
    for engine in Engine::available().into_iter().chain([Engine::Plain]) {
        for (shape, layer, stride, dilation, padding) in [
            ([3, 700, 20], [33, 3], 1, 1, 1),
            ([2, 500, 40], [24, 3], 1, 64, 64),
            ([2, 430, 33], [17, 2], 1, 300, 0),
            ([35, 900, 3], [40, 10], 5, 1, 4),
        ] {
            let options = Conv1dOptions {
                dilation,
                ..options(stride, padding)
            };
            let found = gradients(Some(engine), shape, layer, options);
            let expected = gradients(None, shape, layer, options);
            for (found, expected) in found.iter().zip(&expected) {
                let expected: Vec<f64> = expected.iter().map(|value| f64::from(*value)).collect();
                let error = relative_error(found, &expected);
                assert!(
                    error < 2e-6,
                    "{engine:?} {shape:?} {options:?}: {error:.1e}"
                );
            }
        }
    }
}

#[test]
fn a_channels_first_input_is_read_right() {
    check(
        tensor([2, 6, 31], 1).swap_dims(1, 2),
        5,
        3,
        Conv1dOptions {
            relu: true,
            ..options(1, 1)
        },
    );
}

#[test]
fn an_empty_batch_gives_an_empty_output() {
    let x = tensor([2, 9, 3], 1).slice([0..0, 0..9, 0..3]);
    let output = conv1d(x, tensor([2, 3, 3], 2), None, options(2, 1));
    assert_eq!(output.dims(), [0, 5, 2]);
}

#[test]
fn plain_tensors_need_no_autodiff() {
    let (x, weight) = (tensor([2, 12, 3], 1).inner(), tensor([4, 3, 3], 2).inner());
    let expected = conv1d_reference(x.clone(), weight.clone(), None, options(1, 1));
    let output = conv1d(x, weight, None, options(1, 1));
    assert_close("output", &output, &double(&expected));
}
