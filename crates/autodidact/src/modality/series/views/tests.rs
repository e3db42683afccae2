//! Crops lie where they say, disturbances change what they say and nothing else.

use super::curve::curve;
use super::disturb::{
    drop_channels, jitter, mask_frequencies, permute, scale, warp_magnitude, warp_time,
};
use super::*;
use crate::modality::series::Series;
use crate::modality::{Change, Draw, Need, Pretext};
use crate::random::{Purpose, Rng, stream};

fn rng(seed: u64) -> Rng {
    stream(seed, Purpose::View, &[])
}

fn items(lengths: &[usize]) -> Vec<(u64, Series)> {
    let series = |steps: usize| {
        let values: Vec<f32> = (0..steps).map(|step| step as f32).collect();
        Series::new(1, values, 0).unwrap()
    };
    lengths
        .iter()
        .map(|&n| series(n))
        .zip(7..)
        .map(|(s, id)| (id, s))
        .collect()
}

fn draw(epoch: u64) -> Draw {
    Draw { seed: 3, epoch }
}

fn suiting(change: Change) -> SeriesViews {
    let pretext = Pretext {
        views: 2,
        change,
        needs: Need::Vectors,
    };
    SeriesViews::suiting(&pretext, 100)
}

#[test]
fn what_suits_a_pretext_is_allowed() {
    for change in [
        Change::Strong,
        Change::StrongUneven,
        Change::Light,
        Change::Overlapping,
    ] {
        let views = suiting(change);
        views.check().unwrap();
        views.one().check().unwrap();
        assert_eq!((views.count, views.length), (2, 100));
    }
    assert!(suiting(Change::Overlapping).overlapping);
}

#[test]
fn settings_that_can_not_be_are_refused() {
    let plain = SeriesViews::default();
    let jittered = |probability: f64, strength: f64| SeriesViews {
        jitter: Disturbance {
            probability,
            strength,
        },
        ..plain.clone()
    };
    let overlapping = SeriesViews {
        overlapping: true,
        count: 2,
        ..plain.clone()
    };
    for views in [
        SeriesViews {
            count: 0,
            ..plain.clone()
        },
        SeriesViews {
            length: 1,
            ..plain.clone()
        },
        SeriesViews {
            crop: [0.9, 0.5],
            ..plain.clone()
        },
        SeriesViews {
            crop: [0.0, 0.0],
            ..plain.clone()
        },
        SeriesViews {
            crop: [f64::NAN, 1.0],
            ..plain.clone()
        },
        SeriesViews {
            count: 3,
            ..overlapping.clone()
        },
        SeriesViews {
            time_warp: Disturbance {
                probability: 0.1,
                strength: 0.1,
            },
            ..overlapping.clone()
        },
        SeriesViews {
            permutation: Permutation {
                probability: 0.1,
                segments: 1,
            },
            ..plain.clone()
        },
        jittered(1.1, 0.1),
        jittered(0.5, -0.1),
    ] {
        assert!(views.check().is_err(), "{views:?}");
    }
    overlapping.check().unwrap();
}

#[test]
fn crops_of_a_slot_are_of_one_length_and_begin_anywhere() {
    let views = SeriesViews {
        crop: [0.5, 0.8],
        count: 2,
        ..SeriesViews::default()
    };
    let items = items(&[100; 50]);
    let mut lengths = std::collections::BTreeSet::new();
    for epoch in 0..20 {
        let mut starts = std::collections::BTreeSet::new();
        for slot in 0..2 {
            let frame = Frame::draw(&views, &items, slot, draw(epoch));
            let Frame::Crop(steps) = frame else {
                panic!("{frame:?}");
            };
            lengths.insert(steps);
            for item in &items {
                let (from, to) = frame.place(item, slot, draw(epoch), &mut rng(item.0));
                assert!(to - from == steps && to <= 100);
                starts.insert(from);
            }
        }
        assert!(starts.len() > 10);
    }
    assert!(lengths.len() > 5 && lengths.iter().all(|steps| (50..=80).contains(steps)));
    // Of a shorter series all is seen.
    let frame = Frame::Crop(10);
    assert_eq!(
        frame.place(&self::items(&[4])[0], 0, draw(0), &mut rng(0)),
        (0, 4)
    );
}

#[test]
fn pairs_overlap_in_the_same_steps_of_every_series() {
    let views = suiting(Change::Overlapping);
    let items = items(&[60; 30]);
    let mut shared_lengths = std::collections::BTreeSet::new();
    for epoch in 0..200 {
        let frames = [0, 1].map(|slot| Frame::draw(&views, &items, slot, draw(epoch)));
        let mut offsets = std::collections::BTreeSet::new();
        let mut shapes = std::collections::BTreeSet::new();
        for item in &items {
            let [a, b] =
                [0, 1].map(|slot| frames[slot].place(item, slot, draw(epoch), &mut rng(0)));
            assert!(
                a.0 <= b.0 && b.0 < a.1 && a.1 <= b.1 && b.1 <= 60,
                "{a:?} {b:?}"
            );
            shapes.insert((a.1 - a.0, b.1 - b.0, b.0 - a.0));
            offsets.insert(a.0);
            assert!(a.1 - b.0 >= 2);
            shared_lengths.insert(a.1 - b.0);
        }
        // All rows alike but for where they begin.
        assert_eq!(shapes.len(), 1);
    }
    assert!(shared_lengths.len() > 30);
}

#[test]
fn short_series_among_long_ones_overlap_as_well() {
    let views = suiting(Change::Overlapping);
    let items = items(&[90, 3, 40, 2]);
    for epoch in 0..500 {
        for item in &items {
            let steps = item.1.steps();
            let [a, b] = [0, 1].map(|slot| {
                let frame = Frame::draw(&views, &items, slot, draw(epoch));
                frame.place(item, slot, draw(epoch), &mut rng(0))
            });
            for (from, to) in [a, b] {
                assert!(from < to && to <= steps, "{a:?} {b:?} of {steps}");
            }
            assert!(b.0 < a.1, "{a:?} {b:?} of {steps}");
        }
    }
}

#[test]
fn curves_go_around_one() {
    let mut sums = [0.0f64; 2];
    for seed in 0..500 {
        for value in curve(64, 0.2, &mut rng(seed)) {
            sums[0] += f64::from(value);
            sums[1] += f64::from(value - 1.0).powi(2);
        }
    }
    let [mean, square] = sums.map(|sum| sum / 32_000.0);
    assert!((mean - 1.0).abs() < 0.02, "{mean}");
    // Between knots a curve varies less than at them.
    assert!((0.1..0.22).contains(&square.sqrt()), "{}", square.sqrt());
    assert_eq!(curve(5, 0.0, &mut rng(0)), [1.0; 5]);
    assert_eq!(curve(1, 0.0, &mut rng(0)), [1.0]);
}

#[test]
fn noise_and_factors_have_the_deviation_that_was_asked_for() {
    let mut values = vec![2.0; 20_000];
    jitter(&mut values, 0.5, &mut rng(1));
    let mean = values.iter().sum::<f32>() / 20_000.0;
    let square = values.iter().map(|v| (v - mean).powi(2)).sum::<f32>() / 20_000.0;
    assert!((mean - 2.0).abs() < 0.02 && (square.sqrt() - 0.5).abs() < 0.02);
    let mut values = vec![1.0, 2.0, 3.0, 4.0];
    scale(&mut values, 2, 0.3, &mut rng(2));
    // Each channel keeps its proportions.
    assert!(
        (values[2] / values[0] - 3.0).abs() < 1e-5 && (values[3] / values[1] - 2.0).abs() < 1e-5
    );
    assert!(values[0] != 1.0 && values[0] != values[1] / 2.0);
    let mut values = vec![1.0; 40];
    warp_magnitude(&mut values, 1, 0.2, &mut rng(3));
    let step = values
        .windows(2)
        .map(|pair| (pair[1] - pair[0]).abs())
        .fold(0.0, f32::max);
    assert!(step > 0.0 && step < 0.2, "{step}");
}

#[test]
fn warped_time_runs_forward_from_end_to_end() {
    for seed in 0..50 {
        let mut values: Vec<f32> = (0..50).map(|step| step as f32).collect();
        warp_time(&mut values, 1, 0.4, &mut rng(seed));
        assert_eq!((values[0], values.len()), (0.0, 50));
        assert!((values[49] - 49.0).abs() < 1e-3);
        assert!(values.windows(2).all(|pair| pair[1] >= pair[0]));
    }
    let mut values = vec![0.0, f32::NAN, 2.0, 3.0];
    warp_time(&mut values, 1, 0.0, &mut rng(0));
    assert_eq!(format!("{values:?}"), "[0.0, NaN, 2.0, 3.0]");
}

#[test]
fn segments_change_places_and_nothing_is_lost() {
    let mut moved = 0;
    for seed in 0..50 {
        let mut values: Vec<f32> = (0..40).map(|value| value as f32).collect();
        permute(&mut values, 2, 5, &mut rng(seed));
        let cuts = values
            .windows(2)
            .filter(|pair| pair[1] != pair[0] + 1.0)
            .count();
        assert!(cuts <= 4);
        moved += usize::from(cuts > 0);
        // Steps stay whole.
        assert!(values.chunks(2).all(|step| step[0] % 2.0 == 0.0));
        values.sort_by(f32::total_cmp);
        assert!(
            values
                .iter()
                .enumerate()
                .all(|(at, &value)| value == at as f32)
        );
    }
    assert!(moved > 25);
}

#[test]
fn a_band_of_frequencies_is_taken_out_and_the_others_stay() {
    let steps = 64;
    let wave = |frequency: f32, step: usize| {
        (std::f32::consts::TAU * frequency * step as f32 / steps as f32 + 0.3).sin()
    };
    for seed in 0..20 {
        let mut values: Vec<f32> = (0..steps)
            .map(|step| 5.0 + (1..=32).map(|f| wave(f as f32, step)).sum::<f32>())
            .collect();
        mask_frequencies(&mut values, 1, 0.25, &mut rng(seed));
        let power = |frequency: usize| {
            let part = |phase: f32| -> f32 {
                let at = |step: usize| {
                    std::f32::consts::TAU * (frequency * step) as f32 / steps as f32 + phase
                };
                values
                    .iter()
                    .enumerate()
                    .map(|(step, value)| value * at(step).cos())
                    .sum()
            };
            let (cosine, sine) = (part(0.0), part(std::f32::consts::FRAC_PI_2));
            (cosine * cosine + sine * sine).sqrt() / steps as f32
        };
        let gone: Vec<usize> = (1..=32)
            .filter(|&frequency| power(frequency) < 1e-3)
            .collect();
        assert_eq!(gone.len(), 8, "{gone:?}");
        assert!(gone.windows(2).all(|pair| pair[1] == pair[0] + 1));
        assert!((power(0) - 5.0).abs() < 1e-3);
    }
}

#[test]
fn a_channel_stays_when_others_are_dropped() {
    let mut dropped = 0;
    for seed in 0..200 {
        let mut values = vec![1.0; 12];
        drop_channels(&mut values, 3, 0.5, &mut rng(seed));
        let missing: Vec<bool> = values[..3].iter().map(|value| value.is_nan()).collect();
        assert!(values.chunks(3).all(|step| {
            step.iter()
                .zip(&missing)
                .all(|(value, &missing)| value.is_nan() == missing)
        }));
        let count = missing.iter().filter(|missing| **missing).count();
        assert!(count < 3);
        dropped += count;
    }
    // Two of three channels have the chance of a half.
    assert!((150..250).contains(&dropped), "{dropped}");
}

#[test]
fn what_is_missing_stays_missing_and_nothing_else_becomes_so() {
    let views = SeriesViews {
        permutation: Permutation {
            probability: 0.0,
            segments: 4,
        },
        time_warp: Disturbance::default(),
        ..suiting(Change::Strong)
    };
    for seed in 0..50 {
        let mut values: Vec<f32> = (0..60).map(|value| (value as f32).sin()).collect();
        values[7] = f32::NAN;
        views.disturb(&mut values, 2, 0, &mut rng(seed));
        assert_eq!(values.len(), 60);
        assert!(
            values
                .iter()
                .enumerate()
                .all(|(at, value)| value.is_nan() == (at == 7))
        );
    }
    let mut single = vec![1.0, 2.0];
    suiting(Change::Strong).disturb(&mut single, 2, 0, &mut rng(0));
    assert_eq!(single, [1.0, 2.0]);
}

#[test]
fn lines_are_drawn_where_values_are() {
    let picture = plot(&[0.0, 1.0, 2.0, f32::NAN], 1, [4, 8]);
    assert_eq!(
        (picture.width, picture.height, picture.rgb.len()),
        (4, 8, 32)
    );
    let drawn = |x: usize, y: usize| picture.rgb[y * 4 + x] == [0, 114, 178];
    assert!(drawn(0, 6) && !drawn(0, 0) && drawn(2, 1));
    assert!((0..8).all(|y| picture.rgb[y * 4 + 3] == [222, 228, 238]));
    for values in [&[1.0f32; 3][..], &[1e18, -1e18], &[f32::NAN], &[]] {
        assert_eq!(plot(values, 1, [16, 9]).rgb.len(), 144);
    }
    let sheet = stack(&[vec![picture.clone(), picture.clone()], vec![picture]]);
    assert_eq!((sheet.width, sheet.height), (20, 28));
    let png = encode_png(&sheet).unwrap();
    let read = image::load_from_memory(&png).unwrap().into_rgb8();
    assert_eq!(read.as_raw(), sheet.rgb.as_flattened());
}
