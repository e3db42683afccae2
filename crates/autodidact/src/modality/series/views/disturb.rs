//! What changes the values of a view: on `[time, channels]`, where NaN stays what is missing.

use std::f64::consts::TAU;

use rand::RngExt;
use rand::seq::SliceRandom;

use super::curve::{curve, gaussian};
use super::settings::{Disturbance, SeriesViews};
use crate::random::Rng;

/// The slowest that warped time goes.
const SLOWEST: f32 = 0.1;

impl SeriesViews {
    /// Changes the normalized values of a view in a slot, all at their chances.
    pub(in crate::modality::series) fn disturb(
        &self,
        values: &mut Vec<f32>,
        channels: usize,
        slot: usize,
        rng: &mut Rng,
    ) {
        let steps = values.len() / channels.max(1);
        if steps < 2 {
            return;
        }
        let moves = !self.uneven || slot % 2 == 1;
        // Each chance is drawn, so that one setting doesn't change what another draws.
        let happens = |probability: f64, rng: &mut Rng| rng.random::<f64>() < probability;
        let [permuted, warped, bent, scaled, masked, jittered, dropped] = [
            self.permutation.probability,
            self.time_warp.probability,
            self.magnitude_warp.probability,
            self.scaling.probability,
            self.frequency_masking.probability,
            self.jitter.probability,
            self.channel_dropout.probability,
        ]
        .map(|probability| happens(probability, rng));
        let strength = |of: Disturbance| of.strength as f32;
        if permuted && moves {
            permute(values, channels, self.permutation.segments, rng);
        }
        if warped && moves {
            warp_time(values, channels, strength(self.time_warp), rng);
        }
        if bent {
            warp_magnitude(values, channels, strength(self.magnitude_warp), rng);
        }
        if scaled {
            scale(values, channels, strength(self.scaling), rng);
        }
        if masked && moves {
            mask_frequencies(values, channels, self.frequency_masking.strength, rng);
        }
        if jittered {
            jitter(values, strength(self.jitter), rng);
        }
        if dropped {
            drop_channels(values, channels, self.channel_dropout.strength, rng);
        }
    }
}

/// Adds to each value one of that deviation.
pub(super) fn jitter(values: &mut [f32], deviation: f32, rng: &mut Rng) {
    for value in values {
        *value += deviation * gaussian(rng);
    }
}

/// Multiplies each channel by a number around 1.
pub(super) fn scale(values: &mut [f32], channels: usize, deviation: f32, rng: &mut Rng) {
    let factors: Vec<f32> = (0..channels)
        .map(|_| 1.0 + deviation * gaussian(rng))
        .collect();
    for step in values.chunks_exact_mut(channels) {
        for (value, factor) in step.iter_mut().zip(&factors) {
            *value *= factor;
        }
    }
}

/// Multiplies each channel by a curve around 1 (Um et al. 2017).
pub(super) fn warp_magnitude(values: &mut [f32], channels: usize, deviation: f32, rng: &mut Rng) {
    for channel in 0..channels {
        let curve = curve(values.len() / channels, deviation, rng);
        for (step, factor) in values.chunks_exact_mut(channels).zip(curve) {
            step[channel] *= factor;
        }
    }
}

/// Lets time go at a changing speed, from the same beginning to the same end (Um et al. 2017); between steps values are
/// interpolated.
pub(super) fn warp_time(values: &mut Vec<f32>, channels: usize, deviation: f32, rng: &mut Rng) {
    let steps = values.len() / channels;
    let mut speed = curve(steps, deviation, rng);
    speed
        .iter_mut()
        .for_each(|speed| *speed = speed.max(SLOWEST));
    let total: f32 = speed[1..].iter().sum();
    let mut passed = 0.0;
    let mut warped = Vec::with_capacity(values.len());
    for (step, speed) in speed.iter().enumerate() {
        if step > 0 {
            passed += speed;
        }
        let at = (passed / total * (steps - 1) as f32).min((steps - 1) as f32);
        let before = (at as usize).min(steps - 2);
        let part = at - before as f32;
        for channel in 0..channels {
            let left = values[before * channels + channel];
            let right = values[(before + 1) * channels + channel];
            // Beside a missing value the nearer one counts.
            warped.push(match (left.is_nan(), right.is_nan()) {
                (false, false) => left + part * (right - left),
                _ if part < 0.5 => left,
                _ => right,
            });
        }
    }
    *values = warped;
}

/// Cuts time into 2 to `most` segments and lets them change places (Um et al. 2017, Eldele et al. 2021).
pub(super) fn permute(values: &mut Vec<f32>, channels: usize, most: usize, rng: &mut Rng) {
    let steps = values.len() / channels;
    let count = rng.random_range(2..=most.min(steps).max(2));
    let mut cuts: Vec<usize> = (1..steps).collect();
    cuts.shuffle(rng);
    cuts.truncate(count - 1);
    cuts.extend([0, steps]);
    cuts.sort_unstable();
    let mut segments: Vec<(usize, usize)> = cuts.windows(2).map(|cut| (cut[0], cut[1])).collect();
    segments.shuffle(rng);
    *values = segments
        .into_iter()
        .flat_map(|(from, to)| values[from * channels..to * channels].to_vec())
        .collect();
}

/// Takes a band of frequencies out of all channels: what of a sine and a cosine of each is in the values is taken off. The
/// mean stays.
pub(super) fn mask_frequencies(values: &mut [f32], channels: usize, part: f64, rng: &mut Rng) {
    let steps = values.len() / channels;
    let all = steps / 2;
    let count = ((all as f64 * part).round() as usize).min(all);
    if count == 0 {
        return;
    }
    let first = rng.random_range(1..=all - count + 1);
    let mut wave = vec![[0.0f32; 2]; steps];
    for frequency in first..first + count {
        for (step, wave) in wave.iter_mut().enumerate() {
            // The remainder keeps the angle exact in long series.
            let angle = TAU * ((frequency * step) % steps) as f64 / steps as f64;
            *wave = [angle.cos() as f32, angle.sin() as f32];
        }
        // At half the steps there is only a cosine, and all of it counts once.
        let weight = if 2 * frequency == steps { 1.0 } else { 2.0 } / steps as f32;
        for channel in 0..channels {
            let mut sums = [0.0f32; 2];
            for (step, wave) in values.chunks_exact(channels).zip(&wave) {
                let value = step[channel];
                if !value.is_nan() {
                    sums[0] += value * wave[0];
                    sums[1] += value * wave[1];
                }
            }
            let sums = sums.map(|sum| sum * weight);
            for (step, wave) in values.chunks_exact_mut(channels).zip(&wave) {
                step[channel] -= sums[0] * wave[0] + sums[1] * wave[1];
            }
        }
    }
}

/// Makes channels missing, each by that chance; one stays.
pub(super) fn drop_channels(values: &mut [f32], channels: usize, chance: f64, rng: &mut Rng) {
    let stays = rng.random_range(0..channels);
    for channel in 0..channels {
        if rng.random::<f64>() < chance && channel != stays {
            for step in values.chunks_exact_mut(channels) {
                step[channel] = f32::NAN;
            }
        }
    }
}
