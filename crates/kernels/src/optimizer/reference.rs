//! The operations composed of Burn's own, tensor by tensor, for any device.

use burn::tensor::Tensor;

use super::{Memory, Parameter, Rule, Step, Updated};

/// [`update`](super::update) composed of Burn's own operations, for any device.
pub fn update_reference(parameters: Vec<Parameter>, step: &Step) -> Vec<Updated> {
    parameters
        .into_iter()
        .map(|parameter| update_one(parameter, step))
        .collect()
}

fn update_one(parameter: Parameter, step: &Step) -> Updated {
    let weight = parameter.weight.without_autodiff();
    let mut gradient = parameter.gradient.without_autodiff();
    let memory = parameter.memory.map(|memory| Memory {
        first: memory.first.without_autodiff(),
        second: memory.second.map(Tensor::without_autodiff),
    });
    let decay = if parameter.decays {
        step.weight_decay
    } else {
        0.0
    };
    if step.scale != 1.0 {
        gradient = gradient.mul_scalar(step.scale);
    }
    let (change, memory) = match step.rule {
        Rule::AdamW {
            betas: [b1, b2],
            epsilon,
            updates,
        } => {
            let blend = |old: Option<Tensor<1>>, new: Tensor<1>, beta: f64| {
                let new = new.mul_scalar(1.0 - beta);
                match old {
                    Some(old) => old.mul_scalar(beta) + new,
                    None => new,
                }
            };
            let (first, second) =
                memory.map_or((None, None), |memory| (Some(memory.first), memory.second));
            let first = blend(first, gradient.clone(), b1);
            let second = blend(second, gradient.square(), b2);
            let [c1, c2] = corrections([b1, b2], updates);
            let root = second.clone().div_scalar(c2).sqrt().add_scalar(epsilon);
            let change = first.clone().div_scalar(c1) / root + weight.clone().mul_scalar(decay);
            let second = Some(second);
            (change, Memory { first, second })
        }
        Rule::Sgd { momentum } | Rule::Lars { momentum, .. } => {
            let trust = match step.rule {
                Rule::Lars { trust, .. } if parameter.decays => {
                    Some(trust_ratio(&weight, &gradient, trust, decay))
                }
                _ => None,
            };
            if decay != 0.0 {
                gradient = gradient + weight.clone().mul_scalar(decay);
            }
            if let Some(trust) = trust {
                gradient = gradient * trust;
            }
            let first = match memory {
                Some(memory) => memory.first.mul_scalar(momentum) + gradient,
                None => gradient,
            };
            let second = None;
            (first.clone(), Memory { first, second })
        }
    };
    Updated {
        weight: weight - change.mul_scalar(step.learning_rate),
        memory,
    }
}

/// What AdamW's averages are divided by, because they began at zero.
pub(super) fn corrections(betas: [f64; 2], updates: u64) -> [f64; 2] {
    let updates = updates.min(1 << 30) as i32;
    betas.map(|beta| 1.0 - beta.powi(updates))
}

/// LARS' factor as a tensor of one value, so that nothing has to be fetched from the device.
fn trust_ratio(weight: &Tensor<1>, gradient: &Tensor<1>, trust: f64, decay: f64) -> Tensor<1> {
    let [weight, gradient] = [weight, gradient].map(|x| x.clone().square().sum().sqrt());
    let usable = weight
        .clone()
        .greater_elem(0.0)
        .bool_and(gradient.clone().greater_elem(0.0));
    let ratio = weight.clone().mul_scalar(trust) / (gradient + weight.mul_scalar(decay));
    ratio.mask_fill(usable.bool_not(), 1.0)
}

/// [`norm`](super::norm) composed of Burn's own operations, for any device.
pub fn norm_reference(tensors: Vec<Tensor<1>>) -> f64 {
    if tensors.is_empty() {
        return 0.0;
    }
    let squares = tensors
        .into_iter()
        .map(|tensor| tensor.without_autodiff().square().sum())
        .collect();
    // One transfer for all; summed on the host in the order of the tensors.
    let squares: Tensor<1> = Tensor::cat(squares, 0);
    let squares = squares.into_data().convert::<f64>();
    squares.iter::<f64>().sum::<f64>().sqrt()
}

/// [`moving_average`](super::moving_average) composed of Burn's own operations, for any device.
pub fn moving_average_reference(
    averages: Vec<Tensor<1>>,
    values: Vec<Tensor<1>>,
    momentum: f64,
) -> Vec<Tensor<1>> {
    // By the difference, since m and 1 − m don't add up to 1 once each of them is rounded.
    let blend = |(average, value): (Tensor<1>, Tensor<1>)| {
        let (average, value) = (average.without_autodiff(), value.without_autodiff());
        let difference = value.clone() - average.clone();
        if momentum < 0.5 {
            value - difference.mul_scalar(momentum)
        } else {
            average + difference.mul_scalar(1.0 - momentum)
        }
    };
    averages.into_iter().zip(values).map(blend).collect()
}

/// [`add`](super::add) composed of Burn's own operations, for any device.
pub fn add_reference(sums: Vec<Tensor<1>>, terms: Vec<Tensor<1>>) -> Vec<Tensor<1>> {
    let add =
        |(sum, term): (Tensor<1>, Tensor<1>)| sum.without_autodiff() + term.without_autodiff();
    sums.into_iter().zip(terms).map(add).collect()
}
