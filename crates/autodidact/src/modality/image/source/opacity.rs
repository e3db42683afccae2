//! Transparency laid over white, as paper would show it.

use std::sync::Arc;

/// How colors are stored beside their opacity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Opacity {
    /// As they would be without it.
    Straight,
    /// Multiplied by it already.
    Multiplied,
}

/// Lays pixels of `channels` values, whose last is their opacity, over white.
pub(super) fn bytes_over_white(values: &[u8], channels: usize, opacity: Opacity) -> Arc<[u8]> {
    over_white(values, channels, |value, alpha| {
        let (value, alpha) = (u32::from(value), u32::from(alpha));
        let clear = 255 - alpha;
        match opacity {
            Opacity::Straight => ((value * alpha + 255 * clear + 127) / 255) as u8,
            // More than its opacity allows no program should write.
            Opacity::Multiplied => (value + clear).min(255) as u8,
        }
    })
}

/// As [`bytes_over_white`], for values of 16 bits.
pub(super) fn words_over_white(values: &[u16], channels: usize, opacity: Opacity) -> Arc<[u16]> {
    over_white(values, channels, |value, alpha| {
        let (value, alpha) = (u64::from(value), u64::from(alpha));
        let clear = 65_535 - alpha;
        match opacity {
            Opacity::Straight => ((value * alpha + 65_535 * clear + 32_767) / 65_535) as u16,
            Opacity::Multiplied => (value + clear).min(65_535) as u16,
        }
    })
}

/// As [`bytes_over_white`], for floats from 0 to 1.
pub(super) fn floats_over_white(values: &[f32], channels: usize, opacity: Opacity) -> Arc<[f32]> {
    over_white(values, channels, |value, alpha| match opacity {
        Opacity::Straight => value * alpha + 1.0 - alpha,
        Opacity::Multiplied => value + (1.0 - alpha),
    })
}

fn over_white<T: Copy>(values: &[T], channels: usize, over: impl Fn(T, T) -> T) -> Arc<[T]> {
    let mut seen = Vec::with_capacity(values.len() / channels * (channels - 1));
    for pixel in values.chunks_exact(channels) {
        let (alpha, colors) = (pixel[channels - 1], &pixel[..channels - 1]);
        seen.extend(colors.iter().map(|&value| over(value, alpha)));
    }
    seen.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colors_that_opacity_was_multiplied_into_are_not_multiplied_again() {
        let bytes = |pixel: &[u8], opacity| bytes_over_white(pixel, pixel.len(), opacity).to_vec();
        assert_eq!(
            bytes(&[100, 50, 0, 128], Opacity::Multiplied),
            [227, 177, 127]
        );
        assert_eq!(
            bytes(&[100, 50, 0, 128], Opacity::Straight),
            [177, 152, 127]
        );
        assert_eq!(bytes(&[200, 100], Opacity::Multiplied), [255]);
        let words = |opacity| words_over_white(&[0x1000, 0x8000], 2, opacity).to_vec();
        assert_eq!(words(Opacity::Multiplied), [0x8fff]);
        let floats = |opacity| floats_over_white(&[0.25, 0.5], 2, opacity).to_vec();
        assert_eq!(floats(Opacity::Multiplied), [0.75]);
        assert_eq!(floats(Opacity::Straight), [0.625]);
    }
}
