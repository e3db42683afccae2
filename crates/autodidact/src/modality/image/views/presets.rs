//! Settings that papers and practice agree on.

use super::settings::{Blur, Crop, ImageViews, Jitter, Solarize};

impl ImageViews {
    /// Two views of `size` pixels as in SimCLR (Chen et al. 2020), with its jitter of strength 0.5. The blur is left
    /// out up to 32 pixels, where the paper leaves it out (CIFAR-10) and two pixels are a sixteenth of the image.
    pub fn strong(size: usize) -> Self {
        Self {
            crops: vec![Crop {
                count: 2,
                size,
                ..Crop::default()
            }],
            flip: 0.5,
            jitter: Jitter {
                probability: 0.8,
                brightness: 0.4,
                contrast: 0.4,
                saturation: 0.4,
                hue: 0.1,
            },
            grayscale: 0.2,
            blur: Blur {
                probability: if size > 32 { 0.5 } else { 0.0 },
                sigma: [0.1, 2.0],
            },
            ..Self::default()
        }
    }

    /// Two views of `size` pixels as in BYOL (Grill et al. 2020, table 6): always blurred and never solarized, seldom
    /// blurred and sometimes solarized. The blur is left out up to 32 pixels, as in `strong`.
    pub fn strong_uneven(size: usize) -> Self {
        let view = |blur, solarize| Crop {
            size,
            blur: (size > 32).then_some(Blur {
                probability: blur,
                sigma: [0.1, 2.0],
            }),
            solarize: Some(Solarize {
                probability: solarize,
                threshold: 128,
            }),
            ..Crop::default()
        };
        Self {
            crops: vec![view(1.0, 0.0), view(0.1, 0.2)],
            flip: 0.5,
            jitter: Jitter {
                probability: 0.8,
                brightness: 0.4,
                contrast: 0.4,
                saturation: 0.2,
                hue: 0.1,
            },
            grayscale: 0.2,
            ..Self::default()
        }
    }

    /// One view of `size` pixels, cropped to 0.2–1 of the area and flipped: what masked autoencoders use (He et al.
    /// 2022).
    pub fn light(size: usize) -> Self {
        Self {
            crops: vec![Crop {
                count: 1,
                size,
                area: [0.2, 1.0],
                ..Crop::default()
            }],
            flip: 0.5,
            ..Self::default()
        }
    }

    /// Two views of `size` pixels for small images in levels of grey, where hue and saturation mean nothing. No flip,
    /// because it turns letters and digits into others; set `flip = 0.5` where left and right are alike.
    pub fn grey(size: usize) -> Self {
        Self {
            crops: vec![Crop {
                count: 2,
                size,
                area: [0.4, 1.0],
                ..Crop::default()
            }],
            jitter: Jitter {
                probability: 0.8,
                brightness: 0.4,
                contrast: 0.4,
                saturation: 0.0,
                hue: 0.0,
            },
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uneven_views_differ_in_how_they_are_drawn() {
        let views = ImageViews::strong_uneven(224);
        assert_eq!(views.slots(), [224, 224]);
        let blur = |slot| {
            views
                .crop_of(slot)
                .unwrap()
                .blur
                .as_ref()
                .unwrap()
                .probability
        };
        assert_eq!([blur(0), blur(1)], [1.0, 0.1]);
        assert_eq!(views.crop_of(2), None);
    }
}
