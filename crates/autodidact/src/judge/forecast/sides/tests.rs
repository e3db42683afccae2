use super::super::errors::{Judged, best_simple, findings, mean};
use super::super::{ABOVE, LAST_VALUE, LINEAR, SIMPLE, parts};
use super::*;
use autodidact_eval::interval::Bootstrap;

fn settings() -> Bootstrap {
    Bootstrap {
        resamples: 200,
        ..Bootstrap::default()
    }
}

#[test]
fn blocks_add_up_to_the_error_of_all_origins_and_gaps_of_sides_are_left_out() {
    let series = Matrix::from_vec(200, 2, (0..400).map(|x| (x as f32 * 0.7).sin()).collect());
    let series = series.unwrap();
    let vectors = [(); VECTORS].map(|()| Some(last_values(&series, 8).unwrap()));
    let known = Known::new(series.clone(), parts(200, &[0.5, 0.2, 0.3]), vectors, None);
    let told = known.foretell(5, &mut || ()).unwrap();
    assert_eq!(
        told.iter().map(Option::is_some).collect::<Vec<_>>(),
        [true, true, true, true, true, true, true, true, false, true]
    );
    let last = &told[LAST_VALUE].as_ref().unwrap().told;
    let blocks = known.errors(last, 5).unwrap();
    let all: Vec<usize> = (0..blocks.len()).collect();
    let whole = judge(last, &series, &known.parts.test, 5).unwrap().overall;
    assert!((mean(&blocks, &all, true) - whole.squared).abs() < 1e-9);
    assert!((mean(&blocks, &all, false) - whole.absolute).abs() < 1e-9);
    // 55 origins: blocks are as long as the horizon, or one where that is longer.
    let lengths = |horizon: usize| -> Vec<f64> {
        let told = known.told(LAST_VALUE, &known.parts.test, horizon, &Penalties::all());
        let blocks = known.errors(&told.unwrap().unwrap(), horizon).unwrap();
        blocks.iter().map(|(.., origins)| *origins).collect()
    };
    assert_eq!(lengths(5), [5.0; 11]);
    assert_eq!(lengths(1).len(), BLOCKS);
    assert_eq!(lengths(35), [25.0]);
    // A sine is foretold by its last values, and not by the last one.
    let regression = known
        .errors(&told[SIMPLE].as_ref().unwrap().told, 5)
        .unwrap();
    assert!(mean(&regression, &all, true) < 0.01 * whole.squared);
    let found = |said: &Option<Said>| Some(known.found(said.as_ref()?, 5).unwrap());
    let judged = Judged::of(5, &[told.iter().map(found).collect()]);
    let found = findings(std::slice::from_ref(&judged), &settings()).unwrap();
    assert_eq!(found.len(), 18);
    assert_eq!(found[0].task, "5 ahead");
    assert_eq!(best_simple(&judged.sides), SIMPLE);
    let examples = known.examples(&told, 0, SIMPLE, 5, "a");
    assert_eq!(examples.len(), 3);
    assert_eq!(examples[1].past.len(), 5);
    assert_eq!(examples[1].came, {
        let origin = known.parts.test.start + 3 * last.rows() / 6;
        (1..=5)
            .map(|ahead| series.row(origin + ahead)[1])
            .collect::<Vec<_>>()
    });
}

/// A wave, and after each step one that only the hint at that step tells.
fn hinted(hints: impl Fn(usize) -> f32) -> Matrix {
    let value = |step: usize| (step as f32 * 0.5).sin() + hints(step);
    Matrix::from_vec(1000, 1, (0..1000).map(value).collect()).unwrap()
}

/// What no step tells of the next.
fn noise(step: usize, stream: u32) -> f32 {
    let mut hash = (step as u32 + 1).wrapping_mul(0x9E37_79B9) ^ stream.wrapping_mul(0x85EB_CA6B);
    for _ in 0..2 {
        hash = (hash ^ (hash >> 16)).wrapping_mul(0x7FEB_352D);
        hash = (hash ^ (hash >> 15)).wrapping_mul(0x846C_A68B);
    }
    ((hash ^ (hash >> 16)) >> 8) as f32 / (1 << 24) as f32 - 0.5
}

fn known(series: &Matrix, pretrained: &Matrix, untrained: &Matrix) -> Known {
    let raw = last_values(series, 8).unwrap();
    let both = |vectors: &Matrix| Some(side_by_side(vectors, &raw).unwrap());
    let vectors = [
        Some(pretrained.clone()),
        both(pretrained),
        Some(untrained.clone()),
        both(untrained),
        Some(raw.clone()),
    ];
    let parts = parts(1000, &[0.6, 0.2, 0.2]);
    Known::new(series.clone(), parts, vectors, None)
}

#[test]
fn a_network_stands_on_the_linear_map_and_one_that_tells_nothing_is_left_out() {
    let column = |value: &dyn Fn(usize) -> f32| {
        Matrix::from_vec(1000, 1, (0..1000).map(value).collect()).unwrap()
    };
    let series = hinted(|step| 2.0 * noise(step, 1));
    let next = column(&|step| noise(step + 1, 1));
    let known = known(&series, &next, &column(&|step| noise(step, 2)));
    let said = known.foretell(1, &mut || ()).unwrap();
    let found = |said: &Option<Said>| Some(known.found(said.as_ref()?, 1).unwrap());
    let judged = Judged::of(1, &[said.iter().map(found).collect()]);
    let all: Vec<usize> = (0..judged.sides[0].len()).collect();
    let error = |side: usize| mean(&judged.sides[side], &all, true);
    assert!(
        error(ABOVE) < 0.5 * error(LINEAR) && error(ABOVE) < 0.5 * error(0),
        "{} {} {}",
        error(ABOVE),
        error(LINEAR),
        error(0)
    );
    assert!(!judged.unused && judged.way.is_some_and(|way| way > 0));
    // The untrained network's vectors are noise: it is the linear map, to the last bit.
    let told = |side: usize| &said[side].as_ref().unwrap().told;
    assert_eq!(told(UNTRAINED + ABOVE), told(LINEAR));
    assert!(said[UNTRAINED + ABOVE].as_ref().unwrap().unused);
    // To learn from the whole, the vectors of that side stay.
    let base = known.base(1, &Penalties::all(), true).unwrap();
    let learned = known.learned(ABOVE, 1, &Penalties::all(), base.as_ref());
    let penalties = learned.unwrap().unwrap().penalties();
    assert!(penalties.rest.len() == 1 && penalties.rest[0].is_finite());
    let whole = known.whole_for(ABOVE, 1).unwrap();
    let end = whole.parts().test.clone();
    let told = whole.told(ABOVE, &end, 1, &penalties).unwrap().unwrap();
    let came = (1000.0_f32 * 0.5).sin() + 2.0 * noise(1000, 1);
    assert!((told.data()[0] - came).abs() < 0.5, "{told:?} {came}");
}

#[test]
fn the_way_is_chosen_on_the_validation_part_alone() {
    let column = |value: &dyn Fn(usize) -> f32| {
        Matrix::from_vec(1000, 1, (0..1000).map(value).collect()).unwrap()
    };
    let series = hinted(|step| 2.0 * noise(step, 1));
    // Hints that mislead from the test part on.
    let turned = |step: usize| if step < 800 { 1.0_f32 } else { -1.0 };
    let next = column(&|step| noise(step + 1, 1) * turned(step));
    let known = known(&series, &next, &next);
    let said = known.foretell(1, &mut || ()).unwrap();
    let found = |said: &Option<Said>| Some(known.found(said.as_ref()?, 1).unwrap());
    let judged = Judged::of(1, &[said.iter().map(found).collect()]);
    let all: Vec<usize> = (0..judged.sides[0].len()).collect();
    let error = |side: usize| mean(&judged.sides[side], &all, true);
    assert!(!judged.unused && error(ABOVE) > 2.0 * error(LINEAR));
    assert!(
        judged
            .way
            .is_some_and(|way| way > 0 && error(way) > error(LINEAR))
    );
}
