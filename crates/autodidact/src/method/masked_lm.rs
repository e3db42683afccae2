//! Masked language modeling: some symbols are hidden, and said again from what stands around them.
//!
//! Loss: −log p(xₜ | what is left of x), averaged over the hidden places of the batch. Which places are hidden is drawn
//! anew each time; of these, a part is replaced by the symbol for hidden ones, another by a random symbol, and the rest
//! is left as it is, so that the network has to say something of every place. `whole_words` hides all symbols of a word
//! together. With `next_sentence` that many times the loss of [`super::next_sentence`] is added, after BERT.
//!
//! Devlin et al., *BERT* (2018), google-research/bert, where 15 % are hidden, four fifths of them by the mask, a tenth at
//! random. Drawn anew for every view as Liu et al., *RoBERTa* (2019), who also leave the next sentence out, as is the
//! default here. Scores are computed for hidden places only.
//!
//! `autodidact pretrain DATA --method masked_lm`

use autodidact_kernels::cross_entropy;
use burn::module::Module;
use burn::tensor::{Int, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::hiding::Hiding;
use super::next_sentence::{self, Follows};
use super::{Loss, Method, Objective, Restored, Step, Training, take, within, wordless};
use crate::error::Result;
use crate::layers::Init;
use crate::layers::state::host;
use crate::modality::{Change, Encoder, Maskable, Need, Pretext};

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
    /// Whether all symbols of a word are hidden, or none.
    pub whole_words: bool,
    /// The weight of the loss of whether two stretches follow each other, 0 (none) to 100; in BERT 1. In minutes half of
    /// that tells what follows as well and leaves more to the symbols.
    pub next_sentence: f64,
}

impl Default for MaskedLm {
    fn default() -> Self {
        Self {
            rate: 0.15,
            masked: 0.8,
            random: 0.1,
            whole_words: false,
            next_sentence: 0.0,
        }
    }
}

impl MaskedLm {
    fn hiding(&self) -> Hiding {
        Hiding {
            rate: self.rate,
            masked: self.masked,
            random: self.random,
            whole_words: self.whole_words,
        }
    }
}

impl Objective for MaskedLm {
    const NAME: &'static str = "masked_lm";
    const SUMMARY: &'static str = "hide some symbols and say them from what stands around";
    const SOURCE: &'static str =
        "Devlin et al. 2018 (BERT), arXiv 1810.04805, google-research/bert";
    const NEEDS: Need = Need::Replaced;
    type Method<E: Maskable> = MaskedLmMethod<E>;

    fn pretext(&self) -> Pretext {
        let change = match self.next_sentence > 0.0 {
            true => Change::Paired,
            false => Change::Light,
        };
        Pretext::new(1, change, Self::NEEDS)
    }

    fn training(&self) -> Training {
        // For small networks and minutes.
        Training::adamw(1e-3, 0.01).for_batch(32)
    }

    fn check(&self) -> Result<()> {
        within("next_sentence", self.next_sentence, 0.0, 100.0)?;
        self.hiding().check()
    }

    fn build<E: Maskable>(&self, encoder: E, init: &mut Init) -> Result<MaskedLmMethod<E>> {
        encoder.symbolic().ok_or_else(|| wordless(Self::NAME))?;
        let follows = (self.next_sentence > 0.0).then(|| Follows::new(encoder.dim(), init));
        Ok(MaskedLmMethod {
            encoder,
            follows,
            hiding: self.hiding(),
            next_sentence: self.next_sentence,
        })
    }
}

/// An encoder that says what was hidden.
#[derive(Module, Debug)]
pub struct MaskedLmMethod<E: Encoder> {
    encoder: E,
    follows: Option<Follows>,
    #[module(skip)]
    hiding: Hiding,
    next_sentence: f64,
}

impl<E: Encoder> Method<E> for MaskedLmMethod<E> {
    type Carry = ();

    fn loss(&self, views: Vec<E::Batch>, at: &Step) -> Result<(Loss, ())> {
        let [batch]: [E::Batch; 1] = take(views, MaskedLm::NAME)?;
        let network = self
            .encoder
            .symbolic()
            .ok_or_else(|| wordless(MaskedLm::NAME))?;
        let (symbols, vocabulary) = (network.symbols(&batch), network.vocabulary());
        let hidden = self.hiding.hide(symbols, &vocabulary, &mut at.rng())?;
        let count = hidden.places.len();
        let tokens = self.encoder.tokens(&network.replaced(&batch, hidden.ids));
        let scores = network.scores(tokens.values.clone(), &hidden.places);
        let targets = TensorData::new(hidden.targets, [count]);
        let targets = Tensor::<1, Int>::from_data(targets, &scores.device());
        let symbols = cross_entropy(scores, targets, None);
        let Some(follows) = &self.follows else {
            return Ok((Loss::new(symbols).over(count), ()));
        };
        let (stretches, labels) = next_sentence::asked(&batch)?;
        let (next, right) = follows.loss(tokens, stretches, labels);
        let total = symbols.clone() + next.clone().mul_scalar(self.next_sentence);
        let loss = Loss::new(total)
            .part("symbols", &symbols)
            .part("next_sentence", &next)
            .part("next_sentence_accuracy", &right);
        Ok((loss.of_symbols(&symbols).over(count), ()))
    }

    fn restored(&self, views: Vec<E::Batch>, at: &Step) -> Result<Option<Restored<E::Batch>>> {
        let [batch]: [E::Batch; 1] = take(views, MaskedLm::NAME)?;
        let network = self
            .encoder
            .symbolic()
            .ok_or_else(|| wordless(MaskedLm::NAME))?;
        let (symbols, vocabulary) = (network.symbols(&batch), network.vocabulary());
        let all = Hiding {
            masked: 1.0,
            random: 0.0,
            ..self.hiding
        };
        let hidden = all.hide(symbols, &vocabulary, &mut at.rng())?;
        let given = network.replaced(&batch, hidden.ids);
        let tokens = self.encoder.tokens(&given).values;
        let scores = host(network.scores(tokens, &hidden.places));
        let mut ids = symbols.ids.clone();
        for (scores, place) in scores.chunks(vocabulary.size).zip(hidden.places) {
            let said = (0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b]));
            ids[place] = said.unwrap_or(0) as u32;
        }
        let restored = network.replaced(&batch, ids);
        Ok(Some(Restored { given, restored }))
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
    use super::super::toy::{Toy, ToyBatch};
    use super::*;
    use crate::layers::init::tests_device;
    use crate::modality::Symbolic;

    const AT: Step = Step {
        number: 3,
        part: 0,
        progress: 0.0,
        seed: 1,
    };

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
        let hidden = settings
            .hiding()
            .hide(&batch.symbols, &toy.vocabulary(), &mut AT.rng())
            .unwrap();
        let costs = hidden.places.iter().zip(&hidden.targets);
        let costs = costs.map(|(&place, &target)| toy.cost(hidden.ids[place], target));
        let expected = costs.sum::<f64>() / hidden.places.len() as f64;
        let method = settings.build(toy, &mut Init::new(0, &device)).unwrap();
        let (loss, ()) = method.loss(vec![batch], &AT).unwrap();
        let found = f64::from(loss.total.into_scalar::<f32>());
        assert!((found - expected).abs() < 1e-5, "{found} beside {expected}");
        assert_eq!(loss.predictions, Some(hidden.places.len() as u64));
    }

    /// Both losses on one pass, and the likelihood of the symbols is that of the symbols alone.
    #[test]
    fn what_follows_is_added_with_its_weight() {
        let device = tests_device();
        let ids: Vec<u32> = (0..60).map(|place| 1 + place * place % 7).collect();
        let alone = MaskedLm::default()
            .build(Toy::new(8, &device), &mut Init::new(0, &device))
            .unwrap();
        let scalar = |tensor: &Tensor<1>| f64::from(tensor.clone().into_scalar::<f32>());
        let (loss, ()) = alone.loss(vec![ToyBatch::new(&ids)], &AT).unwrap();
        let symbols = scalar(&loss.total);
        let settings = MaskedLm {
            next_sentence: 0.5,
            ..MaskedLm::default()
        };
        assert_eq!(settings.pretext().change, Change::Paired);
        let both = settings
            .build(Toy::new(8, &device), &mut Init::new(0, &device))
            .unwrap();
        let batch = ToyBatch::new(&ids).of_stretches(1, &device);
        let (loss, ()) = both.loss(vec![batch], &AT).unwrap();
        let parts: Vec<f64> = loss.parts.iter().map(|(_, part)| scalar(part)).collect();
        assert!((parts[0] - symbols).abs() < 1e-6);
        assert!((scalar(&loss.total) - symbols - 0.5 * parts[1]).abs() < 1e-6);
        assert!((scalar(&loss.symbols.unwrap()) - symbols).abs() < 1e-6);
        // Weights of deviation 0.02 have hardly an opinion.
        assert!((parts[1] - 2f64.ln()).abs() < 0.05, "{}", parts[1]);
        let error = both.loss(vec![ToyBatch::new(&ids)], &AT).unwrap_err();
        assert!(error.to_string().contains("next_sentence"), "{error}");
    }

    #[test]
    fn what_was_hidden_is_filled_in_with_what_is_likeliest() {
        let device = tests_device();
        let toy = Toy::new(8, &device);
        // The toy says of every hidden place what the row of the mask says.
        let row = host(toy.table.val())[..8].to_vec();
        let likeliest = (0..8).max_by(|&a, &b| row[a].total_cmp(&row[b])).unwrap() as u32;
        let method = MaskedLm::default()
            .build(toy, &mut Init::new(0, &device))
            .unwrap();
        let ids: Vec<u32> = (0..60).map(|place| 1 + place * place % 7).collect();
        let found = method
            .restored(vec![ToyBatch::new(&ids)], &AT)
            .unwrap()
            .unwrap();
        let (given, restored) = (&found.given.symbols.ids, &found.restored.symbols.ids);
        assert!(given.contains(&0));
        for place in 0..60 {
            match given[place] {
                0 => assert_eq!(restored[place], likeliest),
                _ => assert_eq!([given[place], restored[place]], [ids[place]; 2]),
            }
        }
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
