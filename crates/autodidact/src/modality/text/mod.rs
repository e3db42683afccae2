//! Text: documents, sentences, messages.

mod batch;
mod counts;
pub mod encoder;
mod generate;
mod letters;
mod pairs;
mod pieces;
mod published;
mod reading;
mod seams;
mod sentences;
pub mod source;
mod stretches;
mod views;
mod vocabulary;

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use burn::tensor::Device;
use rand::seq::SliceRandom;
use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use toml::Value;

use super::{
    Abilities, Draw, Likeness, Modality, Pieces, Pretext, Publication, Published, Raw, Rows,
    Sampling, Setting, Sheet, Source, SourceSpec, Symbols,
};
use crate::error::{Error, Result};
use crate::layers::Init;
use crate::layers::state::state_of;
use crate::random::{Purpose, stream};
use crate::recipe::Recipe;

pub use batch::TextBatch;
pub use encoder::{Family, Gelu, Pooling, Size, TextEncoder, TextNetwork};
pub use reading::{Documents, TextReading};
pub use views::{TextView, TextViews};
pub use vocabulary::Words;

/// The vocabulary's file beside the recipe, by the name that everybody looks for.
const VOCABULARY: &str = "tokenizer.json";
/// Bytes of text that a vocabulary is learned from, at most.
const LEARNED_FROM: usize = 64 << 20;
/// Documents whose length is measured.
const SURVEYED: usize = 2000;
/// Rows of a batch that is learned from are as long as the longest, up to a multiple of this.
const STEP: usize = 8;
/// Symbols of a text that a mean is made of, at most: as many as the longest view holds.
const LONGEST: usize = 8192;

/// A document, or a piece of several in a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Passage {
    /// Text as it was found.
    Document(Arc<str>),
    /// Two texts that are looked at together, such as a question and an answer.
    Pair(Arc<str>, Arc<str>),
    /// Symbols.
    Piece(Arc<[u32]>),
    /// Sentences in a row of the document of that number, as symbols.
    Sentences(u64, Arc<[Vec<u32>]>),
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

    /// Whether a text's vector is the mean of its symbols' own, so that it doesn't matter where they stand.
    fn averages(&self) -> bool {
        self.network.name == Family::Static
    }

    /// Symbols of a text that its undisturbed view holds, at most. A mean takes in all of them; other networks as many as
    /// they learned to see at once.
    fn longest(&self) -> usize {
        match self.averages() {
            true => LONGEST,
            false => self.views.length,
        }
    }
}

impl Modality for Texts {
    const NAME: &'static str = "text";
    const SUMMARY: &'static str = "documents, sentences: .txt, JSON Lines, CSV, TSV, Parquet, packed with gzip or zstd or not";
    const RAW: Raw = Raw::Counts;
    const ABLE: Abilities = Abilities {
        restores: true,
        predicts: true,
        compares: true,
        averages: true,
        pairs: true,
        ..Abilities::NONE
    };
    const RAGGED: bool = true;
    const USUAL: &'static [&'static str] = &["width", "normalize"];
    const ASKED: &'static [&'static str] = &["head"];
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
            Ok(Passage::Pair(first, second)) => Some(format!("{first}\n{second}")),
            _ => None,
        };
        // A part of the data speaks for all of it.
        let mut places: Vec<usize> = (0..count).collect();
        places.shuffle(&mut stream(from.seed, Purpose::Order, &[]));
        let mut left = LEARNED_FROM;
        let texts = places
            .iter()
            .filter_map(|&index| bytes(index))
            .map_while(|mut text| {
                if left == 0 {
                    return None;
                }
                let mut end = text.len().min(left);
                while !text.is_char_boundary(end) {
                    end -= 1;
                }
                left = if end < text.len() { 0 } else { left - end };
                text.truncate(end);
                Some(text)
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
        let places = network.positions;
        if network.name.has_places() && places > 0 && views.length > places {
            return Err(Error::recipe(format!(
                "views.length = {} with a network of {places} places",
                views.length
            ))
            .expected(format!("at most {places} symbols"))
            .mend(format!(
                "set views.length = {places}; of longer texts the beginning is taken"
            )));
        }
        let words = measured.words.as_ref().ok_or_else(|| {
            Error::run("no vocabulary").expected("tokenizer.json beside the run's recipe")
        })?;
        Ok(Self {
            views: views.clone(),
            // The recipe keeps what was said; from here on there are numbers.
            network: network.settled(),
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
        let cut = match self.views.pairs {
            true => stretches::stretches(source, indices, words, length, held_out, seed),
            false => {
                // A view from anywhere shows some symbols twice and some never in a pass: what only counts them wants each
                // once.
                let overlap = if self.averages() { 0 } else { length };
                pieces::pieces(source, indices, words, [length, overlap], held_out, seed)
            }
        };
        cut.map(Some)
    }

    fn views(&self, items: &[(u64, Passage)], draw: Draw) -> Result<Vec<Vec<TextView>>> {
        let (words, causal) = (&self.words, self.causal());
        let of_slot = |slot: usize| {
            let rng = |id| stream(draw.seed, Purpose::View, &[draw.epoch, id, slot as u64]);
            if self.views.pairs {
                return pairs::stretch_pairs(items, words, self.views.length, causal, rng);
            }
            let views = items.iter().map(|(id, passage)| {
                let mut rng = rng(*id);
                self.views.draw(passage, words, causal, &mut rng)
            });
            views.collect()
        };
        (0..self.slots()).map(of_slot).collect()
    }

    fn plain(&self, items: &[(u64, Passage)]) -> Result<Vec<TextView>> {
        let views = TextViews {
            length: self.longest(),
            ..self.views.clone()
        };
        let view = |(_, passage): &(u64, Passage)| views.plain(passage, &self.words, self.causal());
        items.par_iter().map(view).collect()
    }

    fn extent(view: &TextView) -> usize {
        view.ids.len()
    }

    fn shortened(&self, item: &Passage, plain: &TextView) -> bool {
        let length = self.longest();
        // What isn't full holds all there is.
        if plain.ids.len() < length {
            return false;
        }
        let encoded = |text: &str| self.words.encode(text).map_or(0, |ids| ids.len());
        // Of a book the beginning is enough to tell; to take in all of it takes seconds.
        let count = |text: &str| {
            let begun = views::beginning(text, length);
            match encoded(begun) {
                few if few < length && begun.len() < text.len() => encoded(text),
                found => found,
            }
        };
        let frame = if self.causal() { 1 } else { 2 };
        let of_pair = pairs::frame(&self.words, self.causal());
        match item {
            Passage::Document(text) => count(text) + frame > length,
            Passage::Pair(first, second) => count(first) + count(second) + of_pair > length,
            Passage::Piece(_) | Passage::Sentences(..) => false,
        }
    }

    fn collate(&self, views: &[TextView], rows: &Rows, device: &Device) -> Result<TextBatch> {
        let longest = views.iter().map(|view| view.ids.len()).max().unwrap_or(0);
        let dropout = views.first().and_then(|view| view.dropout);
        // Where nothing is learned there is no next step that could use the same memory.
        let step = if dropout.is_some() { STEP } else { 1 };
        // No place lies beyond those that the network has.
        let length = longest
            .next_multiple_of(step)
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
        let kinds: Option<Vec<u32>> = views.iter().any(|view| view.second.is_some()).then(|| {
            let of_view = |view: &TextView| {
                let second = view.second.unwrap_or(length);
                (0..length).map(move |place| u32::from(place >= second))
            };
            views.iter().flat_map(of_view).collect()
        });
        let batch = TextBatch::new(symbols, dropout, rows.clone(), device);
        Ok(match kinds {
            Some(kinds) => batch.of_pairs(&kinds, views.iter().map(|view| view.own).collect()),
            None => batch,
        })
    }

    /// Its words.
    fn counted(&self, item: &Passage) -> Vec<u64> {
        counts::counted(item)
    }

    fn halves(item: &Passage) -> Option<[Passage; 2]> {
        let Passage::Pair(first, second) = item else {
            return None;
        };
        Some([first, second].map(|text| Passage::Document(Arc::clone(text))))
    }

    fn encoder(&self, init: &mut Init) -> Result<TextEncoder> {
        let mut vocabulary = self.words.vocabulary();
        if self.averages() {
            vocabulary.parts = Arc::new(self.words.parts());
        }
        Ok(self.network.build(&vocabulary, self.views.length, init))
    }

    fn abilities(&self) -> Abilities {
        self.network.abilities()
    }

    fn published(folder: &Path) -> Result<Option<Published>> {
        published::published(folder)
    }

    /// The words that its vectors are for, and as many places as it learned.
    fn settled_by(run: &Recipe, folder: &Path) -> Vec<Setting> {
        let mut settled = Vec::new();
        let vocabulary = folder.join(VOCABULARY);
        if vocabulary.is_file() {
            let path = vocabulary.to_string_lossy().into_owned();
            settled.push(("data.reading.tokenizer", path.into()));
        }
        let places = run.value("encoder.positions").and_then(Value::as_integer);
        let length = run.value("views.length").and_then(Value::as_integer);
        let name = run.text("encoder", "name");
        let learned = ["bert", "gpt2"].map(Some).contains(&name);
        if let (true, Some(0), Some(length)) = (learned, places, length) {
            settled.push(("encoder.positions", length.into()));
        }
        settled
    }

    fn publication(&self, encoder: &TextEncoder) -> Result<Publication> {
        published::publication(&self.network, &self.views, &self.words, state_of(encoder))
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

    fn words(&self, item: &Passage, most: usize) -> Option<String> {
        let begins = |text: &str| -> String {
            let mut letters = text.trim().chars();
            let beginning: String = letters.by_ref().take(most).collect();
            match letters.next() {
                Some(_) => format!("{}…", beginning.trim_end()),
                None => beginning,
            }
        };
        Some(match item {
            Passage::Document(text) => begins(text),
            Passage::Pair(first, second) => format!("{} | {}", begins(first), begins(second)),
            Passage::Piece(ids) => begins(&self.words.decode(ids)),
            Passage::Sentences(_, sentences) => begins(&self.words.decode(&sentences.concat())),
        })
    }

    fn spelled(&self, batch: &TextBatch) -> Vec<String> {
        let rows = batch.symbols.ids.chunks(batch.symbols.length.max(1));
        rows.map(|ids| self.words.spell(ids)).collect()
    }

    fn generate(
        &self,
        encoder: &TextEncoder,
        beginning: &str,
        how: &Sampling,
        hear: &mut dyn FnMut(&str) -> bool,
    ) -> Result<()> {
        generate::generate(encoder, &self.words, &self.views, beginning, how, hear)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_longer_than_a_view_is_told_by_its_beginning() {
        let model = r#"{"type": "WordLevel", "unk_token": "[UNK]", "vocab": {"[SEP]": 0, "a": 1}}"#;
        let json = format!(
            r#"{{"version": "1.0", "added_tokens": [], "pre_tokenizer": {{"type": "WhitespaceSplit"}}, "model": {model}}}"#
        );
        let words = Words::parse(json.into_bytes()).unwrap();
        let measured = TextMeasurements {
            symbols: 2,
            length: 8,
            words: Some(Arc::new(words)),
        };
        let views = TextViews {
            length: 8,
            ..TextViews::default()
        };
        let texts = Texts::new(&views, &TextNetwork::default(), &measured).unwrap();
        let shortened = |text: String| {
            let item = Passage::Document(text.into());
            let plain = texts.plain(&[(0, item.clone())]).unwrap();
            texts.shortened(&item, &plain[0])
        };
        assert!(!shortened("a ".repeat(6)));
        assert!(shortened("a ".repeat(7)));
        // It has no symbol for the last word, which stands far behind what is looked at.
        assert!(shortened("a ".repeat(500) + "z"));
    }
}
