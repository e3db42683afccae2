//! Holds the crate to scikit-learn and NumPy, whose results `reference.py` wrote to `reference.csv`.

use autodidact_eval::anomaly::ranking::{average_precision, roc_auc};
use autodidact_eval::classification::{Confusion, accuracy};
use autodidact_eval::cluster::{adjusted_rand_index, normalized_mutual_information};
use autodidact_eval::forecast::{self, ALPHAS, Parts};
use autodidact_eval::probe::{LogisticRegression, Probe, ProbeSettings, Scaling};
use autodidact_eval::svm::{Svm, SvmProbe, svm_probe};
use autodidact_eval::{Matrix, knn, representation};

/// The same numbers as `data` in `reference.py`, to the bit.
fn data(rows: usize, columns: usize, classes: u32, seed: u64) -> (Matrix, Vec<u32>) {
    let labels: Vec<u32> = (0..rows as u32).map(|i| i * 5 / 3 % classes).collect();
    let (mut state, mut values) = (seed, Vec::new());
    for &label in &labels {
        for column in 0..columns as u32 {
            state = (1_103_515_245 * state + 12345) % (1 << 31);
            let noise = ((state >> 16) % 17) as f32 - 8.;
            let center = ((label + 1) * (column + 2) % 5) as f32 - 2.;
            values.push((noise + 3. * center) / 4.);
        }
    }
    (Matrix::from_vec(rows, columns, values).unwrap(), labels)
}

fn reference(name: &str) -> Vec<f64> {
    let record = include_str!("reference.csv")
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(','));
    let record = record.unwrap_or_else(|| panic!("no record {name}; run reference.py again"));
    record
        .split(',')
        .map(|number| number.parse().unwrap())
        .collect()
}

fn assert_close(found: impl IntoIterator<Item = f64>, name: &str, tolerance: f64) {
    let (found, expected): (Vec<f64>, _) = (found.into_iter().collect(), reference(name));
    assert_eq!(found.len(), expected.len(), "{name}");
    for (found, expected) in found.iter().zip(&expected) {
        assert!(
            (found - expected).abs() < tolerance,
            "{name}: {found}, expected {expected}"
        );
    }
}

fn first_ten(probabilities: &Matrix) -> impl Iterator<Item = f64> {
    probabilities.data()[..10 * probabilities.columns()]
        .iter()
        .map(|&p| f64::from(p))
}

#[test]
fn logistic_regression_is_scikit_learns() {
    for classes in [2, 4] {
        let ((x, labels), (new, truth)) = (data(300, 6, classes, 1), data(200, 6, classes, 5));
        for c in [0.001, 0.1, 1.] {
            let regression = LogisticRegression {
                c,
                tolerance: 2e-6,
                max_iterations: 2000,
            };
            let model = regression.fit(&x, &labels).unwrap();
            let name = |record: &str| format!("{record}{classes}:{c:?}");
            assert!(model.converged, "{classes} classes, c {c}");
            assert_close([model.objective], &name("objective"), 1e-6);
            assert_close(
                first_ten(&model.probabilities(&new).unwrap()),
                &name("probabilities"),
                1e-4,
            );
            let found = accuracy(&model.predict(&new).unwrap(), &truth).unwrap();
            assert_close([found], &name("accuracy"), 1e-12);
        }
    }
}

#[test]
fn the_probe_is_scikit_learns_on_standardized_features() {
    for classes in [2, 4] {
        let ((x, labels), (new, _)) = (data(300, 6, classes, 1), data(200, 6, classes, 5));
        let settings = ProbeSettings {
            scalings: vec![Scaling::Each],
            candidates: vec![0.01],
            tolerance: 2e-6,
            ..Default::default()
        };
        let probe = Probe::fit(&x, &labels, &settings).unwrap();
        assert_close(
            first_ten(&probe.probabilities(&new).unwrap()),
            &format!("standardized{classes}"),
            1e-4,
        );
    }
}

#[test]
fn the_weighted_vote_and_its_scores_are_scikit_learns() {
    for classes in [2, 4] {
        let ((x, labels), (new, truth)) = (data(300, 6, classes, 1), data(200, 6, classes, 5));
        let found = knn::classify(&x, &labels, &new, 20, 0.1).unwrap();
        assert_close(
            found.iter().map(|&class| f64::from(class)),
            &format!("knn{classes}"),
            1e-12,
        );
        let confusion = Confusion::new(&found, &truth).unwrap();
        let scores = [
            confusion.macro_f1(),
            confusion.balanced_accuracy(),
            normalized_mutual_information(&truth, &found).unwrap(),
            adjusted_rand_index(&truth, &found).unwrap(),
        ];
        assert_close(scores, &format!("scores{classes}"), 1e-9);
        assert_close(
            confusion.counts.iter().map(|&count| count as f64),
            &format!("confusion{classes}"),
            1e-12,
        );
    }
}

#[test]
fn measures_without_labels_are_numpys() {
    let (x, labels) = data(300, 6, 4, 1);
    assert_close([representation::rankme(&x)], "rankme", 1e-6);
    assert_close(
        [representation::uniformity(&x).unwrap()],
        "uniformity",
        1e-6,
    );
    assert_close(
        [representation::dimension_std(&x).unwrap().mean],
        "dimension_std",
        1e-6,
    );
    assert_close([representation::lidar(&x, &labels).unwrap()], "lidar", 1e-6);
}

#[test]
fn support_vector_machines_are_scikit_learns() {
    for classes in [2, 4] {
        let ((x, labels), (new, _)) = (data(300, 6, classes, 1), data(200, 6, classes, 5));
        let first: Vec<usize> = (0..10).collect();
        let candidates = [0.01, 1., 100., f64::INFINITY];
        let svm = Svm {
            tolerance: 1e-8,
            ..Svm::default()
        };
        let models = svm.fit_each(&x, &labels, &candidates).unwrap();
        for (c, model) in candidates.into_iter().zip(models) {
            assert!(model.converged, "{classes} classes, c {c}");
            let decisions = model.decisions(&new.select(&first).unwrap()).unwrap();
            assert_close(
                decisions.data().iter().map(|&value| f64::from(value)),
                &format!("svm{classes}:{c:?}"),
                // Of values up to 15, from kernels held in `f32` by both.
                1e-4,
            );
            let found = model.predict(&new).unwrap();
            assert_close(
                found.iter().map(|&class| f64::from(class)),
                &format!("svmclasses{classes}:{c:?}"),
                1e-12,
            );
        }
    }
}

#[test]
fn the_protocol_of_support_vector_machines_is_that_of_scikit_learn() {
    for classes in [2, 4] {
        let ((x, labels), (new, _)) = (data(300, 6, classes, 1), data(200, 6, classes, 5));
        let found = svm_probe(&x, &labels, &new, &SvmProbe::default()).unwrap();
        let expected = reference(&format!("svmprotocol{classes}"));
        // One row of 300 may fall on the other side of a margin that is exact to 1e-3 only.
        for ((_, found), expected) in found.validation_accuracy.iter().zip(&expected) {
            assert!((found - expected).abs() < 1.5 / 300., "{found} {expected}");
        }
        assert_eq!(found.chosen_c, expected[10]);
        let predictions = found.predictions.iter().zip(&expected[11..]);
        let same = predictions.filter(|(found, expected)| f64::from(**found) == **expected);
        assert!(same.count() >= 199);
    }
}

#[test]
fn forecasts_from_representations_are_those_of_scikit_learns_ridge() {
    let ((features, _), (noise, _)) = (data(300, 6, 4, 1), data(300, 2, 2, 9));
    let mut series = noise.into_data();
    for step in 1..300 {
        for channel in 0..2 {
            series[2 * step + channel] += features.row(step - 1)[channel] / 2.;
        }
    }
    let series = Matrix::from_vec(300, 2, series).unwrap();
    let parts = Parts {
        train: 0..120,
        validation: 120..200,
        test: 200..300,
    };
    let model = forecast::ridge(&features, &series, &parts, 5, &ALPHAS).unwrap();
    let forecasts = model.predict_part(&features, &parts.test).unwrap();
    let errors = forecast::judge(&forecasts, &series, &parts.test, 5).unwrap();
    let scores = model.validation.iter().map(|&(_, score)| score);
    let chosen = [model.alpha, errors.overall.squared, errors.overall.absolute];
    let first = forecasts.row(0).iter().map(|&value| f64::from(value));
    assert_close(scores.chain(chosen).chain(first), "forecast", 1e-6);
}

#[test]
fn areas_under_curves_are_scikit_learns() {
    let (x, labels) = data(300, 6, 4, 1);
    let scores: Vec<f64> = (0..300).map(|row| f64::from(x.row(row)[2])).collect();
    let labels: Vec<bool> = labels.iter().map(|&label| label == 1).collect();
    let found = [
        average_precision(&scores, &labels).unwrap(),
        roc_auc(&scores, &labels).unwrap(),
    ];
    assert_close(found, "ranking", 1e-12);
}
