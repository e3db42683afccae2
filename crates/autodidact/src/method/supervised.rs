//! The ceiling: the same network trained with every label, by cross-entropy. A baseline to hold self-supervision
//! against, not a method of it.
//!
//! Loss: −log softmax(W h + b), taken at the item's class and averaged over the batch.
//!
//! `autodidact pretrain DATA --method supervised`

use autodidact_kernels::cross_entropy;
use burn::module::Module;
use burn::tensor::{Int, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::{Loss, Method, Objective, Optimizer, Step, Training, device_of, positive, take};
use crate::error::{Error, Result};
use crate::layers::{Init, Linear};
use crate::modality::{Batch, Change, Encoder, Maskable, Pretext};

/// The recipe's `[method]` for the supervised ceiling.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Supervised {
    /// Room for that many classes; more than the data has does no harm.
    pub classes: usize,
}

impl Default for Supervised {
    fn default() -> Self {
        Self { classes: 256 }
    }
}

impl Objective for Supervised {
    const NAME: &'static str = "supervised";
    const SUMMARY: &'static str =
        "the ceiling: the same network trained with every label (a baseline, not self-supervision)";
    const SOURCE: &'static str = "cross-entropy";
    type Method<E: Maskable> = SupervisedMethod<E>;

    fn pretext(&self) -> Pretext {
        Pretext {
            views: 1,
            change: Change::Light,
            masks: false,
        }
    }

    fn training(&self) -> Training {
        Training {
            optimizer: Optimizer::Sgd,
            learning_rate: 0.2,
            weight_decay: 5e-4,
        }
    }

    fn needs_classes(&self) -> bool {
        true
    }

    fn check(&self) -> Result<()> {
        positive("classes", self.classes)
    }

    fn build<E: Maskable>(&self, encoder: E, init: &mut Init) -> Result<SupervisedMethod<E>> {
        let classifier = Linear::new(encoder.dim(), self.classes, true, init);
        Ok(SupervisedMethod {
            encoder,
            classifier,
        })
    }
}

/// An encoder and its classifier.
#[derive(Module, Debug)]
pub struct SupervisedMethod<E: Encoder> {
    encoder: E,
    classifier: Linear,
}

impl<E: Encoder> Method<E> for SupervisedMethod<E> {
    type Carry = ();

    fn loss(&self, views: Vec<E::Batch>, _: &Step) -> Result<(Loss, ())> {
        let [batch]: [E::Batch; 1] = take(views, "supervised training")?;
        let rows = batch.rows();
        let room = self.classifier.weight.dims()[0];
        let Some(classes) = &rows.classes else {
            return Err(Error::data("no labels")
                .expected("a label for every item")
                .mend("name a file of labels with --labels"));
        };
        if let Some(class) = classes.iter().find(|&&class| class as usize >= room) {
            return Err(Error::recipe(format!("class number {class}"))
                .expected(format!("at most {}", room - 1))
                .mend("raise method.classes"));
        }
        let logits = self.classifier.forward(self.encoder.encode(&batch));
        let target: Vec<i32> = classes.iter().map(|&class| class as i32).collect();
        let target = Tensor::<1, Int>::from_data(
            TensorData::from(target.as_slice()),
            &device_of(&self.encoder),
        );
        Ok((Loss::new(cross_entropy(logits, target, None)), ()))
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

    #[test]
    fn uniform_logits_cost_the_logarithm_of_the_classes() {
        let device = tests_device();
        let target = Tensor::<1, Int>::from_data([0, 3], &device);
        let loss: f32 =
            cross_entropy(Tensor::zeros([2, 5], &device), target.clone(), None).into_scalar();
        assert!((loss - 5f32.ln()).abs() < 1e-6);
        let logits = Tensor::<2>::from_data([[2.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, -1.0]], &device);
        let loss: f32 = cross_entropy(logits, target, None).into_scalar();
        let naive = ((2f32.exp() + 3.0).ln() - 2.0 + (3.0 + (-1f32).exp()).ln() + 1.0) / 2.0;
        assert!((loss - naive).abs() < 1e-6);
    }
}
