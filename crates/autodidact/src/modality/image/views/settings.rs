//! The recipe's `[views]` table for images.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How views of an image are drawn. What a recipe doesn't mention doesn't happen.
///
/// ```toml
/// [views]
/// crops = [{ count = 2, size = 32, area = [0.08, 1.0] }]
/// flip = 0.5
/// jitter = { probability = 0.8, brightness = 0.4, contrast = 0.4, saturation = 0.4, hue = 0.1 }
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ImageViews {
    /// The views that are drawn from each image; at least one in all. One entry with a count of 2 gives the two
    /// views of most methods, a second entry of smaller crops gives multi-crop.
    pub crops: Vec<Crop>,
    /// Edge in pixels of the views whose own size is 0, up to 4096; 0 leaves it to the data.
    #[serde(skip_serializing_if = "is_zero")]
    pub size: usize,
    /// Probability of exchanging left and right, 0 to 1.
    pub flip: f32,
    /// Probability of exchanging top and bottom, 0 to 1.
    pub vertical_flip: f32,
    /// Probability of a turn by 0°, 90°, 180° or 270° counterclockwise (each as likely), 0 to 1. The view
    /// remembers how far it was turned.
    pub quarter_turns: f32,
    /// Change of brightness, contrast, saturation and hue.
    pub jitter: Jitter,
    /// Probability of leaving out the color, 0 to 1.
    pub grayscale: f32,
    /// Gaussian blur.
    pub blur: Blur,
    /// Inversion of the bright values.
    pub solarize: Solarize,
    /// A rectangle replaced by the mean.
    pub erase: Erase,
}

fn is_zero(value: &usize) -> bool {
    *value == 0
}

/// Random resized crops: views that show a part of the image, scaled to a square.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Crop {
    /// Number of such views, 1 to 64.
    pub count: usize,
    /// Edge of the view in pixels, 1 to 4096; 0 leaves it to the data (`ImageViews::with_size`).
    pub size: usize,
    /// Least and largest share of the image's area, above 0 and up to 1; drawn uniformly.
    pub area: [f32; 2],
    /// Least and largest width / height of the part that is shown, 0.01 to 100; drawn log-uniformly.
    pub aspect: [f32; 2],
    /// Blur of these views, where it differs from `views.blur`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub blur: Option<Blur>,
    /// Solarization of these views, where it differs from `views.solarize`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub solarize: Option<Solarize>,
}

/// Change of color, the four changes in random order (torchvision's `ColorJitter`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Jitter {
    /// Probability that any of the four happens, 0 to 1.
    pub probability: f32,
    /// Brightness is multiplied by 1 ± this, but at least by 0; 0 to 10.
    #[serde(default)]
    pub brightness: f32,
    /// Contrast is multiplied by 1 ± this, but at least by 0; 0 to 10.
    #[serde(default)]
    pub contrast: f32,
    /// Saturation is multiplied by 1 ± this, but at least by 0; 0 to 10. Changes nothing in a grey image.
    #[serde(default)]
    pub saturation: f32,
    /// The hue is turned by ± this share of the color circle, 0 to 0.5. Changes nothing in a grey image.
    #[serde(default)]
    pub hue: f32,
}

/// Gaussian blur.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Blur {
    /// Probability, 0 to 1.
    pub probability: f32,
    /// Least and largest standard deviation in pixels of the view, above 0 and up to 100; drawn uniformly.
    #[serde(default = "Blur::default_sigma")]
    pub sigma: [f32; 2],
}

/// Inversion of the bright values (torchvision's `RandomSolarize`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Solarize {
    /// Probability, 0 to 1.
    pub probability: f32,
    /// The darkest level that is inverted, 0 to 255.
    #[serde(default = "Solarize::default_threshold")]
    pub threshold: u8,
}

/// A rectangle replaced by the mean (torchvision's `RandomErasing`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Erase {
    /// Probability, 0 to 1.
    pub probability: f32,
    /// Least and largest share of the view's area, above 0 and up to 1; drawn uniformly.
    #[serde(default = "Erase::default_area")]
    pub area: [f32; 2],
    /// Least and largest height / width of the rectangle, 0.01 to 100; drawn log-uniformly.
    #[serde(default = "Erase::default_aspect")]
    pub aspect: [f32; 2],
}

impl Blur {
    /// SimCLR's and BYOL's range, in pixels.
    fn default_sigma() -> [f32; 2] {
        [0.1, 2.0]
    }
}

impl Solarize {
    fn default_threshold() -> u8 {
        128
    }
}

impl Erase {
    fn default_area() -> [f32; 2] {
        [0.02, 0.33]
    }

    fn default_aspect() -> [f32; 2] {
        [0.3, 3.3]
    }
}

impl Default for ImageViews {
    /// Two crops of torchvision's default area, of a size that the data decides, and no other change.
    fn default() -> Self {
        Self {
            crops: vec![Crop {
                count: 2,
                ..Crop::default()
            }],
            size: 0,
            flip: 0.0,
            vertical_flip: 0.0,
            quarter_turns: 0.0,
            jitter: Jitter {
                probability: 0.0,
                brightness: 0.0,
                contrast: 0.0,
                saturation: 0.0,
                hue: 0.0,
            },
            grayscale: 0.0,
            blur: Blur {
                probability: 0.0,
                sigma: Blur::default_sigma(),
            },
            solarize: Solarize {
                probability: 0.0,
                threshold: Solarize::default_threshold(),
            },
            erase: Erase {
                probability: 0.0,
                area: Erase::default_area(),
                aspect: Erase::default_aspect(),
            },
        }
    }
}

impl Default for Crop {
    fn default() -> Self {
        Self {
            count: 1,
            size: 0,
            area: [0.08, 1.0],
            aspect: [0.75, 1.3333],
            blur: None,
            solarize: None,
        }
    }
}

impl ImageViews {
    /// These settings with every size that was left open set to [`ImageViews::size`] or, where that is left to the
    /// data, to `size` pixels.
    #[must_use]
    pub fn with_size(mut self, size: usize) -> Self {
        let size = if self.size == 0 { size } else { self.size };
        for crop in self.crops.iter_mut().filter(|crop| crop.size == 0) {
            crop.size = size;
        }
        self
    }

    /// The edge in pixels of each view of an image, in the order of `crops`; 0 where it is left to the data.
    pub fn slots(&self) -> Vec<usize> {
        self.crops
            .iter()
            .flat_map(|crop| std::iter::repeat_n(crop.size, crop.count))
            .collect()
    }

    /// The settings of the view in `slot`.
    pub(super) fn crop_of(&self, slot: usize) -> Option<&Crop> {
        self.crops
            .iter()
            .flat_map(|crop| std::iter::repeat_n(crop, crop.count))
            .nth(slot)
    }

    /// Checks that every number is in its range.
    ///
    /// # Errors
    /// Names the first key whose value can't be used, what it is and what it may be.
    pub fn check(&self) -> Result<()> {
        if self.crops.is_empty() {
            return Err(Error::recipe("views.crops is empty")
                .expected("at least one entry, such as { count = 2, size = 32 }"));
        }
        whole("views.size", self.size, 0, 4096)?;
        for (i, crop) in self.crops.iter().enumerate() {
            let key = |name: &str| format!("views.crops[{i}].{name}");
            whole(&key("count"), crop.count, 1, 64)?;
            whole(&key("size"), crop.size, 0, 4096)?;
            area(&key("area"), crop.area)?;
            range(&key("aspect"), crop.aspect, 0.01, 100.0)?;
            if let Some(settings) = &crop.blur {
                blur(&key("blur"), settings)?;
            }
            if let Some(settings) = &crop.solarize {
                probability(&key("solarize.probability"), settings.probability)?;
            }
        }
        probability("views.flip", self.flip)?;
        probability("views.vertical_flip", self.vertical_flip)?;
        probability("views.quarter_turns", self.quarter_turns)?;
        probability("views.jitter.probability", self.jitter.probability)?;
        number("views.jitter.brightness", self.jitter.brightness, 0.0, 10.0)?;
        number("views.jitter.contrast", self.jitter.contrast, 0.0, 10.0)?;
        number("views.jitter.saturation", self.jitter.saturation, 0.0, 10.0)?;
        number("views.jitter.hue", self.jitter.hue, 0.0, 0.5)?;
        probability("views.grayscale", self.grayscale)?;
        blur("views.blur", &self.blur)?;
        probability("views.solarize.probability", self.solarize.probability)?;
        probability("views.erase.probability", self.erase.probability)?;
        area("views.erase.area", self.erase.area)?;
        range("views.erase.aspect", self.erase.aspect, 0.01, 100.0)
    }
}

fn blur(key: &str, settings: &Blur) -> Result<()> {
    probability(&format!("{key}.probability"), settings.probability)?;
    // A deviation below a hundredth of a pixel leaves every value as it is.
    range(&format!("{key}.sigma"), settings.sigma, 0.01, 100.0)
}

fn probability(key: &str, value: f32) -> Result<()> {
    number(key, value, 0.0, 1.0)
}

fn number(key: &str, value: f32, least: f32, most: f32) -> Result<()> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(Error::recipe(format!("{key} is {value}"))
        .expected(format!("a number from {least} to {most}")))
}

fn whole(key: &str, value: usize, least: usize, most: usize) -> Result<()> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(Error::recipe(format!("{key} is {value}"))
        .expected(format!("a whole number from {least} to {most}")))
}

fn area(key: &str, range: [f32; 2]) -> Result<()> {
    let [low, high] = range;
    if 0.0 < low && low <= high && high <= 1.0 {
        return Ok(());
    }
    Err(Error::recipe(format!("{key} is [{low}, {high}]"))
        .expected("[least, largest] share of the area, above 0 and up to 1"))
}

fn range(key: &str, range: [f32; 2], least: f32, most: f32) -> Result<()> {
    let [low, high] = range;
    if least <= low && low <= high && high <= most {
        return Ok(());
    }
    Err(Error::recipe(format!("{key} is [{low}, {high}]"))
        .expected(format!("[least, largest], both from {least} to {most}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_reads_as_a_person_writes_it() {
        let text = "\
flip = 0.5
jitter = { probability = 0.8, brightness = 0.4, contrast = 0.4, saturation = 0.4, hue = 0.1 }
grayscale = 0.2
crops = [{ count = 2, size = 32, area = [0.08, 1.0] }]
";
        assert_eq!(
            toml::from_str::<ImageViews>(text).unwrap(),
            ImageViews::strong(32)
        );
        assert_eq!(
            toml::from_str::<ImageViews>("").unwrap(),
            ImageViews::default()
        );
    }

    #[test]
    fn every_preset_is_valid_and_survives_toml() {
        for views in [0, 28, 32, 96, 224].into_iter().flat_map(|size| {
            [
                ImageViews::strong(size),
                ImageViews::strong_uneven(size),
                ImageViews::light(size),
                ImageViews::grey(size),
            ]
        }) {
            views.check().unwrap();
            let text = toml::to_string(&views).unwrap();
            assert_eq!(toml::from_str::<ImageViews>(&text).unwrap(), views);
            assert!(
                !text.contains("0000"),
                "numbers should read as they were written:\n{text}"
            );
        }
    }

    #[test]
    fn sizes_left_to_the_data_are_filled_in() {
        let views = ImageViews {
            crops: vec![
                Crop {
                    size: 96,
                    ..Crop::default()
                },
                Crop::default(),
            ],
            ..ImageViews::default()
        };
        assert_eq!(views.slots(), [96, 0]);
        assert_eq!(views.with_size(32).slots(), [96, 32]);
    }

    #[test]
    fn errors_name_the_key_and_the_range() {
        type Spoil = fn(&mut ImageViews);
        let cases: [(Spoil, &str); 9] = [
            (
                |v| v.flip = 1.5,
                "views.flip is 1.5; expected a number from 0 to 1",
            ),
            (
                |v| v.flip = f32::NAN,
                "views.flip is NaN; expected a number from 0 to 1",
            ),
            (
                |v| v.jitter.hue = 0.6,
                "views.jitter.hue is 0.6; expected a number from 0 to 0.5",
            ),
            (
                |v| v.crops.clear(),
                "views.crops is empty; expected at least one entry, such as { count = 2, size = 32 }",
            ),
            (
                |v| v.crops[0].count = 0,
                "views.crops[0].count is 0; expected a whole number from 1 to 64",
            ),
            (
                |v| v.crops[0].area = [0.5, 0.2],
                "views.crops[0].area is [0.5, 0.2]; expected [least, largest] share of the area, above 0 and up to 1",
            ),
            (
                |v| v.crops[0].aspect = [0.0, 1.0],
                "views.crops[0].aspect is [0, 1]; expected [least, largest], both from 0.01 to 100",
            ),
            (
                |v| v.blur.sigma = [0.0, 2.0],
                "views.blur.sigma is [0, 2]; expected [least, largest], both from 0.01 to 100",
            ),
            (
                |v| {
                    v.crops[0].solarize = Some(Solarize {
                        probability: -1.0,
                        threshold: 0,
                    })
                },
                "views.crops[0].solarize.probability is -1; expected a number from 0 to 1",
            ),
        ];
        for (spoil, message) in cases {
            let mut views = ImageViews::strong(32);
            spoil(&mut views);
            assert_eq!(views.check().unwrap_err().to_string(), message);
        }
        let unknown = toml::from_str::<ImageViews>("flips = 0.5")
            .unwrap_err()
            .to_string();
        assert!(unknown.contains("flips"), "{unknown}");
    }
}
