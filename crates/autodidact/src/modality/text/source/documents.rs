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
        let mut bytes = vec![0; place.length as usize];
        self.blobs[place.blob as usize]
            .read_at(place.offset, &mut bytes)
            .at_path(&self.origin(index).shown)?;
        let text = match String::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => String::from_utf8_lossy(error.as_bytes()).into_owned(),
        };
        Ok(Passage::Document(text.into()))
    }

    fn labels(&self) -> Option<&Labels> {
        self.labels.as_ref()
    }

    fn other_parts(&self) -> &[Part] {
        &self.other_parts
    }

    fn advice(&self) -> Option<&'static str> {
        Some(
            "a text file is one document: set data.reading.documents to line or paragraph, or take a method that goes \
             through all text in pieces, such as masked_lm or causal_lm",
        )
    }

    fn describe(&self) -> String {
        let classes = match &self.labels {
            Some(labels) => format!("{} classes", labels.classes.len()),
            None => "no labels".to_owned(),
        };
        let bytes: u64 = self.places.iter().map(|place| place.length).sum();
        let documents = match self.places.len() {
            1 => "1 document".to_owned(),
            n => format!("{n} documents"),
        };
        format!(
            "{documents}, {classes}, {:.1} MB of text: {}",
            bytes as f64 / 1e6,
            self.about
        )
    }
}
