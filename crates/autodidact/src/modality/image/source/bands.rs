//! TIFF files that the decoder of ordinary images doesn't read as they are meant: channels that are neither grey, color
//! nor opacity (bands of a satellite, stains of a microscope), floats, colors with opacity or in planes.

use std::io::Cursor;

use image::metadata::Orientation;
use tiff::ColorType;
use tiff::decoder::{ChunkType, Decoder, DecodingResult, Limits};
use tiff::tags::Tag;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;

use super::decode::{MOST_PIXELS, check_size, damaged};
use super::opacity::{Opacity, bytes_over_white, floats_over_white, words_over_white};
use super::orientation::turned;
use crate::error::{Error, Result};
use crate::modality::image::{Image, MOST_CHANNELS, Pixels};

/// Bytes that an image may take, and so may a strip or a tile of one.
const LARGEST: u64 = MOST_PIXELS * 8;
/// Pixels of all tiles together, with those that pad them at the image's edges.
const PADDED: u64 = MOST_PIXELS * 4;
/// The number by which TIFF knows that its parts are JPEGs.
const JPEG: u16 = 7;
/// How often the parts of a file may cover it: tiles that look alike may be stored once.
const SHARED: u64 = 8;

/// A file being read.
type Reader<'a> = Decoder<Cursor<&'a [u8]>>;

/// Decodes such a file; `None` of one that the decoder of ordinary images reads, or says why it can't.
///
/// # Errors
/// When the file is damaged, or holds values that aren't 8 or 16 bits without sign or floats from 0 to 1.
pub(super) fn decode(bytes: &[u8]) -> Result<Option<Image>> {
    let failed = |source| damaged("TIFF", source);
    // Notes are read within narrow limits, which are lifted for the pixels.
    let mut decoder = Decoder::new(Cursor::new(bytes)).map_err(failed)?;
    let (width, height) = decoder.dimensions().map_err(failed)?;
    check_size(u64::from(width), u64::from(height))?;
    let samples: Option<u16> = decoder
        .find_tag_unsigned(Tag::SamplesPerPixel)
        .map_err(failed)?;
    let channels = usize::from(samples.unwrap_or(1));
    let planar: Option<u16> = decoder
        .find_tag_unsigned(Tag::PlanarConfiguration)
        .map_err(failed)?;
    let planes = if planar == Some(2) { channels } else { 1 };
    let Ok(color) = decoder.colortype() else {
        return Ok(None);
    };
    nothing_left_out(color, channels)?;
    check_parts(&mut decoder, bytes, channels / planes, color.bit_depth())?;
    let ours = match color {
        ColorType::Multiband { .. } | ColorType::RGBA(_) => true,
        ColorType::Gray(bits) => bits > 16,
        ColorType::RGB(_) => planes > 1,
        _ => false,
    };
    if !ours {
        return Ok(None);
    }
    if channels > MOST_CHANNELS {
        return Err(
            Error::data(format!("is a TIFF file of {channels} channels"))
                .expected(format!("at most {MOST_CHANNELS}")),
        );
    }
    let opacity = opacity(&mut decoder, color, channels)?;
    // Damaged notes say nothing about the pixels.
    let noted: Option<u8> = decoder.find_tag_unsigned(Tag::Orientation).ok().flatten();
    let orientation = noted.and_then(Orientation::from_exif);
    let pixels = pixels(decoder, color.bit_depth(), planes)?;
    let (width, height) = (width as usize, height as usize);
    let (channels, pixels) = match opacity {
        Some(opacity) => (channels - 1, over_white(&pixels, channels, opacity)),
        None => (channels, pixels),
    };
    let image = Image::of(width, height, channels, pixels)?;
    turned(image, orientation.unwrap_or(Orientation::NoTransforms)).map(Some)
}

/// Refuses colors beside which there is more, since the decoder would leave out what isn't red, green, blue or opacity.
fn nothing_left_out(color: ColorType, channels: usize) -> Result<()> {
    let named = match color {
        ColorType::RGB(_) if channels > 3 => "3 colors",
        ColorType::RGBA(_) if channels > 4 => "3 colors and one opacity",
        _ => return Ok(()),
    };
    Err(Error::data(format!(
        "is a TIFF file of {channels} channels, of which it calls {named} and says nothing of the others"
    ))
    .expected("channels that are all alike, or opacity as the fourth")
    .mend("write it again with the photometric interpretation MinIsBlack (1)"))
}

/// Looks at what the file says of its strips or tiles, `channels` values of so many bits a pixel, before memory is taken
/// for them: the decoder takes it for whatever width a tile claims, and for whatever size a JPEG inside of one does.
fn check_parts(decoder: &mut Reader<'_>, bytes: &[u8], channels: usize, bits: u8) -> Result<()> {
    let failed = |source| damaged("TIFF", source);
    let (columns, rows) = decoder.dimensions().map_err(failed)?;
    let tiled = decoder.get_chunk_type() == ChunkType::Tile;
    let (width, height) = decoder.chunk_dimensions();
    let parts = u64::from(columns.div_ceil(width)) * u64::from(rows.div_ceil(height));
    // Tiles are padded to their size; strips may claim more rows than there are.
    let height = if tiled { height } else { height.min(rows) };
    let size = u64::from(width) * u64::from(height);
    let value = u64::from(bits.div_ceil(8));
    if size.saturating_mul(channels as u64).saturating_mul(value) > LARGEST
        || size.saturating_mul(parts) > PADDED
    {
        return Err(Error::data(format!(
            "is a TIFF file in {parts} parts of {width}×{height} pixels with {channels} values each"
        ))
        .expected("parts that fit the image, of ordinary size")
        .mend("write it again in strips, or in tiles of some hundred pixels"));
    }
    let packing: Option<u16> = decoder
        .find_tag_unsigned(Tag::Compression)
        .map_err(failed)?;
    if packing != Some(JPEG) {
        return Ok(());
    }
    let (offsets, lengths) = if tiled {
        (Tag::TileOffsets, Tag::TileByteCounts)
    } else {
        (Tag::StripOffsets, Tag::StripByteCounts)
    };
    let mut numbers = |tag| -> Result<Vec<u64>> {
        let found = decoder.find_tag_unsigned_vec(tag).map_err(failed)?;
        Ok(found.unwrap_or_default())
    };
    let (offsets, lengths) = (numbers(offsets)?, numbers(lengths)?);
    let tables: Vec<u8> = decoder
        .find_tag_unsigned_vec(Tag::JPEGTables)
        .map_err(failed)?
        .unwrap_or_default();
    let all = lengths.iter().fold(0u64, |sum, &n| sum.saturating_add(n));
    if all > SHARED * bytes.len() as u64 {
        return Err(damaged("TIFF", "its parts are longer than it is"));
    }
    // Of the tables the end is left out, and of the part the beginning.
    let tables = tables.get(..tables.len().saturating_sub(2));
    let tables = tables.filter(|tables| !tables.is_empty());
    for (offset, length) in offsets.into_iter().zip(lengths) {
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        let part = bytes.get(from..).unwrap_or_default();
        let part = &part[..part
            .len()
            .min(usize::try_from(length).unwrap_or(usize::MAX))];
        let (wide, high) = match tables {
            Some(tables) => jpeg_size(&[tables, part.get(2..).unwrap_or_default()].concat())?,
            None => jpeg_size(part)?,
        };
        // A JPEG is made of blocks of up to 32 pixels, and some programs count them all.
        let most = |edge: u32| (edge as usize).next_multiple_of(32);
        if wide > most(width) || high > most(height) {
            let found = format!("a part of {width}×{height} pixels holds a JPEG of {wide}×{high}");
            return Err(damaged("TIFF", found));
        }
    }
    Ok(())
}

/// Width and height as the header of a JPEG says, read as the decoder of TIFF files reads it.
fn jpeg_size(bytes: &[u8]) -> Result<(usize, usize)> {
    let mut header = JpegDecoder::new(ZCursor::new(bytes));
    header
        .decode_headers()
        .map_err(|source| damaged("TIFF", source))?;
    header
        .dimensions()
        .ok_or_else(|| damaged("TIFF", "a JPEG in it has no dimensions"))
}

/// How the last channel is the opacity of the others; `None` where it isn't.
fn opacity(decoder: &mut Reader<'_>, color: ColorType, channels: usize) -> Result<Option<Opacity>> {
    let extra: Option<Vec<u16>> = decoder
        .find_tag_unsigned_vec(Tag::ExtraSamples)
        .map_err(|source| damaged("TIFF", source))?;
    // 1 stands for an opacity that colors are multiplied by, 2 for one that they aren't; of anything else that comes
    // second, nobody says what it is.
    Ok(match (color, extra.as_deref()) {
        (ColorType::RGBA(_), Some([1, ..])) => Some(Opacity::Multiplied),
        (ColorType::RGBA(_), _) => Some(Opacity::Straight),
        (_, Some([1])) if channels == 2 => Some(Opacity::Multiplied),
        (_, Some([2])) if channels == 2 => Some(Opacity::Straight),
        _ => None,
    })
}

fn over_white(pixels: &Pixels, channels: usize, opacity: Opacity) -> Pixels {
    match pixels {
        Pixels::Bytes(values) => Pixels::Bytes(bytes_over_white(values, channels, opacity)),
        Pixels::Words(values) => Pixels::Words(words_over_white(values, channels, opacity)),
        Pixels::Floats(values) => Pixels::Floats(floats_over_white(values, channels, opacity)),
    }
}

/// All values, pixel by pixel.
fn pixels(decoder: Reader<'_>, bits: u8, planes: usize) -> Result<Pixels> {
    let failed = |source| damaged("TIFF", source);
    let expected = "8 or 16 bits without sign, or 32-bit floats from 0 to 1";
    if ![8, 16, 32, 64].contains(&bits) {
        let found = format!("is a TIFF file of values of {bits} bits");
        return Err(Error::data(found).expected(expected));
    }
    let mut limits = Limits::default();
    limits.decoding_buffer_size = LARGEST as usize;
    limits.intermediate_buffer_size = LARGEST as usize;
    let mut decoder = decoder.with_limits(limits.clone());
    let mut values = DecodingResult::U8(Vec::new());
    if planes > 1 && decoder.get_chunk_type() == ChunkType::Tile {
        let layout = decoder.image_buffer_layout().map_err(failed)?;
        values.resize_to(&layout, &limits).map_err(failed)?;
        let mut buffer = values.as_buffer(0);
        let bytes = usize::from(bits / 8);
        read_tiles(&mut decoder, planes, bytes, buffer.as_bytes_mut())?;
    } else {
        decoder.read_image_to_buffer(&mut values).map_err(failed)?;
    }
    match values {
        DecodingResult::U8(values) => Ok(Pixels::Bytes(interleaved(values, planes).into())),
        DecodingResult::U16(values) => Ok(Pixels::Words(interleaved(values, planes).into())),
        DecodingResult::F32(values) => Ok(Pixels::Floats(interleaved(values, planes).into())),
        _ => {
            let found = "is a TIFF file of signed, 32-bit whole, 16-bit or 64-bit float values";
            Err(Error::data(found).expected(expected))
        }
    }
}

/// Reads the tiles of several planes into one plane after the other, values of so many `bytes`. The decoder by itself
/// takes what pads the lowest tiles for rows of the image, in all planes but the first.
fn read_tiles(
    decoder: &mut Reader<'_>,
    planes: usize,
    bytes: usize,
    into: &mut [u8],
) -> Result<()> {
    let failed = |source| damaged("TIFF", source);
    let (width, height) = decoder.dimensions().map_err(failed)?;
    let (wide, high) = decoder.chunk_dimensions();
    let (across, down) = (width.div_ceil(wide), height.div_ceil(high));
    let row = width as usize * bytes;
    let places = (0..down).flat_map(|y| (0..across).map(move |x| (x, y)));
    for (plane, into) in into
        .chunks_exact_mut(row * height as usize)
        .take(planes)
        .enumerate()
    {
        for (x, y) in places.clone() {
            let index = (plane as u32 * down + y) * across + x;
            // Without what pads it at the right, and perhaps with what pads it below.
            let (columns, rows) = decoder.chunk_data_dimensions(index);
            let line = columns as usize * bytes;
            let mut tile = vec![0; line * rows as usize];
            decoder.read_chunk_bytes(index, &mut tile).map_err(failed)?;
            let (left, top) = ((x * wide) as usize * bytes, (y * high) as usize);
            let rows = into.chunks_exact_mut(row).skip(top);
            for (into, from) in rows.zip(tile.chunks_exact(line)) {
                into[left..left + line].copy_from_slice(from);
            }
        }
    }
    Ok(())
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
