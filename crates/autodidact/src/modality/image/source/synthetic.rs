//! The embedded data set: drawings of ten figures, made when they are asked for.
//!
//! The class of an image is the shape of its figure. Colors, which of figure and ground is the brighter, place,
//! size, turn (any angle), mirroring, stretch, light, ground, clutter and what hides the figure are drawn
//! independently of it. The figure's texture is not quite: each shape has a favorite among six families, which two
//! or so share, as things have typical materials: two thirds of the figures wear it, so that one who knew the
//! texture and nothing else would name 40 % of the shapes.
//!
//! Pixels therefore say little (20 nearest neighbors among 10,000 by them are right for 30 % of the test images).
//! What two views of an image share is meant to be its figure above all: noise, sharpness and most grounds vary
//! little, and the views draw colors and contrast anew. It is there so that everything can be tried without data;
//! results on it say nothing about photographs.

mod figure;
mod texture;

use rand::RngExt;

use self::figure::{FIGURES, Figure};
use self::texture::{FAMILIES, Texture};
use crate::error::Result;
use crate::modality::image::Image;
use crate::modality::source::{Labels, Part};
use crate::random::{Purpose, Rng, stream};

/// Side of the images, in pixels.
pub const SIDE: usize = 32;

/// Training images where the recipe doesn't say; the test part has a fifth as many.
pub const DEFAULT_ITEMS: usize = 20_000;

/// Drawings of 32×32 pixels in color, of ten classes in turn. The same seed, part and index give the same image
/// on one machine; elsewhere single values may differ by one, as sines do in their last bit.
#[derive(Debug, Clone)]
pub struct Synthetic {
    seed: u64,
    part: Part,
    items: usize,
}

impl Synthetic {
    /// The set of `items` training images (0: [`DEFAULT_ITEMS`]), or the test part of that set.
    pub fn new(seed: u64, part: Part, items: usize) -> Self {
        let items = if items == 0 { DEFAULT_ITEMS } else { items };
        let items = if part == Part::Test {
            (items / 5).max(1)
        } else {
            items
        };
        Self { seed, part, items }
    }

    /// Number of images.
    pub fn len(&self) -> usize {
        self.items
    }

    /// Whether there are none, which never is so.
    pub fn is_empty(&self) -> bool {
        self.items == 0
    }

    /// The name of an image: `synthetic/train/00012`.
    pub fn name(&self, index: usize) -> String {
        let part = if self.part == Part::Train {
            "train"
        } else {
            "test"
        };
        format!("synthetic/{part}/{index:05}")
    }

    /// The shapes, which are the classes.
    pub fn labels(&self) -> Labels {
        Labels {
            classes: FIGURES.iter().map(|(name, _)| (*name).to_owned()).collect(),
            of: (0..self.items)
                .map(|index| Some((index % FIGURES.len()) as u32))
                .collect(),
        }
    }

    /// Draws an image.
    ///
    /// # Errors
    /// None are known: the size is right by construction.
    pub fn draw(&self, index: usize) -> Result<Image> {
        let part = if self.part == Part::Train { 0 } else { 1 };
        let mut rng = stream(self.seed, Purpose::Synthetic, &[part, index as u64]);
        let scene = Scene::new(index % FIGURES.len(), &mut rng);
        Image::new(SIDE, SIDE, 3, scene.render(&mut rng))
    }
}

type Color = [f32; 3];
type Point = [f32; 2];

/// Everything that is drawn, from back to front. Lengths are in pixels, colors on the scale 0..1.
struct Scene {
    ground: Surface,
    behind: Vec<Spot>,
    figure: Figure,
    pose: Pose,
    fill: Surface,
    before: Vec<Spot>,
    bar: Option<Bar>,
    light: [f32; 3],
    softness: f32,
    blur: f32,
    noise: f32,
}

/// A color with a texture.
struct Surface {
    color: Color,
    change: Color,
    texture: Texture,
}

/// Where the figure is, how large and how it is turned.
struct Pose {
    center: Point,
    scale: f32,
    /// From pixels off the center to the figure's own coordinates.
    turn: [Point; 2],
}

/// A small thing that is not the figure.
struct Spot {
    center: Point,
    half: Point,
    round: bool,
    color: Color,
}

/// A strip that hides a part of the figure.
struct Bar {
    normal: Point,
    offset: f32,
    half: f32,
    color: Color,
}

impl Scene {
    fn new(class: usize, rng: &mut Rng) -> Self {
        let dark = rng.random_range(0.12..0.45f32);
        let bright = dark + rng.random_range(0.28..0.5f32);
        // Bright on dark as often as dark on bright: neighbors by pixels can't count on either.
        let (ground, fill) = if rng.random_bool(0.5) {
            (dark, bright)
        } else {
            (bright, dark)
        };
        let pose = Pose::new(rng);
        // Most figures wear their shape's favorite, and most grounds are quiet, so that a ground's texture, which
        // both views of an image show, doesn't tell images apart better than the figure does.
        let texture = if rng.random_bool(0.6) {
            class % FAMILIES
        } else {
            rng.random_range(0..FAMILIES)
        };
        let ground_texture = if rng.random_bool(0.75) {
            rng.random_range(0..2)
        } else {
            rng.random_range(0..FAMILIES)
        };
        let spots = |rng: &mut Rng, most: usize| {
            (0..rng.random_range(0..=most))
                .map(|_| Spot::new(rng))
                .collect::<Vec<_>>()
        };
        Self {
            ground: Surface::new(ground, 0.08, ground_texture, rng),
            behind: spots(rng, 3),
            figure: FIGURES[class].1,
            fill: Surface::new(fill, 0.18, texture, rng),
            before: spots(rng, 1),
            bar: rng.random_bool(0.15).then(|| Bar::new(pose.center, rng)),
            pose,
            light: [
                rng.random_range(-0.012..0.012),
                rng.random_range(-0.012..0.012),
                rng.random_range(0.85..1.15),
            ],
            // Narrow ranges: views keep noise and sharpness, by which an image could be known again.
            softness: rng.random_range(0.6..0.8),
            blur: rng.random_range(0.1..0.4),
            noise: rng.random_range(0.015..0.03),
        }
    }

    fn render(&self, rng: &mut Rng) -> Vec<u8> {
        let mut values = vec![[0.0f32; 3]; SIDE * SIDE];
        for (index, value) in values.iter_mut().enumerate() {
            *value = self.color([(index % SIDE) as f32 + 0.5, (index / SIDE) as f32 + 0.5]);
        }
        soften(&mut values, self.blur);
        let mut pixels = Vec::with_capacity(SIDE * SIDE * 3);
        for value in values {
            let draws: u64 = rng.random();
            for (c, value) in value.into_iter().enumerate() {
                // The sum of two bytes, uniform each, is a triangle of about the right shape for noise.
                let bits = draws >> (16 * c);
                let noise = ((bits & 0xff) + (bits >> 8 & 0xff)) as f32 / 255.0 - 1.0;
                pixels.push(
                    ((value + 2.0 * self.noise * noise) * 255.0)
                        .round()
                        .clamp(0.0, 255.0) as u8,
                );
            }
        }
        pixels
    }

    fn color(&self, at: Point) -> Color {
        let mut color = self.ground.at(at);
        for spot in &self.behind {
            spot.cover(at, &mut color);
        }
        let inside = self.pose.coverage(self.figure, at, self.softness);
        if inside > 0.0 {
            mix(&mut color, self.fill.at(at), inside);
        }
        for spot in &self.before {
            spot.cover(at, &mut color);
        }
        if let Some(bar) = &self.bar {
            bar.cover(at, &mut color);
        }
        let half = SIDE as f32 / 2.0;
        let light = self.light[2] + self.light[0] * (at[0] - half) + self.light[1] * (at[1] - half);
        color.map(|value| value * light)
    }
}

impl Surface {
    /// A surface of about the given brightness; its texture changes brightness and hue by up to `strength`.
    fn new(brightness: f32, strength: f32, family: usize, rng: &mut Rng) -> Self {
        let color = tint(brightness, rng);
        let amount = rng.random_range(0.5..1.0) * strength;
        let hue = tint(0.0, rng);
        Self {
            color,
            change: hue.map(|value| amount + 0.5 * amount * value),
            texture: Texture::new(family, rng),
        }
    }

    fn at(&self, at: Point) -> Color {
        let value = self.texture.at(at);
        std::array::from_fn(|c| self.color[c] + self.change[c] * value)
    }
}

impl Pose {
    fn new(rng: &mut Rng) -> Self {
        let scale = rng.random_range(8.0..14.0f32);
        // The figure stays inside, by and large.
        let room = (SIDE as f32 / 2.0 - scale) * 0.9 + 0.8;
        let half = SIDE as f32 / 2.0;
        let center = [
            half + rng.random_range(-room..room),
            half + rng.random_range(-room..room),
        ];
        let (sin, cos) = rng.random_range(0.0..std::f32::consts::TAU).sin_cos();
        let stretch = rng.random_range(0.85..1.18f32);
        let mirror = if rng.random_bool(0.5) { -1.0 } else { 1.0 };
        let turn = [
            [
                mirror * cos / scale * stretch,
                mirror * sin / scale * stretch,
            ],
            [-sin / scale / stretch, cos / scale / stretch],
        ];
        Self {
            center,
            scale,
            turn,
        }
    }

    fn coverage(&self, figure: Figure, at: Point, softness: f32) -> f32 {
        let [x, y] = [at[0] - self.center[0], at[1] - self.center[1]];
        let [a, b] = self.turn;
        let point = [a[0] * x + a[1] * y, b[0] * x + b[1] * y];
        if point[0] * point[0] + point[1] * point[1] > 1.6 {
            return 0.0;
        }
        edge(figure(point) * self.scale, softness)
    }
}

impl Spot {
    fn new(rng: &mut Rng) -> Self {
        let place = 0.0..SIDE as f32;
        let brightness = rng.random_range(0.1..0.9);
        Self {
            center: [rng.random_range(place.clone()), rng.random_range(place)],
            half: [rng.random_range(0.6..2.2), rng.random_range(0.6..2.2)],
            round: rng.random(),
            color: tint(brightness, rng),
        }
    }

    fn cover(&self, at: Point, color: &mut Color) {
        let [x, y] = [
            (at[0] - self.center[0]).abs(),
            (at[1] - self.center[1]).abs(),
        ];
        if x > 3.5 || y > 3.5 {
            return;
        }
        let distance = if self.round {
            x.hypot(y) - self.half[0]
        } else {
            (x - self.half[0]).max(y - self.half[1])
        };
        mix(color, self.color, edge(distance, 0.5));
    }
}

impl Bar {
    fn new(center: Point, rng: &mut Rng) -> Self {
        let (sin, cos) = rng.random_range(0.0..std::f32::consts::PI).sin_cos();
        let through = rng.random_range(-8.0..8.0f32);
        let brightness = rng.random_range(0.1..0.9);
        Self {
            normal: [cos, sin],
            offset: center[0] * cos + center[1] * sin + through,
            half: rng.random_range(1.0..2.2),
            color: tint(brightness, rng),
        }
    }

    fn cover(&self, at: Point, color: &mut Color) {
        let along = at[0] * self.normal[0] + at[1] * self.normal[1] - self.offset;
        mix(color, self.color, edge(along.abs() - self.half, 0.5));
    }
}

/// How much of a pixel lies inside, from its distance to the edge (negative inside).
fn edge(distance: f32, softness: f32) -> f32 {
    (0.5 - 0.5 * distance / softness).clamp(0.0, 1.0)
}

fn mix(color: &mut Color, over: Color, amount: f32) {
    for (value, over) in color.iter_mut().zip(over) {
        *value += (over - *value) * amount;
    }
}

/// A color of the given luma (ITU-R BT.601) and any hue; at luma 0 the hue alone, within -1..1.
fn tint(luma: f32, rng: &mut Rng) -> Color {
    let raw: Color = std::array::from_fn(|_| rng.random_range(-1.0..1.0f32));
    let own = 0.299 * raw[0] + 0.587 * raw[1] + 0.114 * raw[2];
    let room = if luma > 0.0 {
        0.9 * luma.min(1.0 - luma)
    } else {
        1.0
    };
    raw.map(|value| luma + (value - own) * room)
}

/// Blurs by the kernel 1-2-1 in both directions, mixed with the image by `amount`.
fn soften(values: &mut [Color], amount: f32) {
    let side = amount / 4.0;
    for (step, across) in [(1, SIDE), (SIDE, 1)] {
        for line in 0..SIDE {
            let start = line * across;
            let mut before = values[start];
            for k in 0..SIDE {
                let at = start + k * step;
                let here = values[at];
                let after = values[if k + 1 < SIDE { at + step } else { at }];
                values[at] = std::array::from_fn(|c| {
                    here[c] + side * (before[c] + after[c] - 2.0 * here[c])
                });
                before = here;
            }
        }
    }
}

#[cfg(test)]
mod tests;
