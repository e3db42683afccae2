//! Next-sentence prediction: does the second of two stretches follow the first, or is it from somewhere else?
//!
//! Loss: −log softmax(W₂ tanh(W₁ [u, v, |u − v|, u ⊙ v] + b₁) + b₂), taken at the view's own label, 0 where the second
//! follows and 1 where it is another item's, averaged over the batch; u and v are the means of the tokens of the first and
//! of the second stretch. Guessing costs ln 2.
//!
//! Devlin et al., *BERT* (2018), google-research/bert, where it is added to the loss of hidden symbols: `masked_lm` with
//! `next_sentence = 0.5`. Differs: BERT's head sees its first token alone, in which what both stretches share has to be found
//! by attention first; of a small network in minutes that is guessing still after 1,500 steps, where u and v, compared as
//! Conneau et al., *InferSent* (2017) do, tell three pairs in four. Alone, without hidden symbols, it was measured to stay at
//! guessing, and says so.
//!
//! `autodidact pretrain DATA --method next_sentence`

use autodidact_kernels::cross_entropy;
use burn::module::Module;
use burn::tensor::{Int, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::{Loss, Method, Objective, Step, Training, take};
use crate::error::{Error, Result};
use crate::layers::{Init, Linear};
use crate::modality::{Batch, Change, Encoder, Maskable, Need, Pretext, Tokens};

/// Deviation of initial weights, as published.
const DEVIATION: f32 = 0.02;

/// The recipe's `[method]` for next-sentence prediction, which has no settings.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NextSentence {}

impl Objective for NextSentence {
    const NAME: &'static str = "next_sentence";
    const SUMMARY: &'static str = "tell whether one stretch of an item follows another; measured alone it stays at guessing: \
         add it to masked_lm with method.next_sentence = 0.5";
    const SOURCE: &'static str =
        "Devlin et al. 2018 (BERT), arXiv 1810.04805, google-research/bert";
    const NEEDS: Need = Need::Stretches;
    type Method<E: Maskable> = NextSentenceMethod<E>;

    fn pretext(&self) -> Pretext {
        Pretext::new(1, Change::Paired, Self::NEEDS)
    }

    fn training(&self) -> Training {
        Training::adamw(5e-4, 0.01).for_batch(32)
    }

    fn build<E: Maskable>(&self, encoder: E, init: &mut Init) -> Result<NextSentenceMethod<E>> {
        let follows = Follows::new(encoder.dim(), init);
        Ok(NextSentenceMethod { encoder, follows })
    }
}

/// An encoder and the head that tells.
#[derive(Module, Debug)]
pub struct NextSentenceMethod<E: Encoder> {
    encoder: E,
    follows: Follows,
}

/// Tells from the tokens of two stretches whether they follow each other.
#[derive(Module, Debug)]
pub(super) struct Follows {
    dense: Linear,
    relation: Linear,
}

impl Follows {
    /// For tokens of a width.
    pub(super) fn new(dim: usize, init: &mut Init) -> Self {
        Self {
            dense: Linear::normal(4 * dim, dim, true, DEVIATION, init),
            relation: Linear::normal(dim, 2, true, DEVIATION, init),
        }
    }

    /// What views cost beside their labels, and the part of them that is told rightly: their tokens, which of them are the
    /// second stretch's `[batch, tokens]`, and a label a view.
    pub(super) fn loss(
        &self,
        tokens: Tokens,
        stretches: &Tensor<2, Int>,
        labels: &[u32],
    ) -> (Tensor<1>, Tensor<1>) {
        let [u, v] = means(tokens, stretches);
        let apart = (u.clone() - v.clone()).abs();
        let compared = Tensor::cat(vec![u.clone(), v.clone(), apart, u * v], 1); // [batch, 4 · dim]
        let logits = self.relation.forward(self.dense.forward(compared).tanh()); // [batch, 2]
        let labels: Vec<i64> = labels.iter().map(|&label| i64::from(label)).collect();
        let count = labels.len();
        let labels = TensorData::new(labels, [count]);
        let labels = Tensor::<1, Int>::from_data(labels, &logits.device());
        let told = logits.clone().detach().argmax(1).squeeze_dim::<1>(1);
        let right = told.equal(labels.clone()).float().mean();
        (cross_entropy(logits, labels, None), right)
    }
}

/// The means of the tokens of the first and of the second stretch, `[batch, dim]` each; 0 where a stretch has none.
fn means(tokens: Tokens, stretches: &Tensor<2, Int>) -> [Tensor<2>; 2] {
    let second = stretches.clone().float(); // [batch, tokens]
    let first = second.ones_like() - second.clone();
    let mut weights = Tensor::stack::<3>(vec![first, second], 1); // [batch, 2, tokens]
    if let Some(valid) = tokens.valid {
        weights = weights * valid.float().unsqueeze_dim(1);
    }
    let counts = weights.clone().sum_dim(2).clamp_min(1.0);
    let means = (weights / counts).matmul(tokens.values); // [batch, 2, dim]
    [0, 1].map(|stretch| means.clone().narrow(1, stretch, 1).squeeze_dim(1))
}

/// What is asked of views: which tokens are the second stretch's, and which views follow, by the labels that they made for
/// themselves.
///
/// # Errors
/// When they are no two stretches.
pub(super) fn asked<B: Batch>(batch: &B) -> Result<(&Tensor<2, Int>, &[u32])> {
    batch.stretches().zip(batch.own_labels()).ok_or_else(|| {
        Error::recipe("next_sentence with views that don't say whether they follow")
            .expected("views of two stretches in a row, the second at times from somewhere else")
            .mend("set views.pairs = true, with a kind of data that has it")
    })
}

impl<E: Encoder> Method<E> for NextSentenceMethod<E> {
    type Carry = ();

    fn loss(&self, views: Vec<E::Batch>, _: &Step) -> Result<(Loss, ())> {
        let [batch]: [E::Batch; 1] = take(views, NextSentence::NAME)?;
        let (stretches, labels) = asked(&batch)?;
        let tokens = self.encoder.tokens(&batch);
        let (loss, right) = self.follows.loss(tokens, stretches, labels);
        Ok((Loss::new(loss).part("accuracy", &right), ()))
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
    use super::*;
    use crate::layers::init::tests_device;
    use crate::layers::state::host;

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

    /// Two views of five tokens of three values; of the second view the last two are padding.
    const TOKENS: [[[f64; 3]; 5]; 2] = [
        [
            [9.0, -4.0, 2.0],
            [1.0, 3.0, -2.0],
            [5.0, 0.5, 7.0],
            [-3.0, 2.0, 2.5],
            [8.0, -6.0, 1.0],
        ],
        [
            [-7.0, 1.0, 3.0],
            [4.0, 4.5, -1.0],
            [2.0, -8.0, 6.0],
            [40.0, 50.0, 60.0],
            [-90.0, 80.0, 70.0],
        ],
    ];
    const SECOND: [[usize; 5]; 2] = [[0, 0, 1, 1, 1], [0, 1, 1, 1, 1]];
    const VALID: [usize; 2] = [5, 3];

    /// The formula of the header, term by term: the loss, and the part that is told rightly.
    fn naive(head: &Follows, tokens: &[[[f64; 3]; 5]; 2], labels: &[u32]) -> (f64, f64) {
        let (mut loss, mut right) = (0.0, 0.0);
        for view in 0..2 {
            let mean = |stretch: usize, value: usize| {
                let of = (0..VALID[view]).filter(|&token| SECOND[view][token] == stretch);
                let values: Vec<f64> = of.map(|token| tokens[view][token][value]).collect();
                values.iter().sum::<f64>() / values.len() as f64
            };
            let [u, v] = [0, 1].map(|stretch| [0, 1, 2].map(|value| mean(stretch, value)));
            let mut compared = [u, v].concat();
            compared.extend((0..3).map(|value| (u[value] - v[value]).abs()));
            compared.extend((0..3).map(|value| u[value] * v[value]));
            let inner: Vec<f64> = apply(&head.dense, &compared)
                .iter()
                .map(|x| x.tanh())
                .collect();
            let logits = apply(&head.relation, &inner);
            let label = labels[view];
            let [own, other] = [label, 1 - label].map(|label| logits[label as usize]);
            loss += ((own.exp() + other.exp()).ln() - own) / labels.len() as f64;
            right += f64::from(u8::from(own > other)) / labels.len() as f64;
        }
        (loss, right)
    }

    #[test]
    fn the_loss_and_its_gradient_are_those_of_the_formula() {
        let device = tests_device();
        let head = Follows::new(3, &mut Init::new(4, &device));
        let labels = [1u32, 0];
        let (expected, right) = naive(&head, &TOKENS, &labels);
        let given: Vec<f32> = TOKENS
            .iter()
            .flatten()
            .flatten()
            .map(|&x| x as f32)
            .collect();
        let given = Tensor::<1>::from_data(given.as_slice(), &device)
            .reshape([2, 5, 3])
            .require_grad();
        let second = SECOND.map(|of| of.map(|stretch| stretch as i64));
        let valid = VALID.map(|count| [0, 1, 2, 3, 4].map(|token| token < count));
        let tokens = Tokens {
            values: given.clone(),
            valid: Some(Tensor::from_data(valid, &device)),
        };
        let (loss, told) = head.loss(tokens, &Tensor::from_data(second, &device), &labels);
        let gradients = host(given.grad(&loss.backward()).unwrap());
        let scalar = |tensor: Tensor<1>| f64::from(tensor.into_scalar::<f32>());
        let (loss, told) = (scalar(loss), scalar(told));
        assert!((loss - expected).abs() < 1e-6, "{loss} beside {expected}");
        assert!((told - right).abs() < 1e-6, "{told} beside {right}");
        assert!((loss - 2f64.ln()).abs() < 0.05, "guessing: {loss}");
        for (place, found) in gradients.into_iter().enumerate() {
            let moved = |by: f64| {
                let mut tokens = TOKENS;
                tokens[place / 15][place / 3 % 5][place % 3] += by;
                naive(&head, &tokens, &labels).0
            };
            let slope = (moved(1e-4) - moved(-1e-4)) / 2e-4;
            assert!((f64::from(found) - slope).abs() < 1e-6, "{found} {slope}");
        }
    }
}
