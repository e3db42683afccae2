use burn::tensor::Tensor;

use super::{rms_norm, rms_norm_reference};
use crate::oracle::{assert_close, double, tensor, values};

const EPSILON: f64 = 1e-5;

fn check<const D: usize>(x: Tensor<D>) {
    let shape = x.dims();
    let features = shape[D - 1];
    let x = x.require_grad();
    let gamma = (tensor([features], 2) + 1.5).require_grad();
    let upstream = tensor(shape, 4);
    let output = rms_norm(x.clone(), gamma.clone(), EPSILON);
    let gradients = (output.clone() * upstream.clone()).sum().backward();

    let (input, scale, up) = (double(&x), double(&gamma), double(&upstream));
    let mut expected_output = vec![0.0; input.len()];
    let mut expected_x = vec![0.0; input.len()];
    let mut expected_gamma = vec![0.0; features];
    let n = features as f64;
    for row in 0..input.len() / features {
        let row = row * features..(row + 1) * features;
        let square = input[row.clone()].iter().map(|x| x * x).sum::<f64>() / n;
        let root = (square + EPSILON).sqrt();
        let mut product = 0.0;
        for (i, f) in row.clone().zip(0..) {
            expected_output[i] = input[i] / root * scale[f];
            expected_gamma[f] += up[i] * input[i] / root;
            product += up[i] * scale[f] * input[i] / root;
        }
        for (i, f) in row.zip(0..) {
            expected_x[i] = (up[i] * scale[f] - input[i] / root * product / n) / root;
        }
    }
    assert_close(&format!("output {shape:?}"), &output, &expected_output);
    assert_close(
        &format!("x {shape:?}"),
        &x.grad(&gradients).unwrap(),
        &expected_x,
    );
    assert_close(
        &format!("gamma {shape:?}"),
        &gamma.grad(&gradients).unwrap(),
        &expected_gamma,
    );
    let twin = rms_norm_reference(x, gamma, EPSILON);
    assert_close(&format!("twin {shape:?}"), &twin, &expected_output);
}

#[test]
fn values_and_gradients_match_naive_loops() {
    check(tensor([1, 5], 1));
    check(tensor([3, 7, 33], 1));
    check(tensor([2, 130, 192], 1));
    check(tensor([2, 3, 5, 256], 1));
    check(tensor([1000, 17], 1));
}

#[test]
fn a_transposed_input_is_read_right() {
    check(tensor([4, 24, 9], 1).swap_dims(1, 2));
}

#[test]
fn an_empty_batch_is_empty() {
    let x = tensor([4, 3], 1).slice([0..0, 0..3]);
    assert_eq!(rms_norm(x, tensor([3], 2), EPSILON).dims(), [0, 3]);
}

#[test]
fn two_runs_are_bit_identical() {
    let run = || {
        let x = tensor([700, 192], 1).require_grad();
        let gamma = tensor([192], 2).require_grad();
        let output = rms_norm(x.clone(), gamma.clone(), EPSILON);
        let gradients = output.clone().powi_scalar(2).sum().backward();
        let (x, gamma) = (x.grad(&gradients).unwrap(), gamma.grad(&gradients).unwrap());
        [values(&output), values(&x), values(&gamma)]
            .map(|v| v.into_iter().map(f32::to_bits).collect::<Vec<_>>())
    };
    assert!(run() == run());
}
