use burn::tensor::Tensor;

use super::{gated_linear, gated_linear_reference};
use crate::linear::Activation;
use crate::oracle::{activation, assert_close, double, tensor, values};

const ACTIVATIONS: [Activation; 6] = [
    Activation::None,
    Activation::Relu,
    Activation::Gelu,
    Activation::GeluTanh,
    Activation::Silu,
    Activation::Tanh,
];

fn check<const D: usize>(x: Tensor<D>, out: usize, bias: bool, gate: Activation) {
    let shape = x.dims();
    let features = shape[D - 1];
    let x = x.require_grad();
    let weight = tensor([2 * out, features], 2).require_grad();
    let bias = bias.then(|| tensor([2 * out], 3).require_grad());
    let output = gated_linear(x.clone(), weight.clone(), bias.clone(), gate);
    let upstream = tensor(output.dims(), 4);
    let gradients = (output.clone() * upstream.clone()).sum().backward();

    let (input, w, up) = (double(&x), double(&weight), double(&upstream));
    let b = bias.as_ref().map_or(vec![0.0; 2 * out], double);
    let mut expected_output = vec![0.0; up.len()];
    let mut expected_x = vec![0.0; input.len()];
    let mut expected_weight = vec![0.0; w.len()];
    let mut expected_bias = vec![0.0; 2 * out];
    for row in 0..input.len() / features {
        let input = &input[row * features..(row + 1) * features];
        let layer = |o: usize| {
            let products = (0..features).map(|i| input[i] * w[o * features + i]);
            b[o] + products.sum::<f64>()
        };
        for o in 0..out {
            let (value, slope) = activation(gate, layer(o));
            let rest = layer(out + o);
            expected_output[row * out + o] = value * rest;
            let g = up[row * out + o];
            for (o, g) in [(o, g * rest * slope), (out + o, g * value)] {
                expected_bias[o] += g;
                for i in 0..features {
                    expected_weight[o * features + i] += g * input[i];
                    expected_x[row * features + i] += g * w[o * features + i];
                }
            }
        }
    }
    let name = format!("{shape:?} -> {out} {gate:?}");
    assert_close(&format!("output of {name}"), &output, &expected_output);
    assert_close(
        &format!("x of {name}"),
        &x.grad(&gradients).unwrap(),
        &expected_x,
    );
    assert_close(
        &format!("weight of {name}"),
        &weight.grad(&gradients).unwrap(),
        &expected_weight,
    );
    if let Some(bias) = &bias {
        assert_close(
            &format!("bias of {name}"),
            &bias.grad(&gradients).unwrap(),
            &expected_bias,
        );
    }
    let twin = gated_linear_reference(x, weight, bias, gate);
    assert_close(&format!("twin of {name}"), &twin, &expected_output);
}

#[test]
fn values_and_gradients_match_naive_loops() {
    for gate in ACTIVATIONS {
        for bias in [false, true] {
            check(tensor([1, 3], 1), 2, bias, gate);
            check(tensor([2, 7, 33], 1), 17, bias, gate);
            check(tensor([3, 5, 64], 1), 48, bias, gate);
        }
    }
    check(tensor([801, 20], 1), 35, true, Activation::Silu);
}

#[test]
fn a_transposed_input_is_read_right() {
    let x = tensor([3, 16, 5], 1).swap_dims(1, 2);
    check(x, 8, true, Activation::Gelu);
}

#[test]
fn a_graph_can_be_walked_twice_over_the_same_inputs() {
    // The backward pass overwrites what it kept, which must be its own.
    let x = tensor([40, 16], 1).require_grad();
    let weight = tensor([16, 16], 2).require_grad();
    let run = || {
        let output = gated_linear(x.clone(), weight.clone(), None, Activation::Silu);
        let gradients = output.sum().backward();
        values(&weight.grad(&gradients).unwrap())
    };
    assert_eq!(run(), run());
}

#[test]
fn an_empty_batch_is_empty() {
    let x = tensor([4, 3], 1).slice([0..0, 0..3]);
    assert_eq!(
        gated_linear(x, tensor([10, 3], 2), None, Activation::Silu).dims(),
        [0, 5]
    );
}

#[test]
fn two_runs_are_bit_identical() {
    let run = || {
        let x = tensor([1000, 96], 1).require_grad();
        let weight = tensor([80, 96], 2).require_grad();
        let bias = Some(tensor([80], 3));
        let output = gated_linear(x.clone(), weight.clone(), bias, Activation::Silu);
        let gradients = output.clone().powi_scalar(2).sum().backward();
        let (x, weight) = (
            x.grad(&gradients).unwrap(),
            weight.grad(&gradients).unwrap(),
        );
        [values(&output), values(&x), values(&weight)]
            .map(|v| v.into_iter().map(f32::to_bits).collect::<Vec<_>>())
    };
    assert!(run() == run());
}
