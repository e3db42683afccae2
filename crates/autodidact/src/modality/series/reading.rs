//! The recipe's `[data.reading]` for series: where recordings, times, classes and channels stand, and what of a recording
//! is an item.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::modality::SourceSpec;
use crate::recipe::fill;

/// What is said where a column isn't to be looked for.
pub(super) const NONE: &str = "none";
/// What stands for the group in a pattern of file names.
pub(super) const GROUP: &str = "{}";

/// How series are read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SeriesReading {
    /// Of tables and of arrays with two axes: `wide` (a row a step), `long` (as `wide`, with a column that tells
    /// recordings apart), `rows` (a row a whole series of one channel, the class before it), `blocks` (a line with the class,
    /// a line a step, an empty line), or `auto`.
    pub layout: Layout,
    /// The column of the class, by its name or its number from 1; `none` where there is none. Empty takes one that is called
    /// like one, or else the only one of few words.
    pub label: String,
    /// The column that tells recordings apart. Empty takes one that is called like one.
    pub id: String,
    /// The column of time; `none` where there is none. Empty takes one that is called like one or holds dates.
    pub time: String,
    /// The columns that are channels, in this order; empty takes all that hold numbers.
    pub columns: Vec<String>,
    /// What keeps together when parts are made: a column (a subject, a machine), or a pattern of file names in which `{}`
    /// stands for the group, such as `user{}`.
    pub group: String,
    /// Steps of a window, 2 to 1,000,000; shorter recordings are taken whole. 0 takes whole recordings, unless they are
    /// longer than 4096 steps without a class (then 256), or the class changes in the midst of them (then 128).
    pub window: usize,
    /// Steps from one window to the next; 0 is half a window.
    pub stride: usize,
    /// Seconds a step: values within are averaged. 0 takes the rows as they come.
    pub resample: f64,
    /// Whether each recording is brought to mean 0 and deviation 1, channel by channel, by its beginning: so many steps, or
    /// below 1 that part of them; for recordings on scales of their own. 0 leaves them as they are.
    pub standardize: f64,
    /// Whether the time of day, of the week and of the year follow the measured channels, two channels each: sine and cosine
    /// of the phase. They are known of every step with a time, and `evaluate` neither foretells nor watches them.
    pub calendar: bool,
    /// What parts the fields of a row: `,`, `;`, `tab`, `space`, `|`; empty looks.
    pub separator: String,
    /// `.` or `,`; empty looks.
    pub decimal: String,
    /// Of arrays with three axes: whether channels stand before steps.
    pub channels_first: bool,
    /// The part that becomes the test part, 0 to 0.9: of the groups, where there are any, or else the end of each recording
    /// that is cut into windows, or the last of the recordings.
    pub test: f64,
    /// The groups that become the test part.
    pub test_groups: Vec<String>,
}

/// How a table holds series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// As it looks.
    Auto,
    /// A row a step.
    Wide,
    /// A row a step of the recording that a column names.
    Long,
    /// A row a series.
    Rows,
    /// A line with the class, a line a step, an empty line.
    Blocks,
}

impl Default for SeriesReading {
    fn default() -> Self {
        Self {
            layout: Layout::Auto,
            label: String::new(),
            id: String::new(),
            time: String::new(),
            columns: Vec::new(),
            group: String::new(),
            window: 0,
            stride: 0,
            resample: 0.0,
            standardize: 0.0,
            calendar: false,
            separator: String::new(),
            decimal: String::new(),
            channels_first: false,
            test: 0.0,
            test_groups: Vec::new(),
        }
    }
}

impl SeriesReading {
    /// The settings of what is to be opened.
    ///
    /// # Errors
    /// Names the key that isn't one, or whose value doesn't fit.
    pub fn of(spec: &SourceSpec) -> Result<Self> {
        let reading: Self = fill(&Self::default(), Some(&spec.reading), "data.reading")?;
        let wrong = |key: &str, found: String, expected: &str| {
            Err(Error::recipe(format!("data.reading.{key} = {found}")).expected(expected))
        };
        if reading.window == 1 || reading.window > 1_000_000 {
            let found = reading.window.to_string();
            return wrong("window", found, "2 to 1000000 steps, or 0");
        }
        if reading.stride > 1_000_000 || reading.stride > 0 && reading.window == 0 {
            let found = reading.stride.to_string();
            return wrong("stride", found, "1 to 1000000 steps, with a window");
        }
        if !(0.0..=1e9).contains(&reading.resample) {
            let found = reading.resample.to_string();
            return wrong("resample", found, "seconds, or 0");
        }
        if !(0.0..=1e9).contains(&reading.standardize) {
            let found = reading.standardize.to_string();
            return wrong("standardize", found, "steps, a part below 1, or 0");
        }
        if !(0.0..=0.9).contains(&reading.test) {
            return wrong("test", reading.test.to_string(), "0 to 0.9");
        }
        if !reading.separator.is_empty() && reading.separator().is_none() {
            let found = format!("{:?}", reading.separator);
            return wrong("separator", found, "`,`, `;`, `|`, `tab` or `space`");
        }
        if !["", ".", ","].contains(&reading.decimal.as_str()) {
            return wrong("decimal", format!("{:?}", reading.decimal), "`.` or `,`");
        }
        if reading.test > 0.0 && !reading.test_groups.is_empty() {
            return Err(
                Error::recipe("both data.reading.test and data.reading.test_groups")
                    .expected("one of them"),
            );
        }
        if !reading.test_groups.is_empty() && reading.group.is_empty() {
            return Err(Error::recipe("data.reading.test_groups")
                .expected("data.reading.group beside it")
                .mend("say with data.reading.group what the groups are"));
        }
        Ok(reading)
    }

    /// The separator that is asked for, if any.
    pub(super) fn separator(&self) -> Option<u8> {
        Some(match self.separator.as_str() {
            "," => b',',
            ";" => b';',
            "|" => b'|',
            "tab" | "\t" => b'\t',
            "space" | " " => b' ',
            _ => return None,
        })
    }

    /// The column of groups, where groups are a column.
    pub(super) fn group_column(&self) -> Option<&str> {
        (!self.group.is_empty() && !self.group.contains(GROUP)).then_some(self.group.as_str())
    }

    /// The group that a file's name tells; `None` where groups aren't told by names, or this one has none.
    pub(super) fn group_of(&self, name: &str) -> Option<String> {
        let (before, after) = self.group.split_once(GROUP)?;
        let rest = match before {
            "" => name,
            before => name.split_once(before)?.1,
        };
        let end = match after {
            "" => rest.find(|c: char| !c.is_alphanumeric()),
            after => Some(rest.find(after)?),
        };
        let group = &rest[..end.unwrap_or(rest.len())];
        (!group.is_empty()).then(|| group.to_owned())
    }

    /// Whether a group is among those of the test part: `7` is `07`.
    pub(super) fn is_test_group(&self, group: &str) -> bool {
        let plain = |name: &str| {
            let name = name.trim();
            match name.trim_start_matches('0') {
                "" => name.to_owned(),
                rest if name.bytes().all(|byte| byte.is_ascii_digit()) => rest.to_owned(),
                _ => name.to_owned(),
            }
        };
        self.test_groups
            .iter()
            .any(|wanted| plain(wanted) == plain(group))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(reading: &str) -> Result<SeriesReading> {
        SeriesReading::of(&SourceSpec {
            reading: reading.parse().unwrap(),
            ..SourceSpec::default()
        })
    }

    #[test]
    fn what_can_not_be_is_refused_by_name() {
        for (reading, found) in [
            ("windows = 3", "window"),
            ("window = 1", "data.reading.window = 1"),
            ("stride = 5", "data.reading.stride = 5"),
            ("resample = -1", "data.reading.resample"),
            ("standardize = -0.5", "data.reading.standardize"),
            ("test = 1", "data.reading.test = 1"),
            ("separator = \"x\"", "data.reading.separator"),
            ("decimal = \"'\"", "data.reading.decimal"),
            ("layout = \"tall\"", "data.reading.layout"),
            ("test_groups = [\"1\"]", "data.reading.test_groups"),
            (
                "group = \"user{}\"\ntest = 0.5\ntest_groups = [\"1\"]",
                "both",
            ),
        ] {
            let error = of(reading).unwrap_err();
            let said = format!("{error} {:?}", error.remedy());
            assert!(said.contains(found), "{reading}: {said}");
        }
        assert_eq!(of("").unwrap(), SeriesReading::default());
    }

    #[test]
    fn a_pattern_finds_the_group_in_a_name() {
        let reading = of("group = \"user{}\"\ntest_groups = [\"7\"]").unwrap();
        assert_eq!(reading.group_of("exp01_user07.npy").as_deref(), Some("07"));
        assert_eq!(reading.group_of("exp01.npy"), None);
        assert!(reading.is_test_group("07") && !reading.is_test_group("70"));
        let reading = of("group = \"{}_day\"").unwrap();
        assert_eq!(reading.group_of("m-3_day1.csv").as_deref(), Some("m-3"));
        assert_eq!(
            of("group = \"subject\"").unwrap().group_of("subject1"),
            None
        );
    }
}
