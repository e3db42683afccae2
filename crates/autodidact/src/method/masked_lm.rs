//! Masked language modeling: some symbols are hidden, and said again from what stands around them.
//!
//! Loss: −log p(xₜ | what is left of x), averaged over the hidden places of the batch. Which places are hidden is drawn
//! anew each time; of these, a part is replaced by the symbol for hidden ones, another by a random symbol, and the rest
//! is left as it is, so that the network has to say something of every place.
//!
//! Devlin et al., *BERT* (2018), google-research/bert, where 15 % are hidden, four fifths of them by the mask, a tenth at
//! random. Drawn anew for every view as Liu et al., *RoBERTa* (2019). Scores are computed for hidden places only.
//!
//! `autodidact pretrain DATA --method masked_lm`

use autodidact_kernels::cross_entropy;
use burn::module::Module;
use burn::tensor::{Int, Tensor, TensorData};
use rand::RngExt;
use serde::{Deserialize, Serialize};

use super::{Loss, Method, Objective, Optimizer, Step, Training, take, within, wordless};
use crate::error::{Error, Result};
use crate::layers::Init;
use crate::modality::{Change, Encoder, Maskable, Need, Pretext, Symbols, Vocabulary};
use crate::random::Rng;

/// The recipe's `[method]` for masked language modeling.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct MaskedLm {
    /// The part of the symbols that is hidden, above 0 to 1.
    pub rate: f64,
    /// The part of the hidden ones in whose place the mask stands, 0 to 1.
    pub masked: f64,
    /// The part of the hidden ones in whose place a random symbol stands, 0 to 1; the rest stays.
    pub random: f64,
}

impl Default for MaskedLm {
    fn default() -> Self {
        Self {
            rate: 0.15,
            masked: 0.8,
            random: 0.1,
        }
    }
}

impl Objective for MaskedLm {
    const NAME: &'static str = "masked_lm";
    const SUMMARY: &'static str = "hide some symbols and say them from what stands around";
    const SOURCE: &'static str =
        "Devlin et al. 2018 (BERT), arXiv 1810.04805, google-research/bert";
    type Method<E: Maskable> = MaskedLmMethod<E>;

    fn pretext(&self) -> Pretext {
        Pretext {
            views: 1,
            change: Change::Light,
            needs: Need::Replaced,
        }
    }

    fn training(&self) -> Training {
        Training {
            optimizer: Optimizer::Adamw,
            // 1e-3 for a batch of 32: small networks, minutes.
            learning_rate: 8e-3,
            weight_decay: 0.01,
        }
    }

    fn check(&self) -> Result<()> {
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

    fn build<E: Maskable>(&self, encoder: E, _: &mut Init) -> Result<MaskedLmMethod<E>> {
        encoder.symbolic().ok_or_else(|| wordless(Self::NAME))?;
        Ok(MaskedLmMethod {
            encoder,
            rate: self.rate,
            masked: self.masked,
            random: self.random,
        })
    }
}

/// An encoder that says what was hidden.
#[derive(Module, Debug)]
pub struct MaskedLmMethod<E: Encoder> {
    encoder: E,
    rate: f64,
    masked: f64,
    random: f64,
}

/// What was hidden of a batch.
#[derive(Debug, PartialEq, Eq)]
struct Hidden {
    /// All symbols, with others in the hidden places.
    ids: Vec<u32>,
    /// The hidden places, ascending.
    places: Vec<usize>,
    /// What stood there.
    targets: Vec<i64>,
}

impl MaskedLm {
    /// Draws what is hidden.
    fn hide(&self, symbols: &Symbols, vocabulary: &Vocabulary, rng: &mut Rng) -> Hidden {
        let mut hidden = Hidden {
            ids: symbols.ids.clone(),
            places: Vec::new(),
            targets: Vec::new(),
        };
        let mut candidates = Vec::new();
        for (place, &id) in symbols.ids.iter().enumerate() {
            if symbols.documents[place] == 0 || !vocabulary.is_data(id) {
                continue;
            }
            candidates.push(place);
            if rng.random::<f64>() < self.rate {
                hidden.places.push(place);
            }
        }
        // A batch of few symbols may have escaped altogether, and then there would be nothing to learn.
        if hidden.places.is_empty() && !candidates.is_empty() {
            hidden
                .places
                .push(candidates[rng.random_range(0..candidates.len())]);
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
        hidden
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

impl<E: Encoder> Method<E> for MaskedLmMethod<E> {
    type Carry = ();

    fn loss(&self, views: Vec<E::Batch>, at: &Step) -> Result<(Loss, ())> {
        let [batch]: [E::Batch; 1] = take(views, MaskedLm::NAME)?;
        let network = self
            .encoder
            .symbolic()
            .ok_or_else(|| wordless(MaskedLm::NAME))?;
        let settings = MaskedLm {
            rate: self.rate,
            masked: self.masked,
            random: self.random,
        };
        let (symbols, vocabulary) = (network.symbols(&batch), network.vocabulary());
        let hidden = settings.hide(symbols, &vocabulary, &mut at.rng());
        let count = hidden.places.len();
        if count == 0 {
            return Err(
                Error::training("a batch without a symbol that can be hidden")
                    .expected("text, and not only unknown symbols")
                    .mend("look at the views with `autodidact views`"),
            );
        }
        let tokens = self
            .encoder
            .tokens(&network.replaced(&batch, hidden.ids))
            .values;
        let scores = network.scores(tokens, &hidden.places);
        let targets = TensorData::new(hidden.targets, [count]);
        let targets = Tensor::<1, Int>::from_data(targets, &scores.device());
        Ok((
            Loss::new(cross_entropy(scores, targets, None)).over(count),
            (),
        ))
    }

    fn encoder(&self) -> &E {
        &self.encoder
    }

    fn into_encoder(self) -> E {
        self.encoder
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::toy::{Toy, ToyBatch};
    use super::*;
    use crate::layers::init::tests_device;
    use crate::modality::Symbolic;
    use crate::random::{Purpose, stream};

    fn vocabulary() -> Vocabulary {
        Vocabulary {
            size: 100,
            mask: 4,
            special: Arc::new(vec![0, 1, 2, 3, 4]),
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

    #[test]
    fn as_many_are_hidden_as_was_asked_for_and_neither_ends_nor_padding() {
        let symbols = symbols(20_000);
        let mut rng = stream(0, Purpose::Method, &[]);
        let hidden = MaskedLm::default().hide(&symbols, &vocabulary(), &mut rng);
        let near = |found: usize, expected: f64| {
            let spread = 4.0 * expected.sqrt();
            assert!(
                (found as f64 - expected).abs() < spread,
                "{found} beside {expected}"
            );
        };
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
    fn something_is_hidden_even_of_a_single_symbol_and_nothing_where_there_is_none() {
        for seed in 0..20 {
            let mut rng = stream(seed, Purpose::Method, &[]);
            let one = MaskedLm::default().hide(&symbols(1), &vocabulary(), &mut rng);
            assert_eq!((one.places, one.targets), (vec![1], vec![5]));
            let none = MaskedLm::default().hide(&symbols(0), &vocabulary(), &mut rng);
            assert!(none.places.is_empty());
        }
    }

    #[test]
    fn the_loss_is_the_mean_over_what_was_hidden_given_what_stands_there_now() {
        let device = tests_device();
        let toy = Toy::new(8, &device);
        let ids: Vec<u32> = (0..60).map(|place| 1 + place * place % 7).collect();
        let batch = ToyBatch::new(&ids);
        let settings = MaskedLm {
            rate: 0.4,
            ..MaskedLm::default()
        };
        let at = Step {
            number: 3,
            part: 0,
            progress: 0.0,
            seed: 1,
        };
        let hidden = settings.hide(&batch.symbols, &toy.vocabulary(), &mut at.rng());
        let costs = hidden.places.iter().zip(&hidden.targets);
        let costs = costs.map(|(&place, &target)| toy.cost(hidden.ids[place], target));
        let expected = costs.sum::<f64>() / hidden.places.len() as f64;
        let method = settings.build(toy, &mut Init::new(0, &device)).unwrap();
        let (loss, ()) = method.loss(vec![batch], &at).unwrap();
        let found = f64::from(loss.total.into_scalar::<f32>());
        assert!((found - expected).abs() < 1e-5, "{found} beside {expected}");
        assert_eq!(loss.predictions, Some(hidden.places.len() as u64));
    }

    #[test]
    fn parts_that_are_more_than_the_whole_are_refused() {
        let wrong = MaskedLm {
            masked: 0.8,
            random: 0.3,
            ..MaskedLm::default()
        };
        let error = wrong.check().unwrap_err().to_string();
        assert!(error.contains("0.8") && error.contains("0.3"), "{error}");
    }
}
