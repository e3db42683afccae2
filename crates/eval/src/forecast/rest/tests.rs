use rand::RngExt;

use super::super::{ALPHAS, judge, ridge};
use super::*;
use crate::sampling::generator;

const HORIZON: usize = 3;

fn parts() -> Parts {
    Parts {
        train: 0..1200,
        validation: 1200..1600,
        test: 1600..2000,
    }
}

fn settings() -> DecompositionSettings {
    DecompositionSettings {
        window: 12,
        average: 5,
        ..DecompositionSettings::default()
    }
}

fn random(columns: usize, stream: u64) -> Matrix {
    let mut generator = generator(5, stream);
    let data = (0..2000 * columns).map(|_| generator.random_range(-1.0..1.0));
    Matrix::from_vec(2000, columns, data.collect()).unwrap()
}

/// A wave, which the last values tell, and after each step one of the next that only a hint at that step tells.
fn hinted() -> (Matrix, Matrix) {
    let hints = random(1, 0);
    let value = |step: usize| {
        let hint = if step < HORIZON {
            0.
        } else {
            hints.row(step - HORIZON)[0]
        };
        (step as f32 * 0.5).sin() + 0.7 * hint
    };
    let series = Matrix::from_vec(2000, 1, (0..2000).map(value).collect()).unwrap();
    (series, hints)
}

fn squared(forecasts: &Matrix, series: &Matrix) -> f64 {
    let found = judge(forecasts, series, &parts().test, HORIZON).unwrap();
    // At the last step ahead, which the hint is of.
    found.by_step[HORIZON - 1].squared
}

#[test]
fn what_each_tells_a_part_of_both_tell_together() {
    let (series, hints) = hinted();
    let (linear, rest) =
        Decomposition::fit_with_rest(&series, &parts(), HORIZON, &settings()).unwrap();
    let alone = Decomposition::fit(&series, &parts(), HORIZON, &settings()).unwrap();
    let rest = rest.unwrap();
    let test = parts().test;
    let told = linear.predict_part(&series, &test).unwrap();
    assert_eq!(told, alone.predict_part(&series, &test).unwrap());
    assert_eq!(rest.train.origins, (11..1197).collect::<Vec<_>>());

    let correction = rest.correct(&hints, &CORRECTION_ALPHAS).unwrap();
    assert!(!correction.adds_nothing() && correction.validation.len() == 17);
    let by_linear = squared(&told, &series);
    let both = correction.add_to(told, &hints, &test).unwrap();
    let both = squared(&both, &series);
    let by_hints = ridge(&hints, &series, &parts(), HORIZON, &ALPHAS).unwrap();
    let by_hints = squared(&by_hints.predict_part(&hints, &test).unwrap(), &series);
    // The hint's part has the variance 0.49 / 3, the wave's 1 / 2.
    assert!(
        both < 0.5 * by_linear && both < 0.3 * by_hints,
        "{both} {by_linear} {by_hints}"
    );
}

#[test]
fn noise_and_what_never_changes_are_left_out_and_the_forecast_stays() {
    let (series, _) = hinted();
    let (linear, rest) =
        Decomposition::fit_with_rest(&series, &parts(), HORIZON, &settings()).unwrap();
    let rest = rest.unwrap();
    let told = linear.predict_part(&series, &parts().test).unwrap();
    let still = Matrix::from_vec(2000, 2, vec![0.3; 4000]).unwrap();
    for nothing in [random(2, 1), still] {
        let correction = rest.correct(&nothing, &CORRECTION_ALPHAS).unwrap();
        assert!(correction.adds_nothing() && correction.alpha.is_infinite());
        let corrected = correction.add_to(told.clone(), &nothing, &parts().test);
        assert_eq!(corrected.unwrap(), told);
    }
    // Where there is no choice they are used.
    let correction = rest.correct(&random(2, 1), &[10.]).unwrap();
    assert!(!correction.adds_nothing());
    let alone = rest.correct(&random(2, 1), &[f64::INFINITY]).unwrap();
    assert!(alone.adds_nothing() && alone.validation.len() == 1);
}

#[test]
fn the_penalty_is_chosen_on_the_validation_part_alone() {
    let (series, hints) = hinted();
    // Hints that are true up to some step, and the opposite of the truth from there on.
    let turned = |from: usize| {
        let data = (0..2000).map(|step| hints.row(step)[0] * if step < from { 1. } else { -1. });
        Matrix::from_vec(2000, 1, data.collect()).unwrap()
    };
    let (linear, rest) =
        Decomposition::fit_with_rest(&series, &parts(), HORIZON, &settings()).unwrap();
    let rest = rest.unwrap();
    let test = parts().test;
    let told = linear.predict_part(&series, &test).unwrap();
    let of = |features: &Matrix| {
        let correction = rest.correct(features, &CORRECTION_ALPHAS).unwrap();
        let corrected = correction.add_to(told.clone(), features, &test).unwrap();
        (correction, squared(&corrected, &series))
    };
    let plain = squared(&told, &series);
    // The test part would have left these out.
    let (used, error) = of(&turned(1600));
    assert!(!used.adds_nothing() && error > 1.5 * plain, "{error}");
    assert_eq!(used.validation, of(&hints).0.validation);
    // And it would have taken these, had the validation part not left them out.
    let true_but_there = {
        let data = (0..2000).map(|step| {
            let there = (1200..1600).contains(&step);
            hints.row(step)[0] * if there { -1. } else { 1. }
        });
        Matrix::from_vec(2000, 1, data.collect()).unwrap()
    };
    let (unused, error) = of(&true_but_there);
    assert!(unused.adds_nothing() && error == plain);
}

#[test]
fn what_is_left_over_is_told_by_maps_that_have_not_seen_it() {
    // A window as long as half of the training part learns noise by heart.
    let series = random(1, 2);
    let parts = Parts {
        train: 0..120,
        ..parts()
    };
    let settings = DecompositionSettings {
        window: 40,
        alphas: vec![0.1],
        ..settings()
    };
    let (linear, rest) = Decomposition::fit_with_rest(&series, &parts, 1, &settings).unwrap();
    let left = rest.unwrap().train;
    let mean = |values: &[f32]| {
        let squares = values.iter().map(|&value| f64::from(value * value));
        squares.sum::<f64>() / values.len() as f64
    };
    let known = &(39..120);
    let by_heart = judge(
        &linear.predict_part(&series, known).unwrap(),
        &series,
        known,
        1,
    );
    // Noise from −1 to 1 has the variance 1 / 3.
    assert_eq!(left.origins, (39..119).collect::<Vec<_>>());
    assert!(mean(left.values.data()) > 0.3);
    assert!(by_heart.unwrap().overall.squared < 0.25);
}

#[test]
fn no_origin_is_learned_from_that_shares_a_step_with_the_block() {
    let all = 10..110;
    assert_eq!(block(&all, 0, 1), Some((10..30, 10..30)));
    // From the block the steps 31 to 54 are foretold: from 25 that is 26 to 30, from 54 it is 55 to 59.
    assert_eq!(block(&all, 1, 5), Some((30..50, 26..54)));
    assert_eq!(block(&all, 4, 5), Some((90..110, 86..110)));
    assert_eq!(block(&all, 1, 17), None);
    assert_eq!(block(&all, 0, 31), Some((10..30, 10..60)));
    assert_eq!(block(&(3..5), 0, 1), None);
    let series = random(1, 3);
    let parts = Parts {
        train: 0..60,
        ..parts()
    };
    let fit = |horizon| Decomposition::fit_with_rest(&series, &parts, horizon, &settings());
    assert!(fit(5).unwrap().1.is_some());
    assert!(fit(40).unwrap().1.is_none());
    assert!(fit(60).is_err());
}

#[test]
fn wrong_input_is_refused_and_threads_do_not_change_a_bit() {
    let (series, hints) = hinted();
    let (linear, rest) =
        Decomposition::fit_with_rest(&series, &parts(), HORIZON, &settings()).unwrap();
    let rest = rest.unwrap();
    let test = parts().test;
    let told = linear.predict_part(&series, &test).unwrap();
    assert!(rest.correct(&hints, &[]).is_err() && rest.correct(&hints, &[0.]).is_err());
    let fewer = hints.select(&[0, 1, 2]).unwrap();
    assert!(rest.correct(&fewer, &CORRECTION_ALPHAS).is_err());
    let correction = rest.correct(&hints, &CORRECTION_ALPHAS).unwrap();
    let wider = random(2, 4);
    assert!(correction.add_to(told.clone(), &wider, &test).is_err());
    assert!(correction.add_to(told.clone(), &hints, &(0..9)).is_err());
    let run = |threads| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        let correct = || {
            let fitted =
                Decomposition::fit_with_rest(&series, &parts(), HORIZON, &settings()).unwrap();
            let correction = fitted.1.unwrap().correct(&hints, &[1., 10.]).unwrap();
            correction.add_to(told.clone(), &hints, &test).unwrap()
        };
        pool.install(correct)
    };
    assert_eq!(run(1), run(3));
}
