//! The tasks that one side of a comparison is put to, given its vectors.

mod clusters;
mod labels;
mod neighbors;

use autodidact_eval::interval::{Bootstrap, Interval, bootstrap_statistic, share};
use autodidact_eval::probe::Moments;
use autodidact_eval::{Matrix, classification};

use super::protocol::unfit;
use super::verdict::Finding;
use crate::error::Result;
use crate::recipe::Evaluate;

/// Draws of the bootstrap behind intervals of what is slower to compare than to count: clusters, F1.
const FEWER_RESAMPLES: usize = 200;

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
    /// How many clusters to look for; none where they aren't asked for, or the judged items are of one class.
    clusters: Option<usize>,
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
        if settings.neighbors > train.len() {
            left_out.push(format!(
                "no vote of {} neighbors: there are {} items to learn from, and all of them vote",
                settings.neighbors,
                train.len()
            ));
        }
        let smallest = sizes(train).into_iter().min().unwrap_or(0);
        let mut few = settings.few_labels.clone();
        sort(&mut few);
        few.retain(|&count| count <= smallest);
        if let Some(count) = settings.few_labels.iter().filter(|&&n| n > smallest).min() {
            left_out.push(format!(
                "no probe on {count} labels of each class or more: the smallest class has {smallest} to learn from"
            ));
        }
        let classes = sizes(test).len();
        let mut clusters = settings.clustering.then_some(classes);
        let mut retrieval = settings.retrieval.clone();
        sort(&mut retrieval);
        retrieval.retain(|&count| count < test.len());
        if classes < 2 && (clusters.is_some() || !retrieval.is_empty()) {
            // One cluster is one class, and whatever is near is of it: full marks for everyone.
            (clusters, retrieval) = (None, Vec::new());
            left_out.push(
                "no clusters and no retrieval: the items to judge on are of one class, and whoever always names it is right"
                    .to_owned(),
            );
        }
        let tasks = Self {
            settings,
            train,
            test,
            neighbors,
            few,
            retrieval,
            clusters,
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
        // Once for all probes: how features vary needs no labels, so that it is the same for many and for few.
        let moments = (scale == Scale::Any).then(|| Moments::of(bank));
        advance();
        let mut scores = self.vote(bank, queries)?;
        advance();
        scores.extend(self.probe(bank, queries, moments.as_ref())?);
        if self.separates() {
            advance();
            scores.push(self.separate(bank, queries)?);
        }
        for &count in &self.few {
            advance();
            scores.push(self.few_labels(bank, queries, count, moments.as_ref())?);
        }
        if let Some(clusters) = self.clusters {
            advance();
            scores.extend(self.cluster(queries, clusters)?);
        }
        if !self.retrieval.is_empty() {
            advance();
            scores.extend(self.retrieve(queries)?);
        }
        Ok(scores)
    }

    /// Steps that a side takes.
    pub(super) fn steps(&self) -> usize {
        let others = usize::from(self.clusters.is_some()) + usize::from(!self.retrieval.is_empty());
        2 + usize::from(self.separates()) + self.few.len() + others
    }

    fn accuracy(&self, task: String, predictions: &[u32]) -> Result<Score> {
        let right = classification::hits(predictions, self.test).map_err(unfit)?;
        Ok(Score {
            task,
            metric: "accuracy".to_owned(),
            interval: share(&right, &self.intervals).map_err(unfit)?,
            right,
        })
    }

    /// How well predictions agree with the classes, by a measure of all of them together, which is `least` at least and at
    /// most 1.
    fn agreement(
        &self,
        [task, metric]: [&str; 2],
        predictions: &[u32],
        least: f64,
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
            // The resamples were moved, and may lie beyond what the measure can be.
            interval: Interval {
                low: found.low.max(least),
                high: found.high.min(1.0),
                ..found
            },
            right: Vec::new(),
        })
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
        assert_eq!(tasks.clusters, Some(3));
        assert!(left_out[0].contains("10 labels of each class") && left_out[0].contains("has 7"));
        let quick = settings.clone().quick();
        let (tasks, left_out) = Tasks::new(&quick, &train, &test, 0);
        assert_eq!((tasks.neighbors.as_slice(), tasks.steps()), (&[20][..], 2));
        assert!(left_out.is_empty());
        let (_, left_out) = Tasks::new(&quick, &train[..8], &test, 0);
        assert!(left_out[0].contains("no vote of 20 neighbors: there are 8 items"));
    }

    #[test]
    fn items_of_one_class_are_no_clusters_and_nothing_to_search() {
        let settings = Evaluate {
            resamples: 50,
            ..Evaluate::default()
        };
        let train: Vec<u32> = (0..60).map(|item| item % 2).collect();
        let test = [1; 20];
        let data = (0..60).flat_map(|item| [(item % 2) as f32, 1.0, (item as f32).sin()]);
        let bank = Matrix::from_vec(60, 3, data.collect()).unwrap();
        let queries = bank.select(&(0..20).collect::<Vec<_>>()).unwrap();
        let (tasks, left_out) = Tasks::new(&settings, &train, &test, 1);
        let said = left_out.last().unwrap();
        assert!(said.contains("no clusters and no retrieval"), "{said}");
        let mut steps = 0;
        let mut step = || steps += 1;
        let scores = tasks.put(&bank, &queries, Scale::Any, &mut step).unwrap();
        assert_eq!(steps, tasks.steps());
        let trivial = |score: &Score| score.task == "clusters" || score.task == "retrieval";
        assert!(!scores.iter().any(trivial));
    }

    #[test]
    fn an_interval_stays_within_what_a_measure_can_be() {
        let settings = Evaluate::default();
        // Groups that know nothing of the classes, so that resamples agree more than all items do.
        let (groups, classes) = ([0, 0, 1, 1], [0, 1, 0, 1]);
        let (tasks, _) = Tasks::new(&settings, &classes, &classes, 1);
        let nmi = autodidact_eval::cluster::normalized_mutual_information;
        let score = tasks.agreement(["clusters", "nmi"], &groups, 0.0, nmi);
        let interval = score.unwrap().interval;
        assert_eq!((interval.value, interval.low), (0.0, 0.0));
        assert!(interval.high > 0.0, "{interval:?}");
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
