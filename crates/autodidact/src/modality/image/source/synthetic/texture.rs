//! Textures, each a value in -1..1 at every place.

use rand::RngExt;

use super::{Point, SIDE};
use crate::random::Rng;

/// Nodes of the noise lattice a side.
const NODES: usize = 9;

/// Number of families of patterns.
pub(super) const FAMILIES: usize = 6;

/// A pattern over the image.
pub(super) enum Texture {
    /// Nothing.
    Plain,
    /// A slope: the direction of the change, per pixel, and its value at the corner.
    Slope(Point, f32),
    /// Stripes: the direction of the change, in turns per pixel, and the phase.
    Stripes(Point, f32),
    /// Checks: two such directions at right angles.
    Checks(Point, Point),
    /// Dots on a grid: the same.
    Dots(Point, Point),
    /// Smooth noise: values at the nodes of a lattice, and its nodes per pixel.
    Noise(Box<[[f32; NODES]; NODES]>, f32),
}

impl Texture {
    /// A pattern of the given family, of [`FAMILIES`].
    pub(super) fn new(family: usize, rng: &mut Rng) -> Self {
        let (sin, cos) = rng.random_range(0.0..std::f32::consts::TAU).sin_cos();
        let rate = 1.0 / rng.random_range(3.5..9.0f32);
        let along = [cos * rate, sin * rate];
        let across = [-sin * rate, cos * rate];
        match family {
            0 => Self::Plain,
            1 => {
                let slope = [cos / 16.0, sin / 16.0];
                Self::Slope(slope, -(slope[0] + slope[1]) * SIDE as f32 / 2.0)
            }
            2 => Self::Stripes(along, rng.random_range(0.0..1.0)),
            3 => Self::Checks(along, across),
            4 => Self::Dots(along, across),
            _ => {
                let values = std::array::from_fn(|_| {
                    std::array::from_fn(|_| rng.random_range(-1.0..1.0f32))
                });
                Self::Noise(
                    Box::new(values),
                    (NODES - 1) as f32 / SIDE as f32 * rng.random_range(0.5..1.0f32),
                )
            }
        }
    }

    /// The value at a place, in pixels.
    pub(super) fn at(&self, at: Point) -> f32 {
        let along = |direction: &Point| direction[0] * at[0] + direction[1] * at[1];
        match self {
            Self::Plain => 0.0,
            Self::Slope(slope, start) => (along(slope) + start).clamp(-1.0, 1.0),
            Self::Stripes(direction, phase) => steep(wave(along(direction) + phase)),
            Self::Checks(a, b) => steep(wave(along(a)) * wave(along(b)) * 2.0),
            Self::Dots(a, b) => steep(wave(along(a)) + wave(along(b)) - 0.7),
            Self::Noise(values, rate) => {
                let (x, y) = (at[0] * rate, at[1] * rate);
                let (i, j) = ((x as usize).min(NODES - 2), (y as usize).min(NODES - 2));
                let (u, v) = (x - i as f32, y - j as f32);
                let top = values[j][i] + (values[j][i + 1] - values[j][i]) * u;
                let bottom = values[j + 1][i] + (values[j + 1][i + 1] - values[j + 1][i]) * u;
                top + (bottom - top) * v
            }
        }
    }
}

/// A wave of period 1 and height -1..1, by parabolas: close to a sine, the same on every machine, and cheap.
fn wave(turns: f32) -> f32 {
    let x = turns - turns.floor() - 0.5;
    16.0 * x * (0.5 - x.abs())
}

/// Makes a wave's slopes steeper, so that it has areas of one value and edges that aren't jagged.
fn steep(value: f32) -> f32 {
    (1.8 * value).clamp(-1.0, 1.0)
}
