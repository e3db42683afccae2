//! SGD with momentum, AdamW and LARS, over all parameters of a module by name.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{Device, Tensor, TensorData};

use super::gradients::Gradients;
use crate::error::{Error, Result};
use crate::layers::state::{Array, Path, State, host};
use crate::method::Optimizer as Kind;
use crate::recipe::Train;

/// How far a LARS step may move a layer, as a part of its norm (You et al. 2017; SimCLR's and BYOL's value).
const TRUST: f64 = 1e-3;
/// Added to Adam's denominator.
const EPSILON: f64 = 1e-8;

/// An optimizer and what it remembers of each parameter.
#[derive(Debug)]
pub(super) struct Optimizer {
    kind: Kind,
    weight_decay: f64,
    momentum: f64,
    betas: [f64; 2],
    updates: u64,
    memory: BTreeMap<String, Memory>,
}

/// Averages kept for one parameter: of the gradient, and for AdamW of its square.
#[derive(Debug)]
struct Memory {
    first: Tensor<1>,
    second: Option<Tensor<1>>,
}

impl Optimizer {
    pub(super) fn new(train: &Train) -> Self {
        Self {
            kind: train.optimizer,
            weight_decay: train.weight_decay,
            momentum: train.momentum,
            betas: train.betas,
            updates: 0,
            memory: BTreeMap::new(),
        }
    }

    /// Moves every parameter that has a gradient.
    pub(super) fn update<M: Module>(
        &mut self,
        module: M,
        gradients: Gradients,
        learning_rate: f64,
    ) -> M {
        self.updates += 1;
        let mut step = Update {
            path: Path::default(),
            optimizer: self,
            gradients,
            learning_rate,
        };
        module.map(&mut step)
    }

    /// What is remembered, by name, for a checkpoint.
    pub(super) fn state(&self) -> State {
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
    pub(super) fn updates(&self) -> u64 {
        self.updates
    }

    /// Takes up where [`Optimizer::state`] was written.
    pub(super) fn restore(&mut self, state: &State, updates: u64, device: &Device) -> Result<()> {
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

    /// What to subtract from `weight`. Biases, norms and other vectors (`decays` is false) are neither decayed nor
    /// scaled by their norm.
    fn step(
        &mut self,
        name: &str,
        weight: &Tensor<1>,
        gradient: Tensor<1>,
        decays: bool,
        rate: f64,
    ) -> Tensor<1> {
        let decay = if decays { self.weight_decay } else { 0.0 };
        match self.kind {
            Kind::Adamw => {
                let [b1, b2] = self.betas;
                let blend = |old: Option<Tensor<1>>, new: Tensor<1>, beta: f64| {
                    let new = new.mul_scalar(1.0 - beta);
                    old.map_or(new.clone(), |old| old.mul_scalar(beta) + new)
                };
                let (old_first, old_second) = match self.memory.remove(name) {
                    Some(memory) => (Some(memory.first), memory.second),
                    None => (None, None),
                };
                let first = blend(old_first, gradient.clone(), b1);
                let second = blend(old_second, gradient.square(), b2);
                let count = self.updates.min(1 << 30) as i32;
                let (c1, c2) = (1.0 - b1.powi(count), 1.0 - b2.powi(count));
                let root = second.clone().div_scalar(c2).sqrt().add_scalar(EPSILON);
                let step = first.clone().div_scalar(c1) / root;
                let memory = Memory {
                    first,
                    second: Some(second),
                };
                self.memory.insert(name.to_owned(), memory);
                (step + weight.clone().mul_scalar(decay)).mul_scalar(rate)
            }
            Kind::Sgd | Kind::Lars => {
                let norms = (self.kind == Kind::Lars && decays)
                    .then(|| (length(weight), length(&gradient)));
                let mut gradient = if decay > 0.0 {
                    gradient + weight.clone().mul_scalar(decay)
                } else {
                    gradient
                };
                if let Some((w, g)) = norms.filter(|&(w, g)| w > 0.0 && g > 0.0) {
                    gradient = gradient.mul_scalar(TRUST * w / (g + decay * w));
                }
                let first = match self.memory.remove(name) {
                    Some(memory) => memory.first.mul_scalar(self.momentum) + gradient,
                    None => gradient,
                };
                let step = first.clone().mul_scalar(rate);
                self.memory.insert(
                    name.to_owned(),
                    Memory {
                        first,
                        second: None,
                    },
                );
                step
            }
        }
    }
}

fn length(x: &Tensor<1>) -> f64 {
    f64::from(x.clone().square().sum().into_scalar::<f32>()).sqrt()
}

struct Update<'a> {
    path: Path,
    optimizer: &'a mut Optimizer,
    gradients: Gradients,
    learning_rate: f64,
}

impl ModuleMapper for Update<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let name = self.path.name();
        let Some(gradient) = self.gradients.take(&name) else {
            return param;
        };
        // A token of shape [1, 1, dim] is a vector too.
        let decays = param.val().dims().iter().filter(|&&edge| edge > 1).count() > 1;
        param.map(|weight| {
            let weight = weight.inner();
            let shape = weight.shape();
            let flat: Tensor<1> = weight.reshape([shape.num_elements()]);
            let step = self
                .optimizer
                .step(&name, &flat, gradient, decays, self.learning_rate);
            Tensor::from_inner((flat - step).reshape(shape)).require_grad()
        })
    }
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
}
