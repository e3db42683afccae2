//! Sliding windows over channels-last images, walked block by block.
//!
//! A convolution, the gradient of its input and the gradient of its weight all visit the same
//! thing: for each pixel of a destination, a window of a source. [`Windows`] describes it;
//! [`Walk`] goes through it in blocks of whole destination rows that fit the cache. Where no
//! window leaves its image the source is read in place; otherwise the rows of the block are first
//! copied into a buffer with their padding, which is `kernel height / stride` times less copying
//! than im2col in each direction. Where the source is to be rounded to bf16 it is always copied,
//! and rounded on the way.

use std::ops::Range;

use crate::bfloat::Rounded;
use crate::tile::{Gather, Segment};

/// Destination pixels per block: enough to hide the start and end of a tile's loop.
const BLOCK_PIXELS: usize = 768;
/// Floats of source per block, so that the block stays in the second-level cache.
const BLOCK_FLOATS: usize = 128 * 1024;

/// The geometry of a window walk; the pairs are (height, width).
#[derive(Clone, Debug)]
pub(crate) struct Windows {
    /// Size of each image of the source.
    pub(crate) source: [usize; 2],
    /// Floats per source pixel.
    pub(crate) channels: usize,
    /// How many of them, from the first on, a window reads: all, or those of one group.
    pub(crate) group_channels: usize,
    /// Number of windows.
    pub(crate) pixels: [usize; 2],
    /// Taps of each window; none at all where a destination gets zeros.
    pub(crate) taps: [usize; 2],
    /// Distance between windows.
    pub(crate) stride: [usize; 2],
    /// Distance between taps.
    pub(crate) dilation: [usize; 2],
    /// How far the first window begins before the image, negative if inside.
    pub(crate) padding: [isize; 2],
    /// Size of each image of the destination.
    pub(crate) dest: [usize; 2],
    /// Where in the destination the first window's result goes.
    pub(crate) dest_start: [usize; 2],
    /// Distance in the destination between the results of neighboring windows.
    pub(crate) dest_step: [usize; 2],
}

impl Windows {
    /// The first and last source coordinate, before clipping, that windows `range` read.
    fn reach(&self, axis: usize, range: &Range<usize>) -> Range<isize> {
        let first = (range.start * self.stride[axis]) as isize - self.padding[axis];
        let last = ((range.end - 1) * self.stride[axis]
            + (self.taps[axis] - 1) * self.dilation[axis]) as isize
            - self.padding[axis];
        first..last + 1
    }

    fn empty(&self) -> bool {
        self.taps.contains(&0) || self.pixels.contains(&0)
    }

    /// Whether every window lies inside its image, so that the source can be read in place.
    fn inside(&self) -> bool {
        self.empty()
            || [0, 1].iter().all(|&axis| {
                let reach = self.reach(axis, &(0..self.pixels[axis]));
                reach.start >= 0 && reach.end <= self.source[axis] as isize
            })
    }

    /// Rows of windows per block. It depends on the shapes alone, so that results don't depend on
    /// how the blocks are shared out.
    pub(crate) fn block_rows(&self) -> usize {
        self.rows_within(BLOCK_FLOATS)
    }

    /// The blocks of so many rows of some images.
    pub(crate) fn blocks(
        &self,
        images: Range<usize>,
        rows: usize,
    ) -> impl Iterator<Item = Range<usize>> {
        let (first, end) = (images.start * self.pixels[0], images.end * self.pixels[0]);
        let starts = (first..end).step_by(rows);
        starts.map(move |first| first..(first + rows).min(end))
    }

    /// The same where the source is rounded, which takes half the room, and where windows are
    /// worked on 32 at a time.
    pub(crate) fn rounded_block_rows(&self) -> usize {
        let rows = self.rows_within(2 * BLOCK_FLOATS);
        let whole = 32 >> self.pixels[1].trailing_zeros().min(5);
        if rows > whole {
            rows / whole * whole
        } else {
            rows
        }
    }

    /// Rows of about so many windows, whole images where that is more than one.
    pub(crate) fn rows_of(&self, windows: usize) -> usize {
        let rows = (windows / self.pixels[1].max(1)).max(1);
        let height = self.pixels[0].max(1);
        if rows > height {
            rows / height * height
        } else {
            rows
        }
    }

    fn rows_within(&self, floats: usize) -> usize {
        if self.empty() {
            return 1;
        }
        let row_floats = self.stride[0] * self.source[1] * self.channels;
        (BLOCK_PIXELS.div_ceil(self.pixels[1])).min((floats / row_floats.max(1)).max(1))
    }

    /// Lengths of the contiguous runs of a window.
    pub(crate) fn segments(&self) -> Vec<usize> {
        if self.dilation[1] == 1 && self.group_channels == self.channels {
            vec![self.taps[1] * self.channels; self.taps[0]]
        } else {
            vec![self.group_channels; self.taps[0] * self.taps[1]]
        }
    }

    /// Floats in a window.
    pub(crate) fn depth(&self) -> usize {
        self.taps[0] * self.taps[1] * self.group_channels
    }
}

/// What the rows of a block are copied into.
pub(crate) trait Rows {
    fn clear(&mut self);
    fn length(&self) -> usize;
    fn append_zeros(&mut self, count: usize);
    fn append(&mut self, values: &[f32]);
}

impl Rows for Vec<f32> {
    fn clear(&mut self) {
        self.clear();
    }

    fn length(&self) -> usize {
        self.len()
    }

    fn append_zeros(&mut self, count: usize) {
        self.resize(self.len() + count, 0.0);
    }

    fn append(&mut self, values: &[f32]) {
        self.extend_from_slice(values);
    }
}

/// A walk through the windows, with the buffers that it reuses from block to block.
pub(crate) struct Walk<'a, R = Vec<f32>> {
    windows: &'a Windows,
    in_place: bool,
    source: &'a [f32],
    rows: R,
    offsets: Vec<usize>,
    dest_offsets: Vec<usize>,
    segments: Vec<Segment>,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(windows: &'a Windows, source: &'a [f32]) -> Self {
        Self::with(windows, source, windows.inside(), Vec::new())
    }

    /// The windows of rows `block`, counted through all images, and for each window the index of
    /// its destination pixel, counted likewise.
    pub(crate) fn block(&mut self, block: Range<usize>) -> (Gather<'_>, &[usize]) {
        self.enter(block);
        let source = if self.in_place {
            self.source
        } else {
            &self.rows
        };
        let gather = Gather {
            source,
            offsets: &self.offsets,
            segments: &self.segments,
        };
        (gather, &self.dest_offsets)
    }
}

impl<'a> Walk<'a, Rounded> {
    /// A walk whose blocks are rounded into `rows`.
    pub(crate) fn rounded(windows: &'a Windows, source: &'a [f32], rows: Rounded) -> Self {
        Self::with(windows, source, false, rows)
    }

    /// As [`Walk::block`] of an `f32` walk, with a line of zeros behind the last window.
    pub(crate) fn rounded_block(&mut self, block: Range<usize>) -> (Gather<'_, u16>, &[usize]) {
        self.enter(block);
        self.rows.append_zeros(Rounded::LINE);
        let gather = Gather {
            source: self.rows.elements(),
            offsets: &self.offsets,
            segments: &self.segments,
        };
        (gather, &self.dest_offsets)
    }
}

impl<'a, R: Rows> Walk<'a, R> {
    fn with(windows: &'a Windows, source: &'a [f32], in_place: bool, rows: R) -> Self {
        Self {
            windows,
            in_place,
            source,
            rows,
            offsets: Vec::new(),
            dest_offsets: Vec::new(),
            segments: Vec::new(),
        }
    }

    /// Lists the windows of the rows `block` and copies what they read, unless it is in place.
    fn enter(&mut self, block: Range<usize>) {
        self.offsets.clear();
        self.dest_offsets.clear();
        self.segments.clear();
        self.rows.clear();
        let windows = self.windows;
        let height = windows.pixels[0];
        let mut row = block.start;
        while row < block.end {
            let image = row / height;
            let rows = row % height..(block.end - image * height).min(height);
            row = image * height + rows.end;
            self.image(image, rows);
        }
        let pitch = self.pitch();
        for i in 0..windows.taps[0] {
            let offset = i * windows.dilation[0] * pitch;
            if windows.dilation[1] == 1 && windows.group_channels == windows.channels {
                let length = windows.taps[1] * windows.channels;
                self.segments.push(Segment { offset, length });
                continue;
            }
            for j in 0..windows.taps[1] {
                let offset = offset + j * windows.dilation[1] * windows.channels;
                self.segments.push(Segment {
                    offset,
                    length: windows.group_channels,
                });
            }
        }
    }

    /// Floats between the same column of two rows of what the windows read.
    fn pitch(&self) -> usize {
        if self.windows.empty() {
            return 0;
        }
        let width = if self.in_place {
            self.windows.source[1]
        } else {
            self.windows.reach(1, &(0..self.windows.pixels[1])).len()
        };
        width * self.windows.channels
    }

    /// Enters windows of one image.
    fn image(&mut self, image: usize, rows: Range<usize>) {
        let windows = self.windows;
        let pitch = self.pitch();
        let start = if windows.empty() {
            0
        } else if self.in_place {
            let top = self.reach_start(0, rows.start) as usize;
            let left = self.reach_start(1, 0) as usize;
            (image * windows.source[0] + top) * pitch + left * windows.channels
        } else {
            let start = self.rows.length();
            self.copy_rows(image, windows.reach(0, &rows));
            start
        };
        for (i, row) in rows.enumerate() {
            let dest_row =
                image * windows.dest[0] + windows.dest_start[0] + row * windows.dest_step[0];
            let dest = dest_row * windows.dest[1] + windows.dest_start[1];
            let offset = start + i * windows.stride[0] * pitch;
            let step = if windows.empty() {
                0
            } else {
                windows.stride[1] * windows.channels
            };
            for column in 0..windows.pixels[1] {
                self.offsets.push(offset + column * step);
                self.dest_offsets.push(dest + column * windows.dest_step[1]);
            }
        }
    }

    fn reach_start(&self, axis: usize, first: usize) -> isize {
        self.windows.reach(axis, &(first..first + 1)).start
    }

    /// Appends source rows to the buffer, with zeros where the windows leave the image.
    fn copy_rows(&mut self, image: usize, rows: Range<isize>) {
        let windows = self.windows;
        let [height, width] = windows.source;
        let columns = windows.reach(1, &(0..windows.pixels[1]));
        let left = (-columns.start).clamp(0, columns.len() as isize) as usize;
        let from = columns.start.max(0);
        let to = columns.end.min(width as isize).max(from);
        let right = columns.len() - left - (to - from) as usize;
        let channels = windows.channels;
        for row in rows {
            if row < 0 || row >= height as isize {
                self.rows.append_zeros(columns.len() * channels);
                continue;
            }
            let start = (image * height + row as usize) * width;
            let pixels = start + from as usize..start + to as usize;
            self.rows.append_zeros(left * channels);
            self.rows
                .append(&self.source[pixels.start * channels..pixels.end * channels]);
            self.rows.append_zeros(right * channels);
        }
    }
}
