//! Which windows of recordings are held out: stretches of time, and nothing that overlaps them is learned from.
//!
//! A window held out between two that overlap it is known already: what it says of windows never seen is too good.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use rand::{Rng, RngExt};

use crate::modality::Source;
use crate::random::{Purpose, stream};

/// Stretches that are held out of a group of items, tried in this order: many speak of more of the time, but each costs
/// the windows that reach into it.
const STRETCHES: [usize; 4] = [8, 4, 2, 1];

/// Which steps of which recording each item is.
pub(crate) struct Windows(Vec<(usize, Range<usize>)>);

impl Windows {
    /// Those of a source, where several items come from one recording.
    pub(super) fn of<Item>(source: &dyn Source<Item>) -> Option<Self> {
        let recordings = source.recordings()?;
        let windows = (0..source.len()).map(|item| recordings.window(item));
        Self::among(windows.collect())
    }

    /// Those of some items, in their order, where several come from one recording.
    pub(crate) fn among(windows: Vec<(usize, Range<usize>)>) -> Option<Self> {
        let mut seen = BTreeSet::new();
        let several = !windows.iter().all(|(recording, _)| seen.insert(*recording));
        several.then_some(Self(windows))
    }

    /// Divides groups of items, each ascending, into what is learned from and the `wanted` of so many that are held out
    /// of each group. What overlaps these is in neither, but of no group is nothing learned.
    pub(crate) fn divide(
        &self,
        groups: &[Vec<usize>],
        wanted: impl Fn(usize) -> usize,
        seed: u64,
    ) -> (Vec<usize>, Vec<usize>) {
        let all = groups.iter().map(Vec::len).sum::<usize>();
        let mut divided = (Vec::new(), Vec::new());
        for stretches in STRETCHES {
            divided = self.draw(groups, &wanted, stretches, seed);
            let (learned, held) = (divided.0.len(), divided.1.len());
            if all - learned - held <= held {
                break;
            }
        }
        divided.0.sort_unstable();
        divided.1.sort_unstable();
        divided
    }

    fn draw(
        &self,
        groups: &[Vec<usize>],
        wanted: impl Fn(usize) -> usize,
        stretches: usize,
        seed: u64,
    ) -> (Vec<usize>, Vec<usize>) {
        let mut held = Vec::new();
        for (group, members) in groups.iter().enumerate() {
            let mut random = stream(seed, Purpose::Split, &[stretches as u64, group as u64]);
            let wanted = wanted(members.len()).min(members.len());
            held.extend(drawn(members, wanted, stretches, &mut random));
        }
        let (mut learned, mut alone) = (Vec::new(), Vec::new());
        let taken = self.covered(&held);
        for members in groups {
            let clear = members.iter().filter(|&&item| !self.touches(item, &taken));
            let before = learned.len();
            learned.extend(clear);
            if learned.len() == before {
                alone.extend(members);
            }
        }
        let kept = self.covered(&alone);
        held.retain(|&item| !self.touches(item, &kept));
        learned.extend(alone);
        (learned, held)
    }

    /// The steps of each recording that items cover, as ranges apart from each other by where they begin.
    fn covered(&self, items: &[usize]) -> BTreeMap<(usize, usize), usize> {
        let mut windows: Vec<_> = items.iter().map(|&item| &self.0[item]).collect();
        windows.sort_unstable_by_key(|(recording, steps)| (*recording, steps.start));
        let mut covered = BTreeMap::new();
        let mut last: Option<(usize, Range<usize>)> = None;
        for (recording, steps) in windows {
            let begin = match last {
                Some((of, ref before)) if of == *recording && steps.start <= before.end => {
                    before.start..before.end.max(steps.end)
                }
                _ => steps.clone(),
            };
            covered.insert((*recording, begin.start), begin.end);
            last = Some((*recording, begin));
        }
        covered
    }

    fn touches(&self, item: usize, covered: &BTreeMap<(usize, usize), usize>) -> bool {
        let (recording, steps) = &self.0[item];
        let before = covered.range(..(*recording, steps.end)).next_back();
        before.is_some_and(|((of, _), end)| of == recording && *end > steps.start)
    }
}

/// `wanted` of the items in so many stretches, one somewhere in each part of them.
fn drawn(items: &[usize], wanted: usize, stretches: usize, random: &mut impl Rng) -> Vec<usize> {
    let cut = |whole: usize, at: usize| whole * at / stretches;
    let mut drawn = Vec::with_capacity(wanted);
    for stretch in 0..stretches {
        let part = &items[cut(items.len(), stretch)..cut(items.len(), stretch + 1)];
        let length = cut(wanted, stretch + 1) - cut(wanted, stretch);
        let length = length.min(part.len());
        let from = random.random_range(0..=part.len() - length);
        drawn.extend(&part[from..from + length]);
    }
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two recordings cut into windows of `steps`, one every 50.
    fn windows(of_each: usize, steps: usize) -> Windows {
        let window = |recording| move |from| (recording, 50 * from..50 * from + steps);
        let of = |recording| (0..of_each).map(window(recording));
        Windows(of(0).chain(of(1)).collect())
    }

    fn overlaps(windows: &Windows, learned: &[usize], held: &[usize]) -> usize {
        let pairs = learned
            .iter()
            .flat_map(|a| held.iter().map(move |b| (a, b)));
        let overlap = pairs.filter(|&(&a, &b)| {
            let ((of, a), (also, b)) = (&windows.0[a], &windows.0[b]);
            of == also && a.start < b.end && b.start < a.end
        });
        overlap.count()
    }

    #[test]
    fn nothing_that_overlaps_what_is_held_out_is_learned_from() {
        for (steps, stretches) in [(50, 8), (100, 8), (120, 8), (500, 2)] {
            let windows = windows(200, steps);
            let all: Vec<usize> = (0..400).collect();
            for seed in 0..20 {
                let (learned, held) = windows.divide(std::slice::from_ref(&all), |n| n / 10, seed);
                assert_eq!(held.len(), 40);
                assert_eq!(overlaps(&windows, &learned, &held), 0);
                let lost = 400 - learned.len() - held.len();
                assert!(lost <= stretches * 2 * ((steps - 1) / 50), "{lost}");
                let breaks = held.windows(2).filter(|pair| pair[1] > pair[0] + 1);
                assert!(breaks.count() < stretches);
            }
        }
        let all = [(0..400).collect()];
        let draw = |seed| windows(200, 100).divide(&all, |n| n / 10, seed);
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
    }

    #[test]
    fn each_group_keeps_something_to_learn_from() {
        let windows = windows(30, 200);
        // Classes take turns, but of the last there are two neighbours only.
        let of = |class| (0..58).filter(|item| item % 2 == class).collect();
        let groups = [of(0), of(1), vec![58, 59]];
        for seed in 0..20 {
            let (learned, held) = windows.divide(&groups, |n| n.div_ceil(5), seed);
            for group in &groups {
                assert!(group.iter().any(|item| learned.contains(item)));
            }
            assert!(!held.is_empty(), "seed {seed}");
            assert_eq!(overlaps(&windows, &learned, &held), 0);
        }
    }

    #[test]
    fn none_may_be_wanted() {
        let windows = windows(3, 100);
        let (learned, held) = windows.divide(&[(0..6).collect(), Vec::new()], |_| 0, 0);
        assert_eq!((learned.len(), held.len()), (6, 0));
    }
}
