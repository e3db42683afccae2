//! Going through files once: where documents are, and what is wrong with them.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, BufRead, Write};
use std::path::Path;
use std::sync::Arc;

use super::documents::{DocumentSet, Origin, Stretch};
use super::format::Format;
use super::{parquet, table};
use crate::error::{AtPath, Error, Result};
use crate::modality::source::layout::{self, Choice};
use crate::modality::source::packed::unpacked;
use crate::modality::source::storage::{Blob, Member, Spill};
use crate::modality::text::reading::{Documents, TextReading};
use crate::modality::text::sentences::sentences;

/// Bytes at the start of a file among which a zero means that it is no text.
const LOOKED_AT: u64 = 8192;
/// The longest document, in bytes.
const LONGEST: u64 = 1 << 30;
/// What some editors put before a text in UTF-8; no part of it.
pub(super) const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Documents in the making.
pub(super) struct Collect<'a> {
    reading: &'a TextReading,
    spill: Spill,
    /// Plain files, which stay where they are.
    blobs: Vec<Arc<Blob>>,
    files: Vec<Origin>,
    places: Vec<Stretch>,
    /// The second texts, where documents are pairs.
    others: Vec<Stretch>,
    scores: Vec<f64>,
    classes: Vec<Option<String>>,
    seen: HashSet<u64>,
    counts: Counts,
}

/// A row of a table.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Row<'a> {
    pub(super) text: &'a [u8],
    /// The second text, of a pair.
    pub(super) other: Option<&'a [u8]>,
    /// How alike the two are, where that is asked for.
    pub(super) score: Option<&'a [u8]>,
    pub(super) class: Option<&'a str>,
}

/// What was found on the way.
#[derive(Default)]
struct Counts {
    empty: usize,
    twice: usize,
    damaged: usize,
    scoreless: usize,
    /// Rows with another number of fields than the header.
    ragged: usize,
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
            others: Vec::new(),
            scores: Vec::new(),
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
        if !self.reading.other.is_empty() {
            return Err(
                Error::data("has no columns, and data.reading.other names one")
                    .at(&member.shown)
                    .expected("pairs of texts in a table: .csv, .tsv, .jsonl or .parquet"),
            );
        }
        let (mut stream, packed) = unpacked(member)?;
        let head = stream.fill_buf().at_path(&member.shown)?;
        if head[..head.len().min(LOOKED_AT as usize)].contains(&0) {
            self.counts.binary.push(member.shown.clone());
            return Ok(());
        }
        let marked = match head.starts_with(BYTE_ORDER_MARK) {
            true => BYTE_ORDER_MARK.len(),
            false => 0,
        };
        stream.consume(marked);
        let blob = if packed {
            SPILLED
        } else {
            let (blob, ..) = member.blob()?;
            self.blobs.push(blob);
            self.blobs.len() as u32
        };
        // Where the text at hand lies in its file, and how much of it is gathered.
        let (mut at, mut text) = (marked as u64, Vec::new());
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
            if self.reading.documents == Documents::Article && begins_article(&text, before) {
                let place = (blob != SPILLED).then_some((blob, at));
                (self.document(&text[..before], place, class)).at_path(&member.shown)?;
                at += before as u64;
                text.drain(..before);
            }
            let ended = match self.reading.documents {
                Documents::File | Documents::Article => done,
                Documents::Line | Documents::Sentence => true,
                Documents::Paragraph => done || text[before..].iter().all(u8::is_ascii_whitespace),
            };
            if ended {
                for (offset, part) in self.parts(&text) {
                    let place = (blob != SPILLED).then_some((blob, at + offset));
                    self.document(part, place, class).at_path(&member.shown)?;
                }
                at += text.len() as u64;
                text.clear();
            }
        }
        Ok(())
    }

    /// What of a stretch of text is a document, and where it begins: all of it, or each of its sentences.
    fn parts<'t>(&self, text: &'t [u8]) -> Vec<(u64, &'t [u8])> {
        // Where bytes are no text, nothing ends a sentence for sure.
        match std::str::from_utf8(text) {
            Ok(line) if self.reading.documents == Documents::Sentence => {
                let mut at = 0;
                let mut part = |sentence: &'t str| {
                    at += sentence.len();
                    ((at - sentence.len()) as u64, sentence.as_bytes())
                };
                sentences(line).into_iter().map(&mut part).collect()
            }
            _ => vec![(0, text)],
        }
    }

    /// Takes a document, which lies at `place` or has to be kept.
    fn document(
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
        if !self.is_wanted(&[kept]) {
            return Ok(());
        }
        let stretch = match place {
            Some((blob, at)) => Stretch {
                blob,
                offset: at + skipped as u64,
                length: kept.len() as u64,
            },
            None => self.keep(kept)?,
        };
        self.places.push(stretch);
        self.classes.push(class.map(str::to_owned));
        Ok(())
    }

    /// Takes a row of a table.
    pub(super) fn row(&mut self, row: Row<'_>) -> io::Result<()> {
        let Some(other) = row.other else {
            return self.document(row.text, None, row.class);
        };
        let [text, other] = [row.text, other].map(<[u8]>::trim_ascii);
        if text.is_empty() || other.is_empty() {
            self.counts.empty += 1;
            return Ok(());
        }
        let number = |score: &[u8]| std::str::from_utf8(score).ok()?.trim().parse::<f64>().ok();
        let score = row
            .score
            .map(|score| number(score).filter(|n| n.is_finite()));
        if score == Some(None) || (score.is_none() && !self.reading.score.is_empty()) {
            self.counts.scoreless += 1;
            return Ok(());
        }
        if !self.is_wanted(&[text, other]) {
            return Ok(());
        }
        let stretches = [self.keep(text)?, self.keep(other)?];
        self.places.push(stretches[0]);
        self.others.push(stretches[1]);
        self.scores.extend(score.flatten());
        self.classes.push(row.class.map(str::to_owned));
        Ok(())
    }

    /// Whether texts are to be taken, after a look at what is wrong with them.
    fn is_wanted(&mut self, texts: &[&[u8]]) -> bool {
        let mut hasher = DefaultHasher::new();
        for text in texts {
            self.look_for_damage(text);
            text.hash(&mut hasher);
        }
        if self.seen.insert(hasher.finish()) {
            return true;
        }
        self.counts.twice += 1;
        !self.reading.drop_duplicates
    }

    /// Counts stretches of bytes that are no UTF-8, each of which is read as one sign for that.
    pub(super) fn look_for_damage(&mut self, bytes: &[u8]) {
        if std::str::from_utf8(bytes).is_err() {
            let bad = |chunk: std::str::Utf8Chunk<'_>| usize::from(!chunk.invalid().is_empty());
            self.counts.damaged += bytes.utf8_chunks().map(bad).sum::<usize>();
        }
    }

    /// Keeps a text.
    fn keep(&mut self, text: &[u8]) -> io::Result<Stretch> {
        let offset = self.spill.length();
        self.spill.write_all(text)?;
        Ok(Stretch {
            blob: SPILLED,
            offset,
            length: text.len() as u64,
        })
    }

    /// Counts a row with another number of fields than the header.
    pub(super) fn ragged(&mut self) {
        self.counts.ragged += 1;
    }

    /// Whether texts were there and left out for want of a score.
    pub(super) fn left_out(&self) -> bool {
        self.counts.scoreless > 0
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
                None if counts.scoreless > 0 => format!(
                    "has no number in the column `{}` of scores",
                    self.reading.score
                ),
                None => "holds no text".to_owned(),
            };
            let error = Error::data(found)
                .at(root)
                .expected("at least one document that isn't empty");
            return Err(match counts.binary.is_empty() {
                true => error,
                false => error.mend("if it is text in UTF-16, write it as UTF-8"),
            });
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
            (counts.scoreless, "without a score and left out"),
            (
                counts.ragged,
                "of another number of fields than the header: texts without quotation marks end where fields do",
            ),
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
            scores: (!self.scores.is_empty()).then_some(self.scores),
            places: self.places,
            others: self.others,
            labels: layout::number(self.classes, None).filter(|labels| labels.classes.len() > 1),
            other_parts: choice.others,
            about,
        })
    }
}

/// Whether the last line of a text, from `line` on, is a heading ` = Title = ` after an empty one.
fn begins_article(text: &[u8], line: usize) -> bool {
    let (before, heading) = (&text[..line], text[line..].trim_ascii());
    let title = heading
        .strip_prefix(b"= ")
        .and_then(|rest| rest.strip_suffix(b" ="));
    let is_title = title.is_some_and(|title| !title.starts_with(b"=") && !title.ends_with(b"="));
    let empty = |line: &[u8]| line.trim_ascii().is_empty();
    let last = before.strip_suffix(b"\n").unwrap_or(before);
    is_title && line > 0 && last.rsplit(|&byte| byte == b'\n').next().is_none_or(empty)
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
