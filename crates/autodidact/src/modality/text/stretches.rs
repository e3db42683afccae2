//! Documents as stretches of their sentences: what views of two texts that follow each other are cut from.

use std::sync::Arc;

use rand::seq::SliceRandom;
use rayon::prelude::*;

use super::Passage;
use super::pieces::{LeftOut, MANY, Stream, read_symbols};
use super::sentences::sentences;
use super::vocabulary::Words;
use crate::error::{Error, Result};
use crate::modality::source::storage::Blob;
use crate::modality::{Labels, Part, Pieces, Source};
use crate::random::{Purpose, stream};

/// As long as so many views a stretch is, about, so that a view may begin at one of several sentences.
const VIEWS: u64 = 3;
/// Documents that are held out at the least, where whole ones are: of one alone, every second text follows.
const HELD_OUT: usize = 4;
/// Documents that are turned into symbols together.
const AT_ONCE: usize = 64;

/// Sentences in a row of one document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stretch {
    /// The first sentence, and the one after the last.
    from: usize,
    to: usize,
    document: u64,
}

/// Stretches of many documents.
struct Stretches {
    symbols: Arc<Blob>,
    /// Where each sentence begins, in symbols, and where the last ends.
    starts: Arc<Vec<u64>>,
    stretches: Vec<Stretch>,
    about: String,
}

/// Cuts the documents at `indices` into stretches of sentences, for views of `length` symbols. Whole documents are held
/// out or, where there are few, the end of each.
///
/// # Errors
/// When fewer than two documents have several sentences: half of the views take their second text from another document.
pub(super) fn stretches(
    source: &Arc<dyn Source<Passage>>,
    indices: &[usize],
    words: &Words,
    length: usize,
    held_out: f64,
    seed: u64,
) -> Result<Pieces<Passage>> {
    let mut symbols = Stream::new();
    let (mut starts, mut documents) = (vec![0u64], Vec::new());
    let mut left_out = LeftOut::default();
    for chunk in indices.chunks(AT_ONCE) {
        let read = |&index: &usize| sentences_of(&source.get(index)?, words, length);
        let read: Vec<Result<Vec<Vec<u32>>>> = chunk.par_iter().map(read).collect();
        let read = read.into_iter().filter_map(|read| left_out.or(read));
        for sentences in read.filter(|of| of.len() > 1) {
            let first = starts.len() - 1;
            for sentence in &sentences {
                symbols.add(None, sentence, 0)?;
                starts.push(symbols.count);
            }
            let number = documents.len() as u64;
            documents.push(cut(&starts, first, VIEWS * length as u64, number));
        }
    }
    let about = left_out.told(indices.len(), source.describe())?;
    if documents.len() < 2 {
        let found = match documents.len() {
            1 => "1 document of several sentences",
            _ => "no document of several sentences",
        };
        return Err(Error::data(found)
            .expected("2 at least: half of the pairs take their second text from another document")
            .mend("set data.reading.documents to article, paragraph or line"));
    }
    let (learned, aside) = part(documents, held_out, seed);
    let (symbols, starts) = (symbols.finish()?.symbols, Arc::new(starts));
    let of = |stretches| Stretches {
        symbols: Arc::clone(&symbols),
        starts: Arc::clone(&starts),
        stretches,
        about: about.clone(),
    };
    Ok(Pieces {
        learned: Arc::new(of(learned)),
        held_out: Arc::new(of(aside)),
        bytes_per_symbol: 0.0,
    })
}

/// The sentences of a passage as symbols, the longest no longer than a view.
pub(super) fn sentences_of(
    passage: &Passage,
    words: &Words,
    length: usize,
) -> Result<Vec<Vec<u32>>> {
    let texts = match passage {
        Passage::Document(text) => vec![text],
        Passage::Pair(first, second) => vec![first, second],
        Passage::Piece(ids) => return Ok(ids.chunks(length).map(<[u32]>::to_vec).collect()),
        Passage::Sentences(_, sentences) => return Ok(sentences.to_vec()),
    };
    let mut found = Vec::new();
    for sentence in texts.into_iter().flat_map(|text| sentences(text)) {
        let ids = words.encode(sentence)?;
        found.extend(ids.chunks(length).map(<[u32]>::to_vec));
    }
    Ok(found)
}

/// Cuts the sentences from number `first` on into stretches of `long` symbols at the least, but for what is left.
fn cut(starts: &[u64], first: usize, long: u64, document: u64) -> Vec<Stretch> {
    let last = starts.len() - 1;
    let (mut found, mut from) = (Vec::new(), first);
    while from < last {
        let enough = |&to: &usize| starts[to] - starts[from] >= long;
        let mut to = (from + 2..last).find(enough).unwrap_or(last);
        // A sentence that is left alone has none that follows.
        if last - to == 1 {
            to = last;
        }
        found.push(Stretch { from, to, document });
        from = to;
    }
    found
}

/// Those to learn from and those held out.
fn part(documents: Vec<Vec<Stretch>>, held_out: f64, seed: u64) -> (Vec<Stretch>, Vec<Stretch>) {
    let count = documents.len();
    let mut held = vec![false; count];
    if count >= MANY {
        let mut order: Vec<usize> = (0..count).collect();
        order.shuffle(&mut stream(seed, Purpose::Split, &[]));
        let aside = match (count as f64 * held_out).round() as usize {
            aside if held_out > 0.0 => aside.max(HELD_OUT),
            _ => 0,
        };
        order[..aside].iter().for_each(|&place| held[place] = true);
    }
    let (mut learned, mut aside) = (Vec::new(), Vec::new());
    for (stretches, held) in documents.into_iter().zip(held) {
        let kept = match (held, count >= MANY) {
            (true, _) => 0,
            (false, true) => stretches.len(),
            (false, false) => {
                stretches.len() - (stretches.len() as f64 * held_out).round() as usize
            }
        };
        learned.extend(&stretches[..kept]);
        aside.extend(&stretches[kept..]);
    }
    // What is learned from is shuffled by whoever learns; these are taken in their order, and neighbors would be of one
    // document.
    aside.shuffle(&mut stream(seed, Purpose::Split, &[1]));
    (learned, aside)
}

impl Source<Passage> for Stretches {
    fn len(&self) -> usize {
        self.stretches.len()
    }

    fn name(&self, index: usize) -> String {
        format!("stretch {index}")
    }

    fn get(&self, index: usize) -> Result<Passage> {
        let of = self
            .stretches
            .get(index)
            .ok_or_else(|| Error::data(format!("there is no stretch {index}")))?;
        let starts = &self.starts[of.from..=of.to];
        let ids = read_symbols(&self.symbols, starts[0], starts[starts.len() - 1])?;
        let sentence = |ends: &[u64]| {
            let [from, to] = [ends[0], ends[1]].map(|end| (end - starts[0]) as usize);
            ids[from..to].to_vec()
        };
        let sentences = starts.windows(2).map(sentence).collect();
        Ok(Passage::Sentences(of.document, sentences))
    }

    fn labels(&self) -> Option<&Labels> {
        None
    }

    fn other_parts(&self) -> &[Part] {
        &[]
    }

    fn describe(&self) -> String {
        let sentences: usize = self.stretches.iter().map(|of| of.to - of.from).sum();
        format!(
            "{}; {sentences} sentences in {} stretches",
            self.about,
            self.len()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_hold_every_sentence_once_and_two_at_least() {
        // Sentences of 10, 20 and 30 symbols, in turn.
        let mut starts = vec![0u64];
        for sentence in 0..40u64 {
            starts.push(starts[sentence as usize] + 10 * (1 + sentence % 3));
        }
        for first in 0..38 {
            let found = cut(&starts, first, 100, 7);
            assert_eq!((found[0].from, found[found.len() - 1].to), (first, 40));
            assert!(found.windows(2).all(|pair| pair[0].to == pair[1].from));
            for of in &found {
                let long = starts[of.to] - starts[of.from];
                assert!(of.to - of.from > 1 && long <= 150, "{of:?}");
                assert!(long >= 100 || of.to == 40);
            }
        }
    }

    #[test]
    fn whole_documents_are_held_out_and_of_few_the_ends() {
        let of = |document: u64| -> Vec<Stretch> {
            let stretch = |n: usize| Stretch {
                from: 2 * n,
                to: 2 * n + 2,
                document,
            };
            (0..10).map(stretch).collect()
        };
        let (learned, aside) = part((0..50).map(of).collect(), 0.1, 3);
        assert_eq!((learned.len(), aside.len()), (450, 50));
        let learned_from = |document| learned.iter().any(|of| of.document == document);
        assert!(aside.iter().all(|of| !learned_from(of.document)));
        // A document alone has no strangers, so it is held out with others.
        let (_, aside) = part((0..50).map(of).collect(), 0.02, 3);
        assert_eq!(aside.len(), 40);
        let (_, aside) = part((0..50).map(of).collect(), 0.0, 3);
        assert!(aside.is_empty());
        let (learned, aside) = part((0..3).map(of).collect(), 0.2, 3);
        assert_eq!((learned.len(), aside.len()), (24, 6));
        assert!(aside.iter().all(|of| of.from >= 16));
    }
}
