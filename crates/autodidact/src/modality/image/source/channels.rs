//! Grey and color.

use std::sync::Arc;

use crate::error::{Error, Result};
use crate::modality::image::{Image, Pixels};

/// The image with `channels` values per pixel.
///
/// Color becomes grey by the luma of ITU-R BT.601 in the fixed point of Pillow's `L`
/// (`(19595 R + 38470 G + 7471 B + 32768) >> 16`); grey becomes color by repeating the value.
///
/// # Errors
/// When `channels`, or the image's own, is neither 1 nor 3, and they differ.
pub fn to_channels(image: &Image, channels: usize) -> Result<Image> {
    let pixels = match (image.channels(), channels) {
        (from, to) if from == to => return Ok(image.clone()),
        (3, 1) => match image.values() {
            Pixels::Bytes(values) => Pixels::Bytes(grey(values, |[r, g, b]| {
                let luma = 19_595 * u32::from(r) + 38_470 * u32::from(g) + 7_471 * u32::from(b);
                ((luma + 0x8000) >> 16) as u8
            })),
            Pixels::Words(values) => Pixels::Words(grey(values, |[r, g, b]| {
                let luma = 19_595 * u64::from(r) + 38_470 * u64::from(g) + 7_471 * u64::from(b);
                ((luma + 0x8000) >> 16) as u16
            })),
            Pixels::Floats(values) => Pixels::Floats(grey(values, |[r, g, b]| {
                (0.299 * r + 0.587 * g + 0.114 * b).clamp(0.0, 1.0)
            })),
        },
        (1, 3) => match image.values() {
            Pixels::Bytes(values) => Pixels::Bytes(repeated(values)),
            Pixels::Words(values) => Pixels::Words(repeated(values)),
            Pixels::Floats(values) => Pixels::Floats(repeated(values)),
        },
        (from, to) => {
            return Err(
                Error::data(format!("an image of {from} channels, wanted with {to}"))
                    .expected("1 (grey) or 3 (color)"),
            );
        }
    };
    Image::of(image.width(), image.height(), channels, pixels)
}

fn grey<T: Copy>(values: &[T], level: impl Fn([T; 3]) -> T) -> Arc<[T]> {
    let pixels = values.as_chunks::<3>().0;
    pixels.iter().map(|&pixel| level(pixel)).collect()
}

fn repeated<T: Copy>(values: &[T]) -> Arc<[T]> {
    values.iter().flat_map(|&value| [value; 3]).collect()
}

/// Whether the image shows nothing but grey, however it is stored.
pub fn is_grey(image: &Image) -> bool {
    fn alike<T: PartialEq>(values: &[T]) -> bool {
        let pixels = values.as_chunks::<3>().0;
        pixels.iter().all(|[r, g, b]| r == g && g == b)
    }
    image.channels() == 1
        || (image.channels() == 3
            && match image.values() {
                Pixels::Bytes(values) => alike(values),
                Pixels::Words(values) => alike(values),
                Pixels::Floats(values) => alike(values),
            })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn color_becomes_grey_as_in_pillow() {
        // Image.new("RGB", (1, 1), color).convert("L").getpixel((0, 0))
        let values = [
            ([255, 0, 0], 76),
            ([0, 255, 0], 150),
            ([0, 0, 255], 29),
            ([12, 200, 99], 132),
        ];
        for (color, grey) in values {
            let image = Image::new(1, 1, 3, color.to_vec()).unwrap();
            assert_eq!(to_channels(&image, 1).unwrap().pixels(), [grey]);
        }
    }

    #[test]
    fn grey_survives_the_way_to_color_and_back() {
        let image = Image::new(256, 1, 1, (0..=255u8).collect::<Vec<_>>()).unwrap();
        let color = to_channels(&image, 3).unwrap();
        assert!(is_grey(&color));
        assert_eq!(to_channels(&color, 1).unwrap(), image);
        assert!(to_channels(&image, 4).is_err());
    }
}
