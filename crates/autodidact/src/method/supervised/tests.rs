use super::*;
use crate::layers::init::tests_device;

#[test]
fn uniform_logits_cost_the_logarithm_of_the_classes() {
    let device = tests_device();
    let target = Tensor::<1, Int>::from_data([0, 3], &device);
    let loss: f32 =
        cross_entropy(Tensor::zeros([2, 5], &device), target.clone(), None).into_scalar();
    assert!((loss - 5f32.ln()).abs() < 1e-6);
    let logits = Tensor::<2>::from_data([[2.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, -1.0]], &device);
    let loss: f32 = cross_entropy(logits, target, None).into_scalar();
    let naive = ((2f32.exp() + 3.0).ln() - 2.0 + (3.0 + (-1f32).exp()).ln() + 1.0) / 2.0;
    assert!((loss - naive).abs() < 1e-6);
}

#[test]
fn it_begins_with_what_a_linear_classifier_tells() {
    let device = tests_device();
    let toy = super::super::toy::Toy::new(4, &device);
    // Classes 1 and 3 of the room for five, told by the second value; of class 3 there are three times as many.
    let classes: Vec<u32> = (0..80)
        .map(|item| if item % 4 == 0 { 1 } else { 3 })
        .collect();
    let data = classes.iter().enumerate().flat_map(|(item, &class)| {
        let noise = (item as f32 * 12.9).sin();
        [noise, class as f32 - 2.0 + 0.9 * noise, 3.0, -noise * noise]
    });
    let vectors = Matrix::from_vec(80, 4, data.collect()).unwrap();
    let begun = |balance| {
        let mut settings = Supervised {
            classes: 5,
            balance,
            ..Supervised::default()
        };
        settings.see_classes(&[0, 20, 0, 60, 0]);
        let method = settings
            .build(toy.clone(), &mut Init::new(0, &device))
            .unwrap();
        method.read_out(&vectors, &classes, None)
    };
    let told = |method: &SupervisedMethod<super::super::toy::Toy>| -> Vec<f32> {
        let x = Tensor::<1>::from_data(vectors.data(), &device).reshape([80, 4]);
        let logits = method.classifier.forward(x);
        assert!(method.classifier.weight.is_require_grad());
        crate::layers::state::host(logits)
    };
    let (method, line) = begun(false);
    assert!(line.unwrap().contains(" % of"));
    let logits = told(&method);
    let right = |logits: &[f32]| {
        let likeliest = |row: &[f32]| (0..5).max_by(|&a, &b| row[a].total_cmp(&row[b]));
        let told = logits.chunks(5).map(|row| likeliest(row).unwrap() as u32);
        told.zip(&classes).filter(|(a, b)| a == *b).count()
    };
    assert!(right(&logits) > 72, "{}", right(&logits));
    // Weights 80 / (2 · 20) and 80 / (2 · 60) move the odds of 1 against 3 by a factor of three.
    let odds = |logits: &[f32]| logits[1] - logits[3];
    let balanced = told(&begun(true).0);
    assert!((odds(&balanced) - odds(&logits) - 3f32.ln()).abs() < 1e-4);
    // A class that counts for nothing doesn't cost without end.
    let uneven = Supervised {
        classes: 5,
        class_weights: vec![1.0, 0.0, 1.0, 1.0, 1.0],
        ..Supervised::default()
    };
    let method = uneven.build(toy.clone(), &mut Init::new(0, &device));
    let (method, _) = method.unwrap().read_out(&vectors, &classes, None);
    assert!(told(&method).iter().all(|logit| logit.is_finite()));
    let one = vec![1; 80];
    let method = Supervised::default().build(toy.clone(), &mut Init::new(0, &device));
    assert!(method.unwrap().read_out(&vectors, &one, None).1.is_none());
}

#[test]
fn of_many_items_some_tell_the_scaling_and_all_the_penalty() {
    let count = MANY + 200;
    let classes: Vec<u32> = (0..count as u32).map(|item| item % 2).collect();
    let data = classes.iter().enumerate().flat_map(|(item, &class)| {
        let noise = (item as f32 * 12.9).sin();
        [class as f32 + 0.4 * noise, (item as f32 * 78.2).sin()]
    });
    let vectors = Matrix::from_vec(count, 2, data.collect()).unwrap();
    let probe = best_probe(&vectors, &classes).unwrap();
    assert!(
        probe
            .tried
            .iter()
            .all(|tried| tried.scaling == probe.scaling)
    );
    let found = probe.predict(&vectors).unwrap();
    let right = found.iter().zip(&classes).filter(|(a, b)| a == b).count();
    assert!(right > count * 9 / 10, "{right} of {count}");
}

#[test]
fn rows_that_choose_how_it_is_fitted_are_not_all_that_it_is_fitted_to() {
    // Of the first half any penalty tells the classes, so that the first is taken; of the rest one that is weak enough to take
    // the second value off the first.
    let classes: Vec<u32> = (0..200).map(|item| item % 2).collect();
    let data = classes.iter().enumerate().flat_map(|(item, &class)| {
        let side = 2.0 * class as f32 - 1.0;
        match item < 100 {
            true => [side, 0.1 * (item as f32 * 12.9).sin()],
            false => [
                side + 3.0 * (item as f32 * 78.2).sin(),
                3.0 * (item as f32 * 78.2).sin(),
            ],
        }
    });
    let vectors = Matrix::from_vec(200, 2, data.collect()).unwrap();
    let half: Vec<usize> = (0..100).collect();
    let own = best_probe(&vectors.select(&half).unwrap(), &classes[..100]).unwrap();
    let found = probe_chosen_by(&half, &vectors, &classes).unwrap();
    assert_eq!((found.scaling, found.chosen_c), (own.scaling, own.chosen_c));
    let all = best_probe(&vectors, &classes).unwrap();
    assert_ne!(
        (all.scaling, all.chosen_c),
        (found.scaling, found.chosen_c),
        "these rows can't tell who chose"
    );
    assert_ne!(found.model, own.model);
    assert!(found.tried.is_empty());
}

#[test]
fn weights_balance_classes_as_scikit_learn_does() {
    // numpy: 12 / (3 * [6, 3, 3]), and a class that nobody has.
    let weights = balancing(&[6, 3, 0, 3]);
    assert_eq!(weights, [12.0 / 18.0, 12.0 / 9.0, 0.0, 12.0 / 9.0]);
    let mut settings = Supervised {
        classes: 0,
        balance: true,
        ..Supervised::default()
    };
    settings.see_classes(&[6, 3, 0, 3]);
    assert_eq!((settings.classes, settings.class_weights), (4, weights));
}

#[test]
fn weighted_rows_cost_their_share_and_equal_weights_change_nothing() {
    let device = tests_device();
    let logits = Tensor::<2>::from_data([[2.0, 0.0], [0.5, -1.0], [0.0, 0.3]], &device);
    let target = || Tensor::<1, Int>::from_data([0, 1, 1], &device);
    let cost = |x: f64, y: f64| ((x - y).exp() + 1.0).ln();
    let costs = [cost(0.0, 2.0), cost(0.5, -1.0), cost(0.0, 0.3)];
    let naive = (3.0 * costs[0] + costs[1] + 2.0 * costs[2]) / 6.0;
    let weighted = |weights: &[f64]| weighted(logits.clone(), target(), weights);
    let loss = weighted(&[3.0, 1.0, 2.0]);
    let found: f32 = loss.total.into_scalar();
    assert!((f64::from(found) - naive).abs() < 1e-6, "{found} {naive}");
    // What two networks are compared by item by item.
    let (each, weights) = loss.each.unwrap();
    assert_eq!(weights, [3.0, 1.0, 2.0]);
    for (each, cost) in crate::layers::state::host(each).iter().zip(costs) {
        assert!((f64::from(*each) - cost).abs() < 1e-6, "{each} {cost}");
    }
    let equal: f32 = weighted(&[0.2; 3]).total.into_scalar();
    let plain: f32 = cross_entropy(logits, target(), None).into_scalar();
    assert!((equal - plain).abs() < 1e-6);
}

/// Items that are held out come by class, so that a batch has rows of one weight only.
#[test]
fn batches_of_one_class_each_cost_together_what_all_their_rows_cost() {
    let device = tests_device();
    let logits = Tensor::<2>::from_data([[2.0, 0.0], [0.5, -1.0], [0.0, 0.3]], &device);
    let target = Tensor::<1, Int>::from_data([0, 0, 1], &device);
    let weights = [0.2, 0.2, 0.7];
    let of = |from: usize, count: usize| {
        let logits = logits.clone().narrow(0, from, count);
        let target = target.clone().narrow(0, from, count);
        let loss = weighted(logits, target, &weights[from..from + count]);
        let weight = loss.weight.unwrap();
        (weight * f64::from(loss.total.into_scalar::<f32>()), weight)
    };
    let [all, first, second] = [of(0, 3), of(0, 2), of(2, 1)];
    let mean = (first.0 + second.0) / (first.1 + second.1);
    assert!((mean - all.0 / all.1).abs() < 1e-6, "{mean} {all:?}");
}
