//! What the times of a recording say about it, and when it would go on.

use std::collections::HashMap;

use super::time::{Form, Time, days_in_month};

/// Distinct steps of time that are counted in a recording.
const MOST_STEPS: usize = 1 << 14;
/// A step longer than this many usual ones is a gap.
const GAP: f64 = 1.5;
/// The part of the steps that may differ from the usual one by more than a hundredth before times are irregular.
const IRREGULAR: f64 = 0.05;

/// The times of a recording, as they come.
#[derive(Debug, Default)]
pub(super) struct Clock {
    first: Option<Time>,
    last: Option<Time>,
    /// Which way time runs: 0 until it has run.
    direction: i8,
    same: usize,
    /// Whether the time of some row isn't known.
    missed: bool,
    /// How often each step of time came, in microseconds.
    steps: HashMap<u64, usize>,
    /// Where all times so far are dates that are whole months apart.
    months: Option<Months>,
}

/// What the times of a recording come to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pace {
    /// The usual step, in seconds.
    pub(super) usual: f64,
    /// Whether many steps are others.
    pub(super) irregular: bool,
    /// How many are gaps.
    pub(super) gaps: usize,
    /// The longest gap, in seconds.
    pub(super) longest: f64,
    /// Rows of the same time as the row before.
    pub(super) same: usize,
}

/// When the steps of a recording are, where they are regular.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Regular {
    /// The time of the last step.
    pub(super) last: Time,
    pub(super) every: Every,
}

/// What lies between a step and the next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Every {
    /// So many seconds.
    Seconds(f64),
    /// So many months, which differ in length: steps are on this day of theirs, or on the last one that there is.
    Months { months: i64, day: i64 },
}

impl Regular {
    /// When the step so many after the last one would be.
    pub(super) fn after(&self, steps: usize) -> Time {
        match self.every {
            Every::Seconds(step) => Time {
                seconds: self.last.seconds + steps as f64 * step,
                ..self.last
            },
            Every::Months { months, day } => {
                let (month, ..) = self.last.in_calendar();
                self.last.in_month(month + months * steps as i64, day)
            }
        }
    }
}

/// Dates that are whole months apart.
#[derive(Debug)]
struct Months {
    /// The number of the month of the latest one.
    month: i64,
    /// The first and the last day that they may all stand for: the last one of a month may stand for later ones.
    days: (i64, i64),
    /// Milliseconds since midnight, of each.
    of_day: i64,
    /// How often so many months lay between two of them.
    steps: HashMap<u64, usize>,
}

impl Months {
    /// Begins with a date; `None` for a time that is none.
    fn of(time: Time) -> Option<Self> {
        if time.form != Form::Date {
            return None;
        }
        let (month, day, of_day) = time.in_calendar();
        Some(Self {
            month,
            days: may_stand_for(month, day),
            of_day,
            steps: HashMap::new(),
        })
    }

    /// Takes the next date; `false` where it isn't whole months away.
    fn take(&mut self, time: Time) -> bool {
        if time.form != Form::Date {
            return false;
        }
        let (month, day, of_day) = time.in_calendar();
        let (first, last) = may_stand_for(month, day);
        self.days = (self.days.0.max(first), self.days.1.min(last));
        let apart = month.abs_diff(self.month);
        self.month = month;
        *self.steps.entry(apart).or_default() += 1;
        apart > 0 && of_day == self.of_day && self.days.0 <= self.days.1
    }
}

/// The first and the last day that a day of a month may stand for.
fn may_stand_for(month: i64, day: i64) -> (i64, i64) {
    match day == days_in_month(month) {
        true => (day, 31),
        false => (day, day),
    }
}

/// How steps of time are spread, in whatever they are counted in.
struct Spread {
    usual: u64,
    irregular: bool,
    gaps: usize,
    longest: u64,
}

impl Spread {
    /// Sums up how often each step came; `None` where there was none.
    fn of(counts: &HashMap<u64, usize>) -> Option<Self> {
        let mut steps: Vec<(u64, usize)> = counts.iter().map(|(&k, &n)| (k, n)).collect();
        steps.sort_unstable();
        let count: usize = steps.iter().map(|(_, n)| n).sum();
        let mut before = 0;
        let (usual, _) = *steps.iter().find(|(_, n)| {
            before += n;
            2 * before >= count
        })?;
        let of = |what: &dyn Fn(f64) -> bool| -> usize {
            let fitting = steps.iter().filter(|(key, _)| what(*key as f64));
            fitting.map(|(_, n)| n).sum()
        };
        let most = GAP * usual as f64;
        let near = 0.01 * usual as f64;
        let others = of(&|step| (step - usual as f64).abs() > near && step <= most);
        Some(Self {
            usual,
            irregular: others as f64 > IRREGULAR * count as f64,
            gaps: of(&|step| step > most),
            longest: steps.last().map_or(0, |(key, _)| *key),
        })
    }
}

impl Clock {
    /// Takes the time of the next row; `false` where time turns round, which it does between recordings only.
    pub(super) fn tick(&mut self, time: Time) -> bool {
        match self.last {
            Some(last) => {
                let step = time.seconds - last.seconds;
                let direction = if step > 0.0 { 1 } else { -1 };
                if step == 0.0 {
                    self.same += 1;
                    return true;
                }
                if self.direction == 0 {
                    self.direction = direction;
                } else if self.direction != direction {
                    return false;
                }
                let key = (step.abs() * 1e6).round() as u64;
                let room = self.steps.len() < MOST_STEPS;
                match self.steps.get_mut(&key) {
                    Some(count) => *count += 1,
                    None if room => {
                        self.steps.insert(key, 1);
                    }
                    None => {}
                }
                if !self.months.as_mut().is_some_and(|months| months.take(time)) {
                    self.months = None;
                }
            }
            None => {
                self.first = Some(time);
                self.months = Months::of(time);
            }
        }
        self.last = Some(time);
        true
    }

    /// Takes a row whose time isn't known.
    pub(super) fn miss(&mut self) {
        self.missed = true;
    }

    /// Whether the latest row comes last for sure, as where no row has a time.
    pub(super) fn runs_forward(&self) -> bool {
        self.direction > 0 || self.last.is_none()
    }

    /// Whether the latest row comes first.
    pub(super) fn is_descending(&self) -> bool {
        self.direction < 0
    }

    /// The latest time.
    pub(super) fn latest(&self) -> Option<Time> {
        match self.is_descending() {
            true => self.first,
            false => self.last,
        }
    }

    /// Sums up; `None` where there was no step.
    pub(super) fn pace(&self) -> Option<Pace> {
        let times = Spread::of(&self.steps)?;
        let months = self.months.as_ref();
        // Months differ in length, and are regular all the same.
        let months = months.and_then(|months| Spread::of(&months.steps));
        let spread = months.as_ref().unwrap_or(&times);
        Some(Pace {
            usual: times.usual as f64 / 1e6,
            irregular: spread.irregular,
            gaps: spread.gaps,
            longest: match spread.gaps {
                0 => 0.0,
                _ => times.longest as f64 / 1e6,
            },
            same: self.same,
        })
    }

    /// When rows are, where that is known of all of them and they are regular.
    pub(super) fn regular(&self) -> Option<Regular> {
        let pace = self.pace().filter(|pace| !pace.irregular)?;
        if self.same > 0 || self.missed {
            return None;
        }
        let every = match &self.months {
            Some(months) => Every::Months {
                months: Spread::of(&months.steps)?.usual as i64,
                day: months.days.1,
            },
            None => Every::Seconds(pace.usual),
        };
        Some(Regular {
            last: self.latest()?,
            every,
        })
    }

    /// Rows of the same time as the row before.
    pub(super) fn same(&self) -> usize {
        self.same
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(times: &[f64]) -> (Clock, usize) {
        let mut clock = Clock::default();
        let turns = times.iter().copied().map(Time::of_number);
        let turns = turns.filter(|&time| !clock.tick(time)).count();
        (clock, turns)
    }

    /// The clock of a recording with a row at each of these dates.
    fn dated(dates: &[&str]) -> Clock {
        let mut clock = Clock::default();
        for date in dates {
            assert!(clock.tick(Time::of(date).unwrap()), "{date}");
        }
        clock
    }

    #[test]
    fn gaps_irregular_steps_and_equal_times_are_counted() {
        let (clock, turns) = run(&[0.0, 1.0, 2.0, 2.0, 3.0, 7.0, 8.0]);
        let pace = clock.pace().unwrap();
        assert_eq!((turns, pace.usual, pace.same), (0, 1.0, 1));
        assert_eq!((pace.gaps, pace.longest, pace.irregular), (1, 4.0, false));
        let regular = |last, step| {
            Some(Regular {
                last: Time::of_number(last),
                every: Every::Seconds(step),
            })
        };
        assert_eq!(clock.regular(), None);
        let (mut clock, _) = run(&[0.0, 1.0, 2.0, 3.0, 7.0, 8.0]);
        assert_eq!(clock.regular(), regular(8.0, 1.0));
        clock.miss();
        assert_eq!(clock.regular(), None);
        assert_eq!(run(&[9.0, 7.0, 5.0]).0.regular(), regular(9.0, 2.0));
        let (clock, _) = run(&[0.0, 1.0, 2.2, 3.1, 4.4]);
        assert!(clock.pace().unwrap().irregular && clock.regular().is_none());
        assert!(run(&[1.0]).0.pace().is_none());
    }

    #[test]
    fn time_may_run_backward_from_the_start_and_not_turn() {
        let (clock, turns) = run(&[3.0, 2.0, 1.0]);
        assert!(clock.is_descending() && turns == 0);
        assert_eq!(run(&[1.0, 2.0, 0.0]).1, 1);
        // A single time tells nothing yet.
        let forward = [&[][..], &[1.0], &[1.0, 2.0], &[1.0, 0.0]].map(|times: &[f64]| {
            let (clock, _) = run(times);
            clock.runs_forward()
        });
        assert_eq!(forward, [true, false, true, false]);
    }

    #[test]
    fn months_and_years_go_on_by_the_calendar() {
        let after = |dates: &[&str], steps: usize| {
            let clock = dated(dates);
            let pace = clock.pace().unwrap();
            assert!(!pace.irregular && pace.gaps == 0, "{dates:?}: {pace:?}");
            clock.regular().unwrap().after(steps).to_string()
        };
        let years = ["2021-03-01", "2022-03-01", "2023-03-01"];
        assert_eq!(after(&years, 1), "2024-03-01 00:00:00");
        assert_eq!(after(&years, 100), "2123-03-01 00:00:00");
        let ends = ["1961-11-30", "1961-12-31", "1962-01-31", "1962-02-28"];
        assert_eq!(after(&ends, 1), "1962-03-31 00:00:00");
        assert_eq!(after(&ends, 24), "1964-02-29 00:00:00");
        let quarters = [
            "2023-06-30 18:00+02:00",
            "2023-09-30 18:00+02:00",
            "2023-12-31 18:00+02:00",
        ];
        assert_eq!(after(&quarters, 2), "2024-06-30 18:00:00+02:00");
        // The 30th, which February lacks; the latest row may come first.
        let days = ["2023-04-30", "2023-03-30", "2023-02-28", "2023-01-30"];
        assert_eq!(after(&days, 1), "2023-05-30 00:00:00");
        assert_eq!(after(&days, 10), "2024-02-29 00:00:00");
        // Midnight of the place, in winter and in summer.
        let zones = [
            "2024-02-01 00:00+01:00",
            "2024-03-01 00:00+01:00",
            "2024-04-01 00:00+02:00",
        ];
        assert_eq!(after(&zones, 1), "2024-05-01 00:00:00+02:00");
    }

    #[test]
    fn gaps_between_months_are_counted_in_months() {
        let clock = dated(&["2023-01-01", "2023-02-01", "2023-03-01", "2023-05-01"]);
        let pace = clock.pace().unwrap();
        assert_eq!((pace.gaps, pace.longest), (1, 61.0 * 86_400.0));
        let next = clock.regular().unwrap().after(1);
        assert_eq!(next.to_string(), "2023-06-01 00:00:00");
    }

    #[test]
    fn what_is_no_month_apart_goes_on_by_seconds() {
        for (dates, next) in [
            (["2024-02-27", "2024-02-28", "2024-02-29"], "2024-03-01"),
            (["2023-12-31", "2024-01-07", "2024-01-14"], "2024-01-21"),
            // Four weeks, which February is as well.
            (["2023-02-01", "2023-03-01", "2023-03-29"], "2023-04-26"),
        ] {
            let found = dated(&dates).regular().unwrap().after(1);
            assert_eq!(found, Time::of(next).unwrap(), "{dates:?}");
        }
        // Times of day and numbers are of no month.
        let clock = dated(&["10:00", "10:01", "10:02"]);
        assert_eq!(clock.regular().unwrap().after(3).to_string(), "10:05:00");
    }
}
