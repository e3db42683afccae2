use super::*;

fn wave(steps: usize, channels: usize, seed: f32) -> Matrix {
    let value = |i: usize| {
        let step = (i / channels) as f32 / steps as f32;
        (step * 9. + seed + (i % channels) as f32).sin()
            + 0.4 * (i as f32 * 7.3 * (seed + 1.)).sin()
    };
    Matrix::from_vec(steps, channels, (0..steps * channels).map(value).collect()).unwrap()
}

/// The least over all paths by trying every one, from the definition.
fn by_all_paths(a: &Matrix, b: &Matrix, reach: usize, step: usize, other: usize) -> f64 {
    if step.abs_diff(other) > reach {
        return f64::INFINITY;
    }
    let here = apart(a.row(step), b.row(other));
    if (step, other) == (a.rows() - 1, b.rows() - 1) {
        return here;
    }
    let mut least = f64::INFINITY;
    for (down, right) in [(1, 0), (0, 1), (1, 1)] {
        if step + down < a.rows() && other + right < b.rows() {
            least = least.min(by_all_paths(a, b, reach, step + down, other + right));
        }
    }
    here + least
}

#[test]
fn the_distance_is_the_least_over_all_paths() {
    for (steps, others) in [(1, 1), (1, 5), (6, 1), (6, 6), (7, 4), (3, 7)] {
        for channels in [1, 3] {
            let (a, b) = (wave(steps, channels, 0.3), wave(others, channels, 1.7));
            for band in [None, Some(0), Some(1), Some(2), Some(3), Some(50)] {
                let reach = band.map_or(usize::MAX, |band| band.max(steps.abs_diff(others)));
                let naive = by_all_paths(&a, &b, reach, 0, 0).sqrt();
                let found = distance(&a, &b, band).unwrap();
                assert!((found - naive).abs() < 1e-9, "{steps} {others} {band:?}");
                let mirrored = distance(&b, &a, band).unwrap();
                assert!((found - mirrored).abs() < 1e-9);
            }
        }
    }
}

#[test]
fn a_band_of_nothing_is_the_euclidean_distance_and_a_wider_one_is_never_longer() {
    let (a, b) = (wave(40, 2, 0.1), wave(40, 2, 2.2));
    let euclidean = a.data().iter().zip(b.data());
    let euclidean: f64 = euclidean
        .map(|(&a, &b)| (f64::from(a) - f64::from(b)).powi(2))
        .sum();
    let mut last = distance(&a, &b, Some(0)).unwrap();
    assert!((last - euclidean.sqrt()).abs() < 1e-9);
    for band in 1..41 {
        let found = distance(&a, &b, Some(band)).unwrap();
        assert!(found <= last);
        last = found;
    }
    assert_eq!(last, distance(&a, &b, None).unwrap());
    // A series stretched in time is itself.
    let slow = a.select(&(0..80).map(|step| step / 2).collect::<Vec<_>>());
    assert_eq!(distance(&a, &slow.unwrap(), None).unwrap(), 0.);
}

#[test]
fn the_search_finds_what_the_full_search_finds() {
    let series = |count: usize, seed: f32, equal: bool| -> Vec<Matrix> {
        (0..count)
            .map(|item| {
                let steps = if equal { 30 } else { 20 + item * 7 % 13 };
                wave(steps, 2, seed + item as f32 * 0.61)
            })
            .collect()
    };
    for equal in [true, false] {
        let (bank, queries) = (series(40, 0., equal), series(15, 0.23, equal));
        for band in [None, Some(0), Some(2), Some(10)] {
            let found = nearest(&bank, &queries, band).unwrap();
            let within = nearest_within(&bank, band).unwrap();
            let naive = |query: &Matrix, left_out: usize| {
                let all = (0..bank.len()).filter(|&index| index != left_out);
                all.map(|index| (index, distance(query, &bank[index], band).unwrap()))
                    .reduce(|best, next| if next.1 < best.1 { next } else { best })
                    .unwrap()
            };
            for (query, found) in queries.iter().zip(&found) {
                assert_eq!(*found, naive(query, usize::MAX));
            }
            for (index, found) in within.iter().enumerate() {
                assert_eq!(*found, naive(&bank[index], index));
            }
        }
    }
}

#[test]
fn the_bounds_save_most_of_the_work() {
    // A query that equals the first of the bank: every other is given up before its first row is done.
    let bank: Vec<Matrix> = (0..20).map(|item| wave(50, 1, item as f32)).collect();
    let mut rows = Rows::default();
    let mut rest = Vec::new();
    for series in &bank[1..] {
        Envelope::new(series, Some(2)).rest(&bank[0], &mut rest);
        assert!(rest[0] > 0.);
        assert_eq!(rows.squared_distance(&bank[0], series, 2, &rest, 0.), None);
    }
}

#[test]
fn equally_near_series_leave_the_first() {
    let bank = [wave(9, 1, 3.), wave(9, 1, 0.), wave(9, 1, 0.)];
    assert_eq!(nearest(&bank, &bank[2..], None).unwrap(), [(1, 0.)]);
    assert_eq!(nearest_within(&bank, Some(1)).unwrap()[1], (2, 0.));
    assert_eq!(classify(&bank, &[4, 5, 6], &bank, None).unwrap(), [4, 5, 5]);
}

#[test]
fn a_band_is_chosen_where_time_is_shifted_within_a_class() {
    // A bump or a dent at three places: without a band the places keep equal classes apart.
    let shape = |item: usize| {
        let (class, place) = (item % 2, 5 + item / 2 % 3 * 3);
        let height = if class == 0 { 1. } else { -1. };
        let mut steps = vec![0.; 20];
        steps[place] = height;
        steps[place + 1] = -height * 0.9;
        Matrix::from_vec(20, 1, steps).unwrap()
    };
    let bank: Vec<Matrix> = (0..6).map(shape).collect();
    let labels = [0, 1, 0, 1, 0, 1];
    let (band, share) = choose_band(&bank, &labels, &[0, 3, 19]).unwrap();
    assert_eq!((band, share), (3, 1.));
    let alone = nearest_within(&bank, Some(0)).unwrap();
    assert!((0..6).any(|item| labels[alone[item].0] != labels[item]));
}

#[test]
fn wrong_input_is_refused() {
    let (one, two) = (wave(5, 1, 0.), wave(5, 2, 0.));
    assert!(matches!(
        distance(&one, &two, None),
        Err(EvalError::Columns { .. })
    ));
    let bank = [one.clone(), one.clone()];
    assert!(nearest(&[], &bank, None).is_err());
    assert!(nearest(&bank, &[two], None).is_err());
    assert!(nearest_within(&bank[..1], None).is_err());
    assert!(classify(&bank, &[1], &bank, None).is_err());
    assert!(choose_band(&bank, &[1, 1], &[1]).is_err());
    assert!(choose_band(&bank, &[1, 2], &[]).is_err());
}
