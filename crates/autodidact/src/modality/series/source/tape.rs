//! A recording in the making: its steps as they come, their times and classes.

use super::calendar;
use super::clock::{Clock, Every, Regular};
use super::time::Time;
use crate::modality::source::layout::Split;

/// Empty steps that a gap in time may become; a longer one parts two recordings.
const LONGEST_GAP: u64 = 1000;

/// From which step on a class holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) from: usize,
    pub(super) class: Option<u32>,
}

/// Where steps of a recording are stored, one behind the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Chunk {
    /// The first of them.
    pub(super) from: usize,
    /// Its first byte.
    pub(super) offset: u64,
}

/// What a recording comes from.
#[derive(Debug, Clone, Default)]
pub(super) struct Origin {
    /// Its name.
    pub(super) name: String,
    /// What it is kept together with.
    pub(super) group: Option<String>,
    /// The part that it belongs to.
    pub(super) split: Option<Split>,
    /// How many recordings were begun before under the same name, since time had turned or a gap was too long.
    pub(super) piece: usize,
}

/// What became of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// It was taken.
    Taken,
    /// Time turned round: it belongs to another recording.
    Back,
    /// So much time went by that it belongs to another recording.
    Gap,
}

/// A recording in the making.
#[derive(Debug)]
pub(super) struct Tape {
    pub(super) origin: Origin,
    /// Values that aren't stored yet, step by step.
    pub(super) values: Vec<f32>,
    /// Where those are that are.
    pub(super) stored: Vec<Chunk>,
    /// Steps so far.
    pub(super) steps: usize,
    pub(super) marks: Vec<Mark>,
    /// The time of each step, in seconds, where they are kept; not a number where it can't be read.
    pub(super) times: Option<Vec<f64>>,
    pub(super) clock: Clock,
    /// When its steps are, once it has ended, where that is known and they are regular.
    pub(super) regular: Option<Regular>,
    /// Channels that are measured.
    channels: usize,
    /// Whether channels of the calendar follow them.
    calendar: bool,
    /// Seconds a step; 0 where rows are steps.
    resample: f64,
    /// Seconds that the place of the rows is ahead of Greenwich, as far as that is written.
    ahead: f64,
    bin: Option<Bin>,
}

/// The rows within one step of time.
#[derive(Debug)]
struct Bin {
    /// The time of the first row of all.
    begin: f64,
    number: i64,
    sums: Vec<f64>,
    counts: Vec<u32>,
    class: Option<u32>,
}

impl Bin {
    fn take(&mut self, row: &[f32], class: Option<u32>) {
        for ((sum, count), &value) in self.sums.iter_mut().zip(&mut self.counts).zip(row) {
            if !value.is_nan() {
                *sum += f64::from(value);
                *count += 1;
            }
        }
        self.class = class.or(self.class);
    }
}

impl Tape {
    pub(super) fn new(origin: Origin, channels: usize, calendar: bool, resample: f64) -> Self {
        Self {
            origin,
            values: Vec::new(),
            stored: Vec::new(),
            steps: 0,
            marks: Vec::new(),
            times: None,
            clock: Clock::default(),
            regular: None,
            channels,
            calendar,
            resample,
            ahead: 0.0,
            bin: None,
        }
    }

    /// Takes a row of values; empty where only times and classes count.
    pub(super) fn step(&mut self, time: Option<Time>, row: &[f32], class: Option<u32>) -> Step {
        if let Some(time) = time
            && !self.clock.tick(time)
        {
            return Step::Back;
        }
        let ahead = time.map_or(self.ahead, Time::ahead);
        let time = match time.map(|time| time.seconds) {
            Some(time) if self.resample > 0.0 => time,
            // A row without a time belongs to the step of the row before.
            None if self.resample > 0.0 => {
                if let Some(bin) = &mut self.bin {
                    bin.take(row, class);
                }
                return Step::Taken;
            }
            time => {
                if time.is_none() {
                    self.clock.miss();
                }
                self.ahead = ahead;
                self.push(time, row, class);
                return Step::Taken;
            }
        };
        let begin = self.bin.as_ref().map_or(time, |bin| bin.begin);
        // Where time runs backward steps are numbered backward, and what was taken last comes first in the end.
        let number = number_of(time, begin, self.resample);
        let skipped = match &self.bin {
            Some(bin) if bin.number == number => None,
            Some(bin) => Some(number.abs_diff(bin.number) - 1),
            None => None,
        };
        match skipped {
            Some(skipped) if skipped > LONGEST_GAP => return Step::Gap,
            Some(skipped) => {
                self.close_bin();
                let empty = vec![f32::NAN; if row.is_empty() { 0 } else { self.channels }];
                for left in (1..=skipped).rev() {
                    let there = number.unsigned_abs() - left;
                    self.push(Some(self.begin_of(begin, there)), &empty, None);
                }
            }
            None => {}
        }
        // What was gathered before, and was pushed above, may be of winter where this is of summer.
        self.ahead = ahead;
        let width = self.channels;
        let bin = self.bin.get_or_insert_with(|| Bin {
            begin,
            number,
            sums: vec![0.0; width],
            counts: vec![0; width],
            class: None,
        });
        bin.number = number;
        bin.take(row, class);
        Step::Taken
    }

    /// When the step of that number begins, where rows are gathered into steps.
    fn begin_of(&self, begin: f64, number: u64) -> f64 {
        let seconds = number as f64 * self.resample;
        match self.clock.is_descending() {
            true => begin - seconds,
            false => begin + seconds,
        }
    }

    fn push(&mut self, time: Option<f64>, row: &[f32], class: Option<u32>) {
        self.values.extend_from_slice(row);
        if self.calendar && !row.is_empty() {
            let local = time.map(|time| time + self.ahead);
            self.values.extend(calendar::of(local));
        }
        if let Some(times) = &mut self.times {
            times.push(time.unwrap_or(f64::NAN));
        }
        if self.marks.last().is_none_or(|mark| mark.class != class) {
            let from = self.steps;
            self.marks.push(Mark { from, class });
        }
        self.steps += 1;
    }

    /// Makes a step of the rows that were gathered; the bin stays for its beginning.
    fn close_bin(&mut self) {
        let Some(mut bin) = self.bin.take() else {
            return;
        };
        let mean = |(sum, count): (&f64, &u32)| match count {
            0 => f32::NAN,
            count => (sum / f64::from(*count)) as f32,
        };
        let row: Vec<f32> = bin.sums.iter().zip(&bin.counts).map(mean).collect();
        let time = self.begin_of(bin.begin, bin.number.unsigned_abs());
        self.push(Some(time), &row, bin.class);
        bin.sums.fill(0.0);
        bin.counts.fill(0);
        bin.class = None;
        self.bin = Some(bin);
    }

    /// Ends the recording: what was gathered becomes a step, and what runs backward is turned round.
    pub(super) fn finish(&mut self) {
        self.close_bin();
        self.regular = match &self.bin {
            Some(bin) => {
                let first = bin.begin;
                let other = self.begin_of(first, bin.number.unsigned_abs());
                self.clock.latest().map(|latest| Regular {
                    last: Time {
                        seconds: first.max(other),
                        ..latest
                    },
                    every: Every::Seconds(self.resample),
                })
            }
            None => self.clock.regular(),
        };
        self.bin = None;
        if !self.clock.is_descending() || !self.stored.is_empty() {
            return;
        }
        let width = self.channels + calendar::width(self.calendar);
        let steps = self.steps;
        if self.values.len() == width * steps {
            for step in 0..steps / 2 {
                for channel in 0..width {
                    let there = (steps - 1 - step) * width + channel;
                    self.values.swap(step * width + channel, there);
                }
            }
        }
        let mut end = steps;
        for mark in self.marks.iter_mut().rev() {
            let from = mark.from;
            mark.from = steps - end;
            end = from;
        }
        self.marks.reverse();
        if let Some(times) = &mut self.times {
            times.reverse();
        }
    }

    /// Whether its values may be stored before it ends: what runs backward, or may yet, is turned round then.
    pub(super) fn may_store(&self) -> bool {
        self.clock.runs_forward()
    }
}

/// The number of the step of `resample` seconds that a time lies in, counted from `begin`. What a time lacks of a step's
/// beginning by rounding alone doesn't count: of seconds since 1970 a float knows no less than a quarter of a microsecond.
fn number_of(time: f64, begin: f64, resample: f64) -> i64 {
    let rounding = 2.0 * f64::EPSILON * time.abs().max(begin.abs()) / resample;
    // Steps too short for times to tell them apart are those that lie nearest.
    let slack = (1e-9 + rounding).min(0.5);
    ((time - begin).abs() / resample + slack).floor() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tape(resample: f64, rows: &[(f64, f32, Option<u32>)]) -> (Tape, Vec<Step>) {
        let mut tape = Tape::new(Origin::default(), 1, false, resample);
        let steps = rows
            .iter()
            .map(|&(time, value, class)| tape.step(Some(Time::of_number(time)), &[value], class))
            .collect();
        tape.finish();
        (tape, steps)
    }

    fn text(values: &[f32]) -> String {
        format!("{values:?}")
    }

    #[test]
    fn rows_within_a_step_are_averaged_and_gaps_stay_empty() {
        let rows = [
            (10.0, 1.0, Some(0)),
            (10.4, 3.0, Some(0)),
            (11.0, f32::NAN, Some(0)),
            (11.2, 5.0, Some(1)),
            (14.9, 7.0, Some(1)),
        ];
        let (tape, _) = tape(1.0, &rows);
        assert_eq!(text(&tape.values), "[2.0, 5.0, NaN, NaN, 7.0]");
        let marks: Vec<_> = tape.marks.iter().map(|m| (m.from, m.class)).collect();
        assert_eq!(marks, [(0, Some(0)), (1, Some(1)), (2, None), (4, Some(1))]);
    }

    #[test]
    fn rows_a_step_apart_are_a_step_each_however_their_times_are_rounded() {
        for (begin, each_second) in [
            (1_700_000_000.0, 50.0),
            (0.0, 10.0),
            (1_700_000_000.0, 10.0),
        ] {
            // As they are read: the float that is nearest to the decimal number.
            let time = |row: u16| (begin * each_second + f64::from(row)) / each_second;
            let rows: Vec<_> = (0..500)
                .map(|row| (time(row), f32::from(row), None))
                .collect();
            let (tape, steps) = tape(1.0 / each_second, &rows);
            assert!(steps.iter().all(|&step| step == Step::Taken));
            let expected: Vec<f32> = (0..500u16).map(f32::from).collect();
            assert_eq!(text(&tape.values), text(&expected), "{begin}");
        }
        // What lies within a step is of it, however near its end.
        assert_eq!(number_of(0.0999, 0.0, 0.1), 0);
        assert_eq!(number_of(1_700_000_000.019_5, 1_700_000_000.0, 0.02), 0);
    }

    #[test]
    fn what_runs_backward_is_turned_round() {
        let rows = [
            (3.0, 3.0, Some(1)),
            (2.0, 2.0, Some(0)),
            (1.0, 1.0, Some(0)),
        ];
        let (tape, _) = tape(0.0, &rows);
        assert_eq!(tape.values, [1.0, 2.0, 3.0]);
        let marks: Vec<_> = tape.marks.iter().map(|m| (m.from, m.class)).collect();
        assert_eq!(marks, [(0, Some(0)), (2, Some(1))]);
    }

    #[test]
    fn time_that_turns_and_long_gaps_end_a_recording() {
        let rows = [(1.0, 1.0, None), (2.0, 1.0, None), (1.5, 1.0, None)];
        assert_eq!(tape(0.0, &rows).1, [Step::Taken, Step::Taken, Step::Back]);
        let rows = [(0.0, 1.0, None), (5000.0, 1.0, None)];
        assert_eq!(tape(1.0, &rows).1, [Step::Taken, Step::Gap]);
        assert_eq!(tape(0.0, &rows).1, [Step::Taken, Step::Taken]);
    }
}
