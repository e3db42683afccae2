use burn::tensor::{DType, Int, Tensor, TensorData};

use super::{cross_entropy, cross_entropy_reference, cross_entropy_smoothed};
use crate::oracle::{assert_close, device, double, tensor, values};

fn classes(targets: &[i64]) -> Tensor<1, Int> {
    let data = TensorData::new(targets.to_vec(), [targets.len()]);
    Tensor::from_data(data, &device())
}

fn naive(logits: &[f64], targets: &[i64], ignored: Option<i64>, smoothing: f64) -> (f64, Vec<f64>) {
    let classes = logits.len() / targets.len();
    let counts = |target: &i64| Some(*target) != ignored;
    let count = targets.iter().filter(|target| counts(target)).count() as f64;
    let mut loss = 0.0;
    let mut gradient = vec![0.0; logits.len()];
    for (row, target) in targets.iter().enumerate() {
        if !counts(target) {
            continue;
        }
        let scores = &logits[row * classes..(row + 1) * classes];
        let sum: f64 = scores.iter().map(|x| x.exp()).sum();
        for (class, score) in scores.iter().enumerate() {
            let hit = f64::from(u8::from(class as i64 == *target));
            let wanted = (1.0 - smoothing) * hit + smoothing / classes as f64;
            loss -= wanted * (score - sum.ln()) / count;
            gradient[row * classes + class] = (score.exp() / sum - wanted) / count;
        }
    }
    (loss, gradient)
}

fn check(logits: Tensor<2>, targets: &[i64], ignored: Option<i64>, smoothing: f64) {
    let logits = logits.require_grad();
    let name = format!("{:?} but {ignored:?} smoothed {smoothing}", logits.dims());
    let (loss, gradient) = naive(&double(&logits), targets, ignored, smoothing);
    let found = cross_entropy_smoothed(logits.clone(), classes(targets), ignored, smoothing);
    assert_close(&format!("loss {name}"), &found, &[loss]);
    let gradients = (found * 3.0).backward();
    let found = logits.grad(&gradients).unwrap() / 3.0;
    assert_close(&format!("gradient {name}"), &found, &gradient);
    let twin = cross_entropy_reference(logits.clone(), classes(targets), ignored, smoothing);
    assert_close(&format!("twin {name}"), &twin, &[loss]);
    let found = logits.grad(&twin.backward()).unwrap();
    assert_close(&format!("twin's gradient {name}"), &found, &gradient);
}

/// Targets that meet every class, each `every`-th being ignored as -100.
fn spread(rows: usize, classes: usize, every: usize) -> Vec<i64> {
    let target = |row: usize| {
        if row % every == every - 1 {
            -100
        } else {
            (row * 7 % classes) as i64
        }
    };
    (0..rows).map(target).collect()
}

#[test]
fn values_and_gradients_match_naive_loops() {
    for (rows, classes) in [(1, 1), (1, 2), (5, 3), (64, 10), (33, 1000), (700, 37)] {
        for smoothing in [0.0, 0.1, 1.0] {
            let logits = || tensor([rows, classes], 1) * 6.0;
            check(
                logits().detach(),
                &spread(rows, classes, rows + 1),
                None,
                smoothing,
            );
            if rows > 1 {
                check(
                    logits().detach(),
                    &spread(rows, classes, 3),
                    Some(-100),
                    smoothing,
                );
            }
        }
    }
}

#[test]
fn a_transposed_input_is_read_right() {
    check(
        tensor([6, 20], 1).transpose(),
        &spread(20, 6, 21),
        None,
        0.0,
    );
}

#[test]
fn large_scores_lose_no_digits() {
    let logits = tensor([40, 11], 1) * 4.0 + 20_000.0;
    let logits = logits.detach().require_grad();
    let targets = spread(40, 11, 41);
    let shifted: Vec<f64> = double(&logits).iter().map(|x| x - 20_000.0).collect();
    let (loss, gradient) = naive(&shifted, &targets, None, 0.0);
    let found = cross_entropy(logits.clone(), classes(&targets), None);
    assert_close("loss", &found, &[loss]);
    assert_close(
        "gradient",
        &logits.grad(&found.backward()).unwrap(),
        &gradient,
    );
}

#[test]
fn closed_forms() {
    let uniform = cross_entropy(tensor([4, 7], 1) * 0.0, classes(&[0, 3, 6, 1]), None);
    assert_close("uniform", &uniform, &[7f64.ln()]);
    let sure = Tensor::<2>::from_data([[200.0f32, -200.0], [-200.0, 200.0]], &device());
    assert_eq!(
        values(&cross_entropy(sure.clone(), classes(&[0, 1]), None)),
        [0.0]
    );
    assert_eq!(
        values(&cross_entropy(sure, classes(&[1, 0]), None)),
        [400.0]
    );
}

#[test]
fn where_no_row_counts_loss_and_gradient_are_zero() {
    let logits = tensor([3, 4], 1).require_grad();
    let loss = cross_entropy(logits.clone(), classes(&[-1, -1, -1]), Some(-1));
    assert_eq!(values(&loss), [0.0]);
    assert_eq!(values(&logits.grad(&loss.backward()).unwrap()), [0.0; 12]);
    let none = tensor([4, 3], 1).slice([0..0, 0..3]);
    let targets = classes(&[1, 2]).slice(0..0);
    assert_eq!(values(&cross_entropy(none, targets, None)), [0.0]);
}

#[test]
fn targets_of_32_and_of_64_bits_are_read() {
    for width in [DType::I32, DType::I64] {
        let targets = Tensor::<1, Int>::from_data([2, 0], (&device(), width));
        assert_eq!(targets.dtype(), width);
        assert!(crate::operation::integers(&targets.clone().into_dispatch()).is_some());
        let logits = tensor([2, 3], 1);
        let expected = naive(&double(&logits), &[2, 0], None, 0.0).0;
        assert_close("loss", &cross_entropy(logits, targets, None), &[expected]);
    }
}

#[test]
#[should_panic(expected = "the target of row 1 is 3, expected a class below 3, or -1 to ignore")]
fn a_target_out_of_range_is_named() {
    cross_entropy(tensor([2, 3], 1), classes(&[-1, 3]), Some(-1));
}

#[test]
fn two_runs_are_bit_identical() {
    let run = || {
        let logits = tensor([900, 101], 1).require_grad();
        let loss = cross_entropy(logits.clone(), classes(&spread(900, 101, 4)), Some(-100));
        let gradient = logits.grad(&loss.backward()).unwrap();
        [values(&loss), values(&gradient)]
            .map(|v| v.into_iter().map(f32::to_bits).collect::<Vec<_>>())
    };
    assert!(run() == run());
}
