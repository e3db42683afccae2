//! Whether one detector's area under precision and recall is above another's by more than chance: recordings are drawn
//! again with replacement, the same draws for both.
//!
//! Steps of one recording are alike, so whole recordings are drawn, not steps. A draw needs no sorting: the steps are
//! sorted once, and each counts as often as its recording was drawn.

use rand::RngExt;
use rayon::prelude::*;

use super::by_falling_score;
use crate::error::{EvalError, Result};
use crate::interval::{Bootstrap, Interval};
use crate::sampling::generator;

/// Steps that one detector's draws pass over in all. Of more steps there are fewer draws, since an interval needs some
/// hundreds of them, and a verdict shouldn't take minutes.
const MOST_WORK: usize = 200_000_000;
/// So many draws are taken whatever they cost: of fewer, one or two would decide where an interval ends.
const FEWEST_DRAWS: usize = 100;

/// The area under precision and recall of one detector: of the recordings as they are, and of draws of them.
///
/// ```
/// # use autodidact_eval::anomaly::areas::Areas;
/// # use autodidact_eval::interval::Bootstrap;
/// let labels: [&[bool]; 8] = [&[false, true, false]; 8];
/// let found: [&[f64]; 8] = [&[0.1, 0.9, 0.2]; 8];
/// let alike: [&[f64]; 8] = [&[0.5, 0.5, 0.5]; 8];
/// let sure = Areas::new(&found, &labels, &Bootstrap::default())?;
/// let blind = Areas::new(&alike, &labels, &Bootstrap::default())?;
/// assert_eq!((sure.value(), blind.value()), (1., 1. / 3.));
/// assert!(sure.difference(&blind)?.is_some_and(|by| by.low > 0.));
/// # Ok::<(), autodidact_eval::EvalError>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Areas {
    value: f64,
    /// One each draw; those without an abnormal step have no area and are left out.
    drawn: Vec<f64>,
    /// Recordings with an abnormal step.
    abnormal: usize,
    settings: Bootstrap,
}

impl Areas {
    /// Of the scores of a detector and of whether each step is abnormal, recording by recording.
    ///
    /// # Errors
    ///
    /// If a score is not finite, the labels are not one per score, no step is abnormal, or a setting is out of its range.
    pub fn new(scores: &[&[f64]], labels: &[&[bool]], settings: &Bootstrap) -> Result<Self> {
        settings.check()?;
        let ranking = Ranking::new(scores, labels)?;
        let recordings = scores.len();
        let value = ranking.area(&vec![1_u32; recordings]);
        // None of them is abnormal.
        let value = value.ok_or(EvalError::OneClass { class: 0 })?;
        let draw = |index: usize| {
            let mut generator = generator(settings.seed, index as u64);
            let mut copies = vec![0_u32; recordings];
            for _ in 0..recordings {
                copies[generator.random_range(0..recordings)] += 1;
            }
            ranking.area(&copies)
        };
        let mut drawn: Vec<f64> = (0..draws(settings, ranking.steps.len()))
            .into_par_iter()
            .filter_map(draw)
            .collect();
        // Of few draws all may be without an abnormal step; then only the recordings as they are tell anything.
        if drawn.is_empty() {
            drawn.push(value);
        }
        Ok(Self {
            value,
            drawn,
            abnormal: ranking.abnormal.iter().filter(|&&steps| steps > 0).count(),
            settings: *settings,
        })
    }

    /// The area of the recordings as they are: [`average_precision`](super::ranking::average_precision) of their steps.
    pub fn value(&self) -> f64 {
        self.value
    }

    /// The area with its interval. It has no width where there is but one recording.
    pub fn interval(&self) -> Interval {
        self.settings.around(self.value, self.drawn.clone())
    }

    /// How far this detector's area is above another's on the same recordings; `None` where nobody can tell: where so few
    /// recordings have abnormal steps, with 0.95 five or fewer, that chance alone puts one detector ahead in all of them
    /// more often than the level allows (the sign test).
    ///
    /// # Errors
    ///
    /// If the two are not of the same draws.
    pub fn difference(&self, other: &Self) -> Result<Option<Interval>> {
        let (theirs, ours) = (other.drawn.len(), self.drawn.len());
        EvalError::check_length("draws of the other detector", theirs, ours)?;
        if !self.settings.tells(self.abnormal) {
            return Ok(None);
        }
        let pairs = self.drawn.iter().zip(&other.drawn);
        let apart = pairs.map(|(one, other)| one - other).collect();
        let by = self.value - other.value;
        Ok(Some(self.settings.around(by, apart)))
    }
}

/// How many draws are taken of so many steps.
fn draws(settings: &Bootstrap, steps: usize) -> usize {
    let affordable = MOST_WORK / steps.max(1);
    settings.resamples.min(affordable.max(FEWEST_DRAWS))
}

/// The steps of several recordings in the order of falling scores.
struct Ranking {
    steps: Vec<Step>,
    /// Abnormal steps of each recording.
    abnormal: Vec<u64>,
}

struct Step {
    recording: u32,
    abnormal: bool,
    /// Whether the step after it has another score.
    last: bool,
}

impl Ranking {
    fn new(scores: &[&[f64]], labels: &[&[bool]]) -> Result<Self> {
        EvalError::check_length("recordings with labels", labels.len(), scores.len())?;
        for (scores, labels) in scores.iter().zip(labels) {
            EvalError::check_length("labels", labels.len(), scores.len())?;
        }
        let joined: Vec<f64> = scores.concat();
        EvalError::check_scores(&joined)?;
        let mut places: Vec<(u32, bool)> = Vec::with_capacity(joined.len());
        for (recording, labels) in labels.iter().enumerate() {
            places.extend(labels.iter().map(|&label| (recording as u32, label)));
        }
        let mut steps: Vec<Step> = Vec::with_capacity(joined.len());
        for (_, group) in by_falling_score(&joined) {
            steps.extend(group.iter().map(|&step| Step {
                recording: places[step].0,
                abnormal: places[step].1,
                last: false,
            }));
            if let Some(step) = steps.last_mut() {
                step.last = true;
            }
        }
        let abnormal = labels
            .iter()
            .map(|labels| labels.iter().filter(|&&label| label).count() as u64)
            .collect();
        Ok(Self { steps, abnormal })
    }

    /// The average precision where each recording is there so many times; `None` where no step is abnormal then.
    fn area(&self, copies: &[u32]) -> Option<f64> {
        let counts = self.abnormal.iter().zip(copies);
        let anomalies: u64 = counts
            .map(|(&steps, &copies)| steps * u64::from(copies))
            .sum();
        if anomalies == 0 {
            return None;
        }
        let anomalies = anomalies as f64;
        let (mut alarms, mut found, mut gained, mut sum) = (0_u64, 0_u64, 0_u64, 0.);
        for step in &self.steps {
            let copies = u64::from(copies[step.recording as usize]);
            alarms += copies;
            gained += copies * u64::from(step.abnormal);
            // Steps of equal score become alarms together.
            if step.last && gained > 0 {
                found += gained;
                sum += gained as f64 / anomalies * (found as f64 / alarms as f64);
                gained = 0;
            }
        }
        Some(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::super::ranking::average_precision;
    use super::*;

    /// Recordings of different lengths with many equal scores, which are a little higher where a step is abnormal.
    fn recordings() -> (Vec<Vec<f64>>, Vec<Vec<bool>>) {
        let steps = |recording: usize| 0..20 + 7 * recording;
        let label = |step: usize| step % 9 < 2;
        let score = |recording: usize, step: usize| {
            ((step * 37 + recording * 53) % 31 / 3 + 4 * usize::from(label(step))) as f64
        };
        let scores = |at: usize| steps(at).map(|step| score(at, step)).collect();
        let labels = |at: usize| steps(at).map(label).collect();
        ((0..8).map(scores).collect(), (0..8).map(labels).collect())
    }

    fn slices<T>(recordings: &[Vec<T>]) -> Vec<&[T]> {
        recordings.iter().map(Vec::as_slice).collect()
    }

    fn settings() -> Bootstrap {
        Bootstrap {
            resamples: 300,
            ..Bootstrap::default()
        }
    }

    /// Of so many recordings of ten steps, the first two abnormal, of which a detector puts first so many as `found` says
    /// of each recording.
    fn areas(count: usize, found: impl Fn(usize) -> usize) -> Areas {
        let labels: Vec<bool> = (0..10).map(|step| step < 2).collect();
        let labels = vec![labels; count];
        let score = |recording: usize, step: usize| match step < found(recording) {
            true => 2.,
            // The others in an order that knows nothing.
            false => ((step * 7 + recording * 3) % 10) as f64 / 10.,
        };
        let of = |recording: usize| (0..10).map(|step| score(recording, step)).collect();
        let scores: Vec<Vec<f64>> = (0..count).map(of).collect();
        Areas::new(&slices(&scores), &slices(&labels), &settings()).unwrap()
    }

    #[test]
    fn of_each_recording_once_it_is_the_average_precision() {
        let (scores, labels) = recordings();
        let ranking = Ranking::new(&slices(&scores), &slices(&labels)).unwrap();
        let plain = average_precision(&scores.concat(), &labels.concat()).unwrap();
        assert_eq!(ranking.area(&[1; 8]), Some(plain));
        let areas = Areas::new(&slices(&scores), &slices(&labels), &settings()).unwrap();
        assert_eq!(areas.value(), plain);
        let interval = areas.interval();
        assert!(interval.contains(plain) && interval.low < interval.high);
    }

    #[test]
    fn copies_of_a_recording_are_the_recording_repeated() {
        fn repeated<T: Copy>(recordings: &[Vec<T>], copies: &[u32]) -> Vec<T> {
            let pairs = recordings.iter().zip(copies);
            pairs
                .flat_map(|(steps, &copies)| steps.repeat(copies as usize))
                .collect()
        }
        let (scores, labels) = recordings();
        let ranking = Ranking::new(&slices(&scores), &slices(&labels)).unwrap();
        for copies in [[2; 8], [1, 2, 1, 1, 1, 1, 1, 1], [0, 2, 1, 0, 3, 1, 1, 0]] {
            let plain = average_precision(&repeated(&scores, &copies), &repeated(&labels, &copies));
            assert_eq!(ranking.area(&copies), Some(plain.unwrap()), "{copies:?}");
        }
    }

    #[test]
    fn equal_scores_become_alarms_together() {
        let (scores, labels): ([&[f64]; 2], [&[bool]; 2]) =
            ([&[0., -0.], &[0.]], [&[true, false], &[false]]);
        let ranking = Ranking::new(&scores, &labels).unwrap();
        assert_eq!(ranking.area(&[1, 1]), Some(1. / 3.));
        assert_eq!(ranking.area(&[2, 1]), Some(0.4));
        assert_eq!(ranking.area(&[0, 2]), None);
    }

    #[test]
    fn a_detector_is_told_from_another_only_where_chance_would_not_do() {
        let by = |a: &Areas, b: &Areas| a.difference(b).unwrap().unwrap();
        let (all, one) = (areas(8, |_| 2), areas(8, |_| 1));
        let ahead = by(&all, &one);
        assert!(ahead.low > 0. && ahead.contains(ahead.value), "{ahead:?}");
        let behind = by(&one, &all);
        assert!(behind.high < 0. && behind.value == -ahead.value);
        let same = by(&all, &all);
        assert_eq!((same.value, same.low, same.high), (0., 0., 0.));
        // Ahead in five recordings of eight and behind in three.
        let (most, few) = (
            areas(8, |at| 1 + usize::from(at < 5)),
            areas(8, |at| 1 + usize::from(at >= 5)),
        );
        let near = by(&most, &few);
        assert!(near.value > 0. && near.contains(0.), "{near:?}");
        // Ahead in one alone.
        let once = by(&areas(8, |at| 1 + usize::from(at == 0)), &one);
        assert!(once.value > 0. && once.low <= 0., "{once:?}");
    }

    #[test]
    fn a_few_recordings_tell_nothing() {
        for count in [1, 2, 5] {
            let (all, none) = (areas(count, |_| 2), areas(count, |_| 0));
            assert_eq!(all.difference(&none).unwrap(), None, "{count}");
        }
        let by = areas(6, |_| 2).difference(&areas(6, |_| 0)).unwrap();
        assert!(by.unwrap().low > 0.);
        let one = areas(1, |_| 1);
        let interval = one.interval();
        assert!(interval.low == one.value() && interval.high == one.value());
    }

    #[test]
    fn draws_without_an_abnormal_step_are_left_out() {
        let labels: [&[bool]; 2] = [&[true, false], &[false, false]];
        let scores: [&[f64]; 2] = [&[2., 1.], &[3., 0.]];
        let found = Areas::new(&scores, &labels, &settings()).unwrap();
        // A quarter of the draws is the second recording twice.
        assert!((180..270).contains(&found.drawn.len()));
        assert!(found.drawn.iter().all(|&area| area > 0.));
        for seed in 0..20 {
            let once = Bootstrap {
                resamples: 1,
                seed,
                ..Bootstrap::default()
            };
            let found = Areas::new(&scores, &labels, &once).unwrap();
            assert!(found.interval().low > 0.);
        }
    }

    #[test]
    fn draws_depend_on_the_seed_alone_and_are_fewer_of_many_steps() {
        let (scores, labels) = recordings();
        let (scores, labels) = (slices(&scores), slices(&labels));
        let of = |seed: u64| {
            let settings = Bootstrap { seed, ..settings() };
            Areas::new(&scores, &labels, &settings).unwrap().interval()
        };
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
        let thousand = Bootstrap::default();
        let counts = [25_000, 1_000_000, 1_000_000_000].map(|steps| draws(&thousand, steps));
        assert_eq!(counts, [1000, 200, 100]);
        assert_eq!(draws(&settings(), 10), 300);
    }

    #[test]
    fn wrong_input_is_refused() {
        let refused = |scores: &[&[f64]], labels: &[&[bool]]| {
            Areas::new(scores, labels, &Bootstrap::default()).is_err()
        };
        assert!(refused(&[], &[]));
        assert!(refused(&[&[]], &[&[]]));
        assert!(refused(&[&[1., 2.]], &[&[false, false]]));
        assert!(refused(&[&[1., 2.]], &[&[true]]));
        assert!(refused(&[&[1.], &[2.]], &[&[true, false]]));
        assert!(refused(&[&[1., f64::NAN]], &[&[true, false]]));
        assert!(!refused(&[&[1., 2.]], &[&[true, true]]));
        let none = Bootstrap {
            resamples: 0,
            ..Bootstrap::default()
        };
        assert!(Areas::new(&[&[1., 2.]], &[&[true, false]], &none).is_err());
        let eight = areas(8, |_| 1);
        let fewer = Areas {
            drawn: vec![0.5],
            ..eight.clone()
        };
        assert!(eight.difference(&fewer).is_err());
    }
}
