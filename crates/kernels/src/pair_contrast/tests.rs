use burn::tensor::{Tensor, TensorData};

use super::{Among, pair_contrast, pair_contrast_reference};
use crate::oracle::{assert_close, device, double, tensor, values};

/// The formula, token by token: the loss and its gradients.
fn naive(views: [&[f64]; 2], shape: [usize; 3], among: Among) -> (f64, [Vec<f64>; 2]) {
    let [items, moments, dim] = shape;
    let mut loss = 0.0;
    let mut gradients = [vec![0.0; views[0].len()], vec![0.0; views[1].len()]];
    let place = |item: usize, moment: usize| (item * moments + moment) * dim;
    let count = (2 * items * moments) as f64;
    for view in 0..2 {
        for item in 0..items {
            for moment in 0..moments {
                let own = (view, place(item, moment));
                let other = (1 - view, own.1);
                let group: Vec<(usize, usize)> = (0..2)
                    .flat_map(|view| match among {
                        Among::Items => (0..items)
                            .map(|item| (view, place(item, moment)))
                            .collect::<Vec<_>>(),
                        Among::Moments => (0..moments)
                            .map(|moment| (view, place(item, moment)))
                            .collect(),
                    })
                    .filter(|token| *token != own)
                    .collect();
                let similar = |token: (usize, usize)| -> f64 {
                    (0..dim)
                        .map(|d| views[own.0][own.1 + d] * views[token.0][token.1 + d])
                        .sum()
                };
                let sum: f64 = group.iter().map(|token| similar(*token).exp()).sum();
                loss += (sum.ln() - similar(other)) / count;
                for token in group {
                    let target = f64::from(u8::from(token == other));
                    let slope = (similar(token).exp() / sum - target) / count;
                    for d in 0..dim {
                        gradients[own.0][own.1 + d] += slope * views[token.0][token.1 + d];
                        gradients[token.0][token.1 + d] += slope * views[own.0][own.1 + d];
                    }
                }
            }
        }
    }
    (loss, gradients)
}

#[test]
fn values_and_gradients_match_naive_loops() {
    for among in [Among::Items, Among::Moments] {
        // Groups of one, odd sizes, fewer groups than threads, and more tokens than are kept whole.
        for shape in [
            [4, 6, 5],
            [9, 7, 33],
            [1, 12, 3],
            [12, 1, 3],
            [40, 300, 2],
            [300, 40, 2],
        ] {
            let name = format!("{shape:?} {among:?}");
            let [a, b] = [1, 2].map(|seed| tensor(shape, seed).require_grad());
            let [of_a, of_b] = [&a, &b].map(double);
            let (loss, expected) = naive([&of_a, &of_b], shape, among);
            let found = pair_contrast(a.clone(), b.clone(), among);
            let twin = pair_contrast_reference(a.clone(), b.clone(), among);
            assert!(
                (f64::from(values(&found)[0]) - loss).abs() < 2e-6 * loss.max(1.0),
                "{name}"
            );
            assert!(
                (f64::from(values(&twin)[0]) - loss).abs() < 2e-6 * loss.max(1.0),
                "twin {name}"
            );
            let gradients = (found * 3.0).backward();
            for (view, expected) in [&a, &b].into_iter().zip(expected) {
                let found = view.grad(&gradients).unwrap() / 3.0;
                if expected.iter().all(|value| value.abs() < 1e-12) {
                    // A group of one token a view has nothing to be told apart from.
                    assert!(
                        values(&found).iter().all(|value| value.abs() < 1e-6),
                        "{name}"
                    );
                } else {
                    assert_close(&format!("gradient {name}"), &found, &expected);
                }
            }
        }
    }
}

#[test]
fn tokens_that_are_all_alike_cost_what_guessing_costs() {
    let [a, b] = [(); 2].map(|()| Tensor::<3>::zeros([4, 8, 5], &device()));
    for (among, others) in [(Among::Items, 7.0f64), (Among::Moments, 15.0)] {
        let loss = pair_contrast(a.clone(), b.clone(), among);
        assert_close("alike", &loss, &[others.ln()]);
    }
}

#[test]
fn views_that_are_parts_of_larger_tensors_come_out_the_same() {
    let large = tensor([5, 9, 4], 3);
    let [a, b] = [1, 3].map(|first| large.clone().narrow(1, first, 6));
    let copied = [&a, &b]
        .map(|view| Tensor::<3>::from_data(TensorData::new(values(view), [5, 6, 4]), &device()));
    let [copy, other] = copied;
    for among in [Among::Items, Among::Moments] {
        let [found, expected] = [
            pair_contrast(a.clone(), b.clone(), among),
            pair_contrast(copy.clone(), other.clone(), among),
        ]
        .map(|loss| values(&loss)[0]);
        assert_eq!(found.to_bits(), expected.to_bits());
    }
}

#[test]
fn only_the_view_that_learns_has_a_gradient() {
    let a = tensor([3, 4, 5], 1).require_grad();
    let b = tensor([3, 4, 5], 2);
    let gradients = pair_contrast(a.clone(), b.clone(), Among::Items).backward();
    assert!(a.grad(&gradients).is_some());
    assert!(b.grad(&gradients).is_none());
}

#[test]
fn two_runs_are_bit_identical() {
    let run = |among| {
        let [a, b] = [1, 2].map(|seed| tensor([16, 40, 24], seed).require_grad());
        let loss = pair_contrast(a.clone(), b.clone(), among);
        let gradients = loss.backward();
        let all = [
            values(&loss),
            values(&a.grad(&gradients).unwrap()),
            values(&b.grad(&gradients).unwrap()),
        ];
        all.map(|v| v.into_iter().map(f32::to_bits).collect::<Vec<_>>())
    };
    for among in [Among::Items, Among::Moments] {
        assert!(run(among) == run(among));
    }
}
