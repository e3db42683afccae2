//! How far a run is, in steps, also where its length is given in time.

use serde::{Deserialize, Serialize};

use crate::recipe::Length;

/// Where a run stands on its way from 0 to 1.
///
/// A run with a budget guesses its number of steps from the time that steps take, and corrects the guess on the way. Each
/// correction is remembered: progress is a function of the step and the corrections, so that a run can be
/// repeated step by step even where its timing can't.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Progress {
    /// Steps taken.
    step: u64,
    /// Steps taken before this leg: a finished run can go on for another length.
    began: u64,
    /// From 0 to 1.
    done: f64,
    /// Steps in all, as thought now.
    total: u64,
    /// Seconds spent training, also before an interruption.
    pub elapsed: f64,
    /// `[at step, steps in all]`.
    corrections: Vec<[u64; 2]>,
    /// The corrections of a run that is being repeated.
    replayed: Vec<[u64; 2]>,
    /// Seconds given, if the length is one of time.
    budget: Option<f64>,
    /// Steps in all that a run with a budget takes at most: more would bring its method nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    most: Option<u64>,
    /// What guesses go by. It is not kept: after an interruption the machine may be another.
    #[serde(skip)]
    pace: Pace,
    /// Seconds that what comes after the last step takes. Not kept either.
    #[serde(skip)]
    closing: f64,
}

/// How long the steps of this process took, with looks and checkpoints between them. Its first step is left out: in it is
/// what a start costs, such as reading the data and what a GPU compiles.
#[derive(Debug, Clone, Default, PartialEq)]
struct Pace {
    /// The first one, too.
    taken: u64,
    /// Of all steps but the first.
    seconds: f64,
}

impl Pace {
    fn add(&mut self, seconds: f64) {
        if self.taken > 0 {
            self.seconds += seconds;
        }
        self.taken += 1;
    }

    /// Steps that were timed.
    fn timed(&self) -> u64 {
        self.taken.saturating_sub(1)
    }

    /// Seconds that a step takes, where any was timed.
    fn of_a_step(&self) -> Option<f64> {
        (self.timed() > 0).then(|| (self.seconds / self.timed() as f64).max(1e-9))
    }

    /// Whether it is known well enough to plan the seconds that are left by it.
    fn is_known(&self, left: f64) -> bool {
        self.timed() >= TIMED || self.seconds > SLOW * left
    }
}

/// What a run with a budget thinks its number of steps is before it has timed any.
const FIRST_GUESS: u64 = 1000;
/// Steps that are timed before the first guess is corrected.
const TIMED: u64 = 3;
/// Fewer do where they took so much of what is left: a run of a few slow steps can't wait.
const SLOW: f64 = 0.2;
/// The part of the budget that a run may end early by, where it knows of no step that would fit in.
const SPARED: f64 = 0.05;
/// The part of the budget that is kept for what comes after the last step, at most: a run is to learn, above all.
const CLOSING: f64 = 0.2;
/// A guess that is off by less is kept.
const TOLERANCE: f64 = 0.01;
/// The smallest part of the budget between two corrections.
const SPACING: f64 = 0.02;

impl Progress {
    /// The start of a run of that length.
    pub fn new(length: Length, steps_per_epoch: u64, replayed: &[[u64; 2]]) -> Self {
        let budget = match length {
            Length::Budget(seconds) => Some(seconds),
            Length::Epochs(_) | Length::Steps(_) => None,
        };
        let total = length.steps(steps_per_epoch).unwrap_or(FIRST_GUESS);
        // A repeated run starts from its first guess, not from what became of it.
        let first = replayed
            .first()
            .filter(|first| first[0] == 0)
            .map(|first| first[1]);
        let total = first.unwrap_or(total);
        let guessed = budget.is_some() || first.is_some();
        Self {
            step: 0,
            began: 0,
            done: 0.0,
            total,
            elapsed: 0.0,
            corrections: if guessed {
                vec![[0, total]]
            } else {
                Vec::new()
            },
            replayed: replayed.to_vec(),
            budget,
            most: None,
            pace: Pace::default(),
            closing: 0.0,
        }
    }

    /// The same, but of a budget no more is spent than is `enough` for the method to learn all there is. Other lengths stay as
    /// they are.
    #[must_use]
    pub fn up_to(mut self, enough: Option<Length>, steps_per_epoch: u64) -> Self {
        let enough = enough.and_then(|enough| enough.steps(steps_per_epoch));
        if let (Some(_), Some(steps)) = (self.budget, enough) {
            let most = self.began + steps;
            self.most = Some(most);
            self.total = self.total.min(most);
            if let Some(first) = self.corrections.first_mut() {
                first[1] = self.total;
            }
        }
        self
    }

    /// Goes on for another length from where this one ended.
    #[must_use]
    pub fn extended(&self, length: Length, steps_per_epoch: u64) -> Self {
        let mut more = Self::new(length, steps_per_epoch, &[]);
        more.step = self.step;
        more.began = self.step;
        more.elapsed = 0.0;
        more.total += self.step;
        if let Some(first) = more.corrections.first_mut() {
            *first = [more.step, more.total];
        }
        more
    }

    /// Steps taken.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// Steps taken before this leg of a run that went on after its end.
    pub fn began(&self) -> u64 {
        self.began
    }

    /// From 0 at the start to 1 at the end.
    pub fn done(&self) -> f64 {
        self.done
    }

    /// Steps in all, as thought now.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The corrections made, counted from the beginning of this leg.
    pub fn corrections(&self) -> Vec<[u64; 2]> {
        self.corrections
            .iter()
            .map(|pair| pair.map(|step| step.saturating_sub(self.began)))
            .collect()
    }

    /// Seconds given, if the length is one of time; not of a run that learned all there is before they were over.
    pub fn budget(&self) -> Option<f64> {
        self.budget
            .filter(|_| self.most.is_none_or(|most| self.step < most))
    }

    /// Whether the run is over.
    pub fn finished(&self) -> bool {
        self.step >= self.total
    }

    /// Seconds left, as far as can be told from the time that has passed.
    pub fn seconds_left(&self) -> Option<f64> {
        let of_steps = (self.done > 0.0).then(|| self.elapsed / self.done * (1.0 - self.done));
        let Some(budget) = self.budget else {
            return of_steps;
        };
        let left = (budget - self.elapsed).max(0.0);
        // Where all that is enough fits in, the run ends before the budget does.
        let sooner = of_steps.filter(|_| self.most == Some(self.total));
        Some(sooner.map_or(left, |sooner| sooner.min(left)))
    }

    /// Says how many seconds what comes after the last step will take, as far as can be told: the last look, the last files.
    pub fn closes_in(&mut self, seconds: f64) {
        self.closing = seconds;
    }

    /// Seconds of a budget that are left for steps.
    fn left_of(&self, budget: f64) -> f64 {
        budget - self.elapsed - self.closing.clamp(0.0, CLOSING * budget)
    }

    /// One step further, `seconds` after the one before, or after the start of this process.
    pub fn advance(&mut self, seconds: f64) {
        self.elapsed += seconds;
        self.pace.add(seconds);
        let left = self.total.saturating_sub(self.step).max(1);
        self.done += (1.0 - self.done) / left as f64;
        self.step += 1;
        if let Some(position) = self
            .replayed
            .iter()
            .position(|correction| correction[0] == self.step)
        {
            self.correct(self.replayed[position][1]);
        } else if let Some(budget) = self.budget {
            match self.pace.of_a_step() {
                Some(pace) => self.guess(budget, pace),
                None => self.guess_untimed(budget, seconds),
            }
        }
    }

    /// Before a step is timed only the end is looked out for: of a total guessed by what a start costs, which is far too
    /// small, the schedule would run ahead.
    fn guess_untimed(&mut self, budget: f64, first_step: f64) {
        let left = self.left_of(budget);
        let last = self.total <= self.step;
        let spared = match last {
            true => first_step * 0.5,
            false => SPARED * budget,
        };
        if left < spared {
            self.correct(self.step);
        } else if last {
            self.correct(self.step + 1);
        }
    }

    fn guess(&mut self, budget: f64, pace: f64) {
        let left = self.left_of(budget);
        if left < pace * 0.5 {
            // The budget is spent: this was the last step.
            self.correct(self.step);
            return;
        }
        let guess = self.step + (left / pace).round().max(1.0) as u64;
        let off = (guess as f64 - self.total as f64).abs()
            / self.total.saturating_sub(self.step).max(1) as f64;
        let last = self.corrections.last().map_or(0, |last| last[0]);
        let spaced = (self.step - last) as f64 * pace > SPACING * budget;
        let first = self.corrections.len() == 1;
        let due = self.pace.is_known(left) && (first || spaced);
        let ending = self.total <= self.step || left < 2.0 * SPACING * budget;
        if off > TOLERANCE && (due || ending) {
            self.correct(guess);
        }
    }

    fn correct(&mut self, total: u64) {
        let total = self.most.map_or(total, |most| total.min(most));
        if self.total != total {
            self.total = total;
            self.corrections.push([self.step, total]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_lead_from_zero_to_one_evenly() {
        let mut progress = Progress::new(Length::Epochs(2.0), 5, &[]);
        let mut seen = Vec::new();
        while !progress.finished() {
            seen.push(progress.done());
            progress.advance(1.0);
        }
        assert_eq!(seen.len(), 10);
        for (step, done) in seen.iter().enumerate() {
            assert!((done - step as f64 / 10.0).abs() < 1e-9);
        }
        assert!((progress.done() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn a_budget_ends_in_time_with_its_schedule_done_though_the_pace_changes() {
        let mut progress = Progress::new(Length::Budget(100.0), 5, &[]);
        while !progress.finished() {
            let seconds = if progress.step() < 50 { 0.5 } else { 1.5 };
            progress.advance(seconds);
            assert!(progress.step() < 1000);
        }
        assert!(
            (progress.elapsed - 100.0).abs() < 5.0,
            "{}",
            progress.elapsed
        );
        assert!(progress.done() > 0.95, "{}", progress.done());
        assert!(progress.corrections().len() < 60);
    }

    /// Goes on to the end of a budget of 100 s. The first step takes `start` seconds more than the others: the schedule
    /// must not run ahead of the time that they have.
    fn on_time(mut progress: Progress, start: f64, pace: f64) -> Progress {
        let (before, begun) = (progress.done(), progress.elapsed + start);
        let mut seconds = start + pace;
        while !progress.finished() {
            progress.advance(seconds);
            seconds = pace;
            let time = (progress.elapsed - begun) / (100.0 - begun);
            let most = before + (1.0 - before) * time + 0.06;
            assert!(progress.done() < most, "{progress:?} at {time}");
        }
        let elapsed = progress.elapsed;
        assert!((elapsed - 100.0).abs() < 5.0, "{start} {pace}: {elapsed}");
        progress
    }

    /// As after an interruption.
    fn read_back(progress: &Progress) -> Progress {
        let kept = serde_json::to_string(progress).unwrap();
        serde_json::from_str(&kept).unwrap()
    }

    #[test]
    fn what_a_start_costs_is_not_taken_for_the_pace_of_a_run() {
        let new = || Progress::new(Length::Budget(100.0), 5, &[]);
        for (start, pace) in [
            (0.0, 0.05),
            (40.0, 0.05),
            (90.0, 0.05),
            (0.0, 3.0),
            (20.0, 3.0),
            (0.0, 12.0),
            (70.0, 10.0),
        ] {
            let progress = on_time(new(), start, pace);
            assert!(progress.done() > 0.95, "{start} {pace}: {progress:?}");
            assert!(progress.corrections().len() < 60);
        }
        // Nobody knows whether another step would fit in.
        assert_eq!(on_time(new(), 96.0, 0.05).step(), 1);
    }

    #[test]
    fn what_it_costs_to_go_on_is_not_taken_for_the_pace_either() {
        let new = || Progress::new(Length::Budget(100.0), 5, &[]);
        let mut progress = new();
        while progress.elapsed < 30.0 {
            progress.advance(0.05);
        }
        let progress = on_time(read_back(&progress), 10.0, 0.05);
        assert!(progress.done() > 0.95, "{progress:?}");
        // Only the last step is left.
        let mut progress = new();
        while progress.step() + 1 < progress.total() {
            progress.advance(3.0);
        }
        let mut progress = read_back(&progress);
        progress.advance(4.0);
        assert!(progress.finished(), "{progress:?}");
    }

    #[test]
    fn what_comes_after_the_last_step_is_part_of_the_budget() {
        for (closing, steps) in [(0.0, 100.0), (8.0, 92.0), (1e9, 80.0)] {
            let mut progress = Progress::new(Length::Budget(100.0), 5, &[]);
            while !progress.finished() {
                progress.closes_in(closing);
                progress.advance(0.5);
            }
            let elapsed = progress.elapsed;
            assert!((elapsed - steps).abs() < 1.1, "{closing}: {elapsed}");
            assert!(progress.done() > 0.95, "{progress:?}");
        }
    }

    #[test]
    fn of_a_budget_no_more_is_spent_than_is_enough() {
        let pass = Some(Length::Epochs(1.0));
        for (enough, pace, steps) in [
            (None, 0.5, 200),
            (pass, 0.5, 50),
            (Some(Length::Steps(32)), 0.5, 32),
            // More than is thought to be the number before any step is timed.
            (Some(Length::Epochs(40.0)), 0.01, 2000),
            // The time is over before.
            (pass, 4.0, 25),
        ] {
            let mut progress = Progress::new(Length::Budget(100.0), 50, &[]).up_to(enough, 50);
            let mut seen = Vec::new();
            while !progress.finished() {
                if progress.step() == 16 {
                    progress = read_back(&progress);
                }
                progress.advance(pace);
                seen.push(progress.done());
            }
            assert_eq!(progress.step(), steps, "{enough:?}");
            assert!((progress.done() - 1.0).abs() < 1e-9, "{progress:?}");
            let all_learned = enough.is_some() && pace < 4.0;
            assert_eq!(progress.budget().is_none(), all_learned, "{enough:?}");
            let mut again = Progress::new(Length::Steps(steps), 50, &progress.corrections());
            for done in seen {
                again.advance(9.0);
                assert_eq!(again.done(), done);
            }
            assert!(again.finished());
            // For longer is as much again at most, and what is said in steps is done.
            let length = |more| progress.extended(more, 50).up_to(enough, 50).total() - steps;
            let most = enough.and_then(|enough| enough.steps(50));
            assert_eq!(
                length(Length::Budget(100.0)),
                most.unwrap_or(FIRST_GUESS).min(FIRST_GUESS)
            );
            assert_eq!(length(Length::Steps(70)), 70);
        }
    }

    #[test]
    fn a_run_that_needs_less_than_its_budget_says_when_it_ends() {
        let mut progress = Progress::new(Length::Budget(100.0), 50, &[]);
        progress = progress.up_to(Some(Length::Epochs(1.0)), 50);
        for _ in 0..25 {
            progress.advance(0.5);
        }
        let left = progress.seconds_left().unwrap();
        assert!((left - 12.5).abs() < 1e-6, "{left}");
    }

    #[test]
    fn the_corrections_repeat_the_progress_without_the_clock() {
        let mut first = Progress::new(Length::Budget(100.0), 5, &[]);
        let mut seen = Vec::new();
        while !first.finished() {
            let seconds = if first.step().is_multiple_of(7) {
                2.0
            } else {
                0.5
            };
            first.advance(seconds);
            seen.push(first.done());
        }
        let mut again = Progress::new(Length::Steps(first.step()), 5, &first.corrections());
        let mut repeated = Vec::new();
        while !again.finished() {
            again.advance(9.0);
            repeated.push(again.done());
        }
        assert_eq!(repeated.len(), seen.len());
        assert_eq!(repeated, seen);
    }
}
