//! Which items are learned from and which are held out, and how many go into a batch.

use rand::seq::SliceRandom;

use super::labeled;
use super::loader::split;
use super::windows::Windows;
use crate::error::{Error, Result};
use crate::modality::{Labels, Source};
use crate::random::{Purpose, stream};
use crate::recipe::{Data, Train};

/// Batches of the validation loss, at most.
const VALIDATION_BATCHES: usize = 4;

/// Refuses fewer items, or pieces of them, than the parts of a batch want.
pub(super) fn enough(count: usize, what: &str, train: &Train, advice: Option<&str>) -> Result<()> {
    let parts = train.accumulate;
    if count >= 2 * parts {
        return Ok(());
    }
    let found = match count {
        1 => format!("1 {} to learn from", what.trim_end_matches('s')),
        n => format!("{n} {what} to learn from"),
    };
    let error = Error::data(found).expected(format!(
        "at least {}: 2 for each part of a batch",
        2 * parts
    ));
    Err(match advice {
        Some(advice) => error.mend(advice),
        None => error,
    })
}

/// The batch that is asked for, no larger than the data.
pub(super) fn bound(train: &Train, items: usize) -> usize {
    let parts = train.accumulate;
    train.batch_size.min(items / parts * parts)
}

/// Divides the items into those to learn from and those held out, and makes the batch no larger than the data.
pub(super) fn divide<Item>(
    train: &mut Train,
    data: &Data,
    source: &dyn Source<Item>,
    usable: Vec<usize>,
    labels: Option<&Labels>,
) -> (Vec<usize>, Vec<usize>) {
    let parts = train.accumulate;
    let windows = Windows::of(source);
    let windows = windows.as_ref();
    if let (Some(labels), true) = (labels, data.by_class) {
        let part = data.validation;
        let (learned, held) = labeled::split(labels, &usable, windows, part, train.seed);
        if learned.len() >= 2 * parts {
            train.batch_size = bound(train, learned.len());
            return (learned, held);
        }
    }
    train.batch_size = bound(train, usable.len());
    let batch = train.batch_size;
    let wanted = (usable.len() as f64 * data.validation) as usize;
    let room = usable.len().saturating_sub(4 * batch);
    let held = if data.validation > 0.0 {
        wanted
            .max(batch)
            .min(VALIDATION_BATCHES * batch)
            .min(room / 2)
    } else {
        0
    };
    // Losses that compare the items of a batch want whole ones.
    let held = held / batch * batch;
    if let Some(windows) = windows {
        let items = std::slice::from_ref(&usable);
        let (learned, mut held) = windows.divide(items, |_| held, train.seed);
        // Losses that compare the items of a batch would find neighbors in it, which are alike.
        held.shuffle(&mut stream(train.seed, Purpose::Split, &[]));
        return match learned.len() >= batch {
            true => (learned, held),
            false => (usable, Vec::new()),
        };
    }
    let (learned, held) = split(usable.len(), held, train.seed);
    let pick = |places: Vec<usize>| places.into_iter().map(|place| usable[place]).collect();
    (pick(learned), pick(held))
}

#[cfg(test)]
mod tests {
    use std::ops::Range;

    use super::*;
    use crate::error::Result;
    use crate::modality::{Part, Recordings};

    /// So many windows of 20 steps of one recording, one every ten.
    struct Recorded(usize);

    impl Source<()> for Recorded {
        fn len(&self) -> usize {
            self.0
        }

        fn name(&self, index: usize) -> String {
            index.to_string()
        }

        fn get(&self, _: usize) -> Result<()> {
            Ok(())
        }

        fn labels(&self) -> Option<&Labels> {
            None
        }

        fn recordings(&self) -> Option<&dyn Recordings<()>> {
            Some(self)
        }

        fn other_parts(&self) -> &[Part] {
            &[]
        }

        fn describe(&self) -> String {
            "one recording".to_owned()
        }
    }

    impl Recordings<()> for Recorded {
        fn count(&self) -> usize {
            1
        }

        fn measured(&self) -> &[String] {
            &[]
        }

        fn name(&self, _: usize) -> String {
            "recording".to_owned()
        }

        fn steps(&self, _: usize) -> usize {
            10 * self.0 + 10
        }

        fn learned(&self, recording: usize) -> Range<usize> {
            0..self.steps(recording)
        }

        fn window(&self, item: usize) -> (usize, Range<usize>) {
            (0, 10 * item..10 * item + 20)
        }

        fn ending(&self, _: usize, _: usize, _: usize) -> Result<()> {
            Ok(())
        }

        fn abnormal(&self, _: usize) -> Option<Vec<bool>> {
            None
        }

        fn after(&self, _: usize, _: usize) -> Option<String> {
            None
        }

        fn rescale(&self, _: usize, _: &mut [f32]) {}
    }

    fn divided(windows: usize, batch: usize) -> (Vec<usize>, Vec<usize>) {
        let mut train = Train {
            batch_size: batch,
            ..Train::default()
        };
        let data = Data {
            validation: 0.2,
            ..Data::default()
        };
        let usable = (0..windows).collect();
        divide(&mut train, &data, &Recorded(windows), usable, None)
    }

    /// A batch of neighbors would be of stretches that are alike, and a loss that compares them of little meaning.
    #[test]
    fn a_batch_of_what_is_held_out_of_a_recording_is_of_all_its_stretches() {
        let (_, held) = divided(4000, 64);
        assert_eq!(held.len(), 256);
        for batch in held.chunks(64) {
            let mut places = batch.to_vec();
            places.sort_unstable();
            let neighbors = places.windows(2).filter(|pair| pair[1] == pair[0] + 1);
            assert!(neighbors.count() < 32, "{places:?}");
            assert!(places[63] - places[0] > 2000, "{places:?}");
        }
    }

    #[test]
    fn where_too_little_would_be_left_of_a_recording_nothing_is_held_out() {
        let (learned, held) = divided(40, 32);
        assert_eq!((learned.len(), held.len()), (40, 0));
    }
}
