use burn::tensor::Tensor;

use super::{log_softmax, log_softmax_reference, softmax, softmax_reference};
use crate::oracle::{assert_close, device, double, relative_error, tensor, values};

fn check<const D: usize>(x: Tensor<D>, logarithm: bool) {
    let shape = x.dims();
    let classes = shape[D - 1];
    let x = x.detach().require_grad();
    let upstream = tensor(shape, 2);
    let output = if logarithm {
        log_softmax(x.clone())
    } else {
        softmax(x.clone())
    };
    let gradients = (output.clone() * upstream.clone()).sum().backward();

    let (input, up) = (double(&x), double(&upstream));
    let mut expected_output = vec![0.0; input.len()];
    let mut expected_x = vec![0.0; input.len()];
    for row in 0..input.len() / classes {
        let row = row * classes..(row + 1) * classes;
        let sum: f64 = input[row.clone()].iter().map(|x| x.exp()).sum();
        let share = |i: usize| input[i].exp() / sum;
        let total: f64 = up[row.clone()].iter().sum();
        let mean: f64 = row.clone().map(|i| up[i] * share(i)).sum();
        for i in row {
            expected_output[i] = if logarithm { share(i).ln() } else { share(i) };
            expected_x[i] = if logarithm {
                up[i] - share(i) * total
            } else {
                share(i) * (up[i] - mean)
            };
        }
    }
    let name = format!("{shape:?} logarithm {logarithm}");
    let twin = if logarithm {
        log_softmax_reference(x.clone())
    } else {
        softmax_reference(x.clone())
    };
    assert_close(&format!("twin {name}"), &twin, &expected_output);
    assert_close(&format!("output {name}"), &output, &expected_output);
    // One class alone has a gradient of zero, and of many the differences may nearly cancel, so
    // that Burn's own error is the measure.
    let of_twin = (twin * upstream).sum().backward();
    let error = |gradient: Tensor<D>| relative_error(&values(&gradient), &expected_x);
    let found = error(x.grad(&gradients).unwrap());
    let of_twin = error(x.grad(&of_twin).unwrap());
    assert!(
        found < 1e-6_f64.max(2.0 * of_twin),
        "x {name}: relative error {found:.1e}, of the twin {of_twin:.1e}"
    );
}

#[test]
fn values_and_gradients_match_naive_loops() {
    for logarithm in [false, true] {
        check(tensor([1, 1], 1), logarithm);
        check(tensor([7], 1) * 10.0, logarithm);
        check(tensor([3, 7, 33], 1) * 5.0, logarithm);
        check(tensor([2, 3, 5, 64], 1), logarithm);
        check(tensor([500, 10], 1) * 3.0, logarithm);
        check(tensor([9, 1500], 1), logarithm);
        check(tensor([4, 24, 9], 1).swap_dims(1, 2), logarithm);
    }
}

#[test]
fn large_numbers_neither_overflow_nor_vanish() {
    let x = Tensor::<2>::from_data([[1e4f32, 1e4, -1e4], [-3e4, -3e4, -3e4]], &device());
    let third: f64 = 1.0 / 3.0;
    assert_close(
        "softmax",
        &softmax(x.clone()),
        &[0.5, 0.5, 0.0, third, third, third],
    );
    let (half, third) = (0.5f64.ln(), third.ln());
    assert_close(
        "logarithm",
        &log_softmax(x),
        &[half, half, half - 2e4, third, third, third],
    );
}

#[test]
fn an_empty_batch_is_empty() {
    let x = tensor([4, 3], 1).slice([0..0, 0..3]);
    assert_eq!(softmax(x.clone()).dims(), [0, 3]);
    assert_eq!(log_softmax(x).dims(), [0, 3]);
}

#[test]
fn two_runs_are_bit_identical() {
    let run = || {
        let x = tensor([700, 65], 1).require_grad();
        let output = log_softmax(x.clone()) + softmax(x.clone());
        let gradients = output.clone().powi_scalar(2).sum().backward();
        [values(&output), values(&x.grad(&gradients).unwrap())]
            .map(|v| v.into_iter().map(f32::to_bits).collect::<Vec<_>>())
    };
    assert!(run() == run());
}
