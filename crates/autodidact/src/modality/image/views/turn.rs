//! Flips and quarter turns of finished planes. Where nothing is turned, `resize` flips as it writes.

use super::planes::Planes;
use super::resize::Flips;

/// Exchanges left with right, top with bottom.
pub(super) fn flip(planes: &mut Planes, flips: Flips) {
    let (width, len) = (planes.width, planes.plane_len());
    for plane in planes.values.chunks_exact_mut(len) {
        if flips.horizontal {
            plane.chunks_exact_mut(width).for_each(<[f32]>::reverse);
        }
        if flips.vertical {
            // A half turn with every row turned back.
            plane.reverse();
            plane.chunks_exact_mut(width).for_each(<[f32]>::reverse);
        }
    }
}

/// Turns square planes counterclockwise by `turns` × 90° (`torch.rot90`), through `spare`.
pub(super) fn quarter_turn(planes: &mut Planes, turns: u8, spare: &mut Planes) {
    debug_assert_eq!(planes.width, planes.height);
    let size = planes.width;
    let len = planes.plane_len();
    match turns % 4 {
        0 => {}
        2 => planes
            .values
            .chunks_exact_mut(len)
            .for_each(<[f32]>::reverse),
        turns => {
            spare.reshape(size, size, planes.channels);
            for (out, plane) in spare
                .values
                .chunks_exact_mut(len)
                .zip(planes.values.chunks_exact(len))
            {
                for (y, row) in out.chunks_exact_mut(size).enumerate() {
                    // Row y of the result is a column of the source: the y-th from the right read downwards,
                    // or the y-th from the left read upwards.
                    if turns == 1 {
                        for (x, value) in row.iter_mut().enumerate() {
                            *value = plane[x * size + size - 1 - y];
                        }
                    } else {
                        for (x, value) in row.iter_mut().enumerate() {
                            *value = plane[(size - 1 - x) * size + y];
                        }
                    }
                }
            }
            std::mem::swap(planes, spare);
        }
    }
}
