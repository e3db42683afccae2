//! The product of gathered windows and a packed weight.

use rayon::prelude::*;

use super::Engine;
use super::block::{Block, Ready, Step};
use super::rounded::{Line, numbers, pair_row};
use crate::tile::Gather;

/// Chunks of 32 numbers of depth whose left tiles stay in the first-level cache while they meet
/// all columns.
const DEPTH: usize = 24;
/// Columns, in panels of 32, whose right tiles of one depth stay in the second-level cache.
const PANELS: usize = 16;

/// The right operand, rounded and cut into panels of 32 columns, each of two tiles a chunk.
///
/// The depth is cut into chunks segment by segment, and zeros fill the last chunk of each, so that
/// a left tile never has to be put together from two segments.
#[derive(Debug)]
pub(crate) struct Weight {
    engine: Engine,
    /// `[panel][chunk][2 tiles][16 lines]`
    lines: Vec<Line>,
    /// Length of each segment.
    segments: Vec<usize>,
    chunks: usize,
    columns: usize,
}

impl Weight {
    /// Packs the matrix `[rows.len(), columns]` whose element (k, j) is
    /// `weight[rows[k] + j · column_stride]`, for windows of these segments.
    pub(crate) fn new(
        engine: Engine,
        weight: &[f32],
        rows: &[usize],
        [columns, column_stride]: [usize; 2],
        segments: &[usize],
    ) -> Self {
        assert_eq!(rows.len(), segments.iter().sum::<usize>());
        let chunks = segments.iter().map(|length| length.div_ceil(32)).sum();
        let mut lines = vec![Line::ZERO; columns.div_ceil(32) * chunks * 32];
        if chunks > 0 {
            lines
                .par_chunks_mut(chunks * 32)
                .enumerate()
                .for_each(|(panel, mut lines)| {
                    let mut row = 0;
                    for &length in segments {
                        let end = row + length;
                        for start in (row..end).step_by(32) {
                            let (chunk, rest) = std::mem::take(&mut lines).split_at_mut(32);
                            lines = rest;
                            for pair in 0..(end - start).div_ceil(2).min(16) {
                                let even = start + 2 * pair;
                                let odd = (even + 1 < end).then(|| rows[even + 1]);
                                for (tile, to) in chunk[pair..].iter_mut().step_by(16).enumerate() {
                                    let first = 32 * panel + 16 * tile;
                                    if first >= columns {
                                        break;
                                    }
                                    let start = first * column_stride;
                                    pair_row(
                                        engine,
                                        &weight[rows[even] + start..],
                                        odd.map(|odd| &weight[odd + start..]),
                                        column_stride,
                                        columns - first,
                                        to,
                                    );
                                }
                            }
                        }
                        row = end;
                    }
                });
        }
        Self {
            engine,
            lines,
            segments: segments.to_vec(),
            chunks,
            columns,
        }
    }

    /// Columns rounded up to whole panels, which is how long a bias has to be.
    pub(crate) fn padded(columns: usize) -> usize {
        columns.next_multiple_of(32)
    }

    pub(crate) fn engine(&self) -> Engine {
        self.engine
    }
}

/// The buffers of a product, reused from block to block.
#[derive(Default)]
pub(crate) struct Product {
    /// Where each chunk of a window begins, in numbers after the pixel's offset.
    chunks: Vec<usize>,
    /// Steps over tiles read in place, and over tiles gathered first.
    in_place: Vec<Step>,
    gathered: Vec<Step>,
    /// `[chunk][32 rows]`
    left: Vec<Line>,
}

/// Up to 32 pixels whose sums are computed together.
#[derive(Clone, Copy)]
struct Pixels<'a> {
    offsets: &'a [usize],
    dest_offsets: &'a [usize],
    /// Distance of neighbors in the source, where all are equally far apart.
    source_step: Option<usize>,
    /// The same in the destination.
    dest_step: Option<usize>,
}

impl<'a> Pixels<'a> {
    fn new(offsets: &'a [usize], dest_offsets: &'a [usize]) -> Self {
        let whole = offsets.len().is_multiple_of(16);
        Self {
            offsets,
            dest_offsets,
            source_step: step(offsets).filter(|_| whole),
            dest_step: step(dest_offsets).filter(|_| whole),
        }
    }

    /// Tiles of rows.
    fn tiles(self) -> usize {
        self.offsets.len().div_ceil(16)
    }
}

/// The distance from each number to the next in groups of 16, if it is always the same.
fn step(offsets: &[usize]) -> Option<usize> {
    let step = offsets.get(1)?.wrapping_sub(offsets[0]);
    offsets
        .chunks(16)
        .all(|group| {
            group
                .windows(2)
                .all(|pair| pair[1].wrapping_sub(pair[0]) == step)
        })
        .then_some(step)
}

impl Product {
    /// Writes `bias + source · weight` for every pixel of the gather.
    ///
    /// The source has 32 numbers to spare behind the last window: what they are doesn't matter
    /// unless they aren't finite. `bias` holds [`Weight::padded`] numbers.
    ///
    /// # Safety
    /// `dest` must be valid for writes of the weight's columns after each of `dest_offsets`, and
    /// nothing else may touch these floats meanwhile.
    pub(crate) unsafe fn run(
        &mut self,
        gather: Gather<'_, u16>,
        weight: &Weight,
        bias: Option<&[f32]>,
        dest: *mut f32,
        dest_offsets: &[usize],
    ) {
        let lengths = gather.segments.iter().map(|segment| segment.length);
        assert!(lengths.eq(weight.segments.iter().copied()));
        assert_eq!(gather.offsets.len(), dest_offsets.len());
        assert!(bias.is_none_or(|bias| bias.len() == Weight::padded(weight.columns)));
        // Where there is no pixel, nothing was copied for its windows either.
        let Some(last) = gather.offsets.iter().max() else {
            return;
        };
        self.chunks.clear();
        for segment in gather.segments {
            let chunks = (0..segment.length).step_by(32);
            self.chunks
                .extend(chunks.map(|start| segment.offset + start));
        }
        let reach = self.chunks.iter().max().map_or(0, |chunk| chunk + 32);
        assert!(
            self.chunks.is_empty() || last + reach <= gather.source.len(),
            "window reaches past its source"
        );
        let parts = weight.chunks.div_ceil(DEPTH).max(1);
        let depth = weight.chunks.div_ceil(parts);
        self.left
            .resize((depth * 32).max(self.left.len()), Line::ZERO);
        let ready = Ready::new(weight.engine);
        let panels = weight.columns.div_ceil(32);
        for first_panel in (0..panels).step_by(PANELS) {
            let panels = first_panel..(first_panel + PANELS).min(panels);
            // Without any depth there still is the bias to write.
            for start in (0..weight.chunks.max(1)).step_by(depth.max(1)) {
                let range = start..(start + depth).min(weight.chunks);
                self.list(range.clone());
                let pixels = gather.offsets.chunks(32).zip(dest_offsets.chunks(32));
                for (offsets, dest_offsets) in pixels {
                    let pixels = Pixels::new(offsets, dest_offsets);
                    if pixels.source_step.is_none() {
                        // SAFETY: the bounds were checked above.
                        unsafe {
                            self.gather(weight.engine, gather.source, offsets, range.clone())
                        };
                    }
                    for panel in panels.clone() {
                        // SAFETY: the bounds were checked above, and the destination is the
                        // caller's to write.
                        unsafe {
                            self.block(
                                &ready,
                                gather.source,
                                pixels,
                                weight,
                                panel,
                                start,
                                bias,
                                dest,
                            );
                        }
                    }
                }
            }
        }
    }

    /// Lists the steps over a range of chunks.
    fn list(&mut self, range: std::ops::Range<usize>) {
        let tile = |index: usize| index * 32 * size_of::<Line>();
        self.in_place.clear();
        self.gathered.clear();
        for (i, chunk) in range.enumerate() {
            let right = tile(chunk);
            self.in_place.push(Step {
                left: self.chunks[chunk] * size_of::<u16>(),
                right,
            });
            self.gathered.push(Step {
                left: tile(i),
                right,
            });
        }
    }

    /// Copies a range of chunks of up to 32 windows side by side.
    ///
    /// # Safety
    /// Each chunk of each window must lie in the source.
    unsafe fn gather(
        &mut self,
        engine: Engine,
        source: &[u16],
        offsets: &[usize],
        range: std::ops::Range<usize>,
    ) {
        let chunks = &self.chunks[range];
        assert!(chunks.len() * 32 <= self.left.len());
        for (row, offset) in offsets.iter().enumerate() {
            // SAFETY: by the caller's promise and the check above.
            unsafe {
                let from = source.as_ptr().add(*offset);
                let to = self.left.as_mut_ptr().add(row);
                #[cfg(target_arch = "x86_64")]
                if engine.vectors() {
                    super::rounded::vectors::copy_lines(from, chunks, to, 32);
                    continue;
                }
                debug_assert!(!engine.vectors());
                for (i, chunk) in chunks.iter().enumerate() {
                    let to = to.add(32 * i).cast::<u16>();
                    core::ptr::copy_nonoverlapping(from.add(*chunk), to, 32);
                }
            }
        }
    }

    /// Adds the listed steps, of which the first is chunk `start`, to up to 32 pixels of a panel.
    ///
    /// # Safety
    /// As [`Product::run`], after its checks.
    #[allow(clippy::too_many_arguments)]
    unsafe fn block(
        &self,
        ready: &Ready,
        source: &[u16],
        pixels: Pixels<'_>,
        weight: &Weight,
        panel: usize,
        start: usize,
        bias: Option<&[f32]>,
        dest: *mut f32,
    ) {
        let first = 32 * panel;
        let columns = (weight.columns - first).min(32);
        let (left, left_stride, steps) = match pixels.source_step {
            Some(step) => {
                let lower = pixels.offsets[16 % pixels.offsets.len()];
                let left = [pixels.offsets[0], lower].map(|offset| source[offset..].as_ptr());
                (left, step.wrapping_mul(size_of::<u16>()), &self.in_place)
            }
            None => {
                let left = numbers(&self.left);
                (
                    [left.as_ptr(), left[left.len().min(512)..].as_ptr()],
                    size_of::<Line>(),
                    &self.gathered,
                )
            }
        };
        let begin = match bias {
            // A stride of zero reads the same floats for each row.
            Some(bias) => bias[first..].as_ptr(),
            None => core::ptr::null(),
        };
        let mut block = Block {
            left,
            left_stride,
            right: weight.lines[panel * weight.chunks * 32..].as_ptr().cast(),
            steps: steps.as_ptr(),
            count: steps.len(),
            from: [begin; 2],
            from_stride: 0,
            to: [core::ptr::null_mut(); 2],
            to_stride: 0,
        };
        let tiles = [pixels.tiles(), columns.div_ceil(16)];
        // SAFETY: by the caller's promise.
        unsafe {
            match pixels.dest_step {
                Some(step) if columns.is_multiple_of(16) => {
                    let offsets = pixels.dest_offsets;
                    let lower = offsets[16 % offsets.len()];
                    block.to = [offsets[0], lower].map(|offset| dest.add(offset + first));
                    block.to_stride = step.wrapping_mul(size_of::<f32>());
                    if start > 0 {
                        block.from = block.to.map(<*mut f32>::cast_const);
                        block.from_stride = block.to_stride;
                    }
                    ready.run(&block, tiles);
                }
                _ => {
                    let mut sums = Sums([[0.0; 32]; 32]);
                    let upper = sums.0.as_mut_ptr().cast::<f32>();
                    block.to = [upper, upper.add(16 * 32)];
                    block.to_stride = size_of::<[f32; 32]>();
                    let rows = pixels.dest_offsets.iter();
                    let rows = rows.map(|offset| dest.add(*offset + first)).enumerate();
                    if start > 0 {
                        for (row, from) in rows.clone() {
                            core::ptr::copy_nonoverlapping(from, upper.add(32 * row), columns);
                        }
                        block.from = block.to.map(<*mut f32>::cast_const);
                        block.from_stride = block.to_stride;
                    }
                    ready.run(&block, tiles);
                    for (row, to) in rows {
                        core::ptr::copy_nonoverlapping(upper.add(32 * row), to, columns);
                    }
                }
            }
        }
    }
}

/// The sums of a block that doesn't fit its destination.
#[repr(C, align(64))]
struct Sums([[f32; 32]; 32]);
