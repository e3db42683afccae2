//! Which steps of its series a view shows.

use rand::RngExt;

use super::settings::SeriesViews;
use crate::modality::Draw;
use crate::modality::series::Series;
use crate::random::{Purpose, Rng, stream};

/// The least crop, in steps, where a series has as many.
const SHORTEST: usize = 8;
/// Of series that differ in length those much shorter than the longest don't make all pairs of crops shorter.
const SHORTER: usize = 4;
/// Apart from the streams of single views: what a whole slot draws, and what a pair of views does.
const OF_SLOT: u64 = 1 << 32;
const OF_PAIR: u64 = 1 << 33;

/// Which steps the views of one slot of a batch show, but for where each begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::modality::series) enum Frame {
    /// So many steps, from anywhere.
    Crop(usize),
    /// Of a pair: from `from` to `to` of a stretch that reaches from `first` to `last` and lies anywhere; `shared` is where
    /// both are.
    Pair {
        from: usize,
        to: usize,
        first: usize,
        last: usize,
        shared: usize,
    },
}

impl Frame {
    /// Draws for a slot of a batch. Views of one length can't be drawn item by item; what is drawn for all of them depends
    /// on the first, so that a batch of the same items is seen alike in any run.
    pub(in crate::modality::series) fn draw(
        views: &SeriesViews,
        items: &[(u64, Series)],
        slot: usize,
        draw: Draw,
    ) -> Self {
        let first = items.first().map_or(0, |(id, _)| *id);
        let lengths = || items.iter().map(|(_, series)| series.steps());
        let longest = lengths().max().unwrap_or(1).min(views.length);
        let shortest = lengths().min().unwrap_or(1).min(views.length);
        let [least, most] = views.crop;
        let share = |total: usize, part: f64| (total as f64 * part).round() as usize;
        if !views.overlapping {
            let keys = [draw.epoch, first, slot as u64 + OF_SLOT];
            let mut rng = stream(draw.seed, Purpose::View, &keys);
            let part = least + (most - least) * rng.random::<f64>();
            let steps = share(longest, part).max(SHORTEST).min(longest);
            return Self::Crop(steps);
        }
        let pair = slot as u64 / 2;
        let mut rng = stream(
            draw.seed,
            Purpose::View,
            &[draw.epoch, first, pair + OF_PAIR],
        );
        let total = shortest.max(longest / SHORTER).max(1);
        // At least 2, as TS2Vec has it.
        let fewest = share(total, least).max(2).min(total);
        let largest = share(total, most).max(fewest);
        let shared = rng.random_range(fewest..=largest);
        let left = rng.random_range(0..=total - shared);
        let right = left + shared;
        let (first, last) = (rng.random_range(0..=left), rng.random_range(right..=total));
        let (from, to) = match slot % 2 {
            0 => (first, right),
            _ => (left, last),
        };
        Self::Pair {
            from,
            to,
            first,
            last,
            shared: left,
        }
    }

    /// The steps that an item's view shows, from and to. `rng` is that of the view.
    pub(in crate::modality::series) fn place(
        self,
        (id, series): &(u64, Series),
        slot: usize,
        draw: Draw,
        rng: &mut Rng,
    ) -> (usize, usize) {
        let steps = series.steps();
        match self {
            Self::Crop(length) => {
                let spare = steps.saturating_sub(length);
                let from = rng.random_range(0..=spare);
                (from, (from + length).min(steps))
            }
            Self::Pair {
                from,
                to,
                first,
                last,
                shared,
            } => {
                // Both views of a pair lie in the same stretch.
                let keys = [draw.epoch, *id, slot as u64 / 2 + OF_PAIR];
                let mut rng = stream(draw.seed, Purpose::View, &keys);
                let spare = steps.saturating_sub(last - first);
                let begin = rng.random_range(0..=spare);
                // Of a series that is shorter than the stretch, what both show comes within it.
                let shift = (shared - first + 2).saturating_sub(steps);
                let within = |step: usize| (begin + step - first).saturating_sub(shift);
                let to = within(to).clamp(1, steps);
                (within(from).min(to - 1), to)
            }
        }
    }
}
