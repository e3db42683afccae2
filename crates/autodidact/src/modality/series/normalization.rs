//! Mean and deviation of each channel, which the network sees as 0 and 1, and what else is measured before training.

use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use super::series::{MOST_CHANNELS, Series};
use crate::error::{Error, Result};
use crate::modality::source::Source;
use crate::random::{Purpose, stream};

/// Series looked at before training.
const SURVEYED: usize = 4096;

/// What was measured on the series before training.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SeriesMeasurements {
    /// Values a step.
    pub channels: usize,
    /// How many of them, the last ones, tell the calendar and were not measured.
    #[serde(default, skip_serializing_if = "is_none")]
    pub calendar: usize,
    /// Mean of each channel over all steps of all series.
    pub mean: Vec<f32>,
    /// Deviation of each channel; 1 where all its values are one.
    pub deviation: Vec<f32>,
    /// Median length, in steps.
    pub length: usize,
    /// Length of the longest, in steps.
    pub longest: usize,
    /// The part of the values that is missing, 0 to 1.
    pub missing: f64,
}

/// Sums of a channel, in 64 bits.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    count: u64,
    mean: f64,
    /// Of squared distances from the mean (Welford 1962).
    squares: f64,
}

impl Sums {
    fn take(&mut self, value: f32) {
        let value = f64::from(value);
        self.count += 1;
        let before = value - self.mean;
        self.mean += before / self.count as f64;
        self.squares += before * (value - self.mean);
    }

    fn deviation(&self) -> f64 {
        (self.squares / self.count.max(1) as f64).sqrt()
    }
}

impl SeriesMeasurements {
    /// Looks at series of a source, spread over it; the seed decides which.
    ///
    /// # Errors
    /// When not one can be read, or no channel varies.
    pub(super) fn of(source: &dyn Source<Series>, seed: u64) -> Result<Self> {
        let mut places: Vec<usize> = (0..source.len()).collect();
        places.shuffle(&mut stream(seed, Purpose::Order, &[]));
        places.truncate(SURVEYED);
        places.sort_unstable();
        let mut sums: Vec<Sums> = Vec::new();
        let mut lengths = Vec::new();
        let (mut all, mut missing) = (0u64, 0u64);
        let mut bad = None;
        for place in places {
            let series = match source.get(place) {
                Ok(series) => series,
                Err(error) => {
                    bad.get_or_insert(error);
                    continue;
                }
            };
            sums.resize(series.channels, Sums::default());
            for step in series.values.chunks_exact(series.channels) {
                for (sums, &value) in sums.iter_mut().zip(step) {
                    all += 1;
                    if value.is_finite() {
                        sums.take(value);
                    } else {
                        missing += 1;
                    }
                }
            }
            lengths.push(series.steps());
        }
        if lengths.is_empty() {
            let error = Error::data("not one series that can be read").expected("series");
            return Err(match bad {
                Some(bad) => error.because(bad),
                None => error,
            });
        }
        let deviation: Vec<f32> = sums.iter().map(deviation).collect();
        if deviation.iter().all(|&deviation| deviation == 0.0) {
            return Err(Error::data("all channels are constant")
                .expected("values that change: there is nothing to learn from others")
                .mend("name other channels with data.reading.columns, or other data"));
        }
        lengths.sort_unstable();
        Ok(Self {
            channels: sums.len(),
            calendar: (source.recordings()).map_or(0, |recordings| {
                sums.len().saturating_sub(recordings.measured().len())
            }),
            mean: sums.iter().map(|sums| sums.mean as f32).collect(),
            deviation: (deviation.into_iter())
                .map(|deviation| if deviation == 0.0 { 1.0 } else { deviation })
                .collect(),
            length: lengths[lengths.len() / 2],
            longest: lengths.last().copied().unwrap_or(1),
            missing: missing as f64 / all.max(1) as f64,
        })
    }

    /// Refuses what can't have been measured.
    pub(super) fn check(&self) -> Result<()> {
        let wrong = |key: &str, found: String, expected: &str| {
            Err(Error::recipe(format!("data.measured.{key} = {found}")).expected(expected))
        };
        let channels = self.channels;
        let alike = self.mean.len() == channels && self.deviation.len() == channels;
        if !(1..=MOST_CHANNELS).contains(&channels) || !alike {
            let expected = format!("1 to {MOST_CHANNELS}, with a mean and a deviation for each");
            return wrong("channels", channels.to_string(), &expected);
        }
        if self.calendar >= channels {
            let expected = "fewer than data.measured.channels";
            return wrong("calendar", self.calendar.to_string(), expected);
        }
        if let Some(mean) = self.mean.iter().find(|mean| !mean.is_finite()) {
            return wrong("mean", mean.to_string(), "numbers");
        }
        let fits = |deviation: &&f32| **deviation > 0.0 && deviation.is_finite();
        if let Some(deviation) = self.deviation.iter().find(|deviation| !fits(deviation)) {
            return wrong("deviation", deviation.to_string(), "numbers above 0");
        }
        if self.length == 0 || self.longest < self.length {
            return wrong(
                "length",
                self.length.to_string(),
                "1 to data.measured.longest",
            );
        }
        if !(0.0..=1.0).contains(&self.missing) {
            return wrong("missing", self.missing.to_string(), "0 to 1");
        }
        Ok(())
    }

    /// Values on the scale that the network sees; what is missing stays so.
    pub(super) fn normalize(&self, values: &[f32]) -> Vec<f32> {
        let normalize = |(value, (mean, deviation)): (&f32, (&f32, &f32))| {
            // In 64 bits, since the difference of two large values has no place in 32.
            ((f64::from(*value) - f64::from(*mean)) / f64::from(*deviation)) as f32
        };
        let steps = values.chunks_exact(self.channels);
        steps
            .flat_map(|step| step.iter().zip(self.mean.iter().zip(&self.deviation)))
            .map(normalize)
            .collect()
    }

    /// Brings what was measured, step by step, from the scale that the network sees back to that of the data.
    pub(super) fn restore(&self, values: &mut [f32]) {
        let measured = self.channels - self.calendar;
        for step in values.chunks_exact_mut(measured) {
            for (value, (mean, deviation)) in
                step.iter_mut().zip(self.mean.iter().zip(&self.deviation))
            {
                *value = (f64::from(*value) * f64::from(*deviation) + f64::from(*mean)) as f32;
            }
        }
    }
}

fn is_none(count: &usize) -> bool {
    *count == 0
}

/// The deviation of a channel; 0 where its values are one but for rounding.
fn deviation(sums: &Sums) -> f32 {
    let deviation = sums.deviation();
    if deviation <= sums.mean.abs() * 1e-7 {
        0.0
    } else {
        deviation as f32
    }
}
