//! Published weights, fitted to a network: the classifier left out, positions brought to the network's grid.

use super::ImageEncoder;
use super::vit::Vit;
use crate::error::Result;
use crate::layers::state::{Array, State};

/// Prefixes of the classifiers of torchvision (`fc`) and timm (`head`).
const CLASSIFIERS: [&str; 2] = ["fc.", "head."];

/// Takes out or adapts what may differ. Returns a line for each change.
pub(super) fn adopt(encoder: &ImageEncoder, state: &mut State) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    let before = state.len();
    state.retain(|name, _| !CLASSIFIERS.iter().any(|prefix| name.starts_with(prefix)));
    if state.len() < before {
        let count = before - state.len();
        lines.push(format!("its classifier ({count} tensors) is left out"));
    }
    if let ImageEncoder::Vit(vit) = encoder
        && let Some(line) = resize_positions(vit, state)
    {
        lines.push(line);
    }
    Ok(lines)
}

/// Positions of another square grid than the network's, interpolated; the class token's stays.
fn resize_positions(vit: &Vit, state: &mut State) -> Option<String> {
    let positions = state.get_mut("pos_embed")?;
    let [1, tokens, dim] = positions.shape[..] else {
        return None;
    };
    let (from, to) = (tokens.checked_sub(1)?.isqrt(), vit.patches().isqrt());
    if from == 0 || from * from + 1 != tokens || from == to {
        return None;
    }
    let (class, grid) = positions.values.split_at(dim);
    let values = [class, &resized(grid, from, to, dim)].concat();
    *positions = Array {
        shape: vec![1, to * to + 1, dim],
        values,
    };
    Some(format!(
        "its positions are interpolated from {from} × {from} to {to} × {to} patches"
    ))
}

/// A `[from, from, dim]` grid as `[to, to, dim]`: bicubic and, where it shrinks, averaged over what it covers, as timm
/// resamples positions.
fn resized(grid: &[f32], from: usize, to: usize, dim: usize) -> Vec<f32> {
    let weights = cubic_weights(from, to);
    let mut rows = vec![0.0f32; to * from * dim];
    for (row, weights) in rows.chunks_exact_mut(from * dim).zip(&weights) {
        for (weight, source) in weights.iter().zip(grid.chunks_exact(from * dim)) {
            for (value, source) in row.iter_mut().zip(source) {
                *value += weight * source;
            }
        }
    }
    let mut out = vec![0.0f32; to * to * dim];
    for (out, row) in out
        .chunks_exact_mut(to * dim)
        .zip(rows.chunks_exact(from * dim))
    {
        for (place, weights) in out.chunks_exact_mut(dim).zip(&weights) {
            for (weight, source) in weights.iter().zip(row.chunks_exact(dim)) {
                for (value, source) in place.iter_mut().zip(source) {
                    *value += weight * source;
                }
            }
        }
    }
    out
}

/// How much each of `from` places counts for each of `to`: the cubic convolution kernel with a = −½ (Keys 1981), as
/// wide as the places shrink.
fn cubic_weights(from: usize, to: usize) -> Vec<Vec<f32>> {
    let scale = from as f64 / to as f64;
    let stretch = scale.max(1.0);
    (0..to)
        .map(|place| {
            let center = (place as f64 + 0.5) * scale;
            let weights: Vec<f64> = (0..from)
                .map(|source| keys((source as f64 + 0.5 - center) / stretch))
                .collect();
            let sum: f64 = weights.iter().sum();
            weights.iter().map(|weight| (weight / sum) as f32).collect()
        })
        .collect()
}

fn keys(x: f64) -> f64 {
    match x.abs() {
        x if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
        x if x < 2.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::Init;
    use crate::layers::init::tests_device;
    use crate::layers::state::state_of;

    const GRID: [f32; 9] = [1.0, 2.0, 0.0, 4.0, 8.0, 3.0, 5.0, -1.0, 2.0];

    /// [`GRID`] as torch 2.15's `interpolate(mode="bicubic", antialias=True)` gives it, 5 × 5 and 2 × 2.
    const FIVE: [f32; 25] = [
        0.7152012, 1.1243314, 1.54717, 0.4303012, -0.3602704, 1.8187834, 3.0370352, 4.5074625,
        2.4051564, 0.83962274, 3.6981131, 5.626866, 8.0, 4.9328346, 2.6226416, 4.96156, 3.9537754,
        2.4253716, 2.3585422, 2.4895802, 5.585262, 2.544917, -1.679245, 0.35806906, 2.196511,
    ];
    const TWO: [f32; 4] = [3.0025632, 2.3677485, 3.9342895, 2.3466988];

    #[test]
    fn positions_are_resized_as_pytorch_does() {
        for (to, expected) in [(5, &FIVE[..]), (2, &TWO[..])] {
            let ours = resized(&GRID, 3, to, 1);
            for (ours, theirs) in ours.iter().zip(expected) {
                assert!((ours - theirs).abs() < 1e-5, "{ours} beside {theirs}");
            }
        }
    }

    #[test]
    fn a_classifier_is_left_out_and_another_grid_fits() {
        let mut init = Init::new(0, &tests_device());
        let small = Vit::new(16, 4, 3, 24, 1, 3, &mut init);
        let mut state = state_of(&Vit::new(32, 4, 3, 24, 1, 3, &mut init));
        let bias = Array {
            shape: vec![10],
            values: vec![0.0; 10],
        };
        state.insert("head.bias".to_owned(), bias);
        let lines = adopt(&ImageEncoder::Vit(small.clone()), &mut state).unwrap();
        assert_eq!(lines.len(), 2, "{lines:?}");
        crate::layers::state::load_state(small, &state).unwrap();
    }
}
