//! The working form of an image: one plane of floats per channel, so that loops run over whole vectors.

use pulp::{Arch, Simd, WithSimd};

/// Pixels `[channels][height][width]`, 0 (black) to 1 (white); 1 channel is grey, 3 are red, green and blue,
/// others are whatever was measured.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Planes {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) channels: usize,
    pub(super) values: Vec<f32>,
}

impl Planes {
    /// Takes a shape; the values of before are left where they are, to be overwritten.
    pub(super) fn reshape(&mut self, width: usize, height: usize, channels: usize) {
        (self.width, self.height, self.channels) = (width, height, channels);
        self.values.resize(width * height * channels, 0.0);
    }

    /// Values in one plane.
    pub(super) fn plane_len(&self) -> usize {
        self.width * self.height
    }

    /// The values of one channel.
    pub(super) fn plane(&self, channel: usize) -> &[f32] {
        let len = self.plane_len();
        &self.values[channel * len..(channel + 1) * len]
    }

    /// Red, green and blue, where there are three planes.
    pub(super) fn rgb_mut(&mut self) -> Option<[&mut [f32]; 3]> {
        if self.channels != 3 {
            return None;
        }
        let len = self.plane_len();
        let (r, rest) = self.values.split_at_mut(len);
        let (g, b) = rest.split_at_mut(len);
        Some([r, g, b])
    }

    /// Red, green and blue, where there are three planes.
    pub(super) fn rgb(&self) -> Option<[&[f32]; 3]> {
        if self.channels != 3 {
            return None;
        }
        let len = self.plane_len();
        let (r, rest) = self.values.split_at(len);
        let (g, b) = rest.split_at(len);
        Some([r, g, b])
    }
}

/// Runs a loop, a closure marked `#[inline(always)]`, in the widest vectors that this processor has. What is called
/// inside must be inlined.
///
/// pulp would call the closure itself through an adapter that no attribute reaches and that the compiler may not
/// inline, which would leave the loop in narrow vectors.
#[inline(always)]
pub(super) fn vectorized<R>(work: impl FnMut() -> R) -> R {
    struct Work<F>(F);
    impl<R, F: FnMut() -> R> WithSimd for Work<F> {
        type Output = R;

        #[inline(always)]
        fn with_simd<S: Simd>(mut self, _: S) -> R {
            (self.0)()
        }
    }
    Arch::new().dispatch(Work(work))
}

// `f32::max` and `f32::min` take care of NaN, which costs two more instructions per vector; no pixel is NaN.

/// The larger of two numbers that aren't NaN.
#[inline(always)]
pub(super) fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// The smaller of two numbers that aren't NaN.
#[inline(always)]
pub(super) fn smaller(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

/// `x` held between 0 and 1.
#[inline(always)]
pub(super) fn unit(x: f32) -> f32 {
    smaller(larger(x, 0.0), 1.0)
}
