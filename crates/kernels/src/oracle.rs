//! What the tests share: seeded data, comparisons and double-precision loops.

use burn::tensor::{Device, Tensor, TensorData};

use crate::linear::Activation;

/// The device under test.
pub(crate) fn device() -> Device {
    Device::flex().autodiff()
}

/// Numbers between -1 and 1 from a linear congruential sequence, the same for the same seed.
pub(crate) fn numbers(length: usize, seed: u64) -> Vec<f32> {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    (0..length)
        .map(|_| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect()
}

/// A tensor of seeded [`numbers`] on the device under test.
pub(crate) fn tensor<const D: usize>(shape: [usize; D], seed: u64) -> Tensor<D> {
    let values = numbers(shape.iter().product(), seed);
    Tensor::from_data(TensorData::new(values, shape), &device())
}

/// A tensor of seeded numbers with 8 binary digits each, which bf16 holds exactly.
pub(crate) fn short<const D: usize>(shape: [usize; D], seed: u64) -> Tensor<D> {
    let values: Vec<f32> = numbers(shape.iter().product(), seed)
        .into_iter()
        .map(|number| (number * 128.0).round() / 128.0)
        .collect();
    Tensor::from_data(TensorData::new(values, shape), &device())
}

/// The elements of a tensor, in row-major order.
pub(crate) fn values<const D: usize>(tensor: &Tensor<D>) -> Vec<f32> {
    tensor
        .clone()
        .into_data()
        .try_into_vec()
        .expect("an f32 tensor")
}

/// The same numbers in double precision.
pub(crate) fn double<const D: usize>(tensor: &Tensor<D>) -> Vec<f64> {
    values(tensor).into_iter().map(f64::from).collect()
}

/// `‖found − expected‖ / ‖expected‖`.
pub(crate) fn relative_error(found: &[f32], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let mut difference = 0.0;
    let mut norm = 0.0;
    for (found, expected) in found.iter().zip(expected) {
        difference += (f64::from(*found) - expected).powi(2);
        norm += expected.powi(2);
    }
    if norm == 0.0 {
        difference.sqrt()
    } else {
        (difference / norm).sqrt()
    }
}

/// Checks a tensor against double-precision numbers.
#[track_caller]
pub(crate) fn assert_close<const D: usize>(name: &str, found: &Tensor<D>, expected: &[f64]) {
    let error = relative_error(&values(found), expected);
    assert!(error < 2e-6, "{name}: relative error {error:.2e}");
}

/// An activation and its derivative in double precision.
pub(crate) fn activation(activation: Activation, x: f64) -> (f64, f64) {
    match activation {
        Activation::None => (x, 1.0),
        Activation::Relu => (x.max(0.0), f64::from(u8::from(x > 0.0))),
        Activation::Gelu => gelu(x),
        Activation::GeluTanh => {
            let (c, k) = ((2.0 / std::f64::consts::PI).sqrt(), 0.044715);
            let t = (c * (x + k * x.powi(3))).tanh();
            let inner = c * (1.0 + 3.0 * k * x * x);
            (
                0.5 * x * (1.0 + t),
                0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * inner,
            )
        }
        Activation::Silu => {
            let s = 1.0 / (1.0 + (-x).exp());
            (x * s, s * (1.0 + x * (1.0 - s)))
        }
        Activation::Tanh => (x.tanh(), 1.0 - x.tanh().powi(2)),
    }
}

/// The exact GELU and its derivative, by Simpson's integration of the normal density.
fn gelu(x: f64) -> (f64, f64) {
    let density = |t: f64| (-0.5 * t * t).exp() / (2.0 * std::f64::consts::PI).sqrt();
    let steps = 2000;
    let h = x / f64::from(steps);
    let simpson = |i: i32| {
        if i == 0 || i == steps {
            1.0
        } else {
            f64::from(2 + 2 * (i % 2))
        }
    };
    let integral = (0..=steps)
        .map(|i| simpson(i) * density(f64::from(i) * h))
        .sum::<f64>()
        * h
        / 3.0;
    (x * (0.5 + integral), 0.5 + integral + x * density(x))
}
