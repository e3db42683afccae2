//! Rows of a table as they arrive, one line at a time.

use csv::ByteRecord;

use super::calendar;
use super::clock;
use super::columns::{listed, not_channels, time_named, unique};
use super::dialect::{Rows, SEPARATORS};
use super::number::Cell;
use crate::error::{Error, Result};
use crate::modality::ReadRows;
use crate::modality::series::reading::SeriesReading;

/// Reads lines: a header at first, if there is one, then a row a step.
pub(in crate::modality::series) struct LiveRows {
    /// Those that are measured.
    channels: usize,
    reading: SeriesReading,
    /// How lines are written, once one has come.
    form: Option<Form>,
    lines: usize,
}

struct Form {
    separator: u8,
    /// The column of each channel, from 0.
    columns: Vec<usize>,
    /// The column of time, where the calendar is asked for.
    time: Option<usize>,
}

impl LiveRows {
    /// Reads rows that come to so many `channels`, with those of the calendar.
    pub(in crate::modality::series) fn new(channels: usize, reading: SeriesReading) -> Self {
        Self {
            channels: channels.saturating_sub(calendar::width(reading.calendar)),
            reading,
            form: None,
            lines: 0,
        }
    }

    /// What parts the fields of a first line.
    fn separator(&self, line: &str) -> u8 {
        let enough = |&separator: &u8| {
            split(line, separator).is_some_and(|fields| fields.len() >= self.channels)
        };
        (self.reading.separator())
            .or_else(|| {
                let mut there = SEPARATORS.into_iter();
                there.find(|&one| line.trim().as_bytes().contains(&one) && enough(&one))
            })
            .unwrap_or(b',')
    }

    /// What a field holds. A comma that parts no fields is a decimal one, where no point is.
    fn cell(&self, field: &[u8], separator: u8) -> Cell {
        let comma = match self.reading.decimal.as_str() {
            "" => separator != b',' && field.contains(&b',') && !field.contains(&b'.'),
            decimal => decimal == ",",
        };
        Cell::of(field, comma)
    }

    /// Whether a field is no number, and no mark for a missing one.
    fn is_word(&self, field: &[u8], separator: u8) -> bool {
        self.cell(field, separator) == Cell::Other
    }

    /// The columns that a header says are channels.
    fn named(&self, given: &[String]) -> Result<Vec<usize>> {
        let names = unique(given);
        let found: Vec<usize> = match self.reading.columns.as_slice() {
            [] => (0..names.len())
                .filter(|&at| !not_channels(&given[at], &names[at], &self.reading))
                .collect(),
            wanted => {
                let at = |name: &String| {
                    let mut names = names.iter();
                    names.position(|there| there.trim().eq_ignore_ascii_case(name))
                };
                wanted.iter().filter_map(at).collect()
            }
        };
        if found.len() == self.channels {
            return Ok(found);
        }
        Err(self.wrong(format!(
            "the header names {} channels (columns: {})",
            found.len(),
            listed(&names)
        )))
    }

    /// The columns that a row shows to be channels: all those of numbers.
    fn shown(&self, fields: &ByteRecord, separator: u8) -> Result<Vec<usize>> {
        let is_number =
            |&at: &usize| !self.is_word(&fields[at], separator) && !is_date(&fields[at]);
        let found: Vec<usize> = (0..fields.len()).filter(is_number).collect();
        if found.len() == self.channels {
            return Ok(found);
        }
        Err(self.wrong(format!("line {} holds {} numbers", self.lines, found.len())))
    }

    /// The column of time, by the names of a header or the fields of a first row; `None` where nobody asks for it.
    fn time(&self, fields: &ByteRecord, is_header: bool) -> Result<Option<usize>> {
        if !self.reading.calendar {
            return Ok(None);
        }
        let names: Vec<String> = texts(fields).collect();
        let found = match is_header {
            true => time_named(&unique(&names), &self.reading),
            false => names.iter().position(|field| clock::is_date(field)),
        };
        match found {
            Some(at) => Ok(Some(at)),
            None => Err(Error::data(format!(
                "line {} has no time (columns: {})",
                self.lines,
                listed(&names)
            ))
            .expected("a time with each row, since the run learned with data.reading.calendar")
            .mend("send a column of dates, or a header that names it (data.reading.time)")),
        }
    }

    fn wrong(&self, found: String) -> Error {
        Error::data(found)
            .expected(format!(
                "{} channels, as in what was learned from",
                self.channels
            ))
            .mend("send those columns alone, or a header with data.reading.columns naming them")
    }
}

impl ReadRows for LiveRows {
    fn read(&mut self, line: &str) -> Result<Option<Vec<f32>>> {
        self.lines += 1;
        let line = line.trim_start_matches('\u{feff}');
        let separator = match &self.form {
            Some(form) => form.separator,
            None => self.separator(line),
        };
        // Nothing stands in an empty line or a comment.
        let Some(fields) = split(line, separator) else {
            return Ok(None);
        };
        if self.form.is_none() {
            let is_name = |field: &[u8]| self.is_word(field, separator) && !is_date(field);
            let is_header = fields.iter().all(is_name);
            let columns = match is_header {
                true => self.named(&texts(&fields).collect::<Vec<_>>())?,
                false => self.shown(&fields, separator)?,
            };
            self.form = Some(Form {
                separator,
                columns,
                time: self.time(&fields, is_header)?,
            });
            if is_header {
                return Ok(None);
            }
        }
        let Some(form) = &self.form else {
            return Ok(None);
        };
        let value = |&at: &usize| match self.cell(fields.get(at).unwrap_or_default(), separator) {
            Cell::Number(value) => value,
            // What can't be read is missing, as where it is read from a file.
            Cell::Missing | Cell::Beyond | Cell::Other => f32::NAN,
        };
        let mut values: Vec<f32> = form.columns.iter().map(value).collect();
        if let Some(at) = form.time {
            let written = fields.get(at).unwrap_or_default();
            values.extend(calendar::of(clock::seconds(&String::from_utf8_lossy(
                written,
            ))));
        }
        Ok(Some(values))
    }
}

/// The fields of a line; `None` where it has none.
fn split(line: &str, separator: u8) -> Option<ByteRecord> {
    let mut fields = ByteRecord::new();
    let mut rows = Rows::new(line.as_bytes(), separator);
    matches!(rows.next(&mut fields), Ok(true)).then_some(fields)
}

fn texts(fields: &ByteRecord) -> impl Iterator<Item = String> {
    let text = |field: &[u8]| String::from_utf8_lossy(field).trim().to_owned();
    fields.iter().map(text)
}

fn is_date(field: &[u8]) -> bool {
    clock::is_date(&String::from_utf8_lossy(field))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(channels: usize, reading: &str, lines: &str) -> Result<Vec<Vec<f32>>> {
        let mut live = LiveRows::new(channels, toml::from_str(reading).unwrap());
        let mut rows = Vec::new();
        for line in lines.lines() {
            rows.extend(live.read(line)?);
        }
        Ok(rows)
    }

    #[test]
    fn rows_come_with_and_without_a_header_and_in_any_dialect() {
        for lines in [
            "time,a,b\n2024-01-01 10:00,1,2\n2024-01-01 10:01,3,x\n",
            "# a comment\n1,2\n\n3,\n",
            "datetime;a;b;anomaly\n2024-01-01;1;2;0\n2024-01-02;3;;1\n",
            "1 2\r\n3 nan\r\n",
            "\"a, in mm\",b\r\n\"1\",2\r\n3,\r\n",
            "2024-01-01T10:00;1,0;2,0\n2024-01-01T10:01;3,0;?\n",
        ] {
            let found = rows(2, "", lines).unwrap();
            assert_eq!(found[0], [1.0, 2.0], "{lines}");
            assert!(found[1][0] == 3.0 && found[1][1].is_nan(), "{lines}");
        }
        let found = rows(
            1,
            "",
            "date;wert\n01.02.2024 10:00;2\n01.02.2024 10:01;2,5\n",
        )
        .unwrap();
        assert_eq!(found, [[2.0], [2.5]]);
        let found = rows(1, "columns = [\"b\"]", "a,b\n1,2\n3\n").unwrap();
        assert!(found[0] == [2.0] && found[1][0].is_nan());
    }

    #[test]
    fn the_calendar_comes_from_the_time_of_each_row() {
        for lines in [
            "when,a\n2024-01-01 06:00,1\nlater,2\n",
            "2024-01-01 06:00,1\n,2\n",
        ] {
            let found = rows(7, "calendar = true\ntime = \"when\"", lines).unwrap();
            assert_eq!((found[0].len(), found[0][0]), (7, 1.0), "{lines}");
            assert!((found[0][1] - 1.0).abs() < 1e-6 && found[0][2].abs() < 1e-6);
            assert!(found[1][0] == 2.0 && found[1][1].is_nan());
        }
        let error = rows(7, "calendar = true", "a\n1\n").unwrap_err();
        assert!(error.to_string().contains("has no time"), "{error}");
    }

    #[test]
    fn other_channels_are_refused_by_number() {
        let error = rows(3, "", "1,2\n").unwrap_err().to_string();
        assert!(
            error.contains("line 1 holds 2 numbers; expected 3 channels"),
            "{error}"
        );
        let error = rows(1, "", "a,b\n1,2\n").unwrap_err().to_string();
        assert!(
            error.contains("names 2 channels (columns: a, b)"),
            "{error}"
        );
        assert!(rows(1, "columns = [\"c\"]", "a,b\n1,2\n").is_err());
    }

    #[test]
    fn columns_of_one_name_are_told_apart_as_in_files() {
        let found = rows(3, "", "t,X,Y,X\n1,1,2,3\n").unwrap();
        assert_eq!(found, [[1.0, 2.0, 3.0]]);
        let found = rows(1, "columns = [\"X.2\"]", "X, Y, X\n1,2,3\n").unwrap();
        assert_eq!(found, [[3.0]]);
        let found = rows(2, "label = \"x.2\"", "X,Y,X\n1,2,3\n").unwrap();
        assert_eq!(found, [[1.0, 2.0]]);
    }
}
