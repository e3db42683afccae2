//! Pictures of items and views, for people to look at.

use std::io::Cursor;

use image::codecs::jpeg::JpegEncoder;
use image::{ExtendedColorType, ImageFormat};

use crate::error::{Error, Result};

/// Up to this edge a picture is written without loss: it is small either way, and its single points can be seen.
const LOSSLESS: usize = 48;
/// JPEG quality of larger ones, 1 to 100.
const QUALITY: u8 = 82;
/// Level around the tiles of a sheet.
const AROUND: [u8; 3] = [128; 3];

/// RGB pixels, row by row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// Width in pixels.
    pub width: usize,
    /// Height in pixels.
    pub height: usize,
    /// `width` × `height` pixels.
    pub rgb: Vec<[u8; 3]>,
}

impl Picture {
    /// A file that every browser shows, and its media type: PNG where the picture is small, JPEG where it isn't.
    ///
    /// # Errors
    /// When the picture is empty, or larger than the formats allow (65,535 pixels).
    pub fn encode(&self) -> Result<(&'static str, Vec<u8>)> {
        let unfit = || {
            Error::data(format!("a picture of {} × {}", self.width, self.height))
                .expected("edges of 1 to 65535 pixels")
        };
        let edge = |pixels: usize| u16::try_from(pixels).map_err(|error| unfit().because(error));
        let (width, height) = (edge(self.width)?.into(), edge(self.height)?.into());
        if self.rgb.is_empty() || self.rgb.len() != self.width * self.height {
            return Err(unfit());
        }
        let mut file = Cursor::new(Vec::new());
        let (pixels, color) = (self.rgb.as_flattened(), ExtendedColorType::Rgb8);
        let (media, written) = if self.width.max(self.height) <= LOSSLESS {
            let png = ImageFormat::Png;
            (
                "image/png",
                image::write_buffer_with_format(&mut file, pixels, width, height, color, png),
            )
        } else {
            let mut encoder = JpegEncoder::new_with_quality(&mut file, QUALITY);
            ("image/jpeg", encoder.encode(pixels, width, height, color))
        };
        written.map_err(|error| unfit().because(error))?;
        Ok((media, file.into_inner()))
    }

    /// Many pictures in one, `columns` across: square tiles as large as the largest picture, each in the middle of its
    /// tile. Returns the sheet and the edge of a tile; `None` where there is nothing to show.
    pub fn sheet(pictures: &[Option<Self>], columns: usize) -> Option<(Self, usize)> {
        let edges = pictures
            .iter()
            .flatten()
            .map(|picture| picture.width.max(picture.height));
        let edge = edges.max().filter(|&edge| edge > 0)?;
        let columns = columns.clamp(1, pictures.len());
        let (width, height) = (columns * edge, pictures.len().div_ceil(columns) * edge);
        let mut rgb = vec![AROUND; width * height];
        for (place, picture) in pictures.iter().enumerate() {
            let Some(picture) = picture.as_ref().filter(|picture| picture.width > 0) else {
                continue;
            };
            let left = place % columns * edge + (edge - picture.width) / 2;
            let top = place / columns * edge + (edge - picture.height) / 2;
            for (row, pixels) in picture.rgb.chunks_exact(picture.width).enumerate() {
                let at = (top + row) * width + left;
                rgb[at..at + picture.width].copy_from_slice(pixels);
            }
        }
        Some((Self { width, height, rgb }, edge))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(width: usize, height: usize, color: [u8; 3]) -> Picture {
        let rgb = vec![color; width * height];
        Picture { width, height, rgb }
    }

    #[test]
    fn small_pictures_are_kept_exactly_and_large_ones_nearly() {
        let mut small = plain(5, 3, [200, 10, 30]);
        small.rgb[7] = [1, 2, 3];
        let (media, file) = small.encode().unwrap();
        let read = image::load_from_memory(&file).unwrap().into_rgb8();
        assert_eq!(media, "image/png");
        assert_eq!(read.as_raw(), small.rgb.as_flattened());
        let (media, file) = plain(90, 60, [200, 10, 30]).encode().unwrap();
        let read = image::load_from_memory(&file).unwrap().into_rgb8();
        assert_eq!((media, read.dimensions()), ("image/jpeg", (90, 60)));
        for (found, expected) in read.as_raw()[..3].iter().zip([200u8, 10, 30]) {
            assert!(found.abs_diff(expected) < 6, "{found} beside {expected}");
        }
        assert!(plain(0, 4, [0; 3]).encode().is_err());
        assert!(plain(70_000, 1, [0; 3]).encode().is_err());
    }

    #[test]
    fn a_sheet_has_each_picture_in_its_tile() {
        let pictures = [Some(plain(4, 4, [1; 3])), None, Some(plain(2, 4, [2; 3]))];
        let (sheet, edge) = Picture::sheet(&pictures, 2).unwrap();
        assert_eq!((sheet.width, sheet.height, edge), (8, 8, 4));
        let at = |x: usize, y: usize| sheet.rgb[y * 8 + x][0];
        assert_eq!((at(0, 0), at(3, 3)), (1, 1));
        assert_eq!(at(5, 1), AROUND[0]);
        assert_eq!(
            (at(0, 4), at(1, 4), at(2, 7), at(3, 4)),
            (AROUND[0], 2, 2, AROUND[0])
        );
        assert!(Picture::sheet(&[None, None], 2).is_none());
        assert!(Picture::sheet(&[], 2).is_none());
    }
}
