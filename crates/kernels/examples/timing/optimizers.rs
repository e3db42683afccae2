//! Optimizers, moving averages and the norm of all gradients.

use std::time::Instant;

use autodidact_kernels::optimizer::{self, Parameter, Rule, Step, Updated};
use burn::tensor::Tensor;
use rayon::prelude::*;

use super::random;

/// Each line beside the least time that moving its bytes takes on this machine.
pub(super) fn optimizers() {
    // Those of a ResNet-18 for small images: 60 tensors from 64 to 2.4 million values.
    let mut lengths = vec![27 * 64, 64, 64];
    for stage in 0..4usize {
        let out = 64 << stage;
        let input = if stage > 0 { out / 2 } else { out };
        lengths.extend([9 * input * out, out, out, 9 * out * out, out, out]);
        if stage > 0 {
            lengths.extend([input * out, out, out]);
        }
        lengths.extend([9 * out * out, out, out, 9 * out * out, out, out]);
    }
    let values: usize = lengths.iter().sum();
    let flat = |length: &usize| random([*length]).without_autodiff();
    let [weights, gradients] =
        [(); 2].map(|()| lengths.iter().map(flat).collect::<Vec<Tensor<1>>>());
    println!(
        "{:44} {:>8} {:>8} {:>7} {:>8}",
        format!("optimizer, {:.1} million values", values as f64 / 1e6),
        "fused",
        "burn",
        "ratio",
        "bound"
    );
    let bandwidth = bandwidth(values);
    let row = |name: &str, bytes: usize, fused: f64, burn: f64| {
        let bound = (bytes * values) as f64 / bandwidth / 1e6;
        let ratio = burn / fused;
        println!("{name:44} {fused:8.2} {burn:8.2} {ratio:6.1}x {bound:8.2}");
    };
    for (name, bytes, rule) in [
        ("sgd", 20, Rule::Sgd { momentum: 0.9 }),
        (
            "lars",
            28,
            Rule::Lars {
                momentum: 0.9,
                trust: 1e-3,
            },
        ),
        (
            "adamw",
            28,
            Rule::AdamW {
                betas: [0.9, 0.999],
                epsilon: 1e-8,
                updates: 10,
            },
        ),
    ] {
        let step = Step {
            rule,
            learning_rate: 1e-3,
            weight_decay: 0.05,
            scale: 1.0,
        };
        let time = |update: fn(Vec<Parameter>, &Step) -> Vec<Updated>| {
            let parameter = |weight: Tensor<1>, gradient: &Tensor<1>, memory| Parameter {
                weight,
                gradient: gradient.clone(),
                memory,
                decays: true,
            };
            let begin = weights.iter().zip(&gradients);
            let begin = begin.map(|(weight, gradient)| parameter(weight.clone(), gradient, None));
            let mut held = update(begin.collect(), &step);
            best(|| {
                let next = held.drain(..).zip(&gradients);
                let next = next.map(|(updated, gradient)| {
                    parameter(updated.weight, gradient, Some(updated.memory))
                });
                held = update(next.collect(), &step);
            })
        };
        let (fused, burn) = (time(optimizer::update), time(optimizer::update_reference));
        row(&format!("optimizer {name}"), bytes, fused, burn);
    }
    let time = |average: fn(Vec<Tensor<1>>, Vec<Tensor<1>>, f64) -> Vec<Tensor<1>>| {
        let mut held = average(weights.clone(), gradients.clone(), 0.99);
        best(|| held = average(std::mem::take(&mut held), gradients.clone(), 0.99))
    };
    let fused = time(optimizer::moving_average);
    let burn = time(optimizer::moving_average_reference);
    row("optimizer moving_average", 12, fused, burn);
    let time = |norm: fn(Vec<Tensor<1>>) -> f64| {
        best(|| {
            std::hint::black_box(norm(gradients.clone()));
        })
    };
    let (fused, burn) = (time(optimizer::norm), time(optimizer::norm_reference));
    row("optimizer norm", 4, fused, burn);
}

/// Gigabytes per second of a pass that reads four arrays and writes three, with next to no work.
fn bandwidth(values: usize) -> f64 {
    let mut written = [(); 3].map(|()| vec![1.0f32; values]);
    let read = vec![1.0f32; values];
    let milliseconds = best(|| {
        let [a, b, c] = &mut written;
        let chunks = a
            .par_chunks_mut(1 << 14)
            .zip(b.par_chunks_mut(1 << 14))
            .zip(c.par_chunks_mut(1 << 14))
            .zip(read.par_chunks(1 << 14));
        chunks.for_each(|(((a, b), c), read)| {
            for (((a, b), c), read) in a.iter_mut().zip(b).zip(c).zip(read) {
                *a += read;
                *b += read;
                *c += read;
            }
        });
    });
    28.0 * values as f64 / milliseconds / 1e6
}

/// Best milliseconds of many runs.
fn best(mut run: impl FnMut()) -> f64 {
    let mut best = f64::INFINITY;
    let begin = Instant::now();
    let mut runs = 0;
    while runs < 5 || (runs < 100 && begin.elapsed().as_secs_f64() < 1.0) {
        let start = Instant::now();
        run();
        best = best.min(start.elapsed().as_secs_f64() * 1e3);
        runs += 1;
    }
    best
}
