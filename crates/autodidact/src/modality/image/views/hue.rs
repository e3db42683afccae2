//! Turning the color circle (torchvision's `adjust_hue`), without going through HSV in full.
//!
//! A pixel's largest and smallest channel survive a change of hue; only how far each channel stands between the two
//! depends on the hue. With the hue h in sixths of the circle, 0 ≤ h < 6, red stands at |h − 3| − 1, green at
//! 2 − |h − 2| and blue at 2 − |h − 4|, each held in 0..1. So there is one division and no branch per pixel.

use super::planes::{Planes, larger, smaller, unit, vectorized};

/// Turns the hue by `shift` of the circle, −0.5 to 0.5. Grey planes have no hue to change.
pub(super) fn adjust_hue(planes: &mut Planes, shift: f32) {
    let Some([r, g, b]) = planes.rgb_mut() else {
        return;
    };
    let shift = shift * 6.0;
    vectorized(
        #[inline(always)]
        || {
            for ((r, g), b) in r.iter_mut().zip(g.iter_mut()).zip(b.iter_mut()) {
                [*r, *g, *b] = turn([*r, *g, *b], shift);
            }
        },
    );
}

#[inline(always)]
fn turn([r, g, b]: [f32; 3], shift: f32) -> [f32; 3] {
    let most = larger(larger(r, g), b);
    let least = smaller(smaller(r, g), b);
    let range = most - least;
    // The hue of a grey pixel is 0, as the differences are; the divisor only has to be another number than 0.
    let range_or_tiny = larger(range, f32::MIN_POSITIVE);
    let red_is_most = most == r;
    let green_is_most = most == g;
    let difference = if red_is_most {
        g - b
    } else if green_is_most {
        b - r
    } else {
        r - g
    };
    let offset = if red_is_most {
        0.0
    } else if green_is_most {
        2.0
    } else {
        4.0
    };
    let h = difference / range_or_tiny + (offset + shift);
    // From −4 ≤ h ≤ 8 to 0 ≤ h ≤ 6; at both ends the formulas below agree.
    let h = if h < 0.0 { h + 6.0 } else { h };
    let h = if h > 6.0 { h - 6.0 } else { h };
    [
        least + range * unit((h - 3.0).abs() - 1.0),
        least + range * unit(2.0 - (h - 2.0).abs()),
        least + range * unit(2.0 - (h - 4.0).abs()),
    ]
}
