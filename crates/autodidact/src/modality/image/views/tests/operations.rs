//! Every operation, and whole pipelines of them, on one small image.

use super::Reference;
use crate::modality::image::Image;
use crate::modality::image::views::blur::{BlurBuffers, gaussian_blur};
use crate::modality::image::views::color::{
    adjust_brightness, adjust_contrast, adjust_saturation, into_grey, make_grey, solarize,
};
use crate::modality::image::views::crop::Region;
use crate::modality::image::views::erase::erase;
use crate::modality::image::views::hue::adjust_hue;
use crate::modality::image::views::normalization::Normalization;
use crate::modality::image::views::planes::Planes;
use crate::modality::image::views::resize::{Flips, ResizeBuffers, crop_resize};
use crate::modality::image::views::settings::{Blur, Crop, ImageViews, Solarize};
use crate::modality::image::views::turn::{flip, quarter_turn};
use crate::modality::image::views::view::plain;
use crate::random::{Purpose, stream};

impl Reference {
    fn patch(&self) -> Planes {
        cropped(
            &self.image(),
            Region {
                x: 0,
                y: 0,
                width: 8,
                height: 8,
            },
            8,
            Flips::default(),
        )
    }

    /// Compares all cases called `name`, in hundredths of a byte's step, and returns how many there were.
    fn compare(&self, name: &str, tolerance: f32, result: impl Fn(&[f32]) -> Planes) -> usize {
        let cases = self.cases.iter().filter(|case| case.name == name);
        cases
            .map(|case| {
                let planes = result(&case.parameters);
                let pixels: Vec<f32> = interleaved(&planes)
                    .into_iter()
                    .map(|value| value * 25500.0)
                    .collect();
                assert_close(
                    &pixels,
                    &case.values,
                    tolerance,
                    &format!("{name} {:?}", case.parameters),
                );
            })
            .count()
    }

    /// Compares the only case called `name`, in thousandths.
    fn compare_normalized(&self, name: &str, tolerance: f32, pixels: &[f32]) {
        let case = self.cases.iter().find(|case| case.name == name).unwrap();
        let pixels: Vec<f32> = pixels.iter().map(|value| value * 1000.0).collect();
        assert_close(&pixels, &case.values, tolerance, name);
    }
}

fn assert_close(found: &[f32], expected: &[f32], tolerance: f32, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let worst = found
        .iter()
        .zip(expected)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max);
    assert!(
        worst <= tolerance,
        "{what}: off by {worst}, more than {tolerance}"
    );
}

fn interleaved(planes: &Planes) -> Vec<f32> {
    let len = planes.plane_len();
    (0..len)
        .flat_map(|pixel| {
            (0..planes.channels).map(move |channel| planes.values[channel * len + pixel])
        })
        .collect()
}

fn cropped(image: &Image, region: Region, size: usize, flips: Flips) -> Planes {
    let mut planes = Planes::default();
    crop_resize(
        image,
        region,
        (size, size),
        3,
        flips,
        &mut ResizeBuffers::default(),
        &mut planes,
    );
    planes
}

fn region(parameters: &[f32]) -> (Region, usize) {
    let [x, y, width, height, size] = *parameters else {
        panic!("five numbers")
    };
    let region = Region {
        x: x as usize,
        y: y as usize,
        width: width as usize,
        height: height as usize,
    };
    (region, size as usize)
}

fn changed(mut planes: Planes, change: impl FnOnce(&mut Planes)) -> Planes {
    change(&mut planes);
    planes
}

/// Hundredths of a byte's step: the figures are rounded to whole ones, the rest is arithmetic in single precision.
const EXACT: f32 = 0.6;
/// Torchvision's weight of red is 0.2989 instead of 0.299, and its weights add up to 0.9999.
const LUMA: f32 = 4.0;

#[test]
fn crops_and_resizes_as_torchvision_does() {
    let reference = Reference::read();
    let image = reference.image();
    let crop = |parameters: &[f32]| {
        let (region, size) = region(parameters);
        cropped(&image, region, size, Flips::default())
    };
    assert_eq!(reference.compare("crop", EXACT, crop), 8);

    let red: Vec<u8> = reference.source.iter().copied().step_by(3).collect();
    let grey = Image::new(reference.width, reference.height, 1, red).unwrap();
    let crop = |parameters: &[f32]| {
        let (region, size) = region(parameters);
        cropped(&grey, region, size, Flips::default())
    };
    assert_eq!(reference.compare("crop_grey", EXACT, crop), 1);
}

#[test]
fn channels_beyond_the_third_are_left_out() {
    let reference = Reference::read();
    let pixels: Vec<u8> = reference
        .source
        .chunks_exact(3)
        .flat_map(|p| [p[0], p[1], p[2], 77])
        .collect();
    let image = Image::new(reference.width, reference.height, 4, pixels).unwrap();
    let whole = Region::whole(&image);
    let expected = cropped(&reference.image(), whole, 8, Flips::default());
    assert_eq!(cropped(&image, whole, 8, Flips::default()), expected);
}

#[test]
fn flips_and_turns_as_torchvision_does() {
    let reference = Reference::read();
    let horizontal = Flips {
        horizontal: true,
        vertical: false,
    };
    let vertical = Flips {
        horizontal: false,
        vertical: true,
    };
    for (name, flips) in [("flip", horizontal), ("vertical_flip", vertical)] {
        assert_eq!(
            reference.compare(name, EXACT, |_| changed(reference.patch(), |planes| flip(
                planes, flips
            ))),
            1
        );
        let (image, whole) = (
            reference.image(),
            Region {
                x: 0,
                y: 0,
                width: 8,
                height: 8,
            },
        );
        assert_eq!(
            reference.compare(name, EXACT, |_| cropped(&image, whole, 8, flips)),
            1
        );
    }
    let turn = |parameters: &[f32]| {
        changed(reference.patch(), |planes| {
            quarter_turn(planes, parameters[0] as u8, &mut Planes::default())
        })
    };
    assert_eq!(reference.compare("turn", EXACT, turn), 3);
}

#[test]
fn changes_color_as_torchvision_does() {
    let reference = Reference::read();
    let with = |change: fn(&mut Planes, f32)| {
        let patch = reference.patch();
        move |parameters: &[f32]| changed(patch.clone(), |planes| change(planes, parameters[0]))
    };
    assert_eq!(
        reference.compare("brightness", EXACT, with(adjust_brightness)),
        3
    );
    assert_eq!(
        reference.compare("contrast", LUMA, with(adjust_contrast)),
        3
    );
    assert_eq!(
        reference.compare("saturation", LUMA, with(adjust_saturation)),
        3
    );
    assert_eq!(reference.compare("hue", EXACT, with(adjust_hue)), 5);
    assert_eq!(
        reference.compare("grayscale", LUMA, |_| changed(reference.patch(), make_grey)),
        1
    );
    // Bytes are whole, so half a step is rounding.
    assert_eq!(
        reference.compare("grey_pillow", 51.0, |_| changed(
            reference.patch(),
            into_grey
        )),
        1
    );
    let solarized = |parameters: &[f32]| {
        changed(reference.patch(), |planes| {
            solarize(planes, parameters[0] as u8)
        })
    };
    assert_eq!(reference.compare("solarize", EXACT, solarized), 2);

    let mut red = reference.patch();
    red.reshape(8, 8, 1);
    let contrast =
        |parameters: &[f32]| changed(red.clone(), |planes| adjust_contrast(planes, parameters[0]));
    assert_eq!(reference.compare("contrast_grey", EXACT, contrast), 1);
}

#[test]
fn blurs_as_torchvision_does() {
    let reference = Reference::read();
    let blurred = |parameters: &[f32]| {
        changed(reference.patch(), |planes| {
            gaussian_blur(planes, parameters[0], &mut BlurBuffers::default())
        })
    };
    assert_eq!(reference.compare("blur", EXACT, blurred), 4);
}

#[test]
fn a_blur_of_any_width_keeps_a_uniform_image() {
    for (width, height) in [(1, 1), (2, 1), (3, 70), (65, 2)] {
        let mut planes = Planes::default();
        planes.reshape(width, height, 3);
        planes.values.fill(0.25);
        gaussian_blur(&mut planes, 9.0, &mut BlurBuffers::default());
        assert!(
            planes
                .values
                .iter()
                .all(|value| (value - 0.25).abs() < 1e-5),
            "{width} × {height}"
        );
    }
}

#[test]
fn normalizes_and_erases_as_torchvision_does() {
    let reference = Reference::read();
    let mut pixels = Normalization::imagenet().interleave(&reference.patch(), 3);
    reference.compare_normalized("normalize", EXACT, &pixels);
    erase(
        &mut pixels,
        8,
        3,
        Region {
            x: 3,
            y: 2,
            width: 5,
            height: 4,
        },
    );
    reference.compare_normalized("erase", EXACT, &pixels);
}

#[test]
fn a_whole_pipeline_is_torchvisions_and_close_to_pillows() {
    let reference = Reference::read();
    let region = Region {
        x: 2,
        y: 1,
        width: 13,
        height: 11,
    };
    let mut planes = cropped(
        &reference.image(),
        region,
        8,
        Flips {
            horizontal: true,
            vertical: false,
        },
    );
    adjust_saturation(&mut planes, 1.3);
    adjust_brightness(&mut planes, 1.2);
    adjust_hue(&mut planes, 0.102);
    adjust_contrast(&mut planes, 0.8);
    assert_eq!(reference.compare("jittered", LUMA, |_| planes.clone()), 1);

    // Pillow cuts off what is below a whole byte after each of five operations, and its hue has 256 steps: torchvision's
    // own floats are 1.24 from its bytes on average and 4.82 at most, though no single operation is off by 0.7.
    let pillow = reference
        .cases
        .iter()
        .find(|case| case.name == "jittered_pillow")
        .unwrap();
    let off: Vec<f32> = interleaved(&planes)
        .iter()
        .zip(&pillow.values)
        .map(|(a, b)| (a * 255.0 - b / 100.0).abs())
        .collect();
    let mean = off.iter().sum::<f32>() / off.len() as f32;
    let most = off.iter().copied().fold(0.0, f32::max);
    assert!(
        mean < 1.3 && most < 5.0,
        "off by {mean} on average and {most} at most, in steps of a byte"
    );

    gaussian_blur(&mut planes, 0.8, &mut BlurBuffers::default());
    solarize(&mut planes, 128);
    reference.compare_normalized(
        "pipeline",
        2.0,
        &Normalization::imagenet().interleave(&planes, 3),
    );
}

#[test]
fn draw_makes_the_operations_in_torchvisions_order() {
    let reference = Reference::read();
    let views = ImageViews {
        crops: vec![Crop {
            size: 8,
            area: [1.0, 1.0],
            aspect: [1.0, 1.0],
            ..Crop::default()
        }],
        flip: 1.0,
        vertical_flip: 1.0,
        grayscale: 1.0,
        blur: Blur {
            probability: 1.0,
            sigma: [1.0, 1.0],
        },
        solarize: Solarize {
            probability: 1.0,
            threshold: 100,
        },
        ..ImageViews::default()
    };
    let mut rng = stream(0, Purpose::View, &[]);
    let view = views.draw(
        &reference.square(),
        0,
        &mut rng,
        &Normalization::imagenet(),
        3,
    );
    reference.compare_normalized("drawn", 2.0, &view.pixels);
    assert!(view.flipped && view.vertically_flipped);
    assert_eq!(view.quarter_turns, 0);
}

#[test]
fn the_plain_view_is_the_whole_image_resized() {
    let reference = Reference::read();
    let view = plain(
        &reference.image(),
        8,
        &Normalization::new(vec![0.0; 3], vec![1.0; 3]).unwrap(),
        3,
    );
    let whole = reference
        .cases
        .iter()
        .find(|case| case.parameters == [0.0, 0.0, 20.0, 14.0, 8.0])
        .unwrap();
    let pixels: Vec<f32> = view.pixels.iter().map(|value| value * 25500.0).collect();
    assert_close(&pixels, &whole.values, EXACT, "plain");
    assert_eq!(
        (view.crop.x, view.crop.y, view.crop.width, view.crop.height),
        (0.0, 0.0, 1.0, 1.0)
    );
}
