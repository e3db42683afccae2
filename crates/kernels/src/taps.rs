//! Which pixels meet under a sliding kernel, for operations that work channel by channel.
//!
//! Depthwise convolution, pooling and their gradients all do the same: each pixel of a destination
//! gathers some pixels of a source, each through one tap of the kernel. The axes are independent,
//! so a short list for each row and each column says it all, whatever stride, padding and dilation.

use std::ops::Range;

/// How a kernel slides along one axis.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Axis {
    /// Pixels of the input.
    pub(crate) input: usize,
    /// Windows, which are the pixels of the output.
    pub(crate) output: usize,
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    pub(crate) padding: usize,
    pub(crate) dilation: usize,
}

impl Axis {
    /// Every meeting of a window and a pixel of the input, as (window, pixel, tap).
    fn meetings(self) -> impl Iterator<Item = (usize, usize, usize)> {
        (0..self.output).flat_map(move |window| {
            (0..self.kernel).filter_map(move |tap| {
                let padded = window * self.stride + tap * self.dilation;
                let pixel = padded.checked_sub(self.padding)?;
                (pixel < self.input).then_some((window, pixel, tap))
            })
        })
    }

    /// The pixels that each window sees.
    fn of_windows(self) -> Taps {
        let mut lists = vec![Vec::new(); self.output];
        for (window, pixel, tap) in self.meetings() {
            lists[window].push(Tap { source: pixel, tap });
        }
        Taps::new(&lists)
    }

    /// The windows that see each pixel.
    fn of_pixels(self) -> Taps {
        let mut lists = vec![Vec::new(); self.input];
        for (window, pixel, tap) in self.meetings() {
            lists[pixel].push(Tap {
                source: window,
                tap,
            });
        }
        Taps::new(&lists)
    }
}

/// A coordinate of the source, and the tap through which it is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tap {
    pub(crate) source: usize,
    pub(crate) tap: usize,
}

/// For each coordinate of the destination, what it gathers along one axis.
#[derive(Clone, Debug)]
struct Taps {
    starts: Vec<usize>,
    taps: Vec<Tap>,
}

impl Taps {
    fn new(lists: &[Vec<Tap>]) -> Self {
        let mut starts = vec![0];
        starts.extend(lists.iter().scan(0, |end, list| {
            *end += list.len();
            Some(*end)
        }));
        Self {
            starts,
            taps: lists.concat(),
        }
    }

    fn at(&self, index: usize) -> &[Tap] {
        &self.taps[self.starts[index]..self.starts[index + 1]]
    }
}

/// What each pixel of a destination gathers; the pairs are (height, width).
#[derive(Clone, Debug)]
pub(crate) struct Grid {
    pub(crate) source: [usize; 2],
    pub(crate) dest: [usize; 2],
    kernel_width: usize,
    rows: Taps,
    columns: Taps,
}

impl Grid {
    /// Every window gathers the pixels that it sees.
    pub(crate) fn of_windows([height, width]: [Axis; 2]) -> Self {
        Self {
            source: [height.input, width.input],
            dest: [height.output, width.output],
            kernel_width: width.kernel,
            rows: height.of_windows(),
            columns: width.of_windows(),
        }
    }

    /// Every pixel gathers the windows that see it.
    pub(crate) fn of_pixels([height, width]: [Axis; 2]) -> Self {
        Self {
            source: [height.output, width.output],
            dest: [height.input, width.input],
            kernel_width: width.kernel,
            rows: height.of_pixels(),
            columns: width.of_pixels(),
        }
    }

    /// The destination rows of a range, counted through all images.
    pub(crate) fn rows(&self, rows: Range<usize>) -> impl Iterator<Item = Row<'_>> {
        rows.map(move |row| {
            let (image, index) = (row / self.dest[0], row % self.dest[0]);
            Row {
                grid: self,
                image,
                index,
                taps: self.rows.at(index),
            }
        })
    }

    /// The number of source pixels that each destination pixel of an image gathers.
    pub(crate) fn counts(&self) -> Vec<usize> {
        let count = |taps: &Taps, index| taps.at(index).len();
        let rows = (0..self.dest[0]).map(|row| count(&self.rows, row));
        rows.flat_map(|rows| (0..self.dest[1]).map(move |i| rows * count(&self.columns, i)))
            .collect()
    }
}

/// One row of a destination.
#[derive(Clone, Copy)]
pub(crate) struct Row<'a> {
    grid: &'a Grid,
    pub(crate) image: usize,
    /// Which row of its image.
    pub(crate) index: usize,
    taps: &'a [Tap],
}

impl Row<'_> {
    /// Calls `work` with each source pixel, counted through all images, that the pixel of this
    /// column gathers, and with its tap, counted row by row.
    #[inline(always)]
    pub(crate) fn gather(&self, column: usize, mut work: impl FnMut(usize, usize)) {
        let grid = self.grid;
        let columns = grid.columns.at(column);
        for row in self.taps {
            let first = (self.image * grid.source[0] + row.source) * grid.source[1];
            for column in columns {
                work(
                    first + column.source,
                    row.tap * grid.kernel_width + column.tap,
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_and_pixels_meet_where_they_should() {
        let axis = Axis {
            input: 5,
            output: 3,
            kernel: 3,
            stride: 2,
            padding: 1,
            dilation: 1,
        };
        let of = |taps: &Taps, index: usize| -> Vec<(usize, usize)> {
            let taps = taps.at(index).iter();
            taps.map(|tap| (tap.source, tap.tap)).collect()
        };
        let windows = axis.of_windows();
        assert_eq!(of(&windows, 0), [(0, 1), (1, 2)]);
        assert_eq!(of(&windows, 1), [(1, 0), (2, 1), (3, 2)]);
        assert_eq!(of(&windows, 2), [(3, 0), (4, 1)]);
        let pixels = axis.of_pixels();
        assert_eq!(of(&pixels, 0), [(0, 1)]);
        assert_eq!(of(&pixels, 1), [(0, 2), (1, 0)]);
        assert_eq!(of(&pixels, 4), [(2, 1)]);
    }

    #[test]
    fn pixels_are_counted_through_all_images() {
        let axis = Axis {
            input: 4,
            output: 2,
            kernel: 2,
            stride: 2,
            padding: 0,
            dilation: 1,
        };
        let grid = Grid::of_windows([axis, axis]);
        let row = grid.rows(3..4).next().unwrap(); // The last row of the second image.
        let mut met = Vec::new();
        row.gather(1, |pixel, tap| met.push((pixel, tap)));
        assert_eq!(met, [(26, 0), (27, 1), (30, 2), (31, 3)]);
        assert_eq!(grid.counts(), [4; 4]);
    }
}
