//! A gated recurrent unit in PyTorch's weight layout.

use autodidact_kernels::{GruWeights, gru};
use burn::module::{Module, Param};
use burn::tensor::Tensor;

use super::init::Init;

/// One layer in one direction, with the names of PyTorch's `nn.GRU`. Rows are ordered as there: reset gate, update
/// gate, new state.
#[derive(Module, Debug)]
pub struct Gru {
    /// `[3 · hidden, inputs]`.
    pub weight_ih_l0: Param<Tensor<2>>,
    /// `[3 · hidden, hidden]`.
    pub weight_hh_l0: Param<Tensor<2>>,
    /// `[3 · hidden]`.
    pub bias_ih_l0: Param<Tensor<1>>,
    /// `[3 · hidden]`.
    pub bias_hh_l0: Param<Tensor<1>>,
}

impl Gru {
    /// PyTorch's default: weights and biases uniform in ±1/√hidden.
    pub fn new(inputs: usize, hidden: usize, init: &mut Init) -> Self {
        let bound = 1.0 / (hidden.max(1) as f32).sqrt();
        Self {
            weight_ih_l0: init.uniform([3 * hidden, inputs], bound),
            weight_hh_l0: init.uniform([3 * hidden, hidden], bound),
            bias_ih_l0: init.uniform([3 * hidden], bound),
            bias_hh_l0: init.uniform([3 * hidden], bound),
        }
    }

    /// The state after each step, `[batch, time, inputs]` → `[batch, time, hidden]`. `initial` is the state before the
    /// first step, `[batch, hidden]`; zeros if there is none.
    pub fn forward(&self, x: Tensor<3>, initial: Option<Tensor<2>>) -> Tensor<3> {
        let weights = GruWeights {
            input: self.weight_ih_l0.val(),
            hidden: self.weight_hh_l0.val(),
            input_bias: self.bias_ih_l0.val(),
            hidden_bias: self.bias_hh_l0.val(),
        };
        gru(x, initial, weights)
    }

    /// Width of a state.
    pub fn hidden(&self) -> usize {
        self.weight_hh_l0.dims()[1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layers::init::tests_device;
    use crate::layers::state::state_of;

    #[test]
    fn names_and_shapes_are_pytorchs() {
        let state = state_of(&Gru::new(5, 8, &mut Init::new(0, &tests_device())));
        assert_eq!(state.len(), 4);
        assert_eq!(state["weight_ih_l0"].shape, [24, 5]);
        assert_eq!(state["weight_hh_l0"].shape, [24, 8]);
        assert_eq!(state["bias_ih_l0"].shape, [24]);
        assert_eq!(state["bias_hh_l0"].shape, [24]);
        let bound = 1.0 / 8.0f32.sqrt();
        for array in state.values() {
            assert!(array.values.iter().all(|value| value.abs() <= bound));
        }
    }

    #[test]
    fn a_sequence_can_be_continued_from_its_last_state() {
        let device = tests_device();
        let gru = Gru::new(3, 4, &mut Init::new(0, &device));
        let x = Init::new(1, &device).normal([2, 10, 3], 1.0).val();
        let whole = gru.forward(x.clone(), None);
        let first = gru.forward(x.clone().narrow(1, 0, 6), None);
        let last = first.narrow(1, 5, 1).squeeze_dim(1);
        let second = gru.forward(x.narrow(1, 6, 4), Some(last));
        let difference = (whole.narrow(1, 6, 4) - second).abs().max();
        assert!(difference.into_scalar::<f32>() < 1e-6);
        assert_eq!(gru.hidden(), 4);
    }
}
