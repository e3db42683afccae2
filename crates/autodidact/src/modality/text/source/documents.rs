//! Documents by their places.

use std::path::Path;
use std::sync::Arc;

use crate::error::{AtPath, Error, Result};
use crate::modality::source::storage::Blob;
use crate::modality::source::{Labels, Part, Source};
use crate::modality::text::Passage;

/// Documents, their classes, and what was found out about them.
pub struct DocumentSet {
    pub(super) blobs: Vec<Arc<Blob>>,
    pub(super) files: Vec<Origin>,
    pub(super) places: Vec<Stretch>,
    /// The second texts of pairs, as many as there are places, or none at all.
    pub(super) others: Vec<Stretch>,
    /// How alike the texts of each pair are.
    pub(super) scores: Option<Vec<f64>>,
    pub(super) labels: Option<Labels>,
    pub(super) other_parts: Vec<Part>,
    pub(super) about: String,
}

/// A file that documents come from.
pub(super) struct Origin {
    /// Its name, with which those of its documents begin.
    pub(super) name: String,
    /// What people are told.
    pub(super) shown: String,
    /// The first of its documents.
    pub(super) first: usize,
    /// Whether it is one document as a whole.
    pub(super) whole: bool,
}

/// Where a document lies.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stretch {
    pub(super) blob: u32,
    pub(super) offset: u64,
    pub(super) length: u64,
}

impl DocumentSet {
    /// Takes labels that the user brings along.
    pub(super) fn label(&mut self, labels: Labels, from: &Path, unmatched: usize) {
        self.labels = Some(labels);
        self.about
            .push_str(&format!("; labels from {}", from.display()));
        if unmatched > 0 {
            self.about
                .push_str(&format!(", {unmatched} rows of which match no item"));
        }
    }

    /// The text at a place, of the document of that number.
    fn text(&self, index: usize, place: Stretch) -> Result<Arc<str>> {
        let mut bytes = vec![0; place.length as usize];
        self.blobs[place.blob as usize]
            .read_at(place.offset, &mut bytes)
            .at_path(&self.origin(index).shown)?;
        let text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        };
        Ok(text.into())
    }

    fn origin(&self, index: usize) -> &Origin {
        let after = self.files.partition_point(|file| file.first <= index);
        &self.files[after.saturating_sub(1)]
    }
}

impl Source<Passage> for DocumentSet {
    fn len(&self) -> usize {
        self.places.len()
    }

    fn name(&self, index: usize) -> String {
        let origin = self.origin(index);
        if origin.whole {
            origin.name.clone()
        } else {
            format!("{}/{:05}", origin.name, index - origin.first)
        }
    }

    fn get(&self, index: usize) -> Result<Passage> {
        let place = self
            .places
            .get(index)
            .ok_or_else(|| Error::data(format!("there is no document {index}")))?;
        let text = self.text(index, *place)?;
        Ok(match self.others.get(index) {
            Some(other) => Passage::Pair(text, self.text(index, *other)?),
            None => Passage::Document(text),
        })
    }

    fn scores(&self) -> Option<&[f64]> {
        self.scores.as_deref()
    }

    fn labels(&self) -> Option<&Labels> {
        self.labels.as_ref()
    }

    fn other_parts(&self) -> &[Part] {
        &self.other_parts
    }

    fn advice(&self) -> Option<&'static str> {
        Some(
            "a text file is one document: set data.reading.documents to line, paragraph or article, or take a method that goes \
             through all text in pieces, such as masked_lm or causal_lm",
        )
    }

    fn describe(&self) -> String {
        let classes = match &self.labels {
            Some(labels) => format!("{} classes", labels.classes.len()),
            None => "no labels".to_owned(),
        };
        let places = self.places.iter().chain(&self.others);
        let bytes: u64 = places.map(|place| place.length).sum();
        let what = if self.others.is_empty() {
            "document"
        } else {
            "pair"
        };
        let documents = match self.places.len() {
            1 => format!("1 {what}"),
            n => format!("{n} {what}s"),
        };
        let scored = if self.scores.is_some() {
            "with scores, "
        } else {
            ""
        };
        format!(
            "{documents}, {scored}{classes}, {:.1} MB of text: {}",
            bytes as f64 / 1e6,
            self.about
        )
    }
}
