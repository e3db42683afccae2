//! Text: documents, sentences, messages.

mod batch;
pub mod encoder;
mod generate;
mod pieces;
mod reading;
pub mod source;
mod views;
mod vocabulary;

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use burn::tensor::Device;
use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use super::{
    Abilities, Draw, Likeness, Modality, Pieces, Pretext, Raw, Rows, Sampling, Sheet, Source,
    SourceSpec, Symbols,
};
use crate::error::{Error, Result};
use crate::layers::Init;
use crate::random::{Purpose, stream};

pub use batch::TextBatch;
pub use encoder::{Family, TextEncoder, TextNetwork};
pub use reading::{Documents, TextReading};
pub use views::{TextView, TextViews};
pub use vocabulary::Words;

/// The vocabulary's file beside the recipe, by the name that everybody looks for.
const VOCABULARY: &str = "tokenizer.json";
/// Bytes of text that a vocabulary is learned from, at most.
const LEARNED_FROM: usize = 64 << 20;
/// Documents whose length is measured.
const SURVEYED: usize = 2000;
/// Counts of words that stand for a text where nothing is learned.
const COUNTS: usize = 8192;
/// Rows of a batch are as long as the longest, up to a multiple of this.
const STEP: usize = 8;

/// A document, or a piece of several in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Passage {
    /// Text as it was found.
    Document(Arc<str>),
    /// Symbols.
    Piece(Arc<[u32]>),
}

/// Text, as a recipe wants it seen.
#[derive(Debug, Clone)]
pub struct Texts {
    views: TextViews,
    network: TextNetwork,
    words: Arc<Words>,
}

/// What was measured on the text before training; its vocabulary is a file beside the recipe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TextMeasurements {
    /// Symbols in the vocabulary.
    pub symbols: usize,
    /// Median length of the documents, in symbols.
    pub length: usize,
    #[serde(skip)]
    words: Option<Arc<Words>>,
}

impl Texts {
    fn causal(&self) -> bool {
        self.network.name.is_causal()
    }
}

impl Modality for Texts {
    const NAME: &'static str = "text";
    const SUMMARY: &'static str = "documents, sentences: .txt, JSON Lines, CSV, TSV, Parquet, packed with gzip or zstd or not";
    const RAW: Raw = Raw::Counts;
    type Item = Passage;
    type View = TextView;
    type Batch = TextBatch;
    type Encoder = TextEncoder;
    type Views = TextViews;
    type Network = TextNetwork;
    type Measured = TextMeasurements;

    fn recognizes(path: &Path) -> Likeness {
        source::looks_like_text(path)
    }

    fn open(from: &SourceSpec) -> Result<Box<dyn Source<Passage>>> {
        source::open(from)
    }

    fn measure(source: &dyn Source<Passage>, from: &SourceSpec) -> Result<TextMeasurements> {
        let reading = TextReading::of(from)?;
        let count = source.len();
        let bytes = |index: usize| match source.get(index) {
            Ok(Passage::Document(text)) => Some(text.to_string()),
            _ => None,
        };
        // A part of the data speaks for all of it.
        let mut places: Vec<usize> = (0..count).collect();
        places.shuffle(&mut stream(from.seed, Purpose::Order, &[]));
        let mut left = LEARNED_FROM;
        let texts = places
            .iter()
            .filter_map(|&index| bytes(index))
            .map_while(|text| {
                let room = left > 0;
                left = left.saturating_sub(text.len());
                room.then_some(text)
            });
        let words = Words::learn(&reading, texts)?;
        let looked = count.min(SURVEYED);
        let mut lengths = Vec::with_capacity(looked);
        for place in 0..looked {
            if let Some(text) = bytes(place * count / looked) {
                // Of a book only that it is long matters.
                let mut end = text.len().min(1 << 14);
                while !text.is_char_boundary(end) {
                    end -= 1;
                }
                lengths.push(words.encode(&text[..end])?.len());
            }
        }
        lengths.sort_unstable();
        let length = lengths.get(lengths.len() / 2).copied().unwrap_or(0);
        Ok(TextMeasurements {
            symbols: words.vocabulary().size,
            length,
            words: Some(Arc::new(words)),
        })
    }

    fn complete(
        mut measured: TextMeasurements,
        file: &dyn Fn(&str) -> Result<Vec<u8>>,
    ) -> Result<TextMeasurements> {
        if measured.words.is_none() {
            let words = Words::parse(file(VOCABULARY)?).map_err(|error| error.at(VOCABULARY))?;
            let found = words.vocabulary().size;
            if found != measured.symbols {
                return Err(Error::run(format!("{found} symbols"))
                    .at(VOCABULARY)
                    .expected(format!("{}, as the run was begun with", measured.symbols))
                    .mend("bring the run's own tokenizer.json back"));
            }
            measured.words = Some(Arc::new(words));
        }
        Ok(measured)
    }

    fn files(&self) -> Vec<(&'static str, Arc<Vec<u8>>)> {
        vec![(VOCABULARY, self.words.json())]
    }

    fn defaults(pretext: &Pretext, measured: &TextMeasurements) -> (TextViews, TextNetwork) {
        (
            TextViews::suiting(pretext, measured.length),
            TextNetwork::suiting(pretext.needs),
        )
    }

    fn new(views: &TextViews, network: &TextNetwork, measured: &TextMeasurements) -> Result<Self> {
        views.check()?;
        network.check()?;
        let words = measured.words.as_ref().ok_or_else(|| {
            Error::run("no vocabulary").expected("tokenizer.json beside the run's recipe")
        })?;
        Ok(Self {
            views: views.clone(),
            network: network.clone(),
            words: Arc::clone(words),
        })
    }

    fn one_view(&self) -> TextViews {
        self.views.whole()
    }

    fn slots(&self) -> usize {
        self.views.count
    }

    fn pieces(
        &self,
        source: &Arc<dyn Source<Passage>>,
        indices: &[usize],
        held_out: f64,
        seed: u64,
    ) -> Result<Option<Pieces<Passage>>> {
        if !self.views.pieces {
            return Ok(None);
        }
        let (words, length) = (&self.words, self.views.length);
        pieces::pieces(source, indices, words, length, held_out, seed).map(Some)
    }

    fn views(&self, items: &[(u64, Passage)], draw: Draw) -> Result<Vec<Vec<TextView>>> {
        let of_slot = |slot: usize| {
            items
                .iter()
                .map(|(id, passage)| {
                    let mut rng = stream(draw.seed, Purpose::View, &[draw.epoch, *id, slot as u64]);
                    self.views
                        .draw(passage, &self.words, self.causal(), &mut rng)
                })
                .collect()
        };
        (0..self.slots()).map(of_slot).collect()
    }

    fn plain(&self, items: &[(u64, Passage)]) -> Result<Vec<TextView>> {
        let view =
            |(_, passage): &(u64, Passage)| self.views.plain(passage, &self.words, self.causal());
        items.iter().map(view).collect()
    }

    fn collate(&self, views: &[TextView], rows: &Rows, device: &Device) -> Result<TextBatch> {
        let longest = views.iter().map(|view| view.ids.len()).max().unwrap_or(0);
        // No place lies beyond those that the network has.
        let length = longest
            .next_multiple_of(STEP)
            .min(self.views.length.max(longest));
        let count = views.len() * length;
        let mut symbols = Symbols {
            length,
            ids: Vec::with_capacity(count),
            next: Vec::with_capacity(count),
            documents: Vec::with_capacity(count),
        };
        for view in views {
            let padding = length - view.ids.len();
            symbols.ids.extend(&view.ids);
            symbols.ids.extend((0..padding).map(|_| self.words.padding));
            symbols
                .next
                .extend(view.ids.iter().skip(1).map(|&id| Some(id)));
            symbols
                .next
                .extend((!view.ids.is_empty()).then_some(view.next));
            symbols.next.extend((0..padding).map(|_| None));
            let mut document = 1;
            symbols
                .documents
                .extend(view.ids.iter().enumerate().map(|(place, &id)| {
                    // The end of a document begins the next, which it is the first symbol to be predicted from.
                    let parts = view.joined && self.views.separate && place > 0;
                    document += u32::from(parts && id == self.words.end);
                    document
                }));
            symbols.documents.extend((0..padding).map(|_| 0));
        }
        let dropout = views.first().and_then(|view| view.dropout);
        Ok(TextBatch::new(symbols, dropout, rows.clone(), device))
    }

    /// Counts of words and of pairs of them, by a hash of each.
    fn raw(&self, item: &Passage) -> Vec<f32> {
        let mut counts = vec![0f32; COUNTS];
        if let Passage::Document(text) = item {
            let lower = text.to_lowercase();
            let words: Vec<&str> = lower
                .split(|c: char| !c.is_alphanumeric())
                .filter(|word| !word.is_empty())
                .collect();
            let pairs = words.windows(2).map(bucket);
            for place in words.iter().map(|word| bucket(&[*word])).chain(pairs) {
                counts[place] += 1.0;
            }
        }
        counts
    }

    fn encoder(&self, init: &mut Init) -> Result<TextEncoder> {
        let vocabulary = self.words.vocabulary();
        Ok(self.network.build(&vocabulary, self.views.length, init))
    }

    fn abilities(&self) -> Abilities {
        self.network.abilities()
    }

    fn sheet(&self, items: &[(u64, Passage)], draw: Draw) -> Result<Sheet> {
        let views = self.views(items, draw)?;
        let mut lines = String::new();
        for (row, (id, _)) in items.iter().enumerate() {
            // Writing to a string can't fail.
            let _ = writeln!(lines, "document {id}");
            for slot in &views {
                let names: Vec<String> = slot[row]
                    .ids
                    .iter()
                    .map(|&id| self.words.name(id))
                    .collect();
                let _ = writeln!(lines, "  {}", names.join(" ").escape_debug());
            }
        }
        Ok(Sheet::Lines(lines))
    }

    fn generate(
        &self,
        encoder: &TextEncoder,
        beginning: &str,
        how: &Sampling,
        hear: &mut dyn FnMut(&str) -> bool,
    ) -> Result<()> {
        let length = self.views.length;
        generate::generate(encoder, &self.words, length, beginning, how, hear)
    }
}

/// The place of a word, or of words in a row, among the counts (FNV-1a, which is the same everywhere).
fn bucket(words: &[&str]) -> usize {
    let bytes = words.iter().flat_map(|word| word.bytes().chain([0]));
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash >> 20) as usize % COUNTS
}
