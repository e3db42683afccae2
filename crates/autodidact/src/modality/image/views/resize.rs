//! Antialiased bilinear resize of a region, straight from the values of an image.
//!
//! The filter is the triangle of Pillow and torchvision (`antialias=True`): its half-width is one pixel of the
//! source when enlarging, and one pixel of the result when shrinking, so that no source pixel is skipped.
//! A few rows of the result are made whole before the next: first the source rows are blended (in vectors along
//! the row), then the pixels inside those rows, which are still in the cache.

use std::ops::Range;

use super::crop::Region;
use super::planes::{Planes, vectorized};
use crate::modality::image::{Image, Pixels};

/// Rows that are brought to their final width together.
const ROWS: usize = 4;

/// Buffers kept between calls.
#[derive(Debug, Default)]
pub(super) struct ResizeBuffers {
    down: Taps,
    across: Taps,
    /// The source rows under the filter as floats, `[taps][row]`; source row y is at y modulo taps.
    rows: Vec<f32>,
    /// Rows of the result before they have their final width, `[ROWS][row]`.
    blended: Vec<f32>,
    /// Those rows at their final width, `[ROWS][width][4]`, where pixels have three values.
    quads: Vec<f32>,
}

/// How the result is turned over while it is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Flips {
    /// Left and right are exchanged.
    pub(super) horizontal: bool,
    /// Top and bottom are exchanged.
    pub(super) vertical: bool,
}

/// Planes of an image of `stored` channels for a view of `wanted`: all of them where as many are wanted, otherwise the
/// first three, or the first where there are fewer.
fn kept(stored: usize, wanted: usize) -> usize {
    match stored {
        _ if stored == wanted => stored,
        3.. => 3,
        _ => 1,
    }
}

/// Scales `region` of `image` to width × height, into as many planes of `out` as are [`kept`] for a view of `wanted`
/// channels.
pub(super) fn crop_resize(
    image: &Image,
    region: Region,
    (width, height): (usize, usize),
    wanted: usize,
    flips: Flips,
    buffers: &mut ResizeBuffers,
    out: &mut Planes,
) {
    let channels = kept(image.channels(), wanted);
    out.reshape(width, height, channels);
    // Black to white becomes 0..1 on the way down, at no cost.
    let white = f64::from(image.values().white());
    buffers.down.fill(region.height, height, 1.0 / white);
    buffers.across.fill(region.width, width, 1.0);
    // One value more than the row, because pixels of three values are read four at a time.
    let row = region.width * channels + 1;
    buffers.rows.resize(buffers.down.taps * row, 0.0);
    buffers.blended.resize(ROWS * row, 0.0);
    buffers.quads.resize(ROWS * width * 4, 0.0);

    let mut read = 0;
    for y in 0..height {
        let (start, weights) = buffers.down.at(y);
        for source in read.max(start)..start + weights.len() {
            let slot = (source % weights.len()) * row;
            let range = region.row(image, source);
            let floats = &mut buffers.rows[slot..slot + row];
            match image.values() {
                Pixels::Bytes(bytes) => vectorized(
                    #[inline(always)]
                    || to_floats(&bytes[range.clone()], image.channels(), channels, floats),
                ),
                Pixels::Words(words) => vectorized(
                    #[inline(always)]
                    || to_floats(&words[range.clone()], image.channels(), channels, floats),
                ),
                Pixels::Floats(values) => vectorized(
                    #[inline(always)]
                    || to_floats(&values[range.clone()], image.channels(), channels, floats),
                ),
            }
        }
        read = start + weights.len();

        let rows = &buffers.rows;
        let blended = &mut buffers.blended[y % ROWS * row..][..row];
        vectorized(
            #[inline(always)]
            || blend_rows(rows, row, start, weights, blended),
        );
        if y % ROWS == ROWS - 1 || y == height - 1 {
            finish_rows(y - y % ROWS..y + 1, row, flips, buffers, out);
        }
    }
}

/// Makes the rows `finished` of the result out of the blended rows.
fn finish_rows(
    finished: Range<usize>,
    row: usize,
    flips: Flips,
    buffers: &mut ResizeBuffers,
    out: &mut Planes,
) {
    let (width, height) = (out.width, out.height);
    let ResizeBuffers {
        across,
        blended,
        quads,
        ..
    } = buffers;
    if out.channels == 3 {
        vectorized(
            #[inline(always)]
            || blend_color_pixels(blended, row, across, quads),
        );
    }
    for (r, y) in finished.enumerate() {
        let y = if flips.vertical { height - 1 - y } else { y };
        let at = y * width;
        if let Some([red, green, blue]) = out.rgb_mut() {
            let mut planes = [red, green, blue].map(|plane| &mut plane[at..at + width]);
            let quads = &quads[r * width * 4..][..width * 4];
            vectorized(
                #[inline(always)]
                || split_quads(quads, &mut planes),
            );
            if flips.horizontal {
                planes.into_iter().for_each(<[f32]>::reverse);
            }
        } else {
            let channels = out.channels;
            for channel in 0..channels {
                let plane = &mut out.values[channel * width * height + at..][..width];
                let blended = &blended[r * row + channel..(r + 1) * row];
                if channels == 1 {
                    vectorized(
                        #[inline(always)]
                        || blend_grey_pixels(blended, across, plane),
                    );
                } else {
                    blend_one_channel(blended, channels, across, plane);
                }
                if flips.horizontal {
                    plane.reverse();
                }
            }
        }
    }
}

/// For each pixel along one edge of the result: where its source pixels start, and their weights.
#[derive(Debug, Default)]
struct Taps {
    /// Source pixels under the filter, the same number for every pixel of the result.
    taps: usize,
    starts: Vec<usize>,
    /// `[result][taps]`; what reaches outside the source or the filter is 0.
    weights: Vec<f32>,
}

impl Taps {
    /// The filter from an edge of `from` pixels to one of `to`, whose weights add up to `total`.
    fn fill(&mut self, from: usize, to: usize, total: f64) {
        let scale = from as f64 / to as f64;
        let support = scale.max(1.0);
        self.taps = ((2.0 * support).ceil() as usize).min(from);
        self.starts.clear();
        self.weights.clear();
        self.weights.resize(to * self.taps, 0.0);
        for (i, weights) in self.weights.chunks_exact_mut(self.taps).enumerate() {
            let center = scale * (i as f64 + 0.5);
            let first = (center - support + 0.5).max(0.0) as usize;
            // Moved left at the right edge, so that all taps lie inside the source.
            let start = first.min(from - self.taps);
            let mut sum = 0.0;
            for k in 0..self.taps {
                sum += triangle((start + k) as f64, center, support);
            }
            for (k, weight) in weights.iter_mut().enumerate() {
                *weight = (triangle((start + k) as f64, center, support) / sum * total) as f32;
            }
            self.starts.push(start);
        }
    }

    #[inline(always)]
    fn at(&self, i: usize) -> (usize, &[f32]) {
        (
            self.starts[i],
            &self.weights[i * self.taps..(i + 1) * self.taps],
        )
    }

    #[inline(always)]
    fn each(&self) -> impl Iterator<Item = (usize, &[f32])> {
        self.starts
            .iter()
            .copied()
            .zip(self.weights.chunks_exact(self.taps))
    }
}

/// The triangle filter's height at the middle of source pixel `pixel`.
fn triangle(pixel: f64, center: f64, support: f64) -> f64 {
    (1.0 - ((pixel + 0.5 - center) / support).abs()).max(0.0)
}

#[inline(always)]
fn to_floats<T: Copy + Into<f32>>(values: &[T], stored: usize, kept: usize, floats: &mut [f32]) {
    if stored == kept {
        for (float, &value) in floats.iter_mut().zip(values) {
            *float = value.into();
        }
    } else {
        for (floats, values) in floats
            .chunks_exact_mut(kept)
            .zip(values.chunks_exact(stored))
        {
            for (float, &value) in floats.iter_mut().zip(values) {
                *float = value.into();
            }
        }
    }
}

/// Blends the rows from `start` on, two at a time, so that the sum is loaded and stored half as often.
#[inline(always)]
fn blend_rows(rows: &[f32], row: usize, start: usize, weights: &[f32], blended: &mut [f32]) {
    let source = |k: usize| {
        let slot = ((start + k) % weights.len()) * row;
        &rows[slot..slot + row]
    };
    let mut k = weights.len() % 2;
    if k == 1 {
        for (sum, &value) in blended.iter_mut().zip(source(0)) {
            *sum = weights[0] * value;
        }
    } else {
        k = 2;
        let (w0, w1) = (weights[0], weights[1]);
        for ((sum, &a), &b) in blended.iter_mut().zip(source(0)).zip(source(1)) {
            *sum = w0 * a + w1 * b;
        }
    }
    while k < weights.len() {
        let (w0, w1) = (weights[k], weights[k + 1]);
        for ((sum, &a), &b) in blended.iter_mut().zip(source(k)).zip(source(k + 1)) {
            *sum += w0 * a + w1 * b;
        }
        k += 2;
    }
}

/// Blends interleaved pixels of three values into `quads`, four values each: that is one vector register on every
/// processor. The fourth value is the next pixel's and means nothing. Rows are taken `ROWS` at a time, which have
/// their weights in common and whose sums don't wait for each other.
#[inline(always)]
fn blend_color_pixels(blended: &[f32], row: usize, across: &Taps, quads: &mut [f32]) {
    let rows: [&[f32]; ROWS] = std::array::from_fn(|r| &blended[r * row..(r + 1) * row]);
    let stride = quads.len() / ROWS;
    for (x, (start, weights)) in across.each().enumerate() {
        let range = start * 3..(start + weights.len()) * 3 + 1;
        let rows = rows.map(|row| &row[range.clone()]);
        let mut sums = [[0.0; 4]; ROWS];
        for (k, &weight) in weights.iter().enumerate() {
            for (sum, row) in sums.iter_mut().zip(rows) {
                if let Some(pixel) = row[k * 3..].first_chunk::<4>() {
                    *sum = std::array::from_fn(|lane| sum[lane] + weight * pixel[lane]);
                }
            }
        }
        for (r, sum) in sums.iter().enumerate() {
            quads[r * stride + x * 4..][..4].copy_from_slice(sum);
        }
    }
}

#[inline(always)]
fn split_quads(quads: &[f32], [r, g, b]: &mut [&mut [f32]; 3]) {
    let out = r.iter_mut().zip(g.iter_mut()).zip(b.iter_mut());
    for (quad, ((r, g), b)) in quads.chunks_exact(4).zip(out) {
        [*r, *g, *b] = [quad[0], quad[1], quad[2]];
    }
}

#[inline(always)]
fn blend_grey_pixels(blended: &[f32], across: &Taps, plane: &mut [f32]) {
    for ((start, weights), out) in across.each().zip(plane) {
        let source = &blended[start..start + weights.len()];
        *out = source
            .iter()
            .zip(weights)
            .map(|(value, weight)| value * weight)
            .sum();
    }
}

/// Blends the first of every `channels` values. For images that are neither grey nor color, which are few: it takes no
/// vectors.
fn blend_one_channel(blended: &[f32], channels: usize, across: &Taps, plane: &mut [f32]) {
    for ((start, weights), out) in across.each().zip(plane) {
        let source = blended[start * channels..].iter().step_by(channels);
        *out = source
            .zip(weights)
            .map(|(value, weight)| value * weight)
            .sum();
    }
}
