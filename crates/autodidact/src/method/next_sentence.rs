//! Next-sentence prediction: does the second of two stretches follow the first, or is it from somewhere else?
//!
//! Loss: −log softmax(W₂ tanh(W₁ h + b₁) + b₂), taken at the view's own label, 0 where the second follows and 1 where it is
//! another item's, averaged over the batch; h is the item's vector. Guessing costs ln 2.
//!
//! Devlin et al., *BERT* (2018), google-research/bert, where it is added to the loss of hidden symbols: `masked_lm` with
//! `next_sentence = 1`. Differs: h is the network's pooled vector, since that is what is kept, and not its first token.
//!
//! `autodidact pretrain DATA --method next_sentence`

use autodidact_kernels::cross_entropy;
use burn::module::Module;
use burn::tensor::{Int, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::{Loss, Method, Objective, Step, Training, take};
use crate::error::{Error, Result};
use crate::layers::{Init, Linear};
use crate::modality::{Batch, Change, Encoder, Maskable, Need, Pretext};

/// Deviation of initial weights, as published.
const DEVIATION: f32 = 0.02;

/// The recipe's `[method]` for next-sentence prediction, which has no settings.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NextSentence {}

impl Objective for NextSentence {
    const NAME: &'static str = "next_sentence";
    const SUMMARY: &'static str = "tell whether one stretch of an item follows another";
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

/// Tells from an item's vector whether its stretches follow each other.
#[derive(Module, Debug)]
pub(super) struct Follows {
    dense: Linear,
    relation: Linear,
}

impl Follows {
    /// For vectors of a width.
    pub(super) fn new(dim: usize, init: &mut Init) -> Self {
        Self {
            dense: Linear::normal(dim, dim, true, DEVIATION, init),
            relation: Linear::normal(dim, 2, true, DEVIATION, init),
        }
    }

    /// What vectors `[batch, dim]` cost beside their labels, and the part of them that is told rightly.
    pub(super) fn loss(&self, vectors: Tensor<2>, labels: &[u32]) -> (Tensor<1>, Tensor<1>) {
        let logits = self.relation.forward(self.dense.forward(vectors).tanh()); // [batch, 2]
        let labels: Vec<i64> = labels.iter().map(|&label| i64::from(label)).collect();
        let count = labels.len();
        let labels = TensorData::new(labels, [count]);
        let labels = Tensor::<1, Int>::from_data(labels, &logits.device());
        let told = logits.clone().detach().argmax(1).squeeze_dim::<1>(1);
        let right = told.equal(labels.clone()).float().mean();
        (cross_entropy(logits, labels, None), right)
    }
}

/// Which views follow, by the labels that they made for themselves.
///
/// # Errors
/// When they made none.
pub(super) fn labels<B: Batch>(batch: &B) -> Result<&[u32]> {
    batch.own_labels().ok_or_else(|| {
        Error::recipe("next_sentence with views that don't say whether they follow")
            .expected("views of two stretches in a row, the second at times from somewhere else")
            .mend("set views.pairs = true, with a kind of data that has it")
    })
}

impl<E: Encoder> Method<E> for NextSentenceMethod<E> {
    type Carry = ();

    fn loss(&self, views: Vec<E::Batch>, _: &Step) -> Result<(Loss, ())> {
        let [batch]: [E::Batch; 1] = take(views, NextSentence::NAME)?;
        let labels = labels(&batch)?;
        let (loss, right) = self.follows.loss(self.encoder.encode(&batch), labels);
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

    /// The formula of the header, term by term: the loss, and the part that is told rightly.
    fn naive(head: &Follows, vectors: &[[f64; 3]], labels: &[u32]) -> (f64, f64) {
        let (mut loss, mut right) = (0.0, 0.0);
        for (vector, &label) in vectors.iter().zip(labels) {
            let inner: Vec<f64> = apply(&head.dense, vector)
                .iter()
                .map(|x| x.tanh())
                .collect();
            let logits = apply(&head.relation, &inner);
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
        let (vectors, labels) = ([[9.0, -4.0, 2.0], [-7.0, 1.0, 30.0]], [1u32, 0]);
        let (expected, right) = naive(&head, &vectors, &labels);
        let given = vectors.map(|vector| vector.map(|x| x as f32));
        let given = Tensor::<2>::from_data(given, &device).require_grad();
        let (loss, told) = head.loss(given.clone(), &labels);
        let gradients = host(given.grad(&loss.backward()).unwrap());
        let scalar = |tensor: Tensor<1>| f64::from(tensor.into_scalar::<f32>());
        let (loss, told) = (scalar(loss), scalar(told));
        assert!((loss - expected).abs() < 1e-6, "{loss} beside {expected}");
        assert!((told - right).abs() < 1e-6, "{told} beside {right}");
        assert!((loss - 2f64.ln()).abs() < 0.05, "guessing: {loss}");
        for (place, found) in gradients.into_iter().enumerate() {
            let moved = |by: f64| {
                let mut vectors = vectors;
                vectors[place / 3][place % 3] += by;
                naive(&head, &vectors, &labels).0
            };
            let slope = (moved(1e-4) - moved(-1e-4)) / 2e-4;
            assert!((f64::from(found) - slope).abs() < 1e-6, "{found} {slope}");
        }
    }
}
