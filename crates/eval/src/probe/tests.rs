use rand::RngExt;

use super::*;
use crate::error::EvalError;
use crate::matrix::Matrix;
use crate::sampling::generator;

/// Two informative columns of very different scale, one constant and one of noise.
fn rows(count: usize) -> (Matrix, Vec<u32>) {
    let labels: Vec<u32> = (0..count as u32).map(|i| i * 7 % 5).collect();
    let data = labels.iter().enumerate().flat_map(|(i, &label)| {
        let noise = |step: f32| (i as f32 * step).sin() * 0.3;
        let angle = label as f32 * 1.2566;
        [
            1000. * (angle.cos() + noise(12.9)),
            0.001 * (angle.sin() + noise(78.2)),
            0.1,
            noise(4.7),
        ]
    });
    (Matrix::from_vec(count, 4, data.collect()).unwrap(), labels)
}

#[test]
fn the_protocol_finds_a_penalty_and_the_classes() {
    let (train, labels) = rows(1000);
    let (test, test_labels) = rows(203);
    let result = linear_probe(&train, &labels, &test, &ProbeSettings::default()).unwrap();
    let hits = result
        .predictions
        .iter()
        .zip(&test_labels)
        .filter(|(a, b)| a == b)
        .count();
    assert!(result.converged && hits > 195, "{hits}");
    assert_eq!(result.tried.len(), 8);
    let accuracies = result.tried.iter().map(|tried| tried.accuracy);
    let best = accuracies.fold(0., f64::max);
    let first = result.tried.iter().find(|tried| tried.accuracy == best);
    let chosen = (result.scaling, result.chosen_c);
    assert_eq!(first.map(|tried| (tried.scaling, tried.c)), Some(chosen));
    // The units of its columns say nothing.
    assert_eq!(result.scaling, Scaling::Each);
}

/// Two columns that vary much tell the classes, and a hundred that vary little tell nothing.
#[test]
fn what_deviations_say_is_kept_where_it_tells_something() {
    let rows = |count: usize, seed: u64| {
        let mut generator = generator(seed, 1);
        let labels: Vec<u32> = (0..count as u32).map(|i| i % 3).collect();
        let mut normal = || (0..12).map(|_| generator.random::<f32>()).sum::<f32>() - 6.;
        let data = labels.iter().flat_map(|&label| {
            let angle = label as f32 * 2.0944;
            let told = [2. * angle.cos() + normal(), 2. * angle.sin() + normal()];
            let rest: Vec<f32> = (0..100).map(|_| 0.05 * normal()).collect();
            [&told[..], &rest].concat()
        });
        (
            Matrix::from_vec(count, 102, data.collect()).unwrap(),
            labels,
        )
    };
    let ((train, labels), (test, test_labels)) = (rows(90, 1), rows(600, 2));
    let right = |scalings: &[Scaling], rounds| {
        let settings = ProbeSettings {
            scalings: scalings.to_vec(),
            rounds,
            ..ProbeSettings::default()
        };
        let found = linear_probe(&train, &labels, &test, &settings).unwrap();
        let hits = found.predictions.iter().zip(&test_labels);
        let hits = hits.filter(|(a, b)| a == b).count();
        (found.scaling, hits)
    };
    let (_, each) = right(&[Scaling::Each], 5);
    let (_, together) = right(&[Scaling::Together], 5);
    assert!(together > each + 60, "{together} and {each}");
    for rounds in [1, 5] {
        let (scaling, chosen) = right(&[Scaling::Each, Scaling::Together], rounds);
        assert_eq!(scaling, Scaling::Together);
        assert!(chosen > each + 60, "{chosen} and {each}");
    }
}

/// The second feature is all but the same in the two items that have labels, and varies as much as the first elsewhere.
#[test]
fn what_few_labeled_items_have_in_common_is_scaled_by_how_all_items_vary() {
    let data = vec![-1., 0.001, 1., -0.001, -1., 1., -1., -1., 1., 1., 1., -1.];
    let all = Matrix::from_vec(6, 2, data).unwrap();
    let labeled = all.select(&[0, 1]).unwrap();
    let settings = ProbeSettings {
        scalings: vec![Scaling::Each],
        candidates: vec![1.],
        ..ProbeSettings::default()
    };
    let probe = Probe::fit_with(&Moments::of(&all), &labeled, &[0, 1], &settings).unwrap();
    assert_eq!(probe.predict(&all).unwrap(), [0, 1, 0, 0, 1, 1]);
    // By these two alone it seems to tell as much as the first, and elsewhere it is a thousand times as large.
    let alone = Probe::fit(&labeled, &[0, 1], &settings).unwrap();
    assert_eq!(alone.predict(&all).unwrap(), [0, 1, 0, 1, 0, 1]);
    let narrow = Moments::of(&Matrix::from_vec(2, 1, vec![0., 1.]).unwrap());
    assert!(matches!(
        Probe::fit_with(&narrow, &labeled, &[0, 1], &settings),
        Err(EvalError::Columns {
            found: 2,
            expected: 1
        })
    ));
}

#[test]
fn the_classifier_of_raw_features_is_the_same() {
    let (train, labels) = rows(300);
    let (test, _) = rows(50);
    let probe = Probe::fit(&train, &labels, &ProbeSettings::default()).unwrap();
    let (weights, intercepts) = probe.unscaled().unwrap();
    let raw = LinearModel {
        weights,
        intercepts,
        ..probe.model.clone()
    };
    let [raw, scaled] = [
        raw.probabilities(&test).unwrap(),
        probe.probabilities(&test).unwrap(),
    ];
    for (raw, scaled) in raw.data().iter().zip(scaled.data()) {
        assert!((raw - scaled).abs() < 1e-3, "{raw} beside {scaled}");
    }
}

#[test]
fn threads_do_not_change_a_bit_and_seeds_change_the_split_only() {
    let (train, labels) = rows(3000);
    let run = |threads: usize, seed| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        let settings = ProbeSettings {
            seed,
            ..Default::default()
        };
        pool.install(|| Probe::fit(&train, &labels, &settings).unwrap())
    };
    assert_eq!(run(1, 0), run(3, 0));
    let (one, other) = (
        run(2, 0).probabilities(&train).unwrap(),
        run(2, 1).probabilities(&train).unwrap(),
    );
    assert!(
        one.data()
            .iter()
            .zip(other.data())
            .all(|(a, b)| (a - b).abs() < 0.05)
    );
}

#[test]
fn the_fit_can_be_limited_to_some_rows() {
    let (train, labels) = rows(1000);
    let settings = ProbeSettings {
        max_fit_rows: Some(200),
        ..Default::default()
    };
    let probe = Probe::fit(&train, &labels, &settings).unwrap();
    let hits = probe
        .predict(&train)
        .unwrap()
        .iter()
        .zip(&labels)
        .filter(|(a, b)| a == b)
        .count();
    assert!(hits > 900);
}

#[test]
fn a_part_too_small_to_split_takes_the_first_candidate() {
    let train = Matrix::from_vec(2, 1, vec![0., 1.]).unwrap();
    let probe = Probe::fit(&train, &[3, 8], &ProbeSettings::default()).unwrap();
    assert!(probe.tried.is_empty() && probe.chosen_c == 0.001);
    assert_eq!(probe.predict(&train).unwrap(), [3, 8]);
}

#[test]
fn wrong_input_is_refused() {
    let (train, labels) = rows(10);
    let settings = ProbeSettings::default();
    assert!(matches!(
        Probe::fit(&train, &labels[1..], &settings),
        Err(EvalError::Length { .. })
    ));
    assert_eq!(
        Probe::fit(&train, &[4; 10], &settings),
        Err(EvalError::OneClass { class: 4 })
    );
    let none = ProbeSettings {
        candidates: vec![],
        ..settings.clone()
    };
    assert!(matches!(
        Probe::fit(&train, &labels, &none),
        Err(EvalError::Empty { .. })
    ));
    let narrow = Matrix::from_vec(1, 1, vec![0.]).unwrap();
    assert!(matches!(
        linear_probe(&train, &labels, &narrow, &settings),
        Err(EvalError::Columns { .. })
    ));
}
