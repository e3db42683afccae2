//! Training with the fused kernels is training without them, as far as floats can tell.
//!
//! A kernel sums in another order than Burn's operations do, so losses differ in their last digits, and training
//! makes small differences grow. How much they may grow is not a matter of taste: runs without kernels whose inputs and
//! first weights differ by one unit in the last place are equally right, and drift apart as well. A run with kernels
//! has to stay about as near to their middle as they do.
//!
//! Where a number comes within rounding of a ReLU's kink, runs part at once and by much, with kernels or without. That
//! is the luck of the data, so there are several draws of it, and some of them have to agree; a kernel that is wrong is
//! wrong in all of them.

use autodidact_kernels::unfused;

#[path = "../../benches/steps/workloads/mod.rs"]
mod workloads;

use workloads::{Change, Size};

/// Losses of so many steps are compared.
const STEPS: usize = 50;
/// Draws of the data.
const DRAWS: u64 = 5;
/// In how many of them the runs have to agree.
const AGREE: usize = 2;
/// Runs without kernels on each, nudged in different ways.
const RUNS: u64 = 5;
/// How far a run with kernels may be from the middle, as a multiple of the farthest of those without.
const MARGIN: f64 = 3.0;

/// The losses of a short training.
fn losses(name: &str, change: Change) -> Vec<f64> {
    let mut training = workloads::start(name, Size::Small, change);
    (0..STEPS)
        .map(|_| f64::from(training.step().loss))
        .collect()
}

/// Equally right runs: the middle of their losses at each step, and how far from it they have come until then.
struct Spread {
    middle: Vec<f64>,
    reach: Vec<f64>,
}

impl Spread {
    fn of(runs: &[Vec<f64>]) -> Self {
        let at = |step: usize| runs.iter().map(move |run| run[step]);
        let middle: Vec<f64> = (0..STEPS)
            .map(|step| at(step).sum::<f64>() / runs.len() as f64)
            .collect();
        let mut reach = Vec::with_capacity(STEPS);
        // Where runs agree to the last digit, another may still differ by some.
        let mut farthest = 4.0 * f64::from(f32::EPSILON) * middle[0].abs();
        for (step, middle) in middle.iter().enumerate() {
            farthest = at(step).fold(farthest, |far, loss| far.max((loss - middle).abs()));
            reach.push(farthest);
        }
        Self { middle, reach }
    }

    /// The largest distance of a run from the middle, in units of the reach at that step.
    fn distance(&self, run: &[f64]) -> f64 {
        let steps = run.iter().zip(&self.middle).zip(&self.reach);
        steps
            .map(|((loss, middle), reach)| (loss - middle).abs() / reach)
            .fold(0.0, f64::max)
    }
}

fn compare(name: &str) {
    let mut distances = Vec::new();
    for data in 0..DRAWS {
        let as_drawn = Change {
            data,
            ..Change::default()
        };
        let without: Vec<_> = (0..RUNS)
            .map(|seed| {
                let nudge = Some(seed);
                unfused(|| losses(name, Change { nudge, ..as_drawn }))
            })
            .collect();
        let spread = Spread::of(&without);
        assert!(
            without[0][STEPS - 1] < without[0][0],
            "{name} learns nothing"
        );
        let with = losses(name, as_drawn);
        assert_ne!(with, without[0], "{name} has no kernels at all");
        distances.push(spread.distance(&with));
        // The comparison would notice gradients that are wrong by a thousandth.
        let rate = 1e-3;
        let wrong = unfused(|| losses(name, Change { rate, ..as_drawn }));
        let noticed = spread.distance(&wrong);
        assert!(
            noticed > 2.0 * MARGIN,
            "{name}, draw {data}: a wrong rate goes unnoticed at {noticed:.2}"
        );
    }
    let agree = distances
        .iter()
        .filter(|&&distance| distance < MARGIN)
        .count();
    assert!(
        agree >= AGREE,
        "{name}: {distances:.2?} times as far from the middle as runs without kernels"
    );
}

#[test]
fn a_residual_network_learns_the_same() {
    compare("resnet-simclr");
}

#[test]
fn a_small_convolutional_network_learns_the_same() {
    compare("conv-simclr");
}

#[test]
fn a_language_model_learns_the_same() {
    compare("bert-mlm");
}

#[test]
fn a_masked_autoencoder_learns_the_same() {
    compare("vit-mae");
}

#[test]
fn a_recurrent_network_learns_the_same() {
    compare("gru-cpc");
}

#[test]
fn full_sizes_have_the_parameters_of_their_twins() {
    for (name, expected) in [
        ("resnet-simclr", 11_497_152),
        ("bert-mlm", 7_394_816),
        ("vit-mae", 3_127_280),
        ("conv-simclr", 117_664),
        ("gru-cpc", 101_184),
        ("narrow-simclr", 733_200),
    ] {
        let found = workloads::start(name, Size::Full, Change::default()).parameters();
        assert_eq!(found, expected, "{name}");
    }
}
