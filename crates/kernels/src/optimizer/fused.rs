//! The passes on Flex.

use burn::backend::Flex;
use burn::tensor::Tensor;
use burn_flex::FlexTensor;

use super::pass::{PIECE, Piece, Target, each};
use super::reference::corrections;
use super::{Memory, Parameter, Rule, Step, Updated};
use crate::buffer::elements;
use crate::vectorized::vectorized;

/// Whether every tensor is an `f32` tensor of Flex.
pub(super) fn fusible<'a>(tensors: impl IntoIterator<Item = &'a Tensor<1>>) -> bool {
    tensors
        .into_iter()
        .all(|tensor| crate::operation::fusible(&[&tensor.clone().into_dispatch()]))
}

pub(super) fn update(parameters: Vec<Parameter>, step: &Step) -> Vec<Updated> {
    let mut states: Vec<State> = parameters
        .into_iter()
        .map(|parameter| State::new(parameter, step))
        .collect();
    if let Rule::Lars { trust, .. } = step.rule {
        scale_by_norms(&mut states, step, trust);
    }
    let values = states
        .iter()
        .map(|state| elements(&state.gradient).len())
        .sum();
    let pieces = states.iter_mut().flat_map(State::pieces).collect();
    each(pieces, values, Work::run);
    states
        .into_iter()
        // SAFETY: running the work has opened every piece.
        .map(|state| unsafe { state.finish() })
        .collect()
}

/// Multiplies the change of each parameter that decays by its trust ratio.
fn scale_by_norms(states: &mut [State], step: &Step, trust: f64) {
    let scaled = states.iter().filter(|state| state.decays);
    let slices: Vec<&[f32]> = scaled
        .flat_map(|state| [state.weight.old(), elements(&state.gradient)])
        .collect();
    let squares = squares(&slices);
    let scaled = states.iter_mut().filter(|state| state.decays);
    for (state, squares) in scaled.zip(squares.chunks_exact(2)) {
        let (weight, gradient) = (squares[0].sqrt(), squares[1].sqrt() * step.scale);
        if weight > 0.0 && gradient > 0.0 {
            state.trust = trust * weight / (gradient + step.weight_decay * weight);
        }
    }
}

pub(super) fn norm(tensors: Vec<Tensor<1>>) -> f64 {
    let tensors: Vec<_> = tensors.into_iter().map(flat).collect();
    let slices: Vec<_> = tensors.iter().map(elements).collect();
    squares(&slices).into_iter().sum::<f64>().sqrt()
}

/// `a·target + b·source`, for each target and the source of the same place.
///
/// In double precision: the parts of a slow average, .9999 and .0001, don't add up to 1 once each of
/// them is rounded to single precision, and over thousands of steps the average would shrink or grow.
pub(super) fn blend(
    targets: Vec<Tensor<1>>,
    sources: Vec<Tensor<1>>,
    [a, b]: [f64; 2],
) -> Vec<Tensor<1>> {
    let sources: Vec<_> = sources.into_iter().map(flat).collect();
    let mut targets: Vec<_> = targets.into_iter().map(flat).map(Target::of).collect();
    let values = sources.iter().map(|source| elements(source).len()).sum();
    let pieces = targets
        .iter_mut()
        .zip(&sources)
        .flat_map(|(target, source)| {
            target
                .pieces()
                .into_iter()
                .zip(elements(source).chunks(PIECE))
        })
        .collect();
    each(pieces, values, |(target, source): (Piece, &[f32])| {
        let target = target.open();
        vectorized(
            #[inline(always)]
            || {
                for (target, source) in target.iter_mut().zip(source) {
                    *target = (a * f64::from(*target) + b * f64::from(*source)) as f32;
                }
            },
        );
    });
    targets
        .into_iter()
        // SAFETY: the pass has opened every piece.
        .map(|target| wrap(unsafe { target.finish() }))
        .collect()
}

/// The elements of a tensor in order, sharing its memory if they are already.
fn flat(tensor: Tensor<1>) -> FlexTensor {
    let tensor: FlexTensor = tensor
        .without_autodiff()
        .try_into_primitive::<Flex>()
        .expect("the caller has checked that the tensors are on Flex");
    tensor.to_contiguous()
}

fn wrap(tensor: FlexTensor) -> Tensor<1> {
    Tensor::from_primitive::<Flex>(tensor)
}

/// Partial sums that a piece is cut into, so that its additions fill the vector units.
const LANES: usize = 32;

/// `Σ x²` of each slice.
fn squares(slices: &[&[f32]]) -> Vec<f64> {
    let pieces: Vec<(usize, &[f32])> = slices
        .iter()
        .enumerate()
        .flat_map(|(index, slice)| slice.chunks(PIECE).map(move |piece| (index, piece)))
        .collect();
    let owners: Vec<usize> = pieces.iter().map(|(index, _)| *index).collect();
    let values = slices.iter().map(|slice| slice.len()).sum();
    let sums = each(pieces, values, |(_, piece)| piece_squares(piece));
    let mut totals = vec![0.0; slices.len()];
    for (owner, sum) in owners.into_iter().zip(sums) {
        totals[owner] += sum;
    }
    totals
}

fn piece_squares(piece: &[f32]) -> f64 {
    let mut lanes = [0.0f64; LANES];
    vectorized(
        #[inline(always)]
        || {
            let chunks = piece.chunks_exact(LANES);
            let rest = chunks.remainder();
            for chunk in chunks {
                for (lane, x) in lanes.iter_mut().zip(chunk) {
                    *lane += f64::from(*x) * f64::from(*x);
                }
            }
            for (lane, x) in lanes.iter_mut().zip(rest) {
                *lane += f64::from(*x) * f64::from(*x);
            }
        },
    );
    lanes.into_iter().sum()
}

/// A parameter on its way through the pass.
struct State {
    weight: Target,
    gradient: FlexTensor,
    first: Target,
    second: Option<Target>,
    decays: bool,
    trust: f64,
    step: Step,
}

impl State {
    fn new(parameter: Parameter, step: &Step) -> Self {
        let weight = Target::of(flat(parameter.weight));
        let gradient = flat(parameter.gradient);
        let (first, second) = parameter
            .memory
            .map_or((None, None), |memory| (Some(memory.first), memory.second));
        let average = |old: Option<Tensor<1>>| match old {
            Some(old) => Target::of(flat(old)),
            None => Target::zeros(elements(&gradient).len()),
        };
        Self {
            weight,
            first: average(first),
            second: matches!(step.rule, Rule::AdamW { .. }).then(|| average(second)),
            gradient,
            decays: parameter.decays,
            trust: 1.0,
            step: *step,
        }
    }

    fn pieces(&mut self) -> Vec<Work<'_>> {
        let formula = self.formula();
        let gradients = elements(&self.gradient).chunks(PIECE);
        let mut seconds = self
            .second
            .as_mut()
            .map(|second| second.pieces().into_iter());
        self.weight
            .pieces()
            .into_iter()
            .zip(self.first.pieces())
            .zip(gradients)
            .map(|((weight, first), gradient)| Work {
                weight,
                gradient,
                first,
                second: seconds.as_mut().and_then(Iterator::next),
                formula,
            })
            .collect()
    }

    /// The numbers of the formula, worked out in double precision.
    fn formula(&self) -> Formula {
        let Step {
            rule,
            learning_rate: rate,
            weight_decay,
            scale,
        } = self.step;
        let decay = if self.decays { weight_decay } else { 0.0 };
        match rule {
            Rule::Sgd { momentum } | Rule::Lars { momentum, .. } => Formula::Momentum {
                gradient: (self.trust * scale) as f32,
                weight: (self.trust * decay) as f32,
                momentum: momentum as f32,
                rate: rate as f32,
            },
            Rule::AdamW {
                betas,
                epsilon,
                updates,
            } => {
                let [c1, c2] = corrections(betas, updates);
                Formula::AdamW {
                    scale: scale as f32,
                    keep: betas.map(|beta| beta as f32),
                    take: betas.map(|beta| (1.0 - beta) as f32),
                    root: (1.0 / c2.sqrt()) as f32,
                    epsilon: epsilon as f32,
                    rate: (rate / c1) as f32,
                    decay: (rate * decay) as f32,
                }
            }
        }
    }

    /// The tensors with their new values.
    ///
    /// # Safety
    /// The work on every one of the [`State::pieces`] must have run.
    unsafe fn finish(self) -> Updated {
        // SAFETY: by the caller's promise every piece was opened.
        let finish = |target: Target| wrap(unsafe { target.finish() });
        Updated {
            weight: finish(self.weight),
            memory: Memory {
                first: finish(self.first),
                second: self.second.map(finish),
            },
        }
    }
}

/// A piece of a parameter.
struct Work<'a> {
    weight: Piece<'a>,
    gradient: &'a [f32],
    first: Piece<'a>,
    second: Option<Piece<'a>>,
    formula: Formula,
}

/// A rule with its numbers.
#[derive(Clone, Copy)]
enum Formula {
    /// `m ← momentum·m + (gradient·g + weight·w)`, `w ← w − rate·m`.
    Momentum {
        gradient: f32,
        weight: f32,
        momentum: f32,
        rate: f32,
    },
    /// `g ← scale·g`, `m ← keep₁·m + take₁·g`, `v ← keep₂·v + take₂·g²`,
    /// `w ← w − (rate·m / (√v·root + epsilon) + decay·w)`.
    AdamW {
        scale: f32,
        keep: [f32; 2],
        take: [f32; 2],
        root: f32,
        epsilon: f32,
        rate: f32,
        decay: f32,
    },
}

impl Work<'_> {
    fn run(self) {
        let gradient = self.gradient;
        let (weight, first) = (self.weight.open(), self.first.open());
        let second = self.second.map(Piece::open).unwrap_or_default();
        match self.formula {
            Formula::Momentum {
                gradient: a,
                weight: b,
                momentum,
                rate,
            } => vectorized(
                #[inline(always)]
                || {
                    for ((w, g), m) in weight.iter_mut().zip(gradient).zip(first.iter_mut()) {
                        *m = momentum * *m + (a * g + b * *w);
                        *w -= rate * *m;
                    }
                },
            ),
            Formula::AdamW {
                scale,
                keep,
                take,
                root,
                epsilon,
                rate,
                decay,
            } => vectorized(
                #[inline(always)]
                || {
                    let averages = first.iter_mut().zip(second.iter_mut());
                    for ((w, g), (m, v)) in weight.iter_mut().zip(gradient).zip(averages) {
                        let g = scale * g;
                        *m = keep[0] * *m + take[0] * g;
                        *v = keep[1] * *v + take[1] * (g * g);
                        *w -= rate * *m / (v.sqrt() * root + epsilon) + decay * *w;
                    }
                },
            ),
        }
    }
}
