//! Views of images of any shape and number of channels.

use super::Reference;
use crate::modality::image::Image;
use crate::modality::image::views::{Crop, Erase, ImageViews, Normalization, plain};
use crate::random::{Purpose, stream};

#[test]
fn a_stream_gives_the_same_view_whatever_was_drawn_before() {
    let views = ImageViews {
        quarter_turns: 0.5,
        ..ImageViews::strong_uneven(48)
    };
    let (image, normalization) = (Reference::read().image(), Normalization::imagenet());
    let draw = |slot: usize| {
        views.draw(
            &image,
            slot,
            &mut stream(1, Purpose::View, &[slot as u64]),
            &normalization,
            3,
        )
    };
    let first = draw(1);
    plain_of_another_size();
    draw(0);
    assert_eq!(draw(1), first);
}

fn plain_of_another_size() {
    let large = Image::new(90, 70, 1, vec![9; 6300]).unwrap();
    plain(&large, 64, &Normalization::imagenet(), 1);
}

#[test]
fn images_of_any_shape_give_views_of_the_size_that_was_asked_for() {
    let every = |size| ImageViews {
        quarter_turns: 0.5,
        vertical_flip: 0.5,
        erase: Erase {
            probability: 1.0,
            area: [0.02, 1.0],
            aspect: [0.01, 100.0],
        },
        ..ImageViews::strong_uneven(size)
    };
    let odd = |size| ImageViews {
        crops: vec![
            Crop {
                size,
                area: [1e-6, 1.0],
                aspect: [0.01, 100.0],
                ..Crop::default()
            },
            Crop {
                aspect: [50.0, 100.0],
                size,
                ..Crop::default()
            },
        ],
        ..every(size)
    };
    let normalization = Normalization::new(vec![0.5], vec![0.0]).unwrap();
    for (width, height) in [(1, 1), (1, 5000), (5000, 1), (2, 3), (7, 1), (33, 40)] {
        for stored in [1, 2, 3, 4] {
            let image =
                Image::new(width, height, stored, vec![200; width * height * stored]).unwrap();
            for (views, size) in [0, 1, 2, 33, 65]
                .into_iter()
                .flat_map(|size| [(every(size), size), (odd(size), size)])
            {
                views.check().unwrap();
                let size = if size == 0 { width.min(height) } else { size };
                for (slot, channels, draw) in [(0, 1, 0), (0, 3, 1), (1, 1, 2), (1, 3, 3)] {
                    let view = views.draw(
                        &image,
                        slot,
                        &mut stream(0, Purpose::View, &[draw]),
                        &normalization,
                        channels,
                    );
                    assert_eq!(view.pixels.len(), size * size * channels);
                    assert!(view.pixels.iter().all(|value| value.is_finite()));
                    let (right, lower) = (
                        view.crop.x + view.crop.width,
                        view.crop.y + view.crop.height,
                    );
                    assert!(
                        view.crop.width > 0.0
                            && view.crop.height > 0.0
                            && right < 1.0001
                            && lower < 1.0001
                    );
                }
            }
        }
    }
}

#[test]
fn grey_and_color_images_give_either_kind_of_view() {
    let (reference, views) = (Reference::read(), ImageViews::default().with_size(8));
    let grey = Image::new(4, 4, 1, (0..16).map(|i| i * 16).collect::<Vec<u8>>()).unwrap();
    let repeated = Image::new(4, 4, 3, (0..48).map(|i| i / 3 * 16).collect::<Vec<u8>>()).unwrap();
    let normalization = Normalization::imagenet();
    let draw = |image: &Image, channels| {
        views.draw(
            image,
            0,
            &mut stream(7, Purpose::View, &[]),
            &normalization,
            channels,
        )
    };
    assert_eq!(draw(&grey, 3), draw(&repeated, 3));
    let off = draw(&grey, 1)
        .pixels
        .into_iter()
        .zip(draw(&repeated, 1).pixels)
        .map(|(a, b)| (a - b).abs());
    assert!(off.fold(0.0, f32::max) < 1e-5);
    let image = reference.image();
    let (grey, color) = (draw(&image, 1), draw(&image, 3));
    let level = |c: usize, value: f32| normalization.undo(value, c);
    for (grey, color) in grey.pixels.iter().zip(color.pixels.chunks_exact(3)) {
        let luma =
            0.299 * level(0, color[0]) + 0.587 * level(1, color[1]) + 0.114 * level(2, color[2]);
        assert!((level(0, *grey) - luma).abs() < 1e-5);
    }
}
