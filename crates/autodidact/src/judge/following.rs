//! A run's encoder along recordings, step by step.

use std::ops::Range;

use autodidact_eval::Matrix;

use super::embedding::{FrozenRun, Whom};
use super::protocol::unfit;
use crate::error::{Error, Result};
use crate::modality::{Labels, Modality, Part, Recordings, Source, Timeline};
use crate::train::features::{Who, features};

/// Recordings that a run's encoder goes along. What it makes of a step comes from the stretch that ends there: nothing of
/// what comes after it is seen.
pub trait Following {
    /// Number of recordings.
    fn count(&self) -> usize;

    /// The name of one.
    fn name(&self, recording: usize) -> String;

    /// Number of steps of one.
    fn steps(&self, recording: usize) -> usize;

    /// The steps of one that belong to the part that is learned from.
    fn learned(&self, recording: usize) -> Range<usize>;

    /// Which steps of one are known not to be normal; `None` where nobody said.
    fn abnormal(&self, recording: usize) -> Option<Vec<bool>>;

    /// How many steps the network takes in, at least 1.
    fn stretch(&self) -> usize;

    /// The names of what was measured.
    fn channels(&self) -> &[String];

    /// When the step so many after the last one of a recording would be, as it is written; `None` where times aren't known
    /// or steps are irregular.
    fn after(&self, recording: usize, steps: usize) -> Option<String>;

    /// Brings what was measured, step by step, from the scale that networks see back to the one that it was recorded on.
    fn restore(&self, recording: usize, values: &mut [f32]);

    /// What was measured, `[steps, channels]`, on the scale that networks see.
    ///
    /// # Errors
    /// When it can't be read, or has other channels than the network knows.
    fn values(&self, recording: usize) -> Result<Values>;

    /// What each network makes of each of some steps, `[steps, dimensions]`. `advance` hears how many are done.
    ///
    /// # Errors
    /// When a step can't be read, or what has no network is asked.
    fn moments(
        &self,
        recording: usize,
        steps: &[usize],
        whom: &[Whom],
        advance: &mut dyn FnMut(usize),
    ) -> Result<Vec<Matrix>>;
}

/// What was recorded.
#[derive(Debug, Clone)]
pub struct Values {
    /// `[steps, channels]`; where a value is missing, the one before it, or else the first after it.
    pub known: Matrix,
    /// How many were missing.
    pub missing: usize,
}

impl Values {
    /// Takes the first `measured` values of each step and fills their gaps.
    pub(super) fn of(timeline: &Timeline, measured: usize) -> Result<Self> {
        let steps = timeline.values.chunks_exact(timeline.channels.max(1));
        let channels = measured.min(timeline.channels);
        let mut values: Vec<f32> = steps.flat_map(|step| &step[..channels]).copied().collect();
        let mut missing = 0;
        for channel in 0..channels {
            let places = (channel..values.len()).step_by(channels);
            let mut known = places
                .clone()
                .map(|place| values[place])
                .find(|value| value.is_finite())
                .unwrap_or(0.0);
            for place in places {
                if values[place].is_finite() {
                    known = values[place];
                } else {
                    values[place] = known;
                    missing += 1;
                }
            }
        }
        let known = Matrix::from_vec(values.len() / channels.max(1), channels, values);
        Ok(Self {
            known: known.map_err(unfit)?,
            missing,
        })
    }
}

/// The recordings of an opened source.
pub(super) struct Followed<'a, M: Modality> {
    run: &'a FrozenRun<M>,
    source: Box<dyn Source<M::Item>>,
    /// Steps that the network takes in.
    stretch: usize,
}

impl<'a, M: Modality> Followed<'a, M> {
    /// # Errors
    /// When the items of the source are no stretches of recordings.
    pub(super) fn new(
        run: &'a FrozenRun<M>,
        source: Box<dyn Source<M::Item>>,
        context: usize,
    ) -> Result<Self> {
        let whole = run.modality.stretch().map_or(1, |stretch| stretch.steps);
        let stretch = match context {
            0 => whole,
            context => context.min(whole),
        };
        match source.recordings() {
            Some(_) => Ok(Self {
                run,
                source,
                stretch,
            }),
            None => Err(Error::data("its items are no stretches of recordings")
                .expected("data in which one step follows another, such as series")),
        }
    }

    fn recordings(&self) -> &dyn Recordings<M::Item> {
        let found = self.source.recordings();
        found.expect("there were recordings when the source was opened")
    }
}

impl<M: Modality> Following for Followed<'_, M> {
    fn count(&self) -> usize {
        self.recordings().count()
    }

    fn name(&self, recording: usize) -> String {
        self.recordings().name(recording)
    }

    fn steps(&self, recording: usize) -> usize {
        self.recordings().steps(recording)
    }

    fn learned(&self, recording: usize) -> Range<usize> {
        self.recordings().learned(recording)
    }

    fn abnormal(&self, recording: usize) -> Option<Vec<bool>> {
        self.recordings().abnormal(recording)
    }

    fn stretch(&self) -> usize {
        self.stretch
    }

    fn channels(&self) -> &[String] {
        self.recordings().measured()
    }

    fn after(&self, recording: usize, steps: usize) -> Option<String> {
        self.recordings().after(recording, steps)
    }

    fn restore(&self, recording: usize, values: &mut [f32]) {
        self.run.modality.restore(values);
        self.recordings().rescale(recording, values);
    }

    fn values(&self, recording: usize) -> Result<Values> {
        let recordings = self.recordings();
        let steps = recordings.steps(recording);
        let item = recordings.ending(recording, steps.saturating_sub(1), steps)?;
        let timeline = self.run.modality.timeline(&item).ok_or_else(|| {
            Error::data("was recorded with other channels than the network knows")
                .at(recordings.name(recording))
                .expected("data that was recorded like what was learned from")
        })?;
        Values::of(&timeline, recordings.measured().len())
    }

    fn moments(
        &self,
        recording: usize,
        steps: &[usize],
        whom: &[Whom],
        advance: &mut dyn FnMut(usize),
    ) -> Result<Vec<Matrix>> {
        let stretches = Stretches {
            recordings: self.recordings(),
            recording,
            steps,
            most: self.stretch(),
        };
        let indices: Vec<usize> = (0..steps.len()).collect();
        let others = self.run.others(whom)?;
        let who: Vec<Who<'_, M::Encoder>> = (self.run.who(whom, &others).into_iter())
            .map(|who| match who {
                Who::Network(encoder, device) => Who::Latest(encoder, device),
                who => who,
            })
            .collect();
        let found = features(&self.run.modality, &stretches, &indices, &who, advance)?;
        match found.unreadable.into_iter().next() {
            None => Ok(found.matrices),
            Some((_, why)) => Err(Error::data(why).at(self.name(recording))),
        }
    }
}

/// The stretches that end with steps of a recording.
struct Stretches<'a, Item> {
    recordings: &'a dyn Recordings<Item>,
    recording: usize,
    steps: &'a [usize],
    most: usize,
}

impl<Item> Source<Item> for Stretches<'_, Item> {
    fn len(&self) -> usize {
        self.steps.len()
    }

    fn name(&self, index: usize) -> String {
        format!(
            "{}/{}",
            self.recordings.name(self.recording),
            self.steps[index]
        )
    }

    fn get(&self, index: usize) -> Result<Item> {
        self.recordings
            .ending(self.recording, self.steps[index], self.most)
    }

    fn labels(&self) -> Option<&Labels> {
        None
    }

    fn other_parts(&self) -> &[Part] {
        &[]
    }

    fn describe(&self) -> String {
        format!("{} steps", self.steps.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_hold_what_was_known_last_or_first() {
        let gap = f32::NAN;
        let timeline = Timeline {
            channels: 3,
            values: vec![gap, 1.0, gap, 2.0, gap, gap, 3.0, 4.0, gap],
        };
        let values = Values::of(&timeline, 3).unwrap();
        assert_eq!(
            values.known.data(),
            [2.0, 1.0, 0.0, 2.0, 1.0, 0.0, 3.0, 4.0, 0.0]
        );
        assert_eq!(values.missing, 5);
        let values = Values::of(&timeline, 1).unwrap();
        assert_eq!(values.known.data(), [2.0, 2.0, 3.0]);
        assert_eq!(values.missing, 1);
    }
}
