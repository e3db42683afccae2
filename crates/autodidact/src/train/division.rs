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
