//! Special functions without branches, so that loops over them turn into vector code.

use std::f32::consts::{FRAC_1_SQRT_2, LOG2_E};

use crate::linear::{CUBIC, SQRT_2_OVER_PI};

/// `eˣ` with a relative error of about 1e-7; zero below -87 and saturated above 88.
///
/// Cody and Waite's reduction to `2ⁿ · eʳ` with `|r| ≤ ln 2 / 2`, and the polynomial of Cephes'
/// `expf`.
#[inline(always)]
pub(crate) fn exp(x: f32) -> f32 {
    // Adding 1.5·2²³ rounds to an integer and leaves it in the low bits of the sum.
    const ROUND: f32 = 12_582_912.0;
    let clamped = x.clamp(-87.0, 88.0);
    let sum = clamped * LOG2_E + ROUND;
    let n = sum - ROUND;
    let r = clamped - n * 0.693_359_4 + n * 2.121_944_4e-4;
    let mut p = 1.987_569_1e-4;
    p = p * r + 1.398_199_9e-3;
    p = p * r + 8.333_452e-3;
    p = p * r + 4.166_579_6e-2;
    p = p * r + 1.666_666_5e-1;
    p = p * r + 0.5;
    let value = p * r * r + r + 1.0;
    let scale = f32::from_bits((sum.to_bits() << 23).wrapping_add(127 << 23));
    if x < -87.0 { 0.0 } else { value * scale }
}

/// The error function, with an absolute error of about 1e-7; Eigen's rational approximation.
#[inline(always)]
pub(crate) fn erf(x: f32) -> f32 {
    let x = x.clamp(-4.0, 4.0);
    let s = x * x;
    let mut p = -2.726_142_3e-10;
    p = p * s + 2.770_681_4e-8;
    p = p * s - 2.101_024e-6;
    p = p * s - 5.692_506_4e-5;
    p = p * s - 7.349_906_3e-4;
    p = p * s - 2.954_6e-3;
    p = p * s - 1.609_603_3e-2;
    let mut q = -1.456_607_2e-5;
    q = q * s - 2.133_740_6e-4;
    q = q * s - 1.682_827e-3;
    q = q * s - 7.373_329e-3;
    q = q * s - 1.426_473_9e-2;
    x * p / q
}

/// The logistic function `1 / (1 + e⁻ˣ)`, with a relative error of about 2e-7.
#[inline(always)]
pub(crate) fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + exp(-x))
}

/// The hyperbolic tangent, with a relative error of about 3e-7; Eigen's rational approximation.
#[inline(always)]
pub(crate) fn tanh(x: f32) -> f32 {
    // From here on the nearest float is one.
    let x = x.clamp(-7.905_311, 7.905_311);
    let s = x * x;
    let mut p = -2.760_768_4e-16;
    p = p * s + 2.000_188e-13;
    p = p * s - 8.604_672e-11;
    p = p * s + 5.122_297_3e-8;
    p = p * s + 1.485_722_35e-5;
    p = p * s + 6.372_619_5e-4;
    p = p * s + 4.893_524_6e-3;
    let mut q = 1.198_258_4e-6;
    q = q * s + 1.185_347_1e-4;
    q = q * s + 2.268_434_7e-3;
    q = q * s + 4.893_525e-3;
    x * p / q
}

/// `x · Φ(x)` with the normal distribution function Φ: the exact GELU.
#[inline(always)]
pub(crate) fn gelu(x: f32) -> f32 {
    0.5 * x * (1.0 + erf(x * FRAC_1_SQRT_2))
}

/// The derivative of [`gelu`], `Φ(x) + x · φ(x)`.
#[inline(always)]
pub(crate) fn gelu_derivative(x: f32) -> f32 {
    const INVERSE_SQRT_2PI: f32 = 0.398_942_3;
    0.5 * (1.0 + erf(x * FRAC_1_SQRT_2)) + x * INVERSE_SQRT_2PI * exp(-0.5 * x * x)
}

/// [`gelu`] and [`gelu_derivative`], which share the distribution function.
#[inline(always)]
pub(crate) fn gelu_and_slope(x: f32) -> (f32, f32) {
    const INVERSE_SQRT_2PI: f32 = 0.398_942_3;
    let below = 0.5 * (1.0 + erf(x * FRAC_1_SQRT_2));
    let density = INVERSE_SQRT_2PI * exp(-0.5 * x * x);
    (x * below, below + x * density)
}

/// The GELU by the hyperbolic tangent, `x / 2 · (1 + tanh(√(2/π) · (x + 0.044715 · x³)))`.
#[inline(always)]
pub(crate) fn gelu_tanh(x: f32) -> f32 {
    0.5 * x * (1.0 + tanh(SQRT_2_OVER_PI * x * (1.0 + CUBIC * x * x)))
}

/// [`gelu_tanh`] and its derivative.
#[inline(always)]
pub(crate) fn gelu_tanh_and_slope(x: f32) -> (f32, f32) {
    let t = tanh(SQRT_2_OVER_PI * x * (1.0 + CUBIC * x * x));
    let inner = SQRT_2_OVER_PI * (1.0 + 3.0 * CUBIC * x * x);
    let half = 0.5 * (1.0 + t);
    (x * half, half + 0.5 * x * (1.0 - t * t) * inner)
}

/// [`silu`] and [`silu_derivative`], which share the logistic function.
#[inline(always)]
pub(crate) fn silu_and_slope(x: f32) -> (f32, f32) {
    let s = sigmoid(x);
    (x * s, s * (1.0 + x * (1.0 - s)))
}

/// `x · σ(x)` with the logistic function σ.
#[inline(always)]
pub(crate) fn silu(x: f32) -> f32 {
    x * sigmoid(x)
}

/// The derivative of [`silu`], `σ(x) · (1 + x · (1 − σ(x)))`.
#[inline(always)]
pub(crate) fn silu_derivative(x: f32) -> f32 {
    let s = sigmoid(x);
    s * (1.0 + x * (1.0 - s))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exp_matches_the_standard_library() {
        for i in -8600..=8700 {
            let x = i as f32 * 0.01;
            let expected = f64::from(x).exp();
            let error = (f64::from(exp(x)) - expected).abs() / expected;
            assert!(error < 3e-7, "exp({x}): relative error {error:.1e}");
        }
        assert_eq!(exp(0.0), 1.0);
        assert_eq!(exp(-1e4), 0.0);
        assert_eq!(exp(f32::NEG_INFINITY), 0.0);
    }

    /// The Maclaurin series in double precision, for arguments below 3.
    fn erf_series(x: f64) -> f64 {
        let mut term = x;
        let mut sum = x;
        for n in 1..80 {
            term *= -x * x / f64::from(n);
            sum += term / f64::from(2 * n + 1);
        }
        sum * 2.0 / std::f64::consts::PI.sqrt()
    }

    #[test]
    fn erf_matches_its_series() {
        for i in -300..=300 {
            let x = i as f32 * 0.01;
            let error = (f64::from(erf(x)) - erf_series(f64::from(x))).abs();
            assert!(error < 3e-7, "erf({x}): error {error:.1e}");
        }
        assert!((erf(9.0) - 1.0).abs() < 1e-6);
        assert!((erf(-9.0) + 1.0).abs() < 1e-6);
    }

    #[test]
    fn sigmoid_and_tanh_match_the_standard_library() {
        let close = |name: &str, x: f32, found: f32, expected: f64| {
            let error = (f64::from(found) - expected).abs() / expected.abs();
            assert!(error < 4e-7, "{name}({x}): relative error {error:.1e}");
        };
        for i in -8600..=8600 {
            let x = i as f32 * 0.01;
            let exact = f64::from(x);
            close("sigmoid", x, sigmoid(x), 1.0 / (1.0 + (-exact).exp()));
            if i != 0 {
                close("tanh", x, tanh(x), exact.tanh());
                let small = x * 1e-4;
                close("tanh", small, tanh(small), f64::from(small).tanh());
            }
        }
        close("tanh", 1e-30, tanh(1e-30), 1e-30);
        assert_eq!((tanh(0.0), tanh(9.0), tanh(-1e9)), (0.0, 1.0, -1.0));
        assert_eq!((sigmoid(0.0), sigmoid(1e9)), (0.5, 1.0));
        assert!(sigmoid(-1e9) < 1e-37);
        assert!(tanh(f32::NAN).is_nan() && sigmoid(f32::NAN).is_nan());
    }
}
