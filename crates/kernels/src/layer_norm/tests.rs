use burn::tensor::Tensor;

use super::{layer_norm, layer_norm_reference};
use crate::oracle::{assert_close, device, double, tensor, values};

const EPSILON: f64 = 1e-5;

fn check<const D: usize>(x: Tensor<D>) {
    let shape = x.dims();
    let features = shape[D - 1];
    let x = x.require_grad();
    let gamma = (tensor([features], 2) + 1.5).require_grad();
    let beta = tensor([features], 3).require_grad();
    let upstream = tensor(shape, 4);
    let output = layer_norm(x.clone(), gamma.clone(), beta.clone(), EPSILON);
    let gradients = (output.clone() * upstream.clone()).sum().backward();

    let (input, scale, shift, up) = (double(&x), double(&gamma), double(&beta), double(&upstream));
    let mut expected_output = vec![0.0; input.len()];
    let mut expected_x = vec![0.0; input.len()];
    let mut expected_gamma = vec![0.0; features];
    let mut expected_beta = vec![0.0; features];
    let n = features as f64;
    for row in 0..input.len() / features {
        let row = row * features..(row + 1) * features;
        let mean = input[row.clone()].iter().sum::<f64>() / n;
        let variance = input[row.clone()]
            .iter()
            .map(|x| (x - mean).powi(2))
            .sum::<f64>()
            / n;
        let deviation = (variance + EPSILON).sqrt();
        let normalized = |i: usize| (input[i] - mean) / deviation;
        let (mut sum, mut product) = (0.0, 0.0);
        for (i, f) in row.clone().zip(0..) {
            expected_output[i] = normalized(i) * scale[f] + shift[f];
            expected_gamma[f] += up[i] * normalized(i);
            expected_beta[f] += up[i];
            sum += up[i] * scale[f];
            product += up[i] * scale[f] * normalized(i);
        }
        for (i, f) in row.zip(0..) {
            expected_x[i] = (up[i] * scale[f] - sum / n - normalized(i) * product / n) / deviation;
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
    assert_close(
        &format!("beta {shape:?}"),
        &beta.grad(&gradients).unwrap(),
        &expected_beta,
    );
    let twin = layer_norm_reference(x, gamma, beta, EPSILON);
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
    assert_eq!(
        layer_norm(x, tensor([3], 2), tensor([3], 3), EPSILON).dims(),
        [0, 3]
    );
}

#[test]
fn rows_without_features_are_empty() {
    let x = Tensor::<2>::zeros([4, 0], &device()).require_grad();
    let nothing = Tensor::<1>::zeros([0], &device());
    let output = layer_norm(x.clone(), nothing.clone(), nothing, EPSILON);
    assert_eq!(output.dims(), [4, 0]);
    let gradients = output.sum().backward();
    assert_eq!(x.grad(&gradients).unwrap().dims(), [4, 0]);
}

#[test]
fn two_runs_are_bit_identical() {
    let run = || {
        let x = tensor([700, 192], 1).require_grad();
        let gamma = tensor([192], 2).require_grad();
        let output = layer_norm(x.clone(), gamma.clone(), tensor([192], 3), EPSILON);
        let gradients = output.clone().powi_scalar(2).sum().backward();
        let (x, gamma) = (x.grad(&gradients).unwrap(), gamma.grad(&gradients).unwrap());
        [values(&output), values(&x), values(&gamma)]
            .map(|v| v.into_iter().map(f32::to_bits).collect::<Vec<_>>())
    };
    assert!(run() == run());
}
