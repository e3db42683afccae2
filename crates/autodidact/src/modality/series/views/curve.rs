//! Smooth curves of chance.

use rand::RngExt;

use crate::random::Rng;

/// Knots between the ends of a curve, as Um et al. 2017 have it.
const KNOTS: usize = 4;

/// One standard normal draw (Box & Muller 1958).
pub(super) fn gaussian(rng: &mut Rng) -> f32 {
    let radius = (-2.0 * (1.0 - rng.random::<f64>()).ln()).sqrt();
    let angle = std::f64::consts::TAU * rng.random::<f64>();
    (radius * angle.cos()) as f32
}

/// A curve around 1 of `steps` values: a cubic through knots that are drawn with `deviation` (Catmull & Rom 1974).
pub(super) fn curve(steps: usize, deviation: f32, rng: &mut Rng) -> Vec<f32> {
    let knots: Vec<f32> = (0..KNOTS + 2)
        .map(|_| 1.0 + deviation * gaussian(rng))
        .collect();
    let last = knots.len() - 1;
    let value = |step: usize| {
        let at = step as f32 / (steps.max(2) - 1) as f32 * last as f32;
        let knot = (at as usize).min(last - 1);
        let t = at - knot as f32;
        let (b, c) = (knots[knot], knots[knot + 1]);
        // Beyond the ends the curve goes on as it came.
        let a = if knot == 0 {
            2.0 * b - c
        } else {
            knots[knot - 1]
        };
        let d = if knot + 2 > last {
            2.0 * c - b
        } else {
            knots[knot + 2]
        };
        let cubic = 3.0 * (b - c) + d - a;
        b + 0.5 * t * (c - a + t * (2.0 * a - 5.0 * b + 4.0 * c - d + t * cubic))
    };
    (0..steps).map(value).collect()
}
