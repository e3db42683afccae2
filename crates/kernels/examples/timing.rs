//! Milliseconds of each fused operation, forward and backward, beside Burn's own.
//!
//! `cargo run --release -p autodidact-kernels --example timing [name [bf16]]`
//!
//! Each line is the best of several runs. Burn's convolution gets its own layout, `[batch,
//! channels, height, width]`, so that no conversion counts against it. With `bf16` the fused
//! convolutions and linear layers multiply in bf16; Burn's own stay in `f32`.

#![allow(clippy::print_stdout)]

use std::time::Instant;

use autodidact_kernels::{
    Activation, Conv2dOptions, Precision, Recycling, attention, attention_reference,
    batch_norm_train, batch_norm_train_reference, conv2d, layer_norm, layer_norm_reference, linear,
    linear_reference, nt_xent, nt_xent_reference,
};
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Device, Distribution, Tensor};

#[global_allocator]
static ALLOCATOR: Recycling<mimalloc::MiMalloc> = Recycling::new(mimalloc::MiMalloc, 8 << 30);

fn main() {
    let precision = match std::env::args().nth(2).as_deref() {
        Some("bf16") => Precision::Bf16,
        _ => Precision::F32,
    };
    let instructions = precision.instructions();
    println!(
        "{precision:?} ({})",
        instructions.unwrap_or("not here: f32")
    );
    precision.scope(measure);
}

fn measure() {
    let only = std::env::args().nth(1);
    let wanted = |name: &str| only.as_deref().is_none_or(|only| name.starts_with(only));
    println!(
        "{:44} {:>16} {:>16} {:>7} {:>7}",
        "", "fused fwd bwd", "burn fwd bwd", "ratios", ""
    );
    if wanted("conv2d") {
        convolutions();
    }
    if wanted("batch_norm") {
        batch_norms();
    }
    if wanted("layer_norm") {
        for shape in [[128, 65, 192], [16, 128, 256]] {
            let (gamma, beta) = (random([shape[2]]), random([shape[2]]));
            let x = random(shape);
            let fused = time(|| layer_norm(x.clone(), gamma.clone(), beta.clone(), 1e-5));
            let burn = time(|| layer_norm_reference(x.clone(), gamma.clone(), beta.clone(), 1e-5));
            report(&format!("layer_norm {shape:?}"), 0.0, fused, burn);
        }
    }
    if wanted("linear") {
        for (rows, features, out, activation) in [
            (128 * 65, 192, 768, Activation::Gelu),
            (128 * 65, 768, 192, Activation::None),
            (2048, 256, 1024, Activation::Gelu),
            (512, 512, 128, Activation::Relu),
            (512, 2048, 2048, Activation::Relu),
        ] {
            let (weight, bias) = (random([out, features]), random([out]));
            let x = random([rows, features]);
            let fused = time(|| linear(x.clone(), weight.clone(), Some(bias.clone()), activation));
            let burn = time(|| {
                linear_reference(x.clone(), weight.clone(), Some(bias.clone()), activation)
            });
            let flops = 2.0 * (rows * features * out) as f64;
            report(
                &format!("linear [{rows}, {features}] -> {out} {activation:?}"),
                flops,
                fused,
                burn,
            );
        }
    }
    if wanted("attention") {
        for shape in [[128, 3, 65, 64], [16, 4, 128, 64], [8, 6, 512, 64]] {
            let [q, k, v] = [(); 3].map(|()| random(shape));
            let fused = time(|| attention(q.clone(), k.clone(), v.clone(), 0.125, None));
            let burn = time(|| attention_reference(q.clone(), k.clone(), v.clone(), 0.125, None));
            let flops = 14.0 / 3.0 * (shape[0] * shape[1] * shape[2] * shape[2] * shape[3]) as f64;
            report(&format!("attention {shape:?}"), flops, fused, burn);
        }
    }
    if wanted("nt_xent") {
        for shape in [[256, 128], [1024, 128], [4096, 128]] {
            let z = random(shape);
            let z = (z.clone() / z.square().sum_dim(1).sqrt())
                .detach()
                .require_grad();
            let fused = time(|| nt_xent(z.clone(), 0.5));
            let burn = time(|| nt_xent_reference(z.clone(), 0.5));
            report(
                &format!("nt_xent {shape:?}"),
                2.0 * (shape[0] * shape[0] * shape[1]) as f64,
                fused,
                burn,
            );
        }
    }
}

fn random<const D: usize>(shape: [usize; D]) -> Tensor<D> {
    let device = Device::flex().autodiff();
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), &device).require_grad()
}

/// Best milliseconds of the forward and of the backward pass.
fn time<const D: usize>(mut forward: impl FnMut() -> Tensor<D>) -> [f64; 2] {
    let mut best = [f64::INFINITY; 2];
    let begin = Instant::now();
    let mut runs = 0;
    while runs < 3 || (runs < 30 && begin.elapsed().as_secs_f64() < 1.0) {
        let start = Instant::now();
        let output = forward();
        let middle = Instant::now();
        // The backward pass starts from a gradient of ones, shaped as the output.
        let gradients = output.backward();
        let end = Instant::now();
        drop(gradients);
        best[0] = best[0].min((middle - start).as_secs_f64() * 1e3);
        best[1] = best[1].min((end - middle).as_secs_f64() * 1e3);
        runs += 1;
    }
    best
}

fn report(name: &str, flops: f64, fused: [f64; 2], burn: [f64; 2]) {
    let rate = if flops > 0.0 {
        format!("{:.0} GFLOP/s", flops * 3.0 / (fused[0] + fused[1]) / 1e6)
    } else {
        String::new()
    };
    println!(
        "{name:44} {:8.2} {:7.2} {:8.2} {:7.2} {:6.1}x {:6.1}x {rate}",
        fused[0],
        fused[1],
        burn[0],
        burn[1],
        burn[0] / fused[0],
        burn[1] / fused[1],
    );
}

fn convolutions() {
    for (batch, size, channels, out, kernel, stride) in [
        (512, 32, 3, 16, 3, 1),
        (512, 32, 16, 16, 3, 1),
        (512, 32, 16, 32, 3, 2),
        (512, 32, 16, 32, 1, 2),
        (512, 16, 32, 32, 3, 1),
        (512, 8, 64, 64, 3, 1),
        (512, 4, 128, 128, 3, 1),
        (128, 32, 3, 64, 3, 1),
        (128, 32, 64, 64, 3, 1),
        (128, 32, 64, 128, 3, 2),
        (128, 16, 128, 128, 3, 1),
        (128, 8, 256, 256, 3, 1),
        (128, 4, 512, 512, 3, 1),
        (8, 224, 3, 64, 7, 2),
    ] {
        let padding = kernel / 2;
        let options = Conv2dOptions {
            stride: [stride; 2],
            padding: [padding; 2],
            ..Default::default()
        };
        let weight = random([out, channels, kernel, kernel]);
        let x = random([batch, size, size, channels]);
        let x = if channels == 3 { x.detach() } else { x };
        let fused = time(|| conv2d(x.clone(), weight.clone(), None, options));
        let x = random([batch, channels, size, size]);
        let x = if channels == 3 { x.detach() } else { x };
        let burn_options = ConvOptions::new([stride; 2], [padding; 2], [1, 1], 1);
        let burn = time(|| {
            burn::tensor::module::conv2d(x.clone(), weight.clone(), None, burn_options.clone())
        });
        let side = size.div_ceil(stride);
        let flops = 2.0 * (batch * side * side * out * channels * kernel * kernel) as f64;
        let name = format!(
            "conv2d [{batch}, {size}, {size}, {channels}] -> {out}, {kernel}x{kernel}/{stride}"
        );
        report(&name, flops, fused, burn);
    }
}

fn batch_norms() {
    for (shape, residual) in [
        ([512, 32, 32, 16], false),
        ([512, 32, 32, 16], true),
        ([512, 16, 16, 32], true),
        ([512, 8, 8, 64], true),
        ([128, 32, 32, 64], true),
    ] {
        let channels = shape[3];
        let x = random(shape);
        let (gamma, beta) = (random([channels]), random([channels]));
        let residual = residual.then(|| random(shape));
        let fused = time(|| {
            let (gamma, beta) = (gamma.clone(), beta.clone());
            batch_norm_train(x.clone(), gamma, beta, residual.clone(), true, 1e-5).output
        });
        let burn = time(|| {
            let (gamma, beta) = (gamma.clone(), beta.clone());
            batch_norm_train_reference(x.clone(), gamma, beta, residual.clone(), true, 1e-5).output
        });
        let with = if residual.is_some() {
            " + residual"
        } else {
            ""
        };
        report(
            &format!("batch_norm {shape:?}{with}, relu"),
            0.0,
            fused,
            burn,
        );
    }
}
