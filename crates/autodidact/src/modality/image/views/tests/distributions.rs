//! Many draws against torchvision's own (`reference.py`), and against what the settings say.

use super::{Reference, Statistics};
use crate::modality::image::views::crop::Region;
use crate::modality::image::views::erase::draw_rectangle;
use crate::modality::image::views::jitter::Adjustment;
use crate::modality::image::views::{
    Blur, Crop, Erase, ImageView, ImageViews, Jitter, Normalization, Solarize,
};
use crate::random::{Purpose, Rng, stream};

const DRAWS: usize = 100_000;

fn rng() -> Rng {
    stream(7, Purpose::View, &[])
}

/// Compares mean and quantiles over draws: to 1 % (0.0025 where they are small), which is two to three standard errors
/// of the difference, and quantiles to a pixel's step more, because regions come in whole pixels.
fn assert_distribution(what: &str, mut values: Vec<f64>, expected: [f64; 6], step: f64) {
    values.sort_by(f64::total_cmp);
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let quantile = |share: f64| values[(share * (values.len() - 1) as f64).round() as usize];
    let found = [
        mean,
        quantile(0.05),
        quantile(0.25),
        quantile(0.5),
        quantile(0.75),
        quantile(0.95),
    ];
    for (i, (found, expected)) in found.iter().zip(expected).enumerate() {
        let tolerance = 0.01 * expected.abs().max(0.25) + if i == 0 { 0.0 } else { step };
        assert!(
            (found - expected).abs() <= tolerance,
            "{what}: {found} for {expected} (figure {i})"
        );
    }
}

fn assert_regions(
    what: &Statistics,
    regions: &[Region],
    (width, height): (f64, f64),
    aspect: impl Fn(&Region) -> f64,
) {
    let each = |value: &dyn Fn(&Region) -> f64| regions.iter().map(value).collect::<Vec<_>>();
    let name = format!("{} {:?}", what.name, what.parameters);
    let step = 1.0 / width.min(height).max(20.0);
    assert_distribution(
        &format!("area of {name}"),
        each(&|r| (r.width * r.height) as f64 / (width * height)),
        what.area,
        step,
    );
    assert_distribution(
        &format!("aspect of {name}"),
        each(&aspect),
        what.aspect,
        step,
    );
    assert_distribution(
        &format!("x of {name}"),
        each(&|r| (r.x as f64 + r.width as f64 / 2.0) / width),
        what.x,
        step,
    );
    assert_distribution(
        &format!("y of {name}"),
        each(&|r| (r.y as f64 + r.height as f64 / 2.0) / height),
        what.y,
        step,
    );
}

#[test]
fn crops_are_distributed_as_torchvisions() {
    let (reference, mut rng) = (Reference::read(), rng());
    let crops: Vec<_> = reference
        .statistics
        .iter()
        .filter(|what| what.name == "crop")
        .collect();
    assert_eq!(crops.len(), 4);
    for what in crops {
        let [width, height, low, high, narrow, wide] = what.parameters[..] else {
            panic!("six numbers")
        };
        let size = (width as usize, height as usize);
        let regions: Vec<_> = (0..DRAWS)
            .map(|_| Region::draw(size, [low, high], [narrow, wide], &mut rng))
            .collect();
        let size = (f64::from(width), f64::from(height));
        assert_regions(what, &regions, size, |r| r.width as f64 / r.height as f64);
    }
}

#[test]
fn erased_rectangles_are_distributed_as_torchvisions() {
    let (reference, mut rng) = (Reference::read(), rng());
    let what = reference
        .statistics
        .iter()
        .find(|what| what.name == "erase")
        .unwrap();
    let Erase { area, aspect, .. } = toml::from_str("probability = 1.0").unwrap();
    let drawn: Vec<_> = (0..DRAWS)
        .filter_map(|_| draw_rectangle(32, area, aspect, &mut rng))
        .collect();
    assert!((drawn.len() as f32 / DRAWS as f32 - what.parameters[1]).abs() < 0.001);
    assert_regions(what, &drawn, (32.0, 32.0), |r| {
        r.height as f64 / r.width as f64
    });
}

#[test]
fn jitter_draws_every_order_as_often_and_factors_in_range() {
    let jitter = Jitter {
        probability: 1.0,
        brightness: 0.4,
        contrast: 1.5,
        saturation: 0.2,
        hue: 0.1,
    };
    let mut rng = rng();
    let mut orders = std::collections::BTreeMap::new();
    // Least, largest and sum of each factor.
    let mut seen = [(f32::MAX, f32::MIN, 0.0); 4];
    for _ in 0..DRAWS {
        let order = jitter.draw(&mut rng).map(|change| {
            let (kind, value) = match change.unwrap() {
                Adjustment::Brightness(factor) => (0, factor),
                Adjustment::Contrast(factor) => (1, factor),
                Adjustment::Saturation(factor) => (2, factor),
                Adjustment::Hue(shift) => (3, shift),
            };
            let (least, most, sum) = &mut seen[kind];
            (*least, *most, *sum) = (least.min(value), most.max(value), *sum + f64::from(value));
            kind
        });
        *orders.entry(order).or_insert(0) += 1;
    }
    assert_eq!(orders.len(), 24);
    let expected = DRAWS as f64 / 24.0;
    let chi_squared: f64 = orders
        .values()
        .map(|&n| (f64::from(n) - expected).powi(2) / expected)
        .sum();
    assert!(
        chi_squared < 49.7,
        "χ² of {chi_squared} with 23 degrees of freedom happens once in a thousand times"
    );
    for ((least, most, sum), (low, high)) in
        seen.into_iter()
            .zip([(0.6, 1.4), (0.0, 2.5), (0.8, 1.2), (-0.1, 0.1)])
    {
        assert!((low..low + 0.001).contains(&least), "{least} for {low}");
        assert!((high - 0.001..=high).contains(&most), "{most} for {high}");
        assert!((sum / DRAWS as f64 - f64::from(low + high) / 2.0).abs() < 0.01);
    }
    assert_eq!(
        Jitter {
            brightness: 0.0,
            contrast: 0.0,
            saturation: 0.0,
            hue: 0.0,
            ..jitter
        }
        .draw(&mut rng),
        [None; 4]
    );
}

fn draws(views: &ImageViews, count: usize) -> impl Iterator<Item = ImageView> {
    let (image, normalization) = (
        Reference::read().image(),
        Normalization::new(vec![0.5], vec![1.0]).unwrap(),
    );
    (0..count).map(move |i| {
        views.draw(
            &image,
            0,
            &mut stream(7, Purpose::View, &[i as u64]),
            &normalization,
            3,
        )
    })
}

fn share(views: &ImageViews, of: impl Fn(&ImageView) -> bool) -> f64 {
    const COUNT: usize = 20_000;
    draws(views, COUNT).filter(|view| of(view)).count() as f64 / COUNT as f64
}

fn assert_share(found: f64, expected: f64) {
    assert!((found - expected).abs() < 0.012, "{found} for {expected}");
}

#[test]
fn every_change_happens_as_often_as_the_settings_say() {
    let none = ImageViews::default().with_size(4);
    let grey = |view: &ImageView| {
        view.pixels
            .chunks_exact(3)
            .all(|p| p[0] == p[1] && p[1] == p[2])
    };
    let erased = |view: &ImageView| view.pixels.chunks_exact(3).any(|p| p == [0.0; 3]);
    assert_share(
        share(
            &ImageViews {
                flip: 0.3,
                ..none.clone()
            },
            |view| view.flipped,
        ),
        0.3,
    );
    assert_share(
        share(
            &ImageViews {
                vertical_flip: 0.3,
                ..none.clone()
            },
            |view| view.vertically_flipped,
        ),
        0.3,
    );
    assert_share(
        share(
            &ImageViews {
                grayscale: 0.2,
                ..none.clone()
            },
            grey,
        ),
        0.2,
    );
    let erase = Erase {
        probability: 0.6,
        ..none.erase.clone()
    };
    assert_share(
        share(
            &ImageViews {
                erase,
                ..ImageViews::default().with_size(16)
            },
            erased,
        ),
        0.6,
    );
    let turned = ImageViews {
        quarter_turns: 0.8,
        ..none.clone()
    };
    for turns in 0..4 {
        let expected = 0.2 + if turns == 0 { 0.2 } else { 0.0 };
        assert_share(share(&turned, |view| view.quarter_turns == turns), expected);
    }
}

#[test]
fn a_crop_entry_overrides_blur_and_solarize() {
    let never = Blur {
        probability: 0.0,
        sigma: [1.0, 1.0],
    };
    let always = ImageViews {
        crops: vec![
            Crop {
                size: 8,
                ..Crop::default()
            },
            Crop {
                size: 8,
                blur: Some(never),
                solarize: Some(Solarize {
                    probability: 0.0,
                    threshold: 0,
                }),
                ..Crop::default()
            },
        ],
        blur: Blur {
            probability: 1.0,
            sigma: [1.0, 1.0],
        },
        solarize: Solarize {
            probability: 1.0,
            threshold: 0,
        },
        ..ImageViews::default()
    };
    let plain = ImageViews {
        crops: vec![Crop {
            count: 2,
            size: 8,
            ..Crop::default()
        }],
        ..ImageViews::default()
    };
    let (image, normalization) = (Reference::read().image(), Normalization::imagenet());
    let draw = |views: &ImageViews, slot| views.draw(&image, slot, &mut rng(), &normalization, 3);
    assert_eq!(draw(&always, 1), draw(&plain, 1));
    assert_ne!(draw(&always, 0), draw(&plain, 0));
}

#[test]
fn pixels_of_many_views_are_distributed_as_torchvisions() {
    let reference = Reference::read();
    let views = ImageViews {
        blur: Blur {
            probability: 0.5,
            sigma: [0.1, 2.0],
        },
        solarize: Solarize {
            probability: 0.2,
            threshold: 128,
        },
        ..ImageViews::strong(16)
    };
    let (image, normalization) = (reference.image(), Normalization::imagenet());
    let (mut sum, mut squares, mut inside) = ([0.0; 3], [0.0; 3], [0.0; 3]);
    let (count, pixels) = (DRAWS / 5, 256.0);
    for i in 0..count {
        let view = views.draw(
            &image,
            0,
            &mut stream(3, Purpose::View, &[i as u64]),
            &normalization,
            3,
        );
        for c in 0..3 {
            let values = || {
                view.pixels[c..]
                    .iter()
                    .step_by(3)
                    .map(|&value| f64::from(value))
            };
            let (s, q) = (
                values().sum::<f64>(),
                values().map(|value| value * value).sum::<f64>(),
            );
            sum[c] += s;
            squares[c] += q;
            inside[c] += ((q - s * s / pixels) / (pixels - 1.0)).sqrt();
        }
    }
    for c in 0..3 {
        let n = count as f64 * pixels;
        let mean = sum[c] / n;
        let figures = [
            ("mean", mean, reference.pixels.mean[c]),
            (
                "deviation",
                (squares[c] / n - mean * mean).sqrt(),
                reference.pixels.deviation[c],
            ),
            (
                "deviation inside a view",
                inside[c] / count as f64,
                reference.pixels.inside[c],
            ),
        ];
        // Views differ by about one deviation, so the mean of 20,000 on each side is known to 0.01.
        for (what, found, expected) in figures {
            assert!(
                (found - expected).abs() < 0.03,
                "{what} of channel {c}: {found} for {expected}"
            );
        }
    }
}
