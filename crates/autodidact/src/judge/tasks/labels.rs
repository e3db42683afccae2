//! What can be learned from labels: a linear probe on all of them, probes on a few, a support vector machine.

use autodidact_eval::few_shot::FewLabels;
use autodidact_eval::interval::Interval;
use autodidact_eval::probe::{Moments, Probe, ProbeSettings, Scaling};
use autodidact_eval::svm::{SvmProbe, svm_probe};
use autodidact_eval::{Matrix, classification};

use super::{Score, Tasks, sizes};
use crate::error::Result;
use crate::judge::protocol::unfit;
use crate::judge::verdict::FEW;

/// What counts as wide: raw values, whose probe takes minutes where that of an encoder takes seconds.
const WIDE: usize = 1024;
/// The penalties that are tried on wide features, which want strong ones.
const WIDE_PENALTIES: [f64; 3] = [1e-4, 1e-3, 1e-2];
/// The penalties that are tried on weighted counts, which are short and mostly 0.
const MEANT_PENALTIES: [f64; 3] = [1.0, 10.0, 100.0];
/// Items up to which each of five parts of them is held out in turn to choose a probe by, and not one alone.
const FEW_ROWS: usize = 1000;
/// Those parts.
const ROUNDS: usize = 5;
/// Items that tell how features are to be scaled, of more.
const MANY_ROWS: usize = 5000;
/// Iterations of a wide probe, at most.
const WIDE_ITERATIONS: usize = 60;
/// Classes are uneven where the largest has more than so many times the items that it would have if all had as many.
const UNEVEN: f64 = 1.5;
/// Standard deviations on either side that hold 95 % of a normal distribution.
const SPREAD: f64 = 1.96;

impl Tasks<'_> {
    /// Whether there are few enough labels for a support vector machine.
    pub(super) fn separates(&self) -> bool {
        self.train.len() <= self.settings.svm_up_to
    }

    /// A support vector machine with radial kernels.
    pub(super) fn separate(&self, bank: &Matrix, queries: &Matrix) -> Result<Score> {
        let settings = SvmProbe {
            seed: self.seed,
            ..SvmProbe::default()
        };
        let found = svm_probe(bank, self.train, queries, &settings).map_err(unfit)?;
        self.accuracy("svm".to_owned(), &found.predictions)
    }

    /// The probe's accuracy, and its F1 where classes are uneven: always naming the largest would then seem good. Without
    /// `moments` the scales of the features mean something and stay.
    pub(super) fn probe(
        &self,
        bank: &Matrix,
        queries: &Matrix,
        moments: Option<&Moments>,
    ) -> Result<Vec<Score>> {
        let mut settings = ProbeSettings {
            seed: self.seed,
            ..ProbeSettings::default()
        };
        if moments.is_none() {
            settings.candidates = MEANT_PENALTIES.to_vec();
            settings.scalings = vec![Scaling::Unscaled];
        } else if bank.columns() > WIDE {
            settings.candidates = WIDE_PENALTIES.to_vec();
            settings.max_iterations = WIDE_ITERATIONS;
        }
        if self.train.len() <= FEW_ROWS {
            settings.rounds = ROUNDS;
        }
        let fit = |settings: &ProbeSettings| {
            let found = match moments {
                Some(moments) => Probe::fit_with(moments, bank, self.train, settings),
                None => Probe::fit(bank, self.train, settings),
            };
            found.map_err(unfit)
        };
        if self.train.len() > MANY_ROWS && settings.scalings.len() > 1 {
            let some = ProbeSettings {
                max_fit_rows: Some(MANY_ROWS),
                ..settings.clone()
            };
            settings.scalings = vec![fit(&some)?.scaling];
        }
        let predicted = fit(&settings)?.predict(queries).map_err(unfit)?;
        let mut scores = vec![self.accuracy("linear".to_owned(), &predicted)?];
        let sizes = sizes(self.test);
        let largest = sizes.iter().max().map_or(0, |&most| most * sizes.len());
        if largest as f64 > UNEVEN * self.test.len() as f64 {
            let f1 = classification::macro_f1;
            scores.push(self.agreement(["linear", "macro_f1"], &predicted, 0.0, f1)?);
        }
        Ok(scores)
    }

    /// The mean over several draws of the labels; the interval is where the accuracy of one such draw is to be expected.
    /// Without `moments` the scales of the features mean something and stay.
    pub(super) fn few_labels(
        &self,
        bank: &Matrix,
        queries: &Matrix,
        count: usize,
        moments: Option<&Moments>,
    ) -> Result<Score> {
        let few = FewLabels {
            train: bank,
            train_labels: self.train,
            moments,
            test: queries,
            test_labels: self.test,
        };
        let draws = few.probe(count, self.settings.draws, self.seed);
        let draws = draws.map_err(unfit)?;
        let accuracy = |right: &Vec<bool>| {
            right.iter().filter(|&&right| right).count() as f64 / right.len() as f64
        };
        let accuracies: Vec<f64> = draws.iter().map(accuracy).collect();
        let number = accuracies.len() as f64;
        let mean = accuracies.iter().sum::<f64>() / number;
        let squares: f64 = accuracies.iter().map(|a| (a - mean).powi(2)).sum();
        let deviation = (squares / (number - 1.0).max(1.0)).sqrt();
        Ok(Score {
            task: format!("{FEW}{count}"),
            metric: "accuracy".to_owned(),
            interval: Interval {
                value: mean,
                low: (mean - SPREAD * deviation).max(0.0),
                high: (mean + SPREAD * deviation).min(1.0),
            },
            right: Vec::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Evaluate;

    #[test]
    fn where_classes_are_uneven_the_probe_is_judged_by_each_alike() {
        let settings = Evaluate {
            resamples: 50,
            ..Evaluate::default()
        }
        .quick();
        let labels: Vec<u32> = (0..100).map(|item| u32::from(item % 10 == 0)).collect();
        // Nothing can be told, so that the probe names the larger class.
        let noise = (0..100).map(|item| (item as f32 * 7.3).sin()).collect();
        let items = Matrix::from_vec(100, 1, noise).unwrap();
        let (tasks, _) = Tasks::new(&settings, &labels, &labels, 1);
        let moments = Moments::of(&items);
        let scores = tasks.probe(&items, &items, Some(&moments)).unwrap();
        let of: Vec<_> = (scores.iter())
            .map(|score| (score.metric.as_str(), score.interval.value))
            .collect();
        let f1 = (2.0 * 90.0 / 190.0) / 2.0;
        assert_eq!(of[0], ("accuracy", 0.9));
        assert!(
            of[1].0 == "macro_f1" && (of[1].1 - f1).abs() < 1e-9,
            "{of:?}"
        );
    }
}
