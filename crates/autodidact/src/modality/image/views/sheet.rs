//! A contact sheet: what the network will see, for a person to look at before any training.

use std::io::Cursor;

use super::crop::Region;
use super::normalization::Normalization;
use super::planes::Planes;
use super::resize::{Flips, crop_resize};
use super::settings::ImageViews;
use super::view::{ImageView, with_workspace};
use crate::error::{Error, Result};
use crate::modality::Picture;
use crate::modality::image::Image;
use crate::random::{Purpose, stream};

/// Least edge of a tile in pixels, so that images of 28 × 28 can be seen.
const LEAST_TILE: usize = 96;
/// Pixels between tiles and around them.
const MARGIN: usize = 4;
/// Level of the margins: neither black nor white, as images often are at their edges.
const BACKGROUND: u8 = 200;
/// Color of values that are not a number, which photographs seldom have: what was hidden from the network.
const HIDDEN: [u8; 3] = [122, 148, 190];

/// Draws a row per image: the image itself, then `columns` views of it, taking the slots in turn (0 columns: each
/// slot once). Views have the normalization's number of channels; the result is RGB.
///
/// # Errors
/// When there are no images, or `views` can't be used ([`ImageViews::check`]).
pub fn sheet(
    images: &[Image],
    views: &ImageViews,
    normalization: &Normalization,
    columns: usize,
    seed: u64,
) -> Result<Image> {
    views.check()?;
    let slots = views.slots();
    let columns = if columns == 0 { slots.len() } else { columns };
    let largest = slots.iter().copied().max().unwrap_or(0);
    // A whole multiple of the largest view keeps its pixels square.
    let tile = match largest {
        0 => LEAST_TILE,
        edge => edge * LEAST_TILE.div_ceil(edge),
    };
    let mut canvas = Canvas::new(
        (tile + MARGIN) * (columns + 1) + MARGIN,
        (tile + MARGIN) * images.len() + MARGIN,
    );
    for (i, image) in images.iter().enumerate() {
        let top = MARGIN + i * (tile + MARGIN);
        canvas.put(&fitted(image, tile), (MARGIN, top), tile);
        for column in 0..columns {
            let slot = column % slots.len();
            let mut rng = stream(seed, Purpose::View, &[0, i as u64, column as u64]);
            let view = views.draw(
                image,
                slot,
                &mut rng,
                normalization,
                normalization.mean().len(),
            );
            let left = MARGIN + (column + 1) * (tile + MARGIN);
            canvas.put(&shown(&view, normalization), (left, top), tile);
        }
    }
    if images.is_empty() {
        return Err(Error::data("no images to show").expected("at least one"));
    }
    Image::new(canvas.width, canvas.height, 3, canvas.pixels)
}

/// Writes an 8-bit image of 1 or 3 channels as a PNG file.
///
/// # Errors
/// When the image has another number of channels, or is larger than the format allows.
pub fn encode_png(image: &Image) -> Result<Vec<u8>> {
    let color = match image.channels() {
        channels if image.pixels().is_empty() => {
            return Err(Error::data(format!(
                "an image of {channels} channels and more than 8 bits"
            ))
            .expected("8 bits"));
        }
        1 => image::ExtendedColorType::L8,
        3 => image::ExtendedColorType::Rgb8,
        channels => {
            return Err(Error::data(format!("an image of {channels} channels"))
                .expected("1 (grey) or 3 (RGB)"));
        }
    };
    let edge = |pixels: usize| {
        u32::try_from(pixels).map_err(|source| {
            Error::data(format!(
                "an image of {} × {}",
                image.width(),
                image.height()
            ))
            .expected("edges below 2³² pixels")
            .because(source)
        })
    };
    let mut file = Cursor::new(Vec::new());
    image::write_buffer_with_format(
        &mut file,
        image.pixels(),
        edge(image.width())?,
        edge(image.height())?,
        color,
        image::ImageFormat::Png,
    )
    .map_err(|source| Error::data("a PNG file can't be made of the image").because(source))?;
    Ok(file.into_inner())
}

/// RGB pixels, and room for tiles.
struct Canvas {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
}

impl Canvas {
    fn new(width: usize, height: usize) -> Self {
        Self {
            width,
            height,
            pixels: vec![BACKGROUND; width * height * 3],
        }
    }

    /// Puts a picture of at most `tile` pixels in the middle of a tile, repeating its pixels a whole number of times.
    fn put(&mut self, picture: &Picture, (left, top): (usize, usize), tile: usize) {
        let times = (tile / picture.width.max(picture.height)).max(1);
        let (width, height) = (picture.width * times, picture.height * times);
        let (left, top) = (left + (tile - width) / 2, top + (tile - height) / 2);
        for y in 0..height {
            let row = &picture.rgb[y / times * picture.width..][..picture.width];
            let at = ((top + y) * self.width + left) * 3;
            for (x, pixel) in self.pixels[at..at + width * 3]
                .chunks_exact_mut(3)
                .enumerate()
            {
                pixel.copy_from_slice(&row[x / times]);
            }
        }
    }
}

/// The whole image, with its aspect kept, shrunk where a tile is too small for it.
pub(in crate::modality::image) fn fitted(image: &Image, tile: usize) -> Picture {
    let longer = image.width().max(image.height());
    let edge = |pixels: usize| {
        if longer <= tile {
            pixels
        } else {
            (pixels * tile / longer).max(1)
        }
    };
    let (width, height) = (edge(image.width()), edge(image.height()));
    let mut planes = Planes::default();
    with_workspace(|work| {
        crop_resize(
            image,
            Region::whole(image),
            (width, height),
            3,
            Flips::default(),
            &mut work.resize,
            &mut planes,
        );
    });
    let len = planes.plane_len();
    let level = |pixel: usize, channel: usize| {
        byte(planes.values[pixel + channel.min(planes.channels - 1) * len])
    };
    let rgb = (0..len)
        .map(|pixel| [level(pixel, 0), level(pixel, 1), level(pixel, 2)])
        .collect();
    Picture { width, height, rgb }
}

/// A view on the scale that a person sees.
fn shown(view: &ImageView, normalization: &Normalization) -> Picture {
    shown_values(&view.pixels, view.size, view.channels, normalization)
}

/// The normalized values `[size, size, channels]` of a view on the scale that a person sees.
pub(in crate::modality::image) fn shown_values(
    values: &[f32],
    size: usize,
    channels: usize,
    normalization: &Normalization,
) -> Picture {
    let pixel = |values: &[f32]| {
        if values.iter().any(|value| value.is_nan()) {
            return HIDDEN;
        }
        [0, 1, 2].map(|channel: usize| {
            let channel = channel.min(channels - 1);
            byte(normalization.undo(values[channel], channel))
        })
    };
    Picture {
        width: size,
        height: size,
        rgb: values.chunks_exact(channels).map(pixel).collect(),
    }
}

fn byte(value: f32) -> u8 {
    (value * 255.0).round() as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(width: usize, height: usize, channels: usize) -> Image {
        Image::new(
            width,
            height,
            channels,
            vec![128; width * height * channels],
        )
        .unwrap()
    }

    #[test]
    fn a_sheet_has_a_row_per_image_and_a_column_per_view() {
        let images = [image(32, 32, 3), image(500, 30, 1), image(1, 1, 3)];
        let normalization = Normalization::imagenet();
        let sheet =
            |columns| sheet(&images, &ImageViews::strong(32), &normalization, columns, 0).unwrap();
        let edge = |tiles: usize| tiles * (96 + MARGIN) + MARGIN;
        assert_eq!((sheet(0).width(), sheet(0).height()), (edge(3), edge(3)));
        assert_eq!((sheet(7).width(), sheet(7).height()), (edge(8), edge(3)));
        assert_eq!(sheet(7), sheet(7));
    }

    #[test]
    fn a_sheet_of_views_that_change_nothing_shows_the_image() {
        let normalization = Normalization::new(vec![0.3; 3], vec![0.2; 3]).unwrap();
        let sheet = sheet(
            &[image(32, 32, 1)],
            &ImageViews::default().with_size(40),
            &normalization,
            1,
            0,
        )
        .unwrap();
        let level =
            |x: usize, y: usize| sheet.pixels()[(y * sheet.width() + x) * 3..][..3].to_vec();
        assert_eq!(level(0, 0), [BACKGROUND; 3]);
        assert_eq!(level(60, 60), [128; 3]);
        assert_eq!(level(180, 60), [128; 3]);
    }

    #[test]
    fn a_png_reads_back_as_it_was_written() {
        for channels in [1, 3] {
            let pixels: Vec<u8> = (0..5 * 4 * channels).map(|i| i as u8 * 3).collect();
            let written = encode_png(&Image::new(5, 4, channels, pixels.clone()).unwrap()).unwrap();
            assert_eq!(
                image::load_from_memory(&written).unwrap().into_bytes(),
                pixels
            );
        }
        assert!(
            encode_png(&image(2, 2, 2))
                .unwrap_err()
                .to_string()
                .contains("2 channels")
        );
    }

    #[test]
    fn no_images_and_bad_settings_are_errors() {
        let normalization = Normalization::imagenet();
        assert!(sheet(&[], &ImageViews::strong(32), &normalization, 0, 0).is_err());
        let views = ImageViews {
            flip: 2.0,
            ..ImageViews::default()
        };
        assert!(sheet(&[image(2, 2, 3)], &views, &normalization, 0, 0).is_err());
    }
}
