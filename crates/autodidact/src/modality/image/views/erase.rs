//! A rectangle of the finished view replaced by the mean (torchvision's `RandomErasing`, `value=0` after
//! normalization).

use rand::RngExt;

use super::crop::{Region, between};
use crate::random::Rng;

/// Draws the rectangle in a view of size × size pixels: its share of the area uniform in `area`, its height / width
/// log-uniform in `aspect`. `None` when ten draws don't fit inside.
pub(super) fn draw_rectangle(
    size: usize,
    area: [f32; 2],
    aspect: [f32; 2],
    rng: &mut Rng,
) -> Option<Region> {
    let whole = (size * size) as f64;
    let log_aspect = aspect.map(|a| f64::from(a).ln());
    for _ in 0..10 {
        let target = whole * between(area.map(f64::from), rng);
        let ratio = between(log_aspect, rng).exp();
        let height = (target * ratio).sqrt().round_ties_even() as usize;
        let width = (target / ratio).sqrt().round_ties_even() as usize;
        if height < size && width < size {
            let y = rng.random_range(0..=size - height);
            let x = rng.random_range(0..=size - width);
            return Some(Region {
                x,
                y,
                width,
                height,
            });
        }
    }
    None
}

/// Sets a rectangle of normalized pixels `[size, size, channels]` to 0, which is the mean.
pub(super) fn erase(pixels: &mut [f32], size: usize, channels: usize, rectangle: Region) {
    let rows = pixels.chunks_exact_mut(size * channels);
    for row in rows.skip(rectangle.y).take(rectangle.height) {
        row[rectangle.x * channels..(rectangle.x + rectangle.width) * channels].fill(0.0);
    }
}
