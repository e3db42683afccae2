use burn::tensor::Tensor;

use super::{
    batch_norm_eval, batch_norm_eval_reference, batch_norm_train, batch_norm_train_reference,
};
use crate::oracle::{assert_close, device, double, relative_error, tensor, values};

pub(crate) const EPSILON: f64 = 1e-5;

pub(crate) struct Naive {
    pub(crate) output: Vec<f64>,
    pub(crate) mean: Vec<f64>,
    pub(crate) variance: Vec<f64>,
    pub(crate) x: Vec<f64>,
    pub(crate) gamma: Vec<f64>,
    pub(crate) beta: Vec<f64>,
    pub(crate) residual: Vec<f64>,
}

pub(crate) fn naive(
    x: &[f64],
    [gamma, beta]: [&[f64]; 2],
    residual: Option<&[f64]>,
    relu: bool,
    upstream: &[f64],
    given: Option<[&[f64]; 2]>,
) -> Naive {
    let channels = gamma.len();
    let rows = x.len() / channels;
    let mut naive = Naive {
        output: vec![0.0; x.len()],
        mean: vec![0.0; channels],
        variance: vec![0.0; channels],
        x: vec![0.0; x.len()],
        gamma: vec![0.0; channels],
        beta: vec![0.0; channels],
        residual: vec![0.0; x.len()],
    };
    for c in 0..channels {
        let of_channel = || (0..rows).map(|row| row * channels + c);
        let (mean, variance) = match given {
            Some([mean, variance]) => (mean[c], variance[c]),
            None => {
                let mean = of_channel().map(|i| x[i]).sum::<f64>() / rows as f64;
                (
                    mean,
                    of_channel().map(|i| (x[i] - mean).powi(2)).sum::<f64>() / rows as f64,
                )
            }
        };
        let deviation = (variance + EPSILON).sqrt();
        for i in of_channel() {
            let y = (x[i] - mean) / deviation * gamma[c] + beta[c] + residual.map_or(0.0, |r| r[i]);
            naive.output[i] = if relu { y.max(0.0) } else { y };
            let g = if relu && y <= 0.0 { 0.0 } else { upstream[i] };
            naive.residual[i] = g;
            naive.beta[c] += g;
            naive.gamma[c] += g * (x[i] - mean) / deviation;
        }
        for i in of_channel() {
            let g = naive.residual[i];
            let normalized = (x[i] - mean) / deviation;
            let n = rows as f64;
            let through = if given.is_some() {
                0.0
            } else {
                (naive.beta[c] + normalized * naive.gamma[c]) / n
            };
            naive.x[i] = gamma[c] / deviation * (g - through);
        }
        (naive.mean[c], naive.variance[c]) = (mean, variance);
    }
    naive
}

fn check<const D: usize>(x: Tensor<D>, residual: bool, relu: bool, given: bool) {
    let shape = x.dims();
    let channels = shape[D - 1];
    let name =
        |part: &str| format!("{part}, {shape:?} residual {residual} relu {relu} given {given}");
    let x = x.require_grad();
    let gamma = (tensor([channels], 2) + 1.5).require_grad();
    let beta = tensor([channels], 3).require_grad();
    let residual = residual.then(|| tensor(shape, 4).require_grad());
    let (mean, variance) = (tensor([channels], 5), tensor([channels], 6) + 2.0);
    let upstream = tensor(shape, 7);
    let statistics = [double(&mean), double(&variance)];
    let expected = naive(
        &double(&x),
        [&double(&gamma), &double(&beta)],
        residual.as_ref().map(double).as_deref(),
        relu,
        &double(&upstream),
        given.then(|| [&statistics[0][..], &statistics[1]]),
    );
    let output = if given {
        let (gamma, beta) = (gamma.clone(), beta.clone());
        batch_norm_eval(
            x.clone(),
            gamma,
            beta,
            mean,
            variance,
            residual.clone(),
            relu,
            EPSILON,
        )
    } else {
        let (gamma, beta) = (gamma.clone(), beta.clone());
        let output = batch_norm_train(x.clone(), gamma, beta, residual.clone(), relu, EPSILON);
        assert_close(&name("mean"), &output.mean, &expected.mean);
        assert_close(&name("variance"), &output.variance, &expected.variance);
        output.output
    };
    assert_close(&name("output"), &output, &expected.output);
    let gradients = (output * upstream).sum().backward();
    assert_close(&name("x"), &x.grad(&gradients).unwrap(), &expected.x);
    assert_close(
        &name("gamma"),
        &gamma.grad(&gradients).unwrap(),
        &expected.gamma,
    );
    assert_close(
        &name("beta"),
        &beta.grad(&gradients).unwrap(),
        &expected.beta,
    );
    if let Some(residual) = residual {
        assert_close(
            &name("residual"),
            &residual.grad(&gradients).unwrap(),
            &expected.residual,
        );
    }
}

#[test]
fn values_and_gradients_match_naive_loops() {
    for given in [false, true] {
        for residual in [false, true] {
            for relu in [false, true] {
                check(tensor([5, 7, 3, 3], 1), residual, relu, given);
                check(tensor([4, 9, 9, 16], 1), residual, relu, given);
                check(tensor([33, 130], 1), residual, relu, given);
                check(tensor([7000, 17], 1), residual, relu, given);
                check(tensor([2, 3, 200], 1), residual, relu, given);
            }
        }
    }
}

/// The gradients of x, gamma and beta behind a ReLU, bit by bit; `shared` keeps the gradient of the
/// output from being written in place.
fn behind_a_relu(residual: Option<Tensor<4>>, given: bool, shared: bool) -> [Vec<u32>; 3] {
    let shape = [9, 8, 7, 24];
    let x = tensor(shape, 1).require_grad();
    let [gamma, beta] = [2, 3].map(|seed| tensor([24], seed).require_grad());
    let inputs = (x.clone(), gamma.clone(), beta.clone());
    let output = if given {
        let (x, gamma, beta) = inputs;
        let (mean, variance) = (tensor([24], 5), tensor([24], 6) + 2.0);
        batch_norm_eval(x, gamma, beta, mean, variance, residual, true, EPSILON)
    } else {
        let (x, gamma, beta) = inputs;
        batch_norm_train(x, gamma, beta, residual, true, EPSILON).output
    };
    let upstream = tensor(shape, 7).require_grad();
    // Both terms of a sum get the same gradient, which neither may then write to.
    let met = if shared {
        output + upstream
    } else {
        output * upstream
    };
    let gradients = met.powi_scalar(2).sum().backward();
    let x = values(&x.grad(&gradients).unwrap());
    let [gamma, beta] = [gamma, beta].map(|of| values(&of.grad(&gradients).unwrap()));
    [x, gamma, beta].map(|values| values.into_iter().map(f32::to_bits).collect())
}

#[test]
fn a_relu_computed_again_stops_what_the_output_says_it_stopped() {
    for given in [false, true] {
        for shared in [false, true] {
            let zeros = Tensor::zeros([9, 8, 7, 24], &device());
            let by_output = behind_a_relu(Some(zeros), given, shared);
            assert!(behind_a_relu(None, given, shared) == by_output);
        }
    }
}

#[test]
fn nothing_goes_through_a_relu_that_was_given_zero() {
    // Each channel is constant, so that the normalized numbers are beta: zero in the first.
    let rows = Tensor::<2>::from_floats([[0.5, -2.0]; 6], &device());
    let beta = || Tensor::<1>::from_floats([0.0, 1.0], &device()).require_grad();
    let gamma = Tensor::<1>::from_floats([3.0, 3.0], &device());
    let mean = Tensor::<1>::from_floats([0.5, -2.0], &device());
    for given in [false, true] {
        let (x, beta, gamma) = (rows.clone().require_grad(), beta(), gamma.clone());
        let output = if given {
            let (mean, variance) = (mean.clone(), gamma.clone());
            let (x, beta) = (x.clone(), beta.clone());
            batch_norm_eval(x, gamma, beta, mean, variance, None, true, EPSILON)
        } else {
            batch_norm_train(x.clone(), gamma, beta.clone(), None, true, EPSILON).output
        };
        assert_eq!(values(&output), [0.0, 1.0].repeat(6));
        let gradients = output.sum().backward();
        assert_eq!(values(&beta.grad(&gradients).unwrap()), [0.0, 6.0]);
        let of_x = values(&x.grad(&gradients).unwrap());
        let stopped = of_x.iter().step_by(2).all(|value| *value == 0.0);
        assert!(stopped, "{of_x:?}");
    }
}

#[test]
fn a_permuted_input_is_read_right() {
    check(
        tensor([3, 8, 5, 6], 1).permute([0, 2, 3, 1]),
        true,
        true,
        false,
    );
    check(
        tensor([6, 8, 9], 1).slice([1..5, 2..7, 3..8]),
        false,
        true,
        false,
    );
}

#[test]
fn a_large_mean_costs_no_more_digits_than_the_reference_loses() {
    let x = tensor([4096, 8], 1) + 1000.0;
    let (gamma, beta) = (tensor([8], 2), tensor([8], 3));
    let expected = naive(
        &double(&x),
        [&double(&gamma), &double(&beta)],
        None,
        false,
        &[0.0; 4096 * 8],
        None,
    );
    let fused = batch_norm_train(x.clone(), gamma.clone(), beta.clone(), None, false, EPSILON);
    let twin = batch_norm_train_reference(x, gamma, beta, None, false, EPSILON);
    let [fused, twin] = [fused, twin].map(|o| relative_error(&values(&o.output), &expected.output));
    assert!(
        fused <= 2.0 * twin.max(1e-6),
        "fused {fused:.2e}, twin {twin:.2e}"
    );
}

#[test]
fn the_fused_path_agrees_with_the_reference() {
    let (x, gamma, beta) = (tensor([3, 4, 5, 6], 1), tensor([6], 2), tensor([6], 3));
    let residual = Some(tensor([3, 4, 5, 6], 4));
    let (mean, variance) = (tensor([6], 5), tensor([6], 6) + 2.0);
    let fused = batch_norm_train(
        x.clone(),
        gamma.clone(),
        beta.clone(),
        residual.clone(),
        true,
        EPSILON,
    );
    let twin = batch_norm_train_reference(
        x.clone(),
        gamma.clone(),
        beta.clone(),
        residual.clone(),
        true,
        EPSILON,
    );
    assert_close("output", &fused.output, &double(&twin.output));
    assert_close("mean", &fused.mean, &double(&twin.mean));
    assert_close("variance", &fused.variance, &double(&twin.variance));
    let eval = |f: fn(_, _, _, _, _, _, _, _) -> Tensor<4>| {
        let (gamma, beta) = (gamma.clone(), beta.clone());
        f(
            x.clone(),
            gamma,
            beta,
            mean.clone(),
            variance.clone(),
            residual.clone(),
            true,
            EPSILON,
        )
    };
    assert_close(
        "eval",
        &eval(batch_norm_eval),
        &double(&eval(batch_norm_eval_reference)),
    );
}

#[test]
fn statistics_carry_no_gradient_and_an_empty_batch_is_empty() {
    let gamma = tensor([3], 2).require_grad();
    let x = tensor([4, 3], 1);
    let output = batch_norm_train(x, gamma.clone(), tensor([3], 3), None, false, EPSILON);
    let gradients = (output.output.sum() + output.mean.sum() + output.variance.sum()).backward();
    assert!(gamma.grad(&gradients).is_some());
    let x = tensor([4, 3], 1).slice([0..0, 0..3]);
    let output = batch_norm_train(x, gamma, tensor([3], 3), None, true, EPSILON);
    assert_eq!(output.output.dims(), [0, 3]);
}

#[test]
fn rows_without_channels_are_empty() {
    let x = Tensor::<2>::zeros([4, 0], &device()).require_grad();
    let nothing = Tensor::<1>::zeros([0], &device());
    let output = batch_norm_train(x.clone(), nothing.clone(), nothing, None, true, EPSILON);
    assert_eq!(output.output.dims(), [4, 0]);
    let gradients = output.output.sum().backward();
    assert_eq!(x.grad(&gradients).unwrap().dims(), [4, 0]);
}

#[test]
fn two_runs_are_bit_identical() {
    let run = || {
        let x = tensor([64, 16, 16, 24], 1).require_grad();
        let gamma = tensor([24], 2).require_grad();
        let output = batch_norm_train(
            x.clone(),
            gamma.clone(),
            tensor([24], 3),
            None,
            true,
            EPSILON,
        );
        let gradients = output.output.clone().powi_scalar(2).sum().backward();
        let all = [
            values(&output.output),
            values(&x.grad(&gradients).unwrap()),
            values(&gamma.grad(&gradients).unwrap()),
        ];
        all.map(|v| v.into_iter().map(f32::to_bits).collect::<Vec<_>>())
    };
    assert!(run() == run());
}
