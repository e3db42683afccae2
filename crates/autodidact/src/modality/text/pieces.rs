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
/// From this part of the bytes on people are told that the vocabulary has no symbols for them.
const TOLD: f64 = 1e-3;

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
/// Pieces to learn from hold `overlap` symbols of the next: as many as a view is long, so that views begin anywhere, or none,
/// so that they show every symbol once, as those held out do. What a symbol
/// stands for in bytes is told of known ones alone: to foresee that something unknown comes is cheap, however long it is.
///
/// # Errors
/// When no document can be read.
pub(super) fn pieces(
    source: &Arc<dyn Source<Passage>>,
    indices: &[usize],
    words: &Words,
    [length, overlap]: [usize; 2],
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
    let mut left_out = LeftOut::default();
    let (mut bytes, mut known) = (0usize, 0usize);
    for (chunk, held) in indices.chunks(AT_ONCE).zip(held.chunks(AT_ONCE)) {
        let encode = |&index: &usize| encoded(&source.get(index)?, words);
        let documents: Vec<Result<Encoded>> = chunk.par_iter().map(encode).collect();
        for (document, held) in documents.into_iter().zip(held) {
            if let Some(document) = left_out.or(document) {
                bytes += document.bytes;
                known += document.known;
                let stream = if *held { &mut aside } else { &mut learned };
                // A single document has no neighbor to be parted from.
                let end = (indices.len() > 1).then_some(words.end);
                stream.add(end, &document.ids, document.known)?;
            }
        }
    }
    let (learned, aside) = (learned.finish()?, aside.finish()?);
    let mut about = left_out.told(indices.len(), source.describe())?;
    let unknown = 1.0 - known as f64 / bytes.max(1) as f64;
    if bytes > 0 && unknown >= TOLD {
        about.push_str(&format!(
            "; the vocabulary has no symbol for {:.1} % of the bytes, which bits a byte leave out",
            100.0 * unknown
        ));
    }
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
            cut(&learned, 0, learned.count, overlap),
            cut(&aside, 0, aside.count, 0),
            aside.bytes_per_symbol(),
        )
    } else {
        let kept = learned.count - (learned.count as f64 * held_out).round() as u64;
        (
            cut(&learned, 0, kept, overlap),
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

/// A document as symbols.
#[derive(Default)]
struct Encoded {
    ids: Vec<u32>,
    /// Its bytes, and those of them that the vocabulary has symbols for.
    bytes: usize,
    known: usize,
}

fn encoded(passage: &Passage, words: &Words) -> Result<Encoded> {
    let texts = match passage {
        Passage::Document(text) => vec![text],
        Passage::Pair(first, second) => vec![first, second],
        Passage::Piece(ids) => {
            return Ok(Encoded {
                ids: ids.to_vec(),
                ..Encoded::default()
            });
        }
        Passage::Sentences(_, sentences) => {
            return Ok(Encoded {
                ids: sentences.concat(),
                ..Encoded::default()
            });
        }
    };
    let mut all = Encoded::default();
    for text in texts {
        let (ids, known) = words.encode_known(text)?;
        all.ids.extend(ids);
        all.bytes += text.len();
        all.known += known;
    }
    Ok(all)
}

/// Documents of which no symbols could be made.
#[derive(Default)]
pub(super) struct LeftOut {
    count: usize,
    /// What was wrong with the first.
    why: Option<Error>,
}

impl LeftOut {
    /// What was made of a document, or else it is one of those.
    pub(super) fn or<T>(&mut self, made: Result<T>) -> Option<T> {
        match made {
            Ok(made) => Some(made),
            Err(error) => {
                self.count += 1;
                self.why.get_or_insert(error);
                None
            }
        }
    }

    /// What there is to say about a source of so many documents, with how many were left out.
    ///
    /// # Errors
    /// When that is all of them.
    pub(super) fn told(self, documents: usize, about: String) -> Result<String> {
        match self.why {
            None => Ok(about),
            Some(why) if self.count >= documents => Err(why),
            Some(why) => Ok(format!(
                "{about}; {} of {documents} documents left out, the first for this: {why}",
                self.count
            )),
        }
    }
}

/// Symbols one after the other, and how many bytes of text they stand for.
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    struct Texts(Vec<String>);

    impl Source<Passage> for Texts {
        fn len(&self) -> usize {
            self.0.len()
        }

        fn name(&self, index: usize) -> String {
            index.to_string()
        }

        fn get(&self, index: usize) -> Result<Passage> {
            Ok(Passage::Document(self.0[index].as_str().into()))
        }

        fn labels(&self) -> Option<&Labels> {
            None
        }

        fn other_parts(&self) -> &[Part] {
            &[]
        }

        fn describe(&self) -> String {
            "texts".to_owned()
        }
    }

    /// Words between spaces, by these numbers.
    fn words(numbers: &str) -> Words {
        let model = format!(
            r#"{{"type": "WordLevel", "unk_token": "[UNK]", "vocab": {{"[SEP]": 0, {numbers}}}}}"#
        );
        let json = format!(
            r#"{{"version": "1.0", "added_tokens": [], "pre_tokenizer": {{"type": "WhitespaceSplit"}}, "model": {model}}}"#
        );
        Words::parse(json.into_bytes()).unwrap()
    }

    fn cut(texts: Vec<String>, words: &Words) -> Result<Pieces<Passage>> {
        let indices: Vec<usize> = (0..texts.len()).collect();
        let source: Arc<dyn Source<Passage>> = Arc::new(Texts(texts));
        pieces(&source, &indices, words, [8, 8], 0.25, 0)
    }

    fn symbols(of: &dyn Source<Passage>) -> Vec<Arc<[u32]>> {
        let piece = |index| match of.get(index).unwrap() {
            Passage::Piece(ids) => ids,
            other => unreachable!("{other:?} among pieces"),
        };
        (0..of.len()).map(piece).collect()
    }

    /// Bits a byte would else be the better, the more of the text a vocabulary knows nothing of.
    #[test]
    fn bytes_without_a_symbol_of_their_own_do_not_count() {
        let text = vec!["a zzzzz ".repeat(40)];
        let found = cut(text.clone(), &words(r#""[UNK]": 1, "a": 2"#)).unwrap();
        // Of eight bytes for two symbols, five are behind the one for what is unknown.
        assert!((found.bytes_per_symbol - 1.5).abs() < 1e-12);
        let about = found.learned.describe();
        assert!(
            about.contains("no symbol for 62.5 % of the bytes"),
            "{about}"
        );
        let found = cut(text, &words(r#""[UNK]": 1, "a": 2, "zzzzz": 3"#)).unwrap();
        assert!((found.bytes_per_symbol - 4.0).abs() < 1e-12);
        let about = found.learned.describe();
        assert!(!about.contains("no symbol"), "{about}");
    }

    #[test]
    fn whole_documents_are_held_out_and_each_of_their_symbols_is_asked_for_once() {
        let numbers: Vec<String> = (1..=40).map(|n| format!("\"w{n}\": {n}")).collect();
        let text = |n: usize| format!("w{n} ").repeat(20);
        let words = words(&numbers.join(", "));
        let found = cut((1..=40).map(text).collect(), &words).unwrap();
        let documents = |of: &dyn Source<Passage>| -> BTreeSet<u32> {
            let pieces = symbols(of);
            let ids = pieces.iter().flat_map(|ids| ids.iter().copied());
            ids.filter(|&id| id != words.end).collect()
        };
        let learned = documents(found.learned.as_ref());
        let held_out = documents(found.held_out.as_ref());
        assert_eq!((learned.len(), held_out.len()), (30, 10));
        assert!(learned.is_disjoint(&held_out));
        let asked = symbols(found.held_out.as_ref());
        let asked: usize = asked.iter().map(|ids| ids.len() - 1).sum();
        // Twenty symbols and an end of ten documents, but for the first of all.
        assert_eq!(asked, 209);
    }

    #[test]
    fn pieces_that_do_not_overlap_hold_each_symbol_once() {
        let words = words(r#""a": 1, "b": 2"#);
        let texts = vec!["a b ".repeat(100)];
        let source: Arc<dyn Source<Passage>> = Arc::new(Texts(texts));
        let found = pieces(&source, &[0], &words, [8, 0], 0.0, 0).unwrap();
        let pieces = symbols(found.learned.as_ref());
        assert_eq!(pieces.len(), 25);
        // Each has one more, which is what comes next.
        let seen: usize = pieces.iter().map(|ids| ids.len().min(8)).sum();
        assert_eq!(seen, 200);
    }

    #[test]
    fn documents_that_the_tokenizer_cannot_take_in_are_counted() {
        let words = words(r#""a": 1"#);
        let texts = ["a ".repeat(40), "z".to_owned()].to_vec();
        let about = cut(texts, &words).unwrap().learned.describe();
        assert!(about.contains("1 of 2 documents left out"), "{about}");
        let error = cut(vec!["z".to_owned()], &words).err().unwrap();
        assert!(error.to_string().contains("can't take in"), "{error}");
    }
}
