use burn::tensor::{Tensor, TensorData};

use super::{hidden_loss, hidden_loss_reference};
use crate::oracle::{assert_close, device, double, tensor, values};

const EPSILON: f64 = 1e-6;

/// Weights of which two in three aren't zero, and not all of these one.
fn weights([batch, rows]: [usize; 2]) -> Tensor<2> {
    let values = (0..batch * rows).map(|i| (i * 5 % 3) as f32).collect();
    let weights = Tensor::from_data(TensorData::new::<f32, _>(values, [batch, rows]), &device());
    // A single row has to count.
    if batch * rows == 1 {
        weights + 1.0
    } else {
        weights
    }
}

fn check(predictions: Tensor<3>, targets: Tensor<3>) {
    let shape = predictions.dims();
    let [batch, rows, count] = shape;
    let predictions = predictions.require_grad();
    let hidden = weights([batch, rows]);
    let (p, t, h) = (double(&predictions), double(&targets), double(&hidden));
    let total: f64 = h.iter().sum();
    let mut loss = 0.0;
    let mut gradient = vec![0.0; p.len()];
    for (row, h) in h.iter().enumerate() {
        let row = row * count..(row + 1) * count;
        let mean = t[row.clone()].iter().sum::<f64>() / count as f64;
        let squares = t[row.clone()].iter().map(|t| (t - mean).powi(2));
        let deviation = (squares.sum::<f64>() / (count - 1) as f64 + EPSILON).sqrt();
        for i in row {
            let error = p[i] - (t[i] - mean) / deviation;
            loss += h * error * error / (count as f64 * total);
            gradient[i] = 2.0 * h * error / (count as f64 * total);
        }
    }
    let found = hidden_loss(
        predictions.clone(),
        targets.clone(),
        hidden.clone(),
        EPSILON,
    );
    assert_close(&format!("loss {shape:?}"), &found, &[loss]);
    let gradients = (found * 3.0).backward();
    let found = predictions.grad(&gradients).unwrap() / 3.0;
    assert_close(&format!("gradient {shape:?}"), &found, &gradient);
    let twin = hidden_loss_reference(predictions.clone(), targets, hidden, EPSILON);
    assert_close(&format!("twin {shape:?}"), &twin, &[loss]);
    let found = predictions.grad(&twin.backward()).unwrap();
    assert_close(&format!("twin's gradient {shape:?}"), &found, &gradient);
}

#[test]
fn values_and_gradients_match_naive_loops() {
    for shape in [[1, 1, 2], [2, 5, 33], [7, 64, 48], [3, 4, 768]] {
        check(tensor(shape, 1), tensor(shape, 2));
    }
    let targets = tensor([2, 48, 9], 2).swap_dims(1, 2);
    check(tensor([9, 2, 48], 1).swap_dims(0, 1), targets);
}

#[test]
fn only_the_predictions_have_a_gradient() {
    let [predictions, targets] = [1, 2].map(|seed| tensor([2, 3, 4], seed).require_grad());
    let hidden = weights([2, 3]).detach().require_grad();
    let loss = hidden_loss(
        predictions.clone(),
        targets.clone(),
        hidden.clone(),
        EPSILON,
    );
    let gradients = loss.backward();
    assert!(predictions.grad(&gradients).is_some());
    assert!(targets.grad(&gradients).is_none() && hidden.grad(&gradients).is_none());
}

#[test]
fn what_is_not_hidden_may_be_anything() {
    let hidden = Tensor::<2>::from_data([[0.0f32, 1.0]], &device());
    let predictions = tensor([1, 2, 3], 1);
    let wild = Tensor::<3>::from_data(
        [[[f32::NAN, f32::INFINITY, 0.0], [0.0, 0.0, 0.0]]],
        &device(),
    );
    let targets = tensor([1, 2, 3], 2);
    let loss = |p, t| values(&hidden_loss(p, t, hidden.clone(), EPSILON));
    let expected = loss(predictions.clone(), targets.clone());
    assert_eq!(loss(predictions + wild.clone(), targets + wild), expected);
}

#[test]
fn two_runs_are_bit_identical() {
    let run = || {
        let predictions = tensor([64, 64, 48], 1).require_grad();
        let targets = tensor([64, 64, 48], 2);
        let loss = hidden_loss(predictions.clone(), targets, weights([64, 64]), EPSILON);
        let gradient = predictions.grad(&loss.backward()).unwrap();
        [values(&loss), values(&gradient)]
            .map(|v| v.into_iter().map(f32::to_bits).collect::<Vec<_>>())
    };
    assert!(run() == run());
}
