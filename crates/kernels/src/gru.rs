//! A gated recurrent unit over whole sequences.
//!
//! ```text
//! r = σ(W_ir x + b_ir + W_hr h + b_hr)          the reset gate
//! z = σ(W_iz x + b_iz + W_hz h + b_hz)          the update gate
//! n = tanh(W_in x + b_in + r ∘ (W_hn h + b_hn)) the new state
//! h ← (1 − z) ∘ n + z ∘ h
//! ```
//!
//! Cho et al., *Learning Phrase Representations using RNN Encoder-Decoder for Statistical Machine
//! Translation* (2014), in the form of torch's `nn.GRU`, where the reset gate acts after the
//! recurrent product.
//!
//! What doesn't depend on the previous step is computed for all steps at once: the products with
//! the input, and backward the gradients of input and weights. In between, each thread takes some
//! items of the batch through all steps by itself, with the recurrent weights packed once and the
//! states in the cache; threads never wait for one another.
//!
//! Cost, for a batch of B, T steps, I inputs and H states: `6·B·T·H·(I + H)` FLOPs forward and
//! twice that backward; `16·B·T·H` bytes are kept for the backward pass, which reuses them for the
//! gradients of the gates. With a batch smaller than the number of threads, the steps themselves
//! run on that many threads only.

use burn::tensor::Tensor;
use burn::tensor::activation::{sigmoid, tanh};
use burn::tensor::module::linear;

#[cfg(feature = "flex")]
mod fused;
#[cfg(feature = "flex")]
mod steps;
#[cfg(feature = "flex")]
mod sums;

/// The weights of a [`gru`], laid out as torch lays them out: the rows of the reset gate first,
/// then those of the update gate, then those of the new state.
#[derive(Clone, Debug)]
pub struct GruWeights {
    /// `[3 · hidden, in]`, torch's `weight_ih_l0`.
    pub input: Tensor<2>,
    /// `[3 · hidden, hidden]`, torch's `weight_hh_l0`.
    pub hidden: Tensor<2>,
    /// `[3 · hidden]`, torch's `bias_ih_l0`.
    pub input_bias: Tensor<1>,
    /// `[3 · hidden]`, torch's `bias_hh_l0`.
    pub hidden_bias: Tensor<1>,
}

/// Runs a gated recurrent unit over sequences and gives its state after each step.
///
/// # Shapes
/// - `x`: `[batch, time, in]`
/// - `initial`: `[batch, hidden]`, the states before the first step; zeros if there are none
/// - returns `[batch, time, hidden]`
///
/// # Panics
/// If the shapes don't fit one another.
pub fn gru(x: Tensor<3>, initial: Option<Tensor<2>>, weights: GruWeights) -> Tensor<3> {
    check(&x, initial.as_ref(), &weights);
    #[cfg(feature = "flex")]
    {
        let GruWeights {
            input,
            hidden,
            input_bias,
            hidden_bias,
        } = weights;
        let inputs = [
            x.into_dispatch(),
            input.into_dispatch(),
            hidden.into_dispatch(),
            input_bias.into_dispatch(),
            hidden_bias.into_dispatch(),
        ];
        let initial = initial.map(Tensor::into_dispatch);
        let mut tensors: Vec<_> = inputs.iter().collect();
        tensors.extend(initial.as_ref());
        if crate::operation::fusible(&tensors) {
            return Tensor::from_dispatch(fused::gru(inputs, initial));
        }
        let [x, input, hidden, input_bias, hidden_bias] = inputs;
        let weights = GruWeights {
            input: Tensor::from_dispatch(input),
            hidden: Tensor::from_dispatch(hidden),
            input_bias: Tensor::from_dispatch(input_bias),
            hidden_bias: Tensor::from_dispatch(hidden_bias),
        };
        let initial = initial.map(Tensor::from_dispatch);
        gru_reference(Tensor::from_dispatch(x), initial, weights)
    }
    #[cfg(not(feature = "flex"))]
    gru_reference(x, initial, weights)
}

fn check(x: &Tensor<3>, initial: Option<&Tensor<2>>, weights: &GruWeights) {
    let [batch, _, features] = x.dims();
    let [rows, hidden] = weights.hidden.dims();
    assert_eq!(
        rows,
        3 * hidden,
        "gru: the recurrent weight is [{rows}, {hidden}] and must be [3 · hidden, hidden]",
    );
    assert_eq!(
        weights.input.dims(),
        [rows, features],
        "gru: {features} inputs and {hidden} states want an input weight of [{rows}, {features}]",
    );
    for bias in [&weights.input_bias, &weights.hidden_bias] {
        assert_eq!(bias.dims(), [rows], "gru: a bias must be [3 · hidden]");
    }
    if let Some(initial) = initial {
        assert_eq!(
            initial.dims(),
            [batch, hidden],
            "gru: the initial states must be [batch, hidden]",
        );
    }
}

/// [`gru`] composed of Burn's own operations, for any device.
///
/// # Panics
/// If there are no time steps.
pub fn gru_reference(x: Tensor<3>, initial: Option<Tensor<2>>, weights: GruWeights) -> Tensor<3> {
    let [batch, time, _] = x.dims();
    let [_, hidden] = weights.hidden.dims();
    let mut state = initial.unwrap_or_else(|| Tensor::zeros([batch, hidden], &x.device()));
    let inputs = linear(x, weights.input.transpose(), Some(weights.input_bias)); // [.., 3 · hidden]
    let weight = weights.hidden.transpose();
    let mut states = Vec::with_capacity(time);
    for step in 0..time {
        let input = inputs.clone().narrow(1, step, 1).squeeze_dim::<2>(1);
        let bias = Some(weights.hidden_bias.clone());
        let product = linear(state.clone(), weight.clone(), bias);
        let [reset, update, new] = [0, 1, 2]
            .map(|gate| [&input, &product].map(|sum| sum.clone().narrow(1, gate * hidden, hidden)));
        let gate = |[input, product]: [Tensor<2>; 2]| sigmoid(input + product);
        let (reset, update) = (gate(reset), gate(update));
        let [input, product] = new;
        let new = tanh(input + reset * product);
        state = new.clone() + update * (state - new);
        states.push(state.clone());
    }
    Tensor::stack(states, 1)
}

#[cfg(all(test, feature = "flex"))]
mod tests;
