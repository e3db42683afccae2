//! A classifier trained with labels, by cross-entropy: what `autodidact finetune` makes of a pretrained encoder, and the
//! ceiling to hold self-supervision against. Not a method of it.
//!
//! Loss: −log softmax(W h + b), taken at the item's class and averaged over the batch, each item with the weight of its
//! class.
//!
//! Over given weights the classifier begins as the best linear one that there is for their vectors, its penalty chosen on
//! some of the items: from a random one on, the network would unlearn on the way what it knows (Kumar et al. 2022, *Fine-Tuning
//! can Distort Pretrained Features*).
//!
//! A pretrained encoder may keep its first stages as they are (`last_stages`), or learn the more slowly the earlier a
//! stage is (`layer_decay`; Howard & Ruder 2018, Bao et al. 2022).
//!
//! `autodidact finetune RUN DATA`, `autodidact pretrain DATA --method supervised`

use std::collections::BTreeMap;

use autodidact_eval::Matrix;
use autodidact_eval::probe::{Probe, ProbeSettings};
use autodidact_kernels::cross_entropy;
use burn::module::Module;
use burn::tensor::activation::log_softmax;
use burn::tensor::{Int, Tensor, TensorData};
use serde::{Deserialize, Serialize};

use super::{Loss, Method, Objective, Step, Training, device_of, take, within};
use crate::error::{Error, Result};
use crate::layers::freeze::freeze;
use crate::layers::state::{replaced, trained};
use crate::layers::{Init, Linear};
use crate::modality::{Batch, Encoder, Maskable, Need};

/// Items up to which each fifth of them is held out in turn to choose the first classifier's penalty by.
const FEW: usize = 1000;
/// Those fifths.
const ROUNDS: usize = 5;
/// Items that tell how vectors are scaled before the first classifier is fitted, of more.
const MANY: usize = 5000;
/// Iterations of a fit to more than those, at most; each of them begins where another has ended.
const MANY_ITERATIONS: usize = 100;
/// What a class weighs at the least where the first classifier is balanced: with nothing it would cost without end.
const LEAST_WEIGHT: f64 = 1e-6;

/// The recipe's `[method]` for the supervised ceiling.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Supervised {
    /// Room for that many classes; more than the data has does no harm, and 0 takes as many as the data has.
    pub classes: usize,
    /// How many of the encoder's stages learn, counted from the last; the classifier always does. 0 keeps the whole
    /// encoder as it is, none given lets all of it learn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_stages: Option<usize>,
    /// By how much slower a stage learns than the one after it, 0.01 to 1 (equally fast).
    pub layer_decay: f64,
    /// Whether classes count alike, however many items each has.
    pub balance: bool,
    /// The weights that balance them, class by class; filled in from the data.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub class_weights: Vec<f64>,
}

impl Default for Supervised {
    fn default() -> Self {
        Self {
            classes: 256,
            last_stages: None,
            layer_decay: 1.0,
            balance: false,
            class_weights: Vec::new(),
        }
    }
}

impl Objective for Supervised {
    const NAME: &'static str = "supervised";
    const SUMMARY: &'static str =
        "labels: what fine-tuning learns by, and a ceiling to compare with (no self-supervision)";
    const SOURCE: &'static str = "cross-entropy";
    const NEEDS: Need = Need::Vectors;
    type Method<E: Maskable> = SupervisedMethod<E>;

    fn training(&self) -> Training {
        Training::sgd(0.2, 5e-4)
    }

    fn needs_classes(&self) -> bool {
        true
    }

    fn see_classes(&mut self, items: &[usize]) {
        if self.classes == 0 {
            self.classes = items.len();
        }
        if self.balance {
            self.class_weights = balancing(items);
        }
    }

    fn check(&self) -> Result<()> {
        within("layer_decay", self.layer_decay, 0.01, 1.0)?;
        for &weight in &self.class_weights {
            within("class_weights", weight, 0.0, 1e9)?;
        }
        Ok(())
    }

    fn build<E: Maskable>(&self, encoder: E, init: &mut Init) -> Result<SupervisedMethod<E>> {
        let classifier = Linear::new(encoder.dim(), self.classes.max(1), true, init);
        let stages = encoder.stages();
        let first = stages - self.last_stages.unwrap_or(stages).min(stages);
        let stage: Vec<(String, usize)> = trained(&encoder)
            .into_iter()
            .map(|name| (name.clone(), encoder.stage(&name)))
            .collect();
        let rates = stage
            .into_iter()
            .filter(|_| self.layer_decay < 1.0)
            .map(|(name, stage)| {
                let rate = self.layer_decay.powi((stages - stage) as i32);
                (format!("encoder.{name}"), rate)
            })
            .collect();
        let encoder = if first > 0 {
            let stands = encoder.clone();
            freeze(encoder, |name| stands.stage(name) < first)
        } else {
            encoder
        };
        Ok(SupervisedMethod {
            encoder,
            classifier,
            settings: Settled {
                rates,
                class_weights: self.class_weights.clone(),
            },
        })
    }
}

/// Weights under which all classes count alike: inversely proportional to their items, 1 on average over the items;
/// 0 for a class without any. scikit-learn's `class_weight="balanced"`.
fn balancing(items: &[usize]) -> Vec<f64> {
    let present = items.iter().filter(|&&count| count > 0).count() as f64;
    let all = items.iter().sum::<usize>() as f64;
    let weight = |&count: &usize| match count {
        0 => 0.0,
        count => all / (present * count as f64),
    };
    items.iter().map(weight).collect()
}

/// An encoder and its classifier.
#[derive(Module, Debug)]
pub struct SupervisedMethod<E: Encoder> {
    encoder: E,
    classifier: Linear,
    #[module(skip)]
    settings: Settled,
}

/// What isn't learned.
#[derive(Debug, Clone, Default)]
struct Settled {
    /// Learning rates of the parameters that learn more slowly, as parts of the run's.
    rates: BTreeMap<String, f64>,
    /// One for each class, or none at all.
    class_weights: Vec<f64>,
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
        let weights = &self.settings.class_weights;
        if weights.is_empty() {
            let costs = costs(logits.clone().detach(), target.clone());
            let loss = Loss::new(cross_entropy(logits, target, None));
            let alike = vec![1.0; classes.len()];
            return Ok((loss.of_items(&costs.squeeze_dim(1), alike), ()));
        }
        let weights: Vec<f64> = classes
            .iter()
            .map(|&class| weights.get(class as usize).copied().unwrap_or(1.0))
            .collect();
        Ok((weighted(logits, target, &weights), ()))
    }

    fn read_out(
        self,
        vectors: &Matrix,
        classes: &[u32],
        chosen_by: Option<&[usize]>,
    ) -> (Self, Option<String>) {
        let fitted = match chosen_by {
            Some(rows) => probe_chosen_by(rows, vectors, classes),
            None => best_probe(vectors, classes),
        };
        let fitted = fitted.and_then(|probe| {
            let unscaled = probe.unscaled()?;
            Ok((probe, unscaled))
        });
        let Ok((probe, (rows, intercepts))) = fitted else {
            // Labels of one class, or numbers without end: it begins at random.
            return (self, None);
        };
        let [room, dim] = self.classifier.weight.dims();
        let least = intercepts.iter().copied().fold(0.0, f32::min);
        let (mut weight, mut bias) = (vec![0.0; room * dim], vec![least; room]);
        let known = probe.model.classes.iter().map(|&class| class as usize);
        for (row, class) in known.enumerate().filter(|&(_, class)| class < room) {
            weight[class * dim..][..dim].copy_from_slice(rows.row(row));
            // Frequent classes count for less where all are to count alike.
            let balance = self
                .settings
                .class_weights
                .get(class)
                .map_or(0.0, |weight| weight.max(LEAST_WEIGHT).ln());
            bias[class] = intercepts[row] + balance as f32;
        }
        let right = probe.tried.iter().map(|tried| tried.accuracy);
        let line = match right.reduce(f64::max) {
            Some(right) => format!(
                "start    from the best linear classifier of its vectors, which is right about {:.1} % of what it hasn't seen",
                100.0 * right
            ),
            None => "start    from a linear classifier of its vectors".to_owned(),
        };
        let classifier = Linear {
            weight: replaced(self.classifier.weight, weight),
            bias: self.classifier.bias.map(|of| replaced(of, bias)),
        };
        let begun = Self { classifier, ..self };
        (begun, Some(line))
    }

    fn rate(&self, parameter: &str) -> f64 {
        self.settings.rates.get(parameter).copied().unwrap_or(1.0)
    }

    fn encoder(&self) -> &E {
        &self.encoder
    }

    fn into_encoder(self) -> E {
        self.encoder
    }
}

/// The best linear classifier of vectors, `[items, dim]`, by the protocol of probes.
fn best_probe(vectors: &Matrix, classes: &[u32]) -> autodidact_eval::Result<Probe> {
    let mut settings = ProbeSettings {
        rounds: if classes.len() > FEW { 1 } else { ROUNDS },
        ..ProbeSettings::default()
    };
    if classes.len() > MANY {
        settings.max_iterations = MANY_ITERATIONS;
        let some = ProbeSettings {
            max_fit_rows: Some(MANY),
            ..settings.clone()
        };
        if let Ok(found) = Probe::fit(vectors, classes, &some) {
            settings.scalings = vec![found.scaling];
        }
    }
    Probe::fit(vectors, classes, &settings)
}

/// The same with scaling and penalty as they are best for some of the rows.
fn probe_chosen_by(
    rows: &[usize],
    vectors: &Matrix,
    classes: &[u32],
) -> autodidact_eval::Result<Probe> {
    let own: Vec<u32> = rows.iter().map(|&row| classes[row]).collect();
    let found = best_probe(&vectors.select(rows)?, &own)?;
    let settings = ProbeSettings {
        scalings: vec![found.scaling],
        candidates: vec![found.chosen_c],
        ..ProbeSettings::default()
    };
    Probe::fit(vectors, classes, &settings)
}

/// The loss of rows that don't count alike, Σ wᵢ ℓᵢ / Σ wᵢ as PyTorch weighs classes, with what they weigh: batches of one
/// class each would else count alike.
fn weighted(logits: Tensor<2>, target: Tensor<1, Int>, weights: &[f64]) -> Loss {
    let all = weights.iter().sum::<f64>();
    let sum = all.max(f64::MIN_POSITIVE);
    let shares: Vec<f32> = weights.iter().map(|weight| (weight / sum) as f32).collect();
    let rows = shares.len();
    let shares = Tensor::<2>::from_data(TensorData::new(shares, [rows, 1]), &logits.device());
    let costs = costs(logits, target);
    Loss::new((costs.clone() * shares).sum())
        .weighing(all)
        .of_items(&costs.squeeze_dim(1), weights.to_vec())
}

/// −log p of each row's class, `[rows, 1]`.
fn costs(logits: Tensor<2>, target: Tensor<1, Int>) -> Tensor<2> {
    log_softmax(logits, 1)
        .gather(1, target.unsqueeze_dim::<2>(1))
        .neg()
}

#[cfg(test)]
mod tests;
