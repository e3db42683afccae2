//! What the images of a set are like: grey or color, how large, of what brightness.

use rand::RngExt;
use rayon::prelude::*;

use super::channels;
use crate::error::Error;
use crate::modality::image::Image;
use crate::modality::source::Source;
use crate::random::{Purpose, stream};

/// What [`survey`] found.
#[derive(Debug)]
pub struct Survey {
    /// 1 where every image looked at shows nothing but grey, else 3.
    pub channels: usize,
    /// Mean of the pixels, per channel, on the scale 0..1.
    pub mean: Vec<f32>,
    /// Standard deviation of the pixels, per channel, on the scale 0..1.
    pub deviation: Vec<f32>,
    /// Median of the images' shorter sides, in pixels.
    pub median_side: usize,
    /// The shortest side of any image, in pixels.
    pub min_side: usize,
    /// The longest side of any image, in pixels.
    pub max_side: usize,
    /// Number of images looked at that could be read.
    pub images: usize,
    /// Those that couldn't, with the reason.
    pub bad: Vec<(String, Error)>,
}

/// Sums of one image or several; integers, so that the order of adding doesn't matter.
#[derive(Default)]
struct Sums {
    color: bool,
    pixels: u64,
    sum: [u64; 3],
    squares: [u64; 3],
    sides: Vec<(usize, usize)>,
    bad: Vec<(String, Error)>,
}

impl Sums {
    fn of(image: &Image) -> Self {
        let mut sums = Self {
            color: !channels::is_grey(image),
            pixels: (image.width() * image.height()) as u64,
            sides: vec![(
                image.width().min(image.height()),
                image.width().max(image.height()),
            )],
            ..Self::default()
        };
        for (at, values) in (0..image.channels().min(3))
            .map(|c| (c, image.pixels()[c..].iter().step_by(image.channels())))
        {
            // A row's worth at a time in 32 bits would be faster; decoding costs more than this.
            for &value in values {
                sums.sum[at] += u64::from(value);
                sums.squares[at] += u64::from(value) * u64::from(value);
            }
        }
        if image.channels() == 1 {
            sums.sum = [sums.sum[0]; 3];
            sums.squares = [sums.squares[0]; 3];
        }
        sums
    }

    fn add(mut self, mut other: Self) -> Self {
        self.color |= other.color;
        self.pixels += other.pixels;
        for c in 0..3 {
            self.sum[c] += other.sum[c];
            self.squares[c] += other.squares[c];
        }
        self.sides.append(&mut other.sides);
        self.bad.append(&mut other.bad);
        self
    }
}

/// Looks at up to `sample` images, spread evenly over the set: one drawn by `seed` from each of as many stretches.
///
/// The same images give the same numbers, whatever the number of threads. Images that can't be read are counted and
/// left out; where none can be read, the mean is 0.5 and the deviation 0.25.
pub fn survey(source: &dyn Source<Image>, sample: usize, seed: u64) -> Survey {
    let len = source.len();
    let count = sample.min(len);
    let mut rng = stream(seed, Purpose::Split, &[0]);
    let chosen: Vec<usize> = (0..count)
        .map(|k| {
            let bound = |k: usize| (k as u128 * len as u128 / count as u128) as usize;
            rng.random_range(bound(k)..bound(k + 1))
        })
        .collect();
    let sums = chosen
        .into_par_iter()
        .map(|index| match source.get(index) {
            Ok(image) => Sums::of(&image),
            Err(error) => Sums {
                bad: vec![(source.name(index), error)],
                ..Sums::default()
            },
        })
        .reduce(Sums::default, Sums::add);
    finish(sums)
}

fn finish(mut sums: Sums) -> Survey {
    let channels = if sums.color { 3 } else { 1 };
    let mut mean = vec![0.5; channels];
    let mut deviation = vec![0.25; channels];
    if sums.pixels > 0 {
        let pixels = sums.pixels as f64 * 255.0;
        for c in 0..channels {
            let first = sums.sum[c] as f64 / pixels;
            let second = sums.squares[c] as f64 / pixels / 255.0;
            mean[c] = first as f32;
            deviation[c] = (second - first * first).max(0.0).sqrt() as f32;
        }
    }
    sums.sides.sort_unstable();
    Survey {
        channels,
        mean,
        deviation,
        median_side: sums
            .sides
            .get(sums.sides.len() / 2)
            .map_or(0, |sides| sides.0),
        min_side: sums.sides.first().map_or(0, |sides| sides.0),
        max_side: sums.sides.iter().map(|sides| sides.1).max().unwrap_or(0),
        images: sums.sides.len(),
        bad: sums.bad,
    }
}
