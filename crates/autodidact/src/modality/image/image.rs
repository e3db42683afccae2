//! An image on the host.

use std::sync::Arc;

use crate::error::{Error, Result};

/// The most channels of an image.
pub const MOST_CHANNELS: usize = 32;

/// Pixels as they were stored, row by row, channels interleaved (`[height][width][channels]`), shared between threads.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    width: usize,
    height: usize,
    channels: usize,
    pixels: Pixels,
}

/// The values of an image, from black to white.
#[derive(Debug, Clone, PartialEq)]
pub enum Pixels {
    /// 0 to 255.
    Bytes(Arc<[u8]>),
    /// 0 to 65,535.
    Words(Arc<[u16]>),
    /// 0 to 1.
    Floats(Arc<[f32]>),
}

impl Pixels {
    /// Number of values.
    pub fn len(&self) -> usize {
        match self {
            Self::Bytes(values) => values.len(),
            Self::Words(values) => values.len(),
            Self::Floats(values) => values.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory that the values take.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Bytes(values) => values.len(),
            Self::Words(values) => 2 * values.len(),
            Self::Floats(values) => 4 * values.len(),
        }
    }

    /// The value that is white.
    pub fn white(&self) -> f32 {
        match self {
            Self::Bytes(_) => 255.0,
            Self::Words(_) => 65_535.0,
            Self::Floats(_) => 1.0,
        }
    }
}

impl Image {
    /// Wraps 8-bit pixels of `[height][width][channels]`.
    ///
    /// # Errors
    /// As [`Image::of`].
    pub fn new(
        width: usize,
        height: usize,
        channels: usize,
        pixels: impl Into<Arc<[u8]>>,
    ) -> Result<Self> {
        Self::of(width, height, channels, Pixels::Bytes(pixels.into()))
    }

    /// Wraps pixels of `[height][width][channels]`.
    ///
    /// # Errors
    /// When an edge is zero, there are more than [`MOST_CHANNELS`], the number of values is not height × width ×
    /// channels, or a float isn't between 0 and 1.
    pub fn of(width: usize, height: usize, channels: usize, pixels: Pixels) -> Result<Self> {
        let expected = width
            .checked_mul(height)
            .and_then(|n| n.checked_mul(channels));
        if expected != Some(pixels.len()) || pixels.is_empty() || channels > MOST_CHANNELS {
            return Err(Error::data(format!(
                "an image of {width}×{height} with {channels} channels and {} values",
                pixels.len()
            ))
            .expected(format!(
                "height × width × channels values, at least one, in at most {MOST_CHANNELS} channels"
            )));
        }
        if let Pixels::Floats(values) = &pixels
            && let Some(value) = values.iter().find(|value| !(0.0..=1.0).contains(*value))
        {
            return Err(Error::data(format!("holds the value {value}"))
                .expected("0 (black) to 1 (white) in images of floats")
                .mend("scale all images alike, and say where nothing was measured by 0"));
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

    /// Values per pixel: 1 is grey, 3 is sRGB, others are whatever was measured.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// The values, `[height][width][channels]`.
    pub fn values(&self) -> &Pixels {
        &self.pixels
    }

    /// The bytes of an image of 8 bits, `[height][width][channels]`; none of an image that holds more.
    pub fn pixels(&self) -> &[u8] {
        match &self.pixels {
            Pixels::Bytes(bytes) => bytes,
            _ => &[],
        }
    }
}
