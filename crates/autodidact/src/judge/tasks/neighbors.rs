//! What lies near: votes of the nearest neighbors by cosine and by dynamic time warping, and retrieval.

use autodidact_eval::interval::share;
use autodidact_eval::{Matrix, knn, retrieval, warping};

use super::{Score, Tasks, sort};
use crate::error::Result;
use crate::judge::protocol::unfit;

/// How sharply the nearest of the neighbors count.
const TEMPERATURE: f64 = 0.1;
/// How far time may be warped, as parts of the longest item: of these the one is taken that serves best.
const BANDS: [f64; 9] = [0.0, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2];
/// Cells of all tables of warped distances, at most, if none were left out: minutes.
const MOST_CELLS: f64 = 2e11;

impl Tasks<'_> {
    pub(super) fn vote(&self, bank: &Matrix, queries: &Matrix) -> Result<Vec<Score>> {
        let votes = knn::classify_each(bank, self.train, queries, &self.neighbors, TEMPERATURE)
            .map_err(unfit)?;
        let votes = self.neighbors.iter().zip(votes);
        votes
            .map(|(count, votes)| self.accuracy(format!("knn{count}"), &votes))
            .collect()
    }

    /// Whether there are few enough labels for dynamic time warping.
    pub(in crate::judge) fn warps(&self) -> bool {
        self.train.len() <= self.settings.warping_up_to
    }

    /// The nearest neighbor by dynamic time warping (Sakoe and Chiba 1978), in the band that does best among the items to
    /// learn from, as the UCR archive has it; `None` where that would take too long.
    pub(in crate::judge) fn warp(
        &self,
        bank: &[Matrix],
        queries: &[Matrix],
    ) -> Result<Option<Score>> {
        let longest = bank.iter().chain(queries).map(Matrix::rows).max();
        let longest = longest.unwrap_or(0);
        let mut bands: Vec<usize> = BANDS
            .map(|part| (part * longest as f64).round() as usize)
            .into();
        sort(&mut bands);
        let widest = bands.last().map_or(0, |band| 2 * band + 1);
        let pairs = bank.len() * (bank.len() * bands.len() + queries.len());
        if pairs as f64 * (longest * widest) as f64 > MOST_CELLS {
            return Ok(None);
        }
        let (band, _) = warping::choose_band(bank, self.train, &bands).map_err(unfit)?;
        let found = warping::classify(bank, self.train, queries, Some(band)).map_err(unfit)?;
        self.accuracy("dtw1".to_owned(), &found).map(Some)
    }

    /// Whether one of the nearest other judged items is of the same class.
    pub(super) fn retrieve(&self, items: &Matrix) -> Result<Vec<Score>> {
        let found = retrieval::found_within(items, self.test, &self.retrieval).map_err(unfit)?;
        let found = self.retrieval.iter().zip(found);
        let score = |(count, found): (&usize, Vec<bool>)| {
            Ok(Score {
                task: "retrieval".to_owned(),
                metric: format!("recall@{count}"),
                interval: share(&found, &self.intervals).map_err(unfit)?,
                right: Vec::new(),
            })
        };
        found.map(score).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Evaluate;

    #[test]
    fn what_comes_early_or_late_is_told_by_warping_time() {
        // A step up and then down, or down and then up, at any time.
        let item = |number: usize| {
            let sign = if number.is_multiple_of(2) { 1.0 } else { -1.0 };
            let at = 5 + number * 7 % 11;
            let value = |step: usize| match step.checked_sub(at) {
                Some(0..3) => sign,
                Some(3..6) => -sign,
                _ => 0.0,
            };
            Matrix::from_vec(60, 1, (0..60).map(value).collect()).unwrap()
        };
        let items: Vec<Matrix> = (0..24).map(item).collect();
        let labels: Vec<u32> = (0..24).map(|number| number % 2).collect();
        let settings = Evaluate::default();
        let (tasks, _) = Tasks::new(&settings, &labels[..8], &labels[8..], 1);
        assert!(tasks.warps());
        let found = tasks.warp(&items[..8], &items[8..]).unwrap().unwrap();
        assert_eq!((found.task.as_str(), found.interval.value), ("dtw1", 1.0));
        let long = vec![Matrix::from_vec(1 << 20, 1, vec![0.0; 1 << 20]).unwrap(); 2];
        assert!(tasks.warp(&long, &long).unwrap().is_none());
        let quick = settings.quick();
        assert!(!Tasks::new(&quick, &labels[..8], &labels[8..], 1).0.warps());
    }
}
