//! Which column of a table holds what: time, recordings, groups, classes, channels.

use std::collections::{BTreeSet, HashMap, HashSet};

use csv::ByteRecord;

use super::number::Cell;
use super::time::is_date;
use crate::error::{Error, Result};
use crate::modality::series::MOST_CHANNELS;
use crate::modality::series::reading::{Layout, NONE, SeriesReading};

/// What columns of time are called.
const TIME_NAMES: [&str; 12] = [
    "time",
    "timestamp",
    "time_stamp",
    "datetime",
    "date_time",
    "date",
    "ds",
    "ts",
    "t",
    "epoch",
    "unix_time",
    "unixtime",
];
/// What columns that tell recordings apart are called, where their values come again.
const ID_NAMES: [&str; 12] = [
    "id",
    "series",
    "series_id",
    "recording",
    "recording_id",
    "unique_id",
    "item_id",
    "case_id",
    "sequence",
    "sequence_id",
    "episode",
    "trial",
];
/// What columns of classes are called.
const LABEL_NAMES: [&str; 6] = [
    "label",
    "labels",
    "class",
    "class_label",
    "activity",
    "category",
];
/// What columns are called that say of each step what was wrong with it: no measurements.
const NOTES: [&str; 6] = [
    "anomaly",
    "is_anomaly",
    "outlier",
    "changepoint",
    "change_point",
    "attack",
];
/// What columns of row numbers are called, apart from nothing at all.
const NUMBERS: [&str; 4] = ["index", "unnamed: 0", "row", "id"];
/// The most words that a column of classes has among the rows that are looked at.
const MOST_WORDS: usize = 50;

/// Which column holds what, from 0.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Roles {
    pub(super) time: Option<usize>,
    pub(super) id: Option<usize>,
    pub(super) group: Option<usize>,
    pub(super) label: Option<usize>,
    /// The channels, in order, with their names.
    pub(super) channels: Vec<(String, usize)>,
    /// Names of columns that are none of these.
    pub(super) left_out: Vec<String>,
    /// Number of columns.
    pub(super) width: usize,
}

/// What the fields of a column are, among the rows that are looked at.
#[derive(Debug, Default)]
struct Kind {
    numbers: usize,
    missing: usize,
    dates: usize,
    words: usize,
    /// The words and whole numbers, as far as they are few.
    distinct: BTreeSet<Vec<u8>>,
    /// Whether each row's value is one more than that of the row before.
    counts: bool,
}

impl Kind {
    fn of(rows: &[ByteRecord], at: usize, comma: bool) -> Self {
        let mut kind = Self {
            counts: rows.len() > 1,
            ..Self::default()
        };
        let mut last = None;
        for field in rows.iter().map(|row| row.get(at).unwrap_or_default()) {
            let cell = Cell::of(field, comma);
            match cell {
                Cell::Number(_) | Cell::Beyond => kind.numbers += 1,
                Cell::Missing => kind.missing += 1,
                Cell::Other if is_date(&String::from_utf8_lossy(field)) => kind.dates += 1,
                Cell::Other => kind.words += 1,
            }
            let number = match cell {
                Cell::Number(value) => Some(value),
                _ => None,
            };
            kind.counts &= match (last, number) {
                (Some(last), Some(number)) => number == last + 1.0,
                (None, number) => number.is_some(),
                _ => false,
            };
            last = number;
            kind.distinct.insert(field.trim_ascii().to_vec());
        }
        kind
    }

    /// Whether it may be a channel: numbers, or nothing so far.
    fn is_channel(&self) -> bool {
        self.numbers >= self.words + self.dates && (self.numbers > 0 || self.missing > 0)
    }

    fn is_time(&self) -> bool {
        self.dates > self.words + self.numbers
    }

    fn is_class(&self, rows: usize) -> bool {
        self.words > self.numbers + self.dates
            && self.distinct.len() <= MOST_WORDS.min(rows / 2)
            && self.distinct.len() > 1
    }
}

impl Roles {
    /// Finds the columns by what the recipe says, what they are called and what they hold.
    ///
    /// # Errors
    /// When there is no such column, or none of numbers.
    pub(super) fn of(
        header: Option<&[String]>,
        rows: &[ByteRecord],
        comma: bool,
        reading: &SeriesReading,
        shown: &str,
    ) -> Result<Self> {
        let mut widths: Vec<usize> = rows.iter().map(ByteRecord::len).collect();
        widths.sort_unstable();
        let usual = widths.get(widths.len() / 2).copied().unwrap_or(0);
        let named = header.map_or(0, <[String]>::len);
        let width = usual.max(named);
        // Rows with one field more than names begin with a name of their own, as R writes them, or end with a separator.
        let more = named > 0 && usual == named + 1;
        let trailing = more && end_with_nothing(rows, named);
        let shift = usize::from(more && !trailing);
        let columns = width - usize::from(trailing);
        let given: Vec<String> = (0..columns)
            .map(
                |at| match header.and_then(|names| names.get(at.wrapping_sub(shift))) {
                    _ if at < shift => String::new(),
                    Some(name) => name.clone(),
                    None => (at + 1).to_string(),
                },
            )
            .collect();
        let names = unique(&given);
        let kinds: Vec<Kind> = (0..columns).map(|at| Kind::of(rows, at, comma)).collect();
        let find = Find {
            names: &names,
            shown,
        };
        let mut roles = Self {
            width,
            ..Self::default()
        };
        roles.time = match reading.time.as_str() {
            NONE => None,
            "" => (find.called(&TIME_NAMES))
                .filter(|&at| kinds[at].is_time() || kinds[at].numbers > kinds[at].words)
                .or_else(|| kinds.iter().position(Kind::is_time)),
            wanted => Some(find.wanted(wanted, "time")?),
        };
        // A file without the column of groups is found out where groups are needed.
        roles.group = match reading.group_column() {
            Some(wanted) => Some(find.wanted(wanted, "group")?),
            None => None,
        };
        roles.id = match (reading.id.as_str(), reading.layout) {
            (NONE, _) | ("", Layout::Wide) => None,
            ("", layout) => {
                let called = find.called(&ID_NAMES);
                let found = called.filter(|&at| kinds[at].distinct.len() < rows.len());
                if layout == Layout::Long && found.or(called).is_none() {
                    return Err(find.missing("that tells recordings apart", "id"));
                }
                found.or(called.filter(|_| layout == Layout::Long))
            }
            (wanted, _) => Some(find.wanted(wanted, "id")?),
        };
        let taken = [roles.time, roles.group, roles.id];
        let free = |at: &usize| !taken.contains(&Some(*at));
        roles.label = match reading.label.as_str() {
            NONE => None,
            "" => find
                .called(&LABEL_NAMES)
                .filter(free)
                .or_else(|| only_class(&kinds, rows.len()).filter(free))
                .or_else(|| find.called(&NOTES[..2]).filter(free)),
            // Some files may lack it; that all do is found out where all are known.
            wanted => find.wanted(wanted, "label").ok(),
        };
        roles.channels = match reading.columns.as_slice() {
            [] => roles.numbers(&given, &names, &kinds),
            wanted => wanted
                .iter()
                .map(|name| {
                    let at = find.wanted(name, "columns")?;
                    Ok((names[at].clone(), at))
                })
                .collect::<Result<_>>()?,
        };
        if roles.channels.is_empty() || roles.channels.len() > MOST_CHANNELS {
            let found = match roles.channels.len() {
                0 => "has no column of numbers".to_owned(),
                count => format!("has {count} columns of numbers"),
            };
            return Err(
                Error::data(format!("{found} (columns: {})", listed(&names)))
                    .at(shown)
                    .expected(format!("1 to {MOST_CHANNELS} channels"))
                    .mend("name the channels with data.reading.columns, or set data.reading.layout = \"rows\" where a row is a series"),
            );
        }
        let used = |at: &usize| {
            [roles.time, roles.group, roles.id, roles.label].contains(&Some(*at))
                || roles.channels.iter().any(|(_, channel)| channel == at)
        };
        roles.left_out = (0..columns)
            .filter(|at| !used(at))
            .map(|at| names[at].clone())
            .filter(|name| !name.is_empty())
            .collect();
        Ok(roles)
    }

    /// All columns of numbers that are nothing else, by what they are called in the file, `given`, and here.
    fn numbers(&self, given: &[String], names: &[String], kinds: &[Kind]) -> Vec<(String, usize)> {
        let others = [self.time, self.group, self.id, self.label];
        let is_called = |at: usize, list: &[&str]| {
            list.contains(&given[at].trim().to_ascii_lowercase().as_str())
        };
        (0..names.len())
            .filter(|at| !others.contains(&Some(*at)) && kinds[*at].is_channel())
            .filter(|&at| !is_called(at, &NOTES) && !is_called(at, &TIME_NAMES))
            .filter(|&at| {
                let numbered = given[at].is_empty() || is_called(at, &NUMBERS);
                let nothing = given[at].is_empty() && kinds[at].numbers == 0;
                !(nothing || numbered && kinds[at].counts)
            })
            .map(|at| (names[at].clone(), at))
            .collect()
    }
}

/// Whether rows with a field more than the `named` columns have nothing in it: each of them ends with a separator.
fn end_with_nothing(rows: &[ByteRecord], named: usize) -> bool {
    let last = rows.iter().filter_map(|row| row.get(named));
    last.clone().next().is_some() && last.map(<[u8]>::trim_ascii).all(<[u8]>::is_empty)
}

/// Names that are each their own, since columns are known by them: those that come again get a number, `x` and `x.2`.
pub(super) fn unique(given: &[String]) -> Vec<String> {
    let taken: HashSet<&str> = given.iter().map(String::as_str).collect();
    let mut turns: HashMap<&str, usize> = HashMap::new();
    let own = given.iter().map(|name| {
        let turn = turns.entry(name.as_str()).or_default();
        *turn += 1;
        // What has no name is none by it.
        if *turn == 1 || name.is_empty() {
            return name.clone();
        }
        loop {
            let numbered = format!("{name}.{turn}");
            if !taken.contains(numbered.as_str()) {
                return numbered;
            }
            *turn += 1;
        }
    });
    own.collect()
}

/// The columns that are channels by what they are called in the file, `given`, and here, in their order: all but time, what
/// tells recordings apart, classes, notes, and what the recipe says is one of these.
pub(super) fn channels_named(
    given: &[String],
    names: &[String],
    reading: &SeriesReading,
) -> Vec<usize> {
    let lists: [&[&str]; 5] = [&TIME_NAMES, &ID_NAMES, &LABEL_NAMES, &NOTES, &NUMBERS];
    let apart = set_apart(names, reading);
    let is_channel = |at: &usize| {
        let given = given[*at].trim().to_ascii_lowercase();
        let called = lists.iter().any(|list| list.contains(&given.as_str()));
        !given.is_empty() && !called && !apart.contains(at)
    };
    (0..names.len()).filter(is_channel).collect()
}

/// The columns that the recipe says hold time, recordings, classes or groups.
pub(super) fn set_apart(names: &[String], reading: &SeriesReading) -> Vec<usize> {
    let wanted = [&reading.time, &reading.id, &reading.label, &reading.group];
    let wanted = wanted.into_iter().filter(|wanted| !wanted.is_empty());
    wanted.filter_map(|wanted| column(names, wanted)).collect()
}

/// The column that the recipe names, by name or by number from 1.
pub(super) fn column(names: &[String], wanted: &str) -> Option<usize> {
    Find { names, shown: "" }.at(wanted)
}

/// The column of time, by its name.
pub(super) fn time_named(names: &[String], reading: &SeriesReading) -> Option<usize> {
    match reading.time.as_str() {
        "" => Find { names, shown: "" }.called(&TIME_NAMES),
        wanted => column(names, wanted),
    }
}

/// The only column of few words.
fn only_class(kinds: &[Kind], rows: usize) -> Option<usize> {
    let mut found = (0..kinds.len()).filter(|&at| kinds[at].is_class(rows));
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

/// Looks for columns.
struct Find<'a> {
    names: &'a [String],
    shown: &'a str,
}

impl Find<'_> {
    /// The first that bears one of these names.
    fn called(&self, wanted: &[&str]) -> Option<usize> {
        let at = |wanted: &&str| {
            (self.names.iter()).position(|name| name.trim().eq_ignore_ascii_case(wanted))
        };
        wanted.iter().find_map(at)
    }

    /// The one that the recipe names, by name or by number from 1.
    fn wanted(&self, wanted: &str, key: &str) -> Result<usize> {
        (self.at(wanted)).ok_or_else(|| self.missing(&format!("`{wanted}`"), key))
    }

    /// The same; `None` where there is none.
    fn at(&self, wanted: &str) -> Option<usize> {
        let number = || {
            let number = wanted.parse::<usize>().ok()?.checked_sub(1)?;
            (number < self.names.len()).then_some(number)
        };
        self.called(&[wanted]).or_else(number)
    }

    fn missing(&self, what: &str, key: &str) -> Error {
        Error::data(format!(
            "has no column {what} (columns: {})",
            listed(self.names)
        ))
        .at(self.shown)
        .expected("one of its columns")
        .mend(format!("name it with data.reading.{key}"))
    }
}

/// Names for people, the first dozen.
pub(super) fn listed(names: &[String]) -> String {
    let more = names.len().saturating_sub(12);
    let mut text = names[..names.len() - more].join(", ");
    if more > 0 {
        text.push_str(&format!(" and {more} more"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roles(table: &str, reading: &str) -> Result<Roles> {
        let rows: Vec<ByteRecord> = table
            .lines()
            .map(|line| line.split(',').map(str::as_bytes).collect())
            .collect();
        let header: Vec<String> = (rows[0].iter())
            .map(|name| String::from_utf8_lossy(name).into_owned())
            .collect();
        let reading = toml::from_str(reading).unwrap();
        Roles::of(Some(&header), &rows[1..], false, &reading, "x.csv")
    }

    fn channels(roles: &Roles) -> Vec<&str> {
        roles
            .channels
            .iter()
            .map(|(name, _)| name.as_str())
            .collect()
    }

    #[test]
    fn columns_are_known_by_name_and_by_what_they_hold() {
        let table = ",when,S1,S2,note,what\n0,2020-01-01,1,,x,walk\n1,2020-01-02,2,?,y,run\n2,2020-01-03,3,1,z,walk\n3,2020-01-04,3,1,w,run";
        let found = roles(table, "").unwrap();
        assert_eq!((found.time, found.label), (Some(1), Some(5)));
        assert_eq!(channels(&found), ["S1", "S2"]);
        assert_eq!(found.left_out, ["note"]);
        let found = roles(
            table,
            "columns = [\"S2\", \"3\"]\ntime = \"none\"\nlabel = \"none\"",
        );
        let found = found.unwrap();
        assert_eq!((found.time, found.label), (None, None));
        assert_eq!(channels(&found), ["S2", "S1"]);
    }

    #[test]
    fn an_id_tells_recordings_apart_only_where_it_comes_again() {
        let found = roles("id,x\n1,5\n1,6\n2,7", "").unwrap();
        assert_eq!(found.id, Some(0));
        let found = roles("id,x\n1,5\n2,6\n3,7", "").unwrap();
        assert_eq!((found.id, channels(&found)), (None, vec!["x"]));
        let found = roles("id,x\n1,5\n2,6\n3,7", "layout = \"long\"").unwrap();
        assert_eq!(found.id, Some(0));
        assert!(roles("a,x\n1,5", "layout = \"long\"").is_err());
    }

    #[test]
    fn notes_on_steps_are_no_channels() {
        let found = roles("x,anomaly,changepoint\n1,0,0\n2,1,1", "").unwrap();
        assert_eq!((found.label, channels(&found)), (Some(1), vec!["x"]));
        assert_eq!(found.left_out, ["changepoint"]);
    }

    #[test]
    fn tables_without_numbers_are_refused() {
        let error = roles("a,b\nx,y\nz,w", "").unwrap_err().to_string();
        assert!(
            error.contains("no column of numbers (columns: a, b)"),
            "{error}"
        );
        let error = roles("a,b\n1,2", "columns = [\"c\"]").unwrap_err();
        assert!(error.to_string().contains("no column `c`"), "{error}");
    }

    #[test]
    fn a_separator_at_the_end_of_rows_is_no_name_of_theirs() {
        let found = roles("x,y,label\n1,2,walk,\n3,4,run, \n5,7,run\n6,7,run,", "").unwrap();
        assert_eq!(found.channels, [("x".to_owned(), 0), ("y".to_owned(), 1)]);
        assert_eq!((found.label, found.width), (Some(2), 4));
        assert!(found.left_out.is_empty());
        // Rows as R writes them begin with a name.
        let found = roles("x,y\na,1,2\nb,3,\nc,5,6", "").unwrap();
        assert_eq!(found.channels, [("x".to_owned(), 1), ("y".to_owned(), 2)]);
        // A header may end with one as well.
        let found = roles("x,y,\n1,2,\n3,4,", "").unwrap();
        assert_eq!(channels(&found), ["x", "y"]);
    }

    #[test]
    fn columns_of_one_name_are_told_apart() {
        let table = "t,X,Y,X,X.2,X,t\n1,2,3,4,5,6,1\n2,3,4,5,6,7,2";
        let found = roles(table, "").unwrap();
        assert_eq!(found.time, Some(0));
        assert_eq!(channels(&found), ["X", "Y", "X.3", "X.2", "X.4"]);
        let found = roles(table, "columns = [\"X.3\", \"Y\"]").unwrap();
        assert_eq!(found.channels, [("X.3".to_owned(), 3), ("Y".to_owned(), 2)]);
        let none = ["", "", "a"].map(str::to_owned);
        assert_eq!(unique(&none), none);
    }
}
