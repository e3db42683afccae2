//! Tables of a row a step: one recording, or several that a column tells apart.

use std::collections::HashMap;
use std::io;

use csv::ByteRecord;

use super::collect::Collect;
use super::columns::Roles;
use super::dialect::{Dialect, Rows};
use super::files::File;
use super::format::stem;
use super::tape::{Origin, Tape};
use super::time::Time;
use crate::error::{AtPath, Error, Result};
use crate::modality::series::reading::SeriesReading;
use crate::modality::source::packed::unpacked;

/// Rows on their way into recordings.
pub(super) struct Feed<'a> {
    roles: &'a Roles,
    comma: bool,
    /// The column of each channel; `None` where this file lacks it.
    columns: Vec<Option<usize>>,
    /// The class that the folder tells.
    class: Option<u32>,
    origin: Origin,
    tapes: Vec<Tape>,
    /// Recordings by what tells them apart.
    index: HashMap<Vec<u8>, usize>,
    row: Vec<f32>,
    /// Values that came since some were stored.
    waiting: usize,
}

impl<'a> Feed<'a> {
    pub(super) fn new(
        file: &File,
        roles: &'a Roles,
        comma: bool,
        class: Option<u32>,
        reading: &SeriesReading,
        collect: &Collect,
    ) -> Self {
        let column = |name: &String| {
            let channel = roles.channels.iter().find(|(channel, _)| channel == name);
            channel.map(|(_, at)| *at)
        };
        Self {
            roles,
            comma,
            columns: collect.channels.iter().map(column).collect(),
            class,
            origin: Origin {
                name: stem(&file.member.name).to_owned(),
                group: reading.group_of(&file.member.name),
                split: file.split,
                piece: 0,
            },
            tapes: Vec::new(),
            index: HashMap::new(),
            row: Vec::new(),
            waiting: 0,
        }
    }

    /// Takes a row.
    pub(super) fn row(&mut self, record: &ByteRecord, collect: &mut Collect) -> io::Result<()> {
        let roles = self.roles;
        let field = |at: Option<usize>| at.and_then(|at| record.get(at));
        if record.len() != roles.width {
            collect.notes.ragged += 1;
        }
        let at = self.recording(record, collect);
        let time = field(roles.time).and_then(|field| {
            let time = Time::of(&String::from_utf8_lossy(field));
            collect.notes.timeless += usize::from(time.is_none());
            time
        });
        let class = match roles.label {
            Some(_) => {
                let name = String::from_utf8_lossy(field(roles.label).unwrap_or_default());
                collect.class(&name)
            }
            None => self.class,
        };
        self.row.clear();
        if collect.keep {
            for column in &self.columns {
                let field = field(*column).unwrap_or_default();
                self.row.push(collect.value(field, self.comma));
            }
        }
        collect.step(&mut self.tapes[at], time, &self.row, class)?;
        // Recordings that are told apart by a column may lie in pieces, all over the table.
        self.waiting += self.row.len();
        if self.waiting >= collect.waiting {
            self.waiting = 0;
            let mut tapes = self.tapes.iter_mut();
            return tapes.try_for_each(|tape| collect.make_room(tape));
        }
        Ok(())
    }

    /// The recording that a row belongs to.
    fn recording(&mut self, record: &ByteRecord, collect: &Collect) -> usize {
        let field = |at: Option<usize>| at.and_then(|at| record.get(at)).map(<[u8]>::trim_ascii);
        // The subjects of a table are recordings of their own.
        let Some(id) = self.roles.id.or(self.roles.group) else {
            if self.tapes.is_empty() {
                self.tapes.push(collect.tape(self.origin.clone()));
            }
            return 0;
        };
        let group = field(self.roles.group).unwrap_or_default();
        let mut key = field(Some(id)).unwrap_or_default().to_vec();
        if self.roles.id.is_some() && self.roles.group.is_some() {
            key = [&key, group].join(&b"/"[..]);
        }
        if let Some(&at) = self.index.get(&key) {
            return at;
        }
        let mut origin = self.origin.clone();
        origin.name = format!("{}/{}", origin.name, String::from_utf8_lossy(&key));
        if self.roles.group.is_some() {
            origin.group = Some(String::from_utf8_lossy(group).into_owned());
        }
        self.tapes.push(collect.tape(origin));
        self.index.insert(key, self.tapes.len() - 1);
        self.tapes.len() - 1
    }

    /// Ends all recordings.
    pub(super) fn finish(self, collect: &mut Collect) -> io::Result<()> {
        self.tapes
            .into_iter()
            .try_for_each(|tape| collect.finish(tape))
    }
}

/// Reads a table of text.
///
/// # Errors
/// When it can't be read, or is no such table.
pub(super) fn read(
    file: &File,
    dialect: &Dialect,
    mut feed: Feed<'_>,
    collect: &mut Collect,
) -> Result<()> {
    let shown = &file.member.shown;
    each_row(file, dialect, |record| {
        feed.row(record, collect).at_path(shown)
    })?;
    feed.finish(collect).at_path(shown)
}

/// Goes through the rows below the header.
pub(super) fn each_row(
    file: &File,
    dialect: &Dialect,
    mut take: impl FnMut(&ByteRecord) -> Result<()>,
) -> Result<()> {
    let (stream, _) = unpacked(&file.member)?;
    let mut rows = Rows::new(stream, dialect.separator);
    let mut record = ByteRecord::new();
    let mut first = true;
    let wrong = |error: csv::Error| {
        Error::data("is no table of columns, or ends too early")
            .at(&file.member.shown)
            .because(error)
    };
    while rows.next(&mut record).map_err(wrong)? {
        if std::mem::take(&mut first) {
            record = super::dialect::unmarked(&record);
            if dialect.header.is_some() {
                continue;
            }
        }
        take(&record)?;
    }
    Ok(())
}
