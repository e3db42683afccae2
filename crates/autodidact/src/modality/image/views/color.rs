//! Brightness, contrast, saturation, greyness and solarization (torchvision's `adjust_*`, `rgb_to_grayscale`,
//! `solarize`), each over whole planes.

use super::planes::{Planes, unit, vectorized};

/// Weights of red, green and blue in a grey level: ITU-R BT.601 as Pillow's `L` has them. They add up to one, so
/// what is grey stays as it is; torchvision's own red (0.2989) makes it darker by a ten-thousandth.
const LUMA: [f32; 3] = [0.299, 0.587, 0.114];

#[inline(always)]
fn luma(r: f32, g: f32, b: f32) -> f32 {
    LUMA[0] * r + LUMA[1] * g + LUMA[2] * b
}

/// Multiplies every value by `factor` (0 is black, 1 changes nothing), held in 0..1.
pub(super) fn adjust_brightness(planes: &mut Planes, factor: f32) {
    vectorized(
        #[inline(always)]
        || {
            for value in &mut planes.values {
                *value = unit(*value * factor);
            }
        },
    );
}

/// Stretches the distance from the mean grey level by `factor` (0 is uniform grey, 1 changes nothing), held in 0..1.
pub(super) fn adjust_contrast(planes: &mut Planes, factor: f32) {
    vectorized(
        #[inline(always)]
        || {
            let shift = mean_grey(planes) * (1.0 - factor);
            for value in &mut planes.values {
                *value = unit(*value * factor + shift);
            }
        },
    );
}

/// Stretches the distance from each pixel's grey level by `factor` (0 is grey, 1 changes nothing), held in 0..1.
/// Grey planes have no saturation to change.
pub(super) fn adjust_saturation(planes: &mut Planes, factor: f32) {
    let Some([r, g, b]) = planes.rgb_mut() else {
        return;
    };
    vectorized(
        #[inline(always)]
        || {
            for ((r, g), b) in r.iter_mut().zip(g.iter_mut()).zip(b.iter_mut()) {
                let grey = luma(*r, *g, *b) * (1.0 - factor);
                *r = unit(*r * factor + grey);
                *g = unit(*g * factor + grey);
                *b = unit(*b * factor + grey);
            }
        },
    );
}

/// Makes three planes hold the grey level of each pixel; they stay three.
pub(super) fn make_grey(planes: &mut Planes) {
    let Some([r, g, b]) = planes.rgb_mut() else {
        return;
    };
    vectorized(
        #[inline(always)]
        || {
            for ((r, g), b) in r.iter_mut().zip(g.iter_mut()).zip(b.iter_mut()) {
                let grey = luma(*r, *g, *b);
                (*r, *g, *b) = (grey, grey, grey);
            }
        },
    );
}

/// Makes one plane of three: the grey level of each pixel.
pub(super) fn into_grey(planes: &mut Planes) {
    if planes.channels == 3 {
        make_grey(planes);
        planes.reshape(planes.width, planes.height, 1);
    }
}

/// Inverts every value that is `threshold` (0 to 255) or brighter. A value counts as the byte it is nearest to, so
/// that the rounding of a resize doesn't decide.
pub(super) fn solarize(planes: &mut Planes, threshold: u8) {
    let threshold = (f32::from(threshold) - 0.5) / 255.0;
    vectorized(
        #[inline(always)]
        || {
            for value in &mut planes.values {
                *value = if *value >= threshold {
                    1.0 - *value
                } else {
                    *value
                };
            }
        },
    );
}

/// The mean of the pixels' grey levels, or of all values where they aren't colors. Sixteen sums run side by side, whatever the width of the vectors, so that
/// every processor adds in the same order.
#[inline(always)]
fn mean_grey(planes: &Planes) -> f32 {
    const LANES: usize = 16;
    let mut sums = [0.0; LANES];
    let mut len = planes.plane_len();
    if let Some([r, g, b]) = planes.rgb() {
        let (mut rs, mut gs, mut bs) = (
            r.chunks_exact(LANES),
            g.chunks_exact(LANES),
            b.chunks_exact(LANES),
        );
        for ((r, g), b) in (&mut rs).zip(&mut gs).zip(&mut bs) {
            for lane in 0..LANES {
                sums[lane] += luma(r[lane], g[lane], b[lane]);
            }
        }
        for ((sum, r), (g, b)) in sums
            .iter_mut()
            .zip(rs.remainder())
            .zip(gs.remainder().iter().zip(bs.remainder()))
        {
            *sum += luma(*r, *g, *b);
        }
    } else {
        len = planes.values.len();
        let mut values = planes.values.chunks_exact(LANES);
        for values in &mut values {
            for lane in 0..LANES {
                sums[lane] += values[lane];
            }
        }
        for (sum, value) in sums.iter_mut().zip(values.remainder()) {
            *sum += value;
        }
    }
    (sums.iter().map(|&sum| f64::from(sum)).sum::<f64>() / len as f64) as f32
}
