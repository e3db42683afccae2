//! Walks that multiply the windows they come by, each thread its own blocks of them.
//!
//! The gradient of a strided convolution's input is several walks, one for each phase of the stride. All
//! of them read the whole gradient of the output, and each writes a part of every image: one after
//! another they would fetch both from memory as often as there are phases.

use std::ops::Range;

use super::direct::{of_group, relu};
use crate::buffer::{Shared, in_parts, part, threads};
use crate::tile::{self, Panels};
use crate::window::{Walk, Windows};

/// Floats of the images, source and destination, that all walks go over before the next ones:
/// 256 KiB.
const TOGETHER: usize = 64 * 1024;

/// What a walk multiplies the windows with.
pub(crate) struct Right {
    /// For each group, its packed weight.
    pub(super) weights: Vec<Vec<f32>>,
    /// For each group, its bias, padded to whole vectors.
    pub(super) biases: Option<Vec<Vec<f32>>>,
    /// The columns of one group.
    pub(super) panels: Panels,
    /// Whether negative results become zero; for walks that write every pixel in order.
    pub(super) relu: bool,
}

/// Runs the product over all windows, group by group.
///
/// # Safety
/// `dest` must have room for the destination images, and nobody else may use it meanwhile.
pub(super) unsafe fn walk(
    windows: &Windows,
    batch: usize,
    source: &[f32],
    right: &Right,
    dest: Shared,
) {
    let total = batch * windows.pixels[0];
    let rows = windows.block_rows();
    let blocks = total.div_ceil(rows);
    // Four parts to each thread even out a machine that is shared with others; every pixel comes
    // out the same whoever computes it.
    let parts = (4 * threads()).min(blocks).max(1);
    in_parts(parts, |index| {
        let mut product = Product::new(windows, source, right);
        for block in part(blocks, parts, index) {
            // SAFETY: blocks have disjoint destination pixels, inside the room promised.
            unsafe { product.run(block * rows..((block + 1) * rows).min(total), dest) };
        }
    });
}

/// Runs the products of several walks, a few images at a time, so that what one of them has read and
/// written the next ones find in the cache.
///
/// # Safety
/// As for [`walk`]; the walks must write disjoint pixels.
pub(super) unsafe fn walk_together(
    walks: &[(Windows, Right)],
    batch: usize,
    source: &[f32],
    dest: Shared,
) {
    let most = batch / (4 * threads());
    if walks.len() == 1 || most == 0 {
        for (windows, right) in walks {
            // SAFETY: by the caller's promise.
            unsafe { walk(windows, batch, source, right, dest) };
        }
        return;
    }
    let floats = walks.iter().map(|(windows, right)| {
        let [source, dest] = [windows.source, windows.dest].map(|[height, width]| height * width);
        source * windows.channels + dest * right.weights.len() * right.panels.columns
    });
    let images = TOGETHER / floats.max().unwrap_or(1).max(1);
    let images = images.clamp(1, most);
    let groups = batch.div_ceil(images);
    let parts = (4 * threads()).min(groups);
    in_parts(parts, |index| {
        let products = walks.iter();
        let mut products: Vec<Product<'_>> = products
            .map(|(windows, right)| Product::new(windows, source, right))
            .collect();
        for group in part(groups, parts, index) {
            let images = group * images..((group + 1) * images).min(batch);
            for product in &mut products {
                // SAFETY: groups have disjoint images, and walks disjoint pixels of them.
                unsafe { product.images(images.clone(), dest) };
            }
        }
    });
}

/// The product over the windows of a walk.
pub(super) struct Product<'a> {
    windows: &'a Windows,
    walk: Walk<'a>,
    right: &'a Right,
    dest_offsets: Vec<usize>,
}

impl<'a> Product<'a> {
    pub(super) fn new(windows: &'a Windows, source: &'a [f32], right: &'a Right) -> Self {
        Self {
            windows,
            walk: Walk::new(windows, source),
            right,
            dest_offsets: Vec::new(),
        }
    }

    /// Writes what the windows of these images give, block by block.
    ///
    /// # Safety
    /// As for [`Product::run`].
    pub(super) unsafe fn images(&mut self, images: Range<usize>, dest: Shared) {
        for rows in self.windows.blocks(images, self.windows.block_rows()) {
            // SAFETY: by the caller's promise.
            unsafe { self.run(rows, dest) };
        }
    }

    /// Writes what the windows of these rows, counted through all images, give.
    ///
    /// # Safety
    /// `dest` must have room for the destination images, and nobody else may use these pixels.
    unsafe fn run(&mut self, rows: Range<usize>, dest: Shared) {
        let right = self.right;
        let columns = right.panels.columns;
        let dest_channels = right.weights.len() * columns;
        let (gather, pixels) = self.walk.block(rows);
        let dest_offsets = &mut self.dest_offsets;
        dest_offsets.clear();
        dest_offsets.extend(pixels.iter().map(|pixel| pixel * dest_channels));
        for (group, weight) in right.weights.iter().enumerate() {
            let gather = of_group(gather, group * self.windows.group_channels);
            let bias = right.biases.as_ref().map(|biases| biases[group].as_slice());
            // SAFETY: by the caller's promise; groups have disjoint channels of the pixels.
            unsafe {
                let dest = dest.pointer().add(group * columns);
                tile::product(gather, weight, bias, right.panels, dest, dest_offsets);
            }
        }
        if let (true, Some(first)) = (right.relu, dest_offsets.first()) {
            let range = *first..first + dest_offsets.len() * dest_channels;
            // SAFETY: the pixels of the block lie in order and were just written.
            relu(unsafe { dest.part(range) });
        }
    }
}
