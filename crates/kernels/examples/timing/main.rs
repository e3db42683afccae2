//! Milliseconds of each fused operation, forward and backward, beside Burn's own.
//!
//! `cargo run --release -p autodidact-kernels --example timing [name [bf16]]`
//!
//! Each line is the best of several runs. Burn's convolution gets its own layout, `[batch,
//! channels, height, width]`, so that no conversion counts against it. With `bf16` the fused
//! convolutions and linear layers multiply in bf16; Burn's own stay in `f32`.

#![allow(clippy::print_stdout)]

mod convolutions;
mod optimizers;

use std::time::Instant;

use autodidact_kernels::{
    Activation, GruWeights, Precision, Recycling, attention, attention_packed,
    attention_packed_reference, attention_reference, conv1d, conv1d_reference, cross_entropy,
    cross_entropy_reference, dropout, dropout_reference, embedding, embedding_reference,
    gated_linear, gated_linear_reference, gather_tokens, gather_tokens_or,
    gather_tokens_or_reference, gather_tokens_reference, gru, gru_reference, hidden_loss,
    hidden_loss_reference, layer_norm, layer_norm_reference, linear, linear_reference,
    linear_residual, linear_residual_reference, log_softmax, log_softmax_reference, nt_xent,
    nt_xent_reference, rms_norm, rms_norm_reference, softmax, softmax_reference,
};
use burn::tensor::{Device, Distribution, Int, Tensor, TensorData};
use convolutions::{
    ENCODER, batch_norms, convolutions, convolutions_over_time, grouped_convolutions, over_time,
    pools,
};
use optimizers::optimizers;

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
    if wanted("grouped") {
        grouped_convolutions();
    }
    if wanted("conv1d") {
        convolutions_over_time();
    }
    if wanted("gru") {
        recurrent_units();
    }
    if wanted("context") {
        contexts();
    }
    if wanted("pool") {
        pools();
    }
    if wanted("optimizer") {
        optimizers();
    }
    layers(&wanted);
    tokens(&wanted);
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

fn integers<const D: usize>(values: Vec<i64>, shape: [usize; D]) -> Tensor<D, Int> {
    Tensor::from_data(TensorData::new(values, shape), &Device::flex().autodiff())
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

fn layers(wanted: &dyn Fn(&str) -> bool) {
    if wanted("rms_norm") {
        for shape in [[128, 65, 192], [16, 128, 256]] {
            let gamma = random([shape[2]]);
            let x = random(shape);
            let fused = time(|| rms_norm(x.clone(), gamma.clone(), 1e-5));
            let burn = time(|| rms_norm_reference(x.clone(), gamma.clone(), 1e-5));
            report(&format!("rms_norm {shape:?}"), 0.0, fused, burn);
        }
    }
    if wanted("linear_residual") {
        for (batch, tokens, features, out) in [(128, 65, 192, 192), (128, 17, 768, 192)] {
            let (weight, bias) = (random([out, features]), random([out]));
            let (x, residual) = (
                random([batch, tokens, features]),
                random([batch, tokens, out]),
            );
            let inputs = || {
                (
                    residual.clone(),
                    x.clone(),
                    weight.clone(),
                    Some(bias.clone()),
                )
            };
            let fused = time(|| {
                let (residual, x, weight, bias) = inputs();
                linear_residual(residual, x, weight, bias)
            });
            // Beside the fused layer and a sum, as this is what it replaces.
            let sum = time(|| {
                let (residual, x, weight, bias) = inputs();
                residual + linear(x, weight, bias, Activation::None)
            });
            let burn = time(|| {
                let (residual, x, weight, bias) = inputs();
                linear_residual_reference(residual, x, weight, bias)
            });
            let flops = 2.0 * (batch * tokens * features * out) as f64;
            let name = format!("linear_residual [{batch}, {tokens}, {features}] -> {out}");
            report(&name, flops, fused, burn);
            report("  beside linear and a sum", flops, fused, sum);
        }
    }
    if wanted("gated_linear") {
        for (rows, features, out, activation) in [
            (128 * 65, 192, 512, Activation::Silu),
            (2048, 256, 683, Activation::Gelu),
        ] {
            let (weight, bias) = (random([2 * out, features]), random([2 * out]));
            let x = random([rows, features]);
            let inputs = || (x.clone(), weight.clone(), Some(bias.clone()));
            let fused = time(|| {
                let (x, weight, bias) = inputs();
                gated_linear(x, weight, bias, activation)
            });
            let burn = time(|| {
                let (x, weight, bias) = inputs();
                gated_linear_reference(x, weight, bias, activation)
            });
            let flops = 4.0 * (rows * features * out) as f64;
            let name = format!("gated_linear [{rows}, {features}] -> {out} {activation:?}");
            report(&name, flops, fused, burn);
        }
    }
    if wanted("dropout") {
        let x = random([128, 65, 192]);
        let fused = time(|| dropout(x.clone(), 0.1, 1));
        let burn = time(|| dropout_reference(x.clone(), 0.1, 1));
        report("dropout [128, 65, 192]", 0.0, fused, burn);
    }
}

fn tokens(wanted: &dyn Fn(&str) -> bool) {
    if wanted("attention_packed") {
        for [batch, tokens, heads, dim] in [
            [128, 65, 3, 64],
            [128, 17, 3, 64],
            [128, 65, 4, 24],
            [16, 128, 4, 64],
        ] {
            let qkv = random([batch, tokens, 3 * heads * dim]);
            let fused = time(|| attention_packed(qkv.clone(), heads, 0.125, None));
            // Beside the fused attention and the permutations, as these are what it replaces.
            let permuted = time(|| {
                let qkv = qkv.clone().reshape([batch, tokens, 3, heads, dim]);
                let qkv = qkv.permute([2, 0, 3, 1, 4]);
                let [q, k, v] = [0, 1, 2].map(|i| qkv.clone().narrow(0, i, 1).squeeze_dim(0));
                attention(q, k, v, 0.125, None).swap_dims(1, 2).reshape([
                    batch,
                    tokens,
                    heads * dim,
                ])
            });
            let burn = time(|| attention_packed_reference(qkv.clone(), heads, 0.125, None));
            let flops = 14.0 / 3.0 * (batch * heads * tokens * tokens * dim) as f64;
            let name = format!("attention_packed [{batch}, {tokens}, 3 * {heads} * {dim}]");
            report(&name, flops, fused, burn);
            report("  beside attention permuted", flops, fused, permuted);
        }
    }
    if wanted("gather_tokens") {
        for (shape, picked) in [([128, 64, 192], 16), ([128, 64, 96], 64)] {
            let tokens = random(shape);
            let positions = (0..shape[0] * picked).map(|i| (i * 29 % shape[1]) as i64);
            let positions = integers(positions.collect(), [shape[0], picked]);
            let fused = time(|| gather_tokens(tokens.clone(), positions.clone()));
            let burn = time(|| gather_tokens_reference(tokens.clone(), positions.clone()));
            report(
                &format!("gather_tokens {shape:?} by {picked}"),
                0.0,
                fused,
                burn,
            );
        }
    }
    if wanted("gather_tokens_or") {
        let (tokens, blank) = (random([128, 17, 96]), random([1, 1, 96]));
        let positions = (0..128 * 65).map(|i| i * 29 % 65).collect();
        let positions = integers(positions, [128, 65]);
        let inputs = || (tokens.clone(), blank.clone(), positions.clone());
        let fused = time(|| {
            let (tokens, blank, positions) = inputs();
            gather_tokens_or(tokens, blank, positions)
        });
        let burn = time(|| {
            let (tokens, blank, positions) = inputs();
            gather_tokens_or_reference(tokens, blank, positions)
        });
        report("gather_tokens_or [128, 17, 96] by 65", 0.0, fused, burn);
    }
    if wanted("hidden_loss") {
        let (predictions, targets) = (random([128, 64, 48]), random([128, 64, 48]));
        let hidden = (random([128, 64]) * 0.0 + 1.0).detach();
        let inputs = || (predictions.clone(), targets.clone(), hidden.clone());
        let fused = time(|| {
            let (predictions, targets, hidden) = inputs();
            hidden_loss(predictions, targets, hidden, 1e-6)
        });
        let burn = time(|| {
            let (predictions, targets, hidden) = inputs();
            hidden_loss_reference(predictions, targets, hidden, 1e-6)
        });
        report("hidden_loss [128, 64, 48]", 0.0, fused, burn);
    }
    if wanted("embedding") {
        for ([entries, dim], [batch, length]) in [([8192, 256], [16, 128]), ([256, 512], [64, 256])]
        {
            let weight = random([entries, dim]);
            let ids = (0..batch * length).map(|i| (i * i * 31 % entries) as i64);
            let ids = integers(ids.collect(), [batch, length]);
            let fused = time(|| embedding(weight.clone(), ids.clone()));
            let burn = time(|| embedding_reference(weight.clone(), ids.clone()));
            let name = format!("embedding [{entries}, {dim}] by [{batch}, {length}]");
            report(&name, 0.0, fused, burn);
        }
    }
    if wanted("softmax") {
        for shape in [[8320, 65], [2048, 1000]] {
            let x = random(shape);
            let fused = time(|| softmax(x.clone()));
            let burn = time(|| softmax_reference(x.clone()));
            report(&format!("softmax {shape:?}"), 0.0, fused, burn);
            let fused = time(|| log_softmax(x.clone()));
            let burn = time(|| log_softmax_reference(x.clone()));
            report(&format!("log_softmax {shape:?}"), 0.0, fused, burn);
        }
    }
    if wanted("cross_entropy") {
        for shape in [[512, 10], [512, 1000], [2048, 8192]] {
            let x = random(shape);
            let targets = (0..shape[0])
                .map(|row| (row * 7 % shape[1]) as i64)
                .collect();
            let targets = integers(targets, [shape[0]]);
            let fused = time(|| cross_entropy(x.clone(), targets.clone(), None));
            let burn = time(|| cross_entropy_reference(x.clone(), targets.clone(), None, 0.0));
            report(&format!("cross_entropy {shape:?}"), 0.0, fused, burn);
        }
    }
}

fn gru_weights(features: usize, hidden: usize) -> GruWeights {
    let scale = 1.0 / (hidden as f64).sqrt();
    let weight = |columns| {
        (random([3 * hidden, columns]) * scale)
            .detach()
            .require_grad()
    };
    GruWeights {
        input: weight(features),
        hidden: weight(hidden),
        input_bias: random([3 * hidden]),
        hidden_bias: random([3 * hidden]),
    }
}

fn recurrent_units() {
    for (batch, steps, features, hidden) in
        [(32, 128, 64, 64), (128, 128, 64, 64), (32, 128, 256, 256)]
    {
        let x = random([batch, steps, features]);
        let weights = gru_weights(features, hidden);
        let fused = time(|| gru(x.clone(), None, weights.clone()));
        let burn = time(|| gru_reference(x.clone(), None, weights.clone()));
        let products = batch * steps * 3 * hidden * (features + hidden);
        let name = format!("gru [{batch}, {steps}, {features}] -> {hidden}");
        report(&name, 2.0 * products as f64, fused, burn);
    }
}

/// The encoder and the recurrent unit of a contrastive predictive coder together.
fn contexts() {
    let x = random([32, 512, 6]).detach();
    let layers = ENCODER.map(|(_, channels, kernel, stride)| {
        let weight = random([64, channels, kernel]) * (1.0 / (channels * kernel) as f64).sqrt();
        let options = over_time(kernel, stride);
        (weight.detach().require_grad(), random([64]), options)
    });
    let weights = gru_weights(64, 64);
    let fused = time(|| {
        let z = layers.iter().fold(x.clone(), |x, (weight, bias, options)| {
            conv1d(x, weight.clone(), Some(bias.clone()), *options)
        });
        gru(z, None, weights.clone())
    });
    let burn = time(|| {
        let z = layers.iter().fold(x.clone(), |x, (weight, bias, options)| {
            conv1d_reference(x, weight.clone(), Some(bias.clone()), *options)
        });
        gru_reference(z, None, weights.clone())
    });
    report("context: 5 conv1d and gru, [32, 512, 6]", 0.0, fused, burn);
}
