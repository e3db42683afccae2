//! Series on the device.

use std::sync::Arc;

use burn::tensor::{Bool, Device, Int, Tensor, TensorData};

use crate::modality::{Batch, Ending, Rows, Track};

/// One slot of views as the network takes it in.
#[derive(Debug, Clone)]
pub struct SeriesBatch {
    /// `[batch, time, channels]`, normalized; 0 where a value is missing.
    pub values: Tensor<3>,
    /// 1 where a value is there and 0 where it is missing, `[batch, time, channels]`; `None` where none is missing.
    pub present: Option<Tensor<3>>,
    /// Which steps are real, `[batch, time]`; `None` where rows are alike in length. Steps that are not are at the end.
    pub valid: Option<Tensor<2, Bool>>,
    /// How many steps of each row are real.
    pub lengths: Arc<Vec<usize>>,
    /// At which step of its series each row begins: tells which tokens of two crops are of the same moment.
    pub starts: Arc<Vec<usize>>,
    /// What networks that hide or drop a part while learning draw from; `None` where nothing is hidden.
    pub hiding: Option<u64>,
    /// How many of the values of a step were measured: the first ones. The others are known of any step beforehand.
    pub measured: usize,
    /// Whose views these are.
    pub rows: Rows,
}

/// Views of one slot on the host.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Steps {
    /// Steps in a row.
    pub length: usize,
    /// Values in a step.
    pub channels: usize,
    /// Row by row, time by time; not a number where a value is missing.
    pub values: Vec<f32>,
    /// How many steps of each row are real, at least 1; what follows them is not looked at.
    pub lengths: Vec<usize>,
    /// At which step of its series each row begins.
    pub starts: Vec<usize>,
}

impl SeriesBatch {
    /// Brings views to the device.
    ///
    /// # Panics
    /// If there are not `length · channels` values for each row, or not a length and a start.
    pub fn new(steps: Steps, rows: Rows, device: &Device) -> Self {
        let Steps {
            length,
            channels,
            mut values,
            lengths,
            starts,
        } = steps;
        let (count, row) = (lengths.len(), length * channels);
        assert_eq!(values.len(), count * row, "values of {count} rows");
        assert_eq!(starts.len(), count, "a start for each row");
        let mut present = vec![1.0f32; values.len()];
        let mut missing = false;
        for (index, &real) in lengths.iter().enumerate() {
            let (from, to) = (index * row, (index + 1) * row);
            let end = from + real.min(length) * channels;
            for place in from..end {
                if !values[place].is_finite() {
                    (values[place], present[place], missing) = (0.0, 0.0, true);
                }
            }
            values[end..to].fill(0.0);
            present[end..to].fill(0.0);
        }
        let shape = [count, length, channels];
        let floats =
            |values: Vec<f32>| Tensor::<3>::from_data(TensorData::new(values, shape), device);
        Self {
            values: floats(values),
            present: missing.then(|| floats(present)),
            valid: real(&lengths, length, device),
            lengths: Arc::new(lengths),
            starts: Arc::new(starts),
            hiding: None,
            measured: channels,
            rows,
        }
    }

    /// The batch with a seed to hide by.
    #[must_use]
    pub fn hidden_by(self, hiding: Option<u64>) -> Self {
        Self { hiding, ..self }
    }

    /// The batch, of which so many values of a step were measured.
    #[must_use]
    pub fn of_measured(self, measured: usize) -> Self {
        Self { measured, ..self }
    }

    /// What a network takes in: the values, and where some may be missing also where they are there,
    /// `[batch, time, channels]` or `[batch, time, 2 · channels]`.
    pub(super) fn input(&self, missing: bool) -> Tensor<3> {
        if !missing {
            return self.values.clone();
        }
        Tensor::cat(vec![self.values.clone(), self.there()], 2)
    }

    /// 1 where a value is there, of a real step and not missing, `[batch, time, channels]`.
    pub(super) fn there(&self) -> Tensor<3> {
        self.present.clone().unwrap_or_else(|| {
            let ones = self.values.ones_like();
            match self.real() {
                Some(real) => ones * real,
                None => ones,
            }
        })
    }

    /// 1 where a step is real, `[batch, time, 1]`; `None` where all are.
    pub(super) fn real(&self) -> Option<Tensor<3>> {
        let valid = self.valid.clone()?;
        Some(valid.float().unsqueeze_dim::<3>(2))
    }

    /// Where the tokens of each row stand in time, one for each `stride` steps or the part of them that there is.
    pub(super) fn tracks(&self, stride: usize) -> Vec<Track> {
        let both = self.starts.iter().zip(self.lengths.iter());
        both.map(|(&start, length)| Track {
            start,
            tokens: length.div_ceil(stride),
        })
        .collect()
    }

    /// Which of `tokens` tokens are real, `[batch, tokens]`, one standing for `stride` steps; `None` where all are.
    pub(super) fn valid_tokens(&self, stride: usize, tokens: usize) -> Option<Tensor<2, Bool>> {
        let counts: Vec<usize> = self.tracks(stride).iter().map(|row| row.tokens).collect();
        real(&counts, tokens, &self.values.device())
    }

    /// The number that hides and drops while the network learns; none where it is only looked through.
    pub(super) fn seed(&self) -> Option<u64> {
        self.hiding.filter(|_| self.values.device().is_autodiff())
    }
}

/// The first of each row, so many; `None` where that is all of them.
fn real(counts: &[usize], length: usize, device: &Device) -> Option<Tensor<2, Bool>> {
    if counts.iter().all(|&count| count >= length) {
        return None;
    }
    let flags = counts
        .iter()
        .flat_map(|&count| (0..length).map(move |place| place < count));
    let data = TensorData::new(flags.collect::<Vec<bool>>(), [counts.len(), length]);
    Some(Tensor::from_data(data, device))
}

impl Batch for SeriesBatch {
    fn rows(&self) -> &Rows {
        &self.rows
    }

    fn ending(&self, steps: usize) -> Option<Ending<Self>> {
        let [count, length, channels] = self.values.dims();
        let device = self.values.device();
        let kept = |&length: &usize| length.saturating_sub(steps).max(1);
        let lengths: Vec<usize> = self.lengths.iter().map(kept).collect();
        let longest = lengths.iter().copied().max().unwrap_or(1);
        let present = self.there();
        // Steps of rows by number, one row below the other.
        let at = |tensor: &Tensor<3>, places: Vec<i64>| {
            let places = Tensor::<1, Int>::from_data(places.as_slice(), &device);
            let rows = tensor.clone().reshape([count * length, channels]);
            rows.select(0, places)
        };
        let place = |row: usize, step: usize| (row * length + step.min(length - 1)) as i64;
        let last = lengths.iter().enumerate();
        let last = last.map(|(row, kept)| place(row, kept - 1)).collect();
        let after = |row: usize| (0..steps).map(move |step| (row, step));
        let came = (0..count).flat_map(after);
        let came: Vec<i64> = came
            .map(|(row, step)| place(row, lengths[row] + step))
            .collect();
        let counts = (0..count).flat_map(|row| {
            let whole = self.lengths[row] > steps;
            let of_step = (0..channels).map(move |channel| whole && channel < self.measured);
            std::iter::repeat_n(of_step, steps).flatten()
        });
        let counts: Vec<f32> = counts.map(|counts| f32::from(u8::from(counts))).collect();
        let shape = [count, steps, channels];
        let counts = Tensor::<3>::from_data(TensorData::new(counts, shape), &device);
        let there = at(&present, came.clone()).reshape(shape) * counts;
        let valid = real(&lengths, longest, &device);
        let cut = |tensor: Tensor<3>| {
            let tensor = tensor.narrow(1, 0, longest);
            match &valid {
                Some(valid) => tensor * valid.clone().float().unsqueeze_dim::<3>(2),
                None => tensor,
            }
        };
        Some(Ending {
            last: at(&self.values, last),
            came: at(&self.values, came).reshape(shape) * there.clone(),
            there,
            given: Self {
                values: cut(self.values.clone()),
                present: self.present.clone().map(cut),
                valid: valid.clone(),
                lengths: Arc::new(lengths),
                ..self.clone()
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::init::tests_device;
    use crate::layers::state::host;

    #[test]
    fn missing_values_are_zero_and_told_apart_and_rows_end_where_they_end() {
        let gap = f32::NAN;
        let steps = Steps {
            length: 3,
            channels: 2,
            values: vec![
                1.0, 2.0, gap, 4.0, 5.0, 6.0, //
                7.0, 8.0, 9.0, gap, gap, 3.0,
            ],
            lengths: vec![3, 1],
            starts: vec![4, 0],
        };
        let batch = SeriesBatch::new(steps.clone(), Rows::default(), &tests_device());
        let values = [1.0, 2.0, 0.0, 4.0, 5.0, 6.0, 7.0, 8.0, 0.0, 0.0, 0.0, 0.0];
        assert_eq!(host(batch.values.clone()), values);
        let present = [1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0];
        assert_eq!(host(batch.present.clone().unwrap()), present);
        assert_eq!(host(batch.real().unwrap()), [1.0, 1.0, 1.0, 1.0, 0.0, 0.0]);
        assert_eq!(batch.input(true).dims(), [2, 3, 4]);
        let track = |start, tokens| Track { start, tokens };
        assert_eq!(batch.tracks(2), [track(4, 2), track(0, 1)]);
        // Its last step is cut off where there is one before it.
        let ending = batch.ending(1).unwrap();
        assert_eq!(ending.given.values.dims(), [2, 2, 2]);
        assert_eq!(
            host(ending.given.values),
            [1.0, 2.0, 0.0, 4.0, 7.0, 8.0, 0.0, 0.0]
        );
        assert_eq!(ending.given.lengths[..], [2, 1]);
        assert_eq!(host(ending.last), [0.0, 4.0, 7.0, 8.0]);
        assert_eq!(host(ending.came), [5.0, 6.0, 0.0, 0.0]);
        assert_eq!(host(ending.there), [1.0, 1.0, 0.0, 0.0]);
        // What was not measured is given and not told.
        let ending = batch.clone().of_measured(1).ending(2).unwrap();
        assert_eq!(host(ending.given.values), [1.0, 2.0, 7.0, 8.0]);
        assert!(ending.given.valid.is_none());
        let came = [0.0, 0.0, 5.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        assert_eq!(host(ending.came), came);
        let there = [0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0];
        assert_eq!(host(ending.there), there);
        // Of a row that has no more steps than these nothing is told.
        assert_eq!(host(batch.ending(3).unwrap().there), [0.0; 12]);
        // A row of which all is real has no more than the values there are.
        let whole = Steps {
            values: (0..12).map(|x| x as f32).collect(),
            lengths: vec![3, 3],
            ..steps
        };
        let ragged = Steps {
            lengths: vec![3, 1],
            ..whole.clone()
        };
        let batch = SeriesBatch::new(whole, Rows::default(), &tests_device());
        assert!(batch.present.is_none() && batch.valid.is_none());
        assert_eq!(host(batch.input(true).narrow(2, 2, 2)), [1.0; 12]);
        // What lies beyond the end of a row is not there, also where nothing is missing.
        let batch = SeriesBatch::new(ragged, Rows::default(), &tests_device());
        assert!(batch.present.is_none());
        let there = [1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0];
        assert_eq!(host(batch.input(true).narrow(2, 2, 2)), there);
        assert_eq!(host(batch.there()), there);
    }
}
