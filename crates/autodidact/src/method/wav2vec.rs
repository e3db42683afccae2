//! wav2vec 2.0's contrast: hide spans of the latents from the context, and tell what was there from what was hidden
//! elsewhere in the same item.
//!
//! A latent z is made of each moment. Spans of them are replaced by one learned vector, and a context c is made of what is
//! left. A linear map W of the context at each hidden moment is held against the latents of all hidden moments of the item,
//! by cosine:
//!
//! ```text
//! L = mean over hidden moments t of −log e^{cos(W cₜ, zₜ) / κ} / Σⱼ e^{cos(W cₜ, zⱼ) / κ},   j over the hidden moments
//! ```
//!
//! Baevski, Zhou, Mohamed & Auli 2020, "wav2vec 2.0: A Framework for Self-Supervised Learning of Speech Representations"
//! (arXiv 2006.11477; facebookresearch/fairseq). Differs: the latents themselves are told apart and not their quantized
//! forms, so there is no codebook and no loss for its diversity; all hidden moments count as candidates and none is drawn;
//! and the context is whatever the network makes of a moment and those before it, where the paper has a transformer that
//! looks both ways.
//!
//! `autodidact pretrain DATA --method wav2vec`

use autodidact_kernels::cross_entropy;
use burn::module::{Module, Param};
use burn::tensor::{Int, Tensor, TensorData};
use rand::RngExt;
use serde::{Deserialize, Serialize};

use super::{
    Loss, Method, Objective, Step, Training, positive, share_right, take, timeless, within,
};
use crate::error::{Error, Result};
use crate::layers::head::normalize;
use crate::layers::{Init, Linear};
use crate::modality::{Encoder, Maskable, Need};
use crate::random::Rng;

/// Added to the score of what is no candidate, so that it counts for nothing.
const NEVER: f32 = -1e9;
/// The target of a moment that isn't hidden.
const NONE: i64 = -1;

/// The recipe's `[method]` for wav2vec.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Wav2vec {
    /// The part of the moments at which a span begins, 0 to 1.
    pub begins: f64,
    /// Moments in a span; spans may run into each other.
    pub span: usize,
    /// κ: what cosines are divided by, 0.01 to 10.
    pub temperature: f64,
}

impl Default for Wav2vec {
    fn default() -> Self {
        Self {
            begins: 0.065,
            span: 10,
            temperature: 0.1,
        }
    }
}

impl Objective for Wav2vec {
    const NAME: &'static str = "wav2vec";
    const SUMMARY: &'static str =
        "hide spans of moments, tell what was there from what was hidden elsewhere";
    const SOURCE: &'static str = "Baevski et al. 2020, arXiv 2006.11477; facebookresearch/fairseq";
    const NEEDS: Need = Need::Ahead;
    type Method<E: Maskable> = Wav2vecMethod<E>;

    fn training(&self) -> Training {
        Training::adamw(1e-3, 0.01).for_batch(32)
    }

    fn batch(&self) -> Option<usize> {
        Some(32)
    }

    fn check(&self) -> Result<()> {
        within("begins", self.begins, 0.0, 1.0)?;
        positive("span", self.span)?;
        within("temperature", self.temperature, 0.01, 10.0)
    }

    fn build<E: Maskable>(&self, encoder: E, init: &mut Init) -> Result<Wav2vecMethod<E>> {
        let network = encoder.causal().ok_or_else(|| timeless(Self::NAME))?;
        let width = network.latent_width();
        Ok(Wav2vecMethod {
            hidden: init.normal([1, 1, width], 0.1),
            predict: Linear::new(encoder.dim(), width, false, init),
            begins: self.begins,
            span: self.span,
            temperature: self.temperature,
            encoder,
        })
    }
}

/// An encoder, what stands for a hidden latent, and the map from contexts to latents.
#[derive(Module, Debug)]
pub struct Wav2vecMethod<E: Encoder> {
    encoder: E,
    /// `[1, 1, latent_width]`.
    hidden: Param<Tensor<3>>,
    /// `[latent_width, dim]`.
    predict: Linear,
    begins: f64,
    span: usize,
    temperature: f64,
}

impl<E: Encoder> Method<E> for Wav2vecMethod<E> {
    type Carry = ();

    fn loss(&self, views: Vec<E::Batch>, at: &Step) -> Result<(Loss, ())> {
        let [batch]: [E::Batch; 1] = take(views, Wav2vec::NAME)?;
        let network = (self.encoder.causal()).ok_or_else(|| timeless(Wav2vec::NAME))?;
        let latents = network.latents(&batch).values;
        let [_, tokens, _] = latents.dims();
        let mut rng = at.rng();
        let mask: Vec<Vec<bool>> = (network.tracks(&batch).into_iter())
            .map(|track| self.mask(track.tokens.min(tokens), tokens, &mut rng))
            .collect();
        let count = mask.iter().flatten().filter(|&&hidden| hidden).count();
        if count == 0 {
            return Err(Error::training("items of fewer than three moments")
                .expected("three at least: two to be hidden and told apart, and one to be seen")
                .mend("make the views longer, or encoder.strides smaller"));
        }
        let device = latents.device();
        let flags = mask
            .iter()
            .flatten()
            .map(|&hidden| f32::from(u8::from(hidden)));
        let shape = [mask.len(), tokens, 1];
        let flags = TensorData::new(flags.collect::<Vec<f32>>(), shape);
        let flags = Tensor::<3>::from_data(flags, &device);
        let seen = latents.clone() * flags.clone().neg().add_scalar(1.0)
            + self.hidden.val() * flags.clone();
        let context = network.context(seen);
        let predicted = self.predict.forward(context);
        // [rows, moments, candidates]
        let scores = unit(predicted)
            .matmul(unit(latents).swap_dims(1, 2))
            .div_scalar(self.temperature)
            + flags.swap_dims(1, 2).sub_scalar(1.0).mul_scalar(-NEVER);
        let targets: Vec<i64> = (mask.iter())
            .flat_map(|row| row.iter().zip(0..))
            .map(|(&hidden, place)| if hidden { place } else { NONE })
            .collect();
        let targets = TensorData::new(targets, [shape[0] * tokens]);
        let targets = Tensor::<1, Int>::from_data(targets, &device);
        let scores: Tensor<2> = scores.flatten(0, 1);
        let loss = cross_entropy(scores.clone(), targets.clone(), Some(NONE));
        let accuracy = share_right(scores, targets, count);
        Ok((Loss::new(loss).part("accuracy", &accuracy).over(count), ()))
    }

    fn encoder(&self) -> &E {
        &self.encoder
    }

    fn into_encoder(self) -> E {
        self.encoder
    }
}

impl<E: Encoder> Wav2vecMethod<E> {
    /// Which of a row's moments are hidden: spans that begin anywhere, two moments at least, since one alone is told apart
    /// from nothing, and never all of what is real. Rows of fewer than three moments have none.
    fn mask(&self, real: usize, tokens: usize, rng: &mut Rng) -> Vec<bool> {
        let mut mask = vec![false; tokens];
        if real < 3 {
            return mask;
        }
        let span = self.span.min(real / 2).max(1);
        let wanted = (self.begins * real as f64 + rng.random::<f64>()) as usize;
        let mut spans = 0;
        while spans < wanted || mask.iter().filter(|&&hidden| hidden).count() < 2 {
            let from = rng.random_range(0..=real - span);
            mask[from..from + span].fill(true);
            spans += 1;
        }
        if mask[..real].iter().all(|&hidden| hidden) {
            mask[rng.random_range(0..real)] = false;
        }
        mask
    }
}

/// The last axis brought to length 1.
fn unit(x: Tensor<3>) -> Tensor<3> {
    let shape = x.dims();
    normalize(x.flatten(0, 1)).reshape(shape)
}

#[cfg(test)]
mod tests {
    use super::super::toy::{Clock, ClockBatch};
    use super::*;
    use crate::layers::init::tests_device;
    use crate::layers::state::{host, trained};

    const AT: Step = Step {
        number: 3,
        part: 0,
        progress: 0.0,
        seed: 0,
    };

    fn scalar(tensor: &Tensor<1>) -> f64 {
        f64::from(tensor.clone().into_scalar::<f32>())
    }

    fn method(width: usize, settings: &Wav2vec) -> Wav2vecMethod<Clock> {
        let device = tests_device();
        let mut init = Init::new(1, &device);
        settings
            .build(Clock::new(width, &device), &mut init)
            .unwrap()
    }

    /// The masks that a step draws.
    fn masks(method: &Wav2vecMethod<Clock>, lengths: &[usize], tokens: usize) -> Vec<Vec<bool>> {
        let mut rng = AT.rng();
        let one = |&length: &usize| method.mask(length, tokens, &mut rng);
        lengths.iter().map(one).collect()
    }

    /// The formula of the header, term by term.
    fn naive(
        method: &Wav2vecMethod<Clock>,
        z: &[f64],
        lengths: &[usize],
        (tokens, width): (usize, usize),
    ) -> f64 {
        let doubles =
            |values: Vec<f32>| -> Vec<f64> { values.into_iter().map(f64::from).collect() };
        let map = doubles(host(method.predict.weight.val()));
        let hidden = doubles(host(method.hidden.val()));
        let cosine = |a: &[f64], b: &[f64]| {
            let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
            dot(a, b) / (dot(a, a).sqrt() * dot(b, b).sqrt())
        };
        let (mut sum, mut count) = (0.0, 0.0);
        for (row, mask) in masks(method, lengths, tokens).iter().enumerate() {
            let latent = |token: usize| &z[(row * tokens + token) * width..][..width];
            let seen = |token: usize| {
                if mask[token] {
                    &hidden[..]
                } else {
                    latent(token)
                }
            };
            let places: Vec<usize> = (0..tokens).filter(|&token| mask[token]).collect();
            for &place in &places {
                let context: Vec<f64> = (0..width)
                    .map(|k| (0..=place).map(|before| seen(before)[k]).sum())
                    .collect();
                let predicted: Vec<f64> = (0..width)
                    .map(|k| {
                        let line = &map[k * width..][..width];
                        line.iter().zip(&context).map(|(a, b)| a * b).sum()
                    })
                    .collect();
                let score = |other: usize| cosine(&predicted, latent(other)) / method.temperature;
                let all: f64 = places.iter().map(|&other| score(other).exp()).sum();
                sum += all.ln() - score(place);
                count += 1.0;
            }
        }
        sum / count
    }

    #[test]
    fn the_loss_agrees_with_a_loop_over_hidden_moments_and_candidates() {
        let (tokens, width) = (9, 3);
        let settings = Wav2vec {
            begins: 0.2,
            span: 3,
            temperature: 0.5,
        };
        let method = method(width, &settings);
        for lengths in [[9, 9, 9], [9, 1, 4]] {
            let values = Init::new(5, &tests_device())
                .normal([3, tokens, width], 1.0)
                .val();
            let batch = ClockBatch::new(values, &lengths.map(|length| [0, length]));
            let z: Vec<f64> = host(method.encoder.tokens(&batch).values)
                .into_iter()
                .map(f64::from)
                .collect();
            let (loss, ()) = method.loss(vec![batch], &AT).unwrap();
            let (found, expected) = (
                scalar(&loss.total),
                naive(&method, &z, &lengths, (tokens, width)),
            );
            assert!(
                (found - expected).abs() < 1e-4,
                "{lengths:?}: {found} beside {expected}"
            );
        }
    }

    #[test]
    fn latents_that_are_all_alike_cost_what_guessing_among_the_hidden_costs() {
        let settings = Wav2vec {
            begins: 0.0,
            span: 4,
            ..Wav2vec::default()
        };
        let method = method(2, &settings);
        let batch = ClockBatch::new(Tensor::ones([5, 12, 2], &tests_device()), &[[0, 12]; 5]);
        let (loss, ()) = method.loss(vec![batch], &AT).unwrap();
        let found = scalar(&loss.total);
        assert!((found - 4f64.ln()).abs() < 1e-5, "{found}");
        assert_eq!(loss.predictions, Some(20));
    }

    #[test]
    fn spans_lie_within_what_is_real_and_leave_something_to_see() {
        // Many long spans, and few short ones.
        for (begins, span) in [(1.0, 10), (0.0, 1)] {
            let settings = Wav2vec {
                begins,
                span,
                ..Wav2vec::default()
            };
            let method = method(2, &settings);
            let mut rng = AT.rng();
            for real in 0..20 {
                let mask = method.mask(real, 20, &mut rng);
                let hidden = mask.iter().filter(|&&hidden| hidden).count();
                assert!(mask[real..].iter().all(|&hidden| !hidden));
                match real {
                    0..3 => assert_eq!(hidden, 0),
                    _ => assert!((2..real).contains(&hidden), "{hidden} of {real}"),
                }
            }
        }
        let batch = ClockBatch::new(Tensor::ones([2, 3, 2], &tests_device()), &[[0, 2]; 2]);
        let error = method(2, &Wav2vec::default()).loss(vec![batch], &AT);
        let error = error.unwrap_err().to_string();
        assert!(error.contains("fewer than three moments"), "{error}");
    }

    #[test]
    fn a_gradient_reaches_the_latents_and_what_stands_for_the_hidden() {
        let method = method(2, &Wav2vec::default());
        assert_eq!(
            trained(&method),
            ["encoder.factor", "hidden", "predict.weight"]
        );
        let values = Init::new(2, &tests_device()).normal([3, 8, 2], 1.0).val();
        let batch = ClockBatch::new(values, &[[0, 8]; 3]);
        let (loss, ()) = method.loss(vec![batch.clone()], &AT).unwrap();
        let gradients = loss.total.backward();
        let found = method.encoder.factor.val().grad(&gradients).unwrap();
        let at = |change: f32| {
            let mut other = method.clone();
            other.encoder.factor = other.encoder.factor.map(|factor| {
                let step = Tensor::<1>::from_data([change, 0.0], &factor.device());
                (factor + step).detach().require_grad()
            });
            let (loss, ()) = other.loss(vec![batch.clone()], &AT).unwrap();
            scalar(&loss.total)
        };
        let expected = (at(1e-2) - at(-1e-2)) / 2e-2;
        let found = f64::from(host(found)[0]);
        assert!(
            (found - expected).abs() < 2e-2 * expected.abs().max(0.1),
            "{found} {expected}"
        );
        assert!(method.hidden.val().grad(&gradients).is_some());
        assert!(method.predict.weight.val().grad(&gradients).is_some());
    }
}
