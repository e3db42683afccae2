//! One pass over all parameters of a training step: an optimizer's update, the norm of all
//! gradients, and the moving average that a teacher is.
//!
//! A network has a few huge tensors and a hundred tiny ones. Updating them one by one with tensor
//! operations runs each operation on one thread, reads and writes every number once an operation,
//! and allocates what lies between. Here all parameters are cut into pieces of equal size that the
//! threads share, each piece goes through the whole formula while it is in registers, and what is
//! updated stays where it is: a tensor that nobody else holds is changed in place, any other is
//! left alone and its successor gets memory of its own.
//!
//! All of this is bound by memory. Bytes moved for each value, in place:
//!
//! | | read | written | in all |
//! |---|---|---|---|
//! | [`update`], SGD | weight, gradient, first | weight, first | 20 |
//! | [`update`], LARS | the same, weight and gradient twice | weight, first | 28 |
//! | [`update`], AdamW | weight, gradient, first, second | weight, first, second | 28 |
//! | [`norm`] | gradient | | 4 |
//! | [`moving_average`], [`add`] | both | one | 12 |
//!
//! Each operation takes flat tensors, tracked or not, and gives back tensors that are part of no
//! graph. Elements are updated one by one and sums are made of pieces of fixed size, added up in
//! double precision in the order of the parameters, so that results don't even depend on the
//! number of threads.

use burn::tensor::Tensor;

#[cfg(feature = "flex")]
mod fused;
#[cfg(feature = "flex")]
mod pass;
mod reference;

pub use reference::{add_reference, moving_average_reference, norm_reference, update_reference};

/// How a parameter w moves by its gradient g, with the learning rate η and the weight decay λ.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rule {
    /// `m ← μ·m + (g + λ·w)`, `w ← w − η·m`: gradient descent with momentum as torch has it,
    /// without dampening.
    Sgd {
        /// μ, from 0 to 1.
        momentum: f64,
    },
    /// You, Gitman and Ginsburg, *Large Batch Training of Convolutional Networks* (2017): SGD whose
    /// `g + λ·w` is first multiplied by `trust·‖w‖ / (‖g‖ + λ·‖w‖)`, unless one of the norms is 0
    /// or the parameter doesn't [decay](Parameter::decays).
    Lars {
        /// μ, from 0 to 1.
        momentum: f64,
        /// How far a step may move a parameter, as a part of its norm; 0.001 in the paper.
        trust: f64,
    },
    /// Loshchilov and Hutter, *Decoupled Weight Decay Regularization* (2019), as torch has it:
    /// `m ← β₁·m + (1 − β₁)·g`, `v ← β₂·v + (1 − β₂)·g²`,
    /// `w ← w − η·(m/(1 − β₁ᵗ) / (√(v/(1 − β₂ᵗ)) + ε) + λ·w)`.
    AdamW {
        /// β₁ and β₂, from 0 to less than 1.
        betas: [f64; 2],
        /// ε, added to the denominator.
        epsilon: f64,
        /// t, which counts this update too and so begins at 1.
        updates: u64,
    },
}

/// What holds for all parameters of an update.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    /// The formula.
    pub rule: Rule,
    /// η.
    pub learning_rate: f64,
    /// λ, for parameters that [decay](Parameter::decays).
    pub weight_decay: f64,
    /// What every gradient is multiplied by before anything else: 1, or less to clip it.
    pub scale: f64,
}

/// What an optimizer remembers of a parameter; each of the parameter's length.
#[derive(Clone, Debug)]
pub struct Memory {
    /// The average of gradients: `m`.
    pub first: Tensor<1>,
    /// The average of squared gradients, `v`, which only AdamW keeps.
    pub second: Option<Tensor<1>>,
}

/// A parameter about to be updated.
#[derive(Clone, Debug)]
pub struct Parameter {
    /// The values, flat.
    pub weight: Tensor<1>,
    /// The gradient, of the same length.
    pub gradient: Tensor<1>,
    /// What was remembered; nothing before the first update, which is the same as zeros.
    pub memory: Option<Memory>,
    /// Whether it is decayed and, by LARS, scaled: a matrix is, a bias or the scale of a norm isn't.
    pub decays: bool,
}

/// A parameter after the update.
#[derive(Clone, Debug)]
pub struct Updated {
    /// The new values.
    pub weight: Tensor<1>,
    /// What to hand in with the next update.
    pub memory: Memory,
}

/// Updates all parameters by `step`, in their order.
///
/// Weights and memory are changed in place where nothing else holds their storage; a clone held
/// elsewhere keeps its values.
///
/// # Panics
/// If the tensors of a parameter differ in length.
pub fn update(parameters: Vec<Parameter>, step: &Step) -> Vec<Updated> {
    for parameter in &parameters {
        let length = parameter.weight.dims();
        let fits = |name: &str, tensor: &Tensor<1>| {
            assert_eq!(
                tensor.dims(),
                length,
                "optimizer::update: the {name} must be as long as its weight, {length:?}"
            );
        };
        fits("gradient", &parameter.gradient);
        if let Some(memory) = &parameter.memory {
            fits("first average", &memory.first);
            if let Some(second) = &memory.second {
                fits("second average", second);
            }
        }
    }
    #[cfg(feature = "flex")]
    {
        let fusible = parameters.iter().all(|parameter| {
            let memory = parameter.memory.as_ref();
            let averages = memory.map(|memory| [Some(&memory.first), memory.second.as_ref()]);
            fused::fusible([&parameter.weight, &parameter.gradient])
                && fused::fusible(averages.into_iter().flatten().flatten())
        });
        if fusible {
            return fused::update(parameters, step);
        }
    }
    update_reference(parameters, step)
}

/// The Euclidean norm of all tensors together; 0 where there are none.
pub fn norm(tensors: Vec<Tensor<1>>) -> f64 {
    #[cfg(feature = "flex")]
    if fused::fusible(&tensors) {
        return fused::norm(tensors);
    }
    norm_reference(tensors)
}

/// `average ← momentum · average + (1 − momentum) · value`, for each average and the value of the
/// same place; in place where nothing else holds an average.
///
/// This is how a teacher follows its student: Tarvainen and Valpola, *Mean teachers are better role
/// models* (2017).
///
/// # Panics
/// If there are not as many values as averages, or their lengths differ.
pub fn moving_average(
    averages: Vec<Tensor<1>>,
    values: Vec<Tensor<1>>,
    momentum: f64,
) -> Vec<Tensor<1>> {
    alike("moving_average", &averages, &values);
    #[cfg(feature = "flex")]
    if fused::fusible(averages.iter().chain(&values)) {
        return fused::blend(averages, values, [momentum, 1.0 - momentum]);
    }
    moving_average_reference(averages, values, momentum)
}

/// `sum ← sum + term`, for each sum and the term of the same place: how the gradients of several
/// parts of a batch come together; in place where nothing else holds a sum.
///
/// # Panics
/// If there are not as many terms as sums, or their lengths differ.
pub fn add(sums: Vec<Tensor<1>>, terms: Vec<Tensor<1>>) -> Vec<Tensor<1>> {
    alike("add", &sums, &terms);
    #[cfg(feature = "flex")]
    if fused::fusible(sums.iter().chain(&terms)) {
        return fused::blend(sums, terms, [1.0; 2]);
    }
    add_reference(sums, terms)
}

fn alike(operation: &str, left: &[Tensor<1>], right: &[Tensor<1>]) {
    let lengths = |tensors: &[Tensor<1>]| tensors.iter().map(Tensor::dims).collect::<Vec<_>>();
    assert_eq!(
        lengths(left),
        lengths(right),
        "optimizer::{operation}: both lists must hold tensors of the same lengths"
    );
}

#[cfg(all(test, feature = "flex"))]
mod tests;
