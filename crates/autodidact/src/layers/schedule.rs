//! Values that change in the course of a run, as functions of its progress from 0 to 1.

use std::f64::consts::PI;

/// Linear warm-up to `peak`, then half a cosine down to a `floor` (Loshchilov & Hutter 2017).
///
/// `warmup` is the part of the run spent warming up, `floor` a part of the peak, 0 to 1. Never rises again after the end.
pub fn warmup_cosine(peak: f64, warmup: f64, floor: f64, progress: f64) -> f64 {
    let progress = progress.clamp(0.0, 1.0);
    if progress < warmup {
        return peak * progress / warmup;
    }
    let rest = (progress - warmup) / (1.0 - warmup).max(f64::EPSILON);
    peak * (floor + (1.0 - floor) * (0.5 * (1.0 + (PI * rest).cos())))
}

/// From `start` to `end` along half a cosine: BYOL's teacher momentum, DINO's weight decay.
pub fn cosine_between(start: f64, end: f64, progress: f64) -> f64 {
    end - (end - start) * 0.5 * (1.0 + (PI * progress.clamp(0.0, 1.0)).cos())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_learning_rate_rises_then_falls_and_stays_down() {
        assert_eq!(warmup_cosine(2.0, 0.1, 0.0, 0.05), 1.0);
        assert_eq!(warmup_cosine(2.0, 0.1, 0.0, 0.1), 2.0);
        assert!((warmup_cosine(2.0, 0.0, 0.0, 0.5) - 1.0).abs() < 1e-12);
        assert!(warmup_cosine(2.0, 0.1, 0.0, 1.0).abs() < 1e-12);
        assert!(warmup_cosine(2.0, 0.1, 0.0, 1.7).abs() < 1e-12);
        assert!((warmup_cosine(2.0, 0.1, 0.1, 1.0) - 0.2).abs() < 1e-12);
        assert_eq!(warmup_cosine(2.0, 0.1, 0.1, 0.1), 2.0);
    }

    #[test]
    fn the_momentum_ends_where_it_should() {
        assert!((cosine_between(0.99, 1.0, 0.0) - 0.99).abs() < 1e-12);
        assert!((cosine_between(0.99, 1.0, 0.5) - 0.995).abs() < 1e-12);
        assert!((cosine_between(0.99, 1.0, 1.0) - 1.0).abs() < 1e-12);
    }
}
