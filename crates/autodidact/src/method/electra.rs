//! ELECTRA: a small network says hidden symbols again, and the one that is kept tells which symbols of the result were
//! replaced.
//!
//! Loss: L_G + λ · L_D. L_G is the generator's −log p(xₜ | what is left of x), averaged over the hidden places. There x̃ₜ is
//! then drawn from what the generator says, and L_D is the discriminator's binary cross-entropy of whether x̃ₜ ≠ xₜ,
//! averaged over all places that are no padding: it learns from every symbol, not from a part of them. No gradient goes
//! through the draw. λ is 50.
//!
//! Clark, Luong, Le & Manning, *ELECTRA* (2020, arXiv 2003.10555); official code: google-research/electra. Differs: the
//! generator has symbol vectors of its own, a quarter as wide as it is, where the published one shares the
//! discriminator's by way of a projection.
//!
//! `autodidact pretrain DATA --method electra`

use autodidact_kernels::{Activation, cross_entropy, softmax};
use burn::module::Module;
use burn::tensor::{Int, Tensor, TensorData};
use rand::RngExt;
use serde::{Deserialize, Serialize};

use super::hiding::Hiding;
use super::{Loss, Method, Objective, Step, Training, positive, take, within, wordless};
use crate::error::Result;
use crate::layers::state::host;
use crate::layers::{Init, Linear};
use crate::modality::{Encoder, Maskable, Need, Symbols};
use crate::random::Rng;

/// Deviation of initial weights, as published.
const DEVIATION: f32 = 0.02;

/// The recipe's `[method]` for ELECTRA.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Electra {
    /// The part of the symbols that is hidden from the generator, above 0 to 1.
    pub rate: f64,
    /// The part of the hidden ones in whose place the mask stands, 0 to 1; the rest stays.
    pub masked: f64,
    /// Whether all symbols of a word are hidden, or none.
    pub whole_words: bool,
    /// How many times narrower the generator is.
    pub narrower: usize,
    /// λ: the weight of the discriminator's loss, 0 to 1000.
    pub discriminator: f64,
}

impl Default for Electra {
    fn default() -> Self {
        Self {
            rate: 0.15,
            masked: 0.85,
            whole_words: false,
            narrower: 4,
            discriminator: 50.0,
        }
    }
}

impl Electra {
    fn hiding(&self) -> Hiding {
        Hiding {
            rate: self.rate,
            masked: self.masked,
            random: 0.0,
            whole_words: self.whole_words,
        }
    }
}

impl Objective for Electra {
    const NAME: &'static str = "electra";
    const SUMMARY: &'static str = "tell which symbols a small network has replaced";
    const SOURCE: &'static str = "Clark et al. 2020, arXiv 2003.10555, google-research/electra";
    const NEEDS: Need = Need::Symbols;
    type Method<E: Maskable> = ElectraMethod<E>;

    fn training(&self) -> Training {
        // The published rate of small networks.
        Training::adamw(5e-4, 0.01).for_batch(32)
    }

    fn may_collapse(&self) -> bool {
        // Every symbol has to be told from every other.
        false
    }

    fn check(&self) -> Result<()> {
        positive("narrower", self.narrower)?;
        within("discriminator", self.discriminator, 0.0, 1000.0)?;
        self.hiding().check()
    }

    fn build<E: Maskable>(&self, encoder: E, init: &mut Init) -> Result<ElectraMethod<E>> {
        encoder.symbolic().ok_or_else(|| wordless(Self::NAME))?;
        let generator = encoder.narrower(self.narrower, init)?;
        let width = encoder.width();
        Ok(ElectraMethod {
            generator,
            dense: Linear::normal(width, width, true, DEVIATION, init),
            replaced: Linear::normal(width, 1, true, DEVIATION, init),
            encoder,
            hiding: self.hiding(),
            weight: self.discriminator,
        })
    }
}

/// A generator, and an encoder that tells what it replaced.
#[derive(Module, Debug)]
pub struct ElectraMethod<E: Encoder> {
    encoder: E,
    generator: E,
    dense: Linear,
    replaced: Linear,
    #[module(skip)]
    hiding: Hiding,
    weight: f64,
}

impl<E: Encoder> Method<E> for ElectraMethod<E> {
    type Carry = ();

    fn loss(&self, views: Vec<E::Batch>, at: &Step) -> Result<(Loss, ())> {
        let [batch]: [E::Batch; 1] = take(views, Electra::NAME)?;
        let network = self
            .generator
            .symbolic()
            .ok_or_else(|| wordless(Electra::NAME))?;
        let (symbols, mut rng) = (network.symbols(&batch), at.rng());
        let hidden = self.hiding.hide(symbols, &network.vocabulary(), &mut rng)?;
        let tokens = self.generator.tokens(&network.replaced(&batch, hidden.ids));
        let scores = network.scores(tokens.values, &hidden.places);
        let said = draw(scores.clone().detach(), &mut rng);
        let targets = TensorData::new(hidden.targets, [hidden.places.len()]);
        let targets = Tensor::<1, Int>::from_data(targets, &scores.device());
        let generator = cross_entropy(scores, targets, None);

        let (ids, real, labels) = put(symbols, &hidden.places, &said);
        let tokens = self.encoder.tokens(&network.replaced(&batch, ids)).values;
        let [rows, length, width] = tokens.dims();
        let mut tokens = tokens.reshape([rows * length, width]);
        if real.len() < rows * length {
            let places = TensorData::new(real, [labels.len()]);
            let places = Tensor::<1, Int>::from_data(places, &tokens.device());
            tokens = tokens.select(0, places);
        }
        let inner = self.dense.activated(tokens, Activation::Gelu);
        let logits = self.replaced.forward(inner).squeeze_dim::<1>(1); // [real places]
        let discriminator = binary_cross_entropy(logits, labels);
        let total = generator.clone() + discriminator.clone().mul_scalar(self.weight);
        let loss = Loss::new(total)
            .part("generator", &generator)
            .part("discriminator", &discriminator);
        Ok((loss, ()))
    }

    fn encoder(&self) -> &E {
        &self.encoder
    }

    fn into_encoder(self) -> E {
        self.encoder
    }
}

/// A symbol for each row of scores `[places, symbols]`, as likely as they say.
fn draw(scores: Tensor<2>, rng: &mut Rng) -> Vec<u32> {
    let symbols = scores.dims()[1];
    let shares = host(softmax(scores));
    let one = |shares: &[f32]| {
        let mut left =
            rng.random::<f64>() * shares.iter().map(|&share| f64::from(share)).sum::<f64>();
        let drawn = shares.iter().position(|&share| {
            left -= f64::from(share);
            left < 0.0
        });
        drawn.unwrap_or(symbols - 1) as u32
    };
    shares.chunks(symbols).map(one).collect()
}

/// All symbols with what was said in the hidden places; the places that are no padding, and for each of these whether
/// another symbol stands there now.
fn put(symbols: &Symbols, hidden: &[usize], said: &[u32]) -> (Vec<u32>, Vec<i64>, Vec<f32>) {
    let mut ids = symbols.ids.clone();
    for (&place, &said) in hidden.iter().zip(said) {
        ids[place] = said;
    }
    let real = (0..ids.len()).filter(|&place| symbols.documents[place] > 0);
    let (real, labels) = real
        .map(|place| {
            let other = ids[place] != symbols.ids[place];
            (place as i64, f32::from(u8::from(other)))
        })
        .unzip();
    (ids, real, labels)
}

/// −y log σ(x) − (1 − y) log(1 − σ(x)), averaged: log(1 + e^−|x|) + max(x, 0) − x y, which nothing makes overflow.
fn binary_cross_entropy(logits: Tensor<1>, labels: Vec<f32>) -> Tensor<1> {
    let count = labels.len();
    let labels = Tensor::<1>::from_data(TensorData::new(labels, [count]), &logits.device());
    let rest = logits.clone().abs().neg().exp().log1p();
    (rest + logits.clone().clamp_min(0.0) - logits * labels).mean()
}

#[cfg(test)]
mod tests {
    use super::super::toy::{Toy, ToyBatch};
    use super::*;
    use crate::layers::init::tests_device;
    use crate::modality::Symbolic;
    use crate::random::{Purpose, stream};

    const AT: Step = Step {
        number: 2,
        part: 0,
        progress: 0.0,
        seed: 1,
    };

    fn scalar(tensor: &Tensor<1>) -> f64 {
        f64::from(tensor.clone().into_scalar::<f32>())
    }

    /// W x + b.
    fn apply(layer: &Linear, x: &[f64]) -> Vec<f64> {
        let bias = host(layer.bias.as_ref().unwrap().val());
        let weight = host(layer.weight.val());
        let row = |(row, bias): (&[f32], &f32)| {
            let products = row.iter().zip(x).map(|(&w, x)| f64::from(w) * x);
            products.sum::<f64>() + f64::from(*bias)
        };
        weight.chunks(x.len()).zip(&bias).map(row).collect()
    }

    /// Both parts of the header's formula, place by place.
    #[test]
    fn the_parts_are_those_of_the_formula() {
        let device = tests_device();
        let ids: Vec<u32> = (0..60).map(|place| 1 + place * place % 7).collect();
        let mut batch = ToyBatch::new(&ids);
        let mut symbols = (*batch.symbols).clone();
        symbols.documents[55..].fill(0);
        batch.symbols = symbols.into();
        let settings = Electra {
            rate: 0.4,
            discriminator: 7.0,
            ..Electra::default()
        };
        let method = settings
            .build(Toy::new(8, &device), &mut Init::new(3, &device))
            .unwrap();
        let (loss, ()) = method.loss(vec![batch.clone()], &AT).unwrap();
        let mut rng = AT.rng();
        let vocabulary = method.generator.vocabulary();
        let hidden = settings
            .hiding()
            .hide(&batch.symbols, &vocabulary, &mut rng)
            .unwrap();
        let costs = hidden.places.iter().zip(&hidden.targets);
        let costs = costs.map(|(&place, &target)| method.generator.cost(hidden.ids[place], target));
        let generator = costs.sum::<f64>() / hidden.places.len() as f64;
        // The toy scores a place by the symbol that stands there.
        let table = method.generator.table.val();
        let rows: Vec<i64> = hidden
            .places
            .iter()
            .map(|&place| i64::from(hidden.ids[place]))
            .collect();
        let rows = TensorData::new(rows, [hidden.places.len()]);
        let said = draw(table.select(0, Tensor::from_data(rows, &device)), &mut rng);
        let mut now = ids.clone();
        for (&place, &said) in hidden.places.iter().zip(&said) {
            now[place] = said;
        }
        assert!(now[..55] != ids[..55]);
        let own = host(method.encoder.table.val());
        let gelu = |x: f64| 0.5 * x * (1.0 + erf(x / 2f64.sqrt()));
        let mut discriminator = 0.0;
        for place in 0..55 {
            let token = &own[8 * now[place] as usize..][..8];
            let token: Vec<f64> = token.iter().map(|&x| f64::from(x)).collect();
            let inner: Vec<f64> = apply(&method.dense, &token).into_iter().map(gelu).collect();
            let p = 1.0 / (1.0 + (-apply(&method.replaced, &inner)[0]).exp());
            let right = if now[place] == ids[place] { 1.0 - p } else { p };
            discriminator -= right.ln() / 55.0;
        }
        let [found_generator, found_discriminator] = [0, 1].map(|part| scalar(&loss.parts[part].1));
        assert!(
            (found_generator - generator).abs() < 1e-5,
            "{found_generator} {generator}"
        );
        assert!(
            (found_discriminator - discriminator).abs() < 1e-5,
            "{found_discriminator} {discriminator}"
        );
        let total = generator + 7.0 * discriminator;
        assert!((scalar(&loss.total) - total).abs() < 1e-4);
    }

    /// dL/dx of the cross-entropy is (σ(x) − y) / n; and however much the discriminator's loss weighs, the generator learns
    /// from its own alone.
    #[test]
    fn gradients_are_those_of_the_formula_and_none_goes_through_the_draw() {
        let device = tests_device();
        let (values, labels) = ([2.0f32, -1.0, 0.5], [1.0f32, 0.0, 1.0]);
        let logits = Tensor::<1>::from_data(values, &device).require_grad();
        let gradients = binary_cross_entropy(logits.clone(), labels.to_vec()).backward();
        let found = logits.grad(&gradients).unwrap().into_data();
        let found = found.try_to_vec::<f32>().unwrap();
        for ((x, y), found) in values.iter().zip(labels).zip(found) {
            let expected = (1.0 / (1.0 + (-x).exp()) - y) / 3.0;
            assert!((found - expected).abs() < 1e-6, "{found} {expected}");
        }
        let ids: Vec<u32> = (0..60).map(|place| 1 + place * place % 7).collect();
        let of_generator = |weight: f64| {
            let settings = Electra {
                discriminator: weight,
                ..Electra::default()
            };
            let toy = Toy::new(8, &device);
            let method = settings.build(toy, &mut Init::new(3, &device)).unwrap();
            let (loss, ()) = method.loss(vec![ToyBatch::new(&ids)], &AT).unwrap();
            let gradients = loss.total.backward();
            let of = |toy: &Toy| toy.table.val().grad(&gradients).map(host);
            (of(&method.generator), of(&method.encoder))
        };
        let (alone, _) = of_generator(0.0);
        let (generator, encoder) = of_generator(50.0);
        assert_eq!(alone, generator);
        assert!(encoder.unwrap().iter().any(|&value| value != 0.0));
    }

    /// Abramowitz & Stegun 7.1.26 is good to 1.5e-7.
    fn erf(x: f64) -> f64 {
        let t = 1.0 / (1.0 + 0.327_591_1 * x.abs());
        let coefficients = [
            0.254_829_592,
            -0.284_496_736,
            1.421_413_741,
            -1.453_152_027,
            1.061_405_429,
        ];
        let sum = coefficients.iter().rev().fold(0.0, |sum, c| (sum + c) * t);
        (1.0 - sum * (-x * x).exp()).copysign(x)
    }

    #[test]
    fn symbols_are_drawn_as_they_are_said_and_what_is_large_stays_finite() {
        let device = tests_device();
        let row = [0.1f32.ln(), 0.6f32.ln(), 0.3f32.ln()];
        let scores = Tensor::<2>::from_data(TensorData::new(row.repeat(3000), [3000, 3]), &device);
        let drawn = draw(scores, &mut stream(0, Purpose::Method, &[]));
        for (symbol, expected) in [(0, 300), (1, 1800), (2, 900usize)] {
            let found = drawn.iter().filter(|&&drawn| drawn == symbol).count();
            assert!(found.abs_diff(expected) < 120, "{symbol}: {found}");
        }
        let logits = Tensor::<1>::from_data([200.0, -200.0, 0.0], &device);
        let loss = scalar(&binary_cross_entropy(logits, vec![0.0, 0.0, 1.0]));
        assert!((loss - (200.0 + 2f64.ln()) / 3.0).abs() < 1e-4, "{loss}");
    }
}
