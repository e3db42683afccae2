//! TIFF files whose channels are neither grey, color nor opacity: bands of a satellite, stains of a microscope, floats.
//! And grey with opacity, which the decoder of ordinary images takes for two bands.

use std::io::Cursor;

use tiff::ColorType;
use tiff::decoder::{Decoder, DecodingResult, Limits};
use tiff::tags::Tag;

use super::decode::{MOST_PIXELS, check_size, damaged, over_white, words_over_white};
use crate::error::{Error, Result};
use crate::modality::image::{Image, MOST_CHANNELS, Pixels};

/// Decodes such a file; `None` of one that shows what people see, which the decoder of ordinary images reads.
///
/// # Errors
/// When the file is damaged, or holds values that aren't 8 or 16 bits without sign or floats from 0 to 1.
pub(super) fn decode(bytes: &[u8]) -> Result<Option<Image>> {
    let failed = |source| damaged("TIFF", source);
    let mut limits = Limits::default();
    limits.decoding_buffer_size = (MOST_PIXELS * 8) as usize;
    limits.intermediate_buffer_size = (MOST_PIXELS * 8) as usize;
    let mut decoder = Decoder::new(Cursor::new(bytes))
        .map_err(failed)?
        .with_limits(limits);
    let samples: Option<u16> = decoder
        .find_tag_unsigned(Tag::SamplesPerPixel)
        .map_err(failed)?;
    let channels = usize::from(samples.unwrap_or(1));
    let bands = match decoder.colortype() {
        Ok(ColorType::Multiband { .. }) => true,
        Ok(ColorType::Gray(bits)) => bits > 16,
        Ok(ColorType::RGB(_)) if channels > 3 => {
            // The decoder would leave out what isn't red, green or blue.
            return Err(Error::data(format!(
                "is a TIFF file of {channels} channels, of which it calls 3 colors and says nothing of the others"
            ))
            .expected("channels that are all alike, or opacity as the fourth")
            .mend("write it again with the photometric interpretation MinIsBlack (1)"));
        }
        // The decoder of ordinary images says what it can't read.
        _ => false,
    };
    if !bands {
        return Ok(None);
    }
    let (width, height) = decoder.dimensions().map_err(failed)?;
    check_size(u64::from(width), u64::from(height))?;
    if channels > MOST_CHANNELS {
        return Err(
            Error::data(format!("is a TIFF file of {channels} channels"))
                .expected(format!("at most {MOST_CHANNELS}")),
        );
    }
    let planar: Option<u16> = decoder
        .find_tag_unsigned(Tag::PlanarConfiguration)
        .map_err(failed)?;
    let extra: Option<Vec<u16>> = decoder
        .find_tag_unsigned_vec(Tag::ExtraSamples)
        .map_err(failed)?;
    // 1 and 2 stand for opacity; of anything else that comes second, nobody says what it is.
    let opacity = channels == 2 && matches!(extra.as_deref(), Some([1 | 2]));
    let mut values = DecodingResult::U8(Vec::new());
    decoder.read_image_to_buffer(&mut values).map_err(failed)?;
    let (width, height) = (width as usize, height as usize);
    let planes = if planar == Some(2) { channels } else { 1 };
    let pixels = match values {
        DecodingResult::U8(values) => Pixels::Bytes(interleaved(values, planes).into()),
        DecodingResult::U16(values) => Pixels::Words(interleaved(values, planes).into()),
        DecodingResult::F32(values) => Pixels::Floats(interleaved(values, planes).into()),
        _ => {
            return Err(
                Error::data("is a TIFF file of signed, 32-bit whole or 64-bit values")
                    .expected("8 or 16 bits without sign, or 32-bit floats from 0 to 1"),
            );
        }
    };
    let (channels, pixels) = match pixels {
        Pixels::Bytes(values) if opacity => (1, Pixels::Bytes(over_white::<2, 1>(&values).into())),
        Pixels::Words(values) if opacity => {
            (1, Pixels::Words(words_over_white::<2, 1>(&values).into()))
        }
        pixels => (channels, pixels),
    };
    Image::of(width, height, channels, pixels).map(Some)
}

/// Pixel by pixel what comes as `planes`, one after the other.
fn interleaved<T: Copy>(values: Vec<T>, planes: usize) -> Vec<T> {
    let len = values.len() / planes;
    if planes == 1 || len == 0 {
        return values;
    }
    (0..len)
        .flat_map(|pixel| (0..planes).map(move |plane| plane * len + pixel))
        .map(|at| values[at])
        .collect()
}
