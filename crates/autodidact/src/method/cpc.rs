//! CPC: tell what comes next from everything else that might; a context that can has understood what goes on.
//!
//! A latent z is made of each moment, and a context c of each latent and those before it. For each of some steps ahead, a
//! linear map W of the context is held against the latents of several moments, of which one is the true one (InfoNCE):
//!
//! ```text
//! L = mean over items, moments t and steps k of −log e^{z₍ₜ₊ₖ₎ᵀ Wₖ cₜ} / Σⱼ e^{zⱼᵀ Wₖ cₜ}
//! ```
//!
//! The other candidates are all moments of the same item, the same moment of all items of the batch, or both together.
//! log N − L, with N candidates, is a lower bound of the information that contexts and what follows them share, in nats.
//!
//! Van den Oord, Li & Vinyals 2018, "Representation Learning with Contrastive Predictive Coding" (arXiv 1807.03748).
//! Differs: all candidates count and none is drawn; a higher learning rate, for small networks and short runs.
//!
//! `autodidact pretrain DATA --method cpc`

use autodidact_kernels::cross_entropy;
use burn::module::Module;
use burn::tensor::{Device, Int, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::{Loss, Method, Objective, Step, Training, positive, share_right, take, timeless};
use crate::error::{Error, Result};
use crate::layers::{Init, Linear};
use crate::modality::{Encoder, Maskable, Need};

/// Added to the score of what is no candidate, so that it counts for nothing.
const NEVER: f32 = -1e9;
/// The target of a moment after which too little follows.
const NONE: i64 = -1;

/// The recipe's `[method]` for CPC.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Cpc {
    /// How many tokens ahead is predicted, each by a map of its own.
    pub steps: usize,
    /// What the true latent is told apart from: `within` the item, `across` the batch, or `both`.
    pub negatives: Negatives,
}

/// What the true latent is told apart from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Negatives {
    /// All other moments of the same item.
    Within,
    /// The same moment of the other items of the batch.
    Across,
    /// All of these.
    Both,
}

impl Default for Cpc {
    fn default() -> Self {
        Self {
            steps: 12,
            negatives: Negatives::Both,
        }
    }
}

impl Objective for Cpc {
    const NAME: &'static str = "cpc";
    const SUMMARY: &'static str =
        "predict what comes next, told apart from other moments and other items";
    const SOURCE: &'static str = "van den Oord et al. 2018, arXiv 1807.03748";
    const NEEDS: Need = Need::Ahead;
    type Method<E: Maskable> = CpcMethod<E>;

    fn training(&self) -> Training {
        Training::adamw(1e-3, 0.01).for_batch(32)
    }

    fn batch(&self) -> Option<usize> {
        Some(32)
    }

    fn check(&self) -> Result<()> {
        positive("steps", self.steps)
    }

    fn build<E: Maskable>(&self, encoder: E, init: &mut Init) -> Result<CpcMethod<E>> {
        let network = encoder.causal().ok_or_else(|| timeless(Self::NAME))?;
        let predictions = self.steps * network.latent_width();
        Ok(CpcMethod {
            predict: Linear::new(encoder.dim(), predictions, false, init),
            steps: self.steps,
            within: self.negatives != Negatives::Across,
            across: self.negatives != Negatives::Within,
            encoder,
        })
    }
}

/// An encoder and its maps from contexts to what follows.
#[derive(Module, Debug)]
pub struct CpcMethod<E: Encoder> {
    encoder: E,
    /// One map below the other, `[steps · latent_width, dim]`.
    predict: Linear,
    steps: usize,
    within: bool,
    across: bool,
}

impl<E: Encoder> Method<E> for CpcMethod<E> {
    type Carry = ();

    fn loss(&self, views: Vec<E::Batch>, _: &Step) -> Result<(Loss, ())> {
        let [batch]: [E::Batch; 1] = take(views, Cpc::NAME)?;
        let network = self.encoder.causal().ok_or_else(|| timeless(Cpc::NAME))?;
        let latents = network.latents(&batch).values;
        let context = network.context(latents.clone());
        let tokens = network.tracks(&batch).into_iter().map(|track| track.tokens);
        let candidates = Candidates {
            lengths: tokens.collect(),
            steps: self.steps.min(latents.dims()[1].saturating_sub(1)),
            within: self.within,
            across: self.across,
        };
        Ok((candidates.loss(self.predict.forward(context), latents)?, ()))
    }

    fn encoder(&self) -> &E {
        &self.encoder
    }

    fn into_encoder(self) -> E {
        self.encoder
    }
}

/// What is held against what.
#[derive(Debug)]
struct Candidates {
    /// Real tokens of each row.
    lengths: Vec<usize>,
    /// How many tokens ahead can be predicted at all.
    steps: usize,
    within: bool,
    across: bool,
}

/// The questions that are asked for one step ahead, row by row and moment by moment.
struct Asked {
    /// `[rows · moments]`: the true one of the candidates, or [`NONE`].
    targets: Vec<i64>,
    /// The sum of log N over the questions that count.
    chance: f64,
    /// How many do.
    count: usize,
}

impl Candidates {
    /// The loss of the header: `predictions`, `[rows, tokens, all steps · width]`, of `latents`, `[rows, tokens, width]`.
    fn loss(&self, predictions: Tensor<3>, latents: Tensor<3>) -> Result<Loss> {
        let device = latents.device();
        let [rows, tokens, width] = latents.dims();
        let (mut scores, mut targets) = (Vec::new(), Vec::new());
        let (mut chance, mut count) = (0.0, 0);
        for step in 1..=self.steps {
            let moments = tokens - step;
            let predicted =
                predictions
                    .clone()
                    .slice([0..rows, 0..moments, (step - 1) * width..step * width]);
            scores.push(self.scores(predicted, latents.clone(), step));
            let asked = self.asked(tokens, step);
            targets.extend(asked.targets);
            (chance, count) = (chance + asked.chance, count + asked.count);
        }
        if count == 0 {
            return Err(Error::training("items of a single moment")
                .expected("two at least, so that one follows another")
                .mend("make the views longer, or encoder.strides smaller"));
        }
        let scores = Tensor::cat(scores, 0);
        let targets = TensorData::new(targets, [scores.dims()[0]]);
        let targets = Tensor::<1, Int>::from_data(targets, &device);
        let loss = cross_entropy(scores.clone(), targets.clone(), Some(NONE));
        let accuracy = share_right(scores, targets, count);
        let information = loss.clone().neg().add_scalar(chance / count as f64);
        Ok(Loss::new(loss)
            .part("accuracy", &accuracy)
            .part("information", &information)
            .over(count))
    }

    /// How well each candidate fits each prediction, `[rows, moments, width]` → `[rows · moments, candidates]`.
    fn scores(&self, predicted: Tensor<3>, latents: Tensor<3>, step: usize) -> Tensor<2> {
        let [_, moments, _] = predicted.dims();
        let device = latents.device();
        let mut parts = Vec::with_capacity(2);
        if self.within {
            let scores = predicted.clone().matmul(latents.clone().swap_dims(1, 2)); // [rows, moments, tokens]
            parts.push(match self.beyond(latents.dims()[1], &device) {
                Some(beyond) => scores + beyond.unsqueeze_dim::<3>(1),
                None => scores,
            });
        }
        if self.across {
            let following = latents.narrow(1, step, moments);
            let following = following.permute([1, 2, 0]); // [moments, width, rows]
            let mut scores = predicted.swap_dims(0, 1).matmul(following); // [moments, rows, rows]
            if let Some(beyond) = self.beyond(step + moments, &device) {
                let beyond = beyond.narrow(1, step, moments).transpose(); // [moments, rows]
                scores = scores + beyond.unsqueeze_dim::<3>(1);
            }
            if self.within {
                // The true one is among the moments of its item already.
                let rows = self.lengths.len();
                let own = Tensor::<2>::eye(rows, &device).mul_scalar(NEVER);
                scores = scores + own.unsqueeze_dim::<3>(0);
            }
            parts.push(scores.swap_dims(0, 1));
        }
        Tensor::cat(parts, 2).flatten(0, 1)
    }

    /// [`NEVER`] where a row has ended, `[rows, tokens]`; `None` where none has.
    fn beyond(&self, tokens: usize, device: &Device) -> Option<Tensor<2>> {
        if self.lengths.iter().all(|&length| length >= tokens) {
            return None;
        }
        let values = self.lengths.iter().flat_map(|&length| {
            (0..tokens).map(move |token| if token < length { 0.0 } else { NEVER })
        });
        let data = TensorData::new(values.collect::<Vec<f32>>(), [self.lengths.len(), tokens]);
        Some(Tensor::from_data(data, device))
    }

    fn asked(&self, tokens: usize, step: usize) -> Asked {
        let mut asked = Asked {
            targets: Vec::with_capacity(self.lengths.len() * (tokens - step)),
            chance: 0.0,
            count: 0,
        };
        // How many rows have a moment.
        let alive: Vec<usize> = (0..tokens)
            .map(|token| {
                self.lengths
                    .iter()
                    .filter(|&&length| token < length)
                    .count()
            })
            .collect();
        for (row, &length) in self.lengths.iter().enumerate() {
            for (followed, &alive) in alive.iter().enumerate().take(tokens).skip(step) {
                if followed >= length {
                    asked.targets.push(NONE);
                    continue;
                }
                let target = if self.within { followed } else { row };
                let candidates = match (self.within, self.across) {
                    (true, true) => length + alive - 1,
                    (true, false) => length,
                    (false, _) => alive,
                };
                asked.targets.push(target as i64);
                asked.chance += (candidates as f64).ln();
                asked.count += 1;
            }
        }
        asked
    }
}

#[cfg(test)]
mod tests {
    use super::super::toy::{Clock, ClockBatch};
    use super::*;
    use crate::layers::init::tests_device;
    use crate::layers::state::{host, trained};

    const AT: Step = Step {
        number: 0,
        part: 0,
        progress: 0.0,
        seed: 0,
    };
    const ALL: [Negatives; 3] = [Negatives::Within, Negatives::Across, Negatives::Both];

    fn scalar(tensor: &Tensor<1>) -> f64 {
        f64::from(tensor.clone().into_scalar::<f32>())
    }

    fn part(loss: &Loss, name: &str) -> f64 {
        let found = loss.parts.iter().find(|(of, _)| *of == name).unwrap();
        scalar(&found.1)
    }

    /// What the formulas of the header come to, term by term: loss, accuracy, information.
    fn naive(
        z: &[f64],
        lengths: &[usize],
        (tokens, width): (usize, usize),
        map: &[f64],
        (steps, negatives): (usize, Negatives),
    ) -> [f64; 3] {
        let at = |row: usize, token: usize| &z[(row * tokens + token) * width..][..width];
        let (mut sum, mut right, mut chance, mut count) = (0.0, 0.0, 0.0, 0.0);
        for (row, &length) in lengths.iter().enumerate() {
            for step in 1..=steps {
                for token in 0..length.saturating_sub(step) {
                    let context: Vec<f64> = (0..width)
                        .map(|k| (0..=token).map(|before| at(row, before)[k]).sum())
                        .collect();
                    let predicted: Vec<f64> = (0..width)
                        .map(|k| {
                            let line = &map[((step - 1) * width + k) * width..][..width];
                            line.iter().zip(&context).map(|(a, b)| a * b).sum()
                        })
                        .collect();
                    let score = |row: usize, token: usize| -> f64 {
                        at(row, token)
                            .iter()
                            .zip(&predicted)
                            .map(|(a, b)| a * b)
                            .sum()
                    };
                    let followed = token + step;
                    let mut others = Vec::new();
                    if negatives != Negatives::Across {
                        let moments = (0..length).filter(|&other| other != followed);
                        others.extend(moments.map(|other| score(row, other)));
                    }
                    if negatives != Negatives::Within {
                        let rows = (0..lengths.len())
                            .filter(|&other| other != row && followed < lengths[other]);
                        others.extend(rows.map(|other| score(other, followed)));
                    }
                    let true_one = score(row, followed);
                    let all: f64 = others.iter().map(|score| score.exp()).sum::<f64>();
                    sum += (all + true_one.exp()).ln() - true_one;
                    right += f64::from(u8::from(others.iter().all(|&score| score < true_one)));
                    chance += ((others.len() + 1) as f64).ln();
                    count += 1.0;
                }
            }
        }
        [sum / count, right / count, (chance - sum) / count]
    }

    #[test]
    fn latents_that_are_all_alike_cost_what_guessing_costs_and_tell_nothing() {
        let device = tests_device();
        for (negatives, candidates) in ALL.into_iter().zip([6.0f64, 4.0, 9.0]) {
            let settings = Cpc {
                steps: 3,
                negatives,
            };
            let method = settings
                .build(Clock::new(5, &device), &mut Init::new(0, &device))
                .unwrap();
            let batch = ClockBatch::new(Tensor::zeros([4, 6, 5], &device), &[[0, 6]; 4]);
            let (loss, ()) = method.loss(vec![batch], &AT).unwrap();
            let found = scalar(&loss.total);
            assert!(
                (found - candidates.ln()).abs() < 1e-5,
                "{negatives:?}: {found}"
            );
            assert!(part(&loss, "information").abs() < 1e-5);
            // Of each of four rows the moments that one, two and three others follow.
            assert_eq!(loss.predictions, Some(4 * (5 + 4 + 3)));
        }
    }

    #[test]
    fn the_loss_agrees_with_a_loop_over_rows_moments_and_candidates() {
        let device = tests_device();
        let (tokens, width) = (7, 3);
        for negatives in ALL {
            for lengths in [[7, 7, 7, 7], [7, 2, 5, 1]] {
                // More steps than can be asked for.
                let steps = if negatives == Negatives::Both { 20 } else { 3 };
                let settings = Cpc { steps, negatives };
                let mut init = Init::new(1, &device);
                let values = init.normal([4, tokens, width], 0.6).val();
                let method = settings
                    .build(Clock::new(width, &device), &mut init)
                    .unwrap();
                let batch = ClockBatch::new(values, &lengths.map(|length| [0, length]));
                let doubles =
                    |values: Vec<f32>| -> Vec<f64> { values.into_iter().map(f64::from).collect() };
                let z = doubles(host(method.encoder.tokens(&batch).values));
                let map = doubles(host(method.predict.weight.val()));
                let how = (steps.min(tokens - 1), negatives);
                let expected = naive(&z, &lengths, (tokens, width), &map, how);
                let (loss, ()) = method.loss(vec![batch], &AT).unwrap();
                let found = [
                    scalar(&loss.total),
                    part(&loss, "accuracy"),
                    part(&loss, "information"),
                ];
                for (found, expected) in found.iter().zip(expected) {
                    assert!(
                        (found - expected).abs() < 1e-4,
                        "{negatives:?} {lengths:?}: {found} beside {expected}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_gradient_reaches_the_latents_through_contexts_and_candidates() {
        let device = tests_device();
        let mut init = Init::new(2, &device);
        let values = init.normal([3, 5, 2], 1.0).val();
        let method = Cpc::default()
            .build(Clock::new(2, &device), &mut init)
            .unwrap();
        assert_eq!(trained(&method), ["encoder.factor", "predict.weight"]);
        let batch = ClockBatch::new(values, &[[0, 5]; 3]);
        let (loss, ()) = method.loss(vec![batch.clone()], &AT).unwrap();
        let gradients = loss.total.backward();
        let found = method.encoder.factor.val().grad(&gradients).unwrap();
        // Beside the difference quotient.
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
            (found - expected).abs() < 2e-3 * expected.abs().max(1.0),
            "{found} {expected}"
        );
        assert!(method.predict.weight.val().grad(&gradients).is_some());
    }

    #[test]
    fn items_of_one_moment_are_refused() {
        let device = tests_device();
        let method = Cpc::default()
            .build(Clock::new(2, &device), &mut Init::new(0, &device))
            .unwrap();
        let batch = ClockBatch::new(Tensor::zeros([3, 1, 2], &device), &[[0, 1]; 3]);
        let error = method.loss(vec![batch], &AT).unwrap_err().to_string();
        assert!(error.contains("single moment"), "{error}");
    }
}
