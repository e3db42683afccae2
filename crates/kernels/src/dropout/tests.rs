use burn::tensor::Tensor;

use super::{dropout, dropout_reference};
use crate::oracle::{tensor, values};

/// A tensor of ones.
fn ones<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    tensor(shape, 1) * 0.0 + 1.0
}

/// Which of so many elements are kept.
fn kept(length: usize, probability: f64, seed: u64) -> Vec<bool> {
    let output = values(&dropout(ones([length]), probability, seed));
    output.iter().map(|x| *x != 0.0).collect()
}

fn check<const D: usize>(x: Tensor<D>, probability: f64) {
    let x = x.detach().require_grad();
    let upstream = tensor(x.dims(), 2);
    let name = format!("{:?} with {probability}", x.dims());
    let output = dropout(x.clone(), probability, 7);
    let gradients = (output.clone() * upstream.clone()).sum().backward();
    let gradient = values(&x.grad(&gradients).unwrap());
    let scale = (1.0 / (1.0 - probability)) as f32;
    let kept = values(&dropout_reference(ones(x.dims()), probability, 7));
    let (x, up, y) = (values(&x), values(&upstream), values(&output));
    for (i, kept) in kept.iter().enumerate() {
        let scale = if *kept == 0.0 { 0.0 } else { scale };
        assert_eq!(y[i], x[i] * scale, "output {i} of {name}");
        assert_eq!(gradient[i], up[i] * scale, "gradient {i} of {name}");
    }
}

#[test]
fn values_and_gradients_follow_the_mask_of_the_twin() {
    for probability in [0.0, 0.1, 0.5, 0.9] {
        check(tensor([1], 1), probability);
        check(tensor([3, 7, 33], 1), probability);
        check(tensor([5, 4096], 1), probability);
        check(tensor([3, 130, 64], 1).swap_dims(1, 2), probability);
    }
}

#[test]
fn the_probability_is_kept_everywhere_and_neighbors_are_independent() {
    let length = 1 << 20;
    for probability in [0.1, 0.5, 0.75] {
        let kept = kept(length, probability, 3);
        let expected = 1.0 - probability;
        // Five standard deviations of a count of so many independent draws.
        let near = |count: usize, of: usize, chance: f64, what: &str| {
            let bound = 5.0 * (of as f64 * chance * (1.0 - chance)).sqrt();
            let off = (count as f64 - of as f64 * chance).abs();
            assert!(
                off < bound,
                "{what} at {probability}: off by {off} of {bound}"
            );
        };
        let count = |range: std::ops::Range<usize>| kept[range].iter().filter(|k| **k).count();
        near(count(0..length), length, expected, "all");
        for block in 0..length / 4096 {
            near(
                count(block * 4096..(block + 1) * 4096),
                4096,
                expected,
                "a block",
            );
        }
        for distance in [1, 2, 16, 64, 4096, 8192] {
            let pairs = kept.iter().zip(&kept[distance..]);
            let both = pairs.filter(|(a, b)| **a && **b).count();
            near(both, length - distance, expected * expected, "pairs");
        }
        for bit in 0..12 {
            let with = (0..length)
                .filter(|i| i >> bit & 1 == 1 && kept[*i])
                .count();
            near(with, length / 2, expected, "places with a bit");
        }
    }
}

#[test]
fn seeds_beside_one_another_have_independent_masks() {
    let length = 1 << 18;
    let first = kept(length, 0.5, 0);
    for seed in [1, 2, 1 << 32, 0x9E37_79B9_7F4A_7C15] {
        let other = kept(length, 0.5, seed);
        let same = first.iter().zip(&other).filter(|(a, b)| a == b).count() as f64;
        let off = (same - length as f64 / 2.0).abs();
        assert!(
            off < 5.0 * (length as f64 / 4.0).sqrt(),
            "seed {seed}: {same}"
        );
    }
}

#[test]
fn certain_dropout_leaves_nothing_and_impossible_everything() {
    let x = tensor([100], 1);
    assert_eq!(values(&dropout(x.clone(), 1.0, 5)), [0.0; 100]);
    assert_eq!(values(&dropout(x.clone(), 0.0, 5)), values(&x));
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
        pool.build().unwrap().install(|| kept(100_000, 0.3, 11))
    };
    assert!(run(1) == run(3));
}

#[test]
#[should_panic(expected = "found a probability of 1.5, expected one from 0 to 1")]
fn a_probability_out_of_range_is_named() {
    dropout(tensor([3], 1), 1.5, 0);
}

#[test]
fn an_empty_tensor_is_empty() {
    let x = tensor([4, 3], 1).slice([0..0, 0..3]);
    assert_eq!(dropout(x, 0.5, 1).dims(), [0, 3]);
}
