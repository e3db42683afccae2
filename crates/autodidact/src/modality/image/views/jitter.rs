//! What one jitter does to one view (torchvision's `ColorJitter.make_params` and `transform`).

use rand::seq::SliceRandom;

use super::color::{adjust_brightness, adjust_contrast, adjust_saturation};
use super::crop::between;
use super::hue::adjust_hue;
use super::planes::Planes;
use super::settings::Jitter;
use crate::random::Rng;

/// One change of color, with how far it goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Adjustment {
    /// By this factor.
    Brightness(f32),
    /// By this factor.
    Contrast(f32),
    /// By this factor.
    Saturation(f32),
    /// By this share of the color circle.
    Hue(f32),
}

impl Adjustment {
    pub(super) fn apply(self, planes: &mut Planes) {
        match self {
            Self::Brightness(factor) => adjust_brightness(planes, factor),
            Self::Contrast(factor) => adjust_contrast(planes, factor),
            Self::Saturation(factor) => adjust_saturation(planes, factor),
            Self::Hue(shift) => adjust_hue(planes, shift),
        }
    }
}

impl Jitter {
    /// Draws the four changes, in the order in which they are to be made; `None` stands for one of strength 0.
    pub(super) fn draw(&self, rng: &mut Rng) -> [Option<Adjustment>; 4] {
        let mut factor = |strength: f32| {
            (strength > 0.0).then(|| {
                let strength = f64::from(strength);
                between([(1.0 - strength).max(0.0), 1.0 + strength], rng) as f32
            })
        };
        let brightness = factor(self.brightness).map(Adjustment::Brightness);
        let contrast = factor(self.contrast).map(Adjustment::Contrast);
        let saturation = factor(self.saturation).map(Adjustment::Saturation);
        let hue = f64::from(self.hue);
        let hue = (hue > 0.0).then(|| Adjustment::Hue(between([-hue, hue], rng) as f32));
        let mut changes = [brightness, contrast, saturation, hue];
        changes.shuffle(rng);
        changes
    }
}
