use burn::tensor::Tensor;

use super::{Activation, linear, linear_reference};
use crate::Precision;
use crate::bfloat::Engine;
use crate::oracle::{assert_close, double, relative_error, short, tensor, values};
use crate::precision::in_engine;

/// The exact GELU and its derivative, by numerical integration of the normal density.
fn gelu(x: f64) -> (f64, f64) {
    let density = |t: f64| (-0.5 * t * t).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let steps = 2000;
    let h = x / f64::from(steps);
    let simpson = |i: i32| {
        if i == 0 || i == steps {
            1.0
        } else {
            f64::from(2 + 2 * (i % 2))
        }
    };
    let integral = (0..=steps)
        .map(|i| simpson(i) * density(f64::from(i) * h))
        .sum::<f64>()
        * h
        / 3.0;
    (x * (0.5 + integral), 0.5 + integral + x * density(x))
}

fn check<const D: usize>(x: Tensor<D>, out: usize, bias: bool, activation: Activation) {
    let shape = x.dims();
    let features = shape[D - 1];
    let x = x.require_grad();
    let weight = tensor([out, features], 2).require_grad();
    let bias = bias.then(|| tensor([out], 3).require_grad());
    let output = linear(x.clone(), weight.clone(), bias.clone(), activation);
    let upstream = tensor(output.dims(), 4);
    let gradients = (output.clone() * upstream.clone()).sum().backward();

    let (input, w, up) = (double(&x), double(&weight), double(&upstream));
    let b = bias.as_ref().map_or(vec![0.0; out], double);
    let mut expected_output = vec![0.0; up.len()];
    let mut expected_x = vec![0.0; input.len()];
    let mut expected_weight = vec![0.0; w.len()];
    let mut expected_bias = vec![0.0; out];
    for row in 0..input.len() / features {
        for o in 0..out {
            let products = (0..features).map(|i| input[row * features + i] * w[o * features + i]);
            let z = b[o] + products.sum::<f64>();
            let (y, slope) = match activation {
                Activation::None => (z, 1.0),
                Activation::Relu => (z.max(0.0), f64::from(u8::from(z > 0.0))),
                Activation::Gelu => gelu(z),
            };
            expected_output[row * out + o] = y;
            let g = up[row * out + o] * slope;
            expected_bias[o] += g;
            for i in 0..features {
                expected_weight[o * features + i] += g * input[row * features + i];
                expected_x[row * features + i] += g * w[o * features + i];
            }
        }
    }
    let name = format!("{shape:?} -> {out} {activation:?}");
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
    let twin = linear_reference(x, weight, bias, activation);
    assert_close(&format!("twin of {name}"), &twin, &expected_output);
}

#[test]
fn values_and_gradients_match_naive_loops() {
    for activation in [Activation::None, Activation::Relu, Activation::Gelu] {
        for bias in [false, true] {
            check(tensor([1, 3], 1), 2, bias, activation);
            check(tensor([2, 7, 33], 1), 17, bias, activation);
            check(tensor([3, 5, 64], 1), 48, bias, activation);
        }
    }
    check(tensor([801, 20], 1), 35, true, Activation::Relu);
}

#[test]
fn a_transposed_input_is_read_right() {
    check(
        tensor([3, 16, 5], 1).swap_dims(1, 2),
        8,
        true,
        Activation::Gelu,
    );
}

#[test]
fn an_empty_batch_is_empty() {
    let x = tensor([4, 3], 1).slice([0..0, 0..3]);
    assert_eq!(
        linear(x, tensor([5, 3], 2), None, Activation::Gelu).dims(),
        [0, 5]
    );
}

#[test]
fn two_runs_are_bit_identical() {
    let run = || {
        let x = tensor([1000, 96], 1).require_grad();
        let weight = tensor([40, 96], 2).require_grad();
        let output = linear(
            x.clone(),
            weight.clone(),
            Some(tensor([40], 3)),
            Activation::Gelu,
        );
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

/// The layer and its two gradients, with the forward pass in `scope`.
fn three(
    [x, weight]: [Tensor<2>; 2],
    upstream: &Tensor<2>,
    scope: impl FnOnce(&dyn Fn() -> Tensor<2>) -> Tensor<2>,
) -> [Vec<f32>; 3] {
    let (x, weight) = (x.require_grad(), weight.require_grad());
    let output = scope(&|| linear(x.clone(), weight.clone(), None, Activation::None));
    let gradients = (output.clone() * upstream.clone()).sum().backward();
    let [x, weight] = [x, weight].map(|tensor| values(&tensor.grad(&gradients).unwrap()));
    [values(&output), x, weight]
}

#[test]
fn in_bf16_products_of_short_numbers_are_exact() {
    for engine in Engine::available().into_iter().chain([Engine::Plain]) {
        for (rows, features, out) in [
            (1, 3, 2),
            (33, 64, 48),
            (70, 100, 33),
            (801, 20, 35),
            (40, 1100, 600),
        ] {
            let inputs = || [short([rows, features], 1), short([out, features], 2)];
            let upstream = short([rows, out], 3);
            let found = three(inputs(), &upstream, |run| in_engine(Some(engine), run));
            let expected = three(inputs(), &upstream, |run| run());
            for (found, expected) in found.iter().zip(&expected) {
                let expected: Vec<f64> = expected.iter().map(|value| f64::from(*value)).collect();
                let error = relative_error(found, &expected);
                assert!(
                    error < 4e-6,
                    "{engine:?} {rows} {features} {out}: {error:.1e}"
                );
            }
        }
    }
}

#[test]
fn a_scope_holds_for_the_backward_pass_and_ends() {
    let inputs = || [tensor([40, 64], 1), tensor([48, 64], 2)];
    let upstream = tensor([40, 48], 3);
    let in_f32 = three(inputs(), &upstream, |run| run());
    let in_bf16 = three(inputs(), &upstream, |run| Precision::Bf16.scope(run));
    let after = three(inputs(), &upstream, |run| run());
    let nested = three(inputs(), &upstream, |run| {
        Precision::Bf16.scope(|| Precision::F32.scope(run))
    });
    assert!(in_f32 == after && in_f32 == nested);
    if Precision::Bf16.instructions().is_some() {
        // Each of the three: neither gradient was computed inside the scope.
        assert!(in_f32.iter().zip(&in_bf16).all(|(a, b)| a != b));
    } else {
        assert!(in_f32 == in_bf16);
    }
}
