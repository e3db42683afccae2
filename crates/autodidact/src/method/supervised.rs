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
            return Ok((Loss::new(cross_entropy(logits, target, None)), ()));
        }
        let weights: Vec<f64> = classes
            .iter()
            .map(|&class| weights.get(class as usize).copied().unwrap_or(1.0))
            .collect();
        Ok((weighted(logits, target, &weights), ()))
    }

    fn read_out(self, vectors: &Matrix, classes: &[u32]) -> (Self, Option<String>) {
        let settings = ProbeSettings {
            rounds: if classes.len() > FEW { 1 } else { ROUNDS },
            ..ProbeSettings::default()
        };
        let probe = Probe::fit(vectors, classes, &settings);
        let Ok((probe, (rows, intercepts))) = probe.and_then(|probe| {
            let unscaled = probe.unscaled()?;
            Ok((probe, unscaled))
        }) else {
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
                .map_or(0.0, |w| w.ln());
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

/// The loss of rows that don't count alike, with what they weigh: batches of one class each would else count alike.
fn weighted(logits: Tensor<2>, target: Tensor<1, Int>, weights: &[f64]) -> Loss {
    Loss::new(weighted_cross_entropy(logits, target, weights)).weighing(weights.iter().sum())
}

/// Σ wᵢ ℓᵢ / Σ wᵢ over the rows, as PyTorch weighs classes; `weights` are the rows'.
fn weighted_cross_entropy(logits: Tensor<2>, target: Tensor<1, Int>, weights: &[f64]) -> Tensor<1> {
    let sum = weights.iter().sum::<f64>().max(f64::MIN_POSITIVE);
    let shares: Vec<f32> = weights.iter().map(|weight| (weight / sum) as f32).collect();
    let rows = shares.len();
    let shares = Tensor::<2>::from_data(TensorData::new(shares, [rows, 1]), &logits.device());
    let own = log_softmax(logits, 1).gather(1, target.unsqueeze_dim::<2>(1)); // [rows, 1]
    (own * shares).sum().neg()
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

    #[test]
    fn it_begins_with_what_a_linear_classifier_tells() {
        let device = tests_device();
        let toy = super::super::toy::Toy::new(4, &device);
        // Classes 1 and 3 of the room for five, told by the second value; of class 3 there are three times as many.
        let classes: Vec<u32> = (0..80)
            .map(|item| if item % 4 == 0 { 1 } else { 3 })
            .collect();
        let data = classes.iter().enumerate().flat_map(|(item, &class)| {
            let noise = (item as f32 * 12.9).sin();
            [noise, class as f32 - 2.0 + 0.9 * noise, 3.0, -noise * noise]
        });
        let vectors = Matrix::from_vec(80, 4, data.collect()).unwrap();
        let begun = |balance| {
            let mut settings = Supervised {
                classes: 5,
                balance,
                ..Supervised::default()
            };
            settings.see_classes(&[0, 20, 0, 60, 0]);
            let method = settings
                .build(toy.clone(), &mut Init::new(0, &device))
                .unwrap();
            method.read_out(&vectors, &classes)
        };
        let told = |method: &SupervisedMethod<super::super::toy::Toy>| -> Vec<f32> {
            let x = Tensor::<1>::from_data(vectors.data(), &device).reshape([80, 4]);
            let logits = method.classifier.forward(x);
            assert!(method.classifier.weight.is_require_grad());
            crate::layers::state::host(logits)
        };
        let (method, line) = begun(false);
        assert!(line.unwrap().contains(" % of"));
        let logits = told(&method);
        let right = |logits: &[f32]| {
            let likeliest = |row: &[f32]| (0..5).max_by(|&a, &b| row[a].total_cmp(&row[b]));
            let told = logits.chunks(5).map(|row| likeliest(row).unwrap() as u32);
            told.zip(&classes).filter(|(a, b)| a == *b).count()
        };
        assert!(right(&logits) > 72, "{}", right(&logits));
        // Weights 80 / (2 · 20) and 80 / (2 · 60) move the odds of 1 against 3 by a factor of three.
        let odds = |logits: &[f32]| logits[1] - logits[3];
        let balanced = told(&begun(true).0);
        assert!((odds(&balanced) - odds(&logits) - 3f32.ln()).abs() < 1e-4);
        let one = vec![1; 80];
        let method = Supervised::default().build(toy.clone(), &mut Init::new(0, &device));
        assert!(method.unwrap().read_out(&vectors, &one).1.is_none());
    }

    #[test]
    fn weights_balance_classes_as_scikit_learn_does() {
        // numpy: 12 / (3 * [6, 3, 3]), and a class that nobody has.
        let weights = balancing(&[6, 3, 0, 3]);
        assert_eq!(weights, [12.0 / 18.0, 12.0 / 9.0, 0.0, 12.0 / 9.0]);
        let mut settings = Supervised {
            classes: 0,
            balance: true,
            ..Supervised::default()
        };
        settings.see_classes(&[6, 3, 0, 3]);
        assert_eq!((settings.classes, settings.class_weights), (4, weights));
    }

    #[test]
    fn weighted_rows_cost_their_share_and_equal_weights_change_nothing() {
        let device = tests_device();
        let logits = Tensor::<2>::from_data([[2.0, 0.0], [0.5, -1.0], [0.0, 0.3]], &device);
        let target = || Tensor::<1, Int>::from_data([0, 1, 1], &device);
        let cost = |x: f64, y: f64| ((x - y).exp() + 1.0).ln();
        let costs = [cost(0.0, 2.0), cost(0.5, -1.0), cost(0.0, 0.3)];
        let naive = (3.0 * costs[0] + costs[1] + 2.0 * costs[2]) / 6.0;
        let found: f32 =
            weighted_cross_entropy(logits.clone(), target(), &[3.0, 1.0, 2.0]).into_scalar();
        assert!((f64::from(found) - naive).abs() < 1e-6, "{found} {naive}");
        let equal: f32 = weighted_cross_entropy(logits.clone(), target(), &[0.2; 3]).into_scalar();
        let plain: f32 = cross_entropy(logits, target(), None).into_scalar();
        assert!((equal - plain).abs() < 1e-6);
    }

    /// Items that are held out come by class, so that a batch has rows of one weight only.
    #[test]
    fn batches_of_one_class_each_cost_together_what_all_their_rows_cost() {
        let device = tests_device();
        let logits = Tensor::<2>::from_data([[2.0, 0.0], [0.5, -1.0], [0.0, 0.3]], &device);
        let target = Tensor::<1, Int>::from_data([0, 0, 1], &device);
        let weights = [0.2, 0.2, 0.7];
        let of = |from: usize, count: usize| {
            let logits = logits.clone().narrow(0, from, count);
            let target = target.clone().narrow(0, from, count);
            let loss = weighted(logits, target, &weights[from..from + count]);
            let weight = loss.weight.unwrap();
            (weight * f64::from(loss.total.into_scalar::<f32>()), weight)
        };
        let [all, first, second] = [of(0, 3), of(0, 2), of(2, 1)];
        let mean = (first.0 + second.0) / (first.1 + second.1);
        assert!((mean - all.0 / all.1).abs() < 1e-6, "{mean} {all:?}");
    }
}
