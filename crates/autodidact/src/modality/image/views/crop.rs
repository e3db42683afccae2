//! Which part of an image a view shows (torchvision's `RandomResizedCrop.make_params`).

use std::ops::Range;

use rand::RngExt;

use crate::modality::image::Image;
use crate::random::Rng;

/// Where a view was cut out, in fractions of the source's width and height, 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CropBox {
    /// Left edge.
    pub x: f32,
    /// Upper edge.
    pub y: f32,
    /// Width.
    pub width: f32,
    /// Height.
    pub height: f32,
}

/// A rectangle inside an image, in pixels; never empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Region {
    pub(super) x: usize,
    pub(super) y: usize,
    pub(super) width: usize,
    pub(super) height: usize,
}

impl Region {
    /// The whole image.
    pub(super) fn whole(image: &Image) -> Self {
        Self {
            x: 0,
            y: 0,
            width: image.width(),
            height: image.height(),
        }
    }

    /// Draws a region of an image of width × height: its share of the area uniform in `area`, its width / height
    /// log-uniform in `aspect`. After ten draws that don't fit, the largest region in the middle whose aspect does.
    pub(super) fn draw(
        (width, height): (usize, usize),
        area: [f32; 2],
        aspect: [f32; 2],
        rng: &mut Rng,
    ) -> Self {
        let whole = (width * height) as f64;
        let log_aspect = aspect.map(|a| f64::from(a).ln());
        for _ in 0..10 {
            let target = whole * between(area.map(f64::from), rng);
            let ratio = between(log_aspect, rng).exp();
            let w = (target * ratio).sqrt().round_ties_even() as usize;
            let h = (target / ratio).sqrt().round_ties_even() as usize;
            if (1..=width).contains(&w) && (1..=height).contains(&h) {
                let y = rng.random_range(0..=height - h);
                let x = rng.random_range(0..=width - w);
                return Self {
                    x,
                    y,
                    width: w,
                    height: h,
                };
            }
        }
        let ratio = width as f64 / height as f64;
        let [least, most] = aspect.map(f64::from);
        let (w, h) = if ratio < least {
            (width, (width as f64 / least).round_ties_even() as usize)
        } else if ratio > most {
            ((height as f64 * most).round_ties_even() as usize, height)
        } else {
            (width, height)
        };
        let (w, h) = (w.clamp(1, width), h.clamp(1, height));
        Self {
            x: (width - w) / 2,
            y: (height - h) / 2,
            width: w,
            height: h,
        }
    }

    /// The region in fractions of the image it was drawn for.
    pub(super) fn in_fractions_of(self, image: &Image) -> CropBox {
        let (width, height) = (image.width() as f32, image.height() as f32);
        CropBox {
            x: self.x as f32 / width,
            y: self.y as f32 / height,
            width: self.width as f32 / width,
            height: self.height as f32 / height,
        }
    }

    /// Where the values of its row `y` are, counted from its upper edge.
    #[inline(always)]
    pub(super) fn row(self, image: &Image, y: usize) -> Range<usize> {
        let at = ((self.y + y) * image.width() + self.x) * image.channels();
        at..at + self.width * image.channels()
    }
}

/// Uniform in `low..high`; `low` where they are equal.
pub(super) fn between([low, high]: [f64; 2], rng: &mut Rng) -> f64 {
    low + (high - low) * rng.random::<f64>()
}
