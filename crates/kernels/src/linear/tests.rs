use burn::tensor::Tensor;

use super::{Activation, linear, linear_reference, linear_residual, linear_residual_reference};
use crate::Precision;
use crate::bfloat::Engine;
use crate::oracle::{activation, assert_close, double, relative_error, short, tensor, values};
use crate::precision::in_engine;

fn check<const D: usize>(x: Tensor<D>, out: usize, bias: bool, function: Activation) {
    let shape = x.dims();
    let features = shape[D - 1];
    let x = x.require_grad();
    let weight = tensor([out, features], 2).require_grad();
    let bias = bias.then(|| tensor([out], 3).require_grad());
    let output = linear(x.clone(), weight.clone(), bias.clone(), function);
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
            let (y, slope) = activation(function, z);
            expected_output[row * out + o] = y;
            let g = up[row * out + o] * slope;
            expected_bias[o] += g;
            for i in 0..features {
                expected_weight[o * features + i] += g * input[row * features + i];
                expected_x[row * features + i] += g * w[o * features + i];
            }
        }
    }
    let name = format!("{shape:?} -> {out} {function:?}");
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
    let twin = linear_reference(x, weight, bias, function);
    assert_close(&format!("twin of {name}"), &twin, &expected_output);
}

#[test]
fn values_and_gradients_match_naive_loops() {
    for function in [
        Activation::None,
        Activation::Relu,
        Activation::Gelu,
        Activation::GeluTanh,
        Activation::Silu,
        Activation::Tanh,
    ] {
        for bias in [false, true] {
            check(tensor([1, 3], 1), 2, bias, function);
            check(tensor([2, 7, 33], 1), 17, bias, function);
            check(tensor([3, 5, 64], 1), 48, bias, function);
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

/// A layer and its residual against the layer alone, which is checked above, and a sum.
fn check_residual(x: Tensor<3>, residual: Tensor<3>, bias: bool) {
    let (features, out) = (x.dims()[2], residual.dims()[2]);
    let upstream = tensor(residual.dims(), 5);
    let inputs = || {
        (
            [residual.clone(), x.clone()].map(|t| t.detach().require_grad()),
            tensor([out, features], 2).require_grad(),
            bias.then(|| tensor([out], 3).require_grad()),
        )
    };
    let gradients =
        |output: Tensor<3>, leaves: (&[Tensor<3>; 2], &Tensor<2>, &Option<Tensor<1>>)| {
            let gradients = (output * upstream.clone()).sum().backward();
            let ([residual, x], weight, bias) = leaves;
            [
                Some(double(&residual.grad(&gradients).unwrap())),
                Some(double(&x.grad(&gradients).unwrap())),
                Some(double(&weight.grad(&gradients).unwrap())),
                bias.as_ref()
                    .map(|bias| double(&bias.grad(&gradients).unwrap())),
            ]
        };
    let name = format!("{:?} -> {out} bias {bias}", x.dims());
    let (both, weight, bias) = inputs();
    let [r, x] = both.clone();
    let output = linear_residual(r.clone(), x.clone(), weight.clone(), bias.clone());
    let layer = linear(x.clone(), weight.clone(), bias.clone(), Activation::None);
    let sum: Vec<f64> = double(&layer)
        .iter()
        .zip(double(&r))
        .map(|(y, r)| y + r)
        .collect();
    assert_close(&format!("output of {name}"), &output, &sum);
    let twin = linear_residual_reference(r, x, weight.clone(), bias.clone());
    assert_close(&format!("twin of {name}"), &twin, &sum);
    let found = gradients(output, (&both, &weight, &bias));
    let expected = gradients(both[0].clone() + layer, (&both, &weight, &bias));
    assert!(found == expected, "gradients of {name}");
}

#[test]
fn a_residual_is_added_and_has_the_gradient_of_the_output() {
    for bias in [false, true] {
        check_residual(tensor([1, 1, 3], 1), tensor([1, 1, 2], 4), bias);
        check_residual(tensor([2, 7, 33], 1), tensor([2, 7, 17], 4), bias);
        check_residual(tensor([30, 65, 48], 1), tensor([30, 65, 64], 4), bias);
        check_residual(
            tensor([2, 9, 5], 1).swap_dims(1, 2),
            tensor([2, 6, 5], 4).swap_dims(1, 2),
            bias,
        );
    }
}

#[test]
#[should_panic(expected = "the residual must be shaped as the output")]
fn a_residual_of_another_shape_is_refused() {
    linear_residual(
        tensor([2, 4], 1),
        tensor([2, 3], 1),
        tensor([5, 3], 2),
        None,
    );
}

/// Where products are rounded, what is too much of it would go unseen.
#[test]
#[should_panic(expected = "linear: the bias must have a number for each of the 5 outputs")]
fn a_bias_of_another_length_is_refused() {
    in_engine(Some(Engine::Plain), || {
        let (x, weight) = (tensor([2, 3], 1), tensor([5, 3], 2));
        linear(x, weight, Some(tensor([7], 3)), Activation::None)
    });
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
