//! Times as they are written: numbers, dates, times of day.

use std::fmt;
use std::ops::Range;

/// Seconds of a day.
const DAY: f64 = 86_400.0;
/// Milliseconds of a day.
const MILLISECONDS: i64 = 86_400_000;
/// Numbers that are told as dates, in seconds since 1970: smaller ones count from another beginning.
const DATES: Range<f64> = 1e8..1e12;

/// A time as it was written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Time {
    /// Seconds: of a date since 1970 in Greenwich, of a time of day since midnight there, of a number as many as it says.
    pub(super) seconds: f64,
    pub(super) form: Form,
    /// How many seconds the place is ahead of Greenwich, where that is written.
    pub(super) zone: Option<i32>,
}

/// How a time is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// As a number.
    Number,
    /// As a date, with or without the time of day.
    Date,
    /// As a time of day.
    TimeOfDay,
}

impl Time {
    /// Reads a number, of seconds or, where it is as large as only those can be, of milli-, micro- or nanoseconds since 1970;
    /// a date such as `2016-07-01 13:00:00.5`, `2016-07-01T13:00Z`, `2016/07/01`, `01.07.2016 13:00`; or a time of day.
    /// A comma may stand for the decimal point. `None` for anything else, and for `01/07/2016`, which has two meanings.
    pub(super) fn of(text: &str) -> Option<Self> {
        let text = text.trim();
        match text.contains(',') {
            true => Self::with_point(&text.replacen(',', ".", 1)),
            false => Self::with_point(text),
        }
    }

    fn with_point(text: &str) -> Option<Self> {
        if let Ok(number) = text.parse::<f64>() {
            return number.is_finite().then(|| Self::of_number(number));
        }
        let Some(at) = text.find(['T', ' ']) else {
            if text.contains(':') {
                let (seconds, zone) = time_of_day(text)?;
                return Some(Self {
                    seconds,
                    form: Form::TimeOfDay,
                    zone,
                });
            }
            return Some(Self {
                seconds: days(text)? as f64 * DAY,
                form: Form::Date,
                zone: None,
            });
        };
        let days = days(&text[..at])?;
        let (seconds, zone) = match text[at + 1..].trim() {
            "" => (0.0, None),
            time => time_of_day(time)?,
        };
        Some(Self {
            seconds: days as f64 * DAY + seconds,
            form: Form::Date,
            zone,
        })
    }

    /// A number of seconds, or of what is so large since 1970.
    pub(super) fn of_number(number: f64) -> Self {
        let unit = match number.abs() {
            size if size > 1e17 => 1e9,
            size if size > 1e14 => 1e6,
            size if size > 1e11 => 1e3,
            _ => 1.0,
        };
        Self {
            seconds: number / unit,
            form: Form::Number,
            zone: None,
        }
    }

    /// Seconds as the clocks of the place show them.
    pub(super) fn local(self) -> f64 {
        self.seconds + self.ahead()
    }

    /// The seconds that the place is ahead of Greenwich, as far as that is written.
    pub(super) fn ahead(self) -> f64 {
        f64::from(self.zone.unwrap_or(0))
    }

    /// Where a date stands in the calendar of its place: the number of its month since the year 0, the day of the month, and
    /// milliseconds since midnight.
    pub(super) fn in_calendar(self) -> (i64, i64, i64) {
        let (days, of_day) = self.days();
        let (year, month, day) = date_of(days);
        (12 * year + month - 1, day, of_day)
    }

    /// The same time of day in the month of another number, on this day or the last one that there is.
    pub(super) fn in_month(self, month: i64, day: i64) -> Self {
        let (_, of_day) = self.days();
        let day = day.min(days_in_month(month));
        let days = days_of(month.div_euclid(12), month.rem_euclid(12) + 1, day);
        let local = days as f64 * DAY + of_day as f64 / 1e3;
        Self {
            seconds: local - self.ahead(),
            ..self
        }
    }

    /// Days since 1970 and milliseconds since midnight, both of the place.
    fn days(self) -> (i64, i64) {
        let time = (self.local() * 1e3).round() as i64;
        (time.div_euclid(MILLISECONDS), time.rem_euclid(MILLISECONDS))
    }
}

/// As times like it are written: a date in its zone, where one was written, or a time of day; a number as a date where it is
/// later than 1973, in seconds since 1970, and else as it is.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.form == Form::Number && !DATES.contains(&self.seconds) {
            return write!(f, "{}", self.seconds);
        }
        let (days, of_day) = self.days();
        if self.form != Form::TimeOfDay {
            let (year, month, day) = date_of(days);
            write!(f, "{year:04}-{month:02}-{day:02} ")?;
        }
        let (minutes, rest) = (of_day / 60_000, of_day % 60_000);
        let (hour, minute, second) = (minutes / 60, minutes % 60, rest / 1000);
        write!(f, "{hour:02}:{minute:02}:{second:02}")?;
        if rest % 1000 > 0 {
            write!(f, ".{:03}", rest % 1000)?;
        }
        if let Some(zone) = self.zone {
            let (sign, minutes) = (if zone < 0 { '-' } else { '+' }, zone.abs() / 60);
            write!(f, "{sign}{:02}:{:02}", minutes / 60, minutes % 60)?;
        }
        Ok(())
    }
}

/// Whether it is a time and no mere number.
pub(super) fn is_date(text: &str) -> bool {
    Time::of(text).is_some_and(|time| time.form != Form::Number)
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
    let fits = (1..=12).contains(&month) && (1..=31).contains(&day);
    fits.then(|| days_of(year, month, day))
}

/// Seconds since midnight in Greenwich, and those that the place is ahead of it, where that is written.
fn time_of_day(text: &str) -> Option<(f64, Option<i32>)> {
    let (text, named) = match text.strip_suffix("UTC") {
        Some(text) => (text.trim_end(), Some(0)),
        None => (text, None),
    };
    let (clock, zone) = match text.find(['Z', '+', '-']) {
        Some(at) if text.as_bytes()[at] == b'Z' => (&text[..at], Some(0)),
        Some(at) => (&text[..at], Some(zone(&text[at..])?)),
        None => (text, named),
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
    let ahead = f64::from(zone.unwrap_or(0));
    let local = hours * 3600.0 + minutes * 60.0 + seconds;
    (fits && fields.next().is_none()).then_some((local - ahead, zone))
}

/// The seconds ahead of Greenwich that `+02`, `-0530` or `+05:30` says.
fn zone(text: &str) -> Option<i32> {
    let digits: String = text.chars().skip(1).filter(|&c| c != ':').collect();
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: i32 = match digits.len() {
        2 | 4 => digits.parse().ok()?,
        _ => return None,
    };
    let (hours, minutes) = match digits.len() {
        2 => (number, 0),
        _ => (number / 100, number % 100),
    };
    let seconds = 3600 * hours + 60 * minutes;
    Some(if text.starts_with('-') {
        -seconds
    } else {
        seconds
    })
}

/// Days since 1970-01-01 (Howard Hinnant's `days_from_civil`).
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// Year, month and day of so many days since 1970-01-01 (Howard Hinnant's `civil_from_days`).
fn date_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

/// Days of the month of a number since the year 0.
pub(super) fn days_in_month(month: i64) -> i64 {
    let first = |month: i64| days_of(month.div_euclid(12), month.rem_euclid(12) + 1, 1);
    first(month + 1) - first(month)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_they_are_written() {
        for (text, expected) in [
            ("12.5", Some(12.5)),
            ("12,5", Some(12.5)),
            ("1467331200", Some(1_467_331_200.0)),
            ("1467331200000", Some(1_467_331_200.0)),
            ("1970-01-02", Some(86_400.0)),
            ("2016-07-01 00:00:00", Some(1_467_331_200.0)),
            ("2016-07-01 00:00:00,5", Some(1_467_331_200.5)),
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
            ("1,2,3", None),
            ("1e400", None),
            ("nan", None),
            ("", None),
            ("-", None),
            ("2016-07-01 00:00:00+0é", None),
            ("2016-07-01 00:00:00+020", None),
        ] {
            let found = Time::of(text).map(|time| time.seconds);
            assert_eq!(found, expected, "{text}");
        }
        assert!(is_date("2016-07-01") && is_date("12:00"));
        assert!(!is_date("2016") && !is_date("1,5"));
    }

    #[test]
    fn times_are_written_so_that_they_are_read_again() {
        for text in [
            "2016-07-01 00:00:00",
            "2000-02-29 23:59:59.250",
            "1999-12-31 12:00:00",
            "2100-03-01 00:00:01",
            // Before 1973, where a number of seconds may be anything.
            "1973-03-03 09:46:39",
            "1970-01-01 00:00:00",
            "1969-07-20 20:17:40",
            "1871-01-18 12:00:00.500",
            // As the clocks of the place show it.
            "2016-07-01 02:00:00+02:00",
            "2016-06-30 20:30:00-03:30",
            "1952-01-01 00:00:00+00:00",
            "23:59:30",
            "12.5",
            "-3",
        ] {
            assert_eq!(Time::of(text).unwrap().to_string(), text);
        }
        let utc = Time::of("2016-07-01T00:00Z").unwrap();
        assert_eq!(utc.to_string(), "2016-07-01 00:00:00+00:00");
        let number = Time::of("1467331200000").unwrap();
        assert_eq!(number.to_string(), "2016-07-01 00:00:00");
        // A day later than the last one begins anew.
        let time = Time::of("23:00").unwrap();
        let later = Time {
            seconds: time.seconds + 7200.0,
            ..time
        };
        assert_eq!(later.to_string(), "01:00:00");
    }

    #[test]
    fn months_have_their_lengths_and_a_day_that_a_month_lacks_is_its_last() {
        let lengths = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
        for (month, length) in (0..).zip(lengths) {
            assert_eq!(days_in_month(12 * 2023 + month), length);
        }
        assert_eq!(days_in_month(12 * 2024 + 1), 29);
        assert_eq!(days_in_month(12 * 1900 + 1), 28);
        let time = Time::of("2023-12-31 23:30:00+02:00").unwrap();
        let (month, day, of_day) = time.in_calendar();
        assert_eq!((month, day), (12 * 2023 + 11, 31));
        assert_eq!(of_day, (23 * 60 + 30) * 60_000);
        let moved = time.in_month(month + 2, day);
        assert_eq!(moved.to_string(), "2024-02-29 23:30:00+02:00");
    }
}
