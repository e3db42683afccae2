//! Image files to pixels, by what the bytes are and not by what the file is called.
//!
//! Files are untrusted: dimensions are looked at before anything is allocated, and a file that ends too early is an
//! error rather than an image with a grey lower half.
//!
//! The JPEG decoder rounds chroma that is stored at half size up, twice: over many images the means of red, green and
//! blue lie about 0.001, -0.001 and 0.001 (of 1) beside those of libjpeg.

use std::io::Cursor;

use image::metadata::Orientation;
use image::{ColorType, DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use super::bands;
use super::opacity::{Opacity, bytes_over_white, floats_over_white, words_over_white};
use super::orientation::turned;
use crate::error::{Error, Result};
use crate::modality::image::{Image, Pixels};
use crate::modality::source::guard::guarded;

/// The most pixels of an image: an aerial photo of 12,000×9,000 is read, and a file that declares more than anybody
/// photographs is not. A fuzzer would otherwise spend its time on a few large and empty images.
pub const MOST_PIXELS: u64 = if cfg!(fuzzing) { 1 << 20 } else { 128 << 20 };

/// Bytes that [`sniff`] looks at.
pub(super) const HEAD: u64 = 32;

/// What is read, for messages.
pub(super) const FORMATS: &str = "JPEG, PNG, BMP, WebP, GIF or TIFF files";

/// The format of a file that begins with `head`.
pub(super) fn sniff(head: &[u8]) -> Option<ImageFormat> {
    if head.starts_with(&[0xff, 0xd8, 0xff]) {
        Some(ImageFormat::Jpeg)
    } else if head.starts_with(b"\x89PNG\r\n\x1a\n") {
        Some(ImageFormat::Png)
    } else if head.starts_with(b"GIF87a") || head.starts_with(b"GIF89a") {
        Some(ImageFormat::Gif)
    } else if head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WEBP") {
        Some(ImageFormat::WebP)
    } else if [&b"II*\0"[..], b"MM\0*", b"II+\0", b"MM\0+"]
        .iter()
        .any(|m| head.starts_with(m))
    {
        Some(ImageFormat::Tiff)
    } else if head.starts_with(b"BM")
        // Text may begin with BM too: the length of the second header settles it.
        && head.get(14..18).is_some_and(|n| matches!(n, [12 | 40 | 52 | 56 | 64 | 108 | 124, 0, 0, 0]))
    {
        Some(ImageFormat::Bmp)
    } else {
        None
    }
}

/// Whether a file's name promises an image.
pub(super) fn has_image_name(name: &str) -> bool {
    let endings = [
        "jpg", "jpeg", "jpe", "png", "bmp", "webp", "gif", "tif", "tiff",
    ];
    let ending = name
        .rsplit_once('.')
        .map(|(_, ending)| ending.to_ascii_lowercase());
    ending.is_some_and(|ending| endings.contains(&ending.as_str()))
}

/// Decodes an image file: grey or sRGB, transparency over white, the first frame of several, the way up that its EXIF
/// note says.
///
/// Values of 16 bits and floats stay what they are, and so do the channels of a TIFF that are neither color nor opacity.
/// Grey stays grey; everything else (palette, CMYK) becomes sRGB.
///
/// # Errors
/// When the bytes are no image that is read here, are damaged or end too early, or show more than [`MOST_PIXELS`].
pub fn decode(bytes: &[u8]) -> Result<Image> {
    match sniff(&bytes[..bytes.len().min(HEAD as usize)]) {
        Some(ImageFormat::Jpeg) => guarded(|| jpeg(bytes))
            .unwrap_or_else(|| Err(damaged("JPEG", "its inner sizes contradict each other"))),
        Some(ImageFormat::Tiff) => tiff(bytes),
        Some(format) => other(bytes, format),
        None if bytes.is_empty() => Err(Error::data("is empty").expected("an image file")),
        None => Err(
            Error::data(format!("is no image: begins with {}", shown(bytes)))
                .expected("a JPEG, PNG, BMP, WebP, GIF or TIFF file"),
        ),
    }
}

/// The first bytes for people.
fn shown(bytes: &[u8]) -> String {
    let head = &bytes[..bytes.len().min(12)];
    if head.iter().all(|byte| (b' '..=b'~').contains(byte)) {
        format!("\"{}\"", String::from_utf8_lossy(head))
    } else {
        head.iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<Vec<_>>()
            .join(" ")
    }
}

pub(super) fn damaged(
    format: &str,
    source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> Error {
    Error::data(format!("is a damaged {format} file"))
        .because(source)
        .expected("an intact image")
}

pub(super) fn check_size(width: u64, height: u64) -> Result<()> {
    if width == 0 || height == 0 || width.saturating_mul(height) > MOST_PIXELS {
        return Err(Error::data(format!("is {width}×{height} pixels"))
            .expected(format!(
                "at least one and at most {} million",
                MOST_PIXELS >> 20
            ))
            .mend("make it smaller"));
    }
    Ok(())
}

/// A JPEG file. Where sampling factors and sizes contradict each other, the crate that reads it panics on some processors.
fn jpeg(bytes: &[u8]) -> Result<Image> {
    let failed = |source| damaged("JPEG", source);
    // Not strict, as libjpeg isn't: real files hold stray bytes between their markers.
    let options = DecoderOptions::default()
        .set_strict_mode(false)
        .set_max_width(65_535)
        .set_max_height(65_535);
    let mut decoder = zune_jpeg::JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(failed)?;
    let (width, height) = decoder
        .dimensions()
        .ok_or_else(|| damaged("JPEG", "no dimensions"))?;
    check_size(width as u64, height as u64)?;
    if !has_end(bytes) {
        return Err(damaged("JPEG", "it ends too early"));
    }
    let (space, channels) = match decoder.input_colorspace() {
        Some(ColorSpace::Luma | ColorSpace::LumaA) => (ColorSpace::Luma, 1),
        _ => (ColorSpace::RGB, 3),
    };
    decoder.set_options(options.jpeg_set_out_colorspace(space));
    let pixels = decoder.decode().map_err(failed)?;
    let orientation = decoder
        .exif()
        .and_then(|exif| Orientation::from_exif_chunk(exif));
    let image = Image::new(width, height, channels, pixels)?;
    turned(image, orientation.unwrap_or(Orientation::NoTransforms))
}

/// Whether the end marker follows the first scan. Inside a scan 0xFF is always escaped, so that it can't be found by
/// accident; the search runs from the end, where it stands in an intact file.
fn has_end(bytes: &[u8]) -> bool {
    let mut at = 2;
    while let Some(&[0xff, marker]) = bytes.get(at..at + 2) {
        at += 2;
        match marker {
            0xda => break,
            0xff => at -= 1,
            0x01 | 0xd0..=0xd9 => {}
            _ => match bytes.get(at..at + 2) {
                Some(&[high, low]) => at += usize::from(u16::from_be_bytes([high, low])),
                _ => return false,
            },
        }
    }
    bytes
        .get(at..)
        .is_some_and(|scan| scan.windows(2).rev().any(|pair| pair == [0xff, 0xd9]))
}

/// A TIFF file. The crate that reads it asserts what a file may get wrong, and a panic of its is damage like any other.
fn tiff(bytes: &[u8]) -> Result<Image> {
    let read = || -> Result<Image> {
        match bands::decode(bytes)? {
            Some(image) => Ok(image),
            None => other(bytes, ImageFormat::Tiff),
        }
    };
    guarded(read).unwrap_or_else(|| Err(damaged("TIFF", "its inner lengths contradict each other")))
}

fn other(bytes: &[u8], format: ImageFormat) -> Result<Image> {
    let name = match format {
        ImageFormat::Png => "PNG",
        ImageFormat::Bmp => "BMP",
        ImageFormat::WebP => "WebP",
        ImageFormat::Gif => "GIF",
        _ => "TIFF",
    };
    let failed = |source| damaged(name, source);
    let mut limits = Limits::default();
    // Eight bytes a pixel, the widest that is read, and some room for the decoder itself.
    limits.max_alloc = Some(MOST_PIXELS * 8 + (64 << 20));
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    reader.limits(limits.clone());
    let mut decoder = reader.into_decoder().map_err(failed)?;
    let (width, height) = decoder.dimensions();
    check_size(u64::from(width), u64::from(height))?;
    decoder.set_limits(limits).map_err(failed)?;
    // Damaged notes say nothing about the pixels.
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let image = DynamicImage::from_decoder(decoder).map_err(failed)?;
    let (width, height) = (image.width() as usize, image.height() as usize);
    let (channels, pixels) = match image.color() {
        ColorType::L8 => (1, Pixels::Bytes(image.into_luma8().into_raw().into())),
        ColorType::L16 => (1, Pixels::Words(image.into_luma16().into_raw().into())),
        ColorType::La8 => {
            let pixels = image.into_luma_alpha8();
            let seen = bytes_over_white(pixels.as_raw(), 2, Opacity::Straight);
            (1, Pixels::Bytes(seen))
        }
        ColorType::La16 => {
            let pixels = image.into_luma_alpha16();
            let seen = words_over_white(pixels.as_raw(), 2, Opacity::Straight);
            (1, Pixels::Words(seen))
        }
        ColorType::Rgb16 => (3, Pixels::Words(image.into_rgb16().into_raw().into())),
        ColorType::Rgba16 => {
            let pixels = image.into_rgba16();
            let seen = words_over_white(pixels.as_raw(), 4, Opacity::Straight);
            (3, Pixels::Words(seen))
        }
        ColorType::Rgb32F => (3, Pixels::Floats(image.into_rgb32f().into_raw().into())),
        ColorType::Rgba32F => {
            let pixels = image.into_rgba32f();
            let seen = floats_over_white(pixels.as_raw(), 4, Opacity::Straight);
            (3, Pixels::Floats(seen))
        }
        color if color.has_alpha() => {
            let pixels = image.into_rgba8();
            let seen = bytes_over_white(pixels.as_raw(), 4, Opacity::Straight);
            (3, Pixels::Bytes(seen))
        }
        _ => (3, Pixels::Bytes(image.into_rgb8().into_raw().into())),
    };
    turned(Image::of(width, height, channels, pixels)?, orientation)
}
