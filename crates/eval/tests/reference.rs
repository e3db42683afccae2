//! Holds the crate to scikit-learn and NumPy, whose results `reference.py` wrote to `reference.csv`.

use autodidact_eval::classification::{Confusion, accuracy};
use autodidact_eval::cluster::{adjusted_rand_index, normalized_mutual_information};
use autodidact_eval::probe::{LogisticRegression, Probe, ProbeSettings};
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
