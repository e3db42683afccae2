//! Causal language modeling: every symbol is predicted from those before it.
//!
//! Loss: −log p(xₜ₊₁ | x₁ … xₜ), averaged over all symbols of the batch that have a next one.
//!
//! Radford et al., *Language Models are Unsupervised Multitask Learners* (2019), openai/gpt-2; the loop that is compared
//! with is karpathy/nanoGPT's. The network scores symbols by their own vectors, so that the method adds no weights.
//!
//! `autodidact pretrain DATA --method causal_lm`

use autodidact_kernels::cross_entropy;
use burn::module::Module;
use burn::tensor::{Int, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::{Loss, Method, Objective, Step, Training, take, wordless};
use crate::error::Result;
use crate::layers::Init;
use crate::modality::{Encoder, Maskable, Need};

/// The target of a place that has no next symbol.
const NONE: i64 = -1;

/// The recipe's `[method]` for causal language modeling, which has no settings.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CausalLm {}

impl Objective for CausalLm {
    const NAME: &'static str = "causal_lm";
    const SUMMARY: &'static str = "predict each symbol from those before it";
    const SOURCE: &'static str = "Radford et al. 2019 (GPT-2), openai/gpt-2, karpathy/nanoGPT";
    const NEEDS: Need = Need::Next;
    type Method<E: Maskable> = CausalLmMethod<E>;

    fn training(&self) -> Training {
        Training::adamw(1e-3, 0.1).for_batch(32)
    }

    fn build<E: Maskable>(&self, encoder: E, _: &mut Init) -> Result<CausalLmMethod<E>> {
        encoder.symbolic().ok_or_else(|| wordless(Self::NAME))?;
        Ok(CausalLmMethod { encoder })
    }
}

/// An encoder that predicts.
#[derive(Module, Debug)]
pub struct CausalLmMethod<E: Encoder> {
    encoder: E,
}

impl<E: Encoder> Method<E> for CausalLmMethod<E> {
    type Carry = ();

    fn loss(&self, views: Vec<E::Batch>, _: &Step) -> Result<(Loss, ())> {
        let [batch]: [E::Batch; 1] = take(views, CausalLm::NAME)?;
        let network = self
            .encoder
            .symbolic()
            .ok_or_else(|| wordless(CausalLm::NAME))?;
        let tokens = self.encoder.tokens(&batch).values;
        let next = &network.symbols(&batch).next;
        let places: Vec<usize> = (0..next.len()).collect();
        let scores = network.scores(tokens, &places);
        let asked = next.iter().flatten().count();
        let targets: Vec<i64> = next.iter().map(|id| id.map_or(NONE, i64::from)).collect();
        let targets = TensorData::new(targets, [next.len()]);
        let targets = Tensor::<1, Int>::from_data(targets, &scores.device());
        Ok((
            Loss::new(cross_entropy(scores, targets, Some(NONE))).over(asked),
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
    use super::super::toy::{Toy, ToyBatch};
    use super::*;
    use crate::layers::init::tests_device;

    #[test]
    fn the_loss_is_the_mean_over_all_that_have_a_next() {
        let device = tests_device();
        let toy = Toy::new(6, &device);
        let ids = [1u32, 4, 2, 2, 5];
        let expected: f64 = ids
            .windows(2)
            .map(|pair| toy.cost(pair[0], i64::from(pair[1])))
            .sum::<f64>()
            / 4.0;
        let method = CausalLm::default()
            .build(toy, &mut Init::new(0, &device))
            .unwrap();
        let at = Step {
            number: 0,
            part: 0,
            progress: 0.0,
            seed: 0,
        };
        let (loss, ()) = method.loss(vec![ToyBatch::new(&ids)], &at).unwrap();
        let found = f64::from(loss.total.into_scalar::<f32>());
        assert!((found - expected).abs() < 1e-5, "{found} beside {expected}");
        assert_eq!(loss.predictions, Some(4));
    }
}
