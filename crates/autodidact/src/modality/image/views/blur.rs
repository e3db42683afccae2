//! Gaussian blur, separable, with the edges mirrored (torchvision's `gaussian_blur`).

use super::planes::{Planes, vectorized};

/// Buffers kept between calls.
#[derive(Debug, Default)]
pub(super) struct BlurBuffers {
    kernel: Vec<f32>,
    /// One row with its mirrored margins.
    row: Vec<f32>,
    /// A plane blurred across but not yet down.
    across: Vec<f32>,
}

/// Outputs that are summed at a time: as many as stay in registers on a processor with 256-bit vectors.
const LANES: usize = 32;

/// Blurs with a Gaussian of standard deviation `sigma` pixels. The kernel reaches three deviations to each side
/// (0.3 % of the Gaussian lies beyond), torchvision's `kernel_size` of 2⌈3σ⌉ + 1.
pub(super) fn gaussian_blur(planes: &mut Planes, sigma: f32, buffers: &mut BlurBuffers) {
    let radius = (3.0 * sigma).ceil() as usize;
    if radius == 0 {
        return;
    }
    fill_kernel(&mut buffers.kernel, radius, sigma);
    let (width, height, len) = (planes.width, planes.height, planes.plane_len());
    buffers.row.resize(width + 2 * radius, 0.0);
    buffers.across.resize(len, 0.0);
    let BlurBuffers {
        kernel,
        row,
        across,
    } = buffers;
    for plane in planes.values.chunks_exact_mut(len) {
        vectorized(
            #[inline(always)]
            || {
                for (source, out) in plane
                    .chunks_exact(width)
                    .zip(across.chunks_exact_mut(width))
                {
                    row[radius..radius + width].copy_from_slice(source);
                    for k in 1..=radius {
                        row[radius - k] = source[mirrored(-(k as isize), width)];
                        row[radius + width - 1 + k] =
                            source[mirrored((width - 1 + k) as isize, width)];
                    }
                    weighted_sum(
                        out,
                        kernel,
                        #[inline(always)]
                        |k| &row[k..k + width],
                    );
                }
                for (y, out) in plane.chunks_exact_mut(width).enumerate() {
                    let source = |k: usize| {
                        let y = mirrored((y + k) as isize - radius as isize, height);
                        &across[y * width..(y + 1) * width]
                    };
                    weighted_sum(out, kernel, source);
                }
            },
        );
    }
}

/// `out[i] = Σₖ kernel[k] · source(k)[i]`, for sources as long as `out`.
#[inline(always)]
fn weighted_sum<'a>(out: &mut [f32], kernel: &[f32], source: impl Fn(usize) -> &'a [f32]) {
    let whole = out.len() - out.len() % LANES;
    for at in (0..whole).step_by(LANES) {
        let mut sums = [0.0; LANES];
        for (k, &weight) in kernel.iter().enumerate() {
            for (sum, &value) in sums.iter_mut().zip(&source(k)[at..at + LANES]) {
                *sum += weight * value;
            }
        }
        out[at..at + LANES].copy_from_slice(&sums);
    }
    for (at, out) in out.iter_mut().enumerate().skip(whole) {
        *out = kernel
            .iter()
            .enumerate()
            .map(|(k, &weight)| weight * source(k)[at])
            .sum();
    }
}

fn fill_kernel(kernel: &mut Vec<f32>, radius: usize, sigma: f32) {
    let sigma = f64::from(sigma);
    let weight = |k: usize| (-0.5 * ((k as f64 - radius as f64) / sigma).powi(2)).exp();
    let sum: f64 = (0..=2 * radius).map(weight).sum();
    kernel.clear();
    kernel.extend((0..=2 * radius).map(|k| (weight(k) / sum) as f32));
}

/// The position inside `0..len` that `at` is the mirror image of; the edge itself is not repeated.
#[inline(always)]
fn mirrored(at: isize, len: usize) -> usize {
    if (0..len as isize).contains(&at) {
        return at as usize;
    }
    // An image smaller than the kernel is mirrored again and again; a single pixel mirrors into itself.
    let period = (2 * (len as isize - 1)).max(1);
    let at = at.rem_euclid(period);
    at.min(period - at).min(len as isize - 1) as usize
}
