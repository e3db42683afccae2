//! Series as a recipe wants them seen.

use super::*;
use crate::layers::init::tests_device;
use crate::modality::{Change, Labels, Need, Part};

/// Items that are there.
struct Made(Vec<Series>);

impl Source<Series> for Made {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn name(&self, index: usize) -> String {
        index.to_string()
    }

    fn get(&self, index: usize) -> Result<Series> {
        Ok(self.0[index].clone())
    }

    fn labels(&self) -> Option<&Labels> {
        None
    }

    fn other_parts(&self) -> &[Part] {
        &[]
    }

    fn describe(&self) -> String {
        String::new()
    }
}

fn series(channels: usize, values: &[f32]) -> Series {
    Series::new(channels, values, 0).unwrap()
}

fn measured(items: &[Series]) -> Result<SeriesMeasurements> {
    SeriesData::measure(&Made(items.to_vec()), &SourceSpec::default())
}

fn data(items: &[Series], change: Change) -> SeriesData {
    let measured = measured(items).unwrap();
    let pretext = Pretext {
        views: 2,
        change,
        needs: Need::Vectors,
    };
    let (views, network) = SeriesData::defaults(&pretext, &measured);
    SeriesData::new(&views, &network, &measured).unwrap()
}

fn numbered(items: Vec<Series>) -> Vec<(u64, Series)> {
    (10..).zip(items).collect()
}

#[test]
fn each_channel_is_measured_over_all_steps() {
    let gap = f32::NAN;
    let items = [
        series(2, &[1.0, 5.0, 3.0, 5.0]),
        series(2, &[gap, 5.0]),
        series(2, &[2.0, 5.0, 2.0, gap, 2.0, 5.0]),
    ];
    let measured = measured(&items).unwrap();
    assert_eq!(
        (measured.channels, measured.length, measured.longest),
        (2, 2, 3)
    );
    assert_eq!(measured.mean, [2.0, 5.0]);
    // Of 1, 3, 2, 2, 2; a constant channel keeps its scale.
    assert!((measured.deviation[0] - 0.4f32.sqrt()).abs() < 1e-6);
    assert_eq!(measured.deviation[1], 1.0);
    assert!((measured.missing - 2.0 / 12.0).abs() < 1e-9);
    let found = measured.normalize(&[2.0, 6.0, gap, 5.0]);
    assert_eq!(format!("{found:?}"), "[0.0, 1.0, NaN, 0.0]");
    let large = [series(1, &[1e18, -1e18])];
    let large = self::measured(&large).unwrap();
    assert_eq!(large.normalize(&[1e18]), [1.0]);
    large.check().unwrap();
}

#[test]
fn a_batch_knows_which_values_were_measured_and_which_tell_the_calendar() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    std::fs::write(&path, "date,x\n2024-01-01,1\n2024-01-02,2\n2024-01-03,4\n").unwrap();
    let spec = SourceSpec {
        path: Some(path),
        reading: "calendar = true".parse().unwrap(),
        ..SourceSpec::default()
    };
    let source = SeriesData::open(&spec).unwrap();
    let measured = SeriesData::measure(source.as_ref(), &spec).unwrap();
    assert_eq!((measured.channels, measured.calendar), (7, 6));
    let pretext = Pretext {
        views: 1,
        change: Change::Light,
        needs: Need::Ending,
    };
    let (views, network) = SeriesData::defaults(&pretext, &measured);
    let data = SeriesData::new(&views, &network, &measured).unwrap();
    let views = data.plain(&[(0, source.get(0).unwrap())]).unwrap();
    let batch = data.collate(&views, &Rows::default(), &tests_device());
    assert_eq!(batch.unwrap().measured, 1);
}

#[test]
fn nothing_can_be_learned_from_constants() {
    let error = measured(&[series(1, &[3.3, 3.3]), series(1, &[3.3])]).unwrap_err();
    assert!(
        error.to_string().contains("all channels are constant"),
        "{error}"
    );
    assert!(measured(&[]).is_err());
}

#[test]
fn views_depend_on_the_draw_and_their_series_alone() {
    let items: Vec<Series> = (0..6)
        .map(|item| {
            let values: Vec<f32> = (0..80)
                .map(|step| ((step * (item + 2)) as f32).sin())
                .collect();
            series(2, &values)
        })
        .collect();
    for change in [Change::Strong, Change::Overlapping] {
        let data = data(&items, change);
        let items = numbered(items.clone());
        let draw = |epoch| Draw { seed: 1, epoch };
        let views = data.views(&items, draw(0)).unwrap();
        assert_eq!((views.len(), views[0].len()), (2, 6));
        assert_eq!(views, data.views(&items, draw(0)).unwrap());
        assert_ne!(views, data.views(&items, draw(1)).unwrap());
        assert_ne!(views[0], views[1]);
        // Fewer items after the first change nothing about the others.
        let fewer = data.views(&items[..3], draw(0)).unwrap();
        assert_eq!(fewer[1], views[1][..3]);
        for slot in &views {
            assert!(slot.iter().all(|view| view.steps() == slot[0].steps()));
            let batch = data
                .collate(slot, &Rows::default(), &tests_device())
                .unwrap();
            assert!(batch.valid.is_none() && batch.present.is_none());
            assert!(batch.hiding.is_some());
        }
        let plain = data.plain(&items).unwrap();
        assert!(
            plain
                .iter()
                .all(|view| view.hiding.is_none() && view.steps() == 40)
        );
    }
}

#[test]
fn overlapping_views_say_where_they_begin() {
    let values: Vec<f32> = (0..50).map(|step| step as f32).collect();
    let mut item = series(1, &values);
    item.start = 1000;
    let data = data(&[item.clone()], Change::Overlapping);
    for epoch in 0..50 {
        let views = data
            .views(&[(3, item.clone())], Draw { seed: 0, epoch })
            .unwrap();
        for view in views.iter().flatten() {
            let first = data.measured.normalize(&[(view.start - 1000) as f32]);
            assert_eq!(view.values[0], first[0]);
        }
    }
}

#[test]
fn a_series_longer_than_a_view_is_said_to_be_shortened() {
    let items = vec![
        series(1, &[0.0, 1.0, 2.0, 3.0]),
        series(1, &[2.0, 1.0, 0.0]),
    ];
    let mut data = data(&items, Change::Light);
    data.views.length = 3;
    let items = numbered(items);
    let plain = data.plain(&items).unwrap();
    let both = items.iter().zip(&plain);
    let shortened: Vec<bool> = both
        .map(|((_, item), view)| data.shortened(item, view))
        .collect();
    assert_eq!(shortened, [true, false]);
}

#[test]
fn steps_that_arrive_are_read_as_what_was_learned_from_or_not_at_all() {
    let data = data(&[series(1, &[1.0, 2.0, 3.0])], Change::Light);
    let rows = |reading: &str| {
        data.rows(&SourceSpec {
            reading: reading.parse().unwrap(),
            ..SourceSpec::default()
        })
    };
    assert!(rows("window = 2").is_ok());
    for reading in ["resample = 60", "standardize = 10"] {
        let error = rows(reading).err().unwrap().to_string();
        let key = reading.split(' ').next().unwrap();
        assert!(
            error.contains(&format!("data.reading.{key}, and steps")),
            "{error}"
        );
    }
}

#[test]
fn series_of_different_lengths_are_one_batch() {
    let items = vec![series(1, &[1.0, 2.0, 3.0]), series(1, &[f32::NAN, 5.0])];
    let data = data(&items, Change::Light);
    let views = data.plain(&numbered(items)).unwrap();
    let batch = data
        .collate(&views, &Rows::default(), &tests_device())
        .unwrap();
    assert_eq!(batch.values.dims(), [2, 3, 1]);
    assert_eq!(
        (&batch.lengths[..], &batch.starts[..]),
        (&[3, 2][..], &[0, 0][..])
    );
    assert_eq!(
        host(batch.present.clone().unwrap()),
        [1.0, 1.0, 1.0, 0.0, 1.0, 0.0]
    );
    let pictures = data.pictures(&batch);
    assert_eq!((pictures.len(), pictures[0].width), (2, TILE[0]));
}

#[test]
fn raw_values_are_laid_out_alike() {
    let items = vec![
        series(1, &[0.0, 2.0, 4.0]),
        series(1, &[0.0, f32::NAN, 2.0, 3.0, 4.0]),
        series(1, &[1.0, 2.0, 3.0]),
    ];
    let data = data(&items, Change::Light);
    let raw: Vec<Vec<f32>> = items.iter().map(|item| data.raw(item)).collect();
    assert!(raw.iter().all(|values| values.len() == 3));
    for (a, b) in raw[0].iter().zip(&raw[1]) {
        assert!((a - b).abs() < 1e-5, "{raw:?}");
    }
    let long: Vec<f32> = (0..9000).map(|value| (value % 7) as f32).collect();
    let items = [series(3, &long)];
    let data = self::data(&items, Change::Light);
    assert_eq!(data.raw(&items[0]).len(), 1024 / 3 * 3);
}

#[test]
fn other_channels_than_were_measured_are_refused() {
    let data = data(&[series(1, &[1.0, 2.0, 3.0])], Change::Light);
    let other = vec![(0, series(2, &[1.0, 2.0]))];
    let error = data.plain(&other).unwrap_err().to_string();
    assert!(error.contains("series of 2 channels"), "{error}");
    assert!(data.views(&other, Draw { seed: 0, epoch: 0 }).is_err());
    assert!(Series::new(0, vec![1.0], 0).is_err() && Series::new(2, vec![1.0], 0).is_err());
}

#[test]
fn measurements_that_can_not_be_are_refused() {
    let good = measured(&[series(1, &[1.0, 2.0, 3.0])]).unwrap();
    let (views, network) = SeriesData::defaults(
        &Pretext {
            views: 1,
            change: Change::Light,
            needs: Need::Readout,
        },
        &good,
    );
    assert!(SeriesData::new(&views, &network, &good).is_ok());
    assert!(network.abilities().reads_out);
    for bad in [
        SeriesMeasurements {
            channels: 2,
            ..good.clone()
        },
        SeriesMeasurements {
            deviation: vec![0.0],
            ..good.clone()
        },
        SeriesMeasurements {
            mean: vec![f32::NAN],
            ..good.clone()
        },
        SeriesMeasurements {
            length: 0,
            ..good.clone()
        },
        SeriesMeasurements {
            longest: 1,
            ..good.clone()
        },
        SeriesMeasurements {
            calendar: 1,
            ..good.clone()
        },
        SeriesMeasurements {
            missing: 2.0,
            ..good.clone()
        },
    ] {
        assert!(SeriesData::new(&views, &network, &bad).is_err(), "{bad:?}");
    }
}

#[test]
fn a_sheet_shows_each_series_and_its_views() {
    let items = vec![series(1, &[1.0, 2.0, 3.0, 1.0]); 3];
    let data = data(&items, Change::Strong);
    let items = numbered(items);
    let Sheet::Png(png) = data.sheet(&items, Draw { seed: 0, epoch: 0 }).unwrap() else {
        panic!("no picture");
    };
    let read = image::load_from_memory(&png).unwrap();
    assert_eq!(read.width() as usize, 3 * (TILE[0] + 4) + 4);
    assert_eq!(read.height() as usize, 3 * (TILE[1] + 4) + 4);
    assert!(data.sheet(&[], Draw { seed: 0, epoch: 0 }).is_err());
    let picture = data.picture(&items[0].1, 64).unwrap();
    assert_eq!((picture.width, picture.height), (64, 32));
}
