//! An image on the host.

use std::sync::Arc;

use crate::error::{Error, Result};

/// 8-bit pixels, row by row, channels interleaved (`[height][width][channels]`), shared between threads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    width: usize,
    height: usize,
    channels: usize,
    pixels: Arc<[u8]>,
}

impl Image {
    /// Wraps pixels of `[height][width][channels]`.
    ///
    /// # Errors
    /// When an edge is zero, or the number of bytes is not height × width × channels.
    pub fn new(
        width: usize,
        height: usize,
        channels: usize,
        pixels: impl Into<Arc<[u8]>>,
    ) -> Result<Self> {
        let pixels = pixels.into();
        let expected = width
            .checked_mul(height)
            .and_then(|n| n.checked_mul(channels));
        if expected != Some(pixels.len()) || pixels.is_empty() {
            return Err(Error::data(format!(
                "an image of {width}×{height} with {channels} channels and {} bytes",
                pixels.len()
            ))
            .expected("height × width × channels bytes, at least one"));
        }
        Ok(Self {
            width,
            height,
            channels,
            pixels,
        })
    }

    /// Width in pixels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Values per pixel: 1 is grey, 3 is sRGB.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// The bytes, `[height][width][channels]`.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }
}
