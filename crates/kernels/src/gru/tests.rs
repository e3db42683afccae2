use burn::tensor::Tensor;

use super::{GruWeights, gru, gru_reference};
use crate::oracle::{device, double, relative_error, tensor, values};

/// Values and gradients by loops in double precision; the gradients are of the input, the two
/// weights, the two biases and the initial states.
struct Naive {
    output: Vec<f64>,
    gradients: [Vec<f64>; 6],
}

struct Sizes {
    batch: usize,
    time: usize,
    features: usize,
    hidden: usize,
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// `inputs` are in the order of the gradients.
fn naive(sizes: &Sizes, inputs: &[Vec<f64>; 6], upstream: &[f64]) -> Naive {
    let Sizes {
        batch,
        time,
        features,
        hidden,
    } = *sizes;
    let [x, weight, recurrent, bias, recurrent_bias, initial] = inputs;
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let mut output = vec![0.0; batch * time * hidden];
    let mut gradients = inputs.each_ref().map(|input| vec![0.0; input.len()]);
    for b in 0..batch {
        let mut state = initial[b * hidden..][..hidden].to_vec();
        // Of each step: the state before it, and r, z, n and the inner sum of n.
        let mut steps = Vec::new();
        for t in 0..time {
            let x = &x[(b * time + t) * features..][..features];
            let sums = |gate: usize, i: usize| {
                let row = gate * hidden + i;
                let input = bias[row] + dot(&weight[row * features..][..features], x);
                let inner = recurrent_bias[row] + dot(&recurrent[row * hidden..][..hidden], &state);
                (input, inner)
            };
            let gates: Vec<[f64; 4]> = (0..hidden)
                .map(|i| {
                    let [r, z] = [0, 1].map(|gate| {
                        let (input, inner) = sums(gate, i);
                        sigmoid(input + inner)
                    });
                    let (input, inner) = sums(2, i);
                    [r, z, (input + r * inner).tanh(), inner]
                })
                .collect();
            let next: Vec<f64> = gates
                .iter()
                .zip(&state)
                .map(|([_, z, n, _], h)| (1.0 - z) * n + z * h)
                .collect();
            output[(b * time + t) * hidden..][..hidden].copy_from_slice(&next);
            steps.push((std::mem::replace(&mut state, next), gates));
        }
        let mut carried = vec![0.0; hidden];
        for (t, (before, gates)) in steps.iter().enumerate().rev() {
            let x_at = (b * time + t) * features;
            let mut next = vec![0.0; hidden];
            for (i, [r, z, n, inner]) in gates.iter().enumerate() {
                let g = carried[i] + upstream[(b * time + t) * hidden + i];
                next[i] += g * z;
                let new = g * (1.0 - z) * (1.0 - n * n);
                let reset = new * inner * r * (1.0 - r);
                let update = g * (before[i] - n) * z * (1.0 - z);
                for (gate, outer, inner) in
                    [(0, reset, reset), (1, update, update), (2, new, new * r)]
                {
                    let row = gate * hidden + i;
                    for f in 0..features {
                        gradients[0][x_at + f] += outer * weight[row * features + f];
                        gradients[1][row * features + f] += outer * x[x_at + f];
                    }
                    for h in 0..hidden {
                        next[h] += inner * recurrent[row * hidden + h];
                        gradients[2][row * hidden + h] += inner * before[h];
                    }
                    gradients[3][row] += outer;
                    gradients[4][row] += inner;
                }
            }
            carried = next;
        }
        gradients[5][b * hidden..][..hidden].copy_from_slice(&carried);
    }
    Naive { output, gradients }
}

type Run = fn(Tensor<3>, Option<Tensor<2>>, GruWeights) -> Tensor<3>;

fn check(x: Tensor<3>, hidden: usize, with_initial: bool) {
    let [batch, time, features] = x.dims();
    // Weights as wide as the usual initialization makes them.
    let scale = 1.0 / (hidden as f32).sqrt();
    let sizes = Sizes {
        batch,
        time,
        features,
        hidden,
    };
    let x = x.require_grad();
    let input = (tensor([3 * hidden, features], 2) * scale)
        .detach()
        .require_grad();
    let recurrent = (tensor([3 * hidden, hidden], 3) * scale)
        .detach()
        .require_grad();
    let input_bias = (tensor([3 * hidden], 4) * scale).detach().require_grad();
    let hidden_bias = (tensor([3 * hidden], 5) * scale).detach().require_grad();
    let initial = with_initial.then(|| tensor([batch, hidden], 6).require_grad());
    let upstream = tensor([batch, time, hidden], 7);
    let zeros = vec![0.0; batch * hidden];
    let inputs = [
        double(&x),
        double(&input),
        double(&recurrent),
        double(&input_bias),
        double(&hidden_bias),
        initial.as_ref().map_or(zeros, double),
    ];
    let expected = naive(&sizes, &inputs, &double(&upstream));

    let run = |run: Run| {
        let weights = GruWeights {
            input: input.clone(),
            hidden: recurrent.clone(),
            input_bias: input_bias.clone(),
            hidden_bias: hidden_bias.clone(),
        };
        let output = run(x.clone(), initial.clone(), weights);
        let gradients = (output.clone() * upstream.clone()).sum().backward();
        let mut found = vec![
            ("output", values(&output)),
            ("x", values(&x.grad(&gradients).unwrap())),
            ("input", values(&input.grad(&gradients).unwrap())),
            ("hidden", values(&recurrent.grad(&gradients).unwrap())),
            ("input_bias", values(&input_bias.grad(&gradients).unwrap())),
            (
                "hidden_bias",
                values(&hidden_bias.grad(&gradients).unwrap()),
            ),
        ];
        if let Some(initial) = &initial {
            found.push(("initial", values(&initial.grad(&gradients).unwrap())));
        }
        found
    };
    let expected = [&expected.output].into_iter().chain(&expected.gradients);
    let both = run(gru).into_iter().zip(run(gru_reference));
    for (((name, found), (_, twin)), expected) in both.zip(expected) {
        let (error, twins) = (
            relative_error(&found, expected),
            relative_error(&twin, expected),
        );
        let case = format!("{name} of {batch} x {time} x {features} -> {hidden}");
        assert!(twins < 5e-6, "twin's {case}: {twins:.1e}");
        assert!(
            error < (2.0 * twins).max(5e-7),
            "{case}: {error:.1e}, twin {twins:.1e}"
        );
    }
}

#[test]
fn values_and_gradients_match_naive_loops() {
    for with_initial in [false, true] {
        check(tensor([1, 1, 1], 1), 1, with_initial);
        check(tensor([1, 9, 5], 1), 3, with_initial);
        check(tensor([2, 6, 16], 1), 32, with_initial);
        check(tensor([5, 11, 7], 1), 19, with_initial);
        check(tensor([33, 17, 24], 1), 40, with_initial);
    }
}

#[test]
fn long_sequences_match_naive_loops() {
    check(tensor([3, 300, 8], 1), 64, true);
}

#[test]
fn a_transposed_input_is_read_right() {
    check(tensor([4, 6, 10], 1).swap_dims(1, 2), 8, true);
    check(tensor([9, 4, 6], 1).swap_dims(0, 1), 8, false);
}

/// Weights for three inputs and two states.
fn small() -> GruWeights {
    GruWeights {
        input: tensor([6, 3], 1).require_grad(),
        hidden: tensor([6, 2], 2).require_grad(),
        input_bias: tensor([6], 3),
        hidden_bias: tensor([6], 4),
    }
}

#[test]
fn no_items_and_no_steps_give_an_empty_output() {
    let x = Tensor::<3>::zeros([0, 4, 3], &device());
    assert_eq!(gru(x, None, small()).dims(), [0, 4, 2]);
    let (x, initial) = (
        Tensor::<3>::zeros([5, 0, 3], &device()),
        tensor([5, 2], 1).require_grad(),
    );
    let output = gru(x, Some(initial.clone()), small());
    assert_eq!(output.dims(), [5, 0, 2]);
    let gradients = output.sum().backward();
    assert_eq!(values(&initial.grad(&gradients).unwrap()), [0.0; 10]);
}

#[test]
fn only_tracked_inputs_get_a_gradient() {
    let (x, weights) = (tensor([2, 5, 3], 5), small());
    let gradients = gru(x.clone(), None, weights.clone()).sum().backward();
    assert!(x.grad(&gradients).is_none());
    assert!(weights.input.grad(&gradients).is_some());
    assert!(weights.input_bias.grad(&gradients).is_none());
}

#[test]
fn saturated_gates_stay_finite() {
    let x = (tensor([2, 5, 3], 5) * 1e4).detach().require_grad();
    let output = gru(x.clone(), None, small());
    let gradients = output.clone().sum().backward();
    assert!(values(&output).iter().all(|h| h.abs() <= 1.0));
    let x = x.grad(&gradients).unwrap();
    assert!(values(&x).iter().all(|g| g.is_finite()));
}

#[test]
fn two_runs_are_bit_identical() {
    let run = || {
        let x = tensor([20, 50, 16], 1).require_grad();
        let weights = GruWeights {
            input: tensor([72, 16], 2).require_grad(),
            hidden: (tensor([72, 24], 3) * 0.2).detach().require_grad(),
            input_bias: tensor([72], 4),
            hidden_bias: tensor([72], 5),
        };
        let output = gru(x.clone(), None, weights.clone());
        let gradients = output.clone().powi_scalar(2).sum().backward();
        let x = x.grad(&gradients).unwrap();
        let input = weights.input.grad(&gradients).unwrap();
        let hidden = weights.hidden.grad(&gradients).unwrap();
        let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
        [values(&output), values(&x), values(&input), values(&hidden)].map(bits)
    };
    assert!(run() == run());
}
