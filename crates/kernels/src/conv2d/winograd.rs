//! Convolutions under a kernel of 3×3 pixels, by Winograd's minimal filtering: here with stride 1, and with
//! stride 2 in [`strided`].
//!
//! F(2×4, 3×3) of Lavin and Gray, *Fast Algorithms for Convolutional Neural Networks* (2016): a tile
//! of 2×4 output pixels is `Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A` of a kernel g and the 4×6 input pixels d that
//! it sees. Summed over channels, the product in the middle is one matrix product for each of the 24
//! components, `[tiles, channels] · [channels, out]`: 3 multiplications for a pixel, a channel and an
//! output instead of 9. The transforms run over channels as vectors.
//!
//! The gradient of the input is the same with the flipped kernel. That of the weight is the exact
//! adjoint, `Gᵀ [Σ (Bᵀ d B) ⊙ (A y Aᵀ)] G` over all tiles, with y the output's gradient: products of
//! the same size again.
//!
//! How many digits a tile loses depends on its size (see the `transform` module), and how many it may
//! lose on what it stands for. Burn's own convolution sums an output over all taps and channels, and a
//! weight's gradient over all pixels: beside that, tiles of 2×4 keep the error within a factor of two.
//! It sums an input's gradient tap by tap, which loses less, so that this one is made of tiles of 2×2
//! pixels, 4 multiplications for each. So are images whose width doesn't fit the wide tiles.
//!
//! Tiles are worked on in blocks whose components stay in the cache between transform and product. With
//! narrow layers a block is done in microseconds, so that there are few calls in it.
//!
//! Cost: 24·⌈OH/2⌉·⌈OW/4⌉·B·C·O multiply-adds for the output and for the weight's gradient (where tiles
//! are wide), a third of the direct convolution where OH is even and OW a multiple of 4, and
//! 16·⌈H/2⌉·⌈W/2⌉·B·C·O for the input's, 4/9 of it; beside it about nine vector operations for each input
//! value and six for each output value.

use burn_flex::FlexTensor;

use super::shapes::Shapes;
use crate::buffer::Shared;
use crate::tile::Panels;

mod convolution;
mod correlation;
mod products;
pub(crate) mod strided;
mod tiles;
mod transform;

use convolution::{Convolution, Finish};
use correlation::Correlate;
use tiles::Tiles;

/// Rows of a tile's components.
const ROWS: usize = 4;

/// Components of a tile, 4×N.
const fn components(n: usize) -> usize {
    ROWS * n
}

/// What tiles are counted by, so that the register tiles of the products have no remainder.
const UNIT: usize = 12;
/// Output pixels of a batch from which on the sums of a direct weight's gradient are so long that wide
/// tiles lose no more digits.
const LONG: usize = 128;

/// Whether channels are whole vectors, and the smallest tile of a weight's gradient where vectors are
/// narrower.
fn whole(channels: usize) -> bool {
    channels >= 16
        && channels.is_multiple_of(products::MULTIPLE)
        && Panels::new(channels).padded() == channels
}

/// Whether a convolution is worth it.
pub(crate) fn applies(shapes: &Shapes) -> bool {
    let options = &shapes.options;
    // Tiles that reach past the image waste a part of what is won.
    let pays = |size: [usize; 2]| 8 * 9 * size[0] * size[1] >= 11 * multiplied::<4>(size);
    shapes.kernel == [3, 3]
        && options.stride == [1, 1]
        && options.dilation == [1, 1]
        && options.groups == 1
        && whole(shapes.channels)
        && whole(shapes.out)
        && pays(shapes.output)
        && pays(shapes.input)
}

/// Multiplications for an image of this size and a pair of channels, with tiles of N columns of
/// components.
fn multiplied<const N: usize>([height, width]: [usize; 2]) -> usize {
    components(N) * height.div_ceil(2) * width.div_ceil(Tiles::<N>::SPAN)
}

/// Whether tiles of 2×4 pixels multiply less than those of 2×2. In very small images most windows reach
/// past the edges: a direct sum is over few taps there, and loses fewer digits.
fn wide(size: [usize; 2]) -> bool {
    size.iter().all(|&pixels| pixels >= 4) && multiplied::<6>(size) < multiplied::<4>(size)
}

/// The output, `[batch, height, width, out]`.
pub(super) fn forward(
    shapes: &Shapes,
    x: &[f32],
    weight: &[f32],
    bias: Option<&[f32]>,
) -> FlexTensor {
    let finish = Finish {
        bias,
        relu: shapes.options.relu,
    };
    match Filter::forward(shapes, weight) {
        Filter::Wide(convolution) => convolution.all(x, finish),
        Filter::Square(convolution) => convolution.all(x, finish),
    }
}

/// The gradient of the input, shaped as the input.
pub(super) fn input_gradient(shapes: &Shapes, weight: &[f32], gradient: &[f32]) -> FlexTensor {
    Convolution::<4>::input_gradient(shapes, weight).all(gradient, Finish::default())
}

/// The gradient of the weight, `[out, channels, 3, 3]`.
pub(super) fn weight_gradient(shapes: &Shapes, x: &[f32], gradient: &[f32]) -> FlexTensor {
    match Correlation::new(shapes) {
        Correlation::Wide(correlation) => correlation.all(x, gradient),
        Correlation::Square(correlation) => correlation.all(x, gradient),
    }
}

/// A convolution that may be done a few images at a time, with tiles of 2×4 or of 2×2 pixels.
pub(crate) enum Filter {
    Wide(Convolution<6>),
    Square(Convolution<4>),
}

impl Filter {
    /// From the input to the output.
    pub(crate) fn forward(shapes: &Shapes, weight: &[f32]) -> Self {
        if wide(shapes.output) {
            Self::Wide(Convolution::forward(shapes, weight))
        } else {
            Self::Square(Convolution::forward(shapes, weight))
        }
    }

    /// From the output's gradient to the input's.
    pub(crate) fn input_gradient(shapes: &Shapes, weight: &[f32]) -> Self {
        Self::Square(Convolution::input_gradient(shapes, weight))
    }

    /// Convolves so many images, on this thread alone.
    ///
    /// # Safety
    /// `dest` must have room for these images, and nobody else may touch it meanwhile.
    pub(crate) unsafe fn images(&self, images: usize, source: &[f32], dest: Shared) {
        // SAFETY: by the caller's promise.
        unsafe {
            match self {
                Self::Wide(convolution) => convolution.images(images, source, dest),
                Self::Square(convolution) => convolution.images(images, source, dest),
            }
        }
    }
}

/// How many images may well be done alone: as good as no tile is computed for nothing then, and what a
/// block of products begins with, like fetching the weight, is done for enough pixels.
pub(crate) fn images_together(shapes: &Shapes) -> usize {
    /// Least pixels.
    const PIXELS: usize = 384;
    let [height, width] = shapes.output;
    let tiles = |span: usize| height.div_ceil(2) * width.div_ceil(span);
    let fits = |images: usize, tiles: usize| {
        let tiles = images * tiles;
        24 * (tiles.next_multiple_of(UNIT) - tiles) <= tiles
    };
    let least = PIXELS.div_ceil((height * width).max(1));
    (least..least + UNIT)
        .find(|&images| fits(images, tiles(2)) && fits(images, tiles(4)))
        .unwrap_or(least + UNIT)
}

/// The sums of a weight's gradient, to which a few images may be added at a time, with tiles of 2×4 or
/// of 2×2 pixels.
pub(crate) enum Correlation {
    Wide(Correlate<6>),
    Square(Correlate<4>),
}

impl Correlation {
    pub(crate) fn new(shapes: &Shapes) -> Self {
        let pixels = shapes.batch * shapes.output[0] * shapes.output[1];
        if wide(shapes.output) && pixels >= LONG && !correlation::far(shapes) {
            Self::Wide(Correlate::new(shapes))
        } else {
            Self::Square(Correlate::new(shapes))
        }
    }

    /// Whether few images at a time are worth it.
    pub(crate) fn pays(shapes: &Shapes) -> bool {
        correlation::near(shapes)
    }

    /// Sums of nothing, those of one thread.
    pub(crate) fn zeros(&self) -> Vec<f32> {
        match self {
            Self::Wide(correlate) => correlate.zeros(),
            Self::Square(correlate) => correlate.zeros(),
        }
    }

    /// Adds so many images, on this thread alone.
    pub(crate) fn images(&self, images: usize, x: &[f32], gradient: &[f32], sums: &mut [f32]) {
        match self {
            Self::Wide(correlate) => correlate.images(images, x, gradient, sums),
            Self::Square(correlate) => correlate.images(images, x, gradient, sums),
        }
    }

    /// The gradient of the weight, `[out, channels, 3, 3]`, of the sums of all threads in their order.
    pub(crate) fn finish(&self, sums: &[Vec<f32>]) -> FlexTensor {
        match self {
            Self::Wide(correlate) => correlate.finish(sums),
            Self::Square(correlate) => correlate.finish(sums),
        }
    }
}

#[cfg(test)]
mod tests;
