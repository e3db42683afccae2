//! Convolutions, and what stands between them.

use autodidact_kernels::{
    Conv1dOptions, Conv2dOptions, Pool2dOptions, avg_pool2d, avg_pool2d_reference,
    batch_norm_train, batch_norm_train_reference, conv1d, conv1d_reference, conv2d,
    conv2d_reference, max_pool2d, max_pool2d_reference, mean_pool, mean_pool_reference,
};
use burn::tensor::ops::ConvOptions;

use super::{random, report, time};

pub(super) fn convolutions() {
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

pub(super) fn batch_norms() {
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

pub(super) fn grouped_convolutions() {
    for (batch, size, channels, groups, kernel, stride) in [
        (128, 32, 64, 64, 3, 1),
        (128, 16, 256, 256, 7, 1),
        (128, 32, 128, 128, 3, 2),
        (128, 16, 128, 2, 3, 1),
        (128, 16, 256, 32, 3, 1),
    ] {
        let options = Conv2dOptions {
            stride: [stride; 2],
            padding: [kernel / 2; 2],
            groups,
            ..Default::default()
        };
        let weight = random([channels, channels / groups, kernel, kernel]);
        let x = random([batch, size, size, channels]);
        let fused = time(|| conv2d(x.clone(), weight.clone(), None, options));
        let burn = time(|| conv2d_reference(x.clone(), weight.clone(), None, options));
        let side = size.div_ceil(stride);
        let products = batch * side * side * channels * channels / groups * kernel * kernel;
        let name = format!(
            "grouped [{batch}, {size}, {size}, {channels}] / {groups}, {kernel}x{kernel}/{stride}"
        );
        report(&name, 2.0 * products as f64, fused, burn);
    }
}

/// Length, channels, kernel and stride of the convolutions of a small contrastive predictive coder
/// over six sensors; each has 64 outputs.
pub(super) const ENCODER: [(usize, usize, usize, usize); 5] = [
    (512, 6, 5, 2),
    (256, 64, 5, 2),
    (128, 64, 3, 1),
    (128, 64, 3, 1),
    (128, 64, 3, 1),
];

pub(super) fn over_time(kernel: usize, stride: usize) -> Conv1dOptions {
    Conv1dOptions {
        stride,
        padding: kernel / 2,
        relu: true,
        ..Default::default()
    }
}

pub(super) fn convolutions_over_time() {
    for (length, channels, kernel, stride) in &ENCODER[..3] {
        let options = over_time(*kernel, *stride);
        let (weight, bias) = (random([64, *channels, *kernel]), random([64]));
        let x = random([32, *length, *channels]);
        let fused = time(|| conv1d(x.clone(), weight.clone(), Some(bias.clone()), options));
        let burn =
            time(|| conv1d_reference(x.clone(), weight.clone(), Some(bias.clone()), options));
        let products = 32 * length / stride * 64 * channels * kernel;
        let name = format!("conv1d [32, {length}, {channels}] -> 64, {kernel}/{stride}, relu");
        report(&name, 2.0 * products as f64, fused, burn);
    }
}

pub(super) fn pools() {
    let window = Pool2dOptions {
        kernel: [3; 2],
        stride: [2; 2],
        padding: [1; 2],
    };
    let x = random([32, 112, 112, 64]);
    let fused = time(|| max_pool2d(x.clone(), window));
    let burn = time(|| max_pool2d_reference(x.clone(), window));
    report("pool: max [32, 112, 112, 64], 3x3/2", 0.0, fused, burn);
    let window = Pool2dOptions::new(2);
    let x = random([128, 32, 32, 64]);
    let fused = time(|| avg_pool2d(x.clone(), window, true));
    let burn = time(|| avg_pool2d_reference(x.clone(), window, true));
    report("pool: average [128, 32, 32, 64], 2x2/2", 0.0, fused, burn);
    for shape in [[512, 16, 128], [128, 64, 192]] {
        let x = random(shape);
        let fused = time(|| mean_pool(x.clone()));
        let burn = time(|| mean_pool_reference(x.clone()));
        report(&format!("pool: mean {shape:?}"), 0.0, fused, burn);
    }
}
