//! Series as pictures of lines, for people to look at.

use std::io::Cursor;

use crate::error::{Error, Result};
use crate::modality::Picture;

const BACKGROUND: [u8; 3] = [255; 3];
/// Where values are missing in all channels.
const MISSING: [u8; 3] = [222, 228, 238];
/// Around the pictures of a sheet.
const AROUND: [u8; 3] = [200; 3];
/// Pixels between them.
const MARGIN: usize = 4;
/// Colors of the channels, in turn; those of Okabe & Ito 2008, which nearly everybody can tell apart.
const COLORS: [[u8; 3]; 7] = [
    [0, 114, 178],
    [213, 94, 0],
    [0, 158, 115],
    [204, 121, 167],
    [230, 159, 0],
    [86, 180, 233],
    [90, 90, 90],
];

/// Lines of all channels of values `[time, channels]`, from the least to the largest value.
pub(in crate::modality::series) fn plot(
    values: &[f32],
    channels: usize,
    [width, height]: [usize; 2],
) -> Picture {
    let (width, height) = (width.max(1), height.max(1));
    let steps = values.len() / channels.max(1);
    let mut rgb = vec![BACKGROUND; width * height];
    let there = || values.iter().copied().filter(|value| value.is_finite());
    let least = there().fold(f32::INFINITY, f32::min);
    let most = there().fold(f32::NEG_INFINITY, f32::max);
    // In 64 bits: the span of two large values has no place in 32.
    let span = f64::from(most) - f64::from(least);
    let line = |value: f32| {
        let part = match span > 0.0 {
            true => (f64::from(value) - f64::from(least)) / span,
            false => 0.5,
        };
        // A pixel of room above and below.
        let room = height.saturating_sub(3) as f64;
        height - 1 - (1.0 + part * room).round().min((height - 1) as f64) as usize
    };
    for x in 0..width {
        // The steps of this column and the first of the next, so that lines don't break.
        let from = x * steps / width;
        let to = ((x + 1) * steps / width + 1).clamp(from + 1, steps.max(1));
        let rows = values
            .get(from * channels..to.min(steps) * channels)
            .unwrap_or_default();
        if !rows.is_empty() && rows.iter().all(|value| !value.is_finite()) {
            (0..height).for_each(|y| rgb[y * width + x] = MISSING);
            continue;
        }
        for channel in (0..channels).rev() {
            let of = rows.iter().skip(channel).step_by(channels);
            let drawn = of
                .filter(|value| value.is_finite())
                .map(|&value| line(value));
            let (top, bottom) =
                drawn.fold((height, 0), |(top, bottom), y| (top.min(y), bottom.max(y)));
            for y in top..(bottom + 1).min(height) {
                rgb[y * width + x] = COLORS[channel % COLORS.len()];
            }
        }
    }
    Picture { width, height, rgb }
}

/// Rows of pictures, one below the other.
pub(in crate::modality::series) fn stack(rows: &[Vec<Picture>]) -> Picture {
    let edge = |of: &dyn Fn(&Picture) -> usize| rows.iter().flatten().map(of).max().unwrap_or(0);
    let (wide, high) = (
        edge(&|picture| picture.width),
        edge(&|picture| picture.height),
    );
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = columns * (wide + MARGIN) + MARGIN;
    let height = rows.len() * (high + MARGIN) + MARGIN;
    let mut rgb = vec![AROUND; width * height];
    for (row, pictures) in rows.iter().enumerate() {
        for (column, picture) in pictures.iter().enumerate() {
            let left = MARGIN + column * (wide + MARGIN);
            let top = MARGIN + row * (high + MARGIN);
            for (y, pixels) in picture.rgb.chunks_exact(picture.width.max(1)).enumerate() {
                let at = (top + y) * width + left;
                rgb[at..at + picture.width].copy_from_slice(pixels);
            }
        }
    }
    Picture { width, height, rgb }
}

/// A picture as a PNG file.
///
/// # Errors
/// When it is larger than the format allows.
pub(in crate::modality::series) fn encode_png(picture: &Picture) -> Result<Vec<u8>> {
    let unfit = || {
        Error::data(format!(
            "a picture of {} × {}",
            picture.width, picture.height
        ))
        .expected("edges below 2³¹ pixels")
    };
    let edge = |pixels: usize| u32::try_from(pixels).map_err(|error| unfit().because(error));
    let mut file = Cursor::new(Vec::new());
    image::write_buffer_with_format(
        &mut file,
        picture.rgb.as_flattened(),
        edge(picture.width)?,
        edge(picture.height)?,
        image::ExtendedColorType::Rgb8,
        image::ImageFormat::Png,
    )
    .map_err(|error| unfit().because(error))?;
    Ok(file.into_inner())
}
