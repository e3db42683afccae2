//! Parts of a network that stay as they are while the rest learns.

use burn::module::{Flag, Module, ModuleMapper, Param};
use burn::tensor::Tensor;

use super::state::Path;

/// The network whose parameters of the `chosen` names take no gradient, and whose batch norms among them go by what
/// they have seen before: nothing there moves, running statistics included.
///
/// Names are dotted paths of fields, as in [`state_of`](super::state::state_of). A batch norm's switch is asked about
/// as its field `training`, beside `weight` and `bias`.
pub fn freeze<M: Module>(network: M, chosen: impl Fn(&str) -> bool) -> M {
    network.map(&mut Freeze {
        path: Path::default(),
        chosen,
    })
}

struct Freeze<F> {
    path: Path,
    chosen: F,
}

impl<F: Fn(&str) -> bool> ModuleMapper for Freeze<F> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.path.enter(name, container);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if (self.chosen)(&self.path.name()) {
            param.set_require_grad(false)
        } else {
            param
        }
    }

    fn map_flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
        if (self.chosen)(&self.path.name()) {
            flag.with_value(false)
        } else {
            flag
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::init::tests_device;
    use crate::layers::state::{host, trained};
    use crate::layers::{BatchNorm, Init, Linear};

    #[derive(Module, Debug)]
    struct Pair {
        first: BatchNorm,
        second: BatchNorm,
        last: Linear,
    }

    #[test]
    fn what_is_frozen_neither_learns_nor_counts_and_the_rest_does() {
        let device = tests_device();
        let mut init = Init::new(0, &device);
        let pair = Pair {
            first: BatchNorm::new(2, &init),
            second: BatchNorm::new(2, &init),
            last: Linear::new(2, 1, false, &mut init),
        };
        let pair = freeze(pair, |name| name.starts_with("first."));
        assert_eq!(
            trained(&pair),
            ["second.weight", "second.bias", "last.weight"]
        );
        let x = Tensor::<2>::from_data([[1.0, 2.0], [3.0, 8.0]], &device);
        let out = pair
            .last
            .forward(pair.second.forward(pair.first.forward(x)));
        assert!(out.is_require_grad() || out.is_autodiff());
        assert_eq!(host(pair.first.running_mean.value()), [0.0, 0.0]);
        assert_ne!(host(pair.second.running_mean.value()), [0.0, 0.0]);
        // Also after a round through evaluation.
        assert_eq!(trained(&pair.valid().train()).len(), 3);
    }
}
