//! What an attention's tensors hold where.

use std::ops::Range;

use crate::matrix::Rows;

/// Scores that are worked on at once, so that they stay in the second-level cache.
const BLOCK_FLOATS: usize = 64 * 1024;

/// The sizes of an attention.
#[derive(Clone, Copy)]
pub(super) struct Sizes {
    pub(super) heads: usize,
    pub(super) pairs: usize,
    pub(super) queries: usize,
    pub(super) keys: usize,
    pub(super) dim: usize,
    pub(super) value_dim: usize,
}

impl Sizes {
    /// Blocks of queries whose scores fit the cache.
    pub(super) fn blocks(self) -> impl Iterator<Item = Range<usize>> {
        let rows = (BLOCK_FLOATS / self.keys.max(1)).max(16);
        (0..self.queries)
            .step_by(rows)
            .map(move |start| start..(start + rows).min(self.queries))
    }

    pub(super) fn scores(self) -> Vec<f32> {
        vec![0.0; self.blocks().next().map_or(0, |block| block.len()) * self.keys]
    }
}

/// Where a tensor holds the rows of its heads: those of a head lie `pitch` floats apart, and the
/// first is at `start + image · image_stride + head · head_stride`.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) heads: usize,
    pub(super) start: usize,
    pub(super) image_stride: usize,
    pub(super) head_stride: usize,
    pub(super) pitch: usize,
}

impl Place {
    /// In `[batch, heads, rows, dim]`.
    pub(super) fn separate(heads: usize, rows: usize, dim: usize) -> Self {
        Self {
            heads,
            start: 0,
            image_stride: heads * rows * dim,
            head_stride: rows * dim,
            pitch: dim,
        }
    }

    /// In the `index`-th of the parts of `[batch, rows, parts · heads · dim]`.
    pub(super) fn packed(
        heads: usize,
        rows: usize,
        dim: usize,
        [parts, index]: [usize; 2],
    ) -> Self {
        let pitch = parts * heads * dim;
        Self {
            heads,
            start: index * heads * dim,
            image_stride: rows * pitch,
            head_stride: dim,
            pitch,
        }
    }

    /// The first float of a row of an image's head.
    pub(super) fn at(self, pair: usize, row: usize) -> usize {
        let (image, head) = (pair / self.heads, pair % self.heads);
        self.start + image * self.image_stride + head * self.head_stride + row * self.pitch
    }

    /// Rows of an image's head.
    pub(super) fn rows(self, values: &[f32], pair: usize, rows: Range<usize>) -> Rows<'_> {
        Rows {
            values: values.get(self.at(pair, rows.start)..).unwrap_or(&[]),
            pitch: self.pitch,
            count: rows.len(),
        }
    }
}

/// The places of the queries, keys and values, and of the output.
pub(super) struct Places {
    pub(super) sizes: Sizes,
    pub(super) inputs: [Place; 3],
    pub(super) output: Place,
}
