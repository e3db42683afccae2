//! The gradients of a step as one set without ranks: what can be summed, clipped and, one day, reduced over machines.

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{Gradients as Tape, Tensor};
use std::collections::BTreeMap;

use crate::layers::state::Path;

/// Flattened gradients by the name of their parameter.
#[derive(Debug, Default)]
pub(super) struct Gradients {
    of: BTreeMap<String, Tensor<1>>,
}

impl Gradients {
    /// Runs the backward pass of a scalar loss and adds what reaches `module`'s parameters, times `scale`.
    pub(super) fn add<M: Module>(&mut self, loss: &Tensor<1>, module: &M, scale: f64) {
        let mut collect = Collect {
            path: Path::default(),
            tape: loss.backward(),
            scale,
            into: self,
        };
        module.visit(&mut collect);
    }

    /// The norm of all gradients together.
    pub(super) fn norm(&self) -> f64 {
        // Summed on the host in the order of the names, so that it is the same in every run.
        let squares: f64 = self
            .of
            .values()
            .map(|gradient| f64::from(gradient.clone().square().sum().into_scalar::<f32>()))
            .sum();
        squares.sqrt()
    }

    /// Scales all gradients so that their norm together is at most `limit`.
    pub(super) fn clip(&mut self, norm: f64, limit: f64) {
        if norm > limit {
            let scale = limit / (norm + 1e-6);
            for gradient in self.of.values_mut() {
                *gradient = gradient.clone().mul_scalar(scale);
            }
        }
    }

    /// Takes the gradient of one parameter out.
    pub(super) fn take(&mut self, name: &str) -> Option<Tensor<1>> {
        self.of.remove(name)
    }
}

struct Collect<'a> {
    path: Path,
    tape: Tape,
    scale: f64,
    into: &'a mut Gradients,
}

impl ModuleVisitor for Collect<'_> {
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
        let Some(gradient) = value.grad_remove(&mut self.tape) else {
            return;
        };
        let size = gradient.shape().num_elements();
        let mut gradient = gradient.reshape([size]);
        if self.scale != 1.0 {
            gradient = gradient.mul_scalar(self.scale);
        }
        let name = self.path.name();
        let sum = match self.into.of.remove(&name) {
            Some(before) => before + gradient,
            None => gradient,
        };
        self.into.of.insert(name, sum);
    }
}
