//! Which labeled items a run learns from, and which it holds out: class by class, decided by the seed.

use rand::seq::SliceRandom;

use super::windows::Windows;
use crate::error::{Error, Result};
use crate::modality::Labels;
use crate::random::{Purpose, stream};
use crate::recipe::Data;

/// Items held out of a run that learns from labels, at most: enough to choose by and to calibrate with.
const MOST_HELD: usize = 2000;
/// The streams of the two draws.
const SHARE: u64 = 1;
const HELD: u64 = 2;

/// The labels that a run learned from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labeled {
    /// Names of the classes, in the order of their numbers.
    pub classes: Vec<String>,
    /// Items of each class that are learned from.
    pub items: Vec<usize>,
    /// Items that are held out.
    pub held_out: usize,
}

/// The labeled items, or the share of them that `[data]` asks for, ascending.
///
/// # Errors
/// When fewer than two classes have an item.
pub(super) fn choose(labels: &Labels, data: &Data, seed: u64) -> Result<Vec<usize>> {
    let members = by_class(labels, 0..labels.of.len());
    let present: Vec<usize> = (0..members.len())
        .filter(|&class| !members[class].is_empty())
        .collect();
    if let [only] = present[..] {
        return Err(Error::data(format!(
            "labels of one class only, `{}`",
            labels.classes[only]
        ))
        .expected("labels of two classes at least: there is nothing to tell apart"));
    }
    let wanted = |all: usize| match (data.labels_fraction, data.labels_per_class) {
        (Some(fraction), _) => ((fraction * all as f64).round() as usize).max(1),
        (_, Some(count)) => count,
        _ => all,
    };
    Ok(draw(&members, wanted, seed, SHARE).0)
}

/// Splits items into those to learn from and the part held out, class by class, each ascending. Of windows that overlap
/// none is held out while another is learned from.
pub(super) fn split(
    labels: &Labels,
    items: &[usize],
    windows: Option<&Windows>,
    part: f64,
    seed: u64,
) -> (Vec<usize>, Vec<usize>) {
    let part = part.min(MOST_HELD as f64 / items.len().max(1) as f64);
    let members = by_class(labels, items.iter().copied());
    // Of a class's few items none is held out before there are several, and one at least is learned from.
    let held = |all: usize| {
        let rounded = (part * all as f64).round() as usize;
        rounded.min(all.saturating_sub(1))
    };
    match windows {
        Some(windows) => windows.divide(&members, held, seed),
        None => draw(&members, |all| all - held(all), seed, HELD),
    }
}

/// Items of each class among some.
pub(super) fn counts(labels: &Labels, items: &[usize]) -> Vec<usize> {
    let members = by_class(labels, items.iter().copied());
    members.iter().map(Vec::len).collect()
}

fn by_class(labels: &Labels, items: impl Iterator<Item = usize>) -> Vec<Vec<usize>> {
    let mut members = vec![Vec::new(); labels.classes.len()];
    for item in items {
        if let Some(class) = labels.of[item] {
            members[class as usize].push(item);
        }
    }
    members
}

/// `wanted` items of each class, and the rest.
fn draw(
    members: &[Vec<usize>],
    wanted: impl Fn(usize) -> usize,
    seed: u64,
    purpose: u64,
) -> (Vec<usize>, Vec<usize>) {
    let (mut taken, mut left) = (Vec::new(), Vec::new());
    for (class, members) in members.iter().enumerate() {
        let mut order = members.clone();
        order.shuffle(&mut stream(seed, Purpose::Split, &[purpose, class as u64]));
        let count = wanted(order.len()).min(order.len());
        left.extend(order.drain(count..));
        taken.extend(order);
    }
    taken.sort_unstable();
    left.sort_unstable();
    (taken, left)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 60 items of class a, 30 of b, 1 of c, none of d, and 9 without a label.
    fn labels() -> Labels {
        let of = [(0, 60), (1, 30), (2, 1)];
        let of = of
            .into_iter()
            .flat_map(|(class, count)| vec![Some(class); count]);
        Labels {
            classes: ["a", "b", "c", "d"].map(str::to_owned).to_vec(),
            of: of.chain(vec![None; 9]).collect(),
        }
    }

    fn chosen(fraction: Option<f64>, per_class: Option<usize>, seed: u64) -> Vec<usize> {
        let data = Data {
            labels_fraction: fraction,
            labels_per_class: per_class,
            ..Data::default()
        };
        choose(&labels(), &data, seed).unwrap()
    }

    #[test]
    fn a_share_of_the_labels_is_one_of_each_class_and_the_seed_decides_which() {
        let labels = labels();
        assert_eq!(chosen(None, None, 0).len(), 91);
        assert_eq!(counts(&labels, &chosen(Some(0.1), None, 0)), [6, 3, 1, 0]);
        assert_eq!(counts(&labels, &chosen(Some(1e-6), None, 0)), [1, 1, 1, 0]);
        assert_eq!(counts(&labels, &chosen(None, Some(10), 0)), [10, 10, 1, 0]);
        let some = chosen(None, Some(10), 0);
        assert_eq!(some, chosen(None, Some(10), 0));
        assert_ne!(some, chosen(None, Some(10), 1));
        assert!(some.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn a_part_of_each_class_is_held_out_and_nothing_is_in_both() {
        let labels = labels();
        let all = chosen(None, None, 0);
        let (learned, held) = split(&labels, &all, None, 0.2, 0);
        assert_eq!(counts(&labels, &held), [12, 6, 0, 0]);
        let mut both: Vec<usize> = learned.iter().chain(&held).copied().collect();
        both.sort_unstable();
        assert_eq!(both, all);
        let (learned, held) = split(&labels, &chosen(None, Some(2), 0), None, 0.2, 0);
        assert_eq!((learned.len(), held.len()), (5, 0));
        let (learned, held) = split(&labels, &all, None, 0.5, 0);
        assert_eq!(counts(&labels, &learned), [30, 15, 1, 0]);
        assert_eq!(counts(&labels, &held), [30, 15, 0, 0]);
        let many = Labels {
            classes: vec!["x".to_owned(), "y".to_owned()],
            of: (0..50_000).map(|item| Some(item % 2)).collect(),
        };
        let all: Vec<usize> = (0..50_000).collect();
        assert_eq!(split(&many, &all, None, 0.2, 0).1.len(), MOST_HELD);
    }

    #[test]
    fn one_class_alone_is_refused_by_name() {
        let mut labels = labels();
        labels.of.truncate(60);
        let error = choose(&labels, &Data::default(), 0)
            .unwrap_err()
            .to_string();
        assert!(error.contains("one class only, `a`"), "{error}");
    }
}
