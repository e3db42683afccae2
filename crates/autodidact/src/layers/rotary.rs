//! Rotary positions (Su et al. 2021): queries and keys are turned by an angle that grows with their place, so that a
//! score depends on how far apart two tokens stand and not on where.

use burn::tensor::{Device, Tensor, TensorData};

/// The base of the wavelengths, as published.
const BASE: f64 = 10_000.0;

/// Turns the queries and keys in a projection to queries, keys and values.
///
/// The first half of a head's values are the real parts and the second the imaginary ones, as GPT-NeoX, Llama and
/// ModernBERT have it: pair i of a token at place p is turned by p · 10000^(−2i / dim).
///
/// # Shapes
/// `[batch, tokens, 3 · heads · dim]` → the same, the first token standing at place `from`. `dim` must be even.
pub fn turn(qkv: Tensor<3>, heads: usize, from: usize) -> Tensor<3> {
    let [batch, tokens, width] = qkv.dims();
    let dim = width / (3 * heads);
    let half = dim / 2;
    let (cosine, sine) = waves(from, tokens, half, &qkv.device());
    let parts = qkv.reshape([batch, tokens, 3 * heads, dim]);
    let turned = parts.clone().narrow(2, 0, 2 * heads);
    let (real, imaginary) = (
        turned.clone().narrow(3, 0, half),
        turned.narrow(3, half, half),
    );
    let turned = Tensor::cat(
        vec![
            real.clone() * cosine.clone() - imaginary.clone() * sine.clone(),
            imaginary * cosine + real * sine,
        ],
        3,
    );
    let values = parts.narrow(2, 2 * heads, heads);
    Tensor::cat(vec![turned, values], 2).reshape([batch, tokens, width])
}

/// Cosines and sines, `[1, tokens, 1, half]`.
fn waves(from: usize, tokens: usize, half: usize, device: &Device) -> (Tensor<4>, Tensor<4>) {
    let angles = (from..from + tokens).flat_map(|place| {
        (0..half).map(move |pair| place as f64 * BASE.powf(-(pair as f64) / half as f64))
    });
    let (cosines, sines): (Vec<f32>, Vec<f32>) = angles
        .map(|angle| (angle.cos() as f32, angle.sin() as f32))
        .unzip();
    let tensor = |values| {
        let device = device.clone().inner();
        Tensor::from_data(TensorData::new(values, [1, tokens, 1, half]), &device)
    };
    (tensor(cosines), tensor(sines))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::init::tests_device;
    use crate::layers::state::host;

    #[test]
    fn queries_and_keys_turn_and_values_stay() {
        let device = tests_device();
        let values: Vec<f32> = (0..2 * 12).map(|i| (i as f32 * 0.7).sin()).collect();
        let qkv = Tensor::<3>::from_data(TensorData::new(values.clone(), [1, 2, 12]), &device);
        let turned = host(turn(qkv, 1, 3));
        for token in 0..2 {
            for part in 0..3 {
                for pair in 0..2 {
                    let at = token * 12 + part * 4 + pair;
                    let (real, imaginary) = (f64::from(values[at]), f64::from(values[at + 2]));
                    let angle = (token + 3) as f64 * 0.01f64.powi(pair as i32);
                    let (sine, cosine) = match part {
                        2 => (0.0, 1.0),
                        _ => angle.sin_cos(),
                    };
                    let expected = [
                        real * cosine - imaginary * sine,
                        imaginary * cosine + real * sine,
                    ];
                    for (found, expected) in [turned[at], turned[at + 2]].iter().zip(expected) {
                        assert!((f64::from(*found) - expected).abs() < 1e-6);
                    }
                }
            }
        }
    }
}
