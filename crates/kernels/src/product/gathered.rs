//! Operands whose rows are gathered: windows of an image, packed from where they lie.

use std::ops::Range;

use pulp::Simd;

use super::Operand;
use super::pack::{CUT, copy, interleave_four, interleave_two, one_by_one};
use crate::tile::{Gather, Segment};

/// A matrix whose rows are the windows of a gather, segment after segment.
#[derive(Clone, Copy)]
pub(crate) struct Gathered<'a> {
    gather: Gather<'a>,
    columns: usize,
}

/// A stretch of all rows that goes to one panel of a right operand.
struct Piece {
    /// Where it begins, after a row's own offset.
    from: usize,
    length: usize,
    /// Where that of the first row goes.
    to: usize,
    /// Columns of the panel.
    width: usize,
    /// The stretch with the zeros that follow it at the end of the last panel.
    filled: usize,
}

impl<'a> Gathered<'a> {
    /// The matrix of these windows.
    ///
    /// # Panics
    /// If one reaches past its source.
    pub(crate) fn new(gather: Gather<'a>) -> Self {
        let ends = gather.segments.iter();
        let reach = ends.map(|segment| segment.offset + segment.length).max();
        if let (Some(reach), Some(last)) = (reach, gather.offsets.iter().max()) {
            assert!(
                last + reach <= gather.source.len(),
                "window reaches past its source"
            );
        }
        let lengths = gather.segments.iter().map(|segment| segment.length);
        Self {
            gather,
            columns: lengths.sum(),
        }
    }

    /// The parts of the segments that are these columns, in order.
    fn runs(&self, columns: &Range<usize>) -> Vec<Segment> {
        assert!(columns.start <= columns.end && columns.end <= self.columns);
        let mut runs = Vec::with_capacity(self.gather.segments.len());
        let mut begin = 0;
        for segment in self.gather.segments {
            let end = begin + segment.length;
            let (from, to) = (columns.start.max(begin), columns.end.min(end));
            if from < to {
                runs.push(Segment {
                    offset: segment.offset + from - begin,
                    length: to - from,
                });
            }
            begin = end;
        }
        runs
    }

    /// The same, cut where a panel of at most `widest` columns ends, for so many rows.
    fn pieces(
        &self,
        columns: &Range<usize>,
        rows: usize,
        [widest, lanes]: [usize; 2],
    ) -> Vec<Piece> {
        let mut pieces = Vec::new();
        let mut column = 0;
        for run in self.runs(columns) {
            let mut taken = 0;
            while taken < run.length {
                let first = column / widest * widest;
                let count = (columns.len() - first).min(widest);
                let width = count.next_multiple_of(lanes);
                let length = (run.length - taken).min(first + count - column);
                let ends = column + length == first + count;
                pieces.push(Piece {
                    from: run.offset + taken,
                    length,
                    to: first * rows + column - first,
                    width,
                    filled: if ends { length + width - count } else { length },
                });
                taken += length;
                column += length;
            }
        }
        pieces
    }
}

impl Operand for Gathered<'_> {
    fn rows(&self) -> usize {
        self.gather.offsets.len()
    }

    fn columns(&self) -> usize {
        self.columns
    }

    #[inline(always)]
    unsafe fn pack_left<const P: usize>(
        &self,
        rows: &Range<usize>,
        depth: &Range<usize>,
        mut dest: *mut f32,
    ) {
        let runs = self.runs(depth);
        let source = self.gather.source.as_ptr();
        for offsets in self.gather.offsets[rows.clone()].chunks(P) {
            let count = offsets.len();
            for run in &runs {
                // SAFETY: every window was checked to lie in its source, and P rows of the depth fit
                // in their place.
                unsafe {
                    let row = |index: usize| source.add(offsets[index] + run.offset);
                    let mut i = 0;
                    while i + 4 <= count {
                        let four = [row(i), row(i + 1), row(i + 2), row(i + 3)];
                        interleave_four(four, run.length, dest.add(i), P);
                        i += 4;
                    }
                    if i + 2 <= count {
                        interleave_two([row(i), row(i + 1)], run.length, dest.add(i), P);
                        i += 2;
                    }
                    if i < count {
                        one_by_one([row(i)], 0..run.length, dest.add(i), P);
                        i += 1;
                    }
                    while i < P {
                        for k in 0..run.length {
                            *dest.add(k * P + i) = 0.0;
                        }
                        i += 1;
                    }
                }
                dest = dest.wrapping_add(run.length * P);
            }
        }
    }

    #[inline(always)]
    unsafe fn pack_right<S: Simd, const V: usize>(
        &self,
        _simd: S,
        depth: &Range<usize>,
        columns: &Range<usize>,
        dest: *mut f32,
    ) {
        let widths = [V * S::F32_LANES, S::F32_LANES];
        let pieces = self.pieces(columns, depth.len(), widths);
        let source = self.gather.source.as_ptr();
        let offsets = &self.gather.offsets[depth.clone()];
        // A few windows at a time, so that what neighbors share stays in the first-level cache.
        for (group, offsets) in offsets.chunks(CUT).enumerate() {
            for piece in &pieces {
                let mut dest = dest.wrapping_add(piece.to + group * CUT * piece.width);
                for offset in offsets {
                    // SAFETY: every window was checked to lie in its source, and the panels have
                    // room by the caller's promise.
                    unsafe {
                        let from = source.add(offset + piece.from);
                        copy(from, piece.length, dest, piece.filled);
                    }
                    dest = dest.wrapping_add(piece.width);
                }
            }
        }
    }
}
