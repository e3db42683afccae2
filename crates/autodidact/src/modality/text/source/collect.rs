//! Going through files once: where documents are, and what is wrong with them.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, BufRead, Write};
use std::path::Path;
use std::sync::Arc;

use super::documents::{DocumentSet, Origin, Stretch};
use super::format::{Format, unpacked};
use super::{parquet, table};
use crate::error::{AtPath, Error, Result};
use crate::modality::source::layout::{self, Choice};
use crate::modality::source::storage::{Blob, Member, Spill};
use crate::modality::text::reading::{Documents, TextReading};

/// Bytes at the start of a file among which a zero means that it is no text.
const LOOKED_AT: u64 = 8192;
/// The longest document, in bytes.
const LONGEST: u64 = 1 << 30;

/// Documents in the making.
pub(super) struct Collect<'a> {
    reading: &'a TextReading,
    spill: Spill,
    /// Plain files, which stay where they are.
    blobs: Vec<Arc<Blob>>,
    files: Vec<Origin>,
    places: Vec<Stretch>,
    classes: Vec<Option<String>>,
    seen: HashSet<u64>,
    counts: Counts,
}

/// What was found on the way.
#[derive(Default)]
struct Counts {
    empty: usize,
    twice: usize,
    damaged: usize,
    binary: Vec<String>,
}

/// The blob of what was unpacked stands before those of plain files.
const SPILLED: u32 = 0;

impl<'a> Collect<'a> {
    pub(super) fn new(reading: &'a TextReading, memory: u64) -> Self {
        Self {
            reading,
            spill: Spill::new(memory),
            blobs: Vec::new(),
            files: Vec::new(),
            places: Vec::new(),
            classes: Vec::new(),
            seen: HashSet::new(),
            counts: Counts::default(),
        }
    }

    /// Goes through a file; `class` is what its folder says.
    ///
    /// # Errors
    /// When it can't be read, or has no column of text.
    pub(super) fn take(&mut self, member: &Member, class: Option<&str>) -> Result<()> {
        let format = Format::of_file(member.file_name());
        let whole = format == Format::Plain && self.reading.documents == Documents::File;
        self.files.push(Origin {
            name: member.name.clone(),
            shown: member.shown.clone(),
            first: self.places.len(),
            whole,
        });
        match format {
            Format::Parquet => parquet::read(member, self.reading, self, class),
            Format::Columns { separator } => {
                let (stream, _) = unpacked(member)?;
                table::columns(stream, separator, member, self.reading, self, class)
            }
            Format::JsonLines => {
                let (stream, _) = unpacked(member)?;
                table::json_lines(stream, member, self.reading, self, class)
            }
            Format::Plain => self.plain(member, class),
        }
    }

    fn plain(&mut self, member: &Member, class: Option<&str>) -> Result<()> {
        let (mut stream, packed) = unpacked(member)?;
        let head = stream.fill_buf().at_path(&member.shown)?;
        if head[..head.len().min(LOOKED_AT as usize)].contains(&0) {
            self.counts.binary.push(member.shown.clone());
            return Ok(());
        }
        let blob = if packed {
            SPILLED
        } else {
            let (blob, ..) = member.blob()?;
            self.blobs.push(blob);
            self.blobs.len() as u32
        };
        // Where the text at hand lies in its file, and how much of it is gathered.
        let (mut at, mut text) = (0u64, Vec::new());
        let mut done = false;
        while !done {
            let before = text.len();
            let read = match self.reading.documents {
                Documents::File => read_chunk(&mut stream, &mut text),
                _ => read_line(&mut stream, &mut text),
            };
            let read = read.at_path(&member.shown)?;
            done = read == 0;
            if text.len() as u64 > LONGEST {
                return Err(Error::data("holds a document of more than 1 GiB")
                    .at(&member.shown)
                    .expected("documents of ordinary size")
                    .mend("set data.reading.documents to line or paragraph"));
            }
            let ended = match self.reading.documents {
                Documents::File => done,
                Documents::Line => true,
                Documents::Paragraph => done || text[before..].iter().all(u8::is_ascii_whitespace),
            };
            if ended {
                let length = text.len() as u64;
                let place = (blob != SPILLED).then_some((blob, at));
                self.document(&text, place, class).at_path(&member.shown)?;
                at += length;
                text.clear();
            }
        }
        Ok(())
    }

    /// Takes a document, which lies at `place` or has to be kept.
    pub(super) fn document(
        &mut self,
        text: &[u8],
        place: Option<(u32, u64)>,
        class: Option<&str>,
    ) -> io::Result<()> {
        let trimmed = text.trim_ascii();
        if trimmed.is_empty() {
            self.counts.empty += usize::from(!text.is_empty());
            return Ok(());
        }
        // A document's line end isn't part of it; of a whole file everything is.
        let kept = match self.reading.documents {
            Documents::File => text,
            _ => trimmed,
        };
        let skipped = kept.as_ptr() as usize - text.as_ptr() as usize;
        if std::str::from_utf8(kept).is_err() {
            let bad = |chunk: std::str::Utf8Chunk<'_>| usize::from(!chunk.invalid().is_empty());
            self.counts.damaged += kept.utf8_chunks().map(bad).sum::<usize>();
        }
        let mut hasher = DefaultHasher::new();
        kept.hash(&mut hasher);
        if !self.seen.insert(hasher.finish()) {
            self.counts.twice += 1;
            if self.reading.drop_duplicates {
                return Ok(());
            }
        }
        let (blob, offset) = match place {
            Some((blob, at)) => (blob, at + skipped as u64),
            None => {
                let offset = self.spill.length();
                self.spill.write_all(kept)?;
                (SPILLED, offset)
            }
        };
        self.places.push(Stretch {
            blob,
            offset,
            length: kept.len() as u64,
        });
        self.classes.push(class.map(str::to_owned));
        Ok(())
    }

    /// Whether there is no document yet.
    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// All documents.
    ///
    /// # Errors
    /// When there are none.
    pub(super) fn finish(self, root: &Path, choice: Choice) -> Result<DocumentSet> {
        let counts = &self.counts;
        if self.places.is_empty() {
            let found = match counts.binary.first() {
                Some(file) => format!("is no text: {file} holds bytes of zero"),
                None => "holds no text".to_owned(),
            };
            return Err(Error::data(found)
                .at(root)
                .expected("at least one document that isn't empty"));
        }
        let mut about = format!("{}{}", root.display(), choice.shown());
        let verb = |n: usize| if n == 1 { "was" } else { "were" };
        let notes = [
            (counts.empty, "empty and left out"),
            (
                counts.twice,
                match self.reading.drop_duplicates {
                    true => "there before and left out",
                    false => "there before",
                },
            ),
            (counts.binary.len(), "no text and left out"),
        ];
        for (count, what) in notes.into_iter().filter(|(count, _)| *count > 0) {
            about.push_str(&format!("; {count} {} {what}", verb(count)));
        }
        if counts.damaged > 0 {
            about.push_str(&format!(
                "; {} stretches of bytes that are no UTF-8 are read as \u{fffd}",
                counts.damaged
            ));
        }
        let spilled = Arc::new(self.spill.finish().at_path(root)?);
        let mut blobs = vec![spilled];
        blobs.extend(self.blobs);
        Ok(DocumentSet {
            blobs,
            files: self.files,
            places: self.places,
            labels: layout::number(self.classes, None).filter(|labels| labels.classes.len() > 1),
            other_parts: choice.others,
            about,
        })
    }
}

/// Adds some bytes; 0 at the end.
fn read_chunk(stream: &mut dyn BufRead, text: &mut Vec<u8>) -> io::Result<usize> {
    let bytes = stream.fill_buf()?;
    let count = bytes.len();
    text.extend_from_slice(bytes);
    stream.consume(count);
    Ok(count)
}

/// Adds a line with its end, or as much of it as is a document's length; 0 at the end.
fn read_line(stream: &mut dyn BufRead, text: &mut Vec<u8>) -> io::Result<usize> {
    io::Read::take(stream, LONGEST + 1).read_until(b'\n', text)
}
