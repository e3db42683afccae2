use super::*;
use crate::classification::accuracy;

/// Rings around each other, which no line separates.
fn rings(count: usize, classes: u32) -> (Matrix, Vec<u32>) {
    let labels: Vec<u32> = (0..count as u32)
        .map(|row| row * 7 % classes * 10)
        .collect();
    let data = labels.iter().enumerate().flat_map(|(row, &label)| {
        let angle = row as f32 * 2.399;
        let radius = 1. + label as f32 / 10. + 0.3 * (row as f32 * 12.9).sin();
        [radius * angle.cos() + 50., radius * angle.sin()]
    });
    (Matrix::from_vec(count, 2, data.collect()).unwrap(), labels)
}

#[test]
fn rings_are_told_apart_and_only_some_rows_carry_weight() {
    let (train, labels) = rings(400, 4);
    let (test, truth) = rings(901, 4);
    let svm = Svm {
        c: 100.,
        gamma: Some(0.2),
        ..Svm::default()
    };
    let model = svm.fit(&train, &labels).unwrap();
    assert!(model.converged && model.iterations > 100);
    assert_eq!(model.classes, [0, 10, 20, 30]);
    assert!(model.support.len() < 100 && model.support.is_sorted());
    let found = accuracy(&model.predict(&test).unwrap(), &truth).unwrap();
    assert!(found > 0.97, "{found}");
    assert_eq!(model.decisions(&test).unwrap().columns(), 6);
}

#[test]
fn several_c_at_once_decide_as_each_alone_and_so_do_rows_kept_in_part() {
    let (train, labels) = rings(120, 3);
    let candidates = [10., 0.01, f64::INFINITY, 1.];
    let svm = Svm {
        gamma: Some(2.),
        tolerance: 1e-7,
        ..Svm::default()
    };
    let together = svm.fit_each(&train, &labels, &candidates).unwrap();
    let in_part = svm.fit_within(&train, &labels, &candidates, 3000).unwrap();
    for ((c, model), other) in candidates.into_iter().zip(&together).zip(&in_part) {
        let alone = Svm { c, ..svm }.fit(&train, &labels).unwrap();
        let decisions = |model: &SvmModel| model.decisions(&train).unwrap();
        let expected = decisions(&alone);
        for found in [decisions(model), decisions(other)] {
            for (found, expected) in found.data().iter().zip(expected.data()) {
                assert!((found - expected).abs() < 1e-3, "{c}: {found} {expected}");
            }
        }
    }
}

#[test]
fn the_votes_of_circling_pairs_are_tied_and_the_lowest_class_wins() {
    // 0 beats 1, 1 beats 2 and 2 beats 0, whatever the row: the biases alone decide.
    let point = Matrix::from_vec(1, 1, vec![0.]).unwrap();
    let machine = |classes, bias| Machine {
        classes,
        coefficients: Vec::new(),
        bias,
    };
    let model = SvmModel {
        classes: vec![3, 6, 9],
        gamma: 1.,
        converged: true,
        iterations: 0,
        support: vec![0],
        points: Points::new(&point, &[0.]),
        origin: vec![0.],
        machines: vec![
            machine([0, 1], 1.),
            machine([0, 2], -1.),
            machine([1, 2], 1.),
        ],
    };
    assert_eq!(model.predict(&point).unwrap(), [3]);
}

#[test]
fn wrong_input_is_refused() {
    let (train, labels) = rings(20, 2);
    let svm = Svm::default();
    assert!(matches!(
        svm.fit(&train, &labels[1..]),
        Err(EvalError::Length { .. })
    ));
    assert!(matches!(
        svm.fit(&train, &[4; 20]),
        Err(EvalError::OneClass { class: 4 })
    ));
    for wrong in [
        Svm { c: 0., ..svm },
        Svm { c: f64::NAN, ..svm },
        Svm {
            gamma: Some(-1.),
            ..svm
        },
        Svm {
            tolerance: 0.,
            ..svm
        },
        Svm {
            max_iterations: 0,
            ..svm
        },
    ] {
        assert!(wrong.fit(&train, &labels).is_err());
    }
    assert!(svm.fit_each(&train, &labels, &[]).is_err());
    let narrow = Matrix::from_vec(1, 1, vec![0.]).unwrap();
    let model = svm.fit(&train, &labels).unwrap();
    assert!(matches!(
        model.predict(&narrow),
        Err(EvalError::Columns { .. })
    ));
}
