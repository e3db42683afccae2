use burn::backend::Flex;
use burn::tensor::{Tensor, TensorData};
use burn_flex::FlexTensor;

use super::*;
use crate::oracle::{device, double, numbers, relative_error, tensor, values};

/// Nothing, one value, less than a vector, many pieces; the odd ones don't decay.
const LENGTHS: [usize; 6] = [0, 1, 17, 100_003, 16_384, 33];
const DECAY: f64 = 0.1;
const RATE: f64 = 0.05;
const SCALE: f64 = 0.7;
const EPSILON: f64 = 1e-8;

const RULES: [Rule; 3] = [
    Rule::Sgd { momentum: 0.9 },
    Rule::Lars {
        momentum: 0.9,
        trust: 0.02,
    },
    Rule::AdamW {
        betas: [0.9, 0.99],
        epsilon: EPSILON,
        updates: 0,
    },
];

fn step(rule: Rule, updates: u64) -> Step {
    let rule = match rule {
        Rule::AdamW { betas, epsilon, .. } => Rule::AdamW {
            betas,
            epsilon,
            updates,
        },
        other => other,
    };
    Step {
        rule,
        learning_rate: RATE,
        weight_decay: DECAY,
        scale: SCALE,
    }
}

fn decays(index: usize) -> bool {
    index.is_multiple_of(2) || LENGTHS[index] > 1000
}

fn gradient(index: usize, updates: u64) -> Tensor<1> {
    tensor([LENGTHS[index]], 100 * updates + index as u64)
}

/// Takes one step with every parameter, from where `before` left them.
fn advance(
    before: Option<Vec<Updated>>,
    rule: Rule,
    updates: u64,
    update: impl Fn(Vec<Parameter>, &Step) -> Vec<Updated>,
) -> Vec<Updated> {
    let before: Vec<_> = match before {
        Some(before) => before
            .into_iter()
            .map(|Updated { weight, memory }| (weight, Some(memory)))
            .collect(),
        None => (0..LENGTHS.len())
            .map(|index| (tensor([LENGTHS[index]], index as u64), None))
            .collect(),
    };
    let parameters = before.into_iter().enumerate();
    let parameters = parameters.map(|(index, (weight, memory))| Parameter {
        weight,
        gradient: gradient(index, updates),
        memory,
        decays: decays(index),
    });
    update(parameters.collect(), &step(rule, updates))
}

/// Weight, first and second average of a parameter after some steps, in double precision.
fn expected(index: usize, rule: Rule, steps: u64) -> [Vec<f64>; 3] {
    let mut w: Vec<f64> = double(&tensor::<1>([LENGTHS[index]], index as u64));
    let (mut m, mut v) = (vec![0.0; w.len()], vec![0.0; w.len()]);
    let decay = if decays(index) { DECAY } else { 0.0 };
    let norm = |x: &[f64]| x.iter().map(|x| x * x).sum::<f64>().sqrt();
    for t in 1..=steps {
        let g: Vec<f64> = double(&gradient(index, t))
            .iter()
            .map(|g| SCALE * g)
            .collect();
        let trust = match rule {
            Rule::Lars { trust, .. } if decays(index) && norm(&w) > 0.0 && norm(&g) > 0.0 => {
                trust * norm(&w) / (norm(&g) + decay * norm(&w))
            }
            _ => 1.0,
        };
        for i in 0..w.len() {
            match rule {
                Rule::Sgd { momentum } | Rule::Lars { momentum, .. } => {
                    m[i] = momentum * m[i] + trust * (g[i] + decay * w[i]);
                    w[i] -= RATE * m[i];
                }
                Rule::AdamW {
                    betas: [b1, b2], ..
                } => {
                    m[i] = b1 * m[i] + (1.0 - b1) * g[i];
                    v[i] = b2 * v[i] + (1.0 - b2) * g[i] * g[i];
                    let [c1, c2] = [b1, b2].map(|b| 1.0 - b.powi(t as i32));
                    w[i] -= RATE * (m[i] / c1 / ((v[i] / c2).sqrt() + EPSILON) + decay * w[i]);
                }
            }
        }
    }
    [w, m, v]
}

/// The tensors of an update, with nothing for an average that the rule doesn't keep.
fn parts(updated: &Updated) -> [Vec<f32>; 3] {
    let Updated { weight, memory } = updated;
    let second = memory.second.as_ref().map_or_else(Vec::new, values);
    [values(weight), values(&memory.first), second]
}

#[test]
fn each_rule_follows_its_formula_over_several_steps() {
    for rule in RULES {
        let (mut fused, mut twin) = (None, None);
        for updates in 1..=4 {
            fused = Some(advance(fused, rule, updates, update));
            twin = Some(advance(twin, rule, updates, update_reference));
        }
        let (fused, twin) = (fused.unwrap(), twin.unwrap());
        for index in 0..LENGTHS.len() {
            let expected = expected(index, rule, 4);
            let (found, twin) = (parts(&fused[index]), parts(&twin[index]));
            for part in 0..3 {
                if part == 2 && !matches!(rule, Rule::AdamW { .. }) {
                    assert!(found[part].is_empty() && twin[part].is_empty());
                    continue;
                }
                let error = |found: &[f32]| relative_error(found, &expected[part]);
                let (error, twin) = (error(&found[part]), error(&twin[part]));
                assert!(
                    error <= 2.0 * twin.max(1e-7) && twin < 1e-6,
                    "{rule:?}, length {}, part {part}: {error:.1e}, its twin {twin:.1e}",
                    LENGTHS[index]
                );
            }
        }
    }
}

#[test]
fn lars_leaves_the_step_alone_where_a_norm_is_zero() {
    let update = |weight: f32, gradient: f32| {
        let flat = |value| Tensor::<1>::from_data([value; 3], &device());
        let parameter = Parameter {
            weight: flat(weight),
            gradient: flat(gradient),
            memory: None,
            decays: true,
        };
        let step = Step {
            scale: 1.0,
            ..step(RULES[1], 1)
        };
        let fused = update(vec![parameter.clone()], &step).remove(0);
        let twin = update_reference(vec![parameter], &step).remove(0);
        assert_eq!(values(&fused.weight), values(&twin.weight));
        values(&fused.weight)[0]
    };
    assert_eq!(update(0.0, 2.0), -0.1);
    assert_eq!(update(2.0, 0.0), 1.99);
    assert_eq!(update(0.0, 0.0), 0.0);
}

fn primitive(tensor: &Tensor<1>) -> FlexTensor {
    let tensor = tensor.clone().without_autodiff();
    tensor.try_into_primitive::<Flex>().unwrap()
}

fn address(tensor: &Tensor<1>) -> *const u8 {
    primitive(tensor).bytes().as_ptr()
}

fn addresses(updated: &[Updated]) -> Vec<[*const u8; 3]> {
    let second = |memory: &Memory| memory.second.as_ref().map_or(std::ptr::null(), address);
    updated
        .iter()
        .map(|Updated { weight, memory }| [address(weight), address(&memory.first), second(memory)])
        .collect()
}

#[test]
fn what_nobody_else_holds_is_updated_in_place() {
    for rule in RULES {
        let first = advance(None, rule, 1, update);
        let before = addresses(&first);
        let second = advance(Some(first), rule, 2, update);
        // An empty tensor has no memory to keep.
        assert_eq!(addresses(&second)[1..], before[1..], "{rule:?}");
    }
}

#[test]
fn what_somebody_else_holds_keeps_its_values() {
    for rule in RULES {
        let first = advance(None, rule, 1, update);
        let clones = first.clone();
        let before: Vec<_> = clones.iter().map(parts).collect();
        let alone = advance(Some(advance(None, rule, 1, update)), rule, 2, update);
        let second = advance(Some(first), rule, 2, update);
        for (index, clone) in clones.iter().enumerate() {
            assert_eq!(parts(clone), before[index], "{rule:?}");
            // And the update is the same as in place.
            assert_eq!(parts(&second[index]), parts(&alone[index]), "{rule:?}");
        }
        assert_ne!(parts(&second[3]), before[3], "{rule:?}");
    }
}

#[test]
fn tensors_that_share_memory_with_one_another_are_told_apart() {
    let shared = tensor::<1>([40_000], 7);
    let parameter = Parameter {
        weight: shared.clone(),
        gradient: shared.clone(),
        memory: Some(Memory {
            first: shared.clone(),
            second: Some(shared.clone().square()),
        }),
        decays: true,
    };
    let copy = |tensor: &Tensor<1>| Tensor::from_data(tensor.clone().into_data(), &device());
    let apart = Parameter {
        weight: copy(&parameter.weight),
        gradient: copy(&parameter.gradient),
        memory: parameter.memory.as_ref().map(|memory| Memory {
            first: copy(&memory.first),
            second: memory.second.as_ref().map(copy),
        }),
        decays: true,
    };
    for rule in RULES {
        let step = step(rule, 3);
        let together = update(vec![parameter.clone()], &step).remove(0);
        let apart = update(vec![apart.clone()], &step).remove(0);
        assert_eq!(parts(&together), parts(&apart), "{rule:?}");
    }
}

#[test]
fn strided_and_tracked_tensors_are_read_right() {
    let strided = |seed| {
        tensor::<2>([50, 3], seed)
            .swap_dims(0, 1)
            .slice([1..2, 0..50])
    };
    let strided = |seed| strided(seed).reshape([50]);
    let parameter = Parameter {
        weight: tensor::<1>([50], 1).require_grad() * 2.0,
        gradient: Tensor::<1>::from_data([0.25], &device()).expand([50]),
        memory: Some(Memory {
            first: strided(2),
            second: Some(tensor::<1>([90], 3).square().narrow(0, 20, 50)),
        }),
        decays: true,
    };
    for rule in RULES {
        let step = step(rule, 3);
        let found = update(vec![parameter.clone()], &step).remove(0);
        let twin = update_reference(vec![parameter.clone()], &step).remove(0);
        assert!(!found.weight.is_autodiff());
        for (found, twin) in parts(&found).iter().zip(parts(&twin)) {
            let twin: Vec<f64> = twin.into_iter().map(f64::from).collect();
            assert!(relative_error(found, &twin) < 1e-6, "{rule:?}");
        }
    }
}

#[test]
fn the_norm_is_that_of_all_tensors_together() {
    let tensors: Vec<Tensor<1>> = LENGTHS.iter().map(|&length| tensor([length], 5)).collect();
    let squares = tensors.iter().flat_map(double).map(|x| x * x);
    let expected = squares.sum::<f64>().sqrt();
    assert!((norm(tensors.clone()) / expected - 1.0).abs() < 1e-12);
    assert!((norm_reference(tensors) / expected - 1.0).abs() < 1e-6);
    assert_eq!(norm(Vec::new()), 0.0);
    assert_eq!(norm_reference(Vec::new()), 0.0);
    assert_eq!(norm(vec![tensor([0], 1)]), 0.0);
    // Squares that single precision can't hold.
    let huge = Tensor::<1>::from_data([3e30f32, 4e30], &device());
    assert!((norm(vec![huge]) / 5e30 - 1.0).abs() < 1e-6);
    let not_a_number = Tensor::<1>::from_data([1.0, f32::NAN], &device());
    assert!(norm(vec![tensor([5], 1), not_a_number]).is_nan());
}

#[test]
fn a_moving_average_and_a_sum_follow_their_formulas() {
    let lists = |seed| -> Vec<Tensor<1>> {
        let list = LENGTHS.iter().map(|&length| tensor([length], seed));
        list.collect()
    };
    type Blend = fn(Vec<Tensor<1>>, Vec<Tensor<1>>) -> Vec<Tensor<1>>;
    let cases: [(f64, f64, Blend); 4] = [
        (0.99, 0.01, |a, b| moving_average(a, b, 0.99)),
        (0.99, 0.01, |a, b| moving_average_reference(a, b, 0.99)),
        (1.0, 1.0, add),
        (1.0, 1.0, add_reference),
    ];
    for (a, b, blend) in cases {
        let found = blend(lists(1), lists(2));
        assert_eq!(found.len(), LENGTHS.len());
        for ((found, x), y) in found.iter().zip(lists(1)).zip(lists(2)) {
            let (x, y) = (double(&x), double(&y));
            let expected: Vec<f64> = x.iter().zip(y).map(|(x, y)| a * x + b * y).collect();
            assert!(relative_error(&values(found), &expected) < 1e-7);
        }
    }
    let still = moving_average(lists(1), lists(2), 1.0);
    assert_eq!(values(&still[3]), values(&lists(1)[3]));
}

#[test]
fn a_slow_average_comes_to_what_its_formula_comes_to() {
    const STEPS: i32 = 8000;
    type Average = fn(Vec<Tensor<1>>, Vec<Tensor<1>>, f64) -> Vec<Tensor<1>>;
    let (teacher, student) = (tensor::<1>([17], 1), tensor::<1>([17], 2));
    let kept = 0.9999f64.powi(STEPS);
    let pairs = double(&teacher).into_iter().zip(double(&student));
    let expected: Vec<f64> = pairs.map(|(t, s)| kept * t + (1.0 - kept) * s).collect();
    for average in [moving_average as Average, moving_average_reference] {
        let mut teacher = vec![teacher.clone()];
        for _ in 0..STEPS {
            teacher = average(teacher, vec![student.clone()], 0.9999);
        }
        let error = relative_error(&values(&teacher[0]), &expected);
        assert!(error < 5e-6, "{error:.1e}");
    }
}

#[test]
fn a_moving_average_moves_in_place_and_never_what_somebody_else_holds() {
    let student = vec![tensor::<1>([100_003], 1)];
    let before = values(&student[0]);
    // A teacher that was just made of its student holds the same memory.
    let teacher = moving_average(student.clone(), vec![tensor([100_003], 2)], 0.5);
    assert_eq!(values(&student[0]), before);
    let place = address(&teacher[0]);
    let teacher = moving_average(teacher, student.clone(), 0.5);
    assert_eq!(address(&teacher[0]), place);
    assert_ne!(address(&student[0]), place);
    assert_eq!(values(&student[0]), before);
    // The same tensor on both sides.
    let same = moving_average(student.clone(), student.clone(), 0.5);
    assert_eq!(values(&same[0]), before);
}

#[test]
fn runs_are_bit_identical_whatever_the_number_of_threads() {
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| {
            let mut bits = Vec::new();
            for rule in RULES {
                let first = advance(None, rule, 1, update);
                for updated in advance(Some(first), rule, 2, update) {
                    bits.extend(parts(&updated).concat().into_iter().map(f32::to_bits));
                }
            }
            let data = TensorData::new(numbers(300_000, 3), [300_000]);
            (
                bits,
                norm(vec![Tensor::from_data(data, &device())]).to_bits(),
            )
        })
    };
    let once = run(1);
    assert!(once == run(2) && once == run(3) && once == run(3));
}

#[test]
#[should_panic(expected = "the gradient must be as long as its weight")]
fn a_gradient_of_another_length_is_refused() {
    let parameter = Parameter {
        weight: tensor([3], 1),
        gradient: tensor([4], 1),
        memory: None,
        decays: true,
    };
    update(vec![parameter], &step(RULES[0], 1));
}
