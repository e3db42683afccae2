//! The gradients of a step as one set without ranks: what can be summed, clipped and, one day, reduced over machines.

use autodidact_kernels::optimizer;
use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Gradients as Tape, Tensor};
use std::collections::BTreeMap;

use crate::layers::state::Path;

/// The gradients of a training step: one for each parameter that the loss reached, by its name.
///
/// With [`Optimizer`](super::Optimizer) a step of training is
///
/// ```no_run
/// # use autodidact::train::{Gradients, Optimizer};
/// # fn step<M: burn::module::Module>(mut model: M, loss: burn::tensor::Tensor<1>) -> M {
/// let mut optimizer = Optimizer::new(&autodidact::recipe::Train::default());
/// let mut gradients = Gradients::default();
/// gradients.add(&loss, &model, 1.0);
/// let norm = gradients.norm();
/// gradients.clip(norm, 1.0);
/// model = optimizer.update(model, gradients, 1e-3);
/// # model
/// # }
/// ```
#[derive(Debug)]
pub struct Gradients {
    /// Flat, and not yet scaled.
    of: BTreeMap<String, Tensor<1>>,
    /// What all of them are multiplied by; the update does it on its way.
    scale: f64,
}

impl Default for Gradients {
    fn default() -> Self {
        Self {
            of: BTreeMap::new(),
            scale: 1.0,
        }
    }
}

impl Gradients {
    /// Runs the backward pass of a scalar loss and adds what reaches `module`'s parameters, times `scale`.
    ///
    /// A batch that is worked off in parts calls it once a part.
    ///
    /// # Panics
    /// If no parameter that learns is part of the loss, or its backward pass was run before.
    pub fn add<M: Module>(&mut self, loss: &Tensor<1>, module: &M, scale: f64) {
        // A factor of the loss is one of all gradients, and the cheapest place for it. It undoes a scale that is
        // still to come, too.
        let factor = scale / self.scale;
        let tape = if factor == 1.0 {
            loss.backward()
        } else {
            loss.clone().mul_scalar(factor).backward()
        };
        let mut collect = Collect {
            path: Path::default(),
            tape,
            found: Vec::new(),
        };
        module.visit(&mut collect);
        let (mut names, mut sums, mut terms) = (Vec::new(), Vec::new(), Vec::new());
        for (name, gradient) in collect.found {
            match self.of.remove(&name) {
                Some(sum) => {
                    names.push(name);
                    sums.push(sum);
                    terms.push(gradient);
                }
                None => {
                    self.of.insert(name, gradient);
                }
            }
        }
        self.of
            .extend(names.into_iter().zip(optimizer::add(sums, terms)));
    }

    /// Multiplies all of them: parts of a batch that were added by what they count for become their mean.
    pub fn times(&mut self, factor: f64) {
        self.scale *= factor;
    }

    /// The norm of all gradients together, the same in every run.
    pub fn norm(&self) -> f64 {
        self.scale * optimizer::norm(self.of.values().cloned().collect())
    }

    /// Scales all gradients so that their norm together, which is `norm` now, is at most `limit`, which is more than
    /// zero.
    pub fn clip(&mut self, norm: f64, limit: f64) {
        if norm > limit {
            self.scale *= limit / (norm + 1e-6);
        }
    }

    /// The gradients by name, flat, and what they are still to be multiplied by.
    pub(super) fn into_parts(self) -> (BTreeMap<String, Tensor<1>>, f64) {
        (self.of, self.scale)
    }
}

struct Collect {
    path: Path,
    tape: Tape,
    found: Vec<(String, Tensor<1>)>,
}

impl ModuleVisitor for Collect {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let value = param.val();
        if !value.is_require_grad() {
            return;
        }
        if let Some(gradient) = value.grad_remove(&mut self.tape) {
            let size = gradient.shape().num_elements();
            self.found
                .push((self.path.name(), gradient.reshape([size])));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::init::tests_device;
    use crate::layers::state::host;
    use crate::layers::{Init, Linear};

    /// The gradients of w · x, which are x, whatever the weights.
    fn add(gradients: &mut Gradients, linear: &Linear, x: [f32; 2], scale: f64) {
        let x = Tensor::<2>::from_data([x], &tests_device());
        gradients.add(&linear.forward(x).sum(), linear, scale);
    }

    fn weight(gradients: &Gradients) -> Vec<f64> {
        let values = host(gradients.of["weight"].clone());
        let scaled = |value| gradients.scale * f64::from(value);
        values.into_iter().map(scaled).collect()
    }

    #[test]
    fn parts_come_together_by_their_shares() {
        let linear = Linear::new(2, 1, false, &mut Init::new(3, &tests_device()));
        let mut gradients = Gradients::default();
        add(&mut gradients, &linear, [1.0, 2.0], 0.5);
        add(&mut gradients, &linear, [3.0, -6.0], 0.5);
        assert_eq!(weight(&gradients), [2.0, -2.0]);
        assert!((gradients.norm() - 8f64.sqrt()).abs() < 1e-12);
    }

    #[test]
    fn parts_that_count_for_more_come_together_to_their_mean() {
        let linear = Linear::new(2, 1, false, &mut Init::new(3, &tests_device()));
        let mut gradients = Gradients::default();
        add(&mut gradients, &linear, [1.0, 2.0], 1.0);
        add(&mut gradients, &linear, [3.0, -6.0], 3.0);
        gradients.times(0.25);
        assert_eq!(weight(&gradients), [2.5, -4.0]);
    }

    #[test]
    fn clipping_limits_the_norm_and_what_is_added_later_counts_in_full() {
        let linear = Linear::new(2, 1, false, &mut Init::new(3, &tests_device()));
        let mut gradients = Gradients::default();
        add(&mut gradients, &linear, [3.0, 4.0], 1.0);
        gradients.clip(gradients.norm(), 10.0);
        assert_eq!(weight(&gradients), [3.0, 4.0]);
        gradients.clip(gradients.norm(), 1.0);
        assert!((gradients.norm() - 1.0).abs() < 1e-6);
        add(&mut gradients, &linear, [1.0, 1.0], 1.0);
        let found = weight(&gradients);
        assert!((found[0] - 1.6).abs() < 1e-5 && (found[1] - 1.8).abs() < 1e-5);
    }
}
