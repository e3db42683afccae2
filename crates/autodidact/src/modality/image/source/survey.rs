//! What the images of a set are like: grey or color, how large, of what brightness.

use rand::RngExt;
use rayon::prelude::*;

use super::channels;
use crate::error::Error;
use crate::modality::image::{Image, MOST_CHANNELS, Pixels};
use crate::modality::source::Source;
use crate::random::{Purpose, stream};

/// What [`survey`] found.
#[derive(Debug)]
pub struct Survey {
    /// 1 where every image looked at shows nothing but grey, else 3, or the number that images of neither kind have.
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

/// Pixels that are looked at, about: more of them say the same, and large images take long to decode.
const PIXELS: usize = 64 << 20;
/// Images that are looked at, however large they are.
const FEWEST: usize = 128;
/// Images whose size tells how large the others are.
const TRIED: usize = 16;

/// White on the scale of the sums: 16 bits hold every byte and word exactly, and floats as closely as is measured.
const WHITE: f32 = 65_535.0;

/// Sums of one image or several; integers, so that the order of adding doesn't matter.
#[derive(Default)]
struct Sums {
    channels: usize,
    pixels: u64,
    sum: [u128; MOST_CHANNELS],
    squares: [u128; MOST_CHANNELS],
    sides: Vec<(usize, usize)>,
    bad: Vec<(String, Error)>,
}

impl Sums {
    fn of(image: &Image) -> Self {
        let mut sums = Self {
            channels: if channels::is_grey(image) {
                1
            } else {
                image.channels()
            },
            pixels: (image.width() * image.height()) as u64,
            sides: vec![(
                image.width().min(image.height()),
                image.width().max(image.height()),
            )],
            ..Self::default()
        };
        for channel in 0..image.channels() {
            let (from, every) = (channel, image.channels());
            // Bytes of a row's worth at a time in 32 bits would be faster; decoding costs more than this.
            let (sum, squares) = match image.values() {
                Pixels::Bytes(values) => {
                    let (sum, squares) = sums_of(values[from..].iter().step_by(every).copied());
                    (sum * 257, squares * 257 * 257)
                }
                Pixels::Words(values) => sums_of(values[from..].iter().step_by(every).copied()),
                Pixels::Floats(values) => {
                    let values = values[from..].iter().step_by(every);
                    sums_of(values.map(|value| (value * WHITE).round() as u16))
                }
            };
            (sums.sum[channel], sums.squares[channel]) = (sum, squares);
        }
        if image.channels() == 1 {
            // Beside color images, grey is three equal colors.
            sums.sum.copy_within(..1, 1);
            sums.sum.copy_within(..1, 2);
            sums.squares.copy_within(..1, 1);
            sums.squares.copy_within(..1, 2);
        }
        sums
    }

    fn add(mut self, mut other: Self) -> Self {
        self.channels = self.channels.max(other.channels);
        self.pixels += other.pixels;
        for c in 0..MOST_CHANNELS {
            self.sum[c] += other.sum[c];
            self.squares[c] += other.squares[c];
        }
        self.sides.append(&mut other.sides);
        self.bad.append(&mut other.bad);
        self
    }
}

/// Sum and sum of squares.
fn sums_of(values: impl Iterator<Item = impl Into<u64>>) -> (u128, u128) {
    // 134 million squares of 32 bits stay below 64.
    let (mut sum, mut squares) = (0u64, 0u64);
    for value in values {
        let value: u64 = value.into();
        sum += value;
        squares += value * value;
    }
    (sum.into(), squares.into())
}

/// Looks at up to `sample` images, spread evenly over the set: one drawn by `seed` from each of as many stretches. Of
/// large images fewer are looked at, 64 million pixels in all or 128 images, whichever is more.
///
/// The same images give the same numbers, whatever the number of threads. Images that can't be read are counted and
/// left out; where none can be read, the mean is 0.5 and the deviation 0.25.
pub fn survey(source: &dyn Source<Image>, sample: usize, seed: u64) -> Survey {
    let len = source.len();
    let count = enough(source, sample.min(len));
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

/// How many of up to `count` images are enough, by the sizes of some.
fn enough(source: &dyn Source<Image>, count: usize) -> usize {
    if count <= FEWEST {
        return count;
    }
    let areas: Vec<usize> = (0..TRIED)
        .into_par_iter()
        .filter_map(|k| source.get(k * source.len() / TRIED).ok())
        .map(|image| image.width() * image.height())
        .collect();
    let pixels: usize = areas.iter().sum();
    match (PIXELS * areas.len()).checked_div(pixels) {
        Some(enough) => count.min(enough.max(FEWEST)),
        None => count,
    }
}

fn finish(mut sums: Sums) -> Survey {
    let channels = sums.channels.max(1);
    let mut mean = vec![0.5; channels];
    let mut deviation = vec![0.25; channels];
    if sums.pixels > 0 {
        let white = f64::from(WHITE);
        let pixels = sums.pixels as f64 * white;
        for c in 0..channels {
            let first = sums.sum[c] as f64 / pixels;
            let second = sums.squares[c] as f64 / pixels / white;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Result;
    use crate::modality::source::{Labels, Part};

    /// A thousand black squares of this edge.
    struct Squares(usize);

    impl Source<Image> for Squares {
        fn len(&self) -> usize {
            1_000
        }
        fn name(&self, index: usize) -> String {
            index.to_string()
        }
        fn get(&self, _: usize) -> Result<Image> {
            Image::new(self.0, self.0, 1, vec![0; self.0 * self.0])
        }
        fn labels(&self) -> Option<&Labels> {
            None
        }
        fn other_parts(&self) -> &[Part] {
            &[]
        }
        fn describe(&self) -> String {
            String::new()
        }
    }

    #[test]
    fn of_large_images_fewer_are_looked_at() {
        for (edge, seen) in [(8, 1_000), (512, 256), (1_024, 128)] {
            assert_eq!(
                survey(&Squares(edge), 4_096, 0).images,
                seen,
                "{edge} pixels"
            );
        }
    }
}
