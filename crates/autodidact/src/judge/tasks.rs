//! The tasks that one side of a comparison is put to, given its vectors.

use autodidact_eval::cluster::{KMeans, adjusted_rand_index, normalized_mutual_information};
use autodidact_eval::interval::{Bootstrap, Interval, bootstrap, bootstrap_statistic};
use autodidact_eval::probe::{Probe, ProbeSettings, Scaling, linear_probe};
use autodidact_eval::svm::{SvmProbe, svm_probe};
use autodidact_eval::{Matrix, classification, few_shot, knn, retrieval, warping};

use super::protocol::unfit;
use super::verdict::{FEW, Finding};
use crate::error::Result;
use crate::recipe::Evaluate;

/// How sharply the nearest of the neighbors count.
const TEMPERATURE: f64 = 0.1;
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
/// Starts of k-means, of which the tightest clusters are taken.
const STARTS: u64 = 5;
/// Draws of the bootstrap behind intervals of what is slower to compare than to count: clusters, F1.
const FEWER_RESAMPLES: usize = 200;
/// Classes are uneven where the largest has more than so many times the items that it would have if all had as many.
const UNEVEN: f64 = 1.5;
/// Standard deviations on either side that hold 95 % of a normal distribution.
const SPREAD: f64 = 1.96;

/// How far time may be warped, as parts of the longest item: of these the one is taken that serves best.
const BANDS: [f64; 9] = [0.0, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2];
/// Cells of all tables of warped distances, at most, if none were left out: minutes.
const MOST_CELLS: f64 = 2e11;

/// What all sides are asked, and what they are asked with.
pub(super) struct Tasks<'a> {
    settings: &'a Evaluate,
    train: &'a [u32],
    test: &'a [u32],
    /// All numbers of neighbors that vote, ascending.
    neighbors: Vec<usize>,
    /// The numbers of labels that each class has.
    few: Vec<usize>,
    /// Among how many of the other judged items to look.
    retrieval: Vec<usize>,
    clusters: usize,
    intervals: Bootstrap,
    seed: u64,
}

/// What the scales of features mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    /// Something or nothing: probes choose.
    Any,
    /// How much a feature tells, as the weights of words do.
    Meant,
}

/// What a side came to at a task.
pub(super) struct Score {
    pub(super) task: String,
    pub(super) metric: String,
    pub(super) interval: Interval,
    /// Whether each judged item was told rightly; empty where the task isn't about single items.
    pub(super) right: Vec<bool>,
}

impl<'a> Tasks<'a> {
    /// The tasks that there are enough labeled items for. Also says in words what was left out for want of them.
    pub(super) fn new(
        settings: &'a Evaluate,
        train: &'a [u32],
        test: &'a [u32],
        seed: u64,
    ) -> (Self, Vec<String>) {
        let mut left_out = Vec::new();
        let mut neighbors: Vec<usize> = settings
            .more_neighbors
            .iter()
            .copied()
            .filter(|&count| count <= train.len())
            .chain([settings.neighbors])
            .collect();
        sort(&mut neighbors);
        let sizes = sizes(train);
        let smallest = sizes.iter().copied().min().unwrap_or(0);
        let mut few = settings.few_labels.clone();
        sort(&mut few);
        few.retain(|&count| count <= smallest);
        if let Some(count) = settings.few_labels.iter().filter(|&&n| n > smallest).min() {
            left_out.push(format!(
                "no probe on {count} labels of each class or more: the smallest class has {smallest} to learn from"
            ));
        }
        let mut retrieval = settings.retrieval.clone();
        sort(&mut retrieval);
        retrieval.retain(|&count| count < test.len());
        let tasks = Self {
            settings,
            train,
            test,
            neighbors,
            few,
            retrieval,
            clusters: self::sizes(test).len(),
            intervals: Bootstrap {
                resamples: settings.resamples,
                seed,
                ..Bootstrap::default()
            },
            seed,
        };
        (tasks, left_out)
    }

    /// How one side does. `advance` is called before each of [`Tasks::steps`] steps.
    pub(super) fn put(
        &self,
        bank: &Matrix,
        queries: &Matrix,
        scale: Scale,
        advance: &mut dyn FnMut(),
    ) -> Result<Vec<Score>> {
        advance();
        let mut scores = self.vote(bank, queries)?;
        advance();
        scores.extend(self.probe(bank, queries, scale)?);
        if self.separates() {
            advance();
            scores.push(self.separate(bank, queries)?);
        }
        for &count in &self.few {
            advance();
            scores.push(self.few_labels(bank, queries, count, scale)?);
        }
        if self.settings.clustering {
            advance();
            scores.extend(self.cluster(queries)?);
        }
        if !self.retrieval.is_empty() {
            advance();
            scores.extend(self.retrieve(queries)?);
        }
        Ok(scores)
    }

    /// Steps that a side takes.
    pub(super) fn steps(&self) -> usize {
        let others =
            usize::from(self.settings.clustering) + usize::from(!self.retrieval.is_empty());
        2 + usize::from(self.separates()) + self.few.len() + others
    }

    /// Whether there are few enough labels for a support vector machine.
    fn separates(&self) -> bool {
        self.train.len() <= self.settings.svm_up_to
    }

    /// A support vector machine with radial kernels.
    fn separate(&self, bank: &Matrix, queries: &Matrix) -> Result<Score> {
        let settings = SvmProbe {
            seed: self.seed,
            ..SvmProbe::default()
        };
        let found = svm_probe(bank, self.train, queries, &settings).map_err(unfit)?;
        self.accuracy("svm".to_owned(), &found.predictions)
    }

    /// Whether there are few enough labels for dynamic time warping.
    pub(super) fn warps(&self) -> bool {
        self.train.len() <= self.settings.warping_up_to
    }

    /// The nearest neighbor by dynamic time warping (Sakoe and Chiba 1978), in the band that does best among the items to
    /// learn from, as the UCR archive has it; `None` where that would take too long.
    pub(super) fn warp(&self, bank: &[Matrix], queries: &[Matrix]) -> Result<Option<Score>> {
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

    fn vote(&self, bank: &Matrix, queries: &Matrix) -> Result<Vec<Score>> {
        let votes = knn::classify_each(bank, self.train, queries, &self.neighbors, TEMPERATURE)
            .map_err(unfit)?;
        let votes = self.neighbors.iter().zip(votes);
        votes
            .map(|(count, votes)| self.accuracy(format!("knn{count}"), &votes))
            .collect()
    }

    /// The probe's accuracy, and its F1 where classes are uneven: always naming the largest would then seem good.
    fn probe(&self, bank: &Matrix, queries: &Matrix, scale: Scale) -> Result<Vec<Score>> {
        let mut settings = ProbeSettings {
            seed: self.seed,
            ..ProbeSettings::default()
        };
        if scale == Scale::Meant {
            settings.candidates = MEANT_PENALTIES.to_vec();
            settings.scalings = vec![Scaling::Unscaled];
        } else if bank.columns() > WIDE {
            settings.candidates = WIDE_PENALTIES.to_vec();
            settings.max_iterations = WIDE_ITERATIONS;
        }
        if self.train.len() <= FEW_ROWS {
            settings.rounds = ROUNDS;
        }
        if self.train.len() > MANY_ROWS && settings.scalings.len() > 1 {
            let some = ProbeSettings {
                max_fit_rows: Some(MANY_ROWS),
                ..settings.clone()
            };
            let found = Probe::fit(bank, self.train, &some).map_err(unfit)?;
            settings.scalings = vec![found.scaling];
        }
        let probe = linear_probe(bank, self.train, queries, &settings).map_err(unfit)?;
        let mut scores = vec![self.accuracy("linear".to_owned(), &probe.predictions)?];
        let sizes = sizes(self.test);
        let largest = sizes.iter().max().map_or(0, |&most| most * sizes.len());
        if largest as f64 > UNEVEN * self.test.len() as f64 {
            let predicted = &probe.predictions;
            scores.push(self.agreement(
                "linear",
                "macro_f1",
                predicted,
                classification::macro_f1,
            )?);
        }
        Ok(scores)
    }

    /// How well predictions agree with the classes, by a measure of all of them together.
    fn agreement(
        &self,
        task: &str,
        metric: &str,
        predictions: &[u32],
        of: fn(&[u32], &[u32]) -> autodidact_eval::Result<f64>,
    ) -> Result<Score> {
        let settings = Bootstrap {
            resamples: self.intervals.resamples.min(FEWER_RESAMPLES),
            ..self.intervals
        };
        let of_drawn = |drawn: &[usize]| {
            let pick =
                |labels: &[u32]| -> Vec<u32> { drawn.iter().map(|&item| labels[item]).collect() };
            of(&pick(predictions), &pick(self.test))
        };
        let found = bootstrap_statistic(predictions.len(), of_drawn, &settings).map_err(unfit)?;
        Ok(Score {
            task: task.to_owned(),
            metric: metric.to_owned(),
            // Nothing agrees more than wholly.
            interval: Interval {
                high: found.high.min(1.0),
                ..found
            },
            right: Vec::new(),
        })
    }

    fn accuracy(&self, task: String, predictions: &[u32]) -> Result<Score> {
        let right = classification::hits(predictions, self.test).map_err(unfit)?;
        Ok(Score {
            task,
            metric: "accuracy".to_owned(),
            interval: bootstrap(&right, &self.intervals).map_err(unfit)?,
            right,
        })
    }

    /// The mean over several draws of the labels; the interval is where the accuracy of one such draw is to be expected.
    fn few_labels(
        &self,
        bank: &Matrix,
        queries: &Matrix,
        count: usize,
        scale: Scale,
    ) -> Result<Score> {
        let draws = few_shot::probe(
            bank,
            self.train,
            queries,
            self.test,
            count,
            self.settings.draws,
            self.seed,
            scale == Scale::Meant,
        )
        .map_err(unfit)?;
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

    fn cluster(&self, items: &Matrix) -> Result<Vec<Score>> {
        let directions = items.normalized_rows();
        let mut tightest = None;
        for start in 0..STARTS {
            let settings = KMeans {
                clusters: self.clusters,
                seed: self.seed.wrapping_add(start),
                ..KMeans::default()
            };
            let found = settings.fit(&directions).map_err(unfit)?;
            if tightest
                .as_ref()
                .is_none_or(|(inertia, _)| found.inertia < *inertia)
            {
                tightest = Some((found.inertia, found.assignments));
            }
        }
        let groups = tightest.map(|(_, groups)| groups).unwrap_or_default();
        Ok(vec![
            self.agreement("clusters", "nmi", &groups, normalized_mutual_information)?,
            self.agreement("clusters", "ari", &groups, adjusted_rand_index)?,
        ])
    }

    fn retrieve(&self, items: &Matrix) -> Result<Vec<Score>> {
        let found = retrieval::found_within(items, self.test, &self.retrieval).map_err(unfit)?;
        let found = self.retrieval.iter().zip(found);
        let score = |(count, found): (&usize, Vec<bool>)| {
            Ok(Score {
                task: "retrieval".to_owned(),
                metric: format!("recall@{count}"),
                interval: bootstrap(&found, &self.intervals).map_err(unfit)?,
                right: Vec::new(),
            })
        };
        found.map(score).collect()
    }
}

impl Score {
    pub(super) fn finding(&self, who: &str) -> Finding {
        Finding {
            who: who.to_owned(),
            task: self.task.clone(),
            metric: self.metric.clone(),
            value: self.interval.value,
            low: self.interval.low,
            high: self.interval.high,
        }
    }
}

/// Items of each class that has any.
pub(super) fn sizes(labels: &[u32]) -> Vec<usize> {
    let mut sorted = labels.to_vec();
    sorted.sort_unstable();
    sorted.chunk_by(|a, b| a == b).map(<[u32]>::len).collect()
}

fn sort(counts: &mut Vec<usize>) {
    counts.sort_unstable();
    counts.dedup();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_there_are_too_few_items_for_is_left_out_and_said() {
        let settings = Evaluate::default();
        let train: Vec<u32> = (0..24).map(|item| item % 2).chain([2; 7]).collect();
        let test = [0, 1, 2, 0, 1];
        let (tasks, left_out) = Tasks::new(&settings, &train, &test, 0);
        assert_eq!(tasks.neighbors, [1, 5, 20]);
        assert_eq!(tasks.few, [1, 5]);
        assert_eq!(tasks.retrieval, [1]);
        assert_eq!(tasks.clusters, 3);
        assert!(left_out[0].contains("10 labels of each class") && left_out[0].contains("has 7"));
        let quick = settings.clone().quick();
        let (tasks, left_out) = Tasks::new(&quick, &train, &test, 0);
        assert_eq!((tasks.neighbors.as_slice(), tasks.steps()), (&[20][..], 2));
        assert!(left_out.is_empty());
    }

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
        let scores = tasks.probe(&items, &items, Scale::Any).unwrap();
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

    #[test]
    fn separate_classes_score_full_marks_at_every_task() {
        let settings = Evaluate {
            few_labels: vec![1, 10],
            resamples: 50,
            ..Evaluate::default()
        };
        let labels: Vec<u32> = (0..90).map(|item| item % 3).collect();
        let data = labels.iter().enumerate().flat_map(|(item, &label)| {
            let angle = 2.1 * label as f32 + 0.1 * (item as f32 * 7.3).sin();
            [angle.cos(), angle.sin()]
        });
        let items = Matrix::from_vec(90, 2, data.collect()).unwrap();
        let (tasks, _) = Tasks::new(&settings, &labels, &labels, 1);
        let mut steps = 0;
        let scores = tasks
            .put(&items, &items, Scale::Any, &mut || steps += 1)
            .unwrap();
        assert_eq!(steps, tasks.steps());
        let names: Vec<_> = scores
            .iter()
            .map(|score| format!("{} {}", score.task, score.metric))
            .collect();
        assert_eq!(
            names,
            [
                "knn1 accuracy",
                "knn5 accuracy",
                "knn20 accuracy",
                "linear accuracy",
                "svm accuracy",
                "few_shot_1 accuracy",
                "few_shot_10 accuracy",
                "clusters nmi",
                "clusters ari",
                "retrieval recall@1",
                "retrieval recall@5",
                "retrieval recall@10",
            ]
        );
        for score in scores {
            let interval = score.interval;
            assert!(interval.value > 0.999, "{} {interval:?}", score.task);
            assert!(interval.low <= interval.value && interval.value <= interval.high);
        }
    }
}
