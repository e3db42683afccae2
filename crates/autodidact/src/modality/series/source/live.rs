//! Rows of a table as they arrive, one line at a time.

use csv::ByteRecord;

use super::calendar;
use super::columns::{channels_named, column, listed, set_apart, time_named, unique};
use super::dialect::{Rows, SEPARATORS, are_spaced_decimals};
use super::number::Cell;
use super::shape::numbered;
use super::time::{Time, is_date};
use crate::error::{Error, Result};
use crate::modality::ReadRows;
use crate::modality::series::reading::SeriesReading;

/// Reads lines: a header at first, if there is one, then a row a step.
pub(in crate::modality::series) struct LiveRows {
    /// Those that are measured.
    channels: usize,
    reading: SeriesReading,
    /// What parts fields, once a line has shown it.
    separator: Option<u8>,
    /// The names in a header, once one has come.
    header: Option<Vec<String>>,
    /// Where what stands, once a row has come.
    places: Option<Places>,
    lines: usize,
}

/// Where what stands in a row.
struct Places {
    /// The column of each channel, from 0.
    channels: Vec<usize>,
    /// The column of time, where the calendar is asked for.
    time: Option<usize>,
}

impl LiveRows {
    /// Reads rows that come to so many `channels`, with those of the calendar.
    pub(in crate::modality::series) fn new(channels: usize, reading: SeriesReading) -> Self {
        Self {
            channels: channels.saturating_sub(calendar::width(reading.calendar)),
            reading,
            separator: None,
            header: None,
            places: None,
            lines: 0,
        }
    }

    /// What parts the fields of a line.
    fn separator(&self, line: &str) -> u8 {
        let enough = |&separator: &u8| {
            split(line, separator).is_some_and(|fields| fields.len() >= self.channels)
        };
        let is_decimal = |one: u8| one == b',' && are_spaced_decimals(&[line]);
        (self.separator)
            .or_else(|| self.reading.separator())
            .or_else(|| {
                let mut there = SEPARATORS.into_iter();
                there.find(|&one| {
                    line.trim().as_bytes().contains(&one) && enough(&one) && !is_decimal(one)
                })
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

    /// Whether a field is no number, no date and no mark for a missing one.
    fn is_word(&self, field: &[u8], separator: u8) -> bool {
        self.cell(field, separator) == Cell::Other && !is_date(&String::from_utf8_lossy(field))
    }

    /// Whether the fields of a first line are names. The first may lack one, as over the numbers of rows, and so may the last,
    /// where lines end with a separator.
    fn is_header(&self, fields: &ByteRecord, separator: u8) -> bool {
        let is_name = |field: &[u8]| self.is_word(field, separator);
        let may_stand = |(at, field): (usize, &[u8])| {
            let outer = at == 0 || at + 1 == fields.len();
            is_name(field) || outer && field.trim_ascii().is_empty()
        };
        fields.iter().any(is_name) && fields.iter().enumerate().all(may_stand)
    }

    /// Where what stands, by the first row that is no header, and by the header above it.
    fn places(&self, fields: &ByteRecord, separator: u8) -> Result<Places> {
        let given = match &self.header {
            Some(header) => names_over(header, fields),
            None => numbered(fields.len()),
        };
        let names = unique(&given);
        let channels = match &self.header {
            Some(_) => self.named(&given, &names)?,
            None => self.shown(fields, &names, separator)?,
        };
        Ok(Places {
            channels,
            time: self.time(&names, fields)?,
        })
    }

    /// The columns that a header says are channels.
    fn named(&self, given: &[String], names: &[String]) -> Result<Vec<usize>> {
        let found: Vec<usize> = match self.reading.columns.as_slice() {
            [] => channels_named(given, names, &self.reading),
            wanted => (wanted.iter())
                .filter_map(|wanted| column(names, wanted))
                .collect(),
        };
        if found.len() == self.channels {
            return Ok(found);
        }
        Err(self.wrong(format!(
            "the header names {} channels (columns: {})",
            found.len(),
            listed(names)
        )))
    }

    /// The columns that a row shows to be channels: those that the recipe numbers, or else all those of numbers.
    fn shown(&self, fields: &ByteRecord, names: &[String], separator: u8) -> Result<Vec<usize>> {
        let wanted = self.reading.columns.iter();
        let wanted: Option<Vec<usize>> = wanted.map(|wanted| column(names, wanted)).collect();
        let is_number = |&at: &usize| self.cell(&fields[at], separator) != Cell::Other;
        let numbers: Vec<usize> = (0..fields.len()).filter(is_number).collect();
        let apart = set_apart(names, &self.reading);
        let others = numbers.iter().copied().filter(|at| !apart.contains(at));
        // Rows may be those of the files, or of the channels alone.
        let ways: [Vec<usize>; 3] = [
            wanted.unwrap_or_default(),
            others.collect(),
            numbers.clone(),
        ];
        let mut ways = ways.into_iter();
        let found = ways.find(|columns| columns.len() == self.channels);
        found.ok_or_else(|| {
            let count = numbers.len();
            self.wrong(format!("line {} holds {count} numbers", self.lines))
        })
    }

    /// The column of time, by its name or its number, or by the fields of a first row; `None` where nobody asks for it.
    fn time(&self, names: &[String], fields: &ByteRecord) -> Result<Option<usize>> {
        if !self.reading.calendar {
            return Ok(None);
        }
        let holds_date = |field: &[u8]| is_date(&String::from_utf8_lossy(field));
        let found = time_named(names, &self.reading);
        match found.or_else(|| fields.iter().position(holds_date)) {
            Some(at) => Ok(Some(at)),
            None => Err(Error::data(format!(
                "line {} has no time (columns: {})",
                self.lines,
                listed(names)
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
        let separator = self.separator(line);
        // Nothing stands in an empty line or a comment.
        let Some(fields) = split(line, separator) else {
            return Ok(None);
        };
        let is_first = self.header.is_none() && self.places.is_none();
        if is_first && self.is_header(&fields, separator) {
            // A single name doesn't show what will part the fields below it.
            self.separator = (fields.len() > 1).then_some(separator);
            self.header = Some(texts(&fields));
            return Ok(None);
        }
        if self.places.is_none() {
            self.places = Some(self.places(&fields, separator)?);
            self.separator = Some(separator);
        }
        let Some(places) = &self.places else {
            return Ok(None);
        };
        let value = |&at: &usize| match self.cell(fields.get(at).unwrap_or_default(), separator) {
            Cell::Number(value) => value,
            // What can't be read is missing, as where it is read from a file.
            Cell::Missing | Cell::Beyond | Cell::Other => f32::NAN,
        };
        let mut values: Vec<f32> = places.channels.iter().map(value).collect();
        if let Some(at) = places.time {
            let written = String::from_utf8_lossy(fields.get(at).unwrap_or_default());
            values.extend(calendar::of(Time::of(&written).map(Time::local)));
        }
        Ok(Some(values))
    }
}

/// The names over the fields of a row. One that has a field more than there are names begins with a name of its own, as R
/// writes them, unless it ends with a separator.
fn names_over(header: &[String], fields: &ByteRecord) -> Vec<String> {
    let more = fields.len() == header.len() + 1;
    let last = fields.get(header.len()).unwrap_or_default();
    let own = (more && !last.trim_ascii().is_empty()).then(String::new);
    own.into_iter().chain(header.iter().cloned()).collect()
}

/// The fields of a line; `None` where it has none.
fn split(line: &str, separator: u8) -> Option<ByteRecord> {
    let mut fields = ByteRecord::new();
    let mut rows = Rows::new(line.as_bytes(), separator);
    matches!(rows.next(&mut fields), Ok(true)).then_some(fields)
}

fn texts(fields: &ByteRecord) -> Vec<String> {
    let text = |field: &[u8]| String::from_utf8_lossy(field).trim().to_owned();
    fields.iter().map(text).collect()
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
    fn the_calendar_is_that_of_the_place_where_times_say_where() {
        for (lines, [sine, cosine]) in [
            ("2024-01-01 06:00+02:00,1\n", [1.0, 0.0]),
            ("1,2024-01-01T12:00-05:00\n", [0.0, -1.0]),
        ] {
            let found = rows(7, "calendar = true", lines).unwrap();
            let off = (found[0][1] - sine).abs() + (found[0][2] - cosine).abs();
            assert!(found[0][0] == 1.0 && off < 1e-6, "{found:?}");
        }
    }

    #[test]
    fn names_may_be_lacking_over_the_numbers_of_rows() {
        // As pandas writes an index, as R does, and with a separator at the end.
        for lines in [
            ",value\n0,5\n1,6\n",
            "\"\",\"value\"\n\"a\",5\n\"b\",6\n",
            "value,\n5,\n6,\n",
        ] {
            assert_eq!(rows(1, "", lines).unwrap(), [[5.0], [6.0]], "{lines}");
        }
        // A class and no value is a row.
        let found = rows(2, "", "walk,,\nwalk,1,2\n").unwrap();
        assert!(found[0].iter().all(|value| value.is_nan()) && found[1] == [1.0, 2.0]);
    }

    #[test]
    fn rows_may_begin_with_a_name_that_no_header_has() {
        for lines in [
            "x,y\na,1,2\nb,3,4\n",
            "x\ty\n1\t1\t2\n2\t3\t4\n",
            "\"x\" \"y\"\n\"row 1\" 1 2\n\"row 2\" 3 4\n",
            "y,x,label\n1,2,1,walk\n2,4,3,run\n",
        ] {
            let reading = match lines.starts_with('y') {
                true => "columns = [\"x\", \"2\"]",
                false => "",
            };
            let found = rows(2, reading, lines).unwrap();
            assert_eq!(found, [[1.0, 2.0], [3.0, 4.0]], "{lines}");
        }
        assert_eq!(rows(1, "", "\"x\"\n\"1\"\t5\n").unwrap(), [[5.0]]);
        let lines = "when,a\n1,2024-01-01 06:00,2\n2,2024-01-01 12:00,3\n";
        let found = rows(7, "calendar = true\ntime = \"when\"", lines).unwrap();
        assert!(found[0][0] == 2.0 && (found[0][1] - 1.0).abs() < 1e-6);
        assert!(found[1][0] == 3.0 && (found[1][2] + 1.0).abs() < 1e-6);
    }

    #[test]
    fn columns_may_be_told_by_number() {
        let swapped = "columns = [\"2\", \"1\"]";
        for lines in ["1,2\n3,4\n", "1,2,walk\n3,4,run\n", "a,b\n1,2\n3,4\n"] {
            let found = rows(2, swapped, lines).unwrap();
            assert_eq!(found, [[2.0, 1.0], [4.0, 3.0]], "{lines}");
        }
        // Where there aren't so many, these are the channels alone.
        let found = rows(2, "columns = [\"5\", \"3\"]", "1,2\n").unwrap();
        assert_eq!(found, [[1.0, 2.0]]);
        // What the recipe says is no channel isn't one.
        let apart = "time = \"1\"\nlabel = \"4\"";
        for lines in ["1700000000,1,2,0\n", "a,b,c,d\n1700000000,1,2,0\n", "1,2\n"] {
            assert_eq!(rows(2, apart, lines).unwrap(), [[1.0, 2.0]], "{lines}");
        }
        let found = rows(7, "calendar = true\ntime = \"2\"", "1,21600\n").unwrap();
        assert!(found[0][0] == 1.0 && (found[0][1] - 1.0).abs() < 1e-6);
    }

    #[test]
    fn white_space_may_part_decimals_with_a_comma() {
        let found = rows(2, "", "1,5 2,25\n3 -4,5\n").unwrap();
        assert_eq!(found, [[1.5, 2.25], [3.0, -4.5]]);
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
