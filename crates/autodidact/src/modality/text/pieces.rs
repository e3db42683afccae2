//! Documents joined into one stream of symbols, and cut into pieces as long as views.

use std::io::Write;
use std::sync::Arc;

use rand::seq::SliceRandom;
use rayon::prelude::*;

use super::Passage;
use super::vocabulary::Words;
use crate::error::{Error, Result};
use crate::modality::source::storage::{Blob, Spill};
use crate::modality::{Labels, Part, Pieces, Source};
use crate::random::{Purpose, stream};

/// From so many documents on, whole ones are held out; of fewer, the end of the last.
pub(super) const MANY: usize = 20;
/// Symbols that are kept in memory; more go to a nameless temporary file.
const IN_MEMORY: u64 = 2 << 30;
/// Documents that are turned into symbols together.
const AT_ONCE: usize = 256;
/// Bytes of a symbol.
const WIDTH: usize = 4;

/// A stretch of a stream of symbols, cut.
struct Cut {
    blob: Arc<Blob>,
    /// The first symbol, and the one after the last.
    from: u64,
    to: u64,
    length: usize,
    /// Symbols that the next piece holds as well, so that a view may begin anywhere.
    overlap: usize,
    about: String,
}

/// Joins the documents at `indices` and cuts them into pieces for views of `length` symbols.
///
/// Pieces to learn from overlap, so that views begin anywhere; those held out don't, and hold every symbol once.
///
/// # Errors
/// When no document can be read.
pub(super) fn pieces(
    source: &Arc<dyn Source<Passage>>,
    indices: &[usize],
    words: &Words,
    length: usize,
    held_out: f64,
    seed: u64,
) -> Result<Pieces<Passage>> {
    let by_document = indices.len() >= MANY;
    let mut held = vec![false; indices.len()];
    if by_document {
        let mut order: Vec<usize> = (0..indices.len()).collect();
        order.shuffle(&mut stream(seed, Purpose::Split, &[]));
        let count = (indices.len() as f64 * held_out).round() as usize;
        order[..count].iter().for_each(|&place| held[place] = true);
    }
    let mut learned = Stream::new();
    let mut aside = Stream::new();
    for (chunk, held) in indices.chunks(AT_ONCE).zip(held.chunks(AT_ONCE)) {
        let encoded: Vec<Result<(usize, Vec<u32>)>> = chunk
            .par_iter()
            .map(|&index| match source.get(index)? {
                Passage::Document(text) => Ok((text.len(), words.encode(&text)?)),
                Passage::Pair(first, second) => {
                    let both = [words.encode(&first)?, words.encode(&second)?];
                    Ok((first.len() + second.len(), both.concat()))
                }
                Passage::Piece(ids) => Ok((0, ids.to_vec())),
                Passage::Sentences(_, sentences) => Ok((0, sentences.concat())),
            })
            .collect();
        for (encoded, held) in encoded.into_iter().zip(held) {
            // A document that can't be read was counted when the source was opened.
            if let Ok((bytes, ids)) = encoded {
                let stream = if *held { &mut aside } else { &mut learned };
                // A single document has no neighbor to be parted from.
                let end = (indices.len() > 1).then_some(words.end);
                stream.add(end, &ids, bytes)?;
            }
        }
    }
    let (learned, aside) = (learned.finish()?, aside.finish()?);
    let about = source.describe();
    let cut = |stream: &Stream<Arc<Blob>>, from, to, overlap| Cut {
        blob: Arc::clone(&stream.symbols),
        from,
        to,
        length,
        overlap,
        about: about.clone(),
    };
    let (learned, held_out, bytes_per_symbol) = if by_document {
        (
            cut(&learned, 0, learned.count, length),
            cut(&aside, 0, aside.count, 0),
            aside.bytes_per_symbol(),
        )
    } else {
        let kept = learned.count - (learned.count as f64 * held_out).round() as u64;
        (
            cut(&learned, 0, kept, length),
            cut(&learned, kept, learned.count, 0),
            learned.bytes_per_symbol(),
        )
    };
    Ok(Pieces {
        learned: Arc::new(learned),
        held_out: Arc::new(held_out),
        bytes_per_symbol,
    })
}

/// Symbols one after the other, and how many bytes of text they came from.
pub(super) struct Stream<S> {
    pub(super) symbols: S,
    pub(super) count: u64,
    bytes: u64,
}

impl Stream<Spill> {
    pub(super) fn new() -> Self {
        Self {
            symbols: Spill::new(IN_MEMORY),
            count: 0,
            bytes: 0,
        }
    }

    pub(super) fn add(&mut self, end: Option<u32>, ids: &[u32], bytes: usize) -> Result<()> {
        let packed: Vec<u8> = (end.iter().chain(ids))
            .flat_map(|id| id.to_le_bytes())
            .collect();
        self.symbols.write_all(&packed).map_err(no_room)?;
        self.count += (packed.len() / WIDTH) as u64;
        self.bytes += bytes as u64;
        Ok(())
    }

    pub(super) fn finish(self) -> Result<Stream<Arc<Blob>>> {
        Ok(Stream {
            symbols: Arc::new(self.symbols.finish().map_err(no_room)?),
            count: self.count,
            bytes: self.bytes,
        })
    }
}

impl<S> Stream<S> {
    fn bytes_per_symbol(&self) -> f64 {
        self.bytes as f64 / self.count.max(1) as f64
    }
}

/// The symbols of a stream from a place to another.
pub(super) fn read_symbols(symbols: &Blob, from: u64, to: u64) -> Result<Vec<u32>> {
    let mut bytes = vec![0; to.saturating_sub(from) as usize * WIDTH];
    symbols
        .read_at(from * WIDTH as u64, &mut bytes)
        .map_err(no_room)?;
    let ids = bytes.as_chunks().0.iter().map(|&id| u32::from_le_bytes(id));
    Ok(ids.collect())
}

fn no_room(error: std::io::Error) -> Error {
    Error::io(std::env::temp_dir(), error)
        .mend("make room there, or name another place with the environment variable TMPDIR")
}

impl Source<Passage> for Cut {
    fn len(&self) -> usize {
        // The first symbol of the stream is predicted by none.
        let asked = (self.to - self.from).saturating_sub(1) as usize;
        match self.overlap {
            0 => asked.div_ceil(self.length),
            _ => asked / self.length,
        }
    }

    fn name(&self, index: usize) -> String {
        format!("piece {index}")
    }

    fn get(&self, index: usize) -> Result<Passage> {
        let from = self.from + (index * self.length) as u64;
        let to = (from + (self.length + 1 + self.overlap) as u64).min(self.to);
        Ok(Passage::Piece(read_symbols(&self.blob, from, to)?.into()))
    }

    fn labels(&self) -> Option<&Labels> {
        None
    }

    fn other_parts(&self) -> &[Part] {
        &[]
    }

    fn describe(&self) -> String {
        format!(
            "{}; {} symbols in {} pieces of {}",
            self.about,
            self.to - self.from,
            self.len(),
            self.length
        )
    }
}
