//! Recordings as they are read: kept as 32-bit floats in memory and beyond a limit in a nameless temporary file, with
//! what was found on the way.

use std::collections::BTreeMap;
use std::io::{self, Write};

use super::calendar;
use super::clock::Regular;
use super::number::{Cell, measured};
use super::tape::{Chunk, Mark, Origin, Step, Tape};
use super::time::Time;
use crate::modality::source::layout::Split;
use crate::modality::source::storage::Spill;

/// Values that wait in memory before they are stored: the least and the most.
const WAITING: [u64; 2] = [1 << 12, 1 << 24];
/// What stands where a class isn't known: what sktime, NumPy, pandas and R write there.
const UNKNOWN: [&str; 5] = ["", "?", "nan", "NaN", "NA"];

/// A recording, stored.
#[derive(Debug, Clone)]
pub(super) struct Recording {
    pub(super) name: String,
    /// How many recordings were begun before of the same whole, which time turned round in, or was left out of.
    pub(super) piece: usize,
    pub(super) group: Option<String>,
    pub(super) split: Option<Split>,
    /// Where its steps are, in their order; nowhere, where it isn't kept.
    pub(super) chunks: Vec<Chunk>,
    pub(super) steps: usize,
    pub(super) marks: Vec<Mark>,
    /// The time of each step, in seconds; empty where times aren't kept.
    pub(super) times: Vec<f64>,
    /// When steps are, where that is known and they are regular.
    pub(super) regular: Option<Regular>,
    /// How many seconds its place is ahead of Greenwich, where that is written with its times.
    pub(super) zone: Option<i32>,
}

impl Recording {
    /// The name of the whole that it is a piece of; its own where nothing parted it.
    pub(super) fn whole(&self) -> &str {
        if self.piece == 0 {
            return &self.name;
        }
        let suffix = format!("+{}", self.piece);
        let whole = self.name.strip_suffix(suffix.as_str());
        whole.unwrap_or(&self.name)
    }
}

/// The least and the largest value of a channel, and how many there are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extent {
    pub(super) least: f32,
    pub(super) most: f32,
    pub(super) count: u64,
}

/// What was found on the way, for people.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// Fields of columns of numbers that are none.
    pub(super) unreadable: usize,
    /// Values that are infinite or too large to be measured.
    pub(super) beyond: usize,
    /// Rows with another number of fields.
    pub(super) ragged: usize,
    /// Rows of the same time as the row before.
    pub(super) same: usize,
    /// Rows whose time can't be read.
    pub(super) timeless: usize,
    /// Recordings cut where time turned round.
    pub(super) turned: usize,
    /// Recordings cut where much time was left out.
    pub(super) parted: usize,
    /// Recordings whose latest row came first.
    pub(super) backward: usize,
    /// Gaps, and the longest in seconds.
    pub(super) gaps: usize,
    pub(super) longest: f64,
    /// Recordings of irregular steps.
    pub(super) irregular: usize,
    /// Anything else, as it is to be said.
    pub(super) others: Vec<String>,
}

/// Recordings in the making.
pub(super) struct Collect {
    /// The names of the channels that are measured.
    pub(super) channels: Vec<String>,
    /// Whether channels of the calendar follow them.
    pub(super) calendar: bool,
    pub(super) resample: f64,
    /// Whether values are kept, or only counted: of a part that isn't open.
    pub(super) keep: bool,
    /// Whether the time of each step is kept: where the user brings what is known of stretches of time.
    pub(super) timed: bool,
    /// How many values wait in memory before they are stored: of one recording, and of all that are in the making.
    pub(super) waiting: usize,
    pub(super) spill: Spill,
    pub(super) recordings: Vec<Recording>,
    pub(super) extents: Vec<Extent>,
    pub(super) classes: Vec<String>,
    numbers: BTreeMap<String, u32>,
    pub(super) notes: Notes,
}

impl Collect {
    /// Keeps `memory` bytes in memory.
    pub(super) fn new(channels: Vec<String>, calendar: bool, resample: f64, memory: u64) -> Self {
        let extent = Extent {
            least: f32::INFINITY,
            most: f32::NEG_INFINITY,
            count: 0,
        };
        Self {
            extents: vec![extent; channels.len()],
            channels,
            calendar,
            resample,
            keep: true,
            timed: false,
            // A quarter of the memory, at four bytes a value.
            waiting: (memory / 16).clamp(WAITING[0], WAITING[1]) as usize,
            spill: Spill::new(memory),
            recordings: Vec::new(),
            classes: Vec::new(),
            numbers: BTreeMap::new(),
            notes: Notes::default(),
        }
    }

    /// Values a step.
    pub(super) fn width(&self) -> usize {
        self.channels.len() + calendar::width(self.calendar)
    }

    /// The number of a class, by its name as it is written; `None` where what is written says that it isn't known.
    pub(super) fn class(&mut self, name: &str) -> Option<u32> {
        let name = name.trim();
        if UNKNOWN.contains(&name) {
            return None;
        }
        if let Some(&number) = self.numbers.get(name) {
            return Some(number);
        }
        let number = self.classes.len() as u32;
        self.classes.push(name.to_owned());
        self.numbers.insert(name.to_owned(), number);
        Some(number)
    }

    /// Leaves out all classes so far: others take their place.
    pub(super) fn forget_classes(&mut self) {
        self.classes.clear();
        self.numbers.clear();
    }

    /// A value of a table.
    pub(super) fn value(&mut self, field: &[u8], comma: bool) -> f32 {
        match Cell::of(field, comma) {
            Cell::Number(value) => value,
            Cell::Missing => f32::NAN,
            Cell::Beyond => {
                self.notes.beyond += 1;
                f32::NAN
            }
            Cell::Other => {
                self.notes.unreadable += 1;
                f32::NAN
            }
        }
    }

    /// A value of an array.
    pub(super) fn measured(&mut self, value: f32) -> f32 {
        let kept = measured(value);
        self.notes.beyond += usize::from(kept.is_nan() && !value.is_nan());
        kept
    }

    /// A recording to begin.
    pub(super) fn tape(&self, origin: Origin) -> Tape {
        let mut tape = Tape::new(origin, self.channels.len(), self.calendar, self.resample);
        tape.times = self.timed.then(Vec::new);
        tape
    }

    /// Takes a step; where it belongs to another recording, that is begun.
    pub(super) fn step(
        &mut self,
        tape: &mut Tape,
        time: Option<Time>,
        row: &[f32],
        class: Option<u32>,
    ) -> io::Result<()> {
        let what = tape.step(time, row, class);
        if what != Step::Taken {
            match what {
                Step::Back => self.notes.turned += 1,
                _ => self.notes.parted += 1,
            }
            let piece = tape.origin.piece + 1;
            let next = self.tape(Origin {
                piece,
                ..tape.origin.clone()
            });
            let ended = std::mem::replace(tape, next);
            self.finish(ended)?;
            tape.step(time, row, class);
        }
        if !self.keep {
            // Steps that rows were gathered into have values all the same.
            tape.values.clear();
        }
        match tape.values.len() >= self.waiting {
            true => self.make_room(tape),
            false => Ok(()),
        }
    }

    /// Stores what waits of a recording in the making, where that can be done before it ends.
    pub(super) fn make_room(&mut self, tape: &mut Tape) -> io::Result<()> {
        match tape.may_store() {
            true => self.store(tape),
            false => Ok(()),
        }
    }

    /// Stores what waits.
    fn store(&mut self, tape: &mut Tape) -> io::Result<()> {
        if tape.values.is_empty() {
            return Ok(());
        }
        let width = self.width();
        for row in tape.values.chunks_exact(width) {
            for (extent, &value) in self.extents.iter_mut().zip(row) {
                if !value.is_nan() {
                    extent.least = extent.least.min(value);
                    extent.most = extent.most.max(value);
                    extent.count += 1;
                }
            }
        }
        let from = tape.steps - tape.values.len() / width;
        let offset = self.spill.length();
        let goes_on = tape.stored.last().is_some_and(|last| {
            let stored = (from - last.from) * width * size_of::<f32>();
            last.offset + stored as u64 == offset
        });
        if !goes_on {
            tape.stored.push(Chunk { from, offset });
        }
        let mut bytes = Vec::with_capacity(4 << 10);
        for values in tape.values.chunks(1 << 10) {
            bytes.clear();
            bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
            self.spill.write_all(&bytes)?;
        }
        tape.values.clear();
        Ok(())
    }

    /// Takes a recording that is complete; one without any step is none.
    pub(super) fn finish(&mut self, mut tape: Tape) -> io::Result<()> {
        tape.finish();
        let notes = &mut self.notes;
        notes.same += tape.clock.same();
        notes.backward += usize::from(tape.clock.is_descending());
        if let Some(pace) = tape.clock.pace() {
            notes.gaps += pace.gaps;
            notes.longest = notes.longest.max(pace.longest);
            notes.irregular += usize::from(pace.irregular);
        }
        if tape.steps == 0 {
            return Ok(());
        }
        if self.keep {
            self.store(&mut tape)?;
        }
        self.recordings.push(Recording {
            zone: tape.clock.latest().and_then(|latest| latest.zone),
            name: match tape.origin.piece {
                0 => tape.origin.name,
                piece => format!("{}+{piece}", tape.origin.name),
            },
            piece: tape.origin.piece,
            group: tape.origin.group,
            split: tape.origin.split,
            chunks: tape.stored,
            steps: tape.steps,
            marks: tape.marks,
            times: tape.times.unwrap_or_default(),
            regular: tape.regular,
        });
        Ok(())
    }

    /// Takes a recording that is there as a whole.
    pub(super) fn whole(
        &mut self,
        origin: Origin,
        values: Vec<f32>,
        class: Option<u32>,
    ) -> io::Result<()> {
        let mut tape = self.tape(origin);
        tape.steps = values.len() / self.width().max(1);
        tape.marks = vec![Mark { from: 0, class }];
        tape.values = if self.keep { values } else { Vec::new() };
        self.finish(tape)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recordings_in_the_making_fill_no_more_memory_than_they_may() {
        let mut collect = Collect::new(vec!["x".to_owned()], false, 0.0, 0);
        let [mut first, mut second] = [(); 2].map(|()| collect.tape(Origin::default()));
        for row in 0..3 * collect.waiting {
            for tape in [&mut first, &mut second] {
                collect.step(tape, None, &[row as f32], None).unwrap();
            }
        }
        for tape in [&first, &second] {
            assert!(tape.values.is_empty());
            let from: Vec<usize> = tape.stored.iter().map(|chunk| chunk.from).collect();
            let waiting = collect.waiting;
            assert_eq!(from, [0, waiting, 2 * waiting]);
        }
        // Pieces that follow each other are one.
        let mut alone = collect.tape(Origin::default());
        for row in 0..3 * collect.waiting {
            let time = Some(Time::of_number(row as f64));
            collect.step(&mut alone, time, &[0.0], None).unwrap();
        }
        assert_eq!((alone.stored.len(), alone.values.len()), (1, 0));
    }
}
