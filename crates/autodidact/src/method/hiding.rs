//! Symbols hidden by chance, to be said again: what the methods of hidden symbols share.

use std::ops::Range;

use rand::RngExt;

use super::within;
use crate::error::{Error, Result};
use crate::modality::{Symbols, Vocabulary};
use crate::random::Rng;

/// How much is hidden, and behind what.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Hiding {
    /// The part of the symbols that is hidden, above 0 to 1.
    pub(super) rate: f64,
    /// The part of the hidden ones in whose place the mask stands, 0 to 1.
    pub(super) masked: f64,
    /// The part of the hidden ones in whose place a random symbol stands, 0 to 1; the rest stays.
    pub(super) random: f64,
    /// Whether all symbols of a word are hidden, or none.
    pub(super) whole_words: bool,
}

/// What was hidden of a batch.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Hidden {
    /// All symbols, with others in the hidden places.
    pub(super) ids: Vec<u32>,
    /// The hidden places, ascending.
    pub(super) places: Vec<usize>,
    /// What stood there.
    pub(super) targets: Vec<i64>,
}

impl Hiding {
    /// Refuses parts that are none.
    ///
    /// # Errors
    /// Names the key, what it holds and what it may hold.
    pub(super) fn check(&self) -> Result<()> {
        within("rate", self.rate, 1e-3, 1.0)?;
        within("masked", self.masked, 0.0, 1.0)?;
        within("random", self.random, 0.0, 1.0)?;
        if self.masked + self.random > 1.0 + 1e-9 {
            return Err(Error::recipe(format!(
                "method.masked = {} and method.random = {}",
                self.masked, self.random
            ))
            .expected("parts of the hidden symbols, 1 together at most"));
        }
        Ok(())
    }

    /// Draws what is hidden.
    ///
    /// # Errors
    /// When there is nothing that could be.
    pub(super) fn hide(
        &self,
        symbols: &Symbols,
        vocabulary: &Vocabulary,
        rng: &mut Rng,
    ) -> Result<Hidden> {
        let mut hidden = Hidden {
            ids: symbols.ids.clone(),
            places: Vec::new(),
            targets: Vec::new(),
        };
        let units = self.units(symbols, vocabulary);
        for unit in &units {
            if rng.random::<f64>() < self.rate {
                hidden.places.extend(unit.clone());
            }
        }
        // A batch of few symbols may have escaped altogether, and then there would be nothing to learn.
        if hidden.places.is_empty() && !units.is_empty() {
            let unit = units[rng.random_range(0..units.len())].clone();
            hidden.places.extend(unit);
        }
        if hidden.places.is_empty() {
            return Err(
                Error::training("a batch without a symbol that can be hidden")
                    .expected("data, and not only unknown symbols")
                    .mend("look at the views with `autodidact views`"),
            );
        }
        for &place in &hidden.places {
            hidden.targets.push(i64::from(symbols.ids[place]));
            let chance = rng.random::<f64>();
            if chance < self.masked {
                hidden.ids[place] = vocabulary.mask;
            } else if chance < self.masked + self.random {
                hidden.ids[place] = any(vocabulary, rng);
            }
        }
        Ok(hidden)
    }

    /// What is hidden together, as stretches of places, ascending: single symbols that stand for data, or words of them.
    fn units(&self, symbols: &Symbols, vocabulary: &Vocabulary) -> Vec<Range<usize>> {
        let mut units: Vec<Range<usize>> = Vec::new();
        for (place, &id) in symbols.ids.iter().enumerate() {
            let document = symbols.documents[place];
            if document == 0 || !vocabulary.is_data(id) {
                continue;
            }
            let goes_on = |word: &Range<usize>| {
                word.end == place
                    && !place.is_multiple_of(symbols.length)
                    && symbols.documents[place - 1] == document
                    && vocabulary.goes_on(symbols.ids[place - 1], id)
            };
            match units.last_mut() {
                Some(word) if self.whole_words && goes_on(word) => word.end += 1,
                _ => units.push(place..place + 1),
            }
        }
        units
    }
}

/// A random symbol that stands for data; after some tries any.
fn any(vocabulary: &Vocabulary, rng: &mut Rng) -> u32 {
    let mut symbol = 0;
    for _ in 0..100 {
        symbol = rng.random_range(0..vocabulary.size as u32);
        if vocabulary.is_data(symbol) {
            break;
        }
    }
    symbol
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::modality::Seam;
    use crate::random::{Purpose, stream};

    const BERT: Hiding = Hiding {
        rate: 0.15,
        masked: 0.8,
        random: 0.1,
        whole_words: false,
    };

    /// Every third of the data's symbols begins a word, the others go on with one.
    fn vocabulary() -> Vocabulary {
        let seam = |symbol: u32| Seam {
            before: symbol >= 5 && symbol % 3 != 2,
            after: symbol >= 5,
        };
        Vocabulary {
            size: 100,
            mask: 4,
            special: Arc::new(vec![0, 1, 2, 3, 4]),
            seams: Arc::new((0..100).map(seam).collect()),
            parts: Arc::default(),
        }
    }

    /// Two begins and ends, `count` symbols between them, and padding.
    fn symbols(count: u32) -> Symbols {
        let inner = (0..count).map(|place| 5 + place % 95);
        let ids: Vec<u32> = [2].into_iter().chain(inner).chain([3, 7, 0]).collect();
        let mut documents = vec![1; ids.len()];
        documents[ids.len() - 2..].fill(0);
        Symbols {
            length: ids.len(),
            next: vec![None; ids.len()],
            documents,
            ids,
        }
    }

    fn near(found: usize, expected: f64) {
        let spread = 4.0 * expected.sqrt();
        assert!(
            (found as f64 - expected).abs() < spread,
            "{found} beside {expected}"
        );
    }

    #[test]
    fn as_many_are_hidden_as_was_asked_for_and_neither_ends_nor_padding() {
        let symbols = symbols(20_000);
        let mut rng = stream(0, Purpose::Method, &[]);
        let hidden = BERT.hide(&symbols, &vocabulary(), &mut rng).unwrap();
        near(hidden.places.len(), 3000.0);
        let (mut masked, mut kept) = (0, 0);
        for (&place, &target) in hidden.places.iter().zip(&hidden.targets) {
            assert!((1..=20_000).contains(&place));
            assert_eq!(i64::from(symbols.ids[place]), target);
            masked += usize::from(hidden.ids[place] == 4);
            kept += usize::from(hidden.ids[place] == symbols.ids[place]);
            assert!(hidden.ids[place] >= 4);
        }
        near(masked, 2400.0);
        // A tenth stays by the draw, and of the random ones one in 95.
        near(kept, 300.0 + 300.0 / 95.0);
        let untouched = (0..symbols.ids.len()).filter(|place| !hidden.places.contains(place));
        for place in untouched.step_by(97) {
            assert_eq!(hidden.ids[place], symbols.ids[place]);
        }
    }

    #[test]
    fn words_are_hidden_as_a_whole_or_not_at_all() {
        let whole = Hiding {
            whole_words: true,
            ..BERT
        };
        let mut symbols = symbols(9000);
        // Nine rows, and a document that ends within a word.
        symbols.ids.truncate(9000);
        symbols.documents.truncate(9000);
        symbols.length = 1000;
        symbols.documents[500..1000].fill(2);
        let vocabulary = vocabulary();
        let mut rng = stream(1, Purpose::Method, &[]);
        let hidden = whole.hide(&symbols, &vocabulary, &mut rng).unwrap();
        near(hidden.places.len(), 1350.0);
        let is_hidden = |place: usize| hidden.places.binary_search(&place).is_ok();
        let mut parted = 0;
        for place in 1..9000 {
            let one_word = vocabulary.goes_on(symbols.ids[place - 1], symbols.ids[place]);
            let ends = place % 1000 == 0 || place == 500;
            if one_word && !ends {
                assert_eq!(is_hidden(place - 1), is_hidden(place), "{place}");
            }
            parted += usize::from(one_word && ends && is_hidden(place - 1) != is_hidden(place));
        }
        // What only looks like a word, over the end of a row or a document, is parted where chance will have it.
        assert!(parted > 0);
    }

    #[test]
    fn something_is_hidden_even_of_a_single_symbol_and_nothing_where_there_is_none() {
        for seed in 0..20 {
            let mut rng = stream(seed, Purpose::Method, &[]);
            let one = BERT.hide(&symbols(1), &vocabulary(), &mut rng).unwrap();
            assert_eq!((one.places, one.targets), (vec![1], vec![5]));
            assert!(BERT.hide(&symbols(0), &vocabulary(), &mut rng).is_err());
        }
    }
}
