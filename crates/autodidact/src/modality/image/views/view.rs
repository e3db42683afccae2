//! One view of one image: the operations in their order.

use std::cell::RefCell;

use rand::RngExt;

use super::blur::{BlurBuffers, gaussian_blur};
use super::color::{into_grey, make_grey, solarize};
use super::crop::{CropBox, Region, between};
use super::erase::{draw_rectangle, erase};
use super::normalization::Normalization;
use super::planes::Planes;
use super::resize::{Flips, ResizeBuffers, crop_resize};
use super::settings::ImageViews;
use super::turn::{flip, quarter_turn};
use crate::modality::image::Image;
use crate::random::Rng;

/// An image as the network will see it, and how it came about.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageView {
    /// Normalized values `[size, size, channels]`.
    pub pixels: Vec<f32>,
    /// Edge in pixels.
    pub size: usize,
    /// Values per pixel.
    pub channels: usize,
    /// The part of the image that is shown.
    pub crop: CropBox,
    /// Quarter turns counterclockwise, 0 to 3, made after the crop.
    pub quarter_turns: u8,
    /// Whether left and right were then exchanged.
    pub flipped: bool,
    /// Whether top and bottom were then exchanged.
    pub vertically_flipped: bool,
}

impl ImageViews {
    /// Draws the view in `slot` (an index into [`ImageViews::slots`]) with `channels`: 1, 3, or the image's own. A color
    /// image that is wanted in grey becomes grey before anything else changes it; a grey image that is wanted in color
    /// repeats its level. Changes of hue, saturation and greyness pass by channels that aren't colors. A size that was left to the data is the shorter edge of this image.
    ///
    /// # Panics
    /// When there is no such slot: a mistake of the caller, not of the data. The settings must have passed [`ImageViews::check`].
    pub fn draw(
        &self,
        image: &Image,
        slot: usize,
        rng: &mut Rng,
        normalization: &Normalization,
        channels: usize,
    ) -> ImageView {
        let crop = self
            .crop_of(slot)
            .unwrap_or_else(|| panic!("view {slot} of {}", self.slots().len()));
        let size = if crop.size == 0 {
            image.width().min(image.height())
        } else {
            crop.size
        };
        let region = Region::draw((image.width(), image.height()), crop.area, crop.aspect, rng);
        let quarter_turns = if chance(self.quarter_turns, rng) {
            rng.random_range(0..4)
        } else {
            0
        };
        let flips = Flips {
            horizontal: chance(self.flip, rng),
            vertical: chance(self.vertical_flip, rng),
        };
        let at_once = if quarter_turns == 0 {
            flips
        } else {
            Flips::default()
        };

        let mut pixels = with_workspace(|work| {
            let planes = &mut work.planes;
            crop_resize(
                image,
                region,
                (size, size),
                channels,
                at_once,
                &mut work.resize,
                planes,
            );
            if channels == 1 {
                into_grey(planes);
            }
            if quarter_turns != 0 {
                quarter_turn(planes, quarter_turns, &mut work.spare);
                flip(planes, flips);
            }
            if chance(self.jitter.probability, rng) {
                self.jitter
                    .draw(rng)
                    .into_iter()
                    .flatten()
                    .for_each(|change| change.apply(planes));
            }
            if chance(self.grayscale, rng) {
                make_grey(planes);
            }
            let blur = crop.blur.as_ref().unwrap_or(&self.blur);
            if chance(blur.probability, rng) {
                let sigma = between(blur.sigma.map(f64::from), rng) as f32;
                gaussian_blur(planes, sigma, &mut work.blur);
            }
            let inversion = crop.solarize.as_ref().unwrap_or(&self.solarize);
            if chance(inversion.probability, rng) {
                solarize(planes, inversion.threshold);
            }
            normalization.interleave(planes, channels)
        });
        if chance(self.erase.probability, rng)
            && let Some(rectangle) = draw_rectangle(size, self.erase.area, self.erase.aspect, rng)
        {
            erase(&mut pixels, size, channels, rectangle);
        }
        ImageView {
            pixels,
            size,
            channels,
            crop: region.in_fractions_of(image),
            quarter_turns,
            flipped: flips.horizontal,
            vertically_flipped: flips.vertical,
        }
    }
}

/// The whole image scaled to `size` × `size` pixels, 1 or more, with `channels`, which are 1, 3, or its own:
/// what evaluation sees.
///
/// # Panics
/// When `channels` or `size` is 0.
pub fn plain(
    image: &Image,
    size: usize,
    normalization: &Normalization,
    channels: usize,
) -> ImageView {
    assert!(channels > 0, "a view of no channels");
    assert!(size > 0, "a view of no pixels");
    let region = Region::whole(image);
    let pixels = with_workspace(|work| {
        crop_resize(
            image,
            region,
            (size, size),
            channels,
            Flips::default(),
            &mut work.resize,
            &mut work.planes,
        );
        if channels == 1 {
            into_grey(&mut work.planes);
        }
        normalization.interleave(&work.planes, channels)
    });
    ImageView {
        pixels,
        size,
        channels,
        crop: region.in_fractions_of(image),
        quarter_turns: 0,
        flipped: false,
        vertically_flipped: false,
    }
}

/// What a thread keeps from view to view, so that drawing one allocates nothing but its result.
#[derive(Default)]
pub(super) struct Workspace {
    pub(super) planes: Planes,
    pub(super) resize: ResizeBuffers,
    spare: Planes,
    blur: BlurBuffers,
}

pub(super) fn with_workspace<R>(work: impl FnOnce(&mut Workspace) -> R) -> R {
    thread_local! {
        static WORKSPACE: RefCell<Workspace> = RefCell::default();
    }
    WORKSPACE.with_borrow_mut(work)
}

/// True with a probability of 0 to 1.
fn chance(probability: f32, rng: &mut Rng) -> bool {
    rng.random::<f32>() < probability
}
