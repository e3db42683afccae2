//! Images as tiles of the same pixel of 32 items.

use std::ops::Range;

use super::Engine;
use super::rounded::{Items, Line, numbers, numbers_mut, round};

/// One of the two operands: images, channels-last.
#[derive(Clone, Copy)]
pub(super) struct Images<'a> {
    pub(super) batch: usize,
    /// Height and width.
    pub(super) size: [usize; 2],
    pub(super) channels: usize,
    pub(super) values: &'a [f32],
}

impl Images<'_> {
    /// Tiles of a pixel of 32 items.
    pub(super) fn tiles(self) -> usize {
        self.channels.div_ceil(16)
    }
}

/// Which pixels of which items are arranged, and how.
pub(super) struct Arrangement<'a> {
    pub(super) groups: Range<usize>,
    pub(super) rows: &'a [usize],
    pub(super) columns: &'a [usize],
    pub(super) transposed: bool,
}

impl Arrangement<'_> {
    /// Arranges the tiles `[group][row][column][tile]`, by way of rounded rows of 32 items.
    pub(super) fn pack(
        &self,
        engine: Engine,
        images: Images<'_>,
        staged: &mut Vec<Line>,
        tiles: &mut Vec<Line>,
    ) {
        let channels = images.channels;
        let padded = channels.next_multiple_of(32);
        let lines = padded / 32 * self.columns.len();
        // One line more, so that the items of a pixel don't compete for the same place in a cache.
        let pitch = lines + 1;
        if staged.len() < 32 * pitch {
            staged.resize(32 * pitch, Line::ZERO);
        }
        let pixels = self.groups.len() * self.rows.len() * self.columns.len();
        tiles.resize(pixels * images.tiles() * 16, Line::ZERO);
        let mut left = tiles.as_mut_slice();
        let [height, width] = images.size;
        let whole = padded == channels && self.columns.len() == width;
        for group in self.groups.clone() {
            for row in self.rows {
                for (i, staged) in staged.chunks_exact_mut(pitch).take(32).enumerate() {
                    let staged = &mut numbers_mut(staged)[..lines * 32];
                    let item = 32 * group + i;
                    if item >= images.batch {
                        staged.fill(0);
                        continue;
                    }
                    let start = (item * height + row) * width * channels;
                    if whole {
                        round(engine, &images.values[start..][..width * channels], staged);
                        continue;
                    }
                    for (column, staged) in self.columns.iter().zip(staged.chunks_exact_mut(padded))
                    {
                        let values = &images.values[start + column * channels..][..channels];
                        let (to, rest) = staged.split_at_mut(channels);
                        round(engine, values, to);
                        rest.fill(0);
                    }
                }
                let items = Items {
                    numbers: &numbers(staged)[..32 * pitch * 32],
                    pitch: pitch * 32,
                };
                for column in 0..self.columns.len() {
                    for channel in (0..channels).step_by(32) {
                        let count = if channels - channel > 16 { 32 } else { 16 };
                        let (to, rest) = std::mem::take(&mut left).split_at_mut(count);
                        left = rest;
                        items.tiles(engine, column * padded + channel, self.transposed, to);
                    }
                }
            }
        }
    }
}
