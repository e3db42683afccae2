//! Photographs made smaller once they are decoded: views show small parts of small pictures of them, and a dozen
//! megapixels each would fill the memory after a hundred.

use std::ops::AddAssign;
use std::sync::Arc;

use crate::error::Result;
use crate::modality::image::{Image, Pixels};
use crate::modality::source::{Labels, Part, Source};

/// A source whose large images are averaged down, whether they are kept in memory or not.
pub(super) struct Shrunk<S> {
    source: S,
    /// The shorter side that is left at the least, in pixels; 0 leaves images as they are.
    side: usize,
}

impl<S: Source<Image>> Shrunk<S> {
    pub(super) fn new(source: S, side: usize) -> Self {
        Self { source, side }
    }
}

/// Averages squares of pixels, as large as leave the shorter side with `side` pixels or more. What is left over at the
/// right and lower edge, less than a square, is left out; what is smaller than twice `side` stays as it is.
fn shrink(image: Image, side: usize) -> Result<Image> {
    let (width, height) = (image.width(), image.height());
    let factor = width.min(height).checked_div(side).unwrap_or(1);
    if factor < 2 {
        return Ok(image);
    }
    let squares = Squares {
        factor,
        width,
        channels: image.channels(),
    };
    let count = (factor * factor) as u64;
    let mean = |sum: u64| (sum + count / 2) / count;
    let pixels = match image.values() {
        Pixels::Bytes(values) => {
            Pixels::Bytes(squares.of(values, u32::from, |sum| mean(sum.into()) as u8))
        }
        Pixels::Words(values) => {
            Pixels::Words(squares.of(values, u64::from, |sum| mean(sum) as u16))
        }
        Pixels::Floats(values) => Pixels::Floats(squares.of(values, f64::from, |sum| {
            // Rounding must not lead out of the range that the values had.
            ((sum / count as f64) as f32).clamp(0.0, 1.0)
        })),
    };
    Image::of(width / factor, height / factor, image.channels(), pixels)
}

/// How an image falls into squares.
struct Squares {
    /// Edge of a square in pixels.
    factor: usize,
    /// Width of the image in pixels.
    width: usize,
    channels: usize,
}

impl Squares {
    /// The mean of each square.
    fn of<T: Copy, S: Copy + Default + AddAssign>(
        &self,
        values: &[T],
        widen: impl Fn(T) -> S,
        mean: impl Fn(S) -> T,
    ) -> Arc<[T]> {
        let row = self.width * self.channels;
        let mut means = Vec::with_capacity(values.len() / (self.factor * self.factor));
        // First down the columns, which lies in memory as the processor likes it, then across.
        let mut sums = vec![S::default(); row];
        for rows in values.chunks_exact(row * self.factor) {
            sums.fill(S::default());
            for row in rows.chunks_exact(row) {
                for (sum, &value) in sums.iter_mut().zip(row) {
                    *sum += widen(value);
                }
            }
            for square in sums.chunks_exact(self.factor * self.channels) {
                for channel in 0..self.channels {
                    let mut sum = S::default();
                    for &part in square[channel..].iter().step_by(self.channels) {
                        sum += part;
                    }
                    means.push(mean(sum));
                }
            }
        }
        means.into()
    }
}

impl<S: Source<Image>> Source<Image> for Shrunk<S> {
    fn len(&self) -> usize {
        self.source.len()
    }

    fn name(&self, index: usize) -> String {
        self.source.name(index)
    }

    fn get(&self, index: usize) -> Result<Image> {
        shrink(self.source.get(index)?, self.side)
    }

    fn labels(&self) -> Option<&Labels> {
        self.source.labels()
    }

    fn other_parts(&self) -> &[Part] {
        self.source.other_parts()
    }

    fn describe(&self) -> String {
        self.source.describe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squares_are_averaged_and_what_is_left_over_is_left_out() {
        // 7×5 with two channels; a side of 2 makes squares of 2.
        let value = |x: usize, y: usize, channel: usize| (x * 20 + y * 7 + channel * 100) as u8;
        let at = |i: usize| value(i / 2 % 7, i / 14, i % 2);
        let bytes: Vec<u8> = (0..70).map(at).collect();
        let image = Image::new(7, 5, 2, bytes.clone()).unwrap();
        let shrunk = shrink(image.clone(), 2).unwrap();
        assert_eq!(
            (shrunk.width(), shrunk.height(), shrunk.channels()),
            (3, 2, 2)
        );
        for (i, &found) in shrunk.pixels().iter().enumerate() {
            let (x, y, channel) = (i / 2 % 3 * 2, i / 6 * 2, i % 2);
            let square = [(x, y), (x + 1, y), (x, y + 1), (x + 1, y + 1)];
            let sum: f64 = square
                .map(|(x, y)| f64::from(value(x, y, channel)))
                .iter()
                .sum();
            assert_eq!(f64::from(found), (sum / 4.0 + 1e-9).round(), "value {i}");
        }
        let words: Vec<u16> = bytes.iter().map(|&byte| u16::from(byte) * 257).collect();
        let floats: Vec<f32> = bytes.iter().map(|&byte| f32::from(byte) / 255.0).collect();
        for pixels in [Pixels::Words(words.into()), Pixels::Floats(floats.into())] {
            let white = pixels.white();
            let deep = shrink(Image::of(7, 5, 2, pixels).unwrap(), 2).unwrap();
            let first = match deep.values() {
                Pixels::Words(values) => f32::from(values[0]),
                Pixels::Floats(values) => values[0],
                Pixels::Bytes(_) => unreachable!("the depth stays"),
            };
            assert!((first / white - 13.5 / 255.0).abs() < 1e-5, "{first}");
        }
        for side in [0, 3] {
            assert_eq!(shrink(image.clone(), side).unwrap(), image);
        }
    }

    #[test]
    fn white_stays_white() {
        let white = Image::of(300, 200, 1, Pixels::Words(vec![u16::MAX; 60_000].into())).unwrap();
        let shrunk = shrink(white, 64).unwrap();
        assert_eq!((shrunk.width(), shrunk.height()), (100, 66));
        let Pixels::Words(values) = shrunk.values() else {
            panic!("the depth stays")
        };
        assert!(values.iter().all(|&value| value == u16::MAX));
    }
}
