//! A vector for each symbol, from which symbols stand together and what they are made of, in closed form (PPMI and LSA).
//!
//! An item's vector is the mean of its symbols' own. Steps only count, document by document, with x how often each symbol
//! stands in one and |x| how many that are:
//!
//! ```text
//! company = Σ x xᵀ / |x|
//! ```
//!
//! Now and then, and at the end, two tables of vectors are solved for. One knows what symbols are made of, such
//! as runs of letters: with W their parts, each weighed by how rare it is, it is W·P with P the leading axes of
//! Wᵀ·company·W, which is latent semantic analysis over parts in place of words; it is solved for among symbols, which are
//! mostly fewer than parts. The other knows company alone: the leading axes of
//!
//! ```text
//! max(0, ln(company(i, j) / (r(i) · c(j)))),   r(i) = Σⱼ company(i, j),   c ∝ r^context
//! ```
//!
//! each row weighed by a / (a + p) with p the part of all symbols that are this one. Both are scaled so that a document's vector
//! is as long by either, and stand side by side. Symbols that stand for no data get vectors of zeros. Nothing is learned by
//! gradient, and one pass over the data is all there is to learn from.
//!
//! Levy & Goldberg 2014 (PPMI), Deerwester et al. 1990 (LSA), Arora, Liang & Ma 2017 (the weights; princeton-nlp/SIF),
//! Bojanowski et al. 2017, arXiv 1607.04606 (parts; facebookresearch/fastText). What is theirs is each of the parts; that they
//! are joined so is this project's.
//!
//! `autodidact pretrain DATA --method ppmi`

mod counts;
mod tables;

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use serde::{Deserialize, Serialize};

use super::spectral::spectral_loss;
use super::{Loss, Method, Objective, Step, Training, positive, take, within, wordless};
use crate::error::{Error, Result};
use crate::layers::Init;
use crate::layers::state::{changed, host, replaced};
use crate::modality::{Encoder, Maskable, Need, Symbols, Vocabulary};

use counts::{Bag, bags, count_parts, count_symbols, keep_company, pairs, parts_of};
use tables::{Counts, vectors};

/// Symbols, at most: of 16,384 the pairs fill half a gigabyte.
const MOST: usize = 1 << 14;
/// Places of each half of a row that the loss looks at, at most: it is for people, and steps are to be cheap.
const LOOKED_AT: usize = 16;

/// The recipe's `[method]` for vectors by counts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Ppmi {
    /// How often a symbol is met by chance goes by how often it occurs, to this power, 0 to 1: below 1 rare company counts less.
    pub context: f64,
    /// The part of a vector that comes from what symbols are made of, 0 to 1; the rest comes from their company alone.
    pub share: f64,
    /// How rare each part of a symbol is, to this power, is its weight, 0 to 4.
    pub rarity: f64,
    /// Rounds of subspace iteration.
    pub rounds: usize,
}

impl Default for Ppmi {
    fn default() -> Self {
        Self {
            context: 0.75,
            share: 0.667,
            rarity: 1.0,
            rounds: 4,
        }
    }
}

impl Objective for Ppmi {
    const NAME: &'static str = "ppmi";
    const SUMMARY: &'static str =
        "symbols' vectors by their company and their parts, in closed form: one pass, no gradients";
    const SOURCE: &'static str = "Levy & Goldberg 2014; Deerwester et al. 1990; Arora et al. 2017; \
                                  Bojanowski et al. 2017, arXiv 1607.04606; this project";
    const NEEDS: Need = Need::Averages;
    type Method<E: Maskable> = PpmiMethod<E>;

    fn training(&self) -> Training {
        Training::none()
    }

    /// Counts are the same in batches of any size; what doesn't fill the last one isn't counted.
    fn batch(&self) -> Option<usize> {
        Some(32)
    }

    fn epochs(&self) -> Option<f64> {
        Some(1.0)
    }

    fn check(&self) -> Result<()> {
        within("context", self.context, 0.0, 1.0)?;
        within("share", self.share, 0.0, 1.0)?;
        within("rarity", self.rarity, 0.0, 4.0)?;
        positive("rounds", self.rounds)
    }

    fn build<E: Maskable>(&self, encoder: E, init: &mut Init) -> Result<PpmiMethod<E>> {
        let network = encoder.symbolic().ok_or_else(|| wordless(Self::NAME))?;
        let vocabulary = network.vocabulary();
        let size = vocabulary.size;
        if size > MOST {
            return Err(Error::recipe(format!(
                "{size} symbols for ppmi, which counts each pair of them"
            ))
            .expected(format!("at most {MOST}"))
            .mend("set data.reading.vocabulary = 8192"));
        }
        let parts = parts_of(&vocabulary);
        let highest = parts.iter().flatten().max();
        let parts = highest.map_or(1, |highest| *highest as usize + 1);
        let nothing = |count| init.constant([count], 0.0).set_require_grad(false);
        Ok(PpmiMethod {
            documents: nothing(1),
            solved: nothing(1),
            occurrences: nothing(size),
            having: nothing(parts),
            company: nothing(pairs(size)),
            settings: self.clone(),
            // Vectors are solved for and not stepped toward.
            encoder: encoder.no_grad(),
        })
    }
}

/// An encoder, and what was counted.
#[derive(Module, Debug)]
pub struct PpmiMethod<E: Encoder> {
    encoder: E,
    /// Documents seen, `[1]`.
    documents: Param<Tensor<1>>,
    /// How many of them there were when vectors were last solved for, `[1]`.
    solved: Param<Tensor<1>>,
    /// How often each symbol occurs, `[symbols]`.
    occurrences: Param<Tensor<1>>,
    /// How many documents have each part of a symbol, `[parts]`.
    having: Param<Tensor<1>>,
    /// The company of pairs i ≤ j, row by row, `[symbols · (symbols + 1) / 2]`: the other half is the same.
    company: Param<Tensor<1>>,
    #[module(skip)]
    settings: Ppmi,
}

impl<E: Encoder> Method<E> for PpmiMethod<E> {
    type Carry = Bags;

    fn loss(&self, views: Vec<E::Batch>, _: &Step) -> Result<(Loss, Bags)> {
        let [batch]: [E::Batch; 1] = take(views, Ppmi::NAME)?;
        let network = self
            .encoder
            .symbolic()
            .ok_or_else(|| wordless(Ppmi::NAME))?;
        let (symbols, vocabulary) = (network.symbols(&batch), network.vocabulary());
        let [z, other] = halves(symbols, &vocabulary)
            .map(|keep| self.encoder.encode(&network.kept(&batch, &keep)));
        Ok((spectral_loss(z, other), Bags(bags(symbols, &vocabulary))))
    }

    /// Costs as many additions as there are pairs of symbols in documents. Of 8,192 symbols the pairs fill 134 MB, which are
    /// changed where they are.
    fn after_step(self, carries: Vec<Bags>, _: &Step) -> Self {
        let Some(vocabulary) = self.encoder.symbolic().map(|network| network.vocabulary()) else {
            return self;
        };
        let bags: Vec<Bag> = carries.into_iter().flat_map(|Bags(bags)| bags).collect();
        let parts = parts_of(&vocabulary);
        Self {
            documents: changed(self.documents, |count| count[0] += bags.len() as f32),
            occurrences: changed(self.occurrences, |counts| count_symbols(counts, &bags)),
            having: changed(self.having, |counts| count_parts(counts, &bags, &parts)),
            company: changed(self.company, |sums| {
                keep_company(sums, vocabulary.size, &bags);
            }),
            ..self
        }
    }

    fn settled(self, at: &Step) -> Result<Self> {
        let documents = host(self.documents.val());
        if documents == host(self.solved.val()) {
            return Ok(self);
        }
        let network = self
            .encoder
            .symbolic()
            .ok_or_else(|| wordless(Ppmi::NAME))?;
        let vectors = vectors(
            &Counts {
                documents: f64::from(documents[0]),
                occurrences: &host(self.occurrences.val()),
                having: &host(self.having.val()),
                company: &host(self.company.val()),
            },
            &network.vocabulary(),
            self.encoder.dim(),
            &self.settings,
            &self.company.val().device(),
            &mut at.rng(),
        )?;
        Ok(Self {
            encoder: self.encoder.with_symbol_vectors(vectors)?,
            solved: replaced(self.solved, documents),
            ..self
        })
    }

    fn settling_cost(&self) -> f64 {
        // A round costs 2·n² operations for each of the vector's dimensions and some to spare; what else it does is a small
        // part of that. An item takes as long to count and to look at as some twenty million of them.
        let symbols = self.occurrences.dims()[0] as f64;
        let columns = 1.25 * self.encoder.dim() as f64;
        let rounds = (self.settings.rounds + 1) as f64;
        2.0 * symbols * symbols * columns * rounds / 2e7
    }

    fn encoder(&self) -> &E {
        &self.encoder
    }

    fn into_encoder(self) -> E {
        self.encoder
    }
}

/// The documents of a batch, in the symbols that each holds.
#[derive(Debug, Clone)]
pub struct Bags(Vec<Bag>);

/// Which places of each row make up its first half and which its second: of those that hold data, some evenly over either.
fn halves(symbols: &Symbols, vocabulary: &Vocabulary) -> [Vec<bool>; 2] {
    let mut halves = [(); 2].map(|()| vec![false; symbols.ids.len()]);
    let data =
        |place: &usize| symbols.documents[*place] > 0 && vocabulary.is_data(symbols.ids[*place]);
    let length = symbols.length.max(1);
    for row in (0..symbols.ids.len()).step_by(length) {
        let places: Vec<usize> = (row..row + length).filter(data).collect();
        let (first, second) = places.split_at(places.len().div_ceil(2));
        for (half, places) in halves.iter_mut().zip([first, second]) {
            let step = places.len().div_ceil(LOOKED_AT).max(1);
            for &place in places.iter().step_by(step) {
                half[place] = true;
            }
        }
    }
    halves
}

#[cfg(test)]
mod tests;
