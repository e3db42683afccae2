//! Steps watched as they arrive: how unusual each is, by what the run learned from.

use std::collections::VecDeque;

use autodidact_eval::Matrix;

use super::detector::Detector;
use super::embedding::{Frozen, Whom};
use super::levels::{Sight, levels};
use super::protocol::unfit;
use crate::error::{Error, Result};
use crate::modality::SourceSpec;

/// Steps that are known beforehand, at most: each new one is compared with all of them.
const KNOWN: usize = 1024;

/// A step that was watched.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seen {
    /// Its number, from 0.
    pub step: usize,
    /// How far the stretch that ends there lies from the nearest known ones, by its vector and its levels.
    pub distance: f64,
    /// How likely so large a distance is of a stretch like the known ones.
    pub likelihood: f64,
    /// Whether that is rarer than the rate of false alarms that was asked for.
    pub alarm: bool,
}

/// Watches steps as they arrive, and keeps as many of them as the network takes in.
pub struct Watch {
    frozen: Box<dyn Frozen>,
    detector: Detector,
    sight: Sight,
    /// Channels that were measured.
    measured: usize,
    threshold: f64,
    last: Last,
}

/// The last steps that came, as many as the network takes in.
struct Last {
    channels: usize,
    stretch: usize,
    values: VecDeque<f32>,
    /// The stretches that ended with the steps watched last.
    ended: Vec<(Vec<f32>, usize)>,
    /// The number of the step that comes next.
    next: usize,
}

impl Watch {
    /// Takes what a run learned from as known and mostly normal, at most 1024 steps of it, evenly. `advance` hears how many
    /// of them are done.
    ///
    /// # Errors
    /// When the data can't be read, holds no recordings, or too few steps to tell so small a rate.
    pub fn new(
        frozen: Box<dyn Frozen>,
        data: &SourceSpec,
        false_alarms: f64,
        advance: &mut dyn FnMut(usize, usize),
    ) -> Result<Self> {
        let following = frozen.follow(data, 0)?;
        let stretch = following.stretch();
        let channels = frozen.stretch().map_or(1, |stretch| stretch.channels);
        let whole = |recording: usize| {
            let learned = following.learned(recording);
            (learned.start + stretch - 1).min(learned.end)..learned.end
        };
        let all: usize = (0..following.count())
            .map(|recording| whole(recording).len())
            .sum();
        let every = all.div_ceil(KNOWN).max(1);
        let (mut bank, mut width, mut done) = (Vec::new(), 0, 0);
        let (mut stood, measured) = (Vec::new(), following.channels().len());
        for recording in 0..following.count() {
            let steps: Vec<usize> = whole(recording).step_by(every).collect();
            if steps.is_empty() {
                continue;
            }
            let count = all.div_ceil(every);
            let vectors =
                following.moments(recording, &steps, &[Whom::Pretrained], &mut |more| {
                    done += more;
                    advance(done.min(count), count);
                })?;
            for vectors in vectors {
                width = vectors.columns();
                bank.extend(vectors.into_data());
            }
            let all = levels(&following.values(recording)?.known, stretch)?;
            stood.extend(all.select(&steps).map_err(unfit)?.into_data());
        }
        let few = |error: Error| {
            let error = match &data.path {
                Some(path) => error.at(path),
                None => error,
            };
            error.mend("pretrain on longer recordings, with a shorter data.reading.window, or allow more false alarms (--false-alarms 0.05)")
        };
        if width == 0 {
            return Err(few(Error::data(format!(
                "no recording as long as the {stretch} steps that the network takes in"
            ))));
        }
        let count = bank.len() / width;
        let bank = Matrix::from_vec(count, width, bank).map_err(unfit)?;
        let stood = Matrix::from_vec(count, stood.len() / count, stood).map_err(unfit)?;
        let sight = Sight::of(&bank, &stood);
        let bank = sight.both(&bank, &stood)?;
        let detector = Detector::new(bank, stretch.div_ceil(every)).map_err(few)?;
        let threshold = detector.threshold(false_alarms).map_err(few)?;
        drop(following);
        Ok(Self {
            frozen,
            detector,
            sight,
            measured,
            threshold,
            last: Last {
                channels,
                stretch,
                values: VecDeque::with_capacity(stretch * channels),
                ended: Vec::new(),
                next: 0,
            },
        })
    }

    /// Goes on with another network, such as one that has learned from what was watched; what is known is embedded anew.
    ///
    /// # Errors
    /// As [`Watch::new`].
    pub fn renewed(
        self,
        frozen: Box<dyn Frozen>,
        data: &SourceSpec,
        false_alarms: f64,
    ) -> Result<Self> {
        let new = Self::new(frozen, data, false_alarms, &mut |_, _| ())?;
        Ok(Self {
            last: self.last,
            ..new
        })
    }

    /// The whole stretches that ended with the steps watched last: values and the number of the first step.
    pub fn ended(&self) -> impl Iterator<Item = &(Vec<f32>, usize)> {
        let whole = self.last.stretch * self.last.channels;
        let ended = self.last.ended.iter();
        ended.filter(move |(values, _)| values.len() == whole)
    }

    /// How many steps are known.
    pub fn known(&self) -> usize {
        self.detector.known().len()
    }

    /// The distance from which on a step is an alarm.
    pub fn threshold(&self) -> f64 {
        self.threshold
    }

    /// Watches the next steps, each a value a channel, not a number where one is missing.
    ///
    /// # Errors
    /// When one has other channels.
    pub fn take(&mut self, steps: &[Vec<f32>]) -> Result<Vec<Seen>> {
        let first = self.last.next;
        self.last.take(steps)?;
        if steps.is_empty() {
            return Ok(Vec::new());
        }
        let vectors = self.frozen.ends(&self.last.ended)?;
        let stood = self.frozen.levels(&self.last.ended, self.measured)?;
        let distances = self
            .detector
            .distances(&self.sight.both(&vectors, &stood)?)?;
        let likelihoods = self.detector.likelihoods(&distances)?;
        let seen = distances.into_iter().zip(likelihoods).enumerate();
        Ok(seen
            .map(|(at, (distance, likelihood))| Seen {
                step: first + at,
                distance,
                likelihood,
                // Before there is a whole stretch, what is seen is unlike all that is known.
                alarm: distance >= self.threshold && first + at + 1 >= self.last.stretch,
            })
            .collect())
    }
}

impl Last {
    /// Takes the next steps. What ended before is forgotten, also where there are none, such as after an empty line: it would
    /// be learned from twice.
    fn take(&mut self, steps: &[Vec<f32>]) -> Result<()> {
        self.ended.clear();
        for step in steps {
            if step.len() != self.channels {
                return Err(Error::data(format!("a step of {} values", step.len()))
                    .expected(format!("{} channels", self.channels)));
            }
            if self.values.len() == self.stretch * self.channels {
                self.values.drain(..self.channels);
            }
            self.values.extend(step);
            let values: Vec<f32> = self.values.iter().copied().collect();
            let begin = self.next + 1 - values.len() / self.channels;
            self.ended.push((values, begin));
            self.next += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_end_with_the_steps_that_came_last_and_none_does_where_none_came() {
        let mut last = Last {
            channels: 1,
            stretch: 2,
            values: VecDeque::new(),
            ended: Vec::new(),
            next: 0,
        };
        last.take(&[vec![1.0], vec![2.0], vec![3.0]]).unwrap();
        let ended: [(Vec<f32>, usize); 3] =
            [(vec![1.0], 0), (vec![1.0, 2.0], 0), (vec![2.0, 3.0], 1)];
        assert_eq!(last.ended, ended);
        last.take(&[]).unwrap();
        assert!(last.ended.is_empty() && last.next == 3);
        last.take(&[vec![4.0]]).unwrap();
        assert_eq!(last.ended, [(vec![3.0, 4.0], 2)]);
        assert!(last.take(&[vec![1.0, 2.0]]).is_err());
    }
}
