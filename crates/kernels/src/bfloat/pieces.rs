//! How the pixels of a correlation are cut, for the cache and for the threads.
//!
//! Groups of 32 items are cut into ranges of rows. Where single rows are still too much, or fewer than the
//! threads, their columns are cut as well: a sequence is an image of one row.

use std::ops::Range;

use super::arrange::Images;
use crate::window::Windows;

/// Bytes of tiles that a part works on at a time.
const TILES: usize = 1 << 20;
/// Columns of a cut row at least: fewer wouldn't be worth the sums of another thread.
const COLUMNS: usize = 16;

/// Rows and columns of all groups of items, each in one piece.
pub(super) struct Pieces {
    groups: usize,
    /// Rows in a piece, of `height` in all.
    rows: usize,
    height: usize,
    /// All columns, in the order in which they are cut.
    order: Vec<usize>,
    /// Columns in a piece.
    columns: usize,
    /// Groups that are worked on together, where a piece has all rows and columns.
    together: usize,
}

/// Some rows and columns of some groups.
pub(super) struct Piece {
    pub(super) groups: Range<usize>,
    pub(super) rows: Range<usize>,
    /// Rising.
    pub(super) columns: Vec<usize>,
}

impl Pieces {
    /// Cuts what the windows of `source` and `gradient` are summed over, for so many threads, into
    /// sums that take so many bytes.
    pub(super) fn new(
        windows: &Windows,
        [source, gradient]: [Images<'_>; 2],
        sums: usize,
        threads: usize,
    ) -> Self {
        let groups = source.batch.div_ceil(32);
        let of_row = |images: Images<'_>| images.size[1] * images.tiles() * 1024;
        let of_images = |images: Images<'_>| images.size[0] * of_row(images);
        let group = (of_images(source) + of_images(gradient)).max(1);
        // Large sums are worth larger blocks, since each block goes through all of them.
        let budget = TILES + sums / 2;
        let [height, width] = windows.pixels;
        let cuts = group.div_ceil(budget);
        let cuts = cuts.max(threads.div_ceil(groups.max(1)));
        let rows = height.div_ceil(cuts).max(1);
        let columns = if rows > 1 {
            width
        } else {
            // A row of windows sees as many rows of the source as it has taps.
            let seen = windows.taps[0].min(source.size[0]);
            let row = seen * of_row(source) + of_row(gradient);
            // As many for one thread as for another.
            let share = threads.div_ceil((groups * height).max(1)).max(1);
            let cuts = row.div_ceil(budget).max(1).next_multiple_of(share);
            width.div_ceil(cuts).max(COLUMNS).min(width)
        };
        Self {
            groups,
            rows,
            height,
            order: order(windows),
            columns: columns.max(1),
            together: (budget / group).max(1),
        }
    }

    /// Cuts of the rows and of the columns of a group.
    fn of_group(&self) -> [usize; 2] {
        [
            self.height.div_ceil(self.rows),
            self.order.len().div_ceil(self.columns),
        ]
    }

    pub(super) fn count(&self) -> usize {
        self.groups * self.of_group().iter().product::<usize>()
    }

    /// The piece of this number, joined with those after it, up to `end`, that are worked on
    /// together with it; and the number of the one after them.
    pub(super) fn take(&self, number: usize, end: usize) -> (Piece, usize) {
        let [down, across] = self.of_group();
        let together = if down * across == 1 {
            self.together.min(end - number)
        } else {
            1
        };
        let (group, place) = (number / (down * across), number % (down * across));
        let (row, column) = (place / across * self.rows, place % across * self.columns);
        let last = (column + self.columns).min(self.order.len());
        let mut columns = self.order[column..last].to_vec();
        columns.sort_unstable();
        let piece = Piece {
            groups: group..group + together,
            rows: row..(row + self.rows).min(self.height),
            columns,
        };
        (piece, number + together)
    }
}

/// The columns in an order of which any stretch sees few pixels besides its own: windows that lie a
/// dilation apart see the same ones, so they come one after another.
fn order(windows: &Windows) -> Vec<usize> {
    let width = windows.pixels[1];
    let apart = if windows.stride[1] == 1 {
        windows.dilation[1].max(1)
    } else {
        1
    };
    (0..apart.min(width))
        .flat_map(|first| (first..width).step_by(apart))
        .collect()
}

/// The source coordinate that a tap of a window meets along an axis, if it is inside the image.
pub(super) fn meeting(windows: &Windows, axis: usize, window: usize, tap: usize) -> Option<usize> {
    let at = (window * windows.stride[axis] + tap * windows.dilation[axis]) as isize
        - windows.padding[axis];
    usize::try_from(at)
        .ok()
        .filter(|at| *at < windows.source[axis])
}

/// The source coordinates that any of some windows meets along an axis, rising.
pub(super) fn met(
    windows: &Windows,
    axis: usize,
    among: impl Iterator<Item = usize>,
) -> Vec<usize> {
    let mut met: Vec<usize> = among
        .flat_map(|window| {
            (0..windows.taps[axis]).filter_map(move |tap| meeting(windows, axis, window, tap))
        })
        .collect();
    met.sort_unstable();
    met.dedup();
    met
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The windows of a kernel that keeps the size at stride 1.
    fn windows(
        [source, taps]: [[usize; 2]; 2],
        stride: usize,
        dilation: usize,
        channels: usize,
    ) -> Windows {
        let padding = taps.map(|taps| taps / 2 * dilation);
        let pixels = [0, 1].map(|axis| {
            let reach = dilation * (taps[axis] - 1) + 1;
            (source[axis] + 2 * padding[axis] - reach) / stride + 1
        });
        Windows {
            source,
            channels,
            group_channels: channels,
            pixels,
            taps,
            stride: [stride; 2],
            dilation: [dilation; 2],
            padding: padding.map(|padding| padding as isize),
            dest: pixels,
            dest_start: [0, 0],
            dest_step: [1, 1],
        }
    }

    /// Bytes of the tiles of each piece; every pixel of every group must be in one of them.
    fn bytes(windows: &Windows, batch: usize, out: usize, threads: usize) -> Vec<usize> {
        let images = |size, channels| Images {
            batch,
            size,
            channels,
            values: &[],
        };
        let source = images(windows.source, windows.channels);
        let gradient = images(windows.pixels, out);
        let pieces = Pieces::new(windows, [source, gradient], 0, threads);
        let [height, width] = windows.pixels;
        let mut seen = vec![0; batch.div_ceil(32) * height * width];
        let mut bytes = Vec::new();
        let mut next = 0;
        while next < pieces.count() {
            let (piece, after) = pieces.take(next, pieces.count());
            assert!(piece.columns.is_sorted() && after > next);
            for group in piece.groups.clone() {
                for row in piece.rows.clone() {
                    for column in &piece.columns {
                        seen[(group * height + row) * width + column] += 1;
                    }
                }
            }
            let rows = met(windows, 0, piece.rows.clone()).len();
            let columns = met(windows, 1, piece.columns.iter().copied()).len();
            let of_source = rows * columns * source.tiles();
            let of_gradient = piece.rows.len() * piece.columns.len() * gradient.tiles();
            bytes.push(piece.groups.len() * (of_source + of_gradient) * 1024);
            next = after;
        }
        assert!(seen.iter().all(|times| *times == 1));
        bytes
    }

    #[test]
    fn long_sequences_are_cut_for_all_threads_into_pieces_that_fit_the_cache() {
        for (batch, length, channels, out, taps, stride, dilation) in [
            (8, 20_000, 64, 64, 3, 1, 1),
            (8, 20_000, 64, 64, 3, 1, 512),
            (3, 3000, 320, 320, 3, 1, 1024),
            (2, 600, 320, 320, 3, 1, 512),
            (40, 4000, 1, 256, 10, 5, 1),
        ] {
            let windows = windows([[1, length], [1, taps]], stride, dilation, channels);
            for threads in [1, 2, 3, 16] {
                let bytes = bytes(&windows, batch, out, threads);
                let name = format!("{batch} of {length} by {dilation}, {threads} threads");
                assert!(bytes.len() >= threads, "{name}: {} pieces", bytes.len());
                let most = bytes.iter().max().unwrap();
                assert!(*most < 2 * TILES, "{name}: {most} bytes");
            }
        }
        // A short sequence is shared by two threads, but not by sixteen.
        let windows = windows([[1, 64], [1, 3]], 1, 1, 16);
        assert_eq!(bytes(&windows, 8, 16, 2).len(), 2);
        assert_eq!(bytes(&windows, 8, 16, 16).len(), 4);
    }

    #[test]
    fn small_images_stay_whole_and_large_ones_are_cut_by_rows() {
        let small = windows([[4, 4], [3, 3]], 1, 1, 64);
        assert_eq!(bytes(&small, 8, 64, 1).len(), 1);
        assert_eq!(bytes(&small, 8, 64, 2).len(), 2);
        // Half a megabyte a row: by rows, of which each is whole.
        let large = windows([[64, 64], [3, 3]], 1, 1, 64);
        assert_eq!(bytes(&large, 32, 64, 1).len(), 32);
    }
}
