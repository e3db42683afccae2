use burn::tensor::{Tensor, TensorData};

use super::{
    Pool2dOptions, avg_pool2d, avg_pool2d_reference, max_pool2d, max_pool2d_reference, mean_pool,
    mean_pool_reference,
};
use crate::oracle::{assert_close, device, double, tensor, values};

#[derive(Clone, Copy, Debug)]
enum Kind {
    Max,
    Average { count_include_pad: bool },
}

const KINDS: [Kind; 3] = [
    Kind::Max,
    Kind::Average {
        count_include_pad: true,
    },
    Kind::Average {
        count_include_pad: false,
    },
];

fn pool(kind: Kind, x: Tensor<4>, options: Pool2dOptions) -> Tensor<4> {
    match kind {
        Kind::Max => max_pool2d(x, options),
        Kind::Average { count_include_pad } => avg_pool2d(x, options, count_include_pad),
    }
}

fn reference(kind: Kind, x: Tensor<4>, options: Pool2dOptions) -> Tensor<4> {
    match kind {
        Kind::Max => max_pool2d_reference(x, options),
        Kind::Average { count_include_pad } => avg_pool2d_reference(x, options, count_include_pad),
    }
}

fn check(kind: Kind, x: Tensor<4>, options: Pool2dOptions) {
    let [batch, height, width, channels] = x.dims();
    let x = x.require_grad();
    let output = pool(kind, x.clone(), options);
    let [_, rows, columns, _] = output.dims();
    let upstream = tensor(output.dims(), 2);
    let gradients = (output.clone() * upstream.clone()).sum().backward();

    let (input, up) = (double(&x), double(&upstream));
    let mut expected_output = vec![0.0; up.len()];
    let mut expected_x = vec![0.0; input.len()];
    for index in 0..up.len() {
        let (channel, column) = (index % channels, index / channels % columns);
        let (row, b) = (
            index / channels / columns % rows,
            index / channels / columns / rows,
        );
        let mut seen = Vec::new();
        for u in 0..options.kernel[0] {
            for v in 0..options.kernel[1] {
                let i = (row * options.stride[0] + u).checked_sub(options.padding[0]);
                let j = (column * options.stride[1] + v).checked_sub(options.padding[1]);
                if let (Some(i), Some(j)) = (i.filter(|i| *i < height), j.filter(|j| *j < width)) {
                    seen.push(((b * height + i) * width + j) * channels + channel);
                }
            }
        }
        match kind {
            Kind::Max => {
                let mut best = seen[0];
                for &at in &seen {
                    best = if input[at] > input[best] { at } else { best };
                }
                expected_output[index] = input[best];
                expected_x[best] += up[index];
            }
            Kind::Average { count_include_pad } => {
                let count = if count_include_pad {
                    options.kernel[0] * options.kernel[1]
                } else {
                    seen.len()
                };
                for at in seen {
                    expected_output[index] += input[at] / count as f64;
                    expected_x[at] += up[index] / count as f64;
                }
            }
        }
    }
    let name = format!(
        "{kind:?} of {:?}, {options:?}",
        [batch, height, width, channels]
    );
    assert_close(&format!("output of {name}"), &output, &expected_output);
    let gradient = x.grad(&gradients).unwrap();
    assert_close(&format!("x of {name}"), &gradient, &expected_x);
    let twin = reference(kind, x.clone(), options);
    assert_close(&format!("twin's output of {name}"), &twin, &expected_output);
    let gradients = (twin * upstream).sum().backward();
    let gradient = x.grad(&gradients).unwrap();
    assert_close(&format!("twin's x of {name}"), &gradient, &expected_x);
}

fn options(kernel: usize, stride: usize, padding: usize) -> Pool2dOptions {
    Pool2dOptions {
        kernel: [kernel; 2],
        stride: [stride; 2],
        padding: [padding; 2],
    }
}

#[test]
fn values_and_gradients_match_naive_loops() {
    for kind in KINDS {
        for options in [
            Pool2dOptions::new(2),
            options(1, 1, 0),
            options(3, 2, 1),
            options(3, 1, 1),
            options(5, 3, 2),
            options(2, 4, 1),
        ] {
            check(kind, tensor([1, 5, 5, 1], 1), options);
            check(kind, tensor([2, 9, 12, 7], 1), options);
            check(kind, tensor([3, 8, 6, 64], 1), options);
            check(kind, tensor([2, 7, 7, 150], 1), options);
        }
    }
}

#[test]
fn axes_are_independent() {
    let options = Pool2dOptions {
        kernel: [2, 5],
        stride: [1, 3],
        padding: [0, 2],
    };
    for kind in KINDS {
        check(kind, tensor([2, 6, 11, 5], 1), options);
    }
}

#[test]
fn a_permuted_and_a_sliced_input_are_read_right() {
    for kind in KINDS {
        let permuted = tensor([2, 5, 8, 7], 1).permute([0, 2, 3, 1]);
        check(kind, permuted, options(3, 2, 1));
        let sliced = tensor([4, 8, 9, 6], 1).slice([1..3, 1..7, 2..9, 1..4]);
        check(kind, sliced, options(2, 2, 0));
    }
}

#[test]
fn an_empty_batch_is_empty() {
    for kind in KINDS {
        let x = Tensor::<4>::zeros([0, 8, 8, 3], &device()).require_grad();
        let output = pool(kind, x.clone(), options(3, 2, 1));
        assert_eq!(output.dims(), [0, 4, 4, 3]);
        let gradients = output.sum().backward();
        assert_eq!(x.grad(&gradients).unwrap().dims(), [0, 8, 8, 3]);
    }
}

#[test]
fn the_first_of_equal_numbers_takes_the_gradient_and_nan_wins() {
    let image = |pixels: [f32; 4]| {
        Tensor::<4>::from_data(TensorData::new(pixels.to_vec(), [1, 2, 2, 1]), &device())
            .require_grad()
    };
    let win = |pixels: [f32; 4]| {
        let x = image(pixels);
        let output = max_pool2d(x.clone(), Pool2dOptions::new(2));
        let gradients = output.clone().sum().backward();
        (values(&output)[0], values(&x.grad(&gradients).unwrap()))
    };
    assert_eq!(win([1.0, 3.0, 3.0, 2.0]), (3.0, vec![0.0, 1.0, 0.0, 0.0]));
    let least = f32::NEG_INFINITY;
    assert_eq!(win([least; 4]), (least, vec![1.0, 0.0, 0.0, 0.0]));
    let (value, gradient) = win([1.0, f32::NAN, 5.0, 2.0]);
    assert!(value.is_nan());
    assert_eq!(gradient, [0.0, 1.0, 0.0, 0.0]);
}

#[test]
fn a_kernel_of_more_taps_than_a_byte_counts_is_right() {
    check(Kind::Max, tensor([1, 20, 20, 2], 1), options(17, 2, 8));
    check(Kind::Max, tensor([1, 20, 20, 2], 1), options(16, 2, 8));
}

#[test]
fn the_mean_of_all_positions_matches_naive_loops() {
    fn check<const D: usize>(x: Tensor<D>) {
        let shape = x.dims();
        let (batch, channels) = (shape[0], shape[D - 1]);
        let positions = shape[1..D - 1].iter().product::<usize>();
        let x = x.require_grad();
        let output = mean_pool(x.clone());
        let upstream = tensor([batch, channels], 2);
        let gradients = (output.clone() * upstream.clone()).sum().backward();
        let (input, up) = (double(&x), double(&upstream));
        let mut expected = vec![0.0; batch * channels];
        let mut expected_x = vec![0.0; input.len()];
        for (at, value) in input.iter().enumerate() {
            let to = at / channels / positions * channels + at % channels;
            expected[to] += value / positions as f64;
            expected_x[at] = up[to] / positions as f64;
        }
        assert_close(&format!("output {shape:?}"), &output, &expected);
        let gradient = x.grad(&gradients).unwrap();
        assert_close(&format!("x {shape:?}"), &gradient, &expected_x);
        let twin = mean_pool_reference(x);
        assert_close(&format!("twin {shape:?}"), &twin, &expected);
    }
    check(tensor([1, 1, 1], 1));
    check(tensor([3, 17, 35], 1));
    check(tensor([2, 9, 11, 20], 1));
    check(tensor([2, 30, 30, 5], 1));
    check(tensor([4, 9, 6], 1).narrow(1, 1, 8));
    check(tensor([4, 6, 9], 1).swap_dims(1, 2));
    let empty = tensor([2, 4, 3], 1).slice([0..0, 0..4, 0..3]);
    assert_eq!(mean_pool(empty).dims(), [0, 3]);
}

#[test]
fn two_runs_are_bit_identical() {
    let run = || {
        let x = tensor([5, 33, 31, 24], 1).require_grad();
        let largest = max_pool2d(x.clone(), options(3, 2, 1));
        let mean = avg_pool2d(largest.clone(), options(3, 1, 1), false);
        let pooled = mean_pool(mean.clone());
        let gradients = pooled.clone().powi_scalar(2).sum().backward();
        let gradient = x.grad(&gradients).unwrap();
        let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
        [
            values(&largest),
            values(&mean),
            values(&pooled),
            values(&gradient),
        ]
        .map(bits)
    };
    assert!(run() == run());
}
