//! Going on from a beginning, symbol by symbol.

use burn::tensor::{Int, Tensor, TensorData};
use rand::RngExt;

use super::encoder::{Reader, TextEncoder};
use super::views::TextViews;
use super::vocabulary::Words;
use crate::error::{Error, Result};
use crate::layers::state::host;
use crate::modality::Sampling;
use crate::random::{Purpose, Rng, stream};

/// Goes on from a beginning until `hear` says no more, the end of a document comes, or as many symbols were drawn as were
/// asked for.
///
/// What was read is remembered, so that each symbol costs one pass over itself alone. When the network's length is
/// reached, the later half of it is read again and the rest forgotten.
///
/// # Errors
/// When the network doesn't predict, or the settings don't fit.
pub(super) fn generate(
    encoder: &TextEncoder,
    words: &Words,
    views: &TextViews,
    beginning: &str,
    how: &Sampling,
    hear: &mut dyn FnMut(&str) -> bool,
) -> Result<()> {
    check(how)?;
    let mut network = Reading::new(encoder, words, views)?;
    let mut rng = stream(how.seed, Purpose::Evaluation, &[]);
    let mut ids = words.encode(beginning)?;
    if ids.is_empty() && network.lead.is_none() {
        ids.push(words.end);
    }
    let mut told = Told::new(words, &ids, beginning);
    for _ in 0..how.symbols {
        let mut values = host(network.scores(&ids)?);
        for &special in words.vocabulary().special.iter() {
            if special != words.end {
                values[special as usize] = f32::NEG_INFINITY;
            }
        }
        let next = draw(&values, how, &mut rng);
        if next == words.end {
            break;
        }
        ids.push(next);
        let more = told.more(words, &ids);
        if !more.is_empty() && !hear(&more) {
            break;
        }
    }
    Ok(())
}

/// A network that reads symbols as the views were laid before it that it learned from.
struct Reading<'a> {
    encoder: &'a TextEncoder,
    reader: Reader<'a>,
    /// What every view began with; `None` where views began anywhere in a text.
    lead: Option<u32>,
    /// Symbols at once, at most.
    length: usize,
}

impl<'a> Reading<'a> {
    fn new(encoder: &'a TextEncoder, words: &Words, views: &TextViews) -> Result<Self> {
        Ok(Self {
            encoder,
            reader: encoder.reader()?,
            lead: (!views.pieces).then_some(words.end),
            length: views.length,
        })
    }

    /// The scores of what comes after symbols, `[1, vocabulary]`: of those that were asked about before with one more, or of
    /// the first that are asked about.
    fn scores(&mut self, ids: &[u32]) -> Result<Tensor<2>> {
        let read = self.reader.read();
        let new = if read == 0 {
            self.last(ids, self.length)
        } else if read < self.length {
            ids[ids.len().saturating_sub(1)..].to_vec()
        } else {
            self.reader = self.encoder.reader()?;
            self.last(ids, self.length / 2)
        };
        let device = burn::module::Module::devices(self.encoder)
            .into_iter()
            .next()
            .unwrap_or_default();
        let numbers: Vec<i64> = new.iter().map(|&id| i64::from(id)).collect();
        let data = TensorData::new(numbers, [1, new.len()]);
        let new = Tensor::<2, Int>::from_data(data, &device);
        Ok(self.reader.extend(new))
    }

    /// The last symbols, `most` of them with what stands before them.
    fn last(&self, ids: &[u32], most: usize) -> Vec<u32> {
        let room = most - usize::from(self.lead.is_some());
        let last = &ids[ids.len().saturating_sub(room)..];
        self.lead.iter().chain(last).copied().collect()
    }
}

/// What was told of symbols that go on. Whether a space stands before a symbol shows only beside the one before it, so a
/// few that were told are spelled again with each new one.
struct Told {
    /// The first symbol that is spelled again, and the first that wasn't told.
    from: usize,
    to: usize,
    /// Bytes of what is spelled again that were told.
    bytes: usize,
    /// Whether the beginning ends with a space that no symbol stands for.
    spaced: bool,
}

impl Told {
    /// All of the beginning was told, whose symbols these are.
    fn new(words: &Words, ids: &[u32], beginning: &str) -> Self {
        let text = words.decode(ids);
        Self {
            from: 0,
            to: ids.len(),
            bytes: text.len(),
            spaced: beginning.ends_with(' ') && !text.ends_with(' '),
        }
    }

    /// What is to be told now that there are more symbols: whole characters, as a symbol may be a part of one.
    fn more(&mut self, words: &Words, ids: &[u32]) -> String {
        let text = words.decode(&ids[self.from..]);
        let whole = text.trim_end_matches('\u{fffd}');
        let mut more = whole.get(self.bytes..).unwrap_or_default();
        if self.spaced && !more.is_empty() {
            more = more.strip_prefix(' ').unwrap_or(more);
            self.spaced = false;
        }
        self.bytes = self.bytes.max(whole.len());
        if whole.len() == text.len() {
            (self.from, self.to) = (self.to, ids.len());
            self.bytes = words.decode(&ids[self.from..]).len();
        }
        more.to_owned()
    }
}

fn check(how: &Sampling) -> Result<()> {
    let within = |key: &str, value: f64, low: f64, high: f64| {
        if value.is_finite() && (low..=high).contains(&value) {
            return Ok(());
        }
        Err(Error::recipe(format!("{key} {value}"))
            .expected(format!("a number from {low} to {high}")))
    };
    within("temperature", how.temperature, 0.0, 10.0)?;
    within("top-p", how.top_p, 1e-6, 1.0)
}

/// A symbol by its score (Holtzman et al. 2020 for `top_p`).
fn draw(scores: &[f32], how: &Sampling, rng: &mut Rng) -> u32 {
    let mut ranked: Vec<(f64, u32)> = scores
        .iter()
        .map(|&score| f64::from(score))
        .zip(0..)
        .collect();
    ranked.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    if how.temperature == 0.0 {
        return ranked[0].1;
    }
    if how.top_k > 0 {
        ranked.truncate(how.top_k);
    }
    let best = ranked[0].0;
    for (score, _) in &mut ranked {
        *score = ((*score - best) / how.temperature).exp();
    }
    let all: f64 = ranked.iter().map(|(weight, _)| weight).sum();
    let (mut sum, mut kept) = (0.0, 0);
    while kept < ranked.len() && (kept == 0 || sum < how.top_p * all) {
        sum += ranked[kept].0;
        kept += 1;
    }
    let mut left = rng.random::<f64>() * sum;
    for (weight, symbol) in &ranked[..kept] {
        left -= weight;
        if left < 0.0 {
            return *symbol;
        }
    }
    ranked[kept - 1].1
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use burn::module::Module;

    use super::super::Passage;
    use super::super::batch::TextBatch;
    use super::super::encoder::{Family, TextNetwork};
    use super::super::reading::TextReading;
    use super::*;
    use crate::layers::Init;
    use crate::layers::init::tests_device;
    use crate::modality::{Encoder, Rows, Symbolic, Symbols};

    /// What comes next is asked behind the very symbols that stood before it in views: an end first, where each view is a
    /// text of its own, and none where views are pieces of a stream.
    #[test]
    fn a_beginning_is_laid_before_the_network_as_views_were() {
        let reading = TextReading {
            tokenizer: "characters".to_owned(),
            ..TextReading::default()
        };
        let text = "the fox sees";
        let words = Words::learn(&reading, std::iter::once(text.to_owned())).unwrap();
        let ids = words.encode(text).unwrap();
        let device = tests_device().inner();
        for name in [Family::Gpt2, Family::ModernCausal] {
            let settings = TextNetwork {
                name,
                width: 16,
                depth: 2,
                heads: 2,
                ..TextNetwork::default()
            };
            let mut init = Init::new(1, &tests_device());
            let network = settings.build(&words.vocabulary(), 8, &mut init).valid();
            let at_once = |ids: &[u32]| {
                let symbols = Symbols {
                    length: ids.len(),
                    ids: ids.to_vec(),
                    next: vec![None; ids.len()],
                    documents: vec![1; ids.len()],
                };
                let batch = TextBatch::new(symbols, None, Rows::default(), &device);
                let tokens = network.tokens(&batch).values;
                host(network.scores(tokens, &[ids.len() - 1]))
            };
            for pieces in [false, true] {
                let views = TextViews {
                    pieces,
                    length: 8,
                    ..TextViews::default()
                };
                let passage = match pieces {
                    true => Passage::Piece(Arc::from(&ids[..5])),
                    false => Passage::Document("the f".into()),
                };
                let mut rng = stream(0, Purpose::View, &[]);
                let view = views.draw(&passage, &words, true, &mut rng).unwrap();
                assert_eq!(view.ids.len(), 5 + usize::from(!pieces));
                let mut reading = Reading::new(&network, &words, &views).unwrap();
                let mut near = |ids: &[u32], expected: &[u32]| {
                    let found = host(reading.scores(ids).unwrap());
                    for (found, expected) in found.iter().zip(at_once(expected)) {
                        assert!((found - expected).abs() < 2e-5, "{name:?} {pieces}");
                    }
                };
                near(&ids[..5], &view.ids);
                // A view is full with the seventh symbol or the eighth, and half of one is read again.
                for end in 6..=8 - usize::from(!pieces) {
                    near(&ids[..end], &[&view.ids[..], &ids[5..end]].concat());
                }
                match pieces {
                    true => near(&ids[..9], &ids[5..9]),
                    false => near(&ids[..8], &[&[words.end][..], &ids[5..8]].concat()),
                }
            }
        }
    }

    /// Whatever stands for spaces, what is told goes on with the beginning as the whole would be spelled.
    #[test]
    fn what_is_told_goes_on_with_the_beginning() {
        let text = "the singing fox costs 12 €, näive foxes sing";
        for kind in ["wordpiece", "bpe", "unigram", "characters"] {
            let reading = TextReading {
                tokenizer: kind.to_owned(),
                vocabulary: 300,
                ..TextReading::default()
            };
            let words = Words::learn(&reading, (0..20).map(|_| text.to_owned())).unwrap();
            let ids = words.encode(text).unwrap();
            let said = |given: usize, beginning: &str| {
                let mut told = Told::new(&words, &ids[..given], beginning);
                let mut said = beginning.to_owned();
                for end in given + 1..=ids.len() {
                    said += &told.more(&words, &ids[..end]);
                }
                said
            };
            let whole = words.decode(&ids);
            for given in 1..ids.len() {
                let beginning = words.decode(&ids[..given]);
                // Nobody begins with a part of a character.
                if !beginning.ends_with('\u{fffd}') {
                    assert_eq!(said(given, &beginning), whole, "{kind} {given}");
                }
            }
            if kind == "wordpiece" {
                let given = words.encode("the singing").unwrap().len();
                assert_eq!(said(given, "the singing "), whole);
            }
        }
    }

    fn drawn(how: Sampling) -> Vec<usize> {
        let scores = [0.1f32.ln(), 0.6f32.ln(), 0.3f32.ln()];
        let mut rng = stream(1, Purpose::Evaluation, &[]);
        let mut counts = vec![0; 3];
        for _ in 0..2000 {
            counts[draw(&scores, &how, &mut rng) as usize] += 1;
        }
        counts
    }

    #[test]
    fn symbols_are_drawn_as_their_scores_say() {
        let plain = drawn(Sampling::default());
        for (found, expected) in plain.iter().zip([200, 1200, 600]) {
            assert!(found.abs_diff(expected) < 90, "{plain:?}");
        }
        let top_k = Sampling {
            top_k: 2,
            ..Sampling::default()
        };
        assert_eq!(drawn(top_k)[0], 0);
        let top_p = Sampling {
            top_p: 0.5,
            ..Sampling::default()
        };
        assert_eq!(drawn(top_p), [0, 2000, 0]);
        let sure = Sampling {
            temperature: 0.0,
            ..Sampling::default()
        };
        assert_eq!(drawn(sure), [0, 2000, 0]);
        let cold = Sampling {
            temperature: 0.5,
            ..Sampling::default()
        };
        // Probabilities squared: 1 : 36 : 9.
        assert!(drawn(cold)[1].abs_diff(2000 * 36 / 46) < 90);
    }
}
