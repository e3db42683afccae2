//! SGD with momentum, AdamW and LARS, over all parameters of a module by name.

use std::collections::BTreeMap;

use autodidact_kernels::optimizer::{Memory, Parameter, Rule, Step, update};
use burn::module::Module;
use burn::tensor::{Device, Tensor, TensorData};

use super::gradients::Gradients;
use crate::error::{Error, Result};
use crate::layers::emptied::take_out;
use crate::layers::state::{Array, State, host};
use crate::method::Optimizer as Kind;
use crate::recipe::Train;

/// How far a LARS step may move a layer, as a part of its norm (You et al. 2017; SimCLR's and BYOL's value).
const TRUST: f64 = 1e-3;
/// Added to Adam's denominator.
const EPSILON: f64 = 1e-8;

/// An optimizer and what it remembers of each parameter, by the parameter's name.
///
/// Biases, norms and other vectors are neither decayed nor, by LARS, scaled.
#[derive(Debug)]
pub struct Optimizer {
    kind: Kind,
    weight_decay: f64,
    momentum: f64,
    betas: [f64; 2],
    updates: u64,
    memory: BTreeMap<String, Memory>,
    /// Learning rates of single parameters as parts of the run's, where they aren't 1.
    rates: BTreeMap<String, f64>,
}

impl Optimizer {
    /// The optimizer that a recipe's `[train]` table asks for, at its beginning.
    pub fn new(train: &Train) -> Self {
        Self {
            kind: train.optimizer,
            weight_decay: train.weight_decay,
            momentum: train.momentum,
            betas: train.betas,
            updates: 0,
            memory: BTreeMap::new(),
            rates: BTreeMap::new(),
        }
    }

    /// Lets single parameters learn at a part of the run's learning rate, by their names.
    #[must_use]
    pub fn with_rates(mut self, rates: BTreeMap<String, f64>) -> Self {
        self.rates = rates;
        self
    }

    /// Moves every parameter that has a gradient.
    ///
    /// On the CPU this is one pass over all parameters together, in place: of a parameter that a clone of the module
    /// also holds, the clone keeps the old values.
    pub fn update<M: Module>(&mut self, module: M, gradients: Gradients, learning_rate: f64) -> M {
        self.updates += 1;
        let (mut gradients, scale) = gradients.into_parts();
        let mut chosen = Vec::with_capacity(gradients.len());
        let (emptied, weights) = take_out(module, |name, axes| {
            let gradient = gradients.remove(name);
            gradient.is_some_and(|gradient| {
                // A token of shape [1, 1, dim] is a vector too.
                chosen.push((name.to_owned(), gradient, axes > 1));
                true
            })
        });
        // Parameters of one learning rate are updated together; mostly that is all of them.
        let mut groups: BTreeMap<u64, Group> = BTreeMap::new();
        let mut updated: Vec<Option<Tensor<1>>> = chosen.iter().map(|_| None).collect();
        for (place, (weight, (name, gradient, decays))) in
            weights.into_iter().zip(chosen).enumerate()
        {
            let memory = self.memory.remove(&name);
            let rate = self.rates.get(&name).copied().unwrap_or(1.0);
            let group = groups.entry(rate.to_bits()).or_default();
            group.places.push(place);
            group.names.push(name);
            group.parameters.push(Parameter {
                weight,
                gradient,
                memory,
                decays,
            });
        }
        for (rate, group) in groups {
            let step = Step {
                rule: self.rule(),
                learning_rate: learning_rate * f64::from_bits(rate),
                weight_decay: self.weight_decay,
                scale,
            };
            let names = group.places.into_iter().zip(group.names);
            for ((place, name), new) in names.zip(update(group.parameters, &step)) {
                updated[place] = Some(new.weight);
                self.memory.insert(name, new.memory);
            }
        }
        let weights = updated.into_iter().flatten();
        emptied.fill(weights)
    }

    fn rule(&self) -> Rule {
        match self.kind {
            Kind::Sgd => Rule::Sgd {
                momentum: self.momentum,
            },
            Kind::Lars => Rule::Lars {
                momentum: self.momentum,
                trust: TRUST,
            },
            Kind::Adamw => Rule::AdamW {
                betas: self.betas,
                epsilon: EPSILON,
                updates: self.updates,
            },
        }
    }

    /// What is remembered, by name, for a checkpoint.
    pub fn state(&self) -> State {
        let mut state = State::new();
        for (name, memory) in &self.memory {
            let mut put = |part: &str, value: &Tensor<1>| {
                let values = host(value.clone());
                let shape = vec![values.len()];
                state.insert(format!("{name}.{part}"), Array { shape, values });
            };
            put("first", &memory.first);
            if let Some(second) = &memory.second {
                put("second", second);
            }
        }
        state
    }

    /// Number of updates made, which Adam's bias correction goes by.
    pub fn updates(&self) -> u64 {
        self.updates
    }

    /// Takes up where [`Optimizer::state`] was written, after `updates` of them; the averages are put on `device`.
    ///
    /// # Errors
    /// When the state is that of another optimizer, which remembers less.
    pub fn restore(&mut self, state: &State, updates: u64, device: &Device) -> Result<()> {
        let tensor = |array: &Array| -> Tensor<1> {
            Tensor::from_data(
                TensorData::new(array.values.clone(), [array.values.len()]),
                device,
            )
        };
        self.updates = updates;
        self.memory.clear();
        for (key, first) in state {
            let Some(name) = key.strip_suffix(".first") else {
                continue;
            };
            let second = state.get(&format!("{name}.second"));
            if second.is_none() && self.kind == Kind::Adamw {
                return Err(Error::run(format!(
                    "a checkpoint without the second average of `{name}`"
                ))
                .expected("a checkpoint of the same optimizer")
                .mend("keep train.optimizer as it was"));
            }
            let memory = Memory {
                first: tensor(first),
                second: second.map(tensor),
            };
            self.memory.insert(name.to_owned(), memory);
        }
        Ok(())
    }
}

/// Parameters of one learning rate, and where among all of them they are.
#[derive(Default)]
struct Group {
    places: Vec<usize>,
    names: Vec<String>,
    parameters: Vec<Parameter>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::init::tests_device;
    use crate::layers::{Init, Linear};

    /// Three steps of an optimizer on y = Σ (w · x)², beside its formulas in plain floats.
    fn compare(kind: Kind, formula: impl Fn(&mut [f64; 2], f64, f64, i32) -> f64) {
        let train = Train {
            optimizer: kind,
            weight_decay: 0.1,
            ..Train::default()
        };
        let device = tests_device();
        let mut linear = Linear::new(2, 2, false, &mut Init::new(3, &device));
        let mut optimizer = Optimizer::new(&train);
        let mut weights: Vec<f64> = host(linear.weight.val())
            .into_iter()
            .map(f64::from)
            .collect();
        let mut memory = [[0.0; 2]; 4];
        for count in 1..=3 {
            let x = Tensor::<2>::from_data([[1.0, 2.0]], &device);
            let mut gradients = Gradients::default();
            gradients.add(&linear.forward(x).square().sum(), &linear, 1.0);
            linear = optimizer.update(linear, gradients, 0.05);
            let out = [weights[0] + 2.0 * weights[1], weights[2] + 2.0 * weights[3]];
            let gradient: Vec<f64> = (0..4)
                .map(|i| 2.0 * out[i / 2] * [1.0, 2.0][i % 2])
                .collect();
            let norm = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>().sqrt();
            let trust = TRUST * norm(&weights) / (norm(&gradient) + 0.1 * norm(&weights));
            for i in 0..4 {
                let scale = if kind == Kind::Lars { trust } else { 1.0 };
                let step = formula(
                    &mut memory[i],
                    gradient[i] * scale,
                    weights[i] * scale,
                    count,
                );
                // AdamW's decay is that of the unscaled weight; its formula gets both alike.
                weights[i] -= 0.05 * step;
            }
            for (found, expected) in host(linear.weight.val()).into_iter().zip(&weights) {
                assert!(
                    (f64::from(found) - expected).abs() < 1e-5,
                    "{kind:?}: {found} beside {expected}"
                );
            }
        }
    }

    #[test]
    fn each_optimizer_follows_its_formula() {
        let sgd = |m: &mut [f64; 2], g: f64, w: f64, _: i32| {
            m[0] = 0.9 * m[0] + g + 0.1 * w;
            m[0]
        };
        compare(Kind::Sgd, sgd);
        compare(Kind::Lars, sgd);
        compare(Kind::Adamw, |m, g, w, count| {
            m[0] = 0.9 * m[0] + 0.1 * g;
            m[1] = 0.999 * m[1] + 0.001 * g * g;
            let (c1, c2) = (1.0 - 0.9f64.powi(count), 1.0 - 0.999f64.powi(count));
            m[0] / c1 / ((m[1] / c2).sqrt() + EPSILON) + 0.1 * w
        });
    }

    /// Parameters are updated in place; what a clone holds must stay.
    #[test]
    fn a_clone_of_the_module_keeps_its_values() {
        let device = tests_device();
        let mut linear = Linear::new(2, 3, true, &mut Init::new(3, &device));
        let mut optimizer = Optimizer::new(&Train::default());
        for _ in 0..2 {
            let clone = linear.clone();
            let before = host(clone.weight.val());
            let x = Tensor::<2>::from_data([[1.0, 2.0]], &device);
            let mut gradients = Gradients::default();
            gradients.add(&linear.forward(x).square().sum(), &linear, 1.0);
            linear = optimizer.update(linear, gradients, 0.05);
            assert_eq!(host(clone.weight.val()), before);
            assert_ne!(host(linear.weight.val()), before);
            assert!(linear.weight.val().is_require_grad());
            assert_eq!(linear.weight.id, clone.weight.id);
        }
    }

    #[test]
    fn clipping_is_part_of_the_update() {
        let device = tests_device();
        let train = Train {
            optimizer: Kind::Sgd,
            weight_decay: 0.0,
            ..Train::default()
        };
        let linear = Linear::new(2, 1, false, &mut Init::new(3, &device));
        let before = host(linear.weight.val());
        let mut gradients = Gradients::default();
        let x = Tensor::<2>::from_data([[3.0, 4.0]], &device);
        gradients.add(&linear.forward(x).sum(), &linear, 1.0);
        gradients.clip(5.0, 1.0);
        let after = Optimizer::new(&train).update(linear, gradients, 1.0);
        for ((after, before), step) in host(after.weight.val()).iter().zip(before).zip([0.6, 0.8]) {
            assert!((before - after - step).abs() < 1e-6);
        }
    }

    #[test]
    fn biases_are_not_decayed() {
        let device = tests_device();
        let train = Train {
            weight_decay: 0.5,
            ..Train::default()
        };
        let linear = Linear::new(2, 2, true, &mut Init::new(3, &device));
        let before = host(linear.bias.as_ref().unwrap().val());
        let mut gradients = Gradients::default();
        let x = Tensor::<2>::zeros([1, 2], &device);
        gradients.add(&(linear.forward(x).sum() * 0.0), &linear, 1.0);
        let after = Optimizer::new(&train).update(linear, gradients, 1.0);
        assert_eq!(host(after.bias.unwrap().val()), before);
    }

    #[test]
    fn a_parameter_with_a_rate_of_its_own_moves_by_that_part() {
        let device = tests_device();
        let train = Train {
            optimizer: Kind::Adamw,
            ..Train::default()
        };
        let linear = Linear::new(2, 2, true, &mut Init::new(3, &device));
        let before = [
            host(linear.weight.val()),
            host(linear.bias.as_ref().unwrap().val()),
        ];
        let moved = |rates: BTreeMap<String, f64>| {
            let mut gradients = Gradients::default();
            let x = Tensor::<2>::from_data([[3.0, 4.0]], &device);
            gradients.add(&linear.forward(x).sum(), &linear, 1.0);
            let after =
                Optimizer::new(&train)
                    .with_rates(rates)
                    .update(linear.clone(), gradients, 0.1);
            let after = [host(after.weight.val()), host(after.bias.unwrap().val())];
            let step = |i: usize| before[i][1] - after[i][1];
            [step(0), step(1)]
        };
        let [weight, bias] = moved(BTreeMap::new());
        let slower = BTreeMap::from([("weight".to_owned(), 0.25)]);
        let [slow, same] = moved(slower);
        assert!((slow - 0.25 * weight).abs() < 1e-6 && weight.abs() > 0.05);
        assert_eq!(same, bias);
    }
}
