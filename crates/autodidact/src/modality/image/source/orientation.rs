//! Images the way up that they are meant to be seen.

use std::sync::Arc;

use image::metadata::Orientation;

use crate::error::Result;
use crate::modality::image::{Image, Pixels};

/// Turns and mirrors an image as its camera, or the program that wrote it, noted.
pub(super) fn turned(image: Image, orientation: Orientation) -> Result<Image> {
    if orientation == Orientation::NoTransforms {
        return Ok(image);
    }
    let (width, height, channels) = (image.width(), image.height(), image.channels());
    let lies = matches!(
        orientation,
        Orientation::Rotate90
            | Orientation::Rotate270
            | Orientation::Rotate90FlipH
            | Orientation::Rotate270FlipH
    );
    let size = if lies {
        (height, width)
    } else {
        (width, height)
    };
    // Which of the stored pixels is seen at a place.
    let stored = |x: usize, y: usize| {
        let (x, y) = match orientation {
            Orientation::NoTransforms => (x, y),
            Orientation::FlipHorizontal => (width - 1 - x, y),
            Orientation::Rotate180 => (width - 1 - x, height - 1 - y),
            Orientation::FlipVertical => (x, height - 1 - y),
            Orientation::Rotate90FlipH => (y, x),
            Orientation::Rotate90 => (y, height - 1 - x),
            Orientation::Rotate270FlipH => (width - 1 - y, height - 1 - x),
            Orientation::Rotate270 => (width - 1 - y, x),
        };
        y * width + x
    };
    let pixels = match image.values() {
        Pixels::Bytes(values) => Pixels::Bytes(gathered(values, channels, size, &stored)),
        Pixels::Words(values) => Pixels::Words(gathered(values, channels, size, &stored)),
        Pixels::Floats(values) => Pixels::Floats(gathered(values, channels, size, &stored)),
    };
    Image::of(size.0, size.1, channels, pixels)
}

fn gathered<T: Copy>(
    values: &[T],
    channels: usize,
    (width, height): (usize, usize),
    stored: &impl Fn(usize, usize) -> usize,
) -> Arc<[T]> {
    let mut seen = Vec::with_capacity(values.len());
    for y in 0..height {
        for x in 0..width {
            let at = stored(x, y) * channels;
            seen.extend_from_slice(&values[at..at + channels]);
        }
    }
    seen.into()
}

#[cfg(test)]
mod tests {
    use image::{DynamicImage, RgbImage};

    use super::*;

    #[test]
    fn each_of_the_eight_ways_is_the_one_that_the_image_crate_turns_to() {
        let bytes: Vec<u8> = (0..18).collect();
        let floats: Vec<f32> = bytes.iter().map(|&byte| f32::from(byte) / 32.0).collect();
        for way in 1..=8 {
            let orientation = Orientation::from_exif(way).unwrap();
            let mut theirs =
                DynamicImage::ImageRgb8(RgbImage::from_raw(3, 2, bytes.clone()).unwrap());
            theirs.apply_orientation(orientation);
            let (width, height) = (theirs.width() as usize, theirs.height() as usize);
            let theirs = theirs.into_bytes();
            let image = Image::new(3, 2, 3, bytes.clone()).unwrap();
            let ours = turned(image, orientation).unwrap();
            assert_eq!((ours.width(), ours.height()), (width, height), "way {way}");
            assert_eq!(ours.pixels(), theirs, "way {way}");
            let image = Image::of(3, 2, 3, Pixels::Floats(floats.clone().into())).unwrap();
            let ours = turned(image, orientation).unwrap();
            let theirs = theirs.iter().map(|&byte| f32::from(byte) / 32.0).collect();
            assert_eq!(ours.values(), &Pixels::Floats(theirs), "way {way}");
        }
    }
}
