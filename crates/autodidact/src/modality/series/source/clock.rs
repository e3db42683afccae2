//! Times: how they are written, and what those of a recording say about it.

use std::collections::HashMap;

use super::collect::Regular;

/// Distinct steps of time that are counted in a recording.
const MOST_STEPS: usize = 1 << 14;
/// A step longer than this many usual ones is a gap.
const GAP: f64 = 1.5;
/// The part of the steps that may differ from the usual one by more than a hundredth before times are irregular.
const IRREGULAR: f64 = 0.05;

/// Seconds of a time as it is written: a number, of seconds or, where it is as large as only those can be, of milli-,
/// micro- or nanoseconds since 1970; a date such as `2016-07-01 13:00:00.5`, `2016-07-01T13:00Z`, `2016/07/01`,
/// `01.07.2016 13:00`; or a time of day. `None` for anything else, and for `01/07/2016`, which has two meanings.
pub(super) fn seconds(text: &str) -> Option<f64> {
    let text = text.trim();
    if let Ok(number) = text.parse::<f64>() {
        let unit = match number.abs() {
            size if !size.is_finite() => return None,
            size if size > 1e17 => 1e9,
            size if size > 1e14 => 1e6,
            size if size > 1e11 => 1e3,
            _ => 1.0,
        };
        return Some(number / unit);
    }
    let (date, time) = match text.find(['T', ' ']) {
        Some(at) => (&text[..at], text[at + 1..].trim()),
        None if text.contains(':') => return time_of_day(text),
        None => (text, ""),
    };
    let days = days(date)? as f64;
    match time {
        "" => Some(days * 86_400.0),
        time => Some(days * 86_400.0 + time_of_day(time)?),
    }
}

/// Whether it is a time and no mere number.
pub(super) fn is_date(text: &str) -> bool {
    text.trim().parse::<f64>().is_err() && seconds(text).is_some()
}

/// Days since 1970-01-01.
fn days(date: &str) -> Option<i64> {
    let separator = date.chars().find(|c| !c.is_ascii_digit())?;
    if !['-', '/', '.'].contains(&separator) {
        return None;
    }
    let fields: Vec<&str> = date.split(separator).collect();
    let [first, second, third] = fields[..] else {
        return None;
    };
    let (year, month, day) = match (first.len(), third.len(), separator) {
        (4, ..) => (first, second, third),
        (_, 4, '.' | '-') => (third, second, first),
        _ => return None,
    };
    let [year, month, day] = [year, month, day].map(|field| field.parse::<i64>().ok());
    let (year, month, day) = (year?, month?, day?);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Howard Hinnant's days_from_civil.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

/// Seconds since midnight, less those that the place is ahead of Greenwich.
fn time_of_day(text: &str) -> Option<f64> {
    let text = text.trim_end_matches("UTC").trim_end();
    let (clock, ahead) = match text.find(['Z', '+', '-']) {
        Some(at) if text.as_bytes()[at] == b'Z' => (&text[..at], 0.0),
        Some(at) => {
            let digits: String = text[at + 1..].chars().filter(|&c| c != ':').collect();
            if ![2, 4].contains(&digits.len()) || !digits.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            let hours: f64 = digits[..2].parse().ok()?;
            let minutes: f64 = match &digits[2..] {
                "" => 0.0,
                minutes => minutes.parse().ok()?,
            };
            let ahead = hours * 3600.0 + minutes * 60.0;
            let sign = if text.as_bytes()[at] == b'-' {
                -1.0
            } else {
                1.0
            };
            (&text[..at], sign * ahead)
        }
        None => (text, 0.0),
    };
    let mut fields = clock.trim().split(':');
    let hours: f64 = fields.next()?.parse().ok()?;
    let minutes: f64 = fields.next()?.parse().ok()?;
    let seconds: f64 = match fields.next() {
        None => 0.0,
        Some(seconds) => seconds.parse().ok()?,
    };
    let fits = (0.0..=24.0).contains(&hours)
        && (0.0..60.0).contains(&minutes)
        && (0.0..=60.99).contains(&seconds);
    (fits && fields.next().is_none()).then_some(hours * 3600.0 + minutes * 60.0 + seconds - ahead)
}

/// A time as it is written: a date where it is later than 1973, since 1970 in seconds, and else the number itself.
pub(super) fn written(seconds: f64) -> String {
    /// Milliseconds of a day.
    const DAY: i64 = 86_400_000;
    if !(1e8..1e12).contains(&seconds) {
        return seconds.to_string();
    }
    let time = (seconds * 1e3).round() as i64;
    let (days, of_day) = (time.div_euclid(DAY), time.rem_euclid(DAY));
    // Howard Hinnant's civil_from_days.
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    let (minutes, rest) = (of_day / 60_000, of_day % 60_000);
    let (hour, minute, second) = (minutes / 60, minutes % 60, rest / 1000);
    let fraction = match rest % 1000 {
        0 => String::new(),
        milliseconds => format!(".{milliseconds:03}"),
    };
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}{fraction}")
}

/// The times of a recording, as they come.
#[derive(Debug, Default)]
pub(super) struct Clock {
    first: Option<f64>,
    last: Option<f64>,
    /// Which way time runs: 0 until it has run.
    direction: i8,
    same: usize,
    /// Whether the time of some row isn't known.
    missed: bool,
    /// How often each step of time came, in microseconds.
    steps: HashMap<u64, usize>,
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

impl Clock {
    /// Takes the time of the next row; `false` where time turns round, which it does between recordings only.
    pub(super) fn tick(&mut self, time: f64) -> bool {
        if let Some(last) = self.last {
            let step = time - last;
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
        }
        self.first.get_or_insert(time);
        self.last = Some(time);
        true
    }

    /// Takes a row whose time isn't known.
    pub(super) fn miss(&mut self) {
        self.missed = true;
    }

    /// Whether the latest row comes first.
    pub(super) fn is_descending(&self) -> bool {
        self.direction < 0
    }

    /// Sums up; `None` where there was no step.
    pub(super) fn pace(&self) -> Option<Pace> {
        let mut steps: Vec<(u64, usize)> = self.steps.iter().map(|(&k, &n)| (k, n)).collect();
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
        let usual = usual as f64;
        let gaps = of(&|step| step > GAP * usual);
        let others = of(&|step| (step - usual).abs() > 0.01 * usual && step <= GAP * usual);
        let longest = steps.last().map_or(0.0, |(key, _)| *key as f64);
        Some(Pace {
            usual: usual / 1e6,
            irregular: others as f64 > IRREGULAR * count as f64,
            gaps,
            longest: if gaps > 0 { longest / 1e6 } else { 0.0 },
            same: self.same,
        })
    }

    /// When rows are, where that is known of all of them and they are regular.
    pub(super) fn regular(&self) -> Option<Regular> {
        let pace = self.pace().filter(|pace| !pace.irregular)?;
        if self.same > 0 || self.missed {
            return None;
        }
        let last = if self.is_descending() {
            self.first
        } else {
            self.last
        };
        Some(Regular {
            last: last?,
            step: pace.usual,
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

    #[test]
    fn times_are_read_as_they_are_written() {
        for (text, expected) in [
            ("12.5", Some(12.5)),
            ("1467331200", Some(1_467_331_200.0)),
            ("1467331200000", Some(1_467_331_200.0)),
            ("1970-01-02", Some(86_400.0)),
            ("2016-07-01 00:00:00", Some(1_467_331_200.0)),
            ("2016-07-01T02:00:00.25+02:00", Some(1_467_331_200.25)),
            ("2016-06-30T22:00-0200", Some(1_467_331_200.0)),
            ("2016/07/01 00:00 UTC", Some(1_467_331_200.0)),
            ("01.07.2016 00:00", Some(1_467_331_200.0)),
            ("2000-03-01", Some(951_868_800.0)),
            ("00:01:30", Some(90.0)),
            ("01/07/2016", None),
            ("2016-13-01", None),
            ("2016-07", None),
            ("25:00", None),
            ("walk", None),
            ("1e400", None),
            ("", None),
            ("-", None),
            ("2016-07-01 00:00:00+0é", None),
        ] {
            assert_eq!(seconds(text), expected, "{text}");
        }
        assert!(is_date("2016-07-01") && !is_date("2016"));
    }

    #[test]
    fn times_are_written_so_that_they_are_read_again() {
        for text in [
            "2016-07-01 00:00:00",
            "2000-02-29 23:59:59.250",
            "1999-12-31 12:00:00",
            "2100-03-01 00:00:01",
            "12.5",
            "-3",
        ] {
            assert_eq!(written(seconds(text).unwrap()), text);
        }
    }

    fn run(times: &[f64]) -> (Clock, usize) {
        let mut clock = Clock::default();
        let turns = times.iter().filter(|&&time| !clock.tick(time)).count();
        (clock, turns)
    }

    #[test]
    fn gaps_irregular_steps_and_equal_times_are_counted() {
        let (clock, turns) = run(&[0.0, 1.0, 2.0, 2.0, 3.0, 7.0, 8.0]);
        let pace = clock.pace().unwrap();
        assert_eq!((turns, pace.usual, pace.same), (0, 1.0, 1));
        assert_eq!((pace.gaps, pace.longest, pace.irregular), (1, 4.0, false));
        let regular = |last, step| Some(Regular { last, step });
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
    }
}
