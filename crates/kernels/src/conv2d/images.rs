//! Convolutions of a few images at a time, on one thread: what operations are made of that take images
//! through several steps while they are in the cache.
//!
//! The products are those of whole batches, see the modules that they come from; kernels of one pixel are
//! walked over like all others.

use burn_flex::FlexTensor;

use super::direct::{forward_right, gradient_walks, unpack};
use super::gathered;
use super::shapes::Shapes;
use super::walks::{Product, Right};
use super::winograd::strided::{self, Strided, StridedSums};
use super::winograd::{self, Correlation, Filter};
use crate::buffer::{Shared, tensor};
use crate::product::Matrix;
use crate::tile::{self, Panels};
use crate::window::{Walk, Windows};

/// Whether a convolution can be done so, in `f32`.
pub(crate) fn applies(shapes: &Shapes) -> bool {
    let panels = Panels::new(shapes.out);
    // The tiles of a weight's gradient read whole vectors.
    shapes.options.groups == 1 && panels.padded() == panels.columns && !shapes.options.relu
}

/// From the input to the output.
pub(crate) enum Forward {
    Filtered(Filter),
    Strided(Strided),
    Packed {
        shapes: Shapes,
        windows: Windows,
        weight: Vec<f32>,
    },
    Walked {
        windows: Windows,
        right: Right,
    },
}

impl Forward {
    pub(crate) fn new(shapes: &Shapes, weight: &[f32]) -> Self {
        if winograd::applies(shapes) {
            return Self::Filtered(Filter::forward(shapes, weight));
        }
        if strided::applies(shapes) {
            return Self::Strided(Strided::forward(shapes, weight));
        }
        let windows = shapes.forward_windows();
        if gathered::forward_pays(shapes) {
            return Self::Packed {
                shapes: *shapes,
                windows,
                weight: gathered::by_taps(shapes, weight),
            };
        }
        Self::Walked {
            windows,
            right: forward_right(shapes, weight, None),
        }
    }

    /// Convolves so many images.
    ///
    /// # Safety
    /// `dest` must have room for their outputs, and nobody else may touch it meanwhile.
    pub(crate) unsafe fn images(&self, images: usize, source: &[f32], dest: Shared) {
        // SAFETY: by the caller's promise.
        unsafe {
            match self {
                Self::Filtered(filter) => filter.images(images, source, dest),
                Self::Strided(strided) => strided.images(images, source, dest),
                Self::Packed {
                    shapes,
                    windows,
                    weight,
                } => {
                    let right = Matrix::new(weight, [shapes.out, windows.depth()]).transposed();
                    let mut walk = Walk::new(windows, source);
                    for rows in windows.blocks(0..images, windows.block_rows()) {
                        gathered::forward_rows(shapes, &mut walk, right, None, rows, dest);
                    }
                }
                Self::Walked { windows, right } => {
                    Product::new(windows, source, right).images(0..images, dest);
                }
            }
        }
    }
}

/// From the output's gradient to the input's.
pub(crate) enum InputGradient {
    Filtered(Filter),
    Strided(Strided),
    Packed { shapes: Shapes, weight: Vec<f32> },
    Walked(Vec<(Windows, Right)>),
}

impl InputGradient {
    pub(crate) fn new(shapes: &Shapes, weight: &[f32]) -> Self {
        if winograd::applies(shapes) {
            Self::Filtered(Filter::input_gradient(shapes, weight))
        } else if strided::applies(shapes) {
            Self::Strided(Strided::input_gradient(shapes, weight))
        } else if gathered::input_gradient_pays(shapes) {
            Self::Packed {
                shapes: *shapes,
                weight: gathered::by_taps(shapes, weight),
            }
        } else {
            Self::Walked(gradient_walks(shapes, weight))
        }
    }

    /// That of so many images.
    ///
    /// # Safety
    /// `dest` must have room for their inputs, and nobody else may touch it meanwhile.
    pub(crate) unsafe fn images(&self, images: usize, gradient: &[f32], dest: Shared) {
        // SAFETY: by the caller's promise.
        unsafe {
            match self {
                Self::Filtered(filter) => filter.images(images, gradient, dest),
                Self::Strided(strided) => strided.images(images, gradient, dest),
                Self::Packed { shapes, weight } => {
                    let right = Matrix::new(weight, [shapes.out, shapes.weight_stride()]);
                    gathered::input_gradient_of(shapes, right, gradient, dest);
                }
                Self::Walked(walks) => {
                    for (windows, right) in walks {
                        Product::new(windows, gradient, right).images(0..images, dest);
                    }
                }
            }
        }
    }
}

/// The sums of a weight's gradient.
pub(crate) enum WeightGradient {
    Filtered(Correlation),
    Strided(StridedSums),
    Packed { shapes: Shapes, windows: Windows },
    Walked { shapes: Shapes, windows: Windows },
}

impl WeightGradient {
    pub(crate) fn new(shapes: &Shapes) -> Self {
        if winograd::applies(shapes) {
            return Self::Filtered(Correlation::new(shapes));
        }
        if strided::applies(shapes) {
            return Self::Strided(StridedSums::new(shapes));
        }
        let (shapes, windows) = (*shapes, shapes.forward_windows());
        if gathered::weight_gradient_pays(&shapes) {
            Self::Packed { shapes, windows }
        } else {
            Self::Walked { shapes, windows }
        }
    }

    /// Sums of nothing, those of one thread.
    pub(crate) fn zeros(&self) -> Vec<f32> {
        match self {
            Self::Filtered(correlation) => correlation.zeros(),
            Self::Strided(correlation) => correlation.zeros(),
            Self::Packed { shapes, windows } | Self::Walked { shapes, windows } => {
                vec![0.0; shapes.out * windows.depth()]
            }
        }
    }

    /// Adds so many images.
    pub(crate) fn images(&self, images: usize, x: &[f32], gradient: &[f32], sums: &mut [f32]) {
        match self {
            Self::Filtered(correlation) => correlation.images(images, x, gradient, sums),
            Self::Strided(correlation) => correlation.images(images, x, gradient, sums),
            Self::Packed { shapes, windows } => {
                let mut walk = Walk::new(windows, x);
                for rows in windows.blocks(0..images, gathered::summed_rows(windows)) {
                    gathered::add_rows(shapes, &mut walk, gradient, rows, sums);
                }
            }
            Self::Walked { shapes, windows } => {
                let panels = Panels::new(shapes.out);
                let mut walk = Walk::new(windows, x);
                let mut offsets = Vec::new();
                for rows in windows.blocks(0..images, windows.block_rows()) {
                    let (gather, pixels) = walk.block(rows);
                    offsets.clear();
                    offsets.extend(pixels.iter().map(|pixel| pixel * shapes.out));
                    tile::correlate(gather, gradient, &offsets, panels, (sums, false));
                }
            }
        }
    }

    /// The gradient of the weight, as torch lays it out, of the sums of all threads in their order.
    pub(crate) fn finish(&self, sums: &[Vec<f32>]) -> FlexTensor {
        match self {
            Self::Filtered(correlation) => correlation.finish(sums),
            Self::Strided(correlation) => correlation.finish(sums),
            Self::Packed { shapes, .. } => gathered::weight_gradient_of(shapes, sums),
            Self::Walked { shapes, .. } => {
                let panels = Panels::new(shapes.out);
                tensor(unpack(sums, shapes, panels), shapes.weight())
            }
        }
    }
}
