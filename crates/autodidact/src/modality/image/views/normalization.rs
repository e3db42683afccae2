//! Mean and deviation of a data set's pixels, which the network sees as 0 and 1.

use serde::{Deserialize, Serialize};

use super::planes::{Planes, vectorized};
use crate::error::{Error, Result};
use crate::modality::image::MOST_CHANNELS;

/// Deviations below this (a fifth of a byte's step) count as this, so that an image set that is all one level
/// stays finite.
const LEAST_DEVIATION: f32 = 1e-3;

/// Mean and standard deviation per channel, on a scale where 0 is black and 1 is white.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Written")]
pub struct Normalization {
    mean: Vec<f32>,
    deviation: Vec<f32>,
}

impl Normalization {
    /// One mean (0 to 1) and one deviation (0 or more) for each of 1 to [`MOST_CHANNELS`] channels.
    ///
    /// # Errors
    /// When there are not as many of both, or one of them is out of its range.
    pub fn new(mean: Vec<f32>, deviation: Vec<f32>) -> Result<Self> {
        if !(1..=MOST_CHANNELS).contains(&mean.len()) || mean.len() != deviation.len() {
            return Err(Error::recipe(format!(
                "a normalization of {} means and {} deviations",
                mean.len(),
                deviation.len()
            ))
            .expected(format!(
                "1 of each for grey images, 3 of each for color, one for each channel, at most {MOST_CHANNELS}"
            )));
        }
        if let Some(mean) = mean.iter().find(|mean| !(0.0..=1.0).contains(*mean)) {
            return Err(
                Error::recipe(format!("a pixel mean of {mean}")).expected("0 (black) to 1 (white)")
            );
        }
        if let Some(deviation) = deviation
            .iter()
            .find(|deviation| !(0.0..f32::INFINITY).contains(*deviation))
        {
            return Err(Error::recipe(format!("a pixel deviation of {deviation}"))
                .expected("a number from 0 up"));
        }
        let deviation = deviation
            .into_iter()
            .map(|deviation| deviation.max(LEAST_DEVIATION))
            .collect();
        Ok(Self { mean, deviation })
    }

    /// Mean and deviation of ImageNet's training images, which most published weights for photos expect.
    pub fn imagenet() -> Self {
        Self {
            mean: vec![0.485, 0.456, 0.406],
            deviation: vec![0.229, 0.224, 0.225],
        }
    }

    /// Mean of each channel, 0 to 1.
    pub fn mean(&self) -> &[f32] {
        &self.mean
    }

    /// Standard deviation of each channel, above 0.
    pub fn deviation(&self) -> &[f32] {
        &self.deviation
    }

    /// Turns planes into normalized pixels `[height, width, channels]`; one plane serves all channels where there
    /// is only one.
    pub(super) fn interleave(&self, planes: &Planes, channels: usize) -> Vec<f32> {
        let mut pixels = vec![0.0; planes.plane_len() * channels];
        match (planes.rgb(), channels) {
            (Some([r, g, b]), 3) => self.interleave_three(r, g, b, &mut pixels),
            (None, 3) => {
                self.interleave_three(&planes.values, &planes.values, &planes.values, &mut pixels)
            }
            (_, 1) => {
                let (scale, shift) = self.affine(0);
                vectorized(
                    #[inline(always)]
                    || {
                        for (out, value) in pixels.iter_mut().zip(&planes.values) {
                            *out = value * scale + shift;
                        }
                    },
                );
            }
            _ => {
                for channel in 0..channels {
                    let (scale, shift) = self.affine(channel);
                    let plane = planes.plane(channel % planes.channels);
                    for (pixel, value) in pixels.chunks_exact_mut(channels).zip(plane) {
                        pixel[channel] = value * scale + shift;
                    }
                }
            }
        }
        pixels
    }

    fn interleave_three(&self, r: &[f32], g: &[f32], b: &[f32], pixels: &mut [f32]) {
        let [(r_scale, r_shift), (g_scale, g_shift), (b_scale, b_shift)] =
            [0, 1, 2].map(|c| self.affine(c));
        vectorized(
            #[inline(always)]
            || {
                for (((out, r), g), b) in pixels.chunks_exact_mut(3).zip(r).zip(g).zip(b) {
                    out[0] = r * r_scale + r_shift;
                    out[1] = g * g_scale + g_shift;
                    out[2] = b * b_scale + b_shift;
                }
            },
        );
    }

    /// What a normalized value of `channel` is on the scale from 0 to 1.
    pub(super) fn undo(&self, value: f32, channel: usize) -> f32 {
        let channel = channel % self.mean.len();
        value * self.deviation[channel] + self.mean[channel]
    }

    /// (value − mean) / deviation as one multiplication and one addition. Grey figures serve every channel of a
    /// color view, and the first of a color data set serve a grey view.
    fn affine(&self, channel: usize) -> (f32, f32) {
        let channel = channel % self.mean.len();
        (
            1.0 / self.deviation[channel],
            -self.mean[channel] / self.deviation[channel],
        )
    }
}

/// A normalization as it stands in a file, before its ranges are checked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    mean: Vec<f32>,
    deviation: Vec<f32>,
}

impl TryFrom<Written> for Normalization {
    type Error = Error;

    fn try_from(written: Written) -> Result<Self> {
        Self::new(written.mean, written.deviation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_that_cannot_be_are_refused() {
        let error = |mean: &[f32], deviation: &[f32]| {
            Normalization::new(mean.to_vec(), deviation.to_vec())
                .unwrap_err()
                .to_string()
        };
        assert!(error(&[0.5], &[0.1; 3]).contains("1 means and 3 deviations"));
        assert!(error(&[0.5; 33], &[0.1; 33]).contains("1 of each for grey images"));
        assert!(error(&[120.0], &[0.1]).contains("pixel mean of 120"));
        assert!(error(&[0.5], &[f32::NAN]).contains("pixel deviation of NaN"));
        assert!(
            serde_json::from_str::<Normalization>(r#"{"mean":[0.5],"deviation":[-1.0]}"#).is_err()
        );
    }

    #[test]
    fn what_is_written_reads_back() {
        let text = serde_json::to_string(&Normalization::imagenet()).unwrap();
        assert_eq!(
            serde_json::from_str::<Normalization>(&text).unwrap(),
            Normalization::imagenet()
        );
    }

    #[test]
    fn undoing_gives_the_level_back() {
        let normalization = Normalization::imagenet();
        let mut planes = Planes::default();
        planes.reshape(1, 1, 3);
        planes.values.copy_from_slice(&[0.1, 0.5, 1.0]);
        let pixels = normalization.interleave(&planes, 3);
        for (c, value) in pixels.into_iter().enumerate() {
            assert!((normalization.undo(value, c) - planes.values[c]).abs() < 1e-6);
        }
    }
}
